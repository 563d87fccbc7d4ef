/* SPDX-License-Identifier: MIT */
/* The image store on a disk in memory: what readers see, what reaches the images and when, that a
 * crash at any moment loses nothing that the journal has, and the digests. */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "memdisk.h"
#include "store/internal.h"

#define STREAM       9
#define JOURNAL      "journal"
#define JOURNAL_SIZE (2 * DP_MIB) /* small: opened many times, and released soon */
#define MADE_MAX     4096
#define ANSWERS      64
#define VOLUMES      2
#define WANTS        256
#define ID(volume)   (100 + (volume)) /* as records name it */

static const char *const files[VOLUMES] = {"image.a", "image.b"};

struct answer {
	bool given;
	int status;
	uint32_t kind;
	uint64_t length;
	uint8_t *data;
	size_t size;
};

/* Does for the store what a node's core does, and keeps every record for the model. */
struct rig {
	struct memdisk *disk;
	struct dp_journal *j;
	struct dp_store *store;
	struct dp_log log;
	uint64_t sizes[VOLUMES];
	unsigned is_new, grown;           /* which volume, from 1; 0: none */
	struct dp_record *made[MADE_MAX]; /* by seq */
	uint64_t durable, agreed, told, now;
	unsigned failures;
	bool dying;             /* between a crash and the next opening nobody listens */
	bool keeps;             /* nothing is released, whatever is applied */
	uint8_t *safe[VOLUMES]; /* what a crash leaves of the images */
	struct answer answers[ANSWERS];
	uint64_t reads;
	unsigned steps;
	struct dp_wanted wants[WANTS]; /* of a resync */
	unsigned want_count;
	uint64_t copied, valid_seq;
	bool copied_all;
};

/* A generator of our own: the same on every machine. */
static uint64_t random_state;

static uint32_t draw(uint32_t below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(random_state >> 33) % below;
}

/* ---- what the owner hears ---- */

static void on_durable(void *ctx, uint64_t seq)
{
	struct rig *r = ctx;
	if (!r->dying && seq > r->durable)
		r->durable = seq;
}

static void on_barrier(void *ctx, uint64_t token)
{
	(void)ctx;
	(void)token;
}

static void on_renewal(void *ctx, bool done)
{
	(void)ctx;
	(void)done;
}

static void on_failed(void *ctx)
{
	struct rig *r = ctx;
	if (!r->dying)
		r->failures++;
}

static void on_applied(void *ctx, uint64_t seq)
{
	struct rig *r = ctx;
	if (r->dying)
		return;
	cr_assert(seq > r->told && seq <= r->agreed, "%u is told", (unsigned)seq);
	r->told = seq;
	if (r->keeps)
		return;
	dp_log_release(&r->log, seq);
	dp_journal_release(r->j, &r->log.tail);
}

static void on_image(void *ctx, const struct dp_found *found, struct dp_buf *data)
{
	struct rig *r = ctx;
	struct answer *a = &r->answers[found->id % ANSWERS];
	cr_assert_not(a->given, "a read is answered twice");
	cr_assert_eq(data != NULL, found->status == 0 && found->kind == DP_FOUND_DATA);
	*a = (struct answer){.given = true,
		.status = found->status,
		.kind = found->kind,
		.length = found->length,
		.size = data ? data->size : 0};
	if (!data)
		return;
	a->data = malloc(data->size + 1);
	memcpy(a->data, data->data, data->size);
}

static void on_want(void *ctx, const struct dp_wanted *want)
{
	struct rig *r = ctx;
	cr_assert_lt(r->want_count, WANTS);
	r->wants[r->want_count++] = *want;
}

static void on_copied(void *ctx, uint64_t copied, uint64_t valid_seq, bool all)
{
	struct rig *r = ctx;
	r->copied = copied;
	r->valid_seq = valid_seq;
	r->copied_all = all;
}

/* ---- opening and closing ---- */

static int on_tail(void *ctx, const struct dp_meta *meta)
{
	return dp_log_init(&((struct rig *)ctx)->log, meta);
}

static int on_record(void *ctx, const struct dp_header *h)
{
	return dp_log_append_header(&((struct rig *)ctx)->log, h);
}

static int on_scan_barrier(void *ctx, const struct dp_meta *meta)
{
	struct dp_log *log = &((struct rig *)ctx)->log;
	if (meta->at.seq > log->last.at.seq || meta->at.seq < log->tail.at.seq)
		dp_log_reset(log, meta);
	else
		dp_log_cut(log, meta->at.seq);
	return 0;
}

static int open_store(struct rig *r)
{
	struct dp_store_volume volumes[VOLUMES];
	struct dp_store_events events = {.applied = on_applied,
		.image = on_image,
		.want = on_want,
		.copied = on_copied,
		.failed = on_failed,
		.ctx = r};
	for (unsigned v = 0; v < VOLUMES; v++)
		volumes[v] = (struct dp_store_volume){.id = ID(v),
			.size = r->sizes[v],
			.file = files[v],
			.is_new = r->is_new == v + 1,
			.grown = r->grown == v + 1};
	return dp_store_open(&r->disk->base, volumes, VOLUMES, &r->log, r->j, NULL, &events,
		&r->store);
}

static void open_all(struct rig *r)
{
	struct dp_journal_config cfg = {.stream = STREAM, .size = JOURNAL_SIZE, .instance = 4711};
	struct dp_journal_events events = {on_durable, on_barrier, on_renewal, on_failed, r, NULL};
	struct dp_journal_scan scan = {on_tail, on_record, on_scan_barrier, r};
	r->dying = false;
	cr_assert_eq(dp_journal_open(&r->disk->base, JOURNAL, &cfg, &events, &scan, &r->j), 0);
	cr_assert_eq(open_store(r), 0);
	r->durable = r->log.last.at.seq;
	r->told = r->log.tail.at.seq;
	dp_store_reset(r->store, r->log.tail.at.seq);
}

static void close_all(struct rig *r)
{
	/* Whatever is under way fails and reaches nothing: as if the process had died. */
	r->dying = true;
	r->disk->write_error = r->disk->read_error = DP_EIO;
	memdisk_run(r->disk);
	r->disk->write_error = r->disk->read_error = 0;
	cr_assert_not(dp_store_busy(r->store) || dp_journal_busy(r->j));
	dp_store_close(&r->store);
	dp_journal_close(&r->j);
	dp_log_clear(&r->log);
	cr_assert_eq(r->disk->opened, 0);
}

