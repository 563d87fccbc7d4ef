/* SPDX-License-Identifier: MIT */
/* Which nodes a change concerns: those for which it makes another configuration (node_config.c). */
#include "topology/change_rules.h"

#include <string.h>

const char *dp_change_whom_text(enum dp_change_whom whom)
{
	static const char *const texts[] = {
		[DP_WHOM_NOBODY] = "",
		[DP_WHOM_ITSELF] = "the node",
		[DP_WHOM_SENDERS] = "nodes that send to it",
		[DP_WHOM_NEIGHBOURS] = "its neighbours over links that are not trusted",
		[DP_WHOM_NEAR] = "it and nodes that send to it",
		[DP_WHOM_OPENERS] = "nodes that open its sealed streams",
		[DP_WHOM_SENDER] = "its sender",
		[DP_WHOM_ENDS] = "both ends",
		[DP_WHOM_SPREAD] = "its sender",
		[DP_WHOM_READERS] = "controllers",
		[DP_WHOM_STREAM] = "all nodes of the stream",
		[DP_WHOM_CONTROLLER] = "its controller",
		[DP_WHOM_PLACES] = "nodes of the stream that send, take, read or open otherwise",
		[DP_WHOM_ORDER] = "nodes that have them in another order",
		[DP_WHOM_ALL] = "all nodes",
	};
	return texts[whom];
}

/* ---- of one topology ---- */

static bool sends_any(const struct dp_topology *t, unsigned from, unsigned to)
{
	for (unsigned i = 0; i < t->stream_count; i++)
		if (dp_topology_sends(&t->streams[i], from, to))
			return true;
	return false;
}

static bool is_neighbour(const struct dp_topology *t, unsigned node, unsigned me)
{
	const struct dp_topo_link *link = dp_topology_link(t, node, me);
	return link && !link->trusted && (sends_any(t, me, node) || sends_any(t, node, me));
}

static bool sends_over(const struct dp_topology *t, const struct dp_topo_link *link, unsigned me)
{
	return (link->a == me && sends_any(t, link->a, link->b)) ||
		(link->b == me && sends_any(t, link->b, link->a));
}

static bool is_end(const struct dp_topology *t, const struct dp_topo_link *link, unsigned me)
{
	return (link->a == me || link->b == me) &&
		(sends_any(t, link->a, link->b) || sends_any(t, link->b, link->a));
}

static bool concerns_at(enum dp_change_whom whom, const struct dp_change_side *s, unsigned me)
{
	const struct dp_topo_node *node = s->object;
	switch (whom) {
	case DP_WHOM_ITSELF:
		return node == &s->t->nodes[me];
	case DP_WHOM_SENDERS:
		return sends_any(s->t, me, (unsigned)(node - s->t->nodes));
	case DP_WHOM_NEIGHBOURS:
		return is_neighbour(s->t, (unsigned)(node - s->t->nodes), me);
	case DP_WHOM_SENDER:
		return sends_over(s->t, s->object, me);
	case DP_WHOM_ENDS:
		return is_end(s->t, s->object, me);
	case DP_WHOM_STREAM:
		return dp_topology_uses(s->stream, me);
	case DP_WHOM_CONTROLLER:
		return s->stream->controller == me;
	default:
		return whom == DP_WHOM_ALL;
	}
}

/* ---- of both ---- */

/* A node that both topologies have, and what it is in each. */
struct both {
	const struct dp_topology *before, *after;
	unsigned me_before, me_after;
};

static const struct dp_topo_stream *stream_after(const struct both *b,
	const struct dp_topo_stream *s)
{
	int i = dp_topology_stream(b->after, s->name);
	return i < 0 ? NULL : &b->after->streams[i];
}

static bool is_near(const struct dp_topology *t, unsigned a, unsigned b)
{
	return t->nodes[a].site == t->nodes[b].site;
}

static bool nearness_of(const struct both *b, unsigned peer)
{
	int other = dp_topology_node(b->after, b->before->nodes[peer].name);
	return other >= 0 &&
		is_near(b->before, b->me_before, peer) !=
		is_near(b->after, b->me_after, (unsigned)other) &&
		sends_any(b->before, b->me_before, peer) &&
		sends_any(b->after, b->me_after, (unsigned)other);
}

