/* SPDX-License-Identifier: MIT */
/* Messages: each comes back as it was sent; cut or changed bytes are refused and nothing leaks. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"
#include "proto/message.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define STREAM       0x0102030405060708u
#define SESSION      0x1112131415161718u

static struct dp_buf *payload_of(uint32_t size)
{
	struct dp_buf *b = dp_buf_new(size);
	for (uint32_t i = 0; i < size; i++)
		b->data[i] = (uint8_t)(i * 13 + 1);
	return b;
}

static struct dp_record *record_of(struct dp_buf *payload)
{
	struct dp_header h = {.op = payload ? DP_OP_WRITE : DP_OP_TRIM,
		.stream = STREAM,
		.volume = 1,
		.length = payload ? (uint32_t)payload->size : 4096,
		.offset = 8192,
		.epoch = 2,
		.seq = 9,
		.set = 3,
		.agreed = 8,
		.client = 5,
		.request = 6,
		.time_us = 7};
	if (payload) {
		h.payload_len = (uint32_t)payload->size;
		h.payload_crc = dp_crc32c(0, payload->data, payload->size);
	}
	h.chain = dp_chain_next(1, &h);
	return dp_record_new(&h, payload);
}

static struct dp_meta meta_of(uint32_t epochs, uint32_t clients)
{
	struct dp_meta m = {
		.promised = 77, .at = {41, 42, 43}, .set = 44, .set_closed = true, .based = true};
	m.history.count = epochs;
	m.clients.count = clients;
	for (uint32_t i = 0; i < epochs; i++) {
		m.history.entry[i].epoch = i + 1;
		m.history.entry[i].start = 100 * i + 1;
		m.history.entry[i].chain = 0x1000 + i;
	}
	for (uint32_t i = 0; i < clients; i++) {
		m.clients.entry[i].client = 0x2000 + i;
		m.clients.entry[i].request = 0x3000 + i;
	}
	return m;
}

static struct dp_welcome *welcome_of(uint32_t epochs, uint32_t clients)
{
	struct dp_welcome *w = calloc(1, sizeof *w);
	*w = (struct dp_welcome){.instance = 1,
		.cached = 2,
		.committed = 3,
		.room = 4,
		.images = DP_IMAGES_WHOLE,
		.tail = meta_of(epochs, clients),
		.last = meta_of(epochs, clients)};
	return w;
}

static struct dp_reset *reset_of(uint32_t epochs, uint32_t clients)
{
	struct dp_reset *r = calloc(1, sizeof *r);
	*r = (struct dp_reset){.common = 40, .meta = meta_of(epochs, clients)};
	return r;
}

static struct dp_wanted wanted(void)
{
	struct dp_wanted w = {
		.id = 1, .offset = 2, .min_seq = 3, .volume = 4, .length = 65536, .compare = true};
	for (unsigned i = 0; i < DP_WANTED_DIGEST; i++)
		w.digest[i] = (uint8_t)(i + 5);
	return w;
}

#define KINDS 22

/* Reads and what they find. */
static void make_content(unsigned kind, struct dp_msg *m)
{
	switch (kind) {
	case 11:
		m->u.read.id = 1;
		m->u.read.offset = 2;
		m->u.read.min_seq = 3;
		m->u.read.volume = 4;
		m->u.read.length = DP_PAYLOAD_MAX;
		break;
	case 12:
		m->u.data.id = 12;
		m->payload = payload_of(512);
		break;
	case 13:
		m->u.data.id = 13;
		m->u.data.status = DP_ERANGE;
		break;
	case 14:
		m->u.data.id = 14;
		m->payload = payload_of(1);
		break;
	case 18:
		m->u.read = wanted();
		break;
	case 19:
		m->u.data = (struct dp_found){.id = 19, .seq = 20, .length = 512};
		m->payload = payload_of(512);
		break;
	case 20:
		m->u.data = (struct dp_found){
			.id = 20, .kind = DP_FOUND_SAME, .seq = 21, .length = 512};
		break;
	default:
		m->u.data = (struct dp_found){
			.id = 21, .kind = DP_FOUND_ZEROS, .seq = 22, .length = UINT64_MAX};
	}
}

