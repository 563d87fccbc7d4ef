/* SPDX-License-Identifier: MIT */
/* Extents against the plain thing: one owner per byte. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "store/extents.h"

#define BYTES 300u

static void check(struct dp_extents *e, const uint64_t *model)
{
	uint64_t count = 0, before = 0;
	uint64_t owner[BYTES] = {0};
	for (struct dp_extent *x = dp_extents_find(e, 0); x; x = dp_extents_next(x)) {
		cr_assert(x->start < x->end && x->start >= before && x->end <= BYTES);
		for (uint64_t i = x->start; i < x->end; i++)
			owner[i] = x->seq;
		before = x->end;
		count++;
	}
	cr_assert_eq(count, e->count);
	cr_assert_arr_eq(owner, model, sizeof owner);
}

static void check_find(struct dp_extents *e, const uint64_t *model)
{
	for (uint64_t at = 0; at < BYTES; at++) {
		struct dp_extent *x = dp_extents_find(e, at);
		uint64_t i = at;
		while (i < BYTES && !model[i])
			i++;
		if (i == BYTES) {
			cr_assert_null(x);
			continue;
		}
		cr_assert(x && x->end > at && x->seq == model[i]);
		cr_assert(i == at ? x->start <= at : x->start == i);
	}
}

static void change(struct dp_extents *e, uint64_t *model, uint64_t seq, bool drop)
{
	uint64_t start = (uint64_t)rand() % BYTES;
	uint64_t end = start + 1 + (uint64_t)rand() % (BYTES - start);
	uint64_t most = seq > 20 ? seq - (uint64_t)rand() % 20 : seq;
	if (rand() % 2 && end > start + 10)
		end = start + 10;
	cr_assert_eq(drop ? dp_extents_drop(e, start, end, most)
			  : dp_extents_put(e, start, end, seq),
		0);
	for (uint64_t i = start; i < end; i++) {
		if (!drop)
			model[i] = seq;
		else if (model[i] <= most)
			model[i] = 0;
	}
}

Test(extents, random_against_a_model_by_byte)
{
	for (unsigned seed = 1; seed <= 40; seed++) {
		struct dp_extents e;
		uint64_t model[BYTES] = {0};
		srand(seed);
		dp_extents_init(&e);
		for (uint64_t seq = 1; seq <= 400; seq++) {
			change(&e, model, seq, rand() % 3 == 0);
			check(&e, model);
			if (seq % 20 == 0)
				check_find(&e, model);
		}
		dp_extents_clear(&e);
		cr_assert_eq(e.count, 0);
		cr_assert_null(dp_extents_find(&e, 0));
	}
}

Test(extents, a_hole_in_the_middle_leaves_two)
{
	struct dp_extents e;
	dp_extents_init(&e);
	cr_assert_eq(dp_extents_put(&e, 0, 100, 1), 0);
	cr_assert_eq(dp_extents_put(&e, 40, 60, 2), 0);
	cr_assert_eq(e.count, 3);
	cr_assert_eq(dp_extents_drop(&e, 45, 55, 1), 0);
	cr_assert_eq(e.count, 3, "what is newer stays");
	cr_assert_eq(dp_extents_drop(&e, 45, 55, 2), 0);
	cr_assert_eq(e.count, 4);
	cr_assert_eq(dp_extents_find(&e, 45)->start, 55);
	dp_extents_clear(&e);
}

Test(extents, the_ends_of_the_address_space)
{
	struct dp_extents e;
	dp_extents_init(&e);
	cr_assert_eq(dp_extents_put(&e, UINT64_MAX - 1, UINT64_MAX, 1), 0);
	cr_assert_eq(dp_extents_put(&e, 0, 1, 2), 0);
	cr_assert_eq(dp_extents_find(&e, 0)->seq, 2);
	cr_assert_eq(dp_extents_find(&e, 1)->seq, 1);
	cr_assert_null(dp_extents_find(&e, UINT64_MAX));
	dp_extents_clear(&e);
}
