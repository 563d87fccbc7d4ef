/* SPDX-License-Identifier: MIT */
/* The journal on a disk in memory: what is told to be durable comes back, a torn end is cut off,
 * damage before it is refused and left alone. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "engine/core.h"
#include "journal/internal.h"
#include "memdisk.h"

#define SMALL    (4 * DP_MIB) /* keeps tests that open many times quick */
#define STREAM   9
#define SEEN_MAX 20000
#define NAME     "journal"

/* What recovery reports, and what the journal tells while it lives. */
struct rig {
	struct memdisk *disk;
	struct dp_journal *j;
	uint64_t size;
	struct dp_meta meta;       /* state at the end, as an owner keeps it */
	uint64_t tail, count;      /* found by recovery: records tail + 1 .. tail + count */
	uint64_t chains[SEEN_MAX]; /* of record tail + 1 + i */
	unsigned barriers;
	uint64_t durable, told[64];
	unsigned tokens, failures, alarms, renewed;
	bool release_at_once; /* as a relay does whose receivers were faster than its disk */
	struct dp_record *loaded;
	unsigned loads;
};

static int on_tail(void *ctx, const struct dp_meta *meta)
{
	struct rig *r = ctx;
	r->meta = *meta;
	r->tail = meta->at.seq;
	r->count = 0;
	return 0;
}

static int on_record(void *ctx, const struct dp_header *h)
{
	struct rig *r = ctx;
	cr_assert_eq(h->seq, r->tail + r->count + 1);
	cr_assert_lt(r->count, SEEN_MAX);
	dp_meta_advance(&r->meta, h);
	r->chains[r->count++] = h->chain;
	return 0;
}

static int on_scan_barrier(void *ctx, const struct dp_meta *meta)
{
	struct rig *r = ctx;
	r->barriers++;
	r->meta = *meta;
	if (meta->at.seq < r->tail || meta->at.seq > r->tail + r->count) {
		r->tail = meta->at.seq;
		r->count = 0;
	}
	r->count = meta->at.seq - r->tail;
	return 0;
}

static void on_durable(void *ctx, uint64_t seq)
{
	struct rig *r = ctx;
	r->durable = seq;
	if (r->release_at_once) {
		struct dp_meta meta = r->meta;
		cr_assert_eq(meta.at.seq, seq);
		dp_journal_release(r->j, &meta);
	}
}

static void on_barrier(void *ctx, uint64_t token)
{
	struct rig *r = ctx;
	r->told[r->tokens++ % 64] = token;
	if (r->release_at_once) /* the owner's state follows what is durable */
		r->meta.promised = token;
}

static void on_renewal(void *ctx, bool done)
{
	struct rig *r = ctx;
	*(done ? &r->renewed : &r->alarms) += 1;
}

static void on_failed(void *ctx)
{
	((struct rig *)ctx)->failures++;
}

static int open_as(struct rig *r, uint64_t stream, uint64_t size)
{
	struct dp_journal_config cfg = {.stream = stream, .size = size, .instance = 4711};
	struct dp_journal_events events = {on_durable, on_barrier, on_renewal, on_failed, r, NULL};
	struct dp_journal_scan scan = {on_tail, on_record, on_scan_barrier, r};
	r->barriers = r->tokens = r->failures = r->alarms = r->renewed = 0;
	r->durable = 0;
	return dp_journal_open(&r->disk->base, NAME, &cfg, &events, &scan, &r->j);
}

static int reopen(struct rig *r)
{
	if (r->j) {
		memdisk_crash(r->disk, NULL, NULL); /* whatever waits is lost, and nobody hears */
		dp_journal_close(&r->j);
	}
	return open_as(r, STREAM, r->size);
}

static struct rig *begin(uint64_t size)
{
	struct rig *r = calloc(1, sizeof *r);
	r->disk = memdisk_new();
	r->size = size;
	cr_assert_eq(reopen(r), 0);
	return r;
}

static void end(struct rig *r)
{
	memdisk_crash(r->disk, NULL, NULL);
	dp_journal_close(&r->j);
	dp_record_unref(&r->loaded);
	cr_assert_eq(r->disk->opened, 0);
	memdisk_free(r->disk);
	free(r);
}

static struct dp_record *make(const struct dp_meta *after, uint32_t size, uint8_t salt)
{
	struct dp_buf *payload = size ? dp_buf_new(size) : NULL;
	struct dp_header h = {.op = size ? DP_OP_WRITE : DP_OP_FLUSH,
		.stream = STREAM,
		.epoch = 1,
		.seq = after->at.seq + 1,
		.set = 1,
		.length = size,
		.payload_len = size,
		.client = 5,
		.request = after->at.seq + 1,
		.time_us = salt};
	if (payload) {
		memset(payload->data, (int)(h.seq * 31 + salt), size);
		h.payload_crc = dp_crc32c(0, payload->data, size);
	}
	h.chain = dp_chain_next(after->at.chain, &h);
	return dp_record_new(&h, payload);
}

static void append(struct rig *r, uint32_t size, uint8_t salt)
{
	struct dp_record *record = make(&r->meta, size, salt);
	dp_meta_advance(&r->meta, &record->h);
	dp_journal_append(r->j, record);
	dp_record_unref(&record);
}

