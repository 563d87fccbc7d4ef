/* SPDX-License-Identifier: MIT */
/* Shared by the files of the store: volumes, batches and the store's state. Private to
 * common/store. */
#ifndef DP_STORE_INTERNAL_H
#define DP_STORE_INTERNAL_H

#include "base/limits.h"
#include "store/extents.h"
#include "store/store.h"

#define BATCH_RECORDS 64u
#define BATCH_BYTES   (4 * DP_MIB)
/* Journal commits share the disk with batches, so these are small and stand back as long as no more
 * than this waits to be applied: well within what a node keeps in memory, so that none of it is
 * read back. */
#define BATCH_LEAST  16u
#define GATHER_BYTES (16 * DP_MIB)
#define STAND_BACK   (20 * DP_MIB)
#define SYNC_BYTES   (64 * DP_MIB)
#define SYNC_LEAST   (8 * DP_MIB)
#define QUIET_US     30000
#define MARKS_KEPT   16u

struct volume {
	uint32_t id;
	uint64_t size;
	char name[DP_NAME_MAX + 16]; /* of its first image */
	struct dp_file *file;        /* that records are applied to */
	struct dp_file *old;         /* during a resync: the image that still counts */
	struct dp_extents overlay;
	bool dirty; /* written since its last sync */
};

struct piece_io {
	struct dp_io io;
	struct dp_store *store;
};

struct digest_job {
	struct dp_digest digest;
	struct dp_io io;
	struct volume *volume;
	uint64_t offset;
	uint8_t *data;
};

/* One chunk of a round: read from the old image, asked for, written to the new one. */
struct slot {
	struct dp_io io;
	struct dp_store *store;
	struct volume *volume;
	struct dp_wanted want; /* as it was asked last */
	uint64_t offset, asked_us;
	uint32_t length;
	bool used, asked, has_data; /* has_data: the old image has other bytes than zeros there */
	bool stale;                 /* of a round that was stopped */
	uint8_t *data;
};

#define SLOTS        64u
#define RESYNC_CHUNK 65536u

/* How much at a time. */
struct resync_step {
	uint32_t chunk;      /* at most RESYNC_CHUNK, a multiple of 4 KiB */
	unsigned slots;      /* of a round, at most SLOTS */
	uint64_t sync_every; /* bytes written to the new images */
};

/* Rounds and batches take turns: no record is applied while a round is under way, so an answer,
 * which sees at least what was applied when it was asked for, never undoes a newer write. */
struct resync {
	bool running, all, reported_all, my_turn, switching, postponed;
	uint64_t at, next, total; /* bytes over the volumes in their order */
	uint64_t synced_at, valid_seq, since_sync, fetched;
	uint64_t ids, start_us, start_at, next_round_us;
	uint64_t rate; /* bytes a second; 0: as fast as it goes */
	unsigned used, ios;
	struct resync_step step;
	struct slot *slots; /* SLOTS of them, from the first resync on */
};

struct dp_store {
	struct dp_disk *disk;
	const struct dp_log *log;
	struct dp_journal *journal;
	struct dp_seal *seal;
	struct dp_store_events events;
	struct volume *volumes;
	unsigned volume_count;
	uint64_t applied, synced, target; /* seqs */
	uint64_t image_may_hold;          /* seq that images may have reached before a restart */
	uint64_t overlaid;                /* seq; see dp_store_overlay() */
	uint64_t since_sync;
	uint64_t noted_us, now_us;
	bool eager; /* go on until target */
	bool failed, applying, syncing;
	unsigned reads;

	/* the batch under way: records (applied, batch_last] */
	struct dp_record *batch[BATCH_RECORDS];
	struct dp_buf *batch_data[BATCH_RECORDS]; /* of writes, opened; NULL of others */
	uint64_t batch_last, batch_next;          /* next: to be loaded */
	unsigned batch_ios;
	bool batch_bad, loading;
	struct dp_extents plan;
	struct dp_io *sync_io; /* one for each volume */
	unsigned syncs;
	uint64_t sync_seq;
	struct digest_job *job;
	struct resync resync;
	struct dp_store_mark marks[MARKS_KEPT];
	unsigned mark_next;
};

struct volume *dp_store_volume(struct dp_store *s, uint32_t id);
/* Digest, then applied = seq and on; false: there is none to be taken, only applied = seq. */
bool dp_store_take_mark(struct dp_store *s, uint64_t seq);
void dp_store_applied(struct dp_store *s, uint64_t seq);
/* Brings the overlays up to the end of the log: 0 or DP_ENOMEM, and what there was is to be built
 * anew. Readers call it: a copy that nobody reads pays nothing for them. */
int dp_store_overlay(struct dp_store *s);
void dp_store_fail(struct dp_store *s);
/* The bytes that a write is to put there, whether it is sealed or not: a new reference. An error of
 * dp_seal_open_record(), which for a record of this node's own journal means that its key was
 * changed. */
int dp_store_data(struct dp_store *s, const struct dp_record *r, struct dp_buf **data);

void dp_store_chunk_digest(const uint8_t *data, size_t size, uint8_t *out); /* DP_WANTED_DIGEST */

/* resync.c */
int dp_store_open_images(struct dp_store *s, struct volume *v, const struct dp_store_volume *from);
void dp_store_close_images(struct dp_store *s, struct volume *v);
bool dp_store_building(const struct dp_store *s);
bool dp_store_round(struct dp_store *s); /* starts one if it is time; false: not now */
void dp_store_resync_tick(struct dp_store *s);
void dp_store_resync_synced(struct dp_store *s); /* the sync that began at resync.synced_at */
/* For tests, whose volumes are small. */
void dp_store_resync_step(struct dp_store *s, struct resync_step step);
bool dp_store_resync_unsynced(const struct dp_store *s);

#endif
