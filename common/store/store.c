/* SPDX-License-Identifier: MIT */
#include "store/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct volume *dp_store_volume(struct dp_store *s, uint32_t id)
{
	for (unsigned i = 0; i < s->volume_count; i++)
		if (s->volumes[i].id == id)
			return &s->volumes[i];
	return NULL;
}

void dp_store_fail(struct dp_store *s)
{
	if (s->failed)
		return;
	s->failed = true;
	s->events.failed(s->events.ctx);
}

int dp_store_data(struct dp_store *s, const struct dp_record *r, struct dp_buf **data)
{
	*data = NULL;
	if (!(r->h.flags & DP_RECORD_SEALED)) {
		*data = dp_buf_ref(r->payload);
		return 0;
	}
	return s->seal ? dp_seal_open_record(s->seal, r, data) : DP_EPERM;
}

/* ---- syncing ---- */

static void sync_done(struct dp_io *io, int err)
{
	struct dp_store *s = io->arg;
	if (err)
		dp_store_fail(s);
	if (--s->syncs)
		return;
	s->syncing = false;
	if (s->failed)
		return;
	if (s->synced < s->sync_seq) {
		s->synced = s->sync_seq;
		s->events.applied(s->events.ctx, s->synced);
	}
	dp_store_resync_synced(s);
	dp_store_work(s);
}

static void start_sync(struct dp_store *s)
{
	s->syncing = true;
	s->sync_seq = s->applied;
	s->resync.synced_at = s->resync.at;
	s->resync.since_sync = 0;
	s->since_sync = 0;
	s->syncs = 1; /* held until all are submitted */
	for (unsigned i = 0; i < s->volume_count; i++) {
		struct volume *v = &s->volumes[i];
		if (!v->dirty)
			continue;
		v->dirty = false;
		s->syncs++;
		s->sync_io[i] = (struct dp_io){
			.op = DP_IO_SYNC, .file = v->file, .done = sync_done, .arg = s};
		s->disk->ops->submit(s->disk, &s->sync_io[i]);
	}
	struct dp_io none = {.arg = s};
	sync_done(&none, 0);
}

/* ---- applying a batch ---- */

static void forget_overlay(struct dp_store *s)
{
	for (unsigned i = 0; i < s->volume_count; i++)
		dp_extents_clear(&s->volumes[i].overlay);
	s->overlaid = s->applied;
}

void dp_store_applied(struct dp_store *s, uint64_t seq)
{
	int err = 0;
	for (uint64_t n = s->applied + 1; n <= seq && n <= s->overlaid; n++) {
		struct dp_log_entry *e = dp_log_entry(s->log, n);
		struct volume *v = dp_op_has_extent(e->op) ? dp_store_volume(s, e->volume) : NULL;
		if (v && !err)
			err = dp_extents_drop(&v->overlay, e->offset, e->offset + e->length, n);
	}
	s->applied = seq;
	if (err)
		forget_overlay(s);
}

static void end_batch(struct dp_store *s)
{
	uint64_t count = s->batch_last - s->applied;
	for (uint64_t i = 0; i < count; i++) {
		dp_record_unref(&s->batch[i]);
		dp_buf_unref(&s->batch_data[i]);
	}
	s->applying = false;
	if (s->batch_bad)
		dp_store_fail(s);
	if (s->failed)
		return;
	dp_store_applied(s, s->batch_last);
	s->resync.my_turn = true;
	dp_store_work(s);
}

static void release_io(struct dp_store *s)
{
	if (--s->batch_ios == 0)
		end_batch(s);
}

static void piece_done(struct dp_io *io, int err)
{
	struct piece_io *p = io->arg;
	struct dp_store *s = p->store;
	if (err)
		s->batch_bad = true;
	free(p);
	release_io(s);
}

