/* SPDX-License-Identifier: MIT */
/* A mirror whose sender is taken over and cuts it, goes on without it until it has to be resynced,
 * and switches to new images: what it told its sender must be true whenever it crashes. */
#include "base/err.h"
#include "base/limits.h"
#include "crash.h"
#include "resync.h"
#include "scenario.h"

#define SECTOR  512u
#define SECTORS 8u /* of a record, at most */
#define STEPS   600

const uint64_t resync_sizes[MODEL_VOLUMES] = {24 * DP_KIB, 16 * DP_KIB};

struct run {
	struct model *model;
	struct sender expect;
	struct explore_count *again;
	unsigned depth;
};

/* ---- the life ---- */

static void make_any(struct mirror *m, struct rng *rng)
{
	static const uint8_t ops[] = {DP_OP_WRITE, DP_OP_WRITE, DP_OP_WRITE, DP_OP_ZERO};
	struct model_write w = {.op = ops[rng_below(rng, 4)]};
	w.volume = (unsigned)rng_below(rng, MODEL_VOLUMES);
	w.salt = rng_below(rng, 100);
	uint64_t most = rng_below(rng, 4) ? 2 : SECTORS;
	uint64_t count = rng_between(rng, 1, most);
	w.length = (uint32_t)count * SECTOR;
	w.offset = rng_below(rng, m->model->sizes[w.volume] / SECTOR - count + 1) * SECTOR;
	mirror_make(m, &w);
}

static uint64_t last_made(const struct mirror *m)
{
	return m->model->items[m->above.head].meta.at.seq;
}

static void fill_any(struct mirror *m, struct rng *rng)
{
	uint64_t oldest = m->model->items[m->above.tail].meta.at.seq;
	uint64_t seq = rng_between(rng, oldest, last_made(m));
	if (m->fetch_count)
		mirror_fill(m, (unsigned)rng_below(rng, m->fetch_count), seq);
}

/* One thing of those that may happen next; records are made by the caller. */
static void live(struct mirror *m, struct rng *rng)
{
	uint64_t last = last_made(m);
	switch (rng_below(rng, 12)) {
	case 0:
	case 1:
		mirror_send(m);
		break;
	case 2:
		mirror_marks(m);
		break;
	case 3:
		if (m->above.agreed < last && rng_below(rng, 2))
			mirror_agree(m, rng_between(rng, m->above.agreed, last));
		break;
	case 4:
		mirror_tick(m, rng_below(rng, DP_CORE_MARKS_US));
		break;
	case 5:
	case 6:
		fill_any(m, rng);
		break;
	default:
		if (crashdisk_waiting(m->disk))
			mirror_step(m, (uint32_t)rng_below(rng, crashdisk_waiting(m->disk)));
	}
	mirror_answer(m);
}

static void live_for(struct mirror *m, struct rng *rng, unsigned records, unsigned steps)
{
	for (unsigned i = 0; i < records; i++)
		for (unsigned n = 0; n < steps; n++) {
			if (n == 0)
				make_any(m, rng);
			live(m, rng);
		}
}

/* The next sender has what is agreed, and perhaps more. */
static void take_over(struct mirror *m, struct rng *rng)
{
	mirror_take_over(m, rng_between(rng, m->above.agreed, last_made(m)));
	mirror_hello(m, m->above.epoch + 1);
}

static void go_without_it(struct mirror *m, struct rng *rng)
{
	for (uint64_t i = rng_between(rng, 6, 12); i; i--)
		make_any(m, rng);
	mirror_agree(m, last_made(m) - 1);
	mirror_forget(m, last_made(m) - 2);
	mirror_hello(m, m->above.epoch + rng_below(rng, 2));
}

/* The last session of the resync begins when all is copied and something is yet to be applied. */
static void copy_all(struct mirror *m, struct rng *rng)
{
	for (unsigned i = 0; i < STEPS && !mirror_core(m)->rebuild.copied; i++)
		live(m, rng);
	mirror_agree(m, last_made(m));
	mirror_marks(m);
	for (uint64_t i = rng_below(rng, 12); i; i--)
		live(m, rng);
	mirror_hello(m, m->above.epoch + 1);
	live_for(m, rng, 2, 25);
}

void resync_live(struct mirror *m, struct rng *rng)
{
	mirror_start(m);
	mirror_hello(m, 1);
	live_for(m, rng, 10, 12);
	take_over(m, rng);
	live_for(m, rng, 6, 12);
	go_without_it(m, rng);
	for (unsigned i = 0; i < 3; i++) {
		live_for(m, rng, 2, 25);
		if (rng_below(rng, 3))
			take_over(m, rng);
		else
			mirror_hello(m, m->above.epoch + rng_below(rng, 2));
	}
	copy_all(m, rng);
	mirror_agree(m, last_made(m));
	mirror_settle(m);
	live_for(m, rng, 3, 12);
}

/* ---- after a crash ---- */

static void check_state(void *ctx, struct crashdisk *disk, const struct explore_state *state);

static void on_note(void *ctx, const struct crash_note *note)
{
	sender_note(&((struct run *)ctx)->expect, note);
}

static void explore_again(struct run *run, const struct crashdisk *disk, struct rng *rng)
{
	struct run inner = *run;
	inner.depth++;
	struct explore_check check = {on_note, check_state, NULL, &inner};
	struct explore_plan plan = {.singles = 2, .torn = 1, .percent = 15, .only = CRASH_NEVER};
	explore(&disk->log, &check, &plan, rng_next(rng), run->again);
}

