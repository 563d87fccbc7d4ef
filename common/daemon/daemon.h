/* SPDX-License-Identifier: MIT */
/* What the three daemons share: the command line, and a node's part of the topology. */
#ifndef DP_DAEMON_DAEMON_H
#define DP_DAEMON_DAEMON_H

#include "node/node.h"
#include "topology/topology.h"

/* The whole main() of a daemon: `program` is its name, `role` what the named node must be.
 * Returns an exit code of sysexits.h. */
int dp_daemon_main(int argc, char **argv, const char *program, enum dp_role role);

/* Fills *cfg, which is all zero, with what node `index` has to do. 0, or DP_ECONFIG with one line
 * of explanation in why. The secret key is not set. */
int dp_node_config_fill(const struct dp_topology *t, unsigned index, struct dp_node_config *cfg,
	char *why, size_t why_size);

/* Compares what the node had with what *cfg was filled from: marks in *cfg what has come, grown
 * and gone, and fills *changes, which the caller has cleared; NULL: the node does not run. */
void dp_node_config_compare(const struct dp_topology *before, const struct dp_topology *after,
	struct dp_node_config *cfg, struct dp_node_changes *changes);

#endif