static void write_piece(struct dp_store *s, struct volume *v, const struct dp_extent *x)
{
	const struct dp_record *r = s->batch[x->seq - s->applied - 1];
	const struct dp_buf *data = s->batch_data[x->seq - s->applied - 1];
	struct piece_io *p = calloc(1, sizeof *p);
	if (!p) {
		s->batch_bad = true;
		return;
	}
	p->store = s;
	p->io = (struct dp_io){
		.op = data ? DP_IO_WRITE : DP_IO_ZERO,
		.file = v->file,
		.data = data ? data->data + (x->start - r->h.offset) : NULL,
		.size = x->end - x->start,
		.offset = x->start,
		.done = piece_done,
		.arg = p,
	};
	s->batch_ios++;
	s->since_sync += p->io.size;
	v->dirty = true;
	s->disk->ops->submit(s->disk, &p->io);
}

/* The writes of a batch, each byte once and from its newest record, so that they can go out in
 * any order. Records beyond the batch do not count: they may still be cut. */
static void write_volume(struct dp_store *s, struct volume *v, uint64_t count)
{
	for (uint64_t i = 0; i < count; i++) {
		const struct dp_header *h = &s->batch[i]->h;
		if (dp_op_has_extent(h->op) && h->volume == v->id &&
			dp_extents_put(&s->plan, h->offset, h->offset + h->length, h->seq))
			s->batch_bad = true;
	}
	struct dp_extent *x = dp_extents_find(&s->plan, 0);
	for (; x && !s->batch_bad; x = dp_extents_next(x))
		write_piece(s, v, x);
	dp_extents_clear(&s->plan);
}

static void write_batch(struct dp_store *s)
{
	uint64_t count = s->batch_last - s->applied;
	s->batch_ios = 1; /* held until all are submitted */
	for (uint64_t i = 0; i < count && !s->batch_bad; i++) {
		struct dp_header *h = &s->batch[i]->h;
		struct volume *v = dp_store_volume(s, h->volume);
		/* Checked once more before it reaches the image. */
		if (dp_record_verify(s->batch[i]) ||
			dp_store_data(s, s->batch[i], &s->batch_data[i]) ||
			(dp_op_has_extent(h->op) && v && h->offset + h->length > v->size))
			s->batch_bad = true; /* no v: of a volume that is gone, which nobody reads
					      */
	}
	for (unsigned i = 0; i < s->volume_count && !s->batch_bad; i++)
		write_volume(s, &s->volumes[i], count);
	release_io(s);
}

static void load_batch(struct dp_store *s);

static void batch_loaded(void *ctx, uint64_t seq, struct dp_record *r)
{
	struct dp_store *s = ctx;
	if (r)
		s->batch[seq - s->applied - 1] = dp_record_ref(r);
	else
		s->batch_bad = true;
	s->batch_next++;
	if (!s->loading)
		load_batch(s);
}

/* Fills the batch from the journal, one read at a time: a read brings its neighbours along, so
 * that most of the others are answered at once. */
static void load_batch(struct dp_store *s)
{
	s->loading = true;
	while (s->batch_next <= s->batch_last && !s->batch_bad) {
		uint64_t seq = s->batch_next;
		if (s->batch[seq - s->applied - 1]) {
			s->batch_next++;
			continue;
		}
		dp_journal_load(s->journal, seq, true, batch_loaded, s);
		if (s->batch_next == seq && !s->batch_bad) {
			s->loading = false; /* goes on when the read is done */
			return;
		}
	}
	s->loading = false;
	write_batch(s);
}

/* Bytes that are agreed on or will be, and not in the images yet. */
static uint64_t backlog(const struct dp_store *s)
{
	uint64_t from = s->applied > s->log->tail.at.seq ? s->applied : s->log->tail.at.seq;
	return dp_log_bytes(s->log, from, s->log->last.at.seq);
}

/* The more waits, the more at a time. */
static uint64_t batch_records(const struct dp_store *s)
{
	uint64_t behind = backlog(s),
		 more = behind > GATHER_BYTES ? (behind - GATHER_BYTES) / DP_MIB : 0;
	return s->eager || BATCH_LEAST + more > BATCH_RECORDS ? BATCH_RECORDS : BATCH_LEAST + more;
}

