/* SPDX-License-Identifier: MIT */
/* Random numbers that are the same on every machine (splitmix64). One generator per fault domain,
 * so that a draw added in one does not shift the others. */
#ifndef DP_TESTS_SIM_RNG_H
#define DP_TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

uint64_t rng_next(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n);                    /* 0..n-1; n > 0 */
uint64_t rng_between(struct rng *r, uint64_t low, uint64_t high); /* both included */
bool rng_chance(struct rng *r, double probability);

#endif
