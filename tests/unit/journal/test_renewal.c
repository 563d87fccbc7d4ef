/* SPDX-License-Identifier: MIT */
/* A journal whose file cannot be written any more goes on in a new one, with everything that was
 * ever durable; where that is not possible it says so and does nothing more. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "engine/core.h"
#include "journal/internal.h"
#include "memdisk.h"

#define STREAM 9
#define NAME   "journal"
#define NEW    "journal.renewed"

struct rig {
	struct memdisk *disk;
	struct dp_journal *j;
	struct dp_meta meta; /* at the end, as an owner keeps it */
	uint64_t tail, last; /* found by recovery */
	uint64_t durable;
	struct dp_meta
		*metas; /* of each record: it is released as soon as it is durable; NULL: none is */
	unsigned alarms, renewed, failures, loaded;
};

static int on_tail(void *ctx, const struct dp_meta *meta)
{
	struct rig *r = ctx;
	r->meta = *meta;
	r->tail = r->last = meta->at.seq;
	return 0;
}

static int on_record(void *ctx, const struct dp_header *h)
{
	struct rig *r = ctx;
	cr_assert_eq(h->seq, ++r->last);
	dp_meta_advance(&r->meta, h);
	return 0;
}

static int on_scan_barrier(void *ctx, const struct dp_meta *meta)
{
	struct rig *r = ctx;
	r->meta = *meta;
	return 0;
}

static void on_durable(void *ctx, uint64_t seq)
{
	struct rig *r = ctx;
	r->durable = seq;
	if (r->metas)
		dp_journal_release(r->j, &r->metas[seq]);
}

static void on_barrier(void *ctx, uint64_t token)
{
	(void)ctx;
	(void)token;
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

static void open_journal(struct rig *r)
{
	struct dp_journal_config cfg = {
		.stream = STREAM, .size = DP_JOURNAL_SIZE_MIN, .instance = 4711};
	struct dp_journal_events events = {on_durable, on_barrier, on_renewal, on_failed, r, NULL};
	struct dp_journal_scan scan = {on_tail, on_record, on_scan_barrier, r};
	cr_assert_eq(dp_journal_open(&r->disk->base, NAME, &cfg, &events, &scan, &r->j), 0);
}

static struct rig *begin(void)
{
	struct rig *r = calloc(1, sizeof *r);
	r->disk = memdisk_new();
	open_journal(r);
	return r;
}

/* As after a crash: what waits never happens. */
static void reopen(struct rig *r)
{
	memdisk_crash(r->disk, NULL, NULL);
	dp_journal_close(&r->j);
	r->disk->write_error = 0;
	r->disk->bad = NULL;
	open_journal(r);
}

static void end(struct rig *r)
{
	memdisk_crash(r->disk, NULL, NULL);
	dp_journal_close(&r->j);
	cr_assert_eq(r->disk->opened, 0);
	memdisk_free(r->disk);
	free(r);
}

static void append(struct rig *r, uint32_t size)
{
	struct dp_buf *payload = dp_buf_new(size);
	for (uint32_t i = 0; i < size; i++)
		payload->data[i] = (uint8_t)(i * 7 + r->meta.at.seq);
	struct dp_header h = {.op = DP_OP_WRITE,
		.stream = STREAM,
		.volume = 1,
		.length = size,
		.payload_len = size,
		.payload_crc = dp_crc32c(0, payload->data, size),
		.epoch = 1,
		.seq = r->meta.at.seq + 1,
		.set = 1};
	h.chain = dp_chain_next(r->meta.at.chain, &h);
	struct dp_record *record = dp_record_new(&h, payload);
	dp_meta_advance(&r->meta, &h);
	dp_journal_append(r->j, record);
	dp_record_unref(&record);
}

static void run(struct rig *r)
{
	for (uint32_t i = 0; i < 100; i++) {
		dp_journal_kick(r->j);
		memdisk_run(r->disk);
	}
}

static void groups(struct rig *r, unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++) {
		append(r, size);
		append(r, 100);
		run(r);
	}
	cr_assert_eq(r->durable, r->meta.at.seq);
}

static void break_file(struct rig *r)
{
	r->disk->write_error = DP_EIO;
	r->disk->bad = r->j->file;
}

static void on_loaded(void *ctx, uint64_t seq, struct dp_record *record)
{
	cr_assert(record && record->h.seq == seq && dp_record_verify(record) == 0);
	((struct rig *)ctx)->loaded++;
}

static void check_whole(struct rig *r, uint64_t durable)
{
	cr_assert_geq(r->last, durable, "%u of %u came back", (unsigned)r->last, (unsigned)durable);
	r->loaded = 0;
	for (uint64_t seq = r->tail + 1; seq <= r->last; seq++) {
		dp_journal_load(r->j, seq, true, on_loaded, r);
		memdisk_run(r->disk);
	}
	cr_assert_eq(r->loaded, r->last - r->tail);
}

