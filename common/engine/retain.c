/* SPDX-License-Identifier: MIT */
/* The positions of this node (agreed, applied, committed), and the records that may leave log and
 * journal. */
#include "engine/internal.h"

/* Records up to here cannot be cut any more. They satisfy the policy, and are cached on every leg
 * or durable here, so a later controller finds all of them. */
static void settle_agreed(struct dp_core *c)
{
	if (!c->can.makes_records || c->state != DP_CORE_OPEN)
		return;
	uint64_t reached = dp_policy_reached(c, c->cfg.ack);
	uint64_t safe = dp_core_all(c, DP_CORE_CACHED);
	if (safe < c->journal.durable)
		safe = c->journal.durable;
	uint64_t agreed = reached < safe ? reached : safe;
	if (agreed > c->agreed)
		c->agreed = agreed;
}

static void settle_apply(struct dp_core *c, struct dp_actions *out)
{
	uint64_t target = c->agreed < c->journal.durable ? c->agreed : c->journal.durable;
	bool stands_still = c->rebuild.order_token ||
		(c->rebuild.ordered && c->image.target >= c->image.replay);
	if (!c->can.keeps_images || target <= c->image.target || stands_still)
		return;
	c->image.target = target;
	dp_act(out, DP_ACT_APPLY)->seq = target;
}

static void settle_committed(struct dp_core *c)
{
	uint64_t committed = dp_core_all(c, DP_CORE_COMMITTED);
	bool own_journal_counts = c->can.has_sender || c->cfg.down_count == 0;
	if (own_journal_counts && committed > c->journal.durable)
		committed = c->journal.durable;
	if (committed <= c->committed)
		return;
	c->committed = committed;
	c->up.ack_due = true;
	dp_sets_commit(&c->sets, committed, c->now_us);
}

void dp_retain_settle_positions(struct dp_core *c, struct dp_actions *out)
{
	bool lazy = dp_core_lazy(c);
	if (!lazy || (c->log.memory > c->cfg.window_bytes / 2 && dp_core_may_append(c)))
		dp_core_append_upto(c, c->log.last.at.seq, out);
	settle_agreed(c);
	settle_apply(c, out);
	settle_committed(c);
}

/* ---- the retention rule ---- */

/* The seq up to which the journal keeps nothing for a link, though the link lacks the records. This
 * needs all of: the leg does not count and is not connected; room is short, or an operator ordered
 * it; there is a copy to resync the leg from. */
static uint64_t abandoned_upto(const struct dp_core *c, uint32_t i)
{
	bool full = c->cfg.track && c->journal.room < c->cfg.low_room;
	uint64_t seq = full ? UINT64_MAX : c->down[i].drop_to;
	bool may = seq && dp_core_is_away(c, i) && c->down[i].state != DP_DOWN_ACTIVE &&
		dp_policy_has_source(c, i);
	return may ? seq : 0;
}

static uint64_t retained_for(const struct dp_core *c, const struct dp_down *d)
{
	return c->cfg.retain_next_hop ? d->cached : d->committed;
}

static uint64_t releasable_upto(const struct dp_core *c)
{
	uint64_t least = c->log.last.at.seq;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		uint64_t has = retained_for(c, &c->down[i]);
		uint64_t without = has < least ? abandoned_upto(c, i) : 0;
		has = without > has ? without : has;
		least = has < least ? has : least;
	}
	if (least > c->agreed)
		least = c->agreed;
	if (c->can.keeps_images && least > c->image.applied)
		least = c->image.applied;
	if (!dp_core_lazy(c) && least > c->journal.durable)
		least = c->journal.durable;
	return least;
}

/* Raises an alarm for each leg that lacks records which leave the journal now. */
static void raise_abandoned(const struct dp_core *c, uint64_t tail, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t has = retained_for(c, d);
		if (has >= c->log.tail.at.seq && has < tail)
			dp_raise(out,
				d->order == DP_LEG_DROP ? DP_ALARM_LEG_DROPPED_ORDERED
							: DP_ALARM_LEG_DROPPED_FULL,
				i);
	}
}

static void release_upto(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	for (uint64_t s = c->journal.appended + 1; s <= seq; s++)
		c->journal.reserved -= dp_core_cost(dp_log_entry(&c->log, s)->payload_len);
	raise_abandoned(c, seq, out);
	dp_log_release(&c->log, seq);
	if (c->journal.appended < seq)
		c->journal.appended = seq;
	dp_act(out, DP_ACT_RELEASE)->seq = seq;
}

void dp_retain_settle(struct dp_core *c, struct dp_actions *out)
{
	uint64_t seq = releasable_upto(c);
	if (seq > c->log.tail.at.seq)
		release_upto(c, seq, out);
	dp_log_evict(&c->log, c->journal.durable, c->cfg.window_bytes / 2);
}

/* ---- time ---- */

static bool is_high(const struct dp_core *c)
{
	return c->journal.room < c->cfg.high_room;
}

/* The time at which a lazy journal takes record seq. */
static uint64_t lazy_due_us(const struct dp_core *c, uint64_t seq)
{
	uint32_t age_ms = (uint32_t)(c->now_us / 1000) - dp_log_entry(&c->log, seq)->stamp_ms;
	uint64_t since_us = (c->now_us / 1000 - age_ms) * 1000;
	return since_us + DP_CORE_LAZY_US;
}

void dp_retain_tick(struct dp_core *c, struct dp_actions *out)
{
	if (is_high(c) && !c->journal.high)
		dp_raise(out, DP_ALARM_HIGH_WATER, DP_PEER_SELF);
	c->journal.high = is_high(c);
	uint64_t seq = c->journal.appended;
	if (!dp_core_lazy(c) || !dp_core_may_append(c))
		return;
	while (seq < c->log.last.at.seq && c->now_us >= lazy_due_us(c, seq + 1))
		seq++;
	dp_core_append_upto(c, seq, out);
}

uint64_t dp_retain_due_us(const struct dp_core *c)
{
	bool waits = c->journal.appended < c->log.last.at.seq && dp_core_lazy(c);
	if (is_high(c) != c->journal.high)
		return 0;
	return waits ? lazy_due_us(c, c->journal.appended + 1) : UINT64_MAX;
}
