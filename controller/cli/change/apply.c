/* SPDX-License-Identifier: MIT */
/* dipole apply: moves a running deployment to a new topology file. All nodes are asked first, and
 * nothing is changed unless all agree; then each takes the file, mirrors before those that send to
 * them. */
#include "cli.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/textfile.h"
#include "topology/change.h"
#include "verbs/nodes.h"

/* A node that ends its work in good order before it is run anew may take its time. */
#define APPLY_TIMEOUT_US 30000000
#define BACK_LIMIT_US    60000000
#define BACK_LOOK_US     100000

struct apply {
	const char *file, *state, *without;
	bool dry, json;
	char *text;
	struct verb_place place; /* as it is */
	struct dp_topology *new;
	struct dp_topo_changes changes;
	json_t *nodes; /* what each said */
	bool has_next_key[DP_NODES_MAX];
};

static int read_new(struct apply *a)
{
	int err = dp_text_read(a->file, DP_TOPOLOGY_FILE_MAX, &a->text);
	if (err) {
		int status = cli_topology_load(a->file, &a->new); /* says what and where */
		return status ? status : cli_fail(EX_NOINPUT, "%s: %s", a->file, dp_strerror(err));
	}
	struct dp_topo_errors *errors = calloc(1, sizeof *errors);
	err = errors ? dp_topology_parse(a->text, strlen(a->text), a->file, &a->new, errors)
		     : DP_ENOMEM;
	struct verb_error error = {.status = 0};
	if (errors)
		verb_topology_judge(err, errors, &error);
	else
		error.status = EX_OSERR;
	free(errors);
	return cli_error(&error);
}

/* What a node runs with, if that is not what it is to have; else, or if it does not say, NULL. */
static char *runs_with(const struct apply *a, const char *name, unsigned node)
{
	char error[DP_ASK_ERROR_MAX];
	json_t *answer = NULL;
	if (!a->without || strcmp(a->without, name))
		verb_ask(&a->place, node, json_pack("{s:s}", "cmd", "topology"),
			VERB_ASK_TIMEOUT_US, &answer, error);
	const char *text = json_string_value(json_object_get(answer, "topology"));
	char *copy = text && strcmp(text, a->text) ? strdup(text) : NULL;
	json_decref(answer);
	return copy;
}

/* Where nodes cannot write their file, the new one has been put there by other means, and says
 * nothing of what it was: the nodes do. */
static int find_what_runs(struct apply *a)
{
	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *before = NULL;
	char *runs = NULL;
	bool differ = false;
	if (!dp_text_is(a->place.file, a->text))
		return 0;
	for (unsigned i = 0; i < a->place.topology->node_count; i++) {
		char *text = runs_with(a, a->place.topology->nodes[i].name, i);
		differ = differ || (runs && text && strcmp(runs, text));
		if (runs)
			free(text);
		else
			runs = text;
	}
	if (runs && !differ &&
		dp_topology_parse(runs, strlen(runs), "what runs", &before, &errors) == 0) {
		dp_topology_destroy(&a->place.topology);
		a->place.topology = before;
	}
	free(runs);
	return differ
		? cli_fail(EX_CONFIG,
			  "nodes run with two files, and %s is another: apply again what was not "
			  "applied to all of them first",
			  a->file)
		: 0;
}

/* ---- what differs ---- */

static void print_changes(const struct apply *a)
{
	if (!a->changes.count)
		puts(dp_text_is(a->place.file, a->text)
				? "the topology is the same"
				: "the topology has another text, and means the same");
	for (unsigned i = 0; i < a->changes.count; i++) {
		const struct dp_topo_change *c = &a->changes.list[i];
		printf("%s%s%s%s\n", dp_change_is_refused(c) ? "refused: " : "", c->what,
			c->means[0] ? ": " : "", c->means);
	}
}

static json_t *changes_json(const struct apply *a)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < a->changes.count; i++) {
		const struct dp_topo_change *c = &a->changes.list[i];
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:b}", "what", c->what, "means", c->means, "refused",
				dp_change_is_refused(c)));
	}
	return list;
}

/* ---- nodes ---- */

/* Those that were there and stay; one that is new is started with the file, one that goes needs
 * none. */
static bool is_asked(const struct apply *a, unsigned node)
{
	const char *name = a->place.topology->nodes[node].name;
	if (a->without && strcmp(a->without, name) == 0)
		return false;
	for (unsigned s = 0; s < a->new->stream_count; s++) {
		int n = dp_topology_node(a->new, name);
		if (n >= 0 && dp_topology_uses(&a->new->streams[s], (unsigned)n))
			return true;
	}
	return false;
}

