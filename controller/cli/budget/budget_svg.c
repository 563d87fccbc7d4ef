/* SPDX-License-Identifier: MIT */
/* dipole budget: the pictures of its page, as SVG: a map of the sites, and the timeline to scale.
 */
#include <math.h>
#include <stdio.h>

#include "budget/budget_print.h"

#define RADIANS(degrees) ((degrees)*M_PI / 180)
#define LINE_HEIGHT      13.0 /* of a label */
#define WIDTH            900.0

/* ---- the map ---- */

#define MAP_HEIGHT 360.0
#define MAP_MARGIN 40.0 /* for labels */

struct place {
	unsigned site;
	double x, y, label_y;
};

struct map {
	const struct budget_view *v;
	struct place places[DP_SITES_MAX];
	unsigned count;
};

static bool is_used(const struct budget_view *v, unsigned site)
{
	const struct dp_topo_stream *s = budget_stream(v);
	bool used = v->t->nodes[s->controller].site == site;
	for (unsigned i = 0; i < s->leg_count; i++)
		for (unsigned h = 0; h < s->legs[i].hop_count; h++)
			used |= v->t->nodes[s->legs[i].hops[h]].site == site;
	return used && v->t->sites[site].has_position;
}

/* Degrees to a plane in which both directions have one scale, around the middle of the sites. */
static void project(struct map *m)
{
	double south = 90, north = -90, left = INFINITY, right = -INFINITY, top = INFINITY,
	       bottom = -INFINITY;
	for (unsigned i = 0; i < m->count; i++) {
		double latitude = m->v->t->sites[m->places[i].site].latitude;
		south = fmin(south, latitude);
		north = fmax(north, latitude);
	}
	for (unsigned i = 0; i < m->count; i++) {
		struct place *p = &m->places[i];
		const struct dp_site *s = &m->v->t->sites[p->site];
		p->x = s->longitude * cos(RADIANS((south + north) / 2));
		p->y = -s->latitude;
		left = fmin(left, p->x);
		right = fmax(right, p->x);
		top = fmin(top, p->y);
		bottom = fmax(bottom, p->y);
	}
	double scale = fmin((WIDTH - 2 * MAP_MARGIN) / fmax(right - left, 1e-6),
		(MAP_HEIGHT - 2 * MAP_MARGIN) / fmax(bottom - top, 1e-6));
	for (unsigned i = 0; i < m->count; i++) {
		struct place *p = &m->places[i];
		p->x = WIDTH / 2 + (p->x - (left + right) / 2) * scale;
		p->y = MAP_HEIGHT / 2 + (p->y - (top + bottom) / 2) * scale;
	}
}

static bool meets(const struct place *a, const struct place *b)
{
	return fabs(a->x - b->x) < 150 && fabs(a->label_y - b->label_y) < LINE_HEIGHT;
}

/* Labels of sites that stand close together move down, one below the other. */
static void place_labels(struct map *m)
{
	for (unsigned i = 0; i < m->count; i++) {
		m->places[i].label_y = m->places[i].y - 10;
		for (unsigned k = 0; k < i; k++)
			if (meets(&m->places[i], &m->places[k])) {
				m->places[i].label_y = fmax(m->places[k].label_y, m->places[i].y) +
					LINE_HEIGHT + 5;
				k = (unsigned)-1; /* once more against all */
			}
	}
}

static const struct place *place_of(const struct map *m, unsigned node)
{
	for (unsigned i = 0; i < m->count; i++)
		if (m->places[i].site == m->v->t->nodes[node].site)
			return &m->places[i];
	return NULL;
}

static void draw_way(const struct map *m, unsigned leg)
{
	const struct dp_topo_stream *s = budget_stream(m->v);
	const struct place *from = place_of(m, s->controller);
	for (unsigned h = 0; h < s->legs[leg].hop_count; h++) {
		const struct place *to = place_of(m, s->legs[leg].hops[h]);
		if (from && to && from != to)
			printf("<line class=\"way leg%u\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
				leg % 4, from->x, from->y, to->x, to->y);
		from = to ? to : from;
	}
}

