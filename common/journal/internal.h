/* SPDX-License-Identifier: MIT */
/* Shared by the files of the journal: the frame and superblock of docs/disk-format.md, and the
 * journal's state. Private to common/journal. */
#ifndef DP_JOURNAL_INTERNAL_H
#define DP_JOURNAL_INTERNAL_H

#include "journal/journal.h"

#include "base/limits.h"

#define DP_FRAME_MAGIC    0x3146504au /* "JPF1" */
#define DP_SUPER_MAGIC    0x3153504au /* "JPS1" */
#define DP_JOURNAL_FORMAT 3
#define DP_JOURNAL_OLDEST 2 /* is read, too: no state in it has places */
#define DP_FRAME_SIZE     64
#define DP_FRAME_ALIGN    512u /* frames start at sectors; groups at DP_DISK_ALIGN */
#define DP_SUPER_SIZE     4096u
#define DP_DATA_START     (2 * DP_SUPER_SIZE)
#define DP_STAGE_SIZE     (DP_GROUP_MAX + 2 * DP_MIB)
#define DP_GROUPS_MAX     4u /* under way at once */
/* With as much under way no further group begins, so that what proves one to have been durable
 * stands within the window that recovery looks at. */
#define DP_FLYING_MAX (2 * DP_MIB)
/* A group never wraps: what does not fit before the end starts anew, after a pad. */
#define DP_WRAP_SLACK (2 * DP_MIB)

enum dp_frame_kind { DP_FRAME_RECORD = 1, DP_FRAME_BARRIER = 2, DP_FRAME_PAD = 3 };
#define DP_FRAME_LAST 0x01 /* of its group: the next frame starts at DP_DISK_ALIGN */

struct dp_frame {
	uint8_t kind, flags;
	uint64_t instance, lsn;
	uint64_t durable_lsn;        /* everything before it was durable when this was written */
	uint32_t generation, length; /* of the frame with its body, unpadded */
	uint32_t body_crc;           /* barriers; a record has its own checksums */
};

struct dp_super {
	uint64_t stream, instance, size, number; /* the higher number is the newer */
	uint64_t tail_lsn, head_lsn;             /* head: durable when written */
	uint32_t generation;                     /* of the frame at the tail, or of the next one */
	struct dp_meta meta;                     /* state before the frame at the tail */
};

void dp_frame_encode(const struct dp_frame *f, uint8_t *out);
int dp_frame_decode(const uint8_t *in, struct dp_frame *f); /* 0, DP_EBADMSG */
void dp_super_encode(const struct dp_super *s, uint8_t *out);
int dp_super_decode(const uint8_t *in, struct dp_super *s); /* 0, DP_EBADMSG, DP_EVERSION */

struct dp_place {
	uint64_t lsn;
	uint32_t length, generation;
};

struct dp_item {
	struct dp_record *record; /* or a barrier: */
	struct dp_meta *meta;
	uint64_t token;
	bool written; /* or on its way to the disk */
};

/* A group commit on its way to the disk, or there while one before it is not. */
struct dp_flight {
	struct dp_journal *j;
	struct dp_io io;
	uint8_t *stage;
	uint32_t items; /* of the queue, behind those of the flights before */
	uint64_t bytes;
	uint64_t end; /* lsn behind the group */
	bool landed;
	int err;
};

#define DP_JOURNAL_NAME (2 * DP_NAME_MAX)

struct dp_renewal; /* renew.c */
struct dp_load;

struct dp_journal {
	struct dp_disk *disk;
	struct dp_file *file;
	char name[DP_JOURNAL_NAME], new_name[DP_JOURNAL_NAME + 16];
	struct dp_journal_config cfg;
	struct dp_journal_events events;
	struct dp_super super; /* as on disk */
	uint64_t data_size;    /* bytes in the circle */
	uint64_t head;         /* everything before it is durable; the oldest flight begins here */
	uint32_t generation;
	struct dp_position last; /* of the newest frame written or queued to be */

	struct dp_place *places; /* ring by seq: (places_from, places_to] */
	uint64_t place_capacity, places_from, places_to;

	struct dp_item *queue; /* ring */
	uint32_t queue_head, queue_count, queue_capacity;
	uint64_t queued_bytes;

	struct dp_flight flights[DP_GROUPS_MAX]; /* a ring, the oldest first */
	uint32_t flight_first, flight_count;
	uint32_t flying;     /* items in all of them, from the queue's head; dropped when durable */
	uint32_t last_group; /* items in the last durable group */
	bool failed, told;
	struct dp_renewal
		*renewal; /* a write failed: a new file is being made; all flights wait for it */
	uint32_t renewals, renewals_in_vain; /* in vain: since a group was written */

	uint8_t *super_block;
	struct dp_io super_io;
	struct dp_super super_next;
	bool super_writing;
	struct dp_meta wanted; /* the newest release, until a superblock says so */
	bool tidy;             /* and it says so at once */
	bool wanting;

	struct dp_record **cache; /* records read along by the last load */
	uint64_t cache_first;
	uint32_t cache_count;
	uint32_t loads; /* under way; others wait: */
	struct dp_load *load_first, *load_last;
	uint64_t commits, records, bytes, torn_bytes;
};

static inline uint64_t dp_align_up(uint64_t value, uint64_t to)
{
	return (value + to - 1) / to * to;
}

static inline struct dp_flight *dp_journal_flight(struct dp_journal *j, uint32_t i)
{
	return &j->flights[(j->flight_first + i) % DP_GROUPS_MAX];
}

/* Where the next group begins. */
static inline uint64_t dp_journal_end(struct dp_journal *j)
{
	return j->flight_count ? dp_journal_flight(j, j->flight_count - 1)->end : j->head;
}

bool dp_journal_flying(const struct dp_journal *j); /* a group has not landed yet */
uint64_t dp_journal_offset(const struct dp_journal *j, uint64_t lsn); /* in the file */
struct dp_place *dp_journal_place(const struct dp_journal *j, uint64_t seq);
int dp_journal_add_place(struct dp_journal *j, uint64_t seq, struct dp_place place);
void dp_journal_stand_at(struct dp_journal *j, const struct dp_meta *meta);
int dp_journal_create(struct dp_journal *j);
int dp_journal_recover(struct dp_journal *j, const struct dp_journal_scan *scan);
/* The record at place p, whose frame begins at `at`; NULL: it is not there, or no memory. */
struct dp_record *dp_journal_decode(const struct dp_place *p, const uint8_t *at, uint64_t seq);
void dp_journal_fail(struct dp_journal *j);
void dp_journal_release_again(struct dp_journal *j); /* what had to wait */

/* renew.c: a write failed; step: something that it may wait for is over */
void dp_journal_renew(struct dp_journal *j);
void dp_journal_renew_step(struct dp_journal *j);
void dp_journal_renewal_free(struct dp_journal *j);
/* The new file is complete, and takes over once nothing is read from the old one any more. */
bool dp_journal_changing_over(const struct dp_journal *j);
void dp_journal_start_loads(struct dp_journal *j); /* that wait */

void dp_journal_fill_barrier(struct dp_journal *j, const struct dp_meta *meta, uint64_t lsn,
	bool last, uint8_t *at, uint32_t *length);

#endif
