/* SPDX-License-Identifier: MIT */
/* dipole sets: the write sets of a stream, and waiting until one is committed everywhere. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#define POLL_EVERY_US 50000
#define NO_SET        UINT64_MAX

struct request {
	const char *state, *stream;
	uint64_t wait, timeout_us;
	bool json;
};

static int ask(const struct cli_place *place, unsigned controller, const char *stream,
	json_t **answer, char error[DP_ASK_ERROR_MAX])
{
	json_t *request = json_pack("{s:s,s:s}", "cmd", "sets", "stream", stream);
	return cli_ask(place, controller, request, CLI_ASK_TIMEOUT_US, answer, error);
}

/* Sets older than the first one listed have been committed and forgotten. */
static bool is_committed(const json_t *answer, uint64_t set)
{
	json_t *sets = json_object_get(answer, "sets"), *entry;
	size_t i;
	json_array_foreach (sets, i, entry) {
		if (set < cli_number(entry, "first_id"))
			return i == 0;
		if (set <= cli_number(entry, "last_id"))
			return strcmp(cli_text(entry, "state"), "committed") == 0;
	}
	return false;
}

static void add_time(struct cli_table *t, uint64_t from_us, uint64_t to_us)
{
	if (to_us && to_us >= from_us)
		cli_table_time(t, to_us - from_us);
	else
		cli_table_add(t, "-");
}

static void add_set(struct cli_table *t, const json_t *set)
{
	static const char *const numbers[] = {"first_id", "last_id", "first_seq", "last_seq"};
	uint64_t opened = cli_number(set, "opened_us");
	for (unsigned i = 0; i < 4; i++)
		cli_table_add(t, "%llu", (unsigned long long)cli_number(set, numbers[i]));
	cli_table_add(t, "%s", cli_text(set, "state"));
	add_time(t, opened, cli_number(set, "committed_us"));
}

static void print_sets(const json_t *answer)
{
	static const char *const heading[] = {
		"FIRST", "LAST", "FIRST-SEQ", "LAST-SEQ", "STATE", "COMMITTED-AFTER"};
	struct cli_table *t = cli_table_new("rrrrlr");
	json_t *set;
	size_t i;
	for (i = 0; i < 6; i++)
		cli_table_add(t, "%s", heading[i]);
	json_array_foreach (json_object_get(answer, "sets"), i, set)
		add_set(t, set);
	cli_table_print(&t);
}

static int list(const struct request *r, const struct cli_place *place, unsigned controller)
{
	char error[DP_ASK_ERROR_MAX];
	json_t *answer;
	if (ask(place, controller, r->stream, &answer, error))
		return cli_fail(EX_UNAVAILABLE, "controller %s: %s",
			place->topology->nodes[controller].name, error);
	if (r->json)
		cli_print_json(json_incref(answer));
	else
		print_sets(answer);
	json_decref(answer);
	return EX_OK;
}

static void report_committed(const struct request *r)
{
	if (r->json)
		cli_print_json(json_pack("{s:s,s:I,s:s}", "stream", r->stream, "set",
			(json_int_t)r->wait, "state", "committed"));
	else
		printf("set %llu of stream %s is committed\n", (unsigned long long)r->wait,
			r->stream);
}

/* A controller that does not answer may be restarting: only the time limit ends the wait. */
static int wait_for(const struct request *r, const struct cli_place *place, unsigned controller)
{
	uint64_t started = dp_clock_us();
	char error[DP_ASK_ERROR_MAX];
	bool told = false, done = false;
	json_t *answer;
	for (;; dp_clock_sleep_us(POLL_EVERY_US)) {
		if (ask(place, controller, r->stream, &answer, error) == 0) {
			done = is_committed(answer, r->wait);
			json_decref(answer);
		} else if (!told) {
			told = true;
			cli_fail(0, "controller %s: %s; trying again",
				place->topology->nodes[controller].name, error);
		}
		if (done) {
			report_committed(r);
			return EX_OK;
		}
		if (dp_clock_us() - started >= r->timeout_us)
			return cli_fail(EX_UNAVAILABLE,
				"set %llu of stream %s is not committed within the time limit",
				(unsigned long long)r->wait, r->stream);
	}
}

static int run_in(const struct request *r, const struct cli_place *place)
{
	int stream = dp_topology_stream(place->topology, r->stream);
	if (stream < 0)
		return cli_fail(EX_USAGE, "no stream '%s' in %s/topology.yaml", r->stream,
			place->dir);
	unsigned controller = place->topology->streams[stream].controller;
	if (r->wait == NO_SET)
		return list(r, place, controller);
	return wait_for(r, place, controller);
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	struct request r = {.wait = NO_SET, .timeout_us = UINT64_MAX};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"wait", CLI_NUMBER, &r.wait, "SET", "wait until this set is committed"},
		{"timeout", CLI_TIME, &r.timeout_us, "TIME", "limit of --wait; default: none"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	struct cli_place place;
	cli_parse(self, argc, argv, options, &r.stream, 1, 1);
	int status = cli_place_open(r.state, &place);
	if (!status)
		status = run_in(&r, &place);
	cli_place_close(&place);
	return status;
}

const struct cli_command cli_sets = {
	.name = "sets",
	.arguments = "STREAM [--state DIR] [--json] [--wait SET] [--timeout TIME]",
	.summary = "List a stream's write sets, or wait until one is committed.",
	.run = run,
};
