/* SPDX-License-Identifier: MIT */
/* Resync: new images are built beside those that count. Walks over the volumes in rounds of chunks:
 * the old image's chunk is digested, another copy is asked whether it has the same, and what the
 * new image is to hold is written. The old images stay as they are, whole, until the switch. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/internal.h"

#define RETRY_US 3000000

static const struct dp_images *images(const struct dp_store *s)
{
	return &s->log->last.images;
}

bool dp_store_building(const struct dp_store *s)
{
	return s->volume_count && s->volumes[0].old;
}

/* ---- files ---- */

static void image_name(const struct volume *v, uint64_t generation, char *out, size_t size)
{
	if (generation)
		snprintf(out, size, "%s.%llu", v->name, (unsigned long long)generation);
	else
		snprintf(out, size, "%s", v->name);
}

/* An image that holds what the journal has released is never made anew. */
static int open_image(struct dp_store *s, struct volume *v, uint64_t generation, unsigned flags,
	struct dp_file **out)
{
	char name[DP_NAME_MAX + 40];
	bool created;
	image_name(v, generation, name, sizeof name);
	int err = s->disk->ops->open(s->disk, name, flags, v->size, out, &created);
	return err ? err : s->disk->ops->size(*out) < v->size ? DP_EINVAL : 0;
}

static int remove_image(struct dp_store *s, struct volume *v, uint64_t generation)
{
	char name[DP_NAME_MAX + 40];
	image_name(v, generation, name, sizeof name);
	return s->disk->ops->remove(s->disk, name);
}

int dp_store_open_images(struct dp_store *s, struct volume *v, const struct dp_store_volume *from)
{
	const struct dp_images *im = images(s);
	bool empty = s->log->tail.at.seq == 0 && im->generation == 0;
	unsigned flags = (empty || from->is_new ? DP_OPEN_CREATE : 0) |
		(from->grown ? DP_OPEN_GROW : 0);
	int err = open_image(s, v, im->generation, flags, &v->file);
	if (!err && im->building) {
		v->old = v->file;
		v->file = NULL;
		err = open_image(s, v, im->building, DP_OPEN_CREATE, &v->file);
	}
	/* What a crash left behind: of before the last switch, or of a resync that never began. */
	if (!err && im->generation)
		err = remove_image(s, v, im->generation - 1);
	if (!err && !im->building)
		err = remove_image(s, v, im->generation + 1);
	return err;
}

void dp_store_close_images(struct dp_store *s, struct volume *v)
{
	if (v->file)
		s->disk->ops->close(v->file);
	if (v->old)
		s->disk->ops->close(v->old);
}

static int begin_building(struct dp_store *s)
{
	int err = 0;
	for (unsigned i = 0; i < s->volume_count && !err; i++) {
		struct volume *v = &s->volumes[i];
		if (v->old)
			continue;
		v->old = v->file;
		v->file = NULL;
		err = open_image(s, v, images(s)->building, DP_OPEN_CREATE, &v->file);
	}
	return err;
}

/* A read that began before the resync may still have to do with the old images. A resync that is
 * ordered meanwhile begins when they are gone. */
static void try_switch(struct dp_store *s)
{
	struct resync *r = &s->resync;
	if (!r->switching || s->reads)
		return;
	r->switching = false;
	for (unsigned i = 0; i < s->volume_count; i++) {
		struct volume *v = &s->volumes[i];
		s->disk->ops->close(v->old);
		v->old = NULL;
		if (remove_image(s, v, images(s)->generation - 1))
			dp_store_fail(s);
	}
	if (r->postponed)
		dp_store_resync(s, r->ids);
}

void dp_store_switch(struct dp_store *s)
{
	dp_store_resync_stop(s);
	s->resync.switching = true;
	try_switch(s);
}

/* ---- a chunk ---- */

static void end_slot(struct slot *sl)
{
	struct resync *r = &sl->store->resync;
	sl->used = sl->asked = false;
	r->used--;
}

static void end_round(struct dp_store *s)
{
	struct resync *r = &s->resync;
	if (r->used)
		return;
	r->at = r->next;
	r->all = r->running && r->at == r->total;
	r->my_turn = false;
	dp_store_work(s);
}

