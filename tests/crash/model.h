/* SPDX-License-Identifier: MIT */
/* What nodes handed to their journal, in order, and what follows from it: records and barriers are
 * the items of a tree, since a node that crashed goes on from an earlier one. Item 0 is the
 * beginning, with nothing in it. */
#ifndef DP_TESTS_CRASH_MODEL_H
#define DP_TESTS_CRASH_MODEL_H

#include "proto/history.h"
#include "proto/record.h"

#define MODEL_STREAM    9u
#define MODEL_VOLUMES   2u
#define MODEL_VOLUME(v) (100u + (v)) /* as records name it */
#define MODEL_NONE      UINT32_MAX

struct model_item {
	uint32_t parent;
	uint32_t newest; /* the newest record of this state; where its log begins, if none */
	struct dp_record *record; /* NULL: a barrier */
	struct dp_meta meta;      /* the state after it */
	uint8_t *content;         /* of the volumes, one behind the other; made when asked for */
};

struct model {
	struct model_item *items;
	uint32_t count, capacity;
	uint64_t sizes[MODEL_VOLUMES];
};

struct model *model_new(const uint64_t sizes[MODEL_VOLUMES]);
void model_free(struct model *m);
void model_forget(struct model *m, uint32_t count); /* the items from there on */

/* Both take references or copies of their own, and return the new item. */
uint32_t model_record(struct model *m, uint32_t parent, struct dp_record *r);
uint32_t model_barrier(struct model *m, uint32_t parent, const struct dp_meta *meta);

/* The item of record `seq` in the log that `item` stands at the end of; MODEL_NONE: not in it. */
uint32_t model_find(const struct model *m, uint32_t item, uint64_t seq);

/* The last item of (lower..upper] or lower, one behind the other, whose state is `meta`. */
uint32_t model_state(const struct model *m, uint32_t lower, uint32_t upper,
	const struct dp_meta *meta);

/* The newest item that is in front of both, or is one of them. */
uint32_t model_common(const struct model *m, uint32_t a, uint32_t b);

bool model_same(const struct dp_meta *a, const struct dp_meta *b);

/* The volumes with everything up to `item`. */
const uint8_t *model_content(struct model *m, uint32_t item);

/* A record that follows `after`: of `op` and, if it has an extent, with bytes that say where they
 * belong and, by `salt`, which of several records of this seq it is. */
struct model_write {
	uint8_t op;
	unsigned volume;
	uint64_t offset;
	uint32_t length;
	uint64_t agreed, salt;
};
struct dp_record *model_make(const struct dp_meta *after, uint64_t epoch,
	const struct model_write *w);

#endif
