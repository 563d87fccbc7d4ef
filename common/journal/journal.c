/* SPDX-License-Identifier: MIT */
#include "journal/internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"

uint64_t dp_journal_offset(const struct dp_journal *j, uint64_t lsn)
{
	return DP_DATA_START + lsn % j->data_size;
}

struct dp_place *dp_journal_place(const struct dp_journal *j, uint64_t seq)
{
	if (seq <= j->places_from || seq > j->places_to)
		return NULL;
	return &j->places[seq & (j->place_capacity - 1)];
}

int dp_journal_add_place(struct dp_journal *j, uint64_t seq, struct dp_place place)
{
	assert(seq == j->places_to + 1);
	if (j->places_to - j->places_from == j->place_capacity) {
		uint64_t capacity = j->place_capacity * 2;
		struct dp_place *places = calloc(capacity, sizeof *places);
		if (!places)
			return DP_ENOMEM;
		for (uint64_t s = j->places_from + 1; s <= j->places_to; s++)
			places[s & (capacity - 1)] = j->places[s & (j->place_capacity - 1)];
		free(j->places);
		j->places = places;
		j->place_capacity = capacity;
	}
	j->places_to = seq;
	j->places[seq & (j->place_capacity - 1)] = place;
	return 0;
}

static void empty_cache(struct dp_journal *j)
{
	for (uint32_t i = 0; i < j->cache_count; i++)
		dp_record_unref(&j->cache[i]);
	j->cache_count = 0;
}

/* A barrier is on its way: the log stands at its place now, before its end (cut), or somewhere else
 * altogether (jump), where nothing before the barrier is needed any more. */
void dp_journal_stand_at(struct dp_journal *j, const struct dp_meta *meta)
{
	uint64_t seq = meta->at.seq;
	if (seq == j->places_to)
		return;
	if (seq > j->places_to || seq < j->places_from) {
		j->places_from = seq;
		j->wanted = *meta;
		j->wanting = true;
	}
	j->places_to = seq;
	empty_cache(j);
}

static struct dp_item *queue_at(struct dp_journal *j, uint32_t i)
{
	return &j->queue[(j->queue_head + i) % j->queue_capacity];
}

/* ---- superblocks ---- */

void dp_journal_fail(struct dp_journal *j)
{
	j->failed = true;
	if (!j->told) {
		j->told = true;
		j->events.failed(j->events.ctx);
	}
}

static void super_done(struct dp_io *io, int err)
{
	struct dp_journal *j = io->arg;
	j->super_writing = false;
	if (err) {
		j->wanting = true;
		dp_journal_renew(j);
	} else {
		j->super = j->super_next;
	}
	dp_journal_renew_step(j);
	dp_journal_release_again(j);
	dp_journal_kick(j);
	if (!err && j->events.freed)
		j->events.freed(j->events.ctx);
}

static void write_super(struct dp_journal *j, const struct dp_meta *meta, uint64_t tail_lsn,
	uint32_t generation)
{
	j->super_next = j->super;
	j->super_next.number++;
	j->super_next.tail_lsn = tail_lsn;
	j->super_next.head_lsn = j->head;
	j->super_next.generation = generation;
	j->super_next.meta = *meta;
	j->super_writing = true;
	dp_super_encode(&j->super_next, j->super_block);
	j->super_io = (struct dp_io){
		.op = DP_IO_WRITE,
		.file = j->file,
		.data = j->super_block,
		.size = DP_SUPER_SIZE,
		.offset = (j->super_next.number % 2) * DP_SUPER_SIZE,
		.done = super_done,
		.arg = j,
	};
	j->disk->ops->submit(j->disk, &j->super_io);
}

/* Whether what is released reaches up to groups under way: of them nothing is durable, and their
 * barriers are not in `wanted`. */
static bool ends_in_the_air(struct dp_journal *j)
{
	const struct dp_place *next = dp_journal_place(j, j->wanted.at.seq + 1);
	return j->flight_count && (!next || next->lsn >= j->head);
}

