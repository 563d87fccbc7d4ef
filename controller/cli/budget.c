/* dipole budget: what distance costs a stream, before it is deployed. */
#include "budget.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/units.h"
#include "cli.h"

#define MI_KM(metres) (metres) / DP_METRES_A_MILE, (metres) / 1000

#define WORTH_SAYING (10.0 * DP_GIB) /* bytes a second: no link is that fast */

struct question {
	const struct dp_topology *t;
	unsigned stream;
	uint64_t data_bytes, rate_bytes; /* of the host's writes */
	uint64_t outage_us, budget_us;	 /* budget 0: not asked */
	struct dp_budget_costs costs;
	const struct dp_budget *b;
};

static const struct dp_topo_stream *stream_of(const struct question *q)
{
	return &q->t->streams[q->stream];
}

static const char *name_of(const struct question *q, unsigned at)
{
	return at == DP_BUDGET_HOST ? "host" : q->t->nodes[at].name;
}

static uint64_t journal_of(const struct question *q, unsigned node)
{
	const struct dp_topo_stream *s = stream_of(q);
	return node == s->controller ? s->journal_bytes : q->t->nodes[node].journal_bytes;
}

/* Seconds that a journal lasts when nothing leaves it. */
static double lasts_s(const struct question *q, unsigned node)
{
	double each_s = dp_budget_backlog(&q->costs, q->data_bytes, (double)q->rate_bytes, 1);
	return (double)journal_of(q, node) / each_s;
}

static double outage_bytes(const struct question *q)
{
	return dp_budget_backlog(
		&q->costs, q->data_bytes, (double)q->rate_bytes, (double)q->outage_us / 1e6);
}

/* What stands in a node's journal while all goes well. */
static double held_bytes(const struct question *q, double held_us)
{
	return dp_budget_backlog(&q->costs, q->data_bytes, (double)q->rate_bytes, held_us / 1e6);
}

/* Bytes of data a second that a link can carry; 0: no limit. */
static double data_rate(const struct question *q, const struct dp_budget_hop *h)
{
	return h->rate_bytes * (double)q->data_bytes / (double)q->costs.record_bytes;
}

/* ---- text ---- */

/* With its headings, one word each. */
static struct cli_table *table_of(const char *align, const char *headings)
{
	struct cli_table *table = cli_table_new(align);
	while (*headings) {
		int size = (int)strcspn(headings, " ");
		cli_table_add(table, "%.*s", size, headings);
		headings += size + (headings[size] == ' ');
	}
	return table;
}

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

static void print_assumptions(const struct question *q)
{
	char size[32];
	printf("assumed: %s of data a write, %.3g us a mile (%.3g us a km), route factor %.3g,\n"
	       "         %.4g us of work at each node, %.4g us for a durable write, %.4g us for "
	       "encryption\n\n",
		dp_format_size(q->data_bytes, size, sizeof size),
		q->costs.us_per_metre * DP_METRES_A_MILE, q->costs.us_per_metre * 1000,
		q->costs.route_factor, q->costs.work_us, q->costs.commit_us, q->costs.crypt_us);
}

static void print_answers(const struct question *q)
{
	const struct dp_topo_stream *s = stream_of(q);
	const struct dp_budget *b = q->b;
	printf("stream %s: a write is answered after %.0f us (ack %s, %u of %u legs), a flush "
	       "after %.0f us (%s)\n",
		s->name, b->ack_us, dp_stage_name(s->ack_stage), s->ack_legs, s->leg_count,
		b->flush_us, dp_stage_name(s->flush));
	printf("  by policy: local %.0f us, cached %.0f us, committed %.0f us\n\n", b->local_us,
		b->cached_us, b->committed_us);
}

