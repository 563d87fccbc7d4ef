/* SPDX-License-Identifier: MIT */
/* Resync: a leg that lacks records which are in no journal any more.
 *
 * Its node jumps to where the sender's log begins and takes records from there on like any other;
 * what came before reaches it as content, chunk by chunk, fetched through the controller from
 * another copy (store/resync.c). A chunk may be newer than the records already applied, never
 * older; with the records up to the newest that any answer may have seen applied on top, the new
 * images are whole, and take the place of the old ones. Until then the leg does not count. */
#include "engine/core_internal.h"

#include <stdlib.h>

/* ---- the side that has the records ---- */

bool dp_resync_possible(const struct dp_core *c, uint32_t i)
{
	if (c->cfg.role != DP_CORE_CONTROLLER || c->cfg.image)
		return true;
	for (uint32_t n = 0; n < c->cfg.down_count; n++) {
		const struct dp_down *d = &c->down[n];
		if (n != i && d->state == DP_DOWN_ACTIVE && d->images == DP_IMAGES_WHOLE &&
			!dp_is_hollow(d) && !dp_core_is_away(c, n))
			return true;
	}
	return false;
}

void dp_resync_start(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_down *d = &c->down[i];
	struct dp_msg m = {.u.reset = malloc(sizeof(struct dp_reset))};
	if (!m.u.reset) {
		out->overflow = true;
		return;
	}
	*m.u.reset = (struct dp_reset){.common = d->cached, .meta = c->log.tail};
	m.u.reset->meta.places = (struct dp_places){0};
	d->images = DP_IMAGES_RESYNCING;
	d->sent = c->log.tail.at.seq;
	d->flight = 0;
	d->marked = 0;
	dp_core_send_down(c, i, DP_MSG_RESET, &m, out);
}

/* In a session that goes on: the log stays what it is. */
void dp_resync_refill(struct dp_core *c, uint32_t i, struct dp_actions *out)
{
	struct dp_msg m = {.u.reset = malloc(sizeof(struct dp_reset))};
	if (!m.u.reset) {
		out->overflow = true;
		return;
	}
	*m.u.reset = (struct dp_reset){.common = c->down[i].refill_id, .meta = c->log.tail};
	m.u.reset->meta.places = (struct dp_places){0};
	c->down[i].refill_sent = true;
	c->down[i].refill_us = c->now_us;
	dp_core_send_down(c, i, DP_MSG_RESET, &m, out);
}

void dp_resync_fetch(struct dp_core *c, uint32_t i, struct dp_msg *m, struct dp_actions *out)
{
	if (c->cfg.role == DP_CORE_CONTROLLER) {
		dp_read_fetch(c, i, &m->u.read, out);
	} else if (c->up.active && c->up.started) {
		struct dp_msg up = {.u.read = m->u.read};
		dp_core_send_up(c, c->up.peer, DP_MSG_FETCH, &up, out);
	}
}

/* ---- the side that lacks them ---- */

enum dp_images_state dp_core_images(const struct dp_core *c)
{
	enum dp_images_state state = DP_IMAGES_WHOLE;
	if (c->log.last.images.building || c->switch_token || c->refill)
		return DP_IMAGES_RESYNCING;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		if (dp_is_hollow(&c->down[i]))
			return DP_IMAGES_RESYNCING;
		if (c->down[i].images == DP_IMAGES_UNKNOWN)
			state = DP_IMAGES_UNKNOWN;
	}
	return state;
}

bool dp_resync_reset(struct dp_core *c, const struct dp_reset *r, struct dp_actions *out)
{
	uint64_t last = c->log.last.at.seq;
	if (r->common < c->apply_told || r->common < c->log.tail.at.seq || r->common > last ||
		r->meta.at.seq <= r->common)
		return false;
	if (!c->reset)
		c->reset = malloc(sizeof *c->reset);
	if (!c->reset) {
		out->overflow = true;
		return true;
	}
	*c->reset = r->meta;
	if (r->common < last)
		dp_core_cut(c, r->common, out);
	dp_raise(out, DP_ALARM_RESYNC_BEGINS, DP_PEER_SELF);
	/* The sender's history begins with all that is here now, so none of it can be cut: the
	 * images to fall back on take it before the jump. */
	c->agreed = c->log.last.at.seq;
	dp_act(out, DP_ACT_RESYNC_STOP);
	return true;
}

/* What is below an order for this node is meant by it too. One that comes again, perhaps when all
 * is done, is no new one: the leg may count already. */
void dp_resync_ordered(struct dp_core *c, uint64_t id)
{
	c->up.ack_due = true;
	if (id == c->refill_id)
		return;
	c->refill_id = id;
	c->refill = c->cfg.image && !c->log.last.images.building && !c->reset_token;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		c->down[i].refill = !dp_is_hollow(&c->down[i]);
		c->down[i].refill_id = dp_core_random(c) | 1;
	}
}

static void say_images(struct dp_core *c, struct dp_images images)
{
	c->log.last.images = c->log.tail.images = images;
}