static void check_told(const struct run *run, const struct mirror *m)
{
	const struct sender *x = &run->expect;
	const struct dp_meta *last = &mirror_core(m)->log.last;
	uint32_t here = mirror_position(m, last->at);
	if (here == MODEL_NONE)
		crash_fail("recovered is record %llu, which nobody made",
			(unsigned long long)last->at.seq);
	if (model_common(m->model, x->cached, here) != x->cached)
		crash_fail(
			"recovered is record %llu of epoch %llu; %llu of epoch %llu is gone, which "
			"was said to be cached",
			(unsigned long long)last->at.seq, (unsigned long long)last->at.epoch,
			(unsigned long long)m->model->items[x->cached].meta.at.seq,
			(unsigned long long)m->model->items[x->cached].meta.at.epoch);
	if (last->promised < x->promised)
		crash_fail("recovered is a promise of %llu; one of %llu was told",
			(unsigned long long)last->promised, (unsigned long long)x->promised);
	if (x->whole && last->images.building)
		crash_fail("recovered is a resync that was said to be complete");
}

/* While new images are built the old ones are whole, and stand where the log once jumped. */
static void check_fallback(const struct run *run, struct mirror *m)
{
	const struct dp_images *images = &mirror_core(m)->log.last.images;
	if (images->building)
		mirror_check_images(m, images->generation,
			run->expect.fallback[images->generation % MIRROR_GENERATIONS]);
}

static uint64_t newest_epoch(const struct mirror *m)
{
	return m->above.epoch > m->above.promised ? m->above.epoch : m->above.promised;
}

/* What it has, and whoever comes next has too, is what the images become. */
static void check_images(struct mirror *m)
{
	struct sender above = m->above;
	uint32_t here = mirror_position(m, mirror_core(m)->log.last.at);
	uint32_t both = model_common(m->model, here, above.head);
	m->above.head = m->above.tail = here;
	mirror_hello(m, newest_epoch(m));
	mirror_agree(m, m->model->items[both].meta.at.seq);
	mirror_settle(m);
	mirror_check_images(m, mirror_core(m)->log.last.images.generation, both);
	m->above.head = above.head;
	m->above.tail = above.tail;
}

/* The sender is still there, and brings it up to date. */
static void check_goes_on(struct mirror *m)
{
	mirror_hello(m, newest_epoch(m));
	mirror_agree(m, last_made(m));
	mirror_settle(m);
	const struct dp_images *images = &mirror_core(m)->log.last.images;
	mirror_check_images(m, images->generation, m->above.head);
	if (images->building || mirror_has_images(m, images->generation + 1) ||
		(images->generation && mirror_has_images(m, images->generation - 1)))
		crash_fail("images are left that nobody needs");
}

static struct mirror *recover(const struct run *run, struct crashdisk *disk)
{
	struct mirror *m = mirror_new(disk, run->model, &run->expect);
	int err = mirror_open(m);
	if (err)
		crash_fail("recovery fails: %s", dp_strerror(err));
	check_told(run, m);
	check_fallback(run, m);
	return m;
}

/* What one recovery made of it the next finds, and has nothing to add. */
static void recover_once_more(const struct run *run, struct crashdisk *disk)
{
	struct mirror *m = recover(run, disk);
	struct dp_meta last = mirror_core(m)->log.last;
	uint32_t ops = disk->log.op_count;
	mirror_close(m);
	mirror_free(m);
	m = recover(run, disk);
	if (!model_same(&last, &mirror_core(m)->log.last))
		crash_fail("a second recovery finds another state than the first");
	if (disk->log.op_count != ops)
		crash_fail("a second recovery writes, where nothing happened since the first");
	mirror_close(m);
	mirror_free(m);
}

static void check_state(void *ctx, struct crashdisk *disk, const struct explore_state *state)
{
	struct run *run = ctx;
	uint32_t items = run->model->count;
	if (run->depth == 0)
		crash_at(state->moment);
	if (rng_below(state->rng, 4) == 0)
		recover_once_more(run, disk);
	struct mirror *m = recover(run, disk);
	m->session = 1000 * (run->depth + 1);
	mirror_start(m);
	if (!mirror_core(m)->log.last.images.building)
		check_images(m);
	check_goes_on(m);
	mirror_close(m);
	mirror_free(m);
	if (run->depth == 0 && rng_below(state->rng, 30) == 0)
		explore_again(run, disk, state->rng);
	model_forget(run->model, items);
}

void resync_explore_log(struct model *model, const struct crash_log *log,
	const struct explore_plan *plan, uint64_t seed, struct explore_count *first,
	struct explore_count *again)
{
	struct run run = {.model = model, .again = again};
	struct explore_check check = {on_note, check_state, NULL, &run};
	explore(log, &check, plan, seed, first);
}

void scenario_resync(const struct scenario_options *options)
{
	struct crashdisk *disk = crashdisk_new();
	struct model *model = model_new(resync_sizes);
	struct mirror *m = mirror_new(disk, model, &(struct sender){0});
	struct rng rng = {options->seed};
	if (mirror_open(m))
		crash_fail("a new disk cannot be opened");
	resync_live(m, &rng);
	mirror_close(m);
	mirror_free(m);
	if (options->verbose)
		crash_print(&disk->log, mirror_notes);
	struct explore_plan plan = {.singles = 8,
		.torn = options->states / 4,
		.random = options->states / 2,
		.percent = 100,
		.only = options->only,
		.verbose = options->verbose};
	struct explore_count first = {0}, again = {0};
	resync_explore_log(model, &disk->log, &plan, options->seed, &first, &again);
	explore_report("resync", options->seed, &first, &again);
	crashdisk_free(disk);
	model_free(model);
}
