/* SPDX-License-Identifier: MIT */
/* Records: the same bytes come back, and no other bytes are taken for a record. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "proto/record.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct dp_buf *payload_of(uint32_t size, uint8_t first)
{
	struct dp_buf *b = dp_buf_new(size);
	for (uint32_t i = 0; i < size; i++)
		b->data[i] = (uint8_t)(first + i * 7);
	return b;
}

/* A write of `size` bytes with a different value in every field. */
static struct dp_header sample(const struct dp_buf *payload)
{
	struct dp_header h = {
		.op = DP_OP_WRITE,
		.flags = DP_RECORD_FUA | DP_RECORD_CLOSES_SET,
		.stream = 0x1111111111111111u,
		.volume = 0x22222222u,
		.length = (uint32_t)payload->size,
		.offset = 0x3333333333333000u,
		.epoch = 0x4444444444444444u,
		.seq = 0x5555555555555555u,
		.set = 0x6666666666666666u,
		.agreed = 0x7777777777777777u,
		.client = 0x8888888888888888u,
		.request = 0x9999999999999999u,
		.time_us = 0xaaaaaaaaaaaaaaaau,
		.payload_len = (uint32_t)payload->size,
		.payload_crc = dp_crc32c(0, payload->data, payload->size),
	};
	h.chain = dp_chain_next(0xbbbbbbbbbbbbbbbbu, &h);
	return h;
}

static void check_same(const struct dp_header *a, const struct dp_header *b)
{
	cr_assert(a->op == b->op && a->flags == b->flags);
	cr_assert(a->stream == b->stream && a->volume == b->volume && a->length == b->length);
	cr_assert(a->offset == b->offset && a->epoch == b->epoch && a->seq == b->seq);
	cr_assert(a->set == b->set && a->chain == b->chain && a->agreed == b->agreed);
	cr_assert(a->client == b->client && a->request == b->request);
	cr_assert(a->time_us == b->time_us && a->payload_len == b->payload_len);
	cr_assert_eq(a->payload_crc, b->payload_crc);
}

Test(record, round_trip)
{
	struct dp_buf *payload = payload_of(1000, 3);
	struct dp_header h = sample(payload);
	struct dp_record *r = dp_record_new(&h, payload), *again = NULL;
	cr_assert_not_null(r);
	cr_assert_eq(dp_record_decode(r->raw, dp_buf_ref(r->payload), &again), 0);
	check_same(&again->h, &h);
	cr_assert_arr_eq(again->raw, r->raw, DP_RECORD_HEADER_SIZE);
	cr_assert_eq(dp_record_verify(again), 0);
	dp_record_unref(&r);
	struct dp_buf *wanted = payload_of(1000, 3);
	cr_assert_arr_eq(again->payload->data, wanted->data, 1000);
	dp_buf_unref(&wanted);
	dp_record_unref(&again);
	cr_assert_null(again);
}

Test(record, references)
{
	struct dp_buf *payload = payload_of(10, 0), *kept = dp_buf_ref(payload);
	struct dp_header h = sample(payload);
	struct dp_record *r = dp_record_new(&h, payload), *second = dp_record_ref(r);
	dp_record_unref(&r);
	cr_assert_null(r);
	cr_assert_eq(second->h.seq, h.seq);
	cr_assert_eq(atomic_load(&kept->refs), 2);
	dp_record_unref(&second);
	cr_assert_eq(atomic_load(&kept->refs), 1, "the record's last reference drops the payload");
	dp_buf_unref(&kept);
	dp_record_unref(&r); /* NULL is allowed */
}

