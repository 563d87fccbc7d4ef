/* SPDX-License-Identifier: MIT */
/* Towards the sender above: sessions, records taken in, acknowledgements. */
#include "engine/core_internal.h"

#include <stdlib.h>

#include "base/err.h"

static void refuse(struct dp_core *c, uint32_t peer, uint64_t session, enum dp_refusal reason,
	uint64_t number, struct dp_actions *out)
{
	struct dp_msg m = {.session = session, .u.refuse = {.reason = reason, .number = number}};
	c->refused++;
	dp_core_send_up(c, peer, DP_MSG_REFUSE, &m, out);
}

static void promise(struct dp_core *c, uint64_t epoch, struct dp_actions *out)
{
	dp_resync_doubt(c, out);
	struct dp_meta meta = c->log.last;
	meta.promised = epoch;
	if (c->cfg.role == DP_CORE_MIRROR)
		meta.based = true;
	c->promise_epoch = epoch;
	c->promise_token = dp_core_barrier(c, &meta, out);
}

static void welcome(struct dp_core *c, struct dp_actions *out)
{
	c->up = (struct dp_up){
		.active = true,
		.peer = c->held_peer,
		.session = c->held_hello.session,
		.epoch = c->held_hello.u.hello.epoch,
		.room_told = c->room,
	};
	c->hello_held = false;
	struct dp_msg m = {.u.welcome = calloc(1, sizeof(struct dp_welcome))};
	if (!m.u.welcome) {
		out->overflow = true;
		return;
	}
	*m.u.welcome = (struct dp_welcome){
		.instance = c->cfg.instance,
		.cached = c->durable,
		.committed = c->committed,
		.room = c->room,
		.images = dp_core_images(c),
		.tail = c->log.tail,
		.last = c->log.last,
	};
	dp_core_send_up(c, c->up.peer, DP_MSG_WELCOME, &m, out);
}

/* A HELLO is answered once its epoch is promised durably (law 5) and this node knows where it
 * stands: a relay whose journal is new learns that from below first. */
void dp_up_hello(struct dp_core *c, struct dp_actions *out)
{
	if (!c->hello_held || c->promise_token || c->base_token || c->reset_token)
		return;
	uint64_t epoch = c->held_hello.u.hello.epoch;
	if (epoch < c->log.last.promised) {
		refuse(c, c->held_peer, c->held_hello.session, DP_REFUSE_STALE,
			c->log.last.promised, out);
		c->hello_held = false;
		return;
	}
	if (epoch > c->log.last.promised) {
		promise(c, epoch, out);
		return;
	}
	if (c->state == DP_CORE_OPEN)
		welcome(c, out);
}

/* A node below has promised a newer epoch than the HELLO that waits for it: its sender is told, and
 * begins again with a newer one if it lost its journal too. */
bool dp_up_stale(struct dp_core *c, uint64_t promised, struct dp_actions *out)
{
	if (!c->hello_held || c->held_hello.u.hello.epoch >= promised)
		return false;
	refuse(c, c->held_peer, c->held_hello.session, DP_REFUSE_STALE, promised, out);
	c->hello_held = false;
	return true;
}

static void hello(struct dp_core *c, uint32_t peer, const struct dp_msg *m, struct dp_actions *out)
{
	if (c->state == DP_CORE_FAILED) {
		refuse(c, peer, m->session, DP_REFUSE_FAILED, 0, out);
		return;
	}
	if (m->u.hello.config != c->cfg.config) {
		refuse(c, peer, m->session, DP_REFUSE_CONFIG, c->cfg.config, out);
		return;
	}
	if (m->u.hello.epoch < c->log.last.promised || m->u.hello.epoch < c->promise_epoch) {
		uint64_t promised = c->log.last.promised;
		refuse(c, peer, m->session, DP_REFUSE_STALE,
			promised > c->promise_epoch ? promised : c->promise_epoch, out);
		return;
	}
	/* The old session ends here: what it still sends must not mix with the new one's. */
	c->up.active = false;
	free(c->reset);
	c->reset = NULL;
	c->held_hello = *m;
	c->held_peer = peer;
	c->hello_held = true;
	dp_up_hello(c, out);
}

