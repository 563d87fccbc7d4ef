/* SPDX-License-Identifier: MIT */
/* Heartbeats with the peers of a node: a thread that sends and receives them.
 *
 * It is a thread of its own, so that a busy data path never looks dead. beat.h has the datagram,
 * health.h the state of one peer. A node listens for heartbeats
 * where it listens for records, on UDP. It sends to the nodes below at their address, and to those
 * above back to where their last verified heartbeat came from. */
#ifndef DP_NET_HEARTBEATS_H
#define DP_NET_HEARTBEATS_H

#include "net/beat.h"
#include "net/health.h"

struct dp_heartbeats;

struct dp_heartbeat_peer {
	uint64_t name;                    /* dp_beat_name() */
	uint8_t key[2][DP_BEAT_KEY_SIZE]; /* the second of the peer's former key; the same where
					     there is none */
	char address[128]; /* "tcp://HOST:PORT" of its listener; "": it connects to us */
	struct dp_health_config health;
};

struct dp_heartbeats_config {
	uint64_t name;      /* of this node */
	const char *listen; /* "tcp://HOST:PORT"; "": nowhere */
	const struct dp_heartbeat_peer *peers;
	unsigned peer_count;
};

/* Starts the thread; copies what it needs. Errors: DP_ENOMEM, DP_ECONFIG (it cannot listen at this
 * address). */
int dp_heartbeats_start(const struct dp_heartbeats_config *cfg, struct dp_heartbeats **out);
void dp_heartbeats_stop(struct dp_heartbeats **h);

/* Readable when the state of some peer has changed since the last dp_heartbeats_changed(). */
int dp_heartbeats_fd(const struct dp_heartbeats *h);
bool dp_heartbeats_changed(struct dp_heartbeats *h);

/* The state of peers[i] now. */
struct dp_health dp_heartbeats_health(struct dp_heartbeats *h, unsigned i);

/* Which of its keys peers[i] used last, 0 or 1; -1: nothing was heard yet. */
int dp_heartbeats_key(struct dp_heartbeats *h, unsigned i);

/* Datagrams that were malformed, of unknown nodes, or not authentic. */
uint64_t dp_heartbeats_refused(struct dp_heartbeats *h);

#endif
