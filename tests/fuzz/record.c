/* SPDX-License-Identifier: MIT */
/* A record as it arrives: 128 bytes of header, then the payload. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/limits.h"
#include "fuzz.h"
#include "proto/record.h"
#include "repair.h"

static void check_header(const struct dp_record *r)
{
	uint8_t once[DP_RECORD_HEADER_SIZE], twice[DP_RECORD_HEADER_SIZE];
	struct dp_header h;
	dp_header_encode(&r->h, once);
	FUZZ_CHECK(dp_header_decode(once, &h) == 0);
	dp_header_encode(&h, twice);
	FUZZ_CHECK(memcmp(once, twice, sizeof once) == 0);
	FUZZ_CHECK(dp_chain_next(1, &h) == dp_chain_next(1, &r->h));
	FUZZ_CHECK(h.seq > 0 && h.payload_len <= DP_PAYLOAD_MAX);
}

/* What its first writer would have made of the same header and payload. */
static void check_made_anew(const struct dp_record *r)
{
	uint8_t header[DP_RECORD_HEADER_SIZE];
	struct dp_record *anew = dp_record_new(&r->h, dp_buf_ref(r->payload)), *again;
	FUZZ_CHECK(anew);
	dp_header_encode(&r->h, header);
	FUZZ_CHECK(memcmp(anew->raw, header, sizeof header) == 0);
	FUZZ_CHECK(dp_record_decode(anew->raw, dp_buf_ref(anew->payload), &again) == 0);
	dp_record_unref(&again);
	dp_record_unref(&anew);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	struct dp_record *r = NULL;
	if (size < DP_RECORD_HEADER_SIZE)
		return false;
	uint8_t *raw = fuzz_copy(data, DP_RECORD_HEADER_SIZE);
	size_t rest = size - DP_RECORD_HEADER_SIZE;
	struct dp_buf *payload = rest ? fuzz_buf(data + DP_RECORD_HEADER_SIZE, rest) : NULL;
	int err = dp_record_decode(raw, payload, &r);
	free(raw);
	if (err) {
		FUZZ_CHECK(err < 0 && !r);
		return false;
	}
	FUZZ_CHECK(memcmp(r->raw, data, sizeof r->raw) == 0); /* forwarded as it came */
	FUZZ_CHECK(r->h.payload_len == rest && dp_record_verify(r) == 0);
	check_header(r);
	check_made_anew(r);
	dp_record_unref(&r);
	return true;
}

void fuzz_repair(uint8_t *data, size_t size)
{
	if (size >= DP_RECORD_HEADER_SIZE)
		repair_record(data, size - DP_RECORD_HEADER_SIZE);
}

static void seed(const char *name, enum fuzz_verdict expected, uint8_t op, uint32_t length)
{
	uint8_t bytes[DP_RECORD_HEADER_SIZE + 600];
	uint32_t payload = op == DP_OP_WRITE ? length : 0;
	struct dp_header h = {.op = op,
		.flags = DP_RECORD_FUA,
		.stream = 7,
		.volume = 1,
		.length = length,
		.offset = 8192,
		.epoch = 2,
		.seq = 9,
		.set = 3,
		.agreed = 8,
		.client = 5,
		.request = 6,
		.time_us = 7,
		.payload_len = payload};
	memset(bytes + DP_RECORD_HEADER_SIZE, 0x5a, payload);
	if (payload)
		h.payload_crc = dp_crc32c(0, bytes + DP_RECORD_HEADER_SIZE, payload);
	h.chain = dp_chain_next(1, &h);
	dp_header_encode(&h, bytes);
	fuzz_seed(name, expected, bytes, DP_RECORD_HEADER_SIZE + payload);
}

static void seed_damaged(void)
{
	uint8_t bytes[DP_RECORD_HEADER_SIZE + 16] = {0};
	struct dp_header h = {.op = DP_OP_WRITE,
		.seq = 1,
		.length = 16,
		.payload_len = 16,
		.payload_crc = dp_crc32c(0, bytes, 16)};
	dp_header_encode(&h, bytes);
	fuzz_seed("write-cut", FUZZ_REFUSED, bytes, sizeof bytes - 1);
	fuzz_seed("header-cut", FUZZ_REFUSED, bytes, DP_RECORD_HEADER_SIZE - 1);
	bytes[DP_RECORD_HEADER_SIZE] = 1;
	fuzz_seed("payload-changed", FUZZ_REFUSED, bytes, sizeof bytes);
	bytes[DP_RECORD_HEADER_SIZE] = 0;
	bytes[40] ^= 1;
	fuzz_seed("header-changed", FUZZ_REFUSED, bytes, sizeof bytes);
}

void fuzz_seeds(void)
{
	seed("write", FUZZ_ACCEPTED, DP_OP_WRITE, 512);
	seed("write-1", FUZZ_ACCEPTED, DP_OP_WRITE, 1);
	seed("trim", FUZZ_ACCEPTED, DP_OP_TRIM, 4096);
	seed("zero", FUZZ_ACCEPTED, DP_OP_ZERO, DP_EXTENT_MAX);
	seed("flush", FUZZ_ACCEPTED, DP_OP_FLUSH, 0);
	seed("mark", FUZZ_ACCEPTED, DP_OP_MARK, 0);
	seed("insync", FUZZ_ACCEPTED, DP_OP_INSYNC, 0);
	seed("write-of-nothing", FUZZ_REFUSED, DP_OP_WRITE, 0);
	seed("trim-too-long", FUZZ_REFUSED, DP_OP_TRIM, DP_EXTENT_MAX + 1);
	seed("unknown-operation", FUZZ_REFUSED, 200, 0);
	seed_damaged();
}