static struct rig *begin_sized(uint64_t a, uint64_t b)
{
	struct rig *r = calloc(1, sizeof *r);
	cr_assert_geq(sodium_init(), 0);
	r->disk = memdisk_new();
	r->sizes[0] = a;
	r->sizes[1] = b;
	for (unsigned v = 0; v < VOLUMES; v++)
		r->safe[v] = calloc(1, r->sizes[v]);
	open_all(r);
	return r;
}

static struct rig *begin(void)
{
	return begin_sized(24 * DP_KIB, 16 * DP_KIB);
}

static void end(struct rig *r)
{
	close_all(r);
	for (unsigned i = 0; i < MADE_MAX; i++)
		dp_record_unref(&r->made[i]);
	for (unsigned v = 0; v < VOLUMES; v++)
		free(r->safe[v]);
	for (unsigned i = 0; i < ANSWERS; i++)
		free(r->answers[i].data);
	memdisk_free(r->disk);
	free(r);
}

/* ---- what happens to it ---- */

static void append_record(struct rig *r, struct dp_record *record)
{
	uint64_t seq = record->h.seq;
	cr_assert_lt(seq, MADE_MAX);
	cr_assert_eq(dp_log_append(&r->log, record, 0), 0);
	dp_record_unref(&r->made[seq]);
	r->made[seq] = record;
	dp_journal_append(r->j, record);
	dp_store_note(r->store);
}

static uint64_t append_as(struct rig *r, uint8_t op, uint32_t id, uint64_t offset, uint32_t length)
{
	uint64_t seq = r->log.last.at.seq + 1;
	struct dp_buf *payload = op == DP_OP_WRITE ? dp_buf_new(length) : NULL;
	struct dp_header h = {.op = op,
		.stream = STREAM,
		.epoch = 1,
		.seq = seq,
		.set = 1,
		.volume = id,
		.offset = offset,
		.length = length};
	if (payload) {
		/* No two records have the same byte at the same place soon after each other. */
		for (uint32_t i = 0; i < length; i++)
			payload->data[i] = (uint8_t)(1 + (seq * 37 + (offset + i) / 64) % 255);
		h.payload_len = length;
		h.payload_crc = dp_crc32c(0, payload->data, length);
	}
	h.chain = dp_chain_next(r->log.last.at.chain, &h);
	struct dp_record *record = dp_record_new(&h, payload);
	cr_assert_not_null(record);
	append_record(r, record);
	return seq;
}

static uint64_t append(struct rig *r, uint8_t op, unsigned volume, uint64_t offset, uint32_t length)
{
	return append_as(r, op, ID(volume), offset, length);
}

static uint64_t put(struct rig *r, uint64_t offset, uint32_t length)
{
	return append(r, DP_OP_WRITE, 0, offset, length);
}

static void commit(struct rig *r)
{
	while (r->durable < r->log.last.at.seq) {
		uint64_t before = r->durable;
		dp_journal_kick(r->j);
		memdisk_run(r->disk);
		cr_assert_gt(r->durable, before);
	}
}

static void agree(struct rig *r, uint64_t seq)
{
	if (seq > r->agreed)
		r->agreed = seq;
	dp_store_apply(r->store, seq);
}

static void quiet(struct rig *r)
{
	r->now += QUIET_US;
	dp_store_tick(r->store, r->now);
}

/* Until nothing is left to do. */
static void settle(struct rig *r)
{
	for (unsigned i = 0; i < 100; i++) {
		dp_journal_kick(r->j);
		quiet(r);
		memdisk_run(r->disk);
	}
}

/* Everything so far is durable, applied and synced. */
static void apply_all(struct rig *r)
{
	commit(r);
	agree(r, r->log.last.at.seq);
	settle(r);
	cr_assert_eq(r->told, r->log.last.at.seq);
}

/* Records leave memory; the journal has them. */
static void evict(struct rig *r)
{
	dp_log_evict(&r->log, r->durable, 0);
}

static void cut(struct rig *r, uint64_t seq)
{
	dp_log_cut(&r->log, seq);
	dp_journal_barrier(r->j, &r->log.last, 0);
	if (r->durable > seq)
		r->durable = seq;
	dp_store_cut(r->store, seq);
}

/* ---- the model: the records one after the other ---- */

static uint8_t *content(const struct rig *r, unsigned volume, uint64_t seq)
{
	uint8_t *bytes = calloc(1, r->sizes[volume]);
	for (uint64_t n = 1; n <= seq; n++) {
		const struct dp_header *h = &r->made[n]->h;
		if (!dp_op_has_extent(h->op) || h->volume != ID(volume))
			continue;
		if (h->op == DP_OP_WRITE)
			memcpy(bytes + h->offset, r->made[n]->payload->data, h->length);
		else
			memset(bytes + h->offset, 0, h->length);
	}
	return bytes;
}

static void check_images(struct rig *r, uint64_t seq)
{
	for (unsigned v = 0; v < VOLUMES; v++) {
		uint8_t *want = content(r, v, seq), *have = memdisk_bytes(r->disk, files[v], NULL);
		uint64_t at = 0;
		while (at < r->sizes[v] && want[at] == have[at])
			at++;
		cr_assert_eq(at, r->sizes[v], "image %u differs from record %u at byte %u", v,
			(unsigned)seq, (unsigned)at);
		free(want);
	}
}

static uint64_t ask(struct rig *r, unsigned volume, uint64_t offset, uint32_t length)
{
	struct answer *a = &r->answers[++r->reads % ANSWERS];
	free(a->data);
	*a = (struct answer){0};
	struct dp_wanted w = {
		.id = r->reads, .volume = ID(volume), .offset = offset, .length = length};
	dp_store_read(r->store, &w);
	return r->reads;
}

static void check_answer(struct rig *r, uint64_t id, unsigned volume, uint64_t offset,
	uint32_t length)
{
	struct answer *a = &r->answers[id % ANSWERS];
	cr_assert(a->given, "read %u is not answered", (unsigned)id);
	cr_assert_eq(a->status, 0, "%s", dp_strerror(a->status));
	cr_assert_eq(a->size, length);
	uint8_t *want = content(r, volume, r->log.last.at.seq);
	uint64_t at = 0;
	while (at < length && want[offset + at] == a->data[at])
		at++;
	cr_assert_eq(at, length, "volume %u, read %u+%u: byte %u is %u instead of %u", volume,
		(unsigned)offset, (unsigned)length, (unsigned)(offset + at), a->data[at],
		want[offset + at]);
	free(want);
}

