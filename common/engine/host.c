/* SPDX-License-Identifier: MIT */
/* Requests of hosts: each gets a record, and one answer. */
#include "engine/internal.h"

#include <assert.h>
#include <stdlib.h>

#include "base/err.h"

/* Journal bytes kept free for barriers: promises must never fail for lack of room. */
#define ROOM_RESERVE (64 * DP_KIB)

#define WAITS_START 16u /* entries of a queue that is used for the first time */

bool dp_core_accepts(const struct dp_core *c, uint32_t length, uint64_t room)
{
	return c->state == DP_CORE_OPEN && !c->promise.base_token &&
		c->log.memory < c->cfg.window_bytes && c->writes.count < DP_HOST_REQUESTS_MAX &&
		c->flushes.count < DP_HOST_REQUESTS_MAX &&
		c->journal.reserved + dp_core_cost(length + DP_SEAL_MAX) + ROOM_RESERVE <= room;
}

/* ---- the requests that wait ---- */

static struct dp_wait *wait_at(const struct dp_waits *w, uint32_t index)
{
	return &w->ring[(w->head + index) & (w->capacity - 1)];
}

/* Makes room for one more. false: no memory. */
static bool grow_waits(struct dp_waits *w)
{
	if (w->count < w->capacity)
		return true;
	assert(w->count < DP_HOST_REQUESTS_MAX);
	uint32_t capacity = w->capacity ? w->capacity * 2 : WAITS_START;
	struct dp_wait *ring = calloc(capacity, sizeof *ring);
	if (!ring)
		return false;
	for (uint32_t i = 0; i < w->count; i++)
		ring[i] = *wait_at(w, i);
	free(w->ring);
	*w = (struct dp_waits){.ring = ring, .count = w->count, .capacity = capacity};
	return true;
}

static void push_wait(struct dp_waits *w, struct dp_wait wait)
{
	*wait_at(w, w->count) = wait;
	w->count++;
}

static void send_reply(void *tag, int err, uint64_t set, struct dp_actions *out)
{
	struct dp_action *a = dp_act(out, DP_ACT_REPLY);
	a->tag = tag;
	a->err = err;
	a->set = set;
}

void dp_host_on_request(struct dp_core *c, const struct dp_host_request *r, struct dp_actions *out)
{
	assert(c->state == DP_CORE_OPEN);
	uint64_t current = dp_core_current_set(c), set = r->set ? r->set : current;
	bool flushes = r->op == DP_OP_FLUSH || (r->flags & DP_RECORD_FUA);
	bool closes = flushes || r->op == DP_OP_MARK;
	struct dp_waits *waits = flushes ? &c->flushes : &c->writes;
	struct dp_wait wait = {.tag = r->tag,
		.seq = c->log.last.at.seq,
		.set = c->log.last.set,
		.start_us = c->now_us};
	if (!grow_waits(waits)) {
		send_reply(r->tag, DP_ENOMEM, 0, out);
		return;
	}
	if (!dp_core_makes_record(c, r)) { /* it waits for the records that there are */
		push_wait(waits, wait);
		return;
	}
	if (set < current) {
		send_reply(r->tag, DP_EINVAL, 0, out);
		return;
	}
	struct dp_record *record = dp_core_make(c, r, set, closes);
	if (!record || dp_core_take(c, record)) {
		dp_record_unref(&record);
		send_reply(r->tag, DP_ENOMEM, 0, out);
		return;
	}
	wait.seq = record->h.seq;
	wait.set = set;
	push_wait(waits, wait);
	dp_record_unref(&record);
}

/* ---- answers ---- */

static void answer_upto(struct dp_core *c, struct dp_waits *w, uint64_t reached,
	struct dp_actions *out)
{
	while (w->count && wait_at(w, 0)->seq <= reached) {
		struct dp_wait *first = wait_at(w, 0);
		send_reply(first->tag, 0, first->set, out);
		if (first->seq > c->replied)
			c->replied = first->seq;
		c->acked++;
		w->head = (w->head + 1) & (w->capacity - 1);
		w->count--;
	}
}

void dp_host_settle(struct dp_core *c, struct dp_actions *out)
{
	if (!(c->writes.count || c->flushes.count))
		return;
	uint64_t acked = dp_core_reached(c, c->cfg.ack), flushed = dp_core_reached(c, c->cfg.flush);
	answer_upto(c, &c->writes, acked, out);
	answer_upto(c, &c->flushes, flushed < acked ? flushed : acked, out);
}
