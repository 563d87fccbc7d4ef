/* SPDX-License-Identifier: MIT */
/* The core as a whole: its life, the part that handles each event, and the order in which the parts
 * settle. */
#include "engine/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

/* ---- life ---- */

static struct dp_core_can capabilities(const struct dp_core_config *cfg)
{
	bool controller = cfg->role == DP_CORE_CONTROLLER;
	return (struct dp_core_can){
		.makes_records = controller,
		.has_sender = !controller,
		.keeps_images = cfg->image,
		.opens_seal = cfg->role != DP_CORE_RELAY,
		.starts_bare = cfg->role == DP_CORE_RELAY,
	};
}

static bool is_valid_config(const struct dp_core_config *cfg)
{
	bool has_policy = cfg->role == DP_CORE_CONTROLLER && cfg->down_count > 0;
	return cfg->down_count <= DP_DOWN_MAX && cfg->window_bytes > 0 &&
		(!has_policy || (cfg->ack_legs >= 1 && cfg->ack_legs <= cfg->down_count));
}

static bool is_permutation(const uint8_t *order, uint32_t count)
{
	uint32_t seen = 0;
	for (uint32_t i = 0; i < count; i++)
		seen |= order[i] < count ? 1u << order[i] : 0;
	return seen == (1u << count) - 1;
}

/* Fills in ids and order of links if the configuration does not have them. */
static void complete_config(struct dp_core_config *cfg)
{
	bool unordered = !is_permutation(cfg->read_order, cfg->down_count);
	for (uint32_t i = 0; i < cfg->down_count; i++) {
		if (unordered)
			cfg->read_order[i] = (uint8_t)i;
		if (!cfg->leg_ids[i])
			cfg->leg_ids[i] = i + 1;
	}
}

int dp_core_init(struct dp_core *c, const struct dp_core_config *cfg, const struct dp_meta *tail)
{
	memset(c, 0, sizeof *c);
	if (!is_valid_config(cfg))
		return DP_EINVAL;
	c->cfg = *cfg;
	c->can = capabilities(cfg);
	complete_config(&c->cfg);
	struct dp_meta start = *tail;
	if (start.at.seq == 0)
		start.at.chain = dp_chain_start(cfg->stream);
	int err = dp_log_init(&c->log, &start);
	if (!err)
		err = dp_sets_init(&c->sets);
	if (err) {
		dp_core_clear(c);
		return err;
	}
	c->journal.appended = c->journal.handed = c->journal.durable = start.at.seq;
	c->agreed = c->image.applied = c->image.target = start.at.seq;
	return 0;
}

void dp_core_clear(struct dp_core *c)
{
	dp_log_clear(&c->log);
	dp_sets_clear(&c->sets);
	dp_msg_clear(&c->up.hello);
	for (uint32_t i = 0; i < DP_DOWN_MAX; i++)
		free(c->down[i].welcome);
	free(c->rebuild.reset);
	free(c->writes.ring);
	free(c->flushes.ring);
	free(c->reads.list);
	memset(c, 0, sizeof *c);
}

/* ---- recovery of the journal, before START ---- */

static void restored(struct dp_core *c)
{
	uint64_t last = c->log.last.at.seq;
	c->journal.appended = c->journal.handed = c->journal.durable = last;
	c->image.replay = c->log.evicted = last;
	if (c->agreed > last)
		c->agreed = last;
}

int dp_core_restore(struct dp_core *c, const struct dp_header *h)
{
	int err = dp_log_append_header(&c->log, h);
	if (err)
		return err;
	dp_sets_note(&c->sets, h->set, h->seq, h->flags & DP_RECORD_CLOSES_SET, 0);
	if (h->agreed > c->agreed)
		c->agreed = h->agreed;
	restored(c);
	return 0;
}