/* All that the images were told to take is in them: they are what to fall back on. */
static void refill(struct dp_core *c, struct dp_actions *out)
{
	struct dp_images images = c->log.last.images;
	c->refill = false;
	images.building = images.generation + 1;
	images.copied = 0;
	images.valid_seq = c->log.last.at.seq;
	say_images(c, images);
	c->copied = false;
	dp_raise(out, DP_ALARM_REBUILD_BEGINS, DP_PEER_SELF);
	dp_core_append_upto(c, c->log.last.at.seq, out);
	c->refill_token = dp_core_barrier(c, &c->log.last, out);
}

static void jump(struct dp_core *c, struct dp_actions *out)
{
	struct dp_meta meta = *c->reset, own = c->log.last;
	free(c->reset);
	c->reset = NULL;
	dp_meta_own(&meta, &own);
	if (c->cfg.image) {
		if (!meta.images.building)
			meta.images.building = meta.images.generation + 1;
		meta.images.copied = 0;
		meta.images.valid_seq = meta.at.seq;
	}
	c->copied = false;
	dp_core_jump(c, &meta);
	c->reset_token = dp_core_barrier(c, &meta, out);
	/* What they said before was of the log before. */
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		c->down[i].images = DP_IMAGES_RESYNCING;
		dp_down_connect(c, i, out);
	}
}

void dp_resync_barrier(struct dp_core *c, uint64_t token, struct dp_actions *out)
{
	if (token == c->switch_token) {
		c->switch_token = 0;
		c->up.ack_due = true;
		dp_act(out, DP_ACT_SWITCH);
		dp_raise(out, DP_ALARM_RESYNC_COMPLETE, DP_PEER_SELF);
	} else if (token == c->refill_token) {
		c->refill_token = 0;
		c->up.ack_due = true;
		dp_resync_go_on(c, out);
	} else if (token == c->reset_token) {
		c->reset_token = 0;
		c->up.started = c->up.active;
		c->up.ack_due = true;
		if (c->cfg.image) {
			struct dp_action *a = dp_act(out, DP_ACT_RESYNC);
			a->seq = c->log.tail.at.seq;
			a->set = dp_core_random(c);
		}
	}
}

/* In a new session, from where the last durable step was. */
void dp_resync_go_on(struct dp_core *c, struct dp_actions *out)
{
	if (c->log.last.images.building && !c->refill_token)
		dp_act(out, DP_ACT_RESYNC)->set = dp_core_random(c);
}

/* What is copied has to be compared once more. */
static void copy_again(struct dp_core *c, uint64_t seq)
{
	struct dp_images images = c->log.last.images;
	images.copied = 0;
	images.valid_seq = seq;
	say_images(c, images);
	c->copied = false;
}

/* Chunks may hold what is cut now. */
void dp_resync_cut(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	if (!c->log.last.images.building)
		return;
	copy_again(c, seq);
	dp_resync_go_on(c, out);
}

/* Chunks may hold records that this node has not got yet. The controller of the new epoch may never
 * have had them, and no cut here will tell. */
void dp_resync_doubt(struct dp_core *c, struct dp_actions *out)
{
	const struct dp_images *images = &c->log.last.images;
	if (!images->building || images->valid_seq <= c->log.last.at.seq)
		return;
	copy_again(c, c->log.last.at.seq);
	dp_act(out, DP_ACT_RESYNC_STOP);
}

void dp_resync_want(struct dp_core *c, const struct dp_wanted *w, struct dp_actions *out)
{
	if (!c->up.active || !c->up.started)
		return; /* it asks again */
	struct dp_msg m = {.u.read = *w};
	dp_core_send_up(c, c->up.peer, DP_MSG_FETCH, &m, out);
}

void dp_resync_fill(struct dp_core *c, struct dp_msg *m, struct dp_actions *out)
{
	if (c->cfg.image) {
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

void dp_resync_copied(struct dp_core *c, uint64_t bytes, uint64_t valid_seq, bool all,
	struct dp_actions *out)
{
	struct dp_images images = c->log.last.images;
	bool session = c->up.active && c->up.started;
	if (!images.building || c->reset || c->reset_token || !session)
		return; /* of a copy that begins anew */
	images.copied = bytes;
	if (images.valid_seq < valid_seq)
		images.valid_seq = valid_seq;
	say_images(c, images);
	c->copied = all;
	dp_core_append_upto(c, c->log.last.at.seq, out);
	dp_core_barrier(c, &c->log.last, out);
}

void dp_resync_settle(struct dp_core *c, struct dp_actions *out)
{
	uint64_t last = c->log.last.at.seq;
	if (c->reset && c->durable == last && (!c->cfg.image || c->applied == last))
		jump(c, out);
	/* What there is to fall back on is a state of the history, not half a batch. */
	if (c->refill && c->applied == c->apply_told && c->applied >= c->image_seq)
		refill(c, out);
	struct dp_images images = c->log.last.images;
	if (!c->copied || !images.building || c->reset || c->applied < images.valid_seq)
		return;
	c->copied = false;
	say_images(c, (struct dp_images){.generation = images.building});
	dp_core_append_upto(c, c->log.last.at.seq, out);
	c->switch_token = dp_core_barrier(c, &c->log.last, out);
}
