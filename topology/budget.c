/* SPDX-License-Identifier: MIT */
#include "budget.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "proto/record.h"

#define CRYPT_US_PER_KIB 4.0 /* sealing and opening, XSalsa20-Poly1305 in software */
#define FRAME_HEADER     64u /* docs/disk-format.md */
#define SECTOR           512u
#define EVENTS_PER_HOP   5
#define EVENTS_MORE      8 /* of host and controller, beside those per leg */

struct maker {
	const struct dp_topology *t;
	const struct dp_topo_stream *s;
	const struct dp_budget_costs *costs;
	struct dp_budget *b;
	unsigned room;
};

struct dp_budget_costs dp_budget_costs_default(uint64_t data_bytes)
{
	uint64_t frame = FRAME_HEADER + DP_RECORD_HEADER_SIZE + data_bytes;
	return (struct dp_budget_costs){
		.us_per_metre = 5 / DP_METRES_A_MILE,
		.route_factor = 1,
		.work_us = 5,
		.commit_us = 100,
		.crypt_us = CRYPT_US_PER_KIB * (double)data_bytes / DP_KIB,
		.record_bytes = DP_RECORD_HEADER_SIZE + data_bytes,
		.journal_bytes = (frame + SECTOR - 1) / SECTOR * SECTOR,
	};
}

/* ---- links ---- */

double dp_budget_propagation_us(const struct dp_topo_link *link,
	const struct dp_budget_costs *costs)
{
	if (costs->us_per_metre == 0)
		return 0;
	if (link->round_trip_us)
		return (double)link->round_trip_us / 2;
	double factor = link->distance_given ? 1 : costs->route_factor;
	return link->distance_m * factor * costs->us_per_metre;
}

/* Where only the round trip is known: as far as a signal gets in that time. */
static double route(const struct dp_topo_link *link, const struct dp_budget_costs *costs)
{
	if (link->distance_m < 0)
		return costs->us_per_metre > 0
			? dp_budget_propagation_us(link, costs) / costs->us_per_metre
			: 0;
	return link->distance_given ? link->distance_m : link->distance_m * costs->route_factor;
}

/* What a record costs on a link beside its propagation. */
static double link_work_us(const struct dp_topo_link *link, const struct dp_budget_costs *costs)
{
	double bits = 8 * (double)costs->record_bytes;
	double us = link->trusted ? 0 : costs->crypt_us;
	return link->bandwidth_bits ? us + bits / (double)link->bandwidth_bits * 1e6 : us;
}

/* A window of bytes goes out in each round trip at most. */
static void limit_rate(struct dp_budget_hop *h, const struct dp_topo_link *link,
	const struct dp_budget_costs *costs)
{
	uint64_t window = link->window_bytes ? link->window_bytes : DP_WINDOW_BYTES;
	double turn_us = 2 * h->propagation_us + costs->work_us + costs->commit_us;
	double by_window = turn_us > 0 ? (double)window / turn_us * 1e6 : INFINITY;
	double by_bandwidth = link->bandwidth_bits ? (double)link->bandwidth_bits / 8 : INFINITY;
	if (link->rate_bits)
		by_bandwidth = fmin(by_bandwidth, (double)link->rate_bits / 8);
	double rate = fmin(by_window, by_bandwidth);
	h->rate_bytes = isinf(rate) ? 0 : rate;
	h->window_bytes = by_window < by_bandwidth ? window : 0;
}

/* ---- the timeline ---- */

