/* SPDX-License-Identifier: MIT */
/* What really happened: every record that any controller ever made, by seq and chain. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/seal.h"
#include "sim.h"

struct variant {
	struct dp_record *record;
	struct dp_buf *data; /* what a write puts there */
	uint64_t previous;
	uint32_t kept;        /* by node: it was durable on its disk at some time */
	struct variant *next; /* another record of the same seq, from another epoch */
	struct variant *same_request;
};

struct check {
	uint64_t start_chain, volume_size;
	struct dp_seal *opener;
	struct variant **by_seq, *by_request[SIM_REQUESTS + 1];
	uint64_t capacity;
};

struct check *check_new(uint64_t stream, uint64_t volume_size, struct dp_seal *opener)
{
	struct check *c = calloc(1, sizeof *c);
	c->start_chain = dp_chain_start(stream);
	c->volume_size = volume_size;
	c->opener = opener;
	return c;
}

static struct variant *find(struct check *c, uint64_t seq, uint64_t chain)
{
	struct variant *v = seq < c->capacity ? c->by_seq[seq] : NULL;
	while (v && v->record->h.chain != chain)
		v = v->next;
	return v;
}

static struct dp_buf *open_record(struct check *c, const struct dp_record *r)
{
	struct dp_buf *data = NULL;
	int err;
	if (!c->opener)
		return dp_buf_ref(r->payload);
	do
		err = dp_seal_open_record(c->opener, r, &data);
	while (err == DP_ENOMEM); /* it is the nodes that memory fails for */
	if (err)
		sim_fail("record %llu cannot be opened", (unsigned long long)r->h.seq);
	return data;
}

void check_record(struct check *c, const struct dp_record *r, uint64_t previous)
{
	while (r->h.seq >= c->capacity) {
		uint64_t capacity = c->capacity ? c->capacity * 2 : 1024;
		c->by_seq = realloc(c->by_seq, capacity * sizeof *c->by_seq);
		memset(c->by_seq + c->capacity, 0, (capacity - c->capacity) * sizeof *c->by_seq);
		c->capacity = capacity;
	}
	if (find(c, r->h.seq, r->h.chain))
		return;
	for (struct variant *v = c->by_seq[r->h.seq]; v; v = v->next)
		if (v->record->h.epoch == r->h.epoch)
			sim_fail("two records were made for epoch %llu seq %llu",
				(unsigned long long)r->h.epoch, (unsigned long long)r->h.seq);
	struct variant *v = calloc(1, sizeof *v);
	v->record = dp_record_ref((struct dp_record *)(uintptr_t)r);
	v->previous = previous;
	v->data = open_record(c, r);
	v->next = c->by_seq[r->h.seq];
	c->by_seq[r->h.seq] = v;
	if (r->h.request <= SIM_REQUESTS) {
		v->same_request = c->by_request[r->h.request];
		c->by_request[r->h.request] = v;
	}
}

const struct dp_record *check_find(struct check *c, uint64_t seq, uint64_t chain)
{
	struct variant *v = find(c, seq, chain);
	return v ? v->record : NULL;
}

void check_keep(struct check *c, unsigned node, struct dp_position p)
{
	struct variant *v = find(c, p.seq, p.chain);
	if (v)
		v->kept |= 1u << node;
}

bool check_kept(struct check *c, unsigned node, struct dp_position p)
{
	struct variant *v = find(c, p.seq, p.chain);
	return p.seq == 0 || (v && v->kept & 1u << node);
}

bool check_known(struct check *c, struct dp_position p)
{
	return p.seq == 0 ? p.chain == c->start_chain : find(c, p.seq, p.chain) != NULL;
}

/* The records (from, to.seq] of one history, oldest first; NULL ends it. */
static struct variant **path(struct check *c, uint64_t from, struct dp_position to)
{
	uint64_t count = to.seq - from, chain = to.chain;
	struct variant **list = calloc(count + 1, sizeof(struct variant *));
	for (uint64_t seq = to.seq; seq > from; seq--) {
		struct variant *v = find(c, seq, chain);
		if (!v)
			sim_fail("no controller made seq %llu of this history",
				(unsigned long long)seq);
		list[seq - from - 1] = v;
		chain = v->previous;
	}
	return list;
}

void check_apply(struct check *c, uint64_t from, struct dp_position to, uint8_t *volume)
{
	struct variant **list = path(c, from, to);
	for (struct variant **v = list; *v; v++) {
		const struct dp_header *h = &(*v)->record->h;
		/* The two volumes of the stream lie one behind the other. */
		uint8_t *to_bytes = volume + (h->volume - 1) * (c->volume_size / 2) + h->offset;
		if (h->op == DP_OP_WRITE)
			memcpy(to_bytes, (*v)->data->data, h->length);
		else if (dp_op_has_extent(h->op))
			memset(to_bytes, 0, h->length);
	}
	free(list);
}

void check_replay(struct check *c, struct dp_position p, uint8_t *volume)
{
	memset(volume, 0, c->volume_size);
	check_apply(c, 0, p, volume);
}

bool check_on_path(struct check *c, struct dp_position p, struct dp_position end)
{
	if (p.seq > end.seq)
		return false;
	for (; end.seq > p.seq; end.seq--) {
		struct variant *v = find(c, end.seq, end.chain);
		if (!v)
			return false;
		end.chain = v->previous;
	}
	return p.seq == 0 || end.chain == p.chain;
}

bool check_request(struct check *c, uint64_t request, struct dp_position end,
	struct dp_position *out)
{
	struct variant *v = c->by_request[request];
	for (; v; v = v->same_request) {
		*out = (struct dp_position){
			v->record->h.epoch, v->record->h.seq, v->record->h.chain};
		/* The walk is only needed if an epoch that is no more had the request too. */
		if ((v == c->by_request[request] && !v->same_request) ||
			check_on_path(c, *out, end))
			return true;
	}
	return false;
}

unsigned check_count(struct check *c, struct dp_position p, uint64_t client, uint64_t request)
{
	struct variant **list = path(c, 0, p);
	unsigned count = 0;
	for (struct variant **v = list; *v; v++)
		count += (*v)->record->h.client == client && (*v)->record->h.request == request;
	free(list);
	return count;
}

void check_free(struct check *c)
{
	for (uint64_t i = 0; i < c->capacity; i++) {
		while (c->by_seq[i]) {
			struct variant *v = c->by_seq[i];
			c->by_seq[i] = v->next;
			dp_record_unref(&v->record);
			dp_buf_unref(&v->data);
			free(v);
		}
	}
	free(c->by_seq);
	free(c);
}
