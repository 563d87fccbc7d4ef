/* SPDX-License-Identifier: MIT */
/* Two topologies of one deployment, before and after: what differs, what that means for the data,
 * and what cannot be done while the deployment is in use (dipole apply). */
#ifndef DP_TOPOLOGY_CHANGE_H
#define DP_TOPOLOGY_CHANGE_H

#include "topology/topology.h"

struct dp_topo_change {
	char what[200];
	char means[200]; /* for the data, or why it is refused; empty: nothing worth a word */
	bool refused;
	bool may_at_start; /* but not if all nodes were stopped in good order, and are started with
			      it */
};

#define DP_TOPO_CHANGES_MAX 200

struct dp_topo_changes {
	struct dp_topo_change list[DP_TOPO_CHANGES_MAX];
	unsigned count;   /* stops growing at the maximum; one that is refused takes the last place
			     then */
	unsigned refused; /* how many there are that cannot be done; counts on beyond it */
};

/* Fills *out (cleared first). Things are the same if their names are; a leg also has to end at the
 * same mirror, else one goes and one comes. */
void dp_topology_compare(const struct dp_topology *old, const struct dp_topology *new,
	struct dp_topo_changes *out);

/* The first that is refused, as the nodes run or as one is started; or NULL. */
const struct dp_topo_change *dp_topology_refused(const struct dp_topo_changes *changes,
	bool running);

#endif