static void check_read(struct rig *r, unsigned volume, uint64_t offset, uint32_t length)
{
	uint64_t id = ask(r, volume, offset, length);
	while (!r->answers[id % ANSWERS].given && memdisk_step(r->disk))
		;
	check_answer(r, id, volume, offset, length);
}

static void check_reads(struct rig *r)
{
	for (unsigned v = 0; v < VOLUMES; v++)
		check_read(r, v, 0, (uint32_t)r->sizes[v]);
}

/* ---- what readers see ---- */

Test(overlay, a_new_volume_is_zeros)
{
	struct rig *r = begin();
	check_reads(r);
	for (unsigned v = 0; v < VOLUMES; v++) {
		uint64_t size;
		cr_assert_not_null(memdisk_bytes(r->disk, files[v], &size));
		cr_assert_eq(size, r->sizes[v]);
	}
	end(r);
}

/* From the moment a record is in the log, whether it is durable, agreed, or neither. */
Test(overlay, a_record_is_seen_at_once)
{
	struct rig *r = begin();
	put(r, 4096, 4096);
	cr_assert_eq(r->disk->writes, 2, "only the journal's superblocks are written");
	check_reads(r);
	commit(r);
	check_reads(r);
	evict(r);
	check_reads(r);
	check_images(r, 0);
	end(r);
}

/* One over the other in every way that two extents can lie, in turn from memory, from the journal
 * and half of it from the image. */
static void two_extents(uint8_t first, uint8_t second, unsigned where)
{
	static const uint32_t places[][2] = {{2000, 3000}, {1000, 1500}, {1000, 1000}, {4000, 2000},
		{1000, 5000}, {2500, 1000}, {2000, 1000}, {4500, 500}, {5000, 1000}, {0, 24576}};
	for (unsigned i = 0; i < sizeof places / sizeof places[0]; i++) {
		struct rig *r = begin();
		put(r, 0, 8000); /* so that zeros are seen to be new */
		apply_all(r);
		append(r, first, 0, 2000, 3000);
		commit(r);
		if (where == 2) {
			agree(r, 2);
			settle(r);
		}
		append(r, second, 0, places[i][0], places[i][1]);
		commit(r);
		if (where)
			evict(r);
		check_reads(r);
		for (uint32_t at = 900; at < 6200; at += 99)
			check_read(r, 0, at, 512);
		apply_all(r);
		check_reads(r);
		check_images(r, 3);
		end(r);
	}
}

Test(overlay, overlaps)
{
	static const uint8_t ops[] = {DP_OP_WRITE, DP_OP_TRIM, DP_OP_ZERO};
	for (unsigned first = 0; first < 3; first++)
		for (unsigned second = 0; second < 3; second++)
			for (unsigned where = 0; where < 3; where++)
				two_extents(ops[first], ops[second], where);
}

Test(overlay, volumes_do_not_mix)
{
	struct rig *r = begin();
	append(r, DP_OP_WRITE, 0, 0, 8192);
	append(r, DP_OP_WRITE, 1, 4096, 8192);
	append(r, DP_OP_TRIM, 0, 4096, 4096);
	commit(r);
	check_reads(r);
	evict(r);
	check_reads(r);
	apply_all(r);
	check_reads(r);
	end(r);
}

Test(overlay, reads_at_the_end_of_a_volume)
{
	struct rig *r = begin();
	uint32_t size = (uint32_t)r->sizes[0];
	put(r, size - 512, 512);
	for (unsigned pass = 0; pass < 2; pass++) {
		check_read(r, 0, size - 1, 1);
		check_read(r, 0, size - 4096, 4096);
		check_read(r, 0, size - 600, 100); /* up to just before the record */
		check_read(r, 0, size, 0);
		apply_all(r);
	}
	end(r);
}

Test(overlay, reads_beyond_a_volume_are_refused)
{
	static const struct {
		uint64_t offset;
		uint32_t length;
	} bad[] = {{24576, 1}, {24575, 2}, {0, 24577}, {24577, 0}, {UINT64_MAX, 2},
		{UINT64_MAX - 1, 512}};
	struct rig *r = begin();
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		uint64_t id = ask(r, 0, bad[i].offset, bad[i].length);
		cr_assert(r->answers[id % ANSWERS].given);
		cr_assert_eq(r->answers[id % ANSWERS].status, DP_ERANGE);
	}
	uint64_t id = ask(r, 7, 0, 512);
	cr_assert_eq(r->answers[id % ANSWERS].status, DP_ENOENT);
	cr_assert_not(dp_store_busy(r->store));
	end(r);
}

Test(overlay, what_is_cut_is_not_seen)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	put(r, 1000, 4096);
	commit(r);
	append(r, DP_OP_TRIM, 0, 0, 2048);
	append(r, DP_OP_WRITE, 1, 512, 100);
	put(r, 3000, 3000);
	commit(r);
	cut(r, 2);
	check_reads(r); /* 2 shows again where 3 and 5 had covered it */
	put(r, 200, 50);
	append(r, DP_OP_ZERO, 1, 0, 4096);
	check_reads(r);
	commit(r);
	evict(r);
	check_reads(r);
	apply_all(r);
	check_images(r, 4);
	end(r);
}

/* A read whose parts come from the journal and the image while both move on: the record is applied
 * and released before its bytes are there. */
Test(overlay, a_record_that_is_released_during_a_read)
{
	struct rig *r = begin();
	put(r, 4096, 4096);
	commit(r);
	evict(r);
	uint64_t id = ask(r, 0, 0, 16384);
	cr_assert_eq(r->disk->count, 3); /* image, journal, image */
	struct dp_io *late = r->disk->queue[1];
	r->disk->queue[1] = r->disk->queue[2];
	r->disk->count = 2;
	agree(r, 1);
	settle(r);
	cr_assert_eq(r->told, 1);
	cr_assert_null(dp_log_entry(&r->log, 1));
	cr_assert_not(r->answers[id % ANSWERS].given);
	r->disk->queue[r->disk->count++] = late;
	memdisk_run(r->disk);
	check_answer(r, id, 0, 0, 16384);
	end(r);
}

Test(overlay, a_failing_disk_fails_the_read_and_nothing_else)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	commit(r);
	r->disk->read_error = DP_EIO;
	uint64_t id = ask(r, 0, 0, 8192);
	memdisk_run(r->disk);
	cr_assert_eq(r->answers[id % ANSWERS].status, DP_EIO);
	check_read(r, 0, 0, 4096); /* all of it in memory */
	evict(r);
	id = ask(r, 0, 0, 4096);
	memdisk_run(r->disk);
	cr_assert_eq(r->answers[id % ANSWERS].status, DP_EIO);
	r->disk->read_error = 0;
	check_reads(r);
	cr_assert_not(dp_store_busy(r->store));
	cr_assert_eq(r->failures, 0);
	end(r);
}