Test(renewal, keeps_all_that_was_durable_and_goes_on)
{
	struct rig *r = begin();
	groups(r, 40, 200000);
	struct dp_file *old = r->j->file;
	break_file(r);
	append(r, 5000);
	append(r, 70000);
	run(r);
	cr_assert(r->alarms == 1 && r->renewed == 1 && r->failures == 0);
	cr_assert_neq(r->j->file, old);
	cr_assert_eq(r->durable, r->meta.at.seq);
	groups(r, 5, 3000);
	uint64_t durable = r->durable;
	reopen(r);
	check_whole(r, durable);
	cr_assert_null(memdisk_bytes(r->disk, NEW, NULL));
	end(r);
}

Test(renewal, works_where_the_circle_closes)
{
	struct rig *r = begin();
	for (unsigned lap = 0; lap < 3; lap++) {
		groups(r, 50, 300000);
		dp_journal_release(r->j, &r->meta);
		run(r);
	}
	groups(r, 30, 300000);
	break_file(r);
	append(r, 5000);
	run(r);
	cr_assert(r->renewed == 1 && r->failures == 0 && r->durable == r->meta.at.seq);
	uint64_t durable = r->durable;
	reopen(r);
	check_whole(r, durable);
	end(r);
}

Test(renewal, follows_a_failed_superblock_too)
{
	struct rig *r = begin();
	groups(r, 45, 300000);
	uint64_t used = dp_journal_stats(r->j).used;
	break_file(r);
	dp_journal_release(r->j, &r->meta);
	memdisk_run(r->disk);
	cr_assert(r->renewed == 1 && r->failures == 0);
	run(r);
	cr_assert_lt(dp_journal_stats(r->j).used, used, "what was released is not free");
	groups(r, 3, 1000);
	uint64_t durable = r->durable;
	reopen(r);
	check_whole(r, durable);
	end(r);
}

Test(renewal, nothing_is_durable_until_it_is_done)
{
	struct rig *r = begin();
	groups(r, 40, 200000);
	uint64_t before = r->durable;
	break_file(r);
	append(r, 5000);
	dp_journal_kick(r->j);
	while (r->renewed == 0) {
		cr_assert_eq(r->durable, before);
		append(r, 100);
		dp_journal_kick(r->j);
		cr_assert(memdisk_step(r->disk), "it stands still");
	}
	cr_assert_eq(r->durable, before);
	run(r);
	cr_assert_eq(r->durable, r->meta.at.seq);
	end(r);
}

/* After each of its steps: the old file or the new one, but always all of it. */
Test(renewal, survives_a_crash_at_any_moment)
{
	bool renewed = false;
	for (unsigned steps = 0; !renewed; steps++) {
		struct rig *r = begin();
		groups(r, 40, 200000);
		uint64_t durable = r->durable;
		break_file(r);
		append(r, 5000);
		dp_journal_kick(r->j);
		for (unsigned i = 0; i < steps && memdisk_step(r->disk); i++)
			;
		renewed = r->renewed && r->durable > durable;
		durable = r->durable;
		reopen(r);
		check_whole(r, durable);
		cr_assert_null(memdisk_bytes(r->disk, NEW, NULL), "an unfinished file is left");
		groups(r, 2, 1000);
		end(r);
	}
}

static void check_failed(struct rig *r, uint64_t durable)
{
	run(r);
	cr_assert(r->alarms == 1 && r->renewed == 0 && r->failures == 1);
	cr_assert_eq(r->durable, durable);
	cr_assert_eq(dp_journal_room(r->j), 0);
	cr_assert(!dp_journal_busy(r->j), "a node that has failed cannot stop");
	r->disk->write_error = r->disk->read_error = 0;
	uint64_t writes = r->disk->writes;
	append(r, 100);
	run(r);
	cr_assert(r->disk->writes == writes && r->durable == durable, "it goes on all the same");
	cr_assert_null(memdisk_bytes(r->disk, NEW, NULL));
	reopen(r);
	check_whole(r, durable);
	end(r);
}

Test(renewal, fails_for_good_where_no_file_can_be_written)
{
	struct rig *r = begin();
	groups(r, 10, 100000);
	break_file(r);
	r->disk->bad = NULL;
	append(r, 5000);
	check_failed(r, r->durable);
}

Test(renewal, fails_for_good_where_the_old_file_cannot_be_read)
{
	struct rig *r = begin();
	groups(r, 10, 100000);
	break_file(r);
	r->disk->read_error = DP_EIO;
	append(r, 5000);
	check_failed(r, r->durable);
}

