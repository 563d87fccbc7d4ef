/* SPDX-License-Identifier: MIT */
#include "store/cache.h"

#include <stdlib.h>
#include <string.h>

#define MARKS 16384u /* power of two */
#define NONE  UINT32_MAX

struct entry {
	uint64_t block;
	uint32_t volume, next; /* of the same bucket */
	bool used, recent;
};

struct dp_cache {
	uint32_t count, hand; /* entries; where room is looked for next */
	uint32_t buckets;     /* power of two */
	struct entry *entries;
	uint32_t *first; /* of each bucket */
	uint8_t *data;
	/* The newest record accepted for any block that falls on this mark, and for any block. */
	uint64_t written[MARKS], written_all;
};

static uint64_t hash(uint32_t volume, uint64_t block)
{
	uint64_t z = (block ^ ((uint64_t)volume << 40)) * 0x9e3779b97f4a7c15u;
	return z ^ (z >> 32);
}

struct dp_cache *dp_cache_new(uint64_t bytes)
{
	uint64_t count = bytes / DP_CACHE_BLOCK;
	struct dp_cache *c = count && count < NONE ? calloc(1, sizeof *c) : NULL;
	if (!c)
		return NULL;
	c->count = (uint32_t)count;
	for (c->buckets = 64; c->buckets < c->count && c->buckets < 1u << 30;)
		c->buckets *= 2;
	c->entries = calloc(c->count, sizeof *c->entries);
	c->first = malloc(c->buckets * sizeof *c->first);
	c->data = malloc(count * DP_CACHE_BLOCK); /* the kernel gives pages as they are used */
	if (!c->entries || !c->first || !c->data)
		dp_cache_free(&c);
	else
		memset(c->first, 0xff, c->buckets * sizeof *c->first);
	return c;
}

void dp_cache_free(struct dp_cache **pc)
{
	struct dp_cache *c = *pc;
	*pc = NULL;
	if (!c)
		return;
	free(c->entries);
	free(c->first);
	free(c->data);
	free(c);
}

static uint32_t *bucket(struct dp_cache *c, uint32_t volume, uint64_t block)
{
	return &c->first[hash(volume, block) & (c->buckets - 1)];
}

/* The place that leads to the entry; *place is NONE if there is none. */
static uint32_t *find(struct dp_cache *c, uint32_t volume, uint64_t block)
{
	uint32_t *place = bucket(c, volume, block);
	while (*place != NONE &&
		(c->entries[*place].block != block || c->entries[*place].volume != volume))
		place = &c->entries[*place].next;
	return place;
}

static void drop(struct dp_cache *c, uint32_t *place)
{
	if (*place == NONE)
		return;
	struct entry *e = &c->entries[*place];
	e->used = false;
	*place = e->next;
}

void dp_cache_clear(struct dp_cache *c)
{
	memset(c->first, 0xff, c->buckets * sizeof *c->first);
	memset(c->entries, 0, c->count * sizeof *c->entries);
}

static uint32_t make_room(struct dp_cache *c)
{
	for (;;) {
		uint32_t i = c->hand;
		struct entry *e = &c->entries[i];
		c->hand = (i + 1) % c->count;
		if (e->used && e->recent) {
			e->recent = false;
			continue;
		}
		if (e->used)
			drop(c, find(c, e->volume, e->block));
		return i;
	}
}

static uint8_t *data_of(struct dp_cache *c, uint32_t i)
{
	return c->data + (size_t)i * DP_CACHE_BLOCK;
}

/* Copies the range to `out`, or compares it with `with`. */
static bool visit(struct dp_cache *c, uint32_t volume, uint64_t offset, size_t length, uint8_t *out,
	const uint8_t *with)
{
	for (size_t at = 0, size; at < length; at += size) {
		size_t skip = (offset + at) % DP_CACHE_BLOCK;
		uint32_t i = *find(c, volume, (offset + at) / DP_CACHE_BLOCK);
		size = DP_CACHE_BLOCK - skip < length - at ? DP_CACHE_BLOCK - skip : length - at;
		if (i == NONE || (with && memcmp(with + at, data_of(c, i) + skip, size) != 0))
			return false;
		c->entries[i].recent = true;
		if (out)
			memcpy(out + at, data_of(c, i) + skip, size);
	}
	return true;
}

bool dp_cache_read(struct dp_cache *c, uint32_t volume, uint64_t offset, size_t length,
	uint8_t *out)
{
	return visit(c, volume, offset, length, out, NULL);
}

bool dp_cache_equal(struct dp_cache *c, uint32_t volume, uint64_t offset, const uint8_t *data,
	size_t length)
{
	return visit(c, volume, offset, length, NULL, data);
}

/* A range of more blocks than there are entries. */
static void written_far(struct dp_cache *c, uint32_t volume, uint64_t first, uint64_t last,
	uint64_t seq)
{
	c->written_all = seq;
	for (uint32_t i = 0; i < c->count; i++) {
		const struct entry *e = &c->entries[i];
		if (e->used && e->volume == volume && e->block >= first && e->block <= last)
			drop(c, find(c, volume, e->block));
	}
}

void dp_cache_written(struct dp_cache *c, uint32_t volume, uint64_t offset, uint64_t length,
	uint64_t seq)
{
	if (length == 0)
		return;
	uint64_t first = offset / DP_CACHE_BLOCK, last = (offset + length - 1) / DP_CACHE_BLOCK;
	if (last - first >= c->count) {
		written_far(c, volume, first, last, seq);
		return;
	}
	for (uint64_t block = first; block <= last; block++) {
		c->written[hash(volume, block) % MARKS] = seq;
		drop(c, find(c, volume, block));
	}
}

void dp_cache_fill(struct dp_cache *c, uint32_t volume, uint64_t offset, const uint8_t *data,
	size_t length, uint64_t seq)
{
	uint64_t block = (offset + DP_CACHE_BLOCK - 1) / DP_CACHE_BLOCK;
	for (; (block + 1) * DP_CACHE_BLOCK <= offset + length; block++) {
		if (c->written[hash(volume, block) % MARKS] > seq || c->written_all > seq)
			continue;
		uint32_t i = *find(c, volume, block);
		if (i == NONE) {
			i = make_room(c);
			uint32_t *place = bucket(c, volume, block);
			c->entries[i] = (struct entry){block, volume, *place, true, false};
			*place = i;
		}
		memcpy(data_of(c, i), data + (block * DP_CACHE_BLOCK - offset), DP_CACHE_BLOCK);
	}
}
