/* SPDX-License-Identifier: MIT */
/* What the commands that look at all nodes have in common. A node that does not answer is down; the
 * command fails only when none answers, or not the one that was named. */
#include "cli.h"

#include <stdio.h>
#include <unistd.h>

#define WATCH_EVERY_US 1000000

struct view {
	const char *state;
	struct verb_filter filter;
	bool json, watch;
	json_t *(*verb)(const struct verb_place *, const struct verb_filter *, struct verb_error *);
	void (*print)(const json_t *answer, const struct dp_topology *topology);
};

static void show_view(const struct view *v, const struct verb_place *place, const json_t *answer)
{
	if (v->watch && isatty(STDOUT_FILENO))
		fputs("\033[H\033[2J", stdout);
	v->print(answer, place->topology);
	fflush(stdout);
}

static int repeat_view(const struct view *v, const struct verb_place *place)
{
	for (;;) {
		struct verb_error error = {.status = 0};
		json_t *answer = v->verb(place, &v->filter, &error);
		bool ends = !answer || !v->watch;
		if (answer && v->json)
			cli_print_json(json_incref(answer));
		else if (answer)
			show_view(v, place, answer);
		json_decref(answer);
		if (ends || ferror(stdout))
			return cli_error(&error);
		verb_error_clear(&error);
		dp_clock_sleep_us(WATCH_EVERY_US);
	}
}

int cli_view(const struct cli_command *command, int argc, char **argv,
	json_t *(*verb)(const struct verb_place *, const struct verb_filter *, struct verb_error *),
	void (*print)(const json_t *answer, const struct dp_topology *topology))
{
	struct view v = {.verb = verb, .print = print};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &v.state, "DIR", "the state directory of the deployment"},
		{"node", CLI_TEXT, &v.filter.node, "NAME", "only this node"},
		{"site", CLI_TEXT, &v.filter.site, "NAME", "only the nodes of this site"},
		{"json", CLI_FLAG, &v.json, NULL, "print JSON, one line"},
		{"watch", CLI_FLAG, &v.watch, NULL, "repeat every second until interrupted"},
		{.name = NULL},
	};
	struct verb_place place;
	cli_parse(command, argc, argv, options, NULL, 0, 0);
	int status = cli_place_open(v.state, &place);
	if (!status)
		status = repeat_view(&v, &place);
	verb_place_close(&place);
	return status;
}
