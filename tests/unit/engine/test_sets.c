/* SPDX-License-Identifier: MIT */
/* Write sets: what closes them, what commits them, and what happens when there are too many. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "engine/sets.h"

static struct dp_sets sets;

static void make_sets(void)
{
	cr_assert_eq(dp_sets_init(&sets), 0);
}

static void clear_sets(void)
{
	dp_sets_clear(&sets);
}

TestSuite(sets, .init = make_sets, .fini = clear_sets);

static void check(uint32_t index, uint64_t id, uint64_t first, uint64_t last, bool closed,
	bool committed)
{
	const struct dp_set *s = dp_sets_at(&sets, index);
	cr_assert_lt(index, sets.count);
	cr_assert(s->last_id == id, "entry %u is set %u", index, (unsigned)s->last_id);
	cr_assert(s->first_seq == first && s->last_seq == last, "entry %u: %u..%u", index,
		(unsigned)s->first_seq, (unsigned)s->last_seq);
	cr_assert_eq(s->closed, closed, "entry %u", index);
	cr_assert_eq(s->committed, committed, "entry %u", index);
}

Test(sets, empty)
{
	cr_assert_not(dp_sets_committed(&sets, 1));
	dp_sets_commit(&sets, 100, 0);
	dp_sets_cut(&sets, 0);
	cr_assert_eq(sets.count, 0);
}

Test(sets, closed_by_its_last_record)
{
	dp_sets_note(&sets, 1, 1, false, 10);
	dp_sets_note(&sets, 1, 2, false, 11);
	check(0, 1, 1, 2, false, false);
	dp_sets_commit(&sets, 2, 12);
	cr_assert_not(dp_sets_committed(&sets, 1), "an open set is not committed");
	dp_sets_note(&sets, 1, 3, true, 13);
	check(0, 1, 1, 3, true, false);
	dp_sets_commit(&sets, 2, 14);
	check(0, 1, 1, 3, true, false);
	dp_sets_commit(&sets, 3, 15);
	check(0, 1, 1, 3, true, true);
	cr_assert(dp_sets_committed(&sets, 1));
	cr_assert_not(dp_sets_committed(&sets, 2), "not yet begun");
	cr_assert_eq(dp_sets_at(&sets, 0)->opened_us, 10);
	cr_assert_eq(dp_sets_at(&sets, 0)->committed_us, 15);
}

Test(sets, closed_by_the_next_id)
{
	dp_sets_note(&sets, 5, 1, false, 0);
	dp_sets_note(&sets, 7, 2, false, 0);
	check(0, 5, 1, 1, true, false);
	check(1, 7, 2, 2, false, false);
	dp_sets_commit(&sets, 2, 1);
	check(0, 5, 1, 1, true, true);
	check(1, 7, 2, 2, false, false);
	cr_assert(dp_sets_committed(&sets, 5));
	cr_assert_not(dp_sets_committed(&sets, 7));
}

Test(sets, several_commit_at_once_and_in_order)
{
	for (uint64_t i = 1; i <= 5; i++)
		dp_sets_note(&sets, i, i, true, 0);
	dp_sets_commit(&sets, 3, 9);
	cr_assert_eq(sets.executing, 3);
	for (uint64_t i = 1; i <= 5; i++)
		cr_assert_eq(dp_sets_committed(&sets, i), i <= 3);
	dp_sets_commit(&sets, 2, 9); /* never goes back */
	cr_assert_eq(sets.executing, 3);
}

Test(sets, committed_ones_make_place)
{
	for (uint64_t i = 1; i <= 3 * DP_SETS_MAX; i++) {
		dp_sets_note(&sets, i, i, true, 0);
		dp_sets_commit(&sets, i, 0);
	}
	cr_assert_eq(sets.count, DP_SETS_MAX);
	check(0, 2 * DP_SETS_MAX + 1, 2 * DP_SETS_MAX + 1, 2 * DP_SETS_MAX + 1, true, true);
	cr_assert(dp_sets_committed(&sets, 1), "older than the ring: committed");
	cr_assert(dp_sets_committed(&sets, 3 * DP_SETS_MAX));
}