void budget_svg_map(const struct budget_view *v)
{
	struct map m = {.v = v};
	for (unsigned i = 0; i < v->t->site_count; i++)
		if (is_used(v, i))
			m.places[m.count++].site = i;
	if (m.count < 2) {
		puts("<p>The sites have no positions (<code>at</code>), so there is no map.</p>");
		return;
	}
	project(&m);
	place_labels(&m);
	printf("<svg class=\"map\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"map of the sites\">\n",
		WIDTH, MAP_HEIGHT);
	for (unsigned i = 0; i < budget_stream(v)->leg_count; i++)
		draw_way(&m, i);
	const struct place *home = place_of(&m, budget_stream(v)->controller);
	for (unsigned i = 0; i < m.count; i++) {
		const struct place *p = &m.places[i];
		printf("<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"6\"/>",
			p == home ? "home" : "site", p->x, p->y);
		printf("<text class=\"name\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%s</text>\n",
			p->x, p->label_y, v->t->sites[p->site].name);
	}
	puts("</svg>");
}

/* ---- the timeline ---- */

#define HEAD_HEIGHT 40.0
#define BODY_HEIGHT 620.0
#define COLUMNS_MAX (2 + DP_LEGS_MAX * DP_HOPS_MAX)

struct column {
	unsigned leg, hop; /* of a leg's node */
	const char *name;
	double x, left_y, right_y; /* where the last label beside it stands */
};

struct chart {
	const struct budget_view *v;
	struct column columns[COLUMNS_MAX];
	unsigned count, host, controller;
	double last_us;
};

static unsigned add_column(struct chart *c, unsigned node, unsigned leg, unsigned hop)
{
	c->columns[c->count] = (struct column){
		.leg = leg, .hop = hop, .name = budget_name(c->v, node), .left_y = 0, .right_y = 0};
	return c->count++;
}

/* The first leg goes to the left, as a pole opposite of the others. */
static void place_columns(struct chart *c)
{
	const struct dp_topo_stream *s = budget_stream(c->v);
	bool two_sided = s->leg_count > 1;
	for (unsigned h = s->legs[0].hop_count; two_sided && h-- > 0;)
		add_column(c, s->legs[0].hops[h], 0, h);
	if (!two_sided)
		c->host = add_column(c, DP_BUDGET_HOST, UINT32_MAX, 0);
	c->controller = add_column(c, s->controller, UINT32_MAX, 0);
	if (two_sided)
		c->host = add_column(c, DP_BUDGET_HOST, UINT32_MAX, 0);
	for (unsigned leg = two_sided ? 1 : 0; leg < s->leg_count; leg++)
		for (unsigned h = 0; h < s->legs[leg].hop_count; h++)
			add_column(c, s->legs[leg].hops[h], leg, h);
	for (unsigned i = 0; i < c->count; i++)
		c->columns[i].x = WIDTH * (i + 0.5) / c->count;
}

static struct column *column_of(struct chart *c, unsigned leg, unsigned hop)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->columns[i].leg == leg && c->columns[i].hop == hop)
			return &c->columns[i];
	return &c->columns[c->controller];
}

static double y_of(const struct chart *c, double us)
{
	return HEAD_HEIGHT + 10 + us / c->last_us * BODY_HEIGHT;
}

/* The time beside the end of an arrow, on the side that it does not come from; below the last one
 * there if it would cover that. */
static void draw_time(const struct chart *c, struct column *at, bool from_left, double us)
{
	double *last = from_left ? &at->right_y : &at->left_y;
	double y = fmax(y_of(c, us) + 4, *last + LINE_HEIGHT);
	*last = y;
	printf("<text class=\"time\" text-anchor=\"%s\" x=\"%.1f\" y=\"%.1f\">%.0f</text>\n",
		from_left ? "start" : "end", at->x + (from_left ? 5 : -5), y, us);
}

