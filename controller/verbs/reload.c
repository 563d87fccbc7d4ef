/* SPDX-License-Identifier: MIT */
#include <unistd.h>

#include "base/err.h"
#include "verbs/nodes.h"

/* A node of another machine has no directory here. */
static bool is_here(const struct verb_place *place, unsigned node)
{
	char path[PATH_MAX];
	const char *name = place->topology->nodes[node].name;
	return access(verb_node_path(place->dir, name, "", path), F_OK) == 0;
}

/* What the nodes have answered. */
static json_t *reload_json(const struct verb_place *place, const unsigned *nodes, unsigned count,
	struct dp_ask *asks, struct verb_error *error)
{
	json_t *entries = json_array();
	for (unsigned i = 0; i < count; i++) {
		const char *name = place->topology->nodes[nodes[i]].name;
		const struct dp_ask *a = &asks[i];
		if (a->err)
			error->status = a->err == DP_EINVAL ? EX_CONFIG : EX_UNAVAILABLE;
		json_array_append_new(entries,
			a->err ? json_pack("{s:s,s:o}", "node", name, "error",
					 verb_string(a->error))
			       : json_pack("{s:s,s:O}", "node", name, "changed",
					 json_object_get(a->answer, "changed")));
		json_decref(a->answer);
	}
	return json_pack("{s:o}", "nodes", entries);
}

json_t *verb_reload(const struct verb_place *place, const char *node, struct verb_error *error)
{
	const struct dp_topology *t = place->topology;
	struct dp_ask asks[DP_NODES_MAX];
	unsigned nodes[DP_NODES_MAX], count = 0;
	int only = node ? dp_topology_node(t, node) : -1;
	if (node && only < 0) {
		verb_fail(error, EX_USAGE, "no node '%s' in %s/topology.yaml", node, place->dir);
		return NULL;
	}
	for (unsigned i = 0; i < t->node_count; i++)
		if (only < 0 ? is_here(place, i) : (unsigned)only == i)
			nodes[count++] = i;
	verb_ask_all(place, nodes, count, json_pack("{s:s}", "cmd", "reload"), VERB_ASK_TIMEOUT_US,
		asks);
	json_t *answer = reload_json(place, nodes, count, asks, error);
	if (!count)
		verb_fail(error, EX_UNAVAILABLE,
			"no node of %s has its directory in %s; name one with --node, or use `dipole apply`",
			t->name, place->dir);
	return answer;
}
