/* SPDX-License-Identifier: MIT */
/* A ZeroMQ message as it arrives over a link: a frame with the heads of our messages, then perhaps
 * one with their payloads, then perhaps one that says how these are packed (docs/wire-format.md).
 */
#ifndef DP_NET_FRAMES_H
#define DP_NET_FRAMES_H

#include <stdbool.h>
#include <zmq.h>

#include "proto/message.h"

struct frames {
	zmq_msg_t head;
	struct dp_buf *payload; /* unpacked; NULL: none */
	bool whole;             /* false: a frame is missing, or one is too many */
};

/* false: nothing waits in the socket, and there is nothing to clear. */
bool frames_receive(void *socket, struct frames *in);
void frames_clear(struct frames *in);

/* The messages in it, one after the other. */
struct dp_msg_walk frames_walk(struct frames *in);

/* Why a message is bad that dp_msg_walk_next() gave `err` for; `text` has room for it. */
#define FRAMES_TEXT 64
const char *frames_error(struct frames *in, int err, char text[FRAMES_TEXT]);

#endif
