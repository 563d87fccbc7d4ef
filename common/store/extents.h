/* SPDX-License-Identifier: MIT */
/* Which record owns which bytes of a volume: a set of non-overlapping extents, newest wins. */
#ifndef DP_STORE_EXTENTS_H
#define DP_STORE_EXTENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <bsd/sys/tree.h>

struct dp_extent {
	RB_ENTRY(dp_extent) link;
	uint64_t start, end; /* [start, end) */
	uint64_t seq;
};

RB_HEAD(dp_extent_tree, dp_extent);

struct dp_extents {
	struct dp_extent_tree tree;
	uint64_t count;
};

void dp_extents_init(struct dp_extents *e);
void dp_extents_clear(struct dp_extents *e);

/* Gives [start, end) to seq. 0 or DP_ENOMEM (some of the old owners may be gone then). */
int dp_extents_put(struct dp_extents *e, uint64_t start, uint64_t end, uint64_t seq);

/* Drops what records up to seq own within [start, end). */
int dp_extents_drop(struct dp_extents *e, uint64_t start, uint64_t end, uint64_t seq);

/* The first extent that ends after `offset`, or NULL; and the one after it. */
struct dp_extent *dp_extents_find(struct dp_extents *e, uint64_t offset);
struct dp_extent *dp_extents_next(struct dp_extent *x);

#endif