/* One message of every kind, with and without payload, metas empty and full. */
static struct dp_msg make(unsigned kind)
{
	struct dp_msg m = {.stream = STREAM, .session = SESSION};
	static const uint8_t types[KINDS] = {DP_MSG_HELLO, DP_MSG_WELCOME, DP_MSG_WELCOME,
		DP_MSG_REFUSE, DP_MSG_START, DP_MSG_RECORD, DP_MSG_RECORD, DP_MSG_ACK, DP_MSG_NAK,
		DP_MSG_MARKS, DP_MSG_PULL, DP_MSG_READ, DP_MSG_DATA, DP_MSG_DATA, DP_MSG_DATA,
		DP_MSG_WELCOME, DP_MSG_RESET, DP_MSG_RESET, DP_MSG_FETCH, DP_MSG_FILL, DP_MSG_FILL,
		DP_MSG_FILL};
	m.type = types[kind];
	switch (kind) {
	case 0:
		m.u.hello.epoch = 5;
		m.u.hello.config = 6;
		break;
	case 1:
		m.u.welcome = welcome_of(0, 0);
		break;
	case 2:
		m.u.welcome = welcome_of(DP_HISTORY_MAX, DP_CLIENTS_MAX);
		break;
	case 3:
		m.u.refuse.reason = DP_REFUSE_STALE;
		m.u.refuse.number = UINT64_MAX;
		break;
	case 4:
		m.u.start.at = (struct dp_position){1, 2, 3};
		m.u.start.agreed = 4;
		break;
	case 5:
		m.u.record = record_of(payload_of(700));
		break;
	case 6:
		m.u.record = record_of(NULL);
		break;
	case 7:
		m.u.ack.cached = 9;
		m.u.ack.committed = 8;
		m.u.ack.room = 7;
		m.u.ack.images = DP_IMAGES_RESYNCING;
		m.u.ack.order = 0xfedcba98;
		break;
	case 8:
		m.u.nak.seq = 1;
		break;
	case 9:
		m.u.marks.agreed = 3;
		m.u.marks.sent = 4;
		break;
	case 10:
		m.u.pull.seq = UINT64_MAX;
		m.u.pull.bytes = 77;
		break;
	case 15:
		m.u.welcome = welcome_of(1, 2);
		break;
	case 16:
		m.u.reset = reset_of(0, 0);
		break;
	case 17:
		m.u.reset = reset_of(DP_HISTORY_MAX, DP_CLIENTS_MAX);
		break;
	default:
		make_content(kind, &m);
	}
	return m;
}

/* Decodes a copy on the heap, so that a read beyond it is found. */
static int decode(const uint8_t *head, size_t size, struct dp_buf *payload, struct dp_msg *out)
{
	uint8_t *copy = malloc(size ? size : 1);
	memcpy(copy, head, size);
	int err = dp_msg_decode(copy, size, dp_buf_ref(payload), out);
	free(copy);
	return err;
}

static void check_meta(const struct dp_meta *a, const struct dp_meta *b, uint32_t clients)
{
	cr_assert(a->promised == b->promised && a->set == b->set);
	cr_assert(dp_position_equal(a->at, b->at) && a->at.epoch == b->at.epoch);
	cr_assert(a->set_closed == b->set_closed && a->based == b->based);
	cr_assert(a->history.count == b->history.count && a->clients.count == clients);
	cr_assert_arr_eq((const uint8_t *)a->history.entry, (const uint8_t *)b->history.entry,
		a->history.count * sizeof a->history.entry[0]);
	cr_assert_arr_eq((const uint8_t *)a->clients.entry, (const uint8_t *)b->clients.entry,
		clients * sizeof a->clients.entry[0]);
}

static void check_welcome(const struct dp_welcome *a, const struct dp_welcome *b)
{
	cr_assert(a->instance == b->instance && a->cached == b->cached);
	cr_assert(a->committed == b->committed && a->room == b->room && a->images == b->images);
	check_meta(&a->tail, &b->tail, b->tail.clients.count);
	check_meta(&a->last, &b->last, 0); /* last.clients is not sent */
}

