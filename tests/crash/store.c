/* SPDX-License-Identifier: MIT */
/* Journal and images: writes, trims and zeroes one over the other, applied when they are agreed,
 * released when the images have them, cut where they are not; laps of a small circle. */
#include "base/limits.h"
#include "crash.h"
#include "journal/internal.h"
#include "lives.h"
#include "store/internal.h"

#define CIRCLE  (64 * DP_KIB)
#define LAPS    3
#define SECTORS 8u /* of a record, at most */

static void append_any(struct life *l, struct rng *rng)
{
	static const uint8_t ops[] = {
		DP_OP_WRITE, DP_OP_WRITE, DP_OP_WRITE, DP_OP_TRIM, DP_OP_ZERO, DP_OP_FLUSH};
	struct model_write w = {.op = ops[rng_below(rng, 6)]};
	w.volume = (unsigned)rng_below(rng, MODEL_VOLUMES);
	w.salt = rng_below(rng, 2);
	uint64_t sectors = l->model->sizes[w.volume] / DP_FRAME_ALIGN;
	uint64_t most = rng_below(rng, 4) ? 2 : SECTORS;
	uint64_t count = rng_between(rng, 1, most);
	w.length = (uint32_t)count * DP_FRAME_ALIGN;
	w.offset = rng_below(rng, sectors - count + 1) * DP_FRAME_ALIGN;
	uint32_t shift = rng_below(rng, 8) ? 0 : (uint32_t)rng_below(rng, 100);
	w.offset += shift; /* not all hosts think in sectors */
	w.length -= shift;
	life_append(l, &w);
}

static void agree_any(struct life *l, struct rng *rng)
{
	if (l->durable > l->agreed)
		life_agree(l, rng_between(rng, l->agreed + 1, l->durable));
}

static void step_any(struct life *l, struct rng *rng)
{
	if (crashdisk_waiting(l->disk))
		crashdisk_step(l->disk, (uint32_t)rng_below(rng, crashdisk_waiting(l->disk)));
}

static bool has_room(const struct life *l)
{
	return dp_journal_stats(l->j).used + l->j->queued_bytes < CIRCLE / 2;
}

static void barrier_any(struct life *l, struct rng *rng)
{
	uint64_t last = l->log.last.at.seq;
	if (rng_below(rng, 3))
		life_promise(l, l->model->items[l->head].meta.promised + 1);
	else if (last > l->agreed)
		life_cut(l, rng_between(rng, l->agreed, last));
}

static void live(struct life *l, struct rng *rng)
{
	switch (rng_below(rng, 16)) {
	case 0:
	case 1:
	case 2:
		if (has_room(l))
			append_any(l, rng);
		break;
	case 3:
		if (has_room(l) && rng_below(rng, 6) == 0)
			barrier_any(l, rng);
		break;
	case 4:
		dp_journal_kick(l->j);
		if (rng_below(rng, 2))
			dp_journal_overlap(l->j);
		break;
	case 5:
		agree_any(l, rng);
		break;
	case 6:
		dp_log_evict(&l->log, l->durable, 0);
		break;
	case 7:
		life_tick(l, rng_below(rng, 2 * QUIET_US));
		break;
	default:
		step_any(l, rng);
	}
}

static void live_long(struct life *l, struct rng *rng)
{
	while (l->j->head < LAPS * CIRCLE)
		live(l, rng);
}

static void go_on(struct life *l, uint32_t lost, struct rng *rng)
{
	(void)lost;
	for (unsigned i = 0; i < 60; i++)
		live(l, rng);
	life_commit(l);
	life_check_images(l);
}

static const struct lives store = {
	.name = "store",
	.cfg = {.journal_size = DP_DATA_START + CIRCLE, .images = true},
	.sizes = {24 * DP_KIB, 16 * DP_KIB},
	.percent = 8,
	.live = live_long,
	.go_on = go_on,
};

void scenario_store(const struct scenario_options *options)
{
	lives_explore(&store, options);
}
