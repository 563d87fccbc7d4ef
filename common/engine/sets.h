/* SPDX-License-Identifier: MIT */
/* Write sets: which are executing, and which are committed. A ring of consecutive entries that
 * grows up to DP_SETS_MAX. When it is full of executing sets, or there is no memory to grow, the
 * newest entry takes in the next set instead of a new entry. */
#ifndef DP_ENGINE_SETS_H
#define DP_ENGINE_SETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"

struct dp_set {
	uint64_t first_id, last_id; /* equal, unless the entry was widened */
	uint64_t first_seq, last_seq;
	bool closed, committed;
	bool ended; /* closed by its own last record, not by the first record of the next set */
	uint64_t opened_us, committed_us; /* 0: not known (before a restart) */
};

struct dp_sets {
	struct dp_set *ring;
	uint32_t head, count, capacity; /* a power of two */
	uint32_t executing; /* index, from head, of the first entry that is not committed */
};

int dp_sets_init(struct dp_sets *s); /* 0 or DP_ENOMEM */
void dp_sets_clear(struct dp_sets *s);

/* Notes a record of set `id`. */
void dp_sets_note(struct dp_sets *s, uint64_t id, uint64_t seq, bool closes, uint64_t now_us);

/* Marks the closed sets at or below the committed position as committed. */
void dp_sets_commit(struct dp_sets *s, uint64_t committed, uint64_t now_us);

/* Forgets records after seq. */
void dp_sets_cut(struct dp_sets *s, uint64_t seq);

const struct dp_set *dp_sets_at(const struct dp_sets *s, uint32_t index);

/* Whether set `id` is committed; false if it is executing or not yet begun. Sets older than the
 * ring are committed, or they would still be in it. */
bool dp_sets_committed(const struct dp_sets *s, uint64_t id);

#endif
