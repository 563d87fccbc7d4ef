/* SPDX-License-Identifier: MIT */
/* dipole fetch: a topology that was lost, from another node. */
#include "cli.h"

#include <string.h>

#include "base/textfile.h"

static int run_fetch(const struct cli_command *self, int argc, char **argv)
{
	struct verb_fetch f = {.from = NULL};
	struct verb_error error = {.status = 0};
	const struct cli_option options[] = {
		{"from", CLI_TEXT, &f.from, "tcp://HOST:PORT",
			"where another node has its control"},
		{"peer-key", CLI_TEXT, &f.peer_key, "KEY", "that node's public key"},
		{"key", CLI_TEXT, &f.key, "FILE", "this node's own secret key, or an operator's"},
		{"digest", CLI_TEXT, &f.digest, "HEX",
			"of the topology, as `dipole status --json` says elsewhere"},
		{"out", CLI_TEXT, &f.out, "FILE", "where it is to be"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	if (!f.from || !f.peer_key || !f.key || !f.digest || !f.out)
		cli_usage(self, "--from, --peer-key, --key, --digest and --out are all needed");
	if (strlen(f.peer_key) != DP_KEY_TEXT)
		cli_usage(self, "--peer-key: expected 40 Z85 characters");
	if (strlen(f.digest) != DP_TEXT_DIGEST - 1 ||
		f.digest[strspn(f.digest, "0123456789abcdef")])
		cli_usage(self, "--digest: expected %d hexadecimal digits", DP_TEXT_DIGEST - 1);
	json_decref(verb_fetch(&f, &error)); /* it is in the file */
	return cli_error(&error);
}

const struct cli_command cli_fetch = {
	.name = "fetch",
	.arguments = "--from ADDRESS --peer-key KEY --key FILE --digest HEX --out FILE",
	.summary = "Get a topology that was lost from another node.",
	.run = run_fetch,
};
