/* SPDX-License-Identifier: MIT */
/* A resync of the images of a store on a disk in memory, against a source that the test answers
 * for: what is asked for, what becomes of the answers, and what a crash, a stop or a cut leaves. */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "memdisk.h"
#include "store/internal.h"

#define STREAM   9
#define VOLUMES  2
#define WANTS    256
#define MADE_MAX 64
#define AT       10 /* where the log stands after the jump */
#define CHUNK    (16 * DP_KIB)
#define CHUNKS   10 /* of both volumes */
#define ID(v)    (100 + (v))

static const char *const old_files[VOLUMES] = {"image.a", "image.b"};
static const char *const new_files[VOLUMES] = {"image.a.1", "image.b.1"};
static const uint64_t sizes[VOLUMES] = {100 * DP_KIB, 48 * DP_KIB};

struct rig {
	struct memdisk *disk;
	struct dp_journal *j;
	struct dp_store *store;
	struct dp_log log;
	uint8_t *old[VOLUMES], *base[VOLUMES]; /* the old images; the source at AT */
	uint8_t *safe[VOLUMES];                /* of the new images, what a crash leaves */
	struct dp_record *made[MADE_MAX];      /* by seq - AT */
	uint64_t durable, now;
	struct dp_wanted wants[WANTS];
	unsigned answered, want_count, failures, copies;
	uint64_t copied, valid_seq;
	bool all, dying;
	struct dp_found found; /* the newest answer to a read */
	uint8_t *data;
	unsigned founds;
};

/* ---- what the owner hears ---- */

static void on_durable(void *ctx, uint64_t seq)
{
	((struct rig *)ctx)->durable = seq;
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
	r->failures += !r->dying;
}

static void on_applied(void *ctx, uint64_t seq)
{
	(void)ctx;
	(void)seq;
}

static void on_image(void *ctx, const struct dp_found *found, struct dp_buf *data)
{
	struct rig *r = ctx;
	r->founds++;
	r->found = *found;
	free(r->data);
	r->data = data ? malloc(data->size) : NULL;
	if (data)
		memcpy(r->data, data->data, data->size);
}

static void on_want(void *ctx, const struct dp_wanted *want)
{
	struct rig *r = ctx;
	if (r->dying)
		return;
	cr_assert_lt(r->want_count, WANTS);
	cr_assert_eq(want->min_seq, r->store->applied, "asked for without what is applied");
	cr_assert(want->compare);
	r->wants[r->want_count++] = *want;
}

static void say_images(struct rig *r, struct dp_images images)
{
	r->log.last.images = r->log.tail.images = images;
	dp_journal_barrier(r->j, &r->log.last, 1);
	dp_journal_kick(r->j);
}

static void on_copied(void *ctx, uint64_t copied, uint64_t valid_seq, bool all)
{
	struct rig *r = ctx;
	if (r->dying)
		return;
	cr_assert_not(r->store->syncing, "told to be copied before it is synced");
	r->copies++;
	r->copied = copied;
	r->valid_seq = valid_seq;
	r->all = all;
	for (unsigned v = 0; v < VOLUMES; v++)
		memcpy(r->safe[v], memdisk_bytes(r->disk, new_files[v], NULL), sizes[v]);
	struct dp_images images = r->log.last.images;
	images.copied = copied;
	images.valid_seq = valid_seq;
	say_images(r, images);
}

/* ---- opening, the jump, and a crash ---- */

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
	log->last.images = log->tail.images = meta->images;
	return 0;
}

static void open_all(struct rig *r)
{
	struct dp_journal_config cfg = {.stream = STREAM, .size = 2 * DP_MIB, .instance = 4711};
	struct dp_journal_events je = {on_durable, on_barrier, on_renewal, on_failed, r, NULL};
	struct dp_journal_scan scan = {on_tail, on_record, on_scan_barrier, r};
	struct dp_store_events se = {on_applied, on_image, on_want, on_copied, on_failed, r};
	struct dp_store_volume volumes[VOLUMES];
	for (unsigned v = 0; v < VOLUMES; v++)
		volumes[v] = (struct dp_store_volume){
			.id = ID(v), .size = sizes[v], .file = old_files[v]};
	r->dying = false;
	cr_assert_eq(dp_journal_open(&r->disk->base, "journal", &cfg, &je, &scan, &r->j), 0);
	cr_assert_eq(dp_store_open(&r->disk->base, volumes, VOLUMES, &r->log, r->j, NULL, &se,
			     &r->store),
		0);
	dp_store_resync_step(r->store, (struct resync_step){CHUNK, 4, 4 * CHUNK});
	r->durable = r->log.last.at.seq;
	dp_store_reset(r->store, r->log.tail.at.seq);
}

