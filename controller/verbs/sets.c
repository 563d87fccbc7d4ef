/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "verbs/nodes.h"

json_t *verb_sets(const struct verb_place *place, const char *stream, struct verb_error *error)
{
	const struct dp_topology *t = place->topology;
	int index = dp_topology_stream(t, stream);
	char why[DP_ASK_ERROR_MAX];
	json_t *answer;
	if (index < 0) {
		verb_fail(error, EX_USAGE, "no stream '%s' in %s/topology.yaml", stream,
			place->dir);
		return NULL;
	}
	unsigned controller = t->streams[index].controller;
	if (verb_ask(place, controller, json_pack("{s:s,s:s}", "cmd", "sets", "stream", stream),
		    VERB_ASK_TIMEOUT_US, &answer, why))
		verb_fail(error, EX_UNAVAILABLE, "controller %s: %s", t->nodes[controller].name,
			why);
	return answer;
}

/* Sets older than the first one listed have been committed and forgotten. */
bool verb_set_is_committed(const json_t *sets, uint64_t set)
{
	json_t *entry;
	size_t i;
	json_array_foreach (json_object_get(sets, "sets"), i, entry) {
		if (set < verb_number(entry, "first_id"))
			return i == 0;
		if (set <= verb_number(entry, "last_id"))
			return strcmp(verb_text(entry, "state"), "committed") == 0;
	}
	return false;
}
