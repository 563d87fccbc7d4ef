/* SPDX-License-Identifier: MIT */
/* Reads: from the node's own image, or from a mirror through its leg. A mirror answers when it has
 * every write that was answered before the host asked (law 4). */
#include "engine/internal.h"

#include <stdlib.h>

#include "base/err.h"

#define PARK_US     5000000 /* how long a mirror keeps a read that waits for its records */
#define READS_START 16u     /* places of a list that is used for the first time */

/* ---- the list: a read with this id stands at id % capacity ---- */

static bool grow_reads(struct dp_reads *s)
{
	uint32_t capacity = s->capacity ? s->capacity * 2 : READS_START;
	if (capacity > DP_READS_MAX)
		return false;
	struct dp_read *list = calloc(capacity, sizeof *list);
	if (!list)
		return false;
	/* Ids that differ modulo the old capacity differ modulo its double. */
	for (uint32_t i = 0; i < s->capacity; i++)
		if (s->list[i].used)
			list[s->list[i].want.id % capacity] = s->list[i];
	free(s->list);
	s->list = list;
	s->capacity = capacity;
	return true;
}

/* NULL: too many, or no memory. */
static struct dp_read *new_read(struct dp_core *c)
{
	struct dp_reads *s = &c->reads;
	if (s->count == s->capacity && !grow_reads(s))
		return NULL;
	struct dp_read *r;
	do {
		r = &s->list[++s->ids % s->capacity];
	} while (r->used);
	*r = (struct dp_read){.used = true, .want.id = s->ids, .turn = s->turn};
	s->count++;
	return r;
}

static struct dp_read *find_read(struct dp_core *c, uint64_t id)
{
	if (!c->reads.capacity)
		return NULL;
	struct dp_read *r = &c->reads.list[id % c->reads.capacity];
	return r->used && r->want.id == id ? r : NULL;
}

/* The question as it came, with an id of this node. */
static void set_want(struct dp_read *r, const struct dp_wanted *want)
{
	uint64_t id = r->want.id;
	r->want = *want;
	r->want.id = id;
	r->up_id = want->id;
}

/* ---- where a read goes ---- */

static void to_image(struct dp_read *r, struct dp_actions *out)
{
	r->at_image = true;
	dp_act(out, DP_ACT_READ)->want = r->want;
}

/* Only a current leg is asked, because a leg that is behind would let the read wait. */
static bool is_current_leg(const struct dp_core *c, const struct dp_read *r, uint32_t i)
{
	return c->down[i].state == DP_DOWN_ACTIVE && !dp_core_is_away(c, i) &&
		!dp_down_is_rebuilding(&c->down[i]) && !(r->fetch && r->fetch_link == i);
}

/* Sends a read down the nearest link with a current copy, beginning at index `r->turn`. false:
 * there is no such link. */
