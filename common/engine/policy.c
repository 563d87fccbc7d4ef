/* SPDX-License-Identifier: MIT */
/* Which legs count, and for what: computed from the state, which does not change. */
#include "engine/internal.h"

#include <stddef.h>

/* ---- legs ---- */

bool dp_down_is_rebuilding(const struct dp_down *d)
{
	return d->images == DP_IMAGES_RESYNCING || d->ordered || d->order_sent;
}

bool dp_core_has_leg(const struct dp_core *c, uint64_t mask, uint32_t i)
{
	return mask >> c->insync.slot[i] & 1;
}

unsigned dp_policy_counting(const struct dp_core *c, uint64_t away)
{
	unsigned count = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		count += !dp_core_has_leg(c, away, i);
	return count;
}

bool dp_policy_leg_is_new(const struct dp_core *c, uint32_t i)
{
	return c->can.makes_records && !dp_core_has_leg(c, c->log.last.places.joined, i);
}

/* A new leg need not count until it has been filled. */
unsigned dp_policy_needed(const struct dp_core *c)
{
	unsigned joined = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		joined += !dp_policy_leg_is_new(c, i);
	unsigned least = c->cfg.keep_serving < joined ? c->cfg.keep_serving : joined;
	return least ? least : 1;
}

bool dp_policy_has_source(const struct dp_core *c, uint32_t i)
{
	if (!c->can.makes_records || c->can.keeps_images)
		return true;
	for (uint32_t n = 0; n < c->cfg.down_count; n++) {
		const struct dp_down *d = &c->down[n];
		if (n != i && d->state == DP_DOWN_ACTIVE && d->images == DP_IMAGES_WHOLE &&
			!dp_down_is_rebuilding(d) && !dp_core_is_away(c, n))
			return true;
	}
	return false;
}

bool dp_core_can_resync(const struct dp_core *c, uint32_t link)
{
	return dp_policy_has_source(c, link);
}

enum dp_images_state dp_core_images(const struct dp_core *c)
{
	enum dp_images_state state = DP_IMAGES_WHOLE;
	if (c->log.last.images.building || c->rebuild.switch_token || c->rebuild.ordered)
		return DP_IMAGES_RESYNCING;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		if (dp_down_is_rebuilding(&c->down[i]))
			return DP_IMAGES_RESYNCING;
		if (c->down[i].images == DP_IMAGES_UNKNOWN)
			state = DP_IMAGES_UNKNOWN;
	}
	return state;
}

/* ---- the lazy journal ---- */

bool dp_core_may_be_lazy(const struct dp_core *c)
{
	return c->can.makes_records && !c->can.keeps_images && c->cfg.ack != DP_CORE_LOCAL &&
		c->cfg.ack_legs == c->cfg.down_count;
}

bool dp_core_lazy(const struct dp_core *c)
{
	/* While a leg is out of sync, the journal holds the records that the leg lacks. A
	 * controller that starts from a journal which says that a leg is out of sync does not ask
	 * that leg. So the journal may be lazy again only when it says that the leg is back. */
	bool all = !c->insync.away && !c->log.last.away &&
		c->journal.durable >= c->insync.record_seq;
	return dp_core_may_be_lazy(c) && all && !c->log.last.complete && !c->promise.base_token;
}

/* If the disk is slower than the legs, a lazy journal skips records that all legs have committed
 * meanwhile. So they fill neither memory nor the journal. */
bool dp_core_may_append(const struct dp_core *c)
{
	return !dp_core_lazy(c) || c->journal.unwritten == 0;
}

/* ---- positions ---- */

uint64_t dp_core_all(const struct dp_core *c, enum dp_core_stage stage)
{
	uint64_t least = c->log.last.at.seq;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t position = stage == DP_CORE_COMMITTED ? d->committed : d->cached;
		if (position < least)
			least = position;
	}
	return least;
}

/* A leg's position. It is 0 while the leg's images are rebuilt. */
static uint64_t leg_position(const struct dp_down *d, enum dp_core_stage stage)
{
	if (dp_down_is_rebuilding(d))
		return 0;
	return stage == DP_CORE_COMMITTED ? d->committed : d->cached;
}

/* The position that enough of the in-sync set has. */
uint64_t dp_policy_reached(const struct dp_core *c, enum dp_core_stage stage)
{
	uint64_t durable = c->journal.durable;
	if (stage == DP_CORE_LOCAL || c->cfg.down_count == 0)
		return durable;
	uint64_t positions[DP_DOWN_MAX];
	uint32_t n = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		if (dp_core_is_away(c, i))
			continue;
		uint64_t p = leg_position(&c->down[i], stage);
		uint32_t j = n++;
		for (; j > 0 && positions[j - 1] < p; j--)
			positions[j] = positions[j - 1];
		positions[j] = p;
	}
	if (n == 0)
		return durable;
	uint64_t reached = positions[(c->cfg.ack_legs < n ? c->cfg.ack_legs : n) - 1];
	/* With fewer than all legs the controller's own journal counts too, because the other legs
	 * get their copy from it. */
	return dp_core_lazy(c) || reached < durable ? reached : durable;
}

uint64_t dp_core_reached(const struct dp_core *c, enum dp_core_stage stage)
{
	/* Legs that are rebuilt leave the set even if too few legs are left. Then no host is
	 * answered. But records go on being agreed, because otherwise no rebuild would end. */
	unsigned counting = dp_policy_counting(c, c->insync.away);
	bool too_few = counting < dp_policy_needed(c) && counting < c->cfg.down_count;
	return too_few && stage != DP_CORE_LOCAL ? 0 : dp_policy_reached(c, stage);
}

bool dp_core_writes_wait(const struct dp_core *c)
{
	return dp_policy_counting(c, c->log.last.away) < dp_policy_needed(c);
}

bool dp_core_is_current(const struct dp_core *c)
{
	unsigned there = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		there += c->down[i].state == DP_DOWN_ACTIVE && !dp_core_is_away(c, i);
	return c->state == DP_CORE_OPEN && !c->superseded &&
		(there >= dp_policy_needed(c) || there == c->cfg.down_count);
}
