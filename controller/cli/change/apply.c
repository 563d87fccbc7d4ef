/* SPDX-License-Identifier: MIT */
/* dipole apply: moves a running deployment to a new topology file. */
#include "cli.h"

#include <stdio.h>

#include "verbs/apply.h"

struct apply_request {
	struct apply apply;
	const char *state;
	bool dry, json;
};

static void print_changes(const json_t *plan)
{
	const json_t *changes = json_object_get(plan, "changes");
	json_t *c;
	size_t i;
	if (!json_array_size(changes))
		puts(json_is_true(json_object_get(plan, "same_text"))
				? "the topology is the same"
				: "the topology has another text, and means the same");
	json_array_foreach (changes, i, c) {
		const char *means = verb_text(c, "means");
		printf("%s%s%s%s\n", json_is_true(json_object_get(c, "refused")) ? "refused: " : "",
			verb_text(c, "what"), means[0] ? ": " : "", means);
	}
}

static void print_work(const json_t *nodes)
{
	json_t *node, *what;
	size_t i, k;
	json_array_foreach (nodes, i, node) {
		const json_t *list = json_object_get(node, "changed");
		if (!json_array_size(list))
			continue;
		printf("%s%s:", verb_text(node, "node"),
			json_is_true(json_object_get(node, "restart"))
				? " begins anew, which takes a moment"
				: "");
		json_array_foreach (list, k, what)
			printf("%s %s", k ? "," : "", json_string_value(what));
		putchar('\n');
	}
}

static void print_refusals(const json_t *plan)
{
	json_t *line;
	size_t i;
	json_array_foreach (json_object_get(plan, "refusals"), i, line)
		cli_fail(0, "%s", json_string_value(line));
}

static void print_turned(const json_t *done)
{
	json_t *node;
	size_t i;
	json_array_foreach (json_object_get(done, "turned"), i, node)
		printf("%s turns to its next key\n", json_string_value(node));
}

/* A member of the plan, or an empty list. */
static json_t *list_of(const json_t *plan, const char *key)
{
	return plan ? json_incref(json_object_get(plan, key)) : json_array();
}

static int apply_in(struct apply_request *r, const struct verb_place *place)
{
	struct verb_error error = {.status = 0};
	json_t *plan = verb_apply_plan(&r->apply, place, &error), *done = NULL;
	const bool agreed = !error.status;
	if (!r->json && plan)
		print_changes(plan);
	print_refusals(plan);
	if (!r->json && agreed)
		print_work(json_object_get(plan, "nodes"));
	fflush(stdout); /* the nodes may take a while */
	if (agreed && !r->dry)
		done = verb_apply(&r->apply, &error);
	if (!r->json)
		print_turned(done);
	int status = cli_error(&error);
	if (r->json)
		cli_print_json(json_pack("{s:b,s:b,s:o,s:o}", "ok", (int)!status, "dry_run",
			(int)r->dry, "changes", list_of(plan, "changes"), "nodes",
			list_of(plan, "nodes")));
	json_decref(done);
	json_decref(plan);
	return status;
}

static int run_apply(const struct cli_command *self, int argc, char **argv)
{
	struct apply_request r = {.dry = false};
	struct verb_error error = {.status = 0};
	struct verb_place place = {.topology = NULL};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory (see dipole(1))"},
		{"dry-run", CLI_FLAG, &r.dry, NULL, "say what would change, and change nothing"},
		{"without", CLI_TEXT, &r.apply.without, "NODE",
			"do not ask this node, which is lost or not trusted any more"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &r.apply.file, 1, 1);
	apply_open(&r.apply, &error);
	int status = cli_error(&error);
	if (!status)
		status = cli_place_open(r.state, &place);
	if (!status)
		status = apply_in(&r, &place);
	verb_place_close(&place);
	apply_close(&r.apply);
	return status;
}

const struct cli_command cli_apply = {
	.name = "apply",
	.arguments = "FILE [--dry-run] [--without NODE] [--state DIR] [--json]",
	.summary = "Move a running deployment to a new topology file.",
	.run = run_apply,
};
