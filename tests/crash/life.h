/* SPDX-License-Identifier: MIT */
/* One life of a node, from opening its disk to its death: a journal and, if its configuration has
 * volumes, images, with an owner that does for them what a node's core does. All that it hands to
 * the journal goes into a model, and what it is told goes into the disk's log as promises; so that
 * the next life can be held against both. */
#ifndef DP_TESTS_CRASH_LIFE_H
#define DP_TESTS_CRASH_LIFE_H

#include "crashdisk.h"
#include "engine/log.h"
#include "explore.h"
#include "journal/journal.h"
#include "model.h"
#include "store/store.h"

#define LIFE_JOURNAL "journal"

struct life_config {
	uint64_t journal_size; /* of the file */
	bool images;           /* of the model's volumes */
};

/* Notes in the disk's log; their values: */
enum {
	LIFE_HANDED = 1, /* to the journal: an item of the model */
	LIFE_DURABLE,    /* the journal said so of an item; a promise */
	LIFE_RELEASED,   /* a seq: the journal need no more have what comes before */
	LIFE_FULL,       /* 1: the circle may be full to the brim, with no place for a barrier; 0 */
};
extern const char *const life_notes[];

/* What a recovery must find. */
struct life_expect {
	uint32_t lower, upper; /* items: at least, at most */
	uint64_t released;
	bool full; /* or it may say that there is no space */
};
void life_expect_note(struct life_expect *x, const struct crash_note *note);

struct life {
	const struct life_config *cfg;
	struct crashdisk *disk;
	struct model *model;
	struct dp_journal *j;
	struct dp_store *store;
	struct dp_log log;
	uint32_t head; /* the item handed last */
	uint64_t epoch, durable, agreed, now_us;
	bool failed; /* journal or images said so */
	bool dying, told_full;
	/* What recovery found. */
	struct dp_meta tail, last;
	struct dp_header *found; /* records after the tail */
	uint32_t found_count, found_capacity;
	uint32_t answers;
};

/* Opens, `head` being the item that the disk stands at; 0 or a dp_err. */
struct life *life_new(const struct life_config *cfg, struct crashdisk *disk, struct model *model);
int life_open(struct life *l, uint32_t head);
void life_close(struct life *l); /* what is under way never happens, if anything is */
void life_free(struct life *l);

/* Fails if what the opening found is not as expected. Returns the item that the log stands at, and
 * makes it the head. */
uint32_t life_check(struct life *l, const struct life_expect *x);

/* Reads the volumes, applies all that there is, and compares both with the model. */
void life_check_images(struct life *l);

void life_append(struct life *l, const struct model_write *w);
void life_barrier(struct life *l, const struct dp_meta *meta); /* the log stands there now */
void life_promise(struct life *l, uint64_t epoch);
void life_cut(struct life *l, uint64_t seq);
void life_jump(struct life *l, unsigned count); /* over so many records, released unwritten */
void life_again(struct life *l, uint32_t item); /* the same as in another life */
void life_release(struct life *l, uint64_t seq);
void life_agree(struct life *l, uint64_t seq);
void life_tick(struct life *l, uint64_t after_us);

/* Until all that was handed over is durable, or something has failed. */
void life_commit(struct life *l);
/* Until all that is agreed is in the images, and synced. */
void life_settle(struct life *l);

#endif
