/* SPDX-License-Identifier: MIT */
#include "life.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "crash.h"
#include "store/internal.h"

const char *const life_notes[] = {
	"", "handed over: item", "durable: item", "released up to record", "full:"};

static const char *const files[MODEL_VOLUMES] = {"image.a", "image.b"};

void life_expect_note(struct life_expect *x, const struct crash_note *note)
{
	if (note->kind == LIFE_HANDED)
		x->upper = (uint32_t)note->value;
	else if (note->kind == LIFE_DURABLE && note->value > x->lower)
		x->lower = (uint32_t)note->value;
	else if (note->kind == LIFE_RELEASED && note->value > x->released)
		x->released = note->value;
	else if (note->kind == LIFE_FULL)
		x->full = note->value;
}

/* ---- what the owner hears ---- */

static void on_durable(void *ctx, uint64_t seq)
{
	struct life *l = ctx;
	uint32_t item = model_find(l->model, l->head, seq);
	if (l->dying)
		return;
	if (item != MODEL_NONE) /* else of before a jump */
		crashdisk_note(l->disk, LIFE_DURABLE, true, item);
	if (seq > l->durable)
		l->durable = seq;
}

static void on_barrier(void *ctx, uint64_t token)
{
	struct life *l = ctx;
	if (l->dying)
		return;
	const struct dp_meta *meta = &l->model->items[token].meta;
	crashdisk_note(l->disk, LIFE_DURABLE, true, token);
	if (meta->promised > l->log.last.promised)
		l->log.last.promised = l->log.tail.promised = meta->promised;
}

static void on_renewal(void *ctx, bool over)
{
	(void)ctx;
	(void)over;
}

static void on_failed(void *ctx)
{
	struct life *l = ctx;
	if (!l->dying && !l->disk->failed)
		crash_fail("journal or images fail on a disk that does not");
	l->failed = true;
}

static void on_applied(void *ctx, uint64_t seq)
{
	struct life *l = ctx;
	if (!l->dying)
		life_release(l, seq);
}

static void on_image(void *ctx, const struct dp_found *found, struct dp_buf *data)
{
	struct life *l = ctx;
	if (l->dying)
		return;
	l->answers++;
	if (found->status && l->disk->failed)
		return;
	const uint8_t *want = model_content(l->model, l->head);
	if (found->id)
		want += l->model->sizes[0];
	if (found->status || memcmp(data->data, want, data->size) != 0)
		crash_fail("a reader of volume %u does not see what the log says",
			(unsigned)found->id);
}

static void on_want(void *ctx, const struct dp_wanted *want)
{
	(void)ctx;
	(void)want;
}

static void on_copied(void *ctx, uint64_t copied, uint64_t valid_seq, bool all)
{
	(void)ctx;
	(void)copied;
	(void)valid_seq;
	(void)all;
}

/* ---- recovery ---- */

static int on_tail(void *ctx, const struct dp_meta *meta)
{
	struct life *l = ctx;
	l->tail = l->last = *meta;
	l->found_count = 0;
	return dp_log_init(&l->log, meta);
}

static int on_record(void *ctx, const struct dp_header *h)
{
	struct life *l = ctx;
	if (l->found_count == l->found_capacity) {
		l->found_capacity = l->found_capacity ? 2 * l->found_capacity : 256;
		l->found = realloc(l->found, l->found_capacity * sizeof *l->found);
		if (!l->found)
			abort();
	}
	l->found[l->found_count++] = *h;
	dp_meta_advance(&l->last, h);
	return dp_log_append_header(&l->log, h);
}

static int on_scan_barrier(void *ctx, const struct dp_meta *meta)
{
	struct life *l = ctx;
	struct dp_log *log = &l->log;
	l->last = *meta;
	if (meta->at.seq > log->last.at.seq || meta->at.seq < log->tail.at.seq) {
		dp_log_reset(log, meta);
		l->tail = *meta;
		l->found_count = 0;
	} else {
		dp_log_cut(log, meta->at.seq);
		l->found_count = (uint32_t)(meta->at.seq - l->tail.at.seq);
	}
	log->last.promised = log->tail.promised = meta->promised;
	log->last.based = log->tail.based = meta->based;
	log->last.images = log->tail.images = meta->images;
	return 0;
}

static int open_store(struct life *l)
{
	struct dp_store_events events = {on_applied, on_image, on_want, on_copied, on_failed, l};
	struct dp_store_volume volumes[MODEL_VOLUMES];
	for (unsigned v = 0; v < MODEL_VOLUMES; v++)
		volumes[v] = (struct dp_store_volume){
			.id = MODEL_VOLUME(v), .size = l->model->sizes[v], .file = files[v]};
	int err = dp_store_open(&l->disk->base, volumes, MODEL_VOLUMES, &l->log, l->j, NULL,
		&events, &l->store);
	if (!err)
		dp_store_reset(l->store, l->log.tail.at.seq);
	return err;
}

