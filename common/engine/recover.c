/* SPDX-License-Identifier: MIT */
/* What a controller, and a relay with a new journal, does at its start.
 *
 * A controller claims a new epoch, so that the legs refuse the old one, and asks the legs for their
 * positions. It adopts the records that it lacks from the leg with the longest history, because
 * they may have been answered. It waits for all legs: a leg whose disk was replaced, or whose relay
 * began with a new journal, has less than it once acknowledged and cannot stand for the others. A
 * relay whose journal is new does the same with the nodes below it. */
#include "engine/internal.h"

#define ADOPT_STALL_US 2000000

/* A controller's new epoch: durable before any other node hears of it. */
static void claim_epoch(struct dp_core *c, uint64_t epoch, struct dp_actions *out)
{
	/* If the core was adopting, the barrier must come behind the adopted records. */
	dp_core_append_upto(c, c->log.last.at.seq, out);
	dp_core_move(c, DP_CORE_PROMISING);
	dp_core_promise(c, epoch, out);
}

void dp_recover_start(struct dp_core *c, struct dp_actions *out)
{
	/* A released record may not be committed below: a log may have jumped, or a leg may have
	 * been abandoned. So `committed` waits for the reports of the legs. */
	c->committed = c->cfg.down_count ? 0 : c->log.tail.at.seq;
	c->replied = c->log.last.at.seq;
	if (c->can.keeps_images) {
		c->image.target = c->agreed;
		dp_act(out, DP_ACT_APPLY)->seq = c->agreed;
	}
	if (c->can.makes_records) {
		claim_epoch(c, c->log.last.promised + 1, out);
		return;
	}
	bool bare = c->can.starts_bare && !c->log.last.based;
	dp_core_move(c, bare ? DP_CORE_RECOVERING : DP_CORE_OPEN);
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		c->down[i].connect_due = true;
}

static void open_core(struct dp_core *c, struct dp_actions *out)
{
	dp_core_move(c, DP_CORE_OPEN);
	c->replied = c->log.last.at.seq;
	c->insync.restart_due = true;
	bool complete = c->can.makes_records && !dp_core_may_be_lazy(c);
	if (!c->log.last.based || c->log.last.complete != complete) {
		c->log.last.based = c->log.tail.based = true;
		dp_core_complete(c, complete, out);
	}
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		c->down[i].start_due = true;
}

/* ---- adopting ---- */

static bool is_longer(struct dp_position a, struct dp_position b)
{
	return a.epoch != b.epoch ? a.epoch > b.epoch : a.seq > b.seq;
}

/* Cuts the own log at the point that it shares with the leg. If the leg has released the records
 * that follow, the own log jumps to where the leg's log begins; released records are on all legs.
 * false: neither is possible. */
static bool align_with(struct dp_core *c, const struct dp_welcome *w, struct dp_actions *out)
{
	uint64_t own = c->log.last.at.seq;
	uint64_t common = own == 0
		? 0
		: dp_history_common(&c->log.last.history, own, &w->last.history, w->last.at.seq);
	if (common < own && common >= c->log.tail.at.seq && common >= c->image.target)
		dp_core_cut(c, common, out);
	if (c->log.last.at.seq >= w->tail.at.seq)
		return common == c->log.last.at.seq;
	if (c->can.keeps_images)
		return false; /* an image cannot jump: that is a resync */
	struct dp_meta meta = w->tail;
	dp_meta_own(&meta, &c->log.last);
	dp_core_jump(c, &meta);
	dp_core_barrier(c, &meta, out);
	return true;
}

/* Asks for the next records, at most half the window. The rest is asked for when these have come
 * and, if they do not fit into memory, are in the journal. */
static void send_pull(struct dp_core *c, struct dp_actions *out)
{
	struct dp_core_recover *r = &c->recover;
	r->adopt_bytes = c->cfg.window_bytes / 2;
	struct dp_msg m = {.u.pull = {.seq = c->log.last.at.seq + 1, .bytes = r->adopt_bytes}};
	dp_core_send_down(c, r->adopt_from, DP_MSG_PULL, &m, out);
}

static void adopt_from(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_core_recover *r = &c->recover;
	const struct dp_welcome *w = c->down[i].welcome;
	if (!align_with(c, w, out)) {
		dp_raise(out, DP_ALARM_NOTHING_IN_COMMON, i);
		dp_down_move(&c->down[i], DP_DOWN_INCONSISTENT);
		return;
	}
	r->adopt_from = i;
	r->adopt_to = w->last.at.seq;
	r->adopt_us = c->now_us;
	r->adopt_bytes = 0;
	if (c->log.last.at.seq == r->adopt_to) {
		open_core(c, out);
		return;
	}
	dp_core_move(c, DP_CORE_ADOPTING);
	c->down[i].start_due = true;
}

