/* SPDX-License-Identifier: MIT */
/* Distances on the globe and how far a stream's poles lie apart. */
#include "topology.h"

#include <math.h>

#define EARTH_RADIUS_M     6371008.8 /* the mean radius of the IUGG */
#define RADIANS_PER_DEGREE 0.017453292519943295

double dp_site_distance(const struct dp_site *a, const struct dp_site *b)
{
	double latitude_a = a->latitude * RADIANS_PER_DEGREE;
	double latitude_b = b->latitude * RADIANS_PER_DEGREE;
	double sin_lat = sin((latitude_b - latitude_a) / 2);
	double sin_lon = sin((b->longitude - a->longitude) * RADIANS_PER_DEGREE / 2);
	double h = sin_lat * sin_lat + cos(latitude_a) * cos(latitude_b) * sin_lon * sin_lon;
	/* Rounding may lift h above 1 for antipodes, where asin has no value. */
	return 2 * EARTH_RADIUS_M * asin(sqrt(fmin(h, 1)));
}

static const struct dp_site *site_of(const struct dp_topology *t, unsigned node)
{
	return &t->sites[t->nodes[node].site];
}

static unsigned pole(const struct dp_topo_stream *s, unsigned leg)
{
	return s->legs[leg].hops[s->legs[leg].hop_count - 1];
}

static bool all_positions(const struct dp_topology *t, const struct dp_topo_stream *s)
{
	if (!site_of(t, s->controller)->has_position)
		return false;
	for (unsigned i = 0; i < s->leg_count; i++) {
		if (!site_of(t, pole(s, i))->has_position)
			return false;
	}
	return true;
}

static void farthest(const struct dp_topology *t, const struct dp_topo_stream *s,
	struct dp_opposition *out)
{
	out->separation_m = -1;
	for (unsigned i = 0; i < s->leg_count; i++) {
		for (unsigned j = i + 1; j < s->leg_count; j++) {
			unsigned a = pole(s, i), b = pole(s, j);
			double d = dp_site_distance(site_of(t, a), site_of(t, b));
			if (d > out->separation_m)
				*out = (struct dp_opposition){
					.pole_a = a, .pole_b = b, .separation_m = d};
		}
	}
}

bool dp_topology_opposition(const struct dp_topology *t, unsigned stream, struct dp_opposition *out)
{
	if (stream >= t->stream_count)
		return false;
	const struct dp_topo_stream *s = &t->streams[stream];
	if (s->leg_count < 2 || !all_positions(t, s))
		return false;
	farthest(t, s, out);
	const struct dp_site *home = site_of(t, s->controller);
	out->from_controller_a_m = dp_site_distance(home, site_of(t, out->pole_a));
	out->from_controller_b_m = dp_site_distance(home, site_of(t, out->pole_b));
	out->gain_m = out->separation_m - fmax(out->from_controller_a_m, out->from_controller_b_m);
	out->opposed = out->gain_m > 0;
	return true;
}