static void close_all(struct rig *r)
{
	r->dying = true;
	dp_store_resync_stop(r->store);
	r->disk->write_error = r->disk->read_error = DP_EIO;
	memdisk_run(r->disk);
	r->disk->write_error = r->disk->read_error = 0;
	cr_assert_not(dp_store_busy(r->store) || dp_journal_busy(r->j));
	dp_store_close(&r->store);
	dp_journal_close(&r->j);
	dp_log_clear(&r->log);
	cr_assert_eq(r->disk->opened, 0);
}

/* What was not synced is gone from the new images, and what is asked for forgotten. */
static void crash(struct rig *r)
{
	close_all(r);
	for (unsigned v = 0; v < VOLUMES; v++)
		if (memdisk_bytes(r->disk, new_files[v], NULL))
			memdisk_put(r->disk, new_files[v], r->safe[v], sizes[v]);
	open_all(r);
	r->answered = r->want_count = 0;
}

static void fill_bytes(uint8_t *to, uint64_t size, unsigned salt)
{
	for (uint64_t i = 0; i < size; i++)
		to[i] = (uint8_t)(1 + (i / 64 + salt) % 255);
}

/* Old images and source are the same; a test changes either before it jumps. */
static struct rig *begin(void)
{
	struct rig *r = calloc(1, sizeof *r);
	cr_assert_geq(sodium_init(), 0);
	r->disk = memdisk_new();
	for (unsigned v = 0; v < VOLUMES; v++) {
		r->old[v] = malloc(sizes[v]);
		r->base[v] = malloc(sizes[v]);
		r->safe[v] = calloc(1, sizes[v]);
		fill_bytes(r->old[v], sizes[v], v);
		fill_bytes(r->base[v], sizes[v], v);
	}
	return r;
}

static void jump(struct rig *r)
{
	for (unsigned v = 0; v < VOLUMES; v++)
		memdisk_put(r->disk, old_files[v], r->old[v], sizes[v]);
	open_all(r);
	struct dp_meta meta = {.promised = 1,
		.at = {1, AT, 99},
		.based = true,
		.images = {.building = 1, .valid_seq = AT}};
	dp_log_reset(&r->log, &meta);
	dp_journal_barrier(r->j, &meta, 1);
	dp_journal_kick(r->j);
	memdisk_run(r->disk);
	dp_store_reset(r->store, AT);
	dp_store_resync(r->store, 1000);
}

static void end(struct rig *r)
{
	close_all(r);
	for (unsigned i = 0; i < MADE_MAX; i++)
		dp_record_unref(&r->made[i]);
	for (unsigned v = 0; v < VOLUMES; v++) {
		free(r->old[v]);
		free(r->base[v]);
		free(r->safe[v]);
	}
	free(r->data);
	memdisk_free(r->disk);
	free(r);
}

/* ---- records, and what the source holds ---- */

static void put(struct rig *r, unsigned volume, uint64_t offset, uint32_t length)
{
	uint64_t seq = r->log.last.at.seq + 1;
	struct dp_buf *payload = dp_buf_new(length);
	memset(payload->data, (int)(200 + seq % 50), length);
	struct dp_header h = {.op = DP_OP_WRITE,
		.stream = STREAM,
		.epoch = 1,
		.seq = seq,
		.set = 1,
		.volume = ID(volume),
		.offset = offset,
		.length = length,
		.payload_len = length,
		.payload_crc = dp_crc32c(0, payload->data, length)};
	h.chain = dp_chain_next(r->log.last.at.chain, &h);
	struct dp_record *record = dp_record_new(&h, payload);
	cr_assert_lt(seq - AT, MADE_MAX);
	cr_assert_eq(dp_log_append(&r->log, record, 0), 0);
	r->made[seq - AT] = record;
	dp_journal_append(r->j, record);
	dp_store_note(r->store);
}

