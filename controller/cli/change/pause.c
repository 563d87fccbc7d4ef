/* SPDX-License-Identifier: MIT */
/* dipole pause, resume, resync: what is sent to one leg of a stream, and what is kept for it. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

struct order {
	const char *state;
	struct verb_leg leg;
	bool json;
};

/* What a leg is after the order. */
static const char *order_text(const struct verb_leg *l)
{
	if (strcmp(l->order, "pause") == 0)
		return "paused; what it lacks is kept";
	if (strcmp(l->order, "resync") == 0)
		return "is compared with another copy and made equal to it";
	if (strcmp(l->order, "drop"))
		return "resumed";
	return l->drop_to == VERB_DROP_ALL
		? "paused; nothing is kept, it is resynced when resumed"
		: "paused; what is dropped is put right by a resync when resumed";
}

static int give_order(const struct order *o, const struct verb_place *place)
{
	struct verb_error error = {.status = 0};
	json_t *answer = verb_leg(place, &o->leg, &error);
	if (answer && o->json) {
		cli_print_json(json_incref(answer));
	} else if (answer) {
		printf("leg %s of stream %s: %s\n", o->leg.leg, o->leg.stream, order_text(&o->leg));
		if (json_is_true(json_object_get(answer, "writes_wait")))
			printf("writes wait until it is %s: keep-serving does not let this leg go\n",
				strcmp(o->leg.order, "resync") == 0 ? "whole" : "resumed");
	}
	json_decref(answer);
	return cli_error(&error);
}

static int run_order(const struct cli_command *self, int argc, char **argv, struct order *o,
	bool *drop)
{
	const char *words[2];
	struct verb_place place;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &o->state, "DIR", "the state directory of the deployment"},
		{"json", CLI_FLAG, &o->json, NULL, "print JSON, one line"},
		{drop ? "drop" : NULL, CLI_FLAG, drop, NULL,
			"keep nothing for it: it is resynced when resumed"},
		{drop ? "drop-to" : NULL, CLI_NUMBER, &o->leg.drop_to, "SET",
			"keep nothing of the write sets up to this one for it: the same"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, words, 2, 2);
	o->leg.stream = words[0];
	o->leg.leg = words[1];
	if (drop && *drop && o->leg.drop_to != VERB_DROP_ALL)
		return cli_fail(EX_USAGE, "--drop and --drop-to: one of them says how much");
	if (drop && (*drop || o->leg.drop_to != VERB_DROP_ALL))
		o->leg.order = "drop";
	int status = cli_place_open(o->state, &place);
	if (!status)
		status = give_order(o, &place);
	verb_place_close(&place);
	return status;
}

static int run_pause(const struct cli_command *self, int argc, char **argv)
{
	bool drop = false;
	struct order o = {.leg = {.order = "pause", .drop_to = VERB_DROP_ALL}};
	return run_order(self, argc, argv, &o, &drop);
}

static int run_resume(const struct cli_command *self, int argc, char **argv)
{
	struct order o = {.leg = {.order = "resume", .drop_to = VERB_DROP_ALL}};
	return run_order(self, argc, argv, &o, NULL);
}

static int run_resync(const struct cli_command *self, int argc, char **argv)
{
	struct order o = {.leg = {.order = "resync", .drop_to = VERB_DROP_ALL}};
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
