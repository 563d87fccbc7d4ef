/* SPDX-License-Identifier: MIT */
#include "verbs/budget.h"

#include <math.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/units.h"
#include "topology/what_if.h"

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

/* ---- making it ---- */

static int fail_make(const struct dp_topology *t, int err, unsigned unknown,
	struct verb_error *error)
{
	const struct dp_topo_link *l = &t->links[unknown];
	if (err != DP_EINVAL)
		return verb_fail(error, EX_OSERR, "%s", dp_strerror(err));
	return verb_fail(error, EX_CONFIG,
		"the link between %s and %s has neither a distance nor a round trip, and a site of theirs no "
		"position (`at`)",
		t->nodes[l->a].name, t->nodes[l->b].name);
}

static int make_budget(const struct budget_view *v, const struct dp_topology *t,
	struct dp_budget **out, struct verb_error *error)
{
	unsigned unknown;
	int err = dp_budget_make(t, v->stream, &v->costs, out, &unknown);
	return err ? fail_make(t, err, unknown, error) : 0;
}

static int make_change(struct budget_view *v, struct verb_error *error)
{
	char why[256];
	struct dp_topology *t = malloc(sizeof *t);
	if (!t)
		return verb_fail(error, EX_OSERR, "%s", dp_strerror(DP_ENOMEM));
	*t = *v->t;
	int status = dp_what_if(t, v->stream, v->change, why, sizeof why)
		? verb_fail(error, EX_USAGE, "--what-if %s: %s", v->change, why)
		: make_budget(v, t, &v->then, error);
	free(t);
	return status;
}

int budget_open(struct budget_view *v, const struct dp_topology *t, const char *where,
	const char *stream, struct verb_error *error)
{
	int found = stream ? dp_topology_stream(t, stream) : t->stream_count == 1 ? 0 : -1;
	v->b = v->then = NULL;
	if (found < 0 && stream)
		return verb_fail(error, EX_USAGE, "%s has no stream '%s'", where, stream);
	if (found < 0)
		return verb_fail(error, EX_USAGE, "%s has %u streams; name one with --stream",
			where, t->stream_count);
	v->t = t;
	v->stream = (unsigned)found;
	int status = make_budget(v, t, &v->b, error);
	return !status && v->change ? make_change(v, error) : status;
}

void budget_close(struct budget_view *v)
{
	dp_budget_destroy(&v->then);
	dp_budget_destroy(&v->b);
}
