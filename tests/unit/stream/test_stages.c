/* SPDX-License-Identifier: MIT */
/* How long records take, stage by stage: a core's positions are set by hand, at chosen times. */
#include <criterion/criterion.h>

#include <string.h>

#include "stream/stages.h"

static struct dp_core core;
static struct dp_stages *stages;

static void begin(unsigned links)
{
	memset(&core, 0, sizeof core);
	core.cfg.role = DP_CORE_RELAY;
	core.cfg.down_count = links;
	stages = dp_stages_new(&core);
	cr_assert_not_null(stages);
}

static void end(void)
{
	dp_stages_free(&stages);
	cr_assert_null(stages);
}

static void at(uint64_t us)
{
	dp_stages_watch(stages, &core, us);
}

static const struct dp_hist *hist(enum dp_timed stage, unsigned link)
{
	return dp_stages_hist(stages, stage, link);
}

static void check(enum dp_timed stage, unsigned link, uint64_t count, uint64_t sum_us)
{
	const struct dp_hist *h = hist(stage, link);
	cr_assert_eq(h->count, count, "%s of link %u: %u", dp_timed_key(stage), link,
		(unsigned)h->count);
	cr_assert_eq(h->sum_us, sum_us, "%s of link %u: %u us", dp_timed_key(stage), link,
		(unsigned)h->sum_us);
}

Test(stages, of_a_record_at_two_links, .fini = end)
{
	begin(2);
	core.log.last.at.seq = 1;
	core.down[0].sent = 1;
	at(1000);
	core.down[1].sent = 1;
	at(1010);
	core.journal.durable = 1;
	at(1100);
	core.down[0].cached = 1;
	at(1500);
	core.down[0].committed = core.down[1].cached = core.down[1].committed = 1;
	at(2000);
	check(DP_TIMED_DURABLE, 0, 1, 100);
	check(DP_TIMED_FORWARDED, 0, 1, 0);
	check(DP_TIMED_FORWARDED, 1, 1, 10);
	check(DP_TIMED_ACKNOWLEDGED, 0, 1, 500);
	check(DP_TIMED_ACKNOWLEDGED, 1, 1, 990);
	check(DP_TIMED_COMMITTED, 0, 1, 500);
	check(DP_TIMED_COMMITTED, 1, 1, 0);
}

Test(stages, each_record_of_a_group_counts_once, .fini = end)
{
	begin(1);
	for (uint64_t i = 1; i <= 10; i++) {
		core.log.last.at.seq = core.down[0].sent = i;
		at(i * 10);
	}
	core.journal.durable = core.down[0].cached = 10;
	at(200);
	at(300);
	check(DP_TIMED_DURABLE, 0, 10, 10 * 200 - 550);
	check(DP_TIMED_ACKNOWLEDGED, 0, 10, 10 * 200 - 550);
	check(DP_TIMED_COMMITTED, 0, 0, 0);
}

/* After a lost connection records are sent again: the first time counts. */
Test(stages, what_is_sent_again_is_not_new, .fini = end)
{
	begin(1);
	core.log.last.at.seq = core.down[0].sent = 3;
	at(100);
	core.down[0].sent = 0;
	at(200);
	core.down[0].sent = 3;
	at(300);
	core.down[0].cached = 3;
	at(400);
	check(DP_TIMED_FORWARDED, 0, 3, 0);
	check(DP_TIMED_ACKNOWLEDGED, 0, 3, 900);
}

/* A record that was cut and another one in its place: the new one counts by its own time. */
Test(stages, a_cut_forgets, .fini = end)
{
	begin(1);
	core.log.last.at.seq = 5;
	at(100);
	core.log.last.at.seq = 2;
	at(200);
	core.log.last.at.seq = 3;
	at(1000);
	core.journal.durable = 3;
	at(1001);
	check(DP_TIMED_DURABLE, 0, 3, 901 + 901 + 1);
}

/* What a process finds in its journal came at an unknown time. */
Test(stages, what_was_there_before_does_not_count, .fini = end)
{
	memset(&core, 0, sizeof core);
	core.cfg.down_count = 1;
	core.cfg.role = DP_CORE_RELAY;
	core.log.last.at.seq = core.journal.durable = 1000;
	stages = dp_stages_new(&core);
	core.log.last.at.seq = 1001;
	at(50);
	core.down[0].sent = core.down[0].cached = core.down[0].committed = core.journal
										   .durable = 1001;
	at(60);
	check(DP_TIMED_DURABLE, 0, 1, 10);
	check(DP_TIMED_FORWARDED, 0, 1, 10);
}

/* Positions far apart cost no more than the ring holds, and nothing is counted for another record.
 */
Test(stages, a_long_way_is_bounded, .fini = end)
{
	begin(1);
	core.log.last.at.seq = 1000000000000;
	at(10);
	core.down[0].sent = core.log.last.at.seq;
	core.journal.durable = core.log.last.at.seq - DP_STAGES_RING - 5;
	at(20);
	check(DP_TIMED_DURABLE, 0, 0, 0);
	check(DP_TIMED_FORWARDED, 0, DP_STAGES_RING, DP_STAGES_RING * 10);
}

/* A controller whose journal takes records only when they stay: its positions say nothing of a
 * disk. */
Test(stages, a_lazy_journal_is_not_measured, .fini = end)
{
	begin(1);
	core.can.makes_records = true;
	core.cfg.ack = core.cfg.flush = DP_CORE_CACHED;
	core.cfg.ack_legs = core.cfg.keep_serving = 1;
	cr_assert(dp_core_lazy(&core), "this is about a lazy one");
	core.log.last.at.seq = 1;
	at(10);
	core.journal.durable = 1;
	at(20);
	check(DP_TIMED_DURABLE, 0, 0, 0);
}
