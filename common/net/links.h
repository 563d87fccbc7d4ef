/* SPDX-License-Identifier: MIT */
/* The links of a node: messages to and from the nodes below and above it, and heartbeats with them.
 *
 * This node connects to each node below, over one link or several. Nodes above connect to this one:
 * each of them is a sender. Heartbeats and hours of the day decide which links down are open. A
 * message may be lost, but it never comes damaged or out of order: the positions of the engine find
 * what is missing.
 *
 * Nothing here blocks. Everything but heartbeats runs in the loop of the node, which waits for
 * descriptors, lets the links take what has arrived, and lets them send before it waits again. */
#ifndef DP_NET_LINKS_H
#define DP_NET_LINKS_H

#include <poll.h>

#include "base/units.h"
#include "net/admission.h"
#include "net/health.h"
#include "proto/message.h"

/* A link to a node below, or heartbeats with a node above. Several links may have one peer and
 * differ by `connection`; heartbeats go to each peer once. */
struct dp_link_config {
	char peer[DP_NAME_MAX + 1];
	unsigned connection;
	char address[128];            /* "tcp://HOST:PORT"; "" of a node above */
	char key[DP_KEY_SIZE];        /* the peer's public key; "" on a trusted link */
	char former_key[DP_KEY_SIZE]; /* that it may still use; "": none */
	struct dp_health_config health;
	struct dp_hours hours; /* of local time, when it is used */
	bool compress;         /* what goes down it */
};

/* All texts and lists are borrowed. The caller may change the links in place, but not their
 * number, and then calls dp_links_update(). */
struct dp_links_config {
	const char *deployment, *node;
	const char *listen; /* "tcp://HOST:PORT"; "": no node connects here */
	bool listen_curve;  /* only those whose key is admitted */
	const char *public_key, *secret_key;
	const struct dp_link_config *below, *above;
	unsigned below_count, above_count;
	struct dp_admission *admission;
	const uint64_t *now_us; /* the node's clock */
};

/* So many senders are remembered; a new one takes the place of the one silent longest. */
#define DP_SENDERS_MAX 128

struct dp_links_ops {
	/* A message of a sender, borrowed. Answers go to `sender`. `owner`:
	 * the node whose key it has, "unknown" without CURVE. bad_record: a record whose checksum
	 * is wrong. false: this sender must not send it; it is reported as a bad message. */
	bool (*from_above)(void *ctx, uint32_t sender, const char *owner, struct dp_msg *m,
		bool bad_record);
	/* A message that came up link `link`, borrowed. false: nothing here takes it. */
	bool (*from_below)(void *ctx, unsigned link, struct dp_msg *m);
	/* A message that is malformed or was not taken, and was dropped. */
	void (*bad_message)(void *ctx, const char *from, const char *why);
	/* Link `link` was opened or closed. */
	void (*link_opened)(void *ctx, unsigned link, bool open);
	/* Records of the stream took so many bytes less on link `link` than they have. */
	void (*bytes_saved)(void *ctx, unsigned link, uint64_t stream, uint64_t bytes);
	/* Whether something long may be on its way down link `link`, so that nothing comes up. */
	bool (*is_sending)(void *ctx, unsigned link);
};

struct dp_links;

/* Listens and connects. Heartbeats are not sent yet, and all links are open. Errors, logged:
 * DP_ENOMEM, DP_EIO, DP_ECONFIG (an address or a key is wrong, or the address is in use). */
int dp_links_open(const struct dp_links_config *cfg, const struct dp_links_ops *ops, void *ctx,
	struct dp_links **out);
void dp_links_close(struct dp_links **l);

/* Begins heartbeats. 0 or a dp_err, logged. */
int dp_links_start_beats(struct dp_links *l);
void dp_links_stop_beats(struct dp_links *l);

/* After a change of the links' configuration: connects those again that have `moved`, and restarts
 * heartbeats if `beats`. 0 or a dp_err, logged; then links may be dead and
 * the node has to stop. */
int dp_links_update(struct dp_links *l, const bool *moved, bool beats);

/* ---- in the loop ---- */

/* The descriptors to wait for; `fds` has room for one of each link and DP_LINKS_FDS more. Returns
 * how many. Afterwards, what poll(2) says of them. */
#define DP_LINKS_FDS 1
unsigned dp_links_watch(const struct dp_links *l, struct pollfd *fds);
void dp_links_ready(struct dp_links *l, const struct pollfd *fds);

/* Takes what has arrived, as far as descriptors, ticks or sends say that something may have. false:
 * they say nothing. */
bool dp_links_receive(struct dp_links *l);

/* Readable when heartbeats have something new to say; -1: there are none. */
int dp_links_beat_fd(const struct dp_links *l);

/* Opens and closes links as heartbeats and hours say. */
void dp_links_check_beats(struct dp_links *l);

/* Now and then: connects again where nothing is heard, with the key that the peer uses. 0 or a
 * dp_err, logged. */
int dp_links_tick(struct dp_links *l);

/* Both take the message over. It goes out with others at dp_links_flush(), or before. */
void dp_links_send_up(struct dp_links *l, uint32_t sender, struct dp_msg *m);
void dp_links_send_down(struct dp_links *l, unsigned link, struct dp_msg *m);
void dp_links_flush(struct dp_links *l);

/* ---- what there is to see ---- */

struct dp_link_state {
	bool open, in_hours;
	enum dp_health_state health;          /* as it was when the link was looked at last */
	uint64_t heard_us, connected_us;      /* 0: never heard */
	uint64_t packed_before, packed_after; /* bytes that were to be packed, and what was sent */
};
struct dp_link_state dp_links_state(const struct dp_links *l, unsigned link);

/* Of the peer of link `link`, now. false: there are no heartbeats. */
bool dp_links_health(struct dp_links *l, unsigned link, struct dp_health *out);

/* Datagrams that no peer of this node can have made. */
uint64_t dp_links_refused_beats(struct dp_links *l);

#endif