static void apply_all(struct rig *r)
{
	dp_journal_kick(r->j);
	dp_store_apply(r->store, r->log.last.at.seq);
}

static uint8_t *content(const struct rig *r, unsigned v, uint64_t seq)
{
	uint8_t *bytes = malloc(sizes[v]);
	memcpy(bytes, r->base[v], sizes[v]);
	for (uint64_t n = AT + 1; n <= seq; n++) {
		const struct dp_record *made = r->made[n - AT];
		if (made->h.volume == ID(v))
			memcpy(bytes + made->h.offset, made->payload->data, made->h.length);
	}
	return bytes;
}

/* As store/read.c answers, at record `seq` of the source. */
static void answer_at(struct rig *r, const struct dp_wanted *w, uint64_t seq)
{
	unsigned v = w->volume - ID(0);
	uint8_t *bytes = content(r, v, seq), digest[DP_WANTED_DIGEST];
	struct dp_found f = {.id = w->id, .kind = DP_FOUND_DATA, .seq = seq, .length = w->length};
	uint64_t zeros = w->offset;
	while (zeros < sizes[v] && bytes[zeros] == 0)
		zeros++;
	zeros -= w->offset;
	dp_store_chunk_digest(bytes + w->offset, w->length, digest);
	if (zeros >= w->length) {
		f.kind = DP_FOUND_ZEROS;
		f.length = zeros;
	} else if (memcmp(digest, w->digest, sizeof digest) == 0) {
		f.kind = DP_FOUND_SAME;
	}
	struct dp_buf *data = f.kind == DP_FOUND_DATA ? dp_buf_new(w->length) : NULL;
	if (data)
		memcpy(data->data, bytes + w->offset, w->length);
	dp_store_fill(r->store, &f, data);
	dp_buf_unref(&data);
	free(bytes);
}

static void answer(struct rig *r, const struct dp_wanted *w)
{
	answer_at(r, w, r->log.last.at.seq);
}

static void tick(struct rig *r, uint64_t after_us)
{
	r->now += after_us;
	dp_store_tick(r->store, r->now);
}

/* Until the source is asked for something new. */
static void until_asked(struct rig *r)
{
	for (unsigned i = 0; i < 1000 && r->answered == r->want_count; i++) {
		tick(r, 1000);
		memdisk_run(r->disk);
	}
	cr_assert_lt(r->answered, r->want_count, "nothing is asked for");
}

static void copy_all(struct rig *r)
{
	for (unsigned i = 0; i < 1000 && !r->all; i++) {
		tick(r, 1000);
		memdisk_run(r->disk);
		while (r->answered < r->want_count)
			answer(r, &r->wants[r->answered++]);
	}
	cr_assert(r->all, "the resync does not end");
	cr_assert_eq(r->copied, sizes[0] + sizes[1]);
}

static void check_file(struct rig *r, const char *name, const uint8_t *want, uint64_t size)
{
	const uint8_t *have = memdisk_bytes(r->disk, name, NULL);
	uint64_t at = 0;
	cr_assert_not_null(have, "%s is gone", name);
	while (at < size && have[at] == want[at])
		at++;
	cr_assert_eq(at, size, "%s differs at byte %u", name, (unsigned)at);
}

/* All that a chunk may have shown is applied: the new images are the source's, the old ones what
 * they were. */
static void check_whole(struct rig *r)
{
	apply_all(r);
	for (unsigned i = 0; i < 100; i++) {
		tick(r, QUIET_US);
		memdisk_run(r->disk);
	}
	cr_assert_geq(r->store->synced, r->valid_seq);
	for (unsigned v = 0; v < VOLUMES; v++) {
		uint8_t *want = content(r, v, r->log.last.at.seq);
		check_file(r, new_files[v], want, sizes[v]);
		check_file(r, old_files[v], r->old[v], sizes[v]);
		free(want);
	}
}

static void finish(struct rig *r)
{
	copy_all(r);
	check_whole(r);
	end(r);
}

/* ---- answers ---- */

