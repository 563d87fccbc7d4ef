/* SPDX-License-Identifier: MIT */
/* A scenario of lives (life.h): one on a new disk, every crash of it, a recovery from each, and of
 * some a life after that with all its crashes. */
#ifndef DP_TESTS_CRASH_LIVES_H
#define DP_TESTS_CRASH_LIVES_H

#include "life.h"
#include "scenario.h"

struct lives {
	const char *name;
	struct life_config cfg;
	uint64_t sizes[MODEL_VOLUMES];
	void (*live)(struct life *l, struct rng *rng);
	unsigned percent; /* of the moments of lives after a crash: */
	/* After a crash in which the items after the head up to `lost` may have been lost. */
	void (*go_on)(struct life *l, uint32_t lost, struct rng *rng); /* NULL: no such life */
	/* As in explore_check. */
	bool (*noticed)(void *ctx, const struct crash_op *op, const struct crash_op *later);
};

/* The crashes of one life, by its log. */
struct lives_count {
	struct explore_count first, again; /* of this life; of those that followed */
};
void lives_explore_log(const struct lives *lives, struct model *model, const struct crash_log *log,
	const struct explore_plan *plan, uint64_t seed, struct lives_count *count);

void lives_explore(const struct lives *lives, const struct scenario_options *options);

#endif
