/* SPDX-License-Identifier: MIT */
/* Why a copy has no digest, as the nodes of its stream show it; and the telling of it. */
#include "copies/copies.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *cli_copy_name(const struct cli_copies *copies, const struct cli_copy *copy)
{
	return copies->survey.place.topology->nodes[copy->node].name;
}

__attribute__((format(printf, 4, 5))) static void absent(struct cli_copy *copy,
	enum cli_absence absence, bool cut_off, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	copy->absence = absence;
	copy->cut_off = cut_off;
	vsnprintf(copy->why, sizeof copy->why, format, args);
	va_end(args);
}

void cli_copy_unreachable(struct cli_copy *copy, const char *error)
{
	absent(copy, CLI_NOT_REACHABLE, true, "not reachable: %.200s", error);
}

/* Where the mark stands, as those say that have come to it; 0: none has. The controller does not
 * know it when it takes the request, which may have to wait. */
static uint64_t mark_seq(const struct cli_copies *copies)
{
	for (unsigned i = 0; i < copies->count; i++) {
		if (copies->list[i].done)
			return copies->list[i].seq;
	}
	return 0;
}

/* The state of the link from one node to the next, as the upper one sees it. */
static const char *link_state(const struct cli_copies *copies, unsigned from, unsigned to)
{
	const char *peer = copies->survey.place.topology->nodes[to].name;
	json_t *stream = cli_survey_stream(&copies->survey, from, copies->stream->name), *link;
	size_t i;
	json_array_foreach (json_object_get(stream, "links"), i, link) {
		if (strcmp(cli_text(link, "peer"), peer) == 0)
			return cli_text(link, "state");
	}
	return "-";
}

struct broken {
	unsigned from, to;
	const char *state;
};

/* The first link on the way to the copy over which nothing flows. */
static bool find_broken(const struct cli_copies *copies, const struct cli_copy *copy,
	struct broken *b)
{
	unsigned above = copies->stream->controller;
	for (unsigned i = 0; copy->leg && i < copy->leg->hop_count; i++) {
		unsigned to = copy->leg->hops[i];
		*b = (struct broken){.from = above, .to = to};
		b->state = link_state(copies, above, to);
		if (strcmp(b->state, "Connected") != 0)
			return true;
		above = to;
	}
	return false;
}

/* A node that still has agreed records to apply is at work, on the digest perhaps, whatever its
 * links do. One that has none waits for others, and in vain unless a link is on its way back. */
static void explain_behind(const struct cli_copies *copies, struct cli_copy *copy,
	const json_t *stream, const struct broken *broken)
{
	const struct dp_topo_node *nodes = copies->survey.place.topology->nodes;
	uint64_t applied = cli_number(stream, "applied");
	bool idle = applied >= cli_number(stream, "agreed");
	if (broken && !copies->survey.answers[broken->from])
		absent(copy, CLI_BEHIND, idle, "behind: %s above it does not answer",
			nodes[broken->from].name);
	else if (broken)
		absent(copy, CLI_BEHIND, idle && strcmp(broken->state, "Probation") != 0,
			"behind: the link from %s to %s is %s", nodes[broken->from].name,
			nodes[broken->to].name, broken->state);
	else if (idle)
		absent(copy, CLI_BEHIND, idle,
			"behind: it has applied all that is agreed, up to %llu; the mark is not",
			(unsigned long long)applied);
	else
		absent(copy, CLI_BEHIND, idle, "behind: it has applied %llu of %llu agreed",
			(unsigned long long)applied,
			(unsigned long long)cli_number(stream, "agreed"));
}

void cli_copies_explain(const struct cli_copies *copies, struct cli_copy *copy)
{
	const struct dp_topo_node *nodes = copies->survey.place.topology->nodes;
	json_t *stream = cli_survey_stream(&copies->survey, copy->node, copies->stream->name);
	uint64_t seq = mark_seq(copies);
	struct broken b = {.state = "-"};
	bool broken = find_broken(copies, copy, &b);
	if (strcmp(cli_text(stream, "state"), "Failed") == 0)
		absent(copy, CLI_FAILED, true, "Failed: its journal or image cannot be written");
	else if (broken && strcmp(b.state, "Inconsistent") == 0)
		absent(copy, CLI_INCONSISTENT, true,
			"Inconsistent: %s does not fit what %s has; it needs a resync",
			nodes[b.to].name, nodes[b.from].name);
	else if (strcmp(cli_text(json_object_get(stream, "images"), "state"), "Resyncing") == 0)
		absent(copy, CLI_INCONSISTENT, true, "Resyncing: its images are not whole yet");
	else if (seq && cli_number(stream, "applied") >= seq)
		absent(copy, CLI_NO_DIGEST, true,
			"it was restarted near the mark and took none; try again");
	else
		explain_behind(copies, copy, stream, broken ? &b : NULL);
}

json_t *cli_copy_json(const struct cli_copies *copies, const struct cli_copy *copy)
{
	static const char *const reasons[] = {
		"not-reachable", "inconsistent", "behind", "failed", "no-digest"};
	json_t *entry = json_pack("{s:s,s:b}", "node", cli_copy_name(copies, copy), "done",
		(int)copy->done);
	if (copy->done)
		json_object_update_new(entry,
			json_pack("{s:s,s:I,s:I}", "digest", copy->digest, "epoch",
				(json_int_t)copy->epoch, "seq", (json_int_t)copy->seq));
	else
		json_object_update_new(entry,
			json_pack("{s:s,s:s}", "reason", reasons[copy->absence], "error",
				copy->why));
	return entry;
}

void cli_copies_print_missing(const struct cli_copies *copies)
{
	for (unsigned i = 0; i < copies->count; i++) {
		const struct cli_copy *copy = &copies->list[i];
		if (!copy->done)
			cli_fail(0, "%s gave no digest: %s", cli_copy_name(copies, copy),
				copy->why);
	}
}
