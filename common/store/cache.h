/* SPDX-License-Identifier: MIT */
/* The controller's bounded read cache of one stream: content of blocks that every copy has.
 *
 * What is in it was read from a current copy, or written and answered, and nothing has been written
 * there since. A write takes its blocks out as soon as it is accepted, and until a read that was
 * asked for after its answer comes back they stay out: so a read from the cache never shows what is
 * not answered yet, and never what is older than what was. Blocks are DP_CACHE_BLOCK bytes; the one
 * that was not used for longest makes room, roughly (second chance). */
#ifndef DP_STORE_CACHE_H
#define DP_STORE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DP_CACHE_BLOCK 4096u

struct dp_cache;

/* Of `bytes` at most, without what finds them (1 % and 128 KiB). NULL: out of memory, or less than
 * a block. */
struct dp_cache *dp_cache_new(uint64_t bytes);
void dp_cache_free(struct dp_cache **cache);

void dp_cache_clear(struct dp_cache *cache);

/* Copies the range to `out` if all of it is there. */
bool dp_cache_read(struct dp_cache *cache, uint32_t volume, uint64_t offset, size_t length,
	uint8_t *out);

/* Whether all of the range is there and has these bytes. */
bool dp_cache_equal(struct dp_cache *cache, uint32_t volume, uint64_t offset, const uint8_t *data,
	size_t length);

/* Record seq was accepted for the range. */
void dp_cache_written(struct dp_cache *cache, uint32_t volume, uint64_t offset, uint64_t length,
	uint64_t seq);

/* The range has this content after record seq, which is answered like all before it. Only whole
 * blocks to which no later record was accepted are kept. */
void dp_cache_fill(struct dp_cache *cache, uint32_t volume, uint64_t offset, const uint8_t *data,
	size_t length, uint64_t seq);

#endif
