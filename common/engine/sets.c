/* SPDX-License-Identifier: MIT */
#include "engine/sets.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/err.h"

#define SETS_START 16u

static struct dp_set *set_at(struct dp_sets *s, uint32_t index)
{
	return &s->ring[(s->head + index) & (s->capacity - 1)];
}

const struct dp_set *dp_sets_at(const struct dp_sets *s, uint32_t index)
{
	return &s->ring[(s->head + index) & (s->capacity - 1)];
}

int dp_sets_init(struct dp_sets *s)
{
	*s = (struct dp_sets){.capacity = SETS_START};
	s->ring = calloc(s->capacity, sizeof *s->ring);
	return s->ring ? 0 : DP_ENOMEM;
}

void dp_sets_clear(struct dp_sets *s)
{
	free(s->ring);
	*s = (struct dp_sets){0};
}

/* false: it is full, and stays so. */
static bool grow_sets(struct dp_sets *s)
{
	uint32_t capacity = s->capacity * 2;
	struct dp_set *ring = capacity <= DP_SETS_MAX ? calloc(capacity, sizeof *ring) : NULL;
	if (!ring)
		return false;
	for (uint32_t i = 0; i < s->count; i++)
		ring[i] = *set_at(s, i);
	free(s->ring);
	s->ring = ring;
	s->head = 0;
	s->capacity = capacity;
	return true;
}

static struct dp_set *open_set(struct dp_sets *s, uint64_t id, uint64_t seq, uint64_t now_us)
{
	bool full = s->count == s->capacity && !grow_sets(s);
	if (full && s->executing == 0) {
		struct dp_set *newest = set_at(s, s->count - 1);
		newest->last_id = id;
		newest->closed = newest->ended = false;
		return newest;
	}
	if (full) {
		s->head = (s->head + 1) & (s->capacity - 1);
		s->count--;
		s->executing--;
	}
	struct dp_set *set = set_at(s, s->count++);
	*set = (struct dp_set){
		.first_id = id, .last_id = id, .first_seq = seq, .opened_us = now_us};
	return set;
}

void dp_sets_note(struct dp_sets *s, uint64_t id, uint64_t seq, bool closes, uint64_t now_us)
{
	struct dp_set *set = s->count ? set_at(s, s->count - 1) : NULL;
	if (!set || set->last_id != id) {
		if (set)
			set->closed = true; /* the next set has begun */
		set = open_set(s, id, seq, now_us);
	}
	set->last_seq = seq;
	set->closed = set->ended = closes;
}

void dp_sets_commit(struct dp_sets *s, uint64_t committed, uint64_t now_us)
{
	while (s->executing < s->count) {
		struct dp_set *set = set_at(s, s->executing);
		if (!set->closed || set->last_seq > committed)
			return;
		set->committed = true;
		set->committed_us = now_us;
		s->executing++;
	}
}

void dp_sets_cut(struct dp_sets *s, uint64_t seq)
{
	while (s->count > s->executing && set_at(s, s->count - 1)->first_seq > seq)
		s->count--;
	if (s->count == s->executing)
		return;
	struct dp_set *newest = set_at(s, s->count - 1);
	if (newest->last_seq > seq) {
		newest->last_seq = seq;
		newest->ended = false;
	}
	newest->closed = newest->ended; /* what began after it is gone */
}

bool dp_sets_committed(const struct dp_sets *s, uint64_t id)
{
	if (s->count == 0 || id > dp_sets_at(s, s->count - 1)->last_id)
		return false;
	for (uint32_t i = s->executing; i < s->count; i++)
		if (dp_sets_at(s, i)->first_id <= id && id <= dp_sets_at(s, i)->last_id)
			return false;
	return true;
}