Test(resync, what_is_the_same_is_copied_from_the_old_image)
{
	struct rig *r = begin();
	jump(r);
	copy_all(r);
	cr_assert_eq(r->want_count, CHUNKS);
	cr_assert_eq(dp_store_stats(r->store).fetched, 0, "what is here is sent");
	check_whole(r);
	end(r);
}

Test(resync, only_what_differs_is_sent)
{
	struct rig *r = begin();
	r->base[0][5 * CHUNK + 7] ^= 1;
	memset(r->base[1], 0, CHUNK);
	memset(r->old[1] + CHUNK, 0, CHUNK);
	jump(r);
	copy_all(r);
	cr_assert_eq(dp_store_stats(r->store).fetched, 2 * CHUNK);
	check_whole(r);
	end(r);
}

/* A run of zeros that goes on beyond chunk and round is done with one question, and ends with its
 * volume whatever the answer says. */
Test(resync, zeros_run_over_several_chunks)
{
	struct rig *r = begin();
	memset(r->base[0] + CHUNK, 0, sizes[0] - CHUNK);
	jump(r);
	until_asked(r);
	cr_assert_eq(r->want_count, 4);
	struct dp_found zeros = {
		.id = r->wants[1].id, .kind = DP_FOUND_ZEROS, .seq = AT, .length = UINT64_MAX};
	dp_store_fill(r->store, &zeros, NULL);
	answer(r, &r->wants[0]);
	answer(r, &r->wants[2]);
	answer(r, &r->wants[3]);
	r->answered = 4;
	until_asked(r);
	cr_assert_eq(r->wants[4].volume, ID(1), "the run is asked for again");
	cr_assert_eq(r->wants[4].offset, 0);
	finish(r);
}

Test(resync, answers_come_out_of_order)
{
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	until_asked(r);
	for (unsigned i = r->want_count; i-- > 0;)
		answer(r, &r->wants[i]);
	r->answered = r->want_count;
	finish(r);
}

static struct dp_seal *seal_of(const uint8_t (*holders)[DP_SEAL_KEY_SIZE], const uint8_t *secret)
{
	uint8_t random[32];
	struct dp_seal *seal;
	randombytes_buf(random, sizeof random);
	cr_assert_eq(dp_seal_new(STREAM, DP_SEAL_CHACHA20POLY1305, secret, NULL, holders, 2, random,
			     &seal),
		0);
	return seal;
}

/* Fills with CHUNK bytes that `by` (NULL: nobody) sealed as the answer to `w`, and says so to `id`.
 */
static int fill_sealed(struct rig *r, struct dp_seal *by, const struct dp_wanted *w, uint64_t id,
	uint64_t seq)
{
	struct dp_found f = {.id = id, .seq = seq, .length = CHUNK};
	struct dp_buf *data = dp_buf_new(CHUNK);
	memset(data->data, 3, CHUNK);
	struct dp_buf *sent = by ? dp_seal_found(by, w, &f, data) : dp_buf_ref(data);
	int err = dp_store_fill(r->store, &f, sent);
	dp_buf_unref(&sent);
	dp_buf_unref(&data);
	return err;
}

/* What a relay makes up, moves or keeps for later does not get into an image. */
Test(resync, of_a_sealed_stream_takes_what_a_holder_sealed)
{
	uint8_t public[3][DP_SEAL_KEY_SIZE], secret[3][DP_SEAL_KEY_SIZE];
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	for (unsigned i = 0; i < 3; i++)
		crypto_box_keypair(public[i], secret[i]);
	const uint8_t(*holders)[DP_SEAL_KEY_SIZE] = (const uint8_t(*)[DP_SEAL_KEY_SIZE]) public;
	struct dp_seal *here = seal_of(holders, secret[0]), *source = seal_of(holders, secret[1]);
	struct dp_seal *relay = seal_of(holders, secret[2]);
	jump(r);
	r->store->seal = here;
	until_asked(r);
	memdisk_run(r->disk);
	const struct dp_wanted *w = r->wants;
	cr_assert_gt(w->min_seq, 0);
	cr_assert_eq(fill_sealed(r, NULL, &w[0], w[0].id, AT), DP_EPERM, "open");
	cr_assert_eq(fill_sealed(r, relay, &w[0], w[0].id, AT), DP_EPERM, "by no holder");
	cr_assert_eq(fill_sealed(r, source, &w[1], w[0].id, AT), DP_EPERM, "of another place");
	struct dp_wanted other = w[0];
	other.min_seq--;
	cr_assert_eq(fill_sealed(r, source, &other, w[0].id, AT), DP_EPERM, "of before");
	other = w[0];
	other.digest[0] ^= 1;
	cr_assert_eq(fill_sealed(r, source, &other, w[0].id, AT), DP_EPERM,
		"to who has something else");
	cr_assert_eq(r->disk->count, 0, "something is written");
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(fill_sealed(r, source, &w[i], w[i].id, AT), 0);
	cr_assert_eq(r->disk->count, 4);
	r->answered = 4;
	r->store->seal = NULL;
	finish(r);
	dp_seal_free(&here);
	dp_seal_free(&source);
	dp_seal_free(&relay);
}