static void written(struct dp_io *io, int err)
{
	struct slot *sl = io->arg;
	struct dp_store *s = sl->store;
	s->resync.ios--;
	if (err)
		dp_store_fail(s);
	end_slot(sl);
	end_round(s);
}

static void put(struct slot *sl, enum dp_io_op op, uint64_t length)
{
	struct dp_store *s = sl->store;
	sl->io = (struct dp_io){.op = op,
		.file = sl->volume->file,
		.data = sl->data,
		.size = length,
		.offset = sl->offset,
		.done = written,
		.arg = sl};
	sl->volume->dirty = true;
	s->resync.since_sync += sl->length;
	s->resync.ios++;
	s->disk->ops->submit(s->disk, &sl->io);
}

static void ask(struct slot *sl)
{
	struct dp_store *s = sl->store;
	struct dp_wanted w = {.id = ++s->resync.ids,
		.offset = sl->offset,
		.min_seq = s->applied,
		.volume = sl->volume->id,
		.length = sl->length,
		.compare = true};
	if (sl->has_data)
		dp_store_chunk_digest(sl->data, sl->length, w.digest);
	sl->want = w;
	sl->asked = true;
	sl->asked_us = s->now_us;
	s->events.want(s->events.ctx, &w);
}

static void old_read(struct dp_io *io, int err)
{
	struct slot *sl = io->arg;
	struct dp_store *s = sl->store;
	s->resync.ios--;
	if (err)
		sl->has_data = false; /* then it is sent to us */
	if (s->resync.running && !sl->stale) {
		ask(sl);
		return;
	}
	end_slot(sl);
	end_round(s);
}

static void read_old(struct slot *sl)
{
	struct dp_store *s = sl->store;
	uint64_t from, to;
	s->disk->ops->next_data(sl->volume->old, sl->offset, &from, &to);
	sl->has_data = from < sl->offset + sl->length;
	if (!sl->has_data) {
		ask(sl);
		return;
	}
	sl->io = (struct dp_io){.op = DP_IO_READ,
		.file = sl->volume->old,
		.data = sl->data,
		.size = sl->length,
		.offset = sl->offset,
		.done = old_read,
		.arg = sl};
	s->resync.ios++;
	s->disk->ops->submit(s->disk, &sl->io);
}

/* Zeros may go on beyond the chunk: the whole run is done with it, and where it reaches beyond the
 * round the next one begins behind it. */
static void fill_zeros(struct slot *sl, uint64_t run)
{
	struct resync *r = &sl->store->resync;
	uint64_t most = sl->volume->size - sl->offset, base = 0;
	run = run > most ? most : run < sl->length ? sl->length : run;
	for (const struct volume *v = sl->store->volumes; v != sl->volume; v++)
		base += v->size;
	if (base + sl->offset + run > r->next)
		r->next = base + sl->offset + run;
	put(sl, DP_IO_ZERO, run);
}

static void fill(struct dp_store *s, struct slot *sl, const struct dp_found *f,
	const struct dp_buf *data)
{
	bool right = (f->kind != DP_FOUND_SAME || sl->has_data) &&
		(f->kind != DP_FOUND_DATA || (data && data->size == sl->length));
	if (!right)
		return; /* asked for again in a while */
	sl->asked = false;
	if (f->seq > s->resync.valid_seq)
		s->resync.valid_seq = f->seq;
	if (f->kind == DP_FOUND_ZEROS) {
		fill_zeros(sl, f->length);
		return;
	}
	if (f->kind == DP_FOUND_DATA) {
		memcpy(sl->data, data->data, sl->length);
		s->resync.fetched += sl->length;
	}
	put(sl, DP_IO_WRITE, sl->length);
}

int dp_store_fill(struct dp_store *s, const struct dp_found *f, struct dp_buf *data)
{
	struct slot *sl = NULL;
	struct dp_buf *plain = NULL;
	for (unsigned i = 0; s->resync.slots && i < SLOTS && !sl; i++)
		if (s->resync.slots[i].asked && s->resync.slots[i].want.id == f->id)
			sl = &s->resync.slots[i];
	if (!sl || f->status)
		return 0; /* asked for again in a while */
	int err = s->seal ? dp_seal_open_found(s->seal, &sl->want, f, data, &plain) : 0;
	if (!err)
		fill(s, sl, f, s->seal ? plain : data);
	dp_buf_unref(&plain);
	return err == DP_EPERM ? err : 0;
}

