/* SPDX-License-Identifier: MIT */
/* Every state that a crash may have left, at every moment of a log (crashdisk.h).
 *
 * What was durable is there. Of the rest (begun and not over, or over and not synced) there is
 * none, all, each operation alone, some at random, or one of them torn by the sector. Files that
 * were being made or removed are there or not. */
#ifndef DP_TESTS_CRASH_EXPLORE_H
#define DP_TESTS_CRASH_EXPLORE_H

#include "crashdisk.h"
#include "rng.h"

struct explore_state {
	uint32_t moment;
	bool damaged; /* besides, a byte of what was durable is another: recovery may refuse it */
	struct rng *rng;
};

/* The test's side. */
struct explore_check {
	/* The crash comes after this. */
	void (*note)(void *ctx, const struct crash_note *note);
	/* Recovers what is on the disk, which it may do with as it likes, and fails if it is not
	 * as promised. */
	void (*state)(void *ctx, struct crashdisk *disk, const struct explore_state *state);
	/* Whether recovery must notice damage to what the safe write `op` wrote, because of a
	 * safe write `later`; NULL: nothing is damaged. */
	bool (*noticed)(void *ctx, const struct crash_op *op, const struct crash_op *later);
	void *ctx;
};

struct explore_plan {
	unsigned singles; /* operations tried alone at each moment, if there are more at random */
	unsigned torn, random; /* states at each moment: of each write, and in all */
	unsigned percent;      /* of the moments */
	uint32_t only;         /* this moment; CRASH_NEVER: all */
	bool verbose;
};

/* What was explored. */
struct explore_count {
	uint64_t moments, states, damaged;
};

void explore(const struct crash_log *log, const struct explore_check *check,
	const struct explore_plan *plan, uint64_t seed, struct explore_count *count);

/* Prints what was explored: crashes of a scenario's life, and of the lives that follow them. */
void explore_report(const char *scenario, uint64_t seed, const struct explore_count *first,
	const struct explore_count *again);

#endif