static void print_legs(const struct question *q)
{
	const struct dp_topo_stream *s = stream_of(q);
	struct cli_table *table = table_of(
		"lrrrrrr", "LEG MILES KM CACHED-US COMMITTED-US ROUND-TRIP-US WITHOUT-RELAYS-US");
	for (unsigned i = 0; i < s->leg_count; i++) {
		const struct dp_budget_leg *l = &q->b->legs[i];
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

static void add_journal(struct cli_table *table, const struct question *q, const char *leg,
	unsigned node, double held_us)
{
	cli_table_add(table, "%s", leg);
	cli_table_add(table, "%s", name_of(q, node));
	if (held_us > 0) {
		add_us(table, held_us);
		add_bytes(table, held_bytes(q, held_us));
	} else {
		cli_table_add(table, "-");
		cli_table_add(table, "-");
	}
	cli_table_size(table, journal_of(q, node));
	if (q->t->nodes[node].role == DP_ROLE_MIRROR) { /* nothing waits there for anybody */
		cli_table_add(table, "-");
		cli_table_add(table, "-");
		return;
	}
	cli_table_time(table, (uint64_t)(lasts_s(q, node) * 1e6));
	cli_table_add(table, "%s", (double)journal_of(q, node) >= outage_bytes(q) ? "yes" : "NO");
}

static void print_journals(const struct question *q)
{
	const struct dp_topo_stream *s = stream_of(q);
	char rate[32], outage[32];
	printf("journals at %s/s of writes; an outage of %s fills ",
		dp_format_size(q->rate_bytes, rate, sizeof rate),
		dp_format_time(q->outage_us, outage, sizeof outage));
	printf("%.0f MiB of each journal that waits\n", ceil(outage_bytes(q) / (double)DP_MIB));
	struct cli_table *table = table_of("llrrrrl", "LEG NODE HELD-US HELD JOURNAL LASTS ENOUGH");
	add_journal(table, q, "-", s->controller, q->b->controller_released_us - q->costs.work_us);
	for (unsigned i = 0; i < s->leg_count; i++)
		for (unsigned h = 0; h < s->legs[i].hop_count; h++) {
			const struct dp_budget_hop *hop = &q->b->legs[i].hops[h];
			add_journal(table, q, s->legs[i].name, hop->node,
				hop->released_us > 0 ? hop->released_us - hop->received_us : 0);
		}
	cli_table_print(&table);
	putchar('\n');
}

static void add_link(struct cli_table *table, const struct question *q, unsigned from,
	const struct dp_budget_hop *h)
{
	cli_table_add(table, "%s", name_of(q, from));
	cli_table_add(table, "%s", name_of(q, h->node));
	cli_table_add(table, "%.1f", h->distance_m / DP_METRES_A_MILE);
	cli_table_add(table, "%.1f", h->distance_m / 1000);
	add_us(table, h->one_way_us);
	bool limited = h->rate_bytes > 0 && data_rate(q, h) < WORTH_SAYING;
	if (limited)
		cli_table_add(table, "%.1fMiB/s", data_rate(q, h) / (double)DP_MIB);
	else
		cli_table_add(table, "-");
	cli_table_add(table, "%s%s",
		!limited || data_rate(q, h) >= (double)q->rate_bytes ? "yes" : "NO",
		!limited	  ? ""
		: h->window_bytes ? ", by its window"
				  : ", by its bandwidth");
}

static void print_links(const struct question *q)
{
	const struct dp_topo_stream *s = stream_of(q);
	struct cli_table *table = table_of("llrrrrl", "FROM TO MILES KM ONE-WAY-US WRITES ENOUGH");
	for (unsigned i = 0; i < s->leg_count; i++) {
		unsigned from = s->controller;
		for (unsigned h = 0; h < s->legs[i].hop_count; h++) {
			add_link(table, q, from, &q->b->legs[i].hops[h]);
			from = s->legs[i].hops[h];
		}
	}
	cli_table_print(&table);
	putchar('\n');
}

static void print_timeline(const struct question *q)
{
	struct cli_table *table = table_of("rll", "US AT WHAT");
	for (unsigned i = 0; i < q->b->event_count; i++) {
		const struct dp_budget_event *e = &q->b->events[i];
		add_us(table, e->us);
		cli_table_add(table, "%s", name_of(q, e->at));
		cli_table_add(table, "%s", e->text);
	}
	cli_table_print(&table);
}

static double reach(const struct question *q, unsigned leg)
{
	return dp_budget_reach(q->t, q->stream, leg, &q->costs, (double)q->budget_us);
}

/* The node whose distance counts for the answer. */
static unsigned reached_node(const struct dp_topo_stream *s, unsigned leg)
{
	const struct dp_topo_leg *l = &s->legs[leg];
	return s->ack_stage == DP_STAGE_CACHED ? l->hops[0] : l->hops[l->hop_count - 1];
}

static void print_reach(const struct question *q)
{
	const struct dp_topo_stream *s = stream_of(q);
	char budget[32];
	printf("\nto be answered within %s, ", dp_format_time(q->budget_us, budget, sizeof budget));
	printf("%s now takes %.0f us (%s):\n", s->name, q->b->ack_us,
		q->b->ack_us <= (double)q->budget_us ? "it fits" : "it does NOT fit");
	for (unsigned i = 0; i < s->leg_count; i++) {
		double m = reach(q, i);
		unsigned node = reached_node(s, i);
		bool is_mirror = q->t->nodes[node].role == DP_ROLE_MIRROR;
		if (m < 0)
			printf("  leg %s: not at any distance\n", s->legs[i].name);
		else if (isinf(m))
			printf("  leg %s: at any distance\n", s->legs[i].name);
		else
			printf("  leg %s: %s at most %.1f miles (%.1f km) away%s\n",
				s->legs[i].name, name_of(q, node), MI_KM(m),
				is_mirror ? "" : ", its mirror at any distance");
	}
}

/* ---- JSON ---- */

static json_t *leg_json(const struct question *q, unsigned n)
{
	const struct dp_topo_stream *s = stream_of(q);
	const struct dp_budget_leg *l = &q->b->legs[n];
	json_t *hops = json_array();
	for (unsigned i = 0; i < s->legs[n].hop_count; i++) {
		const struct dp_budget_hop *h = &l->hops[i];
		double held_us = h->released_us > 0 ? h->released_us - h->received_us : 0;
		json_array_append_new(hops,
			json_pack("{s:s,s:f,s:f,s:f,s:f,s:o,s:o,s:o,s:I,s:f}", "node",
				name_of(q, h->node), "distance_m", h->distance_m, "one_way_us",
				h->one_way_us, "received_us", h->received_us, "cached_us",
				h->cached_us, "released_us",
				held_us > 0 ? json_real(h->released_us) : json_null(), "held_bytes",
				held_us > 0 ? json_real(held_bytes(q, held_us)) : json_null(),
				"writes_bytes_per_second",
				h->rate_bytes > 0 ? json_real(data_rate(q, h)) : json_null(),
				"journal_bytes", (json_int_t)journal_of(q, h->node),
				"journal_lasts_seconds", lasts_s(q, h->node)));
	}
	json_t *leg = json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:o}", "name", s->legs[n].name,
		"distance_m", l->distance_m, "cached_us", l->cached_us, "committed_us",
		l->committed_us, "round_trip_us", l->round_trip_us, "without_relays_us",
		l->direct_us, "hops", hops);
	double m = q->budget_us ? reach(q, n) : -1;
	if (q->budget_us)
		json_object_set_new(leg, "reach_m", m < 0 || isinf(m) ? json_null() : json_real(m));
	return leg;
}

