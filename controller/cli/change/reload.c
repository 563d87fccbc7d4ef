/* SPDX-License-Identifier: MIT */
/* dipole reload: has the nodes of this machine take over what has changed in the topology file. */
#include "cli.h"

#include <stdio.h>

static void print_reloaded(const json_t *answer)
{
	json_t *node, *change;
	size_t i, k;
	json_array_foreach (json_object_get(answer, "nodes"), i, node) {
		const char *name = verb_text(node, "node");
		const json_t *changed = json_object_get(node, "changed");
		if (json_object_get(node, "error"))
			cli_fail(0, "%s: %s", name, verb_text(node, "error"));
		else if (json_array_size(changed) == 0)
			printf("%s: nothing has changed\n", name);
		json_array_foreach (changed, k, change)
			printf("%s: changed: %s\n", name, json_string_value(change));
	}
}

static int run_reload(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL, *node = NULL;
	bool json = false;
	struct verb_place place;
	struct verb_error error = {.status = 0};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the deployment"},
		{"node", CLI_TEXT, &node, "NAME", "only this node"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	int status = cli_place_open(state, &place);
	if (!status)
		status = cli_answer(verb_reload(&place, node, &error), json, print_reloaded,
			&error);
	verb_place_close(&place);
	return status;
}

const struct cli_command cli_reload = {
	.name = "reload",
	.arguments = "[--node NAME] [--state DIR] [--json]",
	.summary = "Take over a changed topology file without a restart.",
	.run = run_reload,
};
