/* SPDX-License-Identifier: MIT */
/* What distance costs (requirement T10): the timeline of one write through all legs of a stream, by
 * arithmetic alone, before anything is deployed.
 *
 * The model: a node works on a write before it hands it on, and on an acknowledgement before it
 * passes that on or acts on it (`work`). It hands a write on while its own journal takes it
 * (`commit`). A link costs its propagation, and for a write the time that its bandwidth needs;
 * acknowledgements are too short to count. Nothing waits for anything else: the link is idle and
 * the disks are free. */
#ifndef DP_TOPOLOGY_BUDGET_H
#define DP_TOPOLOGY_BUDGET_H

#include "topology.h"

#define DP_BUDGET_HOST   DP_NODES_MAX /* the host, where a node's index is expected */
#define DP_METRES_A_MILE 1609.344

struct dp_budget_costs {
	double us_per_metre; /* propagation; light in glass takes about 0.005 (8 us a mile) */
	double route_factor; /* for distances that come from coordinates: cables are not straight */
	double work_us;      /* of a node */
	double commit_us;    /* of a durable write to a journal */
	double crypt_us;     /* of a record on a link that is not trusted, both ends */
	uint64_t record_bytes;  /* on the wire, with its header */
	uint64_t journal_bytes; /* that it takes of a journal */
};

struct dp_budget_event {
	double us;       /* since the host began the write */
	unsigned at;     /* node, or DP_BUDGET_HOST */
	char text[1024]; /* of all legs, if they are as long */
};

struct dp_budget_hop {
	unsigned node;
	double distance_m;     /* of the link that reaches it; its route, so with the factor */
	double propagation_us; /* of that link, one way */
	double one_way_us;     /* propagation, transmission, encryption */
	double received_us, cached_us;
	double released_us; /* when it may drop the record from its journal; mirrors: when applied
			       is not modelled, so 0 */
	double rate_bytes; /* what the link carries at most in a second, of the wire; 0: no limit */
	uint64_t window_bytes; /* that rate_bytes comes from, if smaller than the bandwidth; else 0
				*/
};

struct dp_budget_leg {
	struct dp_budget_hop hops[DP_HOPS_MAX]; /* as many as the leg of the topology has */
	double distance_m;
	double propagation_us;          /* one way, of all links */
	double cached_us, committed_us; /* host-visible, if this leg alone decided */
	double round_trip_us;           /* propagation to the mirror and back */
	double direct_us;               /* host-visible, committed, without the relays */
};

struct dp_budget {
	struct dp_budget_leg legs[DP_LEGS_MAX];
	double controller_released_us;
	double local_us, cached_us,
		committed_us;    /* host-visible, for as many legs as `ack` names */
	double ack_us, flush_us; /* of the stream's own policy */
	double one_sided_m;      /* where one mirror without relays would have to stand to answer as
				    quickly;      negative: nowhere */
	struct dp_budget_event *events; /* in the order of time */
	unsigned event_count;
};

/* 5 us a mile, no detours, 5 us of work, 100 us for a commit, encryption at 4 us a KiB for both
 * ends, for records with so many bytes of data. */
struct dp_budget_costs dp_budget_costs_default(uint64_t data_bytes);

/* One way: half of the measured round trip if the link has one, else by its distance; negative:
 * both are unknown. Where us_per_metre is 0 nothing is far away. */
double dp_budget_propagation_us(const struct dp_topo_link *link,
	const struct dp_budget_costs *costs);

/* On success *out is the caller's, to be destroyed. Errors: DP_EINVAL a distance is unknown
 * (*unknown is the link's index then), DP_ENOMEM. */
int dp_budget_make(const struct dp_topology *t, unsigned stream,
	const struct dp_budget_costs *costs, struct dp_budget **out, unsigned *unknown);
void dp_budget_destroy(struct dp_budget **budget);

/* How far the nodes whose acknowledgement `ack` waits for may lie from the controller, along the
 * leg, so that a write still fits into budget_us: the first node (cached) or the mirror
 * (committed). Metres; negative: not at any distance; infinite: distance does not count. */
double dp_budget_reach(const struct dp_topology *t, unsigned stream, unsigned leg,
	const struct dp_budget_costs *costs, double budget_us);

/* Bytes of each journal that an outage of so many seconds fills, at so many bytes of data a second
 * in records of `data_bytes`. */
double dp_budget_backlog(const struct dp_budget_costs *costs, uint64_t data_bytes,
	double rate_bytes, double seconds);

#endif
