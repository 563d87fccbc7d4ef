/* SPDX-License-Identifier: MIT */
/* Where two histories agree, which requests are known, and the state that goes with a position. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/history.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* "1x3 2x4": three records of epoch 1, then four of epoch 2, and so on. `salt` of a run makes
 * its records differ from those of another history with the same numbers. */
struct run {
	uint64_t epoch, count, salt;
};

static void build(struct dp_meta *m, const struct run *runs)
{
	memset(m, 0, sizeof *m);
	m->at.chain = dp_chain_start(1);
	for (; runs->count; runs++) {
		for (uint64_t i = 0; i < runs->count; i++) {
			struct dp_header h = {.op = DP_OP_TRIM,
				.length = 512,
				.stream = 1,
				.epoch = runs->epoch,
				.seq = m->at.seq + 1,
				.offset = runs->salt,
				.client = 3,
				.request = m->at.seq + 1};
			h.chain = dp_chain_next(m->at.chain, &h);
			dp_meta_advance(m, &h);
		}
	}
}

Test(history, common_point)
{
	static const struct {
		const char *what;
		struct run a[5], b[5];
		uint64_t common;
	} cases[] = {
		{"both empty", {{0}}, {{0}}, 0},
		{"one empty", {{1, 5, 0}}, {{0}}, 0},
		{"the same", {{1, 5, 0}, {2, 3, 0}}, {{1, 5, 0}, {2, 3, 0}}, 8},
		{"a prefix within an epoch", {{1, 5, 0}}, {{1, 9, 0}}, 5},
		{"a prefix that ends with an epoch", {{1, 5, 0}}, {{1, 5, 0}, {2, 3, 0}}, 5},
		{"a prefix of the second epoch", {{1, 5, 0}, {2, 1, 0}}, {{1, 5, 0}, {2, 3, 0}}, 6},
		{"a tail that the new epoch did not see", {{1, 9, 0}}, {{1, 5, 0}, {2, 3, 0}}, 5},
		{"two epochs side by side", {{1, 5, 0}, {2, 4, 0}}, {{1, 5, 0}, {3, 4, 0}}, 5},
		{"side by side, from different places", {{1, 7, 0}, {2, 4, 0}},
			{{1, 5, 0}, {3, 4, 0}}, 5},
		{"side by side for two epochs", {{1, 5, 0}, {2, 4, 0}, {4, 1, 0}},
			{{1, 6, 0}, {3, 4, 0}, {5, 1, 0}}, 5},
		{"the same epoch of another past", {{1, 5, 0}, {2, 4, 0}}, {{1, 5, 7}, {2, 4, 0}},
			5},
		{"the same epoch from another place", {{1, 5, 0}, {2, 4, 0}},
			{{1, 6, 0}, {2, 4, 0}}, 5},
		{"no epoch in common", {{1, 5, 0}}, {{2, 5, 0}}, 0},
		{"epochs that one side skipped", {{1, 5, 0}, {7, 4, 0}},
			{{1, 5, 0}, {7, 2, 0}, {9, 2, 0}}, 7},
	};
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct dp_meta a, b;
		build(&a, cases[i].a);
		build(&b, cases[i].b);
		cr_assert_eq(dp_history_common(&a.history, a.at.seq, &b.history, b.at.seq),
			cases[i].common, "%s", cases[i].what);
		cr_assert_eq(dp_history_common(&b.history, b.at.seq, &a.history, a.at.seq),
			cases[i].common, "%s, the other way round", cases[i].what);
	}
}

static void build_epochs(struct dp_meta *m, uint64_t first, uint64_t last)
{
	static struct run runs[200];
	uint64_t n = 0;
	for (uint64_t e = first; e <= last; e++)
		runs[n++] = (struct run){.epoch = e, .count = 2};
	runs[n] = (struct run){0};
	build(m, runs);
}