Test(message, round_trip_of_every_type)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct dp_msg m = make(kind), out;
		uint8_t head[DP_MSG_HEAD_MAX], again[DP_MSG_HEAD_MAX];
		uint32_t size = dp_msg_encode(&m, head);
		struct dp_buf *payload = dp_msg_payload(&m);
		cr_assert_leq(size, DP_MSG_HEAD_MAX);
		cr_assert_eq(decode(head, size, payload, &out), 0, "kind %u", kind);
		cr_assert(out.type == m.type && out.stream == STREAM && out.session == SESSION);
		cr_assert_eq(dp_msg_payload(&out), payload, "the payload is not copied");
		if (m.type == DP_MSG_WELCOME)
			check_welcome(out.u.welcome, m.u.welcome);
		if (m.type == DP_MSG_RESET) {
			cr_assert_eq(out.u.reset->common, m.u.reset->common);
			check_meta(&out.u.reset->meta, &m.u.reset->meta,
				m.u.reset->meta.clients.count);
		}
		cr_assert_eq(dp_msg_encode(&out, again), size);
		cr_assert_arr_eq(again, head, size, "kind %u", kind);
		dp_msg_clear(&out);
		dp_msg_clear(&m);
	}
}

Test(message, fields_are_not_swapped)
{
	struct dp_msg m = make(7), out;
	uint8_t head[DP_MSG_HEAD_MAX];
	cr_assert_eq(decode(head, dp_msg_encode(&m, head), NULL, &out), 0);
	cr_assert(out.u.ack.cached == 9 && out.u.ack.committed == 8 && out.u.ack.room == 7);
	cr_assert_eq(out.u.ack.images, DP_IMAGES_RESYNCING);
	cr_assert_eq(out.u.ack.order, 0xfedcba98);
	m = make(4);
	cr_assert_eq(decode(head, dp_msg_encode(&m, head), NULL, &out), 0);
	cr_assert(out.u.start.at.epoch == 1 && out.u.start.at.seq == 2);
	cr_assert(out.u.start.at.chain == 3 && out.u.start.agreed == 4);
	m = make(11);
	cr_assert_eq(decode(head, dp_msg_encode(&m, head), NULL, &out), 0);
	cr_assert(out.u.read.id == 1 && out.u.read.offset == 2 && out.u.read.min_seq == 3);
	cr_assert(out.u.read.volume == 4 && out.u.read.length == DP_PAYLOAD_MAX);
	m = make(13);
	cr_assert_eq(decode(head, dp_msg_encode(&m, head), NULL, &out), 0);
	cr_assert(out.u.data.id == 13 && out.u.data.status == DP_ERANGE);
}

Test(message, fields_of_a_resync_are_not_swapped)
{
	struct dp_msg m = make(18), out;
	uint8_t head[DP_MSG_HEAD_MAX];
	const struct dp_wanted w = wanted();
	cr_assert_eq(decode(head, dp_msg_encode(&m, head), NULL, &out), 0);
	cr_assert(out.u.read.id == 1 && out.u.read.offset == 2 && out.u.read.min_seq == 3);
	cr_assert(out.u.read.volume == 4 && out.u.read.length == 65536 && out.u.read.compare);
	cr_assert_arr_eq(out.u.read.digest, w.digest, DP_WANTED_DIGEST);
	m = make(21);
	cr_assert_eq(decode(head, dp_msg_encode(&m, head), NULL, &out), 0);
	cr_assert(out.u.data.id == 21 && out.u.data.status == 0 && out.u.data.seq == 22);
	cr_assert(out.u.data.kind == DP_FOUND_ZEROS && out.u.data.length == UINT64_MAX);
}

Test(message, truncated_anywhere_is_refused)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct dp_msg m = make(kind), out;
		uint8_t head[DP_MSG_HEAD_MAX];
		uint32_t size = dp_msg_encode(&m, head);
		struct dp_buf *payload = dp_msg_payload(&m);
		for (uint32_t cut = 0; cut < size; cut++)
			cr_assert_eq(decode(head, cut, payload, &out), DP_EBADMSG,
				"kind %u, %u bytes", kind, cut);
		if (payload)
			cr_assert_eq(atomic_load(&payload->refs), 1);
		dp_msg_clear(&m);
	}
}

