/* SPDX-License-Identifier: MIT */
/* How a session begins: both sides of the handshake.
 *
 *     sender (the node above)                     receiver (the node below)
 *
 *     connect_link()   -- HELLO epoch -->         dp_session_on_hello(): old session ends
 *                                                 the epoch is promised, durably, and carried down
 *     dp_session_on_welcome()  <-- WELCOME --     send_welcome(): positions and history
 *     start_link()     -- START at -->            dp_session_on_start(): cuts what lies beyond
 *                      -- or RESET meta -->       rebuild.c: jumps, and is resynced
 *
 * Every message names its session, so a message of a former session is recognised. A receiver that
 * does not know a session answers REFUSE, and the sender begins again with HELLO. The ZeroMQ
 * connection does not matter here: it may break and come back within a session. */
#include "engine/internal.h"

#include <stdlib.h>

/* ================ the sender's side: links to receivers below ================ */

static void end_session(struct dp_down *d)
{
	free(d->welcome);
	d->welcome = NULL;
	d->session = 0;
	d->loading = 0;
	d->connect_due = d->start_due = false;
}

static void connect_link(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	end_session(d);
	if (d->state == DP_DOWN_DOWN)
		return;
	dp_down_move(d, DP_DOWN_CONNECTING);
	uint64_t epoch = c->log.last.promised;
	if (c->state == DP_CORE_PROMISING || c->state == DP_CORE_FAILED || epoch == 0)
		return;
	d->session = dp_core_random(c);
	d->hello_us = c->now_us;
	struct dp_msg m = {.u.hello = {.epoch = epoch, .config = c->cfg.config}};
	dp_core_send_down(c, i, DP_MSG_HELLO, &m, out);
}

void dp_session_on_welcome(struct dp_core *c, uint32_t i, struct dp_msg *m)
{
	struct dp_down *d = &c->down[i];
	if (d->state != DP_DOWN_CONNECTING)
		return;
	dp_down_move(d, DP_DOWN_WAITING);
	d->welcome = m->u.welcome;
	m->u.welcome = NULL;
	if (c->state == DP_CORE_OPEN)
		d->start_due = true;
	else
		c->recover.try_due = true;
}

/* The last position up to which the receiver's log and ours are the same. */
static uint64_t common_position(const struct dp_core *c, const struct dp_welcome *w)
{
	struct dp_position here;
	if (dp_log_position(&c->log, w->last.at.seq, &here) && here.chain == w->last.at.chain)
		return w->last.at.seq;
	return dp_history_common(&c->log.last.history, c->log.last.at.seq, &w->last.history,
		w->last.at.seq);
}

/* A relay passes records on before its own journal has them. So after a crash the receiver may
 * have, and may have applied, records that this relay has lost. The sender above sends them again.
 * If START came before that, the receiver would have to cut records that it has applied. If the
 * records do not come soon, the sender does not have them either, and START is sent. */
static bool peer_is_ahead(const struct dp_core *c, const struct dp_welcome *w)
{
	uint64_t last = c->log.last.at.seq;
	bool waited = c->up.started && c->now_us - c->up.started_us >= DP_CORE_LEVEL_US;
	return c->can.has_sender && w->last.at.seq > last && common_position(c, w) == last &&
		!waited;
}

/* START: records follow from this position on. */
static void start_at(struct dp_core *c, uint32_t i, struct dp_position at, uint64_t agreed,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	const struct dp_welcome *w = d->welcome;
	dp_down_move(d, DP_DOWN_ACTIVE);
	d->instance = w->instance;
	d->sent = at.seq;
	d->cached = w->cached < at.seq ? w->cached : at.seq;
	d->committed = w->committed < d->cached ? w->committed : d->cached;
	d->room = w->room;
	d->progress_us = c->now_us;
	dp_down_recount(c, d);
	d->agreed_sent = agreed < at.seq ? agreed : at.seq; /* the receiver takes no more of it */
	struct dp_msg m = {.u.start = {.at = at, .agreed = agreed}};
	dp_core_send_down(c, i, DP_MSG_START, &m, out);
}

