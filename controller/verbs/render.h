/* SPDX-License-Identifier: MIT */
/* What a deployment needs of each kind: the files of verb_render(). */
#ifndef DP_CONTROLLER_VERBS_RENDER_H
#define DP_CONTROLLER_VERBS_RENDER_H

#include <stdio.h>

#include "verbs/verbs.h"

#define RENDER_UID   7400 /* of the user in the images, who owns state and secrets */
#define RENDER_ETC   "/etc/dipole"
#define RENDER_STATE "/var/lib/dipole"

struct render_target;

struct render {
	const struct dp_topology *t;
	const struct render_target *target;
	const char *image;
	unsigned site; /* the one at hand */
};

/* A kind of deployment. Each function writes one file of the site at hand. */
struct render_target {
	const char *name;
	const char *etc;  /* folder of the topology in that of the site; "": that one */
	const char *file; /* NULL: none but the topology and the README */
	void (*write)(const struct render *r, FILE *to);
	void (*steps)(const struct render *r, FILE *to); /* of the README, numbered from 1 */
};

extern const struct render_target render_compose, render_systemd, render_kubernetes;

/* Whether the node is at the site at hand, and used by a stream. */
bool render_is_here(const struct render *r, unsigned node);
const char *render_program(enum dp_role role);
/* The words of the command that serves the disks of a controller, "a, b, c". */
void render_nbd(const struct dp_topo_node *controller, FILE *to);
/* Host and port of "tcp://HOST:PORT", in `host`; returns the port. */
const char *render_address(const char *listen, char host[DP_ADDRESS_MAX + 1]);

#endif
