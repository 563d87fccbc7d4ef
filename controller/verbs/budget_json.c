/* SPDX-License-Identifier: MIT */
/* Every number of a budget. */
#include <math.h>

#include "verbs/budget.h"

static json_t *leg_budget(const struct budget_view *v, unsigned n)
{
	const struct dp_topo_stream *s = budget_stream(v);
	const struct dp_budget_leg *l = &v->b->legs[n];
	json_t *hops = json_array();
	for (unsigned i = 0; i < s->legs[n].hop_count; i++) {
		const struct dp_budget_hop *h = &l->hops[i];
		double held_us = h->released_us > 0 ? h->released_us - h->received_us : 0;
		json_array_append_new(hops,
			json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:o,s:o,s:o,s:I,s:f}", "node",
				budget_name(v, h->node), "distance_m", h->distance_m,
				"propagation_us", h->propagation_us, "one_way_us", h->one_way_us,
				"received_us", h->received_us, "cached_us", h->cached_us,
				"released_us",
				held_us > 0 ? json_real(h->released_us) : json_null(), "held_bytes",
				held_us > 0 ? json_real(budget_held_bytes(v, held_us))
					    : json_null(),
				"writes_bytes_per_second",
				h->rate_bytes > 0 ? json_real(budget_data_rate(v, h)) : json_null(),
				"journal_bytes", (json_int_t)budget_journal(v, h->node),
				"journal_lasts_seconds", budget_lasts_s(v, h->node)));
	}
	json_t *leg = json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:o}", "name", s->legs[n].name,
		"distance_m", l->distance_m, "cached_us", l->cached_us, "committed_us",
		l->committed_us, "round_trip_us", l->round_trip_us, "without_relays_us",
		l->direct_us, "hops", hops);
	double m = v->budget_us ? budget_reach(v, n) : -1;
	if (v->budget_us)
		json_object_set_new(leg, "reach_m", m < 0 || isinf(m) ? json_null() : json_real(m));
	return leg;
}

static json_t *budget_events(const struct budget_view *v)
{
	json_t *events = json_array();
	for (unsigned i = 0; i < v->b->event_count; i++) {
		const struct dp_budget_event *e = &v->b->events[i];
		json_array_append_new(events,
			json_pack("{s:f,s:s,s:s}", "t_us", e->us, "at", budget_name(v, e->at),
				"what", e->text));
	}
	return events;
}

static json_t *budget_change(const struct budget_view *v)
{
	const struct dp_budget *b = v->then;
	return json_pack("{s:s,s:f,s:f,s:f,s:f,s:f}", "change", v->change, "ack_us", b->ack_us,
		"flush_us", b->flush_us, "local_us", b->local_us, "cached_us", b->cached_us,
		"committed_us", b->committed_us);
}

json_t *verb_budget(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	const struct dp_budget *b = v->b;
	json_t *legs = json_array();
	for (unsigned i = 0; i < s->leg_count; i++)
		json_array_append_new(legs, leg_budget(v, i));
	json_t *out = json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:o,s:o}", "stream", s->name, "ack_us",
		b->ack_us, "flush_us", b->flush_us, "local_us", b->local_us, "cached_us",
		b->cached_us, "committed_us", b->committed_us, "legs", legs, "events",
		budget_events(v));
	json_object_set_new(out, "outage_bytes", json_real(budget_outage_bytes(v)));
	json_object_set_new(out, "assumed",
		json_pack("{s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f}", "write_bytes",
			(json_int_t)v->data_bytes, "rate_bytes_per_second",
			(json_int_t)v->rate_bytes, "outage_us", (json_int_t)v->outage_us,
			"us_per_km", v->costs.us_per_metre * 1000, "route_factor",
			v->costs.route_factor, "work_us", v->costs.work_us, "commit_us",
			v->costs.commit_us, "encryption_us", v->costs.crypt_us));
	double m = b->one_sided_m;
	json_object_set_new(out, "one_sided_m", m < 0 ? json_null() : json_real(m));
	if (v->then)
		json_object_set_new(out, "what_if", budget_change(v));
	if (v->budget_us) {
		m = budget_separation(v);
		json_object_set_new(out, "reach_separation_m", m < 0 ? json_null() : json_real(m));
		json_object_set_new(out, "budget_us", json_integer((json_int_t)v->budget_us));
		json_object_set_new(out, "fits", json_boolean(b->ack_us <= (double)v->budget_us));
	}
	return out;
}
