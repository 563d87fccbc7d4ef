/* SPDX-License-Identifier: MIT */
/* The host's channel: a request, a reply and what HELLO says of a volume have different sizes; an
 * input is taken for each that it is long enough for. */
#include "base/limits.h"
#include "fuzz.h"
#include "proto/host.h"

static bool request(const uint8_t *data)
{
	uint8_t once[DP_CHANNEL_REQUEST_SIZE], twice[DP_CHANNEL_REQUEST_SIZE];
	struct dp_channel_request r, again;
	uint8_t *copy = fuzz_copy(data, DP_CHANNEL_REQUEST_SIZE);
	int err = dp_channel_request_decode(copy, &r);
	free(copy);
	if (err)
		return false;
	FUZZ_CHECK(r.payload_len <= DP_PAYLOAD_MAX); /* the receiver makes room for it */
	dp_channel_request_encode(&r, once);
	FUZZ_CHECK(dp_channel_request_decode(once, &again) == 0);
	dp_channel_request_encode(&again, twice);
	FUZZ_CHECK(memcmp(once, twice, sizeof once) == 0);
	return true;
}

static bool reply(const uint8_t *data)
{
	uint8_t once[DP_CHANNEL_REPLY_SIZE], twice[DP_CHANNEL_REPLY_SIZE];
	struct dp_channel_reply r, again;
	uint8_t *copy = fuzz_copy(data, DP_CHANNEL_REPLY_SIZE);
	int err = dp_channel_reply_decode(copy, &r);
	free(copy);
	if (err)
		return false;
	FUZZ_CHECK(r.payload_len <= DP_PAYLOAD_MAX && r.error >= 0);
	dp_channel_reply_encode(&r, once);
	FUZZ_CHECK(dp_channel_reply_decode(once, &again) == 0);
	dp_channel_reply_encode(&again, twice);
	FUZZ_CHECK(memcmp(once, twice, sizeof once) == 0);
	return true;
}

static bool volume(const uint8_t *data, size_t size)
{
	uint8_t once[DP_CHANNEL_HELLO_SIZE], twice[DP_CHANNEL_HELLO_SIZE];
	struct dp_channel_volume v, again;
	uint8_t *copy = fuzz_copy(data, size);
	int err = dp_channel_volume_decode(copy, (uint32_t)size, &v);
	free(copy);
	if (err)
		return false;
	FUZZ_CHECK(v.max_payload && v.max_extent && v.max_requests);
	dp_channel_volume_encode(&v, once);
	FUZZ_CHECK(dp_channel_volume_decode(once, sizeof once, &again) == 0);
	dp_channel_volume_encode(&again, twice);
	FUZZ_CHECK(memcmp(once, twice, sizeof once) == 0);
	return true;
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	bool accepted = volume(data, size);
	if (size >= DP_CHANNEL_REQUEST_SIZE)
		accepted |= request(data);
	if (size >= DP_CHANNEL_REPLY_SIZE)
		accepted |= reply(data);
	return accepted;
}

void fuzz_repair(uint8_t *data, size_t size)
{
	(void)data; /* no checksums: it never leaves the machine */
	(void)size;
}

static void seed_request(const char *name, enum fuzz_verdict expected, uint8_t type,
	uint32_t payload)
{
	uint8_t bytes[DP_CHANNEL_REQUEST_SIZE];
	struct dp_channel_request r = {.type = type,
		.flags = DP_CHANNEL_FUA,
		.length = 4096,
		.payload_len = payload,
		.client = 5,
		.id = 6,
		.offset = 8192,
		.set = 7};
	dp_channel_request_encode(&r, bytes);
	fuzz_seed(name, expected, bytes, sizeof bytes);
}

static void seed_reply(const char *name, enum fuzz_verdict expected, int error)
{
	uint8_t bytes[DP_CHANNEL_REPLY_SIZE];
	struct dp_channel_reply r = {
		.type = DP_CHANNEL_READ, .error = error, .payload_len = 4096, .id = 6, .set = 7};
	dp_channel_reply_encode(&r, bytes);
	fuzz_seed(name, expected, bytes, sizeof bytes);
}

static void seed_volume(const char *name, enum fuzz_verdict expected, uint32_t max_requests)
{
	uint8_t bytes[DP_CHANNEL_HELLO_SIZE];
	struct dp_channel_volume v = {1u << 30, DP_PAYLOAD_MAX, DP_EXTENT_MAX, max_requests};
	dp_channel_volume_encode(&v, bytes);
	fuzz_seed(name, expected, bytes, sizeof bytes);
}

void fuzz_seeds(void)
{
	seed_request("hello", FUZZ_ACCEPTED, DP_CHANNEL_HELLO, 4);
	seed_request("list", FUZZ_ACCEPTED, DP_CHANNEL_LIST, 0);
	seed_request("read", FUZZ_ACCEPTED, DP_CHANNEL_READ, 0);
	seed_request("write", FUZZ_ACCEPTED, DP_CHANNEL_WRITE, 4096);
	seed_request("flush", FUZZ_ACCEPTED, DP_CHANNEL_FLUSH, 0);
	seed_reply("reply", FUZZ_ACCEPTED, 0);
	seed_reply("reply-error", FUZZ_ACCEPTED, 5);
	seed_reply("reply-error-below-0", FUZZ_REFUSED, -5);
	seed_volume("volume", FUZZ_ACCEPTED, 128);
	seed_volume("volume-without-requests", FUZZ_REFUSED, 0);
}
