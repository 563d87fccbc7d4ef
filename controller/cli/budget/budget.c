/* SPDX-License-Identifier: MIT */
/* dipole budget: what distance costs a stream, before it is deployed. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/units.h"
#include "budget/budget_view.h"
#include "what_if.h"

/* ---- what follows ---- */

const struct dp_topo_stream *budget_stream(const struct budget_view *v)
{
	return &v->t->streams[v->stream];
}

const char *budget_name(const struct budget_view *v, unsigned at)
{
	return at == DP_BUDGET_HOST ? "host" : v->t->nodes[at].name;
}

uint64_t budget_journal(const struct budget_view *v, unsigned node)
{
	const struct dp_topo_stream *s = budget_stream(v);
	return node == s->controller ? s->journal_bytes : v->t->nodes[node].journal_bytes;
}

double budget_lasts_s(const struct budget_view *v, unsigned node)
{
	double each_s = dp_budget_backlog(&v->costs, v->data_bytes, (double)v->rate_bytes, 1);
	return (double)budget_journal(v, node) / each_s;
}

double budget_outage_bytes(const struct budget_view *v)
{
	return dp_budget_backlog(&v->costs, v->data_bytes, (double)v->rate_bytes,
		(double)v->outage_us / 1e6);
}

double budget_held_bytes(const struct budget_view *v, double held_us)
{
	return dp_budget_backlog(&v->costs, v->data_bytes, (double)v->rate_bytes, held_us / 1e6);
}

double budget_data_rate(const struct budget_view *v, const struct dp_budget_hop *h)
{
	return h->rate_bytes * (double)v->data_bytes / (double)v->costs.record_bytes;
}

bool budget_is_limited(const struct budget_view *v, const struct dp_budget_hop *h)
{
	return h->rate_bytes > 0 && budget_data_rate(v, h) < 10.0 * (double)DP_GIB;
}

double budget_reach(const struct budget_view *v, unsigned leg)
{
	return dp_budget_reach(v->t, v->stream, leg, &v->costs, (double)v->budget_us);
}

double budget_separation(const struct budget_view *v)
{
	const struct dp_topo_stream *s = budget_stream(v);
	double first = -1, second = -1;
	for (unsigned i = 0; i < s->leg_count; i++) {
		double m = budget_reach(v, i);
		if (isinf(m))
			return -1;
		if (m > first) {
			second = first;
			first = m;
		} else if (m > second) {
			second = m;
		}
	}
	return second < 0 ? -1 : first + second;
}

/* ---- the command ---- */

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

/* What the nodes of the place have measured, for that stream only. */
static void ask_and_show(const struct budget_view *v, enum format format,
	struct verb_survey *survey)
{
	survey->stream = budget_stream(v);
	survey->only = -1;
	verb_survey_ask(survey);
	if (!survey->answered)
		return;
	if (format == JSON)
		cli_print_json(budget_measured_json(v, survey));
	else
		budget_measured_print(v, survey);
}

static void show(const struct budget_view *v, enum format format)
{
	if (format == JSON)
		cli_print_json(budget_json(v));
	else if (format == HTML)
		budget_html(v);
	else
		budget_print(v);
}

static int fail_make(const struct dp_topology *t, int err, unsigned unknown)
{
	const struct dp_topo_link *l = &t->links[unknown];
	if (err != DP_EINVAL)
		return cli_fail(EX_OSERR, "%s", dp_strerror(err));
	return cli_fail(EX_CONFIG,
		"the link between %s and %s has neither a distance nor a round trip, and a site of theirs no "
		"position (`at`)",
		t->nodes[l->a].name, t->nodes[l->b].name);
}

/* *then is the caller's. */
static int make_change(const struct budget_view *v, struct dp_budget **then)
{
	char why[DP_ASK_ERROR_MAX];
	unsigned unknown;
	struct dp_topology *t = malloc(sizeof *t);
	*then = NULL;
	if (!t)
		return cli_fail(EX_OSERR, "out of memory");
	*t = *v->t;
	int status = EX_OK;
	if (dp_what_if(t, v->stream, v->change, why, sizeof why))
		status = cli_fail(EX_USAGE, "--what-if %s: %s", v->change, why);
	int err = status ? 0 : dp_budget_make(t, v->stream, &v->costs, then, &unknown);
	if (err)
		status = fail_make(t, err, unknown);
	free(t);
	return status;
}

/* survey: of a running deployment, or NULL. */
static int answer(struct budget_view *v, enum format format, struct verb_survey *survey)
{
	struct dp_budget *b, *then = NULL;
	unsigned unknown;
	int err = dp_budget_make(v->t, v->stream, &v->costs, &b, &unknown);
	if (err)
		return fail_make(v->t, err, unknown);
	int status = v->change ? make_change(v, &then) : EX_OK;
	v->b = b;
	v->then = then;
	if (!status && survey)
		ask_and_show(v, format, survey);
	else if (!status)
		show(v, format);
	dp_budget_destroy(&then);
	dp_budget_destroy(&b);
	if (status || !survey || survey->answered)
		return status;
	return cli_fail(EX_UNAVAILABLE, "no node of %s answers on this machine", v->t->name);
}

/* In the topology that is loaded. */
static int answer_for(struct budget_view *v, const char *file, const char *stream,
	enum format format, struct verb_survey *survey)
{
	int found = stream ? dp_topology_stream(v->t, stream) : v->t->stream_count == 1 ? 0 : -1;
	if (found < 0 && stream)
		return cli_fail(EX_USAGE, "%s has no stream '%s'", file, stream);
	if (found < 0)
		return cli_fail(EX_USAGE, "%s has %u streams; name one with --stream", file,
			v->t->stream_count);
	v->stream = (unsigned)found;
	return answer(v, format, survey);
}

static int answer_for_file(struct budget_view *v, const char *file, const char *stream,
	enum format format)
{
	struct dp_topology *t;
	int status = cli_topology_load(file, &t);
	if (status)
		return status;
	v->t = t;
	status = answer_for(v, file, stream, format, NULL);
	dp_topology_destroy(&t);
	return status;
}

static int answer_for_place(struct budget_view *v, const char *state, const char *stream,
	enum format format)
{
	struct verb_place place;
	struct verb_survey survey = {.place = &place};
	int status = cli_place_open(state, &place);
	if (status == EX_OK) {
		v->t = place.topology;
		status = answer_for(v, place.dir, stream, format, &survey);
	}
	verb_survey_clear(&survey);
	verb_place_close(&place);
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
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
		return answer_for_place(&v, state, stream, format);
	return answer_for_file(&v, file, stream, format);
}

const struct cli_command cli_budget = {
	.name = "budget",
	.arguments =
		"FILE | --measured [--stream NAME] [--size SIZE] [--rate SIZE] [--outage TIME] [--budget "
		"TIME] [--what-if CHANGE] [--format FORMAT] [--json]",
	.summary = "Predict what distance costs a stream: latency, journals, links.",
	.run = run,
};