/* ---- what reaches the images ---- */

Test(apply, nothing_beyond_what_is_agreed)
{
	struct rig *r = begin();
	for (unsigned i = 0; i < 10; i++)
		put(r, i * 1000, 4096);
	commit(r);
	settle(r);
	check_images(r, 0);
	for (uint64_t seq = 3; seq <= 10; seq += 2) {
		agree(r, seq);
		dp_store_drain(r->store);
		memdisk_run(r->disk);
		check_images(r, seq);
		cr_assert_eq(r->told, seq);
		check_reads(r);
	}
	agree(r, 4); /* an old position changes nothing */
	settle(r);
	check_images(r, 9);
	end(r);
}

/* Both within a batch and from one to the next, whatever order the disk takes them in. */
Test(apply, the_newest_record_of_a_place_wins)
{
	for (unsigned order = 0; order < 2; order++) {
		struct rig *r = begin();
		for (unsigned i = 0; i < 3 * BATCH_RECORDS; i++) {
			uint8_t op = i % 7 == 6 ? DP_OP_ZERO : DP_OP_WRITE;
			append(r, op, i % 2, i * 37 % 4096, 4096);
		}
		commit(r);
		agree(r, 3 * BATCH_RECORDS - 5);
		dp_store_drain(r->store);
		while (r->disk->count) {
			if (order) { /* the youngest first */
				struct dp_io *io = r->disk->queue[r->disk->count - 1];
				memmove(r->disk->queue + 1, r->disk->queue,
					(r->disk->count - 1) * sizeof(struct dp_io *));
				r->disk->queue[0] = io;
			}
			memdisk_step(r->disk);
		}
		cr_assert_eq(r->told, 3 * BATCH_RECORDS - 5);
		check_images(r, 3 * BATCH_RECORDS - 5);
		check_reads(r);
		end(r);
	}
}

Test(apply, from_the_journal_when_memory_has_let_go)
{
	struct rig *r = begin();
	for (unsigned i = 0; i < 100; i++)
		append(r, i % 5 == 4 ? DP_OP_TRIM : DP_OP_WRITE, i % 2, i * 100, 1 + i * 40);
	append(r, DP_OP_FLUSH, 0, 0, 0);
	commit(r);
	evict(r);
	agree(r, 101);
	settle(r);
	check_images(r, 101);
	end(r);
}

Test(apply, waits_for_a_quiet_moment)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	commit(r);
	agree(r, 1);
	dp_store_tick(r->store, r->now += QUIET_US - 1);
	cr_assert_not(dp_store_busy(r->store));
	put(r, 0, 4096); /* starts the time anew */
	commit(r);
	dp_store_tick(r->store, r->now += QUIET_US - 1);
	cr_assert_not(dp_store_busy(r->store));
	dp_store_tick(r->store, r->now += 1);
	cr_assert(dp_store_busy(r->store));
	memdisk_run(r->disk);
	cr_assert_eq(r->told, 1);
	end(r);
}

Test(apply, does_not_wait_when_enough_has_gathered)
{
	struct rig *r = begin();
	r->keeps = true; /* or the journal has room again at once */
	while (dp_journal_stats(r->j).used <= JOURNAL_SIZE / 4) {
		cr_assert_eq(r->told, 0);
		put(r, 0, 16384);
		commit(r);
		agree(r, r->durable);
		memdisk_run(r->disk);
	}
	agree(r, r->durable);
	memdisk_run(r->disk);
	cr_assert_eq(r->told, r->durable);
	end(r);
}

/* A host waits for the journal, and for an image nobody does. */
Test(apply, stands_back_while_the_journal_writes)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	commit(r);
	agree(r, 1);
	put(r, 4096, 4096);
	quiet(r);
	cr_assert_not(r->store->applying, "a commit waits");
	dp_journal_kick(r->j);
	dp_store_work(r->store);
	cr_assert_not(r->store->applying, "a commit is under way");
	memdisk_run(r->disk);
	dp_store_work(r->store);
	cr_assert(r->store->applying);
	memdisk_run(r->disk);
	cr_assert_eq(r->told, 1);
	end(r);
}

Test(apply, stands_back_no_more_when_told_to_go_on)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	commit(r);
	agree(r, 1);
	put(r, 4096, 4096);
	dp_store_drain(r->store);
	cr_assert(r->store->applying);
	memdisk_run(r->disk);
	end(r);
}

/* Few at a time, so that a commit that comes meanwhile does not wait for long. */
Test(apply, takes_few_records_at_a_time_while_few_wait)
{
	struct rig *r = begin();
	for (unsigned i = 0; i < 2 * BATCH_LEAST; i++)
		append(r, DP_OP_TRIM, 0, i * 512, 512);
	commit(r);
	agree(r, 2 * BATCH_LEAST);
	quiet(r);
	cr_assert_eq(r->disk->count, BATCH_LEAST);
	memdisk_run(r->disk);
	cr_assert_eq(r->told, 2 * BATCH_LEAST);
	end(r);
}

/* Law: who hears `applied` releases the records. So the sync comes first. */
Test(apply, is_told_after_the_sync)
{
	struct rig *r = begin();
	append(r, DP_OP_WRITE, 0, 0, 4096);
	append(r, DP_OP_WRITE, 1, 0, 4096);
	commit(r);
	agree(r, 2);
	quiet(r);
	bool synced[VOLUMES] = {false};
	while (r->disk->count) {
		cr_assert_eq(r->told, 0, "told to be applied before it is synced");
		const struct dp_io *io = r->disk->queue[0];
		for (unsigned v = 0; v < VOLUMES; v++) {
			bool mine = io->file == r->store->volumes[v].file;
			cr_assert(!mine || io->op == DP_IO_SYNC || !synced[v]);
			synced[v] |= mine && io->op == DP_IO_SYNC;
		}
		memdisk_step(r->disk);
	}
	cr_assert(synced[0] && synced[1]);
	cr_assert_eq(r->told, 2);
	end(r);
}

Test(apply, only_what_was_written_is_synced)
{
	struct rig *r = begin();
	append(r, DP_OP_TRIM, 1, 0, 4096);
	commit(r);
	agree(r, 1);
	quiet(r);
	unsigned syncs = 0;
	while (r->disk->count) {
		cr_assert_eq(r->disk->queue[0]->file, r->store->volumes[1].file);
		syncs += r->disk->queue[0]->op == DP_IO_SYNC;
		memdisk_step(r->disk);
	}
	cr_assert_eq(syncs, 1);
	append(r, DP_OP_FLUSH, 0, 0, 0); /* nothing to write, but the position moves */
	commit(r);
	agree(r, 2);
	quiet(r);
	cr_assert_eq(r->disk->count, 0);
	cr_assert_eq(r->told, 2);
	end(r);
}

