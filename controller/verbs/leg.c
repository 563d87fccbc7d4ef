/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "verbs/nodes.h"

static bool has_leg(const struct dp_topo_stream *s, const char *name)
{
	for (unsigned i = 0; i < s->leg_count; i++)
		if (strcmp(s->legs[i].name, name) == 0)
			return true;
	return false;
}

static json_t *order_leg(const struct verb_place *place, unsigned controller,
	const struct verb_leg *l, struct verb_error *error)
{
	char why[DP_ASK_ERROR_MAX];
	json_t *answer,
		*request = json_pack("{s:s,s:s,s:s,s:s}", "cmd", "leg", "stream", l->stream, "leg",
			l->leg, "order", l->order);
	if (l->drop_to != VERB_DROP_ALL)
		json_object_set_new(request, "set", json_integer((json_int_t)l->drop_to));
	if (verb_ask(place, controller, request, VERB_ASK_TIMEOUT_US, &answer, why)) {
		verb_fail(error, EX_UNAVAILABLE, "controller %s: %s",
			place->topology->nodes[controller].name, why);
		return NULL;
	}
	json_t *done = json_pack("{s:s,s:s,s:s,s:b}", "stream", l->stream, "leg", l->leg, "order",
		l->order, "writes_wait", json_is_true(json_object_get(answer, "writes_wait")));
	json_decref(answer);
	return done;
}

json_t *verb_leg(const struct verb_place *place, const struct verb_leg *leg,
	struct verb_error *error)
{
	int index = dp_topology_stream(place->topology, leg->stream);
	const struct dp_topo_stream *s = &place->topology->streams[index < 0 ? 0 : index];
	if (index < 0)
		verb_fail(error, EX_USAGE, "no stream '%s' in %s/topology.yaml", leg->stream,
			place->dir);
	else if (!has_leg(s, leg->leg))
		verb_fail(error, EX_USAGE, "stream '%s' has no leg '%s'", leg->stream, leg->leg);
	else
		return order_leg(place, s->controller, leg, error);
	return NULL;
}