/* Group after group, as the owner's loop does it, until nothing moves any more. */
static void commit(struct rig *r)
{
	uint64_t before;
	do {
		before = dp_journal_stats(r->j).commits;
		dp_journal_kick(r->j);
		memdisk_run(r->disk);
	} while (dp_journal_stats(r->j).commits != before);
}

/* A group of `count` records in one commit. */
static void group(struct rig *r, unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++)
		append(r, size, 0);
	commit(r);
	cr_assert_eq(r->durable, r->meta.at.seq);
}

/* The state after record seq, from the chains that recovery found. */
static struct dp_meta meta_at(const struct rig *r, uint64_t seq, uint64_t chain)
{
	struct dp_meta m = r->meta;
	m.at = (struct dp_position){1, seq, chain};
	dp_history_cut(&m.history, seq);
	return m;
}

struct snapshot {
	uint64_t tail, count, chain;
	struct dp_meta meta;
};

static struct snapshot take(const struct rig *r)
{
	return (struct snapshot){
		r->tail, r->count, r->count ? r->chains[r->count - 1] : 0, r->meta};
}

static void check_snapshot(const struct rig *r, const struct snapshot *s)
{
	cr_assert(r->tail == s->tail && r->count == s->count, "%u+%u instead of %u+%u",
		(unsigned)r->tail, (unsigned)r->count, (unsigned)s->tail, (unsigned)s->count);
	cr_assert(!r->count || r->chains[r->count - 1] == s->chain);
	cr_assert_eq(r->meta.at.chain, s->meta.at.chain);
	cr_assert_eq(r->meta.promised, s->meta.promised);
}

/* ---- plain life ---- */

Test(journal, new_and_empty)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	cr_assert(r->tail == 0 && r->count == 0 && r->barriers == 0);
	cr_assert_eq(dp_journal_instance(r->j), 4711);
	cr_assert_gt(dp_journal_room(r->j), DP_JOURNAL_SIZE_MIN / 2);
	cr_assert_eq(reopen(r), 0);
	cr_assert(r->tail == 0 && r->count == 0 && r->barriers == 0);
	cr_assert_eq(r->meta.at.chain, dp_chain_start(STREAM));
	end(r);
}

Test(journal, records_come_back)
{
	static const uint32_t sizes[] = {1, 320, 321, 512, 4096, 0, 65536, DP_PAYLOAD_MAX};
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	for (unsigned i = 0; i < 8; i++)
		append(r, sizes[i], (uint8_t)i);
	commit(r);
	cr_assert_eq(r->durable, 8);
	uint64_t chain = r->meta.at.chain;
	cr_assert_eq(reopen(r), 0);
	cr_assert(r->tail == 0 && r->count == 8 && r->meta.at.chain == chain);
	cr_assert_eq(dp_clients_last(&r->meta.clients, 5), 8);
	group(r, 3, 100);
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->count, 11);
	end(r);
}

Test(journal, what_was_not_committed_is_not_told)
{
	struct rig *r = begin(SMALL);
	group(r, 2, 100);
	append(r, 100, 0);
	dp_journal_kick(r->j);
	cr_assert(dp_journal_busy(r->j));
	cr_assert_eq(r->durable, 2);
	cr_assert_eq(reopen(r), 0); /* the write never happened */
	cr_assert_eq(r->count, 2);
	end(r);
}

Test(journal, all_that_waits_goes_in_one_commit)
{
	struct rig *r = begin(SMALL);
	append(r, 100, 0);
	dp_journal_kick(r->j);
	for (unsigned i = 0; i < 50; i++)
		append(r, 100, 0);
	dp_journal_kick(r->j); /* one is under way: nothing happens */
	cr_assert_eq(r->disk->count, 1);
	uint64_t writes = r->disk->writes;
	memdisk_run(r->disk);
	cr_assert_eq(dp_journal_stats(r->j).waiting, 50);
	commit(r);
	cr_assert_eq(dp_journal_stats(r->j).last_group, 50);
	cr_assert_eq(r->disk->writes - writes, 2);
	cr_assert_eq(dp_journal_stats(r->j).commits, 2);
	cr_assert_eq(dp_journal_stats(r->j).records, 51);
	cr_assert_eq(r->durable, 51);
	end(r);
}

Test(journal, a_group_is_bounded)
{
	struct rig *r = begin(2 * DP_JOURNAL_SIZE_MIN);
	for (unsigned i = 0; i < 12; i++)
		append(r, DP_PAYLOAD_MAX, 0);
	dp_journal_kick(r->j);
	while (r->disk->count) {
		cr_assert_leq(r->disk->queue[0]->size, DP_GROUP_MAX);
		memdisk_step(r->disk);
		dp_journal_kick(r->j);
	}
	cr_assert_eq(r->durable, 12);
	end(r);
}

Test(journal, wrong_stream_size_or_version)
{
	struct rig *r = begin(SMALL);
	group(r, 3, 100);
	dp_journal_close(&r->j);
	uint64_t size;
	uint8_t *bytes = memdisk_bytes(r->disk, NAME, &size), *before = malloc(size);
	memcpy(before, bytes, size);
	cr_assert_eq(open_as(r, STREAM + 1, SMALL), DP_EINVAL);
	cr_assert_eq(open_as(r, STREAM, SMALL + DP_DISK_ALIGN), DP_EINVAL);
	cr_assert_null(r->j);
	cr_assert_arr_eq(bytes, before, size);
	bytes[4]++;
	cr_assert_eq(open_as(r, STREAM, SMALL), DP_EVERSION);
	bytes[4]--;
	cr_assert_eq(open_as(r, STREAM, SMALL), 0);
	cr_assert_eq(r->count, 3);
	free(before);
	end(r);
}

