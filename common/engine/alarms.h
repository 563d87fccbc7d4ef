/* SPDX-License-Identifier: MIT */
/* The alarms that a stream raises for its operators. alarms.def has their texts and meanings. */
#ifndef DP_ENGINE_ALARMS_H
#define DP_ENGINE_ALARMS_H

enum dp_alarm {
#define ALARM(name, id, severity, kind, text, meaning, action) DP_ALARM_##name,
#include "engine/alarms.def"
#undef ALARM
	DP_ALARM_COUNT,
};

enum dp_alarm_severity { DP_ALARM_NOTICE, DP_ALARM_WARNING, DP_ALARM_CRITICAL };

/* A condition is raised and cleared under one id; an event has no length. */
enum dp_alarm_kind { DP_ALARM_EVENT, DP_ALARM_RAISED, DP_ALARM_CLEARED };

struct dp_alarm_info {
	const char *id; /* of the condition, lower case with '-' */
	enum dp_alarm_severity severity;
	enum dp_alarm_kind kind;
	const char *text, *meaning,
		*action; /* for people: what happened, to the data, what to do */
};

/* Never NULL. */
const struct dp_alarm_info *dp_alarm_info(enum dp_alarm alarm);

const char *dp_alarm_severity_name(enum dp_alarm_severity severity); /* "warning" and so on */
const char *dp_alarm_kind_name(enum dp_alarm_kind kind);             /* "raised" and so on */

#endif
