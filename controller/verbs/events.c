/* SPDX-License-Identifier: MIT */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "verbs/nodes.h"

/* Adds a thing under a name that lasts. */
__attribute__((format(printf, 3, 4))) static void note_thing(json_t *all, json_t *thing,
	const char *format, ...)
{
	char name[1024];
	va_list args;
	va_start(args, format);
	vsnprintf(name, sizeof name, format, args);
	va_end(args);
	json_object_set_new(all, name, thing);
}

static void note_links(json_t *all, const char *node, const json_t *stream)
{
	const char *name = verb_text(stream, "name");
	size_t i;
	json_t *l;
	json_array_foreach (json_object_get(stream, "links"), i, l)
		note_thing(all,
			json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "kind", "link", "node", node,
				"stream", name, "leg", verb_text(l, "leg"), "peer",
				verb_text(l, "peer"), "state", verb_text(l, "state"), "in_sync",
				json_is_true(json_object_get(l, "in_sync"))),
			"link/%s/%s/%s/%s", node, name, verb_text(l, "leg"), verb_text(l, "peer"));
}

/* An alarm is one event and no state: it has the name of its moment. */
static void note_alarms(json_t *all, const char *node, const json_t *stream)
{
	size_t i;
	json_t *a;
	json_array_foreach (json_object_get(stream, "alarms"), i, a)
		note_thing(all,
			json_pack("{s:s,s:s,s:s,s:I,s:s}", "kind", "alarm", "node", node, "stream",
				verb_text(stream, "name"), "time_us",
				(json_int_t)verb_number(a, "time_us"), "text",
				verb_text(a, "text")),
			"alarm/%s/%s/%llu/%s", node, verb_text(stream, "name"),
			(unsigned long long)verb_number(a, "time_us"), verb_text(a, "text"));
}

static void note_stream(json_t *all, const char *node, const json_t *stream)
{
	const char *name = verb_text(stream, "name");
	const json_t *images = json_object_get(stream, "images");
	note_thing(all,
		json_pack("{s:s,s:s,s:s,s:s,s:I}", "kind", "stream", "node", node, "name", name,
			"state", verb_text(stream, "state"), "epoch",
			(json_int_t)verb_number(stream, "epoch")),
		"stream/%s/%s", node, name);
	if (json_is_object(images))
		note_thing(all,
			json_pack("{s:s,s:s,s:s,s:s,s:I}", "kind", "images", "node", node, "stream",
				name, "state", verb_text(images, "state"), "generation",
				(json_int_t)verb_number(images, "generation")),
			"images/%s/%s", node, name);
	note_links(all, node, stream);
	note_alarms(all, node, stream);
}

/* What a node that is down has said is not said again when it comes back. */
static void keep_alarms(json_t *all, json_t *before, const char *node)
{
	char prefix[DP_NAME_MAX + 16];
	const char *name;
	json_t *thing;
	int size = snprintf(prefix, sizeof prefix, "alarm/%s/", node);
	json_object_foreach (before, name, thing)
		if (strncmp(name, prefix, (size_t)size) == 0)
			json_object_set(all, name, thing);
}

/* A node that never answered may stand on another machine: it is not there. One that did is down.
 */
static void note_node(json_t *all, json_t *before, const struct dp_topo_node *n,
	const json_t *answer)
{
	char name[2 * DP_NAME_MAX];
	json_t *stream;
	size_t k;
	snprintf(name, sizeof name, "node/%s", n->name);
	if (!answer && !json_object_get(before, name))
		return;
	note_thing(all,
		json_pack("{s:s,s:s,s:s,s:s}", "kind", "node", "name", n->name, "role",
			dp_role_name(n->role), "state", answer ? "Up" : "Down"),
		"%s", name);
	if (!answer)
		keep_alarms(all, before, n->name);
	json_array_foreach (json_object_get(answer, "streams"), k, stream)
		note_stream(all, n->name, stream);
}

json_t *verb_events(const struct verb_place *place, json_t *before, struct verb_error *error)
{
	struct verb_survey survey = {.place = place, .only = -1};
	json_t *all = json_object();
	verb_survey_ask(&survey);
	for (unsigned i = 0; i < place->topology->node_count; i++)
		note_node(all, before, &place->topology->nodes[i], survey.answers[i]);
	verb_survey_clear(&survey);
	if (!before && !json_object_size(all))
		verb_fail(error, EX_UNAVAILABLE, "no node of %s answers on this machine",
			place->topology->name);
	return all;
}

/* ---- what has changed ---- */

static void add_change(json_t *list, const char *event, json_t *thing)
{
	json_array_append_new(list, json_pack("{s:s,s:O}", "event", event, "thing", thing));
}

json_t *verb_event_changes(json_t *before, json_t *now)
{
	json_t *list = json_array(), *thing;
	const char *name;
	json_object_foreach (now, name, thing) {
		const json_t *old = json_object_get(before, name);
		if (!before)
			add_change(list, "exists", thing);
		else if (!old)
			add_change(list, "create", thing);
		else if (!json_equal(old, thing))
			add_change(list, "change", thing);
	}
	json_object_foreach (before, name, thing)
		if (!json_object_get(now, name) && strcmp(verb_text(thing, "kind"), "alarm"))
			add_change(list, "destroy", thing);
	return list;
}
