/* SPDX-License-Identifier: MIT */
/* The question that `dipole budget` asks of a topology, and what follows from the budget of one
 * stream. The verbs return it as JSON; the command also shows it as tables and as a page. */
#ifndef DP_CONTROLLER_VERBS_BUDGET_H
#define DP_CONTROLLER_VERBS_BUDGET_H

#include "topology/budget.h"
#include "verbs/verbs.h"

struct budget_view {
	/* the question, set by the caller */
	uint64_t data_bytes, rate_bytes; /* of the host's writes */
	uint64_t outage_us, budget_us;   /* budget 0: not asked */
	struct dp_budget_costs costs;
	const char *change; /* as dp_what_if(); NULL: not asked */
	/* set by budget_open() */
	const struct dp_topology *t;
	unsigned stream;
	struct dp_budget *b;
	struct dp_budget *then; /* with the change; NULL: not asked */
};

/* Makes the budget of the named stream, or of the only one if `stream` is NULL. The topology stays
 * the caller's and is needed until budget_close(); `where` names it in errors. Returns 0 or
 * error->status. The caller closes the view in both cases. */
int budget_open(struct budget_view *v, const struct dp_topology *t, const char *where,
	const char *stream, struct verb_error *error);
void budget_close(struct budget_view *v);

/* {"stream", "ack_us", "flush_us", "local_us", "cached_us", "committed_us", "legs": [...],
 * "events": [{"t_us", "at", "what"}...], "outage_bytes", "assumed", "one_sided_m"}, with "what_if"
 * for a change, and "reach_separation_m", "budget_us" and "fits" for a budget. */
json_t *verb_budget(const struct budget_view *v);

/* Beside what the nodes of the place have measured: {"stream", "stages": [{"leg", "node", "to",
 * "stage", "predicted_us", "measured": HISTOGRAM or null, "exceeded"}...]}. The view is of the
 * place's topology. Errors: EX_UNAVAILABLE no node answers. */
json_t *verb_budget_measured(const struct budget_view *v, const struct verb_place *place,
	struct verb_error *error);

/* ---- what follows ---- */

const struct dp_topo_stream *budget_stream(const struct budget_view *v);
const char *budget_name(const struct budget_view *v, unsigned at); /* a node, or the host */
uint64_t budget_journal(const struct budget_view *v, unsigned node);

/* Seconds that a node's journal lasts when nothing leaves it. */
double budget_lasts_s(const struct budget_view *v, unsigned node);

/* What an outage fills, and what stands in a journal while all goes well. */
double budget_outage_bytes(const struct budget_view *v);
double budget_held_bytes(const struct budget_view *v, double held_us);

/* Bytes of data a second that a link can carry; 0: no limit. */
double budget_data_rate(const struct budget_view *v, const struct dp_budget_hop *h);

/* Whether that is worth saying: no link is as fast as all that. */
bool budget_is_limited(const struct budget_view *v, const struct dp_budget_hop *h);

/* How far apart two nodes that an answer waits for may be for the budget, on opposite sides;
 * negative: the budget says nothing of it. */
double budget_separation(const struct budget_view *v);

/* How far the node may be for the budget, as dp_budget_reach(). */
double budget_reach(const struct budget_view *v, unsigned leg);

#endif
