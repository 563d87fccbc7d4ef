/* SPDX-License-Identifier: MIT */
#include <string.h>
#include <unistd.h>

#include "topology/secret.h"
#include "verbs/verbs.h"

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

static enum finding judge_key(const struct verb_place *place, const struct dp_topo_node *n)
{
	static const enum finding faults[] = {[DP_SECRET_GOOD] = FITS,
		[DP_SECRET_MISSING] = MISSING,
		[DP_SECRET_OPEN] = OPEN,
		[DP_SECRET_MALFORMED] = MALFORMED};
	char path[PATH_MAX];
	struct dp_secret s;
	if (access(verb_node_path(place->dir, n->name, "", path), F_OK))
		return ELSEWHERE;
	enum finding
		f = faults[dp_secret_read(verb_node_path(place->dir, n->name, "key", path), &s)];
	explicit_bzero(s.secret, sizeof s.secret);
	if (!n->key[0])
		return f == MISSING ? ELSEWHERE : NONE_IN_FILE; /* all its links are trusted */
	if (f != FITS || strcmp(s.public_key, n->key) == 0)
		return f;
	return strcmp(s.public_key, n->former_key) ? ANOTHER : TURNS;
}

json_t *verb_keys(const struct verb_place *place)
{
	const struct dp_topology *t = place->topology;
	json_t *list = json_array();
	for (unsigned i = 0; i < t->node_count; i++) {
		enum finding f = judge_key(place, &t->nodes[i]);
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s,s:b}", "node", t->nodes[i].name, "public_key",
				t->nodes[i].key, "secret_key", texts[f], "ok", !is_wrong(f)));
	}
	return json_pack("{s:o}", "keys", list);
}