Test(journal, an_unreadable_disk_is_no_empty_journal)
{
	struct rig *r = begin(SMALL);
	group(r, 3, 100);
	r->disk->read_error = DP_EIO;
	cr_assert_eq(reopen(r), DP_EIO);
	r->disk->read_error = 0;
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->count, 3);
	end(r);
}

/* The file is made, in full and under its name, before the first superblock is written. A crash
 * in between leaves zeros: a journal that has never begun. */
Test(journal, crash_while_it_is_made)
{
	struct rig *r = calloc(1, sizeof *r);
	uint8_t *zeros = calloc(1, SMALL);
	r->disk = memdisk_new();
	r->size = SMALL;
	memdisk_put(r->disk, NAME, zeros, SMALL);
	free(zeros);
	cr_assert_eq(reopen(r), 0, "a journal whose making was interrupted can never be opened");
	end(r);
}

/* The odd superblock is written first. */
Test(journal, crash_in_the_first_superblock)
{
	struct rig *r = begin(SMALL);
	uint8_t *file = calloc(1, SMALL), *odd = file + DP_SUPER_SIZE;
	memcpy(odd, memdisk_bytes(r->disk, NAME, NULL) + DP_SUPER_SIZE, DP_SUPER_SIZE);
	memset(odd + DP_SUPER_SIZE - MEMDISK_SECTOR, 0, MEMDISK_SECTOR);
	dp_journal_close(&r->j);
	memdisk_put(r->disk, NAME, file, SMALL);
	cr_assert_eq(reopen(r), 0, "a journal whose making was interrupted can never be opened");
	group(r, 2, 100);
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->count, 2);
	dp_journal_close(&r->j);
	memset(odd, 0xa5, MEMDISK_SECTOR);
	memdisk_put(r->disk, NAME, file, SMALL);
	cr_assert_eq(reopen(r), DP_ECORRUPT, "what is no journal is overwritten");
	free(file);
	end(r);
}

Test(journal, one_superblock_is_enough)
{
	for (unsigned which = 0; which < 2; which++) {
		struct rig *r = begin(SMALL);
		group(r, 5, 100);
		memdisk_bytes(r->disk, NAME, NULL)[which * DP_SUPER_SIZE + 100] ^= 1;
		cr_assert_eq(reopen(r), 0);
		cr_assert_eq(r->count, 5);
		memset(memdisk_bytes(r->disk, NAME, NULL), 0xa5, 2 * DP_SUPER_SIZE);
		cr_assert_eq(reopen(r), DP_ECORRUPT);
		end(r);
	}
}

/* ---- space ---- */

static void release(struct rig *r, uint64_t seq, uint64_t chain)
{
	struct dp_meta m = meta_at(r, seq, chain);
	dp_journal_release(r->j, &m);
	commit(r);
}

Test(journal, released_space_is_used_again_for_many_laps)
{
	struct rig *r = begin(SMALL);
	uint64_t chains[64], keep = 12;
	unsigned reopened = 0;
	srand(3);
	for (uint64_t i = 1; i <= 400; i++) { /* about 25 laps */
		append(r, (uint32_t)(1 + rand() % 131072), (uint8_t)i);
		chains[i % 64] = r->meta.at.chain;
		commit(r);
		cr_assert_eq(r->durable, i, "record %u waits for ever", (unsigned)i);
		if (i > keep)
			release(r, i - keep, chains[(i - keep) % 64]);
		if (i % 23)
			continue;
		struct dp_meta before = r->meta;
		cr_assert_eq(reopen(r), 0, "after record %u", (unsigned)i);
		reopened++;
		cr_assert_eq(r->meta.at.chain, before.at.chain);
		cr_assert_leq(r->tail, i - keep);
		cr_assert_eq(r->tail + r->count, i);
		for (uint64_t s = i - keep + 1; s <= i; s++)
			cr_assert_eq(r->chains[s - r->tail - 1], chains[s % 64]);
	}
	cr_assert_gt(dp_journal_stats(r->j).size, 0);
	cr_assert_eq(reopened, 17);
	end(r);
}

static void fill(struct rig *r, uint32_t size)
{
	while (dp_journal_room(r->j) >= dp_core_cost(size)) {
		append(r, size, 0);
		commit(r);
	}
	cr_assert_eq(r->durable, r->meta.at.seq);
}

Test(journal, room_shrinks_and_comes_back)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	uint64_t empty = dp_journal_room(r->j);
	fill(r, 65536);
	cr_assert_lt(dp_journal_room(r->j), 70000);
	cr_assert_gt(r->meta.at.seq, 150);
	release(r, r->meta.at.seq, r->meta.at.chain);
	cr_assert_geq(dp_journal_room(r->j), empty);
	group(r, 1, 100);
	cr_assert_eq(reopen(r), 0);
	cr_assert(r->count == 1 && r->tail + 1 == r->meta.at.seq);
	end(r);
}

