/* SPDX-License-Identifier: MIT */
/* Rebuild: a node makes its images from another copy. There are two reasons: the node lacks records
 * that no journal has any more (RESET), or an operator ordered it (REBUILD).
 *
 * After a RESET the node's log jumps to where the sender's log begins, and the node takes records
 * from there on. It gets the content before that chunk by chunk: the controller fetches it from
 * another copy (store/resync.c). A chunk may be newer than the records already applied, never
 * older. When all records up to the newest that any answer may have seen are applied on top, the
 * new images are whole and take the place of the old ones. Until then the leg does not count. */
#include "engine/internal.h"

#include <stdlib.h>

/* ================ the sender's side: orders for the legs ================ */

void dp_rebuild_on_leg_order(struct dp_core *c, uint32_t i, const struct dp_order *o)
{
	struct dp_down *d = &c->down[i];
	d->ordered = o->order == DP_LEG_RESYNC;
	if (d->ordered)
		d->order_id = dp_core_random(c) | 1;
}

/* REBUILD: the session goes on, and the receiver's log stays as it is. */
static void send_order(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_msg m = {.u.reset = malloc(sizeof(struct dp_reset))};
	if (!m.u.reset) {
		out->overflow = true;
		return;
	}
	*m.u.reset = (struct dp_reset){.common = c->down[i].order_id, .meta = c->log.tail};
	m.u.reset->meta.places = (struct dp_places){0};
	struct dp_down *d = &c->down[i];
	uint64_t sent_us = d->sent_us;
	d->order_sent = true;
	d->order_us = c->now_us;
	dp_core_send_down(c, i, DP_MSG_RESET, &m, out);
	d->sent_us = sent_us; /* an order carries no positions: they stay due */
}

static bool has_order(const struct dp_down *d)
{
	return d->state == DP_DOWN_ACTIVE && (d->ordered || d->order_sent);
}

uint64_t dp_rebuild_due_us(const struct dp_core *c, uint32_t i)
{
	const struct dp_down *d = &c->down[i];
	if (!has_order(d))
		return UINT64_MAX;
	return d->order_sent ? d->order_us + DP_CORE_PROBE_US : 0;
}

/* A leg that counts must leave the set before the order is sent, because it has no copy while it
 * rebuilds. An order cannot be taken back. The leg counts again when it has acknowledged the order
 * and is whole, or when it is whole in a new session. */
void dp_rebuild_tick(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	if (c->now_us < dp_rebuild_due_us(c, i))
		return;
	if (!dp_policy_has_source(c, i) && !d->order_sent) {
		dp_raise(out, DP_ALARM_NO_OTHER_COPY, i);
		d->ordered = false;
	} else if (!c->can.makes_records || dp_core_is_away(c, i)) {
		send_order(c, i, out);
	}
}

/* A relay passes the question of a receiver on; a controller reads the data (read.c). */
void dp_rebuild_on_fetch(struct dp_core *c, struct dp_msg *m, struct dp_actions *out)
{
	if (!c->up.active || !c->up.started)
		return; /* the receiver asks again */
	struct dp_msg up = {.u.read = m->u.read};
	dp_core_send_up(c, c->up.peer, DP_MSG_FETCH, &up, out);
}

/* ================ the receiver's side ================ */

/* ---- RESET: the log jumps ---- */

void dp_rebuild_on_reset(struct dp_core *c, const struct dp_reset *r, struct dp_actions *out)
{
	uint64_t last = c->log.last.at.seq;
	if (r->common < c->image.target || r->common < c->log.tail.at.seq || r->common > last ||
		r->meta.at.seq <= r->common) {
		c->up.diverged_due = true; /* this node has applied what the sender lacks */
		c->up.diverged_seq = r->common;
		return;
	}
	if (!c->rebuild.reset)
		c->rebuild.reset = malloc(sizeof *c->rebuild.reset);
	if (!c->rebuild.reset) {
		out->overflow = true;
		return;
	}
	*c->rebuild.reset = r->meta;
	if (r->common < last)
		dp_core_cut(c, r->common, out);
	dp_raise(out, DP_ALARM_RESYNC_BEGINS, DP_PEER_SELF);
	/* The sender's log begins after all records of this node, so none of them can be cut any
	 * more. They are applied before the jump, because the old images are the ones to fall back
	 * on. */
	c->agreed = c->log.last.at.seq;
	c->rebuild.resume_due = false;
	dp_act(out, DP_ACT_RESYNC_STOP);
}

static void jump_to_reset(struct dp_core *c, struct dp_actions *out)
{
	struct dp_meta meta = *c->rebuild.reset, own = c->log.last;
	free(c->rebuild.reset);
	c->rebuild.reset = NULL;
	dp_meta_own(&meta, &own);
	if (c->can.keeps_images) {
		if (!meta.images.building)
			meta.images.building = meta.images.generation + 1;
		meta.images.copied = 0;
		meta.images.valid_seq = meta.at.seq;
	}
	c->rebuild.copied = false;
	dp_core_jump(c, &meta);
	c->rebuild.reset_token = dp_core_barrier(c, &meta, out);
	/* The earlier reports of the nodes below were about the log before the jump. */
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		c->down[i].images = DP_IMAGES_RESYNCING;
		c->down[i].connect_due = true;
	}
}

static void jump_is_durable(struct dp_core *c, struct dp_actions *out)
{
	c->rebuild.reset_token = 0;
	c->up.started = c->up.active;
	c->up.ack_due = true;
	if (!c->can.keeps_images)
		return;
	struct dp_action *a = dp_act(out, DP_ACT_RESYNC);
	a->seq = c->log.tail.at.seq;
	a->set = dp_core_random(c);
}