static void start_batch(struct dp_store *s)
{
	uint64_t bytes = 0, last = s->applied, most = batch_records(s);
	s->applying = true;
	s->batch_bad = false;
	while (last < s->target && last - s->applied < most && bytes < BATCH_BYTES) {
		struct dp_log_entry *e = dp_log_entry(s->log, last + 1);
		if (e->op == DP_OP_MARK)
			break;
		last++;
		bytes += e->payload_len;
		s->batch[last - s->applied - 1] = e->record ? dp_record_ref(e->record) : NULL;
	}
	s->batch_last = last;
	s->batch_next = s->applied + 1;
	load_batch(s);
}

/* Whether to destage now: quiet, told to, or enough has gathered. */
static bool due(const struct dp_store *s, const struct dp_journal_stats *j)
{
	return s->eager || dp_store_building(s) || s->now_us - s->noted_us >= QUIET_US ||
		j->used > j->size / 4 || backlog(s) > GATHER_BYTES ||
		dp_log_count(s->log) > j->size / DP_JOURNAL_BYTES_PER_RECORD / 2;
}

/* A host waits for what the journal writes, and for an image nobody does as long as it keeps up. */
static bool stands_back(const struct dp_store *s, const struct dp_journal_stats *j)
{
	return (j->writing || j->waiting) && !s->eager && !dp_store_building(s) &&
		j->used <= j->size / 4 && backlog(s) <= STAND_BACK;
}

/* What is applied leaves the journal only when the images are synced: the less room it has, the
 * sooner that is done, so that writes that wait for room wait shortly and often. */
static uint64_t sync_bytes(const struct dp_journal_stats *j)
{
	uint64_t share = j->used < j->size ? (j->size - j->used) / 4 : 0;
	return share > SYNC_BYTES ? SYNC_BYTES : share < SYNC_LEAST ? SYNC_LEAST : share;
}

static bool may_apply(const struct dp_store *s)
{
	struct dp_journal_stats j = dp_journal_stats(s->journal);
	return s->applied < s->target && s->since_sync < sync_bytes(&j) && due(s, &j) &&
		!stands_back(s, &j);
}

void dp_store_work(struct dp_store *s)
{
	if (s->applying || s->syncing || s->job || s->failed || s->resync.used ||
		s->resync.postponed)
		return;
	if (s->resync.my_turn && dp_store_round(s))
		return;
	/* A mark that gets no digest leaves nothing under way that would go on from here. */
	while (may_apply(s) && dp_log_entry(s->log, s->applied + 1)->op == DP_OP_MARK)
		if (dp_store_take_mark(s, s->applied + 1))
			return;
	if (may_apply(s))
		start_batch(s);
	else if (s->synced < s->applied || dp_store_resync_unsynced(s))
		start_sync(s);
	else if (dp_store_round(s))
		return;
	else if (s->applied == s->target)
		s->eager = false;
}

/* ---- what the core says ---- */

void dp_store_note(struct dp_store *s)
{
	s->noted_us = s->now_us;
}

int dp_store_overlay(struct dp_store *s)
{
	if (s->overlaid < s->applied)
		s->overlaid = s->applied;
	while (s->overlaid < s->log->last.at.seq) {
		const struct dp_log_entry *e = dp_log_entry(s->log, ++s->overlaid);
		struct volume *v = e && dp_op_has_extent(e->op) ? dp_store_volume(s, e->volume)
								: NULL;
		if (!v ||
			!dp_extents_put(&v->overlay, e->offset, e->offset + e->length, s->overlaid))
			continue;
		forget_overlay(s);
		return DP_ENOMEM;
	}
	return 0;
}

void dp_store_apply(struct dp_store *s, uint64_t seq)
{
	while (s->target < seq) {
		const struct dp_log_entry *e = dp_log_entry(s->log, ++s->target);
		if (e && e->op == DP_OP_MARK)
			s->eager = true; /* somebody waits for the digest */
	}
	dp_store_work(s);
}

