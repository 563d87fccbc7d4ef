/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "topology/secret.h"
#include "verbs/nodes.h"

/* The key of who asks: $DIPOLE_OPERATOR, DIR/operator.key, or the one in the home directory. */
static enum dp_secret_fault read_operator_key(const char *dir, struct dp_secret *out)
{
	const char *named = getenv("DIPOLE_OPERATOR"), *home = getenv("HOME");
	char path[PATH_MAX];
	if (named && *named)
		return dp_secret_read(named, out);
	enum dp_secret_fault fault = dp_secret_read(verb_node_path(dir, "operator.key", "", path),
		out);
	if (fault != DP_SECRET_MISSING || !home)
		return fault;
	snprintf(path, sizeof path, "%s/.config/dipole/operator.key", home);
	return dp_secret_read(path, out);
}

/* Its directory is not here, and it can be reached elsewhere. */
static bool is_remote(const struct verb_place *place, const struct dp_topo_node *n)
{
	char path[PATH_MAX];
	return n->control[0] && n->key[0] &&
		access(verb_node_path(place->dir, n->name, "", path), F_OK);
}

/* What dp_ask_all() cannot ask has its error already. */
static void refuse_ask(struct dp_ask *ask, int err, const char *text)
{
	*ask = (struct dp_ask){.err = err};
	snprintf(ask->error, sizeof ask->error, "%s", text);
}

static void address_remote(struct dp_ask *ask, const struct dp_topo_node *n,
	enum dp_secret_fault fault, const struct dp_secret *own)
{
	char text[DP_ASK_ERROR_MAX];
	ask->address = n->control;
	ask->key = n->key;
	ask->former_key = n->former_key;
	ask->public_key = own->public_key;
	ask->secret_key = own->secret;
	if (!fault)
		return;
	snprintf(text, sizeof text, "the operator's key: %s (see DIPOLE_OPERATOR in dipole(1))",
		dp_secret_fault_text(fault));
	refuse_ask(ask, DP_EPERM, text);
}

void verb_ask_all(const struct verb_place *place, const unsigned *nodes, unsigned count,
	json_t *request, uint64_t timeout_us, struct dp_ask *asks)
{
	struct dp_secret own;
	enum dp_secret_fault fault = read_operator_key(place->dir, &own);
	char(*paths)[PATH_MAX] = calloc(count, sizeof *paths);
	json_object_set_new(request, "api", json_integer(DP_CONTROL_API));
	for (unsigned i = 0; i < count; i++) {
		const struct dp_topo_node *n = &place->topology->nodes[nodes[i]];
		asks[i] = (struct dp_ask){.request = request};
		if (!paths)
			refuse_ask(&asks[i], DP_ENOMEM, dp_strerror(DP_ENOMEM));
		else if (is_remote(place, n))
			address_remote(&asks[i], n, fault, &own);
		else
			asks[i].path = verb_node_path(place->dir, n->name, "control.sock",
				paths[i]);
	}
	dp_ask_all(asks, count, timeout_us);
	explicit_bzero(&own, sizeof own);
	free(paths);
	json_decref(request);
}

int verb_ask(const struct verb_place *place, unsigned node, json_t *request, uint64_t timeout_us,
	json_t **answer, char error[DP_ASK_ERROR_MAX])
{
	struct dp_ask ask;
	verb_ask_all(place, &node, 1, request, timeout_us, &ask);
	*answer = ask.answer;
	strcpy(error, ask.error);
	return ask.err;
}
