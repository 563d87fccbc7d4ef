/* SPDX-License-Identifier: MIT */
/* Readers' view: the image, overlaid by the records that are not applied yet; and digests. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "store/internal.h"

struct read_job;

struct part {
	struct dp_io io; /* from the image */
	struct read_job *job;
	uint64_t seq, start, end; /* from a record */
};

struct read_job {
	struct dp_store *store;
	struct dp_wanted want;
	struct dp_buf *data;
	unsigned waiting;
	int err;
	bool again; /* a record left the journal while it was being read: its bytes are in the image
		     */
	unsigned tries;
};

static void start(struct read_job *job);

void dp_store_chunk_digest(const uint8_t *data, size_t size, uint8_t *out)
{
	crypto_generichash(out, DP_WANTED_DIGEST, data, size, NULL, 0);
}

/* What a reader that has something already need not be sent. */
static enum dp_found_kind compare(const struct dp_wanted *w, const uint8_t *data)
{
	uint8_t digest[DP_WANTED_DIGEST];
	if (!w->compare)
		return DP_FOUND_DATA;
	if (dp_all_zero(data, w->length))
		return DP_FOUND_ZEROS;
	dp_store_chunk_digest(data, w->length, digest);
	return memcmp(digest, w->digest, sizeof digest) == 0 ? DP_FOUND_SAME : DP_FOUND_DATA;
}

static void answer(struct read_job *job)
{
	struct dp_store *s = job->store;
	struct dp_found f = {.id = job->want.id,
		.status = job->err,
		.seq = s->log->last.at.seq,
		.length = job->want.length};
	if (!job->err)
		f.kind = compare(&job->want, job->data->data);
	bool carries = !job->err && f.kind == DP_FOUND_DATA;
	s->events.image(s->events.ctx, &f, carries ? job->data : NULL);
}

static void part_over(struct read_job *job)
{
	if (--job->waiting)
		return;
	struct dp_store *s = job->store;
	if (job->again && dp_store_building(s))
		job->err = DP_EAGAIN; /* the image that it was begun on counts no more */
	if (job->again && !job->err && job->tries++ < 8) {
		start(job);
		return;
	}
	if (job->again && !job->err)
		job->err = DP_EIO;
	s->reads--;
	answer(job);
	dp_buf_unref(&job->data);
	free(job);
}

static void image_done(struct dp_io *io, int err)
{
	struct part *p = io->arg;
	struct read_job *job = p->job;
	if (err)
		job->err = err;
	free(p);
	part_over(job);
}

static void copy_record(struct read_job *job, const struct dp_record *r, uint64_t start_at,
	uint64_t end)
{
	uint8_t *to = job->data->data + (start_at - job->want.offset);
	struct dp_buf *data;
	int err = dp_store_data(job->store, r, &data);
	if (err)
		job->err = err;
	else if (data)
		memcpy(to, data->data + (start_at - r->h.offset), end - start_at);
	else
		memset(to, 0, end - start_at);
	dp_buf_unref(&data);
}

static void record_loaded(void *ctx, uint64_t seq, struct dp_record *r)
{
	struct part *p = ctx;
	struct read_job *job = p->job;
	bool right = r && r->h.seq == seq && r->h.offset <= p->start &&
		p->end <= r->h.offset + r->h.length;
	if (right)
		copy_record(job, r, p->start, p->end);
	else
		job->again = true;
	free(p);
	part_over(job);
}

static struct part *new_part(struct read_job *job, uint64_t start_at, uint64_t end)
{
	struct part *p = calloc(1, sizeof *p);
	if (!p) {
		job->err = DP_ENOMEM;
		return NULL;
	}
	p->job = job;
	p->start = start_at;
	p->end = end;
	job->waiting++;
	return p;
}

static void from_image(struct read_job *job, struct volume *v, uint64_t start_at, uint64_t end)
{
	struct part *p = start_at < end ? new_part(job, start_at, end) : NULL;
	if (!p)
		return;
	p->io = (struct dp_io){.op = DP_IO_READ,
		.file = v->file,
		.data = job->data->data + (start_at - job->want.offset),
		.size = end - start_at,
		.offset = start_at,
		.done = image_done,
		.arg = p};
	job->store->disk->ops->submit(job->store->disk, &p->io);
}

static void from_record(struct read_job *job, uint64_t seq, uint64_t start_at, uint64_t end)
{
	struct dp_log_entry *e = dp_log_entry(job->store->log, seq);
	if (e && e->record) {
		copy_record(job, e->record, start_at, end);
		return;
	}
	if (e && e->op != DP_OP_WRITE) {
		memset(job->data->data + (start_at - job->want.offset), 0, end - start_at);
		return;
	}
	struct part *p = new_part(job, start_at, end);
	if (p)
		dp_journal_load(job->store->journal, seq, false, record_loaded, p);
}

static void start(struct read_job *job)
{
	struct volume *v = dp_store_volume(job->store, job->want.volume);
	uint64_t at = job->want.offset, end = at + job->want.length;
	job->waiting = 1; /* held until all parts are under way */
	job->again = false;
	job->err = dp_store_overlay(job->store);
	struct dp_extent *x = dp_extents_find(&v->overlay, at);
	while (at < end && !job->err) {
		uint64_t from = x && x->start < end ? x->start : end;
		if (from > at) {
			from_image(job, v, at, from);
			at = from;
			continue;
		}
		uint64_t to = x->end < end ? x->end : end;
		from_record(job, x->seq, at, to);
		at = to;
		x = dp_extents_next(x);
	}
	part_over(job);
}

