/* SPDX-License-Identifier: MIT */
#include "what_if.h"

#include <string.h>

#include "base/err.h"
#include "base/units.h"
#include "scalars.h"

#define CHANGE_MAX 255

struct change {
	struct dp_topology *t;
	struct dp_topo_stream *s;
	char *why;
	size_t size;
};

static int refuse(const struct change *c, const char *expected, const char *got)
{
	snprintf(c->why, c->size, "%s, not '%s'", expected, got);
	return DP_EINVAL;
}

static struct dp_topo_leg *leg_of(const struct change *c, const char *name)
{
	for (unsigned i = 0; i < c->s->leg_count; i++)
		if (strcmp(c->s->legs[i].name, name) == 0)
			return &c->s->legs[i];
	return NULL;
}

static const struct dp_topo_link *link_of(const struct change *c, unsigned a, unsigned b)
{
	return dp_topology_link(c->t, a, b);
}

static int set_legs(const struct change *c, const char *value)
{
	unsigned n = c->s->leg_count;
	bool good = strcmp(value, "all") == 0 || dp_scalar_count(value, &n);
	if (!good || n > c->s->leg_count)
		return refuse(c, "legs= takes all, or a number up to that of the legs", value);
	c->s->ack_legs = n;
	return 0;
}

static struct dp_topo_link *add_link(const struct change *c, const struct dp_topo_link *like,
	unsigned a, unsigned b)
{
	struct dp_topo_link *link = &c->t->links[c->t->link_count++];
	*link = *like;
	link->a = a;
	link->b = b;
	return link;
}

/* A node that is nowhere else, between the controller and the first of the leg. The two links are
 * as the one was but for their lengths; its round trip is shared out by length. */
static int add_relay(const struct change *c, struct dp_topo_leg *leg, double metres,
	const char *value)
{
	const struct dp_topo_link *whole = link_of(c, c->s->controller, leg->hops[0]);
	if (c->t->node_count == DP_NODES_MAX || c->t->link_count + 2 > DP_LINKS_MAX ||
		leg->hop_count == DP_HOPS_MAX)
		return refuse(c, "relay= needs room for one more node in the topology", value);
	if (metres > whole->distance_m)
		return refuse(c, "relay= takes a distance up to that of the leg's first node",
			value);
	unsigned relay = c->t->node_count++;
	struct dp_topo_node *node = &c->t->nodes[relay];
	*node = c->t->nodes[leg->hops[0]];
	node->role = DP_ROLE_RELAY;
	snprintf(node->name, sizeof node->name, "new-relay");
	struct dp_topo_link *near = add_link(c, whole, c->s->controller, relay);
	struct dp_topo_link *far = add_link(c, whole, relay, leg->hops[0]);
	near->distance_m = metres;
	far->distance_m -= metres;
	if (whole->distance_m > 0)
		near->round_trip_us = (uint64_t)((double)whole->round_trip_us * metres /
			whole->distance_m);
	far->round_trip_us -= near->round_trip_us;
	memmove(leg->hops + 1, leg->hops, leg->hop_count++ * sizeof leg->hops[0]);
	leg->hops[0] = relay;
	return 0;
}

static int set_relay(const struct change *c, char *value)
{
	double metres;
	char *colon = strchr(value, ':');
	if (!colon || !dp_scalar_distance(colon + 1, &metres))
		return refuse(c, "relay= takes LEG:DISTANCE such as east:1mi", value);
	*colon = '\0';
	struct dp_topo_leg *leg = leg_of(c, value);
	return leg ? add_relay(c, leg, metres, colon + 1)
		   : refuse(c, "relay= takes a leg of the stream", value);
}

/* One link, as long as the whole way and as narrow as its narrowest part. */
static int join_links(const struct change *c, const struct dp_topo_leg *leg, unsigned mirror)
{
	struct dp_topo_link way = *link_of(c, c->s->controller, leg->hops[0]);
	for (unsigned i = 1; i < leg->hop_count; i++) {
		const struct dp_topo_link *link = link_of(c, leg->hops[i - 1], leg->hops[i]);
		if (way.distance_m < 0 || link->distance_m < 0 ||
			!way.round_trip_us != !link->round_trip_us)
			return refuse(c,
				"direct= needs the distances of all links, and the round trips of all or none",
				leg->name);
		way.distance_m += link->distance_m;
		way.round_trip_us += link->round_trip_us;
		way.distance_given &= link->distance_given;
		way.trusted &= link->trusted;
		if (link->bandwidth_bits &&
			(!way.bandwidth_bits || link->bandwidth_bits < way.bandwidth_bits))
			way.bandwidth_bits = link->bandwidth_bits;
	}
	if (c->t->link_count == DP_LINKS_MAX)
		return refuse(c, "direct= needs room for one more link in the topology", leg->name);
	add_link(c, &way, c->s->controller, mirror);
	return 0;
}

static int set_direct(const struct change *c, const char *value)
{
	struct dp_topo_leg *leg = leg_of(c, value);
	if (!leg)
		return refuse(c, "direct= takes a leg of the stream", value);
	unsigned mirror = leg->hops[leg->hop_count - 1];
	int err = link_of(c, c->s->controller, mirror) ? 0 : join_links(c, leg, mirror);
	leg->hops[0] = mirror;
	leg->hop_count = 1;
	return err;
}

static int apply(const struct change *c, char *change)
{
	char *value = strchr(change, '=');
	if (!value)
		return refuse(c, "a change is KEY=VALUE", change);
	*value++ = '\0';
	if (strcmp(change, "ack") == 0)
		return dp_scalar_stage(value, &c->s->ack_stage)
			? 0
			: refuse(c, "ack= takes local, cached or committed", value);
	if (strcmp(change, "flush") == 0)
		return dp_scalar_flush(value, &c->s->flush)
			? 0
			: refuse(c, "flush= takes cached or committed", value);
	if (strcmp(change, "legs") == 0)
		return set_legs(c, value);
	if (strcmp(change, "relay") == 0)
		return set_relay(c, value);
	if (strcmp(change, "direct") == 0)
		return set_direct(c, value);
	return refuse(c, "a change is one of ack, legs, flush, relay, direct", change);
}

int dp_what_if(struct dp_topology *t, unsigned stream, const char *changes, char *why, size_t size)
{
	const struct change c = {.t = t, .s = &t->streams[stream], .why = why, .size = size};
	char text[CHANGE_MAX + 1], *rest = text, *change;
	if (strlen(changes) > CHANGE_MAX)
		return refuse(&c, "changes take at most 255 characters", changes);
	strcpy(text, changes);
	while ((change = strsep(&rest, ","))) {
		int err = apply(&c, change);
		if (err)
			return err;
	}
	return 0;
}
