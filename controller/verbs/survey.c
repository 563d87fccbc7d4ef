/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "verbs/nodes.h"

bool verb_survey_has(const struct verb_survey *survey, unsigned node)
{
	if (survey->stream && !dp_topology_uses(survey->stream, node))
		return false;
	if (survey->site &&
		strcmp(survey->place->topology->sites[survey->place->topology->nodes[node].site]
				.name,
			survey->site))
		return false;
	return survey->only < 0 || (unsigned)survey->only == node;
}

json_t *verb_survey_stream(const struct verb_survey *survey, unsigned node, const char *name)
{
	size_t i;
	json_t *stream;
	json_array_foreach (json_object_get(survey->answers[node], "streams"), i, stream) {
		if (strcmp(verb_text(stream, "name"), name) == 0)
			return stream;
	}
	return NULL;
}

void verb_survey_ask(struct verb_survey *survey)
{
	struct dp_ask asks[DP_NODES_MAX];
	unsigned nodes[DP_NODES_MAX], count = 0;
	for (unsigned i = 0; i < survey->place->topology->node_count; i++)
		if (verb_survey_has(survey, i))
			nodes[count++] = i;
	verb_ask_all(survey->place, nodes, count, json_pack("{s:s}", "cmd", "status"),
		VERB_ASK_TIMEOUT_US, asks);
	survey->answered = 0;
	for (unsigned i = 0; i < count; i++) {
		survey->answers[nodes[i]] = asks[i].answer;
		strcpy(survey->errors[nodes[i]], asks[i].error);
		survey->answered += asks[i].answer != NULL;
	}
}

void verb_survey_clear(struct verb_survey *survey)
{
	for (unsigned i = 0; i < DP_NODES_MAX; i++) {
		json_decref(survey->answers[i]);
		survey->answers[i] = NULL;
	}
}

static bool has_site(const struct dp_topology *t, const char *site)
{
	for (unsigned i = 0; i < t->site_count; i++)
		if (strcmp(t->sites[i].name, site) == 0)
			return true;
	return false;
}

int verb_survey_begin(struct verb_survey *survey, const struct verb_place *place,
	const struct verb_filter *filter, struct verb_error *error)
{
	const struct dp_topology *t = place->topology;
	*survey = (struct verb_survey){.place = place, .site = filter->site};
	survey->only = filter->node ? dp_topology_node(t, filter->node) : -1;
	if (filter->node && survey->only < 0)
		return verb_fail(error, EX_USAGE, "no node '%s' in %s/topology.yaml", filter->node,
			place->dir);
	if (filter->site && !has_site(t, filter->site))
		return verb_fail(error, EX_USAGE, "no site '%s' in %s/topology.yaml", filter->site,
			place->dir);
	verb_survey_ask(survey);
	return 0;
}

void verb_survey_end(struct verb_survey *survey, struct verb_error *error)
{
	const struct dp_topology *t = survey->place->topology;
	if (!survey->answered && survey->only >= 0)
		verb_fail(error, EX_UNAVAILABLE, "node %s does not answer: %s",
			t->nodes[survey->only].name, survey->errors[survey->only]);
	else if (!survey->answered)
		verb_fail(error, EX_UNAVAILABLE, "no node of %s answers", t->name);
	verb_survey_clear(survey);
}