static bool is_worth_it(const struct dp_journal *j, uint64_t tail)
{
	return tail - j->super.tail_lsn >= (j->tidy ? 1 : j->data_size / 16);
}

/* Moves the tail to what is wanted. Where that is not yet possible it is tried again after the
 * commit or the superblock that is under way. */
void dp_journal_release_again(struct dp_journal *j)
{
	uint64_t seq = j->wanted.at.seq;
	if (!j->wanting || j->failed || j->renewal || j->super_writing || seq > j->places_to)
		return;
	const struct dp_place *next = dp_journal_place(j, seq + 1);
	if (ends_in_the_air(j))
		return;
	uint64_t tail = next ? next->lsn : j->head;
	if (!is_worth_it(j, tail))
		return;
	j->wanting = false;
	write_super(j, &j->wanted, tail, next ? next->generation : j->generation);
}

/* Whether a barrier that waits to be written cuts off the record that stands at seq now: what is
 * released is another one then, which comes after it. */
static bool is_cut_off(struct dp_journal *j, uint64_t seq)
{
	for (uint32_t i = 0; i < j->queue_count; i++) {
		const struct dp_item *item = queue_at(j, i);
		if (item->meta && !item->written && item->meta->at.seq < seq)
			return true;
	}
	return false;
}

void dp_journal_tidy(struct dp_journal *j)
{
	j->tidy = true;
	dp_journal_release_again(j);
}

/* All that was written is released, and more that never will be. What comes next begins with a
 * barrier. */
static void release_all(struct dp_journal *j, const struct dp_meta *meta)
{
	if (j->queue_count || j->super_writing || j->renewal || !is_worth_it(j, j->head))
		return;
	j->wanted = *meta;
	j->wanting = false;
	j->places_from = j->places_to;
	write_super(j, meta, j->head, j->generation);
}

void dp_journal_release(struct dp_journal *j, const struct dp_meta *meta)
{
	uint64_t seq = meta->at.seq;
	if (j->failed || seq <= j->places_from)
		return;
	if (seq > j->places_to) {
		release_all(j, meta);
		return;
	}
	if (is_cut_off(j, seq))
		return;
	j->wanted = *meta;
	j->wanting = true;
	dp_journal_release_again(j);
	j->places_from = seq;
}

uint64_t dp_journal_queued(const struct dp_journal *j)
{
	return j->queued_bytes;
}

uint64_t dp_journal_room(const struct dp_journal *j)
{
	uint64_t used = j->head - j->super.tail_lsn + j->queued_bytes + DP_WRAP_SLACK;
	uint64_t most = j->data_size / DP_JOURNAL_BYTES_PER_RECORD;
	uint64_t held = j->places_to - j->places_from + j->queue_count;
	if (used >= j->data_size || held >= most || j->failed)
		return 0;
	return j->data_size - used;
}

/* ---- appending ---- */

static uint64_t item_length(const struct dp_item *item)
{
	if (item->record)
		return DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE + item->record->h.payload_len;
	return DP_FRAME_SIZE + DP_META_MAX;
}

static bool enqueue(struct dp_journal *j, struct dp_item item)
{
	if (j->queue_count == j->queue_capacity) {
		uint32_t capacity = j->queue_capacity * 2;
		struct dp_item *queue = malloc(capacity * sizeof *queue);
		if (!queue) {
			dp_journal_fail(j);
			return false;
		}
		for (uint32_t i = 0; i < j->queue_count; i++)
			queue[i] = *queue_at(j, i);
		free(j->queue);
		j->queue = queue;
		j->queue_capacity = capacity;
		j->queue_head = 0;
	}
	*queue_at(j, j->queue_count++) = item;
	j->queued_bytes += dp_align_up(item_length(&item), DP_FRAME_ALIGN);
	return true;
}