static bool to_link(struct dp_core *c, struct dp_read *r, struct dp_actions *out)
{
	for (uint32_t n = 0; n < c->cfg.down_count; n++) {
		uint32_t turn = (r->turn + n) % c->cfg.down_count, i = c->cfg.read_order[turn];
		if (!is_current_leg(c, r, i))
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

/* Whether a read that is late is still under way. On a slow link many reads wait for each other,
 * and to ask for them elsewhere would only double the work. But answers may be lost, so this has a
 * limit. */
static bool is_under_way(const struct dp_core *c, const struct dp_read *r)
{
	const struct dp_down *d = &c->down[r->down];
	return r->asked_us && c->now_us - r->asked_us < DP_CORE_SLOW_US &&
		d->state == DP_DOWN_ACTIVE && d->session == r->session &&
		c->now_us - d->read_us < DP_CORE_READ_US;
}

/* ---- answers ---- */

static void answer_host(void *tag, int err, struct dp_buf *data, struct dp_actions *out)
{
	struct dp_action *a = dp_act(out, DP_ACT_DATA);
	a->tag = tag;
	a->err = err;
	a->data = dp_buf_ref(data);
}

static void answer_up(struct dp_core *c, uint64_t id, uint64_t session, const struct dp_found *f,
	struct dp_buf *data, struct dp_actions *out)
{
	struct dp_msg m = {.u.data = *f};
	m.u.data.id = id;
	if (!c->up.active || c->up.session != session)
		return;
	m.payload = dp_buf_ref(data);
	dp_core_send_up(c, c->up.peer, DP_MSG_DATA, &m, out);
}

static void answer_fetch(struct dp_core *c, const struct dp_read *r, const struct dp_found *f,
	struct dp_buf *data, struct dp_actions *out)
{
	struct dp_msg m = {.u.data = *f};
	m.u.data.id = r->up_id;
	if (f->status || c->down[r->fetch_link].state != DP_DOWN_ACTIVE)
		return; /* it asks again */
	m.payload = dp_buf_ref(data);
	dp_core_send_down(c, r->fetch_link, DP_MSG_FILL, &m, out);
}

static void finish_read(struct dp_core *c, struct dp_read *r, const struct dp_found *f,
	struct dp_buf *data, struct dp_actions *out)
{
	if (r->fetch)
		answer_fetch(c, r, f, data, out);
	else if (c->can.makes_records)
		answer_host(r->tag, f->status, data, out);
	else
		answer_up(c, r->up_id, r->up_session, f, data, out);
	r->used = false;
	c->reads.count--;
}

static void fail_read(struct dp_core *c, struct dp_read *r, int status, struct dp_actions *out)
{
	finish_read(c, r, &(struct dp_found){.status = status}, NULL, out);
}

/* ---- who asks ---- */

void dp_read_on_host(struct dp_core *c, const struct dp_host_request *h, struct dp_actions *out)
{
	struct dp_read *r = new_read(c);
	if (!r) {
		answer_host(h->tag, DP_EAGAIN, NULL, out);
		return;
	}
	r->tag = h->tag;
	r->want.volume = h->volume;
	r->want.offset = h->offset;
	r->want.length = h->length;
	r->want.min_seq = c->replied;
	if (c->can.keeps_images)
		to_image(r, out);
	else
		to_link(c, r, out);
}

/* For the resync of leg i. Hosts come first. If there is no room, the rebuild asks again. */
void dp_read_on_fetch(struct dp_core *c, uint32_t i, const struct dp_wanted *w,
	struct dp_actions *out)
{
	bool may = c->state == DP_CORE_OPEN && c->reads.count < DP_READS_MAX / 2;
	struct dp_read *r = may ? new_read(c) : NULL;
	if (!r)
		return;
	set_want(r, w);
	r->fetch = true;
	r->fetch_link = i;
	if (c->can.keeps_images)
		to_image(r, out);
	else if (!to_link(c, r, out))
		fail_read(c, r, DP_EAGAIN, out);
}

void dp_read_on_up(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out)
{
	struct dp_read *r = dp_core_images(c) == DP_IMAGES_RESYNCING ? NULL : new_read(c);
	if (!r) {
		struct dp_found busy = {.status = DP_EAGAIN};
		answer_up(c, m->u.read.id, c->up.session, &busy, NULL, out);
		return;
	}
	set_want(r, &m->u.read);
	r->up_session = c->up.session;
	r->deadline_us = c->now_us + PARK_US;
	if (!c->can.keeps_images && !to_link(c, r, out))
		fail_read(c, r, DP_EAGAIN, out);
	/* A mirror's reads start in dp_read_settle(), once it has min_seq. */
}

/* ---- what comes back ---- */

/* Whether the answer has the right size. A relay does not know whether the stream is sealed, so it
 * accepts both sizes.
 */
static bool is_of_size(const struct dp_core *c, const struct dp_read *r, const struct dp_found *f,
	const struct dp_buf *payload)
{
	bool has_data = f->kind == DP_FOUND_DATA || !r->want.compare;
	size_t size = payload ? payload->size : 0, data = has_data ? r->want.length : 0;
	bool sealed = size >= data + DP_SEAL_MIN && size <= data + DP_SEAL_MAX;
	return c->cfg.seal ? sealed : size == data || (sealed && !c->can.opens_seal);
}

static void refuse_unsealed(struct dp_core *c, uint32_t link, struct dp_actions *out)
{
	c->bad_records++;
	if (!c->down[link].bad_seal)
		dp_raise(out, DP_ALARM_ANSWER_NOT_SEALED, link);
	c->down[link].bad_seal = true;
}

/* 0, or the status of the answer. For a host's read of a sealed stream *plain is a new reference to
 * the opened data, or NULL. */
static int check_answer(struct dp_core *c, uint32_t link, const struct dp_read *r,
	const struct dp_found *f, struct dp_buf *payload, struct dp_buf **plain,
	struct dp_actions *out)
{
	if (f->status)
		return f->status;
	if (!is_of_size(c, r, f, payload))
		return DP_EBADMSG;
	if (!c->can.makes_records || r->fetch || !c->cfg.seal)
		return 0;
	int err = dp_seal_open_found(c->cfg.seal, &r->want, f, payload, plain);
	if (err == DP_EPERM)
		refuse_unsealed(c, link, out);
	return err;
}

void dp_read_on_data(struct dp_core *c, uint32_t link, struct dp_msg *m, struct dp_actions *out)
{
	struct dp_read *r = find_read(c, m->u.data.id);
	struct dp_buf *plain = NULL;
	struct dp_found f = m->u.data;
	c->down[link].read_us = c->now_us;
	if (!r)
		return;
	bool late = r->down != link; /* this link was asked earlier; its answer is valid, too */
	f.status = check_answer(c, link, r, &f, m->payload, &plain, out);
	if (f.status && late)
		return;
	if (f.status && c->can.makes_records && !r->fetch) {
		/* The next tick asks another leg. */
		r->asked_us = 0;
		r->deadline_us = c->now_us + DP_CORE_PROBE_US / 2;
		return;
	}
	if (r->turn > c->reads.turn && !late)
		c->reads.back_us = c->now_us + DP_CORE_NEAR_US;
	if (!late)
		c->reads.turn = r->turn;
	finish_read(c, r, &f, plain ? plain : m->payload, out);
	dp_buf_unref(&plain);
}

void dp_read_on_image(struct dp_core *c, const struct dp_found *f, struct dp_buf *data,
	struct dp_actions *out)
{
	struct dp_read *r = find_read(c, f->id);
	if (!r)
		return;
	bool for_host = c->can.makes_records && !r->fetch;
	/* If the own image cannot be read, a leg is asked. */
	if (f->status && for_host && c->cfg.down_count) {
		r->at_image = false;
		to_link(c, r, out);
		return;
	}
	if (!c->cfg.seal || for_host || f->status) {
		finish_read(c, r, f, data, out);
		return;
	}
	struct dp_buf *sealed = dp_seal_found(c->cfg.seal, &r->want, f, data);
	if (sealed)
		finish_read(c, r, f, sealed, out);
	else
		fail_read(c, r, DP_ENOMEM, out);
	dp_buf_unref(&sealed);
}

void dp_read_settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->reads.count == 0 || !c->can.keeps_images || c->can.makes_records)
		return;
	for (uint32_t i = 0; i < c->reads.capacity; i++) {
		struct dp_read *r = &c->reads.list[i];
		if (r->used && !r->at_image && c->log.last.images.building)
			fail_read(c, r, DP_EAGAIN, out);
		else if (r->used && !r->at_image && r->want.min_seq <= c->log.last.at.seq)
			to_image(r, out);
	}
}

