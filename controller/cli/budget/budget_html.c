/* SPDX-License-Identifier: MIT */
/* dipole budget: one page that needs nothing else, for the screen and for paper. */
#include <math.h>
#include <stdio.h>

#include "base/units.h"
#include "budget/budget_print.h"

static const char style[] =
	"body{font:15px/1.45 system-ui,'DejaVu Sans',sans-serif;color:#1b1f24;max-width:60rem;margin:0 auto;"
	"padding:1rem}"
	"h1{font-size:1.5rem}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #d0d7de}"
	".answer{font-size:1.15rem}.scroll{overflow-x:auto}"
	"table{border-collapse:collapse}th,td{padding:.2rem .7rem;text-align:right;white-space:nowrap}"
	"th{border-bottom:1px solid #57606a;font-weight:600}td:first-child,th:first-child,.text{text-align:left}"
	"tr:nth-child(even) td{background:#f6f8fa}.no{color:#b35900;font-weight:600}"
	"svg{width:100%;height:auto;display:block}svg text{font-size:12px;fill:#1b1f24}"
	"svg text{paint-order:stroke;stroke:#fff;stroke-width:4px}svg .name{font-weight:600}"
	"svg .time{font-size:11px;fill:#57606a}"
	".life{stroke:#d0d7de;stroke-width:1.5}.write,.cached,.committed{stroke-width:1.5;fill:none}"
	".write{stroke:#0550ae}.cached{stroke:#1a7f37}.committed{stroke:#57606a;stroke-dasharray:5 3}"
	"line.answer{stroke:#cf222e;stroke-width:2.5}"
	".way{stroke-width:2.5}.leg0{stroke:#0550ae}.leg1{stroke:#1a7f37}.leg2{stroke:#8250df}.leg3{stroke:#bf8700}"
	".site{fill:#fff;stroke:#1b1f24;stroke-width:2}.home{fill:#cf222e;stroke:#1b1f24;stroke-width:2}"
	".key span{display:inline-block;width:2.2rem;border-top:2px solid;margin:0 .4rem .25rem 1rem}"
	"@media print{body{font-size:10pt;max-width:none;padding:0}section{break-inside:avoid}}"
	"@media(max-width:40rem){.scroll svg{min-width:42rem}}";

/* ---- parts ---- */

static void head(const char *headings)
{
	printf("<div class=\"scroll\"><table>\n<tr>%s</tr>\n", headings);
}

static void tail(void)
{
	puts("</table></div>");
}

static void text(const char *value)
{
	printf("<td class=\"text\">%s</td>",
		value); /* names of a topology have no special characters */
}

static void number(const char *format, double value)
{
	fputs("<td>", stdout);
	printf(format, value);
	fputs("</td>", stdout);
}

static void bytes(double value)
{
	bool small = value < (double)DP_MIB;
	number(small ? "%.1f KiB" : "%.1f MiB", value / (double)(small ? DP_KIB : DP_MIB));
}

static void yes_or_no(bool yes)
{
	printf("<td class=\"text%s\">%s</td>", yes ? "" : " no", yes ? "yes" : "NO");
}

/* ---- sections ---- */

static void print_answer(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	const struct dp_budget *b = v->b;
	printf("<p class=\"answer\">A write is answered after <b>%.0f us</b> (ack: %s, %u of %u legs), a flush "
	       "after <b>%.0f us</b> (%s).</p>\n",
		b->ack_us, dp_stage_name(s->ack_stage), s->ack_legs, s->leg_count, b->flush_us,
		dp_stage_name(s->flush));
	printf("<p>By policy: local %.0f us, cached %.0f us, committed %.0f us.", b->local_us,
		b->cached_us, b->committed_us);
	struct dp_opposition o;
	if (dp_topology_opposition(v->t, v->stream, &o))
		printf(" The poles stand %.0f km (%.0f miles) apart, %s.", o.separation_m / 1000,
			o.separation_m / DP_METRES_A_MILE,
			o.opposed
				? "farther than each is from the controller"
				: "<span class=\"no\">not farther than each is from the controller</span>");
	if (b->one_sided_m >= 0 && s->ack_stage != DP_STAGE_LOCAL)
		printf(" One mirror without relays that answers as quickly stands at most %.0f km (%.0f miles) away.",
			b->one_sided_m / 1000, b->one_sided_m / DP_METRES_A_MILE);
	if (v->then)
		printf(" With %s a write is answered after <b>%.0f us</b>, a flush after <b>%.0f us</b>.",
			v->change, v->then->ack_us, v->then->flush_us);
	if (v->budget_us)
		printf(" A budget of %llu us is %s.", (unsigned long long)v->budget_us,
			b->ack_us <= (double)v->budget_us ? "kept"
							  : "<span class=\"no\">exceeded</span>");
	puts("</p>");
	printf("<p>Assumed: %llu bytes of data a write, %.3g us a km (%.3g us a mile), route factor %.3g, %.4g us of "
	       "work at each node, %.4g us for a durable write, %.4g us for encryption; links and disks idle.</p>\n",
		(unsigned long long)v->data_bytes, v->costs.us_per_metre * 1000,
		v->costs.us_per_metre * DP_METRES_A_MILE, v->costs.route_factor, v->costs.work_us,
		v->costs.commit_us, v->costs.crypt_us);
}