static void event(struct maker *m, double us, unsigned at, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* What a node does at one time is one event. */
static void event(struct maker *m, double us, unsigned at, const char *format, ...)
{
	char text[sizeof m->b->events->text];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	for (unsigned i = 0; i < m->b->event_count; i++) {
		struct dp_budget_event *e = &m->b->events[i];
		if (e->at != at || fabs(e->us - us) > 1e-6)
			continue;
		size_t used = strlen(e->text);
		snprintf(e->text + used, sizeof e->text - used, "; %s", text);
		return;
	}
	assert(m->b->event_count < m->room);
	struct dp_budget_event *e = &m->b->events[m->b->event_count++];
	*e = (struct dp_budget_event){.us = us, .at = at};
	snprintf(e->text, sizeof e->text, "%s", text);
}

static const char *name(const struct maker *m, unsigned node)
{
	return m->t->nodes[node].name;
}

static void say_way(struct maker *m, const struct dp_topo_leg *leg, const struct dp_budget_leg *l)
{
	double work = m->costs->work_us;
	event(m, work, m->s->controller, "forwards the write to %s", name(m, leg->hops[0]));
	for (unsigned i = 0; i < leg->hop_count; i++) {
		const struct dp_budget_hop *h = &l->hops[i];
		event(m, h->received_us, h->node, "receives the write");
		event(m, h->cached_us, h->node, "has cached it; acknowledges upstream");
		if (i + 1 < leg->hop_count)
			event(m, h->received_us + work, h->node, "forwards to %s",
				name(m, leg->hops[i + 1]));
	}
}

/* When the sender of hop i hears that it has cached the write. */
static double heard_us(const struct dp_budget_leg *l, unsigned i)
{
	return l->hops[i].cached_us + l->hops[i].propagation_us;
}

static void say_acknowledgements(struct maker *m, const struct dp_topo_leg *leg,
	const struct dp_budget_leg *l)
{
	for (unsigned i = 0; i < leg->hop_count; i++) {
		unsigned to = i ? leg->hops[i - 1] : m->s->controller;
		event(m, heard_us(l, i), to, "receives the acknowledgement of %s",
			name(m, leg->hops[i]));
	}
}

static void say_releases(struct maker *m, const struct dp_topo_leg *leg,
	const struct dp_budget_leg *l)
{
	for (unsigned i = 0; i + 1 < leg->hop_count; i++) {
		bool next_hop = m->t->nodes[leg->hops[i]].retain == DP_RETAIN_NEXT_HOP;
		event(m, l->hops[i].released_us, leg->hops[i], "drops its cache entry (retain: %s)",
			next_hop ? "next-hop" : "committed");
	}
}

static int by_time(const void *a, const void *b)
{
	const struct dp_budget_event *x = a, *y = b;
	return x->us < y->us ? -1 : x->us > y->us ? 1 : x->at < y->at ? -1 : x->at > y->at;
}

/* ---- one leg ---- */

static void go_out(struct maker *m, const struct dp_topo_leg *leg, struct dp_budget_leg *l)
{
	double us = m->costs->work_us;
	unsigned from = m->s->controller;
	for (unsigned i = 0; i < leg->hop_count; i++) {
		const struct dp_topo_link *link = dp_topology_link(m->t, from, leg->hops[i]);
		struct dp_budget_hop *h = &l->hops[i];
		h->node = from = leg->hops[i];
		h->distance_m = route(link, m->costs);
		h->propagation_us = dp_budget_propagation_us(link, m->costs);
		h->one_way_us = h->propagation_us + link_work_us(link, m->costs);
		h->received_us = us + h->one_way_us;
		h->cached_us = h->received_us + m->costs->work_us + m->costs->commit_us;
		us = h->received_us + m->costs->work_us;
		limit_rate(h, link, m->costs);
		l->distance_m += h->distance_m;
		l->propagation_us += h->propagation_us;
	}
}

/* `committed` comes back from node to node; returns when the controller has acted on it. */
static double come_back(struct maker *m, const struct dp_topo_leg *leg, struct dp_budget_leg *l)
{
	double us = l->hops[leg->hop_count - 1].cached_us;
	for (unsigned i = leg->hop_count; i-- > 0;) {
		us += l->hops[i].propagation_us + m->costs->work_us;
		if (i == 0)
			break;
		struct dp_budget_hop *above = &l->hops[i - 1];
		/* It speaks for itself too: what it has not cached it does not call committed. */
		us = fmax(us, above->cached_us);
		bool next_hop = m->t->nodes[above->node].retain == DP_RETAIN_NEXT_HOP;
		above->released_us = next_hop ? heard_us(l, i) + m->costs->work_us : us;
	}
	return us;
}

/* What the slowest link of the leg costs beside its propagation. */
static double leg_work_us(const struct dp_topo_leg *leg, const struct dp_budget_leg *l)
{
	double us = 0;
	for (unsigned i = 0; i < leg->hop_count; i++)
		us = fmax(us, l->hops[i].one_way_us - l->hops[i].propagation_us);
	return us;
}

static void make_leg(struct maker *m, unsigned n)
{
	const struct dp_topo_leg *leg = &m->s->legs[n];
	struct dp_budget_leg *l = &m->b->legs[n];
	double work = m->costs->work_us;
	go_out(m, leg, l);
	l->cached_us = heard_us(l, 0) + 2 * work; /* controller, host */
	l->committed_us = come_back(m, leg, l) + work;
	l->round_trip_us = 2 * l->propagation_us;
	l->direct_us = l->round_trip_us + leg_work_us(leg, l) + 4 * work + m->costs->commit_us;
	say_way(m, leg, l);
	say_acknowledgements(m, leg, l);
	say_releases(m, leg, l);
}

/* ---- the stream ---- */

static int smaller_first(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

/* As many legs as `ack` names have answered; with fewer than all the controller's journal counts.
 */
static double answered(const struct maker *m, bool committed)
{
	double us[DP_LEGS_MAX];
	for (unsigned i = 0; i < m->s->leg_count; i++)
		us[i] = committed ? m->b->legs[i].committed_us : m->b->legs[i].cached_us;
	qsort(us, m->s->leg_count, sizeof us[0], smaller_first);
	double last = us[m->s->ack_legs - 1];
	bool own = m->s->ack_legs < m->s->leg_count || m->s->local == DP_LOCAL_MIRROR;
	return own ? fmax(last, m->b->local_us) : last;
}

static double one_sided_m(const struct maker *m)
{
	double fixed_us = 4 * m->costs->work_us + m->costs->commit_us +
		leg_work_us(&m->s->legs[0], &m->b->legs[0]);
	double left_us = m->b->ack_us - fixed_us;
	return left_us < 0 || m->costs->us_per_metre == 0 ? -1
							  : left_us / 2 / m->costs->us_per_metre;
}

static void make_answers(struct maker *m)
{
	struct dp_budget *b = m->b;
	b->local_us = 2 * m->costs->work_us + m->costs->commit_us;
	b->cached_us = answered(m, false);
	b->committed_us = answered(m, true);
	const double by_stage[] = {b->local_us, b->cached_us, b->committed_us};
	b->ack_us = by_stage[m->s->ack_stage];
	b->flush_us = fmax(by_stage[m->s->flush], b->ack_us);
	bool next_hop = m->t->nodes[m->s->controller].retain == DP_RETAIN_NEXT_HOP;
	for (unsigned i = 0; i < m->s->leg_count; i++) {
		double us = next_hop ? b->legs[i].cached_us : b->legs[i].committed_us;
		b->controller_released_us = fmax(b->controller_released_us, us - m->costs->work_us);
	}
	b->one_sided_m = one_sided_m(m);
	event(m, b->ack_us - m->costs->work_us, m->s->controller, "acknowledges to the host");
	event(m, b->controller_released_us, m->s->controller, "drops its queue entry (retain: %s)",
		next_hop ? "next-hop" : "committed");
	event(m, b->ack_us, DP_BUDGET_HOST, "receives the acknowledgement");
	qsort(b->events, b->event_count, sizeof b->events[0], by_time);
}

static bool distances_known(const struct dp_topology *t, const struct dp_topo_stream *s,
	unsigned *unknown)
{
	for (unsigned i = 0; i < s->leg_count; i++) {
		unsigned from = s->controller;
		for (unsigned h = 0; h < s->legs[i].hop_count; h++) {
			const struct dp_topo_link *link = dp_topology_link(t, from,
				s->legs[i].hops[h]);
			*unknown = (unsigned)(link - t->links);
			if (link->distance_m < 0 && !link->round_trip_us)
				return false;
			from = s->legs[i].hops[h];
		}
	}
	return true;
}

int dp_budget_make(const struct dp_topology *t, unsigned stream,
	const struct dp_budget_costs *costs, struct dp_budget **out, unsigned *unknown)
{
	struct maker m = {.t = t, .s = &t->streams[stream], .costs = costs};
	*out = NULL;
	if (!distances_known(t, m.s, unknown))
		return DP_EINVAL;
	m.room = EVENTS_MORE;
	for (unsigned i = 0; i < m.s->leg_count; i++)
		m.room += EVENTS_MORE + EVENTS_PER_HOP * m.s->legs[i].hop_count;
	m.b = calloc(1, sizeof *m.b);
	if (!m.b)
		return DP_ENOMEM;
	m.b->events = calloc(m.room, sizeof *m.b->events);
	if (!m.b->events) {
		free(m.b);
		return DP_ENOMEM;
	}
	event(&m, 0, DP_BUDGET_HOST, "starts a write");
	for (unsigned i = 0; i < m.s->leg_count; i++)
		make_leg(&m, i);
	make_answers(&m);
	*out = m.b;
	return 0;
}

void dp_budget_destroy(struct dp_budget **budget)
{
	if (*budget)
		free((*budget)->events);
	free(*budget);
	*budget = NULL;
}

/* ---- questions ---- */

double dp_budget_reach(const struct dp_topology *t, unsigned stream, unsigned leg,
	const struct dp_budget_costs *costs, double budget_us)
{
	const struct dp_topo_stream *s = &t->streams[stream];
	struct dp_budget_costs here = *costs;
	struct dp_budget *b;
	unsigned unknown;
	if (s->ack_stage == DP_STAGE_LOCAL)
		return budget_us < 2 * costs->work_us + costs->commit_us ? -1 : INFINITY;
	here.us_per_metre = 0; /* what is left has nothing to do with distance */
	if (dp_budget_make(t, stream, &here, &b, &unknown))
		return -1;
	double fixed = s->ack_stage == DP_STAGE_CACHED ? b->legs[leg].cached_us
						       : b->legs[leg].committed_us;
	dp_budget_destroy(&b);
	return budget_us < fixed ? -1 : (budget_us - fixed) / 2 / costs->us_per_metre;
}

double dp_budget_backlog(const struct dp_budget_costs *costs, uint64_t data_bytes,
	double rate_bytes, double seconds)
{
	return rate_bytes * seconds / (double)data_bytes * (double)costs->journal_bytes;
}