static json_t *events_json(const struct question *q)
{
	json_t *events = json_array();
	for (unsigned i = 0; i < q->b->event_count; i++) {
		const struct dp_budget_event *e = &q->b->events[i];
		json_array_append_new(events, json_pack("{s:f,s:s,s:s}", "t_us", e->us, "at",
						      name_of(q, e->at), "what", e->text));
	}
	return events;
}

static json_t *to_json(const struct question *q)
{
	const struct dp_topo_stream *s = stream_of(q);
	const struct dp_budget *b = q->b;
	json_t *legs = json_array();
	for (unsigned i = 0; i < s->leg_count; i++)
		json_array_append_new(legs, leg_json(q, i));
	json_t *out = json_pack("{s:s,s:f,s:f,s:f,s:f,s:f,s:o,s:o}", "stream", s->name, "ack_us",
		b->ack_us, "flush_us", b->flush_us, "local_us", b->local_us, "cached_us",
		b->cached_us, "committed_us", b->committed_us, "legs", legs, "events",
		events_json(q));
	json_object_set_new(out, "outage_bytes", json_real(outage_bytes(q)));
	json_object_set_new(out, "assumed",
		json_pack("{s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:f}", "write_bytes",
			(json_int_t)q->data_bytes, "rate_bytes_per_second",
			(json_int_t)q->rate_bytes, "outage_us", (json_int_t)q->outage_us,
			"us_per_km", q->costs.us_per_metre * 1000, "route_factor",
			q->costs.route_factor, "work_us", q->costs.work_us, "commit_us",
			q->costs.commit_us, "encryption_us", q->costs.crypt_us));
	if (q->budget_us) {
		json_object_set_new(out, "budget_us", json_integer((json_int_t)q->budget_us));
		json_object_set_new(out, "fits", json_boolean(b->ack_us <= (double)q->budget_us));
	}
	return out;
}

static void print_text(const struct question *q)
{
	print_answers(q);
	print_assumptions(q);
	print_legs(q);
	print_links(q);
	print_journals(q);
	print_timeline(q);
	if (q->budget_us)
		print_reach(q);
}

/* ---- the command ---- */

static void want_size(
	const struct cli_command *self, const char *option, const char *text, uint64_t *out)
{
	if (text && (dp_parse_size(text, out) || !*out))
		cli_usage(self, "--%s takes a size such as 4KiB, not '%s'", option, text);
}

static double want_number(
	const struct cli_command *self, const char *option, const char *text, double least)
{
	char *end;
	errno = 0;
	double value = strtod(text, &end);
	if (errno || end == text || *end || !(value >= least) || isinf(value))
		cli_usage(self, "--%s takes a number from %g, not '%s'", option, least, text);
	return value;
}

