/* SPDX-License-Identifier: MIT */
/* What somebody may ask a node, each with all before it. */
#ifndef DP_BASE_RIGHTS_H
#define DP_BASE_RIGHTS_H

enum dp_rights {
	DP_RIGHTS_NONE,
	DP_RIGHTS_PEER,       /* another node: for the topology, if it has lost its own */
	DP_RIGHTS_OBSERVE,    /* how things are */
	DP_RIGHTS_OPERATE,    /* pause, resume and resync legs, compare mirrors */
	DP_RIGHTS_ADMINISTER, /* change the topology, turn keys; who may open the control socket
				 may, too */
};

/* As in the topology file, of the last three. */
const char *dp_rights_name(enum dp_rights rights);

#endif
