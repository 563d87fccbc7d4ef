/* SPDX-License-Identifier: MIT */
/* Whether the node at the other end of a link is alive: heartbeats in, a state out.
 *
 *     Connecting --beat--> Connected --silence--> Down --beat--> Probation --time--> Connected
 *
 * Silence ends Connecting and Probation too; a gap restarts Probation. A link that has never
 * been up in this run of the process goes from Down straight to Connected. Time and beats arrive as
 * arguments; nothing here reads a clock. Heartbeats decide who is waited for, never what is safe.
 */
#ifndef DP_NET_HEALTH_H
#define DP_NET_HEALTH_H

#include <stdbool.h>
#include <stdint.h>

enum dp_health_state {
	DP_HEALTH_CONNECTING,
	DP_HEALTH_CONNECTED,
	DP_HEALTH_DOWN,
	DP_HEALTH_PROBATION,
};

struct dp_health_config {
	uint64_t interval_us;   /* between our own beats */
	uint64_t down_after_us; /* of silence */
	uint64_t probation_us;  /* without a gap, after an outage; 0: none */
};

#define DP_HEALTH_INTERVAL_US   1500000
#define DP_HEALTH_DOWN_AFTER_US 4000000
#define DP_HEALTH_PROBATION_US  10000000

/* The content of a beat. The incarnation names one run of a process; the counter only grows in it.
 */
struct dp_beat {
	uint64_t incarnation, counter;
	uint64_t heard;   /* the incarnation of ours that it has heard; 0: none, or not lately */
	uint64_t time_us; /* of its clock, when it was sent */
	uint64_t echo_us; /* our time in the newest beat that it has heard ... */
	uint64_t held_us; /* ... and how long ago that was, by its clock */
};

#define DP_HEALTH_RUNS 8

struct dp_health {
	struct dp_health_config cfg;
	enum dp_health_state state;
	enum dp_health_state reported_state; /* as dp_health_tick() returned it last */
	bool ever_up;
	uint64_t incarnation;    /* ours */
	uint64_t counter;        /* of our newest beat */
	uint64_t sent_us;        /* when; 0: none yet */
	uint64_t since_us;       /* the state began */
	struct dp_beat last;     /* newest that was taken */
	uint64_t unverified_run; /* of the peer: has not heard us yet, and is answered; 0: none */
	struct dp_run {
		uint64_t incarnation, counter;
	} runs[DP_HEALTH_RUNS]; /* of the peer, as far as heard: none can be repeated */
	unsigned run_count;
	uint64_t heard_us; /* when; 0: none yet */
	uint64_t beat_us;  /* the newest one that proved both ways; 0: none yet */
	uint64_t rtt_us;   /* round trip of the newest beat that shows it; 0: unknown */
	uint64_t beats, ignored, outages;
};

/* incarnation: random, not 0. */
void dp_health_init(struct dp_health *h, const struct dp_health_config *cfg, uint64_t incarnation,
	uint64_t now_us);

/* A beat whose origin has been verified. A repeated or older one is ignored: a recorded datagram
 * keeps no dead link alive. A run of the peer that is new here is unverified until it has
 * heard us, which a recording cannot have. */
enum dp_beat_use { DP_BEAT_IGNORED, DP_BEAT_UNVERIFIED, DP_BEAT_TAKEN };
enum dp_beat_use dp_health_beat(struct dp_health *h, const struct dp_beat *beat, uint64_t now_us);

/* Lets time pass. Returns true if the state changed. */
bool dp_health_tick(struct dp_health *h, uint64_t now_us);

/* True if a beat of ours is due; then *beat is that beat, and counts as sent. */
bool dp_health_due(struct dp_health *h, uint64_t now_us, struct dp_beat *beat);

/* True if an unverified run waits for an answer; then *beat is for this run alone. */
bool dp_health_answer(struct dp_health *h, uint64_t now_us, struct dp_beat *beat);

/* Whether connections are made and kept: not after an outage, until probation is over. */
bool dp_health_open(const struct dp_health *h);

const char *dp_health_state_name(enum dp_health_state state);

#endif
