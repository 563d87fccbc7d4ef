/* SPDX-License-Identifier: MIT */
#include "verbs/nodes.h"

json_t *verb_status(const struct verb_place *place, const struct verb_filter *filter,
	struct verb_error *error)
{
	struct verb_survey survey;
	if (verb_survey_begin(&survey, place, filter, error))
		return NULL;
	json_t *nodes = json_array();
	for (unsigned i = 0; i < place->topology->node_count; i++) {
		const struct dp_topo_node *n = &place->topology->nodes[i];
		if (!verb_survey_has(&survey, i))
			continue;
		if (survey.answers[i])
			json_array_append(nodes, survey.answers[i]);
		else
			json_array_append_new(nodes,
				json_pack("{s:s,s:s,s:s,s:o}", "node", n->name, "role",
					dp_role_name(n->role), "state", "Down", "error",
					verb_string(survey.errors[i])));
	}
	verb_survey_end(&survey, error);
	return json_pack("{s:s,s:o}", "deployment", place->topology->name, "nodes", nodes);
}
