/* SPDX-License-Identifier: MIT */
/* The simulated deployment: nodes, links, faults. */
#ifndef DP_TESTS_SIM_WORLD_H
#define DP_TESTS_SIM_WORLD_H

#include "net/health.h"
#include "sim.h"

#define SIM_STREAM 0x5157u
#define SIM_CONFIG 7u

struct event {
	uint64_t at, order;
	sim_fn *fn;
	void *arg;
	uint64_t number;
};

/* One direction of a link. Messages of one connection keep their order. */
struct wire {
	uint64_t latency_us, jitter_us, last_us, connection;
	bool cut;
};

struct node {
	struct sim *sim;
	unsigned index;
	char name[32];
	enum dp_core_role role;
	struct sim_disk *disk;
	struct dp_stream *stream; /* NULL: down */
	uint64_t life;
	int up;           /* node above, or -1 */
	unsigned up_link; /* its link index for us */
	unsigned down[DP_DOWN_MAX];
	unsigned down_count;
	struct wire to_down[DP_DOWN_MAX], to_up;
	struct dp_health health_down[DP_DOWN_MAX], health_up;
	struct dp_stream_config cfg;
	uint8_t secret[DP_SEAL_KEY_SIZE];
	bool rotten; /* a byte of its journal went bad */
	/* laws.c */
	uint64_t told_cached; /* highest `cached` it said since its journal was made or cut */
	uint64_t told_promised, disk_promised; /* epochs: said to others, safe on the disk */
	struct dp_position applied;            /* what its image may hold */
	struct dp_position fallback;      /* of a node that is resynced: what its old images hold */
	struct dp_position next_fallback; /* the same, of a resync that is ordered before the switch
					     is durable */
	bool jumping;                     /* it is about to be resynced */
	uint64_t jumped;         /* where its log began then: what came before it gets as content */
	struct dp_images images; /* as its disk says */
	struct dp_position whole; /* where its log stood when a resync was complete */
	struct dp_position seen;  /* of the controller's log, by the checker */
	uint64_t seen_tail;
	bool was_open;
	bool was_whole; /* controller, when it crashed: all legs counted */
};

struct sim_options {
	unsigned legs, all_legs,
		hops[DP_DOWN_MAX]; /* legs of all_legs: the controller's at the time */
	enum dp_core_stage ack, flush;
	unsigned ack_legs, keep_serving;
	struct dp_health_config health;
	bool next_hop, local_image, wipes, track, orders, sealed;
	bool changes;                /* the controller is started anew with other policies */
	uint64_t controller_sync_us; /* of resyncs */
	bool resyncs;       /* legs are resynced all the time, and what they copy is often cut */
	uint64_t track_kib; /* used of the journal when lost legs are given up */
	uint64_t volume_size, journal_size, window_bytes, fault_us, sync_us, latency_us, jitter_us;
	double stale_lost; /* of what is under way when its connection breaks */
	uint32_t resync_chunk;
	unsigned resync_slots;
	uint64_t read_cache;               /* bytes; 0: none */
	uint64_t resync_sync, resync_rate; /* bytes; bytes a second, 0: no limit */
	double host_dies;                  /* together with the controller */
	double loss, corruption, duplication, bad_writes, no_memory;
	uint64_t crash_mean_us, cut_mean_us; /* 0: never */
};

/* What a scripted run hears of, and decides. A random run has none (sim.watch is NULL). */
#define SIM_DUPLICATE_LATE_US 50000 /* when the second one arrives */
enum sim_fate {
	SIM_PASS,
	SIM_LOSE,
	SIM_DUPLICATE,
	SIM_CORRUPT,
	SIM_BREAK,
	SIM_STARVE /* no message: an allocation of a node fails */
};
struct sim_watch {
	enum sim_fate (*sent)(struct sim *sim, const struct node *from, const struct node *to,
		const struct dp_msg *m);
	/* bad: a record whose checksum is wrong, of which only the type is to be looked at. */
	void (*delivered)(struct sim *sim, const struct node *from, const struct node *to,
		const struct dp_msg *m, bool bad);
	void (*alarmed)(struct sim *sim, const struct node *n, enum dp_alarm alarm, uint32_t peer);
	void (*replied)(struct sim *sim, unsigned request, const struct dp_buf *data);
	void (*changed)(struct sim *sim); /* after each event */
};

struct sim {
	uint64_t now, order, steps, trace;
	struct event *events;
	size_t event_count, event_capacity;
	struct rng options_rng, network_rng, disk_rng, process_rng, host_rng, deposed_rng,
		health_rng, operator_rng, resync_rng, failure_rng, memory_rng, seal_rng, change_rng;
	struct wire deposed_wire; /* from a controller that is none any more */
	struct sim_options opt;
	struct node nodes[SIM_NODES];
	unsigned node_count, crashes;
	bool healed, verbose, wiped, starved; /* starved: an allocation of a node failed */
	uint64_t wiped_us;
	struct dp_position agreed; /* the newest that a controller called so, with reason */
	uint8_t holders[DP_SEAL_HOLDERS_MAX][DP_SEAL_KEY_SIZE]; /* of a sealed stream */
	unsigned holder_count;
	struct dp_seal *opener; /* of the checker, who is the controller to it */
	struct check *check;
	struct host *host;
	const struct sim_watch *watch;
};

void sim_trace(struct sim *sim, uint64_t what);
struct dp_buf *world_buf(size_t size); /* of the harness: there is always memory */

/* laws.c */
void laws_written(void *node, const uint8_t *data, uint64_t size); /* as sim_written */
void laws_said_up(struct sim *sim, struct node *n, const struct dp_msg *m);
void laws_said_down(struct node *n, const struct dp_msg *m);
/* A request is answered whose record stands at p; for a flush, the newest that it covers. */
void laws_answered(struct sim *sim, uint64_t request, struct dp_position p, bool flush);
void laws_learn(struct sim *sim);
void laws_watch(struct sim *sim, struct node *n);
void laws_recovered(struct sim *sim, struct node *n);
void laws_wiped(struct node *n);
/* Names of the node's image files, as its images say. */
void laws_image_names(const struct dp_images *images, char v1[32], char v2[32]);

/* Around each event, as a daemon's loop does: the clock is read, group commits are started. */
void world_after(struct sim *sim);
void world_make(struct sim *sim);  /* draws the options, and builds */
void world_build(struct sim *sim); /* with the options that are there; nodes start at once */
/* Faults, for scripts. A node is named by its struct; the link is the one above it. */
void world_start(struct sim *sim, struct node *n);
void world_crash(struct sim *sim, struct node *n);
void world_wipe(struct sim *sim, struct node *n); /* which is down */
void world_cut(struct wire *w);
void world_mend(struct wire *w);
/* A HELLO of a controller that is none any more. */
void world_depose(struct sim *sim, unsigned leg, uint64_t session, uint64_t epoch);
void world_start_faults(struct sim *sim);
void world_heal(struct sim *sim);
bool world_converged(struct sim *sim);
bool world_settled(struct sim *sim);      /* the same, whatever the host still wants to do */
void world_check_images(struct sim *sim); /* all are what the history says; after convergence */
void world_check_end(struct sim *sim);
void world_free(struct sim *sim);

#endif
