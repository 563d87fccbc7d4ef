/* SPDX-License-Identifier: MIT */
/* All nodes are asked first, and nothing is changed unless all agree; then each takes the file,
 * mirrors before those that send to them. */
#include "verbs/apply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/textfile.h"
#include "verbs/nodes.h"

/* A node that ends its streams before it runs again may take its time. */
#define APPLY_TIMEOUT_US 30000000
#define BACK_LIMIT_US    60000000
#define BACK_LOOK_US     100000

int apply_open(struct apply *a, struct verb_error *error)
{
	struct dp_topo_errors errors = {.count = 0};
	a->text = NULL;
	a->new = a->runs = NULL;
	int err = dp_text_read(a->file, DP_TOPOLOGY_FILE_MAX, &a->text);
	if (err) {
		int status = verb_topology_load(a->file, &a->new, error); /* says where */
		return status ? status
			      : verb_fail(error, EX_NOINPUT, "%s: %s", a->file, dp_strerror(err));
	}
	err = dp_topology_parse(a->text, strlen(a->text), a->file, &a->new, &errors);
	return verb_topology_judge(err, &errors, error);
}

void apply_close(struct apply *a)
{
	dp_topology_destroy(&a->runs);
	dp_topology_destroy(&a->new);
	free(a->text);
}

/* ---- what runs ---- */

/* The one text with which nodes run and which is not the new one; NULL: there is none. */
static const char *find_other_text(const struct apply *a, const struct dp_ask *asks, unsigned count,
	bool *differ)
{
	const char *found = NULL;
	for (unsigned i = 0; i < count; i++) {
		const char *text = json_string_value(json_object_get(asks[i].answer, "topology"));
		if (!text || strcmp(text, a->text) == 0)
			continue;
		*differ = *differ || (found && strcmp(found, text));
		found = found ? found : text;
	}
	return found;
}

/* Where nodes cannot write their file, the new one has been put there by other means, and says
 * nothing of what it was: the nodes do. */
static int find_what_runs(struct apply *a, struct verb_error *error)
{
	struct dp_topo_errors errors = {.count = 0};
	struct dp_ask asks[DP_NODES_MAX];
	unsigned nodes[DP_NODES_MAX], count = 0;
	bool differ = false;
	if (!dp_text_is(a->place.file, a->text))
		return 0;
	for (unsigned i = 0; i < a->place.topology->node_count; i++)
		if (!a->without || strcmp(a->without, a->place.topology->nodes[i].name))
			nodes[count++] = i;
	verb_ask_all(&a->place, nodes, count, json_pack("{s:s}", "cmd", "topology"),
		VERB_ASK_TIMEOUT_US, asks);
	const char *text = find_other_text(a, asks, count, &differ);
	if (text && !differ &&
		dp_topology_parse(text, strlen(text), "what runs", &a->runs, &errors) == 0)
		a->place.topology = a->runs;
	for (unsigned i = 0; i < count; i++)
		json_decref(asks[i].answer);
	return differ
		? verb_fail(error, EX_CONFIG,
			  "nodes run with two files, and %s is another: apply again what was not "
			  "applied to all of them first",
			  a->file)
		: 0;
}

/* ---- questions to nodes ---- */

/* Those that were there and stay; one that is new is started with the file, one that goes needs
 * none. */
static bool has_part(const struct apply *a, unsigned node)
{
	const char *name = a->place.topology->nodes[node].name;
	int n = dp_topology_node(a->new, name);
	if (n < 0 || (a->without && strcmp(a->without, name) == 0))
		return false;
	for (unsigned s = 0; s < a->new->stream_count; s++)
		if (dp_topology_uses(&a->new->streams[s], (unsigned)n))
			return true;
	return false;
}

/* A node that has the file is where that says, and has the keys that that says. */
static int ask_by_new(const struct apply *a, const char *name, json_t *request, uint64_t timeout_us,
	struct dp_ask *ask)
{
	struct verb_place place = a->place;
	unsigned node = (unsigned)dp_topology_node(a->new, name);
	place.topology = a->new;
	verb_ask_all(&place, &node, 1, request, timeout_us, ask);
	return ask->err;
}

static bool is_reached_otherwise(const struct apply *a, const struct dp_topo_node *before)
{
	const struct dp_topo_node *now = &a->new->nodes[dp_topology_node(a->new, before->name)];
	return strcmp(before->control, now->control) || strcmp(before->key, now->key);
}