void dp_store_cut(struct dp_store *s, uint64_t seq)
{
	assert(seq >= s->target || seq >= s->applied);
	forget_overlay(s);
}

void dp_store_reset(struct dp_store *s, uint64_t seq)
{
	s->applied = s->synced = s->target = seq;
	s->image_may_hold = s->log->last.at.seq;
	dp_store_cut(s, s->log->last.at.seq);
}

void dp_store_now(struct dp_store *s, uint64_t now_us)
{
	s->now_us = now_us;
}

bool dp_store_has_work(const struct dp_store *s)
{
	return !s->failed &&
		(s->applied < s->target || s->synced < s->applied || s->eager ||
			s->resync.running || s->resync.used || s->resync.postponed || s->job);
}

void dp_store_tick(struct dp_store *s, uint64_t now_us)
{
	s->now_us = now_us;
	dp_store_resync_tick(s);
	dp_store_work(s);
}

void dp_store_hurry(struct dp_store *s)
{
	s->eager = true;
	dp_store_work(s);
}

void dp_store_drain(struct dp_store *s)
{
	dp_store_resync_stop(s);
	dp_store_hurry(s);
}

bool dp_store_busy(const struct dp_store *s)
{
	return s->applying || s->syncing || s->job || s->reads || s->resync.ios;
}

/* ---- life ---- */

static int open_volume(struct dp_store *s, const struct dp_store_volume *from)
{
	struct volume *v = &s->volumes[s->volume_count];
	dp_extents_init(&v->overlay);
	v->id = from->id;
	v->size = from->size;
	snprintf(v->name, sizeof v->name, "%s", from->file);
	s->resync.total += v->size;
	s->volume_count++;
	return dp_store_open_images(s, v, from);
}

int dp_store_open(struct dp_disk *disk, const struct dp_store_volume *volumes, unsigned count,
	const struct dp_log *log, struct dp_journal *journal, struct dp_seal *seal,
	const struct dp_store_events *events, struct dp_store **out)
{
	struct dp_store *s = calloc(1, sizeof *s);
	if (!s)
		return DP_ENOMEM;
	s->disk = disk;
	s->log = log;
	s->journal = journal;
	s->seal = seal;
	s->events = *events;
	dp_extents_init(&s->plan);
	s->resync.step = (struct resync_step){RESYNC_CHUNK, SLOTS, 16 * DP_MIB};
	s->resync.at = s->resync.next = s->resync.start_at = log->last.images.copied;
	s->volumes = calloc(count, sizeof *s->volumes);
	s->sync_io = calloc(count, sizeof *s->sync_io);
	int err = count > DP_VOLUMES_MAX ? DP_ERANGE : 0;
	if (count && (!s->volumes || !s->sync_io))
		err = DP_ENOMEM;
	for (unsigned i = 0; i < count && !err; i++)
		err = open_volume(s, &volumes[i]);
	if (err)
		dp_store_close(&s);
	*out = s;
	return err;
}

void dp_store_close(struct dp_store **ps)
{
	struct dp_store *s = *ps;
	*ps = NULL;
	if (!s)
		return;
	for (unsigned i = 0; i < s->volume_count; i++) {
		dp_extents_clear(&s->volumes[i].overlay);
		dp_store_close_images(s, &s->volumes[i]);
	}
	for (unsigned i = 0; s->resync.slots && i < SLOTS; i++)
		free(s->resync.slots[i].data);
	free(s->resync.slots);
	free(s->volumes);
	free(s->sync_io);
	free(s);
}

struct dp_store_stats dp_store_stats(const struct dp_store *s)
{
	struct dp_store_stats st = {.synced = s->synced, .size = s->resync.total};
	if (dp_store_building(s)) {
		st.copied = s->resync.at;
		st.fetched = s->resync.fetched;
		st.resync_us = s->now_us - s->resync.start_us;
		st.resync_from = s->resync.start_at;
	}
	return st;
}
