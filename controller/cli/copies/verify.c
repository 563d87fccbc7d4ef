/* SPDX-License-Identifier: MIT */
/* dipole verify: whether all copies of a volume are equal, while it is written to. */
#include "copies/copies.h"

#include <stdio.h>

#define DEFAULT_US  600000000 /* what is behind may have much to apply, and then to read */
#define PATIENCE_US 10000000  /* a daemon that has ended is started again within some seconds */

struct request {
	const char *state, *volume;
	uint64_t timeout_us;
	bool json, repair;
};

static const char *const results[] = {"missing", "equal", "differs"};

/* A difference says more than a copy that is missing. */
static enum cli_result overall(const struct cli_copies *copies)
{
	if (cli_copies_with(copies, CLI_DIFFERS))
		return CLI_DIFFERS;
	return cli_copies_with(copies, CLI_MISSING) ? CLI_MISSING : CLI_EQUAL;
}

static void print_table(const struct cli_copies *copies)
{
	static const char *const heading[] = {"NODE", "SEQ", "DIGEST", "RESULT"};
	struct cli_table *t = cli_table_new("lrll");
	for (unsigned i = 0; i < 4; i++)
		cli_table_add(t, "%s", heading[i]);
	for (unsigned i = 0; i < copies->count; i++) {
		const struct cli_copy *copy = &copies->list[i];
		cli_table_add(t, "%s", cli_copy_name(copies, copy));
		if (copy->done)
			cli_table_add(t, "%llu", (unsigned long long)copy->seq);
		else
			cli_table_add(t, "-");
		cli_table_add(t, "%s", copy->done ? copy->digest : "-");
		cli_table_add(t, "%s", results[copy->result]);
	}
	cli_table_print(&t);
}

static const char *remark(const struct cli_copies *copies)
{
	if (copies->count == 1)
		return "; there is no other to compare it with";
	if (cli_copies_with(copies, CLI_DIFFERS) && !copies->referenced)
		return "; no majority, so which are wrong cannot be told (see dipole resync)";
	return "";
}

static void print_summary(const struct cli_copies *copies)
{
	printf("volume %s: %s: of %u copies %u equal, %u differ, %u missing%s\n", copies->volume,
		results[overall(copies)], copies->count, cli_copies_with(copies, CLI_EQUAL),
		cli_copies_with(copies, CLI_DIFFERS), cli_copies_with(copies, CLI_MISSING),
		remark(copies));
}

static void print_json(const struct cli_copies *copies)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < copies->count; i++) {
		json_t *entry = cli_copy_json(copies, &copies->list[i]);
		json_object_set_new(entry, "result", json_string(results[copies->list[i].result]));
		json_array_append_new(list, entry);
	}
	cli_print_json(json_pack("{s:s,s:s,s:i,s:i,s:i,s:o}", "volume", copies->volume, "result",
		results[overall(copies)], "equal", (int)cli_copies_with(copies, CLI_EQUAL),
		"differs", (int)cli_copies_with(copies, CLI_DIFFERS), "missing",
		(int)cli_copies_with(copies, CLI_MISSING), "copies", list));
}

/* Has each leg whose copy is known to be wrong made equal to another one. */
static int repair(const struct request *r, const struct cli_copies *copies)
{
	int status = EX_OK;
	for (unsigned i = 0; i < copies->count && copies->referenced && !status; i++) {
		const struct cli_copy *copy = &copies->list[i];
		json_t *answer;
		if (copy->result != CLI_DIFFERS || !copy->leg)
			continue;
		status = cli_order_leg(&copies->survey.place, copies->stream, copy->leg->name,
			"resync", &answer);
		if (status)
			break;
		json_decref(answer);
		if (!r->json)
			printf("leg %s is made equal to another copy; see dipole status\n",
				copy->leg->name);
	}
	return status;
}

static int report(const struct request *r, const struct cli_copies *copies)
{
	static const int statuses[] = {EX_TEMPFAIL, EX_OK, EX_DATAERR};
	if (r->json) {
		print_json(copies);
	} else {
		print_table(copies);
		cli_copies_print_missing(copies);
		print_summary(copies);
	}
	return statuses[overall(copies)];
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	struct request r = {.timeout_us = DEFAULT_US};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"timeout", CLI_TIME, &r.timeout_us, "TIME", "limit of waiting; default: 10min"},
		{"repair", CLI_FLAG, &r.repair, NULL,
			"have copies that are known to be wrong resynced"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	static struct cli_copies copies;
	cli_parse(self, argc, argv, options, &r.volume, 1, 1);
	int status = cli_copies_open(&copies, r.state, r.volume, NULL);
	if (!status)
		status = cli_copies_collect(&copies, r.timeout_us, PATIENCE_US);
	if (!status) {
		cli_copies_judge(&copies);
		status = report(&r, &copies);
		int failed = r.repair ? repair(&r, &copies) : 0;
		status = failed ? failed : status;
	}
	cli_copies_close(&copies);
	return status;
}

const struct cli_command cli_verify = {
	.name = "verify",
	.arguments = "VOLUME [--repair] [--state DIR] [--timeout TIME] [--json]",
	.summary = "Compare all copies of a volume by checksum while it is in use.",
	.run = run,
};
