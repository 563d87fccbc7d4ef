#ifndef DP_STORE_INTERNAL_H
#define DP_STORE_INTERNAL_H

#include "base/limits.h"
#include "store/extents.h"
#include "store/store.h"

#define BATCH_RECORDS 64u /* few at a time: journal commits share the disk with them */
#define BATCH_BYTES   (4 * DP_MIB)
#define SYNC_BYTES    (64 * DP_MIB)
#define QUIET_US      30000
#define MARKS_KEPT    16u

struct volume {
	uint32_t id;
	uint64_t size;
	struct dp_file *file;
	struct dp_extents overlay;
	bool dirty; /* written since its last sync */
};

struct piece_io {
	struct dp_io io;
	struct dp_store *store;
	struct piece_io *next;
};

struct digest_job {
	struct dp_digest digest;
	struct dp_io io;
	struct volume *volume;
	uint64_t offset;
	uint8_t *data;
};

struct dp_store {
	struct dp_disk *disk;
	const struct dp_log *log;
	struct dp_journal *journal;
	struct dp_store_events events;
	struct volume volumes[DP_VOLUMES_MAX];
	unsigned volume_count;
	uint64_t applied, synced, target; /* seqs */
	uint64_t image_may_hold;          /* seq that images may have reached before a restart */
	uint64_t waiting_bytes;           /* noted and not applied */
	uint64_t since_sync, bytes_applied;
	uint64_t noted_us, now_us;
	bool eager;  /* go on until target */
	bool failed, applying, syncing;
	unsigned reads;

	/* the batch under way: records (applied, batch_last] */
	struct dp_record *batch[BATCH_RECORDS];
	uint64_t batch_last, batch_next; /* next: to be loaded */
	unsigned batch_ios;
	bool batch_bad, loading;
	struct dp_extents plan;
	struct dp_io sync_io[DP_VOLUMES_MAX];
	unsigned syncs;
	uint64_t sync_seq;
	struct digest_job *job;
	struct dp_store_mark marks[MARKS_KEPT];
	unsigned mark_next;
};

struct volume *dp_store_volume(struct dp_store *s, uint32_t id);
void dp_store_work(struct dp_store *s);      /* starts what is next, if nothing is under way */
/* Digest, then applied = seq and on; false: there is none to be taken, only applied = seq. */
bool dp_store_take_mark(struct dp_store *s, uint64_t seq);
void dp_store_applied(struct dp_store *s, uint64_t seq);
void dp_store_fail(struct dp_store *s);

#endif
