/* SPDX-License-Identifier: MIT */
/* Finding the copies of a volume, having digests taken of them at one mark, and judging these. */
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "verbs/copies.h"

#define POLL_EVERY_US 50000
#define LOOK_EVERY_US 1000000 /* at all the nodes' status, which costs more than a poll */

/* ---- which there are ---- */

static void add_copy(struct copies *copies, unsigned node, const struct dp_topo_leg *leg, int only)
{
	for (unsigned i = 0; i < copies->count; i++) {
		if (copies->list[i].node == node)
			return;
	}
	if (only < 0 || (unsigned)only == node)
		copies->list[copies->count++] = (struct copy){.node = node, .leg = leg};
}

void copies_find(const struct dp_topo_stream *s, int only, struct copies *copies)
{
	copies->count = 0;
	if (s->local == DP_LOCAL_MIRROR)
		add_copy(copies, s->controller, NULL, only);
	for (unsigned i = 0; i < s->leg_count; i++)
		add_copy(copies, s->legs[i].hops[s->legs[i].hop_count - 1], &s->legs[i], only);
}

static int open_copies(struct copies *copies, const struct verb_place *place,
	const struct verb_copies *args, struct verb_error *error)
{
	const struct dp_topology *t = place->topology;
	int index = dp_topology_volume(t, args->volume),
	    only = args->node ? dp_topology_node(t, args->node) : -1;
	*copies = (struct copies){.volume = args->volume};
	copies->survey.place = place;
	copies->survey.only = -1; /* the others of the stream say why one is missing */
	if (index < 0)
		return verb_fail(error, EX_USAGE, "no volume '%s' in %s/topology.yaml",
			args->volume, place->dir);
	copies->stream = &t->streams[t->volumes[index].stream];
	copies->survey.stream = copies->stream;
	copies_find(copies->stream, only, copies);
	if ((args->node && only < 0) || copies->count == 0)
		return verb_fail(error, EX_USAGE, "node '%s' is no mirror of %s",
			args->node ? args->node : "-", args->volume);
	return 0;
}

void copies_clear(struct copies *copies)
{
	verb_survey_clear(&copies->survey);
}

/* ---- their digests ---- */

static int set_mark(struct copies *copies, struct verb_error *error)
{
	const struct verb_place *place = copies->survey.place;
	unsigned controller = copies->stream->controller;
	json_t *request = json_pack("{s:s,s:s}", "cmd", "mark", "volume", copies->volume), *answer;
	char why[DP_ASK_ERROR_MAX];
	if (verb_ask(place, controller, request, VERB_ASK_TIMEOUT_US, &answer, why))
		return verb_fail(error, EX_UNAVAILABLE, "controller %s sets no mark: %s",
			place->topology->nodes[controller].name, why);
	snprintf(copies->mark, sizeof copies->mark, "%s", verb_text(answer, "mark"));
	json_decref(answer);
	return 0;
}

/* The survey is older than the answer here. So a node that the survey shows beyond the mark, and
 * that has no digest now, will not have one. */
static void take_digest(struct copies *copies, struct copy *copy, const struct dp_ask *ask)
{
	if (ask->err) {
		copy_is_unreachable(copy, ask->error);
		return;
	}
	copy->done = json_is_true(json_object_get(ask->answer, "done"));
	snprintf(copy->digest, sizeof copy->digest, "%s", verb_text(ask->answer, "digest"));
	copy->epoch = verb_number(ask->answer, "epoch");
	copy->seq = verb_number(ask->answer, "seq");
	json_decref(ask->answer);
	if (!copy->done)
		copy_explain(copies, copy);
}

/* Asks the nodes of the copies that are not done, and that have answered the survey. */
static void ask_copies(struct copies *copies)
{
	struct dp_ask asks[COPIES_MAX];
	struct copy *asked[COPIES_MAX];
	unsigned nodes[COPIES_MAX], count = 0;
	for (unsigned i = 0; i < copies->count; i++) {
		struct copy *copy = &copies->list[i];
		if (copy->done)
			continue;
		if (!copies->survey.answers[copy->node]) {
			copy_is_unreachable(copy, copies->survey.errors[copy->node]);
			continue;
		}
		asked[count] = copy;
		nodes[count++] = copy->node;
	}
	verb_ask_all(copies->survey.place, nodes, count,
		json_pack("{s:s,s:s}", "cmd", "digest", "mark", copies->mark), VERB_ASK_TIMEOUT_US,
		asks);
	for (unsigned i = 0; i < count; i++)
		take_digest(copies, asked[i], &asks[i]);
}