Test(history, only_the_newest_epochs_are_kept)
{
	struct dp_meta all, old;
	build_epochs(&all, 1, 100);
	cr_assert_eq(all.history.count, DP_HISTORY_MAX);
	cr_assert_eq(all.history.entry[0].epoch, 100 - DP_HISTORY_MAX + 1);
	cr_assert_eq(all.history.entry[DP_HISTORY_MAX - 1].epoch, 100);
	cr_assert_eq(all.history.entry[DP_HISTORY_MAX - 1].start, 199);
	/* Still known to both: the newest epoch of the older side. */
	build_epochs(&old, 1, 80);
	cr_assert_eq(dp_history_common(&all.history, 200, &old.history, 160), 160);
	/* Pruned: nothing is known, and nothing is guessed. */
	build_epochs(&old, 1, 100 - DP_HISTORY_MAX);
	cr_assert_eq(dp_history_common(&all.history, 200, &old.history, old.at.seq), 0);
}

Test(history, cut_forgets_epochs_that_begin_later)
{
	static const uint32_t left[] = {0, 1, 1, 1, 2, 2, 2, 3, 3, 3};
	for (uint64_t seq = 0; seq <= 9; seq++) {
		struct dp_meta m;
		build(&m, (const struct run[]){{1, 3, 0}, {2, 3, 0}, {3, 3, 0}, {0}});
		dp_history_cut(&m.history, seq);
		cr_assert_eq(m.history.count, left[seq], "cut at %u", (unsigned)seq);
	}
}

Test(history, cut_side_then_goes_on_like_the_other)
{
	struct dp_meta a, b;
	build(&a, (const struct run[]){{1, 5, 0}, {2, 4, 0}, {0}});
	build(&b, (const struct run[]){{1, 5, 0}, {3, 2, 0}, {0}});
	dp_history_cut(&a.history, 5);
	cr_assert_eq(dp_history_common(&a.history, 5, &b.history, 7), 5);
}

/* ---- clients ---- */

Test(clients, the_highest_request_counts)
{
	struct dp_clients c = {0};
	cr_assert_eq(dp_clients_last(&c, 9), 0);
	dp_clients_note(&c, 9, 4);
	dp_clients_note(&c, 8, 1);
	dp_clients_note(&c, 9, 2); /* an older one never takes it back */
	cr_assert_eq(dp_clients_last(&c, 9), 4);
	cr_assert_eq(dp_clients_last(&c, 8), 1);
	dp_clients_note(&c, 9, 5);
	cr_assert_eq(dp_clients_last(&c, 9), 5);
	cr_assert_eq(c.count, 2);
}

Test(clients, longest_unused_falls_out)
{
	struct dp_clients c = {0};
	for (uint64_t i = 1; i <= DP_CLIENTS_MAX; i++)
		dp_clients_note(&c, i, i);
	dp_clients_note(&c, 1, 50); /* the oldest is used again */
	dp_clients_note(&c, 1000, 1);
	cr_assert_eq(c.count, DP_CLIENTS_MAX);
	cr_assert_eq(dp_clients_last(&c, 1), 50);
	cr_assert_eq(dp_clients_last(&c, 2), 0);
	cr_assert_eq(dp_clients_last(&c, 3), 3);
	cr_assert_eq(dp_clients_last(&c, 1000), 1);
	for (uint64_t i = 1001; i <= 1000 + DP_CLIENTS_MAX; i++)
		dp_clients_note(&c, i, 1);
	cr_assert_eq(dp_clients_last(&c, 1), 0);
	cr_assert_eq(dp_clients_last(&c, 1000), 0);
	cr_assert_eq(dp_clients_last(&c, 1001), 1);
}

