/* SPDX-License-Identifier: MIT */
#include "stream/stages.h"

#include <stdlib.h>

/* Times of one record at one link; 0: not yet. */
struct times {
	uint64_t sent_us, cached_us;
};

struct watched {
	uint64_t seq, received_us;
	struct times at[DP_DOWN_MAX];
};

/* Positions that were seen last. */
struct seen {
	uint64_t sent, cached, committed;
};

struct dp_stages {
	uint64_t last, durable;
	struct seen links[DP_DOWN_MAX];
	struct dp_hist own;
	struct dp_hist hist[DP_DOWN_MAX][DP_TIMED_COUNT - DP_TIMED_FORWARDED];
	struct watched ring[DP_STAGES_RING];
};

struct dp_stages *dp_stages_new(const struct dp_core *c)
{
	struct dp_stages *s = calloc(1, sizeof *s);
	if (s)
		s->last = c->log.last.at.seq;
	return s;
}

void dp_stages_free(struct dp_stages **s)
{
	free(*s);
	*s = NULL;
}

/* NULL: it was here before this process, or so many came after it that its place is taken. */
static struct watched *find(struct dp_stages *s, uint64_t seq)
{
	struct watched *w = &s->ring[seq % DP_STAGES_RING];
	return w->seq == seq ? w : NULL;
}

static struct dp_hist *hist_of(struct dp_stages *s, enum dp_timed stage, unsigned link)
{
	return stage == DP_TIMED_DURABLE ? &s->own : &s->hist[link][stage - DP_TIMED_FORWARDED];
}

/* Moves a position that was seen to where it is now, and returns the first seq of what it has
 * passed that may still be watched. A position that went back (a cut, a new session) starts from
 * there. */
static uint64_t pass(uint64_t *seen, uint64_t now, uint64_t last)
{
	uint64_t from = *seen < now ? *seen + 1 : now + 1;
	uint64_t oldest = last > DP_STAGES_RING ? last - DP_STAGES_RING + 1 : 1;
	*seen = now;
	return from > oldest ? from : oldest;
}

static void watch_arrivals(struct dp_stages *s, const struct dp_core *c, uint64_t now_us)
{
	uint64_t last = c->log.last.at.seq;
	for (uint64_t seq = pass(&s->last, last, last); seq <= last; seq++)
		s->ring[seq % DP_STAGES_RING] = (struct watched){.seq = seq, .received_us = now_us};
}

static void watch_journal(struct dp_stages *s, const struct dp_core *c, uint64_t now_us)
{
	uint64_t first = pass(&s->durable, c->journal.durable, c->log.last.at.seq);
	for (uint64_t seq = first; seq <= c->journal.durable && !dp_core_lazy(c); seq++) {
		const struct watched *w = find(s, seq);
		if (w)
			dp_hist_add(&s->own, now_us - w->received_us);
	}
}

static void sent(struct dp_stages *s, unsigned link, uint64_t seq, uint64_t now_us)
{
	struct watched *w = find(s, seq);
	if (!w || w->at[link].sent_us)
		return; /* sent once more */
	w->at[link].sent_us = now_us;
	dp_hist_add(hist_of(s, DP_TIMED_FORWARDED, link), now_us - w->received_us);
}

static void cached(struct dp_stages *s, unsigned link, uint64_t seq, uint64_t now_us)
{
	struct watched *w = find(s, seq);
	if (!w || !w->at[link].sent_us || w->at[link].cached_us)
		return;
	w->at[link].cached_us = now_us;
	dp_hist_add(hist_of(s, DP_TIMED_ACKNOWLEDGED, link), now_us - w->at[link].sent_us);
}

static void committed(struct dp_stages *s, unsigned link, uint64_t seq, uint64_t now_us)
{
	struct watched *w = find(s, seq);
	if (w && w->at[link].cached_us)
		dp_hist_add(hist_of(s, DP_TIMED_COMMITTED, link), now_us - w->at[link].cached_us);
}

static void watch_link(struct dp_stages *s, const struct dp_core *c, unsigned i, uint64_t now_us)
{
	const struct dp_down *d = &c->down[i];
	uint64_t last = c->log.last.at.seq;
	for (uint64_t seq = pass(&s->links[i].sent, d->sent, last); seq <= d->sent; seq++)
		sent(s, i, seq, now_us);
	for (uint64_t seq = pass(&s->links[i].cached, d->cached, last); seq <= d->cached; seq++)
		cached(s, i, seq, now_us);
	for (uint64_t seq = pass(&s->links[i].committed, d->committed, last); seq <= d->committed;
		seq++)
		committed(s, i, seq, now_us);
}

void dp_stages_watch(struct dp_stages *s, const struct dp_core *c, uint64_t now_us)
{
	watch_arrivals(s, c, now_us);
	watch_journal(s, c, now_us);
	for (unsigned i = 0; i < c->cfg.down_count; i++)
		watch_link(s, c, i, now_us);
}

const struct dp_hist *dp_stages_hist(const struct dp_stages *s, enum dp_timed stage, unsigned link)
{
	return hist_of((struct dp_stages *)(uintptr_t)s, stage, link);
}

const char *dp_timed_key(enum dp_timed stage)
{
	static const char *const keys[] = {"durable", "forwarded", "acknowledged", "committed"};
	return keys[stage];
}
