/* SPDX-License-Identifier: MIT */
/* The host's channel: requests, replies and volumes to bytes and back, and what is refused. */
#include <criterion/criterion.h>

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "proto/host.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct dp_channel_request requests[] = {
	{.type = DP_CHANNEL_HELLO, .payload_len = DP_NAME_MAX, .client = UINT64_MAX, .id = 1},
	{.type = DP_CHANNEL_LIST},
	{.type = DP_CHANNEL_READ,
		.length = DP_PAYLOAD_MAX,
		.client = 2,
		.id = 3,
		.offset = 1ull << 60},
	{.type = DP_CHANNEL_WRITE,
		.flags = DP_CHANNEL_FUA,
		.length = DP_PAYLOAD_MAX,
		.payload_len = DP_PAYLOAD_MAX,
		.client = 0x0102030405060708u,
		.id = 0x1112131415161718u,
		.offset = 0x2122232425262728u,
		.set = 0x3132333435363738u},
	{.type = DP_CHANNEL_TRIM, .length = DP_EXTENT_MAX, .client = 2, .id = 4, .offset = 4096},
	{.type = DP_CHANNEL_ZERO, .length = 1, .client = 2, .id = 5},
	{.type = DP_CHANNEL_FLUSH, .client = 2, .id = UINT64_MAX, .set = 9}};

static void check_same(const struct dp_channel_request *a, const struct dp_channel_request *b)
{
	cr_assert(a->type == b->type && a->flags == b->flags);
	cr_assert(a->length == b->length && a->payload_len == b->payload_len);
	cr_assert(a->client == b->client && a->id == b->id);
	cr_assert(a->offset == b->offset && a->set == b->set);
}

Test(request, round_trip)
{
	for (size_t i = 0; i < COUNT(requests); i++) {
		uint8_t bytes[DP_CHANNEL_REQUEST_SIZE], again[DP_CHANNEL_REQUEST_SIZE];
		struct dp_channel_request out;
		memset(bytes, 0xff, sizeof bytes);
		dp_channel_request_encode(&requests[i], bytes);
		cr_assert_eq(dp_channel_request_decode(bytes, &out), 0, "%zu", i);
		check_same(&out, &requests[i]);
		dp_channel_request_encode(&out, again);
		cr_assert_arr_eq(again, bytes, sizeof bytes);
	}
}

Test(request, another_protocol_or_version)
{
	uint8_t bytes[DP_CHANNEL_REQUEST_SIZE];
	struct dp_channel_request out;
	for (unsigned bit = 0; bit < 48; bit++) {
		dp_channel_request_encode(&requests[0], bytes);
		bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		cr_assert_eq(dp_channel_request_decode(bytes, &out),
			bit < 32 ? DP_EBADMSG : DP_EVERSION);
	}
}

Test(request, unknown_types_and_flags)
{
	uint8_t bytes[DP_CHANNEL_REQUEST_SIZE];
	struct dp_channel_request out;
	for (unsigned v = 0; v < 256; v++) {
		dp_channel_request_encode(&requests[1], bytes);
		bytes[6] = (uint8_t)v;
		bool known = v >= DP_CHANNEL_HELLO && v <= DP_CHANNEL_FLUSH;
		cr_assert_eq(dp_channel_request_decode(bytes, &out), known ? 0 : DP_EBADMSG,
			"type %u", v);
		dp_channel_request_encode(&requests[1], bytes);
		bytes[7] = (uint8_t)v;
		cr_assert_eq(dp_channel_request_decode(bytes, &out),
			v <= DP_CHANNEL_FUA ? 0 : DP_EBADMSG);
	}
}

