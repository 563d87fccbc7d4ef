/* SPDX-License-Identifier: MIT */
/* The life of a mirror (mirror.h) that is resynced, and what may become of it. */
#ifndef DP_TESTS_CRASH_RESYNC_H
#define DP_TESTS_CRASH_RESYNC_H

#include "mirror.h"

extern const uint64_t resync_sizes[MODEL_VOLUMES];

/* After mirror_open(); ends with everything applied and whole, or with a core that has failed. */
void resync_live(struct mirror *m, struct rng *rng);

/* The crashes of one life, by its log. */
void resync_explore_log(struct model *model, const struct crash_log *log,
	const struct explore_plan *plan, uint64_t seed, struct explore_count *first,
	struct explore_count *again);

#endif