void dp_journal_append(struct dp_journal *j, struct dp_record *r)
{
	if (j->failed)
		return;
	assert(r->h.seq == j->last.seq + 1);
	j->last = (struct dp_position){r->h.epoch, r->h.seq, r->h.chain};
	enqueue(j, (struct dp_item){.record = dp_record_ref(r)});
}

void dp_journal_barrier(struct dp_journal *j, const struct dp_meta *meta, uint64_t token)
{
	if (j->failed)
		return;
	struct dp_meta *copy = malloc(sizeof *copy);
	if (!copy) {
		dp_journal_fail(j);
		return;
	}
	*copy = *meta;
	j->last = meta->at;
	enqueue(j, (struct dp_item){.meta = copy, .token = token});
}

static void drop_items(struct dp_journal *j, uint32_t count)
{
	for (; count; count--) {
		struct dp_item *item = queue_at(j, 0);
		dp_record_unref(&item->record);
		free(item->meta);
		j->queue_head = (j->queue_head + 1) % j->queue_capacity;
		j->queue_count--;
	}
}

/* Reports a group: records up to the first barrier that is still queued behind may have been cut
 * by it, so nothing beyond that barrier's position is said to be durable. Barriers come first: who
 * hears of a record and releases it must know the promises of its group. */
static void report(struct dp_journal *j, uint32_t items)
{
	uint64_t least = UINT64_MAX, seq = 0;
	for (uint32_t i = j->queue_count; i-- > 0;) {
		struct dp_item *item = queue_at(j, i);
		if (i < items) /* it counts as used from now on */
			j->queued_bytes -= dp_align_up(item_length(item), DP_FRAME_ALIGN);
		if (i < items && item->record && item->record->h.seq <= least &&
			item->record->h.seq > seq)
			seq = item->record->h.seq;
		if (item->meta && item->meta->at.seq < least)
			least = item->meta->at.seq;
	}
	for (uint32_t i = 0; i < items; i++) {
		const struct dp_item *item = queue_at(j, i);
		if (!item->meta)
			continue;
		uint64_t promised = j->wanted.promised;
		dp_meta_own(&j->wanted, item->meta);
		if (j->wanted.promised < promised)
			j->wanted.promised = promised;
		if (item->token)
			j->events.barrier(j->events.ctx, item->token);
	}
	drop_items(j, items);
	j->flying -= items;
	if (seq)
		j->events.durable(j->events.ctx, seq);
}

bool dp_journal_flying(const struct dp_journal *j)
{
	for (uint32_t i = 0; i < j->flight_count; i++)
		if (!j->flights[(j->flight_first + i) % DP_GROUPS_MAX].landed)
			return true;
	return false;
}

/* What the oldest group has made durable. */
static void arrive(struct dp_journal *j)
{
	const struct dp_flight *f = dp_journal_flight(j, 0);
	j->renewals_in_vain = 0;
	j->commits++;
	j->last_group = f->items;
	j->bytes += f->bytes;
	j->head = f->end;
	report(j, f->items);
	j->flight_first = (j->flight_first + 1) % DP_GROUPS_MAX;
	if (--j->flight_count == 0)
		j->flight_first = 0; /* a quiet journal needs the memory of one buffer */
}

/* Groups land in any order, and count in their own. */
static void group_done(struct dp_io *io, int err)
{
	struct dp_flight *f = io->arg;
	struct dp_journal *j = f->j;
	f->landed = true;
	f->err = err;
	if (err)
		dp_journal_renew(j);
	if (j->renewal) { /* while the file is in doubt nothing more of it is believed */
		dp_journal_renew_step(j);
		return;
	}
	while (j->flight_count && dp_journal_flight(j, 0)->landed && !dp_journal_flight(j, 0)->err)
		arrive(j);
	dp_journal_release_again(j);
}

