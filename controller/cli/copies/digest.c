/* SPDX-License-Identifier: MIT */
/* dipole digest: the digests of a volume's copies at one mark, or that of a file. */
#include "copies/digest.h"
#include "copies/copies.h"

#include <stdio.h>
#include <string.h>

#define DEFAULT_US 60000000

struct request {
	const char *state, *volume, *node, *file;
	uint64_t timeout_us;
	bool json;
};

static void print_table(const struct cli_copies *copies)
{
	struct cli_table *t = cli_table_new("llrr");
	cli_table_add(t, "NODE");
	cli_table_add(t, "DIGEST");
	cli_table_add(t, "EPOCH");
	cli_table_add(t, "SEQ");
	for (unsigned i = 0; i < copies->count; i++) {
		const struct cli_copy *copy = &copies->list[i];
		cli_table_add(t, "%s", cli_copy_name(copies, copy));
		cli_table_add(t, "%s", copy->done ? copy->digest : "-");
		cli_table_add(t, "%llu", (unsigned long long)copy->epoch);
		cli_table_add(t, "%llu", (unsigned long long)copy->seq);
	}
	cli_table_print(&t);
}

static void print_json(const struct cli_copies *copies, bool all, bool equal)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < copies->count; i++)
		json_array_append_new(list, cli_copy_json(copies, &copies->list[i]));
	cli_print_json(json_pack("{s:s,s:b,s:b,s:o}", "volume", copies->volume, "complete",
		(int)all, "equal", (int)(all && equal), "mirrors", list));
}

static int report(const struct request *r, const struct cli_copies *copies)
{
	bool all = cli_copies_with(copies, CLI_MISSING) == 0;
	bool equal = cli_copies_with(copies, CLI_DIFFERS) == 0;
	if (r->json)
		print_json(copies, all, equal);
	else
		print_table(copies);
	cli_copies_print_missing(copies);
	if (!equal)
		return cli_fail(1, "the mirrors of %s DIFFER", r->volume);
	if (!all)
		return EX_UNAVAILABLE;
	if (!r->json && copies->count > 1)
		printf("equal\n");
	return EX_OK;
}

/* Its one time limit is also the patience with what is cut off: for scripts that start nodes. */
static int compare(const struct request *r)
{
	static struct cli_copies copies;
	int status = cli_copies_open(&copies, r->state, r->volume, r->node);
	if (!status)
		status = cli_copies_collect(&copies, r->timeout_us, r->timeout_us);
	if (!status) {
		cli_copies_judge(&copies);
		status = report(r, &copies);
	}
	cli_copies_close(&copies);
	return status;
}

static int digest_of_file(const struct request *r)
{
	char text[DP_DIGEST_TEXT];
	uint64_t size;
	int error = cli_digest_file(r->file, text, &size);
	if (error)
		return cli_fail(EX_NOINPUT, "cannot read %s: %s", r->file, strerror(error));
	if (r->json)
		cli_print_json(json_pack("{s:s,s:I,s:s}", "file", r->file, "size_bytes",
			(json_int_t)size, "digest", text));
	else
		puts(text);
	return EX_OK;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	struct request r = {.timeout_us = DEFAULT_US};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"node", CLI_TEXT, &r.node, "NAME", "only this mirror"},
		{"timeout", CLI_TIME, &r.timeout_us, "TIME", "limit of waiting; default: 60s"},
		{"file", CLI_TEXT, &r.file, "PATH", "the digest of a file or block device"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &r.volume, 0, 1);
	if (!r.volume == !r.file)
		cli_usage(self, "give either a VOLUME or --file PATH");
	return r.file ? digest_of_file(&r) : compare(&r);
}

const struct cli_command cli_digest = {
	.name = "digest",
	.arguments = "VOLUME [--state DIR] [--node NAME] [--timeout TIME] [--json] | --file PATH",
	.summary = "Compare the content of a volume's mirrors, or digest a file.",
	.run = run,
};
