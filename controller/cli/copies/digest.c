/* SPDX-License-Identifier: MIT */
/* dipole digest: the digests of a volume's copies at one mark, or that of a file. */
#include "copies/missing.h"

#include <stdio.h>

#define DEFAULT_US 60000000

struct digest_request {
	const char *state, *file;
	struct verb_copies copies;
	bool json;
};

static void print_digests(const json_t *mirrors)
{
	static const struct cli_field fields[] = {{"node", CLI_TEXT}, {"digest", CLI_TEXT}};
	struct cli_table *t = cli_table_new("llrr", "NODE DIGEST EPOCH SEQ");
	json_t *copy;
	size_t i;
	json_array_foreach (mirrors, i, copy) {
		cli_table_fields(t, fields, 2, copy);
		cli_table_add(t, "%llu", (unsigned long long)verb_number(copy, "epoch"));
		cli_table_add(t, "%llu", (unsigned long long)verb_number(copy, "seq"));
	}
	cli_table_print(&t);
}

static int compare_copies(const struct digest_request *r, const struct verb_place *place)
{
	struct verb_error error = {.status = 0};
	json_t *answer = verb_digest(place, &r->copies, &error);
	const json_t *mirrors = json_object_get(answer, "mirrors");
	if (answer && r->json)
		cli_print_json(json_incref(answer));
	else if (answer)
		print_digests(mirrors);
	cli_print_missing(mirrors);
	if (!error.status && !r->json && json_array_size(mirrors) > 1)
		printf("equal\n");
	json_decref(answer);
	return cli_error(&error);
}

static int compare_in(const struct digest_request *r)
{
	struct verb_place place;
	int status = cli_place_open(r->state, &place);
	if (!status)
		status = compare_copies(r, &place);
	verb_place_close(&place);
	return status;
}

static void print_file_digest(const json_t *answer)
{
	puts(verb_text(answer, "digest"));
}

static int run_digest(const struct cli_command *self, int argc, char **argv)
{
	struct digest_request r = {.copies.timeout_us = DEFAULT_US};
	struct verb_error error = {.status = 0};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"node", CLI_TEXT, &r.copies.node, "NAME", "only this mirror"},
		{"timeout", CLI_TIME, &r.copies.timeout_us, "TIME",
			"limit of waiting; default: 60s"},
		{"file", CLI_TEXT, &r.file, "PATH", "the digest of a file or block device"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &r.copies.volume, 0, 1);
	if (!r.copies.volume == !r.file)
		cli_usage(self, "give either a VOLUME or --file PATH");
	if (!r.file)
		return compare_in(&r);
	return cli_answer(verb_digest_file(r.file, &error), r.json, print_file_digest, &error);
}

const struct cli_command cli_digest = {
	.name = "digest",
	.arguments = "VOLUME [--state DIR] [--node NAME] [--timeout TIME] [--json] | --file PATH",
	.summary = "Compare the content of a volume's mirrors, or digest a file.",
	.run = run_digest,
};