/* RESET: the receiver's log jumps to where our log begins, and its images are rebuilt from another
 * copy. */
static void start_with_reset(struct dp_core *c, uint32_t i, uint64_t common, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_msg m = {.u.reset = malloc(sizeof(struct dp_reset))};
	dp_down_move(d, DP_DOWN_ACTIVE);
	d->instance = d->welcome->instance;
	d->room = d->welcome->room;
	d->progress_us = c->now_us;
	d->cached = common;
	d->committed = common < d->committed ? common : d->committed;
	dp_raise(out, DP_ALARM_LEG_RESYNCED, i);
	if (!m.u.reset) {
		out->overflow = true;
		return;
	}
	*m.u.reset = (struct dp_reset){.common = common, .meta = c->log.tail};
	m.u.reset->meta.places = (struct dp_places){0};
	d->images = DP_IMAGES_RESYNCING;
	d->sent = c->log.tail.at.seq;
	d->flight = 0;
	d->agreed_sent = 0;
	dp_core_send_down(c, i, DP_MSG_RESET, &m, out);
}

static void leave_inconsistent(struct dp_core *c, uint32_t i, uint64_t common,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	dp_raise(out, DP_ALARM_LEG_WITHOUT_COPY, i);
	dp_down_move(d, DP_DOWN_INCONSISTENT);
	d->cached = d->committed = common < d->committed ? common : d->committed;
}

static void compare_with_before(const struct dp_down *d, uint32_t i, struct dp_actions *out)
{
	if (d->instance && d->instance != d->welcome->instance)
		dp_raise(out, DP_ALARM_LEG_LOST_JOURNAL, i);
	else if (d->instance && d->welcome->cached < d->cached)
		dp_raise(out, DP_ALARM_LEG_HAS_LESS, i);
}

static void take_images_state(struct dp_down *d)
{
	d->order_sent = false;
	if (d->welcome->images != DP_IMAGES_UNKNOWN)
		d->images = d->welcome->images;
	if (d->images == DP_IMAGES_RESYNCING)
		d->ordered = false;
}

static void answer_welcome(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_position at;
	if (peer_is_ahead(c, d->welcome))
		return; /* stay in WAITING */
	uint64_t common = common_position(c, d->welcome);
	bool known = dp_log_position(&c->log, common, &at);
	if (known || dp_policy_has_source(c, i)) {
		compare_with_before(d, i, out);
		take_images_state(d);
	}
	if (known)
		start_at(c, i, at, c->agreed, out);
	else if (dp_policy_has_source(c, i))
		start_with_reset(c, i, common, out);
	else
		leave_inconsistent(c, i, common, out);
	free(d->welcome);
	d->welcome = NULL;
}

/* START for the leg that this node adopts from: the leg keeps all of its records. */
static void start_adopting(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	start_at(c, i, d->welcome->last.at, 0, out);
	free(d->welcome);
	d->welcome = NULL;
}

static void start_link(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	d->start_due = false;
	if (d->state != DP_DOWN_WAITING)
		dp_down_recount(c,
			d); /* the adopted records were not in the log when START was sent */
	else if (c->state == DP_CORE_ADOPTING)
		start_adopting(c, i, out);
	else
		answer_welcome(c, i, out);
}

/* ---- refusals ---- */

/* A node below has promised a newer epoch than the held HELLO has. The sender is told this. If it
 * has lost its journal, too, it begins again with a newer epoch. */
static bool refuse_held_hello(struct dp_core *c, uint64_t promised, struct dp_actions *out)
{
	if (!c->up.hello_held || c->up.hello.u.hello.epoch >= promised)
		return false;
	dp_core_refuse(c, c->up.hello_peer, c->up.hello.session, DP_REFUSE_STALE, promised, out);
	c->up.hello_held = false;
	return true;
}

