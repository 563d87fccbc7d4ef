/* SPDX-License-Identifier: MIT */
/* Taking part again after a start.
 *
 * A controller claims a new epoch, which seals the legs against the old one, and asks the legs
 * what they have. What may have been acknowledged and is not in its own journal, it adopts from
 * the leg with the longest history. It waits for all legs: one whose disk was replaced, or whose
 * relay had to begin anew, has less than it once acknowledged and cannot stand for the others.
 * A relay whose journal is new does the same with the nodes below it. */
#include "engine/core_internal.h"

#include <stdlib.h>

#define ADOPT_STALL_US 2000000

/* A leg that is new has nothing to say, unless all are. */
static bool is_asked(const struct dp_core *c, uint32_t i)
{
	bool any = false;
	for (uint32_t n = 0; n < c->cfg.down_count; n++)
		any = any || !dp_insync_is_new(c, n);
	return !any || !dp_insync_is_new(c, i);
}

static uint32_t answers_needed(const struct dp_core *c)
{
	uint32_t asked = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		asked += is_asked(c, i);
	return c->complete ? 0 : asked;
}

/* A controller's new epoch: durable before anybody hears of it. */
void dp_recover_claim(struct dp_core *c, uint64_t epoch, struct dp_actions *out)
{
	struct dp_meta meta = c->log.last;
	dp_core_append_upto(c, c->log.last.at.seq,
		out); /* while adopting: the barrier stands behind them */
	c->state = DP_CORE_PROMISING;
	meta.promised = c->promise_epoch = epoch;
	c->promise_token = dp_core_barrier(c, &meta, out);
}

void dp_recover_start(struct dp_core *c, struct dp_actions *out)
{
	/* What was released need not have been committed below: a log may have jumped, a leg may
	 * have been given up. Those below say. */
	c->committed = c->cfg.down_count ? 0 : c->log.tail.at.seq;
	c->replied = c->log.last.at.seq;
	dp_insync_places(c);
	if (c->cfg.image) {
		c->apply_told = c->agreed;
		dp_act(out, DP_ACT_APPLY)->seq = c->agreed;
	}
	if (c->cfg.role == DP_CORE_CONTROLLER) {
		dp_recover_claim(c, c->log.last.promised + 1, out);
		return;
	}
	c->state = c->cfg.role == DP_CORE_RELAY && !c->log.last.based ? DP_CORE_RECOVERING
								      : DP_CORE_OPEN;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		dp_down_connect(c, i, out);
}

void dp_core_complete(struct dp_core *c, bool complete, struct dp_actions *out)
{
	dp_core_append_upto(c, c->log.last.at.seq, out);
	struct dp_meta meta = c->log.last;
	meta.complete = complete;
	/* No other barrier, and no superblock, may say so before the records that it speaks of are
	 * durable. */
	if (!complete)
		c->log.last.complete = c->log.tail.complete = false;
	c->base_complete = complete;
	c->base_token = dp_core_barrier(c, &meta, out);
}

void dp_core_open(struct dp_core *c, struct dp_actions *out)
{
	c->state = DP_CORE_OPEN;
	c->replied = c->log.last.at.seq;
	dp_insync_open(c);
	bool complete = c->cfg.role == DP_CORE_CONTROLLER && !dp_core_may_be_lazy(c);
	if (!c->log.last.based || c->log.last.complete != complete) {
		c->log.last.based = c->log.tail.based = true;
		dp_core_complete(c, complete, out);
	}
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (c->down[i].state == DP_DOWN_WAITING)
			dp_down_start(c, i, out);
		else /* what was adopted from it was not in the log before */
			dp_down_recount(c, &c->down[i]);
	dp_up_hello(c, out);
}

static bool longer(struct dp_position a, struct dp_position b)
{
	return a.epoch != b.epoch ? a.epoch > b.epoch : a.seq > b.seq;
}

/* Own journal to the common point, or, where the leg no longer has what follows it, to the place
 * the leg's log begins: everything before that is on all legs. */
static bool meet(struct dp_core *c, const struct dp_welcome *w, struct dp_actions *out)
{
	uint64_t own = c->log.last.at.seq;
	uint64_t common = own == 0
		? 0
		: dp_history_common(&c->log.last.history, own, &w->last.history, w->last.at.seq);
	if (common < own && common >= c->log.tail.at.seq && common >= c->apply_told)
		dp_core_cut(c, common, out);
	if (c->log.last.at.seq >= w->tail.at.seq)
		return common == c->log.last.at.seq;
	if (c->cfg.image)
		return false; /* an image cannot jump: that is a resync */
	struct dp_meta meta = w->tail;
	dp_meta_own(&meta, &c->log.last);
	dp_core_jump(c, &meta);
	dp_core_barrier(c, &meta, out);
	return true;
}

