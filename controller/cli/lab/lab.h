/* SPDX-License-Identifier: MIT */
/* The lab: a topology on one machine, with its distances. Each site is a network namespace with one
 * TUN device; one process, the emulator, holds all of them and hands packets from one to another as
 * wan.h says. lab.c is the command, site.c makes the sites, emulator.c hands on, order.c takes
 * orders. */
#ifndef DP_CONTROLLER_CLI_LAB_LAB_H
#define DP_CONTROLLER_CLI_LAB_LAB_H

#include <jansson.h>
#include <limits.h>

#include "lab/wan.h"

/* 10.77.SITE.NODE, both counted from 1. */
#define LAB_NETWORK "10.77.0.0/16"
#define LAB_PORT    7400
#define LAB_SOCKET  "lab.sock" /* in the state directory: takes orders */
#define LAB_NAMESPACES                                                                             \
	".netns" /* there too: a link to each site's namespace; no node is called so */

struct lab_site {
	int namespace_fd, tun_fd; /* -1: none */
	bool segmented; /* packets come as they go over a wire, none larger than the MTU */
};

struct lab {
	const struct dp_topology *t;
	char dir[PATH_MAX]; /* the state directory */
	struct wan wan;
	struct lab_site sites[DP_SITES_MAX];
	int socket_fd;
	uint64_t strangers; /* packets between sites that no link joins */
};

/* Makes the namespaces and their devices, and the links DIR/.netns/SITE through which others enter.
 * They last as long as this process. Returns 0 or an exit status, printed. */
int lab_make_sites(struct lab *lab);

/* Large packets whole, as a network card with offloads takes them, or as the wire would have them,
 * so that single ones can be lost. */
void lab_segment(struct lab_site *site, bool segmented);

/* Hands packets on until a signal ends the process. */
_Noreturn void lab_emulate(struct lab *lab);

/* A new answer to an order: {"cmd": "cut" | "heal" | "slow" | "links"} (order.c). */
json_t *lab_order(struct lab *lab, const json_t *request);

#endif
