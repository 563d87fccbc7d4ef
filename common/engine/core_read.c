/* SPDX-License-Identifier: MIT */
/* Reads: from the node's own image, or from a mirror through its leg. A mirror answers once it
 * has every write that the host had an answer for when it asked (law 4). */
#include "engine/core_internal.h"

#include "base/err.h"

#define PARK_US 5000000

static struct dp_read *new_read(struct dp_core *c)
{
	for (uint32_t n = 0; n < DP_READS_MAX; n++) {
		uint64_t id = ++c->read_ids;
		struct dp_read *r = &c->reads[id % DP_READS_MAX];
		if (r->used)
			continue;
		*r = (struct dp_read){.used = true, .want.id = id, .turn = c->read_turn};
		c->read_count++;
		return r;
	}
	return NULL;
}

static struct dp_read *find_read(struct dp_core *c, uint64_t id)
{
	struct dp_read *r = &c->reads[id % DP_READS_MAX];
	return r->used && r->want.id == id ? r : NULL;
}

static void to_image(struct dp_core *c, struct dp_read *r, struct dp_actions *out)
{
	(void)c;
	r->at_image = true;
	dp_act(out, DP_ACT_READ)->want = r->want;
}

/* Sends a read down the nearest link, from the place `r->turn` on, that has a current copy; false
 * if there is none. */
static bool to_link(struct dp_core *c, struct dp_read *r, struct dp_actions *out)
{
	for (uint32_t n = 0; n < c->cfg.down_count; n++) {
		uint32_t turn = (r->turn + n) % c->cfg.down_count, i = c->cfg.read_order[turn];
		/* A leg that is behind would let the read wait. */
		if (c->down[i].state != DP_DOWN_ACTIVE || dp_core_is_away(c, i) ||
			dp_is_hollow(&c->down[i]) || (r->fetch && r->fetch_link == i))
			continue;
		r->down = i;
		r->turn = turn;
		r->asked_us = c->now_us;
		r->session = c->down[i].session;
		r->deadline_us = c->now_us + DP_CORE_READ_US;
		struct dp_msg m = {.u.read = r->want};
		dp_core_send_down(c, i, DP_MSG_READ, &m, out);
		return true;
	}
	r->asked_us = 0;
	r->deadline_us = c->now_us + DP_CORE_PROBE_US;
	return false;
}

/* Whether a read whose time is over is still under way: on a slow link many wait for each other,
 * and to ask for all of them elsewhere would only double the work. Answers may be lost, so not for
 * ever. */
static bool is_under_way(const struct dp_core *c, const struct dp_read *r)
{
	const struct dp_down *d = &c->down[r->down];
	return r->asked_us && c->now_us - r->asked_us < DP_CORE_SLOW_US &&
		d->state == DP_DOWN_ACTIVE && d->session == r->session &&
		c->now_us - d->read_us < DP_CORE_READ_US;
}

static void finish(struct dp_core *c, struct dp_read *r, const struct dp_found *f,
	struct dp_buf *data, struct dp_actions *out)
{
	struct dp_msg m = {.u.data = *f};
	m.u.data.id = r->up_id;
	if (r->fetch) {
		if (f->status == 0 && c->down[r->fetch_link].state == DP_DOWN_ACTIVE) {
			m.payload = dp_buf_ref(data);
			dp_core_send_down(c, r->fetch_link, DP_MSG_FILL, &m, out);
		}
	} else if (c->cfg.role == DP_CORE_CONTROLLER) {
		struct dp_action *a = dp_act(out, DP_ACT_DATA);
		a->tag = r->tag;
		a->err = f->status;
		a->data = dp_buf_ref(data);
	} else if (c->up.active && c->up.session == r->up_session) {
		m.payload = dp_buf_ref(data);
		dp_core_send_up(c, c->up.peer, DP_MSG_DATA, &m, out);
	}
	r->used = false;
	c->read_count--;
}

static void give_up(struct dp_core *c, struct dp_read *r, int status, struct dp_actions *out)
{
	finish(c, r, &(struct dp_found){.status = status}, NULL, out);
}

void dp_read_host(struct dp_core *c, const struct dp_host_request *h, struct dp_actions *out)
{
	struct dp_read *r = new_read(c);
	if (!r) {
		struct dp_action *a = dp_act(out, DP_ACT_DATA);
		a->tag = h->tag;
		a->err = DP_EAGAIN;
		return;
	}
	r->tag = h->tag;
	r->want.volume = h->volume;
	r->want.offset = h->offset;
	r->want.length = h->length;
	r->want.min_seq = c->replied;
	if (c->cfg.image)
		to_image(c, r, out);
	else
		to_link(c, r, out);
}

void dp_read_fetch(struct dp_core *c, uint32_t i, const struct dp_wanted *w, struct dp_actions *out)
{
	/* Hosts come first; a resync asks again. */
	struct dp_read *r = c->read_count < DP_READS_MAX / 2 ? new_read(c) : NULL;
	if (!r || c->state != DP_CORE_OPEN) {
		if (r) {
			r->used = false;
			c->read_count--;
		}
		return;
	}
	uint64_t id = r->want.id;
	r->want = *w;
	r->want.id = id;
	r->up_id = w->id;
	r->fetch = true;
	r->fetch_link = i;
	if (c->cfg.image)
		to_image(c, r, out);
	else if (!to_link(c, r, out))
		give_up(c, r, DP_EAGAIN, out);
}

