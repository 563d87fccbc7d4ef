/* SPDX-License-Identifier: MIT */
/* Records from the sender above, and the positions that this node reports to it. */
#include "engine/internal.h"

#include "base/err.h"

/* Asks for the next record. */
static void send_nak(struct dp_core *c, struct dp_actions *out)
{
	uint64_t seq = c->log.last.at.seq + 1;
	if (c->up.nak_seq == seq && c->now_us - c->up.nak_us < DP_CORE_PROBE_US / 2)
		return;
	c->up.nak_seq = seq;
	c->up.nak_us = c->now_us;
	struct dp_msg m = {.u.nak.seq = seq};
	dp_core_send_up(c, c->up.peer, DP_MSG_NAK, &m, out);
}

static void take_agreed(struct dp_core *c, uint64_t agreed)
{
	if (agreed > c->log.last.at.seq)
		agreed = c->log.last.at.seq;
	if (agreed > c->agreed)
		c->agreed = agreed;
}

/* The record is asked for again, because a relay may have changed it, and the next one may be
 * right. */
static void refuse_unsealed(struct dp_core *c, struct dp_actions *out)
{
	if (!c->up.bad_seal)
		dp_raise(out, DP_ALARM_RECORD_NOT_SEALED, DP_PEER_UPSTREAM);
	c->up.bad_seal = true;
	c->bad_records++;
	send_nak(c, out);
}

void dp_take_on_record(struct dp_core *c, struct dp_record *r, struct dp_actions *out)
{
	uint64_t last = c->log.last.at.seq;
	if (r->h.seq <= last) {
		/* A duplicate is acknowledged again: its first acknowledgement may be lost. */
		c->up.ack_due = true;
		return;
	}
	if (r->h.seq > last + 1 ||
		dp_core_cost(r->h.payload_len) + c->journal.reserved > c->journal.room) {
		send_nak(c, out);
		return;
	}
	if (!dp_core_genuine(c, r)) {
		refuse_unsealed(c, out);
		return;
	}
	int err = dp_core_take(c, r);
	if (err == DP_EDIVERGED) {
		dp_core_refuse(c, c->up.peer, c->up.session, DP_REFUSE_SESSION, 0, out);
		dp_up_end(c);
	} else if (err) {
		out->overflow = true;
	} else {
		take_agreed(c, r->h.agreed);
	}
}

void dp_take_on_positions(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out)
{
	take_agreed(c, m->u.marks.agreed);
	if (m->u.marks.sent > c->log.last.at.seq)
		send_nak(c, out);
	c->up.ack_due = true;
}

void dp_take_on_bad(struct dp_core *c, uint32_t peer, const struct dp_msg *m,
	struct dp_actions *out)
{
	c->bad_records++;
	if (c->up.active && c->up.peer == peer && c->up.session == m->session)
		send_nak(c, out);
}

/* ---- records that an adopting sender pulls up ---- */

void dp_take_on_pull(struct dp_core *c, const struct dp_msg *m)
{
	c->up.pull = m->u.pull.seq;
	c->up.pull_bytes = m->u.pull.bytes;
}

static void send_pulled(struct dp_core *c, struct dp_record *r, struct dp_actions *out)
{
	uint64_t cost = dp_core_cost(r->h.payload_len);
	struct dp_msg m = {.u.record = dp_record_ref(r)};
	dp_core_send_up(c, c->up.peer, DP_MSG_RECORD, &m, out);
	c->up.pull++;
	c->up.pull_bytes -= cost < c->up.pull_bytes ? cost : c->up.pull_bytes;
}

void dp_take_on_loaded(struct dp_core *c, uint64_t seq, struct dp_record *r, struct dp_actions *out)
{
	if (c->up.pull_loading != seq)
		return;
	c->up.pull_loading = r ? 0 : DP_LOAD_LATER;
	if (r && c->up.active && c->up.pull == seq)
		send_pulled(c, r, out);
}

void dp_take_settle_pull(struct dp_core *c, struct dp_actions *out)
{
	while (c->up.active && c->up.pull && c->up.pull_bytes && !c->up.pull_loading) {
		if (c->up.pull > c->log.last.at.seq) {
			c->up.pull = 0;
			return;
		}
		struct dp_log_entry *e = dp_log_entry(&c->log, c->up.pull);
		if (!e) { /* it was released meanwhile: the sender must begin again */
			dp_core_refuse(c, c->up.peer, c->up.session, DP_REFUSE_SESSION, 0, out);
			dp_up_end(c);
			return;
		}
		if (!e->record) {
			c->up.pull_loading = c->up.pull;
			dp_act(out, DP_ACT_LOAD)->seq = c->up.pull;
			return;
		}
		send_pulled(c, e->record, out);
	}
}

void dp_take_tick(struct dp_core *c)
{
	if (c->up.pull_loading == DP_LOAD_LATER)
		c->up.pull_loading = 0;
}

/* ---- ACK ---- */

void dp_take_settle(struct dp_core *c, struct dp_actions *out)
{
	if (!c->up.active || !c->up.started)
		return;
	/* The sender may have stopped for lack of room. It is told when there is room again. */
	uint64_t room = c->journal.room,
		 grown = room > c->up.room_sent ? room - c->up.room_sent : 0;
	if (grown > c->cfg.window_bytes / 16)
		c->up.ack_due = true;
	if (!c->up.ack_due)
		return;
	c->up.ack_due = false;
	c->up.room_sent = room;
	uint64_t durable = c->journal.durable;
	uint64_t committed = c->committed < durable ? c->committed : durable;
	struct dp_msg m = {.u.ack = {durable, committed, room, dp_core_images(c),
				   (uint32_t)c->rebuild.order_id}};
	dp_core_send_up(c, c->up.peer, DP_MSG_ACK, &m, out);
}