/* A long backlog is synced in between, so that the journal gets its space back. */
Test(apply, syncs_between_batches)
{
	struct rig *r = begin_sized(80 * DP_MIB, 4096);
	for (unsigned i = 0; i < 2 * BATCH_RECORDS; i++)
		append(r, DP_OP_ZERO, 0, i * DP_MIB / 8, 64 * DP_MIB);
	commit(r);
	agree(r, 2 * BATCH_RECORDS);
	dp_store_drain(r->store);
	while (r->disk->count && !r->told)
		memdisk_step(r->disk);
	cr_assert_eq(r->told, BATCH_RECORDS);
	memdisk_run(r->disk);
	cr_assert_eq(r->told, 2 * BATCH_RECORDS);
	end(r);
}

Test(apply, a_cut_during_a_batch)
{
	struct rig *r = begin();
	for (unsigned i = 0; i < 6; i++)
		put(r, i * 512, 4096);
	commit(r);
	agree(r, 3);
	quiet(r);
	memdisk_step(r->disk);
	cr_assert(dp_store_busy(r->store));
	cut(r, 4);
	check_read(r, 0, 0, 16384);
	put(r, 100, 100);
	check_reads(r);
	settle(r);
	check_images(r, 3);
	apply_all(r);
	check_images(r, 5);
	end(r);
}

/* After a batch or a mark the rest follows by itself: a daemon that stops waits only while the
 * store is busy. */
static void check_drain(struct rig *r)
{
	dp_store_drain(r->store);
	while (dp_store_busy(r->store))
		cr_assert(memdisk_step(r->disk));
	cr_assert_eq(r->told, r->agreed, "drained to %u of %u", (unsigned)r->told,
		(unsigned)r->agreed);
}

Test(apply, drains_all_that_is_agreed)
{
	struct rig *r = begin();
	for (unsigned i = 0; i < 200; i++)
		put(r, i * 64, 2000);
	append(r, DP_OP_MARK, 0, 5, 0);
	put(r, 0, 10);
	commit(r);
	agree(r, 202);
	check_drain(r);
	check_images(r, 202);
	end(r);
}

Test(apply, drains_past_marks_that_get_no_digest)
{
	struct rig *r = begin();
	put(r, 0, 512);
	append(r, DP_OP_MARK, 0, 5, 0);
	append(r, DP_OP_MARK, 0, 6, 0);
	put(r, 512, 512);
	commit(r);
	close_all(r);
	open_all(r);
	agree(r, 4);
	check_drain(r);
	check_images(r, 4);
	end(r);
}

/* ---- failures ---- */

/* Fails the n-th operation on an image from now on (from 1) and no other. */
static void run_failing(struct rig *r, enum dp_io_op op, unsigned n)
{
	while (r->disk->count) {
		const struct dp_io *io = r->disk->queue[0];
		bool image = false;
		for (unsigned v = 0; v < VOLUMES; v++)
			image |= io->file == r->store->volumes[v].file;
		bool fails = image && io->op == op && --n == 0;
		r->disk->write_error = fails ? DP_EIO : 0;
		memdisk_step(r->disk);
	}
	r->disk->write_error = 0;
}

static void check_failed(struct rig *r)
{
	cr_assert_eq(r->failures, 1);
	cr_assert_eq(r->told, 0);
	uint64_t writes = r->disk->writes;
	agree(r, 4);
	settle(r); /* the disk seems to work again: that is not to be believed */
	dp_store_drain(r->store);
	settle(r);
	cr_assert_eq(r->disk->writes, writes);
	cr_assert(r->failures == 1 && r->told == 0);
	cr_assert_not(dp_store_busy(r->store));
	check_reads(r); /* what is in the journal can still be read */
	close_all(r);
	open_all(r);
	agree(r, 4);
	settle(r);
	cr_assert_eq(r->told, 4);
	check_images(r, 4);
	end(r);
}

static struct rig *begin_four(void)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	append(r, DP_OP_WRITE, 1, 4096, 4096);
	append(r, DP_OP_ZERO, 0, 8192, 4096);
	put(r, 12288, 4096);
	commit(r);
	agree(r, 3);
	quiet(r);
	return r;
}

Test(failure, of_a_write_is_told_once_and_final)
{
	for (unsigned n = 1; n <= 2; n++) {
		struct rig *r = begin_four();
		run_failing(r, DP_IO_WRITE, n);
		check_failed(r);
	}
}

Test(failure, of_a_zero_is_final_too)
{
	struct rig *r = begin_four();
	run_failing(r, DP_IO_ZERO, 1);
	check_failed(r);
}

Test(failure, of_a_sync_is_final_too)
{
	for (unsigned n = 1; n <= 2; n++) {
		struct rig *r = begin_four();
		run_failing(r, DP_IO_SYNC, n);
		check_failed(r);
	}
}

Test(failure, of_many_operations_is_told_once)
{
	for (unsigned syncs = 0; syncs < 2; syncs++) {
		struct rig *r = begin_four();
		while (syncs && r->disk->queue[0]->op != DP_IO_SYNC)
			memdisk_step(r->disk);
		r->disk->write_error = DP_ENOSPC;
		memdisk_run(r->disk);
		r->disk->write_error = 0;
		check_failed(r);
	}
}

/* A record that cannot be read back leaves the image as it was: not even its neighbours of the
 * batch are written. */
Test(failure, of_the_journal_while_applying)
{
	struct rig *r = begin();
	for (unsigned i = 0; i < 4; i++)
		put(r, i * 4096, 4096);
	commit(r);
	evict(r);
	agree(r, 4);
	r->disk->read_error = DP_EIO;
	settle(r);
	cr_assert(r->failures == 1 && r->told == 0);
	check_images(r, 0);
	end(r);
}

/* Applies one record that the log should not have; none of its batch reaches an image. */
static void check_refused(struct rig *r)
{
	commit(r);
	agree(r, 2);
	settle(r);
	cr_assert(r->failures == 1 && r->told == 0);
	for (unsigned v = 0; v < VOLUMES; v++) {
		uint8_t *zeros = calloc(1, r->sizes[v]);
		cr_assert_arr_eq(memdisk_bytes(r->disk, files[v], NULL), zeros, r->sizes[v]);
		free(zeros);
	}
	end(r);
}

