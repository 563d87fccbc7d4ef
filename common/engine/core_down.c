/* SPDX-License-Identifier: MIT */
/* Towards the receivers below: sessions, what is sent, what they say they have. */
#include "engine/core_internal.h"

#include <stdlib.h>

static void end_session(struct dp_down *d)
{
	free(d->welcome);
	d->welcome = NULL;
	d->session = 0;
	d->loading = 0;
}

void dp_down_connect(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	end_session(d);
	if (d->state == DP_DOWN_DOWN)
		return;
	d->state = DP_DOWN_CONNECTING;
	uint64_t epoch = c->log.last.promised;
	if (c->state == DP_CORE_PROMISING || c->state == DP_CORE_FAILED || epoch == 0)
		return;
	d->session = dp_core_random(c);
	d->hello_us = c->now_us;
	struct dp_msg m = {.u.hello = {.epoch = epoch, .config = c->cfg.config}};
	dp_core_send_down(c, i, DP_MSG_HELLO, &m, out);
}

/* The position where the receiver's log and ours are the same. */
static uint64_t resume_at(const struct dp_core *c, const struct dp_welcome *w)
{
	struct dp_position here;
	if (dp_log_position(&c->log, w->last.at.seq, &here) && here.chain == w->last.at.chain)
		return w->last.at.seq;
	return dp_history_common(&c->log.last.history, c->log.last.at.seq, &w->last.history,
		w->last.at.seq);
}

void dp_down_recount(const struct dp_core *c, struct dp_down *d)
{
	d->flight = 0;
	for (uint64_t s = d->cached + 1; s <= d->sent; s++) {
		struct dp_log_entry *e = dp_log_entry(&c->log, s);
		d->flight += e ? dp_core_cost(e->payload_len) : 0;
	}
}

/* A relay passes records on before they are durable here: after a crash the receiver may have, and
 * have applied, what is gone here. It comes again from above; to begin below it would ask the
 * receiver to cut what it has applied. If it does not come soon, the history ends here. */
static bool lags(const struct dp_core *c, const struct dp_welcome *w)
{
	uint64_t last = c->log.last.at.seq;
	bool waited = c->up.started && c->now_us - c->up.started_us >= DP_CORE_LEVEL_US;
	return c->cfg.role == DP_CORE_RELAY && w->last.at.seq > last && resume_at(c, w) == last &&
		!waited;
}

void dp_down_start(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_welcome *w = d->welcome;
	struct dp_position at;
	if (lags(c, w))
		return; /* WAITING goes on */
	uint64_t resume = resume_at(c, w);
	d->welcome = NULL;
	bool known = dp_log_position(&c->log, resume, &at);
	bool resync = !known && dp_resync_possible(c, i);
	if (!known && !resync) {
		dp_raise(out, DP_ALARM_LEG_WITHOUT_COPY, i);
		d->state = DP_DOWN_INCONSISTENT;
		d->cached = d->committed = resume < d->committed ? resume : d->committed;
		free(w);
		return;
	}
	if (d->instance && d->instance != w->instance)
		dp_raise(out, DP_ALARM_LEG_LOST_JOURNAL, i);
	else if (d->instance && w->cached < d->cached)
		dp_raise(out, DP_ALARM_LEG_HAS_LESS, i);
	d->instance = w->instance;
	d->state = DP_DOWN_ACTIVE;
	d->refill_sent = false;
	if (w->images != DP_IMAGES_UNKNOWN)
		d->images = w->images;
	if (d->images == DP_IMAGES_RESYNCING)
		d->refill = false;
	if (resync) {
		dp_raise(out, DP_ALARM_LEG_RESYNCED, i);
		d->room = w->room;
		d->progress_us = c->now_us;
		d->cached = resume;
		d->committed = resume < d->committed ? resume : d->committed;
		free(w);
		dp_resync_start(c, i, out);
		return;
	}
	d->sent = resume;
	d->cached = w->cached < resume ? w->cached : resume;
	d->committed = w->committed < d->cached ? w->committed : d->cached;
	d->room = w->room;
	d->progress_us = c->now_us;
	free(w);
	dp_down_recount(c, d);
	struct dp_msg m = {.u.start = {.at = at, .agreed = c->agreed}};
	d->marked = c->agreed < at.seq ? c->agreed : at.seq; /* the receiver takes no more of it */
	dp_core_send_down(c, i, DP_MSG_START, &m, out);
}