/* Answers that are none leave the chunk to be asked for again. */
Test(resync, answers_that_do_not_fit_are_not_taken)
{
	struct rig *r = begin();
	memset(r->old[0], 0, CHUNK);
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	until_asked(r);
	memdisk_run(r->disk);
	uint64_t id = r->wants[0].id;
	struct dp_buf *small = dp_buf_new(CHUNK - 512), *right = dp_buf_new(CHUNK);
	memset(small->data, 9, small->size);
	memset(right->data, 9, right->size);
	dp_store_fill(r->store, &(struct dp_found){.id = id, .length = CHUNK}, small);
	dp_store_fill(r->store, &(struct dp_found){.id = id, .length = CHUNK}, NULL);
	dp_store_fill(r->store, &(struct dp_found){.id = id, .status = DP_EAGAIN}, NULL);
	dp_store_fill(r->store, &(struct dp_found){.id = 77, .length = CHUNK}, right);
	/* There is nothing in the old image that it could be the same as. */
	dp_store_fill(r->store, &(struct dp_found){.id = id, .kind = DP_FOUND_SAME}, NULL);
	cr_assert_eq(r->disk->count, 0, "something is written");
	for (unsigned i = 0; i < 4; i++) {
		answer(r, &r->wants[i]);
		dp_store_fill(r->store, &(struct dp_found){.id = r->wants[i].id, .length = CHUNK},
			right);
	}
	cr_assert_eq(r->disk->count, 4, "an answer is taken twice");
	dp_buf_unref(&small);
	dp_buf_unref(&right);
	r->answered = 4;
	finish(r);
}

Test(resync, what_is_not_answered_is_asked_for_again_by_another_name)
{
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	until_asked(r);
	unsigned first = r->want_count;
	tick(r, 3000000);
	cr_assert_eq(r->want_count, 2 * first);
	answer(r, &r->wants[0]);
	cr_assert_eq(r->disk->count, 0, "an answer to what was given up is taken");
	cr_assert_eq(r->wants[first].offset, r->wants[0].offset);
	r->answered = first;
	finish(r);
}

Test(resync, an_old_image_that_cannot_be_read_is_sent)
{
	struct rig *r = begin();
	jump(r);
	r->disk->read_error = DP_EIO;
	tick(r, 1000);
	memdisk_run(r->disk);
	r->disk->read_error = 0;
	copy_all(r);
	cr_assert_geq(dp_store_stats(r->store).fetched, 4 * CHUNK);
	cr_assert_eq(r->failures, 0);
	check_whole(r);
	end(r);
}

Test(resync, a_new_image_that_cannot_be_written_fails)
{
	struct rig *r = begin();
	jump(r);
	until_asked(r);
	r->disk->write_error = DP_EIO;
	answer(r, &r->wants[0]);
	memdisk_run(r->disk);
	cr_assert_eq(r->failures, 1);
	cr_assert_eq(r->copies, 0);
	r->disk->write_error = 0;
	end(r);
}

/* ---- records in between ---- */

Test(resync, no_record_is_applied_during_a_round)
{
	struct rig *r = begin();
	jump(r);
	until_asked(r);
	put(r, 0, 0, 4096);
	apply_all(r);
	tick(r, QUIET_US);
	memdisk_run(r->disk);
	cr_assert_eq(r->store->applied, AT, "records are applied during a round");
	finish(r);
}

/* An answer may be of any time since it was asked for: what was applied under it before is in it,
 * and what comes later is applied on top. */
