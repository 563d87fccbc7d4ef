/* SPDX-License-Identifier: MIT */
/* Records to the receivers below, and the positions that the receivers report. */
#include "engine/internal.h"

/* ---- rate, window, room ---- */

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

/* The rate is spent when a record is sent. It may be compressed later, and then some of the rate is
 * given back. */
void dp_send_on_shrunk(struct dp_core *c, uint32_t i, uint64_t bytes)
{
	uint64_t rate = c->cfg.link_rate[i], us = rate ? bytes * 1000000 / rate : 0;
	struct dp_down *d = &c->down[i];
	d->free_us -= us < d->free_us ? us : d->free_us;
}

static bool has_rate(const struct dp_core *c, const struct dp_down *d)
{
	return !c->cfg.link_rate[d - c->down] || d->free_us <= c->now_us + DP_CORE_BURST_US;
}

/* Whether the link's window and the receiver's room allow one more record of this cost. */
static bool has_room(const struct dp_core *c, const struct dp_down *d, uint64_t cost)
{
	uint64_t window = c->cfg.link_window[d - c->down];
	if (!window || window > c->cfg.window_bytes)
		window = c->cfg.window_bytes;
	/* The longest record may be larger than a small window. */
	return d->flight + cost <= d->room && (d->flight == 0 || d->flight + cost <= window);
}

/* ---- sending ---- */

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
	if (r->h.agreed > d->agreed_sent)
		d->agreed_sent = r->h.agreed;
}

static bool has_more(const struct dp_core *c, const struct dp_down *d)
{
	return d->state == DP_DOWN_ACTIVE && !d->loading && d->sent < c->log.last.at.seq;
}

static void send_what_fits(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	while (has_more(c, d)) {
		struct dp_log_entry *e = dp_log_entry(&c->log, d->sent + 1);
		if (!has_rate(c, d) || !has_room(c, d, dp_core_cost(e->payload_len)))
			return;
		if (!e->record) {
			d->loading = d->sent + 1;
			dp_act(out, DP_ACT_LOAD)->seq = d->sent + 1;
			return;
		}
		send_record(c, i, e->record, out);
	}
}

void dp_send_on_loaded(struct dp_core *c, uint32_t i, uint64_t seq, struct dp_record *r,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (d->loading != seq)
		return;
	struct dp_log_entry *e = dp_log_entry(&c->log, seq);
	/* Since the load was asked for, the session, the tail or the record itself may have
	 * changed. */
	bool right = r && d->sent + 1 == seq && e && e->chain == r->h.chain;
	d->loading = right ? 0 : DP_LOAD_LATER;
	if (right && d->state == DP_DOWN_ACTIVE)
		send_record(c, i, r, out);
}

void dp_send_settle(struct dp_core *c, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		send_what_fits(c, i, out);
}

/* ---- positions and NAKs from the receiver ---- */

static void take_positions(struct dp_core *c, struct dp_down *d, uint64_t cached,
	uint64_t committed)
{
	if (cached > d->sent)
		cached = d->sent; /* a receiver cannot have what was never sent */
	uint64_t from = d->cached < c->log.tail.at.seq ? c->log.tail.at.seq : d->cached;
	for (uint64_t s = from + 1; s <= cached; s++) {
		struct dp_log_entry *e = dp_log_entry(&c->log, s);
		uint64_t cost = e ? dp_core_cost(e->payload_len) : 0;
		d->flight -= cost < d->flight ? cost : d->flight;
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

void dp_send_on_ack(struct dp_core *c, uint32_t i, const struct dp_msg *m)
{
	struct dp_down *d = &c->down[i];
	if (d->state != DP_DOWN_ACTIVE)
		return;
	d->room = m->u.ack.room;
	if (m->u.ack.images != DP_IMAGES_UNKNOWN && d->images != m->u.ack.images) {
		d->images = m->u.ack.images;
		c->up.ack_due = true;
	}
	if (d->order_sent && m->u.ack.order == (uint32_t)d->order_id)
		d->ordered = d->order_sent = false; /* its reports about its images count again */
	take_positions(c, d, m->u.ack.cached, m->u.ack.committed);
}

/* The receiver lacks `seq`: everything from there on is sent again. */
void dp_send_on_nak(struct dp_core *c, uint32_t i, uint64_t seq)
{
	struct dp_down *d = &c->down[i];
	if (d->state != DP_DOWN_ACTIVE || seq == 0 || seq > d->sent || seq <= d->cached ||
		seq <= c->log.tail.at.seq)
		return;
	d->sent = seq - 1;
	if (d->agreed_sent > d->sent)
		d->agreed_sent = d->sent; /* the receiver took the agreed position only up to there
					   */
	d->loading = 0;
	d->naks++;
	dp_down_recount(c, d);
}

/* ---- time ---- */

static uint64_t dead_us(const struct dp_down *d)
{
	return d->heard_us + (d->flight ? DP_CORE_SLOW_US : DP_CORE_DEAD_US);
}

/* When POSITIONS is due: no record carries the agreed position, or the receiver must be asked for
 * its own.
 */
static uint64_t positions_due_us(const struct dp_core *c, const struct dp_down *d)
{
	uint64_t due = d->sent_us + DP_CORE_IDLE_US;
	if (c->agreed > d->agreed_sent && d->sent_us + DP_CORE_MARKS_US < due)
		due = d->sent_us + DP_CORE_MARKS_US;
	if (d->sent > d->cached) {
		uint64_t last = d->progress_us > d->sent_us ? d->progress_us : d->sent_us;
		due = last + DP_CORE_PROBE_US < due ? last + DP_CORE_PROBE_US : due;
	}
	return due;
}

static void send_positions(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_msg m = {.u.marks = {.agreed = c->agreed, .sent = d->sent}};
	d->agreed_sent = c->agreed;
	dp_core_send_down(c, i, DP_MSG_MARKS, &m, out);
}

void dp_send_tick(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (d->state != DP_DOWN_ACTIVE)
		return;
	if (d->loading == DP_LOAD_LATER)
		d->loading = 0;
	if (c->now_us >= dead_us(d))
		d->connect_due = true;
	else if (c->now_us >= positions_due_us(c, d))
		send_positions(c, i, out);
}

uint64_t dp_send_due_us(const struct dp_core *c, uint32_t i)
{
	const struct dp_down *d = &c->down[i];
	if (d->state != DP_DOWN_ACTIVE)
		return UINT64_MAX;
	if (d->loading == DP_LOAD_LATER)
		return 0;
	uint64_t due = positions_due_us(c, d);
	if (has_more(c, d) && !has_rate(c, d) && d->free_us - DP_CORE_BURST_US < due)
		due = d->free_us - DP_CORE_BURST_US;
	return dead_us(d) < due ? dead_us(d) : due;
}