Test(record, every_flipped_bit_of_the_header_is_refused)
{
	struct dp_buf *payload = payload_of(64, 9);
	struct dp_header h = sample(payload), out;
	uint8_t raw[DP_RECORD_HEADER_SIZE];
	dp_header_encode(&h, raw);
	cr_assert_eq(dp_header_decode(raw, &out), 0);
	for (unsigned bit = 0; bit < 8 * DP_RECORD_HEADER_SIZE; bit++) {
		struct dp_record *r = NULL;
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_neq(dp_header_decode(raw, &out), 0, "bit %u", bit);
		cr_assert_neq(dp_record_decode(raw, dp_buf_ref(payload), &r), 0, "bit %u", bit);
		cr_assert_null(r);
		cr_assert_eq(atomic_load(&payload->refs), 1, "bit %u: a refused payload is freed",
			bit);
		raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	dp_buf_unref(&payload);
}

Test(record, each_kind_of_damage_has_its_code)
{
	struct dp_buf *payload = payload_of(64, 9);
	struct dp_header h = sample(payload), out;
	uint8_t good[DP_RECORD_HEADER_SIZE], raw[DP_RECORD_HEADER_SIZE];
	dp_header_encode(&h, good);
	static const struct {
		unsigned at;
		int err;
	} damage[] = {{0, DP_EBADMSG}, {3, DP_EBADMSG}, {4, DP_EVERSION}, {5, DP_EVERSION},
		{6, DP_ECHECKSUM}, {60, DP_ECHECKSUM}, {110, DP_ECHECKSUM}, {127, DP_ECHECKSUM}};
	for (size_t i = 0; i < COUNT(damage); i++) {
		memcpy(raw, good, sizeof raw);
		raw[damage[i].at] ^= 0x40;
		cr_assert_eq(dp_header_decode(raw, &out), damage[i].err, "byte %u", damage[i].at);
	}
	dp_buf_unref(&payload);
}

/* The CRC is right, the fields make no sense: a bug of the sender, or somebody else's bytes. */
Test(record, impossible_fields_are_refused)
{
	const struct dp_header write = {
		.op = DP_OP_WRITE, .seq = 1, .length = 512, .payload_len = 512};
	const struct dp_header trim = {.op = DP_OP_TRIM, .seq = 1, .length = 512};
	struct {
		const char *what;
		struct dp_header h;
	} bad[] = {{"no operation", write}, {"unknown operation", write}, {"no seq", write},
		{"payload shorter than the extent", write}, {"write of nothing", write},
		{"payload too large", write}, {"offset beyond all volumes", write},
		{"trim with payload", trim}, {"trim of nothing", trim}, {"trim too large", trim},
		{"zero too large", trim}, {"flush with payload", trim},
		{"mark with payload", trim}};
	bad[0].h.op = 0;
	bad[1].h.op = DP_OP_MARK + 1;
	bad[2].h.seq = 0;
	bad[3].h.payload_len = 511;
	bad[4].h.length = bad[4].h.payload_len = 0;
	bad[5].h.length = bad[5].h.payload_len = DP_PAYLOAD_MAX + 1;
	bad[6].h.offset = UINT64_MAX - 100;
	bad[7].h.payload_len = 512;
	bad[8].h.length = 0;
	bad[9].h.length = DP_EXTENT_MAX + 1;
	bad[10].h.op = DP_OP_ZERO;
	bad[10].h.length = DP_EXTENT_MAX + 1;
	bad[11].h.op = DP_OP_FLUSH;
	bad[11].h.payload_len = 1;
	bad[12].h.op = DP_OP_MARK;
	bad[12].h.payload_len = 1;
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint8_t raw[DP_RECORD_HEADER_SIZE];
		struct dp_header out;
		dp_header_encode(&bad[i].h, raw);
		cr_assert_eq(dp_header_decode(raw, &out), DP_EBADMSG, "%s", bad[i].what);
	}
}

Test(record, the_largest_extents_are_taken)
{
	static const struct dp_header good[] = {{.op = DP_OP_WRITE,
							.seq = 1,
							.length = DP_PAYLOAD_MAX,
							.payload_len = DP_PAYLOAD_MAX},
		{.op = DP_OP_WRITE, .seq = 1, .length = 1, .payload_len = 1},
		{.op = DP_OP_TRIM, .seq = 1, .length = DP_EXTENT_MAX},
		{.op = DP_OP_ZERO,
			.seq = UINT64_MAX,
			.length = DP_EXTENT_MAX,
			.offset = UINT64_MAX / 2},
		{.op = DP_OP_FLUSH, .seq = 1}, {.op = DP_OP_MARK, .seq = 1, .offset = UINT64_MAX}};
	for (size_t i = 0; i < COUNT(good); i++) {
		uint8_t raw[DP_RECORD_HEADER_SIZE];
		struct dp_header out;
		dp_header_encode(&good[i], raw);
		cr_assert_eq(dp_header_decode(raw, &out), 0, "%zu", i);
		check_same(&out, &good[i]);
	}
}

