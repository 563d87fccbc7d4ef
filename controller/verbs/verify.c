/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "verbs/copies.h"

#define PATIENCE_US 10000000 /* a daemon that has ended is started again within some seconds */

static const char *const results[] = {"missing", "equal", "differs"};

/* A difference says more than a copy that is missing. */
static enum copy_result overall_result(const struct copies *copies)
{
	if (copies_with(copies, COPY_DIFFERS))
		return COPY_DIFFERS;
	return copies_with(copies, COPY_MISSING) ? COPY_MISSING : COPY_EQUAL;
}

static json_t *verified_json(const struct copies *copies)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < copies->count; i++) {
		const struct copy *copy = &copies->list[i];
		json_t *entry = copy_json(copies, copy);
		json_object_set_new(entry, "result", json_string(results[copy->result]));
		json_array_append_new(list, entry);
	}
	return json_pack("{s:s,s:s,s:i,s:i,s:i,s:o}", "volume", copies->volume, "result",
		results[overall_result(copies)], "equal", (int)copies_with(copies, COPY_EQUAL),
		"differs", (int)copies_with(copies, COPY_DIFFERS), "missing",
		(int)copies_with(copies, COPY_MISSING), "copies", list);
}

json_t *verb_verify(const struct verb_place *place, const struct verb_copies *args,
	struct verb_error *error)
{
	static const int statuses[] = {EX_TEMPFAIL, EX_OK, EX_DATAERR};
	struct copies copies;
	json_t *answer = NULL;
	if (!copies_compare(&copies, place, args, PATIENCE_US, error)) {
		answer = verified_json(&copies);
		error->status = statuses[overall_result(&copies)];
	}
	copies_clear(&copies);
	return answer;
}

/* ---- what is wrong is made right ---- */

/* The leg at whose end this is a copy that differs from one that is right; or NULL. */
static const char *wrong_leg(const struct verb_place *place, const struct dp_topo_stream *s,
	const json_t *copy)
{
	int node = dp_topology_node(place->topology, verb_text(copy, "node"));
	struct copies found;
	copies_find(s, node, &found);
	if (strcmp(verb_text(copy, "result"), "differs") || node < 0 || !found.count)
		return NULL;
	return found.list[0].leg ? found.list[0].leg->name : NULL;
}

json_t *verb_repair(const struct verb_place *place, const json_t *verified,
	struct verb_error *error)
{
	const struct dp_topology *t = place->topology;
	int volume = dp_topology_volume(t, verb_text(verified, "volume"));
	json_t *legs = json_array(), *copy;
	size_t i;
	/* If no copy is equal to the right one then nobody knows which that is. */
	if (volume < 0 || !verb_number(verified, "equal"))
		return json_pack("{s:o}", "legs", legs);
	const struct dp_topo_stream *s = &t->streams[t->volumes[volume].stream];
	json_array_foreach (json_object_get(verified, "copies"), i, copy) {
		struct verb_leg order = {
			s->name, wrong_leg(place, s, copy), "resync", VERB_DROP_ALL};
		if (!order.leg || error->status)
			continue;
		json_t *done = verb_leg(place, &order, error);
		if (done)
			json_array_append_new(legs, json_string(order.leg));
		json_decref(done);
	}
	return json_pack("{s:o}", "legs", legs);
}
