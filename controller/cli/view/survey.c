/* SPDX-License-Identifier: MIT */
/* Asks the nodes of a deployment for their status. A node that does not answer is down; the
 * command fails only when none answers, or not the one that was named. */
#include "cli.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define WATCH_EVERY_US 1000000

bool cli_survey_has(const struct cli_survey *survey, unsigned node)
{
	if (survey->stream && !dp_topology_uses(survey->stream, node))
		return false;
	if (survey->site &&
		strcmp(survey->place.topology->sites[survey->place.topology->nodes[node].site].name,
			survey->site))
		return false;
	return survey->only < 0 || (unsigned)survey->only == node;
}

json_t *cli_survey_stream(const struct cli_survey *survey, unsigned node, const char *name)
{
	size_t i;
	json_t *stream;
	json_array_foreach (json_object_get(survey->answers[node], "streams"), i, stream) {
		if (strcmp(cli_text(stream, "name"), name) == 0)
			return stream;
	}
	return NULL;
}

void cli_survey_ask(struct cli_survey *survey)
{
	struct dp_ask asks[DP_NODES_MAX];
	unsigned nodes[DP_NODES_MAX], count = 0;
	for (unsigned i = 0; i < survey->place.topology->node_count; i++)
		if (cli_survey_has(survey, i))
			nodes[count++] = i;
	cli_ask_all(&survey->place, nodes, count, json_pack("{s:s}", "cmd", "status"),
		CLI_ASK_TIMEOUT_US, asks);
	survey->answered = 0;
	for (unsigned i = 0; i < count; i++) {
		survey->answers[nodes[i]] = asks[i].answer;
		strcpy(survey->errors[nodes[i]], asks[i].error);
		survey->answered += asks[i].answer != NULL;
	}
}

void cli_survey_clear(struct cli_survey *survey)
{
	for (unsigned i = 0; i < DP_NODES_MAX; i++) {
		json_decref(survey->answers[i]);
		survey->answers[i] = NULL;
	}
}

static void show(const struct cli_survey *survey, const struct cli_view_options *options,
	void (*print)(const struct cli_survey *), json_t *(*to_json)(const struct cli_survey *))
{
	if (options->json) {
		cli_print_json(to_json(survey));
		return;
	}
	if (options->watch && isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	print(survey);
	fflush(stdout);
}

static int survey_result(const struct cli_survey *survey)
{
	if (survey->answered)
		return EX_OK;
	const struct dp_topology *t = survey->place.topology;
	if (survey->only >= 0)
		return cli_fail(EX_UNAVAILABLE, "node %s does not answer: %s",
			t->nodes[survey->only].name, survey->errors[survey->only]);
	return cli_fail(EX_UNAVAILABLE, "no node of %s answers", t->name);
}

static bool has_site(const struct dp_topology *t, const char *site)
{
	for (unsigned i = 0; i < t->site_count; i++)
		if (strcmp(t->sites[i].name, site) == 0)
			return true;
	return false;
}

static int run_view(struct cli_survey *survey, const struct cli_view_options *options,
	void (*print)(const struct cli_survey *), json_t *(*to_json)(const struct cli_survey *))
{
	survey->only = options->node ? dp_topology_node(survey->place.topology, options->node) : -1;
	if (options->node && survey->only < 0)
		return cli_fail(EX_USAGE, "no node '%s' in %s/topology.yaml", options->node,
			survey->place.dir);
	if (options->site && !has_site(survey->place.topology, options->site))
		return cli_fail(EX_USAGE, "no site '%s' in %s/topology.yaml", options->site,
			survey->place.dir);
	survey->site = options->site;
	for (;;) {
		cli_survey_ask(survey);
		show(survey, options, print, to_json);
		cli_survey_clear(survey);
		if (!options->watch || ferror(stdout))
			return survey_result(survey);
		dp_clock_sleep_us(WATCH_EVERY_US);
	}
}

int cli_view(const struct cli_command *command, int argc, char **argv,
	void (*print)(const struct cli_survey *), json_t *(*to_json)(const struct cli_survey *))
{
	struct cli_view_options o = {.state = NULL};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &o.state, "DIR", "the state directory of the deployment"},
		{"node", CLI_TEXT, &o.node, "NAME", "only this node"},
		{"site", CLI_TEXT, &o.site, "NAME", "only the nodes of this site"},
		{"json", CLI_FLAG, &o.json, NULL, "print JSON, one line"},
		{"watch", CLI_FLAG, &o.watch, NULL, "repeat every second until interrupted"},
		{.name = NULL},
	};
	static struct cli_survey survey;
	cli_parse(command, argc, argv, options, NULL, 0, 0);
	int status = cli_place_open(o.state, &survey.place);
	if (!status)
		status = run_view(&survey, &o, print, to_json);
	cli_place_close(&survey.place);
	return status;
}