static void fill_frame(struct dp_journal *j, enum dp_frame_kind kind, uint64_t lsn, uint32_t length,
	bool last, uint32_t body_crc, uint8_t *at)
{
	struct dp_frame f = {
		.kind = (uint8_t)kind,
		.flags = last ? DP_FRAME_LAST : 0,
		.instance = j->super.instance,
		.generation = j->generation,
		.lsn = lsn,
		.durable_lsn = j->head,
		.length = length,
		.body_crc = body_crc,
	};
	dp_frame_encode(&f, at);
}

void dp_journal_fill_barrier(struct dp_journal *j, const struct dp_meta *meta, uint64_t lsn,
	bool last, uint8_t *at, uint32_t *length)
{
	uint32_t body = dp_meta_encode(meta, at + DP_FRAME_SIZE);
	*length = DP_FRAME_SIZE + body;
	fill_frame(j, DP_FRAME_BARRIER, lsn, *length, last, dp_crc32c(0, at + DP_FRAME_SIZE, body),
		at);
}

static int fill_item(struct dp_journal *j, struct dp_item *item, uint64_t lsn, bool last,
	uint8_t *at, uint32_t *length)
{
	item->written = true;
	if (item->meta) {
		dp_journal_stand_at(j, item->meta);
		dp_journal_fill_barrier(j, item->meta, lsn, last, at, length);
		return 0;
	}
	struct dp_record *r = item->record;
	*length = (uint32_t)item_length(item);
	fill_frame(j, DP_FRAME_RECORD, lsn, *length, last, 0, at);
	memcpy(at + DP_FRAME_SIZE, r->raw, DP_RECORD_HEADER_SIZE);
	if (r->payload)
		memcpy(at + DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE, r->payload->data,
			r->payload->size);
	j->records++;
	struct dp_place place = {.lsn = lsn, .length = *length, .generation = j->generation};
	return dp_journal_add_place(j, r->h.seq, place);
}

/* How many waiting items make the next group, and their bytes. */
static uint32_t choose_group(struct dp_journal *j, uint64_t left, uint64_t *bytes)
{
	uint32_t items = 0;
	*bytes = 0;
	while (j->flying + items < j->queue_count) {
		uint64_t next = dp_align_up(item_length(queue_at(j, j->flying + items)),
			DP_FRAME_ALIGN);
		if (dp_align_up(*bytes + next, DP_DISK_ALIGN) > left ||
			(items && *bytes + next > DP_GROUP_MAX))
			break;
		*bytes += next;
		items++;
	}
	return items;
}

static void write_group(struct dp_journal *j, struct dp_flight *f, uint64_t lsn)
{
	f->io = (struct dp_io){
		.op = DP_IO_WRITE,
		.file = j->file,
		.data = f->stage,
		.size = f->bytes,
		.offset = dp_journal_offset(j, lsn),
		.done = group_done,
		.arg = f,
	};
	j->flying += f->items;
	j->flight_count++;
	j->disk->ops->submit(j->disk, &f->io);
}

/* The rest of the circle, which the next item does not fit into. */
static void write_pad(struct dp_journal *j, struct dp_flight *f, uint64_t lsn, uint64_t left)
{
	memset(f->stage, 0, DP_DISK_ALIGN);
	fill_frame(j, DP_FRAME_PAD, lsn, (uint32_t)left, true, 0, f->stage);
	f->bytes = DP_DISK_ALIGN;
	f->end = lsn + left;
	write_group(j, f, lsn);
}

static void write_items(struct dp_journal *j, struct dp_flight *f, uint64_t lsn, uint32_t items)
{
	uint64_t used = 0;
	for (uint32_t i = 0; i < items; i++) {
		uint32_t length;
		if (fill_item(j, queue_at(j, j->flying + i), lsn + used, i + 1 == items,
			    f->stage + used, &length)) {
			dp_journal_fail(j);
			return;
		}
		uint64_t padded = dp_align_up(length, DP_FRAME_ALIGN);
		memset(f->stage + used + length, 0, padded - length);
		used += padded;
	}
	f->bytes = dp_align_up(used, DP_DISK_ALIGN);
	memset(f->stage + used, 0, f->bytes - used);
	f->items = items;
	f->end = lsn + f->bytes;
	write_group(j, f, lsn);
}

