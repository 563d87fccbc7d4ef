/* SPDX-License-Identifier: MIT */
/* A deployment, and what each single change of its topology does: the lines of `dipole apply`, the
 * level, and the nodes that run again or put something into place. Each key of the schema has a
 * case (test_change_rules.c holds that). */
#ifndef DP_TESTS_RIG_CHANGES_H
#define DP_TESTS_RIG_CHANGES_H

#include "topology/change.h"

struct change_case {
	const char *key;
	const char *edits[7]; /* what is replaced, everywhere, and by what, in turn; NULL ends it */
	const char *lines;    /* of `dipole apply`, with " | " between them */
	enum dp_change_level level;
	const char *restart, *live; /* nodes; of a change that is refused none */
};

extern const char changes_before[];
extern const struct change_case change_cases[];
extern const unsigned change_case_count;

struct dp_topology *changes_parse(const char *text); /* NULL: it has a mistake */

/* The topology with the edits of one case, or of two. NULL: they do not go together. */
struct dp_topology *changes_apply(const struct change_case *first,
	const struct change_case *second);

#endif
