/* SPDX-License-Identifier: MIT */
/* The in-sync set: the legs whose acknowledgement counts.
 *
 * A leg leaves the set if it is down or cannot be brought up to date, as long as enough others
 * remain (keep_serving). A leg whose images are rebuilt leaves it in any case. A leg that has
 * caught up comes back. The change is a record of the stream. So it is durable wherever a later
 * record is, a mirror knows by it which records it missed, and recovery finds it. The new set takes
 * effect when the record is durable here and, at the stage that `ack` names, at every leg that
 * counts by it (shrink before you acknowledge). While a leg does not count, the controller's own
 * journal counts as well, so the copies never get fewer than two. */
#include "engine/internal.h"

/* ---- slots: a bit for each leg, which the leg keeps as long as it is in the topology ---- */

static int slot_of(const struct dp_places *p, uint32_t id)
{
	for (int i = 0; i < DP_PLACES; i++)
		if (p->id[i] == id)
			return i;
	return -1;
}

/* If the journal has no slots, it is new, or it was written by a version in which legs could not
 * change. */
static bool first_slots(const struct dp_core *c, struct dp_places *p)
{
	for (unsigned i = 0; i < DP_PLACES; i++)
		if (p->id[i])
			return false;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		p->id[i] = c->cfg.leg_ids[i];
		p->joined |= 1u << i;
	}
	return true;
}

static void free_slots_of_removed(const struct dp_core *c, struct dp_places *p)
{
	struct dp_places before = *p;
	*p = (struct dp_places){0};
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		int at = slot_of(&before, c->cfg.leg_ids[i]);
		if (at < 0)
			continue;
		p->id[at] = before.id[at];
		p->joined |= before.joined & 1u << at;
	}
}

/* The next promise writes the slots to the journal. Older records may name a removed leg that had
 * the same slot. So a new leg stays out of the set until it is filled, whatever they say. */
void dp_insync_start(struct dp_core *c)
{
	struct dp_places p = c->log.last.places;
	if (!c->can.makes_records)
		return;
	c->recover.complete = c->log.last.based && (c->log.last.complete || c->log.last.away);
	if (!first_slots(c, &p))
		free_slots_of_removed(c, &p);
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		int at = slot_of(&p, c->cfg.leg_ids[i]);
		c->insync.slot[i] = (uint8_t)(at < 0 ? slot_of(&p, 0) : at);
		p.id[c->insync.slot[i]] = c->cfg.leg_ids[i];
	}
	c->log.last.places = c->log.tail.places = p;
}

/* Notes in the journal which legs have ever counted. */
static void note_joined(struct dp_core *c, uint64_t away, struct dp_actions *out)
{
	uint32_t joined = c->log.last.places.joined;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (!dp_core_has_leg(c, away, i))
			joined |= 1u << c->insync.slot[i];
	if (joined == c->log.last.places.joined)
		return;
	c->log.last.places.joined = c->log.tail.places.joined = joined;
	dp_core_append_upto(c, c->log.last.at.seq, out);
	dp_core_barrier(c, &c->log.last, out);
}

/* ---- the legs that count ---- */

static bool is_lost(const struct dp_down *d)
{
	return d->state == DP_DOWN_DOWN || d->state == DP_DOWN_INCONSISTENT;
}

/* Whether all records have been sent, so that the leg has no backlog. */
static bool has_caught_up(const struct dp_core *c, const struct dp_down *d)
{
	return d->state == DP_DOWN_ACTIVE && d->images == DP_IMAGES_WHOLE &&
		!dp_down_is_rebuilding(d) && d->sent == c->log.last.at.seq;
}

/* The legs that should not count now. */
static uint64_t desired_away(const struct dp_core *c)
{
	uint64_t away = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		bool is_away = dp_core_has_leg(c, c->log.last.away, i) ||
			dp_policy_leg_is_new(c, i);
		if (dp_down_is_rebuilding(&c->down[i]) ||
			(is_away && !has_caught_up(c, &c->down[i])))
			away |= 1ull << c->insync.slot[i];
	}
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (!dp_core_has_leg(c, away, i) && is_lost(&c->down[i]) &&
			dp_policy_counting(c, away) > dp_policy_needed(c))
			away |= 1ull << c->insync.slot[i];
	return away;
}

/* Whether the newest record of the set takes effect: it is durable here and at each leg that counts
 * by it. */
static bool is_in_effect(const struct dp_core *c)
{
	if (c->journal.durable < c->insync.record_seq)
		return false;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t has = c->cfg.ack == DP_CORE_COMMITTED ? d->committed : d->cached;
		if (!dp_core_has_leg(c, c->log.last.away, i) && has < c->insync.record_seq)
			return false;
	}
	return true;
}

static void raise_back(const struct dp_core *c, uint64_t legs, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (dp_core_has_leg(c, legs, i))
			dp_raise(out, DP_ALARM_LEG_IN, i);
}

static void write_set(struct dp_core *c, uint64_t away, struct dp_actions *out)
{
	uint64_t before = c->log.last.away;
	if (!dp_core_make_insync(c, away))
		return;
	c->insync.record_seq = c->log.last.at.seq;
	bool wait = dp_policy_counting(c, away) < dp_policy_needed(c);
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (!dp_core_has_leg(c, before, i) && dp_core_has_leg(c, away, i) &&
			!dp_policy_leg_is_new(c, i))
			dp_raise(out, wait ? DP_ALARM_LEG_OUT_WRITES_WAIT : DP_ALARM_LEG_OUT, i);
	raise_back(c, before & ~away & ~c->insync.away,
		out); /* legs that come back before the smaller set took effect */
}

static bool may_change(const struct dp_core *c)
{
	return c->can.makes_records && c->state == DP_CORE_OPEN && !c->promise.base_token;
}

void dp_insync_settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->insync.restart_due) {
		c->insync.restart_due = false;
		c->insync.away = 0;
		c->insync.record_seq = c->log.last.at.seq;
	}
	if (!may_change(c))
		return;
	uint64_t away = desired_away(c);
	if (away != c->log.last.away)
		write_set(c, away, out);
	note_joined(c, c->log.last.away, out);
	if (c->insync.away != c->log.last.away && is_in_effect(c)) {
		raise_back(c, c->insync.away & ~c->log.last.away, out);
		c->insync.away = c->log.last.away;
		c->insync.away_seq = c->insync.record_seq;
	}
}

/* A leg may have caught up after the set settled, because send settles later in the same step. */
uint64_t dp_insync_due_us(const struct dp_core *c)
{
	return may_change(c) && desired_away(c) != c->log.last.away ? 0 : UINT64_MAX;
}
