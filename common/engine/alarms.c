/* SPDX-License-Identifier: MIT */
#include "engine/alarms.h"

#include <assert.h>

static const struct dp_alarm_info alarm_list[DP_ALARM_COUNT] = {
#define ALARM(name, id, severity, kind, text, meaning, action)                                     \
	[DP_ALARM_##name] = {id, DP_ALARM_##severity, DP_ALARM_##kind, text, meaning, action},
#include "engine/alarms.def"
#undef ALARM
};

const struct dp_alarm_info *dp_alarm_info(enum dp_alarm alarm)
{
	assert((unsigned)alarm < DP_ALARM_COUNT);
	return &alarm_list[alarm];
}

const char *dp_alarm_severity_name(enum dp_alarm_severity severity)
{
	static const char *const names[] = {"notice", "warning", "critical"};
	return names[severity];
}

const char *dp_alarm_kind_name(enum dp_alarm_kind kind)
{
	static const char *const names[] = {"event", "raised", "cleared"};
	return names[kind];
}