/* The kernel gives pages as they are used. */
static int make_buffer(struct dp_flight *f)
{
	void *buffer = NULL;
	if (!f->stage && posix_memalign(&buffer, DP_DISK_ALIGN, DP_STAGE_SIZE))
		return DP_ENOMEM;
	f->stage = f->stage ? f->stage : buffer;
	return 0;
}

static void start_group(struct dp_journal *j)
{
	uint64_t lsn = dp_journal_end(j), left = j->data_size - lsn % j->data_size, bytes;
	uint32_t items = choose_group(j, left, &bytes);
	/* Space that is still in use is never overwritten. The room told to senders keeps them
	 * away from here; barriers may come this far, and then wait for the next superblock. */
	uint64_t need = items ? dp_align_up(bytes, DP_DISK_ALIGN) : left;
	if (lsn + need - j->super.tail_lsn > j->data_size)
		return;
	struct dp_flight *f = dp_journal_flight(j, j->flight_count);
	if (make_buffer(f)) {
		dp_journal_fail(j);
		return;
	}
	*f = (struct dp_flight){.j = j, .stage = f->stage};
	if (items)
		write_items(j, f, lsn, items);
	else
		write_pad(j, f, lsn, left);
}

static bool may_start(const struct dp_journal *j)
{
	return !j->renewal && !j->failed && j->queue_count > j->flying;
}

void dp_journal_kick(struct dp_journal *j)
{
	dp_journal_release_again(j);
	if (may_start(j) && j->flight_count == 0)
		start_group(j);
}

/* Groups that always overlap would keep the tail where it is: now and then there is none. */
static bool tail_waits(struct dp_journal *j)
{
	return j->wanting && !j->super_writing && is_worth_it(j, j->head) && ends_in_the_air(j);
}

void dp_journal_overlap(struct dp_journal *j)
{
	if (may_start(j) && !tail_waits(j) && j->flight_count < DP_GROUPS_MAX &&
		dp_journal_end(j) - j->head <= DP_FLYING_MAX)
		start_group(j);
}

/* ---- reading back ---- */

struct dp_load {
	struct dp_io io;
	struct dp_journal *j;
	uint64_t seq, from, lsn;
	uint64_t through; /* last seq of the range read */
	bool ahead;
	dp_journal_loaded *done;
	void *ctx;
	struct dp_load *next; /* of those that wait */
};

#define LOAD_AHEAD DP_MIB
#define LOADS_MAX  8u /* under way at once: each has its own memory */
#define CACHE_MAX  512u

struct dp_record *dp_journal_decode(const struct dp_place *p, const uint8_t *at, uint64_t seq)
{
	uint32_t size = p->length - DP_FRAME_SIZE - DP_RECORD_HEADER_SIZE;
	struct dp_buf *payload = NULL;
	struct dp_record *r;
	if (size) {
		payload = dp_buf_new(size);
		if (!payload)
			return NULL;
		memcpy(payload->data, at + DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE, size);
	}
	if (dp_record_decode(at + DP_FRAME_SIZE, payload, &r))
		return NULL;
	if (r->h.seq != seq)
		dp_record_unref(&r);
	return r;
}

static struct dp_record *decode_at(struct dp_journal *j, const struct dp_load *l, uint64_t seq)
{
	const struct dp_place *p = dp_journal_place(j, seq);
	if (!p || p->lsn < l->from || p->lsn + p->length > l->from + l->io.size)
		return NULL;
	return dp_journal_decode(p, (const uint8_t *)l->io.data + (p->lsn - l->from), seq);
}

/* Keeps what was read along, and returns the record that was asked for. */
static struct dp_record *fill_cache(struct dp_journal *j, const struct dp_load *l)
{
	struct dp_record *first = NULL;
	empty_cache(j);
	for (uint64_t s = l->seq; s <= l->through && j->cache_count < CACHE_MAX; s++) {
		struct dp_record *r = decode_at(j, l, s);
		if (!r)
			break;
		if (s == l->seq) {
			j->cache_first = s;
			first = dp_record_ref(r);
		}
		j->cache[j->cache_count++] = r;
	}
	return first;
}

