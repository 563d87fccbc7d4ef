/* SPDX-License-Identifier: MIT */
/* dipole keys: the keys of the nodes, in the topology file and on this machine, and whether they
 * fit. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static void print_keys(const json_t *answer)
{
	struct cli_table *table = cli_table_new("lll", "NODE PUBLIC-KEY SECRET-KEY");
	size_t i;
	json_t *key;
	json_array_foreach (json_object_get(answer, "keys"), i, key) {
		const char *public_key = verb_text(key, "public_key");
		cli_table_add(table, "%s", verb_text(key, "node"));
		cli_table_add(table, "%s", public_key[0] ? public_key : "-");
		cli_table_add(table, "%s", verb_text(key, "secret_key"));
	}
	cli_table_print(&table);
}

static int show_keys(const struct verb_place *place, bool json, bool check)
{
	struct verb_error error = {.status = 0};
	json_t *answer = verb_keys(place), *key;
	size_t i;
	json_array_foreach (json_object_get(answer, "keys"), i, key)
		if (check && !json_is_true(json_object_get(key, "ok")))
			error.status = EX_CONFIG;
	return cli_answer(answer, json, print_keys, &error);
}

/* The pair that the node turns to when the topology names it. */
static int add_next_key(const struct verb_place *place, const char *node)
{
	struct verb_error error = {.status = 0};
	return cli_answer(verb_key_add(place, node, &error), false, cli_print_key, &error);
}

static int run_keys(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL, *words[2];
	bool json = false;
	struct verb_place place;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the deployment"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, words, 0, 2);
	const char *what = words[0] ? words[0] : "check";
	bool adds = strcmp(what, "add") == 0, lists = strcmp(what, "list") == 0;
	if (!adds && !lists && strcmp(what, "check"))
		cli_usage(self, "'%s' is none of check, list, add", what);
	if (adds != (words[1] != NULL))
		cli_usage(self, adds ? "add needs the name of a node" : "'%s' is one word too many",
			words[1]);
	int status = cli_place_open(state, &place);
	if (!status)
		status = adds ? add_next_key(&place, words[1]) : show_keys(&place, json, !lists);
	verb_place_close(&place);
	return status;
}

const struct cli_command cli_keys = {
	.name = "keys",
	.arguments = "[check | list | add NODE] [--state DIR] [--json]",
	.summary =
		"List the nodes' keys, check those of this machine, make the next one of a node.",
	.run = run_keys,
};
