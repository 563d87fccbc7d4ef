/* SPDX-License-Identifier: MIT */
/* The table of what a change of each key of the topology file means. Private to topology/, and
 * read by the test that holds the schema and dipole-topology(5) against it.
 *
 * A rule is about one key, or about an object that comes, goes or changes its place in its list.
 * Several rules may have one key: a node follows all that concern it. */
#ifndef DP_TOPOLOGY_CHANGE_RULES_H
#define DP_TOPOLOGY_CHANGE_RULES_H

#include "topology/change.h"

enum dp_change_object {
	DP_OF_FILE,
	DP_OF_SITE,
	DP_OF_NODE,
	DP_OF_STREAM,
	DP_OF_LEG,
	DP_OF_VOLUME,
	DP_OF_LINK,
	DP_OF_OPERATOR,
};

enum dp_change_event { DP_CHANGES, DP_COMES, DP_GOES, DP_IS_REORDERED };

/* The nodes that do something. */
enum dp_change_whom {
	DP_WHOM_NOBODY,
	DP_WHOM_ITSELF,     /* the node whose key it is */
	DP_WHOM_SENDERS,    /* nodes that send to that one */
	DP_WHOM_NEIGHBOURS, /* nodes at the other end of its links that are not trusted */
	DP_WHOM_NEAR,    /* senders: a node that they send to comes to their site, or leaves it */
	DP_WHOM_OPENERS, /* holders of a sealed stream: a holder has other keys */
	DP_WHOM_SENDER,  /* the end of the link that sends, or both */
	DP_WHOM_ENDS,    /* both ends of the link, if a leg goes over it */
	DP_WHOM_SPREAD,  /* senders: a stream gets another connection of a link */
	DP_WHOM_READERS, /* controllers: the order of the legs to read from is another */
	DP_WHOM_STREAM,  /* all nodes of the stream */
	DP_WHOM_CONTROLLER, /* that of the stream */
	DP_WHOM_PLACES,     /* nodes with another place in the stream; its READERS and OPENERS */
	DP_WHOM_ORDER,      /* nodes that have the streams in another order */
	DP_WHOM_ALL,
};

/* One object in one of the topologies. */
struct dp_change_side {
	const struct dp_topology *t;
	const void *object;                  /* struct dp_topo_node etc.; NULL: it is not there */
	const struct dp_topo_stream *stream; /* of a leg, and of volumes in another order */
};

struct dp_difference {
	struct dp_change_side before, after;
};

struct dp_change_rule {
	const char *key; /* as in the schema: "streams.ack.stage"; "nodes": one comes or goes */
	enum dp_change_object of;
	enum dp_change_level level;
	enum dp_change_whom whom;
	enum dp_change_work work;
	enum dp_change_event event;
	/* The rule holds if this member of the object differs, and if `when` says so. With neither
	 * it never holds: the key is looked at elsewhere (the heartbeat of the file at the links).
	 */
	size_t offset, size; /* size 0: no member is compared */
	bool (*when)(const struct dp_difference *d);
	const char *condition; /* the manual has it behind the nodes: "if ..." */
	/* The line of `dipole apply`. Rules of one object with the same words share a line; a rule
	 * without words has none. */
	const char *what;
	void (*say)(const struct dp_difference *d, char *to, size_t size); /* instead of `what` */
	const char *means;
	const char *here; /* in the answer of a node; behind a space at its end comes a name */
};

extern const struct dp_change_rule dp_change_rules[]; /* ends with a rule without a key */

/* Whether a difference concerns the node that has these indexes; -1: it is not there. */
bool dp_change_concerns(enum dp_change_whom whom, const struct dp_difference *d, int before,
	int after);

const char *dp_change_whom_text(enum dp_change_whom whom); /* "all nodes"; NOBODY: "" */

/* Whether the objects of two sides are the same one. */
bool dp_change_is_same(enum dp_change_object of, const struct dp_change_side *a,
	const struct dp_change_side *b);

#endif