/* A node may have the file already, from a command that did not come to its end. */
static void ask_to_apply(const struct apply *a, const unsigned *nodes, unsigned count, bool dry,
	struct dp_ask *asks)
{
	json_t *request = json_pack("{s:s,s:s,s:b}", "cmd", "apply", "topology", a->text, "dry_run",
		dry);
	verb_ask_all(&a->place, nodes, count, json_incref(request), APPLY_TIMEOUT_US, asks);
	for (unsigned i = 0; i < count; i++) {
		const struct dp_topo_node *n = &a->place.topology->nodes[nodes[i]];
		if (asks[i].err == DP_ECLOSED && is_reached_otherwise(a, n))
			ask_by_new(a, n->name, json_incref(request), APPLY_TIMEOUT_US, &asks[i]);
	}
	json_decref(request);
}

/* ---- the plan ---- */

static json_t *changes_json(const struct apply *a)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < a->changes.count; i++) {
		const struct dp_topo_change *c = &a->changes.list[i];
		json_array_append_new(list,
			json_pack("{s:o,s:o,s:b}", "what", verb_string(c->what), "means",
				verb_string(c->means), "refused", dp_change_is_refused(c)));
	}
	return list;
}

/* A node that is not asked would not have the same volumes, and one of them that came later, or
 * grew, would not begin as it does elsewhere. */
static int check_without(const struct apply *a, struct verb_error *error)
{
	if (a->without && dp_topology_node(a->place.topology, a->without) < 0)
		return verb_fail(error, EX_USAGE, "no node '%s' in %s", a->without, a->place.file);
	if (a->without && a->changes.volumes)
		return verb_fail(error, EX_USAGE, "volumes cannot change without node %s",
			a->without);
	return 0;
}

static void add_refusal(json_t *refusals, const char *node, const char *why)
{
	char text[DP_NAME_MAX + DP_ASK_ERROR_MAX + 2];
	snprintf(text, sizeof text, "%s: %s", node, why);
	json_array_append_new(refusals, verb_string(text));
}

/* Whether all nodes agree: 0, or an exit status. */
static int ask_whether(const struct apply *a, json_t *agreed, json_t *refusals)
{
	struct dp_ask asks[DP_NODES_MAX];
	unsigned nodes[DP_NODES_MAX] = {0}, count = 0;
	int status = 0;
	for (unsigned i = 0; i < a->place.topology->node_count; i++)
		if (has_part(a, i))
			nodes[count++] = i;
	ask_to_apply(a, nodes, count, true, asks);
	for (unsigned i = 0; i < count; i++) {
		const char *name = a->place.topology->nodes[nodes[i]].name;
		const json_t *answer = asks[i].answer;
		if (asks[i].err) {
			status = asks[i].err == DP_EINVAL ? EX_CONFIG : EX_UNAVAILABLE;
			add_refusal(refusals, name, asks[i].error);
			continue;
		}
		json_array_append_new(agreed,
			json_pack("{s:s,s:O,s:O}", "node", name, "changed",
				json_object_get(answer, "changed"), "restart",
				json_object_get(answer, "restart")));
		json_decref(asks[i].answer);
	}
	return status;
}

json_t *verb_apply_plan(struct apply *a, const struct verb_place *place, struct verb_error *error)
{
	a->place = *place;
	if (find_what_runs(a, error))
		return NULL;
	json_t *agreed = json_array(), *refusals = json_array();
	dp_topology_compare(a->place.topology, a->new, &a->changes);
	if (a->changes.refused)
		verb_fail(error, EX_CONFIG,
			"%s cannot be applied to what runs; nothing was changed", a->file);
	else if (check_without(a, error))
		json_array_append_new(refusals, verb_string(error->text));
	else
		error->status = ask_whether(a, agreed, refusals);
	if (json_array_size(refusals))
		verb_fail(error, error->status, "nothing was changed");
	return json_pack("{s:b,s:o,s:o,s:o}", "same_text", (int)dp_text_is(a->place.file, a->text),
		"changes", changes_json(a), "nodes", agreed, "refusals", refusals);
}

/* ---- doing it ---- */

