/* SPDX-License-Identifier: MIT */
/* dipole topology check: all mistakes of a topology file, or what it describes. */
#include "cli.h"

#include <stdio.h>

/* A distance in metres; null: unknown. */
static void print_distance(const json_t *distance)
{
	if (json_is_null(distance))
		printf("distance unknown");
	else
		printf("%.1f km", json_real_value(distance) / 1000);
}

static void print_leg(const char *controller, const json_t *leg)
{
	const json_t *hops = json_object_get(leg, "hops");
	json_t *hop;
	size_t i;
	printf("  leg %s: %s", verb_text(leg, "name"), controller);
	json_array_foreach (hops, i, hop) {
		printf(" -> %s (", verb_text(hop, "node"));
		print_distance(json_object_get(hop, "distance_m"));
		putchar(')');
	}
	if (json_array_size(hops) > 1) {
		printf(", in all ");
		print_distance(json_object_get(leg, "distance_m"));
	}
	putchar('\n');
}

static double km_of(const json_t *opposition, const char *key)
{
	return json_real_value(json_object_get(opposition, key)) / 1000;
}

static void print_opposition(const char *controller, const json_t *o)
{
	const json_t *poles = json_object_get(o, "poles"),
		     *from = json_object_get(o, "from_controller_m");
	if (!json_is_true(json_object_get(o, "known"))) {
		printf("  opposition: unknown, %s\n", verb_text(o, "reason"));
		return;
	}
	printf("  opposition: %s and %s are %.1f km apart, and %.1f km and %.1f km from %s\n",
		json_string_value(json_array_get(poles, 0)),
		json_string_value(json_array_get(poles, 1)), km_of(o, "separation_m"),
		json_real_value(json_array_get(from, 0)) / 1000,
		json_real_value(json_array_get(from, 1)) / 1000, controller);
	printf("              gain %.1f km: %s\n", km_of(o, "gain_m"),
		json_is_true(json_object_get(o, "opposed")) ? "the poles are opposed"
							    : "the poles are NOT opposed");
}

static void print_stream(const struct dp_topo_stream *s, const json_t *checked)
{
	const char *controller = verb_text(checked, "controller");
	json_t *leg;
	size_t i;
	printf("\nstream %s: controller %s, answers when %s on %u of %u leg%s, flush %s\n", s->name,
		controller, dp_stage_name(s->ack_stage), s->ack_legs, s->leg_count,
		s->leg_count == 1 ? "" : "s", dp_stage_name(s->flush));
	json_array_foreach (json_object_get(checked, "legs"), i, leg)
		print_leg(controller, leg);
	print_opposition(controller, json_object_get(checked, "opposition"));
}

static void print_checked(const struct dp_topology *t, const json_t *answer)
{
	const json_t *streams = json_object_get(answer, "streams");
	printf("%s: %u node%s, %u stream%s, %u volume%s, no mistakes\n", t->name, t->node_count,
		t->node_count == 1 ? "" : "s", t->stream_count, t->stream_count == 1 ? "" : "s",
		t->volume_count, t->volume_count == 1 ? "" : "s");
	for (unsigned i = 0; i < t->stream_count; i++)
		print_stream(&t->streams[i], json_array_get(streams, i));
}

static int run_topology_check(const struct cli_command *self, int argc, char **argv)
{
	const char *file;
	bool json = false;
	const struct cli_option options[] = {
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	struct verb_error error = {.status = 0};
	struct dp_topology *t;
	cli_parse(self, argc, argv, options, &file, 1, 1);
	json_t *answer = verb_topology_check(file, &t, &error);
	int status = error.status;
	if (status && json)
		verb_error_clear(&error); /* the JSON has it all */
	cli_error(&error);                /* with the warnings */
	if (json)
		cli_print_json(json_incref(answer));
	else if (t)
		print_checked(t, answer);
	json_decref(answer);
	dp_topology_destroy(&t);
	return status;
}

const struct cli_command cli_topology_check = {
	.name = "topology check",
	.arguments = "FILE [--json]",
	.summary = "Report all mistakes of a topology file, or its legs and opposition.",
	.run = run_topology_check,
};
