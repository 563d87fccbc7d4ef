/* SPDX-License-Identifier: MIT */
/* A ZeroMQ message of a link: one frame or two, and one message of ours in them or several. The
 * input: 2 bytes with the size of the heads, the heads, and what is left as the second frame; the
 * highest bit says that there is one even if nothing is left. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "fuzz.h"
#include "proto/message.h"
#include "repair.h"

#define SPLIT       2
#define HAS_PAYLOAD 0x8000u
#define CRC_AT      28 /* in the prefix */

struct frames {
	uint32_t head, payload;
	bool has_payload;
};

static struct frames split(const uint8_t *data, size_t size)
{
	uint32_t word = dp_get16(data), left = (uint32_t)size - SPLIT;
	struct frames f = {.head = word & ~HAS_PAYLOAD};
	if (f.head > left)
		f.head = left;
	f.payload = left - f.head;
	f.has_payload = f.payload || (word & HAS_PAYLOAD);
	return f;
}

/* Not the bytes of the input: what is not looked at in it is sent as zeros. */
static void check_round_trip(const struct dp_msg *m)
{
	static uint8_t once[DP_MSG_HEAD_MAX], twice[DP_MSG_HEAD_MAX];
	struct dp_msg again;
	uint32_t size = dp_msg_encode(m, once);
	FUZZ_CHECK(size >= DP_MSG_PREFIX && size <= DP_MSG_HEAD_MAX);
	FUZZ_CHECK(dp_msg_decode(once, size, dp_buf_ref(dp_msg_payload(m)), &again) == 0);
	FUZZ_CHECK(again.type == m->type && again.stream == m->stream);
	FUZZ_CHECK(again.session == m->session);
	FUZZ_CHECK(dp_msg_payload(&again) == dp_msg_payload(m));
	FUZZ_CHECK(dp_msg_encode(&again, twice) == size && memcmp(once, twice, size) == 0);
	dp_msg_clear(&again);
}

static void check(struct dp_msg *m)
{
	FUZZ_CHECK(strcmp(dp_msg_name(m->type), "?") != 0);
	check_round_trip(m);
	dp_msg_clear(m);
	FUZZ_CHECK(!m->payload && m->type == 0);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	struct dp_msg m;
	if (size < SPLIT)
		return false;
	struct frames f = split(data, size);
	uint8_t *head = fuzz_copy(data + SPLIT, f.head);
	struct dp_buf *payload = f.has_payload ? fuzz_buf(data + SPLIT + f.head, f.payload) : NULL;
	struct dp_msg_walk w = {.head = head, .left = f.head, .payload = payload};
	unsigned good = 0, bad = 0;
	int err;
	while ((err = dp_msg_walk_next(&w, &m)) <= 0) {
		FUZZ_CHECK(w.head <= head + f.head && w.left <= f.head);
		FUZZ_CHECK(w.payload_at <= f.payload);
		*(err ? &bad : &good) += 1;
		if (err)
			FUZZ_CHECK(!m.payload);
		else
			check(&m);
	}
	FUZZ_CHECK(w.left == 0);
	dp_buf_unref(&payload); /* nothing else is left that refers to it */
	free(head);
	return good && !bad;
}

static void repair_data(uint8_t *body, const uint8_t *payload, uint32_t size)
{
	dp_put32(body + 12, dp_crc32c(0, payload, size));
}

/* The decoder wants the exact length of the body, too, which mutations hardly ever hit. */
void fuzz_repair(uint8_t *data, size_t size)
{
	if (size < SPLIT + DP_MSG_PREFIX)
		return;
	struct frames f = split(data, size);
	uint8_t *head = data + SPLIT, *body = head + DP_MSG_PREFIX;
	if (f.head < DP_MSG_PREFIX)
		return;
	uint32_t length = f.head - DP_MSG_PREFIX;
	bool record = head[6] == DP_MSG_RECORD;
	if (record && length == DP_RECORD_HEADER_SIZE)
		repair_record(body, f.payload);
	if (head[6] == DP_MSG_DATA && length == 16)
		repair_data(body, body + length, f.payload);
	dp_put32(head + CRC_AT - 4, length);
	dp_put32(head + CRC_AT, dp_crc32c(dp_crc32c(0, head, CRC_AT), body, record ? 0 : length));
}

/* ---- seeds ---- */

#define SEED_MAX (SPLIT + DP_MSG_HEAD_MAX + 1024)

static void seed(const char *name, const struct dp_msg *m)
{
	static uint8_t bytes[SEED_MAX];
	char cut[64];
	uint32_t head = dp_msg_encode(m, bytes + SPLIT), size = SPLIT + head;
	const struct dp_buf *payload = dp_msg_payload(m);
	dp_put16(bytes, (uint16_t)(head | (payload ? HAS_PAYLOAD : 0)));
	if (payload)
		memcpy(bytes + size, payload->data, payload->size);
	size += payload ? (uint32_t)payload->size : 0;
	fuzz_seed(name, FUZZ_ACCEPTED, bytes, size);
	snprintf(cut, sizeof cut, "%s-cut", name);
	fuzz_seed(cut, FUZZ_REFUSED, bytes, size - 1);
	bytes[size - 1] ^= 1; /* under one checksum or another */
	snprintf(cut, sizeof cut, "%s-changed", name);
	fuzz_seed(cut, FUZZ_REFUSED, bytes, size);
	bytes[SPLIT] ^= 1; /* what there is of a payload is not left behind */
	snprintf(cut, sizeof cut, "%s-without-magic", name);
	fuzz_seed(cut, FUZZ_REFUSED, bytes, size);
}

