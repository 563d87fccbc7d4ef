/* SPDX-License-Identifier: MIT */
#include "proto/record.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/limits.h"

#define PAYLOAD_LEN_AT 96
#define CRC_AT         124

/* A public constant: the chain detects differences, it does not authenticate. */
static const uint8_t chain_key[crypto_shorthash_KEYBYTES] = "dipole chain v1";

static void encode_fields(const struct dp_header *h, uint8_t *out)
{
	memset(out, 0, DP_RECORD_HEADER_SIZE);
	dp_put32(out, DP_RECORD_MAGIC);
	dp_put16(out + 4, DP_RECORD_VERSION);
	out[6] = h->op;
	out[7] = h->flags;
	dp_put64(out + 8, h->stream);
	dp_put32(out + 16, h->volume);
	dp_put32(out + 20, h->length);
	dp_put64(out + 24, h->offset);
	dp_put64(out + 32, h->epoch);
	dp_put64(out + 40, h->seq);
	dp_put64(out + 48, h->set);
	dp_put64(out + 56, h->chain);
	dp_put64(out + 64, h->agreed);
	dp_put64(out + 72, h->client);
	dp_put64(out + 80, h->request);
	dp_put64(out + 88, h->time_us);
	dp_put32(out + PAYLOAD_LEN_AT, h->payload_len);
	dp_put32(out + 100, h->payload_crc);
	dp_put64(out + 104, h->prior);
}

uint64_t dp_chain_start(uint64_t stream)
{
	uint8_t in[8], out[crypto_shorthash_BYTES];
	dp_put64(in, stream);
	crypto_shorthash(out, in, sizeof in, chain_key);
	return dp_get64(out);
}

uint64_t dp_chain_next(uint64_t previous, const struct dp_header *h)
{
	uint8_t in[DP_RECORD_HEADER_SIZE], out[crypto_shorthash_BYTES];
	struct dp_header copy = *h;
	copy.chain = previous;
	copy.agreed = 0;
	encode_fields(&copy, in);
	crypto_shorthash(out, in, sizeof in, chain_key);
	return dp_get64(out);
}

void dp_header_encode(const struct dp_header *h, uint8_t out[DP_RECORD_HEADER_SIZE])
{
	encode_fields(h, out);
	dp_put32(out + CRC_AT, dp_crc32c(0, out, CRC_AT));
}

uint32_t dp_record_payload_len(const uint8_t in[DP_RECORD_HEADER_SIZE])
{
	return dp_get32(in + PAYLOAD_LEN_AT);
}

static int check_extent(const struct dp_header *h)
{
	if (h->op < DP_OP_WRITE || h->op > DP_OP_INSYNC)
		return DP_EBADMSG;
	uint64_t data = h->op == DP_OP_WRITE ? h->length : 0;
	bool sealed = h->flags & DP_RECORD_SEALED;
	if (h->payload_len < data + (sealed ? DP_SEAL_MIN : 0) ||
		h->payload_len > data + (sealed ? DP_SEAL_MAX : 0))
		return DP_EBADMSG;
	if (h->op == DP_OP_WRITE && (h->length == 0 || h->length > DP_PAYLOAD_MAX))
		return DP_EBADMSG;
	if (dp_op_has_extent(h->op) &&
		(h->length == 0 || h->length > DP_EXTENT_MAX || h->offset > UINT64_MAX / 2))
		return DP_EBADMSG;
	return h->seq == 0 ? DP_EBADMSG : 0;
}

int dp_header_decode(const uint8_t in[DP_RECORD_HEADER_SIZE], struct dp_header *h)
{
	if (dp_get32(in) != DP_RECORD_MAGIC)
		return DP_EBADMSG;
	if (dp_get16(in + 4) != DP_RECORD_VERSION)
		return DP_EVERSION;
	if (dp_get32(in + CRC_AT) != dp_crc32c(0, in, CRC_AT))
		return DP_ECHECKSUM;
	*h = (struct dp_header){
		.op = in[6],
		.flags = in[7],
		.stream = dp_get64(in + 8),
		.volume = dp_get32(in + 16),
		.length = dp_get32(in + 20),
		.offset = dp_get64(in + 24),
		.epoch = dp_get64(in + 32),
		.seq = dp_get64(in + 40),
		.set = dp_get64(in + 48),
		.chain = dp_get64(in + 56),
		.agreed = dp_get64(in + 64),
		.client = dp_get64(in + 72),
		.request = dp_get64(in + 80),
		.time_us = dp_get64(in + 88),
		.payload_len = dp_record_payload_len(in),
		.payload_crc = dp_get32(in + 100),
		.prior = dp_get64(in + 104),
	};
	return check_extent(h);
}

struct dp_record *dp_record_new(const struct dp_header *h, struct dp_buf *payload)
{
	struct dp_record *r = calloc(1, sizeof *r);
	if (!r) {
		dp_buf_unref(&payload);
		return NULL;
	}
	atomic_init(&r->refs, 1);
	r->h = *h;
	r->payload = payload;
	dp_header_encode(&r->h, r->raw);
	return r;
}

int dp_record_decode(const uint8_t raw[DP_RECORD_HEADER_SIZE], struct dp_buf *payload,
	struct dp_record **out)
{
	struct dp_header h;
	int err = dp_header_decode(raw, &h);
	if (!err && (payload ? payload->size : 0) != h.payload_len)
		err = DP_EBADMSG;
	if (!err && payload && dp_crc32c(0, payload->data, payload->size) != h.payload_crc)
		err = DP_ECHECKSUM;
	if (err) {
		dp_buf_unref(&payload);
		return err;
	}
	struct dp_record *r = malloc(sizeof *r);
	if (!r) {
		dp_buf_unref(&payload);
		return DP_ENOMEM;
	}
	atomic_init(&r->refs, 1);
	r->h = h;
	r->payload = payload;
	memcpy(r->raw, raw, sizeof r->raw);
	*out = r;
	return 0;
}

struct dp_record *dp_record_ref(struct dp_record *r)
{
	atomic_fetch_add_explicit(&r->refs, 1, memory_order_relaxed);
	return r;
}

void dp_record_unref(struct dp_record **pr)
{
	struct dp_record *r = *pr;
	*pr = NULL;
	if (!r || atomic_fetch_sub_explicit(&r->refs, 1, memory_order_acq_rel) != 1)
		return;
	dp_buf_unref(&r->payload);
	free(r);
}

int dp_record_verify(const struct dp_record *r)
{
	if (!r->payload)
		return 0;
	return dp_crc32c(0, r->payload->data, r->payload->size) == r->h.payload_crc ? 0
										    : DP_ECHECKSUM;
}
