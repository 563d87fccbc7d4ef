/* SPDX-License-Identifier: MIT */
/* Asks many nodes at the same time: one request and one answer of the control protocol each, and
 * one deadline for all. A node that hangs does not hold up the others.
 *
 * A node is asked at its Unix socket, or over the network with CURVE. Nothing is printed, and no
 * state is kept between two calls, so several threads may ask at once. */
#ifndef DP_ASK_ASK_H
#define DP_ASK_ASK_H

#include <jansson.h>
#include <stdint.h>

#define DP_ASK_ERROR_MAX 256

/* One node, what it is asked, and what it answers. The caller sets the first part and keeps all
 * that its pointers name; dp_ask_all() sets the second. */
struct dp_ask {
	const json_t *request;  /* an object; NULL: this node is not asked */
	const char *path;       /* of the node's Unix socket; NULL: over the network */
	const char *address;    /* "tcp://HOST:PORT" */
	const char *key;        /* the node's public key, Z85 */
	const char *former_key; /* NULL or empty; else it may still have this one */
	const char *public_key; /* of who asks, Z85 */
	const char *secret_key; /* the same */

	int err;                      /* 0, or why there is no answer; see dp_ask_all() */
	json_t *answer;               /* a new reference if err is 0, else NULL */
	char error[DP_ASK_ERROR_MAX]; /* one line for people; empty if err is 0 */
};

/* Returns when all have answered or cannot be asked, at the latest after `timeout_us`. An ask
 * without a request is left as it is. An answer is an object with "ok": true, of this version of
 * the protocol or of none.
 *
 * Errors, for each node: DP_ECLOSED nobody answers there (in time), DP_EBADMSG the answer is no
 * JSON object, DP_EINVAL the node refused, answers another version, or its address or a key cannot
 * be used, DP_ENOMEM. */
void dp_ask_all(struct dp_ask *asks, unsigned count, uint64_t timeout_us);

/* One node at its Unix socket. `request` is stolen; *answer and `error` are as in struct dp_ask.
 * Errors: those of dp_ask_all(). */
int dp_ask_socket(const char *path, json_t *request, uint64_t timeout_us, json_t **answer,
	char error[DP_ASK_ERROR_MAX]);

#endif
