/* SPDX-License-Identifier: MIT */
/* Rules between the parts of a topology, checked once all of it is read. */
#include "schema.h"

#include <string.h>

/* ---- names that give the same id ---- */

static void check_stream_id(struct dp_loader *l, unsigned index)
{
	const struct dp_topo_stream *s = &l->t->streams[index];
	struct dp_path top = {NULL, "streams", 0}, at = {&top, l->streams.text[index], 0};
	for (unsigned i = 0; i < index; i++) {
		const struct dp_topo_stream *other = &l->t->streams[i];
		if (other->id == s->id && strcmp(other->name, s->name) != 0)
			dp_loader_error(l, &at, l->streams.key_at[index],
				"same id as stream \"%s\", by chance; expected another name",
				other->name);
	}
}

static void check_volume_id(struct dp_loader *l, unsigned index)
{
	const struct dp_topo_volume *v = &l->t->volumes[index];
	struct dp_path top = {NULL, "volumes", 0}, at = {&top, l->volumes.text[index], 0};
	for (unsigned i = 0; i < index; i++) {
		const struct dp_topo_volume *other = &l->t->volumes[i];
		if (other->id == v->id && strcmp(other->name, v->name) != 0)
			dp_loader_error(l, &at, l->volumes.key_at[index],
				"same id as volume \"%s\", by chance; expected another name",
				other->name);
	}
}

/* ---- volumes of a stream ---- */

/* What is there already only the read cache knows. */
static void check_skip(struct dp_loader *l, unsigned index)
{
	const struct dp_topo_volume *v = &l->t->volumes[index];
	if (!v->skip_unchanged || v->stream == DP_UNRESOLVED ||
		l->t->streams[v->stream].read_cache_bytes)
		return;
	struct dp_path volumes = {NULL, "volumes", 0}, volume = {&volumes, v->name, 0},
		       at = {&volume, "skip-unchanged", 0};
	dp_loader_error(l, &at, l->volumes.key_at[index],
		"true without a read cache; expected read-cache in stream %s",
		l->t->streams[v->stream].name);
}

static void check_volume_count(struct dp_loader *l, unsigned stream)
{
	struct dp_path top = {NULL, "volumes", 0};
	unsigned count = 0;
	for (unsigned i = 0; i < l->t->volume_count; i++) {
		if (l->t->volumes[i].stream != stream || ++count != DP_VOLUMES_MAX + 1)
			continue;
		struct dp_path at = {&top, l->volumes.text[i], 0};
		dp_loader_error(l, &at, l->volumes.key_at[i],
			"one volume too many in stream \"%s\"; expected at most %d",
			l->t->streams[stream].name, DP_VOLUMES_MAX);
		return;
	}
}

static void check_seal(struct dp_loader *l, unsigned index)
{
	const struct dp_topo_stream *s = &l->t->streams[index];
	unsigned holders[DP_SEAL_HOLDERS_MAX + 1];
	/* Only legs without a mistake can be counted over. */
	if (s->seal == DP_SEAL_NONE || l->errors->count)
		return;
	unsigned count = dp_topology_holders(l->t, index, holders), keys = count;
	for (unsigned i = 0; i < count && i < DP_SEAL_HOLDERS_MAX; i++)
		keys += l->t->nodes[holders[i]].former_key[0] != 0;
	if (keys <= DP_SEAL_HOLDERS_MAX)
		return;
	struct dp_path top = {NULL, "streams", 0}, stream = {&top, l->streams.text[index], 0};
	struct dp_path at = {&stream, "seal", 0};
	dp_loader_error(l, &at, l->streams.key_at[index],
		"too many nodes would open it; expected at most %d: the controller and the mirrors of all "
		"legs, and their former keys",
		DP_SEAL_HOLDERS_MAX);
}

/* ---- addresses and keys ---- */

/* `key` of this node and of an earlier one are the same text; they name one node each. */
static void not_shared(struct dp_loader *l, unsigned index, const char *key, unsigned earlier)
{
	struct dp_path top = {NULL, "nodes", 0}, node = {&top, l->nodes.text[index], 0};
	struct dp_path at = {&node, key, 0};
	const yaml_node_t *value = dp_loader_find(l, l->nodes.value_at[index], key);
	dp_loader_error(l, &at, value, "same as that of node \"%s\"; expected one of its own",
		l->t->nodes[earlier].name);
}

/* Whether `key`, of one of the two, is a key of the other, too. */
static bool is_key_of(const struct dp_topo_node *n, const char *key)
{
	return key[0] && (strcmp(n->key, key) == 0 || strcmp(n->former_key, key) == 0);
}

static void check_former(struct dp_loader *l, unsigned index)
{
	const struct dp_topo_node *n = &l->t->nodes[index];
	struct dp_path top = {NULL, "nodes", 0}, node = {&top, l->nodes.text[index], 0};
	struct dp_path at = {&node, "former-key", 0};
	if (!n->former_key[0] || (n->key[0] && strcmp(n->key, n->former_key)))
		return;
	dp_loader_error(l, &at, dp_loader_find(l, l->nodes.value_at[index], "former-key"), "%s",
		n->key[0] ? "same as key; expected the one before it"
			  : "without key; expected both");
}

