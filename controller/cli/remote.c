/* SPDX-License-Identifier: MIT */
/* A node's control socket over the network: ZeroMQ with CURVE, under an operator's key (or a node's
 * own). */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "base/err.h"

static int fail(char error[CLI_ERROR_MAX], int err, const char *text, const char *address)
{
	snprintf(error, CLI_ERROR_MAX, "%s %s", text, address);
	return err;
}

static void *open_socket(void *zmq, const struct cli_remote *r, int timeout_ms)
{
	int none = 0, ipv6 = strchr(r->address, '[') != NULL;
	void *s = zmq_socket(zmq, ZMQ_DEALER);
	bool bad = !s || zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none) ||
		zmq_setsockopt(s, ZMQ_IPV6, &ipv6, sizeof ipv6) ||
		zmq_setsockopt(s, ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms) ||
		zmq_setsockopt(s, ZMQ_SNDTIMEO, &timeout_ms, sizeof timeout_ms) ||
		zmq_setsockopt(s, ZMQ_CURVE_SERVERKEY, r->key, DP_KEY_TEXT) ||
		zmq_setsockopt(s, ZMQ_CURVE_PUBLICKEY, r->own->public_key, DP_KEY_TEXT) ||
		zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, r->own->secret, DP_KEY_TEXT) ||
		zmq_connect(s, r->address);
	if (bad && s)
		zmq_close(s);
	return bad ? NULL : s;
}

static json_t *exchange(void *socket, const char *request)
{
	zmq_msg_t m;
	json_t *answer = NULL;
	zmq_msg_init(&m);
	if (zmq_send(socket, request, strlen(request), 0) >= 0 && zmq_msg_recv(&m, socket, 0) >= 0)
		answer = json_loadb(zmq_msg_data(&m), zmq_msg_size(&m), 0, NULL);
	zmq_msg_close(&m);
	return answer;
}

int cli_remote_ask(const struct cli_remote *r, const json_t *request, uint64_t timeout_us,
	json_t **answer, char error[CLI_ERROR_MAX])
{
	char *text = json_dumps(request, JSON_COMPACT);
	void *zmq = text ? zmq_ctx_new() : NULL;
	void *s = zmq ? open_socket(zmq, r, (int)(timeout_us / 1000)) : NULL;
	*answer = s ? exchange(s, text) : NULL;
	if (s)
		zmq_close(s);
	if (zmq)
		zmq_ctx_term(zmq);
	free(text);
	if (!s)
		return fail(error, DP_EINVAL, "cannot connect to", r->address);
	/* CURVE does not say which of these it is. */
	return *answer
		? 0
		: fail(error, DP_ECLOSED, "nobody there, or the key is not admitted:", r->address);
}

/* ---- the operator's key ---- */

enum dp_secret_fault cli_operator_key(const char *dir, struct dp_secret *out)
{
	const char *named = getenv("DIPOLE_OPERATOR"), *home = getenv("HOME");
	char path[PATH_MAX];
	if (named && *named)
		return dp_secret_read(named, out);
	enum dp_secret_fault fault = dp_secret_read(cli_node_path(dir, "operator.key", "", path),
		out);
	if (fault != DP_SECRET_MISSING || !home)
		return fault;
	snprintf(path, sizeof path, "%s/.config/dipole/operator.key", home);
	return dp_secret_read(path, out);
}

int cli_remote_node(const struct cli_place *place, unsigned node, const json_t *request,
	uint64_t timeout_us, json_t **answer, char error[CLI_ERROR_MAX])
{
	const struct dp_topo_node *n = &place->topology->nodes[node];
	struct dp_secret own;
	*answer = NULL;
	enum dp_secret_fault fault = cli_operator_key(place->dir, &own);
	if (fault) {
		snprintf(error, CLI_ERROR_MAX,
			"the operator's key: %s (see DIPOLE_OPERATOR in dipole(1))",
			dp_secret_fault_text(fault));
		return DP_EPERM;
	}
	struct cli_remote r = {n->control, n->key, &own};
	int err = cli_remote_ask(&r, request, timeout_us, answer, error);
	if (err == DP_ECLOSED && n->former_key[0]) {
		r.key = n->former_key;
		err = cli_remote_ask(&r, request, timeout_us, answer, error);
	}
	explicit_bzero(&own, sizeof own);
	return err;
}