int dp_core_restore_barrier(struct dp_core *c, const struct dp_meta *meta)
{
	struct dp_log *log = &c->log;
	if (meta->at.seq > log->last.at.seq || meta->at.seq < log->tail.at.seq) {
		dp_log_reset(log, meta);
		c->image.applied = c->image.target = meta->at.seq;
		if (c->agreed < meta->at.seq)
			c->agreed = meta->at.seq;
		c->sets.count = c->sets.executing = 0;
	} else {
		struct dp_position here;
		dp_log_position(log, meta->at.seq, &here);
		if (meta->at.seq && here.chain != meta->at.chain)
			return DP_EDIVERGED;
		dp_log_cut(log, meta->at.seq);
		dp_sets_cut(&c->sets, meta->at.seq);
	}
	dp_meta_own(&log->last, meta);
	dp_meta_own(&log->tail, meta);
	restored(c);
	return 0;
}

/* ---- messages: each type goes to one part ---- */

static void on_session_message(struct dp_core *c, struct dp_msg *m, struct dp_actions *out)
{
	switch (m->type) {
	case DP_MSG_START:
		dp_session_on_start(c, m, out);
		break;
	case DP_MSG_RESET: /* in a session that has started it is an order */
		dp_rebuild_on_order(c, m->u.reset->common);
		break;
	case DP_MSG_RECORD:
		dp_take_on_record(c, m->u.record, out);
		break;
	case DP_MSG_MARKS:
		dp_take_on_positions(c, m, out);
		break;
	case DP_MSG_PULL:
		dp_take_on_pull(c, m);
		break;
	case DP_MSG_READ:
		dp_read_on_up(c, m, out);
		break;
	case DP_MSG_FILL:
		dp_rebuild_on_fill(c, m, out);
		break;
	default:
		c->refused++;
	}
}

static void on_message_from_up(struct dp_core *c, uint32_t peer, struct dp_msg *m,
	struct dp_actions *out)
{
	bool ours = c->up.active && m->session == c->up.session;
	bool jumping = c->rebuild.reset || c->rebuild.reset_token;
	if (m->type == DP_MSG_HELLO) {
		dp_session_on_hello(c, peer, m, out);
	} else if (ours && !c->up.started && m->type == DP_MSG_RESET) {
		if (!c->rebuild.reset_token) /* if it comes twice, the jump is under way already */
			dp_rebuild_on_reset(c, m->u.reset, out);
	} else if (ours && !c->up.started && jumping) {
		return; /* records that come now are asked for again after the jump */
	} else if (!ours || (!c->up.started && m->type != DP_MSG_START)) {
		/* Without its START a session has no position. If the START was lost, REFUSE makes
		 * the sender begin again, as for an unknown session. */
		dp_session_on_unknown(c, peer, m, out);
	} else {
		c->up.peer = peer; /* the same session may come over a new connection */
		on_session_message(c, m, out);
	}
}

static void on_message_from_down(struct dp_core *c, uint32_t i, struct dp_msg *m,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (!d->session || m->session != d->session)
		return; /* the message belongs to an ended session */
	d->heard_us = c->now_us;
	switch (m->type) {
	case DP_MSG_WELCOME:
		dp_session_on_welcome(c, i, m);
		break;
	case DP_MSG_REFUSE:
		dp_session_on_refuse(c, i, m, out);
		break;
	case DP_MSG_ACK:
		dp_send_on_ack(c, i, m);
		break;
	case DP_MSG_NAK:
		dp_send_on_nak(c, i, m->u.nak.seq);
		break;
	case DP_MSG_RECORD:
		dp_recover_on_record(c, i, m->u.record, out);
		break;
	case DP_MSG_DATA:
		dp_read_on_data(c, i, m, out);
		break;
	case DP_MSG_FETCH:
		if (d->state == DP_DOWN_ACTIVE && c->can.makes_records)
			dp_read_on_fetch(c, i, &m->u.read, out);
		else if (d->state == DP_DOWN_ACTIVE)
			dp_rebuild_on_fetch(c, m, out);
		break;
	default:
		c->refused++;
	}
}

/* ---- other events ---- */

static void on_start(struct dp_core *c, const struct dp_event *ev, struct dp_actions *out)
{
	c->random = ev->u.start.random;
	c->instance = ev->u.start.instance;
	dp_insync_start(c);
	dp_recover_start(c, out);
}

