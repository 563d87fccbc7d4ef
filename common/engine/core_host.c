/* SPDX-License-Identifier: MIT */
/* Requests of hosts: a place in the stream, and the one acknowledgement. */
#include "engine/core_internal.h"

#include <assert.h>

#include "base/crc32c.h"
#include "base/err.h"

/* Journal bytes kept free for barriers: promises must never fail for lack of room. */
#define ROOM_RESERVE (64 * DP_KIB)

bool dp_core_accepts(const struct dp_core *c, uint32_t length)
{
	return c->state == DP_CORE_OPEN && !c->base_token && c->log.memory < c->cfg.window_bytes &&
		c->writes.count < DP_HOST_REQUESTS_MAX && c->flushes.count < DP_HOST_REQUESTS_MAX &&
		c->owed + dp_core_cost(length + DP_SEAL_MAX) + ROOM_RESERVE <= c->room;
}

static void push(struct dp_waits *w, void *tag, uint64_t seq, uint64_t set, uint64_t now_us)
{
	assert(w->count < DP_HOST_REQUESTS_MAX);
	w->ring[(w->head + w->count++) % DP_HOST_REQUESTS_MAX] = (struct dp_wait){
		.tag = tag, .seq = seq, .set = set, .start_us = now_us};
}

static void reply(void *tag, int err, uint64_t set, struct dp_actions *out)
{
	struct dp_action *a = dp_act(out, DP_ACT_REPLY);
	a->tag = tag;
	a->err = err;
	a->set = set;
}

/* The write set a new record belongs to: the open one, the next, or the one the host names. */
static uint64_t current_set(const struct dp_core *c)
{
	const struct dp_meta *last = &c->log.last;
	return last->at.seq == 0 ? 1 : last->set + (last->set_closed ? 1 : 0);
}

static struct dp_record *make_record(struct dp_core *c, const struct dp_host_request *r,
	uint64_t set, bool closes)
{
	struct dp_header h = {
		.op = r->op,
		.flags = (uint8_t)(r->flags | (closes ? DP_RECORD_CLOSES_SET : 0)),
		.stream = c->cfg.stream,
		.volume = r->volume,
		.length = r->length,
		.offset = r->offset,
		.epoch = c->epoch,
		.seq = c->log.last.at.seq + 1,
		.set = set,
		.agreed = c->agreed,
		.client = r->client,
		.request = r->request,
		.time_us = r->time_us,
	};
	h.prior = c->cfg.seal ? c->log.last.at.chain : 0;
	struct dp_buf *payload = c->cfg.seal ? dp_seal_record(c->cfg.seal, &h, r->payload)
					     : dp_buf_ref(r->payload);
	if (c->cfg.seal && !payload)
		return NULL;
	if (payload) {
		h.payload_len = (uint32_t)payload->size;
		h.payload_crc = dp_crc32c(0, payload->data, payload->size);
	}
	h.chain = dp_chain_next(c->log.last.at.chain, &h);
	return dp_record_new(&h, payload);
}

bool dp_core_makes_record(const struct dp_core *c, const struct dp_host_request *r)
{
	bool replay = r->client && r->request <= dp_clients_last(&c->log.last.clients, r->client);
	bool empty = r->op == DP_OP_FLUSH && (c->log.last.at.seq == 0 || c->log.last.set_closed) &&
		!r->set;
	return !replay && !empty && !r->unchanged;
}

void dp_host_request(struct dp_core *c, const struct dp_host_request *r, struct dp_actions *out)
{
	assert(c->state == DP_CORE_OPEN);
	uint64_t last = c->log.last.at.seq, set = r->set ? r->set : current_set(c);
	bool flushes = r->op == DP_OP_FLUSH || (r->flags & DP_RECORD_FUA);
	bool closes = flushes || r->op == DP_OP_MARK;
	struct dp_waits *waits = flushes ? &c->flushes : &c->writes;
	if (!dp_core_makes_record(c, r)) { /* waits for what there is */
		push(waits, r->tag, last, c->log.last.set, c->now_us);
		return;
	}
	if (set < current_set(c)) {
		reply(r->tag, DP_EINVAL, 0, out);
		return;
	}
	struct dp_record *record = make_record(c, r, set, closes);
	if (!record || dp_core_take(c, record)) {
		dp_record_unref(&record);
		reply(r->tag, DP_ENOMEM, 0, out);
		return;
	}
	push(waits, r->tag, record->h.seq, set, c->now_us);
	dp_record_unref(&record);
}

bool dp_core_write_insync(struct dp_core *c, uint64_t away)
{
	struct dp_host_request r = {.op = DP_OP_INSYNC, .offset = away};
	struct dp_record *record = make_record(c, &r, current_set(c), true);
	bool taken = record && dp_core_take(c, record) == 0;
	dp_record_unref(&record);
	return taken;
}

static void answer(struct dp_core *c, struct dp_waits *w, uint64_t reached, struct dp_actions *out)
{
	while (w->count && w->ring[w->head].seq <= reached) {
		struct dp_wait *first = &w->ring[w->head];
		reply(first->tag, 0, first->set, out);
		if (first->seq > c->replied)
			c->replied = first->seq;
		c->acked++;
		w->head = (w->head + 1) % DP_HOST_REQUESTS_MAX;
		w->count--;
	}
}

void dp_host_settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->cfg.role != DP_CORE_CONTROLLER || !(c->writes.count || c->flushes.count))
		return;
	uint64_t acked = dp_core_reached(c, c->cfg.ack), flushed = dp_core_reached(c, c->cfg.flush);
	answer(c, &c->writes, acked, out);
	answer(c, &c->flushes, flushed < acked ? flushed : acked, out);
}
