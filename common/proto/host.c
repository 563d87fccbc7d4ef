/* SPDX-License-Identifier: MIT */
#include "proto/host.h"

#include "base/bytes.h"
#include "base/err.h"
#include "base/limits.h"

static void put_start(uint8_t *out, uint32_t size, uint8_t type, uint8_t flags)
{
	memset(out, 0, size);
	dp_put32(out, DP_CHANNEL_MAGIC);
	dp_put16(out + 4, DP_CHANNEL_VERSION);
	out[6] = type;
	out[7] = flags;
}

static int check_start(const uint8_t *in)
{
	if (dp_get32(in) != DP_CHANNEL_MAGIC)
		return DP_EBADMSG;
	if (dp_get16(in + 4) != DP_CHANNEL_VERSION)
		return DP_EVERSION;
	if (in[6] < DP_CHANNEL_HELLO || in[6] > DP_CHANNEL_FLUSH)
		return DP_EBADMSG;
	return 0;
}

void dp_channel_request_encode(const struct dp_channel_request *r,
	uint8_t out[DP_CHANNEL_REQUEST_SIZE])
{
	put_start(out, DP_CHANNEL_REQUEST_SIZE, r->type, r->flags);
	dp_put32(out + 8, r->length);
	dp_put32(out + 12, r->payload_len);
	dp_put64(out + 16, r->client);
	dp_put64(out + 24, r->id);
	dp_put64(out + 32, r->offset);
	dp_put64(out + 40, r->set);
}

int dp_channel_request_decode(const uint8_t in[DP_CHANNEL_REQUEST_SIZE],
	struct dp_channel_request *r)
{
	int err = check_start(in);
	if (err)
		return err;
	*r = (struct dp_channel_request){
		.type = in[6],
		.flags = in[7],
		.length = dp_get32(in + 8),
		.payload_len = dp_get32(in + 12),
		.client = dp_get64(in + 16),
		.id = dp_get64(in + 24),
		.offset = dp_get64(in + 32),
		.set = dp_get64(in + 40),
	};
	uint32_t most = r->type == DP_CHANNEL_HELLO ? DP_NAME_MAX
		: r->type == DP_CHANNEL_WRITE       ? DP_PAYLOAD_MAX
						    : 0;
	if (r->payload_len > most || (r->flags & ~DP_CHANNEL_FUA))
		return DP_EBADMSG;
	return 0;
}

void dp_channel_reply_encode(const struct dp_channel_reply *r, uint8_t out[DP_CHANNEL_REPLY_SIZE])
{
	put_start(out, DP_CHANNEL_REPLY_SIZE, r->type, 0);
	dp_put32(out + 8, (uint32_t)r->error);
	dp_put32(out + 12, r->payload_len);
	dp_put64(out + 16, r->id);
	dp_put64(out + 24, r->set);
}

int dp_channel_reply_decode(const uint8_t in[DP_CHANNEL_REPLY_SIZE], struct dp_channel_reply *r)
{
	int err = check_start(in);
	if (err)
		return err;
	*r = (struct dp_channel_reply){
		.type = in[6],
		.error = (int32_t)dp_get32(in + 8),
		.payload_len = dp_get32(in + 12),
		.id = dp_get64(in + 16),
		.set = dp_get64(in + 24),
	};
	return r->payload_len > DP_PAYLOAD_MAX || r->error < 0 ? DP_EBADMSG : 0;
}

void dp_channel_volume_encode(const struct dp_channel_volume *v, uint8_t out[DP_CHANNEL_HELLO_SIZE])
{
	memset(out, 0, DP_CHANNEL_HELLO_SIZE);
	dp_put64(out, v->size);
	dp_put32(out + 8, v->max_payload);
	dp_put32(out + 12, v->max_extent);
	dp_put32(out + 16, v->max_requests);
}

int dp_channel_volume_decode(const uint8_t *in, uint32_t size, struct dp_channel_volume *v)
{
	if (size != DP_CHANNEL_HELLO_SIZE)
		return DP_EBADMSG;
	*v = (struct dp_channel_volume){
		.size = dp_get64(in),
		.max_payload = dp_get32(in + 8),
		.max_extent = dp_get32(in + 12),
		.max_requests = dp_get32(in + 16),
	};
	return v->max_payload == 0 || v->max_extent == 0 || v->max_requests == 0 ? DP_EBADMSG : 0;
}
