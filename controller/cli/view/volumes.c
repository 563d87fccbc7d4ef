/* SPDX-License-Identifier: MIT */
/* dipole volumes: what hosts can open, and where. */
#include "cli.h"

static void print_volumes(const json_t *answer, const struct dp_topology *topology)
{
	static const struct cli_field fields[] = {{"name", CLI_TEXT}, {"size_bytes", CLI_SIZE},
		{"stream", CLI_TEXT}, {"controller", CLI_TEXT}, {"state", CLI_TEXT},
		{"uri", CLI_TEXT}};
	struct cli_table *t = cli_table_new("lrllll", "VOLUME SIZE STREAM CONTROLLER STATE URI");
	json_t *volume;
	size_t i;
	(void)topology;
	json_array_foreach (json_object_get(answer, "volumes"), i, volume)
		cli_table_fields(t, fields, 6, volume);
	cli_table_print(&t);
}

static int run_volumes(const struct cli_command *self, int argc, char **argv)
{
	return cli_view(self, argc, argv, verb_volumes, print_volumes);
}

const struct cli_command cli_volumes = {
	.name = "volumes",
	.arguments = "[--state DIR] [--node NAME] [--json] [--watch]",
	.summary = "Show the volumes with their sizes, states and NBD URIs.",
	.run = run_volumes,
};
