/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "proto/seal.h"

#define STREAM 7u

/* Three holders and somebody who is none. */
enum { CONTROLLER, WEST, EAST, STRANGER, NODES };

static uint8_t public[NODES][DP_SEAL_KEY_SIZE], secret[NODES][DP_SEAL_KEY_SIZE];

static struct dp_seal *make_of(uint64_t stream, unsigned node, enum dp_seal_cipher cipher,
	unsigned holders)
{
	uint8_t random[32];
	struct dp_seal *s;
	randombytes_buf(random, sizeof random);
	cr_assert_eq(dp_seal_new(stream, cipher, secret[node], NULL, (const uint8_t(*)[32]) public,
			     holders, random, &s),
		0);
	return s;
}

static struct dp_seal *make(unsigned node, enum dp_seal_cipher cipher)
{
	return make_of(STREAM, node, cipher, 3);
}

static void make_nodes(void)
{
	cr_assert_geq(sodium_init(), 0);
	for (unsigned i = 0; i < NODES; i++)
		crypto_box_keypair(public[i], secret[i]);
}

TestSuite(seal, .init = make_nodes);

static struct dp_buf *bytes(size_t size, uint8_t first)
{
	struct dp_buf *b = dp_buf_new(size);
	for (size_t i = 0; i < size; i++)
		b->data[i] = (uint8_t)(first + i * 7);
	return b;
}

/* A record as a controller makes it. */
static struct dp_record *record(struct dp_seal *s, uint8_t op, uint64_t seq, uint32_t length)
{
	struct dp_buf *plain = op == DP_OP_WRITE ? bytes(length, 3) : NULL;
	struct dp_header h = {.op = op,
		.stream = STREAM,
		.volume = 1,
		.length = length,
		.offset = 4096,
		.epoch = 2,
		.seq = seq,
		.set = 1,
		.client = 5,
		.request = seq,
		.time_us = 9};
	struct dp_buf *sealed = dp_seal_record(s, &h, plain);
	cr_assert_not_null(sealed);
	cr_assert(h.flags & DP_RECORD_SEALED);
	cr_assert_eq(h.payload_len, sealed->size);
	cr_assert_eq(sealed->size, (plain ? plain->size : 0) + dp_seal_size(s));
	h.payload_crc = dp_crc32c(0, sealed->data, sealed->size);
	h.chain = dp_chain_next(1, &h);
	dp_buf_unref(&plain);
	return dp_record_new(&h, sealed);
}

static const enum dp_seal_cipher ciphers[] = {DP_SEAL_AES256GCM, DP_SEAL_CHACHA20POLY1305};

Test(seal, every_holder_opens_what_any_holder_closed)
{
	for (unsigned cipher = 0; cipher < 2; cipher++) {
		if (!dp_seal_possible(ciphers[cipher]))
			continue;
		for (unsigned from = 0; from < 3; from++) {
			for (unsigned to = 0; to < 3; to++) {
				struct dp_seal *a = make(from, ciphers[cipher]);
				struct dp_seal *b = make(to, ciphers[1 - cipher]);
				struct dp_record *r = record(a, DP_OP_WRITE, 9, 5000);
				struct dp_buf *plain, *expected = bytes(5000, 3);
				cr_assert_eq(dp_seal_open_record(b, r, &plain), 0, "%u to %u", from,
					to);
				cr_assert_eq(plain->size, 5000);
				cr_assert_arr_eq(plain->data, expected->data, 5000);
				cr_assert_eq(dp_seal_open_record(b, r, NULL), 0);
				dp_buf_unref(&plain);
				dp_buf_unref(&expected);
				dp_record_unref(&r);
				dp_seal_free(&a);
				dp_seal_free(&b);
			}
		}
	}
}

