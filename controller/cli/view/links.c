/* SPDX-License-Identifier: MIT */
/* dipole links: every link of every stream, as the node above it sees it. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static bool is_down(const json_t *answer, const char *node)
{
	json_t *name;
	size_t i;
	json_array_foreach (json_object_get(answer, "down"), i, name)
		if (strcmp(json_string_value(name), node) == 0)
			return true;
	return false;
}

static void add_links_of(struct cli_table *t, const json_t *answer, const char *node)
{
	static const struct cli_field fields[] = {{"node", CLI_TEXT}, {"stream", CLI_TEXT},
		{"leg", CLI_TEXT}, {"peer", CLI_TEXT}, {"state", CLI_TEXT}, {"sent", CLI_NUMBER},
		{"cached", CLI_NUMBER}, {"committed", CLI_NUMBER}, {"flight_bytes", CLI_SIZE},
		{"room_bytes", CLI_SIZE}, {"naks", CLI_NUMBER}};
	json_t *link;
	size_t i;
	json_array_foreach (json_object_get(answer, "links"), i, link)
		if (strcmp(verb_text(link, "node"), node) == 0)
			cli_table_fields(t, fields, 11, link);
}

static void print_connections(const json_t *answer)
{
	static const struct cli_field fields[] = {{"node", CLI_TEXT}, {"peer", CLI_TEXT},
		{"connection", CLI_NUMBER}, {"state", CLI_TEXT}, {"age_us", CLI_TIME},
		{"heard_us_ago", CLI_TIME}, {"address", CLI_TEXT}};
	struct cli_table *t = cli_table_new("llrlrrl",
		"NODE PEER CONNECTION STATE AGE HEARD-AGO ADDRESS");
	json_t *connection;
	size_t i;
	json_array_foreach (json_object_get(answer, "connections"), i, connection)
		cli_table_fields(t, fields, 7, connection);
	puts("");
	cli_table_print(&t);
}

static void print_links(const json_t *answer, const struct dp_topology *topology)
{
	static const char *const down[] = {"-", "-", "-", "Down", "-", "-", "-", "-", "-", "-"};
	struct cli_table *t = cli_table_new("lllllrrrrrr",
		"NODE STREAM LEG TO STATE SENT CACHED COMMITTED IN-FLIGHT ROOM NAKS");
	for (unsigned i = 0; i < topology->node_count; i++) {
		const char *name = topology->nodes[i].name;
		add_links_of(t, answer, name);
		if (!is_down(answer, name))
			continue;
		cli_table_add(t, "%s", name);
		for (unsigned k = 0; k < 10; k++)
			cli_table_add(t, "%s", down[k]);
	}
	cli_table_print(&t);
	print_connections(answer);
}

static int run_links(const struct cli_command *self, int argc, char **argv)
{
	return cli_view(self, argc, argv, verb_links, print_links);
}

const struct cli_command cli_links = {
	.name = "links",
	.arguments = "[--state DIR] [--node NAME] [--json] [--watch]",
	.summary = "Show every link with its positions and bytes in flight.",
	.run = run_links,
};
