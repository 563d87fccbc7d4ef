/* SPDX-License-Identifier: MIT */
/* Heartbeats: a thread that sends and receives them, and keeps the state of each link.
 *
 * On a thread of its own, so that a busy data path never looks dead. A node listens for them where
 * it listens for records, on UDP; it sends to the nodes below at their address, and to those above
 * back to where their last verified heartbeat came from. */
#ifndef DP_NET_HEART_H
#define DP_NET_HEART_H

#include "net/health.h"
#include "net/beat.h"

#define DP_HEART_PEERS_MAX 128

struct dp_heart;

struct dp_heart_peer {
	uint64_t name;                    /* dp_beat_name() */
	uint8_t key[2][DP_BEAT_KEY_SIZE]; /* the second of the peer's former key; the same where
					     there is none */
	char address[128]; /* "tcp://HOST:PORT" of its listener; "": it connects to us */
	struct dp_health_config health;
};

struct dp_heart_config {
	uint64_t name;    /* of this node */
	char listen[128]; /* "tcp://HOST:PORT"; "": nowhere */
	struct dp_heart_peer peers[DP_HEART_PEERS_MAX];
	unsigned peer_count;
};

/* Starts the thread. Errors: DP_ENOMEM, DP_ECONFIG (the address to listen at is not to be had). */
int dp_heart_start(const struct dp_heart_config *cfg, struct dp_heart **out);
void dp_heart_stop(struct dp_heart **h);

/* Readable when the state of some link has changed since the last dp_heart_changed(). */
int dp_heart_fd(const struct dp_heart *h);
bool dp_heart_changed(struct dp_heart *h);

/* The state of the link to peers[i] now. */
struct dp_health dp_heart_get(struct dp_heart *h, unsigned i);

/* Which of its keys peers[i] used last, 0 or 1; -1: nothing was heard yet. */
int dp_heart_key(struct dp_heart *h, unsigned i);

/* Datagrams that were not what they should be: malformed, of unknown nodes, not authentic. */
uint64_t dp_heart_refused(struct dp_heart *h);

#endif