/* The node that has moved is this one, or one that it sends to. */
static bool nearness_differs(const struct both *b, const struct dp_topo_node *moved)
{
	unsigned index = (unsigned)(moved - b->before->nodes);
	if (index != b->me_before)
		return nearness_of(b, index);
	for (unsigned i = 0; i < b->before->node_count; i++)
		if (nearness_of(b, i))
			return true;
	return false;
}

static bool same_keys(const struct dp_topo_node *a, const struct dp_topo_node *b)
{
	return strcmp(a->key, b->key) == 0 && strcmp(a->former_key, b->former_key) == 0;
}

static bool opens_stream(const struct dp_topology *t, const struct dp_topo_stream *s, unsigned me)
{
	return s->seal != DP_SEAL_NONE && t->nodes[me].role != DP_ROLE_RELAY &&
		dp_topology_uses(s, me);
}

static bool holders_differ(const struct both *b, const struct dp_topo_stream *s)
{
	const struct dp_topo_stream *next = stream_after(b, s);
	unsigned was[DP_SEAL_HOLDERS_MAX + 1], is[DP_SEAL_HOLDERS_MAX + 1];
	if (!next || !opens_stream(b->before, s, b->me_before) ||
		!opens_stream(b->after, next, b->me_after))
		return false;
	unsigned count = dp_topology_holders(b->before, (unsigned)(s - b->before->streams), was);
	bool same = count ==
		dp_topology_holders(b->after, (unsigned)(next - b->after->streams), is);
	for (unsigned i = 0; same && i < count; i++)
		same = same_keys(&b->before->nodes[was[i]], &b->after->nodes[is[i]]);
	return !same;
}

static bool opens_otherwise(const struct both *b)
{
	for (unsigned i = 0; i < b->before->stream_count; i++)
		if (holders_differ(b, &b->before->streams[i]))
			return true;
	return false;
}

/* A stream that goes over the link in both has another connection of it. */
static bool spreads_otherwise(const struct both *b, const struct dp_topo_link *was,
	const struct dp_topo_link *is)
{
	unsigned to_before = was->a == b->me_before ? was->b : was->a,
		 to_after = is->a == b->me_after ? is->b : is->a;
	if (!sends_over(b->before, was, b->me_before) || !sends_over(b->after, is, b->me_after))
		return false;
	for (unsigned i = 0; i < b->before->stream_count; i++) {
		const struct dp_topo_stream *s = &b->before->streams[i], *next = stream_after(b, s);
		if (next && dp_topology_sends(s, b->me_before, to_before) &&
			dp_topology_sends(next, b->me_after, to_after) &&
			dp_topology_connection(b->before, i, b->me_before, to_before) !=
				dp_topology_connection(b->after,
					(unsigned)(next - b->after->streams), b->me_after,
					to_after))
			return true;
	}
	return false;
}

static bool read_order_differs(const struct both *b, const struct dp_topo_stream *s)
{
	const struct dp_topo_stream *next = stream_after(b, s);
	uint8_t was[DP_LEGS_MAX], is[DP_LEGS_MAX];
	if (!next || s->controller != b->me_before || next->controller != b->me_after)
		return false;
	dp_topology_read_order(b->before, s, was);
	dp_topology_read_order(b->after, next, is);
	return s->leg_count != next->leg_count || memcmp(was, is, s->leg_count) != 0;
}

static bool goes_over(const struct dp_topo_stream *s, const struct dp_topo_link *link)
{
	return dp_topology_sends(s, link->a, link->b) || dp_topology_sends(s, link->b, link->a);
}

/* Only streams that go over the link may have another order by its distance. */
static bool reads_otherwise(const struct both *b, const struct dp_topo_link *link)
{
	for (unsigned i = 0; i < b->before->stream_count; i++) {
		const struct dp_topo_stream *s = &b->before->streams[i];
		if (s->controller == b->me_before && goes_over(s, link) && read_order_differs(b, s))
			return true;
	}
	return false;
}