/* Asks for what follows, as much as half the window: the rest when this is here and, as far as it
 * does not fit into memory, in the journal. */
static void pull(struct dp_core *c, struct dp_actions *out)
{
	c->adopt_bytes = c->cfg.window_bytes / 2;
	struct dp_msg m = {.u.pull = {.seq = c->log.last.at.seq + 1, .bytes = c->adopt_bytes}};
	dp_core_send_down(c, c->adopt_from, DP_MSG_PULL, &m, out);
}

static void adopt(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_welcome *w = d->welcome;
	if (!meet(c, w, out)) {
		dp_raise(out, DP_ALARM_NOTHING_IN_COMMON, i);
		d->state = DP_DOWN_INCONSISTENT;
		return;
	}
	uint64_t own = c->log.last.at.seq;
	c->adopt_from = i;
	c->adopt_to = w->last.at.seq;
	c->adopt_us = c->now_us;
	if (own == c->adopt_to) {
		dp_core_open(c, out);
		return;
	}
	c->state = DP_CORE_ADOPTING;
	d->state = DP_DOWN_ACTIVE;
	d->instance = w->instance;
	d->sent = c->adopt_to;
	d->cached = w->cached < c->adopt_to ? w->cached : c->adopt_to;
	d->committed = w->committed < d->cached ? w->committed : d->cached;
	d->room = w->room;
	d->flight = 0;
	d->progress_us = c->now_us;
	struct dp_msg start = {.u.start = {.at = w->last.at, .agreed = 0}};
	free(w);
	d->welcome = NULL;
	dp_core_send_down(c, i, DP_MSG_START, &start, out);
	pull(c, out);
}

void dp_recover_try(struct dp_core *c, struct dp_actions *out)
{
	if (c->state != DP_CORE_RECOVERING || c->log.last.promised == 0)
		return;
	uint32_t answers = 0, best = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		struct dp_down *d = &c->down[i];
		if (d->state != DP_DOWN_WAITING || !is_asked(c, i))
			continue;
		/* The longest history for a controller; the shortest for a relay, which must be
		 * able to serve all of its links. */
		bool better = answers &&
			longer(d->welcome->last.at, c->down[best].welcome->last.at);
		if (answers == 0 || better == (c->cfg.role == DP_CORE_CONTROLLER))
			best = i;
		answers++;
	}
	if (answers < answers_needed(c))
		return;
	/* A controller that lost its journal does not know its own epochs: none is used twice. The
	 * one that all have promised now some may have promised it before, and records of it may be
	 * anywhere below. */
	uint64_t newest = answers ? c->down[best].welcome->last.at.epoch : 0;
	if (c->cfg.role == DP_CORE_CONTROLLER && !c->log.last.based && answers &&
		(!c->asked || newest >= c->epoch)) {
		c->asked = true;
		dp_recover_claim(c, (newest > c->epoch ? newest : c->epoch) + 1, out);
		return;
	}
	if (answers == 0 || !longer(c->down[best].welcome->last.at, c->log.last.at))
		dp_core_open(c, out);
	else
		adopt(c, best, out);
}

void dp_recover_record(struct dp_core *c, uint32_t from, struct dp_record *r,
	struct dp_actions *out)
{
	if (c->state != DP_CORE_ADOPTING || from != c->adopt_from ||
		r->h.seq != c->log.last.at.seq + 1)
		return;
	if (!dp_core_genuine(c, r)) {
		if (!c->down[from].forged)
			dp_raise(out, DP_ALARM_RECORD_NOT_SEALED, from);
		c->down[from].forged = true;
		c->bad_records++;
		return;
	}
	if (dp_core_take(c, r))
		return; /* not the successor it should be: the stall timer starts over */
	c->adopt_us = c->now_us;
	uint64_t cost = dp_core_cost(r->h.payload_len);
	c->adopt_bytes -= cost < c->adopt_bytes ? cost : c->adopt_bytes;
	if (c->log.last.at.seq >= c->adopt_to)
		dp_core_open(c, out);
}

void dp_recover_settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->state == DP_CORE_ADOPTING && c->adopt_bytes == 0 &&
		c->log.memory <= c->cfg.window_bytes / 2)
		pull(c, out);
}

void dp_recover_tick(struct dp_core *c, struct dp_actions *out)
{
	if (c->state != DP_CORE_ADOPTING || c->now_us - c->adopt_us < ADOPT_STALL_US)
		return;
	c->state = DP_CORE_RECOVERING;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		dp_down_connect(c, i, out);
}