static void on_stale(struct dp_core *c, uint32_t i, uint64_t promised, struct dp_actions *out)
{
	/* A controller with a new journal cannot know which epochs were used. */
	if (c->can.makes_records && !c->log.last.based) {
		if (!c->promise.token && promised >= c->epoch)
			c->recover.claim_epoch = promised + 1;
	} else if (!refuse_held_hello(c, promised, out)) {
		c->superseded = c->can.makes_records;
		dp_raise(out, DP_ALARM_REFUSED_EPOCH, i);
	}
}

void dp_session_on_refuse(struct dp_core *c, uint32_t i, const struct dp_msg *m,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	enum dp_down_state next = DP_DOWN_CONNECTING;
	switch (m->u.refuse.reason) {
	case DP_REFUSE_SESSION:
		d->connect_due = true;
		return;
	case DP_REFUSE_STALE:
		on_stale(c, i, m->u.refuse.number, out);
		break;
	case DP_REFUSE_CONFIG:
		dp_raise(out, DP_ALARM_REFUSED_CONFIG, i);
		break;
	case DP_REFUSE_FAILED:
		dp_raise(out, DP_ALARM_REFUSED_FAILED, i);
		break;
	default:
		dp_raise(out, DP_ALARM_REFUSED_DIVERGED, i);
		next = DP_DOWN_INCONSISTENT;
	}
	dp_down_move(d, next); /* until the next HELLO is due */
}

/* ---- time, heartbeats, the operator ---- */

static uint64_t hello_due_us(const struct dp_core *c, const struct dp_down *d)
{
	bool may = c->state != DP_CORE_PROMISING && c->state != DP_CORE_FAILED &&
		c->log.last.promised;
	if (d->state == DP_DOWN_CONNECTING && may)
		return d->session ? d->hello_us + DP_CORE_HELLO_US : 0;
	if (d->state == DP_DOWN_INCONSISTENT)
		return d->hello_us + 10 * DP_CORE_HELLO_US;
	return UINT64_MAX;
}

void dp_session_tick(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (c->now_us >= hello_due_us(c, d))
		connect_link(c, i, out);
	else if (d->state == DP_DOWN_WAITING && c->state == DP_CORE_OPEN)
		d->start_due = true; /* it may wait for this relay to have as much as it has */
}

uint64_t dp_session_due_us(const struct dp_core *c, uint32_t i)
{
	const struct dp_down *d = &c->down[i];
	return d->state == DP_DOWN_WAITING && c->state == DP_CORE_OPEN ? 0 : hello_due_us(c, d);
}

static void follow_link(struct dp_down *d)
{
	bool down = d->silent || d->order != DP_LEG_RESUME;
	if (down == (d->state == DP_DOWN_DOWN))
		return;
	dp_down_move(d, down ? DP_DOWN_DOWN : DP_DOWN_CONNECTING);
	d->connect_due = true;
}

void dp_session_on_link(struct dp_core *c, uint32_t i, bool up)
{
	c->down[i].silent = !up;
	follow_link(&c->down[i]);
}

void dp_session_on_order(struct dp_core *c, uint32_t i, const struct dp_order *o)
{
	struct dp_down *d = &c->down[i];
	d->order = o->order == DP_LEG_RESYNC ? DP_LEG_RESUME : o->order;
	d->drop_to = d->order == DP_LEG_DROP ? o->drop_to : 0;
	follow_link(d);
}

/* ================ the receiver's side: the link to the sender above ================ */

void dp_session_on_hello(struct dp_core *c, uint32_t peer, const struct dp_msg *m,
	struct dp_actions *out)
{
	uint64_t promised = c->log.last.promised;
	if (promised < c->promise.epoch)
		promised = c->promise.epoch;
	if (c->state == DP_CORE_FAILED) {
		dp_core_refuse(c, peer, m->session, DP_REFUSE_FAILED, 0, out);
	} else if (m->u.hello.config != c->cfg.config) {
		dp_core_refuse(c, peer, m->session, DP_REFUSE_CONFIG, c->cfg.config, out);
	} else if (m->u.hello.epoch < promised) {
		dp_core_refuse(c, peer, m->session, DP_REFUSE_STALE, promised, out);
	} else {
		/* The old session ends here, because its messages must not mix with those of the
		 * new one.
		 */
		dp_up_end(c);
		c->up.hello = *m;
		c->up.hello_peer = peer;
		c->up.hello_held = true;
	}
}