struct life *life_new(const struct life_config *cfg, struct crashdisk *disk, struct model *model)
{
	struct life *l = calloc(1, sizeof *l);
	if (!l)
		abort();
	l->cfg = cfg;
	l->disk = disk;
	l->model = model;
	return l;
}

int life_open(struct life *l, uint32_t head)
{
	struct dp_journal_config cfg = {
		.stream = MODEL_STREAM, .size = l->cfg->journal_size, .instance = 4711};
	struct dp_journal_events events = {on_durable, on_barrier, on_renewal, on_failed, l, NULL};
	struct dp_journal_scan scan = {on_tail, on_record, on_scan_barrier, l};
	l->dying = l->failed = false;
	l->head = head;
	int err = dp_journal_open(&l->disk->base, LIFE_JOURNAL, &cfg, &events, &scan, &l->j);
	if (!err && l->cfg->images)
		err = open_store(l);
	if (err) {
		life_close(l);
		return err;
	}
	l->durable = l->agreed = l->log.last.at.seq;
	l->epoch = l->log.last.at.epoch ? l->log.last.at.epoch : 1;
	return 0;
}

void life_close(struct life *l)
{
	l->dying = true;
	if (crashdisk_waiting(l->disk))
		crashdisk_die(l->disk);
	dp_store_close(&l->store);
	dp_journal_close(&l->j);
	dp_log_clear(&l->log);
}

void life_free(struct life *l)
{
	free(l->found);
	free(l);
}

/* ---- what recovery must have found ---- */

static void say(char *text, size_t size, const char *what, const struct dp_meta *meta)
{
	snprintf(text, size, "%s: record %llu of epoch %llu, a promise of %llu", what,
		(unsigned long long)meta->at.seq, (unsigned long long)meta->at.epoch,
		(unsigned long long)meta->promised);
}

static void fail_state(const struct life *l, const struct life_expect *x)
{
	const struct model_item *it = l->model->items;
	char found[128], least[128], most[128];
	bool gone = model_state(l->model, 0, x->lower, &l->last) != MODEL_NONE;
	say(found, sizeof found, "recovered is", &l->last);
	say(least, sizeof least, "told to be durable", &it[x->lower].meta);
	say(most, sizeof most, "newest", &it[x->upper].meta);
	crash_fail("%s; %s; %s; %s",
		gone ? "what was told to be durable is gone"
		     : "what was cut off, or never was, revives",
		found, least, most);
}

static void check_record(struct life *l, uint32_t item, const struct dp_header *h)
{
	uint8_t raw[DP_RECORD_HEADER_SIZE];
	dp_header_encode(h, raw);
	const struct dp_record *r = item == MODEL_NONE ? NULL : l->model->items[item].record;
	if (!r || memcmp(raw, r->raw, sizeof raw) != 0)
		crash_fail("record %llu is recovered as it never was", (unsigned long long)h->seq);
}

static void on_loaded(void *ctx, uint64_t seq, struct dp_record *r)
{
	struct life *l = ctx;
	uint32_t item = model_find(l->model, l->head, seq);
	if (!r && l->disk->failed)
		return;
	if (!r || dp_record_verify(r))
		crash_fail("record %llu cannot be read back", (unsigned long long)seq);
	const struct dp_record *made = l->model->items[item].record;
	if (r->payload && memcmp(r->payload->data, made->payload->data, r->payload->size) != 0)
		crash_fail("record %llu is read back as it never was", (unsigned long long)seq);
	check_record(l, item, &r->h);
	l->answers++;
}

static void check_loads(struct life *l)
{
	for (uint32_t i = 0; i < l->found_count && !l->disk->failed; i++) {
		uint32_t before = l->answers;
		dp_journal_load(l->j, l->found[i].seq, true, on_loaded, l);
		crashdisk_run(l->disk);
		if (l->answers == before && !l->disk->failed)
			crash_fail("a load is not answered");
	}
}

uint32_t life_check(struct life *l, const struct life_expect *x)
{
	uint32_t item = model_state(l->model, x->lower, x->upper, &l->last);
	if (item == MODEL_NONE)
		fail_state(l, x);
	if (l->tail.at.seq > x->released && l->model->items[item].record)
		crash_fail("the journal begins behind record %llu, and %llu is released",
			(unsigned long long)l->tail.at.seq, (unsigned long long)x->released);
	l->head = item;
	for (uint32_t i = 0; i < l->found_count; i++)
		check_record(l, model_find(l->model, item, l->found[i].seq), &l->found[i]);
	if (!model_same(&l->log.last, &l->last))
		crash_fail("the state after the newest record is not what the journal says");
	check_loads(l);
	return item;
}