static void end_load(struct dp_load *l, struct dp_record *r)
{
	l->done(l->ctx, l->seq, r);
	dp_record_unref(&r);
	free(l->io.data);
	free(l);
}

static void load_done(struct dp_io *io, int err)
{
	struct dp_load *l = io->arg;
	struct dp_journal *j = l->j;
	j->loads--;
	struct dp_record *r = err ? NULL : l->ahead ? fill_cache(j, l) : decode_at(j, l, l->seq);
	dp_journal_renew_step(j);
	end_load(l, r);
	dp_journal_start_loads(j);
}

/* What is to be read: the record, and with `ahead` as many of the next ones as stand behind it. */
static uint64_t end_of_range(struct dp_journal *j, struct dp_load *l, const struct dp_place *p)
{
	uint64_t to = p->lsn + p->length;
	struct dp_place *n;
	while (l->ahead && (n = dp_journal_place(j, l->through + 1)) != NULL) {
		uint64_t end = n->lsn + n->length;
		bool same_lap = n->lsn / j->data_size == l->from / j->data_size;
		if (!same_lap || n->lsn < l->from || end - l->from > LOAD_AHEAD ||
			n->lsn >= j->head)
			break;
		to = end;
		l->through++;
	}
	return to;
}

static void start_load(struct dp_load *l)
{
	struct dp_journal *j = l->j;
	const struct dp_place *p = dp_journal_place(j, l->seq);
	void *data = NULL;
	if (!p) {
		end_load(l, NULL); /* released while it waited */
		return;
	}
	l->from = p->lsn / DP_DISK_ALIGN * DP_DISK_ALIGN;
	size_t size = (size_t)dp_align_up(end_of_range(j, l, p) - l->from, DP_DISK_ALIGN);
	if (posix_memalign(&data, DP_DISK_ALIGN, size)) {
		end_load(l, NULL);
		return;
	}
	l->io = (struct dp_io){.op = DP_IO_READ,
		.file = j->file,
		.data = data,
		.size = size,
		.offset = dp_journal_offset(j, l->from),
		.done = load_done,
		.arg = l};
	j->loads++;
	j->disk->ops->submit(j->disk, &l->io);
}

void dp_journal_start_loads(struct dp_journal *j)
{
	while (j->load_first && j->loads < LOADS_MAX && !dp_journal_changing_over(j)) {
		struct dp_load *l = j->load_first;
		j->load_first = l->next;
		start_load(l);
	}
}

static struct dp_record *cached(const struct dp_journal *j, uint64_t seq)
{
	bool hit = seq >= j->cache_first && seq - j->cache_first < j->cache_count;
	return hit ? dp_record_ref(j->cache[seq - j->cache_first]) : NULL;
}

void dp_journal_load(struct dp_journal *j, uint64_t seq, bool ahead, dp_journal_loaded *done,
	void *ctx)
{
	struct dp_record *hit = cached(j, seq);
	struct dp_load *l = hit ? NULL : calloc(1, sizeof *l);
	if (!l) {
		done(ctx, seq, hit);
		dp_record_unref(&hit);
		return;
	}
	*l = (struct dp_load){
		.j = j, .seq = seq, .through = seq, .ahead = ahead, .done = done, .ctx = ctx};
	if (j->loads < LOADS_MAX && !j->load_first && !dp_journal_changing_over(j)) {
		start_load(l);
		return;
	}
	*(j->load_first ? &j->load_last->next : &j->load_first) = l;
	j->load_last = l;
}

/* ---- life ---- */

