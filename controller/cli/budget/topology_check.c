/* SPDX-License-Identifier: MIT */
/* dipole topology check: all mistakes of a topology file, or what it describes. */
#include "cli.h"

#include <stdio.h>

#include "base/err.h"

#define KM(metres) ((metres) / 1000)

static json_t *errors_json(const struct dp_topo_errors *errors)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < errors->count; i++) {
		const struct dp_topo_error *e = &errors->errors[i];
		json_array_append_new(list,
			json_pack("{s:s,s:i,s:i,s:s,s:s}", "file", e->file, "line", (int)e->line,
				"column", (int)e->column, "key", e->key, "text", e->text));
	}
	return list;
}

/* ---- distances ---- */

/* Metres of the hop that reaches node `to`; negative: unknown. */
static double hop_distance(const struct dp_topology *t, unsigned from, unsigned to)
{
	const struct dp_topo_link *link = dp_topology_link(t, from, to);
	return link ? link->distance_m : -1;
}

/* Of the whole leg; negative if that of a hop is unknown. */
static double leg_distance(const struct dp_topology *t, unsigned controller,
	const struct dp_topo_leg *leg)
{
	double sum = 0;
	unsigned from = controller;
	for (unsigned i = 0; i < leg->hop_count; i++) {
		double d = hop_distance(t, from, leg->hops[i]);
		if (d < 0)
			return -1;
		sum += d;
		from = leg->hops[i];
	}
	return sum;
}

/* Why a stream's opposition is not known. */
static void explain_unknown(const struct dp_topology *t, unsigned stream, char *text, size_t size)
{
	const struct dp_topo_stream *s = &t->streams[stream];
	if (s->leg_count < 2) {
		snprintf(text, size, "it has one leg only");
		return;
	}
	unsigned node = s->controller;
	for (unsigned i = 0; t->sites[t->nodes[node].site].has_position && i < s->leg_count; i++)
		node = s->legs[i].hops[s->legs[i].hop_count - 1];
	snprintf(text, size, "site %s of node %s has no position (`at`)",
		t->sites[t->nodes[node].site].name, t->nodes[node].name);
}

/* ---- text ---- */

static void print_distance(double metres)
{
	if (metres < 0)
		printf("distance unknown");
	else
		printf("%.1f km", KM(metres));
}

static void print_leg(const struct dp_topology *t, const struct dp_topo_stream *s,
	const struct dp_topo_leg *leg)
{
	unsigned from = s->controller;
	printf("  leg %s: %s", leg->name, t->nodes[from].name);
	for (unsigned i = 0; i < leg->hop_count; i++) {
		printf(" -> %s (", t->nodes[leg->hops[i]].name);
		print_distance(hop_distance(t, from, leg->hops[i]));
		putchar(')');
		from = leg->hops[i];
	}
	if (leg->hop_count > 1) {
		printf(", in all ");
		print_distance(leg_distance(t, s->controller, leg));
	}
	putchar('\n');
}

static void print_opposition(const struct dp_topology *t, unsigned stream)
{
	struct dp_opposition o;
	char why[256];
	if (!dp_topology_opposition(t, stream, &o)) {
		explain_unknown(t, stream, why, sizeof why);
		printf("  opposition: unknown, %s\n", why);
		return;
	}
	const char *a = t->nodes[o.pole_a].name, *b = t->nodes[o.pole_b].name;
	printf("  opposition: %s and %s are %.1f km apart, and %.1f km and %.1f km from %s\n", a, b,
		KM(o.separation_m), KM(o.from_controller_a_m), KM(o.from_controller_b_m),
		t->nodes[t->streams[stream].controller].name);
	printf("              gain %.1f km: %s\n", KM(o.gain_m),
		o.opposed ? "the poles are opposed" : "the poles are NOT opposed");
}

static void print_stream(const struct dp_topology *t, unsigned stream)
{
	const struct dp_topo_stream *s = &t->streams[stream];
	printf("\nstream %s: controller %s, answers when %s on %u of %u leg%s, flush %s\n", s->name,
		t->nodes[s->controller].name, dp_stage_name(s->ack_stage), s->ack_legs,
		s->leg_count, s->leg_count == 1 ? "" : "s", dp_stage_name(s->flush));
	for (unsigned i = 0; i < s->leg_count; i++)
		print_leg(t, s, &s->legs[i]);
	print_opposition(t, stream);
}