void life_check_images(struct life *l)
{
	const uint8_t *want = model_content(l->model, l->head);
	uint32_t before = l->answers;
	for (unsigned v = 0; v < MODEL_VOLUMES; v++)
		dp_store_read(l->store,
			&(struct dp_wanted){.id = v,
				.volume = MODEL_VOLUME(v),
				.length = (uint32_t)l->model->sizes[v]});
	crashdisk_run(l->disk);
	if (l->answers != before + MODEL_VOLUMES)
		crash_fail("a read is not answered");
	life_agree(l, l->log.last.at.seq);
	life_settle(l);
	for (unsigned v = 0; v < MODEL_VOLUMES && !l->failed; v++) {
		const uint8_t *have = memdisk_bytes(l->disk->mem, files[v], NULL);
		uint64_t at = 0, size = l->model->sizes[v];
		while (at < size && have[at] == want[at])
			at++;
		if (at < size)
			crash_fail("%s differs from record %llu at byte %llu", files[v],
				(unsigned long long)l->log.last.at.seq, (unsigned long long)at);
		want += size;
	}
}

/* ---- what happens to it ---- */

static void hand_over(struct life *l, uint32_t item)
{
	l->head = item;
	crashdisk_note(l->disk, LIFE_HANDED, false, item);
}

static void append_record(struct life *l, struct dp_record *r)
{
	if (dp_log_append(&l->log, r, 0))
		crash_fail("record %llu does not follow", (unsigned long long)r->h.seq);
	if (l->epoch < r->h.epoch)
		l->epoch = r->h.epoch;
	hand_over(l, model_record(l->model, l->head, r));
	dp_journal_append(l->j, r);
	if (l->store)
		dp_store_note(l->store);
}

void life_append(struct life *l, const struct model_write *w)
{
	struct dp_record *r = model_make(&l->model->items[l->head].meta, l->epoch, w);
	append_record(l, r);
	dp_record_unref(&r);
}

void life_barrier(struct life *l, const struct dp_meta *meta)
{
	uint64_t seq = meta->at.seq, last = l->log.last.at.seq;
	hand_over(l, model_barrier(l->model, l->head, meta));
	if (seq > last || seq < l->log.tail.at.seq)
		dp_log_reset(&l->log, meta);
	else
		dp_log_cut(&l->log, seq);
	if (l->epoch < meta->at.epoch)
		l->epoch = meta->at.epoch;
	if (l->durable > seq)
		l->durable = seq;
	if (seq > last) /* it jumps over what was released and never written */
		dp_journal_release(l->j, meta);
	dp_journal_barrier(l->j, meta, l->head);
	if (l->store && seq < last)
		dp_store_cut(l->store, seq);
}

void life_promise(struct life *l, uint64_t epoch)
{
	struct dp_meta meta = l->model->items[l->head].meta;
	meta.promised = epoch;
	life_barrier(l, &meta);
}

void life_cut(struct life *l, uint64_t seq)
{
	const struct model_item *it = l->model->items;
	struct dp_meta meta = it[model_find(l->model, l->head, seq)].meta;
	meta.promised = it[l->head].meta.promised;
	l->epoch++;
	life_barrier(l, &meta);
}

/* As a controller whose legs were faster than its journal. */
void life_jump(struct life *l, unsigned count)
{
	struct dp_meta meta = l->model->items[l->head].meta;
	for (unsigned i = 0; i < count; i++) {
		struct dp_record *r = model_make(&meta, l->epoch,
			&(struct model_write){.op = DP_OP_FLUSH});
		dp_meta_advance(&meta, &r->h);
		dp_record_unref(&r);
	}
	crashdisk_note(l->disk, LIFE_RELEASED, false, meta.at.seq);
	life_barrier(l, &meta);
}

void life_again(struct life *l, uint32_t item)
{
	struct dp_record *r = l->model->items[item].record;
	struct dp_meta meta = l->model->items[item].meta;
	if (r)
		append_record(l, r);
	else
		life_barrier(l, &meta);
}

void life_release(struct life *l, uint64_t seq)
{
	dp_log_release(&l->log, seq);
	crashdisk_note(l->disk, LIFE_RELEASED, false, seq);
	dp_journal_release(l->j, &l->log.tail);
}

void life_agree(struct life *l, uint64_t seq)
{
	if (seq > l->agreed)
		l->agreed = seq;
	dp_store_apply(l->store, seq);
}

void life_tick(struct life *l, uint64_t after_us)
{
	l->now_us += after_us;
	dp_store_tick(l->store, l->now_us);
}

void life_commit(struct life *l)
{
	uint64_t before;
	do {
		before = dp_journal_stats(l->j).commits;
		dp_journal_release(l->j, &l->log.tail); /* more of it is written now, perhaps */
		dp_journal_kick(l->j);
		crashdisk_run(l->disk);
	} while (dp_journal_stats(l->j).commits != before);
}

void life_settle(struct life *l)
{
	for (unsigned i = 0; i < 100 && !l->failed; i++) {
		life_tick(l, QUIET_US);
		crashdisk_run(l->disk);
		if (dp_store_stats(l->store).synced == l->agreed)
			return;
	}
	if (!l->failed)
		crash_fail("what is agreed is never applied");
}
