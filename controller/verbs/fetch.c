/* SPDX-License-Identifier: MIT */
/* What comes is taken only if it is the topology whose digest somebody has read out who can be
 * trusted: the node it comes from need not be. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "base/textfile.h"
#include "topology/secret.h"
#include "verbs/nodes.h"

static int keep_fetched(const struct verb_fetch *f, const char *text, struct verb_error *error)
{
	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *t = NULL;
	char hex[DP_TEXT_DIGEST];
	if (!text)
		return verb_fail(error, EX_PROTOCOL, "%s sent no topology", f->from);
	if (strcmp(dp_text_digest(text, hex), f->digest))
		return verb_fail(error, EX_DATAERR,
			"%s sent another topology than the one with digest %s; nothing was written",
			f->from, f->digest);
	int err = dp_topology_parse(text, strlen(text), f->from, &t, &errors);
	dp_topology_destroy(&t);
	verb_topology_judge(err, &errors, error);
	if (err)
		return error->status = EX_CONFIG;
	int failed = dp_text_write(f->out, text, 0644);
	return failed
		? verb_fail(error, EX_CANTCREAT, "cannot write %s: %s", f->out, strerror(failed))
		: 0;
}

json_t *verb_fetch(const struct verb_fetch *f, struct verb_error *error)
{
	struct dp_secret own;
	struct dp_ask ask = {.address = f->from,
		.key = f->peer_key,
		.public_key = own.public_key,
		.secret_key = own.secret};
	enum dp_secret_fault fault = dp_secret_read(f->key, &own);
	if (fault) {
		verb_fail(error, EX_NOINPUT, "%s: %s", f->key, dp_secret_fault_text(fault));
		return NULL;
	}
	json_t *request = json_pack("{s:s,s:i}", "cmd", "topology", "api", DP_CONTROL_API);
	ask.request = request;
	dp_ask_all(&ask, 1, VERB_ASK_TIMEOUT_US);
	json_decref(request);
	explicit_bzero(&own, sizeof own);
	if (ask.err)
		verb_fail(error, ask.err == DP_EINVAL ? EX_NOPERM : EX_UNAVAILABLE, "%s",
			ask.error);
	else
		keep_fetched(f, json_string_value(json_object_get(ask.answer, "topology")), error);
	json_decref(ask.answer);
	return error->status
		? NULL
		: json_pack("{s:o,s:s}", "file", verb_string(f->out), "digest", f->digest);
}
