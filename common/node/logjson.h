/* SPDX-License-Identifier: MIT */
/* Logs as JSON, an object a line: time, level, node, event, and the keys of the event. */
#ifndef DP_NODE_LOGJSON_H
#define DP_NODE_LOGJSON_H

#include <jansson.h>

#include "base/log.h"

dp_log_form logjson;

/* The same, as a new reference. */
json_t *logjson_object(const struct dp_log_line *line);

#endif
