/* SPDX-License-Identifier: MIT */
/* dipole status: every node with its streams and their positions, legs, latency, alarms. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- nodes ---- */

static void add_latency(struct cli_table *t, const json_t *stream, const char *key)
{
	const json_t *latency = json_object_get(stream, "ack_latency");
	if (verb_number(latency, "count"))
		cli_table_time(t, verb_number(latency, key));
	else
		cli_table_add(t, "-");
}

static void add_node_row(struct cli_table *t, const json_t *node, const json_t *stream)
{
	static const struct cli_field fields[] = {{"state", CLI_TEXT}, {"name", CLI_TEXT},
		{"epoch", CLI_NUMBER}, {"set", CLI_NUMBER}, {"last", CLI_NUMBER},
		{"durable", CLI_NUMBER}, {"agreed", CLI_NUMBER}, {"applied", CLI_NUMBER},
		{"committed", CLI_NUMBER}};
	const bool down = json_object_get(node, "error") != NULL;
	cli_table_add(t, "%s", verb_text(node, "node"));
	cli_table_add(t, "%s", verb_text(node, "role"));
	if (stream)
		cli_table_fields(t, fields, 1, stream);
	else
		cli_table_add(t, "%s", down ? "Down" : "Up");
	cli_table_fields(t, fields + 1, 8, stream);
	add_latency(t, stream, "p50_us");
	add_latency(t, stream, "p99_us");
}

static void print_nodes(const json_t *nodes)
{
	struct cli_table *t = cli_table_new("llllrrrrrrrrr",
		"NODE ROLE STATE STREAM EPOCH SET LAST DURABLE AGREED APPLIED COMMITTED ACK-P50 ACK-P99");
	json_t *node, *stream;
	size_t i, k;
	json_array_foreach (nodes, i, node) {
		const json_t *streams = json_object_get(node, "streams");
		json_array_foreach (streams, k, stream)
			add_node_row(t, node, stream);
		if (!json_array_size(streams))
			add_node_row(t, node, NULL);
	}
	cli_table_print(&t);
}

/* ---- legs ---- */

static void add_leg_row(struct cli_table *t, const json_t *node, const json_t *stream,
	const json_t *link)
{
	static const struct cli_field fields[] = {{"leg", CLI_TEXT}, {"peer", CLI_TEXT},
		{"state", CLI_TEXT}, {"behind.bytes", CLI_SIZE}, {"behind.us", CLI_TIME},
		{"at_risk.us", CLI_TIME}};
	const bool counts = json_is_true(json_object_get(link, "in_sync"));
	uint64_t last = verb_number(stream, "last"), committed = verb_number(link, "committed");
	cli_table_add(t, "%s", verb_text(node, "node"));
	cli_table_add(t, "%s", verb_text(stream, "name"));
	cli_table_fields(t, fields, 3, link);
	cli_table_add(t, "%s",
		strcmp(verb_text(node, "role"), "controller") ? "-"
			: counts                              ? "yes"
							      : "no");
	cli_table_add(t, "%llu", (unsigned long long)(last > committed ? last - committed : 0));
	cli_table_fields(t, fields + 3, 3, link);
}

static void print_legs(const json_t *nodes)
{
	struct cli_table *t = cli_table_new("llllllrrrr",
		"NODE STREAM LEG TO STATE COUNTS RECORDS-BEHIND BYTES TIME AT-RISK");
	json_t *node, *stream, *link;
	size_t i, k, n, rows = 0;
	json_array_foreach (nodes, i, node)
		json_array_foreach (json_object_get(node, "streams"), k, stream)
			json_array_foreach (json_object_get(stream, "links"), n, link) {
				add_leg_row(t, node, stream, link);
				rows++;
			}
	if (rows)
		putchar('\n');
	cli_table_print(&t);
}

/* ---- what stands below the tables ---- */

static void print_resync(const char *node, const json_t *stream)
{
	const json_t *resync = json_object_get(json_object_get(stream, "images"), "resync");
	uint64_t size = verb_number(resync, "size_bytes"),
		 copied = verb_number(resync, "copied_bytes");
	if (!json_is_object(resync) || size == 0)
		return;
	printf("resync: %s %s: %llu of %llu bytes (%.1f%%), %llu fetched", node,
		verb_text(stream, "name"), (unsigned long long)copied, (unsigned long long)size,
		100.0 * (double)copied / (double)size,
		(unsigned long long)verb_number(resync, "fetched_bytes"));
	if (json_is_integer(json_object_get(resync, "seconds_left")))
		printf(", %llus left", (unsigned long long)verb_number(resync, "seconds_left"));
	putchar('\n');
}

static void print_alarms(const char *node, const json_t *stream)
{
	json_t *alarm;
	size_t i;
	json_array_foreach (json_object_get(stream, "alarms"), i, alarm) {
		time_t seconds = (time_t)(verb_number(alarm, "time_us") / 1000000);
		struct tm when;
		char text[32];
		gmtime_r(&seconds, &when);
		strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &when);
		printf("alarm: %s %s %s: %s\n", text, node, verb_text(stream, "name"),
			verb_text(alarm, "text"));
	}
}

static void print_each_stream(const json_t *nodes,
	void (*print)(const char *node, const json_t *stream))
{
	json_t *node, *stream;
	size_t i, k;
	json_array_foreach (nodes, i, node)
		json_array_foreach (json_object_get(node, "streams"), k, stream)
			print(verb_text(node, "node"), stream);
}

/* Down, or only out of this command's reach: the reason tells. */
static void print_silent(const json_t *nodes)
{
	json_t *node;
	size_t i;
	json_array_foreach (nodes, i, node)
		if (json_object_get(node, "error"))
			printf("no answer: %s: %s\n", verb_text(node, "node"),
				verb_text(node, "error"));
}

static void print_status(const json_t *answer, const struct dp_topology *topology)
{
	const json_t *nodes = json_object_get(answer, "nodes");
	(void)topology;
	print_nodes(nodes);
	print_legs(nodes);
	print_silent(nodes);
	print_each_stream(nodes, print_resync);
	print_each_stream(nodes, print_alarms);
}

static int run_status(const struct cli_command *self, int argc, char **argv)
{
	return cli_view(self, argc, argv, verb_status, print_status);
}

const struct cli_command cli_status = {
	.name = "status",
	.arguments = "[--state DIR] [--node NAME] [--json] [--watch]",
	.summary = "Show every node: state, positions, legs, latency, alarms.",
	.run = run_status,
};
