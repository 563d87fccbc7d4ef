/* SPDX-License-Identifier: MIT */
/* Questions of verbs to the nodes of a place: by its socket to a node of this machine, to another
 * one over the network under an operator's key. */
#ifndef DP_CONTROLLER_VERBS_NODES_H
#define DP_CONTROLLER_VERBS_NODES_H

#include "ask/ask.h"
#include "verbs/verbs.h"

#define VERB_ASK_TIMEOUT_US 2000000

/* Asks `count` nodes the same at the same time: asks[i] becomes the result of node nodes[i], as
 * dp_ask_all() sets it. `request` is stolen; it gets the protocol's version. Errors: those of
 * dp_ask_all(), and DP_EPERM there is no operator's key. */
void verb_ask_all(const struct verb_place *place, const unsigned *nodes, unsigned count,
	json_t *request, uint64_t timeout_us, struct dp_ask *asks);

/* The same for one node. */
int verb_ask(const struct verb_place *place, unsigned node, json_t *request, uint64_t timeout_us,
	json_t **answer, char error[DP_ASK_ERROR_MAX]);

/* ---- all nodes' status ---- */

struct verb_survey {
	const struct verb_place *place;
	const char *site;                    /* if not NULL, only its nodes are asked */
	int only;                            /* index of the one node asked, or -1 */
	const struct dp_topo_stream *stream; /* if not NULL, only its nodes are asked */
	unsigned answered;
	json_t *answers[DP_NODES_MAX]; /* NULL: down or not asked */
	char errors[DP_NODES_MAX][DP_ASK_ERROR_MAX];
};

/* Asks for new answers. Those of before have to be cleared. */
void verb_survey_ask(struct verb_survey *survey);
void verb_survey_clear(struct verb_survey *survey);

/* Asks the nodes that the filter names. Returns 0 or error->status: EX_USAGE no such node or site.
 */
int verb_survey_begin(struct verb_survey *survey, const struct verb_place *place,
	const struct verb_filter *filter, struct verb_error *error);

/* Clears it. If no node has answered, that is the error. */
void verb_survey_end(struct verb_survey *survey, struct verb_error *error);

/* Whether the node was to be asked. */
bool verb_survey_has(const struct verb_survey *survey, unsigned node);

/* The named stream in the answer of a node, or NULL. */
json_t *verb_survey_stream(const struct verb_survey *survey, unsigned node, const char *name);

#endif