static struct dp_msg message(uint8_t type)
{
	return (struct dp_msg){.type = type, .stream = 7, .session = 0x1112131415161718u};
}

static struct dp_buf *payload_of(size_t size)
{
	struct dp_buf *b = dp_buf_new(size);
	FUZZ_CHECK(b);
	memset(b->data, 0x5a, size);
	return b;
}

static void fill(struct dp_meta *m, uint32_t epochs, uint32_t clients)
{
	*m = (struct dp_meta){.promised = 77, .at = {41, 42, 43}, .set = 44, .based = true};
	m->history.count = epochs;
	m->clients.count = clients;
	for (uint32_t i = 0; i < epochs; i++) {
		m->history.entry[i].epoch = i + 1;
		m->history.entry[i].start = 100 * i + 1;
	}
	for (uint32_t i = 0; i < clients; i++)
		m->clients.entry[i].client = i + 1;
}

static void seed_welcome(const char *name, uint32_t epochs, uint32_t clients)
{
	struct dp_welcome w = {.instance = 1, .cached = 3, .committed = 2, .room = 4};
	struct dp_msg m = message(DP_MSG_WELCOME);
	fill(&w.tail, epochs, clients);
	fill(&w.last, epochs, clients);
	m.u.welcome = &w;
	seed(name, &m);
}

static void seed_record(const char *name, uint8_t op, uint32_t length)
{
	struct dp_buf *payload = op == DP_OP_WRITE ? payload_of(length) : NULL;
	struct dp_header h = {.op = op,
		.stream = 7,
		.volume = 1,
		.length = length,
		.epoch = 2,
		.seq = 9,
		.set = 3,
		.payload_len = payload ? length : 0};
	if (payload)
		h.payload_crc = dp_crc32c(0, payload->data, length);
	h.chain = dp_chain_next(1, &h);
	struct dp_msg m = message(DP_MSG_RECORD);
	m.u.record = dp_record_new(&h, payload);
	FUZZ_CHECK(m.u.record);
	seed(name, &m);
	dp_record_unref(&m.u.record);
}

static void seed_data(void)
{
	struct dp_msg m = message(DP_MSG_DATA);
	m.u.data.id = 12;
	m.payload = payload_of(512);
	seed("data", &m);
	dp_buf_unref(&m.payload);
	m.u.data.status = -3;
	seed("data-error", &m);
}

/* Two records, with acknowledgements around them. */
static void seed_several(void)
{
	static uint8_t bytes[SEED_MAX];
	uint32_t size = SPLIT;
	struct dp_buf *payload = payload_of(300);
	struct dp_header h = {.op = DP_OP_WRITE,
		.stream = 7,
		.volume = 1,
		.length = 300,
		.epoch = 2,
		.seq = 9,
		.set = 3,
		.payload_len = 300,
		.payload_crc = dp_crc32c(0, payload->data, 300)};
	struct dp_msg ack = message(DP_MSG_ACK), m = message(DP_MSG_RECORD);
	memset(&ack.u, 0, sizeof ack.u);
	m.u.record = dp_record_new(&h, payload);
	FUZZ_CHECK(m.u.record);
	for (unsigned i = 0; i < 5; i++)
		size += dp_msg_encode(i % 2 ? &m : &ack, bytes + size);
	dp_put16(bytes, (uint16_t)((size - SPLIT) | HAS_PAYLOAD));
	for (unsigned i = 0; i < 2; i++, size += 300)
		memcpy(bytes + size, payload->data, 300);
	fuzz_seed("several", FUZZ_ACCEPTED, bytes, size);
	fuzz_seed("several-cut", FUZZ_REFUSED, bytes, size - 1);
	dp_record_unref(&m.u.record);
}

/* All whose bodies are a few numbers: any will do that the type allows. */
static void seed_numbers(void)
{
	static const uint8_t types[] = {DP_MSG_HELLO, DP_MSG_REFUSE, DP_MSG_START, DP_MSG_ACK,
		DP_MSG_NAK, DP_MSG_MARKS, DP_MSG_PULL, DP_MSG_READ};
	for (size_t i = 0; i < sizeof types; i++) {
		struct dp_msg m = message(types[i]);
		memset(&m.u, 0, sizeof m.u);
		m.u.ack.cached = 9; /* in a union: the first number of each */
		seed(dp_msg_name(types[i]), &m);
	}
}

void fuzz_seeds(void)
{
	seed_numbers();
	seed_welcome("welcome-empty", 0, 0);
	seed_welcome("welcome-some", 2, 3);
	seed_welcome("welcome-full", DP_HISTORY_MAX, DP_CLIENTS_MAX);
	seed_record("record-write", DP_OP_WRITE, 700);
	seed_record("record-trim", DP_OP_TRIM, 4096);
	seed_data();
	seed_several();
}
