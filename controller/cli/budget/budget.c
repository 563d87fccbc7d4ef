/* SPDX-License-Identifier: MIT */
/* dipole budget: what distance costs a stream, before it is deployed. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "budget/budget_print.h"

static void want_size(const struct cli_command *self, const char *option, const char *text,
	uint64_t *out)
{
	if (text && (dp_parse_size(text, out) || !*out))
		cli_usage(self, "--%s takes a size such as 4KiB, not '%s'", option, text);
}

static double want_number(const struct cli_command *self, const char *option, const char *text,
	double least)
{
	char *end;
	errno = 0;
	double value = strtod(text, &end);
	if (errno || end == text || *end || !(value >= least) || isinf(value))
		cli_usage(self, "--%s takes a number from %g, not '%s'", option, least, text);
	return value;
}

double cli_propagation(const struct cli_command *self, const char *text)
{
	char *end;
	double value = strtod(text, &end),
	       metres = strcmp(end, "us/mi") == 0 ? DP_METRES_A_MILE : 1000;
	bool unit = strcmp(end, "us/mi") == 0 || strcmp(end, "us/km") == 0;
	if (end == text || !unit || !(value > 0) || isinf(value))
		cli_usage(self, "--propagation takes a value such as 8us/mi or 5us/km, not '%s'",
			text);
	return value / metres;
}

enum format { TEXT, JSON, HTML };

static enum format want_format(const struct cli_command *self, const char *text, bool json)
{
	static const char *const names[] = {"text", "json", "html"};
	for (unsigned i = 0; text && i < 3; i++)
		if (strcmp(text, names[i]) == 0)
			return (enum format)i;
	if (text)
		cli_usage(self, "--format takes text, json or html, not '%s'", text);
	return json ? JSON : TEXT;
}

static void show_in_format(const struct budget_view *v, enum format format)
{
	if (format == JSON)
		cli_print_json(verb_budget(v));
	else if (format == HTML)
		budget_html(v);
	else
		budget_print(v);
}

static int show_budget(struct budget_view *v, const char *file, const char *stream,
	enum format format)
{
	struct dp_topology *t;
	struct verb_error error = {.status = 0};
	int status = cli_topology_load(file, &t);
	if (status)
		return status;
	if (!budget_open(v, t, file, stream, &error))
		show_in_format(v, format);
	budget_close(v);
	dp_topology_destroy(&t);
	return cli_error(&error);
}

static int show_measured(struct budget_view *v, const char *state, const char *stream, bool json)
{
	struct verb_place place;
	struct verb_error error = {.status = 0};
	json_t *answer = NULL;
	int status = cli_place_open(state, &place);
	if (!status) {
		if (!budget_open(v, place.topology, place.dir, stream, &error))
			answer = verb_budget_measured(v, &place, &error);
		budget_close(v);
		status = cli_answer(answer, json, budget_print_measured, &error);
	}
	verb_place_close(&place);
	return status;
}

static int run_budget(const struct cli_command *self, int argc, char **argv)
{
	const char *file = NULL, *state = NULL, *stream = NULL, *size = NULL, *rate = NULL,
		   *factor = NULL, *propagation = NULL, *format_text = NULL;
	uint64_t work_us = UINT64_MAX, commit_us = UINT64_MAX;
	bool json = false, measured = false;
	struct budget_view v = {
		.data_bytes = 4 * DP_KIB, .rate_bytes = 10 * DP_MIB, .outage_us = 1800000000};
	const struct cli_option options[] = {
		{"stream", CLI_TEXT, &stream, "NAME", "this stream; needed if there are several"},
		{"size", CLI_TEXT, &size, "SIZE", "of a write (4KiB)"},
		{"rate", CLI_TEXT, &rate, "SIZE", "bytes that the host writes in a second (10MiB)"},
		{"outage", CLI_TIME, &v.outage_us, "TIME", "that journals should ride out (30min)"},
		{"budget", CLI_TIME, &v.budget_us, "TIME",
			"how far may the poles be for this latency?"},
		{"what-if", CLI_TEXT, &v.change, "CHANGE",
			"such as ack=committed or relay=LEG:1mi"},
		{"propagation", CLI_TEXT, &propagation, "VALUE", "5us/mi (default) or 3.1us/km"},
		{"route-factor", CLI_TEXT, &factor, "NUMBER", "for distances from coordinates (1)"},
		{"work", CLI_TIME, &work_us, "TIME", "of a node on a message (5us)"},
		{"commit", CLI_TIME, &commit_us, "TIME", "of a durable write (100us)"},
		{"measured", CLI_FLAG, &measured, NULL,
			"beside what a running deployment has measured"},
		{"state", CLI_TEXT, &state, "DIR", "the state directory of that deployment"},
		{"format", CLI_TEXT, &format_text, "FORMAT",
			"text, json, or html: a page of its own"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &file, 0, 1);
	enum format format = want_format(self, format_text, json);
	if (!file == !measured)
		cli_usage(self,
			"either FILE, or --measured, which takes the file of the running deployment");
	if (measured && v.change)
		cli_usage(self, "--what-if is about FILE");
	if (measured && format == HTML)
		cli_usage(self, "--measured comes as text or json");
	want_size(self, "size", size, &v.data_bytes);
	want_size(self, "rate", rate, &v.rate_bytes);
	if (v.data_bytes > DP_PAYLOAD_MAX)
		cli_usage(self, "--size is at most 1MiB, not '%s'", size);
	v.costs = dp_budget_costs_default(v.data_bytes);
	if (propagation)
		v.costs.us_per_metre = cli_propagation(self, propagation);
	if (factor)
		v.costs.route_factor = want_number(self, "route-factor", factor, 1);
	if (work_us != UINT64_MAX)
		v.costs.work_us = (double)work_us;
	if (commit_us != UINT64_MAX)
		v.costs.commit_us = (double)commit_us;

	if (measured)
		return show_measured(&v, state, stream, format == JSON);
	return show_budget(&v, file, stream, format);
}

const struct cli_command cli_budget = {
	.name = "budget",
	.arguments =
		"FILE | --measured [--stream NAME] [--size SIZE] [--rate SIZE] [--outage TIME] [--budget "
		"TIME] [--what-if CHANGE] [--format FORMAT] [--json]",
	.summary = "Predict what distance costs a stream: latency, journals, links.",
	.run = run_budget,
};