/* Space is told to be free only when the superblock that says so is durable. */
Test(journal, room_waits_for_the_superblock)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	fill(r, 65536);
	uint64_t before = dp_journal_room(r->j);
	dp_journal_release(r->j, &r->meta);
	cr_assert_eq(dp_journal_room(r->j), before, "space is told to be free before it is");
	cr_assert(dp_journal_busy(r->j));
	memdisk_run(r->disk);
	cr_assert_gt(dp_journal_room(r->j), 8 * DP_MIB);
	end(r);
}

/* The same, released while a barrier was on its way to the disk. No record can follow for lack of
 * room, so no later release will come either. */
Test(journal, room_comes_back_after_a_release_during_a_commit)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	fill(r, 65536);
	dp_journal_barrier(r->j, &r->meta, 1);
	dp_journal_kick(r->j);
	dp_journal_release(r->j, &r->meta);
	memdisk_run(r->disk);
	dp_journal_kick(r->j);
	memdisk_run(r->disk);
	cr_assert_gt(dp_journal_room(r->j), 8 * DP_MIB, "all is released and nothing fits");
	end(r);
}

Test(journal, room_comes_back_after_a_release_during_a_superblock_write)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	uint64_t chain = 0;
	while (dp_journal_room(r->j) >= dp_core_cost(65536)) {
		append(r, 65536, 0);
		if (r->meta.at.seq == 20)
			chain = r->meta.at.chain;
		commit(r);
	}
	struct dp_meta part = meta_at(r, 20, chain);
	dp_journal_release(r->j, &part);
	cr_assert(dp_journal_busy(r->j));
	dp_journal_release(r->j, &r->meta); /* all of it, before the first is through */
	memdisk_run(r->disk);
	cr_assert_gt(dp_journal_room(r->j), 8 * DP_MIB, "all is released, and most is kept");
	end(r);
}

/* A jump leaves nothing behind it that is needed, and while there is no room no record will follow
 * that could be released. */
Test(journal, room_comes_back_after_a_jump)
{
	for (unsigned again = 0; again < 2; again++) {
		struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
		fill(r, 65536);
		struct dp_meta jump = r->meta, promise = r->meta;
		jump.at.seq += 100;
		jump.promised = 7;
		dp_journal_barrier(r->j, &jump, 1);
		dp_journal_kick(r->j);
		memdisk_step(r->disk);
		cr_assert_eq(r->tokens, 1);
		if (again)
			cr_assert_eq(reopen(r), 0); /* before a superblock says so */
		promise = r->meta = jump;
		promise.promised = 8;
		dp_journal_barrier(r->j, &promise, 2);
		commit(r);
		cr_assert_gt(dp_journal_room(r->j), 8 * DP_MIB,
			"all is jumped over and nothing fits");
		r->meta = promise;
		group(r, 1, 100);
		cr_assert_eq(reopen(r), 0);
		cr_assert(r->count == 1 && r->meta.promised == 8);
		end(r);
	}
}

/* Records that a controller never wrote are released while the barrier waits that cuts others off
 * in their place: those are still in front of it. */
Test(journal, release_behind_a_cut_that_waits)
{
	struct rig *r = begin(SMALL);
	group(r, 10, 65536);
	struct dp_meta cut = r->meta;
	group(r, 10, 65536);
	dp_journal_barrier(r->j, &cut, 1);
	r->meta = cut;
	for (unsigned i = 0; i < 8; i++)
		append(r, 65536, 7);
	dp_journal_release(r->j, &r->meta);
	memdisk_run(r->disk);
	commit(r);
	struct dp_meta whole = r->meta;
	cr_assert_eq(reopen(r), 0, "the tail stands at what is cut off");
	cr_assert(r->meta.at.seq == 18 && r->meta.at.chain == whole.at.chain);
	end(r);
}

/* Every recovery writes a barrier, and promises do too. However many: records that are still
 * needed are never overwritten. */
Test(journal, barriers_never_overwrite_records)
{
	struct rig *r = begin(SMALL);
	fill(r, 65536);
	uint64_t records = r->meta.at.seq;
	for (unsigned i = 0; i < 3000; i++)
		dp_journal_barrier(r->j, &r->meta, 0);
	commit(r);
	for (unsigned i = 0; i < 5; i++) {
		int err = reopen(r);
		cr_assert(err == 0 || err == DP_ENOSPC, "opening number %u: %s", i,
			dp_strerror(err));
		cr_assert(err || r->tail + r->count == records);
	}
	end(r);
}

Test(journal, restarts_of_a_full_journal_lose_nothing)
{
	struct rig *r = begin(SMALL);
	fill(r, 65536);
	uint64_t records = r->meta.at.seq;
	for (unsigned i = 0; i < 700; i++) { /* a service that is started again and again */
		int err = reopen(r);
		cr_assert(err == 0 || err == DP_ENOSPC, "start number %u: %s", i, dp_strerror(err));
		cr_assert(err || r->count == records, "start number %u finds %u of %u", i,
			(unsigned)r->count, (unsigned)records);
	}
	end(r);
}

/* ---- barriers ---- */

Test(journal, barrier_is_told_when_it_is_durable)
{
	struct rig *r = begin(SMALL);
	group(r, 2, 100);
	r->meta.promised = 7;
	dp_journal_barrier(r->j, &r->meta, 33);
	dp_journal_kick(r->j);
	cr_assert_eq(r->tokens, 0);
	memdisk_run(r->disk);
	cr_assert(r->tokens == 1 && r->told[0] == 33);
	cr_assert_eq(reopen(r), 0);
	cr_assert(r->meta.promised == 7 && r->count == 2);
	end(r);
}

