/* SPDX-License-Identifier: MIT */
/* The copies of one volume, compared at one position of its stream: what verb_digest() and
 * verb_verify() share. A mark in the stream names the position. Each node with an image takes a
 * digest of the volume when it has applied just what stands before the mark, so the volume may be
 * written to meanwhile, and a difference is one of content, never of time. */
#ifndef DP_CONTROLLER_VERBS_COPIES_H
#define DP_CONTROLLER_VERBS_COPIES_H

#include "store/digest.h"
#include "verbs/nodes.h"

#define COPIES_MAX (DP_LEGS_MAX + 1)

enum copy_result { COPY_MISSING, COPY_EQUAL, COPY_DIFFERS };

/* Why a copy is missing. */
enum copy_absence {
	COPY_NOT_REACHABLE,
	COPY_INCONSISTENT, /* its leg does not fit to the stream; it needs a resync */
	COPY_BEHIND,       /* it has not come to the mark */
	COPY_FAILED,       /* its disk has */
	COPY_NO_DIGEST,    /* it has passed the mark, and has none: it was restarted */
};

struct copy {
	unsigned node;
	const struct dp_topo_leg *leg; /* at whose end it is; NULL: the controller's own image */
	bool done;
	char digest[DP_DIGEST_TEXT]; /* if done, as the two that follow */
	uint64_t epoch, seq;         /* of the mark */
	enum copy_result result;     /* by copies_judge() */
	enum copy_absence absence;   /* if not done */
	char why[DP_ASK_ERROR_MAX];
	bool cut_off;           /* it does not come nearer as things are */
	uint64_t cut_off_since; /* dp_clock_us() */
};

struct copies {
	struct verb_survey survey; /* of the nodes of the stream */
	const char *volume;
	const struct dp_topo_stream *stream;
	char mark[64];
	struct copy list[COPIES_MAX];
	unsigned count;
};

/* The ends of the stream's legs, and the controller if it has an image; only the one at node
 * `only` unless that is negative. Fills list and count. */
void copies_find(const struct dp_topo_stream *stream, int only, struct copies *copies);

/* Finds the copies of the volume, or only that of `node` if not NULL, sets one mark and waits for
 * the digests: for `timeout_us` at most, and for a copy that is cut off all the time for
 * `patience_us`. Then judges them. Returns 0, also where some are missing, or error->status. The
 * caller clears the copies in both cases. */
int copies_compare(struct copies *copies, const struct verb_place *place,
	const struct verb_copies *args, uint64_t patience_us, struct verb_error *error);
void copies_clear(struct copies *copies);

/* Says of each copy whether it equals the controller's own image; without that, what more than
 * half of those that are done have. If there is no such content either, all that are done differ:
 * nobody can tell which is right. */
void copies_judge(struct copies *copies);

unsigned copies_with(const struct copies *copies, enum copy_result result);

/* Why the copy is not done, from the survey: its absence, why, cut_off (copies_why.c). */
void copy_explain(const struct copies *copies, struct copy *copy);
void copy_is_unreachable(struct copy *copy, const char *error);

/* COPY of verbs.h, without its result. */
json_t *copy_json(const struct copies *copies, const struct copy *copy);

#endif