Test(seal, the_record_is_one_that_goes_over_links_and_shows_nothing)
{
	struct dp_seal *a = make(CONTROLLER, DP_SEAL_CHACHA20POLY1305);
	for (uint8_t op = DP_OP_WRITE; op <= DP_OP_FLUSH; op++) {
		struct dp_record *r = record(a, op, 9, op == DP_OP_FLUSH ? 0 : 4096), *again = NULL;
		cr_assert_eq(dp_record_decode(r->raw, dp_buf_ref(r->payload), &again), 0, "op %u",
			op);
		cr_assert_eq(dp_seal_open_record(a, again, NULL), 0, "op %u", op);
		dp_record_unref(&again);
		dp_record_unref(&r);
	}
	struct dp_record *r = record(a, DP_OP_WRITE, 9, 4096);
	struct dp_buf *plain = bytes(4096, 3);
	for (size_t at = 0; at + 16 <= r->payload->size; at++)
		for (size_t from = 0; from + 16 <= plain->size; from += 16)
			cr_assert_neq(memcmp(r->payload->data + at, plain->data + from, 16), 0);
	dp_buf_unref(&plain);
	dp_record_unref(&r);
	dp_seal_free(&a);
}

/* The largest one that there is, with the most holders, is a record, too. */
Test(seal, as_many_holders_as_there_may_be)
{
	uint8_t all[DP_SEAL_HOLDERS_MAX + 1][DP_SEAL_KEY_SIZE], sk[DP_SEAL_KEY_SIZE],
		random[32] = {1};
	struct dp_seal *s;
	for (unsigned i = 0; i <= DP_SEAL_HOLDERS_MAX; i++)
		crypto_box_keypair(all[i], sk);
	const uint8_t(*holders)[DP_SEAL_KEY_SIZE] = (const uint8_t(*)[DP_SEAL_KEY_SIZE])all;
	enum dp_seal_cipher chacha = DP_SEAL_CHACHA20POLY1305;
	cr_assert_eq(dp_seal_new(1, chacha, sk, NULL, holders, DP_SEAL_HOLDERS_MAX + 1, random, &s),
		DP_ECONFIG);
	cr_assert_null(s);
	cr_assert_eq(dp_seal_new(1, chacha, sk, NULL, holders, 0, random, &s), DP_ECONFIG);
	memcpy(all[DP_SEAL_HOLDERS_MAX - 1], all[DP_SEAL_HOLDERS_MAX], DP_SEAL_KEY_SIZE);
	cr_assert_eq(dp_seal_new(1, chacha, sk, NULL, holders, DP_SEAL_HOLDERS_MAX, random, &s), 0);
	cr_assert_eq(dp_seal_size(s), DP_SEAL_MAX);
	struct dp_record *r = record(s, DP_OP_WRITE, 9, DP_PAYLOAD_MAX), *again;
	cr_assert_eq(dp_record_decode(r->raw, dp_buf_ref(r->payload), &again), 0);
	cr_assert_eq(dp_seal_open_record(s, again, NULL), 0);
	dp_record_unref(&again);
	dp_record_unref(&r);
	dp_seal_free(&s);
}

Test(seal, a_key_that_is_none_is_refused)
{
	uint8_t low[1][DP_SEAL_KEY_SIZE] = {{0}}, random[32] = {1};
	struct dp_seal *s;
	cr_assert_eq(dp_seal_new(1, DP_SEAL_CHACHA20POLY1305, secret[0], NULL,
			     (const uint8_t(*)[32])low, 1, random, &s),
		DP_ECONFIG);
	cr_assert_null(s);
}

Test(seal, who_is_no_holder_neither_opens_nor_closes)
{
	struct dp_seal *holder = make(CONTROLLER, DP_SEAL_CHACHA20POLY1305);
	struct dp_seal *relay = make(STRANGER,
		DP_SEAL_CHACHA20POLY1305); /* knows all public keys */
	struct dp_record *r = record(holder, DP_OP_WRITE, 9, 512),
			 *forged = record(relay, DP_OP_TRIM, 9, 512);
	struct dp_buf *plain;
	cr_assert_eq(dp_seal_open_record(relay, r, &plain), DP_EPERM);
	cr_assert_null(plain);
	cr_assert_eq(dp_seal_open_record(holder, forged, NULL), DP_EPERM);
	dp_record_unref(&r);
	dp_record_unref(&forged);
	dp_seal_free(&holder);
	dp_seal_free(&relay);
}

static void check_header(struct dp_seal *s, const struct dp_record *r, const char *what,
	struct dp_header changed)
{
	struct dp_record *other = dp_record_new(&changed, dp_buf_ref(r->payload));
	cr_assert_eq(dp_seal_open_record(s, other, NULL), DP_EPERM, "%s", what);
	dp_record_unref(&other);
}