/* A node that has the file is where that says, and has the keys that that says. */
static int ask_by_new(const struct apply *a, const char *name, json_t *request, uint64_t timeout_us,
	json_t **answer, char error[DP_ASK_ERROR_MAX])
{
	struct verb_place place = a->place;
	place.topology = a->new;
	return verb_ask(&place, (unsigned)dp_topology_node(a->new, name), request, timeout_us,
		answer, error);
}

static bool is_reached_otherwise(const struct apply *a, const struct dp_topo_node *before)
{
	const struct dp_topo_node *now = &a->new->nodes[dp_topology_node(a->new, before->name)];
	return strcmp(before->control, now->control) || strcmp(before->key, now->key);
}

/* It may have the file already, from a command that did not come to its end. */
static int ask(const struct apply *a, unsigned node, bool dry, json_t **answer,
	char error[DP_ASK_ERROR_MAX])
{
	const struct dp_topo_node *n = &a->place.topology->nodes[node];
	json_t *request = json_pack("{s:s,s:s,s:b}", "cmd", "apply", "topology", a->text, "dry_run",
		dry);
	int err = verb_ask(&a->place, node, json_incref(request), APPLY_TIMEOUT_US, answer, error);
	if (err == DP_ECLOSED && is_reached_otherwise(a, n))
		err = ask_by_new(a, n->name, json_incref(request), APPLY_TIMEOUT_US, answer, error);
	json_decref(request);
	return err;
}

static int ask_all(struct apply *a)
{
	int status = 0;
	for (unsigned i = 0; i < a->place.topology->node_count; i++) {
		const char *name = a->place.topology->nodes[i].name;
		char error[DP_ASK_ERROR_MAX];
		json_t *answer;
		if (!is_asked(a, i))
			continue;
		int err = ask(a, i, true, &answer, error);
		if (err) {
			status = err == DP_EINVAL ? EX_CONFIG : EX_UNAVAILABLE;
			cli_fail(0, "%s: %s", name, error);
			continue;
		}
		json_array_append_new(a->nodes,
			json_pack("{s:s,s:O,s:O}", "node", name, "changed",
				json_object_get(answer, "changed"), "restart",
				json_object_get(answer, "restart")));
		json_decref(answer);
	}
	return status;
}

static void print_nodes(const struct apply *a)
{
	json_t *entry, *what;
	size_t i, k;
	json_array_foreach (a->nodes, i, entry) {
		json_t *list = json_object_get(entry, "changed");
		bool anew = json_is_true(json_object_get(entry, "restart"));
		if (!json_array_size(list))
			continue;
		printf("%s%s:", verb_text(entry, "node"),
			anew ? " begins anew, which takes a moment" : "");
		json_array_foreach (list, k, what)
			printf("%s %s", k ? "," : "", json_string_value(what));
		putchar('\n');
	}
}

/* ---- doing it ---- */

static bool has_file(const struct apply *a, const json_t *status)
{
	char hex[DP_TEXT_DIGEST];
	return strcmp(verb_text(status, "topology_digest"), dp_text_digest(a->text, hex)) == 0;
}

/* It is back with the new file, or (1) with the one it had. -1: not yet. */
static int look_back(const struct apply *a, const char *name, uint64_t since)
{
	char error[DP_ASK_ERROR_MAX];
	json_t *answer = NULL;
	int err = ask_by_new(a, name, json_pack("{s:s}", "cmd", "status"), VERB_ASK_TIMEOUT_US,
		&answer, error);
	bool back = !err && dp_clock_us() - since >= verb_number(answer, "uptime_us");
	int result = !back ? -1 : !has_file(a, answer);
	json_decref(answer);
	return result;
}

static int wait_back(const struct apply *a, const char *name, uint64_t since)
{
	for (uint64_t end = dp_clock_us() + BACK_LIMIT_US; dp_clock_us() < end;
		dp_clock_sleep_us(BACK_LOOK_US)) {
		int back = look_back(a, name, since);
		if (back == 0)
			return 0;
		if (back == 1)
			return cli_fail(EX_UNAVAILABLE,
				"%s goes on with the file it had (see its log); apply the file again",
				name);
	}
	return cli_fail(EX_UNAVAILABLE, "%s is not back; see its log, and apply the file again",
		name);
}

static int change_node(struct apply *a, unsigned node)
{
	const char *name = a->place.topology->nodes[node].name;
	char error[DP_ASK_ERROR_MAX];
	json_t *answer;
	uint64_t since = dp_clock_us();
	int err = ask(a, node, false, &answer, error);
	if (err)
		return cli_fail(err == DP_EINVAL ? EX_CONFIG : EX_UNAVAILABLE,
			"%s: %s; those before it have the new file, apply it again", name, error);
	bool anew = json_is_true(json_object_get(answer, "restart"));
	a->has_next_key[node] = json_is_true(json_object_get(answer, "next_key"));
	json_decref(answer);
	return anew ? wait_back(a, name, since) : 0;
}

