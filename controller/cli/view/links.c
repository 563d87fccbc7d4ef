/* SPDX-License-Identifier: MIT */
/* dipole links: every link of every stream, as the node above it sees it. */
#include "cli.h"

#include <stdio.h>

static void add_heading(struct cli_table *t)
{
	static const char *const words[] = {"NODE", "STREAM", "LEG", "TO", "STATE", "SENT",
		"CACHED", "COMMITTED", "IN-FLIGHT", "ROOM", "NAKS"};
	for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
		cli_table_add(t, "%s", words[i]);
}

static void add_link(struct cli_table *t, const char *node, const char *stream, const json_t *link)
{
	static const char *const positions[] = {"sent", "cached", "committed"};
	cli_table_add(t, "%s", node);
	cli_table_add(t, "%s", stream);
	cli_table_add(t, "%s", cli_text(link, "leg"));
	cli_table_add(t, "%s", cli_text(link, "peer"));
	cli_table_add(t, "%s", cli_text(link, "state"));
	for (unsigned i = 0; i < 3; i++)
		cli_table_add(t, "%llu", (unsigned long long)cli_number(link, positions[i]));
	cli_table_size(t, cli_number(link, "flight_bytes"));
	cli_table_size(t, cli_number(link, "room_bytes"));
	cli_table_add(t, "%llu", (unsigned long long)cli_number(link, "naks"));
}

static void add_down(struct cli_table *t, const char *node)
{
	cli_table_add(t, "%s", node);
	for (unsigned i = 0; i < 3; i++)
		cli_table_add(t, "-");
	cli_table_add(t, "Down");
	for (unsigned i = 0; i < 6; i++)
		cli_table_add(t, "-");
}

static void add_node(struct cli_table *t, const struct cli_survey *survey, unsigned node)
{
	const char *name = survey->place.topology->nodes[node].name;
	json_t *stream, *link;
	size_t i, k;
	if (!survey->answers[node]) {
		add_down(t, name);
		return;
	}
	json_array_foreach (json_object_get(survey->answers[node], "streams"), i, stream)
		json_array_foreach (json_object_get(stream, "links"), k, link)
			add_link(t, name, cli_text(stream, "name"), link);
}

static void add_connections(struct cli_table *t, const char *node, const json_t *answer)
{
	const json_t *c;
	size_t i;
	json_array_foreach (json_object_get(answer, "connections"), i, c) {
		cli_table_add(t, "%s", node);
		cli_table_add(t, "%s", cli_text(c, "peer"));
		cli_table_add(t, "%llu", (unsigned long long)cli_number(c, "connection"));
		cli_table_add(t, "%s", cli_text(c, "state"));
		cli_table_time(t, cli_number(c, "age_us"));
		if (json_is_null(json_object_get(c, "heard_us_ago")))
			cli_table_add(t, "-");
		else
			cli_table_time(t, cli_number(c, "heard_us_ago"));
		cli_table_add(t, "%s", cli_text(c, "address"));
	}
}

static void print_connections(const struct cli_survey *survey)
{
	static const char *const words[] = {
		"NODE", "PEER", "CONNECTION", "STATE", "AGE", "HEARD-AGO", "ADDRESS"};
	struct cli_table *t = cli_table_new("llrlrrl");
	for (unsigned i = 0; i < sizeof words / sizeof words[0]; i++)
		cli_table_add(t, "%s", words[i]);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++)
		add_connections(t, survey->place.topology->nodes[i].name, survey->answers[i]);
	puts("");
	cli_table_print(&t);
}

static void print_links(const struct cli_survey *survey)
{
	struct cli_table *t = cli_table_new("lllllrrrrrr");
	add_heading(t);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++) {
		if (cli_survey_has(survey, i))
			add_node(t, survey, i);
	}
	cli_table_print(&t);
	print_connections(survey);
}

static void append_links(json_t *links, const char *node, const json_t *stream)
{
	json_t *link;
	size_t i;
	json_array_foreach (json_object_get(stream, "links"), i, link) {
		json_t *entry = json_pack("{s:s,s:s}", "node", node, "stream",
			cli_text(stream, "name"));
		json_object_update(entry, link);
		json_array_append_new(links, entry);
	}
}

static void append_connections(json_t *list, const char *node, const json_t *answer)
{
	json_t *c;
	size_t i;
	json_array_foreach (json_object_get(answer, "connections"), i, c) {
		json_t *entry = json_pack("{s:s}", "node", node);
		json_object_update(entry, c);
		json_array_append_new(list, entry);
	}
}

static json_t *links_json(const struct cli_survey *survey)
{
	json_t *links = json_array(), *down = json_array(), *connections = json_array(), *stream;
	size_t k;
	for (unsigned i = 0; i < survey->place.topology->node_count; i++) {
		const char *name = survey->place.topology->nodes[i].name;
		if (cli_survey_has(survey, i) && !survey->answers[i])
			json_array_append_new(down, json_string(name));
		json_array_foreach (json_object_get(survey->answers[i], "streams"), k, stream)
			append_links(links, name, stream);
		append_connections(connections, name, survey->answers[i]);
	}
	return json_pack("{s:o,s:o,s:o}", "links", links, "connections", connections, "down", down);
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	return cli_view(self, argc, argv, print_links, links_json);
}

const struct cli_command cli_links = {
	.name = "links",
	.arguments = "[--state DIR] [--node NAME] [--json] [--watch]",
	.summary = "Show every link with its positions and bytes in flight.",
	.run = run,
};
