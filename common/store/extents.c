/* SPDX-License-Identifier: MIT */
#include "store/extents.h"

#include <stdlib.h>

#include "base/err.h"

static int compare(struct dp_extent *a, struct dp_extent *b)
{
	return a->start < b->start ? -1 : a->start > b->start;
}

/* The BSD macros expect this spelling from their C library. */
#ifndef __unused
#define __unused __attribute__((unused))
#endif
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wunused-function"
RB_GENERATE_STATIC(dp_extent_tree, dp_extent, link, compare)
#pragma GCC diagnostic pop

void dp_extents_init(struct dp_extents *e)
{
	RB_INIT(&e->tree);
	e->count = 0;
}

static void remove_extent(struct dp_extents *e, struct dp_extent *x)
{
	RB_REMOVE(dp_extent_tree, &e->tree, x);
	e->count--;
	free(x);
}

void dp_extents_clear(struct dp_extents *e)
{
	struct dp_extent *x;
	while ((x = RB_MIN(dp_extent_tree, &e->tree)) != NULL)
		remove_extent(e, x);
}

static int add(struct dp_extents *e, uint64_t start, uint64_t end, uint64_t seq)
{
	struct dp_extent *x = malloc(sizeof *x);
	if (!x)
		return DP_ENOMEM;
	*x = (struct dp_extent){.start = start, .end = end, .seq = seq};
	RB_INSERT(dp_extent_tree, &e->tree, x);
	e->count++;
	return 0;
}

struct dp_extent *dp_extents_next(struct dp_extent *x)
{
	return RB_NEXT(dp_extent_tree, NULL, x);
}

struct dp_extent *dp_extents_find(struct dp_extents *e, uint64_t offset)
{
	struct dp_extent key = {.start = offset};
	struct dp_extent *x = RB_NFIND(dp_extent_tree, &e->tree, &key);
	struct dp_extent *before = x ? RB_PREV(dp_extent_tree, &e->tree, x)
				     : RB_MAX(dp_extent_tree, &e->tree);
	return before && before->end > offset ? before : x;
}

int dp_extents_drop(struct dp_extents *e, uint64_t start, uint64_t end, uint64_t seq)
{
	struct dp_extent *x = dp_extents_find(e, start);
	while (x && x->start < end) {
		struct dp_extent *next = dp_extents_next(x);
		if (x->seq > seq) {
			x = next;
			continue;
		}
		uint64_t x_start = x->start, x_end = x->end, x_seq = x->seq;
		if (x_end > end && x_start < start) { /* a hole in the middle: two remain */
			x->end = start;
			return add(e, end, x_end, x_seq);
		}
		if (x_start < start)
			x->end = start;
		else if (x_end > end)
			x->start = end; /* order in the tree is unchanged */
		else
			remove_extent(e, x);
		x = next;
	}
	return 0;
}

int dp_extents_put(struct dp_extents *e, uint64_t start, uint64_t end, uint64_t seq)
{
	int err = dp_extents_drop(e, start, end, UINT64_MAX);
	return err ? err : add(e, start, end, seq);
}
