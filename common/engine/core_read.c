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
		*r = (struct dp_read){.used = true, .id = id, .down = c->read_link};
		c->read_count++;
		return r;
	}
	return NULL;
}

static struct dp_read *find_read(struct dp_core *c, uint64_t id)
{
	struct dp_read *r = &c->reads[id % DP_READS_MAX];
	return r->used && r->id == id ? r : NULL;
}

static void to_image(struct dp_core *c, struct dp_read *r, struct dp_actions *out)
{
	(void)c;
	r->at_image = true;
	dp_act(out, DP_ACT_READ)->read = *r;
}

/* Sends a read down the next active link after `r->down`; false if there is none. */
static bool to_link(struct dp_core *c, struct dp_read *r, struct dp_actions *out)
{
	for (uint32_t n = 0; n < c->cfg.down_count; n++) {
		uint32_t i = (r->down + n) % c->cfg.down_count;
		if (c->down[i].state != DP_DOWN_ACTIVE || (c->away >> i & 1))
			continue; /* a leg that is behind would let the read wait */
		r->down = i;
		r->deadline_us = c->now_us + DP_CORE_READ_US;
		struct dp_msg m = {.u.read = {.id = r->id, .offset = r->offset, .min_seq = r->min_seq,
					   .volume = r->volume, .length = r->length}};
		dp_core_send_down(c, i, DP_MSG_READ, &m, out);
		return true;
	}
	r->deadline_us = c->now_us + DP_CORE_PROBE_US;
	return false;
}

static void finish(struct dp_core *c, struct dp_read *r, int status, struct dp_buf *data,
	struct dp_actions *out)
{
	if (c->cfg.role == DP_CORE_CONTROLLER) {
		struct dp_action *a = dp_act(out, DP_ACT_DATA);
		a->tag = r->tag;
		a->err = status;
		a->data = dp_buf_ref(data);
	} else if (c->up.active && c->up.session == r->up_session) {
		struct dp_msg m = {.payload = dp_buf_ref(data),
			.u.data = {.id = r->up_id, .status = status}};
		dp_core_send_up(c, c->up.peer, DP_MSG_DATA, &m, out);
	}
	r->used = false;
	c->read_count--;
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
	r->volume = h->volume;
	r->offset = h->offset;
	r->length = h->length;
	r->min_seq = c->replied;
	if (c->cfg.image)
		to_image(c, r, out);
	else
		to_link(c, r, out);
}

void dp_read_up(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out)
{
	struct dp_read *r = new_read(c);
	struct dp_read busy = {.up_id = m->u.read.id, .up_session = c->up.session};
	if (!r) {
		c->read_count++;
		finish(c, &busy, DP_EAGAIN, NULL, out);
		return;
	}
	r->up_id = m->u.read.id;
	r->up_session = c->up.session;
	r->volume = m->u.read.volume;
	r->offset = m->u.read.offset;
	r->length = m->u.read.length;
	r->min_seq = m->u.read.min_seq;
	r->deadline_us = c->now_us + PARK_US;
	if (!c->cfg.image && !to_link(c, r, out))
		finish(c, r, DP_EAGAIN, NULL, out);
	/* A mirror's reads start in dp_read_settle(), once it has min_seq. */
}

void dp_read_data(struct dp_core *c, uint32_t link, struct dp_msg *m, struct dp_actions *out)
{
	struct dp_read *r = find_read(c, m->u.data.id);
	if (!r || r->down != link)
		return;
	int status = m->u.data.status;
	if (status == 0 && (!m->payload || m->payload->size != r->length))
		status = DP_EBADMSG;
	if (status && c->cfg.role == DP_CORE_CONTROLLER) {
		/* Another leg, but not at once: the tick asks the next. */
		r->deadline_us = c->now_us + DP_CORE_PROBE_US / 2;
		return;
	}
	c->read_link = link;
	finish(c, r, status, m->payload, out);
}

void dp_read_image(struct dp_core *c, uint64_t id, int status, struct dp_buf *data,
	struct dp_actions *out)
{
	struct dp_read *r = find_read(c, id);
	if (r)
		finish(c, r, status, data, out);
}

void dp_read_settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->read_count == 0 || !c->cfg.image || c->cfg.role == DP_CORE_CONTROLLER)
		return;
	for (uint32_t i = 0; i < DP_READS_MAX; i++) {
		struct dp_read *r = &c->reads[i];
		if (r->used && !r->at_image && r->min_seq <= c->log.last.at.seq)
			to_image(c, r, out);
	}
}

void dp_read_tick(struct dp_core *c, struct dp_actions *out)
{
	for (uint32_t i = 0; c->read_count && i < DP_READS_MAX; i++) {
		struct dp_read *r = &c->reads[i];
		if (!r->used || r->at_image || c->now_us < r->deadline_us)
			continue;
		if (c->cfg.role == DP_CORE_CONTROLLER) {
			r->down = (r->down + 1) % c->cfg.down_count;
			to_link(c, r, out);
		} else {
			finish(c, r, DP_EAGAIN, NULL, out);
		}
	}
}