Test(message, longer_than_said_is_refused)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct dp_msg m = make(kind), out;
		uint8_t head[DP_MSG_HEAD_MAX + 64] = {0};
		uint32_t size = dp_msg_encode(&m, head);
		for (uint32_t more = 1; more <= 64; more++)
			cr_assert_eq(decode(head, size + more, dp_msg_payload(&m), &out),
				DP_EBADMSG);
		dp_msg_clear(&m);
	}
}

Test(message, every_flipped_bit_is_refused)
{
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct dp_msg m = make(kind), out;
		uint8_t head[DP_MSG_HEAD_MAX];
		uint32_t size = dp_msg_encode(&m, head);
		struct dp_buf *payload = dp_msg_payload(&m);
		for (uint32_t bit = 0; bit < 8 * size; bit++) {
			head[bit / 8] ^= (uint8_t)(1u << bit % 8);
			cr_assert_neq(decode(head, size, payload, &out), 0, "kind %u, bit %u", kind,
				bit);
			cr_assert_null(out.payload);
			head[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		if (payload)
			cr_assert_eq(atomic_load(&payload->refs), 1, "kind %u", kind);
		dp_msg_clear(&m);
	}
}

Test(message, every_flipped_payload_byte_is_refused_as_such)
{
	static const unsigned kinds[] = {5, 12, 14, 19};
	for (size_t k = 0; k < COUNT(kinds); k++) {
		struct dp_msg m = make(kinds[k]), out;
		uint8_t head[DP_MSG_HEAD_MAX];
		uint32_t size = dp_msg_encode(&m, head);
		struct dp_buf *payload = dp_msg_payload(&m);
		for (size_t at = 0; at < payload->size; at++) {
			payload->data[at] ^= 0x10;
			cr_assert_eq(decode(head, size, payload, &out), DP_ECHECKSUM);
			/* what a NAK needs */
			cr_assert(out.type == m.type && out.stream == STREAM);
			cr_assert_eq(out.session, SESSION);
			payload->data[at] ^= 0x10;
		}
		cr_assert_eq(atomic_load(&payload->refs), 1);
		dp_msg_clear(&m);
	}
}

Test(message, payload_where_none_belongs)
{
	struct dp_buf *payload = payload_of(8);
	for (unsigned kind = 0; kind < KINDS; kind++) {
		struct dp_msg m = make(kind), out;
		uint8_t head[DP_MSG_HEAD_MAX];
		uint32_t size = dp_msg_encode(&m, head);
		if (!dp_msg_payload(&m))
			cr_assert_neq(decode(head, size, payload, &out), 0, "kind %u", kind);
		cr_assert_eq(atomic_load(&payload->refs), 1);
		dp_msg_clear(&m);
	}
	dp_buf_unref(&payload);
}

/* Changes a body and sums it anew: bytes that only their meaning can refuse. */
static uint32_t forge(unsigned kind, uint32_t at, uint32_t value, uint8_t *head)
{
	struct dp_msg m = make(kind);
	uint32_t size = dp_msg_encode(&m, head);
	dp_put32(head + DP_MSG_PREFIX + at, value);
	uint32_t crc = dp_crc32c(0, head, DP_MSG_PREFIX - 4);
	dp_put32(head + DP_MSG_PREFIX - 4,
		dp_crc32c(crc, head + DP_MSG_PREFIX, size - DP_MSG_PREFIX));
	dp_msg_clear(&m);
	return size;
}

Test(message, impossible_bodies_are_refused)
{
	static const struct {
		const char *what;
		unsigned kind;
		uint32_t at, value;
	} bad[] = {{"committed beyond cached", 7, 8, 10}, {"NAK of nothing", 8, 0, 0},
		{"read too long", 11, 28, DP_PAYLOAD_MAX + 1}, {"status is no code", 13, 8, 5},
		{"first meta too long", 1, 32, DP_META_HEAD + 1},
		{"first meta too short", 1, 32, DP_META_HEAD - 1},
		{"first meta huge", 2, 32, UINT32_MAX - 40}, {"too many epochs", 1, 40 + 48, 33},
		{"too many clients", 1, 40 + 52, 65},
		{"an epoch that is not there", 15, 40 + 48, 2},
		{"a client that is not there", 15, 40 + 52, 3},
		{"a client too few in the second", 15, 40 + DP_META_HEAD + 24 + 32 + 48, 0},
		{"WELCOME: no such state of images", 1, 36, DP_IMAGES_WHOLE + 1},
		{"ACK: no such state of images", 7, 24, DP_IMAGES_WHOLE + 1},
		{"RESET: too many epochs", 16, 8 + 48, DP_HISTORY_MAX + 1},
		{"RESET: an epoch that is not there", 16, 8 + 48, 1},
		{"RESET: a client too few", 17, 8 + 52, DP_CLIENTS_MAX - 1},
		{"FETCH too long", 18, 28, DP_PAYLOAD_MAX + 1},
		{"FETCH: no truth value", 18, 32, 2}, {"FETCH: no truth value either", 18, 36, 1},
		{"FILL: status is no code", 20, 8, 5},
		{"FILL: no such kind", 20, 16, DP_FOUND_ZEROS + 1},
		{"FILL: a huge kind", 20, 20, 1}};
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint8_t head[DP_MSG_HEAD_MAX];
		struct dp_msg out;
		uint32_t size = forge(bad[i].kind, bad[i].at, bad[i].value, head);
		cr_assert_eq(decode(head, size, NULL, &out), DP_EBADMSG, "%s", bad[i].what);
	}
}