/* A relay that turns a write into a trim, moves it, or gives it another place in the stream. */
Test(seal, no_field_of_the_header_can_be_changed)
{
	struct dp_seal *s = make(CONTROLLER, DP_SEAL_CHACHA20POLY1305);
	struct dp_record *r = record(s, DP_OP_WRITE, 9, 512);
	struct dp_header h = r->h;
#define CHANGED(field, value) (h = r->h, h.field = (value), h)
	check_header(s, r, "op", CHANGED(op, DP_OP_ZERO));
	check_header(s, r, "flags", CHANGED(flags, DP_RECORD_SEALED | DP_RECORD_FUA));
	check_header(s, r, "stream", CHANGED(stream, STREAM + 1));
	check_header(s, r, "volume", CHANGED(volume, 2));
	check_header(s, r, "length", CHANGED(length, 511));
	check_header(s, r, "offset", CHANGED(offset, 8192));
	check_header(s, r, "epoch", CHANGED(epoch, 3));
	check_header(s, r, "seq", CHANGED(seq, 10));
	check_header(s, r, "set", CHANGED(set, 2));
	check_header(s, r, "agreed", CHANGED(agreed, 8));
	check_header(s, r, "client", CHANGED(client, 6));
	check_header(s, r, "request", CHANGED(request, 10));
	check_header(s, r, "time", CHANGED(time_us, 10));
	check_header(s, r, "prior", CHANGED(prior, 10));
	/* These depend on what is sealed; they are checked by themselves. */
	h = CHANGED(chain, 1);
	struct dp_record *same = dp_record_new(&h, dp_buf_ref(r->payload));
	cr_assert_eq(dp_seal_open_record(s, same, NULL), 0);
	dp_record_unref(&same);
	dp_record_unref(&r);
	dp_seal_free(&s);
}

static void change_each_byte(enum dp_seal_cipher cipher)
{
	struct dp_seal *a = make(CONTROLLER, cipher);
	struct dp_record *r = record(a, DP_OP_WRITE, 9, 64);
	for (size_t at = 0; at < r->payload->size; at++) {
		/* Who has opened none with this key has to unwrap it first. */
		struct dp_seal *fresh = make(EAST, cipher);
		struct dp_buf *plain;
		r->payload->data[at] ^= 4;
		int err = dp_seal_open_record(fresh, r, &plain);
		/* Nor where it is for others: they would not be able to open what this node has
		 * acknowledged. */
		cr_assert_eq(err, DP_EPERM, "byte %zu", at);
		cr_assert_eq(dp_seal_open_record(fresh, r, NULL), DP_EPERM, "byte %zu", at);
		cr_assert_eq(dp_seal_open_record(a, r, NULL), DP_EPERM, "byte %zu", at);
		dp_buf_unref(&plain);
		dp_seal_free(&fresh);
		r->payload->data[at] ^= 4;
	}
	for (size_t size = r->payload->size; size-- > 0;) {
		r->payload->size = size;
		cr_assert_eq(dp_seal_open_record(a, r, NULL), DP_EPERM, "%zu bytes", size);
	}
	dp_record_unref(&r);
	dp_seal_free(&a);
}

/* Any byte, and any length. */
Test(seal, nothing_that_was_changed_or_cut_is_opened)
{
	for (unsigned i = 0; i < 2; i++)
		if (dp_seal_possible(ciphers[i]))
			change_each_byte(ciphers[i]);
}

Test(seal, the_same_thing_twice_never_looks_the_same)
{
	struct dp_seal *a = make(CONTROLLER, DP_SEAL_CHACHA20POLY1305);
	struct dp_seal *again = make(CONTROLLER, DP_SEAL_CHACHA20POLY1305); /* after a restart */
	struct dp_record *r[3] = {record(a, DP_OP_WRITE, 9, 512), record(a, DP_OP_WRITE, 9, 512),
		record(again, DP_OP_WRITE, 9, 512)};
	for (unsigned i = 0; i < 3; i++)
		for (unsigned j = 0; j < i; j++)
			cr_assert_neq(memcmp(r[i]->payload->data, r[j]->payload->data, 512), 0);
	/* It is the process before whose records are in the journals. */
	cr_assert_eq(dp_seal_open_record(again, r[0], NULL), 0);
	for (unsigned i = 0; i < 3; i++)
		dp_record_unref(&r[i]);
	dp_seal_free(&a);
	dp_seal_free(&again);
}