void dp_read_up(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out)
{
	struct dp_read *r = dp_core_images(c) == DP_IMAGES_RESYNCING ? NULL : new_read(c);
	struct dp_read busy = {.up_id = m->u.read.id, .up_session = c->up.session};
	if (!r) {
		c->read_count++;
		give_up(c, &busy, DP_EAGAIN, out);
		return;
	}
	uint64_t id = r->want.id;
	r->want = m->u.read;
	r->want.id = id;
	r->up_id = m->u.read.id;
	r->up_session = c->up.session;
	r->deadline_us = c->now_us + PARK_US;
	if (!c->cfg.image && !to_link(c, r, out))
		give_up(c, r, DP_EAGAIN, out);
	/* A mirror's reads start in dp_read_settle(), once it has min_seq. */
}

/* Whether the answer has as many bytes as it should; a relay does not know whether they are sealed.
 */
static bool is_of_size(const struct dp_core *c, const struct dp_read *r, const struct dp_found *f,
	const struct dp_buf *payload)
{
	bool has_data = f->kind == DP_FOUND_DATA || !r->want.compare;
	size_t size = payload ? payload->size : 0, data = has_data ? r->want.length : 0;
	bool sealed = size >= data + DP_SEAL_MIN && size <= data + DP_SEAL_MAX;
	return c->cfg.seal ? sealed : size == data || (sealed && c->cfg.role == DP_CORE_RELAY);
}

static void note_forged(struct dp_core *c, uint32_t link, struct dp_actions *out)
{
	c->bad_records++;
	if (!c->down[link].forged)
		dp_raise(out, DP_ALARM_ANSWER_NOT_SEALED, link);
	c->down[link].forged = true;
}

void dp_read_data(struct dp_core *c, uint32_t link, struct dp_msg *m, struct dp_actions *out)
{
	struct dp_read *r = find_read(c, m->u.data.id);
	struct dp_buf *plain = NULL;
	c->down[link].read_us = c->now_us;
	if (!r)
		return;
	struct dp_found f = m->u.data;
	bool late = r->down != link; /* it was asked before; its answer is as good */
	bool for_host = c->cfg.role == DP_CORE_CONTROLLER && !r->fetch;
	if (f.status == 0 && !is_of_size(c, r, &f, m->payload))
		f.status = DP_EBADMSG;
	if (f.status == 0 && for_host && c->cfg.seal) {
		f.status = dp_seal_open_found(c->cfg.seal, &r->want, &f, m->payload, &plain);
		if (f.status == DP_EPERM)
			note_forged(c, link, out);
	}
	if (f.status && late)
		return;
	if (f.status && for_host) {
		/* Another leg, but not at once: the tick asks the next. */
		r->asked_us = 0;
		r->deadline_us = c->now_us + DP_CORE_PROBE_US / 2;
		return;
	}
	if (r->turn > c->read_turn && !late)
		c->read_back_us = c->now_us + DP_CORE_NEAR_US;
	if (!late)
		c->read_turn = r->turn;
	finish(c, r, &f, plain ? plain : m->payload, out);
	dp_buf_unref(&plain);
}

void dp_read_image(struct dp_core *c, const struct dp_found *f, struct dp_buf *data,
	struct dp_actions *out)
{
	struct dp_read *r = find_read(c, f->id);
	if (!r)
		return;
	/* Where the own image cannot be read, another copy can. */
	if (f->status && c->cfg.role == DP_CORE_CONTROLLER && !r->fetch && c->cfg.down_count) {
		r->at_image = false;
		to_link(c, r, out);
		return;
	}
	bool over_a_link = r->fetch || c->cfg.role != DP_CORE_CONTROLLER;
	if (!c->cfg.seal || !over_a_link || f->status) {
		finish(c, r, f, data, out);
		return;
	}
	struct dp_buf *sealed = dp_seal_found(c->cfg.seal, &r->want, f, data);
	if (sealed)
		finish(c, r, f, sealed, out);
	else
		give_up(c, r, DP_ENOMEM, out);
	dp_buf_unref(&sealed);
}

void dp_read_settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->read_count == 0 || !c->cfg.image || c->cfg.role == DP_CORE_CONTROLLER)
		return;
	for (uint32_t i = 0; i < DP_READS_MAX; i++) {
		struct dp_read *r = &c->reads[i];
		if (r->used && !r->at_image && c->log.last.images.building)
			give_up(c, r, DP_EAGAIN, out);
		else if (r->used && !r->at_image && r->want.min_seq <= c->log.last.at.seq)
			to_image(c, r, out);
	}
}

void dp_read_tick(struct dp_core *c, struct dp_actions *out)
{
	if (c->read_turn && c->now_us >= c->read_back_us)
		c->read_turn = 0;
	for (uint32_t i = 0; c->read_count && i < DP_READS_MAX; i++) {
		struct dp_read *r = &c->reads[i];
		if (!r->used || r->at_image || c->now_us < r->deadline_us)
			continue;
		if (is_under_way(c, r)) {
			r->deadline_us = c->down[r->down].read_us + DP_CORE_READ_US;
			continue;
		}
		if (c->cfg.role == DP_CORE_CONTROLLER && !r->fetch) {
			r->turn = (r->turn + 1) % c->cfg.down_count;
			if (!to_link(c, r, out) && c->cfg.image)
				to_image(c, r,
					out); /* it failed before; there is nobody else to ask */
		} else {
			give_up(c, r, DP_EAGAIN, out);
		}
	}
}