static void on_limits(struct dp_core *c, const struct dp_core_limits *limits)
{
	c->cfg.high_room = limits->high_room;
	c->cfg.track = limits->track;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		if (c->cfg.link_rate[i] != limits->link_rate[i])
			c->down[i].free_us = 0; /* forget the wait that the old rate demanded */
		c->cfg.link_rate[i] = limits->link_rate[i];
	}
}

static void on_durable(struct dp_core *c, uint64_t seq)
{
	/* A completion from before a cut may name records that the cut has removed. */
	if (seq > c->journal.handed)
		seq = c->journal.handed;
	if (seq <= c->journal.durable)
		return;
	c->journal.durable = seq;
	c->up.ack_due = true;
}

static void on_barrier(struct dp_core *c, uint64_t token, struct dp_actions *out)
{
	if (c->state == DP_CORE_FAILED)
		return;
	dp_rebuild_on_barrier(c, token, out);
	dp_promise_on_barrier(c, token);
}

static void on_failed(struct dp_core *c, enum dp_alarm alarm, struct dp_actions *out)
{
	if (c->state == DP_CORE_FAILED)
		return;
	dp_core_move(c, DP_CORE_FAILED);
	dp_raise(out, alarm, DP_PEER_SELF);
	if (c->up.active) {
		struct dp_msg m = {.u.refuse.reason = DP_REFUSE_FAILED};
		dp_core_send_up(c, c->up.peer, DP_MSG_REFUSE, &m, out);
	}
	dp_up_end(c);
}

static void on_loaded(struct dp_core *c, uint64_t seq, struct dp_record *r, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		dp_send_on_loaded(c, i, seq, r, out);
	dp_take_on_loaded(c, seq, r, out);
}

static void on_tick(struct dp_core *c, struct dp_actions *out)
{
	dp_retain_tick(c, out);
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		dp_session_tick(c, i, out);
		dp_rebuild_tick(c, i, out);
		dp_send_tick(c, i, out);
	}
	dp_take_tick(c);
	dp_recover_tick(c);
	dp_read_tick(c, out);
}

/* From now on every record goes to the journal before it is acknowledged, and the journal will be
 * complete. So the controller can start again with other legs and policies, and need not ask the
 * legs. */
static void on_stop(struct dp_core *c, struct dp_actions *out)
{
	if (c->can.makes_records && c->state == DP_CORE_OPEN && !c->log.last.complete)
		dp_core_complete(c, true, out);
}

/* What the journal, the images and the disks below them have done. */
static void on_completion(struct dp_core *c, const struct dp_event *ev, struct dp_actions *out)
{
	switch (ev->type) {
	case DP_EV_DURABLE:
		on_durable(c, ev->u.seq);
		break;
	case DP_EV_BARRIER:
		on_barrier(c, ev->u.seq, out);
		break;
	case DP_EV_FAILED:
		on_failed(c, ev->u.alarm, out);
		break;
	case DP_EV_APPLIED:
		if (ev->u.seq > c->image.applied)
			c->image.applied = ev->u.seq;
		break;
	case DP_EV_LOADED:
		on_loaded(c, ev->u.loaded.seq, ev->u.loaded.record, out);
		break;
	case DP_EV_IMAGE:
		dp_read_on_image(c, &ev->u.image.found, ev->u.image.data, out);
		break;
	case DP_EV_WANT:
		dp_rebuild_on_want(c, &ev->u.want, out);
		break;
	case DP_EV_COPIED:
		dp_rebuild_on_copied(c, ev->u.copied.bytes, ev->u.copied.valid_seq,
			ev->u.copied.all, out);
		break;
	case DP_EV_BAD_FILL:
		dp_rebuild_on_bad_fill(c, out);
		break;
	default: /* DP_EV_ROOM: settling is all it needs */
		break;
	}
}

