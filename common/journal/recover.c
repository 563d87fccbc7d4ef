/* SPDX-License-Identifier: MIT */
/* Recovery: read from the tail until the first frame that is not the valid successor.
 *
 * The end found that way is a torn tail, which is normal after a crash, unless something proves
 * that it had been durable: the superblock's head, or a later frame of the window that the group
 * commits under way at once span which says so. Then data was damaged, and nothing is changed on
 * disk. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "journal/internal.h"

/* A window onto the circle, read in large pieces. */
struct reader {
	struct dp_journal *j;
	uint8_t *data;
	uint64_t from, size; /* lsns in memory */
};

#define PIECE (4 * DP_MIB)

/* Memory for [lsn, lsn + size), which does not cross the end of the circle; NULL: I/O error. */
static const uint8_t *look(struct reader *r, uint64_t lsn, uint64_t size, int *err)
{
	if (lsn >= r->from && lsn + size <= r->from + r->size)
		return r->data + (lsn - r->from);
	uint64_t from = lsn / DP_DISK_ALIGN * DP_DISK_ALIGN;
	uint64_t left = r->j->data_size - from % r->j->data_size;
	uint64_t piece = left < PIECE ? left : PIECE;
	if (lsn + size > from + piece) {
		*err = DP_EBADMSG;
		return NULL;
	}
	r->size = 0;
	*err = r->j->disk->ops->read(r->j->file, r->data, piece, dp_journal_offset(r->j, from));
	if (*err)
		return NULL;
	r->from = from;
	r->size = piece;
	return r->data + (lsn - from);
}

struct scan_state {
	struct dp_journal *j;
	struct reader reader;
	const struct dp_journal_scan *scan;
	uint64_t lsn;        /* of the next frame */
	uint32_t generation; /* of the frame before */
	bool fenced;         /* the frame before is the barrier of an earlier recovery */
	struct dp_position last;
};

/* 0: `f` is a frame of this journal at lsn. DP_EBADMSG: it is not. Others: I/O. */
static int frame_at(struct scan_state *s, uint64_t lsn, struct dp_frame *f)
{
	int err = 0;
	const uint8_t *at = look(&s->reader, lsn, DP_FRAME_SIZE, &err);
	if (!at)
		return err;
	if (dp_frame_decode(at, f))
		return DP_EBADMSG;
	if (f->instance != s->j->super.instance || f->lsn != lsn)
		return DP_EBADMSG;
	return 0;
}

static int take_record(struct scan_state *s, const struct dp_frame *f)
{
	int err = 0;
	const uint8_t *at = look(&s->reader, s->lsn, f->length, &err);
	struct dp_header h;
	if (!at)
		return err;
	if (f->length < DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE ||
		dp_header_decode(at + DP_FRAME_SIZE, &h))
		return DP_EBADMSG;
	uint32_t size = f->length - DP_FRAME_SIZE - DP_RECORD_HEADER_SIZE;
	const uint8_t *payload = at + DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE;
	if (h.payload_len != size || (size && dp_crc32c(0, payload, size) != h.payload_crc))
		return DP_EBADMSG;
	if (h.seq != s->last.seq + 1 || dp_chain_next(s->last.chain, &h) != h.chain)
		return DP_EBADMSG;
	err = s->scan->record(s->scan->ctx, &h);
	if (err)
		return err;
	s->last = (struct dp_position){h.epoch, h.seq, h.chain};
	struct dp_place place = {s->lsn, f->length, f->generation};
	return dp_journal_add_place(s->j, h.seq, place);
}

static int take_barrier(struct scan_state *s, const struct dp_frame *f)
{
	int err = 0;
	const uint8_t *at = look(&s->reader, s->lsn, f->length, &err);
	struct dp_meta meta;
	if (!at)
		return err;
	uint32_t size = f->length - DP_FRAME_SIZE;
	if (dp_crc32c(0, at + DP_FRAME_SIZE, size) != f->body_crc ||
		dp_meta_decode(at + DP_FRAME_SIZE, size, &meta))
		return DP_EBADMSG;
	err = s->scan->barrier(s->scan->ctx, &meta);
	if (err)
		return err;
	struct dp_journal *j = s->j;
	dp_journal_stand_at(j, &meta);
	/* Where the tail is to be moved behind a jump, it comes to pass this barrier too. */
	dp_meta_own(&j->wanted, &meta);
	s->last = meta.at;
	return 0;
}

