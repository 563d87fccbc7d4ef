/* SPDX-License-Identifier: MIT */
/* Links, as their parts know them: those down (down.c), senders above (senders.c), and heartbeats
 * that open and close them (liveness.c). */
#ifndef DP_NET_INTERNAL_H
#define DP_NET_INTERNAL_H

#include <limits.h>

#include "net/batch.h"
#include "net/heartbeats.h"
#include "net/links.h"
#include "net/socket.h"

#define NO_MINUTE UINT_MAX

/* A link to a node below: a DEALER socket. */
struct link {
	struct dp_links *all;
	unsigned index;
	void *socket;
	struct waker waker;
	struct batch out;
	struct packer packer;
	uint64_t out_stream;             /* whose records are in `out`, if it is to be packed */
	uint64_t heard_us, connected_us; /* 0: never heard */
	unsigned peer;                   /* its peer's place in heartbeats */
	bool open;                       /* heartbeats and hours have not closed it */
	bool former;                     /* `key` is its peer's former key */
	char key[DP_KEY_SIZE];           /* by which it knows its peer */
	enum dp_health_state health;     /* as logged last */
};

/* A node above that has connected to this one. */
struct sender {
	uint8_t id[16];
	uint8_t id_size; /* 0: this place is empty */
	uint64_t used_us;
};

/* All of them: a ROUTER socket. */
struct senders {
	void *socket; /* NULL: no node connects here */
	struct waker waker;
	struct batch out; /* to list[out_to] */
	uint32_t out_to;
	struct sender list[DP_SENDERS_MAX];
};

struct dp_links {
	struct dp_links_config cfg;
	const struct dp_links_ops *ops;
	void *ctx;
	struct senders above;
	struct dp_heartbeats *beats; /* NULL: none; peers: those of links, then those above */
	unsigned minute; /* of the day, local time; NO_MINUTE: links have to be looked at */
	unsigned count;
	struct link below[];
};

/* down.c */
int down_open(struct link *k);                 /* connects; 0 or a dp_err, logged */
int down_reopen(struct link *k);               /* with another address or key */
void down_set_open(struct link *k, bool open); /* connects, or closes the connection */
void down_reconnect(struct link *k);
void down_close(struct link *k);
void down_send(struct link *k, struct dp_msg *m);
void down_flush(struct link *k);
bool down_receive(struct link *k); /* false: it was not dirty */

/* senders.c */
int senders_open(struct dp_links *l); /* 0 or a dp_err, logged */
void senders_close(struct dp_links *l);
void senders_send(struct dp_links *l, uint32_t sender, struct dp_msg *m);
void senders_flush(struct dp_links *l);
bool senders_receive(struct dp_links *l); /* false: it was not dirty */

/* liveness.c */
int liveness_restart(struct dp_links *l); /* all links are tried at once, as after a start */
int liveness_key(struct dp_links *l, unsigned link); /* 0, 1: the former one; -1: unknown */

#endif