Test(journal, every_barrier_of_a_group_is_told)
{
	struct rig *r = begin(SMALL);
	for (uint64_t i = 1; i <= 40; i++)
		dp_journal_barrier(r->j, &r->meta, i);
	commit(r);
	cr_assert_eq(r->tokens, 40);
	for (uint64_t i = 0; i < 40; i++)
		cr_assert_eq(r->told[i], i + 1);
	end(r);
}

Test(journal, cut_survives_reopen)
{
	struct rig *r = begin(SMALL);
	group(r, 4, 300);
	struct dp_meta at = r->meta;
	group(r, 5, 300);
	dp_journal_barrier(r->j, &at, 1);
	r->meta = at;
	append(r, 200, 99);
	commit(r);
	cr_assert(r->durable == 5 && r->tokens == 1);
	uint64_t chain = r->meta.at.chain;
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(reopen(r), 0);
		cr_assert(r->count == 5 && r->meta.at.chain == chain);
		cr_assert_null(dp_journal_place(r->j, 6));
	}
	end(r);
}

/* A group that holds records, the barrier that cuts them, and others in their place. */
Test(journal, records_that_a_waiting_barrier_cuts_are_not_told)
{
	struct rig *r = begin(SMALL);
	group(r, 4, 300);
	struct dp_meta at = r->meta;
	append(r, 300, 0);
	append(r, 300, 0);
	dp_journal_kick(r->j); /* 5 and 6 are under way */
	dp_journal_barrier(r->j, &at, 1);
	memdisk_step(r->disk);
	cr_assert_eq(r->durable, 4, "5 and 6 are cut already");
	commit(r);
	cr_assert_eq(r->tokens, 1);
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->count, 4);
	end(r);
}

Test(journal, jump_survives_reopen)
{
	struct rig *r = begin(SMALL);
	group(r, 4, 300);
	r->meta.at = (struct dp_position){1, 100, 0xabc};
	dp_journal_barrier(r->j, &r->meta, 0);
	append(r, 50, 0);
	append(r, 50, 0);
	commit(r);
	cr_assert_eq(r->durable, 102);
	cr_assert_eq(reopen(r), 0);
	cr_assert(r->tail == 100 && r->count == 2 && r->meta.at.seq == 102);
	group(r, 1, 50);
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->tail + r->count, 103);
	end(r);
}

/* A promise in the same group as the records before it. The owner hears first that the records
 * are durable and releases them; the promise must outlive the crash that follows. */
Test(journal, release_does_not_pass_a_promise_that_is_not_yet_told)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	r->meta.promised = 4;
	dp_journal_barrier(r->j, &r->meta, 4);
	commit(r);
	r->release_at_once = true;
	for (unsigned i = 0; i < 3; i++)
		append(r, DP_PAYLOAD_MAX, 0);
	struct dp_meta promise = r->meta;
	promise.promised = 5;
	dp_journal_barrier(r->j, &promise, 5);
	commit(r);
	cr_assert(r->tokens >= 1 && r->told[r->tokens - 1] == 5,
		"the promise is told to be durable");
	r->release_at_once = false;
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->meta.promised, 5, "a durable promise is forgotten");
	end(r);
}

/* A release that has to wait, and a promise that becomes durable meanwhile. The superblock that
 * passes the promise's barrier must hold it. */
Test(journal, waiting_release_does_not_pass_a_promise)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	uint64_t chain = 0;
	for (unsigned i = 1; i <= 40; i++) {
		append(r, 65536, 0);
		chain = i == 20 ? r->meta.at.chain : chain;
		commit(r);
	}
	struct dp_meta part = meta_at(r, 20, chain), promise = r->meta;
	dp_journal_release(r->j, &part); /* its superblock is under way */
	dp_journal_release(r->j, &r->meta);
	promise.promised = 5;
	dp_journal_barrier(r->j, &promise, 5);
	commit(r);
	cr_assert(r->tokens == 1 && r->told[0] == 5);
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->tail, 40);
	cr_assert_eq(r->meta.promised, 5, "a durable promise is forgotten");
	end(r);
}

/* ---- torn ends ---- */

static bool not_this(uint64_t sector, void *arg)
{
	return sector != *(uint64_t *)arg;
}

static bool up_to_this(uint64_t sector, void *arg)
{
	return sector < *(uint64_t *)arg;
}

static bool only_odd(uint64_t sector, void *arg)
{
	(void)arg;
	return sector % 2;
}

static bool every_sector(uint64_t sector, void *arg)
{
	(void)sector;
	(void)arg;
	return true;
}

static void last_group(struct rig *r)
{
	static const uint32_t sizes[] = {100, 320, 1500, 10, 4096, 321, 700, 0, 2000};
	for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		append(r, sizes[i], 0);
	dp_journal_kick(r->j);
}

/* Opens a torn journal: the first `whole` records are there, perhaps some of the last group, and
 * opening it again gives the same. Then it goes on. */
