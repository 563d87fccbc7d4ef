/* SPDX-License-Identifier: MIT */
/* The volume images of one stream at one node, and the view of them that readers get.
 *
 * Records reach an image in the order of the stream, in batches, and never beyond what the core
 * has agreed; a batch need not be atomic, because the records stay in the journal until the image
 * is synced and are then simply applied again. Readers see the image overlaid by every record
 * that is not applied yet. Destaging waits for a quiet moment or until enough has gathered. */
#ifndef DP_STORE_STORE_H
#define DP_STORE_STORE_H

#include "engine/log.h"
#include "io/disk.h"
#include "journal/journal.h"
#include "proto/message.h"
#include "proto/seal.h"
#include "store/digest.h"

struct dp_store;

struct dp_store_volume {
	uint32_t id;
	uint64_t size;
	const char *file; /* name in the state directory; it may be a link to a block device */
	bool is_new;      /* it has come into the stream since the last start: zeros */
	bool grown;       /* it has become larger since then */
};

struct dp_store_events {
	void (*applied)(void *ctx, uint64_t seq); /* synced up to seq */
	void (*image)(void *ctx, const struct dp_found *found, struct dp_buf *data); /* borrowed */
	/* A resync asks for a chunk; the answer comes with dp_store_fill(). */
	void (*want)(void *ctx, const struct dp_wanted *want);
	/* The new images are synced: so much of them is copied, whole with the records up to
	 * valid_seq. */
	void (*copied)(void *ctx, uint64_t copied, uint64_t valid_seq, bool all);
	void (*failed)(void *ctx); /* an image could not be written; nothing more is applied */
	void *ctx;
};

struct dp_store_mark {
	uint64_t id, seq, epoch;
	uint32_t volume;
	uint8_t digest[DP_DIGEST_SIZE];
	bool done;
};

/* Opens or creates (sparse) the images that log->last.images names; also those that a resync was
 * building. `log` is the core's. `seal` opens what sealed records and answers carry, it is borrowed
 * and NULL where the stream is not sealed. Errors: those of the disk, DP_EINVAL (an image is
 * smaller than its volume), DP_ENOMEM. While a resync is under way the volumes have to be those
 * with which it began, in their order. */
int dp_store_open(struct dp_disk *disk, const struct dp_store_volume *volumes, unsigned count,
	const struct dp_log *log, struct dp_journal *journal, struct dp_seal *seal,
	const struct dp_store_events *events, struct dp_store **out);
void dp_store_close(struct dp_store **store); /* not while dp_store_busy() */
bool dp_store_busy(const struct dp_store *store);

void dp_store_note(struct dp_store *store);                 /* the log has grown */
void dp_store_apply(struct dp_store *store, uint64_t seq);  /* may be applied up to here */
void dp_store_cut(struct dp_store *store, uint64_t seq);    /* the log was cut after seq */
void dp_store_reset(struct dp_store *store, uint64_t seq);  /* recovery: images stand at seq */
void dp_store_now(struct dp_store *store, uint64_t now_us); /* before any of these */
void dp_store_tick(struct dp_store *store, uint64_t now_us);
/* Whether dp_store_tick() has something to do, now or soon: images are not where they are to be. */
bool dp_store_has_work(const struct dp_store *store);
void dp_store_work(struct dp_store
		*store); /* starts what is next; call it when the journal has nothing to write */

/* Does not wait for a quiet moment until all that is agreed is applied. */
void dp_store_hurry(struct dp_store *store);

/* The same before a clean stop; a resync that is under way stops. */
void dp_store_drain(struct dp_store *store);

/* Answers through events.image, possibly from within. DP_ENOENT, DP_ERANGE as status. */
void dp_store_read(struct dp_store *store, const struct dp_wanted *want);

/* Resync (resync.c): new images, as log->last.images says, are filled chunk by chunk with what
 * another copy answers, while records are applied to them in between. Names of requests grow from
 * `seed`. Stopping forgets what was asked for. */
void dp_store_resync(struct dp_store *store, uint64_t seed);
void dp_store_resync_stop(struct dp_store *store);
void dp_store_resync_rate(struct dp_store *store, uint64_t bytes_per_second); /* 0: no limit */
/* DP_EPERM: it is not sealed as it should be; it is not taken, and asked for again. */
int dp_store_fill(struct dp_store *store, const struct dp_found *found, struct dp_buf *data);
/* The new images count now: the old ones are removed. */
void dp_store_switch(struct dp_store *store);

/* The newest digest that was taken at mark `id`; NULL: none (yet). */
const struct dp_store_mark *dp_store_find_mark(const struct dp_store *store, uint64_t id);

struct dp_store_stats {
	uint64_t synced;                 /* seq */
	uint64_t size, copied, fetched;  /* bytes: of all volumes; of a resync: done, sent to us */
	uint64_t resync_us, resync_from; /* how long it has been going on, and from where */
};
struct dp_store_stats dp_store_stats(const struct dp_store *store);

#endif
