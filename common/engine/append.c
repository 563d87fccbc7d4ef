/* SPDX-License-Identifier: MIT */
/* The log of the core, and the parts of it that go to the journal: records, barriers, cuts, jumps.
 */
#include "engine/internal.h"

#include <assert.h>
#include <stdlib.h>

uint64_t dp_core_cost(uint32_t payload_len)
{
	return (192 + (uint64_t)payload_len + 4095) & ~4095ull;
}

bool dp_core_genuine(const struct dp_core *c, const struct dp_record *r)
{
	if (!c->can.opens_seal)
		return true;
	if (!c->cfg.seal)
		return !(r->h.flags & DP_RECORD_SEALED);
	return r->h.prior == c->log.last.at.chain && dp_seal_open_record(c->cfg.seal, r, NULL) == 0;
}

int dp_core_take(struct dp_core *c, struct dp_record *r)
{
	int err = dp_log_append(&c->log, r, (uint32_t)(c->now_us / 1000));
	if (err)
		return err;
	dp_sets_note(&c->sets, r->h.set, r->h.seq, r->h.flags & DP_RECORD_CLOSES_SET, c->now_us);
	c->journal.reserved += dp_core_cost(r->h.payload_len);
	return 0;
}

uint64_t dp_core_barrier(struct dp_core *c, const struct dp_meta *meta, struct dp_actions *out)
{
	struct dp_action *a = dp_act(out, DP_ACT_BARRIER);
	a->seq = ++c->journal.tokens;
	a->meta = malloc(sizeof *meta);
	if (!a->meta) {
		out->overflow = true;
		return a->seq;
	}
	*a->meta = *meta;
	/* If a promise is on its way, it stands before this barrier in the journal, so this one
	 * must not take it back. */
	if (c->promise.token && a->meta->promised < c->promise.epoch)
		a->meta->promised = c->promise.epoch;
	c->journal.handed = meta->at.seq;
	return a->seq;
}

/* Hands the records up to seq to the journal. If a lazy journal skipped released records, a barrier
 * comes first: it says that the log on disk restarts at the tail. */
void dp_core_append_upto(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	struct dp_core_journal *j = &c->journal;
	if (j->appended >= seq)
		return;
	if (j->handed < j->appended) {
		assert(c->log.tail.at.seq == j->appended);
		dp_core_barrier(c, &c->log.tail, out);
	}
	while (j->appended < seq) {
		struct dp_log_entry *e = dp_log_entry(&c->log, j->appended + 1);
		assert(e && e->record);
		struct dp_action *a = dp_act(out, DP_ACT_APPEND);
		a->record = dp_record_ref(e->record);
		a->seq = ++j->appended;
		j->reserved -= dp_core_cost(e->payload_len);
	}
	j->handed = j->appended;
}

void dp_core_jump(struct dp_core *c, const struct dp_meta *meta)
{
	uint64_t seq = meta->at.seq;
	dp_log_reset(&c->log, meta);
	c->sets.count = c->sets.executing = 0;
	c->journal.appended = c->journal.handed = c->journal.durable = seq;
	c->journal.reserved = 0;
	if (c->agreed < seq)
		c->agreed = seq;
	if (c->can.keeps_images)
		c->image.applied = c->image.target = seq;
}

void dp_core_set_images(struct dp_core *c, struct dp_images images)
{
	c->log.last.images = c->log.tail.images = images;
}

void dp_core_copy_again(struct dp_core *c, uint64_t valid_seq)
{
	struct dp_images images = c->log.last.images;
	images.copied = 0;
	images.valid_seq = valid_seq;
	dp_core_set_images(c, images);
	c->rebuild.copied = false;
}

/* Records of the receiver beyond seq belong to a history that has ended, so they do not count. A
 * new session finds out what the receiver has. */
static void cut_positions(struct dp_down *d, uint64_t seq)
{
	if (d->sent <= seq)
		return;
	d->sent = seq;
	if (d->cached > seq)
		d->cached = seq;
	if (d->committed > seq)
		d->committed = seq;
	d->connect_due = true;
}

static void lower_to(uint64_t *position, uint64_t seq)
{
	if (*position > seq)
		*position = seq;
}

/* Cuts a divergent tail. Only records that were never agreed, and so never applied, are cut (law
 * 6). */
void dp_core_cut(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	assert(seq >= c->image.target && seq >= c->log.tail.at.seq);
	/* The barrier takes records back. So the journal must first have all of them. */
	dp_core_append_upto(c, c->log.last.at.seq, out);
	dp_log_cut(&c->log, seq);
	dp_sets_cut(&c->sets, seq);
	if (c->log.last.images.building) { /* chunks may hold records that are cut now */
		dp_core_copy_again(c, seq);
		c->rebuild.resume_due = true;
	}
	dp_core_barrier(c, &c->log.last, out);
	c->journal.appended = seq;
	lower_to(&c->journal.durable, seq);
	lower_to(&c->agreed, seq);
	lower_to(&c->image.replay, seq);
	lower_to(&c->committed, seq); /* the nodes below had another record at that seq */
	dp_act(out, DP_ACT_CUT)->seq = seq;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		cut_positions(&c->down[i], seq);
}

void dp_down_recount(const struct dp_core *c, struct dp_down *d)
{
	d->flight = 0;
	for (uint64_t s = d->cached + 1; s <= d->sent; s++) {
		struct dp_log_entry *e = dp_log_entry(&c->log, s);
		d->flight += e ? dp_core_cost(e->payload_len) : 0;
	}
}