/* Who has the key of a node, or of another operator, must not pass for this one. */
static void check_operator(struct dp_loader *l, unsigned index)
{
	const struct dp_topo_operator *o = &l->t->operators[index];
	struct dp_path top = {NULL, "operators", 0}, name = {&top, l->operators.text[index], 0};
	struct dp_path at = {&name, "key", 0};
	const yaml_node_t *value = dp_loader_find(l, l->operators.value_at[index], "key");
	for (unsigned i = 0; i < l->t->node_count && o->key[0]; i++)
		if (is_key_of(&l->t->nodes[i], o->key))
			dp_loader_error(l, &at, value,
				"same as that of node \"%s\"; expected one of its own",
				l->t->nodes[i].name);
	for (unsigned i = 0; i < index && o->key[0]; i++)
		if (strcmp(l->t->operators[i].key, o->key) == 0 &&
			strcmp(l->t->operators[i].name, o->name))
			dp_loader_error(l, &at, value,
				"same as that of \"%s\"; expected one of its own",
				l->t->operators[i].name);
}

static void check_shared(struct dp_loader *l, unsigned index)
{
	const struct dp_topo_node *n = &l->t->nodes[index];
	for (unsigned i = 0; i < index; i++) {
		const struct dp_topo_node *other = &l->t->nodes[i];
		if (strcmp(other->name, n->name) == 0)
			continue;
		if (n->listen[0] && strcmp(other->listen, n->listen) == 0)
			not_shared(l, index, "listen", i);
		if (n->metrics[0] && strcmp(other->metrics, n->metrics) == 0)
			not_shared(l, index, "metrics", i);
		if (n->control[0] && strcmp(other->control, n->control) == 0)
			not_shared(l, index, "control", i);
		if (is_key_of(other, n->key))
			not_shared(l, index, "key", i);
		if (is_key_of(other, n->former_key))
			not_shared(l, index, "former-key", i);
	}
}

static bool leg_holds(const struct dp_topo_leg *leg, unsigned node)
{
	for (unsigned i = 0; i < leg->hop_count; i++) {
		if (leg->hops[i] == node)
			return true;
	}
	return false;
}

static bool is_in_a_leg(const struct dp_topology *t, unsigned node)
{
	for (unsigned i = 0; i < t->stream_count; i++) {
		for (unsigned j = 0; j < t->streams[i].leg_count; j++) {
			if (leg_holds(&t->streams[i].legs[j], node))
				return true;
		}
	}
	return false;
}

static void check_listen(struct dp_loader *l, unsigned index)
{
	const yaml_node_t *map = l->nodes.value_at[index];
	if (map->type != YAML_MAPPING_NODE || dp_loader_find(l, map, "listen"))
		return;
	if (!is_in_a_leg(l->t, index))
		return;
	struct dp_path top = {NULL, "nodes", 0}, node = {&top, l->nodes.text[index], 0};
	struct dp_path at = {&node, "listen", 0};
	dp_loader_error(l, &at, map,
		"missing; expected tcp://HOST:PORT, because the node is in a leg and is connected "
		"to");
}

/* ---- trust ---- */

static bool leg_uses(const struct dp_topo_stream *s, const struct dp_topo_leg *leg,
	const struct dp_topo_link *link, unsigned into)
{
	unsigned from = link->a == into ? link->b : link->a;
	unsigned previous = s->controller;
	for (unsigned i = 0; i < leg->hop_count; i++) {
		if (previous == from && leg->hops[i] == into)
			return true;
		previous = leg->hops[i];
	}
	return false;
}

/* Whether records of some leg enter the node over the link. */
static bool leads_into(const struct dp_topology *t, const struct dp_topo_link *link, unsigned node)
{
	if ((link->a != node && link->b != node) || link->a == DP_UNRESOLVED ||
		link->b == DP_UNRESOLVED)
		return false;
	for (unsigned i = 0; i < t->stream_count; i++) {
		for (unsigned j = 0; j < t->streams[i].leg_count; j++) {
			if (leg_uses(&t->streams[i], &t->streams[i].legs[j], link, node))
				return true;
		}
	}
	return false;
}

static void trust_differs(struct dp_loader *l, unsigned index, unsigned first, unsigned node)
{
	const struct dp_topo_link *link = &l->t->links[index];
	const yaml_node_t *value = dp_loader_find(l, l->link_at[index], "trusted");
	struct dp_path top = {NULL, "links", 0}, item = {&top, NULL, index};
	struct dp_path at = {&item, "trusted", 0};
	dp_loader_error(l, &at, value ? value : l->link_at[index],
		"%s, but links[%u] is %s; expected the same on all links into node \"%s\", "
		"which has one listening address",
		link->trusted ? "true" : "false", first, link->trusted ? "false" : "true",
		l->t->nodes[node].name);
}

/* A listening address either asks for CURVE or does not; it cannot do both. */
static void check_trust(struct dp_loader *l, unsigned node)
{
	unsigned first = DP_UNRESOLVED;
	for (unsigned i = 0; i < l->t->link_count; i++) {
		if (!leads_into(l->t, &l->t->links[i], node))
			continue;
		if (first == DP_UNRESOLVED)
			first = i;
		else if (l->t->links[i].trusted != l->t->links[first].trusted)
			trust_differs(l, i, first, node);
	}
}

void dp_schema_check(struct dp_loader *l)
{
	for (unsigned i = 0; i < l->t->node_count; i++) {
		check_shared(l, i);
		check_former(l, i);
		check_listen(l, i);
		check_trust(l, i);
	}
	for (unsigned i = 0; i < l->t->operator_count; i++)
		check_operator(l, i);
	for (unsigned i = 0; i < l->t->stream_count; i++) {
		check_stream_id(l, i);
		check_volume_count(l, i);
		check_seal(l, i);
	}
	for (unsigned i = 0; i < l->t->volume_count; i++) {
		check_volume_id(l, i);
		check_skip(l, i);
	}
}
