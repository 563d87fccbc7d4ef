/* SPDX-License-Identifier: MIT */
/* The host's channel: libdipole <-> controller, over a Unix stream socket (docs/wire-format.md).
 *
 * A fixed header, then payload_len bytes. Requests of one connection are answered in any order.
 * A client numbers its mutating requests (write, trim, zero, flush) in the order it sends them,
 * strictly growing; after a lost connection it says HELLO with the same client id and sends what
 * is not yet answered again, in the order of the ids. The controller applies each (client, id)
 * once. Reads take ids from the same counter. */
#ifndef DP_PROTO_HOST_H
#define DP_PROTO_HOST_H

#include <stdint.h>

#define DP_CHANNEL_MAGIC        0x314c5044u /* "DPL1" */
#define DP_CHANNEL_VERSION      1
#define DP_CHANNEL_REQUEST_SIZE 56
#define DP_CHANNEL_REPLY_SIZE   40
#define DP_CHANNEL_HELLO_SIZE   24    /* payload of the reply to HELLO */
#define DP_CHANNEL_LIST_MAX     65536 /* payload of the reply to LIST: names, each ended by a 0 */

enum dp_channel_type {
	DP_CHANNEL_HELLO = 1, /* payload: volume name. First request of a connection, except LIST */
	DP_CHANNEL_LIST = 2,  /* names of the controller's volumes */
	DP_CHANNEL_READ = 3,  /* length <= max_payload; the reply carries the data */
	DP_CHANNEL_WRITE = 4, /* payload_len == length <= max_payload */
	DP_CHANNEL_TRIM = 5,  /* length <= max_extent */
	DP_CHANNEL_ZERO = 6,
	DP_CHANNEL_FLUSH = 7, /* closes the write set; the reply names it */
};

#define DP_CHANNEL_FUA 0x01

struct dp_channel_request {
	uint8_t type, flags;
	uint32_t length, payload_len;
	uint64_t client; /* random, chosen once per client; same after each reconnection */
	uint64_t id;
	uint64_t offset;
	uint64_t set; /* explicit write set, 0: the controller's current one */
};

struct dp_channel_reply {
	uint8_t type;
	int32_t error; /* 0 or a positive errno: EIO ENOSPC EINVAL EPERM ESHUTDOWN ENOENT EPROTO */
	uint32_t payload_len;
	uint64_t id;
	uint64_t set; /* the write set the request belongs to; 0 for reads */
};

/* The volume, in the reply to HELLO. */
struct dp_channel_volume {
	uint64_t size;
	uint32_t max_payload, max_extent;
	uint32_t max_requests; /* a client keeps at most so many requests unanswered */
};

void dp_channel_request_encode(const struct dp_channel_request *r,
	uint8_t out[DP_CHANNEL_REQUEST_SIZE]);
void dp_channel_reply_encode(const struct dp_channel_reply *r, uint8_t out[DP_CHANNEL_REPLY_SIZE]);
void dp_channel_volume_encode(const struct dp_channel_volume *v,
	uint8_t out[DP_CHANNEL_HELLO_SIZE]);

/* 0, DP_EBADMSG (not this protocol, or a length beyond its limit), DP_EVERSION. */
int dp_channel_request_decode(const uint8_t in[DP_CHANNEL_REQUEST_SIZE],
	struct dp_channel_request *r);
int dp_channel_reply_decode(const uint8_t in[DP_CHANNEL_REPLY_SIZE], struct dp_channel_reply *r);
int dp_channel_volume_decode(const uint8_t *in, uint32_t size, struct dp_channel_volume *v);

#endif