static void check_writes_in_between(bool newest)
{
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	for (unsigned i = 0; i < 1000 && !r->all; i++) {
		if (i < 40)
			put(r, i % 2, i * 2560 % (40 * DP_KIB), 4096);
		if (i % 3 == 0)
			apply_all(r);
		tick(r, 1000);
		memdisk_run(r->disk);
		while (r->answered < r->want_count) {
			const struct dp_wanted *w = &r->wants[r->answered++];
			answer_at(r, w, newest ? r->log.last.at.seq : w->min_seq);
		}
	}
	cr_assert(r->all);
	cr_assert_gt(r->valid_seq, AT);
	check_whole(r);
	end(r);
}

Test(resync, writes_in_between_win_over_the_oldest_answers)
{
	check_writes_in_between(false);
}

Test(resync, writes_in_between_win_over_the_newest_answers)
{
	check_writes_in_between(true);
}

Test(resync, whole_with_the_newest_record_that_an_answer_may_show)
{
	struct rig *r = begin();
	jump(r);
	until_asked(r);
	put(r, 0, 0, 512);
	put(r, 1, 0, 512);
	answer_at(r, &r->wants[0], AT + 2);
	for (unsigned i = 1; i < r->want_count; i++)
		answer_at(r, &r->wants[i], AT);
	r->answered = r->want_count;
	copy_all(r);
	cr_assert_eq(r->valid_seq, AT + 2);
	check_whole(r);
	end(r);
}

/* ---- stopping and going on ---- */

Test(resync, is_stopped_and_goes_on)
{
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	until_asked(r);
	answer(r, &r->wants[0]);
	dp_store_resync_stop(r->store);
	answer(r, &r->wants[1]);
	cr_assert_eq(r->disk->count, 1, "an answer is taken after the stop");
	memdisk_run(r->disk);
	tick(r, 5000000);
	memdisk_run(r->disk);
	cr_assert_eq(r->want_count, 4, "something is asked for after the stop");
	cr_assert_eq(r->copies, 0);
	r->answered = r->want_count;
	dp_store_resync(r->store, 2000);
	until_asked(r);
	cr_assert_eq(r->wants[4].offset, 0, "what was under way is not asked for again");
	finish(r);
}

/* A chunk of before that is still being read from the old image says nothing of those before it. */
Test(resync, begins_anew_while_the_old_image_is_read)
{
	struct rig *r = begin();
	memset(r->old[0], 0, CHUNK);
	memset(r->base[0], 3, sizes[0]);
	memset(r->base[0] + CHUNK, 0, CHUNK);
	jump(r);
	while (r->want_count == 0) /* the first chunk is a hole: asked for at once */
		tick(r, 1000);
	dp_store_resync(r->store, 2000);
	finish(r);
}

/* The log is cut, and the copy begins anew, while what was copied before is being synced. */
Test(resync, begins_anew_during_a_sync)
{
	struct rig *r = begin();
	jump(r);
	until_asked(r);
	while (!r->store->syncing) {
		while (r->answered < r->want_count)
			answer(r, &r->wants[r->answered++]);
		cr_assert(memdisk_step(r->disk));
	}
	struct dp_images images = r->log.last.images;
	images.copied = 0;
	say_images(r, images);
	dp_store_resync(r->store, 2000);
	memdisk_run(r->disk);
	cr_assert_eq(r->log.last.images.copied, 0, "what was copied before is called copied again");
	finish(r);
}

Test(resync, goes_on_after_a_crash_from_what_was_synced)
{
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	while (r->copied == 0) {
		tick(r, 1000);
		memdisk_run(r->disk);
		while (r->answered < r->want_count)
			answer(r, &r->wants[r->answered++]);
	}
	cr_assert_eq(r->copied, 4 * CHUNK);
	until_asked(r);
	answer(r, &r->wants[r->answered]);
	put(r, 0, 512, 512);
	memdisk_step(r->disk);
	uint64_t last = r->log.last.at.seq - 1;
	crash(r);
	cr_assert_eq(r->log.last.images.building, 1);
	cr_assert_eq(r->log.last.at.seq, last, "it was never written");
	tick(r, 1000);
	cr_assert_eq(r->want_count, 0, "goes on before it is told to");
	dp_record_unref(&r->made[1]);
	dp_store_resync(r->store, 3000);
	until_asked(r);
	cr_assert_eq(r->wants[0].offset, 4 * CHUNK, "goes on from %u",
		(unsigned)r->wants[0].offset);
	finish(r);
}

