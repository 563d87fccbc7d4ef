/* SPDX-License-Identifier: MIT */
#include "lab/wan.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static bool is_same(const struct wan_shape *a, const struct wan_shape *b)
{
	return a->delay_ns == b->delay_ns && a->bits == b->bits;
}

static void add(struct wan *w, unsigned from, unsigned to, const struct wan_shape *shape)
{
	struct wan_cable *c = &w->cables[w->count++];
	*c = (struct wan_cable){.from = from, .to = to, .built = *shape, .now = *shape};
	c->end = &c->first;
}

static int add_link(struct wan *w, const struct dp_topology *t, const struct dp_topo_link *link,
	const struct dp_budget_costs *costs)
{
	unsigned a = t->nodes[link->a].site, b = t->nodes[link->b].site;
	if (a == b)
		return 0; /* its nodes talk over the site's own loopback */
	double delay_us = dp_budget_propagation_us(link, costs);
	if (delay_us < 0)
		return DP_EINVAL;
	struct wan_shape shape = {
		.delay_ns = (uint64_t)(delay_us * 1000), .bits = link->bandwidth_bits};
	const struct wan_cable *there = wan_find(w, a, b);
	if (there)
		return is_same(&there->built, &shape) ? 0 : DP_EINVAL;
	add(w, a, b, &shape);
	add(w, b, a, &shape);
	return 0;
}

int wan_init(struct wan *w, const struct dp_topology *t, const struct dp_budget_costs *costs,
	unsigned *link)
{
	*w = (struct wan){.random = 0x9e3779b97f4a7c15};
	for (*link = 0; *link < t->link_count; ++*link) {
		int err = add_link(w, t, &t->links[*link], costs);
		if (err)
			return err;
	}
	return 0;
}

struct wan_cable *wan_find(struct wan *w, unsigned from, unsigned to)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->cables[i].from == from && w->cables[i].to == to)
			return &w->cables[i];
	return NULL;
}

static struct wan_packet *take_first(struct wan *w, struct wan_cable *c)
{
	struct wan_packet *p = c->first;
	c->first = p->next;
	if (!c->first)
		c->end = &c->first;
	w->under_way -= p->size;
	return p;
}

static void empty(struct wan *w, struct wan_cable *c)
{
	for (; c->first; c->lost++)
		free(take_first(w, c));
}

void wan_clear(struct wan *w)
{
	for (unsigned i = 0; i < w->count; i++)
		empty(w, &w->cables[i]);
}

/* xorshift64*, 0..1: which packets are lost is the same in each run. */
static double draw(struct wan *w)
{
	w->random ^= w->random >> 12;
	w->random ^= w->random << 25;
	w->random ^= w->random >> 27;
	return (double)((w->random * 0x2545f4914f6cdd1d) >> 11) / (double)(1ull << 53);
}

void wan_take(struct wan *w, struct wan_cable *c, uint64_t now_ns, const void *bytes, size_t size)
{
	if (c->now.cut || (c->now.loss > 0 && draw(w) < c->now.loss)) {
		c->lost++;
		return;
	}
	uint64_t begin_ns = c->free_ns > now_ns ? c->free_ns : now_ns;
	bool full = begin_ns - now_ns > WAN_QUEUE_NS || w->under_way + size > WAN_BYTES_MAX;
	struct wan_packet *p = full ? NULL : malloc(sizeof *p + size);
	if (!p) {
		c->overflowed++;
		return;
	}
	c->free_ns = begin_ns +
		(c->now.bits ? (uint64_t)(8e9 * (double)size / (double)c->now.bits) : 0);
	uint64_t due_ns = c->free_ns + c->now.delay_ns;
	*p = (struct wan_packet){.due_ns = due_ns > c->last_due_ns ? due_ns : c->last_due_ns,
		.to = c->to,
		.size = size};
	c->last_due_ns = p->due_ns;
	memcpy(p->bytes, bytes, size);
	w->under_way += size;
	*c->end = p;
	c->end = &p->next;
}

static struct wan_cable *next(const struct wan *w)
{
	const struct wan_cable *found = NULL;
	for (unsigned i = 0; i < w->count; i++) {
		const struct wan_cable *c = &w->cables[i];
		if (c->first && (!found || c->first->due_ns < found->first->due_ns))
			found = c;
	}
	return (struct wan_cable *)(uintptr_t)found;
}

uint64_t wan_next_ns(const struct wan *w)
{
	const struct wan_cable *c = next(w);
	return c ? c->first->due_ns : WAN_NEVER;
}

uint64_t wan_slack_ns(const struct wan *w)
{
	uint64_t least = WAN_SLACK_NS;
	bool any = false;
	for (unsigned i = 0; i < w->count; i++) {
		const struct wan_cable *c = &w->cables[i];
		if (!c->first)
			continue;
		any = true;
		if (c->now.delay_ns / 16 < least)
			least = c->now.delay_ns / 16;
	}
	return any ? least : 0;
}

struct wan_packet *wan_arrived(struct wan *w, uint64_t now_ns)
{
	struct wan_cable *c = next(w);
	if (!c || c->first->due_ns > now_ns)
		return NULL;
	c->packets++;
	c->bytes += c->first->size;
	return take_first(w, c);
}

void wan_reshape(struct wan *w, struct wan_cable *c, const struct wan_shape *shape)
{
	c->now = *shape;
	if (shape->cut)
		empty(w, c);
}
