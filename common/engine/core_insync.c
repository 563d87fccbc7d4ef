/* SPDX-License-Identifier: MIT */
/* The in-sync set: the legs whose acknowledgement counts.
 *
 * A leg that is down, or cannot be brought up to date, leaves the set as long as enough others
 * remain (keep_serving); one whose images are resynced leaves it in any case; one that has caught
 * up comes back. The change is a record of the stream like any other: it is durable wherever later
 * records are, a mirror knows by it what it missed, and recovery finds it. Nothing is acknowledged
 * by the new set before the record is durable here and, at the stage that `ack` names, at every leg
 * that counts by it (shrink before you acknowledge). While a leg is away the controller's own
 * journal counts as well, so the copies never get fewer than two. */
#include "engine/core_internal.h"

unsigned dp_insync_count(const struct dp_core *c, uint64_t away)
{
	unsigned count = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		count += !(away >> c->place[i] & 1);
	return count;
}

/* ---- places ---- */

bool dp_insync_is_new(const struct dp_core *c, uint32_t i)
{
	return c->cfg.role == DP_CORE_CONTROLLER && !(c->log.last.places.joined >> c->place[i] & 1);
}

/* A leg that is new need not count before it has been filled. */
unsigned dp_insync_needed(const struct dp_core *c)
{
	unsigned joined = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		joined += !dp_insync_is_new(c, i);
	unsigned least = c->cfg.keep_serving < joined ? c->cfg.keep_serving : joined;
	return least ? least : 1;
}

static int place_of(const struct dp_places *p, uint32_t id)
{
	for (int i = 0; i < DP_PLACES; i++)
		if (p->id[i] == id)
			return i;
	return -1;
}

/* A journal that knows no places is new, or of a time when legs were not to change. */
static bool first_places(const struct dp_core *c, struct dp_places *p)
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

static void leave_places(const struct dp_core *c, struct dp_places *p)
{
	struct dp_places before = *p;
	*p = (struct dp_places){0};
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		int at = place_of(&before, c->cfg.leg_ids[i]);
		if (at < 0)
			continue;
		p->id[at] = before.id[at];
		p->joined |= before.joined & 1u << at;
	}
}

/* The promise that follows takes this to the journal. What older records say of a place may be of a
 * leg that is gone: one that is new stays out until it is filled, whatever they say. */
void dp_insync_places(struct dp_core *c)
{
	struct dp_places p = c->log.last.places;
	if (c->cfg.role != DP_CORE_CONTROLLER)
		return;
	c->complete = c->log.last.based && (c->log.last.complete || c->log.last.away);
	if (!first_places(c, &p))
		leave_places(c, &p);
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		int at = place_of(&p, c->cfg.leg_ids[i]);
		c->place[i] = (uint8_t)(at < 0 ? place_of(&p, 0) : at);
		p.id[c->place[i]] = c->cfg.leg_ids[i];
	}
	c->log.last.places = c->log.tail.places = p;
}

static void note_joined(struct dp_core *c, uint64_t away, struct dp_actions *out)
{
	uint32_t joined = c->log.last.places.joined;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (!(away >> c->place[i] & 1))
			joined |= 1u << c->place[i];
	if (joined == c->log.last.places.joined)
		return;
	c->log.last.places.joined = c->log.tail.places.joined = joined;
	dp_core_append_upto(c, c->log.last.at.seq, out);
	dp_core_barrier(c, &c->log.last, out);
}

/* ---- who counts ---- */

static bool is_lost(const struct dp_down *d)
{
	return d->state == DP_DOWN_DOWN || d->state == DP_DOWN_INCONSISTENT;
}

bool dp_is_hollow(const struct dp_down *d)
{
	return d->images == DP_IMAGES_RESYNCING || d->refill || d->refill_sent;
}

/* Whether everything there is has been sent and fits into the window: no backlog. */
static bool has_caught_up(const struct dp_core *c, const struct dp_down *d)
{
	return d->state == DP_DOWN_ACTIVE && d->images == DP_IMAGES_WHOLE && !dp_is_hollow(d) &&
		d->sent == c->log.last.at.seq;
}

static uint64_t wanted(const struct dp_core *c)
{
	uint64_t away = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		uint64_t bit = 1ull << c->place[i];
		bool is_away = (c->log.last.away & bit) || dp_insync_is_new(c, i);
		if (dp_is_hollow(&c->down[i]) || (is_away && !has_caught_up(c, &c->down[i])))
			away |= bit;
	}
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (!(away >> c->place[i] & 1) && is_lost(&c->down[i]) &&
			dp_insync_count(c, away) > dp_insync_needed(c))
			away |= 1ull << c->place[i];
	return away;
}

static bool holds(const struct dp_core *c)
{
	if (c->durable < c->insync_seq)
		return false;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t has = c->cfg.ack == DP_CORE_COMMITTED ? d->committed : d->cached;
		if (!(c->log.last.away >> c->place[i] & 1) && has < c->insync_seq)
			return false;
	}
	return true;
}

static void tell_back(const struct dp_core *c, uint64_t legs, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (legs >> c->place[i] & 1)
			dp_raise(out, DP_ALARM_LEG_IN, i);
}

static void say(struct dp_core *c, uint64_t away, struct dp_actions *out)
{
	uint64_t before = c->log.last.away;
	if (!dp_core_write_insync(c, away))
		return;
	c->insync_seq = c->log.last.at.seq;
	bool wait = dp_insync_count(c, away) < dp_insync_needed(c);
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		uint64_t bit = 1ull << c->place[i];
		if (!(before & bit) && (away & bit) && !dp_insync_is_new(c, i))
			dp_raise(out, wait ? DP_ALARM_LEG_OUT_WRITES_WAIT : DP_ALARM_LEG_OUT, i);
	}
	tell_back(c, before & ~away & ~c->away, out); /* before it had ceased to count */
}

void dp_insync_open(struct dp_core *c)
{
	c->away = 0;
	c->insync_seq = c->log.last.at.seq;
}

void dp_insync_settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->cfg.role != DP_CORE_CONTROLLER || c->state != DP_CORE_OPEN || c->base_token)
		return;
	uint64_t away = wanted(c);
	if (away != c->log.last.away)
		say(c, away, out);
	note_joined(c, c->log.last.away, out);
	if (c->away != c->log.last.away && holds(c)) {
		tell_back(c, c->away & ~c->log.last.away, out);
		c->away = c->log.last.away;
		c->away_seq = c->insync_seq;
	}
}
