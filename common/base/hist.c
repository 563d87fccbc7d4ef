/* SPDX-License-Identifier: MIT */
#include "base/hist.h"

static unsigned bucket_of(uint64_t value)
{
	if (value < DP_HIST_STEPS)
		return (unsigned)value;
	unsigned power = 63 - (unsigned)__builtin_clzll(value); /* >= DP_HIST_BITS */
	unsigned step = (unsigned)(value >> (power - DP_HIST_BITS)) & (DP_HIST_STEPS - 1);
	unsigned bucket = (power - DP_HIST_BITS + 1) * DP_HIST_STEPS + step;
	return bucket < DP_HIST_BUCKETS ? bucket : DP_HIST_BUCKETS - 1;
}

/* The middle of the bucket. */
static uint64_t value_of(unsigned bucket)
{
	if (bucket < DP_HIST_STEPS)
		return bucket;
	unsigned shift = bucket / DP_HIST_STEPS - 1;
	uint64_t least = (uint64_t)(DP_HIST_STEPS + bucket % DP_HIST_STEPS) << shift;
	return least + ((1ull << shift) - 1) / 2;
}

void dp_hist_add(struct dp_hist *h, uint64_t value_us)
{
	h->count++;
	h->sum_us += value_us;
	if (value_us > h->max_us)
		h->max_us = value_us;
	h->buckets[bucket_of(value_us)]++;
}

uint64_t dp_hist_percentile(const struct dp_hist *h, double percent)
{
	uint64_t wanted = (uint64_t)((double)h->count * percent / 100.0), seen = 0;
	for (unsigned i = 0; i < DP_HIST_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen > wanted)
			return value_of(i) < h->max_us ? value_of(i) : h->max_us;
	}
	return h->max_us;
}