/* ---- orders ---- */

/* A rebuild order also covers every node below this one. The same order may arrive twice, perhaps
 * when it has been carried out; its id tells, and it is then ignored. */
void dp_rebuild_on_order(struct dp_core *c, uint64_t id)
{
	c->up.ack_due = true;
	if (id == c->rebuild.order_id)
		return;
	c->rebuild.order_id = id;
	c->rebuild.ordered = c->can.keeps_images && !c->log.last.images.building &&
		!c->rebuild.reset_token;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		c->down[i].ordered = !dp_down_is_rebuilding(&c->down[i]);
		c->down[i].order_id = dp_core_random(c) | 1;
	}
}

/* The images have applied their target. From now on they are the ones to fall back on. */
static void begin_ordered(struct dp_core *c, struct dp_actions *out)
{
	struct dp_images images = c->log.last.images;
	c->rebuild.ordered = false;
	images.building = images.generation + 1;
	images.copied = 0;
	images.valid_seq = c->log.last.at.seq;
	dp_core_set_images(c, images);
	c->rebuild.copied = false;
	dp_raise(out, DP_ALARM_REBUILD_BEGINS, DP_PEER_SELF);
	dp_core_append_upto(c, c->log.last.at.seq, out);
	c->rebuild.order_token = dp_core_barrier(c, &c->log.last, out);
}

/* ---- the copy ---- */

void dp_rebuild_on_want(struct dp_core *c, const struct dp_wanted *w, struct dp_actions *out)
{
	struct dp_msg m = {.u.read = *w};
	dp_rebuild_on_fetch(c, &m, out);
}

void dp_rebuild_on_fill(struct dp_core *c, struct dp_msg *m, struct dp_actions *out)
{
	if (c->can.keeps_images) {
		struct dp_action *a = dp_act(out, DP_ACT_FILL);
		a->found = m->u.data;
		a->data = dp_buf_ref(m->payload);
		return;
	}
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		if (c->down[i].state != DP_DOWN_ACTIVE)
			continue;
		struct dp_msg down = {.u.data = m->u.data, .payload = dp_buf_ref(m->payload)};
		dp_core_send_down(c, i, DP_MSG_FILL, &down, out);
	}
}

void dp_rebuild_on_bad_fill(struct dp_core *c, struct dp_actions *out)
{
	c->bad_records++;
	if (!c->rebuild.bad_seal)
		dp_raise(out, DP_ALARM_CHUNK_NOT_SEALED, DP_PEER_UPSTREAM);
	c->rebuild.bad_seal = true;
}

void dp_rebuild_on_copied(struct dp_core *c, uint64_t bytes, uint64_t valid_seq, bool all,
	struct dp_actions *out)
{
	struct dp_images images = c->log.last.images;
	bool session = c->up.active && c->up.started;
	if (!images.building || c->rebuild.reset || c->rebuild.reset_token || !session)
		return; /* the report is about a copy that has been stopped */
	images.copied = bytes;
	if (images.valid_seq < valid_seq)
		images.valid_seq = valid_seq;
	dp_core_set_images(c, images);
	c->rebuild.copied = all;
	dp_core_append_upto(c, c->log.last.at.seq, out);
	dp_core_barrier(c, &c->log.last, out);
}

/* The new images have all records that any answer may have seen. So they take the place of the old
 * ones. */
static void switch_images(struct dp_core *c, struct dp_actions *out)
{
	c->rebuild.copied = false;
	dp_core_set_images(c, (struct dp_images){.generation = c->log.last.images.building});
	dp_core_append_upto(c, c->log.last.at.seq, out);
	c->rebuild.switch_token = dp_core_barrier(c, &c->log.last, out);
}

static void switch_is_durable(struct dp_core *c, struct dp_actions *out)
{
	c->rebuild.switch_token = 0;
	c->up.ack_due = true;
	dp_act(out, DP_ACT_SWITCH);
	dp_raise(out, DP_ALARM_RESYNC_COMPLETE, DP_PEER_SELF);
}

void dp_rebuild_on_barrier(struct dp_core *c, uint64_t token, struct dp_actions *out)
{
	if (token == c->rebuild.switch_token) {
		switch_is_durable(c, out);
	} else if (token == c->rebuild.order_token) {
		c->rebuild.order_token = 0;
		c->up.ack_due = true;
		c->rebuild.resume_due = true;
	} else if (token == c->rebuild.reset_token) {
		jump_is_durable(c, out);
	}
}

/* The copy goes on from the last durable step, for example in a new session. */
void dp_rebuild_settle_resume(struct dp_core *c, struct dp_actions *out)
{
	if (!c->rebuild.resume_due)
		return;
	c->rebuild.resume_due = false;
	if (c->log.last.images.building && !c->rebuild.order_token)
		dp_act(out, DP_ACT_RESYNC)->set = dp_core_random(c);
}

void dp_rebuild_settle(struct dp_core *c, struct dp_actions *out)
{
	uint64_t last = c->log.last.at.seq;
	const struct dp_core_image *image = &c->image;
	if (c->rebuild.reset && c->journal.durable == last &&
		(!c->can.keeps_images || image->applied == last))
		jump_to_reset(c, out);
	/* The images to fall back on must be a state of the history, not half a batch. */
	if (c->rebuild.ordered && image->applied == image->target &&
		image->applied >= image->replay)
		begin_ordered(c, out);
	const struct dp_images *images = &c->log.last.images;
	if (c->rebuild.copied && images->building && !c->rebuild.reset &&
		image->applied >= images->valid_seq)
		switch_images(c, out);
}
