/* SPDX-License-Identifier: MIT */
/* Why a copy has no digest, as the nodes of its stream show it. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "verbs/copies.h"

__attribute__((format(printf, 4, 5))) static void set_absent(struct copy *copy,
	enum copy_absence absence, bool cut_off, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	copy->absence = absence;
	copy->cut_off = cut_off;
	vsnprintf(copy->why, sizeof copy->why, format, args);
	va_end(args);
}

void copy_is_unreachable(struct copy *copy, const char *error)
{
	set_absent(copy, COPY_NOT_REACHABLE, true, "not reachable: %.200s", error);
}

/* Where the mark stands, as those say that have come to it; 0: none has. The controller does not
 * know it when it takes the request, which may have to wait. */
static uint64_t mark_seq(const struct copies *copies)
{
	for (unsigned i = 0; i < copies->count; i++) {
		if (copies->list[i].done)
			return copies->list[i].seq;
	}
	return 0;
}

/* The state of the link from one node to the next, as the upper one sees it. */
static const char *link_state(const struct copies *copies, unsigned from, unsigned to)
{
	const char *peer = copies->survey.place->topology->nodes[to].name;
	json_t *stream = verb_survey_stream(&copies->survey, from, copies->stream->name), *link;
	size_t i;
	json_array_foreach (json_object_get(stream, "links"), i, link) {
		if (strcmp(verb_text(link, "peer"), peer) == 0)
			return verb_text(link, "state");
	}
	return "-";
}

struct broken {
	unsigned from, to;
	const char *state;
};

/* The first link on the way to the copy over which nothing flows. */
static bool find_broken(const struct copies *copies, const struct copy *copy, struct broken *b)
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
static void explain_behind(const struct copies *copies, struct copy *copy, const json_t *stream,
	const struct broken *broken)
{
	const struct dp_topo_node *nodes = copies->survey.place->topology->nodes;
	uint64_t applied = verb_number(stream, "applied");
	bool idle = applied >= verb_number(stream, "agreed");
	if (broken && !copies->survey.answers[broken->from])
		set_absent(copy, COPY_BEHIND, idle, "behind: %s above it does not answer",
			nodes[broken->from].name);
	else if (broken)
		set_absent(copy, COPY_BEHIND, idle && strcmp(broken->state, "Probation") != 0,
			"behind: the link from %s to %s is %s", nodes[broken->from].name,
			nodes[broken->to].name, broken->state);
	else if (idle)
		set_absent(copy, COPY_BEHIND, idle,
			"behind: it has applied all that is agreed, up to %llu; the mark is not",
			(unsigned long long)applied);
	else
		set_absent(copy, COPY_BEHIND, idle, "behind: it has applied %llu of %llu agreed",
			(unsigned long long)applied,
			(unsigned long long)verb_number(stream, "agreed"));
}

void copy_explain(const struct copies *copies, struct copy *copy)
{
	const struct dp_topo_node *nodes = copies->survey.place->topology->nodes;
	json_t *stream = verb_survey_stream(&copies->survey, copy->node, copies->stream->name);
	uint64_t seq = mark_seq(copies);
	struct broken b = {.state = "-"};
	bool broken = find_broken(copies, copy, &b);
	if (strcmp(verb_text(stream, "state"), "Failed") == 0)
		set_absent(copy, COPY_FAILED, true,
			"Failed: its journal or image cannot be written");
	else if (broken && strcmp(b.state, "Inconsistent") == 0)
		set_absent(copy, COPY_INCONSISTENT, true,
			"Inconsistent: %s does not fit what %s has; it needs a resync",
			nodes[b.to].name, nodes[b.from].name);
	else if (strcmp(verb_text(json_object_get(stream, "images"), "state"), "Resyncing") == 0)
		set_absent(copy, COPY_INCONSISTENT, true,
			"Resyncing: its images are not whole yet");
	else if (seq && verb_number(stream, "applied") >= seq)
		set_absent(copy, COPY_NO_DIGEST, true,
			"it was restarted near the mark and took none; try again");
	else
		explain_behind(copies, copy, stream, broken ? &b : NULL);
}
