/* SPDX-License-Identifier: MIT */
/* Messages between the two ends of a link (docs/wire-format.md). Records go down, positions come
 * up; every message names the stream and the session it belongs to. */
#ifndef DP_PROTO_MESSAGE_H
#define DP_PROTO_MESSAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "proto/history.h"
#include "proto/record.h"

#define DP_MSG_MAGIC     0x314d5044u /* "DPM1" */
#define DP_MSG_VERSION   4
#define DP_MSG_PREFIX    32
#define DP_WANTED_DIGEST 32
#define DP_MSG_HEAD_MAX  (DP_MSG_PREFIX + 128 + 2 * DP_META_MAX)

enum dp_msg_type {
	DP_MSG_HELLO = 1,   /* down: opens a session, asks for a promise of `epoch` */
	DP_MSG_WELCOME = 2, /* up: the promise is durable; what the receiver has */
	DP_MSG_REFUSE = 3,  /* up: no session, and why */
	DP_MSG_START = 4,   /* down: records follow from `at`; what lies beyond it is cut */
	DP_MSG_RECORD = 5,  /* down; up while a record is pulled */
	DP_MSG_ACK = 6,     /* up: cumulative */
	DP_MSG_NAK = 7,     /* up: resend from `seq` */
	DP_MSG_MARKS = 8,   /* down: agreed, and what was sent; always answered by an ACK */
	DP_MSG_PULL = 9,    /* down: send your records from `seq` on up to me (adoption) */
	DP_MSG_READ = 10,   /* down, relayed to the mirror */
	DP_MSG_DATA = 11,   /* up */
	DP_MSG_RESET = 12,  /* down, instead of START: jump your log to this meta and resync; later:
			       an order to resync */
	DP_MSG_FETCH = 13,  /* up, relayed to the controller: a READ for a resync */
	DP_MSG_FILL = 14,   /* down, relayed to the mirror: the DATA of a FETCH */
	DP_MSG_TYPE_LAST = DP_MSG_FILL,
};

enum dp_refusal {
	DP_REFUSE_STALE = 1,    /* a higher epoch was promised: `number` */
	DP_REFUSE_SESSION = 2,  /* unknown session: say HELLO */
	DP_REFUSE_CONFIG = 3,   /* the two sides know different volumes for the stream */
	DP_REFUSE_FAILED = 4,   /* the receiver's journal has failed */
	DP_REFUSE_DIVERGED = 5, /* the receiver has applied what the sender's history lacks */
};

/* What a node knows of the images below it, or of its own. */
enum dp_images_state {
	DP_IMAGES_UNKNOWN = 0,
	DP_IMAGES_RESYNCING = 1,
	DP_IMAGES_WHOLE = 2,
};

/* A read that need not carry what the reader has: an equal digest is answered with SAME, and what
 * reads as zeros with ZEROS and how far they go. */
struct dp_wanted {
	uint64_t id, offset, min_seq;
	uint32_t volume, length;
	bool compare;
	uint8_t digest[DP_WANTED_DIGEST]; /* all zero: the reader has nothing */
};

enum dp_found_kind { DP_FOUND_DATA = 0, DP_FOUND_SAME = 1, DP_FOUND_ZEROS = 2 };

struct dp_found {
	uint64_t id;
	int32_t status;  /* 0 or a dp_err code */
	uint32_t kind;   /* of dp_found_kind */
	uint64_t seq;    /* no record after it was seen by this read */
	uint64_t length; /* ZEROS: bytes from the offset that read as zeros, may be more than asked
			    for */
};

struct dp_welcome {
	uint64_t instance; /* changes when the receiver's journal is made anew */
	uint64_t cached, committed, room;
	uint32_t images; /* of dp_images_state */
	struct dp_meta tail,
		last; /* records after tail.at can be pulled; last.clients is not sent */
};

struct dp_reset {
	uint64_t common; /* the receiver's log is the sender's history up to here; of an order: its
			    id */
	struct dp_meta meta; /* the sender's log begins after it */
};

struct dp_msg {
	uint8_t type;
	uint64_t stream, session;
	struct dp_buf *payload; /* DATA; the caller of decode owns it */
	union {
		struct {
			uint64_t epoch;
			uint64_t config; /* hash of the stream's volumes and sizes */
		} hello;
		struct dp_welcome *welcome; /* owned by the message */
		struct {
			uint32_t reason;
			uint64_t number;
		} refuse;
		struct {
			struct dp_position at;
			uint64_t agreed;
		} start;
		struct dp_record *record; /* RECORD: one reference, owned by the message */
		struct {
			uint64_t cached, committed, room;
			uint32_t images; /* of dp_images_state */
			uint32_t order;  /* the newest order to resync that was taken; 0: none */
		} ack;
		struct {
			uint64_t seq;
		} nak;
		struct {
			uint64_t seq, bytes;
		} pull;
		struct {
			uint64_t agreed, sent;
		} marks;
		struct dp_wanted read;  /* READ, FETCH */
		struct dp_found data;   /* DATA, FILL */
		struct dp_reset *reset; /* owned by the message */
	} u;
};

/* Encodes the head (first frame) into out[DP_MSG_HEAD_MAX] and returns its size. The second
 * frame, where there is one, is dp_msg_payload(). */
uint32_t dp_msg_encode(const struct dp_msg *m, uint8_t *out);
struct dp_buf *dp_msg_payload(const struct dp_msg *m); /* borrowed; NULL: none */

/* Decodes head and payload. The payload reference is taken over in every case. On success the
 * message owns what it carries: dp_msg_clear() releases it.
 * Errors: DP_EBADMSG, DP_EVERSION, DP_ECHECKSUM, DP_ENOMEM. With DP_ECHECKSUM of a RECORD whose
 * head was whole, type, stream and session are set, so that a NAK can be sent. */
int dp_msg_decode(const uint8_t *head, size_t size, struct dp_buf *payload, struct dp_msg *m);
void dp_msg_clear(struct dp_msg *m);

/* One ZeroMQ message holds one or more of ours: their heads one after the other in the first frame,
 * their payloads in the same order in the second. How long a RECORD's payload is says its header;
 * any other with a payload is the last one, which has the rest. */
struct dp_msg_walk {
	const uint8_t *head;    /* of the next message */
	size_t left;            /* bytes of heads */
	struct dp_buf *payload; /* the second frame, borrowed; NULL: none */
	size_t payload_at;
};

/* Takes the next one out, as dp_msg_decode() does: its result, or 1 at the end, where m is not
 * touched. After an error that leaves open where the next one begins, the end follows. */
int dp_msg_walk_next(struct dp_msg_walk *w, struct dp_msg *m);

const char *dp_msg_name(uint8_t type);

#endif
