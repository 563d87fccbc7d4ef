/* SPDX-License-Identifier: MIT */
#include "base/hist.h"

#include <stdlib.h>

/* Row 0 has the values below DP_HIST_STEPS, row n those of one power of two. */
static unsigned row_of(uint64_t value, unsigned *step)
{
	*step = (unsigned)value & (DP_HIST_STEPS - 1);
	if (value < DP_HIST_STEPS)
		return 0;
	unsigned power = 63 - (unsigned)__builtin_clzll(value); /* >= DP_HIST_BITS */
	unsigned row = power - DP_HIST_BITS + 1;
	*step = (unsigned)(value >> (power - DP_HIST_BITS)) & (DP_HIST_STEPS - 1);
	if (row < DP_HIST_ROWS)
		return row;
	*step = DP_HIST_STEPS - 1;
	return DP_HIST_ROWS - 1;
}

/* The middle of the bucket. */
static uint64_t value_of(unsigned row, unsigned step)
{
	if (row == 0)
		return step;
	unsigned shift = row - 1;
	uint64_t least = (uint64_t)(DP_HIST_STEPS + step) << shift;
	return least + ((1ull << shift) - 1) / 2;
}

void dp_hist_add(struct dp_hist *h, uint64_t value_us)
{
	unsigned step, row = row_of(value_us, &step);
	if (!h->rows[row])
		h->rows[row] = calloc(DP_HIST_STEPS, sizeof *h->rows[row]);
	if (!h->rows[row])
		return; /* a measurement is not worth a failure */
	h->rows[row][step]++;
	h->count++;
	h->sum_us += value_us;
	if (value_us > h->max_us)
		h->max_us = value_us;
}

void dp_hist_clear(struct dp_hist *h)
{
	for (unsigned row = 0; row < DP_HIST_ROWS; row++)
		free(h->rows[row]);
	*h = (struct dp_hist){0};
}

uint64_t dp_hist_percentile(const struct dp_hist *h, double percent)
{
	uint64_t rank = (uint64_t)((double)h->count * percent / 100.0), seen = 0;
	for (unsigned row = 0; row < DP_HIST_ROWS; row++) {
		for (unsigned step = 0; h->rows[row] && step < DP_HIST_STEPS; step++) {
			seen += h->rows[row][step];
			if (seen > rank)
				return value_of(row, step) < h->max_us ? value_of(row, step)
								       : h->max_us;
		}
	}
	return h->max_us;
}