/* Against a plain list that is kept in order of use. */
Test(clients, random_against_a_list)
{
	struct dp_clients c = {0};
	uint64_t names[DP_CLIENTS_MAX + 1], requests[DP_CLIENTS_MAX + 1];
	size_t count = 0;
	srand(7);
	for (unsigned step = 0; step < 20000; step++) {
		uint64_t name = (uint64_t)(rand() % 100) + 1,
			 request = (uint64_t)(rand() % 1000) + 1;
		size_t i = 0;
		while (i < count && names[i] != name)
			i++;
		if (i < count && requests[i] > request)
			requests[count] = requests[i];
		else
			requests[count] = request;
		names[count++] = name;
		if (i == count - 1) /* new: the first goes, if there are too many */
			i = count > DP_CLIENTS_MAX ? 0 : SIZE_MAX;
		if (i != SIZE_MAX) {
			count--;
			memmove(names + i, names + i + 1, (count - i) * sizeof names[0]);
			memmove(requests + i, requests + i + 1, (count - i) * sizeof requests[0]);
		}
		dp_clients_note(&c, name, request);
		cr_assert_eq(c.count, count);
		for (i = 0; i < count; i++)
			cr_assert(c.entry[i].client == names[i] &&
				c.entry[i].request == requests[i]);
	}
}

Test(clients, merge_takes_the_higher_of_both)
{
	struct dp_clients a = {0}, b = {0};
	dp_clients_note(&a, 1, 10);
	dp_clients_note(&a, 2, 20);
	dp_clients_note(&b, 2, 15);
	dp_clients_note(&b, 1, 11);
	dp_clients_note(&b, 3, 30);
	dp_clients_merge(&a, &b);
	cr_assert_eq(dp_clients_last(&a, 1), 11);
	cr_assert_eq(dp_clients_last(&a, 2), 20);
	cr_assert_eq(dp_clients_last(&a, 3), 30);
}

/* ---- metas ---- */

Test(meta, advance_follows_the_record)
{
	struct dp_meta m = {.promised = 4, .based = true};
	struct dp_header h = {.op = DP_OP_WRITE,
		.epoch = 4,
		.seq = 1,
		.chain = 99,
		.set = 6,
		.client = 7,
		.request = 8,
		.flags = DP_RECORD_CLOSES_SET};
	dp_meta_advance(&m, &h);
	cr_assert(m.at.epoch == 4 && m.at.seq == 1 && m.at.chain == 99);
	cr_assert(m.set == 6 && m.set_closed && m.based && m.promised == 4);
	cr_assert_eq(dp_clients_last(&m.clients, 7), 8);
	h = (struct dp_header){.op = DP_OP_MARK, .epoch = 4, .seq = 2, .chain = 100, .set = 7};
	dp_meta_advance(&m, &h);
	cr_assert(!m.set_closed && m.set == 7 && m.clients.count == 1 && m.history.count == 1);
}

Test(meta, round_trip_empty_and_full)
{
	for (int full = 0; full < 2; full++) {
		struct dp_meta m = {.promised = 1,
				       .at = {2, 3, 4},
				       .set = 5,
				       .set_closed = full,
				       .based = !full,
				       .complete = full},
			       out;
		uint8_t bytes[DP_META_MAX + 1];
		if (full)
			build_epochs(&m, 1, 100);
		for (uint64_t i = 0; full && i < DP_CLIENTS_MAX; i++)
			dp_clients_note(&m.clients, 100 + i, i + 1);
		if (full)
			m.places = (struct dp_places){.id = {7, 0, 9}, .joined = 5};
		uint32_t size = dp_meta_encode(&m, bytes);
		cr_assert_leq(size, DP_META_MAX);
		cr_assert(!full || size == DP_META_MAX);
		cr_assert_eq(dp_meta_decode(bytes, size, &out), 0);
		cr_assert(out.promised == m.promised && out.set == m.set);
		cr_assert(dp_position_equal(out.at, m.at) && out.at.epoch == m.at.epoch);
		cr_assert(out.set_closed == m.set_closed && out.based == m.based &&
			out.complete == m.complete);
		cr_assert(memcmp(&out.places, &m.places, sizeof m.places) == 0);
		cr_assert_arr_eq((uint8_t *)&out.history, (uint8_t *)&m.history, sizeof m.history);
		cr_assert_arr_eq((uint8_t *)&out.clients, (uint8_t *)&m.clients, sizeof m.clients);
		for (uint32_t other = 0; other <= size + 1; other++)
			if (other != size)
				cr_assert_eq(dp_meta_decode(bytes, other, &out), DP_EBADMSG);
	}
}
