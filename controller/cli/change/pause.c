/* SPDX-License-Identifier: MIT */
/* dipole pause, resume, resync: what is sent to one leg of a stream, and what is kept for it. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

struct order {
	const char *state, *stream, *leg, *order;
	uint64_t drop_to; /* a write set; ALL: whatever it lacks */
	bool json;
};

#define ALL UINT64_MAX

static bool has_leg(const struct dp_topo_stream *s, const char *name)
{
	for (unsigned i = 0; i < s->leg_count; i++)
		if (strcmp(s->legs[i].name, name) == 0)
			return true;
	return false;
}

static void report(const struct order *o, const json_t *answer)
{
	bool waits = json_is_true(json_object_get(answer, "writes_wait"));
	if (o->json) {
		cli_print_json(json_pack("{s:s,s:s,s:s,s:b}", "stream", o->stream, "leg", o->leg,
			"order", o->order, "writes_wait", waits));
		return;
	}
	printf("leg %s of stream %s: %s\n", o->leg, o->stream,
		strcmp(o->order, "pause") == 0          ? "paused; what it lacks is kept"
			: strcmp(o->order, "drop") == 0 ? o->drop_to == ALL
				? "paused; nothing is kept, it is resynced when resumed"
				: "paused; what is dropped is put right by a resync when resumed"
			: strcmp(o->order, "resync") == 0
			? "is compared with another copy and made equal to it"
			: "resumed");
	if (waits)
		printf("writes wait until it is %s: keep-serving does not let this leg go\n",
			strcmp(o->order, "resync") == 0 ? "whole" : "resumed");
}

static int send_order(const struct cli_place *place, const struct dp_topo_stream *s,
	const char *leg, const char *order, uint64_t drop_to, json_t **answer)
{
	char error[DP_ASK_ERROR_MAX];
	json_t *request = json_pack("{s:s,s:s,s:s,s:s}", "cmd", "leg", "stream", s->name, "leg",
		leg, "order", order);
	if (drop_to != ALL)
		json_object_set_new(request, "set", json_integer((json_int_t)drop_to));
	if (cli_ask(place, s->controller, request, CLI_ASK_TIMEOUT_US, answer, error))
		return cli_fail(EX_UNAVAILABLE, "controller %s: %s",
			place->topology->nodes[s->controller].name, error);
	return EX_OK;
}

int cli_order_leg(const struct cli_place *place, const struct dp_topo_stream *s, const char *leg,
	const char *order, json_t **answer)
{
	return send_order(place, s, leg, order, ALL, answer);
}

static int give(const struct order *o, const struct cli_place *place)
{
	int index = dp_topology_stream(place->topology, o->stream);
	if (index < 0)
		return cli_fail(EX_USAGE, "no stream '%s' in %s/topology.yaml", o->stream,
			place->dir);
	const struct dp_topo_stream *s = &place->topology->streams[index];
	if (!has_leg(s, o->leg))
		return cli_fail(EX_USAGE, "stream '%s' has no leg '%s'", o->stream, o->leg);
	json_t *answer;
	int status = send_order(place, s, o->leg, o->order, o->drop_to, &answer);
	if (status)
		return status;
	report(o, answer);
	json_decref(answer);
	return EX_OK;
}

static int run_order(const struct cli_command *self, int argc, char **argv, struct order *o,
	bool *drop)
{
	const char *words[2];
	struct cli_place place;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &o->state, "DIR", "the state directory of the deployment"},
		{"json", CLI_FLAG, &o->json, NULL, "print JSON, one line"},
		{drop ? "drop" : NULL, CLI_FLAG, drop, NULL,
			"keep nothing for it: it is resynced when resumed"},
		{drop ? "drop-to" : NULL, CLI_NUMBER, &o->drop_to, "SET",
			"keep nothing of the write sets up to this one for it: the same"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, words, 2, 2);
	o->stream = words[0];
	o->leg = words[1];
	if (drop && *drop && o->drop_to != ALL)
		return cli_fail(EX_USAGE, "--drop and --drop-to: one of them says how much");
	if (drop && (*drop || o->drop_to != ALL))
		o->order = "drop";
	int status = cli_place_open(o->state, &place);
	if (!status)
		status = give(o, &place);
	cli_place_close(&place);
	return status;
}

static int run_pause(const struct cli_command *self, int argc, char **argv)
{
	bool drop = false;
	struct order o = {.order = "pause", .drop_to = ALL};
	return run_order(self, argc, argv, &o, &drop);
}

static int run_resume(const struct cli_command *self, int argc, char **argv)
{
	struct order o = {.order = "resume", .drop_to = ALL};
	return run_order(self, argc, argv, &o, NULL);
}

static int run_resync(const struct cli_command *self, int argc, char **argv)
{
	struct order o = {.order = "resync", .drop_to = ALL};
	return run_order(self, argc, argv, &o, NULL);
}

const struct cli_command cli_pause = {
	.name = "pause",
	.arguments = "STREAM LEG [--drop | --drop-to SET] [--state DIR] [--json]",
	.summary = "Stop sending to a leg, or keeping for it, until it is resumed.",
	.run = run_pause,
};

const struct cli_command cli_resume = {
	.name = "resume",
	.arguments = "STREAM LEG [--state DIR] [--json]",
	.summary = "Send to a paused leg again.",
	.run = run_resume,
};

const struct cli_command cli_resync = {
	.name = "resync",
	.arguments = "STREAM LEG [--state DIR] [--json]",
	.summary = "Compare a leg's mirror with another copy and make it equal.",
	.run = run_resync,
};
