/* SPDX-License-Identifier: MIT */
/* The read cache: what it shows is what was answered last, whatever happens in which order. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "store/cache.h"

#define BLOCK DP_CACHE_BLOCK

static uint8_t buffer[64 * BLOCK], out[64 * BLOCK];

static const uint8_t *bytes(uint8_t value)
{
	memset(buffer, value, sizeof buffer);
	return buffer;
}

static bool has(struct dp_cache *c, uint64_t offset, size_t length, uint8_t value)
{
	memset(out, 0xee, sizeof out);
	if (!dp_cache_read(c, 1, offset, length, out))
		return false;
	for (size_t i = 0; i < length; i++)
		cr_assert_eq(out[i], value, "byte %zu", i);
	return true;
}

Test(cache, has_nothing_at_first)
{
	struct dp_cache *c = dp_cache_new(8 * BLOCK);
	cr_assert_not(has(c, 0, 1, 0));
	dp_cache_free(&c);
	cr_assert_null(c);
	cr_assert_null(dp_cache_new(BLOCK - 1));
}

Test(cache, keeps_whole_blocks_only)
{
	struct dp_cache *c = dp_cache_new(8 * BLOCK);
	dp_cache_fill(c, 1, 100, bytes(7), 2 * BLOCK, 0);
	cr_assert(has(c, BLOCK, BLOCK, 7));
	cr_assert(has(c, BLOCK + 17, 100, 7));
	cr_assert_not(has(c, 100, 10, 7));
	cr_assert_not(has(c, BLOCK, BLOCK + 1, 7), "half of it is enough");
	cr_assert_not(dp_cache_read(c, 2, BLOCK, 10, out), "another volume's");
	dp_cache_free(&c);
}

Test(cache, a_write_takes_out_what_it_touches)
{
	struct dp_cache *c = dp_cache_new(8 * BLOCK);
	dp_cache_fill(c, 1, 0, bytes(1), 4 * BLOCK, 0);
	dp_cache_written(c, 1, 2 * BLOCK - 1, 2, 5);
	cr_assert(has(c, 0, BLOCK, 1));
	cr_assert_not(has(c, BLOCK, 1, 1));
	cr_assert_not(has(c, 2 * BLOCK, 1, 1));
	cr_assert(has(c, 3 * BLOCK, BLOCK, 1));
	dp_cache_fill(c, 1, BLOCK, bytes(1), 2 * BLOCK, 4);
	cr_assert_not(has(c, BLOCK, 1, 1), "a read from before the write counts");
	dp_cache_fill(c, 1, BLOCK, bytes(2), 2 * BLOCK, 5);
	cr_assert(has(c, BLOCK, 2 * BLOCK, 2));
	dp_cache_written(c, 1, 0, 0, 9);
	cr_assert(has(c, 0, BLOCK, 1));
	dp_cache_free(&c);
}

Test(cache, a_write_of_more_than_it_holds)
{
	struct dp_cache *c = dp_cache_new(2 * BLOCK);
	dp_cache_fill(c, 1, 0, bytes(1), BLOCK, 0);
	dp_cache_fill(c, 2, 0, bytes(3), BLOCK, 0);
	dp_cache_written(c, 1, 0, 100ull << 20, 5);
	cr_assert_not(has(c, 0, 1, 1));
	cr_assert(dp_cache_read(c, 2, 0, 1, out), "another volume's is gone");
	dp_cache_fill(c, 1, 0, bytes(1), BLOCK, 4);
	cr_assert_not(has(c, 0, 1, 1), "a read from before the write counts");
	dp_cache_fill(c, 1, 0, bytes(2), BLOCK, 5);
	cr_assert(has(c, 0, BLOCK, 2));
	dp_cache_free(&c);
}

Test(cache, knows_what_is_equal)
{
	struct dp_cache *c = dp_cache_new(8 * BLOCK);
	dp_cache_fill(c, 1, 0, bytes(1), 2 * BLOCK, 0);
	cr_assert(dp_cache_equal(c, 1, 512, bytes(1), BLOCK));
	buffer[BLOCK - 1] = 2;
	cr_assert_not(dp_cache_equal(c, 1, 512, buffer, BLOCK));
	cr_assert_not(dp_cache_equal(c, 1, BLOCK, bytes(1), BLOCK + 1),
		"what is not there is equal");
	dp_cache_free(&c);
}

/* Against a model: content per block, and whether the cache may have it. */
Test(cache, is_never_wrong)
{
	enum { BLOCKS = 64 };
	struct dp_cache *c = dp_cache_new(16 * BLOCK);
	uint8_t content[BLOCKS] = {0};
	uint64_t written[BLOCKS] = {0}, seq = 0;
	unsigned hits = 0;
	srandom(7);
	for (unsigned i = 0; i < 200000; i++) {
		unsigned at = (unsigned)random() % BLOCKS, count = 1 + (unsigned)random() % 3;
		count = at + count > BLOCKS ? BLOCKS - at : count;
		switch (random() % 4) {
		case 0:
			dp_cache_written(c, 1, at * BLOCK, count * BLOCK, ++seq);
			for (unsigned b = at; b < at + count; b++) {
				content[b] = (uint8_t)random();
				written[b] = seq;
			}
			break;
		case 1: /* a read that is late: it may show what was there before */
			dp_cache_fill(c, 1, at * BLOCK, bytes((uint8_t)(content[at] + 1)), BLOCK,
				written[at] ? written[at] - 1 : 0);
			if (!written[at])
				content[at]++;
			break;
		case 2:
			dp_cache_fill(c, 1, at * BLOCK, bytes(content[at]), BLOCK, written[at]);
			break;
		default:
			hits += has(c, at * BLOCK, BLOCK, content[at]);
		}
	}
	cr_assert_gt(hits, 1000, "it keeps next to nothing: %u", hits);
	dp_cache_free(&c);
}
