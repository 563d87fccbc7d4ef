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