Test(failure, bytes_that_changed_in_memory_are_not_applied)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	put(r, 4096, 4096);
	r->made[2]->payload->data[777] ^= 1;
	check_refused(r);
}

Test(failure, records_beyond_a_volume_are_not_applied)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	append(r, DP_OP_TRIM, 1, 16384, 1);
	check_refused(r);
}

/* It has gone since they were written. */
Test(change, records_of_a_volume_that_is_gone_are_passed_over)
{
	struct rig *r = begin();
	append_as(r, DP_OP_WRITE, 99, 0, 512);
	put(r, 0, 4096);
	commit(r);
	agree(r, 2);
	settle(r);
	cr_assert(r->failures == 0 && r->told == 2);
	end(r);
}

Test(failure, an_image_that_is_too_small_is_refused)
{
	struct rig *r = begin();
	close_all(r);
	r->sizes[1] += 4096; /* the topology says so, the file does not */
	struct dp_meta empty = {0};
	struct dp_log *log = &r->log;
	cr_assert_eq(dp_log_init(log, &empty), 0);
	cr_assert_eq(open_store(r), DP_EINVAL);
	cr_assert_null(r->store);
	cr_assert_eq(r->disk->opened, 0);
	dp_log_clear(log);
	r->sizes[1] -= 4096;
	open_all(r);
	end(r);
}

/* A journal from which records were released: what the images hold stands nowhere else. */
static struct rig *begin_released(void)
{
	struct rig *r = begin();
	put(r, 0, 4096);
	commit(r);
	agree(r, 1);
	settle(r);
	dp_log_release(&r->log, 1);
	dp_journal_release(r->j, &r->log.tail);
	dp_journal_tidy(r->j);
	memdisk_run(r->disk);
	close_all(r);
	return r;
}

/* The log as a start finds it, without the store. */
static int open_changed(struct rig *r)
{
	struct dp_meta tail = {.promised = 1, .at = {1, 1, 99}, .based = true};
	cr_assert_eq(dp_log_init(&r->log, &tail), 0);
	int err = open_store(r);
	dp_store_close(&r->store);
	dp_log_clear(&r->log);
	return err;
}

Test(change, a_new_volume_is_zeros_and_an_image_that_is_lost_is_not)
{
	struct rig *r = begin_released();
	uint64_t size;
	r->disk->base.ops->remove(&r->disk->base, files[1]);
	cr_assert_eq(open_changed(r), DP_ENOENT, "a lost image is made anew");
	r->is_new = 2;
	cr_assert_eq(open_changed(r), 0);
	const uint8_t *bytes = memdisk_bytes(r->disk, files[1], &size);
	cr_assert(bytes && size == r->sizes[1]);
	for (uint64_t i = 0; i < size; i++)
		cr_assert_eq(bytes[i], 0);
	r->is_new = 0;
	open_all(r);
	end(r);
}

Test(change, a_volume_grows_and_keeps_what_it_holds)
{
	struct rig *r = begin_released();
	uint64_t size, before = r->sizes[0];
	uint8_t *held = malloc(before);
	memcpy(held, memdisk_bytes(r->disk, files[0], NULL), before);
	r->sizes[0] *= 2;
	cr_assert_eq(open_changed(r), DP_EINVAL, "an image that is too small is taken");
	r->grown = 1;
	cr_assert_eq(open_changed(r), 0);
	const uint8_t *bytes = memdisk_bytes(r->disk, files[0], &size);
	cr_assert(size == 2 * before && memcmp(bytes, held, before) == 0);
	for (uint64_t i = before; i < size; i++)
		cr_assert_eq(bytes[i], 0);
	free(held);
	r->grown = 0;
	free(r->safe[0]);
	r->safe[0] = calloc(1, size);
	open_all(r);
	end(r);
}

Test(failure, too_many_volumes_are_refused)
{
	struct rig *r = begin();
	struct dp_store_volume volumes[DP_VOLUMES_MAX + 1] = {{0}};
	struct dp_store_events events = {.applied = on_applied,
		.image = on_image,
		.want = on_want,
		.copied = on_copied,
		.failed = on_failed,
		.ctx = r};
	struct dp_store *store;
	int err = dp_store_open(&r->disk->base, volumes, DP_VOLUMES_MAX + 1, &r->log, r->j, NULL,
		&events, &store);
	cr_assert_eq(err, DP_ERANGE);
	cr_assert_null(store);
	end(r);
}

/* ---- lives with everything at once ---- */

static bool is_image(const struct rig *r, const struct dp_file *file, unsigned *volume)
{
	for (*volume = 0; *volume < VOLUMES; (*volume)++)
		if (r->store->volumes[*volume].file == file)
			return true;
	return false;
}

/* Some sectors of a write that has not been synced, or not even been done, are on the disk. */
static void keep_some(uint8_t *to, const struct dp_io *io)
{
	for (uint64_t at = 0, size; at < io->size; at += size) {
		uint64_t left = io->size - at;
		size = MEMDISK_SECTOR - (io->offset + at) % MEMDISK_SECTOR;
		if (size > left)
			size = left;
		if (draw(2))
			continue;
		if (io->data)
			memcpy(to + io->offset + at, (const uint8_t *)io->data + at, size);
		else
			memset(to + io->offset + at, 0, size);
	}
}

/* One operation, any of those under way, and what of it is then safe. */
static bool step_any(struct rig *r)
{
	if (r->disk->count == 0)
		return false;
	uint32_t pick = draw(r->disk->count);
	struct dp_io *io = r->disk->queue[pick];
	unsigned v;
	if (is_image(r, io->file, &v) && io->op != DP_IO_READ) {
		if (io->op == DP_IO_SYNC) /* nothing of the store is written meanwhile */
			memcpy(r->safe[v], memdisk_bytes(r->disk, files[v], NULL), r->sizes[v]);
		else
			keep_some(r->safe[v], io);
	}
	r->steps++;
	memdisk_step_at(r->disk, pick);
	return true;
}

static void crash(struct rig *r)
{
	for (uint32_t i = 0; i < r->disk->count; i++) {
		const struct dp_io *io = r->disk->queue[i];
		unsigned v;
		if (io->op != DP_IO_WRITE && io->op != DP_IO_ZERO)
			continue;
		uint8_t *to = is_image(r, io->file, &v) ? r->safe[v]
							: memdisk_bytes(r->disk, JOURNAL, NULL);
		keep_some(to, io);
	}
	uint64_t durable = r->durable;
	close_all(r);
	for (unsigned v = 0; v < VOLUMES; v++)
		memdisk_put(r->disk, files[v], r->safe[v], r->sizes[v]);
	open_all(r);
	cr_assert_geq(r->log.last.at.seq, durable);
	cr_assert_eq(r->log.last.at.chain,
		r->log.last.at.seq ? r->made[r->log.last.at.seq]->h.chain : dp_chain_start(STREAM));
	agree(r, r->agreed);
}

