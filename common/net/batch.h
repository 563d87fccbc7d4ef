/* SPDX-License-Identifier: MIT */
/* Messages to one peer that go out together, as one ZeroMQ message (proto/message.h): each of those
 * costs both ends a few system calls and a wake-up of a thread, however little it carries. */
#ifndef DP_NET_BATCH_H
#define DP_NET_BATCH_H

#include <stdbool.h>

#include "net/pack.h"
#include "proto/message.h"

#define BATCH_MESSAGES 64u
#define BATCH_HEADS    16384u
/* Payloads are copied into one frame; from this size on sending them as they are is cheaper. */
#define BATCH_COPIED 32768u
/* Copies that libzmq has not sent yet, of all links: where a slow link lets them pile up, payloads
 * go as they are, which the log keeps anyway. */
#define BATCH_COPIES_MAX (8u << 20)

struct batch {
	unsigned count, payload_count;
	uint32_t head_size;
	size_t payload_size;
	bool closed; /* takes no more */
	struct dp_buf *payloads[BATCH_MESSAGES];
	uint8_t heads[BATCH_HEADS];
};

/* Whether m may join what is there; if not, that is to be sent first. Always true if there is
 * nothing. */
bool batch_takes(const struct batch *b, const struct dp_msg *m);

/* The caller keeps m. */
void batch_add(struct batch *b, const struct dp_msg *m);

/* Sends all of it, or drops it: a loss is allowed, the positions of the core find it. To a ROUTER's
 * peer the caller has sent the id. `packer` compresses payloads; NULL: they go as they are. Empty
 * afterwards. */
void batch_send(struct batch *b, void *socket, struct packer *packer);
void batch_clear(struct batch *b);

#endif