static void draw_arrow(const struct chart *c, struct column *from, double from_us,
	struct column *to, double to_us, const char *class)
{
	printf("<line class=\"%s\" marker-end=\"url(#end)\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
		class, from->x, y_of(c, from_us), to->x, y_of(c, to_us));
	draw_time(c, to, from->x < to->x, to_us);
}

static void draw_out(struct chart *c, unsigned leg)
{
	const struct dp_budget_leg *l = &c->v->b->legs[leg];
	struct column *from = &c->columns[c->controller];
	for (unsigned h = 0; h < budget_stream(c->v)->legs[leg].hop_count; h++) {
		struct column *to = column_of(c, leg, h);
		const struct dp_budget_hop *hop = &l->hops[h];
		draw_arrow(c, from, hop->received_us - hop->one_way_us, to, hop->received_us,
			"write");
		from = to;
	}
}

/* What comes back: "cached" by the first node, which is what a host waits for, and "committed" from
 * the mirror, node by node. */
static void draw_back(struct chart *c, unsigned leg)
{
	const struct dp_budget_leg *l = &c->v->b->legs[leg];
	unsigned hops = budget_stream(c->v)->legs[leg].hop_count;
	struct column *controller = &c->columns[c->controller];
	const struct dp_budget_hop *first = &l->hops[0];
	if (hops > 1)
		draw_arrow(c, column_of(c, leg, 0), first->cached_us, controller,
			first->cached_us + first->propagation_us, "cached");
	double us = l->hops[hops - 1].cached_us;
	for (unsigned h = hops; h-- > 0;) {
		struct column *to = h ? column_of(c, leg, h - 1) : controller;
		double arrives = us + l->hops[h].propagation_us;
		draw_arrow(c, column_of(c, leg, h), us, to, arrives, "committed");
		us = arrives + c->v->costs.work_us;
		if (h)
			us = fmax(us, l->hops[h - 1].cached_us);
	}
}

static void draw_columns(const struct chart *c)
{
	for (unsigned i = 0; i < c->count; i++) {
		const struct column *at = &c->columns[i];
		printf("<text class=\"name\" text-anchor=\"middle\" x=\"%.1f\" y=\"%.1f\">%s</text>"
		       "<line class=\"life\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>\n",
			at->x, i % 2 && c->count > 8 ? 32.0 : 16.0, at->name, at->x, HEAD_HEIGHT,
			at->x, HEAD_HEIGHT + BODY_HEIGHT + 30);
	}
}

void budget_svg_timeline(const struct budget_view *v)
{
	struct chart c = {.v = v, .last_us = fmax(v->b->ack_us, v->b->controller_released_us)};
	for (unsigned i = 0; i < budget_stream(v)->leg_count; i++)
		c.last_us = fmax(c.last_us, v->b->legs[i].committed_us);
	place_columns(&c);
	printf("<svg class=\"timeline\" viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"timeline of a write\">\n"
	       "<defs><marker id=\"end\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" "
	       "markerHeight=\"7\" orient=\"auto\"><path d=\"M0,0 L8,4 L0,8 z\" fill=\"context-stroke\"/></marker>"
	       "</defs>\n",
		WIDTH, HEAD_HEIGHT + BODY_HEIGHT + 40);
	draw_columns(&c);
	struct column *host = &c.columns[c.host], *controller = &c.columns[c.controller];
	draw_arrow(&c, host, 0, controller, 0, "write");
	for (unsigned i = 0; i < budget_stream(v)->leg_count; i++)
		draw_out(&c, i);
	for (unsigned i = 0; i < budget_stream(v)->leg_count; i++)
		draw_back(&c, i);
	draw_arrow(&c, controller, v->b->ack_us - v->costs.work_us, host, v->b->ack_us, "answer");
	puts("</svg>");
}
