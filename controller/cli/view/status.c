/* SPDX-License-Identifier: MIT */
/* dipole status: every node with its streams and their positions, legs, latency, alarms. */
#include "cli.h"

#include <stdio.h>
#include <time.h>

static const struct dp_topo_node *node_of(const struct cli_survey *survey, unsigned i)
{
	return &survey->place.topology->nodes[i];
}

static void add_latency(struct cli_table *t, const json_t *latency, const char *key)
{
	if (cli_number(latency, "count"))
		cli_table_time(t, cli_number(latency, key));
	else
		cli_table_add(t, "-");
}

/* A node without images applies nothing: null. */
static void add_position(struct cli_table *t, const json_t *stream, const char *key)
{
	const json_t *value = json_object_get(stream, key);
	if (json_is_null(value))
		cli_table_add(t, "-");
	else
		cli_table_add(t, "%llu", (unsigned long long)cli_number(stream, key));
}

static void add_words(struct cli_table *t, const char *const *words, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		cli_table_add(t, "%s", words[i]);
}

static void add_stream(struct cli_table *t, const struct dp_topo_node *n, const json_t *s)
{
	static const char *const positions[] = {
		"epoch", "set", "last", "durable", "agreed", "applied", "committed"};
	cli_table_add(t, "%s", n->name);
	cli_table_add(t, "%s", dp_role_name(n->role));
	cli_table_add(t, "%s", cli_text(s, "state"));
	cli_table_add(t, "%s", cli_text(s, "name"));
	for (unsigned i = 0; i < sizeof positions / sizeof positions[0]; i++)
		add_position(t, s, positions[i]);
	add_latency(t, json_object_get(s, "ack_latency"), "p50_us");
	add_latency(t, json_object_get(s, "ack_latency"), "p99_us");
}

static void print_nodes(const struct cli_survey *survey)
{
	static const char *const heading[] = {"NODE", "ROLE", "STATE", "STREAM", "EPOCH", "SET",
		"LAST", "DURABLE", "AGREED", "APPLIED", "COMMITTED", "ACK-P50", "ACK-P99"};
	static const char *const nothing[] = {"-", "-", "-", "-", "-", "-", "-", "-", "-", "-"};
	struct cli_table *t = cli_table_new("llllrrrrrrrrr");
	add_words(t, heading, 13);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++) {
		json_t *streams = json_object_get(survey->answers[i], "streams"), *stream;
		size_t k;
		if (!cli_survey_has(survey, i))
			continue;
		json_array_foreach (streams, k, stream)
			add_stream(t, node_of(survey, i), stream);
		if (json_array_size(streams))
			continue;
		cli_table_add(t, "%s", node_of(survey, i)->name);
		cli_table_add(t, "%s", dp_role_name(node_of(survey, i)->role));
		cli_table_add(t, "%s", survey->answers[i] ? "Up" : "Down");
		add_words(t, nothing, 10);
	}
	cli_table_print(&t);
}

/* How many rows. */
static size_t add_legs(struct cli_table *t, const struct dp_topo_node *n, const json_t *stream)
{
	json_t *links = json_object_get(stream, "links"), *link;
	uint64_t last = cli_number(stream, "last");
	size_t i;
	json_array_foreach (links, i, link) {
		uint64_t committed = cli_number(link, "committed");
		const json_t *behind = json_object_get(link, "behind"),
			     *risk = json_object_get(link, "at_risk");
		cli_table_add(t, "%s", n->name);
		cli_table_add(t, "%s", cli_text(stream, "name"));
		cli_table_add(t, "%s", cli_text(link, "leg"));
		cli_table_add(t, "%s", cli_text(link, "peer"));
		cli_table_add(t, "%s", cli_text(link, "state"));
		cli_table_add(t, "%s",
			n->role != DP_ROLE_CONTROLLER                            ? "-"
				: json_is_true(json_object_get(link, "in_sync")) ? "yes"
										 : "no");
		cli_table_add(t, "%llu",
			(unsigned long long)(last > committed ? last - committed : 0));
		cli_table_size(t, cli_number(behind, "bytes"));
		cli_table_time(t, cli_number(behind, "us"));
		if (risk)
			cli_table_time(t, cli_number(risk, "us"));
		else
			cli_table_add(t, "-");
	}
	return json_array_size(links);
}