/* "5us/mi" or "3.1us/km". */
static double want_propagation(const struct cli_command *self, const char *text)
{
	char *end;
	double value = strtod(text, &end),
	       metres = strcmp(end, "us/mi") == 0 ? DP_METRES_A_MILE : 1000;
	bool unit = strcmp(end, "us/mi") == 0 || strcmp(end, "us/km") == 0;
	if (end == text || !unit || !(value > 0) || isinf(value))
		cli_usage(self, "--propagation takes a value such as 8us/mi or 5us/km, not '%s'",
			text);
	return value / metres;
}

static int answer(struct question *q, bool json)
{
	struct dp_budget *b;
	unsigned unknown;
	int err = dp_budget_make(q->t, q->stream, &q->costs, &b, &unknown);
	if (err == DP_EINVAL) {
		const struct dp_topo_link *l = &q->t->links[unknown];
		return cli_fail(EX_CONFIG,
			"the link between %s and %s has no distance, and a site of theirs no "
			"position (`at`)",
			q->t->nodes[l->a].name, q->t->nodes[l->b].name);
	}
	if (err)
		return cli_fail(EX_OSERR, "%s", dp_strerror(err));
	q->b = b;
	if (json)
		cli_print_json(to_json(q));
	else
		print_text(q);
	dp_budget_destroy(&b);
	return EX_OK;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *file, *stream = NULL, *size = NULL, *rate = NULL, *factor = NULL,
			  *propagation = NULL;
	uint64_t work_us = UINT64_MAX, commit_us = UINT64_MAX;
	bool json = false;
	struct question q = {
		.data_bytes = 4 * DP_KIB, .rate_bytes = 10 * DP_MIB, .outage_us = 1800000000};
	const struct cli_option options[] = {
		{"stream", CLI_TEXT, &stream, "NAME", "this stream; needed if there are several"},
		{"size", CLI_TEXT, &size, "SIZE", "of a write (4KiB)"},
		{"rate", CLI_TEXT, &rate, "SIZE", "bytes that the host writes in a second (10MiB)"},
		{"outage", CLI_TIME, &q.outage_us, "TIME", "that journals should ride out (30min)"},
		{"budget", CLI_TIME, &q.budget_us, "TIME",
			"how far may the poles be for this latency?"},
		{"propagation", CLI_TEXT, &propagation, "VALUE", "5us/mi (default) or 3.1us/km"},
		{"route-factor", CLI_TEXT, &factor, "NUMBER", "for distances from coordinates (1)"},
		{"work", CLI_TIME, &work_us, "TIME", "of a node on a message (5us)"},
		{"commit", CLI_TIME, &commit_us, "TIME", "of a durable write (100us)"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &file, 1, 1);
	want_size(self, "size", size, &q.data_bytes);
	want_size(self, "rate", rate, &q.rate_bytes);
	if (q.data_bytes > DP_PAYLOAD_MAX)
		cli_usage(self, "--size is at most 1MiB, not '%s'", size);
	q.costs = dp_budget_costs_default(q.data_bytes);
	if (propagation)
		q.costs.us_per_metre = want_propagation(self, propagation);
	if (factor)
		q.costs.route_factor = want_number(self, "route-factor", factor, 1);
	if (work_us != UINT64_MAX)
		q.costs.work_us = (double)work_us;
	if (commit_us != UINT64_MAX)
		q.costs.commit_us = (double)commit_us;

	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *t;
	int err = dp_topology_load(file, &t, &errors);
	dp_topology_print_errors(&errors, stderr);
	if (err)
		return err == DP_ECONFIG ? EX_CONFIG : err == DP_ENOMEM ? EX_OSERR : EX_NOINPUT;
	int found = stream ? dp_topology_stream(t, stream) : t->stream_count == 1 ? 0 : -1;
	int status;
	if (found < 0 && stream) {
		status = cli_fail(EX_USAGE, "%s has no stream '%s'", file, stream);
	} else if (found < 0) {
		status = cli_fail(EX_USAGE, "%s has %u streams; name one with --stream", file,
			t->stream_count);
	} else {
		q.t = t;
		q.stream = (unsigned)found;
		status = answer(&q, json);
	}
	dp_topology_destroy(&t);
	return status;
}

const struct cli_command cli_budget = {
	.name = "budget",
	.arguments = "FILE [--stream NAME] [--size SIZE] [--rate SIZE] [--outage TIME] [--budget "
		     "TIME] [--json]",
	.summary = "Predict what distance costs a stream: latency, journals, links.",
	.run = run,
};