static void append_any(struct rig *r)
{
	static const uint8_t ops[] = {DP_OP_WRITE, DP_OP_WRITE, DP_OP_WRITE, DP_OP_WRITE,
		DP_OP_TRIM, DP_OP_ZERO, DP_OP_FLUSH, DP_OP_MARK};
	uint8_t op = ops[draw(8)];
	unsigned volume = draw(VOLUMES);
	uint32_t length = 1 + draw(draw(4) ? 700 : 9000), size = (uint32_t)r->sizes[volume];
	uint32_t align = draw(2) ? 512 : 1;
	uint32_t offset = draw(size - length) / align * align;
	if (!dp_op_has_extent(op))
		offset = length = 0;
	append(r, op, volume, offset, length);
}

/* One thing that may happen to a store. */
static void live(struct rig *r)
{
	switch (draw(10)) {
	case 0:
	case 1:
	case 2:
		append_any(r);
		break;
	case 3:
		dp_journal_kick(r->j);
		break;
	case 4:
		if (r->durable > r->agreed)
			agree(r, r->agreed + 1 + draw((uint32_t)(r->durable - r->agreed)));
		break;
	case 5:
		evict(r);
		break;
	case 6:
		dp_store_tick(r->store, r->now += draw(2 * QUIET_US));
		break;
	default:
		step_any(r);
	}
}

/* Nothing is appended between question and answer, so that there is one right answer, while
 * records are made durable, agreed, applied, synced, evicted and released. */
static void read_while_living(struct rig *r)
{
	unsigned volume = draw(VOLUMES);
	uint32_t length = 1 + draw(8192), offset = draw((uint32_t)r->sizes[volume] - length + 1);
	uint64_t id = ask(r, volume, offset, length);
	for (unsigned i = 0; !r->answers[id % ANSWERS].given; i++) {
		if (i % 2 == 0 && r->durable > r->agreed)
			agree(r, r->agreed + 1);
		else if (i % 3 == 0)
			dp_store_tick(r->store, r->now += QUIET_US);
		else if (i % 7 == 0)
			evict(r);
		step_any(r);
		cr_assert_lt(i, 10000, "a read is never answered");
	}
	check_answer(r, id, volume, offset, length);
}

Test(life, readers_always_see_the_newest)
{
	for (unsigned seed = 1; seed <= 30; seed++) {
		struct rig *r = begin();
		random_state = seed;
		while (r->log.last.at.seq < 200) {
			live(r);
			if (draw(4) == 0)
				read_while_living(r);
			uint32_t open = (uint32_t)(r->log.last.at.seq - r->agreed);
			if (draw(150) == 0)
				cut(r, r->agreed + draw(open + 1));
		}
		cr_assert_eq(r->failures, 0);
		apply_all(r);
		check_images(r, r->agreed);
		end(r);
	}
}

/* Lives until `steps` operations are done, crashes, is opened and perhaps crashes again while it
 * replays; then everything that was durable is there. False: there were not that many steps. */
static bool live_and_crash(unsigned seed, unsigned steps, unsigned records)
{
	struct rig *r = begin();
	random_state = seed;
	while (r->steps < steps && r->log.last.at.seq < records)
		live(r);
	bool more = r->steps == steps;
	for (unsigned again = draw(3); again; again--) {
		crash(r);
		for (unsigned i = draw(30); i; i--) {
			quiet(r);
			step_any(r);
		}
	}
	crash(r);
	check_reads(r);
	if (draw(2))
		append_any(r);
	settle(r);
	check_images(r, r->agreed);
	cr_assert_eq(r->told, r->agreed);
	check_reads(r);
	apply_all(r);
	check_images(r, r->agreed);
	cr_assert_eq(r->failures, 0);
	end(r);
	return more;
}

Test(life, a_crash_at_any_moment)
{
	unsigned steps = 0;
	while (live_and_crash(11, steps, 400))
		steps++;
	cr_assert_gt(steps, 200);
}

Test(life, crashes_of_many_lives)
{
	for (unsigned seed = 100; seed < 250; seed++)
		live_and_crash(seed, seed % 97 * 5, 200);
}

/* ---- digests ---- */

/* From the documents, with nothing of the product: blocks that are not all zeros, each behind its
 * index. */
static void digest_of(const uint8_t *bytes, uint64_t size, uint8_t out[16])
{
	uint8_t *text = malloc(size + size / 65536 * 8 + 8), *to = text;
	for (uint64_t at = 0; at < size; at += 65536) {
		uint64_t length = size - at < 65536 ? size - at : 65536, zeros = 0;
		while (zeros < length && bytes[at + zeros] == 0)
			zeros++;
		if (zeros == length)
			continue;
		for (unsigned i = 0; i < 8; i++)
			*to++ = (uint8_t)(at / 65536 >> 8 * i);
		memcpy(to, bytes + at, length);
		to += length;
	}
	crypto_generichash(out, 16, text, (size_t)(to - text), NULL, 0);
	free(text);
}

static void check_mark(struct rig *r, uint64_t id, unsigned volume, uint64_t seq)
{
	const struct dp_store_mark *m = dp_store_find_mark(r->store, id);
	cr_assert_not_null(m, "no digest of mark %u", (unsigned)id);
	cr_assert(m->done && m->id == id && m->seq == seq);
	cr_assert(m->volume == ID(volume) && m->epoch == 1);
	uint8_t want[16], *bytes = content(r, volume, seq);
	digest_of(bytes, r->sizes[volume], want);
	cr_assert_arr_eq(m->digest, want, 16, "the digest is not that of record %u", (unsigned)seq);
	free(bytes);
}

static uint64_t mark(struct rig *r, unsigned volume, uint64_t id)
{
	return append(r, DP_OP_MARK, volume, id, 0);
}

