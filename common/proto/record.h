/* SPDX-License-Identifier: MIT */
/* The record: one operation of a stream, the same bytes on the wire and in every journal.
 * Layout in docs/wire-format.md. */
#ifndef DP_PROTO_RECORD_H
#define DP_PROTO_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"

#define DP_RECORD_MAGIC       0x31525044u /* "DPR1" */
#define DP_RECORD_VERSION     1
#define DP_RECORD_HEADER_SIZE 128

enum dp_op {
	DP_OP_WRITE = 1,
	DP_OP_TRIM = 2,
	DP_OP_ZERO = 3,
	DP_OP_FLUSH = 4,  /* closes a write set; no extent */
	DP_OP_MARK = 5,   /* a named point of the stream; `offset` is the mark's id */
	DP_OP_INSYNC = 6, /* which legs count from here on; `offset` is dp_meta.away */
};

#define DP_RECORD_FUA        0x01 /* durable at the flush stage before the host's acknowledgement */
#define DP_RECORD_CLOSES_SET 0x02 /* last record of its write set */
#define DP_RECORD_SEALED                                                                           \
	0x04 /* the payload is sealed (proto/seal.h), also of an operation without data */

struct dp_header {
	uint8_t op, flags;
	uint64_t stream;
	uint32_t volume;
	uint32_t length; /* bytes of the volume that the operation covers */
	uint64_t offset;
	uint64_t epoch, seq, set;
	uint64_t chain;  /* hash of this record and, through it, of all before it */
	uint64_t agreed; /* when made: known to satisfy the ack policy; may be applied to images */
	uint64_t client, request; /* who asked; names a request for ever */
	uint64_t time_us;         /* controller's wall clock at acceptance */
	uint32_t payload_len, payload_crc;
	uint64_t prior; /* of a sealed record: the chain of the one before it, under the seal; else
			   0 */
};

/* A position of a stream. chain identifies the whole history up to it. Seq 0 is the beginning,
 * with epoch 0 and dp_chain_start(). */
struct dp_position {
	uint64_t epoch, seq, chain;
};

/* Reference-counted, immutable once made. */
struct dp_record {
	atomic_uint refs;
	struct dp_header h;
	uint8_t raw[DP_RECORD_HEADER_SIZE]; /* h as encoded: forwarded and journalled as it came */
	struct dp_buf *payload;             /* NULL unless payload_len > 0 */
};

uint64_t dp_chain_start(uint64_t stream);

/* The chain hash of h when the record before it has `previous`. h->chain and h->agreed do not
 * count (the latter differs when a record is made anew by nobody but its first writer). */
uint64_t dp_chain_next(uint64_t previous, const struct dp_header *h);

void dp_header_encode(const struct dp_header *h, uint8_t out[DP_RECORD_HEADER_SIZE]);

/* 0, DP_EBADMSG (magic, unknown operation, lengths), DP_EVERSION, DP_ECHECKSUM. */
int dp_header_decode(const uint8_t in[DP_RECORD_HEADER_SIZE], struct dp_header *h);

/* Of a header that was not looked at otherwise yet: any number. */
uint32_t dp_record_payload_len(const uint8_t in[DP_RECORD_HEADER_SIZE]);

/* A record of `h`, complete with chain and payload_crc, and `payload`, whose reference is
 * taken over; NULL for none. Returns NULL (payload released) if out of memory. */
struct dp_record *dp_record_new(const struct dp_header *h, struct dp_buf *payload);

/* A record from encoded bytes and payload (reference taken over, also on failure). Verifies
 * header CRC, payload length and payload CRC. Errors as dp_header_decode, DP_ENOMEM. */
int dp_record_decode(const uint8_t raw[DP_RECORD_HEADER_SIZE], struct dp_buf *payload,
	struct dp_record **out);

struct dp_record *dp_record_ref(struct dp_record *r);
void dp_record_unref(struct dp_record **r);

/* Verifies the payload's CRC once more (before it is applied). 0 or DP_ECHECKSUM. */
int dp_record_verify(const struct dp_record *r);

static inline bool dp_op_has_extent(uint8_t op)
{
	return op == DP_OP_WRITE || op == DP_OP_TRIM || op == DP_OP_ZERO;
}

static inline bool dp_position_equal(struct dp_position a, struct dp_position b)
{
	return a.seq == b.seq && a.chain == b.chain;
}

#endif
