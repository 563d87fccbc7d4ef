/* SPDX-License-Identifier: MIT */
/* Two topologies of one deployment, before and after: what differs, what that means for the data,
 * what is refused, and what each node has to do. All of it comes from one table (change_rules.c),
 * so that `dipole apply`, a running node and a start decide alike. */
#ifndef DP_TOPOLOGY_CHANGE_H
#define DP_TOPOLOGY_CHANGE_H

#include "topology/topology.h"

/* The higher, the more it asks for; the last two are refused while nodes run. */
enum dp_change_level {
	DP_CHANGE_TEXT,     /* for distances, budgets and documents: no node does anything */
	DP_CHANGE_LIVE,     /* put into place while the node runs */
	DP_CHANGE_RESTART,  /* the node ends its streams and runs again; hosts ride it out */
	DP_CHANGE_AT_START, /* only at a start, when all nodes were stopped cleanly */
	DP_CHANGE_NEVER,
};

/* ---- for the operator of the deployment ---- */

struct dp_topo_change {
	char what[240];
	char means[200]; /* for the data, or why it is refused; empty: nothing worth a word */
	enum dp_change_level level;
};

#define DP_TOPO_CHANGES_MAX 200

struct dp_topo_changes {
	struct dp_topo_change list[DP_TOPO_CHANGES_MAX];
	unsigned count;   /* stops at the maximum; a refused one takes the last place then */
	unsigned refused; /* how many are refused while nodes run; counts on beyond the maximum */
	bool loses;       /* a stream or a volume goes */
	bool volumes;     /* volumes come, go, grow or change their order */
};

static inline bool dp_change_is_refused(const struct dp_topo_change *c)
{
	return c->level >= DP_CHANGE_AT_START;
}

/* Fills *out (cleared first). Objects are the same if their names are; a leg also has to end at
 * the same mirror, and a link has both its nodes for a name. */
void dp_topology_compare(const struct dp_topology *before, const struct dp_topology *after,
	struct dp_topo_changes *out);

/* The first that is refused, while nodes run or at a start; NULL: none is. */
const struct dp_topo_change *dp_topology_refused(const struct dp_topo_changes *changes,
	bool running);

/* ---- for one node ---- */

/* What the node has to do about a difference, beyond its level. */
enum dp_change_work {
	DP_WORK_NONE,
	DP_WORK_HEARTBEATS,   /* set them up again */
	DP_WORK_CONNECT,      /* the same, and connect to `peer` again */
	DP_WORK_VOLUME_NEW,   /* make its images, of zeros */
	DP_WORK_VOLUME_GROWS, /* let its images grow */
	DP_WORK_VOLUME_GONE,  /* set its images aside */
	DP_WORK_VOLUMES,      /* the stream's volumes stand in another order */
	DP_WORK_ALL_WAYS,     /* controller: each leg of the stream begins at another node */
};

struct dp_change_task {
	enum dp_change_level level; /* LIVE or RESTART */
	enum dp_change_work work;
	char text[200];   /* what changes, for the node's answer; "": another task has the text */
	const char *peer; /* the other node that it is about; NULL: none, as below */
	const char *stream, *volume;
};

/* Calls `each` with all that the differences make node `name` do, in no special order; one thing
 * may come twice. A refused difference makes no node do anything. */
void dp_topology_tasks(const struct dp_topology *before, const struct dp_topology *after,
	const char *name, void (*each)(void *ctx, const struct dp_change_task *task), void *ctx);

#endif