Test(sets, a_full_ring_widens_its_newest)
{
	for (uint64_t i = 1; i <= DP_SETS_MAX; i++)
		dp_sets_note(&sets, i, i, true, 0);
	uint64_t id = DP_SETS_MAX;
	dp_sets_note(&sets, id + 1, id + 1, true, 0);
	dp_sets_note(&sets, id + 2, id + 2, false, 0);
	cr_assert_eq(sets.count, DP_SETS_MAX);
	check(DP_SETS_MAX - 1, id + 2, id, id + 2, false, false);
	cr_assert_eq(dp_sets_at(&sets, DP_SETS_MAX - 1)->first_id, id);
	/* All that a wide entry covers is committed together, and not before its newest closes. */
	dp_sets_commit(&sets, id + 2, 0);
	cr_assert(dp_sets_committed(&sets, id - 1));
	for (uint64_t i = id; i <= id + 2; i++)
		cr_assert_not(dp_sets_committed(&sets, i));
	dp_sets_note(&sets, id + 2, id + 3, true, 0);
	dp_sets_commit(&sets, id + 3, 0);
	for (uint64_t i = id; i <= id + 2; i++)
		cr_assert(dp_sets_committed(&sets, i));
	/* With committed ones in front there is place for new entries again. */
	dp_sets_note(&sets, id + 3, id + 4, false, 0);
	check(DP_SETS_MAX - 1, id + 3, id + 4, id + 4, false, false);
}

Test(sets, cut_forgets_and_reopens)
{
	dp_sets_note(&sets, 1, 1, false, 0);
	dp_sets_note(&sets, 1, 2, true, 0);
	dp_sets_note(&sets, 2, 3, false, 0);
	dp_sets_note(&sets, 2, 4, true, 0);
	dp_sets_note(&sets, 3, 5, true, 0);
	dp_sets_cut(&sets, 3);
	cr_assert_eq(sets.count, 2);
	check(0, 1, 1, 2, true, false);
	check(1, 2, 3, 3, false, false);
	dp_sets_commit(&sets, 3, 0);
	cr_assert(dp_sets_committed(&sets, 1));
	cr_assert_not(dp_sets_committed(&sets, 2), "its end was cut off");
	cr_assert_not(dp_sets_committed(&sets, 3));
	dp_sets_note(&sets, 2, 4, true, 0);
	dp_sets_commit(&sets, 4, 0);
	cr_assert(dp_sets_committed(&sets, 2));
}

Test(sets, cut_leaves_committed_ones)
{
	dp_sets_note(&sets, 1, 1, true, 0);
	dp_sets_note(&sets, 2, 2, true, 0);
	dp_sets_commit(&sets, 1, 0);
	dp_sets_cut(&sets, 1);
	cr_assert_eq(sets.count, 1);
	cr_assert(dp_sets_committed(&sets, 1));
}

/* Set 1 was closed by the first record of set 2 only. With that record gone set 1 is open again:
 * it must not count as committed while records may still join it. */
Test(sets, cut_of_the_record_that_closed_a_set_opens_it_again)
{
	dp_sets_note(&sets, 1, 1, false, 0);
	dp_sets_note(&sets, 1, 2, false, 0);
	dp_sets_note(&sets, 2, 3, false, 0);
	dp_sets_cut(&sets, 2);
	dp_sets_commit(&sets, 2, 0);
	dp_sets_note(&sets, 1, 3, false, 0);
	cr_assert_not(dp_sets_committed(&sets, 1), "record 3 of set 1 is committed nowhere");
	dp_sets_note(&sets, 1, 4, true, 0);
	dp_sets_commit(&sets, 4, 0);
	cr_assert(dp_sets_committed(&sets, 1));
}
