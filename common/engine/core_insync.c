/* The in-sync set: the legs whose acknowledgement counts.
 *
 * A leg that is down, or cannot be brought up to date, leaves the set as long as enough others
 * remain (keep_serving); one whose images are resynced leaves it in any case; one that has caught up
 * comes back. The change is a record of the stream like any other: it is durable wherever later
 * records are, a mirror knows by it what it missed, and recovery finds it. Nothing is acknowledged by
 * the new set before the record is durable here and, at the stage that `ack` names, at every leg that
 * counts by it (shrink before you acknowledge). While a leg is away the controller's own journal counts
 * as well, so the copies never get fewer than two. */
#include "engine/core_internal.h"

unsigned dp_insync_count(const struct dp_core *c, uint64_t away)
{
	unsigned count = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		count += !(away >> i & 1);
	return count;
}

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
	uint64_t away = c->log.last.away;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if ((away >> i & 1) && has_caught_up(c, &c->down[i]))
			away &= ~(1ull << i);
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (dp_is_hollow(&c->down[i]))
			away |= 1ull << i;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (!(away >> i & 1) && is_lost(&c->down[i]) &&
			dp_insync_count(c, away) > c->cfg.keep_serving)
			away |= 1ull << i;
	return away;
}

static bool holds(const struct dp_core *c)
{
	if (c->durable < c->insync_seq)
		return false;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t has = c->cfg.ack == DP_CORE_COMMITTED ? d->committed : d->cached;
		if (!(c->log.last.away >> i & 1) && has < c->insync_seq)
			return false;
	}
	return true;
}

static void tell_back(const struct dp_core *c, uint64_t legs, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (legs >> i & 1)
			dp_alarm(out, "a leg has caught up and counts again", i);
}

static void say(struct dp_core *c, uint64_t away, struct dp_actions *out)
{
	uint64_t before = c->log.last.away;
	if (!dp_core_write_insync(c, away))
		return;
	c->insync_seq = c->log.last.at.seq;
	bool wait = dp_insync_count(c, away) < c->cfg.keep_serving;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		if (!(before >> i & 1) && (away >> i & 1))
			dp_alarm(out, wait ? "a leg no longer counts; writes wait for it"
					   : "a leg no longer counts; writes go on without it", i);
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
	if (c->away != c->log.last.away && holds(c)) {
		tell_back(c, c->away & ~c->log.last.away, out);
		c->away = c->log.last.away;
		c->away_seq = c->insync_seq;
	}
}