/* More processes than keys are kept of: those that come again are unwrapped again. */
Test(seal, many_makers)
{
	struct dp_seal *reader = make(WEST, DP_SEAL_CHACHA20POLY1305);
	struct dp_record *r[40];
	for (unsigned i = 0; i < 40; i++) {
		struct dp_seal *s = make(i % 3,
			ciphers[i % 2 && dp_seal_possible(DP_SEAL_AES256GCM) ? 0 : 1]);
		r[i] = record(s, DP_OP_WRITE, i + 1, 128);
		dp_seal_free(&s);
	}
	for (unsigned n = 0; n < 80; n++)
		cr_assert_eq(dp_seal_open_record(reader, r[n % 40], NULL), 0, "%u", n);
	for (unsigned i = 0; i < 40; i++)
		dp_record_unref(&r[i]);
	dp_seal_free(&reader);
}

Test(seal, answers)
{
	struct dp_seal *mirror = make(WEST, DP_SEAL_CHACHA20POLY1305);
	struct dp_seal *controller = make(CONTROLLER, DP_SEAL_CHACHA20POLY1305);
	struct dp_seal *elsewhere = make_of(STREAM + 1, CONTROLLER, DP_SEAL_CHACHA20POLY1305, 3);
	struct dp_wanted w = {.id = 5, .offset = 8192, .volume = 1, .length = 700, .compare = true},
			 other;
	struct dp_found f = {.id = 6, .seq = 44, .length = 700}, changed;
	struct dp_buf *data = bytes(700, 9), *plain;
	struct dp_buf *sealed = dp_seal_found(mirror, &w, &f, data);
	cr_assert_eq(dp_seal_open_found(controller, &w, &f, sealed, &plain), 0);
	cr_assert_arr_eq(plain->data, data->data, 700);
	dp_buf_unref(&plain);
	/* Neither for another place, nor from another time, nor of another stream. */
	other = w;
	other.offset = 0;
	cr_assert_eq(dp_seal_open_found(controller, &other, &f, sealed, &plain), DP_EPERM);
	other = w;
	other.volume = 2;
	cr_assert_eq(dp_seal_open_found(controller, &other, &f, sealed, &plain), DP_EPERM);
	other = w;
	other.min_seq = 1;
	cr_assert_eq(dp_seal_open_found(controller, &other, &f, sealed, &plain), DP_EPERM);
	other = w;
	other.digest[31] = 1;
	cr_assert_eq(dp_seal_open_found(controller, &other, &f, sealed, &plain), DP_EPERM);
	other = w;
	other.compare = false;
	cr_assert_eq(dp_seal_open_found(controller, &other, &f, sealed, &plain), DP_EPERM);
	changed = f;
	changed.seq = 45;
	cr_assert_eq(dp_seal_open_found(controller, &w, &changed, sealed, &plain), DP_EPERM);
	changed = f;
	changed.kind = DP_FOUND_SAME;
	cr_assert_eq(dp_seal_open_found(controller, &w, &changed, sealed, &plain), DP_EPERM);
	cr_assert_eq(dp_seal_open_found(elsewhere, &w, &f, sealed, &plain), DP_EPERM);
	/* The ids are given at each hop. */
	other = w;
	other.id = 77;
	changed = f;
	changed.id = 77;
	cr_assert_eq(dp_seal_open_found(controller, &other, &changed, sealed, &plain), 0);
	dp_buf_unref(&plain);
	dp_buf_unref(&sealed);
	/* One without data says so under seal, too. */
	f.kind = DP_FOUND_ZEROS;
	sealed = dp_seal_found(mirror, &w, &f, NULL);
	cr_assert_eq(dp_seal_open_found(controller, &w, &f, sealed, &plain), 0);
	cr_assert_null(plain);
	f.length++;
	cr_assert_eq(dp_seal_open_found(controller, &w, &f, sealed, &plain), DP_EPERM);
	cr_assert_eq(dp_seal_open_found(controller, &w, &f, NULL, &plain), DP_EPERM);
	dp_buf_unref(&sealed);
	dp_buf_unref(&data);
	dp_seal_free(&mirror);
	dp_seal_free(&controller);
	dp_seal_free(&elsewhere);
}