static void on_event(struct dp_core *c, const struct dp_event *ev, struct dp_actions *out)
{
	switch (ev->type) {
	case DP_EV_START:
		on_start(c, ev, out);
		break;
	case DP_EV_FROM_UP:
		on_message_from_up(c, ev->peer, ev->u.msg, out);
		break;
	case DP_EV_BAD_UP:
		dp_take_on_bad(c, ev->peer, ev->u.msg, out);
		break;
	case DP_EV_FROM_DOWN:
		on_message_from_down(c, ev->peer, ev->u.msg, out);
		break;
	case DP_EV_LINK:
		dp_session_on_link(c, ev->peer, ev->u.up);
		break;
	case DP_EV_LEG:
		dp_rebuild_on_leg_order(c, ev->peer, &ev->u.order);
		dp_session_on_order(c, ev->peer, &ev->u.order);
		break;
	case DP_EV_LIMITS:
		on_limits(c, ev->u.limits);
		break;
	case DP_EV_SHRUNK:
		dp_send_on_shrunk(c, ev->peer, ev->u.bytes);
		break;
	case DP_EV_HOST:
		dp_host_on_request(c, ev->u.host, out);
		break;
	case DP_EV_READ:
		dp_read_on_host(c, ev->u.host, out);
		break;
	case DP_EV_TICK:
		on_tick(c, out);
		break;
	case DP_EV_STOP:
		on_stop(c, out);
		break;
	default:
		on_completion(c, ev, out);
	}
}

/* ---- settling ---- */

/* After each event all parts settle, in one order: first sessions, then the in-sync set, then
 * positions, then answers and records that are sent or released. The ACK to the sender comes last,
 * so that it has all positions that this step has reached. */
static void settle(struct dp_core *c, struct dp_actions *out)
{
	dp_session_settle_connect(c, out);
	dp_recover_settle(c, out);
	dp_session_settle(c, out);
	if (c->state == DP_CORE_FAILED)
		return;
	dp_rebuild_settle_resume(c, out);
	dp_take_settle_pull(c, out);
	dp_insync_settle(c, out);
	dp_retain_settle_positions(c, out);
	dp_rebuild_settle(c, out);
	dp_session_settle_connect(c, out); /* the log may have jumped */
	if (c->can.makes_records)
		dp_host_settle(c, out);
	dp_send_settle(c, out);
	dp_retain_settle(c, out);
	dp_recover_settle_pull(c, out);
	dp_read_settle(c, out);
	dp_take_settle(c, out);
}

/* Invariants between two steps. They hold whatever other nodes, hosts and disks do. */
static void core_check(const struct dp_core *c)
{
	uint64_t tail = c->log.tail.at.seq, last = c->log.last.at.seq;
	const struct dp_core_journal *j = &c->journal;
	assert(tail <= j->appended && j->appended <= last);
	assert(j->durable <= j->handed && j->handed <= j->appended);
	assert(tail <= c->agreed && c->agreed <= last && c->committed <= last);
	assert(c->image.applied <= c->image.target || !c->can.keeps_images);
	assert(!c->promise.token || c->promise.epoch > c->log.last.promised);
	assert(c->reads.count <= DP_READS_MAX && c->writes.count <= DP_HOST_REQUESTS_MAX &&
		c->flushes.count <= DP_HOST_REQUESTS_MAX);
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		assert(d->committed <= d->cached && d->cached <= d->sent);
		assert(d->state != DP_DOWN_ACTIVE || d->sent <= last || c->state != DP_CORE_OPEN);
		assert((d->state == DP_DOWN_WAITING) == (d->welcome != NULL));
	}
}

void dp_core_step(struct dp_core *c, const struct dp_event *ev, struct dp_actions *out)
{
	c->now_us = ev->now_us;
	c->journal.room = ev->room;
	c->journal.unwritten = ev->unwritten;
	on_event(c, ev, out);
	settle(c, out);
	if (!out->overflow)
		core_check(c);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

uint64_t dp_core_due_us(const struct dp_core *c)
{
	uint64_t due = earlier(dp_retain_due_us(c), dp_recover_due_us(c));
	due = earlier(due, dp_read_due_us(c));
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		due = earlier(due, dp_session_due_us(c, i));
		due = earlier(due, dp_rebuild_due_us(c, i));
		due = earlier(due, dp_send_due_us(c, i));
	}
	due = earlier(due, dp_insync_due_us(c));
	return c->up.pull_loading == DP_LOAD_LATER ? 0 : due;
}
