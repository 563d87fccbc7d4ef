/* SPDX-License-Identifier: MIT */
/* Local connections come through the Unix sockets of a node: from hosts (hosts.c) and from the
 * command (lines.c). This file has the common part: to listen, to accept, to send answers, to
 * close. The memory for a connection is bounded: a connection that takes no answers, or whose
 * requests find no place, is not read. */
#ifndef DP_NODE_CONNS_H
#define DP_NODE_CONNS_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define CONNS_MAX         48   /* at a node */
#define CONN_REQUESTS     128u /* requests and answers of a connection under way at once */
#define CONN_PATH_MAX     108  /* of a Unix socket, with its 0 */
#define CONN_BUFFER_BYTES 65536u

struct node;
struct conn;

struct conn_kind {
	size_t size; /* of a connection, which begins with a struct conn */
	/* Whether more is to be read from it now. */
	bool (*wants_input)(const struct conn *c);
	/* There is something to read. */
	void (*take_input)(struct node *n, struct conn *c);
	/* Goes on with what had to wait in the buffer; whether something was taken. */
	bool (*resume)(struct node *n, struct conn *c);
	/* Whether it can be closed now, while `closing`. */
	bool (*is_done)(const struct conn *c);
	/* Frees what the kind has added; NULL: nothing. */
	void (*closed)(struct node *n, struct conn *c);
};

struct conn {
	const struct conn_kind *kind;
	int fd;
	bool closing; /* set where its other end or an error ends it; conns_flush() closes it */
	uint8_t *in;  /* a buffer of in_room bytes with what was received and not taken yet */
	uint32_t in_size, in_room;
	struct conn_answer *out, **out_end;
	unsigned out_count;
	size_t out_sent; /* bytes of the first answer */
};

/* A socket in the state directory; -1: failed, logged. */
int conns_listen(const struct node *n, const char *name);
void conns_accept(struct node *n, int listener, const struct conn_kind *kind);

/* For the loop: the descriptors of all connections, and what poll(2) says of them. No connection
 * closes in between. */
unsigned conns_watch(const struct node *n, struct pollfd *fds);
void conns_ready(struct node *n, const struct pollfd *fds, unsigned count);

/* Goes on with what had to wait, sends, and closes; whether something was taken. */
bool conns_flush(struct node *n);
void conns_close(struct node *n); /* all */

/* Queues an answer: the head is copied, and data (NULL: none) gets a reference. */
void conn_answer(struct conn *c, const void *head, uint32_t size, struct dp_buf *data);

/* Receives into `to`; false: nothing came, and the connection may have ended. */
bool conn_receive(struct conn *c, void *to, size_t room, size_t *got);

#endif
