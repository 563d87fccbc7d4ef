/* SPDX-License-Identifier: MIT */
/* What a node's status says, as Prometheus reads it (requirement M4): names that begin with
 * `dipole_`, base units,
 * `_total` for what only grows; as many samples as the topology has streams, links and connections.
 */
#ifndef DP_NODE_METRICS_H
#define DP_NODE_METRICS_H

#include <jansson.h>

/* `status`: what control.c answers. The caller frees the text; NULL: out of memory. */
char *metrics_text(const json_t *status);

#endif