Test(renewal, does_not_take_damage_along)
{
	struct rig *r = begin();
	groups(r, 10, 100000);
	struct dp_place *p = dp_journal_place(r->j, 9);
	uint8_t *bytes = memdisk_bytes(r->disk, NAME, NULL);
	uint64_t at = dp_journal_offset(r->j, p->lsn) + 5000;
	bytes[at] ^= 0x10;
	break_file(r);
	append(r, 5000);
	run(r);
	cr_assert(r->renewed == 0 && r->failures == 1);
	cr_assert_eq(memdisk_bytes(r->disk, NAME, NULL), bytes, "the old file is gone");
	end(r);
}

/* ---- several groups under way ---- */

/* `count` groups of one record each, none of which is on the disk yet. */
static void overlap(struct rig *r, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		append(r, 3000);
		dp_journal_overlap(r->j);
		cr_assert_eq(r->disk->count, i + 1);
	}
}

Test(overlap, groups_count_in_their_own_order)
{
	struct rig *r = begin();
	overlap(r, 3);
	memdisk_step_at(r->disk, 2);
	memdisk_step_at(r->disk, 1);
	cr_assert_eq(r->durable, 0, "what an earlier group is not, a later one cannot be");
	cr_assert(dp_journal_busy(r->j));
	memdisk_step(r->disk);
	cr_assert_eq(r->durable, 3);
	cr_assert_not(dp_journal_busy(r->j));
	cr_assert_eq(dp_journal_stats(r->j).commits, 3);
	reopen(r);
	check_whole(r, 3);
	end(r);
}

Test(overlap, is_bounded)
{
	struct rig *r = begin();
	overlap(r, DP_GROUPS_MAX);
	append(r, 3000);
	dp_journal_overlap(r->j);
	cr_assert_eq(r->disk->count, DP_GROUPS_MAX, "more groups than there may be");
	run(r);
	cr_assert_eq(r->durable, DP_GROUPS_MAX + 1);
	for (unsigned i = 0; i < 4; i++)
		append(r, 600000);
	dp_journal_overlap(r->j);
	append(r, 100);
	dp_journal_overlap(r->j);
	cr_assert_eq(r->disk->count, 1, "more bytes than recovery looks at");
	run(r);
	cr_assert_eq(r->durable, r->meta.at.seq);
	end(r);
}

/* A crash between them: the later group is on the disk, and was never told. Other records come in
 * the place of the earlier one and end where it begins. */
Test(overlap, what_landed_behind_a_lost_group_does_not_revive)
{
	struct rig *r = begin();
	groups(r, 2, 500);
	uint64_t durable = r->durable;
	overlap(r, 3);
	memdisk_step_at(r->disk, 2);
	memdisk_step_at(r->disk, 1);
	reopen(r);
	cr_assert_eq(r->last, durable);
	for (unsigned i = 1; i <= 4; i++) {
		append(r, 3000);
		run(r);
		reopen(r);
		check_whole(r, durable + i);
		cr_assert_eq(r->last, durable + i, "an old record stands again");
	}
	end(r);
}

Test(overlap, what_follows_a_failed_group_is_written_anew)
{
	for (unsigned failed = 0; failed < 3; failed++) {
		struct rig *r = begin();
		groups(r, 2, 500);
		uint64_t durable = r->durable;
		overlap(r, 3);
		break_file(r);
		memdisk_step_at(r->disk, failed);
		r->disk->write_error = 0; /* it seems to work again */
		cr_assert_eq(r->disk->count, 2, "a failed write is tried again");
		memdisk_step(r->disk);
		cr_assert_eq(r->durable, durable, "a file in doubt is believed");
		break_file(r);
		run(r);
		cr_assert(r->renewed == 1 && r->failures == 0);
		cr_assert_eq(r->durable, durable + 3);
		reopen(r);
		check_whole(r, durable + 3);
		end(r);
	}
}

/* What is released is always all that is durable, and the next group is in the air by then. */
Test(overlap, the_tail_moves_though_a_group_is_always_under_way)
{
	enum { RECORDS = 400 };
	struct rig *r = begin();
	r->metas = calloc(RECORDS + 1, sizeof *r->metas);
	append(r, 100000);
	r->metas[1] = r->meta;
	for (unsigned i = 2; i <= RECORDS; i++) {
		dp_journal_kick(r->j);
		append(r, 100000);
		r->metas[i] = r->meta;
		dp_journal_overlap(r->j);
		memdisk_step(r->disk);
		cr_assert_gt(dp_journal_room(r->j), DP_JOURNAL_SIZE_MIN / 2, "after %u records", i);
	}
	free(r->metas);
	end(r);
}
