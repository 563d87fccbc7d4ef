/* SPDX-License-Identifier: MIT */
/* dipole keys: the keys of the nodes, in the topology file and on this machine, and whether they
 * fit. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "topology/secret.h"

enum finding { FITS, TURNS, ELSEWHERE, NONE_IN_FILE, MISSING, OPEN, MALFORMED, ANOTHER };

static const char *const texts[] = {[FITS] = "fits",
	[TURNS] = "fits the former key",
	[ELSEWHERE] = "not on this machine",
	[NONE_IN_FILE] = "there is no key in the topology file",
	[MISSING] = "missing; make one with dipole keygen",
	[OPEN] = "others can read it; expected mode 0600",
	[MALFORMED] = "no Z85 secret key",
	[ANOTHER] = "does not belong to the key in the topology file"};

static bool is_wrong(enum finding f)
{
	return f != FITS && f != TURNS && f != ELSEWHERE;
}

static enum finding look(const struct cli_place *place, const struct dp_topo_node *n)
{
	static const enum finding faults[] = {[DP_SECRET_GOOD] = FITS,
		[DP_SECRET_MISSING] = MISSING,
		[DP_SECRET_OPEN] = OPEN,
		[DP_SECRET_MALFORMED] = MALFORMED};
	char path[PATH_MAX];
	struct dp_secret s;
	if (access(cli_node_path(place->dir, n->name, "", path), F_OK))
		return ELSEWHERE;
	enum finding
		f = faults[dp_secret_read(cli_node_path(place->dir, n->name, "key", path), &s)];
	explicit_bzero(s.secret, sizeof s.secret);
	if (!n->key[0])
		return f == MISSING ? ELSEWHERE : NONE_IN_FILE; /* all its links are trusted */
	if (f != FITS || strcmp(s.public_key, n->key) == 0)
		return f;
	return strcmp(s.public_key, n->former_key) ? ANOTHER : TURNS;
}

static json_t *look_at_all(const struct cli_place *place, bool *wrong)
{
	const struct dp_topology *t = place->topology;
	json_t *list = json_array();
	for (unsigned i = 0; i < t->node_count; i++) {
		enum finding f = look(place, &t->nodes[i]);
		*wrong = *wrong || is_wrong(f);
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s,s:b}", "node", t->nodes[i].name, "public_key",
				t->nodes[i].key, "secret_key", texts[f], "ok", !is_wrong(f)));
	}
	return list;
}

static void print(const json_t *list)
{
	static const char *const heading[] = {"NODE", "PUBLIC-KEY", "SECRET-KEY"};
	struct cli_table *table = cli_table_new("lll");
	size_t i;
	json_t *key;
	for (i = 0; i < 3; i++)
		cli_table_add(table, "%s", heading[i]);
	json_array_foreach (list, i, key) {
		const char *public_key = cli_text(key, "public_key");
		cli_table_add(table, "%s", cli_text(key, "node"));
		cli_table_add(table, "%s", public_key[0] ? public_key : "-");
		cli_table_add(table, "%s", cli_text(key, "secret_key"));
	}
	cli_table_print(&table);
}

static int show(const struct cli_place *place, bool json, bool check)
{
	bool wrong = false;
	json_t *list = look_at_all(place, &wrong);
	if (json) {
		cli_print_json(json_pack("{s:o}", "keys", list));
	} else {
		print(list);
		json_decref(list);
	}
	return wrong && check ? EX_CONFIG : EX_OK;
}

/* The pair that the node turns to when the topology names it. */
static int add(const struct cli_place *place, const char *node)
{
	char public_key[DP_KEY_TEXT + 1];
	if (dp_topology_node(place->topology, node) < 0)
		return cli_fail(EX_USAGE, "no node '%s' in %s", node, place->file);
	int status = cli_key_make(place->dir, node, "key.next", public_key);
	if (!status)
		puts(public_key);
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL, *words[2];
	bool json = false;
	struct cli_place place;
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
		status = adds ? add(&place, words[1]) : show(&place, json, !lists);
	cli_place_close(&place);
	return status;
}

const struct cli_command cli_keys = {
	.name = "keys",
	.arguments = "[check | list | add NODE] [--state DIR] [--json]",
	.summary =
		"List the nodes' keys, check those of this machine, make the next one of a node.",
	.run = run,
};