/* The log was cut after seq: what the receiver said to have beyond it is of a history that is no
 * more, and counts for nothing. */
void dp_down_cut(struct dp_core *c, uint32_t i, uint64_t seq, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (d->sent <= seq)
		return;
	d->sent = seq;
	if (d->cached > seq)
		d->cached = seq;
	if (d->committed > seq)
		d->committed = seq;
	dp_down_connect(c, i, out);
}

static void spend_rate(const struct dp_core *c, struct dp_down *d, const struct dp_record *r)
{
	uint64_t rate = c->cfg.link_rate[d - c->down];
	uint64_t bytes = DP_RECORD_HEADER_SIZE + r->h.payload_len;
	if (!rate)
		return;
	if (d->free_us < c->now_us)
		d->free_us = c->now_us;
	d->free_us += bytes * 1000000 / rate;
}

/* A rate is spent when a record is sent, and compressed it may be only later. */
void dp_down_shrunk(struct dp_core *c, uint32_t i, uint64_t bytes)
{
	uint64_t rate = c->cfg.link_rate[i], us = rate ? bytes * 1000000 / rate : 0;
	struct dp_down *d = &c->down[i];
	d->free_us -= us < d->free_us ? us : d->free_us;
}

static bool has_rate(const struct dp_core *c, const struct dp_down *d)
{
	return !c->cfg.link_rate[d - c->down] || d->free_us <= c->now_us + DP_CORE_BURST_US;
}

static void send_record(struct dp_core *c, uint32_t i, struct dp_record *r, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_msg m = {.u.record = dp_record_ref(r)};
	dp_core_send_down(c, i, DP_MSG_RECORD, &m, out);
	if (d->sent == d->cached)
		d->progress_us = c->now_us;
	d->sent++;
	spend_rate(c, d, r);
	d->flight += dp_core_cost(r->h.payload_len);
	if (r->h.agreed > d->marked)
		d->marked = r->h.agreed;
}

/* Whether the link's rate, the window and the receiver's room allow one more record of this cost.
 */
static bool fits(const struct dp_core *c, const struct dp_down *d, uint64_t cost)
{
	uint64_t window = c->cfg.link_window[d - c->down];
	if (!window || window > c->cfg.window_bytes)
		window = c->cfg.window_bytes;
	/* The longest record may be larger than a small window. */
	return has_rate(c, d) && d->flight + cost <= d->room &&
		(d->flight == 0 || d->flight + cost <= window);
}

void dp_down_pump(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	while (d->state == DP_DOWN_ACTIVE && !d->loading && d->sent < c->log.last.at.seq) {
		struct dp_log_entry *e = dp_log_entry(&c->log, d->sent + 1);
		if (!fits(c, d, dp_core_cost(e->payload_len)))
			return;
		if (!e->record) {
			d->loading = d->sent + 1;
			dp_act(out, DP_ACT_LOAD)->seq = d->sent + 1;
			return;
		}
		send_record(c, i, e->record, out);
	}
}

void dp_down_loaded(struct dp_core *c, uint32_t i, uint64_t seq, struct dp_record *r,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (d->loading != seq)
		return;
	struct dp_log_entry *e = dp_log_entry(&c->log, seq);
	/* Between asking and now the session, the tail or the record itself may have changed. */
	bool right = r && d->sent + 1 == seq && e && e->chain == r->h.chain;
	d->loading = right ? 0 : DP_LOAD_LATER;
	if (right && d->state == DP_DOWN_ACTIVE)
		send_record(c, i, r, out);
}