/* Whatever the moment: nothing is called copied that a crash would take. */
Test(resync, crashes_at_any_moment)
{
	for (unsigned moment = 0; moment < 120; moment += 3) {
		struct rig *r = begin();
		memset(r->base[0] + 3 * CHUNK, 3, CHUNK + 100);
		jump(r);
		for (unsigned i = 0; i < moment && !r->all; i++) {
			if (!memdisk_step(r->disk))
				tick(r, 1000);
			if (i % 2 && r->answered < r->want_count)
				answer(r, &r->wants[r->answered++]);
		}
		crash(r);
		r->all = false;
		dp_store_resync(r->store, 3000);
		finish(r);
	}
}

/* ---- the switch ---- */

static void switch_images(struct rig *r)
{
	say_images(r, (struct dp_images){.generation = 1});
	memdisk_run(r->disk);
	dp_store_switch(r->store);
}

static void ask(struct rig *r, unsigned v, uint64_t offset, uint32_t length, const uint8_t *have)
{
	struct dp_wanted w = {.id = ++r->founds,
		.volume = ID(v),
		.offset = offset,
		.length = length,
		.compare = have != NULL};
	if (have)
		dp_store_chunk_digest(have, length, w.digest);
	r->founds = 0;
	dp_store_read(r->store, &w);
	memdisk_run(r->disk);
	cr_assert_eq(r->founds, 1);
}

Test(resync, the_switch_removes_the_old_images)
{
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	copy_all(r);
	check_whole(r);
	switch_images(r);
	for (unsigned v = 0; v < VOLUMES; v++) {
		cr_assert_null(memdisk_bytes(r->disk, old_files[v], NULL), "an old image stays");
		check_file(r, new_files[v], r->base[v], sizes[v]);
	}
	ask(r, 0, 0, CHUNK, NULL);
	cr_assert_arr_eq(r->data, r->base[0], CHUNK);
	cr_assert_eq(dp_store_stats(r->store).copied, 0, "a resync is still told of");
	crash(r);
	ask(r, 0, CHUNK, CHUNK, NULL);
	cr_assert_arr_eq(r->data, r->base[0] + CHUNK, CHUNK);
	end(r);
}

Test(resync, the_switch_waits_for_readers)
{
	struct rig *r = begin();
	jump(r);
	copy_all(r);
	check_whole(r);
	dp_store_read(r->store, &(struct dp_wanted){.id = 1, .volume = ID(0), .length = 512});
	say_images(r, (struct dp_images){.generation = 1});
	dp_store_switch(r->store);
	cr_assert_not_null(memdisk_bytes(r->disk, old_files[0], NULL), "removed under a reader");
	memdisk_run(r->disk);
	tick(r, 1000);
	cr_assert_null(memdisk_bytes(r->disk, old_files[0], NULL));
	end(r);
}

/* What readers still hold up is not what the next one builds on. */
Test(resync, a_resync_that_is_ordered_meanwhile_begins_after_the_switch)
{
	struct rig *r = begin();
	memset(r->base[0], 3, sizes[0]);
	jump(r);
	copy_all(r);
	check_whole(r);
	say_images(r, (struct dp_images){.generation = 1});
	memdisk_run(r->disk);
	dp_store_read(r->store, &(struct dp_wanted){.id = 1, .volume = ID(0), .length = 512});
	dp_store_switch(r->store);
	say_images(r,
		(struct dp_images){
			.generation = 1, .building = 2, .valid_seq = r->log.last.at.seq});
	dp_store_resync(r->store, 9);
	cr_assert_null(memdisk_bytes(r->disk, "image.a.2", NULL), "begun under a reader");
	memdisk_run(r->disk);
	tick(r, 1000);
	cr_assert_null(memdisk_bytes(r->disk, old_files[0], NULL));
	cr_assert_not_null(memdisk_bytes(r->disk, "image.a.2", NULL));
	check_file(r, new_files[0], r->base[0], sizes[0]);
	end(r);
}

