/* SPDX-License-Identifier: MIT */
/* The n-th call of the disk fails, once or from there on, n = 0, 1, 2, ... until a life goes
 * through untouched. Whatever fails: nothing is told to be durable that is not, what has not failed
 * goes on, and the next start finds all that had been told. */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/limits.h"
#include "crash.h"
#include "journal/internal.h"
#include "lives.h"
#include "resync.h"

#define CIRCLE (32 * DP_KIB) /* a life goes round it */

static uint32_t failing; /* the call that fails */
static bool failing_on;
static uint64_t seed; /* of a mirror's life */

void crash_fail(const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	cr_assert_fail("seed %u, call %u%s fails: %s", (unsigned)seed, failing,
		failing_on ? " and all after it" : "", text);
	abort();
}

void crash_at(uint32_t moment)
{
	(void)moment;
}

static struct crashdisk *failing_disk(void)
{
	struct crashdisk *disk = crashdisk_new();
	cr_assert_geq(sodium_init(), 0);
	disk->fail_at = failing;
	disk->fail_on = failing_on;
	return disk;
}

/* What is on the disk at the end: nothing of what failed, all of it, or some. */
static struct explore_plan the_end(const struct crashdisk *disk)
{
	return (struct explore_plan){
		.random = 1, .torn = 1, .percent = 100, .only = disk->log.event_count};
}

/* Each call in turn, until none is left; returns how many there are. */
static uint32_t each_call(uint32_t (*live)(void))
{
	failing = 0;
	while (live())
		failing++;
	return failing;
}

/* ---- journal and images ---- */

static void put(struct life *l, uint64_t offset, uint32_t length)
{
	life_append(l,
		&(struct model_write){.op = DP_OP_WRITE,
			.volume = offset / 512 % MODEL_VOLUMES,
			.offset = offset,
			.length = length});
}

static void commit(struct life *l)
{
	life_commit(l);
	if (!l->failed && l->durable != l->log.last.at.seq)
		crash_fail("what was appended is neither durable nor failed");
}

/* Everything so far leaves the journal, through the images if there are any. */
static void move_on(struct life *l)
{
	commit(l);
	if (l->failed)
		return;
	if (l->cfg->images)
		life_check_images(l);
	else
		life_release(l, l->durable);
	crashdisk_run(l->disk);
}

static void live_round(struct life *l, unsigned round)
{
	for (unsigned i = 0; i < 4; i++)
		put(l, 512 * (7 * i + round), 512 * (1 + i));
	life_promise(l, l->model->items[l->head].meta.promised + 1);
	move_on(l);
	if (l->failed)
		return;
	put(l, 512 * round, 1024);
	dp_journal_kick(l->j);
	put(l, 512 * round, 2048);
	life_cut(l, l->agreed);
	put(l, 1024, 512);
	move_on(l);
}

static void live_on(struct life *l)
{
	for (unsigned round = 0; round < 3 && !l->failed; round++)
		live_round(l, round);
	if (!l->failed)
		return;
	/* What has failed stays so, whatever the disk does now. */
	put(l, 0, 512);
	life_promise(l, l->model->items[l->head].meta.promised + 1);
	life_commit(l);
	if (l->store)
		life_tick(l, 1000000);
	crashdisk_run(l->disk);
}

static void live(struct life *l)
{
	if (life_open(l, 0))
		return;
	live_on(l);
	bool failed = l->failed;
	life_close(l);
	if (failed || life_open(l, l->head))
		return;
	struct life_expect here = {.lower = l->head, .upper = l->head, .released = UINT64_MAX};
	life_check(l, &here);
	live_on(l);
	life_close(l);
}

static uint32_t live_with(const struct lives *lives)
{
	struct crashdisk *disk = failing_disk();
	struct model *model = model_new(lives->sizes);
	struct life *l = life_new(&lives->cfg, disk, model);
	live(l);
	uint32_t failed = disk->failed;
	struct explore_plan plan = the_end(disk);
	struct lives_count count = {0};
	lives_explore_log(lives, model, &disk->log, &plan, failing, &count);
	life_free(l);
	crashdisk_free(disk);
	model_free(model);
	return failed;
}

static uint32_t live_journal(void)
{
	static const struct lives journal = {.name = "journal",
		.cfg = {.journal_size = DP_DATA_START + CIRCLE},
		.sizes = {24 * DP_KIB, 16 * DP_KIB}};
	return live_with(&journal);
}

static uint32_t live_store(void)
{
	static const struct lives store = {.name = "store",
		.cfg = {.journal_size = DP_DATA_START + CIRCLE, .images = true},
		.sizes = {24 * DP_KIB, 16 * DP_KIB}};
	return live_with(&store);
}

Test(disk_call, of_a_journal_fails_once)
{
	cr_assert_gt(each_call(live_journal), 30);
}

Test(disk_call, of_a_journal_and_all_after_it_fail)
{
	failing_on = true;
	cr_assert_gt(each_call(live_journal), 30);
}

Test(disk_call, of_journal_and_images_fails_once)
{
	cr_assert_gt(each_call(live_store), 100);
}

Test(disk_call, of_journal_and_images_and_all_after_it_fail)
{
	failing_on = true;
	cr_assert_gt(each_call(live_store), 100);
}

/* ---- a mirror that is resynced ---- */

static uint32_t live_mirror(void)
{
	struct crashdisk *disk = failing_disk();
	struct model *model = model_new(resync_sizes);
	struct mirror *m = mirror_new(disk, model, &(struct sender){0});
	struct rng rng = {seed};
	if (mirror_open(m) == 0)
		resync_live(m, &rng);
	uint32_t failed = disk->failed;
	mirror_close(m);
	mirror_free(m);
	struct explore_plan plan = the_end(disk);
	struct explore_count first = {0}, again = {0};
	resync_explore_log(model, &disk->log, &plan, failing, &first, &again);
	crashdisk_free(disk);
	model_free(model);
	return failed;
}

static void each_mirror(void)
{
	for (seed = 1; seed <= 2; seed++)
		cr_assert_gt(each_call(live_mirror), 80);
}

Test(disk_call, of_a_mirror_fails_once)
{
	each_mirror();
}

Test(disk_call, of_a_mirror_and_all_after_it_fail)
{
	failing_on = true;
	each_mirror();
}
