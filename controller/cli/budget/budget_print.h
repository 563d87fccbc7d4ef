/* SPDX-License-Identifier: MIT */
/* The ways in which `dipole budget` shows a budget, all on stdout. */
#ifndef DP_CONTROLLER_CLI_BUDGET_BUDGET_PRINT_H
#define DP_CONTROLLER_CLI_BUDGET_BUDGET_PRINT_H

#include "cli.h"
#include "verbs/budget.h"

void budget_print(const struct budget_view *v);
void budget_html(const struct budget_view *v);

/* What verb_budget_measured() has returned. */
void budget_print_measured(const json_t *answer);

/* Parts of the page: a map, and a timeline to scale. */
void budget_svg_map(const struct budget_view *v);
void budget_svg_timeline(const struct budget_view *v);

#endif
