/* SPDX-License-Identifier: MIT */
#include <stdio.h>

#include "verbs/verbs.h"

static json_t *errors_json(const struct dp_topo_errors *errors)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < errors->count; i++) {
		const struct dp_topo_error *e = &errors->errors[i];
		json_array_append_new(list,
			json_pack("{s:s,s:i,s:i,s:s,s:s}", "file", e->file, "line", (int)e->line,
				"column", (int)e->column, "key", e->key, "text", e->text));
	}
	return list;
}

/* ---- distances ---- */

/* Metres of the hop that reaches node `to`; negative: unknown. */
static double hop_distance(const struct dp_topology *t, unsigned from, unsigned to)
{
	const struct dp_topo_link *link = dp_topology_link(t, from, to);
	return link ? link->distance_m : -1;
}

/* Of the whole leg; negative if that of a hop is unknown. */
static double whole_distance(const struct dp_topology *t, unsigned controller,
	const struct dp_topo_leg *leg)
{
	double sum = 0;
	unsigned from = controller;
	for (unsigned i = 0; i < leg->hop_count; i++) {
		double d = hop_distance(t, from, leg->hops[i]);
		if (d < 0)
			return -1;
		sum += d;
		from = leg->hops[i];
	}
	return sum;
}

/* Why a stream's opposition is not known. */
static void explain_unknown(const struct dp_topology *t, unsigned stream, char *text, size_t size)
{
	const struct dp_topo_stream *s = &t->streams[stream];
	if (s->leg_count < 2) {
		snprintf(text, size, "it has one leg only");
		return;
	}
	unsigned node = s->controller;
	for (unsigned i = 0; t->sites[t->nodes[node].site].has_position && i < s->leg_count; i++)
		node = s->legs[i].hops[s->legs[i].hop_count - 1];
	snprintf(text, size, "site %s of node %s has no position (`at`)",
		t->sites[t->nodes[node].site].name, t->nodes[node].name);
}

/* ---- JSON ---- */

static json_t *distance_json(double metres)
{
	return metres < 0 ? json_null() : json_real(metres);
}

static json_t *checked_leg(const struct dp_topology *t, const struct dp_topo_stream *s,
	const struct dp_topo_leg *leg)
{
	json_t *hops = json_array();
	unsigned from = s->controller;
	for (unsigned i = 0; i < leg->hop_count; i++) {
		json_array_append_new(hops,
			json_pack("{s:s,s:o}", "node", t->nodes[leg->hops[i]].name, "distance_m",
				distance_json(hop_distance(t, from, leg->hops[i]))));
		from = leg->hops[i];
	}
	return json_pack("{s:s,s:o,s:o}", "name", leg->name, "hops", hops, "distance_m",
		distance_json(whole_distance(t, s->controller, leg)));
}

static json_t *opposition_json(const struct dp_topology *t, unsigned stream)
{
	struct dp_opposition o;
	char why[256];
	if (!dp_topology_opposition(t, stream, &o)) {
		explain_unknown(t, stream, why, sizeof why);
		return json_pack("{s:b,s:s}", "known", 0, "reason", why);
	}
	return json_pack("{s:b,s:[ss],s:f,s:[ff],s:f,s:b}", "known", 1, "poles",
		t->nodes[o.pole_a].name, t->nodes[o.pole_b].name, "separation_m", o.separation_m,
		"from_controller_m", o.from_controller_a_m, o.from_controller_b_m, "gain_m",
		o.gain_m, "opposed", (int)o.opposed);
}

static json_t *checked_stream(const struct dp_topology *t, unsigned stream)
{
	const struct dp_topo_stream *s = &t->streams[stream];
	json_t *legs = json_array();
	for (unsigned i = 0; i < s->leg_count; i++)
		json_array_append_new(legs, checked_leg(t, s, &s->legs[i]));
	return json_pack("{s:s,s:s,s:o,s:o}", "name", s->name, "controller",
		t->nodes[s->controller].name, "legs", legs, "opposition",
		opposition_json(t, stream));
}

static json_t *checked_topology(const struct dp_topology *t)
{
	json_t *streams = json_array();
	for (unsigned i = 0; i < t->stream_count; i++)
		json_array_append_new(streams, checked_stream(t, i));
	return json_pack("{s:b,s:s,s:o}", "ok", 1, "name", t->name, "streams", streams);
}

json_t *verb_topology_check(const char *file, struct dp_topology **topology,
	struct verb_error *error)
{
	struct dp_topo_errors errors = {.count = 0};
	int err = dp_topology_load(file, topology, &errors);
	if (verb_topology_judge(err, &errors, error))
		return json_pack("{s:b,s:o}", "ok", 0, "errors", errors_json(&errors));
	return checked_topology(*topology);
}