void dp_recover_on_record(struct dp_core *c, uint32_t from, struct dp_record *r,
	struct dp_actions *out)
{
	if (c->state != DP_CORE_ADOPTING || from != c->recover.adopt_from ||
		r->h.seq != c->log.last.at.seq + 1)
		return;
	if (!dp_core_genuine(c, r)) {
		if (!c->down[from].bad_seal)
			dp_raise(out, DP_ALARM_RECORD_NOT_SEALED, from);
		c->down[from].bad_seal = true;
		c->bad_records++;
		return;
	}
	if (dp_core_take(c, r))
		return; /* it does not follow the last record: the stall timer will begin again */
	c->recover.adopt_us = c->now_us;
	uint64_t cost = dp_core_cost(r->h.payload_len), *left = &c->recover.adopt_bytes;
	*left -= cost < *left ? cost : *left;
	if (c->log.last.at.seq >= c->recover.adopt_to)
		open_core(c, out);
}

/* ---- the legs' answers ---- */

/* A new leg is not asked, unless all legs are new. */
static bool is_asked(const struct dp_core *c, uint32_t i)
{
	bool any = false;
	for (uint32_t n = 0; n < c->cfg.down_count; n++)
		any = any || !dp_policy_leg_is_new(c, n);
	return !any || !dp_policy_leg_is_new(c, i);
}

static uint32_t answers_needed(const struct dp_core *c)
{
	uint32_t asked = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		asked += is_asked(c, i);
	return c->recover.complete ? 0 : asked;
}

/* How many legs have answered. *best is the leg with the longest history for a controller, and with
 * the shortest for a relay, because a relay must be able to serve all of its links. */
static uint32_t count_answers(const struct dp_core *c, uint32_t *best)
{
	uint32_t answers = 0;
	*best = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		if (d->state != DP_DOWN_WAITING || !is_asked(c, i))
			continue;
		bool longer = answers &&
			is_longer(d->welcome->last.at, c->down[*best].welcome->last.at);
		if (answers == 0 || longer == c->can.makes_records)
			*best = i;
		answers++;
	}
	return answers;
}

/* A controller that lost its journal does not know which epochs it has used, and it must not use
 * one twice. A leg may have promised the present epoch before, and records of that epoch may be at
 * any node below. So the controller claims an epoch above all epochs that it has learnt. */
static bool claims_again(struct dp_core *c, uint64_t newest, struct dp_actions *out)
{
	if (!c->can.makes_records || c->log.last.based ||
		(c->recover.epochs_known && newest < c->epoch))
		return false;
	c->recover.epochs_known = true;
	claim_epoch(c, (newest > c->epoch ? newest : c->epoch) + 1, out);
	return true;
}

static void try_answers(struct dp_core *c, struct dp_actions *out)
{
	uint32_t best, answers = count_answers(c, &best);
	if (answers < answers_needed(c))
		return;
	struct dp_position longest = {0};
	if (answers)
		longest = c->down[best].welcome->last.at;
	if (answers && claims_again(c, longest.epoch, out))
		return;
	if (answers == 0 || !is_longer(longest, c->log.last.at))
		open_core(c, out);
	else
		adopt_from(c, best, out);
}

void dp_recover_settle(struct dp_core *c, struct dp_actions *out)
{
	uint64_t claim = c->recover.claim_epoch;
	bool try = c->recover.try_due;
	c->recover.claim_epoch = 0;
	c->recover.try_due = false;
	if (claim && c->state != DP_CORE_FAILED)
		claim_epoch(c, claim, out);
	else if (try && c->state == DP_CORE_RECOVERING && c->log.last.promised)
		try_answers(c, out);
}

void dp_recover_settle_pull(struct dp_core *c, struct dp_actions *out)
{
	if (c->state == DP_CORE_ADOPTING && c->recover.adopt_bytes == 0 &&
		c->down[c->recover.adopt_from].state == DP_DOWN_ACTIVE &&
		c->log.memory <= c->cfg.window_bytes / 2)
		send_pull(c, out);
}

/* ---- time ---- */

uint64_t dp_recover_due_us(const struct dp_core *c)
{
	return c->state == DP_CORE_ADOPTING ? c->recover.adopt_us + ADOPT_STALL_US : UINT64_MAX;
}

void dp_recover_tick(struct dp_core *c)
{
	if (c->now_us < dp_recover_due_us(c))
		return;
	dp_core_move(c, DP_CORE_RECOVERING);
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		c->down[i].connect_due = true;
}
