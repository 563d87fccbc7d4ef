/* SPDX-License-Identifier: MIT */
/* `dipole budget`: the question asked of a topology and what follows from its budget, for the text,
 * the JSON and the page that show it. */
#ifndef DP_CONTROLLER_CLI_BUDGET_BUDGET_VIEW_H
#define DP_CONTROLLER_CLI_BUDGET_BUDGET_VIEW_H

#include "budget.h"
#include "cli.h"
#include "verbs/nodes.h"

struct budget_view {
	const struct dp_topology *t;
	unsigned stream;
	uint64_t data_bytes, rate_bytes; /* of the host's writes */
	uint64_t outage_us, budget_us;   /* budget 0: not asked */
	struct dp_budget_costs costs;
	const struct dp_budget *b;
	const char *change;           /* --what-if, or NULL */
	const struct dp_budget *then; /* with that change; NULL: not asked */
};

void budget_print(const struct budget_view *v);
json_t *budget_json(const struct budget_view *v);
void budget_html(const struct budget_view *v);
/* Beside what the nodes that were asked have measured. */
void budget_measured_print(const struct budget_view *v, const struct verb_survey *survey);
json_t *budget_measured_json(const struct budget_view *v, const struct verb_survey *survey);
void budget_svg_map(const struct budget_view *v);
void budget_svg_timeline(const struct budget_view *v); /* to scale */

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
