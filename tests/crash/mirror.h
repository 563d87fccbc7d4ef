/* SPDX-License-Identifier: MIT */
/* A mirror, from the opening of its disk to its death, with the very core, journal and store that
 * ship, and above it a sender that the test plays: its history is a path in a model. What the
 * mirror tells its sender goes into the disk's log as promises. */
#ifndef DP_TESTS_CRASH_MIRROR_H
#define DP_TESTS_CRASH_MIRROR_H

#include "crashdisk.h"
#include "explore.h"
#include "model.h"
#include "stream/stream.h"

#define MIRROR_FETCHES     64
#define MIRROR_GENERATIONS 8

/* Notes in the disk's log; their values: */
enum {
	MIRROR_HEAD = 1, /* of the sender's history: an item */
	MIRROR_TAIL,     /* what comes before this item it has no more */
	MIRROR_AGREED,   /* a seq */
	MIRROR_EPOCH,    /* the sender's */
	MIRROR_STANDS,   /* an item: whatever is told later, the mirror may go back to it */
	MIRROR_FALLBACK, /* an item: the images of now have just that, once new ones are built */
	MIRROR_PROMISED, /* an epoch; a promise */
	MIRROR_CACHED,   /* an item; a promise */
	MIRROR_WHOLE,    /* 1: its images are (a promise), 0: they are to be resynced */
};
extern const char *const mirror_notes[];

/* The one above, and what must be true of the mirror's disk. */
struct sender {
	uint32_t head, tail;
	uint64_t agreed, epoch;
	uint32_t cached; /* item */
	uint64_t promised;
	bool whole;
	uint64_t generation;                   /* of the images that the fallback is about */
	uint32_t fallback[MIRROR_GENERATIONS]; /* by generation */
};
void sender_note(struct sender *s, const struct crash_note *note);

struct mirror {
	struct crashdisk *disk;
	struct model *model;
	struct dp_stream *stream;
	struct sender above;
	uint64_t now_us;
	bool dying, failed;
	/* The session. */
	uint64_t session, sent, acked;
	bool waiting, started, told_whole;
	struct dp_welcome *welcome; /* not yet answered */
	uint64_t nak;               /* 0: none */
	struct dp_wanted fetches[MIRROR_FETCHES];
	unsigned fetch_count;
};

struct mirror *mirror_new(struct crashdisk *disk, struct model *model, const struct sender *above);
int mirror_open(struct mirror *m); /* 0 or a dp_err */
void mirror_start(struct mirror *m);
void mirror_close(struct mirror *m);
void mirror_free(struct mirror *m);

/* What the sender does. */
void mirror_hello(struct mirror *m, uint64_t epoch);
void mirror_make(struct mirror *m, const struct model_write *w); /* a record; not yet sent */
void mirror_agree(struct mirror *m, uint64_t seq);
void mirror_take_over(struct mirror *m, uint64_t seq); /* another, which has nothing after seq */
void mirror_forget(struct mirror *m, uint64_t seq);    /* it has released everything up to seq */
void mirror_send(struct mirror *m);                    /* the next record, if there is one */
void mirror_marks(struct mirror *m);
/* Answers one of the fetches, with what was there at `seq`, if it may be so old. */
void mirror_fill(struct mirror *m, unsigned which, uint64_t seq);
/* What the mirror's words ask for: START or RESET, and sending again. */
void mirror_answer(struct mirror *m);

void mirror_tick(struct mirror *m, uint64_t after_us);
void mirror_step(struct mirror *m, uint32_t which); /* of the disk */

/* Until the mirror has all that the sender has, applied as far as it is agreed, and whole; or says
 * that it has failed. */
void mirror_settle(struct mirror *m);

/* The item of a position that some sender had; MODEL_NONE: nobody had it. */
uint32_t mirror_position(const struct mirror *m, struct dp_position at);
const struct dp_core *mirror_core(const struct mirror *m);

/* Fails if the images of this generation have not just what `item` says, or are not there. */
void mirror_check_images(struct mirror *m, uint64_t generation, uint32_t item);
bool mirror_has_images(const struct mirror *m, uint64_t generation);

#endif