static void check_torn(struct rig *r, uint64_t whole, const uint64_t *chains, uint64_t sector)
{
	cr_assert_eq(reopen(r), 0, "sector %u", (unsigned)sector);
	cr_assert(r->count >= whole && r->count <= whole + 9);
	cr_assert_arr_eq(r->chains, chains, r->count * sizeof chains[0]);
	struct snapshot s = take(r);
	for (unsigned i = 0; i < 2; i++) {
		cr_assert_eq(reopen(r), 0);
		check_snapshot(r, &s);
	}
	append(r, 100, 77);
	append(r, 3000, 77);
	commit(r);
	s = (struct snapshot){0, r->meta.at.seq, r->meta.at.chain, r->meta};
	cr_assert_eq(reopen(r), 0);
	check_snapshot(r, &s);
}

static void tear_everywhere(bool (*keep)(uint64_t, void *))
{
	struct rig *r = begin(SMALL);
	group(r, 3, 400);
	group(r, 2, 5000);
	uint64_t size, whole = r->meta.at.seq;
	uint8_t *bytes = memdisk_bytes(r->disk, NAME, &size), *before = malloc(size);
	memcpy(before, bytes, size);
	last_group(r);
	uint64_t sectors = r->disk->queue[0]->size / MEMDISK_SECTOR, chains[14];
	memdisk_crash(r->disk, every_sector, NULL); /* only to learn what is in it */
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->count, whole + 9);
	memcpy(chains, r->chains, sizeof chains);
	for (uint64_t sector = 0; sector < sectors; sector++) {
		dp_journal_close(&r->j);
		memcpy(bytes, before, size);
		cr_assert_eq(reopen(r), 0); /* its barrier is in front of the group to be torn */
		last_group(r);
		memdisk_crash(r->disk, keep, &sector);
		check_torn(r, whole, chains, sector);
	}
	free(before);
	end(r);
}

Test(torn, one_sector_missing)
{
	tear_everywhere(not_this);
}

Test(torn, only_the_first_sectors)
{
	tear_everywhere(up_to_this);
}

Test(torn, every_other_sector)
{
	struct rig *r = begin(SMALL);
	group(r, 3, 400);
	last_group(r);
	memdisk_crash(r->disk, only_odd, NULL);
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->count, 3);
	end(r);
}

/* Frames that recovery cut off still stand on the disk behind the new ones, at their own places.
 * When the journal grows up to exactly there, they must not be taken for its continuation. */
Test(torn, cut_off_frames_do_not_revive)
{
	for (uint64_t missing = 0; missing < 64; missing += 3) {
		struct rig *r = begin(SMALL);
		for (unsigned i = 0; i < 64; i++)
			append(r, 320, 1); /* one sector each */
		dp_journal_kick(r->j);
		memdisk_crash(r->disk, not_this, &missing);
		cr_assert_eq(reopen(r), 0);
		cr_assert_eq(r->count, missing);
		for (unsigned blocks = 0; blocks < 6; blocks++) {
			for (unsigned i = 0; i < 8; i++)
				append(r, 320, 1);
			commit(r);
			struct snapshot s = {0, r->meta.at.seq, r->meta.at.chain, r->meta};
			uint64_t size;
			uint8_t *bytes = memdisk_bytes(r->disk, NAME, &size), *copy = malloc(size);
			memcpy(copy, bytes, size);
			cr_assert_eq(reopen(r), 0, "what was cut off is damage now");
			cr_assert_eq(r->meta.at.seq, s.meta.at.seq, "what was cut off revives");
			check_snapshot(r, &s);
			dp_journal_close(&r->j);
			memcpy(bytes, copy, size); /* without the barrier of this look */
			free(copy);
			cr_assert_eq(reopen(r), 0);
		}
		end(r);
	}
}

/* The same with a barrier, which no chain ties to what stands before it. */
Test(torn, cut_off_barriers_do_not_revive)
{
	for (unsigned blocks = 1; blocks < 6; blocks++) {
		struct rig *r = begin(SMALL);
		group(r, 2, 320);
		struct dp_meta cut = r->meta;
		group(r, 2, 320);
		struct dp_meta whole = r->meta;
		for (unsigned i = 0; i < 8 * blocks; i++)
			append(r, 320, 1);
		dp_journal_barrier(r->j, &cut, 1);
		dp_journal_kick(r->j);
		uint64_t missing = 0;
		memdisk_crash(r->disk, not_this, &missing);
		r->meta = whole;
		cr_assert_eq(reopen(r), 0);
		cr_assert_eq(r->count, 4);
		for (unsigned i = 1; i < blocks; i++) /* up to the old barrier's place */
			group(r, 8, 320);
		struct snapshot s = {0, r->meta.at.seq, r->meta.at.chain, r->meta};
		cr_assert_eq(reopen(r), 0, "what was cut off is damage now");
		cr_assert_eq(r->meta.at.seq, s.meta.at.seq, "what was cut off revives");
		check_snapshot(r, &s);
		end(r);
	}
}

/* After several laps with everything of the same size an old frame stands at each place where a
 * new one would. */
Test(torn, an_old_lap_does_not_revive)
{
	struct rig *r = begin(SMALL);
	uint64_t chain = 0;
	for (unsigned i = 1; i <= 3000; i++) {
		append(r, 3900, 0);
		commit(r);
		if (i % 10 == 0)
			release(r, i - 5, chain);
		if (i % 10 == 5)
			chain = r->meta.at.chain;
		if (i % 97)
			continue;
		uint64_t durable = r->meta.at.seq, end_chain = r->meta.at.chain;
		append(r, 3900, 0);
		dp_journal_kick(r->j);
		cr_assert_eq(reopen(r), 0); /* the last one never reached the disk */
		cr_assert_eq(r->meta.at.seq, durable);
		cr_assert_eq(r->meta.at.chain, end_chain);
		append(r, 3900, 0);
		i++;
		commit(r);
		if (i % 10 == 5)
			chain = r->meta.at.chain;
		if (i % 10 == 0)
			release(r, i - 5, chain);
	}
	cr_assert_gt(r->meta.at.seq * 4096, 2 * SMALL);
	end(r);
}

