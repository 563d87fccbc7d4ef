/* SPDX-License-Identifier: MIT */
/* Changes to a stream that `dipole budget --what-if` tries out before anybody builds them. */
#ifndef DP_TOPOLOGY_WHAT_IF_H
#define DP_TOPOLOGY_WHAT_IF_H

#include "topology.h"

/* Changes stream `stream` of t, which is a copy of the caller's own. `changes` are separated by
 * commas: ack=STAGE         local, cached or committed legs=N | all      how many legs an answer
 * needs flush=STAGE       cached or committed relay=LEG:DIST    one more relay in this leg, so far
 * from the controller, on the first link's way direct=LEG        the leg without its relays: over
 * the link that joins its ends, or the same way Errors: DP_EINVAL; `why` says what is wrong, and t
 * is of no use any more. */
int dp_what_if(struct dp_topology *t, unsigned stream, const char *changes, char *why, size_t size);

#endif
