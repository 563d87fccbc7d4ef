/* SPDX-License-Identifier: MIT */
/* dipole sets: the write sets of a stream, and waiting until one is committed everywhere. */
#include "cli.h"

#include <stdio.h>

#define POLL_EVERY_US 50000
#define NO_SET        UINT64_MAX

struct sets_request {
	const char *state, *stream;
	uint64_t wait, timeout_us;
	bool json;
};

static void add_time_between(struct cli_table *t, uint64_t from_us, uint64_t to_us)
{
	if (to_us && to_us >= from_us)
		cli_table_time(t, to_us - from_us);
	else
		cli_table_add(t, "-");
}

static void print_sets(const json_t *answer)
{
	static const struct cli_field fields[] = {{"first_id", CLI_NUMBER}, {"last_id", CLI_NUMBER},
		{"first_seq", CLI_NUMBER}, {"last_seq", CLI_NUMBER}, {"state", CLI_TEXT}};
	struct cli_table *t = cli_table_new("rrrrlr",
		"FIRST LAST FIRST-SEQ LAST-SEQ STATE COMMITTED-AFTER");
	json_t *set;
	size_t i;
	json_array_foreach (json_object_get(answer, "sets"), i, set) {
		cli_table_fields(t, fields, 5, set);
		add_time_between(t, verb_number(set, "opened_us"),
			verb_number(set, "committed_us"));
	}
	cli_table_print(&t);
}

static int report_committed(const struct sets_request *r)
{
	if (r->json)
		cli_print_json(json_pack("{s:s,s:I,s:s}", "stream", r->stream, "set",
			(json_int_t)r->wait, "state", "committed"));
	else
		printf("set %llu of stream %s is committed\n", (unsigned long long)r->wait,
			r->stream);
	return EX_OK;
}

/* A controller that does not answer may be restarting: only the time limit ends the wait. */
static int wait_for_set(const struct sets_request *r, const struct verb_place *place)
{
	uint64_t started = dp_clock_us();
	bool told = false;
	for (;; dp_clock_sleep_us(POLL_EVERY_US)) {
		struct verb_error error = {.status = 0};
		json_t *answer = verb_sets(place, r->stream, &error);
		bool done = verb_set_is_committed(answer, r->wait);
		json_decref(answer);
		if (done)
			return report_committed(r);
		if (error.status == EX_USAGE)
			return cli_error(&error);
		if (error.status && !told)
			cli_fail(0, "%s; trying again", error.text);
		told = told || error.status;
		verb_error_clear(&error);
		if (dp_clock_us() - started >= r->timeout_us)
			return cli_fail(EX_UNAVAILABLE,
				"set %llu of stream %s is not committed within the time limit",
				(unsigned long long)r->wait, r->stream);
	}
}

static int run_in_place(const struct sets_request *r, const struct verb_place *place)
{
	struct verb_error error = {.status = 0};
	if (r->wait != NO_SET)
		return wait_for_set(r, place);
	return cli_answer(verb_sets(place, r->stream, &error), r->json, print_sets, &error);
}

static int run_sets(const struct cli_command *self, int argc, char **argv)
{
	struct sets_request r = {.wait = NO_SET, .timeout_us = UINT64_MAX};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"wait", CLI_NUMBER, &r.wait, "SET", "wait until this set is committed"},
		{"timeout", CLI_TIME, &r.timeout_us, "TIME", "limit of --wait; default: none"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	struct verb_place place;
	cli_parse(self, argc, argv, options, &r.stream, 1, 1);
	int status = cli_place_open(r.state, &place);
	if (!status)
		status = run_in_place(&r, &place);
	verb_place_close(&place);
	return status;
}

const struct cli_command cli_sets = {
	.name = "sets",
	.arguments = "STREAM [--state DIR] [--json] [--wait SET] [--timeout TIME]",
	.summary = "List a stream's write sets, or wait until one is committed.",
	.run = run_sets,
};