/* ---- time ---- */

static void read_is_late(struct dp_core *c, struct dp_read *r, struct dp_actions *out)
{
	if (is_under_way(c, r)) {
		r->deadline_us = c->down[r->down].read_us + DP_CORE_READ_US;
	} else if (c->can.makes_records && !r->fetch) {
		r->turn = (r->turn + 1) % c->cfg.down_count;
		if (!to_link(c, r, out) && c->can.keeps_images)
			to_image(r, out); /* the image failed before, but there is no other copy to
					     ask */
	} else {
		fail_read(c, r, DP_EAGAIN, out);
	}
}

void dp_read_tick(struct dp_core *c, struct dp_actions *out)
{
	struct dp_reads *s = &c->reads;
	if (s->turn && c->now_us >= s->back_us)
		s->turn = 0;
	for (uint32_t i = 0; s->count && i < s->capacity; i++)
		if (s->list[i].used && !s->list[i].at_image && c->now_us >= s->list[i].deadline_us)
			read_is_late(c, &s->list[i], out);
}

uint64_t dp_read_due_us(const struct dp_core *c)
{
	const struct dp_reads *s = &c->reads;
	uint64_t due = s->turn ? s->back_us : UINT64_MAX;
	for (uint32_t i = 0; s->count && i < s->capacity; i++)
		if (s->list[i].used && !s->list[i].at_image && s->list[i].deadline_us < due)
			due = s->list[i].deadline_us;
	return due;
}