Test(message, record_of_another_stream_is_refused)
{
	struct dp_msg m = make(5), out;
	uint8_t head[DP_MSG_HEAD_MAX];
	struct dp_buf *payload = dp_msg_payload(&m);
	m.stream++;
	cr_assert_eq(decode(head, dp_msg_encode(&m, head), payload, &out), DP_EBADMSG);
	cr_assert_eq(atomic_load(&payload->refs), 1);
	dp_msg_clear(&m);
}

Test(message, names)
{
	for (unsigned t = DP_MSG_HELLO; t <= DP_MSG_TYPE_LAST; t++)
		cr_assert_str_neq(dp_msg_name((uint8_t)t), "?");
	cr_assert_str_eq(dp_msg_name(0), "?");
	cr_assert_str_eq(dp_msg_name(255), "?");
}

/* ---- several in one ZeroMQ message ---- */

struct packed {
	uint8_t heads[4 * DP_MSG_HEAD_MAX];
	size_t head_size;
	struct dp_buf *payload;
	size_t payload_size;
};

static void pack(struct packed *p, struct dp_msg *m)
{
	struct dp_buf *payload = dp_msg_payload(m);
	if (!p->payload)
		p->payload = dp_buf_new(65536);
	p->head_size += dp_msg_encode(m, p->heads + p->head_size);
	if (payload) {
		memcpy(p->payload->data + p->payload_size, payload->data, payload->size);
		p->payload_size += payload->size;
	}
	dp_msg_clear(m);
}

static struct dp_msg record_message(uint32_t size)
{
	return (struct dp_msg){.type = DP_MSG_RECORD,
		.stream = STREAM,
		.session = SESSION,
		.u.record = record_of(size ? payload_of(size) : NULL)};
}

/* A write of 100 bytes, an ACK, a trim, a write of 5000 bytes. */
static void pack_four(struct packed *p)
{
	static const uint32_t sizes[] = {100, 0, 0, 5000};
	memset(p, 0, sizeof *p);
	for (unsigned i = 0; i < 4; i++) {
		struct dp_msg m = i == 1 ? (struct dp_msg){.type = DP_MSG_ACK,
						   .stream = STREAM,
						   .session = SESSION,
						   .u.ack = {.cached = 8}}
					 : record_message(sizes[i]);
		pack(p, &m);
	}
	p->payload->size = p->payload_size;
}

static struct dp_msg_walk walk_of(const struct packed *p)
{
	return (struct dp_msg_walk){.head = p->heads, .left = p->head_size, .payload = p->payload};
}

