/* SPDX-License-Identifier: MIT */
/* dipole fetch: a topology that was lost, from another node. What comes is taken only if it is the
 * one whose digest somebody has read out who can be trusted: the node it comes from need not be. */
#include "cli.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/textfile.h"

struct fetch {
	const char *from, *peer_key, *key, *digest, *out;
};

static bool has_digest(const char *text, const char *wanted)
{
	char hex[DP_TEXT_DIGEST];
	return strcmp(dp_text_digest(text, hex), wanted) == 0;
}

static int keep(const struct fetch *f, const char *text)
{
	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *t = NULL;
	if (!text)
		return cli_fail(EX_PROTOCOL, "%s sent no topology", f->from);
	if (!has_digest(text, f->digest))
		return cli_fail(EX_DATAERR,
			"%s sent another topology than the one with digest %s; nothing was written",
			f->from, f->digest);
	int err = dp_topology_parse(text, strlen(text), f->from, &t, &errors);
	dp_topology_print_errors(&errors, stderr);
	dp_topology_destroy(&t);
	if (err)
		return EX_CONFIG;
	int error = dp_text_write(f->out, text, 0644);
	return error ? cli_fail(EX_CANTCREAT, "cannot write %s: %s", f->out, strerror(error)) : 0;
}

static int fetch(const struct fetch *f)
{
	struct dp_secret own;
	json_t *request = json_pack("{s:s,s:i}", "cmd", "topology", "api", DP_CONTROL_API);
	struct dp_ask ask = {.request = request,
		.address = f->from,
		.key = f->peer_key,
		.public_key = own.public_key,
		.secret_key = own.secret};
	enum dp_secret_fault fault = dp_secret_read(f->key, &own);
	if (!fault)
		dp_ask_all(&ask, 1, CLI_ASK_TIMEOUT_US);
	explicit_bzero(&own, sizeof own);
	json_decref(request);
	if (fault)
		return cli_fail(EX_NOINPUT, "%s: %s", f->key, dp_secret_fault_text(fault));
	if (ask.err)
		return cli_fail(ask.err == DP_EINVAL ? EX_NOPERM : EX_UNAVAILABLE, "%s", ask.error);
	int status = keep(f, json_string_value(json_object_get(ask.answer, "topology")));
	json_decref(ask.answer);
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	struct fetch f = {.from = NULL};
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
	return sodium_init() < 0 ? EX_SOFTWARE : fetch(&f);
}

const struct cli_command cli_fetch = {
	.name = "fetch",
	.arguments = "--from ADDRESS --peer-key KEY --key FILE --digest HEX --out FILE",
	.summary = "Get a topology that was lost from another node.",
	.run = run,
};