static void take_marks(struct dp_core *c, struct dp_down *d, uint64_t cached, uint64_t committed)
{
	if (cached > d->sent)
		cached = d->sent; /* a receiver may not have what was never sent */
	uint64_t from = d->cached < c->log.tail.at.seq ? c->log.tail.at.seq : d->cached;
	for (uint64_t s = from + 1; s <= cached; s++) {
		struct dp_log_entry *e = dp_log_entry(&c->log, s);
		d->flight -= e ? dp_core_cost(e->payload_len) : 0;
	}
	if (cached > d->cached) {
		d->cached = cached;
		d->progress_us = c->now_us;
	}
	if (committed > d->cached)
		committed = d->cached;
	if (committed > d->committed)
		d->committed = committed;
}

static void refused(struct dp_core *c, uint32_t i, const struct dp_msg *m, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	switch (m->u.refuse.reason) {
	case DP_REFUSE_SESSION:
		dp_down_connect(c, i, out);
		return;
	case DP_REFUSE_STALE:
		/* A controller without a journal of its own cannot know which epochs are taken. */
		if (c->cfg.role == DP_CORE_CONTROLLER && !c->log.last.based) {
			d->state = DP_DOWN_CONNECTING;
			if (!c->promise_token && m->u.refuse.number >= c->epoch)
				dp_recover_claim(c, m->u.refuse.number + 1, out);
			return;
		}
		if (dp_up_stale(c, m->u.refuse.number, out))
			break;
		c->superseded = c->cfg.role == DP_CORE_CONTROLLER;
		dp_raise(out, DP_ALARM_REFUSED_EPOCH, i);
		break;
	case DP_REFUSE_CONFIG:
		dp_raise(out, DP_ALARM_REFUSED_CONFIG, i);
		break;
	case DP_REFUSE_FAILED:
		dp_raise(out, DP_ALARM_REFUSED_FAILED, i);
		break;
	default:
		dp_raise(out, DP_ALARM_REFUSED_DIVERGED, i);
		d->state = DP_DOWN_INCONSISTENT;
		return;
	}
	d->state = DP_DOWN_CONNECTING;
}

static void rewind_to(struct dp_core *c, struct dp_down *d, uint64_t seq)
{
	if (seq == 0 || seq > d->sent || seq <= d->cached || seq <= c->log.tail.at.seq)
		return;
	d->sent = seq - 1;
	if (d->marked > d->sent)
		d->marked = d->sent; /* it took no more of what it was told */
	d->loading = 0;
	d->naks++;
	dp_down_recount(c, d);
}

void dp_down_message(struct dp_core *c, uint32_t i, struct dp_msg *m, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (!d->session || m->session != d->session)
		return; /* of a session that is over */
	d->heard_us = c->now_us;
	switch (m->type) {
	case DP_MSG_WELCOME:
		if (d->state != DP_DOWN_CONNECTING)
			break;
		d->state = DP_DOWN_WAITING;
		d->welcome = m->u.welcome;
		m->u.welcome = NULL;
		if (c->state == DP_CORE_OPEN)
			dp_down_start(c, i, out);
		else
			dp_recover_try(c, out);
		break;
	case DP_MSG_REFUSE:
		refused(c, i, m, out);
		break;
	case DP_MSG_ACK:
		if (d->state != DP_DOWN_ACTIVE)
			break;
		d->room = m->u.ack.room;
		if (m->u.ack.images != DP_IMAGES_UNKNOWN && d->images != m->u.ack.images) {
			d->images = m->u.ack.images;
			c->up.ack_due = true;
		}
		if (d->refill_sent && m->u.ack.order == (uint32_t)d->refill_id)
			d->refill = d->refill_sent = false; /* what it says of its images counts
							       again */
		take_marks(c, d, m->u.ack.cached, m->u.ack.committed);
		break;
	case DP_MSG_NAK:
		if (d->state == DP_DOWN_ACTIVE)
			rewind_to(c, d, m->u.nak.seq);
		break;
	case DP_MSG_RECORD:
		dp_recover_record(c, i, m->u.record, out);
		break;
	case DP_MSG_DATA:
		dp_read_data(c, i, m, out);
		break;
	case DP_MSG_FETCH:
		if (d->state == DP_DOWN_ACTIVE)
			dp_resync_fetch(c, i, m, out);
		break;
	default:
		c->refused++;
	}
}

