/* SPDX-License-Identifier: MIT */
/* dipole keygen: the key pair of one node. */
#include "cli.h"

#include <stdio.h>

#include "verbs/key.h"

void cli_print_key(const json_t *answer)
{
	puts(verb_text(answer, "public_key"));
}

static int run_keygen(const struct cli_command *self, int argc, char **argv)
{
	const char *node, *out = NULL;
	char dir[PATH_MAX];
	struct verb_error error = {.status = 0};
	const struct cli_option options[] = {
		{"out", CLI_TEXT, &out, "DIR", "write DIR/NODE/key (secret) and DIR/NODE/key.pub"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &node, 1, 1);
	if (!out)
		cli_usage(self, "--out DIR is missing");
	if (!verb_is_name(node))
		cli_usage(self, "'%s' cannot be the name of a node", node);
	int status = cli_state_dir(out, dir);
	return status ? status
		      : cli_answer(verb_keygen(dir, node, &error), false, cli_print_key, &error);
}

const struct cli_command cli_keygen = {
	.name = "keygen",
	.arguments = "NODE --out DIR",
	.summary = "Make a node's key pair and print the public key.",
	.run = run_keygen,
};
