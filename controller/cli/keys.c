/* dipole keys: the keys of the nodes, in the topology file and on this machine, and whether they fit. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

enum finding { FITS, ELSEWHERE, NONE_IN_FILE, MISSING, OPEN, MALFORMED, ANOTHER };

static const char *const texts[] = {[FITS] = "fits", [ELSEWHERE] = "not on this machine",
	[NONE_IN_FILE] = "there is no key in the topology file", [MISSING] = "missing; make one with dipole keygen",
	[OPEN] = "others can read it; expected mode 0600", [MALFORMED] = "no Z85 secret key",
	[ANOTHER] = "does not belong to the key in the topology file"};

static bool is_wrong(enum finding f)
{
	return f != FITS && f != ELSEWHERE;
}

/* Of the secret key in `path`; `public_key` gets what belongs to it. */
static enum finding read_key(const char *path, char public_key[DP_KEY_TEXT + 1])
{
	char secret[64] = "";
	struct stat st;
	FILE *from = fopen(path, "re");
	if (!from || fstat(fileno(from), &st)) {
		if (from)
			fclose(from);
		return MISSING;
	}
	bool read = fgets(secret, sizeof secret, from) != NULL;
	fclose(from);
	secret[strcspn(secret, "\n")] = '\0';
	bool good = read && strlen(secret) == DP_KEY_TEXT && zmq_curve_public(public_key, secret) == 0;
	explicit_bzero(secret, sizeof secret);
	return !good ? MALFORMED : st.st_mode & 077 ? OPEN : FITS;
}

static enum finding look(const struct cli_place *place, const struct dp_topo_node *n)
{
	char path[PATH_MAX], public_key[DP_KEY_TEXT + 1];
	if (access(cli_node_path(place->dir, n->name, "", path), F_OK))
		return ELSEWHERE;
	enum finding f = read_key(cli_node_path(place->dir, n->name, "key", path), public_key);
	if (!n->key[0])
		return f == MISSING ? ELSEWHERE : NONE_IN_FILE; /* all its links are trusted */
	return f == FITS && strcmp(public_key, n->key) ? ANOTHER : f;
}

static json_t *look_at_all(const struct cli_place *place, bool *wrong)
{
	const struct dp_topology *t = place->topology;
	json_t *list = json_array();
	for (unsigned i = 0; i < t->node_count; i++) {
		enum finding f = look(place, &t->nodes[i]);
		*wrong = *wrong || is_wrong(f);
		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b}", "node", t->nodes[i].name, "public_key",
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
	json_array_foreach(list, i, key)
	{
		const char *public_key = cli_text(key, "public_key");
		cli_table_add(table, "%s", cli_text(key, "node"));
		cli_table_add(table, "%s", public_key[0] ? public_key : "-");
		cli_table_add(table, "%s", cli_text(key, "secret_key"));
	}
	cli_table_print(&table);
}

static int show(const struct cli_place *place, bool json)
{
	bool wrong = false;
	json_t *list = look_at_all(place, &wrong);
	if (json) {
		cli_print_json(json_pack("{s:o}", "keys", list));
	} else {
		print(list);
		json_decref(list);
	}
	return wrong ? EX_CONFIG : EX_OK;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL;
	bool json = false;
	struct cli_place place;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the deployment"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	int status = cli_place_open(state, &place);
	if (!status)
		status = show(&place, json);
	cli_place_close(&place);
	return status;
}

const struct cli_command cli_keys = {
	.name = "keys",
	.arguments = "[--state DIR]",
	.summary = "List the nodes' keys and check those of this machine.",
	.run = run,
};
