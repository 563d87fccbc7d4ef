/* SPDX-License-Identifier: MIT */
/* A latency histogram: 32 linear steps within each power of two microseconds, so a value is known
 * within 2 %. Only powers that occur take memory: a few KiB. (Debian has no HdrHistogram for C.) */
#ifndef DP_BASE_HIST_H
#define DP_BASE_HIST_H

#include <stdint.h>

#define DP_HIST_BITS  5
#define DP_HIST_STEPS (1u << DP_HIST_BITS)
#define DP_HIST_ROWS  40u

struct dp_hist {
	uint64_t count, sum_us, max_us;
	uint64_t *rows[DP_HIST_ROWS]; /* each of DP_HIST_STEPS; NULL: no value there */
};

/* All zero is an empty one. Without memory the value is not counted. */
void dp_hist_add(struct dp_hist *h, uint64_t value_us);

void dp_hist_clear(struct dp_hist *h); /* empty, and its memory freed */

/* The value below which `percent` (0..100) of the samples lie; 0 if there are none. */
uint64_t dp_hist_percentile(const struct dp_hist *h, double percent);

#endif
