/* SPDX-License-Identifier: MIT */
/* What the files of common/ask share: the talk with one node, and the two ways to talk. */
#ifndef DP_ASK_INTERNAL_H
#define DP_ASK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <zmq.h>

#include "ask/ask.h"

#define TALK_KEYS 2

struct talk {
	struct dp_ask *ask;
	const struct talk_way *way;
	bool settled; /* `ask` has its result */
	char *line;   /* the request and a newline; owned */
	size_t size;  /* bytes of the line */
	/* at a Unix socket (local.c) */
	int fd;           /* -1: none */
	bool connected;   /* false: the listener's queue is full */
	size_t sent;      /* bytes of the line */
	char *text;       /* of the answer, as far as it came; owned */
	size_t got, room; /* bytes of the text */
	/* over the network (remote.c): a socket for each key that the node may have, or NULL */
	void *sockets[TALK_KEYS];
};

/* None of these waits. Each but close() may settle the talk. */
struct talk_way {
	void (*open)(struct talk *t, void *zmq);
	/* What the next turn waits for, at most TALK_KEYS items. Returns how many; 0: it is tried
	 * again after a moment. */
	unsigned (*wait)(const struct talk *t, zmq_pollitem_t *items);
	void (*turn)(struct talk *t);    /* goes on as far as it can */
	void (*give_up)(struct talk *t); /* the deadline has come: settles it */
	void (*close)(struct talk *t);   /* also one that was not opened */
};

extern const struct talk_way talk_local, talk_remote;

/* Settles it without an answer. */
void talk_fail(struct talk *t, int err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Settles it with what came, which is stolen. NULL: that was no JSON. */
void talk_settle(struct talk *t, json_t *answer);

#endif
