/* SPDX-License-Identifier: MIT */
/* The place that a verb works on: a deployment as this machine knows it. And how a verb fails. */
#ifndef DP_CONTROLLER_VERBS_PLACE_H
#define DP_CONTROLLER_VERBS_PLACE_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sysexits.h>

#include "topology/topology.h"

/* ---- errors ---- */

/* Why a verb has not done all that it was asked. The caller sets it to zeros before the call, and
 * clears it when it has read it. */
struct verb_error {
	int status;                /* of <sysexits.h>; 0: the verb has done it all */
	char text[PATH_MAX + 512]; /* one line for people; empty: the answer says it */
	/* Mistakes and warnings of a topology file, "FILE:LINE:COLUMN: KEY: TEXT", a line each.
	 * Warnings come with status 0, too. NULL: none. */
	char *mistakes;
};

/* Returns the status. */
int verb_fail(struct verb_error *error, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

void verb_error_clear(struct verb_error *error);

/* ---- places ---- */

struct verb_place {
	char dir[PATH_MAX];  /* the state directory; absolute, not resolved */
	char file[PATH_MAX]; /* the topology's */
	struct dp_topology *topology;
};

/* The state directory: `option` if not NULL, else $DIPOLE_STATE, else the default of the user.
 * Returns 0 or error->status. */
int verb_state_dir(const char *option, char dir[PATH_MAX], struct verb_error *error);

/* Finds the directory and loads its topology, or where there is none that of the machine. Returns
 * 0 or error->status. The caller closes the place in both cases. */
int verb_place_open(const char *option, struct verb_place *place, struct verb_error *error);
void verb_place_close(struct verb_place *place);

/* Loads a topology file, which the caller destroys. Returns 0 or error->status. */
int verb_topology_load(const char *path, struct dp_topology **out, struct verb_error *error);

/* The same for what dp_topology_load() or dp_topology_parse() has returned. */
int verb_topology_judge(int err, const struct dp_topo_errors *errors, struct verb_error *error);

/* ---- paths ---- */

/* "DIR/NODE/FILE", or "DIR/NODE" if the file is "". Returns `path`, which is empty if that is too
 * long: it opens nothing. */
char *verb_node_path(const char *dir, const char *node, const char *file, char path[PATH_MAX]);

/* Creates the directory and those above it. Errors: the codes of err.h. */
int verb_make_dirs(const char *path, unsigned mode);

/* ---- JSON ---- */

/* A text that may be no UTF-8, as paths and errors with paths. '?' stands for what is no ASCII
 * then.
 */
json_t *verb_string(const char *text);

/* Members of an answer; a missing or mistyped one is "-" or 0. */
const char *verb_text(const json_t *object, const char *key);
uint64_t verb_number(const json_t *object, const char *key);

#endif
