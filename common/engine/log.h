/* SPDX-License-Identifier: MIT */
/* The log of a stream at one node, in memory: a ring of entries for the seqs (first-1, last].
 * Each entry keeps what the core asks of a record; the record itself stays in memory only while
 * the window allows (it is in the journal then). */
#ifndef DP_ENGINE_LOG_H
#define DP_ENGINE_LOG_H

#include "proto/history.h"
#include "proto/record.h"

/* What a record takes in memory beside its payload: itself, a buffer, and what the allocator and
 * the message it came in add. */
#define DP_LOG_RECORD_MEMORY (sizeof(struct dp_record) + sizeof(struct dp_buf) + 96)

struct dp_log_entry {
	struct dp_record *record; /* one reference, or NULL: only in the journal */
	uint64_t epoch, chain, set, agreed;
	uint64_t client, request;
	uint64_t offset;
	uint64_t bytes; /* of the payloads of this record and all before it in this log */
	uint32_t volume, length, payload_len;
	uint32_t stamp_ms; /* when it came to this node, of the node's clock */
	uint8_t op, flags;
};

struct dp_log {
	struct dp_meta tail; /* everything up to tail.at has been released */
	struct dp_meta last; /* state after the newest record; tail if the log is empty */
	struct dp_log_entry *ring;
	uint64_t capacity; /* a power of two */
	uint64_t memory;   /* bytes of payload held by records in the ring */
	uint64_t evicted;  /* records up to here have been dropped from memory */
};

int dp_log_init(struct dp_log *log, const struct dp_meta *tail); /* 0 or DP_ENOMEM */
void dp_log_clear(struct dp_log *log);

/* Appends a record that follows log->last.at; takes a reference. The second form keeps the
 * header only (recovery). 0, DP_EGAP (seq), DP_EDIVERGED (chain), DP_ENOMEM; unchanged then. */
int dp_log_append(struct dp_log *log, struct dp_record *r, uint32_t stamp_ms);
int dp_log_append_header(struct dp_log *log, const struct dp_header *h);

/* NULL if seq is not in the log. */
struct dp_log_entry *dp_log_entry(const struct dp_log *log, uint64_t seq);

/* Position at seq, for tail.at.seq <= seq <= last.at.seq. false: unknown. */
bool dp_log_position(const struct dp_log *log, uint64_t seq, struct dp_position *out);

/* Payload bytes of the records after `from` up to `to`, which are in the log (from: at least the
 * tail). */
uint64_t dp_log_bytes(const struct dp_log *log, uint64_t from, uint64_t to);

void dp_log_release(struct dp_log *log, uint64_t seq); /* forget all up to seq */
void dp_log_cut(struct dp_log *log, uint64_t seq);     /* forget all after seq (>= tail) */
void dp_log_reset(struct dp_log *log, const struct dp_meta *at); /* empty, standing at `at` */

/* Drops records from memory, oldest first and only up to seq, until memory <= limit. */
void dp_log_evict(struct dp_log *log, uint64_t seq, uint64_t limit);

static inline uint64_t dp_log_count(const struct dp_log *log)
{
	return log->last.at.seq - log->tail.at.seq;
}

/* The header fields that an entry keeps, for dp_meta_advance(). */
struct dp_header dp_log_header(const struct dp_log_entry *e, uint64_t seq);

#endif