/* Whether nothing more is to be expected of it. */
static bool is_decided(struct copy *copy, uint64_t patience_us)
{
	uint64_t now = dp_clock_us();
	if (copy->done || copy->absence == COPY_NO_DIGEST)
		return true;
	if (!copy->cut_off || !copy->cut_off_since)
		copy->cut_off_since = copy->cut_off ? now : 0;
	return copy->cut_off && now - copy->cut_off_since >= patience_us;
}

static bool poll_copies(struct copies *copies, uint64_t patience_us)
{
	bool all = true;
	ask_copies(copies);
	for (unsigned i = 0; i < copies->count; i++)
		if (!is_decided(&copies->list[i], patience_us))
			all = false;
	return all;
}

static void collect_digests(struct copies *copies, uint64_t timeout_us, uint64_t patience_us)
{
	uint64_t started = dp_clock_us(), looked = 0;
	for (;; dp_clock_sleep_us(POLL_EVERY_US)) {
		if (!looked || dp_clock_us() - looked >= LOOK_EVERY_US) {
			verb_survey_clear(&copies->survey);
			verb_survey_ask(&copies->survey);
			looked = dp_clock_us();
		}
		if (poll_copies(copies, patience_us) || dp_clock_us() - started >= timeout_us)
			return;
	}
}

int copies_compare(struct copies *copies, const struct verb_place *place,
	const struct verb_copies *args, uint64_t patience_us, struct verb_error *error)
{
	int status = open_copies(copies, place, args, error);
	if (!status)
		status = set_mark(copies, error);
	if (!status) {
		collect_digests(copies, args->timeout_us, patience_us);
		copies_judge(copies);
	}
	return status;
}

/* ---- what they say ---- */

static unsigned count_digest(const struct copies *copies, const char *digest)
{
	unsigned count = 0;
	for (unsigned i = 0; i < copies->count; i++) {
		const struct copy *copy = &copies->list[i];
		count += copy->done && strcmp(copy->digest, digest) == 0;
	}
	return count;
}

/* The digest that is right, or NULL. */
static const char *right_digest(const struct copies *copies)
{
	const char *most = NULL;
	unsigned done = 0;
	for (unsigned i = 0; i < copies->count; i++)
		done += copies->list[i].done;
	for (unsigned i = 0; i < copies->count; i++) {
		const struct copy *copy = &copies->list[i];
		if (copy->done && !copy->leg)
			return copy->digest;
		if (copy->done && 2 * count_digest(copies, copy->digest) > done)
			most = copy->digest;
	}
	return most;
}

void copies_judge(struct copies *copies)
{
	const char *right = right_digest(copies);
	for (unsigned i = 0; i < copies->count; i++) {
		struct copy *copy = &copies->list[i];
		if (!copy->done)
			copy->result = COPY_MISSING;
		else if (right && strcmp(copy->digest, right) == 0)
			copy->result = COPY_EQUAL;
		else
			copy->result = COPY_DIFFERS;
	}
}

unsigned copies_with(const struct copies *copies, enum copy_result result)
{
	unsigned count = 0;
	for (unsigned i = 0; i < copies->count; i++)
		count += copies->list[i].result == result;
	return count;
}

json_t *copy_json(const struct copies *copies, const struct copy *copy)
{
	static const char *const reasons[] = {
		"not-reachable", "inconsistent", "behind", "failed", "no-digest"};
	const char *name = copies->survey.place->topology->nodes[copy->node].name;
	return copy->done ? json_pack("{s:s,s:b,s:s,s:I,s:I}", "node", name, "done", 1, "digest",
				    copy->digest, "epoch", (json_int_t)copy->epoch, "seq",
				    (json_int_t)copy->seq)
			  : json_pack("{s:s,s:b,s:s,s:o}", "node", name, "done", 0, "reason",
				    reasons[copy->absence], "error", verb_string(copy->why));
}
