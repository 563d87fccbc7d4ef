/* SPDX-License-Identifier: MIT */
/* dipole volumes: what hosts can open, and where. */
#include "cli.h"
#include "uri.h"

#include <stdio.h>
#include <unistd.h>

struct row {
	const struct dp_topo_volume *volume;
	const struct dp_topo_stream *stream;
	const char *controller, *state;
	char uri[CLI_URI_MAX]; /* empty: no NBD server */
};

/* false if its controller was not to be asked. */
static bool make_row(const struct cli_survey *survey, unsigned volume, struct row *row)
{
	const struct dp_topology *t = survey->place.topology;
	row->volume = &t->volumes[volume];
	row->stream = &t->streams[row->volume->stream];
	unsigned node = row->stream->controller;
	row->controller = t->nodes[node].name;
	json_t *stream = cli_survey_stream(survey, node, row->stream->name);
	row->state = survey->answers[node] ? cli_text(stream, "state") : "Down";
	char path[PATH_MAX];
	cli_node_path(survey->place.dir, row->controller, "nbd.sock", path);
	row->uri[0] = '\0';
	if (access(path, F_OK) == 0)
		cli_nbd_uri(row->volume->name, path, row->uri);
	return cli_survey_has(survey, node);
}

static void add_row(struct cli_table *t, const struct row *row)
{
	cli_table_add(t, "%s", row->volume->name);
	cli_table_size(t, row->volume->size);
	cli_table_add(t, "%s", row->stream->name);
	cli_table_add(t, "%s", row->controller);
	cli_table_add(t, "%s", row->state);
	cli_table_add(t, "%s", row->uri[0] ? row->uri : "-");
}

static void print_volumes(const struct cli_survey *survey)
{
	static const char *const heading[] = {
		"VOLUME", "SIZE", "STREAM", "CONTROLLER", "STATE", "URI"};
	struct cli_table *t = cli_table_new("lrllll");
	struct row row;
	for (unsigned i = 0; i < 6; i++)
		cli_table_add(t, "%s", heading[i]);
	for (unsigned i = 0; i < survey->place.topology->volume_count; i++) {
		if (make_row(survey, i, &row))
			add_row(t, &row);
	}
	cli_table_print(&t);
}

static json_t *volumes_json(const struct cli_survey *survey)
{
	json_t *volumes = json_array();
	struct row row;
	for (unsigned i = 0; i < survey->place.topology->volume_count; i++) {
		if (!make_row(survey, i, &row))
			continue;
		json_t *v = json_pack("{s:s,s:I,s:s,s:s,s:s}", "name", row.volume->name,
			"size_bytes", (json_int_t)row.volume->size, "stream", row.stream->name,
			"controller", row.controller, "state", row.state);
		json_object_set_new(v, "uri", row.uri[0] ? json_string(row.uri) : json_null());
		json_array_append_new(volumes, v);
	}
	return json_pack("{s:o}", "volumes", volumes);
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	return cli_view(self, argc, argv, print_volumes, volumes_json);
}

const struct cli_command cli_volumes = {
	.name = "volumes",
	.arguments = "[--state DIR] [--node NAME] [--json] [--watch]",
	.summary = "Show the volumes with their sizes, states and NBD URIs.",
	.run = run,
};
