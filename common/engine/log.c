/* SPDX-License-Identifier: MIT */
#include "engine/log.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define CAPACITY_START 16u

static struct dp_log_entry *slot(const struct dp_log *log, uint64_t seq)
{
	return &log->ring[seq & (log->capacity - 1)];
}

int dp_log_init(struct dp_log *log, const struct dp_meta *tail)
{
	*log = (struct dp_log){.tail = *tail, .last = *tail, .evicted = tail->at.seq};
	log->capacity = CAPACITY_START;
	log->ring = calloc(log->capacity, sizeof *log->ring);
	return log->ring ? 0 : DP_ENOMEM;
}

static void drop_record(struct dp_log *log, struct dp_log_entry *e)
{
	if (!e->record)
		return;
	log->memory -= e->payload_len + DP_LOG_RECORD_MEMORY;
	dp_record_unref(&e->record);
}

void dp_log_clear(struct dp_log *log)
{
	if (log->ring)
		dp_log_cut(log, log->tail.at.seq);
	free(log->ring);
	log->ring = NULL;
}

static int grow(struct dp_log *log)
{
	uint64_t capacity = log->capacity * 2;
	struct dp_log_entry *ring = calloc(capacity, sizeof *ring);
	if (!ring)
		return DP_ENOMEM;
	for (uint64_t s = log->tail.at.seq + 1; s <= log->last.at.seq; s++)
		ring[s & (capacity - 1)] = *slot(log, s);
	free(log->ring);
	log->ring = ring;
	log->capacity = capacity;
	return 0;
}

static int append(struct dp_log *log, const struct dp_header *h, struct dp_record *r,
	uint32_t stamp)
{
	if (h->seq != log->last.at.seq + 1)
		return DP_EGAP;
	if (dp_chain_next(log->last.at.chain, h) != h->chain || h->epoch < log->last.at.epoch)
		return DP_EDIVERGED;
	if (dp_log_count(log) == log->capacity && grow(log))
		return DP_ENOMEM;
	const struct dp_log_entry *before = dp_log_entry(log, log->last.at.seq);
	*slot(log, h->seq) = (struct dp_log_entry){
		.bytes = (before ? before->bytes : 0) + h->payload_len,
		.record = r ? dp_record_ref(r) : NULL,
		.epoch = h->epoch,
		.chain = h->chain,
		.set = h->set,
		.agreed = h->agreed,
		.client = h->client,
		.request = h->request,
		.offset = h->offset,
		.volume = h->volume,
		.length = h->length,
		.payload_len = h->payload_len,
		.stamp_ms = stamp,
		.op = h->op,
		.flags = h->flags,
	};
	if (r)
		log->memory += h->payload_len + DP_LOG_RECORD_MEMORY;
	dp_meta_advance(&log->last, h);
	return 0;
}

int dp_log_append(struct dp_log *log, struct dp_record *r, uint32_t stamp_ms)
{
	return append(log, &r->h, r, stamp_ms);
}

int dp_log_append_header(struct dp_log *log, const struct dp_header *h)
{
	return append(log, h, NULL, 0);
}

struct dp_log_entry *dp_log_entry(const struct dp_log *log, uint64_t seq)
{
	if (seq <= log->tail.at.seq || seq > log->last.at.seq)
		return NULL;
	return slot(log, seq);
}

bool dp_log_position(const struct dp_log *log, uint64_t seq, struct dp_position *out)
{
	if (seq == log->tail.at.seq) {
		*out = log->tail.at;
		return true;
	}
	const struct dp_log_entry *e = dp_log_entry(log, seq);
	if (e)
		*out = (struct dp_position){e->epoch, seq, e->chain};
	return e != NULL;
}

struct dp_header dp_log_header(const struct dp_log_entry *e, uint64_t seq)
{
	return (struct dp_header){
		.op = e->op,
		.flags = e->flags,
		.volume = e->volume,
		.length = e->length,
		.offset = e->offset,
		.epoch = e->epoch,
		.seq = seq,
		.set = e->set,
		.chain = e->chain,
		.agreed = e->agreed,
		.client = e->client,
		.request = e->request,
		.payload_len = e->payload_len,
	};
}

uint64_t dp_log_bytes(const struct dp_log *log, uint64_t from, uint64_t to)
{
	if (to <= from)
		return 0;
	const struct dp_log_entry *first = slot(log, from + 1);
	return slot(log, to)->bytes - first->bytes + first->payload_len;
}

void dp_log_release(struct dp_log *log, uint64_t seq)
{
	if (seq > log->last.at.seq)
		seq = log->last.at.seq;
	for (uint64_t s = log->tail.at.seq + 1; s <= seq; s++) {
		struct dp_log_entry *e = slot(log, s);
		struct dp_header h = dp_log_header(e, s);
		drop_record(log, e);
		dp_meta_advance(&log->tail, &h);
	}
	if (log->evicted < log->tail.at.seq)
		log->evicted = log->tail.at.seq;
}

void dp_log_cut(struct dp_log *log, uint64_t seq)
{
	if (seq >= log->last.at.seq)
		return;
	for (uint64_t s = seq + 1; s <= log->last.at.seq; s++)
		drop_record(log, slot(log, s));
	/* The state after `seq`: replayed from the tail, the only way to have its clients. */
	struct dp_meta at = log->tail;
	dp_meta_own(&at, &log->last);
	for (uint64_t s = log->tail.at.seq + 1; s <= seq; s++) {
		struct dp_header h = dp_log_header(slot(log, s), s);
		dp_meta_advance(&at, &h);
	}
	log->last = at;
	if (log->evicted > seq)
		log->evicted = seq;
}

void dp_log_reset(struct dp_log *log, const struct dp_meta *at)
{
	dp_log_cut(log, log->tail.at.seq);
	log->tail = log->last = *at;
	log->evicted = at->at.seq;
}

void dp_log_evict(struct dp_log *log, uint64_t seq, uint64_t limit)
{
	while (log->memory > limit && log->evicted < seq)
		drop_record(log, slot(log, ++log->evicted));
}
