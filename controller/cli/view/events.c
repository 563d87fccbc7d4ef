/* SPDX-License-Identifier: MIT */
/* dipole events: what there is, line by line, and then what changes; in the manner of `drbdsetup
 * events2`. The nodes are asked for their status again and again, and what they say is compared
 * with what they said before. */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FOLLOW_EVERY_US 500000

/* What is known: an object for each thing, by a name that lasts. */
static void note(json_t *all, json_t *thing, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void note(json_t *all, json_t *thing, const char *format, ...)
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
	const char *name = cli_text(stream, "name");
	size_t i;
	json_t *l;
	json_array_foreach (json_object_get(stream, "links"), i, l)
		note(all,
			json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b}", "kind", "link", "node", node,
				"stream", name, "leg", cli_text(l, "leg"), "peer",
				cli_text(l, "peer"), "state", cli_text(l, "state"), "in_sync",
				json_is_true(json_object_get(l, "in_sync"))),
			"link/%s/%s/%s/%s", node, name, cli_text(l, "leg"), cli_text(l, "peer"));
}

/* An alarm is one event and no state: it has the name of its moment. */
static void note_alarms(json_t *all, const char *node, const json_t *stream)
{
	size_t i;
	json_t *a;
	json_array_foreach (json_object_get(stream, "alarms"), i, a)
		note(all,
			json_pack("{s:s,s:s,s:s,s:I,s:s}", "kind", "alarm", "node", node, "stream",
				cli_text(stream, "name"), "time_us",
				(json_int_t)cli_number(a, "time_us"), "text", cli_text(a, "text")),
			"alarm/%s/%s/%llu/%s", node, cli_text(stream, "name"),
			(unsigned long long)cli_number(a, "time_us"), cli_text(a, "text"));
}

static void note_stream(json_t *all, const char *node, const json_t *stream)
{
	const char *name = cli_text(stream, "name");
	const json_t *images = json_object_get(stream, "images");
	note(all,
		json_pack("{s:s,s:s,s:s,s:s,s:I}", "kind", "stream", "node", node, "name", name,
			"state", cli_text(stream, "state"), "epoch",
			(json_int_t)cli_number(stream, "epoch")),
		"stream/%s/%s", node, name);
	if (json_is_object(images))
		note(all,
			json_pack("{s:s,s:s,s:s,s:s,s:I}", "kind", "images", "node", node, "stream",
				name, "state", cli_text(images, "state"), "generation",
				(json_int_t)cli_number(images, "generation")),
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
static json_t *look(struct cli_survey *survey, json_t *before)
{
	json_t *all = json_object(), *stream;
	size_t k;
	cli_survey_ask(survey);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++) {
		const struct dp_topo_node *n = &survey->place.topology->nodes[i];
		char name[2 * DP_NAME_MAX];
		snprintf(name, sizeof name, "node/%s", n->name);
		if (!survey->answers[i] && !json_object_get(before, name))
			continue;
		note(all,
			json_pack("{s:s,s:s,s:s,s:s}", "kind", "node", "name", n->name, "role",
				dp_role_name(n->role), "state", survey->answers[i] ? "Up" : "Down"),
			"node/%s", n->name);
		if (!survey->answers[i])
			keep_alarms(all, before, n->name);
		json_array_foreach (json_object_get(survey->answers[i], "streams"), k, stream)
			note_stream(all, n->name, stream);
	}
	cli_survey_clear(survey);
	return all;
}

/* ---- saying it ---- */

static void print_line(const char *event, const json_t *thing)
{
	const char *key;
	json_t *v;
	printf("%s %s", event, cli_text(thing, "kind"));
	json_object_foreach ((json_t *)(uintptr_t)thing, key, v) {
		const char *quote = strcmp(key, "text") ? "" : "\"";
		if (strcmp(key, "kind") == 0)
			continue;
		if (json_is_string(v))
			printf(" %s:%s%s%s", key, quote, json_string_value(v), quote);
		else if (json_is_boolean(v))
			printf(" %s:%s", key, json_is_true(v) ? "yes" : "no");
		else
			printf(" %s:%lld", key, (long long)json_integer_value(v));
	}
	putchar('\n');
}

static void say(const char *event, const json_t *thing, bool json)
{
	struct timespec now;
	if (!json) {
		print_line(event, thing);
		return;
	}
	clock_gettime(CLOCK_REALTIME, &now);
	json_t *line = json_pack("{s:s,s:I}", "event", event, "at_us",
		(json_int_t)now.tv_sec * 1000000 + now.tv_nsec / 1000);
	json_object_update(line, (json_t *)(uintptr_t)thing);
	cli_print_json(line);
}

static void say_changes(json_t *before, json_t *now, bool json)
{
	const char *name;
	json_t *thing;
	json_object_foreach (now, name, thing) {
		const json_t *old = json_object_get(before, name);
		if (!before)
			say("exists", thing, json);
		else if (!old)
			say("create", thing, json);
		else if (!json_equal(old, thing))
			say("change", thing, json);
	}
	json_object_foreach (before, name, thing)
		if (!json_object_get(now, name) && strcmp(cli_text(thing, "kind"), "alarm"))
			say("destroy", thing, json);
}

static int follow(struct cli_survey *survey, bool on, bool json)
{
	json_t *before = look(survey, NULL);
	int status = json_object_size(before)
		? EX_OK
		: cli_fail(EX_UNAVAILABLE, "no node of %s answers on this machine",
			  survey->place.topology->name);
	if (!status) {
		say_changes(NULL, before, json);
		if (!json)
			puts("exists -");
		fflush(stdout);
	}
	while (on && !status && !ferror(stdout)) {
		dp_clock_sleep_us(FOLLOW_EVERY_US);
		json_t *now = look(survey, before);
		say_changes(before, now, json);
		fflush(stdout);
		json_decref(before);
		before = now;
	}
	json_decref(before);
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL;
	bool json = false, on = false;
	static struct cli_survey survey;
	const struct cli_option options[] = {
		{"follow", CLI_FLAG, &on, NULL, "go on with what changes, until interrupted"},
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the deployment"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, a line each"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	survey.only = -1;
	int status = cli_place_open(state, &survey.place);
	if (!status)
		status = follow(&survey, on, json);
	cli_place_close(&survey.place);
	return status;
}

const struct cli_command cli_events = {
	.name = "events",
	.arguments = "[--follow] [--state DIR]",
	.summary = "Print what there is, and then what changes.",
	.run = run,
};
