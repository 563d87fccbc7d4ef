/* SPDX-License-Identifier: MIT */
/* Promises, and whether the journal is complete. A node writes them into its journal, as barriers,
 * before it reports or uses them (law 5). */
#include "engine/internal.h"

/* Chunks of a rebuild may hold records that this node does not have yet. The controller of the new
 * epoch may never have had them, and no cut on this node would show it. So all chunks are compared
 * again. */
static void doubt_copy(struct dp_core *c, struct dp_actions *out)
{
	const struct dp_images *images = &c->log.last.images;
	if (!images->building || images->valid_seq <= c->log.last.at.seq)
		return;
	dp_core_copy_again(c, c->log.last.at.seq);
	dp_act(out, DP_ACT_RESYNC_STOP);
}

/* A mirror has a base when it has promised. A relay takes its base from the nodes below, and a
 * controller has one when it opens. */
static bool is_based_by_promise(const struct dp_core *c)
{
	return c->can.has_sender && !c->can.starts_bare;
}

void dp_core_promise(struct dp_core *c, uint64_t epoch, struct dp_actions *out)
{
	doubt_copy(c, out);
	struct dp_meta meta = c->log.last;
	meta.promised = epoch;
	if (is_based_by_promise(c))
		meta.based = true;
	c->promise.epoch = epoch;
	c->promise.token = dp_core_barrier(c, &meta, out);
}

static void promise_is_durable(struct dp_core *c)
{
	c->promise.token = 0;
	c->log.last.promised = c->log.tail.promised = c->promise.epoch;
	if (is_based_by_promise(c))
		c->log.last.based = c->log.tail.based = true;
	if (c->can.makes_records) {
		c->epoch = c->promise.epoch;
		dp_core_move(c, DP_CORE_RECOVERING);
	}
	/* The new epoch is carried down the cascade. */
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		c->down[i].connect_due = true;
	c->recover.try_due = true;
}

void dp_core_complete(struct dp_core *c, bool complete, struct dp_actions *out)
{
	dp_core_append_upto(c, c->log.last.at.seq, out);
	struct dp_meta meta = c->log.last;
	meta.complete = complete;
	/* No other barrier or superblock may say \"complete\ */
	if (!complete)
		c->log.last.complete = c->log.tail.complete = false;
	c->promise.base_complete = complete;
	c->promise.base_token = dp_core_barrier(c, &meta, out);
}

void dp_promise_on_barrier(struct dp_core *c, uint64_t token)
{
	if (token == c->promise.base_token) {
		c->promise.base_token = 0;
		c->log.last.complete = c->log.tail.complete = c->promise.base_complete;
	} else if (token == c->promise.token) {
		promise_is_durable(c);
	}
}