void dp_up_barrier(struct dp_core *c, uint64_t token, struct dp_actions *out)
{
	if (c->state == DP_CORE_FAILED)
		return;
	dp_resync_barrier(c, token, out);
	if (c->base_token == token) {
		c->base_token = 0;
		c->log.last.complete = c->log.tail.complete = c->base_complete;
	} else if (c->promise_token == token) {
		c->log.last.promised = c->log.tail.promised = c->promise_epoch;
		if (c->cfg.role == DP_CORE_MIRROR)
			c->log.last.based = c->log.tail.based = true;
		c->promise_token = 0;
		if (c->cfg.role == DP_CORE_CONTROLLER) {
			c->epoch = c->promise_epoch;
			c->state = DP_CORE_RECOVERING;
		}
		/* The new epoch is carried down the cascade. */
		for (uint32_t i = 0; i < c->cfg.down_count; i++)
			dp_down_connect(c, i, out);
		dp_recover_try(c, out);
	}
	dp_up_hello(c, out);
}

static void diverged(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	dp_raise(out, DP_ALARM_DIVERGED, DP_PEER_UPSTREAM);
	refuse(c, c->up.peer, c->up.session, DP_REFUSE_DIVERGED, seq, out);
	c->up.active = false;
}

static void start(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out)
{
	struct dp_position at = m->u.start.at, here, last = c->log.last.at;
	c->up.ack_due = true;
	if (c->up.started)
		return; /* one that comes again: what was taken since is acknowledged, and stays */
	bool known = dp_log_position(&c->log, at.seq, &here) && here.chain == at.chain;
	if (!known || (at.seq < last.seq && at.seq < c->apply_told)) {
		diverged(c, at.seq, out);
		return;
	}
	if (at.seq < last.seq)
		dp_core_cut(c, at.seq, out);
	if (m->u.start.agreed > c->agreed)
		c->agreed = m->u.start.agreed < at.seq ? m->u.start.agreed : at.seq;
	c->up.started = true;
	c->up.started_us = c->now_us;
	dp_resync_go_on(c, out);
}

static void nak(struct dp_core *c, struct dp_actions *out)
{
	uint64_t seq = c->log.last.at.seq + 1;
	if (c->up.nak_seq == seq && c->now_us - c->up.nak_us < DP_CORE_PROBE_US / 2)
		return;
	c->up.nak_seq = seq;
	c->up.nak_us = c->now_us;
	struct dp_msg m = {.u.nak.seq = seq};
	dp_core_send_up(c, c->up.peer, DP_MSG_NAK, &m, out);
}

static void agree(struct dp_core *c, uint64_t agreed)
{
	if (agreed > c->log.last.at.seq)
		agreed = c->log.last.at.seq;
	if (agreed > c->agreed)
		c->agreed = agreed;
}

static void record(struct dp_core *c, struct dp_record *r, struct dp_actions *out)
{
	uint64_t last = c->log.last.at.seq;
	if (r->h.seq <= last) {
		/* A duplicate is acknowledged again: its first acknowledgement may be lost. */
		c->up.ack_due = true;
		return;
	}
	if (r->h.seq > last + 1 || dp_core_cost(r->h.payload_len) + c->owed > c->room) {
		nak(c, out);
		return;
	}
	if (!dp_core_genuine(c, r)) {
		/* Asked for again: it may be a relay's doing, and it is not for long. */
		if (!c->up.forged)
			dp_raise(out, DP_ALARM_RECORD_NOT_SEALED, DP_PEER_UPSTREAM);
		c->up.forged = true;
		c->bad_records++;
		nak(c, out);
		return;
	}
	int err = dp_core_take(c, r);
	if (err == DP_EDIVERGED) {
		refuse(c, c->up.peer, c->up.session, DP_REFUSE_SESSION, 0, out);
		c->up.active = false;
	} else if (err) {
		out->overflow = true;
	} else {
		agree(c, r->h.agreed);
	}
}

void dp_up_bad(struct dp_core *c, uint32_t peer, struct dp_msg *m, struct dp_actions *out)
{
	c->bad_records++;
	if (c->up.active && c->up.peer == peer && c->up.session == m->session)
		nak(c, out);
}