/* With all of them knowing both, a node turns to its next key. */
static int turn_key(struct apply *a, unsigned node)
{
	const char *name = a->place.topology->nodes[node].name;
	char error[DP_ASK_ERROR_MAX];
	json_t *answer;
	uint64_t since = dp_clock_us();
	int err = ask_by_new(a, name, json_pack("{s:s}", "cmd", "rekey"), VERB_ASK_TIMEOUT_US,
		&answer, error);
	if (err)
		return cli_fail(EX_UNAVAILABLE,
			"%s does not turn to its next key: %s; apply the file again", name, error);
	json_decref(answer);
	if (!a->json)
		printf("%s turns to its next key\n", name);
	return wait_back(a, name, since);
}

static int change_all(struct apply *a)
{
	/* A controller may still refuse to let a volume go: then no mirror has set it aside. */
	static const enum dp_role orders[2][3] = {
		{DP_ROLE_MIRROR, DP_ROLE_RELAY, DP_ROLE_CONTROLLER},
		{DP_ROLE_CONTROLLER, DP_ROLE_RELAY, DP_ROLE_MIRROR}};
	const enum dp_role *order = orders[a->changes.loses];
	int status = 0;
	for (unsigned r = 0; r < 3; r++)
		for (unsigned i = 0; i < a->place.topology->node_count && !status; i++)
			if (a->place.topology->nodes[i].role == order[r] && is_asked(a, i))
				status = change_node(a, i);
	for (unsigned i = 0; i < a->place.topology->node_count && !status; i++)
		if (a->has_next_key[i])
			status = turn_key(a, i);
	return status;
}

/* Where nodes run on other machines, this command has a copy of its own. */
static int keep_file(const struct apply *a)
{
	int error = dp_text_is(a->place.file, a->text)
		? 0
		: dp_text_write(a->place.file, a->text, 0644);
	return error ? cli_fail(EX_CANTCREAT, "cannot write %s: %s", a->place.file, strerror(error))
		     : 0;
}

/* A node that is not asked would not have the same volumes, and one of them that came later, or
 * grew, would not begin as it does elsewhere. */
static int check_without(const struct apply *a)
{
	if (!a->without)
		return 0;
	if (dp_topology_node(a->place.topology, a->without) < 0)
		return cli_fail(EX_USAGE, "no node '%s' in %s", a->without, a->place.file);
	return a->changes.volumes
		? cli_fail(EX_USAGE, "volumes cannot change without node %s", a->without)
		: 0;
}

static int apply(struct apply *a)
{
	int status = find_what_runs(a);
	if (status)
		return status;
	dp_topology_compare(a->place.topology, a->new, &a->changes);
	if (!a->json)
		print_changes(a);
	if (a->changes.refused)
		return cli_fail(EX_CONFIG, "%s cannot be applied to what runs; nothing was changed",
			a->file);
	status = check_without(a);
	if (!status)
		status = ask_all(a);
	if (status)
		return cli_fail(status, "nothing was changed");
	if (!a->json)
		print_nodes(a);
	if (a->dry)
		return 0;
	status = change_all(a);
	return status ? status : keep_file(a);
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	struct apply a = {.dry = false};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &a.state, "DIR", "the state directory (see dipole(1))"},
		{"dry-run", CLI_FLAG, &a.dry, NULL, "say what would change, and change nothing"},
		{"without", CLI_TEXT, &a.without, "NODE",
			"do not ask this node, which is lost or not trusted any more"},
		{"json", CLI_FLAG, &a.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &a.file, 1, 1);
	int status = sodium_init() < 0 ? EX_SOFTWARE : read_new(&a);
	if (!status)
		status = cli_place_open(a.state, &a.place);
	a.nodes = json_array();
	if (!status) {
		status = apply(&a);
		if (a.json)
			cli_print_json(json_pack("{s:b,s:b,s:o,s:O}", "ok", !status, "dry_run",
				a.dry, "changes", changes_json(&a), "nodes", a.nodes));
	}
	json_decref(a.nodes);
	verb_place_close(&a.place);
	dp_topology_destroy(&a.new);
	free(a.text);
	return status;
}

const struct cli_command cli_apply = {
	.name = "apply",
	.arguments = "FILE [--dry-run] [--without NODE] [--state DIR] [--json]",
	.summary = "Move a running deployment to a new topology file.",
	.run = run,
};