/* Where an earlier recovery found a torn group, its barrier stands at the next aligned place and
 * says that the log stood exactly here. */
static bool at_recovery_barrier(struct scan_state *s)
{
	uint64_t lsn = dp_align_up(s->lsn, DP_DISK_ALIGN);
	struct dp_frame f;
	struct dp_meta meta;
	int err = 0;
	if (lsn == s->lsn || frame_at(s, lsn, &f) || f.kind != DP_FRAME_BARRIER ||
		f.generation <= s->generation)
		return false;
	const uint8_t *at = look(&s->reader, lsn, f.length, &err);
	if (!at || dp_meta_decode(at + DP_FRAME_SIZE, f.length - DP_FRAME_SIZE, &meta) ||
		!dp_position_equal(meta.at, s->last))
		return false;
	s->lsn = lsn;
	return true;
}

/* Takes the frame at s->lsn and moves on. DP_EBADMSG: it is not the valid successor. */
static int take_frame(struct scan_state *s)
{
	struct dp_frame f;
	int err = frame_at(s, s->lsn, &f);
	if (err)
		return err;
	/* Frames of an earlier generation at this place were cut off by an earlier recovery. */
	if (f.generation < s->generation ||
		(f.generation > s->generation && f.kind != DP_FRAME_BARRIER))
		return DP_EBADMSG;
	if (f.kind == DP_FRAME_RECORD)
		err = take_record(s, &f);
	else if (f.kind == DP_FRAME_BARRIER)
		err = take_barrier(s, &f);
	else if (f.length != s->j->data_size - s->lsn % s->j->data_size)
		err = DP_EBADMSG;
	if (err)
		return err;
	s->fenced = f.generation > s->generation;
	s->generation = f.generation;
	uint64_t align = f.flags & DP_FRAME_LAST ? DP_DISK_ALIGN : DP_FRAME_ALIGN;
	s->lsn = (s->lsn + f.length + align - 1) / align * align;
	return 0;
}

/* Whether anything proves that lsn `end` had once been durable. */
static int check_torn(struct scan_state *s, uint64_t end)
{
	struct dp_journal *j = s->j;
	if (end < j->super.head_lsn)
		return DP_ECORRUPT;
	uint64_t fence = dp_align_up(end, DP_DISK_ALIGN);
	uint64_t window = 2 * DP_STAGE_SIZE < j->data_size ? 2 * DP_STAGE_SIZE : j->data_size;
	for (uint64_t lsn = end + DP_FRAME_ALIGN; lsn < end + window; lsn += DP_FRAME_ALIGN) {
		struct dp_frame f;
		int err = frame_at(s, lsn, &f);
		if (err && err != DP_EBADMSG)
			return err;
		if (err == 0 && f.generation >= s->generation) {
			/* A later generation begins where an earlier recovery found the end. */
			if (f.durable_lsn > end || (f.generation > s->generation && lsn != fence))
				return DP_ECORRUPT;
			j->torn_bytes = lsn + f.length - end;
		}
	}
	return 0;
}

/* A new generation, durably, before anything else is written: torn bytes cannot be taken for this
 * log again, and everything before is known to have been durable. */
static int write_barrier(struct dp_journal *j, const struct dp_meta *meta)
{
	uint32_t length;
	if (j->head + DP_DISK_ALIGN - j->super.tail_lsn > j->data_size)
		return DP_ENOSPC;
	uint8_t *stage = j->flights[0].stage;
	memset(stage, 0, DP_DISK_ALIGN);
	j->generation++;
	dp_journal_fill_barrier(j, meta, j->head, true, stage, &length);
	int err = j->disk->ops->write(j->file, stage, DP_DISK_ALIGN, dp_journal_offset(j, j->head));
	if (!err)
		j->head += DP_DISK_ALIGN;
	return err;
}