static bool has_new_file(const struct apply *a, const json_t *status)
{
	char hex[DP_TEXT_DIGEST];
	return strcmp(verb_text(status, "topology_digest"), dp_text_digest(a->text, hex)) == 0;
}

/* It is back with the new file, or (1) with the one it had. -1: not yet. */
static int look_back(const struct apply *a, const char *name, uint64_t since)
{
	struct dp_ask ask;
	int err = ask_by_new(a, name, json_pack("{s:s}", "cmd", "status"), VERB_ASK_TIMEOUT_US,
		&ask);
	bool back = !err && dp_clock_us() - since >= verb_number(ask.answer, "uptime_us");
	int result = !back ? -1 : !has_new_file(a, ask.answer);
	json_decref(ask.answer);
	return result;
}

static int wait_back(const struct apply *a, const char *name, uint64_t since,
	struct verb_error *error)
{
	for (uint64_t end = dp_clock_us() + BACK_LIMIT_US; dp_clock_us() < end;
		dp_clock_sleep_us(BACK_LOOK_US)) {
		int back = look_back(a, name, since);
		if (back == 0)
			return 0;
		if (back == 1)
			return verb_fail(error, EX_UNAVAILABLE,
				"%s goes on with the file it had (see its log); apply the file again",
				name);
	}
	return verb_fail(error, EX_UNAVAILABLE,
		"%s is not back; see its log, and apply the file again", name);
}

static int change_node(struct apply *a, unsigned node, struct verb_error *error)
{
	const char *name = a->place.topology->nodes[node].name;
	struct dp_ask ask;
	uint64_t since = dp_clock_us();
	ask_to_apply(a, &node, 1, false, &ask);
	if (ask.err)
		return verb_fail(error, ask.err == DP_EINVAL ? EX_CONFIG : EX_UNAVAILABLE,
			"%s: %s; those before it have the new file, apply it again", name,
			ask.error);
	bool restarts = json_is_true(json_object_get(ask.answer, "restart"));
	a->has_next_key[node] = json_is_true(json_object_get(ask.answer, "next_key"));
	json_decref(ask.answer);
	return restarts ? wait_back(a, name, since, error) : 0;
}

/* With all of them knowing both, a node turns to its next key. */
static int turn_key(const struct apply *a, unsigned node, json_t *turned, struct verb_error *error)
{
	const char *name = a->place.topology->nodes[node].name;
	struct dp_ask ask;
	uint64_t since = dp_clock_us();
	if (ask_by_new(a, name, json_pack("{s:s}", "cmd", "rekey"), VERB_ASK_TIMEOUT_US, &ask))
		return verb_fail(error, EX_UNAVAILABLE,
			"%s does not turn to its next key: %s; apply the file again", name,
			ask.error);
	json_decref(ask.answer);
	json_array_append_new(turned, json_string(name));
	return wait_back(a, name, since, error);
}

static int change_all(struct apply *a, json_t *turned, struct verb_error *error)
{
	/* A controller may still refuse to let a volume go: then no mirror has set it aside. */
	static const enum dp_role orders[2][3] = {
		{DP_ROLE_MIRROR, DP_ROLE_RELAY, DP_ROLE_CONTROLLER},
		{DP_ROLE_CONTROLLER, DP_ROLE_RELAY, DP_ROLE_MIRROR}};
	const struct dp_topology *t = a->place.topology;
	int status = 0;
	for (unsigned r = 0; r < 3; r++)
		for (unsigned i = 0; i < t->node_count && !status; i++)
			if (t->nodes[i].role == orders[a->changes.loses][r] && has_part(a, i))
				status = change_node(a, i, error);
	for (unsigned i = 0; i < t->node_count && !status; i++)
		if (a->has_next_key[i])
			status = turn_key(a, i, turned, error);
	return status;
}

/* Where nodes run on other machines, the place has a copy of its own. */
static void keep_file(const struct apply *a, struct verb_error *error)
{
	int failed = dp_text_is(a->place.file, a->text)
		? 0
		: dp_text_write(a->place.file, a->text, 0644);
	if (failed)
		verb_fail(error, EX_CANTCREAT, "cannot write %s: %s", a->place.file,
			strerror(failed));
}

json_t *verb_apply(struct apply *a, struct verb_error *error)
{
	json_t *turned = json_array();
	if (change_all(a, turned, error) == 0)
		keep_file(a, error);
	return json_pack("{s:o}", "turned", turned);
}
