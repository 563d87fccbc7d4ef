/* SPDX-License-Identifier: MIT */
/* Compression of payloads on a link. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "net/pack.h"

#define SIZE 65536u
#define MOST (2u << 20)

static struct packer p;
static uint8_t data[SIZE], frame[PACK_FRAME_SIZE];

static void text(void)
{
	for (unsigned i = 0; i < SIZE; i++)
		data[i] = (uint8_t) "one line of a log after the other, and their numbers 12345\n"
			[i % 59];
}

static void noise(void)
{
	randombytes_buf(data, SIZE);
}

static void done(void)
{
	packer_clear(&p);
}

/* NULL: it goes as it is. */
static struct dp_buf *pack(size_t size)
{
	void *out;
	size_t out_size;
	if (!packer_pack(&p, data, size, &out, &out_size, frame))
		return NULL;
	struct dp_buf *b = dp_buf_new(out_size);
	memcpy(b->data, out, out_size);
	free(out);
	return b;
}

TestSuite(pack, .fini = done);

Test(pack, there_and_back)
{
	text();
	for (size_t size = 512; size <= SIZE; size *= 2) {
		struct dp_buf *packed = pack(size);
		cr_assert_not_null(packed, "%zu", size);
		cr_assert_lt(packed->size, size / 2);
		struct dp_buf *back = packer_unpack(packed, frame, sizeof frame, MOST);
		cr_assert_eq(back->size, size);
		cr_assert_arr_eq(back->data, data, size);
		dp_buf_unref(&back);
		dp_buf_unref(&packed);
	}
	cr_assert_eq(p.before, 2 * SIZE - 512);
	cr_assert_lt(p.after, p.before / 4);
}

Test(pack, what_is_small_goes_as_it_is)
{
	text();
	cr_assert_null(pack(511));
	cr_assert_eq(p.after, 511);
}

/* What does not shrink is tried ever more rarely, and at once again when something did. */
Test(pack, what_does_not_pay_is_left_alone)
{
	unsigned tries = 0;
	noise();
	for (unsigned i = 0; i < 10000; i++) {
		tries += p.skip == 0;
		cr_assert_null(pack(4096));
	}
	cr_assert_leq(tries, 10000 / 256 + 9);
	cr_assert_geq(tries, 10000 / 256);
	cr_assert_eq(p.before, p.after);
	text();
	unsigned sent = 0;
	struct dp_buf *packed = NULL;
	for (; !packed && sent < 1000; sent++)
		packed = pack(4096);
	cr_assert_leq(sent, 256, "it is not noticed that it would pay again");
	dp_buf_unref(&packed);
	packed = pack(4096);
	cr_assert_not_null(packed, "what paid is not packed any more");
	dp_buf_unref(&packed);
}

Test(pack, damage_is_noticed_or_gives_as_many_bytes)
{
	text();
	struct dp_buf *packed = pack(4096), *back;
	for (size_t bit = 0; bit < 8 * packed->size; bit++) {
		packed->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
		back = packer_unpack(packed, frame, sizeof frame, MOST);
		cr_assert(!back || back->size == 4096); /* the records' checksums tell */
		dp_buf_unref(&back);
		packed->data[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (size_t size = packed->size; size-- > 0;) {
		packed->size = size;
		cr_assert_null(packer_unpack(packed, frame, sizeof frame, MOST), "%zu bytes", size);
	}
	dp_buf_unref(&packed);
}

Test(pack, a_wrong_third_frame_is_refused)
{
	text();
	struct dp_buf *packed = pack(4096);
	cr_assert_null(packer_unpack(packed, frame, sizeof frame - 1, MOST));
	cr_assert_null(packer_unpack(packed, frame, sizeof frame, 4095), "larger than it may be");
	dp_put32(frame + 4, 4095);
	cr_assert_null(packer_unpack(packed, frame, sizeof frame, MOST));
	dp_put32(frame + 4, 4097);
	cr_assert_null(packer_unpack(packed, frame, sizeof frame, MOST));
	dp_put32(frame + 4, UINT32_MAX);
	cr_assert_null(packer_unpack(packed, frame, sizeof frame, MOST), "4 GiB of memory");
	dp_put32(frame + 4, 4096);
	dp_put32(frame, 2);
	cr_assert_null(packer_unpack(packed, frame, sizeof frame, MOST), "another method");
	dp_buf_unref(&packed);
}