/* ---- rounds ---- */

static struct slot *new_slot(struct dp_store *s, unsigned i)
{
	struct slot *sl = &s->resync.slots[i];
	void *data = sl->data;
	if (!data && posix_memalign(&data, DP_DISK_ALIGN, RESYNC_CHUNK))
		return NULL;
	*sl = (struct slot){.store = s, .data = data};
	return sl;
}

/* The place of byte `at` of all volumes. */
static void locate(struct dp_store *s, uint64_t at, struct slot *sl)
{
	struct volume *v = s->volumes;
	for (; at >= v->size; v++)
		at -= v->size;
	sl->volume = v;
	sl->offset = at;
	uint32_t chunk = s->resync.step.chunk;
	sl->length = (uint32_t)(v->size - at < chunk ? v->size - at : chunk);
}

static void pace(struct dp_store *s, uint64_t bytes)
{
	struct resync *r = &s->resync;
	if (r->rate)
		r->next_round_us = s->now_us + bytes * 1000000 / r->rate;
}

bool dp_store_round(struct dp_store *s)
{
	struct resync *r = &s->resync;
	if (!r->running || r->all || r->since_sync >= r->step.sync_every ||
		s->now_us < r->next_round_us)
		return false;
	unsigned count = 0;
	r->next = r->at;
	while (count < r->step.slots && r->next < r->total) {
		struct slot *sl = new_slot(s, count);
		if (!sl)
			break;
		locate(s, r->next, sl);
		r->next += sl->length;
		sl->used = true;
		count++;
	}
	r->used = count;
	pace(s, r->next - r->at);
	for (unsigned i = 0; i < count; i++)
		read_old(&r->slots[i]);
	if (count == 0) {
		r->all = r->next == r->total;
		return r->all;
	}
	return true;
}

void dp_store_resync_tick(struct dp_store *s)
{
	for (unsigned i = 0; s->resync.used && i < SLOTS; i++) {
		struct slot *sl = &s->resync.slots[i];
		if (sl->asked && s->now_us - sl->asked_us >= RETRY_US)
			ask(sl);
	}
	try_switch(s);
}

bool dp_store_resync_unsynced(const struct dp_store *s)
{
	const struct resync *r = &s->resync;
	return r->running && (r->since_sync >= r->step.sync_every || (r->all && !r->reported_all));
}

void dp_store_resync_synced(struct dp_store *s)
{
	struct resync *r = &s->resync;
	if (!dp_store_building(s) || !r->running || r->reported_all || (!r->synced_at && !r->all))
		return;
	r->reported_all = r->all && r->synced_at == r->total;
	s->events.copied(s->events.ctx, r->synced_at, r->valid_seq, r->reported_all);
}

/* ---- life ---- */

void dp_store_resync_rate(struct dp_store *s, uint64_t bytes_per_second)
{
	s->resync.rate = bytes_per_second;
}

void dp_store_resync_step(struct dp_store *s, struct resync_step step)
{
	s->resync.step = step;
}

void dp_store_resync_stop(struct dp_store *s)
{
	struct resync *r = &s->resync;
	r->running = r->postponed = false;
	r->next = r->at; /* a round that is under way fills nothing in */
	for (unsigned i = 0; r->slots && i < SLOTS; i++) {
		r->slots[i].stale = true; /* a new round makes its slots anew */
		if (r->slots[i].asked)
			end_slot(&r->slots[i]);
	}
}

void dp_store_resync(struct dp_store *s, uint64_t seed)
{
	struct resync *r = &s->resync;
	dp_store_resync_stop(s);
	r->postponed = r->switching;
	r->ids = seed;
	if (r->postponed)
		return;
	if (!r->slots)
		r->slots = calloc(SLOTS, sizeof *r->slots);
	if (!r->slots || begin_building(s)) {
		dp_store_fail(s);
		return;
	}
	r->running = true;
	r->all = r->reported_all = r->my_turn = false;
	/* A sync that is under way says nothing of this copy. */
	r->at = r->next = r->synced_at = images(s)->copied;
	r->valid_seq = images(s)->valid_seq;
	r->start_us = s->now_us;
	r->start_at = r->at;
	r->fetched = r->since_sync = 0;
	dp_store_work(s);
}
