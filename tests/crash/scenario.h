/* SPDX-License-Identifier: MIT */
/* What the explorer runs: each scenario lives once, by its seed, and has every crash of that life
 * explored. */
#ifndef DP_TESTS_CRASH_SCENARIO_H
#define DP_TESTS_CRASH_SCENARIO_H

#include "explore.h"

struct scenario_options {
	uint64_t seed;
	unsigned states;
	uint32_t only; /* crashes at this moment; CRASH_NEVER: at all */
	bool verbose;
};

typedef void scenario_fn(const struct scenario_options *options);
scenario_fn scenario_journal, scenario_store, scenario_resync;

#endif
