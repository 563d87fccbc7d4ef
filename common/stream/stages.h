/* SPDX-License-Identifier: MIT */
/* How long records take at a node, stage by stage: what `dipole budget --measured` holds against
 * its prediction. It watches the positions of the core from outside and changes nothing. Times have
 * the grain of one turn of the node's loop. */
#ifndef DP_STREAM_STAGES_H
#define DP_STREAM_STAGES_H

#include "base/hist.h"
#include "engine/core.h"

/* Records watched at once; what is older when a position passes it is not counted. */
#define DP_STAGES_RING 4096u

enum dp_timed {
	DP_TIMED_DURABLE,      /* received -> in this node's journal (not while that is lazy) */
	DP_TIMED_FORWARDED,    /* received -> sent to the link, for the first time */
	DP_TIMED_ACKNOWLEDGED, /* sent -> cached at the other end, as heard here */
	DP_TIMED_COMMITTED,    /* cached there -> committed at all mirrors below, as heard here */
	DP_TIMED_COUNT,
};

struct dp_stages;

/* For a core that is restored: what it has now is not watched. NULL: out of memory. */
struct dp_stages *dp_stages_new(const struct dp_core *c);
void dp_stages_free(struct dp_stages **s); /* nulls the pointer */

/* After each step of the core. */
void dp_stages_watch(struct dp_stages *s, const struct dp_core *c, uint64_t now_us);

/* DURABLE has one histogram whatever the link. Borrowed. */
const struct dp_hist *dp_stages_hist(const struct dp_stages *s, enum dp_timed stage, unsigned link);

const char *dp_timed_key(enum dp_timed stage); /* "durable" and so on */

#endif
