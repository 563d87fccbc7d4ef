/* SPDX-License-Identifier: MIT */
/* dipole budget --measured: its table. */
#include "budget/budget_print.h"

static void add_measured(struct cli_table *table, const json_t *measured, const char *key)
{
	if (verb_number(measured, "count"))
		cli_table_add(table, "%llu", (unsigned long long)verb_number(measured, key));
	else
		cli_table_add(table, "-");
}

void budget_print_measured(const json_t *answer)
{
	static const struct cli_field fields[] = {
		{"leg", CLI_TEXT}, {"node", CLI_TEXT}, {"to", CLI_TEXT}, {"stage", CLI_TEXT}};
	struct cli_table *table = cli_table_new("llllrrrrl",
		"LEG NODE TO STAGE PREDICTED-US P50-US P99-US COUNT BUDGET");
	json_t *stage;
	size_t i;
	json_array_foreach (json_object_get(answer, "stages"), i, stage) {
		const json_t *measured = json_object_get(stage, "measured");
		cli_table_fields(table, fields, 4, stage);
		cli_table_add(table, "%.0f",
			json_real_value(json_object_get(stage, "predicted_us")));
		add_measured(table, measured, "p50_us");
		add_measured(table, measured, "p99_us");
		add_measured(table, measured, "count");
		cli_table_add(table, "%s",
			!verb_number(measured, "count")                            ? "-"
				: json_is_true(json_object_get(stage, "exceeded")) ? "EXCEEDED"
										   : "kept");
	}
	cli_table_print(&table);
}
