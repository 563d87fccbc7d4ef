/* SPDX-License-Identifier: MIT */
#include "lives.h"

#include "base/err.h"
#include "crash.h"

#define DEPTH 2 /* crashes one after the other, at most one more */

struct run {
	const struct lives *lives;
	struct model *model;
	struct life_expect expect;
	struct lives_count *count;
	unsigned depth; /* crashes before this one */
};

static void check_state(void *ctx, struct crashdisk *disk, const struct explore_state *state);

static void on_note(void *ctx, const struct crash_note *note)
{
	life_expect_note(&((struct run *)ctx)->expect, note);
}

/* Crashes of the recovery that has just been, and of the life after it. */
static void explore_again(struct run *run, const struct crashdisk *disk, uint32_t found,
	struct rng *rng)
{
	struct run inner = *run;
	inner.depth++;
	inner.expect.lower = inner.expect.upper = found;
	struct explore_check check = {on_note, check_state, NULL, &inner};
	struct explore_plan plan = {.singles = 4,
		.torn = inner.depth == 1,
		.percent = run->lives->percent,
		.only = CRASH_NEVER};
	explore(&disk->log, &check, &plan, rng_next(rng), &run->count->again);
}

/* What one recovery made of it the next finds, and has nothing to add. */
static void recover_twice(struct run *run, struct crashdisk *disk, const struct life *first)
{
	struct life *l = life_new(&run->lives->cfg, disk, run->model);
	struct life_expect same = {
		.lower = first->head, .upper = first->head, .released = run->expect.released};
	uint32_t ops = disk->log.op_count;
	if (life_open(l, 0))
		crash_fail("a second recovery refuses what the first took");
	life_check(l, &same);
	if (!model_same(&l->tail, &first->tail) || l->found_count != first->found_count)
		crash_fail("a second recovery finds another log than the first");
	if (disk->log.op_count != ops)
		crash_fail("a second recovery writes, where nothing happened since the first");
	life_close(l);
	life_free(l);
}

/* Damage may be refused, and so may a journal with no place for a barrier. */
static bool may_refuse(const struct run *run, const struct explore_state *state, int err)
{
	return state->damaged || (run->expect.full && err == DP_ENOSPC);
}

static void check_refused(const struct crashdisk *disk)
{
	if (disk->log.op_count)
		crash_fail("recovery refuses to, and writes");
}

static void check_taken(struct run *run, struct life *l, struct crashdisk *disk,
	const struct explore_state *state)
{
	uint32_t found = life_check(l, &run->expect);
	bool may = run->lives->go_on && run->depth < DEPTH && !state->damaged;
	bool deep = may && rng_below(state->rng, 8) == 0;
	bool twice = !deep && (!run->lives->cfg.images || rng_below(state->rng, 4) == 0);
	if (run->lives->cfg.images && !twice)
		life_check_images(l);
	if (deep && rng_below(state->rng, 4))
		run->lives->go_on(l, run->expect.upper, state->rng);
	life_close(l);
	if (twice)
		recover_twice(run, disk, l);
	if (deep)
		explore_again(run, disk, found, state->rng);
}

static void check_state(void *ctx, struct crashdisk *disk, const struct explore_state *state)
{
	struct run *run = ctx;
	struct life *l = life_new(&run->lives->cfg, disk, run->model);
	uint32_t items = run->model->count;
	if (run->depth == 0)
		crash_at(state->moment);
	int err = life_open(l, 0);
	if (err && !may_refuse(run, state, err))
		crash_fail("recovery fails: %s", dp_strerror(err));
	if (err)
		check_refused(disk);
	else
		check_taken(run, l, disk, state);
	life_free(l);
	model_forget(run->model, items);
}

static void live_once(const struct lives *lives, struct crashdisk *disk, struct model *model,
	uint64_t seed)
{
	struct life *l = life_new(&lives->cfg, disk, model);
	struct rng rng = {seed};
	if (life_open(l, 0))
		crash_fail("a new disk cannot be opened");
	lives->live(l, &rng);
	life_close(l);
	life_free(l);
}

void lives_explore_log(const struct lives *lives, struct model *model, const struct crash_log *log,
	const struct explore_plan *plan, uint64_t seed, struct lives_count *count)
{
	struct run run = {.lives = lives, .model = model, .count = count};
	struct explore_check check = {on_note, check_state, lives->noticed, &run};
	explore(log, &check, plan, seed, &count->first);
}

void lives_explore(const struct lives *lives, const struct scenario_options *options)
{
	struct crashdisk *disk = crashdisk_new();
	struct model *model = model_new(lives->sizes);
	struct lives_count count = {0};
	live_once(lives, disk, model, options->seed);
	if (options->verbose)
		crash_print(&disk->log, life_notes);
	struct explore_plan plan = {.singles = 24,
		.torn = options->states,
		.random = options->states,
		.percent = 100,
		.only = options->only,
		.verbose = options->verbose};
	lives_explore_log(lives, model, &disk->log, &plan, options->seed, &count);
	explore_report(lives->name, options->seed, &count.first, &count.again);
	crashdisk_free(disk);
	model_free(model);
}
