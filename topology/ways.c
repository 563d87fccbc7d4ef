/* SPDX-License-Identifier: MIT */
/* The ways of records through a topology: who sends to whom, over which connection, and which
 * leg a controller reads from first. */
#include "topology.h"

#include <math.h>

bool dp_topology_sends(const struct dp_topo_stream *s, unsigned from, unsigned to)
{
	for (unsigned i = 0; i < s->leg_count; i++) {
		const struct dp_topo_leg *leg = &s->legs[i];
		unsigned before = s->controller;
		for (unsigned hop = 0; hop < leg->hop_count; hop++) {
			if (before == from && leg->hops[hop] == to)
				return true;
			before = leg->hops[hop];
		}
	}
	return false;
}

unsigned dp_topology_connection(const struct dp_topology *t, unsigned stream, unsigned from,
	unsigned to)
{
	const struct dp_topo_link *link = dp_topology_link(t, from, to);
	unsigned count = 0;
	for (unsigned i = 0; i < stream; i++)
		count += dp_topology_sends(&t->streams[i], from, to);
	return count % (link ? link->connections : 1);
}

/* From the controller to the mirror; an unknown distance is the longest. */
static double distance_of_leg(const struct dp_topology *t, const struct dp_topo_stream *s,
	const struct dp_topo_leg *leg)
{
	double sum = 0;
	unsigned from = s->controller;
	for (unsigned hop = 0; hop < leg->hop_count; hop++) {
		const struct dp_topo_link *link = dp_topology_link(t, from, leg->hops[hop]);
		if (!link || link->distance_m < 0)
			return HUGE_VAL;
		sum += link->distance_m;
		from = leg->hops[hop];
	}
	return sum;
}

void dp_topology_read_order(const struct dp_topology *t, const struct dp_topo_stream *s,
	uint8_t order[DP_LEGS_MAX])
{
	double distance[DP_LEGS_MAX];
	for (unsigned i = 0; i < s->leg_count; i++) {
		unsigned at = i;
		distance[i] = distance_of_leg(t, s, &s->legs[i]);
		for (; at > 0 && distance[order[at - 1]] > distance[i]; at--)
			order[at] = order[at - 1];
		order[at] = (uint8_t)i;
	}
}