static bool zero_at(struct dp_journal *j, uint64_t offset)
{
	return j->disk->ops->read(j->file, j->super_block, DP_SUPER_SIZE, offset) == 0 &&
		dp_all_zero(j->super_block, DP_SUPER_SIZE);
}

/* A crash while the file was made leaves zeros: a journal that has never begun. Or it tore the odd
 * superblock, which is written first: then the even one is zeros. */
static bool never_begun(struct dp_journal *j)
{
	if (!zero_at(j, 0) || !zero_at(j, DP_DATA_START) ||
		j->disk->ops->read(j->file, j->super_block, DP_SUPER_SIZE, DP_SUPER_SIZE))
		return false;
	uint32_t magic = dp_get32(j->super_block);
	return magic == 0 || magic == DP_SUPER_MAGIC;
}

static int read_supers(struct dp_journal *j)
{
	int found = DP_ECORRUPT;
	for (int i = 0; i < 2; i++) {
		struct dp_super s;
		int err = j->disk->ops->read(j->file, j->super_block, DP_SUPER_SIZE,
			(uint64_t)i * DP_SUPER_SIZE);
		if (err)
			return err;
		err = dp_super_decode(j->super_block, &s);
		if (err == DP_EVERSION)
			return err;
		if (err || (found == 0 && s.number < j->super.number))
			continue;
		j->super = s;
		found = 0;
	}
	if (found)
		return never_begun(j) ? dp_journal_create(j) : found;
	bool fits = j->super.stream == j->cfg.stream && j->super.size == j->cfg.size;
	return fits ? 0 : DP_EINVAL;
}

/* *fence: something was written since the last recovery, whole or torn. A node that is started
 * again and again with a full journal must not use up what is left of it. */
static int scan_all(struct dp_journal *j, const struct dp_journal_scan *scan, uint8_t *memory,
	bool *fence)
{
	struct scan_state s = {.j = j,
		.reader = {.j = j, .data = memory},
		.scan = scan,
		.lsn = j->super.tail_lsn,
		.generation = j->super.generation,
		.fenced = true,
		.last = j->super.meta.at};
	int err = scan->tail(scan->ctx, &j->super.meta);
	j->places_from = j->places_to = s.last.seq;
	while (!err) {
		err = s.lsn - j->super.tail_lsn < j->data_size ? take_frame(&s) : DP_EBADMSG;
		if (err == DP_EBADMSG && at_recovery_barrier(&s))
			err = 0;
	}
	if (err != DP_EBADMSG)
		return err;
	err = check_torn(&s, s.lsn);
	if (err)
		return err;
	j->head = dp_align_up(s.lsn, DP_DISK_ALIGN);
	j->generation = s.generation;
	j->last = s.last;
	*fence = !s.fenced || j->torn_bytes || s.lsn % DP_DISK_ALIGN;
	return 0;
}

struct latest {
	const struct dp_journal_scan *scan;
	struct dp_meta meta;
};

static int latest_tail(void *ctx, const struct dp_meta *meta)
{
	struct latest *l = ctx;
	l->meta = *meta;
	return l->scan->tail(l->scan->ctx, meta);
}

static int latest_record(void *ctx, const struct dp_header *h)
{
	struct latest *l = ctx;
	dp_meta_advance(&l->meta, h);
	return l->scan->record(l->scan->ctx, h);
}

static int latest_barrier(void *ctx, const struct dp_meta *meta)
{
	struct latest *l = ctx;
	l->meta = *meta;
	return l->scan->barrier(l->scan->ctx, meta);
}

int dp_journal_recover(struct dp_journal *j, const struct dp_journal_scan *scan)
{
	int err = read_supers(j);
	if (err)
		return err;
	void *memory = NULL;
	if (posix_memalign(&memory, DP_DISK_ALIGN, PIECE))
		return DP_ENOMEM;
	struct latest l = {.scan = scan};
	struct dp_journal_scan wrapped = {latest_tail, latest_record, latest_barrier, &l};
	bool fence;
	err = scan_all(j, &wrapped, memory, &fence);
	free(memory);
	return err || !fence ? err : write_barrier(j, &l.meta);
}
