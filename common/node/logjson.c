/* SPDX-License-Identifier: MIT */
#include "node/logjson.h"

#include <string.h>

/* Where a quoted value ends: at a quote with nothing or another key behind it. */
static const char *end_of_quoted(const char *at)
{
	for (const char *p = at; *p; p++) {
		if (*p != '"')
			continue;
		if (p[1] == '\0' || (p[1] == ' ' && strcspn(p + 2, "= \"") < strcspn(p + 2, " \"")))
			return p;
	}
	return at + strlen(at);
}

json_t *logjson_object(const struct dp_log_line *line)
{
	json_t *o = json_pack("{s:s,s:s,s:s,s:s}", "time", line->time, "level", line->level, "node",
		line->node, "event", line->event);
	for (const char *at = line->keys; *at;) {
		size_t key = strcspn(at, "= ");
		if (at[key] != '=')
			break; /* none of our lines */
		const char *value = at + key + 1, *end;
		if (*value == '"')
			end = end_of_quoted(++value);
		else
			end = value + strcspn(value, " ");
		char name[64] = "";
		strncat(name, at, key < sizeof name ? key : sizeof name - 1);
		json_object_set_new(o, name, json_stringn_nocheck(value, (size_t)(end - value)));
		at = end + (*end == '"');
		at += strspn(at, " ");
	}
	return o;
}

void logjson(const struct dp_log_line *line)
{
	json_t *o = logjson_object(line);
	json_dumpf(o, stderr, JSON_COMPACT);
	fputc('\n', stderr);
	json_decref(o);
}