Test(torn, a_crash_within_recovery)
{
	struct rig *r = begin(SMALL);
	group(r, 3, 400);
	last_group(r);
	uint64_t missing = 4;
	memdisk_crash(r->disk, not_this, &missing);
	r->disk->write_error = DP_EIO; /* its barrier cannot be written */
	cr_assert_eq(reopen(r), DP_EIO);
	r->disk->write_error = 0;
	cr_assert_eq(reopen(r), 0);
	struct snapshot s = take(r);
	cr_assert_eq(reopen(r), 0);
	check_snapshot(r, &s);
	end(r);
}

/* ---- damage ---- */

/* Where the frame at `at` ends, without what pads it; 0: there is none. */
static uint64_t frame_end(const uint8_t *bytes, uint64_t at)
{
	struct dp_frame f;
	return dp_frame_decode(bytes + at, &f) ? 0 : at + f.length;
}

static void check_damage(struct rig *r, uint8_t *bytes, uint64_t size, uint64_t at, uint8_t *copy)
{
	bytes[at] ^= 0x04;
	memcpy(copy, bytes, size);
	cr_assert_eq(reopen(r), DP_ECORRUPT, "damage at %u is taken for the end", (unsigned)at);
	cr_assert_null(r->j);
	cr_assert_arr_eq(bytes, copy, size);
	bytes[at] ^= 0x04;
}

/* Each sector of each frame that a later commit proves to have been durable. */
Test(damage, before_the_last_group)
{
	struct rig *r = begin(SMALL);
	group(r, 3, 400);
	group(r, 1, 5000);
	dp_journal_barrier(r->j, &r->meta, 1);
	commit(r);
	group(r, 9, 300);
	uint64_t size, last = DP_DATA_START + r->j->head;
	group(r, 1, 100);
	uint8_t *bytes = memdisk_bytes(r->disk, NAME, &size), *copy = malloc(size);
	unsigned frames = 0;
	dp_journal_close(&r->j);
	for (uint64_t at = DP_DATA_START; at < last; at += MEMDISK_SECTOR) {
		uint64_t frame = at, to = frame_end(bytes, at);
		for (; at < to; at += MEMDISK_SECTOR) {
			check_damage(r, bytes, size, at + 20, copy);
			uint64_t end_of = to < at + MEMDISK_SECTOR ? to : at + MEMDISK_SECTOR;
			check_damage(r, bytes, size, end_of - 1, copy);
		}
		if (to) {
			frames++;
			at = (to - 1) / MEMDISK_SECTOR * MEMDISK_SECTOR;
		}
		cr_assert_geq(at, frame);
	}
	cr_assert_eq(frames, 14); /* 13 records and the barrier */
	cr_assert_eq(reopen(r), 0);
	cr_assert_eq(r->count, 14);
	free(copy);
	end(r);
}

/* Once recovery has taken the last group for good, that one is proven too. */
Test(damage, of_the_last_group_after_a_restart)
{
	struct rig *r = begin(SMALL);
	group(r, 3, 400);
	uint64_t size, at = DP_DATA_START + r->j->head;
	group(r, 2, 400);
	cr_assert_eq(reopen(r), 0);
	dp_journal_close(&r->j);
	uint8_t *bytes = memdisk_bytes(r->disk, NAME, &size), *copy = malloc(size);
	check_damage(r, bytes, size, at + 100, copy);
	check_damage(r, bytes, size, at + 1024 + 200, copy);
	free(copy);
	end(r);
}

Test(damage, below_the_superblocks_head)
{
	struct rig *r = begin(SMALL);
	group(r, 20, 65536);
	uint64_t chain = r->meta.at.chain;
	group(r, 1, 65536);
	release(r, 20, chain);
	uint64_t size;
	uint8_t *bytes = memdisk_bytes(r->disk, NAME, &size), *copy = malloc(size);
	uint64_t at = dp_journal_offset(r->j, r->j->places[21 & (r->j->place_capacity - 1)].lsn);
	dp_journal_close(&r->j);
	check_damage(r, bytes, size, at + 500, copy);
	free(copy);
	end(r);
}

/* ---- failing writes ---- */

Test(failure, is_told_once_and_nothing_after_it_is_durable)
{
	struct rig *r = begin(SMALL);
	group(r, 2, 100);
	append(r, 100, 0);
	dp_journal_barrier(r->j, &r->meta, 8);
	r->disk->write_error = DP_EIO;
	commit(r);
	cr_assert_eq(r->durable, 2, "a failed write is told to be durable");
	cr_assert_eq(r->failures, 1);
	r->disk->write_error = 0; /* the disk seems to work again: that is not to be believed */
	uint64_t writes = r->disk->writes;
	append(r, 100, 0);
	dp_journal_barrier(r->j, &r->meta, 9);
	dp_journal_release(r->j, &r->meta);
	commit(r);
	cr_assert(r->failures == 1 && r->durable == 2 && r->tokens == 0);
	cr_assert_eq(r->disk->writes, writes);
	cr_assert_eq(dp_journal_room(r->j), 0);
	end(r);
}

