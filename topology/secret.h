/* SPDX-License-Identifier: MIT */
/* Secret keys of nodes and operators: a file of its own for each, with the Z85 text, that nobody
 * else may read. */
#ifndef DP_TOPOLOGY_SECRET_H
#define DP_TOPOLOGY_SECRET_H

#include "topology/topology.h"

enum dp_secret_fault {
	DP_SECRET_GOOD,
	DP_SECRET_MISSING,
	DP_SECRET_OPEN, /* others can read it */
	DP_SECRET_MALFORMED,
};

struct dp_secret {
	char secret[DP_KEY_TEXT + 1], public_key[DP_KEY_TEXT + 1];
};

/* The pair whose secret key is in the file. Where it is no good, *out is cleared. */
enum dp_secret_fault dp_secret_read(const char *path, struct dp_secret *out);

const char *dp_secret_fault_text(enum dp_secret_fault fault);

#endif