int dp_journal_create(struct dp_journal *j)
{
	j->super = (struct dp_super){.stream = j->cfg.stream,
		.instance = j->cfg.instance,
		.size = j->cfg.size,
		.generation = 1};
	j->super.meta.at.chain = dp_chain_start(j->cfg.stream);
	for (int i = 0; i < 2; i++) {
		j->super.number++;
		dp_super_encode(&j->super, j->super_block);
		int err = j->disk->ops->write(j->file, j->super_block, DP_SUPER_SIZE,
			(j->super.number % 2) * DP_SUPER_SIZE);
		if (err)
			return err;
	}
	return 0;
}

static int alloc_journal(struct dp_journal *j)
{
	void *super = NULL;
	if (make_buffer(&j->flights[0]))
		return DP_ENOMEM;
	if (posix_memalign(&super, DP_DISK_ALIGN, DP_SUPER_SIZE))
		return DP_ENOMEM;
	j->super_block = super;
	j->queue_capacity = 16;
	j->queue = calloc(j->queue_capacity, sizeof *j->queue);
	j->place_capacity = 64;
	j->places = calloc(j->place_capacity, sizeof *j->places);
	j->cache = calloc(CACHE_MAX, sizeof(struct dp_record *));
	return j->queue && j->places && j->cache ? 0 : DP_ENOMEM;
}

int dp_journal_open(struct dp_disk *disk, const char *name, const struct dp_journal_config *cfg,
	const struct dp_journal_events *events, const struct dp_journal_scan *scan,
	struct dp_journal **out)
{
	struct dp_journal *j = calloc(1, sizeof *j);
	if (!j)
		return DP_ENOMEM;
	j->disk = disk;
	snprintf(j->name, sizeof j->name, "%s", name);
	snprintf(j->new_name, sizeof j->new_name, "%s.renewed", j->name);
	j->cfg = *cfg;
	j->events = *events;
	j->data_size = (cfg->size - DP_DATA_START) / DP_DISK_ALIGN * DP_DISK_ALIGN;
	bool created = false;
	int err = alloc_journal(j);
	if (!err)
		err = disk->ops->open(disk, name, DP_OPEN_CREATE | DP_OPEN_DURABLE, cfg->size,
			&j->file, &created);
	if (!err) /* what a crash left of it; nobody else makes it while we hold the journal */
		err = disk->ops->remove(disk, j->new_name);
	if (!err && created)
		err = dp_journal_create(j);
	if (!err)
		err = dp_journal_recover(j, scan);
	if (err)
		dp_journal_close(&j);
	*out = j;
	return err;
}

void dp_journal_close(struct dp_journal **pj)
{
	struct dp_journal *j = *pj;
	*pj = NULL;
	if (!j)
		return;
	dp_journal_renewal_free(j);
	while (j->load_first) {
		struct dp_load *l = j->load_first;
		j->load_first = l->next;
		free(l);
	}
	if (j->queue)
		drop_items(j, j->queue_count);
	for (uint32_t i = 0; j->cache && i < j->cache_count; i++)
		dp_record_unref(&j->cache[i]);
	if (j->file)
		j->disk->ops->close(j->file);
	free(j->cache);
	free(j->places);
	free(j->queue);
	free(j->super_block);
	for (uint32_t i = 0; i < DP_GROUPS_MAX; i++)
		free(j->flights[i].stage);
	free(j);
}

bool dp_journal_busy(const struct dp_journal *j)
{
	return dp_journal_flying(j) || j->super_writing || j->loads || j->renewal;
}

uint64_t dp_journal_instance(const struct dp_journal *j)
{
	return j->super.instance;
}

struct dp_journal_stats dp_journal_stats(const struct dp_journal *j)
{
	return (struct dp_journal_stats){.size = j->data_size,
		.used = j->head - j->super.tail_lsn,
		.commits = j->commits,
		.records = j->records,
		.bytes = j->bytes,
		.last_group = j->last_group,
		.waiting = j->queue_count - j->flying,
		.torn_bytes = j->torn_bytes,
		.renewals = j->renewals,
		.writing = dp_journal_flying(j),
		.renewing = j->renewal != NULL};
}
