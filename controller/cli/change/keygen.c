/* SPDX-License-Identifier: MIT */
/* dipole keygen: the key pair of one node. */
#include "cli.h"

#include <stdio.h>

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *node, *out = NULL;
	char dir[PATH_MAX], public_key[DP_KEY_TEXT + 1];
	const struct cli_option options[] = {
		{"out", CLI_TEXT, &out, "DIR", "write DIR/NODE/key (secret) and DIR/NODE/key.pub"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &node, 1, 1);
	if (!out)
		cli_usage(self, "--out DIR is missing");
	if (!cli_is_name(node))
		cli_usage(self, "'%s' cannot be the name of a node", node);
	int status = cli_state_dir(out, dir);
	if (!status)
		status = cli_key_make(dir, node, "key", public_key);
	if (!status)
		puts(public_key);
	return status;
}

const struct cli_command cli_keygen = {
	.name = "keygen",
	.arguments = "NODE --out DIR",
	.summary = "Make a node's key pair and print the public key.",
	.run = run,
};
