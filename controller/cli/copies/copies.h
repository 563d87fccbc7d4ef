/* SPDX-License-Identifier: MIT */
/* The copies of one volume, compared at one position of its stream: what `digest` and `verify`
 * share. A mark in the stream names the position. Each node with an image takes a digest of the
 * volume when it has applied just what stands before the mark, so the volume may be written to
 * meanwhile, and a difference is one of content, never of time. */
#ifndef DP_CONTROLLER_CLI_COPIES_COPIES_H
#define DP_CONTROLLER_CLI_COPIES_COPIES_H

#include "cli.h"
#include "store/digest.h"

#define CLI_COPIES_MAX (DP_LEGS_MAX + 1)

enum cli_result { CLI_MISSING, CLI_EQUAL, CLI_DIFFERS };

/* Why a copy is missing. */
enum cli_absence {
	CLI_NOT_REACHABLE,
	CLI_INCONSISTENT, /* its leg does not fit to the stream; it needs a resync */
	CLI_BEHIND,       /* it has not come to the mark */
	CLI_FAILED,       /* its disk has */
	CLI_NO_DIGEST,    /* it has passed the mark, and has none: it was restarted */
};

struct cli_copy {
	unsigned node;
	const struct dp_topo_leg *leg; /* at whose end it is; NULL: the controller's own image */
	bool done;
	char digest[DP_DIGEST_TEXT]; /* if done, as the two that follow */
	uint64_t epoch, seq;         /* of the mark */
	enum cli_result result;      /* by cli_copies_judge() */
	enum cli_absence absence;    /* if not done */
	char why[DP_ASK_ERROR_MAX];
	bool cut_off;           /* it does not come nearer as things are */
	uint64_t cut_off_since; /* monotonic, in microseconds */
};

struct cli_copies {
	struct cli_survey survey; /* of the nodes of the stream */
	const char *volume;
	const struct dp_topo_stream *stream;
	char mark[64];
	struct cli_copy list[CLI_COPIES_MAX];
	unsigned count;
	bool referenced; /* what is right is known: the controller's image, or what most have */
};

/* The ends of the stream's legs, and the controller if it has an image; only the one at node
 * `only` unless that is negative. Fills list and count. */
void cli_copies_find(const struct dp_topo_stream *stream, int only, struct cli_copies *copies);

/* Opens the state directory and finds the copies of the volume, or only that of `node` if not
 * NULL. Returns 0 or an exit status, printed. Close it in both cases. */
int cli_copies_open(struct cli_copies *copies, const char *state, const char *volume,
	const char *node);
void cli_copies_close(struct cli_copies *copies);

/* Sets one mark and waits for the digests: for `timeout_us` at most, and for a copy that is cut
 * off all the time for `patience_us`. Returns 0, also where some are missing, or an exit status,
 * printed. */
int cli_copies_collect(struct cli_copies *copies, uint64_t timeout_us, uint64_t patience_us);

/* Says of each copy whether it equals the controller's own image; without that, what more than
 * half of those that are done have. If there is no such content either, all that are done differ:
 * nobody can tell which is right. */
void cli_copies_judge(struct cli_copies *copies);

unsigned cli_copies_with(const struct cli_copies *copies, enum cli_result result);

/* Why the copy is not done, from the survey: its absence, why, cut_off (copies_why.c). */
void cli_copies_explain(const struct cli_copies *copies, struct cli_copy *copy);
void cli_copy_unreachable(struct cli_copy *copy, const char *error);

const char *cli_copy_name(const struct cli_copies *copies, const struct cli_copy *copy);

/* A new object: node and done, then digest, epoch and seq, or reason and error. */
json_t *cli_copy_json(const struct cli_copies *copies, const struct cli_copy *copy);

/* A line on stderr for each that is not done. */
void cli_copies_print_missing(const struct cli_copies *copies);

#endif