/* The payload's length is what the other side would wait for, or keep in memory. */
Test(request, payload_lengths)
{
	static const struct {
		uint8_t type;
		uint32_t most;
	} limits[] = {{DP_CHANNEL_HELLO, DP_NAME_MAX}, {DP_CHANNEL_LIST, 0}, {DP_CHANNEL_READ, 0},
		{DP_CHANNEL_WRITE, DP_PAYLOAD_MAX}, {DP_CHANNEL_TRIM, 0}, {DP_CHANNEL_ZERO, 0},
		{DP_CHANNEL_FLUSH, 0}};
	for (size_t i = 0; i < COUNT(limits); i++) {
		struct dp_channel_request r = {.type = limits[i].type,
						  .payload_len = limits[i].most},
					  out;
		uint8_t bytes[DP_CHANNEL_REQUEST_SIZE];
		dp_channel_request_encode(&r, bytes);
		cr_assert_eq(dp_channel_request_decode(bytes, &out), 0);
		r.payload_len++;
		dp_channel_request_encode(&r, bytes);
		cr_assert_eq(dp_channel_request_decode(bytes, &out), DP_EBADMSG);
		r.payload_len = UINT32_MAX;
		dp_channel_request_encode(&r, bytes);
		cr_assert_eq(dp_channel_request_decode(bytes, &out), DP_EBADMSG);
	}
}

Test(reply, round_trip)
{
	static const struct dp_channel_reply replies[] = {
		{.type = DP_CHANNEL_READ, .payload_len = DP_PAYLOAD_MAX, .id = 7},
		{.type = DP_CHANNEL_WRITE, .error = ENOSPC, .id = UINT64_MAX, .set = 12},
		{.type = DP_CHANNEL_FLUSH, .id = 1, .set = UINT64_MAX}};
	for (size_t i = 0; i < COUNT(replies); i++) {
		uint8_t bytes[DP_CHANNEL_REPLY_SIZE];
		struct dp_channel_reply out;
		dp_channel_reply_encode(&replies[i], bytes);
		cr_assert_eq(dp_channel_reply_decode(bytes, &out), 0);
		cr_assert(out.type == replies[i].type && out.error == replies[i].error);
		cr_assert(out.payload_len == replies[i].payload_len && out.id == replies[i].id);
		cr_assert_eq(out.set, replies[i].set);
	}
}

Test(reply, refusals)
{
	struct dp_channel_reply bad[] = {{.type = 0}, {.type = DP_CHANNEL_FLUSH + 1},
		{.type = DP_CHANNEL_READ, .payload_len = DP_PAYLOAD_MAX + 1},
		{.type = DP_CHANNEL_WRITE, .error = -1}};
	uint8_t bytes[DP_CHANNEL_REPLY_SIZE];
	struct dp_channel_reply out;
	for (size_t i = 0; i < COUNT(bad); i++) {
		dp_channel_reply_encode(&bad[i], bytes);
		cr_assert_eq(dp_channel_reply_decode(bytes, &out), DP_EBADMSG, "%zu", i);
	}
	dp_channel_reply_encode(&(struct dp_channel_reply){.type = DP_CHANNEL_WRITE}, bytes);
	bytes[4]++;
	cr_assert_eq(dp_channel_reply_decode(bytes, &out), DP_EVERSION);
	bytes[0] ^= 1;
	cr_assert_eq(dp_channel_reply_decode(bytes, &out), DP_EBADMSG);
}

Test(volume, round_trip_and_refusals)
{
	struct dp_channel_volume v = {.size = 1ull << 45,
					 .max_payload = 1 << 20,
					 .max_extent = 1 << 30,
					 .max_requests = 128},
				 out;
	uint8_t bytes[DP_CHANNEL_HELLO_SIZE + 1];
	dp_channel_volume_encode(&v, bytes);
	cr_assert_eq(dp_channel_volume_decode(bytes, DP_CHANNEL_HELLO_SIZE, &out), 0);
	cr_assert(out.size == v.size && out.max_payload == v.max_payload);
	cr_assert(out.max_extent == v.max_extent && out.max_requests == v.max_requests);
	for (uint32_t size = 0; size <= DP_CHANNEL_HELLO_SIZE + 1; size++)
		if (size != DP_CHANNEL_HELLO_SIZE)
			cr_assert_eq(dp_channel_volume_decode(bytes, size, &out), DP_EBADMSG);
	for (unsigned i = 0; i < 3; i++) { /* a limit of 0 would stop a client for ever */
		struct dp_channel_volume zero = v;
		*(i == 0 ? &zero.max_payload : i == 1 ? &zero.max_extent : &zero.max_requests) = 0;
		dp_channel_volume_encode(&zero, bytes);
		cr_assert_eq(dp_channel_volume_decode(bytes, DP_CHANNEL_HELLO_SIZE, &out),
			DP_EBADMSG);
	}
}
