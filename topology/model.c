/* SPDX-License-Identifier: MIT */
#include "topology.h"

#include <stdlib.h>
#include <string.h>

void dp_topology_destroy(struct dp_topology **t)
{
	free(*t);
	*t = NULL;
}

int dp_topology_node(const struct dp_topology *t, const char *name)
{
	for (unsigned i = 0; i < t->node_count; i++) {
		if (strcmp(t->nodes[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

int dp_topology_stream(const struct dp_topology *t, const char *name)
{
	for (unsigned i = 0; i < t->stream_count; i++) {
		if (strcmp(t->streams[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

int dp_topology_volume(const struct dp_topology *t, const char *name)
{
	for (unsigned i = 0; i < t->volume_count; i++) {
		if (strcmp(t->volumes[i].name, name) == 0)
			return (int)i;
	}
	return -1;
}

const struct dp_topo_link *dp_topology_link(const struct dp_topology *t, unsigned a, unsigned b)
{
	for (unsigned i = 0; i < t->link_count; i++) {
		const struct dp_topo_link *link = &t->links[i];
		if ((link->a == a && link->b == b) || (link->a == b && link->b == a))
			return link;
	}
	return NULL;
}

bool dp_topology_uses(const struct dp_topo_stream *s, unsigned node)
{
	for (unsigned i = 0; i < s->leg_count; i++)
		for (unsigned hop = 0; hop < s->legs[i].hop_count; hop++)
			if (s->legs[i].hops[hop] == node)
				return true;
	return s->controller == node;
}

static unsigned add_once(unsigned *list, unsigned count, unsigned node)
{
	for (unsigned i = 0; i < count; i++)
		if (list[i] == node)
			return count;
	if (count <= DP_SEAL_HOLDERS_MAX)
		list[count++] = node;
	return count;
}

unsigned dp_topology_holders(const struct dp_topology *t, unsigned stream,
	unsigned out[DP_SEAL_HOLDERS_MAX + 1])
{
	const struct dp_topo_stream *s = &t->streams[stream];
	unsigned count = add_once(out, 0, s->controller);
	for (unsigned i = 0; i < s->leg_count; i++)
		for (unsigned hop = 0; hop < s->legs[i].hop_count; hop++)
			if (t->nodes[s->legs[i].hops[hop]].role == DP_ROLE_MIRROR)
				count = add_once(out, count, s->legs[i].hops[hop]);
	return count;
}

const char *dp_role_name(enum dp_role role)
{
	switch (role) {
	case DP_ROLE_CONTROLLER:
		return "controller";
	case DP_ROLE_RELAY:
		return "relay";
	case DP_ROLE_MIRROR:
		return "mirror";
	}
	return "unknown";
}

const char *dp_stage_name(enum dp_stage stage)
{
	switch (stage) {
	case DP_STAGE_LOCAL:
		return "local";
	case DP_STAGE_CACHED:
		return "cached";
	case DP_STAGE_COMMITTED:
		return "committed";
	}
	return "unknown";
}