static void print_text(const struct dp_topology *t)
{
	printf("%s: %u node%s, %u stream%s, %u volume%s, no mistakes\n", t->name, t->node_count,
		t->node_count == 1 ? "" : "s", t->stream_count, t->stream_count == 1 ? "" : "s",
		t->volume_count, t->volume_count == 1 ? "" : "s");
	for (unsigned i = 0; i < t->stream_count; i++)
		print_stream(t, i);
}

/* ---- JSON ---- */

static json_t *distance_json(double metres)
{
	return metres < 0 ? json_null() : json_real(metres);
}

static json_t *leg_json(const struct dp_topology *t, const struct dp_topo_stream *s,
	const struct dp_topo_leg *leg)
{
	json_t *hops = json_array();
	unsigned from = s->controller;
	for (unsigned i = 0; i < leg->hop_count; i++) {
		json_array_append_new(hops,
			json_pack("{s:s,s:o}", "node", t->nodes[leg->hops[i]].name, "distance_m",
				distance_json(hop_distance(t, from, leg->hops[i]))));
		from = leg->hops[i];
	}
	return json_pack("{s:s,s:o,s:o}", "name", leg->name, "hops", hops, "distance_m",
		distance_json(leg_distance(t, s->controller, leg)));
}

static json_t *opposition_json(const struct dp_topology *t, unsigned stream)
{
	struct dp_opposition o;
	char why[256];
	if (!dp_topology_opposition(t, stream, &o)) {
		explain_unknown(t, stream, why, sizeof why);
		return json_pack("{s:b,s:s}", "known", 0, "reason", why);
	}
	return json_pack("{s:b,s:[ss],s:f,s:[ff],s:f,s:b}", "known", 1, "poles",
		t->nodes[o.pole_a].name, t->nodes[o.pole_b].name, "separation_m", o.separation_m,
		"from_controller_m", o.from_controller_a_m, o.from_controller_b_m, "gain_m",
		o.gain_m, "opposed", (int)o.opposed);
}

static json_t *stream_json(const struct dp_topology *t, unsigned stream)
{
	const struct dp_topo_stream *s = &t->streams[stream];
	json_t *legs = json_array();
	for (unsigned i = 0; i < s->leg_count; i++)
		json_array_append_new(legs, leg_json(t, s, &s->legs[i]));
	return json_pack("{s:s,s:s,s:o,s:o}", "name", s->name, "controller",
		t->nodes[s->controller].name, "legs", legs, "opposition",
		opposition_json(t, stream));
}

static json_t *topology_json(const struct dp_topology *t)
{
	json_t *streams = json_array();
	for (unsigned i = 0; i < t->stream_count; i++)
		json_array_append_new(streams, stream_json(t, i));
	return json_pack("{s:b,s:s,s:o}", "ok", 1, "name", t->name, "streams", streams);
}

/* ---- the command ---- */

static int refuse(int err, const struct dp_topo_errors *errors, bool json)
{
	struct verb_error error = {.status = 0};
	int status = verb_topology_judge(err, errors, &error);
	if (!json)
		return cli_error(&error);
	verb_error_clear(&error);
	cli_print_json(json_pack("{s:b,s:o}", "ok", 0, "errors", errors_json(errors)));
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *file;
	bool json = false;
	const struct cli_option options[] = {
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *t;
	cli_parse(self, argc, argv, options, &file, 1, 1);
	int err = dp_topology_load(file, &t, &errors);
	if (err)
		return refuse(err, &errors, json);
	dp_topology_print_errors(&errors, stderr); /* warnings */
	if (json)
		cli_print_json(topology_json(t));
	else
		print_text(t);
	dp_topology_destroy(&t);
	return EX_OK;
}

const struct cli_command cli_topology_check = {
	.name = "topology check",
	.arguments = "FILE [--json]",
	.summary = "Report all mistakes of a topology file, or its legs and opposition.",
	.run = run,
};