/* How far from `offset` on neither image nor overlay has anything. */
static uint64_t zeros_from(struct volume *v, struct dp_store *s, uint64_t offset)
{
	uint64_t from, to;
	if (dp_store_overlay(s))
		return 0;
	struct dp_extent *x = dp_extents_find(&v->overlay, offset);
	s->disk->ops->next_data(v->file, offset, &from, &to);
	if (x && x->start < from)
		from = x->start;
	if (from > v->size)
		from = v->size;
	return from > offset ? from - offset : 0;
}

static bool answer_zeros(struct dp_store *s, struct volume *v, const struct dp_wanted *w)
{
	uint64_t zeros = w->compare ? zeros_from(v, s, w->offset) : 0;
	if (zeros < w->length)
		return false;
	struct dp_found f = {
		.id = w->id, .kind = DP_FOUND_ZEROS, .seq = s->log->last.at.seq, .length = zeros};
	s->events.image(s->events.ctx, &f, NULL);
	return true;
}

void dp_store_read(struct dp_store *s, const struct dp_wanted *w)
{
	struct volume *v = dp_store_volume(s, w->volume);
	struct read_job *job = NULL;
	int err = !v ? DP_ENOENT
		: (w->compare && !w->length) || w->offset > v->size ||
			w->length > v->size - w->offset
		? DP_ERANGE
		: 0;
	if (!err && answer_zeros(s, v, w))
		return;
	if (!err) {
		job = calloc(1, sizeof *job);
		struct dp_buf *data = job ? dp_buf_new(w->length) : NULL;
		if (!data) {
			free(job);
			err = DP_ENOMEM;
		} else {
			*job = (struct read_job){.store = s, .want = *w, .data = data};
		}
	}
	if (err) {
		s->events.image(s->events.ctx, &(struct dp_found){.id = w->id, .status = err},
			NULL);
		return;
	}
	s->reads++;
	start(job);
}

/* ---- digests at a mark: nothing is applied meanwhile, so the image stands still ---- */

static void digest_next(struct dp_store *s);

static void digest_end(struct dp_store *s, int err)
{
	struct digest_job *job = s->job;
	struct dp_store_mark *m = &s->marks[s->mark_next % MARKS_KEPT];
	s->job = NULL;
	if (!err) {
		dp_digest_final(&job->digest, m->digest);
		m->done = true;
		s->mark_next++;
		dp_store_applied(s, m->seq);
	} else {
		dp_store_fail(s);
	}
	free(job->data);
	free(job);
	dp_store_work(s);
}

static void digest_read(struct dp_io *io, int err)
{
	struct dp_store *s = io->arg;
	struct digest_job *job = s->job;
	for (size_t at = 0; !err && at < io->size; at += DP_DIGEST_BLOCK) {
		size_t size = io->size - at < DP_DIGEST_BLOCK ? io->size - at : DP_DIGEST_BLOCK;
		dp_digest_block(&job->digest, (io->offset + at) / DP_DIGEST_BLOCK, job->data + at,
			size);
	}
	job->offset = io->offset + io->size;
	if (err)
		digest_end(s, err);
	else
		digest_next(s);
}

static void digest_next(struct dp_store *s)
{
	struct digest_job *job = s->job;
	uint64_t from, to, size = job->volume->size;
	s->disk->ops->next_data(job->volume->file, job->offset, &from, &to);
	from = from / DP_DIGEST_BLOCK * DP_DIGEST_BLOCK;
	if (from < job->offset)
		from = job->offset;
	if (from >= size) {
		digest_end(s, 0);
		return;
	}
	uint64_t length = size - from < DP_MIB ? size - from : DP_MIB;
	job->io = (struct dp_io){.op = DP_IO_READ,
		.file = job->volume->file,
		.data = job->data,
		.size = length,
		.offset = from,
		.done = digest_read,
		.arg = s};
	s->disk->ops->submit(s->disk, &job->io);
}

bool dp_store_take_mark(struct dp_store *s, uint64_t seq)
{
	struct dp_log_entry *e = dp_log_entry(s->log, seq);
	struct digest_job *job = calloc(1, sizeof *job);
	uint8_t *data = malloc(DP_MIB);
	struct volume *v = dp_store_volume(s, e->volume);
	/* A record that stood in the journal before a restart may be older than what the image
	 * already held then, and what a resync is filling is nothing yet. */
	if (!job || !data || !v || seq <= s->image_may_hold || dp_store_building(s)) {
		free(job);
		free(data);
		dp_store_applied(s, seq); /* a mark without a digest: nothing is lost by it */
		return false;
	}
	s->marks[s->mark_next % MARKS_KEPT] = (struct dp_store_mark){
		.id = e->offset, .seq = seq, .epoch = e->epoch, .volume = e->volume};
	s->job = job;
	job->data = data;
	job->volume = v;
	dp_digest_init(&job->digest);
	digest_next(s);
	return true;
}

const struct dp_store_mark *dp_store_find_mark(const struct dp_store *s, uint64_t id)
{
	for (unsigned i = 1; i <= MARKS_KEPT; i++) {
		const struct dp_store_mark *m = &s->marks[(s->mark_next - i) % MARKS_KEPT];
		if (m->done && m->id == id)
			return m;
	}
	return NULL;
}
