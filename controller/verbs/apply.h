/* SPDX-License-Identifier: MIT */
/* Moves a running deployment to a new topology file, in two steps: the plan says what differs and
 * what each node has to do about it, and changes nothing; then the nodes take the file, if all have
 * agreed. */
#ifndef DP_CONTROLLER_VERBS_APPLY_H
#define DP_CONTROLLER_VERBS_APPLY_H

#include "topology/change.h"
#include "verbs/verbs.h"

struct apply {
	/* set by the caller */
	const char *file;    /* the new topology */
	const char *without; /* a node that is not asked: it is lost or not trusted; NULL: none */
	/* by apply_open() */
	char *text; /* of the file */
	struct dp_topology *new;
	/* by verb_apply_plan() */
	struct verb_place place;  /* with the topology that runs */
	struct dp_topology *runs; /* if that is not the place's own; else NULL */
	struct dp_topo_changes changes;
	/* by verb_apply() */
	bool has_next_key[DP_NODES_MAX]; /* the node turns to its next key when all know both */
};

/* Reads the new file. Returns 0 or error->status: that of a topology file. The caller closes it in
 * both cases. */
int apply_open(struct apply *a, struct verb_error *error);
void apply_close(struct apply *a);

/* {"same_text", "changes": [{"what", "means", "refused"}...], "nodes": [{"node", "changed":
 * [TEXT...], "restart"}...], "refusals": [TEXT...]}; the nodes are those that agree. NULL if nodes
 * run with different files. The place is needed until apply_close(). Errors: EX_CONFIG a change is
 * refused, or there is no one topology that runs; EX_USAGE it cannot be done without that node;
 * EX_UNAVAILABLE a node does not answer. */
json_t *verb_apply_plan(struct apply *a, const struct verb_place *place, struct verb_error *error);

/* Does what the plan says, which has no error. {"turned": [NODE...]}: those that turn to their next
 * key. After an error some nodes may have the new file; it can be applied again. Errors: EX_CONFIG
 * a node refuses, EX_UNAVAILABLE it is not back in time, EX_CANTCREAT the place's own file. */
json_t *verb_apply(struct apply *a, struct verb_error *error);

#endif
