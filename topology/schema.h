/* SPDX-License-Identifier: MIT */
/* The keys of the topology file and what each means. Private to topology/. */
#ifndef DP_TOPOLOGY_SCHEMA_H
#define DP_TOPOLOGY_SCHEMA_H

#include "loader.h"

/* Fills l->t from the document's root; mistakes go to l->errors. */
void dp_schema_load(struct dp_loader *l, const yaml_node_t *root);

/* Every key of the file, those with keys of their own too: "streams", "streams.ack",
 * "streams.ack.stage". For the test that holds the table of changes against them. */
void dp_schema_keys(void (*each)(void *ctx, const char *key), void *ctx);

/* The nodes of one leg, from a list of their names (leg.c). */
void dp_schema_hops(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *list,
	struct dp_topo_stream *s, struct dp_topo_leg *leg);

/* What can only be seen once everything is read (check.c). */
void dp_schema_check(struct dp_loader *l);

/* Copies a name as far as it goes; one that is too long has been reported. */
void dp_schema_copy_name(char to[DP_NAME_MAX + 1], const char *name);

#endif
