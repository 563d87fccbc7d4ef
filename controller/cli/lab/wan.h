/* SPDX-License-Identifier: MIT */
/* The cables of the lab: what happens to a packet between two sites. Pure: no clock, no I/O. A
 * cable has two directions. In each, a packet waits until the line is free, takes the time that the
 * bandwidth needs, and arrives after the delay; packets do not overtake one another. */
#ifndef DP_CONTROLLER_CLI_LAB_WAN_H
#define DP_CONTROLLER_CLI_LAB_WAN_H

#include "budget.h"

#define WAN_NEVER      UINT64_MAX
#define WAN_CABLES_MAX (2 * DP_LINKS_MAX) /* one for each direction */
#define WAN_SLACK_NS   250000ull
#define WAN_QUEUE_NS   100000000ull   /* a packet that would wait longer for the line is dropped */
#define WAN_BYTES_MAX  (512 * DP_MIB) /* under way on all cables; beyond it packets are dropped */

struct wan_shape {
	uint64_t delay_ns;
	uint64_t bits; /* in a second; 0: no limit */
	double loss;   /* 0..1, of packets */
	bool cut;
};

struct wan_packet {
	struct wan_packet *next;
	uint64_t due_ns;
	unsigned to; /* site */
	size_t size;
	uint8_t bytes[];
};

struct wan_cable {
	unsigned from, to;           /* sites */
	struct wan_shape built, now; /* as the topology has it, as it is now */
	uint64_t free_ns;            /* when the line is free */
	uint64_t last_due_ns;
	struct wan_packet *first, **end;
	uint64_t packets, bytes;   /* that arrived */
	uint64_t lost, overflowed; /* by `loss` or `cut`; by the bounds */
};

struct wan {
	struct wan_cable cables[WAN_CABLES_MAX];
	unsigned count;
	uint64_t under_way; /* bytes */
	uint64_t random;
};

/* Makes a pair of cables for each pair of sites that a link joins, as long as `dipole budget` takes
 * them to be with these costs. Errors: DP_EINVAL a distance is unknown, or two links join the same
 * sites and differ; *link is its index then. */
int wan_init(struct wan *w, const struct dp_topology *t, const struct dp_budget_costs *costs,
	unsigned *link);
void wan_clear(struct wan *w);

/* NULL: no link joins them. */
struct wan_cable *wan_find(struct wan *w, unsigned from, unsigned to);

/* Takes a copy of a packet that site `from` sends at now_ns; it may be lost. */
void wan_take(struct wan *w, struct wan_cable *c, uint64_t now_ns, const void *bytes, size_t size);

/* When the next packet arrives, or WAN_NEVER. */
uint64_t wan_next_ns(const struct wan *w);

/* How late packets may be on average without the distances being other ones: a sixteenth of the
 * least delay that any packet under way has, at most WAN_SLACK_NS. 0: not at all, or nothing is
 * under way. */
uint64_t wan_slack_ns(const struct wan *w);

/* Removes a packet that arrives at now_ns or earlier; the caller frees it. NULL: none. */
struct wan_packet *wan_arrived(struct wan *w, uint64_t now_ns);

/* A cut loses what is under way. */
void wan_reshape(struct wan *w, struct wan_cable *c, const struct wan_shape *shape);

#endif
