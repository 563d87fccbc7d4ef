/* SPDX-License-Identifier: MIT */
/* Histories and positions: what two sides compare to find out where they agree.
 *
 * A history is the list of epochs with the place where each began: entry i says that the records
 * from `start` on were written in `epoch`, and that the chain hash of record start - 1 was
 * `chain`. Only the newest DP_HISTORY_MAX are kept. */
#ifndef DP_PROTO_HISTORY_H
#define DP_PROTO_HISTORY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/limits.h"
#include "proto/record.h"

struct dp_history {
	uint32_t count;
	struct {
		uint64_t epoch, start, chain;
	} entry[DP_HISTORY_MAX];
};

/* The highest request of each client that is in the stream: names of requests grow along the
 * stream, so one number per client recognises every replay. Longest unused falls out first. */
struct dp_clients {
	uint32_t count;
	struct {
		uint64_t client, request;
	} entry[DP_CLIENTS_MAX];
};

/* Which files of the node are its images. A resync builds the next generation beside the one that
 * counts, which stays as it is until the switch (docs/disk-format.md). */
struct dp_images {
	uint64_t generation; /* of the images that count; 0: as first made */
	uint64_t building;   /* of those a resync is making; 0: none */
	uint64_t copied;     /* so much of them is there: bytes over the volumes in their order */
	uint64_t valid_seq;  /* with the records up to here applied, what is copied is whole */
};

/* A controller's legs, each with a place of its own, which is its bit in dp_meta.away: it keeps the
 * place as long as it is there, whatever becomes of the others. */
#define DP_PLACES DP_DOWN_MAX
struct dp_places {
	uint32_t id[DP_PLACES]; /* the leg's, dp_core_config.leg_ids; 0: nobody's */
	uint32_t joined; /* bit i: the leg at place i has counted; a new one is filled first */
};

/* What a node must remember besides the records themselves; encoded into barriers, superblocks
 * and handshakes. */
struct dp_meta {
	uint64_t promised;     /* highest epoch promised; lower ones are refused */
	struct dp_position at; /* the position this state belongs to */
	uint64_t set;          /* write set of the record at `at` */
	bool set_closed;       /* and whether it ended there */
	uint64_t away; /* bit i: the leg at place i does not count (is not in the in-sync set) */
	bool based;    /* false: the node has never taken part in its stream */
	bool complete; /* controller: what was acknowledged up to here is in its own journal */
	struct dp_places
		places; /* controller; as `images` the node's own, not taken over from a peer */
	struct dp_images images;   /* the node's own: not taken over from a peer's meta */
	struct dp_history history; /* up to `at` */
	struct dp_clients clients; /* up to `at` */
};

/* Notes that record `h` follows `before`. */
void dp_history_add(struct dp_history *history, const struct dp_header *h,
	struct dp_position before);

/* Forgets everything after seq. */
void dp_history_cut(struct dp_history *history, uint64_t seq);

/* The last seq (<= both lasts) up to which the two histories are known to be the same.
 * 0 if nothing in common is known. */
uint64_t dp_history_common(const struct dp_history *a, uint64_t a_last, const struct dp_history *b,
	uint64_t b_last);

void dp_clients_note(struct dp_clients *c, uint64_t client, uint64_t request);
uint64_t dp_clients_last(const struct dp_clients *c, uint64_t client); /* 0: unknown */
void dp_clients_merge(struct dp_clients *into, const struct dp_clients *from);

/* Takes over what a node says of itself, wherever its log stands. */
void dp_meta_own(struct dp_meta *meta, const struct dp_meta *own);

/* Advances a meta over one record that follows meta->at. */
void dp_meta_advance(struct dp_meta *meta, const struct dp_header *h);

#define DP_META_HEAD   96
#define DP_META_PLACES (4 * DP_PLACES) /* follow the head, where there are any */
/* Encoded size is at most DP_META_MAX. encode returns the size used; decode takes exactly
 * `size` bytes: 0 or DP_EBADMSG. */
#define DP_META_MAX (DP_META_HEAD + DP_META_PLACES + 24 * DP_HISTORY_MAX + 16 * DP_CLIENTS_MAX)
uint32_t dp_meta_encode(const struct dp_meta *meta, uint8_t *out);
int dp_meta_decode(const uint8_t *in, uint32_t size, struct dp_meta *meta);

#endif