/* The numbers come from another implementation of BLAKE2b. */
Test(digest, known_value)
{
	uint8_t block[DP_DIGEST_BLOCK], out[DP_DIGEST_SIZE];
	char text[DP_DIGEST_TEXT];
	struct dp_digest d;
	cr_assert_geq(sodium_init(), 0);
	dp_digest_init(&d);
	dp_digest_final(&d, out);
	cr_assert_str_eq(dp_digest_text(out, text), "cae66941d9efbd404e4d88758ea67670");
	dp_digest_init(&d);
	for (unsigned i = 0; i < sizeof block; i++)
		block[i] = (uint8_t)(i * 7);
	dp_digest_block(&d, 0, block, sizeof block);
	memset(block, 0, sizeof block);
	dp_digest_block(&d, 1, block, sizeof block);
	block[sizeof block - 1] = 1;
	dp_digest_block(&d, 258, block, sizeof block);
	block[4095] = 9;
	dp_digest_block(&d, 259, block, 4096);
	dp_digest_final(&d, out);
	cr_assert_str_eq(dp_digest_text(out, text), "3c263555d9253e629fc4c8d5b7cdbb08");
}

static struct rig *begin_large(void)
{
	return begin_sized(19 * DP_DIGEST_BLOCK + 8192, 3 * DP_DIGEST_BLOCK);
}

Test(digest, is_that_of_the_mark)
{
	struct rig *r = begin_large();
	put(r, 70000, 50000);
	put(r, 18 * 65536 + 100, 65536 + 8092); /* to the last byte */
	append(r, DP_OP_WRITE, 1, 0, 100);
	commit(r);
	uint64_t at = mark(r, 0, 41);
	put(r, 0, 4096); /* agreed together with the mark, and not part of it */
	append(r, DP_OP_TRIM, 0, 70000, 10000);
	uint64_t other = mark(r, 1, 42);
	append(r, DP_OP_WRITE, 1, 65535, 2);
	commit(r);
	cr_assert_null(dp_store_find_mark(r->store, 41));
	agree(r, at - 1);
	settle(r);
	cr_assert_null(dp_store_find_mark(r->store, 41), "a digest before its mark is agreed");
	agree(r, other + 1);
	memdisk_run(r->disk);
	check_mark(r, 41, 0, at);
	check_mark(r, 42, 1, other);
	settle(r);
	check_images(r, other + 1);
	cr_assert_eq(r->told, other + 1);
	end(r);
}

/* Zeros that were written, zeroed, trimmed or never touched are the same. */
Test(digest, does_not_tell_zeros_from_holes)
{
	struct rig *r = begin_large();
	put(r, 0, 4096);
	uint64_t first = mark(r, 0, 1);
	append(r, DP_OP_ZERO, 0, 65536, 65536);
	put(r, 5 * 65536, 3);
	append(r, DP_OP_TRIM, 0, 4 * 65536, 2 * 65536);
	uint64_t second = mark(r, 0, 2);
	apply_all(r);
	check_mark(r, 1, 0, first);
	check_mark(r, 2, 0, second);
	const struct dp_store_mark *a = dp_store_find_mark(r->store, 1);
	const struct dp_store_mark *b = dp_store_find_mark(r->store, 2);
	cr_assert_arr_eq(a->digest, b->digest, DP_DIGEST_SIZE);
	end(r);
}

Test(digest, of_an_empty_volume)
{
	struct rig *r = begin_large();
	uint64_t at = mark(r, 1, 7);
	apply_all(r);
	check_mark(r, 7, 1, at);
	end(r);
}

/* Somebody waits for it: it does not wait for a quiet moment, although the mark is agreed long
 * after it came and the writes never pause. */
Test(digest, does_not_wait_for_a_quiet_moment)
{
	struct rig *r = begin();
	put(r, 0, 512);
	commit(r);
	agree(r, 1);
	uint64_t at = mark(r, 0, 3);
	for (unsigned i = 0; i < 10; i++) {
		put(r, 512 * i, 512);
		commit(r);
		dp_store_tick(r->store, r->now += QUIET_US / 2);
		memdisk_run(r->disk);
		if (i == 5)
			agree(r, at);
	}
	cr_assert_not_null(dp_store_find_mark(r->store, 3), "the mark waits for the writes to end");
	check_mark(r, 3, 0, at);
	end(r);
}

/* Records that the journal held before a restart may be older than the image. */
Test(digest, is_not_given_for_marks_from_before_a_restart)
{
	struct rig *r = begin();
	put(r, 0, 512);
	mark(r, 0, 1);
	put(r, 0, 1024);
	commit(r);
	agree(r, 3);
	quiet(r);
	while (memdisk_bytes(r->disk, files[0], NULL)[600] == 0)
		cr_assert(step_any(r));
	close_all(r); /* after the image had record 3, before anything was synced */
	open_all(r);
	agree(r, 3);
	settle(r);
	cr_assert_eq(r->told, 3);
	cr_assert_null(dp_store_find_mark(r->store, 1));
	uint64_t at = mark(r, 0, 2);
	apply_all(r);
	check_mark(r, 2, 0, at);
	end(r);
}

Test(digest, of_an_unknown_volume_holds_nothing_up)
{
	struct rig *r = begin();
	append_as(r, DP_OP_MARK, 99, 5, 0);
	put(r, 0, 512);
	apply_all(r);
	cr_assert_null(dp_store_find_mark(r->store, 5));
	check_images(r, 2);
	cr_assert_eq(r->failures, 0);
	end(r);
}

Test(digest, the_last_are_kept)
{
	struct rig *r = begin();
	uint64_t seqs[MARKS_KEPT + 1];
	for (unsigned i = 0; i <= MARKS_KEPT; i++) {
		put(r, i * 100, 200);
		seqs[i] = mark(r, 0, 10 + i);
	}
	apply_all(r);
	cr_assert_null(dp_store_find_mark(r->store, 10));
	for (unsigned i = 1; i <= MARKS_KEPT; i++)
		check_mark(r, 10 + i, 0, seqs[i]);
	end(r);
}

Test(digest, of_two_marks_with_one_name_the_newest)
{
	struct rig *r = begin();
	put(r, 0, 100);
	mark(r, 0, 8);
	put(r, 0, 200);
	uint64_t at = mark(r, 0, 8);
	apply_all(r);
	check_mark(r, 8, 0, at);
	end(r);
}

Test(digest, of_an_image_that_cannot_be_read_fails)
{
	struct rig *r = begin();
	put(r, 0, 512);
	apply_all(r);
	mark(r, 0, 4);
	put(r, 0, 512);
	commit(r);
	r->disk->read_error = DP_EIO;
	agree(r, 3);
	settle(r);
	cr_assert_null(dp_store_find_mark(r->store, 4));
	cr_assert(r->failures == 1 && r->told == 1);
	cr_assert_not(dp_store_busy(r->store));
	end(r);
}
