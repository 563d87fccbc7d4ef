/* SPDX-License-Identifier: MIT */
/* Finding the copies of a volume, having digests taken of them at one mark, and judging these. */
#include "copies/copies.h"

#include <stdio.h>
#include <string.h>

#define POLL_EVERY_US 50000
#define LOOK_EVERY_US 1000000 /* at all the nodes' status, which costs more than a poll */

/* ---- which there are ---- */

static void add_copy(struct cli_copies *copies, unsigned node, const struct dp_topo_leg *leg,
	int only)
{
	for (unsigned i = 0; i < copies->count; i++) {
		if (copies->list[i].node == node)
			return;
	}
	if (only < 0 || (unsigned)only == node)
		copies->list[copies->count++] = (struct cli_copy){.node = node, .leg = leg};
}

void cli_copies_find(const struct dp_topo_stream *s, int only, struct cli_copies *copies)
{
	copies->count = 0;
	if (s->local == DP_LOCAL_MIRROR)
		add_copy(copies, s->controller, NULL, only);
	for (unsigned i = 0; i < s->leg_count; i++)
		add_copy(copies, s->legs[i].hops[s->legs[i].hop_count - 1], &s->legs[i], only);
}

int cli_copies_open(struct cli_copies *copies, const char *state, const char *volume,
	const char *node)
{
	*copies = (struct cli_copies){.volume = volume};
	struct cli_place *place = &copies->survey.place;
	int status = cli_place_open(state, place);
	if (status)
		return status;
	const struct dp_topology *t = place->topology;
	int index = dp_topology_volume(t, volume), only = node ? dp_topology_node(t, node) : -1;
	if (index < 0)
		return cli_fail(EX_USAGE, "no volume '%s' in %s/topology.yaml", volume, place->dir);
	copies->stream = &t->streams[t->volumes[index].stream];
	copies->survey.stream = copies->stream;
	copies->survey.only = -1; /* the others of the stream say why one is missing */
	cli_copies_find(copies->stream, only, copies);
	if ((node && only < 0) || copies->count == 0)
		return cli_fail(EX_USAGE, "node '%s' is no mirror of %s", node ? node : "-",
			volume);
	return 0;
}

void cli_copies_close(struct cli_copies *copies)
{
	cli_survey_clear(&copies->survey);
	cli_place_close(&copies->survey.place);
}

/* ---- their digests ---- */

static int set_mark(struct cli_copies *copies)
{
	const struct cli_place *place = &copies->survey.place;
	unsigned controller = copies->stream->controller;
	json_t *request = json_pack("{s:s,s:s}", "cmd", "mark", "volume", copies->volume), *answer;
	char error[DP_ASK_ERROR_MAX];
	if (cli_ask(place, controller, request, CLI_ASK_TIMEOUT_US, &answer, error))
		return cli_fail(EX_UNAVAILABLE, "controller %s sets no mark: %s",
			place->topology->nodes[controller].name, error);
	snprintf(copies->mark, sizeof copies->mark, "%s", cli_text(answer, "mark"));
	json_decref(answer);
	return 0;
}

/* The survey is older than the answer here. So a node that the survey shows beyond the mark, and
 * that has no digest now, will not have one. */
static void poll_copy(struct cli_copies *copies, struct cli_copy *copy)
{
	json_t *request, *answer;
	char error[DP_ASK_ERROR_MAX];
	if (!copies->survey.answers[copy->node]) {
		cli_copy_unreachable(copy, copies->survey.errors[copy->node]);
		return;
	}
	request = json_pack("{s:s,s:s}", "cmd", "digest", "mark", copies->mark);
	if (cli_ask(&copies->survey.place, copy->node, request, CLI_ASK_TIMEOUT_US, &answer,
		    error)) {
		cli_copy_unreachable(copy, error);
		return;
	}
	copy->done = json_is_true(json_object_get(answer, "done"));
	snprintf(copy->digest, sizeof copy->digest, "%s", cli_text(answer, "digest"));
	copy->epoch = cli_number(answer, "epoch");
	copy->seq = cli_number(answer, "seq");
	json_decref(answer);
	if (!copy->done)
		cli_copies_explain(copies, copy);
}

/* Whether nothing more is to be expected of it. */
static bool settled(struct cli_copy *copy, uint64_t patience_us)
{
	uint64_t now = dp_clock_us();
	if (copy->done || copy->absence == CLI_NO_DIGEST)
		return true;
	if (!copy->cut_off || !copy->cut_off_since)
		copy->cut_off_since = copy->cut_off ? now : 0;
	return copy->cut_off && now - copy->cut_off_since >= patience_us;
}

static bool poll_all(struct cli_copies *copies, uint64_t patience_us)
{
	bool all = true;
	for (unsigned i = 0; i < copies->count; i++) {
		struct cli_copy *copy = &copies->list[i];
		if (!copy->done)
			poll_copy(copies, copy);
		if (!settled(copy, patience_us))
			all = false;
	}
	return all;
}

int cli_copies_collect(struct cli_copies *copies, uint64_t timeout_us, uint64_t patience_us)
{
	int status = set_mark(copies);
	if (status)
		return status;
	uint64_t started = dp_clock_us(), looked = 0;
	for (;; dp_clock_sleep_us(POLL_EVERY_US)) {
		if (!looked || dp_clock_us() - looked >= LOOK_EVERY_US) {
			cli_survey_clear(&copies->survey);
			cli_survey_ask(&copies->survey);
			looked = dp_clock_us();
		}
		if (poll_all(copies, patience_us) || dp_clock_us() - started >= timeout_us)
			return 0;
	}
}

/* ---- what they say ---- */

static unsigned count_digest(const struct cli_copies *copies, const char *digest)
{
	unsigned count = 0;
	for (unsigned i = 0; i < copies->count; i++) {
		const struct cli_copy *copy = &copies->list[i];
		count += copy->done && strcmp(copy->digest, digest) == 0;
	}
	return count;
}

/* The digest that is right, or NULL. */
static const char *reference(const struct cli_copies *copies)
{
	const char *most = NULL;
	unsigned done = 0;
	for (unsigned i = 0; i < copies->count; i++)
		done += copies->list[i].done;
	for (unsigned i = 0; i < copies->count; i++) {
		const struct cli_copy *copy = &copies->list[i];
		if (copy->done && !copy->leg)
			return copy->digest;
		if (copy->done && 2 * count_digest(copies, copy->digest) > done)
			most = copy->digest;
	}
	return most;
}

void cli_copies_judge(struct cli_copies *copies)
{
	const char *right = reference(copies);
	copies->referenced = right != NULL;
	for (unsigned i = 0; i < copies->count; i++) {
		struct cli_copy *copy = &copies->list[i];
		if (!copy->done)
			copy->result = CLI_MISSING;
		else if (right && strcmp(copy->digest, right) == 0)
			copy->result = CLI_EQUAL;
		else
			copy->result = CLI_DIFFERS;
	}
}

unsigned cli_copies_with(const struct cli_copies *copies, enum cli_result result)
{
	unsigned count = 0;
	for (unsigned i = 0; i < copies->count; i++)
		count += copies->list[i].result == result;
	return count;
}
