/* SPDX-License-Identifier: MIT */
/* The on-disk log of one stream at one node: a prewritten circular file (docs/disk-format.md).
 *
 * Records are appended by group commit: all that wait go in one durable write. A failed write is
 * final for the file (law 2): the journal goes on in a new one (renew.c), or, where it cannot make
 * one, reports that once and does nothing more. Barriers carry the node's
 * promises and say where the log stands: at its end (a promise, a recovery), before it (a cut),
 * or beyond it (a jump over records that were released unwritten). */
#ifndef DP_JOURNAL_JOURNAL_H
#define DP_JOURNAL_JOURNAL_H

#include "io/disk.h"
#include "proto/history.h"
#include "proto/record.h"

struct dp_journal;

struct dp_journal_config {
	uint64_t stream;
	uint64_t size;     /* of the file; multiple of DP_DISK_ALIGN */
	uint64_t instance; /* random; names the journal if it is created now */
};

/* What the journal tells its owner. Called from the owner's own calls or from the loop. */
struct dp_journal_events {
	void (*durable)(void *ctx, uint64_t seq);
	void (*barrier)(void *ctx, uint64_t token);
	/* A write failed: nothing more is durable until all there is stands in a new file. `done`:
	 * now it does. */
	void (*renewal)(void *ctx, bool done);
	void (*failed)(void *ctx);
	void *ctx;
	void (*freed)(void *ctx); /* dp_journal_room() has grown; NULL: the owner looks by itself */
};

/* What recovery finds, in order: the tail first, then records and barriers. A non-zero return
 * stops recovery with that code. */
struct dp_journal_scan {
	int (*tail)(void *ctx, const struct dp_meta *meta);
	int (*record)(void *ctx, const struct dp_header *h);
	int (*barrier)(void *ctx, const struct dp_meta *meta);
	void *ctx;
};

/* Opens or creates the journal file `name` and recovers it. On success everything found is
 * durable, and what a crash tore cannot come back.
 * Errors: DP_ECORRUPT (damage below the durable mark: nothing is changed on disk), DP_EVERSION,
 * DP_EINVAL (another stream's or another size's file), DP_EIO, DP_ENOSPC, DP_ENOMEM. */
int dp_journal_open(struct dp_disk *disk, const char *name, const struct dp_journal_config *cfg,
	const struct dp_journal_events *events, const struct dp_journal_scan *scan,
	struct dp_journal **out);

/* Frees it. Nothing may be in flight (see dp_journal_busy). */
void dp_journal_close(struct dp_journal **j);
bool dp_journal_busy(const struct dp_journal *j);

/* Queue for the next group commits, in order. append takes a reference of its own. */
void dp_journal_append(struct dp_journal *j, struct dp_record *r);
void dp_journal_barrier(struct dp_journal *j, const struct dp_meta *meta, uint64_t token);

/* Starts a group commit if something waits and none is under way. The owner calls it after
 * appending and after completions. */
void dp_journal_kick(struct dp_journal *j);

/* The same while others are under way, as far as there may be more: on a slow disk what waits need
 * not wait for all of what was there before. */
void dp_journal_overlap(struct dp_journal *j);

/* Everything up to meta->at is no longer needed. Space comes back once a superblock says so. What
 * was not written yet, or never will be, may be part of it: then it is to be said again, until it
 * is. */
void dp_journal_release(struct dp_journal *j, const struct dp_meta *meta);

/* From now on every release is written at once: the next start finds nothing that is not needed. */
void dp_journal_tidy(struct dp_journal *j);

/* Bytes that wait to be written, or are on their way. */
uint64_t dp_journal_queued(const struct dp_journal *j);

/* Bytes that may still be appended (see dp_core_cost()). */
uint64_t dp_journal_room(const struct dp_journal *j);

/* Reads record seq back; done(ctx, seq, record) with a borrowed record, or NULL if it is not
 * there or damaged. May be called from within. With `ahead` up to a MiB of what follows is read
 * along and answers the next calls. A few are under way at once; the others wait. */
typedef void dp_journal_loaded(void *ctx, uint64_t seq, struct dp_record *r);
void dp_journal_load(struct dp_journal *j, uint64_t seq, bool ahead, dp_journal_loaded *done,
	void *ctx);

uint64_t dp_journal_instance(const struct dp_journal *j);

struct dp_journal_stats {
	uint64_t size, used, commits, records, bytes, torn_bytes;
	uint32_t last_group, waiting; /* items in the last group, items for the next one */
	uint32_t renewals;            /* new files made since it was opened */
	bool writing, renewing;       /* a group at least; a new file */
};
struct dp_journal_stats dp_journal_stats(const struct dp_journal *j);

#endif
