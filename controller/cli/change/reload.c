/* SPDX-License-Identifier: MIT */
/* dipole reload: has the nodes of this machine take over what has changed in the topology file. */
#include "cli.h"

#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"

struct reload {
	const char *state, *node;
	bool json;
};

static void print_changes(const char *node, const json_t *list)
{
	const json_t *change;
	size_t i;
	if (json_array_size(list) == 0)
		printf("%s: nothing has changed\n", node);
	json_array_foreach (list, i, change)
		printf("%s: changed: %s\n", node, json_string_value(change));
}

/* One node: adds its entry to `entries`; an exit status. */
static int reload_node(const struct reload *r, const struct cli_place *place, unsigned i,
	json_t *entries)
{
	const char *name = place->topology->nodes[i].name;
	char error[DP_ASK_ERROR_MAX];
	json_t *answer = NULL, *request = json_pack("{s:s}", "cmd", "reload");
	int err = cli_ask(place, i, request, CLI_ASK_TIMEOUT_US, &answer, error);
	if (err) {
		int status = err == DP_EINVAL ? EX_CONFIG : EX_UNAVAILABLE;
		json_array_append_new(entries,
			json_pack("{s:s,s:s}", "node", name, "error", error));
		return r->json ? status : cli_fail(status, "%s: %s", name, error);
	}
	json_t *changed = json_object_get(answer, "changed");
	if (!r->json)
		print_changes(name, changed);
	json_array_append_new(entries, json_pack("{s:s,s:O}", "node", name, "changed", changed));
	json_decref(answer);
	return EX_OK;
}

/* A node of another machine has no directory here. */
static bool is_here(const struct cli_place *place, unsigned i)
{
	char path[PATH_MAX + DP_NAME_MAX + 2];
	snprintf(path, sizeof path, "%s/%s", place->dir, place->topology->nodes[i].name);
	return access(path, F_OK) == 0;
}

static int reload_all(const struct reload *r, const struct cli_place *place)
{
	int only = r->node ? dp_topology_node(place->topology, r->node) : -1, status = EX_OK;
	if (r->node && only < 0)
		return cli_fail(EX_USAGE, "no node '%s' in %s/topology.yaml", r->node, place->dir);
	json_t *entries = json_array();
	unsigned count = 0;
	for (unsigned i = 0; i < place->topology->node_count; i++) {
		bool wanted = only < 0 ? is_here(place, i) : (unsigned)only == i;
		count += wanted;
		int one = wanted ? reload_node(r, place, i, entries) : EX_OK;
		status = one ? one : status;
	}
	if (r->json)
		cli_print_json(json_pack("{s:o}", "nodes", entries));
	else
		json_decref(entries);
	if (!count)
		return cli_fail(EX_UNAVAILABLE,
			"no node of %s has its directory in %s; name one with --node, or use `dipole apply`",
			place->topology->name, place->dir);
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	struct reload r = {0};
	struct cli_place place;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"node", CLI_TEXT, &r.node, "NAME", "only this node"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	int status = cli_place_open(r.state, &place);
	if (!status)
		status = reload_all(&r, &place);
	cli_place_close(&place);
	return status;
}

const struct cli_command cli_reload = {
	.name = "reload",
	.arguments = "[--node NAME] [--state DIR] [--json]",
	.summary = "Take over a changed topology file without a restart.",
	.run = run,
};
