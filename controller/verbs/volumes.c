/* SPDX-License-Identifier: MIT */
/* What hosts can open, and where. */
#include <unistd.h>

#include "verbs/nodes.h"
#include "verbs/uri.h"

static json_t *volume_entry(const struct verb_survey *survey, const struct dp_topo_volume *v)
{
	const struct dp_topology *t = survey->place->topology;
	const struct dp_topo_stream *s = &t->streams[v->stream];
	const char *controller = t->nodes[s->controller].name;
	json_t *stream = verb_survey_stream(survey, s->controller, s->name);
	char path[PATH_MAX], uri[VERB_URI_MAX] = "";
	verb_node_path(survey->place->dir, controller, "nbd.sock", path);
	if (access(path, F_OK) == 0)
		verb_nbd_uri(v->name, path, uri);
	return json_pack("{s:s,s:I,s:s,s:s,s:s,s:s?}", "name", v->name, "size_bytes",
		(json_int_t)v->size, "stream", s->name, "controller", controller, "state",
		survey->answers[s->controller] ? verb_text(stream, "state") : "Down", "uri",
		uri[0] ? uri : NULL);
}

json_t *verb_volumes(const struct verb_place *place, const struct verb_filter *filter,
	struct verb_error *error)
{
	struct verb_survey survey;
	if (verb_survey_begin(&survey, place, filter, error))
		return NULL;
	const struct dp_topology *t = place->topology;
	json_t *volumes = json_array();
	for (unsigned i = 0; i < t->volume_count; i++)
		if (verb_survey_has(&survey, t->streams[t->volumes[i].stream].controller))
			json_array_append_new(volumes, volume_entry(&survey, &t->volumes[i]));
	verb_survey_end(&survey, error);
	return json_pack("{s:o}", "volumes", volumes);
}
