/* SPDX-License-Identifier: MIT */
/* The journal alone, with an owner that is a relay as well as a lazy controller: groups of records
 * and promises, cuts, jumps, releases at any time, restarts, several laps of a small circle. */
#include <stdlib.h>

#include "base/err.h"
#include "crash.h"
#include "journal/internal.h"
#include "lives.h"

#define CIRCLE   (96 * DP_KIB)
#define LAPS     4
#define SECTOR   320u /* such a record takes one sector */
#define BLOCKFUL (DP_DISK_ALIGN / DP_FRAME_ALIGN)

/* ---- the life ---- */

static void append(struct life *l, struct rng *rng, uint32_t length)
{
	uint8_t op = length ? DP_OP_WRITE : DP_OP_FLUSH;
	life_append(l,
		&(struct model_write){.op = op, .length = length, .salt = rng_below(rng, 2)});
}

static void append_any(struct life *l, struct rng *rng)
{
	static const uint32_t sizes[] = {0, 1, SECTOR, SECTOR, SECTOR, SECTOR + 1, 1500, 5000};
	append(l, rng, sizes[rng_below(rng, 8)]);
}

/* Frames at the beginnings of blocks, where another group might end. */
static void append_blocks(struct life *l, struct rng *rng)
{
	for (uint64_t blocks = rng_between(rng, 1, 3); blocks; blocks--) {
		for (unsigned i = 0; i + 1 < BLOCKFUL; i++)
			append(l, rng, SECTOR);
		if (rng_below(rng, 2))
			append(l, rng, SECTOR);
		else
			life_promise(l, l->model->items[l->head].meta.promised + rng_below(rng, 2));
	}
}

static uint64_t any_of(struct rng *rng, uint64_t from, uint64_t to)
{
	return from < to ? rng_between(rng, from, to) : to;
}

static uint64_t waiting(const struct life *l)
{
	return l->j->queued_bytes;
}

/* What is not durable here is released, or jumped over, by a lazy controller. Its journal is not
 * full, and nothing written before leaves until what comes next is written too. */
static bool has_space(const struct life *l)
{
	return waiting(l) + dp_journal_stats(l->j).used < CIRCLE / 2;
}

/* What comes in the place of what was cut may be released before the cut itself is on the disk. */
static void replace(struct life *l, struct rng *rng)
{
	if (!has_space(l) || rng_below(rng, 2))
		return;
	for (uint64_t i = rng_below(rng, 8); i; i--)
		append_any(l, rng);
	life_release(l, l->log.last.at.seq);
}

static void barrier_any(struct life *l, struct rng *rng)
{
	const struct dp_log *log = &l->log;
	uint64_t last = log->last.at.seq;
	switch (rng_below(rng, 6)) {
	case 0: /* what is cut keeps its space until the cut is written and more is released, which
		   needs some, too */
		if (waiting(l) + dp_journal_stats(l->j).used > CIRCLE * 3 / 4)
			break;
		life_cut(l, any_of(rng, log->tail.at.seq, last));
		replace(l, rng);
		break;
	case 1:
		if (has_space(l))
			life_jump(l, 1 + (unsigned)rng_below(rng, 5));
		break;
	default:
		life_promise(l, l->model->items[l->head].meta.promised + rng_below(rng, 3));
	}
}

/* Barriers may come as far as the brim, and what waits may come to be written any time. */
static bool may_be_full(const struct life *l)
{
	uint64_t end = dp_journal_end(l->j);
	end += l->j->queued_bytes + CIRCLE / 4 + DP_DISK_ALIGN;
	return end - l->j->super.tail_lsn > CIRCLE;
}

static void note_full(struct life *l)
{
	bool full = may_be_full(l);
	if (full != l->told_full)
		crashdisk_note(l->disk, LIFE_FULL, false, full);
	l->told_full = full;
}

static void commit(struct life *l)
{
	note_full(l);
	life_commit(l);
	note_full(l);
}

static void restart(struct life *l)
{
	crashdisk_run(l->disk);
	life_commit(l);
	life_close(l);
	if (life_open(l, l->head))
		crash_fail("the journal cannot be opened again");
	struct life_expect here = {.lower = l->head, .upper = l->head, .released = UINT64_MAX};
	life_check(l, &here);
}

