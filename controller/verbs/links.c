/* SPDX-License-Identifier: MIT */
/* Every link of every stream, as the node above it sees it. */
#include "verbs/nodes.h"

/* Each entry of `from` behind the members of `head`, which is stolen. */
static void append_each(json_t *to, json_t *head, const json_t *from)
{
	json_t *entry;
	size_t i;
	json_array_foreach (from, i, entry) {
		json_t *all = json_copy(head);
		json_object_update(all, entry);
		json_array_append_new(to, all);
	}
	json_decref(head);
}

json_t *verb_links(const struct verb_place *place, const struct verb_filter *filter,
	struct verb_error *error)
{
	struct verb_survey survey;
	if (verb_survey_begin(&survey, place, filter, error))
		return NULL;
	json_t *links = json_array(), *down = json_array(), *connections = json_array(), *stream;
	size_t k;
	for (unsigned i = 0; i < place->topology->node_count; i++) {
		const char *name = place->topology->nodes[i].name;
		const json_t *answer = survey.answers[i];
		if (verb_survey_has(&survey, i) && !answer)
			json_array_append_new(down, json_string(name));
		json_array_foreach (json_object_get(answer, "streams"), k, stream)
			append_each(links,
				json_pack("{s:s,s:s}", "node", name, "stream",
					verb_text(stream, "name")),
				json_object_get(stream, "links"));
		append_each(connections, json_pack("{s:s}", "node", name),
			json_object_get(answer, "connections"));
	}
	verb_survey_end(&survey, error);
	return json_pack("{s:o,s:o,s:o}", "links", links, "connections", connections, "down", down);
}