/* A crash between the state that says so and the removal; and one before a resync really began. */
Test(resync, what_a_crash_leaves_is_removed)
{
	struct rig *r = begin();
	jump(r);
	copy_all(r);
	check_whole(r);
	say_images(r, (struct dp_images){.generation = 1});
	memdisk_run(r->disk);
	uint8_t none[1] = {0};
	memdisk_put(r->disk, "image.a.2", none, 1);
	crash(r);
	cr_assert_null(memdisk_bytes(r->disk, old_files[0], NULL));
	cr_assert_null(memdisk_bytes(r->disk, old_files[1], NULL));
	cr_assert_null(memdisk_bytes(r->disk, "image.a.2", NULL));
	check_file(r, new_files[0], r->base[0], sizes[0]);
	end(r);
}

/* ---- the other side: a read by one who has something ---- */

static void check_found(struct rig *r, enum dp_found_kind kind, uint64_t length)
{
	cr_assert_eq(r->found.status, 0);
	cr_assert_eq(r->found.kind, kind);
	cr_assert_eq(r->found.length, length);
	cr_assert_eq(r->found.seq, r->log.last.at.seq);
	cr_assert_eq(r->data != NULL, kind == DP_FOUND_DATA);
}

Test(compare, what_the_reader_has_is_not_sent)
{
	struct rig *r = begin();
	jump(r);
	copy_all(r);
	switch_images(r);
	uint8_t *want = content(r, 0, AT);
	ask(r, 0, 0, CHUNK, want);
	check_found(r, DP_FOUND_SAME, CHUNK);
	want[CHUNK - 1] ^= 1;
	ask(r, 0, 0, CHUNK, want);
	check_found(r, DP_FOUND_DATA, CHUNK);
	cr_assert_arr_eq(r->data, r->base[0], CHUNK);
	free(want);
	end(r);
}

Test(compare, sees_what_is_not_applied_yet)
{
	struct rig *r = begin();
	memset(r->base[1] + CHUNK, 0, 2 * CHUNK);
	jump(r);
	copy_all(r);
	check_whole(r);
	switch_images(r);
	uint8_t *want = content(r, 1, AT);
	ask(r, 1, CHUNK, CHUNK, want);
	check_found(r, DP_FOUND_ZEROS, 2 * CHUNK);
	put(r, 1, 2 * CHUNK, 512);
	ask(r, 1, CHUNK, CHUNK, want);
	check_found(r, DP_FOUND_ZEROS, CHUNK);
	put(r, 1, CHUNK + 512, 512);
	ask(r, 1, CHUNK, CHUNK, want);
	check_found(r, DP_FOUND_DATA, CHUNK);
	free(want);
	want = content(r, 1, AT + 2);
	cr_assert_arr_eq(r->data, want + CHUNK, CHUNK);
	ask(r, 1, CHUNK, CHUNK, want + CHUNK);
	check_found(r, DP_FOUND_SAME, CHUNK);
	free(want);
	end(r);
}

/* Zeros that are written out are zeros too, as far as the question goes. */
Test(compare, zeros_in_an_overlay)
{
	struct rig *r = begin();
	jump(r);
	copy_all(r);
	switch_images(r);
	put(r, 0, 0, 4096);
	memset(r->made[1]->payload->data, 0, 4096);
	ask(r, 0, 0, 4096, r->old[0]);
	check_found(r, DP_FOUND_ZEROS, 4096);
	end(r);
}

Test(compare, impossible_questions_are_refused)
{
	struct rig *r = begin();
	jump(r);
	static const struct {
		uint32_t volume, length;
		uint64_t offset;
		int status;
	} bad[] = {{ID(0), 0, 0, DP_ERANGE}, {ID(0), CHUNK, 100 * DP_KIB, DP_ERANGE},
		{ID(0), 512, UINT64_MAX, DP_ERANGE}, {7, 512, 0, DP_ENOENT}};
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		dp_store_read(r->store,
			&(struct dp_wanted){.id = i,
				.volume = bad[i].volume,
				.length = bad[i].length,
				.offset = bad[i].offset,
				.compare = true});
		cr_assert_eq(r->found.status, bad[i].status, "question %u", i);
	}
	end(r);
}