Test(several, come_out_one_by_one_with_what_is_theirs)
{
	static const uint32_t sizes[] = {100, 0, 0, 5000};
	struct packed p;
	pack_four(&p);
	struct dp_msg_walk w = walk_of(&p);
	struct dp_msg m[4];
	for (unsigned i = 0; i < 4; i++)
		cr_assert_eq(dp_msg_walk_next(&w, &m[i]), 0, "message %u", i);
	struct dp_msg none;
	cr_assert_eq(dp_msg_walk_next(&w, &none), 1);
	dp_buf_unref(&p.payload); /* the messages keep what they need of it */
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(m[i].type, i == 1 ? DP_MSG_ACK : DP_MSG_RECORD);
		const struct dp_buf *b = dp_msg_payload(&m[i]);
		cr_assert_eq(b ? b->size : 0, sizes[i]);
		for (uint32_t k = 0; k < sizes[i]; k++)
			cr_assert_eq(b->data[k], (uint8_t)(k * 13 + 1));
		dp_msg_clear(&m[i]);
	}
}

Test(several, one_alone_keeps_the_frame_as_it_is)
{
	struct packed p = {.head_size = 0};
	struct dp_msg m = record_message(700);
	pack(&p, &m);
	p.payload->size = 700;
	struct dp_msg_walk w = walk_of(&p);
	cr_assert_eq(dp_msg_walk_next(&w, &m), 0);
	cr_assert_eq(dp_msg_payload(&m), p.payload, "it was copied");
	dp_msg_clear(&m);
	dp_buf_unref(&p.payload);
}

/* A damaged record does not hide the ones behind it, as long as its own header says how long it is.
 */
Test(several, a_damaged_payload_is_one_message_only)
{
	struct packed p;
	pack_four(&p);
	p.payload->data[99] ^= 1;
	struct dp_msg_walk w = walk_of(&p);
	struct dp_msg m;
	cr_assert_eq(dp_msg_walk_next(&w, &m), DP_ECHECKSUM);
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(dp_msg_walk_next(&w, &m), 0);
		dp_msg_clear(&m);
	}
	cr_assert_eq(dp_msg_walk_next(&w, &m), 1);
	dp_buf_unref(&p.payload);
}

/* Heads or payloads cut anywhere: some of the first ones come out, then an error, then the end. */
Test(several, cut_anywhere_is_refused)
{
	for (unsigned payload = 0; payload < 2; payload++) {
		struct packed p;
		pack_four(&p);
		size_t whole = payload ? p.payload->size : p.head_size;
		for (size_t size = 1; size < whole; size += 7) {
			*(payload ? &p.payload->size : &p.head_size) = size;
			struct dp_msg_walk w = walk_of(&p);
			struct dp_msg m;
			unsigned errors = 0;
			int err;
			while ((err = dp_msg_walk_next(&w, &m)) <= 0) {
				errors += err != 0;
				if (!err)
					dp_msg_clear(&m);
			}
			cr_assert_eq(errors, 1, "%s cut to %zu", payload ? "payload" : "heads",
				size);
			cr_assert_eq(w.left, 0);
		}
		dp_buf_unref(&p.payload);
	}
}

Test(several, what_has_a_rest_can_only_be_the_last)
{
	struct packed p = {.head_size = 0};
	for (unsigned i = 0; i < 2; i++) {
		struct dp_msg m = {.type = DP_MSG_DATA,
			.stream = STREAM,
			.session = SESSION,
			.u.data.id = i,
			.payload = payload_of(64)};
		pack(&p, &m);
	}
	p.payload->size = p.payload_size;
	struct dp_msg_walk w = walk_of(&p);
	struct dp_msg m;
	cr_assert_eq(dp_msg_walk_next(&w, &m), 0);
	cr_assert_null(m.payload);
	dp_msg_clear(&m);
	cr_assert_eq(dp_msg_walk_next(&w, &m), DP_ECHECKSUM, "it has the bytes of both");
	cr_assert_eq(dp_msg_walk_next(&w, &m), 1);
	dp_buf_unref(&p.payload);
}