static void print_pictures(const struct budget_view *v)
{
	puts("<section><h2>Sites</h2><div class=\"scroll\">");
	budget_svg_map(v);
	puts("</div></section><section><h2>One write</h2>"
	     "<p class=\"key\"><span style=\"color:#0550ae\"></span>the write goes out"
	     "<span style=\"color:#1a7f37\"></span>cached at the first node"
	     "<span style=\"color:#57606a;border-top-style:dashed\"></span>committed at the mirror"
	     "<span style=\"color:#cf222e\"></span>the answer to the host</p>"
	     "<p>Downwards: time, to scale, in microseconds.</p><div class=\"scroll\">");
	budget_svg_timeline(v);
	puts("</div></section>");
}

static void print_legs(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	puts("<section><h2>Legs</h2>");
	head("<th>leg<th>km<th>miles<th>cached, us<th>committed, us<th>round trip, us<th>without relays, us");
	for (unsigned i = 0; i < s->leg_count; i++) {
		const struct dp_budget_leg *l = &v->b->legs[i];
		fputs("<tr>", stdout);
		text(s->legs[i].name);
		number("%.1f", l->distance_m / 1000);
		number("%.1f", l->distance_m / DP_METRES_A_MILE);
		number("%.0f", l->cached_us);
		number("%.0f", l->committed_us);
		number("%.0f", l->round_trip_us);
		number("%.0f", l->direct_us);
		puts("</tr>");
	}
	tail();
	puts("</section>");
}

static void link_row(const struct budget_view *v, unsigned from, const struct dp_budget_hop *h)
{
	fputs("<tr>", stdout);
	text(budget_name(v, from));
	text(budget_name(v, h->node));
	number("%.1f", h->distance_m / 1000);
	number("%.0f", h->one_way_us);
	bool limited = budget_is_limited(v, h);
	if (limited)
		number("%.1f MiB/s", budget_data_rate(v, h) / (double)DP_MIB);
	else
		fputs("<td>no limit known</td>", stdout);
	yes_or_no(!limited || budget_data_rate(v, h) >= (double)v->rate_bytes);
	puts("</tr>");
}

static void print_links(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	printf("<section><h2>Links, for %.1f MiB/s of writes</h2>\n",
		(double)v->rate_bytes / (double)DP_MIB);
	head("<th>from<th class=\"text\">to<th>km<th>one way, us<th>carries<th class=\"text\">enough");
	for (unsigned i = 0; i < s->leg_count; i++) {
		unsigned from = s->controller;
		for (unsigned h = 0; h < s->legs[i].hop_count; h++) {
			link_row(v, from, &v->b->legs[i].hops[h]);
			from = s->legs[i].hops[h];
		}
	}
	tail();
	puts("</section>");
}

static void journal_row(const struct budget_view *v, unsigned node, double held_us)
{
	fputs("<tr>", stdout);
	text(budget_name(v, node));
	bytes((double)budget_journal(v, node));
	number("%.0f", held_us);
	bytes(budget_held_bytes(v, held_us));
	number("%.0f s", budget_lasts_s(v, node));
	yes_or_no((double)budget_journal(v, node) >= budget_outage_bytes(v));
	puts("</tr>");
}

/* Of the controller and the relays: at a mirror nothing waits for anybody. */
static void print_journals(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	printf("<section><h2>Journals</h2><p>An outage of %.0f s fills %.0f MiB of each journal that waits.</p>\n",
		(double)v->outage_us / 1e6, ceil(budget_outage_bytes(v) / (double)DP_MIB));
	head("<th>node<th>journal<th>held, us<th>held<th>lasts<th class=\"text\">enough");
	journal_row(v, s->controller, v->b->controller_released_us - v->costs.work_us);
	for (unsigned i = 0; i < s->leg_count; i++)
		for (unsigned h = 0; h + 1 < s->legs[i].hop_count; h++) {
			const struct dp_budget_hop *hop = &v->b->legs[i].hops[h];
			journal_row(v, hop->node, hop->released_us - hop->received_us);
		}
	tail();
	puts("</section>");
}

static void print_events(const struct budget_view *v)
{
	puts("<section><h2>Events</h2>");
	head("<th>us<th class=\"text\">at<th class=\"text\">what");
	for (unsigned i = 0; i < v->b->event_count; i++) {
		const struct dp_budget_event *e = &v->b->events[i];
		printf("<tr><td>%.0f</td>", e->us);
		text(budget_name(v, e->at));
		text(e->text);
		puts("</tr>");
	}
	tail();
	puts("</section>");
}

void budget_html(const struct budget_view *v)
{
	const char *name = v->t->name, *stream = budget_stream(v)->name;
	printf("<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
	       "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
	       "<title>Latency budget of %s, stream %s</title>\n<style>%s</style></head><body>\n"
	       "<h1>Latency budget of %s, stream %s</h1>\n",
		name, stream, style, name, stream);
	print_answer(v);
	print_pictures(v);
	print_legs(v);
	print_links(v);
	print_journals(v);
	print_events(v);
	puts("</body></html>");
}