Test(failure, of_a_superblock_is_final_too)
{
	struct rig *r = begin(DP_JOURNAL_SIZE_MIN);
	fill(r, 65536);
	dp_journal_release(r->j, &r->meta);
	r->disk->write_error = DP_EIO;
	memdisk_run(r->disk);
	cr_assert_eq(r->failures, 1);
	r->disk->write_error = 0;
	uint64_t durable = r->durable;
	append(r, 100, 0);
	commit(r);
	cr_assert(r->failures == 1 && r->durable == durable);
	end(r);
}

/* ---- reading back ---- */

static void on_loaded(void *ctx, uint64_t seq, struct dp_record *record)
{
	struct rig *r = ctx;
	(void)seq;
	r->loads++;
	dp_record_unref(&r->loaded);
	r->loaded = record ? dp_record_ref(record) : NULL;
}

static struct dp_record *load(struct rig *r, uint64_t seq)
{
	unsigned before = r->loads;
	dp_journal_load(r->j, seq, true, on_loaded, r);
	memdisk_run(r->disk);
	cr_assert_eq(r->loads, before + 1);
	return r->loaded;
}

static void check_loads(struct rig *r, uint64_t first, uint64_t last)
{
	for (uint64_t s = first; s <= last; s++) {
		struct dp_record *record = load(r, s);
		cr_assert(record && record->h.seq == s, "record %u", (unsigned)s);
		cr_assert_eq(dp_record_verify(record), 0);
	}
}

Test(load, records_before_and_after_a_restart)
{
	struct rig *r = begin(SMALL);
	for (unsigned i = 0; i < 30; i++)
		append(r, 1 + i * 777, (uint8_t)i);
	append(r, 0, 0);
	commit(r);
	cr_assert_null(load(r, 0));
	cr_assert_null(load(r, 32));
	check_loads(r, 1, 31);
	cr_assert_eq(reopen(r), 0);
	check_loads(r, 1, 31);
	cr_assert_not(dp_journal_busy(r->j));
	end(r);
}

Test(load, neighbours_are_read_along)
{
	struct rig *r = begin(SMALL);
	group(r, 100, 1000);
	uint64_t reads = r->disk->reads;
	check_loads(r, 1, 100);
	cr_assert_leq(r->disk->reads - reads, 2);
	end(r);
}

Test(load, what_is_not_durable_is_not_there)
{
	struct rig *r = begin(SMALL);
	append(r, 100, 0);
	cr_assert_null((dp_journal_load(r->j, 1, true, on_loaded, r), r->loaded));
	dp_journal_kick(r->j);
	dp_journal_load(r->j, 1, true, on_loaded, r);
	cr_assert(!r->loaded || r->loaded->h.seq == 1);
	memdisk_run(r->disk);
	cr_assert_not_null(load(r, 1));
	end(r);
}

Test(load, cut_and_replaced_records)
{
	struct rig *r = begin(SMALL);
	group(r, 3, 300);
	struct dp_meta at = r->meta;
	group(r, 4, 300);
	check_loads(r, 1, 7);
	dp_journal_barrier(r->j, &at, 1);
	r->meta = at;
	commit(r);
	cr_assert_null(load(r, 4));
	cr_assert_null(load(r, 7));
	append(r, 50, 9);
	commit(r);
	struct dp_record *record = load(r, 4);
	cr_assert(record && record->h.time_us == 9 && record->h.length == 50);
	cr_assert_null(load(r, 5));
	cr_assert_eq(reopen(r), 0);
	record = load(r, 4);
	cr_assert(record && record->h.time_us == 9);
	end(r);
}

Test(load, released_records)
{
	struct rig *r = begin(SMALL);
	group(r, 10, 100000);
	uint64_t chain = r->meta.at.chain;
	group(r, 10, 100000);
	release(r, 10, chain);
	for (uint64_t s = 1; s <= 10; s++)
		cr_assert_null(load(r, s));
	check_loads(r, 11, 20);
	end(r);
}

Test(load, damage_is_never_returned)
{
	struct rig *r = begin(SMALL);
	group(r, 1, 2000);
	uint64_t at = dp_journal_offset(r->j, dp_journal_place(r->j, 1)->lsn);
	uint8_t *bytes = memdisk_bytes(r->disk, NAME, NULL);
	for (uint64_t i = DP_FRAME_SIZE; i < DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE + 2000;
		i += 31) {
		bytes[at + i] ^= 1;
		cr_assert_null(load(r, 1));
		bytes[at + i] ^= 1;
	}
	r->disk->read_error = DP_EIO;
	cr_assert_null(load(r, 1));
	r->disk->read_error = 0;
	cr_assert_not_null(load(r, 1));
	end(r);
}

Test(load, across_the_end_of_the_circle)
{
	struct rig *r = begin(SMALL);
	uint64_t chains[8];
	for (uint64_t i = 1; i <= 200; i++) {
		append(r, 90000, (uint8_t)i);
		chains[i % 8] = r->meta.at.chain;
		commit(r);
		if (i > 7)
			release(r, i - 7, chains[(i - 7) % 8]);
		if (i > 7)
			check_loads(r, i - 6, i);
	}
	end(r);
}