static void print_legs(const struct cli_survey *survey)
{
	static const char *const heading[] = {"NODE", "STREAM", "LEG", "TO", "STATE", "COUNTS",
		"RECORDS-BEHIND", "BYTES", "TIME", "AT-RISK"};
	struct cli_table *t = cli_table_new("llllllrrrr");
	size_t rows = 0;
	add_words(t, heading, 10);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++) {
		json_t *stream;
		size_t k;
		json_array_foreach (json_object_get(survey->answers[i], "streams"), k, stream)
			rows += add_legs(t, node_of(survey, i), stream);
	}
	if (rows)
		putchar('\n');
	cli_table_print(&t);
}

static void print_resync(const char *node, const json_t *stream)
{
	const json_t *resync = json_object_get(json_object_get(stream, "images"), "resync");
	uint64_t size = cli_number(resync, "size_bytes"),
		 copied = cli_number(resync, "copied_bytes");
	if (!json_is_object(resync) || size == 0)
		return;
	printf("resync: %s %s: %llu of %llu bytes (%.1f%%), %llu fetched", node,
		cli_text(stream, "name"), (unsigned long long)copied, (unsigned long long)size,
		100.0 * (double)copied / (double)size,
		(unsigned long long)cli_number(resync, "fetched_bytes"));
	if (json_is_integer(json_object_get(resync, "seconds_left")))
		printf(", %llus left", (unsigned long long)cli_number(resync, "seconds_left"));
	putchar('\n');
}

static void print_resyncs(const struct cli_survey *survey, unsigned node)
{
	json_t *stream;
	size_t i;
	json_array_foreach (json_object_get(survey->answers[node], "streams"), i, stream)
		print_resync(node_of(survey, node)->name, stream);
}

static void print_alarm(const char *node, const char *stream, const json_t *alarm)
{
	time_t seconds = (time_t)(cli_number(alarm, "time_us") / 1000000);
	struct tm when;
	char text[32];
	gmtime_r(&seconds, &when);
	strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &when);
	printf("alarm: %s %s %s: %s\n", text, node, stream, cli_text(alarm, "text"));
}

static void print_alarms(const struct cli_survey *survey, unsigned node)
{
	json_t *stream, *alarm;
	size_t i, k;
	json_array_foreach (json_object_get(survey->answers[node], "streams"), i, stream)
		json_array_foreach (json_object_get(stream, "alarms"), k, alarm)
			print_alarm(node_of(survey, node)->name, cli_text(stream, "name"), alarm);
}

/* Down, or only out of this command's reach: the reason tells. */
static void print_silent(const struct cli_survey *survey)
{
	for (unsigned i = 0; i < survey->place.topology->node_count; i++)
		if (cli_survey_has(survey, i) && !survey->answers[i])
			printf("no answer: %s: %s\n", node_of(survey, i)->name, survey->errors[i]);
}

static void print_status(const struct cli_survey *survey)
{
	print_nodes(survey);
	print_legs(survey);
	print_silent(survey);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++)
		print_resyncs(survey, i);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++)
		print_alarms(survey, i);
}

/* The answers as they came; a node that is down has `"state": "Down"` and the reason. */
static json_t *status_json(const struct cli_survey *survey)
{
	json_t *nodes = json_array();
	for (unsigned i = 0; i < survey->place.topology->node_count; i++) {
		if (!cli_survey_has(survey, i))
			continue;
		if (survey->answers[i])
			json_array_append(nodes, survey->answers[i]);
		else
			json_array_append_new(nodes,
				json_pack("{s:s,s:s,s:s,s:s}", "node", node_of(survey, i)->name,
					"role", dp_role_name(node_of(survey, i)->role), "state",
					"Down", "error", survey->errors[i]));
	}
	return json_pack("{s:s,s:o}", "deployment", survey->place.topology->name, "nodes", nodes);
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	return cli_view(self, argc, argv, print_status, status_json);
}

const struct cli_command cli_status = {
	.name = "status",
	.arguments = "[--state DIR] [--node NAME] [--json] [--watch]",
	.summary = "Show every node: state, positions, legs, latency, alarms.",
	.run = run,
};
