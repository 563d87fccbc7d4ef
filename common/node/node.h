/* SPDX-License-Identifier: MIT */
/* The daemon shell: one event loop that turns sockets, disks and clocks into events of the
 * streams and carries out what they want. Controller, relay and mirror are configurations. */
#ifndef DP_NODE_NODE_H
#define DP_NODE_NODE_H

#include "base/rights.h"
#include "base/units.h"
#include "engine/core.h"
#include "net/links.h"

#define DP_NODE_STREAMS_MAX   1024
#define DP_NODE_LINKS_MAX     512
#define DP_NODE_KEYS_MAX      512 /* of each node of a topology two */
#define DP_NODE_OPERATORS_MAX 32

struct dp_node_volume {
	char name[DP_NAME_MAX + 1];
	uint32_t id;
	uint64_t size;
	bool skip_unchanged; /* writes of what the read cache knows to be there make no record */
	bool is_new, grown;  /* since the node ran last */
};

struct dp_node_stream {
	char name[DP_NAME_MAX + 1];
	struct dp_core_config core;
	uint64_t journal_bytes;
	uint64_t resync_rate; /* bytes a second; 0: no limit */
	uint64_t read_cache;  /* bytes; 0: none */
	struct dp_node_volume volumes[DP_VOLUMES_MAX];
	unsigned volume_count;
	unsigned links[DP_DOWN_MAX];             /* core's link i goes over node link links[i] */
	char legs[DP_DOWN_MAX][DP_NAME_MAX + 1]; /* the leg it belongs to */
	bool near[DP_DOWN_MAX];                  /* its first node stands at this node's own site */
	char upstream[DP_NAME_MAX + 1]; /* the only node that may send; "" at a controller */
	enum dp_seal_cipher seal;
	char holders[DP_SEAL_HOLDERS_MAX]
		    [DP_KEY_SIZE]; /* of a sealed stream, public keys; this node's among them */
	unsigned holder_count;     /* 0 at a relay; else core.seal is made of it all */
	bool volumes_changed; /* since the node ran last: others, larger ones, or another order */
	bool all_ways_new; /* controller: since the node ran last every leg's first node, or mirror,
			      is another */
};

struct dp_node_operator {
	char name[DP_NAME_MAX + 1];
	char key[DP_KEY_SIZE];
	enum dp_rights rights;
};

struct dp_node_key {
	char node[DP_NAME_MAX + 1];
	char key[DP_KEY_SIZE];
};

/* What the node had when it ran last, and has no more: its files are set aside. */
#define DP_NODE_GONE_MAX 5120 /* all volumes and streams of a topology */
struct dp_node_gone {
	char name[DP_NAME_MAX + 1];
	bool stream; /* its journal; else a volume's images */
};

struct dp_node_config {
	char name[DP_NAME_MAX + 1], deployment[DP_NAME_MAX + 1];
	enum dp_core_role role;
	const char *state;      /* directory, exists */
	char second_store[256]; /* directory for a second copy of images; "": none */
	char listen[128];       /* "" if nothing connects here */
	bool listen_curve;
	char control[128]; /* where operators reach it, "tcp://HOST:PORT"; "": nowhere */
	struct dp_node_operator operators[DP_NODE_OPERATORS_MAX];
	unsigned operator_count;
	char metrics[128]; /* where metrics can be read by HTTP, "tcp://HOST:PORT"; "": nowhere */
	char public_key[DP_KEY_SIZE],
		secret_key[DP_KEY_SIZE]; /* in use: the topology's key, or the former one */
	char former_secret[DP_KEY_SIZE]; /* of before; opens what was sealed for it. "": none */
	bool has_next_key;               /* the topology's key is there, and not in use yet */
	bool takes_next_key;             /* it is taken at the next start: no other is good */
	struct dp_node_key keys[DP_NODE_KEYS_MAX]; /* who may connect */
	unsigned key_count;
	struct dp_link_config links[DP_NODE_LINKS_MAX];
	unsigned link_count;
	struct dp_link_config above[DP_NODE_LINKS_MAX]; /* nodes that connect here; no address */
	unsigned above_count;
	struct dp_node_stream streams[DP_NODE_STREAMS_MAX];
	unsigned stream_count;
	struct dp_node_gone gone[DP_NODE_GONE_MAX];
	unsigned gone_count;
};

/* How a configuration differs from the one that the node runs with. */
#define DP_NODE_CHANGES_MAX 256
struct dp_node_changes {
	char what[DP_NODE_CHANGES_MAX][200]; /* each once; what is beyond the maximum is left out */
	unsigned count;
	bool restart;                  /* the node has to run again; else it goes on with it: */
	bool heartbeats;               /* they are set up again */
	bool links[DP_NODE_LINKS_MAX]; /* the peer has another address or key: connect again */
};

/* Where a node's configuration comes from. */
struct dp_node_source {
	/* Reads `text`, or what stands there now if it is NULL, and how that differs (*changes has
	 * been cleared). 0, or another number and why it cannot be used, also beside what the
	 * node runs with (topology/change.h). */
	int (*load)(void *ctx, const char *text, struct dp_node_config *out,
		struct dp_node_changes *changes, char *why, size_t size);
	/* Puts `text` there, durably and at once; dry: only says whether that can be done. Nothing
	 * has to be done where it is already. 0, or another number and why. */
	int (*replace)(void *ctx, const char *text, bool dry, char *why, size_t size);
	/* The node runs with what was loaded last; the next change counts from there. 0 or a
	 * dp_err. */
	int (*keep)(void *ctx);
	/* The text that was loaded last. */
	const char *(*text)(void *ctx);
	/* Has the next key take the place of the one in use, from the next load on. 0, or another
	 * number and why. */
	int (*turn)(void *ctx, char *why, size_t size);
	void *ctx;
};

#define DP_NODE_RESTART (-1)

/* Runs until SIGTERM or SIGINT. SIGHUP and the control socket's "reload" and "apply" take over what
 * has changed in the configuration (reload.c); what cannot be taken over as the node runs ends it
 * with DP_NODE_RESTART, to be loaded and run anew: hosts ride that out. `source` may be NULL. Else
 * returns an exit code of sysexits.h. */
int dp_node_run(struct dp_node_config *cfg, const struct dp_node_source *source);

#endif
