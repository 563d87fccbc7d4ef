/* SPDX-License-Identifier: MIT */
/* dipole budget: its tables. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"
#include "budget/budget_print.h"

#define MI_KM(metres) (metres) / DP_METRES_A_MILE, (metres) / 1000

static void add_us(struct cli_table *table, double us)
{
	cli_table_add(table, "%.0f", us);
}

static void add_bytes(struct cli_table *table, double bytes)
{
	char text[32];
	if (bytes >= (double)DP_MIB)
		cli_table_add(table, "%.1fMiB", bytes / (double)DP_MIB);
	else
		cli_table_add(table, "%s", dp_format_size((uint64_t)bytes, text, sizeof text));
}

static void print_assumptions(const struct budget_view *v)
{
	char size[32];
	printf("assumed: %s of data a write, %.3g us a mile (%.3g us a km), route factor %.3g,\n"
	       "         %.4g us of work at each node, %.4g us for a durable write, %.4g us for "
	       "encryption\n\n",
		dp_format_size(v->data_bytes, size, sizeof size),
		v->costs.us_per_metre * DP_METRES_A_MILE, v->costs.us_per_metre * 1000,
		v->costs.route_factor, v->costs.work_us, v->costs.commit_us, v->costs.crypt_us);
}

static void print_answers(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	const struct dp_budget *b = v->b;
	printf("stream %s: a write is answered after %.0f us (ack %s, %u of %u legs), a flush "
	       "after %.0f us (%s)\n",
		s->name, b->ack_us, dp_stage_name(s->ack_stage), s->ack_legs, s->leg_count,
		b->flush_us, dp_stage_name(s->flush));
	printf("  by policy: local %.0f us, cached %.0f us, committed %.0f us\n\n", b->local_us,
		b->cached_us, b->committed_us);
}

static void print_legs(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	struct cli_table *table = cli_table_new("lrrrrrr",
		"LEG MILES KM CACHED-US COMMITTED-US ROUND-TRIP-US WITHOUT-RELAYS-US");
	for (unsigned i = 0; i < s->leg_count; i++) {
		const struct dp_budget_leg *l = &v->b->legs[i];
		cli_table_add(table, "%s", s->legs[i].name);
		cli_table_add(table, "%.1f", l->distance_m / DP_METRES_A_MILE);
		cli_table_add(table, "%.1f", l->distance_m / 1000);
		add_us(table, l->cached_us);
		add_us(table, l->committed_us);
		add_us(table, l->round_trip_us);
		add_us(table, l->direct_us);
	}
	cli_table_print(&table);
	putchar('\n');
}

static void add_journal(struct cli_table *table, const struct budget_view *v, const char *leg,
	unsigned node, double held_us)
{
	cli_table_add(table, "%s", leg);
	cli_table_add(table, "%s", budget_name(v, node));
	if (held_us > 0) {
		add_us(table, held_us);
		add_bytes(table, budget_held_bytes(v, held_us));
	} else {
		cli_table_add(table, "-");
		cli_table_add(table, "-");
	}
	cli_table_size(table, budget_journal(v, node));
	if (v->t->nodes[node].role == DP_ROLE_MIRROR) { /* nothing waits there for anybody */
		cli_table_add(table, "-");
		cli_table_add(table, "-");
		return;
	}
	cli_table_time(table, (uint64_t)(budget_lasts_s(v, node) * 1e6));
	cli_table_add(table, "%s",
		(double)budget_journal(v, node) >= budget_outage_bytes(v) ? "yes" : "NO");
}

static void print_journals(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	char rate[32], outage[32];
	printf("journals at %s/s of writes; an outage of %s fills ",
		dp_format_size(v->rate_bytes, rate, sizeof rate),
		dp_format_time(v->outage_us, outage, sizeof outage));
	printf("%.0f MiB of each journal that waits\n",
		ceil(budget_outage_bytes(v) / (double)DP_MIB));
	struct cli_table *table = cli_table_new("llrrrrl",
		"LEG NODE HELD-US HELD JOURNAL LASTS ENOUGH");
	add_journal(table, v, "-", s->controller, v->b->controller_released_us - v->costs.work_us);
	for (unsigned i = 0; i < s->leg_count; i++)
		for (unsigned h = 0; h < s->legs[i].hop_count; h++) {
			const struct dp_budget_hop *hop = &v->b->legs[i].hops[h];
			add_journal(table, v, s->legs[i].name, hop->node,
				hop->released_us > 0 ? hop->released_us - hop->received_us : 0);
		}
	cli_table_print(&table);
	putchar('\n');
}