/* A leg that counts leaves the set first: what it has is no copy any more once it begins. What was
 * sent cannot be taken back: it counts again when it has said that it took the order, and is whole,
 * or is whole in a new session. */
static void send_refill(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (d->refill_sent && c->now_us - d->refill_us < DP_CORE_PROBE_US)
		return;
	if (!dp_resync_possible(c, i) && !d->refill_sent) {
		dp_raise(out, DP_ALARM_NO_OTHER_COPY, i);
		d->refill = false;
	} else if (c->cfg.role != DP_CORE_CONTROLLER || dp_core_is_away(c, i)) {
		dp_resync_refill(c, i, out);
	}
}

static void send_marks(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_msg m = {.u.marks = {.agreed = c->agreed, .sent = d->sent}};
	d->marked = c->agreed;
	dp_core_send_down(c, i, DP_MSG_MARKS, &m, out);
}

void dp_down_tick(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	uint64_t quiet = c->now_us - d->sent_us;
	bool waits = d->sent > d->cached && c->now_us - d->progress_us >= DP_CORE_PROBE_US;
	switch (d->state) {
	case DP_DOWN_CONNECTING:
		if (!d->session || c->now_us - d->hello_us >= DP_CORE_HELLO_US)
			dp_down_connect(c, i, out);
		break;
	case DP_DOWN_INCONSISTENT:
		if (c->now_us - d->hello_us >= 10 * DP_CORE_HELLO_US)
			dp_down_connect(c, i, out);
		break;
	case DP_DOWN_ACTIVE:
		if (d->loading == DP_LOAD_LATER)
			d->loading = 0;
		if (d->refill || d->refill_sent)
			send_refill(c, i, out);
		if (c->now_us - d->heard_us >= (d->flight ? DP_CORE_SLOW_US : DP_CORE_DEAD_US)) {
			dp_down_connect(c, i, out);
		} else if (quiet >= DP_CORE_IDLE_US || (waits && quiet >= DP_CORE_PROBE_US) ||
			(c->agreed > d->marked && quiet >= DP_CORE_MARKS_US)) {
			send_marks(c, i, out);
		}
		break;
	case DP_DOWN_WAITING:
		if (c->state == DP_CORE_OPEN)
			dp_down_start(c, i, out);
		break;
	case DP_DOWN_DOWN:
		break;
	}
}

static void settle_link(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	bool down = d->silent || d->order != DP_LEG_RESUME;
	if (down == (d->state == DP_DOWN_DOWN))
		return;
	d->state = down ? DP_DOWN_DOWN : DP_DOWN_CONNECTING;
	dp_down_connect(c, i, out);
}

void dp_down_link(struct dp_core *c, uint32_t i, bool up, struct dp_actions *out)
{
	c->down[i].silent = !up;
	settle_link(c, i, out);
}

void dp_down_order(struct dp_core *c, uint32_t i, const struct dp_order *o, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	d->refill = o->order == DP_LEG_RESYNC;
	if (d->refill)
		d->refill_id = dp_core_random(c) | 1;
	d->order = d->refill ? DP_LEG_RESUME : o->order;
	d->drop_to = d->order == DP_LEG_DROP ? o->drop_to : 0;
	settle_link(c, i, out);
}
