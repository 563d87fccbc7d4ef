/* SPDX-License-Identifier: MIT */
/* Collecting the mistakes of a topology file. Private to topology/. */
#ifndef DP_TOPOLOGY_ERRORS_H
#define DP_TOPOLOGY_ERRORS_H

#include "topology.h"

struct dp_topo_place {
	const char *file;
	size_t line, column; /* from 1 */
};

/* Adds one mistake. A repetition (same place, key and text) and whatever is beyond
 * DP_TOPO_ERRORS_MAX is dropped. Bytes of the file that are not printable ASCII have to be
 * replaced before: messages go to terminals. */
void dp_topo_errors_add(struct dp_topo_errors *errors, const struct dp_topo_place *place,
	const char *key, const char *text);

/* By line, then column; equal places keep their order. */
void dp_topo_errors_sort(struct dp_topo_errors *errors);

#endif