Test(record, payload_of_another_length_or_content_is_refused)
{
	struct dp_buf *payload = payload_of(64, 9);
	struct dp_header h = sample(payload);
	struct dp_record *r = NULL;
	uint8_t raw[DP_RECORD_HEADER_SIZE];
	dp_header_encode(&h, raw);
	cr_assert_eq(dp_record_decode(raw, NULL, &r), DP_EBADMSG);
	cr_assert_eq(dp_record_decode(raw, payload_of(63, 9), &r), DP_EBADMSG);
	cr_assert_eq(dp_record_decode(raw, payload_of(65, 9), &r), DP_EBADMSG);
	cr_assert_eq(dp_record_decode(raw, payload_of(64, 8), &r), DP_ECHECKSUM,
		"damaged bytes are taken");
	for (size_t at = 0; at < payload->size; at++) {
		payload->data[at] ^= 1;
		cr_assert_eq(dp_record_decode(raw, dp_buf_ref(payload), &r), DP_ECHECKSUM);
		payload->data[at] ^= 1;
	}
	cr_assert_eq(atomic_load(&payload->refs), 1);
	dp_buf_unref(&payload);
}

Test(record, verify_sees_bytes_that_changed_in_memory)
{
	struct dp_buf *payload = payload_of(64, 9);
	struct dp_header h = sample(payload);
	struct dp_record *r = dp_record_new(&h, payload);
	cr_assert_eq(dp_record_verify(r), 0);
	r->payload->data[63] ^= 0x80;
	cr_assert_eq(dp_record_verify(r), DP_ECHECKSUM);
	dp_record_unref(&r);
	h = (struct dp_header){.op = DP_OP_FLUSH, .seq = 1};
	r = dp_record_new(&h, NULL);
	cr_assert_eq(dp_record_verify(r), 0);
	dp_record_unref(&r);
}

/* ---- the chain ---- */

static uint64_t chain_of(uint64_t stream, const struct dp_header *list, size_t count)
{
	uint64_t chain = dp_chain_start(stream);
	for (size_t i = 0; i < count; i++)
		chain = dp_chain_next(chain, &list[i]);
	return chain;
}

Test(chain, tells_order_and_content_and_stream)
{
	struct dp_header a = {.op = DP_OP_TRIM, .seq = 1, .length = 512};
	struct dp_header b = {.op = DP_OP_TRIM, .seq = 2, .length = 512, .offset = 512};
	struct dp_header ab[] = {a, b}, ba[] = {b, a}, aa[] = {a, a};
	uint64_t forward = chain_of(1, ab, 2);
	cr_assert_eq(forward, chain_of(1, ab, 2));
	cr_assert_neq(forward, chain_of(1, ba, 2));
	cr_assert_neq(forward, chain_of(1, aa, 2));
	cr_assert_neq(forward, chain_of(1, ab, 1));
	cr_assert_neq(forward, chain_of(2, ab, 2));
	cr_assert_neq(dp_chain_start(1), dp_chain_start(2));
}

/* Every byte of the encoded header counts, but for the chain's own place, agreed, and the CRC. */
Test(chain, every_field_counts_but_chain_and_agreed)
{
	const struct dp_header h = {.op = DP_OP_WRITE, .seq = 5, .length = 512, .payload_len = 512};
	uint64_t chain = dp_chain_next(99, &h);
	struct dp_header c[13];
	for (size_t i = 0; i < COUNT(c); i++)
		c[i] = h;
	c[0].op = DP_OP_ZERO;
	c[1].flags = 1;
	c[2].stream = 1;
	c[3].volume = 1;
	c[4].length = 513;
	c[5].offset = 1;
	c[6].epoch = 1;
	c[7].seq = 6;
	c[8].set = 1;
	c[9].client = 1;
	c[10].request = 1;
	c[11].time_us = 1;
	c[12].payload_crc = 1;
	for (size_t i = 0; i < COUNT(c); i++)
		cr_assert_neq(dp_chain_next(99, &c[i]), chain, "field %zu", i);
	struct dp_header same = h;
	same.chain = 12345;
	same.agreed = 4;
	cr_assert_eq(dp_chain_next(99, &same), chain);
	cr_assert_neq(dp_chain_next(98, &h), chain);
}