/* ---- the place of a node in a stream: from whom it takes, and to whom it sends ---- */

/* Names; NULL where there is none. */
struct place {
	const char *from;
	unsigned count;
	struct {
		const char *to, *leg,
			*mirror; /* mirror: at the controller, which counts legs by it */
	} sends[DP_LEGS_MAX];
};

static const char *name_of_hop(const struct dp_topology *t, const struct dp_topo_leg *leg,
	unsigned hop)
{
	return t->nodes[leg->hops[hop]].name;
}

static void add_place(struct place *p, const struct dp_topology *t, const struct dp_topo_stream *s,
	const struct dp_topo_leg *leg, unsigned me)
{
	unsigned last = leg->hop_count - 1;
	if (s->controller == me) {
		p->sends[p->count].to = name_of_hop(t, leg, 0);
		p->sends[p->count].leg = leg->name;
		p->sends[p->count++].mirror = name_of_hop(t, leg, last);
	}
	for (unsigned hop = 0; hop <= last; hop++) {
		if (leg->hops[hop] != me)
			continue;
		p->from = hop ? name_of_hop(t, leg, hop - 1) : t->nodes[s->controller].name;
		if (hop < last) {
			p->sends[p->count].to = name_of_hop(t, leg, hop + 1);
			p->sends[p->count++].leg = leg->name;
		}
	}
}

static struct place place_in(const struct dp_topology *t, const struct dp_topo_stream *s,
	unsigned me)
{
	struct place p = {.count = 0};
	for (unsigned i = 0; i < s->leg_count; i++)
		add_place(&p, t, s, &s->legs[i], me);
	return p;
}

static bool is_equal(const char *a, const char *b)
{
	return a && b ? strcmp(a, b) == 0 : a == b;
}

static bool place_differs(const struct both *b, const struct dp_topo_stream *s,
	const struct dp_topo_stream *next)
{
	struct place was = place_in(b->before, s, b->me_before),
		     is = place_in(b->after, next, b->me_after);
	bool same = is_equal(was.from, is.from) && was.count == is.count;
	for (unsigned i = 0; same && i < was.count; i++)
		same = is_equal(was.sends[i].to, is.sends[i].to) &&
			is_equal(was.sends[i].leg, is.sends[i].leg) &&
			is_equal(was.sends[i].mirror, is.sends[i].mirror);
	return !same || holders_differ(b, s) || read_order_differs(b, s);
}

/* The streams that the node has in both. */
static bool order_differs(const struct both *b)
{
	int last = -1;
	for (unsigned i = 0; i < b->before->stream_count; i++) {
		const struct dp_topo_stream *s = &b->before->streams[i], *next = stream_after(b, s);
		if (!next || !dp_topology_uses(s, b->me_before) ||
			!dp_topology_uses(next, b->me_after))
			continue;
		int at = (int)(next - b->after->streams);
		if (at < last)
			return true;
		last = at;
	}
	return false;
}

static bool concerns_both(enum dp_change_whom whom, const struct dp_difference *d,
	const struct both *b)
{
	switch (whom) {
	case DP_WHOM_NEAR:
		return nearness_differs(b, d->before.object);
	case DP_WHOM_OPENERS:
		return opens_otherwise(b);
	case DP_WHOM_SPREAD:
		return spreads_otherwise(b, d->before.object, d->after.object);
	case DP_WHOM_READERS:
		return reads_otherwise(b, d->before.object);
	case DP_WHOM_PLACES:
		return place_differs(b, d->before.stream, d->after.stream);
	case DP_WHOM_ORDER:
		return order_differs(b);
	default:
		return false;
	}
}

bool dp_change_concerns(enum dp_change_whom whom, const struct dp_difference *d, int before,
	int after)
{
	struct both b = {d->before.t, d->after.t, (unsigned)before, (unsigned)after};
	if (before >= 0 && d->before.object && concerns_at(whom, &d->before, (unsigned)before))
		return true;
	if (after >= 0 && d->after.object && concerns_at(whom, &d->after, (unsigned)after))
		return true;
	return before >= 0 && after >= 0 && concerns_both(whom, d, &b);
}
