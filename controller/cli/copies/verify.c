/* SPDX-License-Identifier: MIT */
/* dipole verify: whether all copies of a volume are equal, while it is written to. */
#include "copies/missing.h"

#include <stdio.h>

#define DEFAULT_US 600000000 /* what is behind may have much to apply, and then to read */

struct verify_request {
	const char *state;
	struct verb_copies copies;
	bool json, repair;
};

static void print_copies(const json_t *copies)
{
	static const struct cli_field fields[] = {{"node", CLI_TEXT}, {"seq", CLI_NUMBER},
		{"digest", CLI_TEXT}, {"result", CLI_TEXT}};
	struct cli_table *t = cli_table_new("lrll", "NODE SEQ DIGEST RESULT");
	json_t *copy;
	size_t i;
	json_array_foreach (copies, i, copy)
		cli_table_fields(t, fields, 4, copy);
	cli_table_print(&t);
}

static void print_verified(const json_t *answer)
{
	const json_t *copies = json_object_get(answer, "copies");
	unsigned count = (unsigned)json_array_size(copies),
		 equal = (unsigned)verb_number(answer, "equal"),
		 differ = (unsigned)verb_number(answer, "differs");
	const char *remark = "";
	if (count == 1)
		remark = "; there is no other to compare it with";
	else if (differ && !equal)
		remark = "; no majority, so which are wrong cannot be told (see dipole resync)";
	print_copies(copies);
	cli_print_missing(copies);
	printf("volume %s: %s: of %u copies %u equal, %u differ, %u missing%s\n",
		verb_text(answer, "volume"), verb_text(answer, "result"), count, equal, differ,
		(unsigned)verb_number(answer, "missing"), remark);
}

static void print_repairs(const json_t *answer)
{
	json_t *leg;
	size_t i;
	json_array_foreach (json_object_get(answer, "legs"), i, leg)
		printf("leg %s is made equal to another copy; see dipole status\n",
			json_string_value(leg));
}

static int verify_in(const struct verify_request *r, const struct verb_place *place)
{
	struct verb_error error = {.status = 0}, repair_error = {.status = 0};
	json_t *answer = verb_verify(place, &r->copies, &error), *repairs = NULL;
	int status = cli_answer(json_incref(answer), r->json, print_verified, &error);
	if (answer && r->repair)
		repairs = verb_repair(place, answer, &repair_error);
	if (!r->json)
		print_repairs(repairs);
	json_decref(repairs);
	json_decref(answer);
	int failed = cli_error(&repair_error);
	return failed ? failed : status;
}

static int run_verify(const struct cli_command *self, int argc, char **argv)
{
	struct verify_request r = {.copies.timeout_us = DEFAULT_US};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"timeout", CLI_TIME, &r.copies.timeout_us, "TIME",
			"limit of waiting; default: 10min"},
		{"repair", CLI_FLAG, &r.repair, NULL,
			"have copies that are known to be wrong resynced"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	struct verb_place place;
	cli_parse(self, argc, argv, options, &r.copies.volume, 1, 1);
	int status = cli_place_open(r.state, &place);
	if (!status)
		status = verify_in(&r, &place);
	verb_place_close(&place);
	return status;
}

const struct cli_command cli_verify = {
	.name = "verify",
	.arguments = "VOLUME [--repair] [--state DIR] [--timeout TIME] [--json]",
	.summary = "Compare all copies of a volume by checksum while it is in use.",
	.run = run_verify,
};