void dp_up_pump(struct dp_core *c, struct dp_actions *out)
{
	while (c->up.active && c->up.pull && c->up.pull_bytes && !c->up.pull_loading) {
		if (c->up.pull > c->log.last.at.seq) {
			c->up.pull = 0;
			return;
		}
		struct dp_log_entry *e = dp_log_entry(&c->log, c->up.pull);
		if (!e) { /* released meanwhile: the sender has to look again */
			refuse(c, c->up.peer, c->up.session, DP_REFUSE_SESSION, 0, out);
			c->up.active = false;
			return;
		}
		if (!e->record) {
			c->up.pull_loading = c->up.pull;
			dp_act(out, DP_ACT_LOAD)->seq = c->up.pull;
			return;
		}
		dp_up_pulled(c, e->record, out);
	}
}

void dp_up_pulled(struct dp_core *c, struct dp_record *r, struct dp_actions *out)
{
	uint64_t cost = dp_core_cost(r->h.payload_len);
	struct dp_msg m = {.u.record = dp_record_ref(r)};
	dp_core_send_up(c, c->up.peer, DP_MSG_RECORD, &m, out);
	c->up.pull++;
	c->up.pull_bytes -= cost < c->up.pull_bytes ? cost : c->up.pull_bytes;
}

static void unknown(struct dp_core *c, uint32_t peer, const struct dp_msg *m,
	struct dp_actions *out)
{
	bool held = c->hello_held && c->held_hello.session == m->session;
	if (held || c->now_us - c->up.nak_us < DP_CORE_PROBE_US / 2)
		return;
	c->up.nak_us = c->now_us;
	refuse(c, peer, m->session, DP_REFUSE_SESSION, 0, out);
}

void dp_up_message(struct dp_core *c, uint32_t peer, struct dp_msg *m, struct dp_actions *out)
{
	if (m->type == DP_MSG_HELLO) {
		hello(c, peer, m, out);
		return;
	}
	/* Without its START a session has no position: a lost one is asked for again like a
	 * session that is unknown. */
	bool ours = c->up.active && m->session == c->up.session;
	/* One that comes twice finds the jump under way. */
	if (ours && !c->up.started && m->type == DP_MSG_RESET && !c->reset_token) {
		if (!dp_resync_reset(c, m->u.reset, out))
			diverged(c, m->u.reset->common, out);
		return;
	}
	if (ours && c->up.started && m->type == DP_MSG_RESET) {
		dp_resync_ordered(c, m->u.reset->common);
		return;
	}
	if (ours && !c->up.started && (c->reset || c->reset_token))
		return; /* what is sent already is asked for again after the jump */
	if (!ours || (!c->up.started && m->type != DP_MSG_START)) {
		unknown(c, peer, m, out);
		return;
	}
	c->up.peer = peer; /* the same session may come over a new connection */
	switch (m->type) {
	case DP_MSG_START:
		start(c, m, out);
		break;
	case DP_MSG_RECORD:
		record(c, m->u.record, out);
		break;
	case DP_MSG_MARKS:
		agree(c, m->u.marks.agreed);
		if (m->u.marks.sent > c->log.last.at.seq)
			nak(c, out);
		c->up.ack_due = true;
		break;
	case DP_MSG_PULL:
		c->up.pull = m->u.pull.seq;
		c->up.pull_bytes = m->u.pull.bytes;
		dp_up_pump(c, out);
		break;
	case DP_MSG_READ:
		dp_read_up(c, m, out);
		break;
	case DP_MSG_FILL:
		dp_resync_fill(c, m, out);
		break;
	default:
		c->refused++;
	}
}

void dp_up_settle(struct dp_core *c, struct dp_actions *out)
{
	if (!c->up.active || !c->up.started)
		return;
	/* A sender that ran out of room is told when there is some again. */
	uint64_t grown = c->room > c->up.room_told ? c->room - c->up.room_told : 0;
	if (grown > c->cfg.window_bytes / 16)
		c->up.ack_due = true;
	if (!c->up.ack_due)
		return;
	c->up.ack_due = false;
	c->up.room_told = c->room;
	uint64_t committed = c->committed < c->durable ? c->committed : c->durable;
	struct dp_msg m = {.u.ack = {c->durable, committed, c->room, dp_core_images(c),
				   (uint32_t)c->refill_id}};
	dp_core_send_up(c, c->up.peer, DP_MSG_ACK, &m, out);
}