/* What cannot be released, because it is not durable yet. */
static uint64_t needed(const struct life *l)
{
	uint64_t seq = l->durable > l->j->places_from ? l->durable : l->j->places_from;
	const struct dp_place *next = dp_journal_place(l->j, seq + 1);
	uint64_t end = dp_journal_end(l->j);
	return end - (next ? next->lsn : end) + waiting(l);
}

/* More may wait than there is space for, as long as releases bring enough of it. */
static void make_room(struct life *l, struct rng *rng)
{
	bool full = waiting(l) + dp_journal_stats(l->j).used > CIRCLE + DP_DISK_ALIGN;
	bool tight = needed(l) > CIRCLE / 2;
	if (full || tight)
		life_release(l, any_of(rng, l->durable - l->durable % 2, l->durable));
	if (full && rng_below(rng, 2))
		dp_journal_kick(l->j);
	if (tight)
		commit(l);
	if (needed(l) > CIRCLE * 7 / 8)
		crash_fail("the journal waits for ever");
}

static void release_any(struct life *l, struct rng *rng)
{
	bool lazy = has_space(l) && rng_below(rng, 4) == 0;
	life_release(l, lazy ? l->log.last.at.seq : any_of(rng, l->log.tail.at.seq, l->durable));
}

static void live(struct life *l, struct rng *rng)
{
	switch (rng_below(rng, 16)) {
	case 0:
	case 1:
	case 2:
		append_any(l, rng);
		break;
	case 3:
		append_blocks(l, rng);
		break;
	case 4:
		barrier_any(l, rng);
		break;
	case 5:
		release_any(l, rng);
		break;
	case 6:
		if (rng_below(rng, 6) == 0 && !may_be_full(l))
			restart(l);
		break;
	case 7:
	case 8:
		dp_journal_kick(l->j);
		break;
	case 9:
		dp_journal_overlap(l->j);
		break;
	default:
		if (crashdisk_waiting(l->disk))
			crashdisk_step(l->disk,
				(uint32_t)rng_below(rng, crashdisk_waiting(l->disk)));
	}
	make_room(l, rng);
	note_full(l);
}

static void live_long(struct life *l, struct rng *rng)
{
	while (l->j->head < LAPS * CIRCLE)
		live(l, rng);
	life_commit(l);
}

/* ---- after a crash ---- */

/* What was lost comes again, the same or other, in groups that end where old frames begin. */
static void go_on(struct life *l, uint32_t lost, struct rng *rng)
{
	uint32_t list[64], count = 0, here = l->head;
	for (uint32_t i = lost; i != here; i = l->model->items[i].parent)
		list[count++ % 64] = i;
	uint64_t how = rng_below(rng, 3), sectors = 0;
	for (uint32_t i = 0; i < 40; i++) {
		uint32_t item = i < count && count < 64 ? list[count - 1 - i] : MODEL_NONE;
		const struct model_item *it = &l->model->items[item == MODEL_NONE ? 0 : item];
		if (how == 0 && item != MODEL_NONE)
			life_again(l, item);
		else if (how == 1 && it->record && it->record->h.seq == l->log.last.at.seq + 1)
			life_append(l,
				&(struct model_write){.op = it->record->h.op,
					.length = it->record->h.length,
					.salt = 2});
		else
			append(l, rng, SECTOR);
		it = &l->model->items[l->head];
		uint32_t length = it->record ? it->record->h.payload_len : 0;
		sectors += (length + DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE + DP_FRAME_ALIGN - 1) /
			DP_FRAME_ALIGN;
		if (sectors % BLOCKFUL == 0 || rng_below(rng, 12) == 0) {
			sectors = 0;
			commit(l);
		}
		make_room(l, rng);
		note_full(l);
	}
}

/* Nobody was told that damage to the last group is damage: it may as well be torn. */
static bool is_noticed(void *ctx, const struct crash_op *op, const struct crash_op *later)
{
	(void)ctx;
	return op->offset < DP_DATA_START || later->offset >= DP_DATA_START;
}

static const struct lives journal = {
	.name = "journal",
	.cfg = {.journal_size = DP_DATA_START + CIRCLE},
	.percent = 60,
	.live = live_long,
	.go_on = go_on,
	.noticed = is_noticed,
};

void scenario_journal(const struct scenario_options *options)
{
	lives_explore(&journal, options);
}