static void send_welcome(struct dp_core *c, struct dp_actions *out)
{
	c->up = (struct dp_up){
		.active = true,
		.peer = c->up.hello_peer,
		.session = c->up.hello.session,
		.epoch = c->up.hello.u.hello.epoch,
		.room_sent = c->journal.room,
	};
	struct dp_msg m = {.u.welcome = calloc(1, sizeof(struct dp_welcome))};
	if (!m.u.welcome) {
		out->overflow = true;
		return;
	}
	*m.u.welcome = (struct dp_welcome){
		.instance = c->instance,
		.cached = c->journal.durable,
		.committed = c->committed,
		.room = c->journal.room,
		.images = dp_core_images(c),
		.tail = c->log.tail,
		.last = c->log.last,
	};
	dp_core_send_up(c, c->up.peer, DP_MSG_WELCOME, &m, out);
}

/* A HELLO is answered when its epoch is promised durably (law 5) and this node knows where it
 * stands. A relay with a new journal first learns that from the nodes below. */
static void answer_hello(struct dp_core *c, struct dp_actions *out)
{
	if (!c->up.hello_held || c->promise.token || c->promise.base_token ||
		c->rebuild.reset_token)
		return;
	uint64_t epoch = c->up.hello.u.hello.epoch;
	if (epoch < c->log.last.promised)
		refuse_held_hello(c, c->log.last.promised, out);
	else if (epoch > c->log.last.promised)
		dp_core_promise(c, epoch, out);
	else if (c->state == DP_CORE_OPEN)
		send_welcome(c, out);
}

static void refuse_diverged(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	dp_raise(out, DP_ALARM_DIVERGED, DP_PEER_UPSTREAM);
	dp_core_refuse(c, c->up.peer, c->up.session, DP_REFUSE_DIVERGED, seq, out);
	dp_up_end(c);
}

void dp_session_on_start(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out)
{
	struct dp_position at = m->u.start.at, here, last = c->log.last.at;
	c->up.ack_due = true;
	if (c->up.started)
		return; /* a START that comes twice: records that were taken since then stay, and
			   are acknowledged */
	bool known = dp_log_position(&c->log, at.seq, &here) && here.chain == at.chain;
	if (!known || (at.seq < last.seq && at.seq < c->image.target)) {
		refuse_diverged(c, at.seq, out);
		return;
	}
	if (at.seq < last.seq)
		dp_core_cut(c, at.seq, out);
	if (m->u.start.agreed > c->agreed)
		c->agreed = m->u.start.agreed < at.seq ? m->u.start.agreed : at.seq;
	c->up.started = true;
	c->up.started_us = c->now_us;
	c->rebuild.resume_due = true;
}

/* A message of a session that this node does not know, or that has no START yet: the sender begins
 * again. */
void dp_session_on_unknown(struct dp_core *c, uint32_t peer, const struct dp_msg *m,
	struct dp_actions *out)
{
	bool held = c->up.hello_held && c->up.hello.session == m->session;
	if (held || c->now_us - c->up.nak_us < DP_CORE_PROBE_US / 2)
		return;
	c->up.nak_us = c->now_us;
	dp_core_refuse(c, peer, m->session, DP_REFUSE_SESSION, 0, out);
}

/* This comes before recovery looks at the answers, because answers of a former session do not
 * count. */
void dp_session_settle_connect(struct dp_core *c, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (c->down[i].connect_due)
			connect_link(c, i, out);
}

void dp_session_settle(struct dp_core *c, struct dp_actions *out)
{
	dp_session_settle_connect(c, out); /* recovery may have cut the log */
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		if (c->down[i].start_due)
			start_link(c, i, out);
	if (c->state == DP_CORE_FAILED)
		return;
	if (c->up.diverged_due) {
		c->up.diverged_due = false;
		refuse_diverged(c, c->up.diverged_seq, out);
	}
	answer_hello(c, out);
}