static void add_link(struct cli_table *table, const struct budget_view *v, unsigned from,
	const struct dp_budget_hop *h)
{
	cli_table_add(table, "%s", budget_name(v, from));
	cli_table_add(table, "%s", budget_name(v, h->node));
	cli_table_add(table, "%.1f", h->distance_m / DP_METRES_A_MILE);
	cli_table_add(table, "%.1f", h->distance_m / 1000);
	add_us(table, h->one_way_us);
	bool limited = budget_is_limited(v, h);
	if (limited)
		cli_table_add(table, "%.1fMiB/s", budget_data_rate(v, h) / (double)DP_MIB);
	else
		cli_table_add(table, "-");
	cli_table_add(table, "%s%s",
		!limited || budget_data_rate(v, h) >= (double)v->rate_bytes ? "yes" : "NO",
		!limited                  ? ""
			: h->window_bytes ? ", by its window"
					  : ", by its bandwidth");
}

static void print_links(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	struct cli_table *table = cli_table_new("llrrrrl",
		"FROM TO MILES KM ONE-WAY-US WRITES ENOUGH");
	for (unsigned i = 0; i < s->leg_count; i++) {
		unsigned from = s->controller;
		for (unsigned h = 0; h < s->legs[i].hop_count; h++) {
			add_link(table, v, from, &v->b->legs[i].hops[h]);
			from = s->legs[i].hops[h];
		}
	}
	cli_table_print(&table);
	putchar('\n');
}

static void print_timeline(const struct budget_view *v)
{
	struct cli_table *table = cli_table_new("rll", "US AT WHAT");
	for (unsigned i = 0; i < v->b->event_count; i++) {
		const struct dp_budget_event *e = &v->b->events[i];
		add_us(table, e->us);
		cli_table_add(table, "%s", budget_name(v, e->at));
		cli_table_add(table, "%s", e->text);
	}
	cli_table_print(&table);
}

/* What relays and opposition are good for: against the usual way with the same answer. */
static void print_one_sided(const struct budget_view *v)
{
	struct dp_opposition o;
	double m = v->b->one_sided_m, farthest = 0;
	for (unsigned i = 0; i < budget_stream(v)->leg_count; i++)
		farthest = fmax(farthest, v->b->legs[i].distance_m);
	if (m < 0 || budget_stream(v)->ack_stage == DP_STAGE_LOCAL)
		return;
	printf("one mirror without relays that answers as quickly: at most %.1f miles (%.1f km) away;\n"
	       "  here the farthest copy is %.1f miles (%.1f km) away",
		MI_KM(m), MI_KM(farthest));
	if (dp_topology_opposition(v->t, v->stream, &o))
		printf(", the poles %.1f miles (%.1f km) from each other", MI_KM(o.separation_m));
	puts("\n");
}

static void print_change(const struct budget_view *v)
{
	const struct dp_budget *b = v->b, *then = v->then;
	const struct {
		const char *what;
		double now_us, then_us;
	} rows[] = {
		{"write", b->ack_us, then->ack_us},
		{"flush", b->flush_us, then->flush_us},
		{"local", b->local_us, then->local_us},
		{"cached", b->cached_us, then->cached_us},
		{"committed", b->committed_us, then->committed_us},
	};
	printf("\nwhat if %s:\n", v->change);
	struct cli_table *table = cli_table_new("lrrr", "ANSWER NOW-US THEN-US CHANGE-US");
	for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
		cli_table_add(table, "%s", rows[i].what);
		add_us(table, rows[i].now_us);
		add_us(table, rows[i].then_us);
		cli_table_add(table, "%+.0f", rows[i].then_us - rows[i].now_us);
	}
	cli_table_print(&table);
}

/* The node whose distance counts for the answer. */
static unsigned reached_node(const struct dp_topo_stream *s, unsigned leg)
{
	const struct dp_topo_leg *l = &s->legs[leg];
	return s->ack_stage == DP_STAGE_CACHED ? l->hops[0] : l->hops[l->hop_count - 1];
}

static void print_reach(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	char budget[32];
	printf("\nto be answered within %s, ", dp_format_time(v->budget_us, budget, sizeof budget));
	printf("%s now takes %.0f us (%s):\n", s->name, v->b->ack_us,
		v->b->ack_us <= (double)v->budget_us ? "it fits" : "it does NOT fit");
	for (unsigned i = 0; i < s->leg_count; i++) {
		double m = budget_reach(v, i);
		unsigned node = reached_node(s, i);
		bool is_mirror = v->t->nodes[node].role == DP_ROLE_MIRROR;
		if (m < 0)
			printf("  leg %s: not at any distance\n", s->legs[i].name);
		else if (isinf(m))
			printf("  leg %s: at any distance\n", s->legs[i].name);
		else
			printf("  leg %s: %s at most %.1f miles (%.1f km) away%s\n",
				s->legs[i].name, budget_name(v, node), MI_KM(m),
				is_mirror ? "" : ", its mirror at any distance");
	}
	double m = budget_separation(v);
	if (m >= 0)
		printf("  on opposite sides they are up to %.1f miles (%.1f km) from each other\n",
			MI_KM(m));
}

void budget_print(const struct budget_view *v)
{
	print_answers(v);
	print_assumptions(v);
	print_legs(v);
	print_one_sided(v);
	print_links(v);
	print_journals(v);
	print_timeline(v);
	if (v->budget_us)
		print_reach(v);
	if (v->then)
		print_change(v);
}
