/* SPDX-License-Identifier: MIT */
#include "stream/stages.h"

#include <stdlib.h>
#include <string.h>

#define RING_START 16u

/* Times of one record at one link; 0: not yet. */
struct times {
	uint64_t sent_us, cached_us;
};

/* Positions that were seen last. */
struct seen {
	uint64_t sent, cached, committed;
};

/* The records watched are a ring by seq, which grows up to DP_STAGES_RING while more of them are
 * under way. A record has its arrival in `arrivals`, its times at link i in times[at * links + i].
 */
struct arrival {
	uint64_t seq, received_us;
};

struct dp_stages {
	uint64_t last, durable;
	struct seen seen[DP_DOWN_MAX];
	struct dp_hist own;
	struct dp_hist hist[DP_DOWN_MAX][DP_TIMED_COUNT - DP_TIMED_FORWARDED];
	uint32_t capacity, links; /* capacity: a power of two */
	struct arrival *arrivals;
	struct times *times;
};

static bool make_ring(struct dp_stages *s, uint32_t capacity)
{
	struct arrival *arrivals = calloc(capacity, sizeof *arrivals);
	struct times *times = calloc((size_t)capacity * (s->links + 1), sizeof *times);
	if (!arrivals || !times) {
		free(arrivals);
		free(times);
		return false;
	}
	for (uint32_t i = 0; i < s->capacity; i++) {
		uint64_t to = s->arrivals[i].seq & (capacity - 1);
		arrivals[to] = s->arrivals[i];
		memcpy(&times[to * s->links], &s->times[i * s->links], s->links * sizeof *times);
	}
	free(s->arrivals);
	free(s->times);
	s->arrivals = arrivals;
	s->times = times;
	s->capacity = capacity;
	return true;
}

struct dp_stages *dp_stages_new(const struct dp_core *c)
{
	struct dp_stages *s = calloc(1, sizeof *s);
	if (!s)
		return NULL;
	s->last = c->log.last.at.seq;
	s->links = c->cfg.down_count;
	if (!make_ring(s, RING_START))
		dp_stages_free(&s);
	return s;
}

void dp_stages_free(struct dp_stages **ps)
{
	struct dp_stages *s = *ps;
	*ps = NULL;
	if (!s)
		return;
	dp_hist_clear(&s->own);
	for (unsigned i = 0; i < DP_DOWN_MAX; i++)
		for (unsigned k = 0; k < DP_TIMED_COUNT - DP_TIMED_FORWARDED; k++)
			dp_hist_clear(&s->hist[i][k]);
	free(s->arrivals);
	free(s->times);
	free(s);
}

/* NULL: it was here before this process, or so many came after it that its place is taken. */
static struct arrival *find_arrival(struct dp_stages *s, uint64_t seq)
{
	struct arrival *a = &s->arrivals[seq & (s->capacity - 1)];
	return a->seq == seq ? a : NULL;
}

static struct times *times_of(struct dp_stages *s, uint64_t seq, unsigned link)
{
	return &s->times[(seq & (s->capacity - 1)) * s->links + link];
}

/* Whether some position has yet to pass the record. */
static bool is_under_way(const struct dp_stages *s, uint64_t seq)
{
	bool waits = seq > s->durable;
	for (uint32_t i = 0; i < s->links; i++)
		waits = waits || seq > s->seen[i].committed;
	return seq && waits;
}

static struct dp_hist *hist_of(struct dp_stages *s, enum dp_timed stage, unsigned link)
{
	return stage == DP_TIMED_DURABLE ? &s->own : &s->hist[link][stage - DP_TIMED_FORWARDED];
}

/* Moves a position that was seen to where it is now, and returns the first seq of what it has
 * passed that may still be watched. A position that went back (a cut, a new session) starts from
 * there. */
static uint64_t pass_to(const struct dp_stages *s, uint64_t *seen, uint64_t now, uint64_t last)
{
	uint64_t from = *seen < now ? *seen + 1 : now + 1;
	uint64_t oldest = last > s->capacity ? last - s->capacity + 1 : 1;
	*seen = now;
	return from > oldest ? from : oldest;
}

static void watch_arrivals(struct dp_stages *s, const struct dp_core *c, uint64_t now_us)
{
	uint64_t last = c->log.last.at.seq, more = last > s->last ? last - s->last : 0;
	while (s->capacity < DP_STAGES_RING && more &&
		(more > s->capacity || is_under_way(s, s->arrivals[last & (s->capacity - 1)].seq)))
		if (!make_ring(s, s->capacity * 2))
			break;
	for (uint64_t seq = pass_to(s, &s->last, last, last); seq <= last; seq++) {
		s->arrivals[seq & (s->capacity - 1)] = (struct arrival){seq, now_us};
		memset(times_of(s, seq, 0), 0, s->links * sizeof *s->times);
	}
}

static void watch_journal(struct dp_stages *s, const struct dp_core *c, uint64_t now_us)
{
	uint64_t durable = c->journal.durable;
	for (uint64_t seq = pass_to(s, &s->durable, durable, c->log.last.at.seq);
		seq <= durable && !dp_core_lazy(c); seq++) {
		const struct arrival *a = find_arrival(s, seq);
		if (a)
			dp_hist_add(&s->own, now_us - a->received_us);
	}
}

static void note_sent(struct dp_stages *s, unsigned link, uint64_t seq, uint64_t now_us)
{
	const struct arrival *a = find_arrival(s, seq);
	struct times *t = times_of(s, seq, link);
	if (!a || t->sent_us)
		return; /* sent once more */
	t->sent_us = now_us;
	dp_hist_add(hist_of(s, DP_TIMED_FORWARDED, link), now_us - a->received_us);
}

static void note_cached(struct dp_stages *s, unsigned link, uint64_t seq, uint64_t now_us)
{
	struct times *t = times_of(s, seq, link);
	if (!find_arrival(s, seq) || !t->sent_us || t->cached_us)
		return;
	t->cached_us = now_us;
	dp_hist_add(hist_of(s, DP_TIMED_ACKNOWLEDGED, link), now_us - t->sent_us);
}

static void note_committed(struct dp_stages *s, unsigned link, uint64_t seq, uint64_t now_us)
{
	const struct times *t = times_of(s, seq, link);
	if (find_arrival(s, seq) && t->cached_us)
		dp_hist_add(hist_of(s, DP_TIMED_COMMITTED, link), now_us - t->cached_us);
}

static void watch_link(struct dp_stages *s, const struct dp_core *c, unsigned i, uint64_t now_us)
{
	const struct dp_down *d = &c->down[i];
	struct seen *seen = &s->seen[i];
	uint64_t last = c->log.last.at.seq;
	for (uint64_t seq = pass_to(s, &seen->sent, d->sent, last); seq <= d->sent; seq++)
		note_sent(s, i, seq, now_us);
	for (uint64_t seq = pass_to(s, &seen->cached, d->cached, last); seq <= d->cached; seq++)
		note_cached(s, i, seq, now_us);
	uint64_t first = pass_to(s, &seen->committed, d->committed, last);
	for (uint64_t seq = first; seq <= d->committed; seq++)
		note_committed(s, i, seq, now_us);
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
