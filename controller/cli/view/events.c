/* SPDX-License-Identifier: MIT */
/* dipole events: what there is, line by line, and then what changes; in the manner of `drbdsetup
 * events2`. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define FOLLOW_EVERY_US 500000

static void print_event(const char *event, const json_t *thing)
{
	const char *key;
	json_t *v;
	printf("%s %s", event, verb_text(thing, "kind"));
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

static void say_event(const char *event, const json_t *thing, bool json)
{
	struct timespec now;
	if (!json) {
		print_event(event, thing);
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
	json_t *list = verb_event_changes(before, now), *change;
	size_t i;
	json_array_foreach (list, i, change)
		say_event(verb_text(change, "event"), json_object_get(change, "thing"), json);
	json_decref(list);
}

static int follow_events(const struct verb_place *place, bool on, bool json)
{
	struct verb_error error = {.status = 0};
	json_t *before = verb_events(place, NULL, &error);
	int status = cli_error(&error);
	if (!status) {
		say_changes(NULL, before, json);
		if (!json)
			puts("exists -");
		fflush(stdout);
	}
	while (on && !status && !ferror(stdout)) {
		dp_clock_sleep_us(FOLLOW_EVERY_US);
		json_t *now = verb_events(place, before, &error);
		say_changes(before, now, json);
		fflush(stdout);
		json_decref(before);
		before = now;
	}
	json_decref(before);
	return status;
}

static int run_events(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL;
	bool json = false, on = false;
	struct verb_place place;
	const struct cli_option options[] = {
		{"follow", CLI_FLAG, &on, NULL, "go on with what changes, until interrupted"},
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the deployment"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, a line each"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	int status = cli_place_open(state, &place);
	if (!status)
		status = follow_events(&place, on, json);
	verb_place_close(&place);
	return status;
}

const struct cli_command cli_events = {
	.name = "events",
	.arguments = "[--follow] [--state DIR]",
	.summary = "Print what there is, and then what changes.",
	.run = run_events,
};
