/* SPDX-License-Identifier: MIT */
/* Admission: the ZeroMQ context of a node, and its handler of keys (ZAP, RFC 27). libzmq asks the
 * handler about the key of each new connection, of links and of operators. A connection whose key
 * is not admitted ends before a message of it is read. */
#ifndef DP_NET_ADMISSION_H
#define DP_NET_ADMISSION_H

#include <stdbool.h>

#include "base/limits.h"

#define DP_KEY_SIZE   41 /* a key as Z85 text, with its 0 */
#define DP_OWNER_SIZE (DP_NAME_MAX + 16)

enum dp_domain { DP_DOMAIN_LINKS, DP_DOMAIN_CONTROL };

/* Whether the owner of the public key may connect in this domain; if so, writes who that is. NULL:
 * the other side shows no key. */
typedef bool dp_admits(void *ctx, enum dp_domain domain, const char *key,
	char owner[DP_OWNER_SIZE]);

struct dp_admission;

/* `secret_key`: this node's, Z85; borrowed. Errors: DP_ENOMEM, DP_EIO. */
int dp_admission_open(const char *secret_key, dp_admits *admits, void *ctx,
	struct dp_admission **out);
void dp_admission_close(struct dp_admission **a); /* after all sockets of the context */

/* The context. */
void *dp_admission_zmq(const struct dp_admission *a);

/* From now on only those connect to this socket whose key is admitted: before zmq_bind(). The
 * owner comes with each message as its property "User-Id". 0, or another number and errno. */
int dp_admission_guard(const struct dp_admission *a, void *socket, enum dp_domain domain);

/* For the loop: its descriptor; that it is ready, or might be; answers what waits then, and returns
 * whether it was marked. */
int dp_admission_fd(const struct dp_admission *a);
void dp_admission_wake(struct dp_admission *a);
bool dp_admission_receive(struct dp_admission *a);

#endif
