/* SPDX-License-Identifier: MIT */
/* One leg of a stream: the way from the controller over relays to a mirror. */
#include "schema.h"

static bool is_good(const struct dp_topo_leg *leg, unsigned hop)
{
	return leg->hops[hop] != DP_UNRESOLVED;
}

static bool right_role(struct dp_loader *l, const struct dp_path *at, const yaml_node_t *value,
	unsigned node, bool last)
{
	enum dp_role role = l->t->nodes[node].role;
	const char *name = dp_role_name(role);
	if (role == DP_ROLE_UNKNOWN || role == DP_ROLE_MIRROR || (role == DP_ROLE_RELAY && !last))
		return true;
	if (last)
		dp_loader_error(l, at, value, "%s %s at the end of a leg; expected a mirror", name,
			dp_loader_show(value).text);
	else
		dp_loader_error(l, at, value, "%s %s within a leg; expected a relay or a mirror",
			name, dp_loader_show(value).text);
	return false;
}

static bool is_repeated(struct dp_loader *l, const struct dp_path *at, const yaml_node_t *value,
	const struct dp_topo_leg *leg, unsigned hop)
{
	for (unsigned i = 0; i < hop; i++) {
		if (leg->hops[i] != leg->hops[hop])
			continue;
		dp_loader_error(l, at, value, "node %s a second time; expected each once in a leg",
			dp_loader_show(value).text);
		return true;
	}
	return false;
}

/* A hop with a mistake becomes DP_UNRESOLVED, so that its links are not asked for as well. */
static void parse_hop(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *list,
	struct dp_topo_leg *leg, unsigned hop)
{
	struct dp_path at = {path, NULL, hop};
	const yaml_node_t *value = dp_loader_item(l, list, hop);
	leg->hops[hop] = dp_loader_resolve(l, &at, value, &l->nodes, "node");
	if (!is_good(leg, hop))
		return;
	bool last = hop + 1 == leg->hop_count;
	if (is_repeated(l, &at, value, leg, hop) ||
		!right_role(l, &at, value, leg->hops[hop], last))
		leg->hops[hop] = DP_UNRESOLVED;
}

/* A link with a mistake in it may be the one that we miss. */
static bool may_be_linked(const struct dp_topology *t, unsigned a, unsigned b)
{
	if (dp_topology_link(t, a, b) || dp_topology_link(t, DP_UNRESOLVED, DP_UNRESOLVED))
		return true;
	return dp_topology_link(t, a, DP_UNRESOLVED) || dp_topology_link(t, b, DP_UNRESOLVED);
}

static void check_link(struct dp_loader *l, const struct dp_path *at, const yaml_node_t *value,
	unsigned from, unsigned to)
{
	if (!l->links_complete || may_be_linked(l->t, from, to))
		return;
	bool *reported = &l->missing_link[from < to ? from : to][from < to ? to : from];
	if (!*reported)
		dp_loader_error(l, at, value,
			"no link from \"%s\" to \"%s\"; expected one with both under links",
			l->t->nodes[from].name, l->t->nodes[to].name);
	*reported = true;
}

static void check_links(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *list,
	const struct dp_topo_stream *s, const struct dp_topo_leg *leg)
{
	unsigned from = s->controller;
	for (unsigned i = 0; i < leg->hop_count; i++) {
		struct dp_path at = {path, NULL, i};
		if (from != DP_UNRESOLVED && is_good(leg, i))
			check_link(l, &at, dp_loader_item(l, list, i), from, leg->hops[i]);
		from = leg->hops[i];
	}
}

static bool leg_has(const struct dp_topo_leg *leg, unsigned node)
{
	for (unsigned i = 0; i < leg->hop_count; i++)
		if (leg->hops[i] == node)
			return true;
	return false;
}

/* A node has one sender and one receiver in a stream, so it can be in one of its legs only. */
static void check_other_legs(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *list, const struct dp_topo_stream *s, const struct dp_topo_leg *leg)
{
	for (unsigned i = 0; i < leg->hop_count; i++) {
		const struct dp_topo_leg *other = s->legs;
		while (other < leg && !(is_good(leg, i) && leg_has(other, leg->hops[i])))
			other++;
		if (other == leg)
			continue;
		struct dp_path at = {path, NULL, i};
		dp_loader_error(l, &at, dp_loader_item(l, list, i),
			"node \"%s\" is in leg \"%s\" too; expected each in one leg of a stream",
			l->t->nodes[leg->hops[i]].name, other->name);
	}
}

void dp_schema_hops(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *list,
	struct dp_topo_stream *s, struct dp_topo_leg *leg)
{
	static const char expected[] = "a list of nodes that ends at a mirror";
	if (!dp_loader_is(l, path, list, YAML_SEQUENCE_NODE, expected))
		return;
	unsigned count = dp_loader_items(list);
	if (count == 0 || count > DP_HOPS_MAX) {
		dp_loader_error(l, path, list, "found a list of %u; expected %s, from 1 to %d",
			count, expected, DP_HOPS_MAX);
		return;
	}
	leg->hop_count = count;
	for (unsigned i = 0; i < count; i++)
		parse_hop(l, path, list, leg, i);
	check_links(l, path, list, s, leg);
	check_other_legs(l, path, list, s, leg);
}
