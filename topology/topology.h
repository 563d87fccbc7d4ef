/* SPDX-License-Identifier: MIT */
/* The topology file: one YAML file that describes the whole deployment (requirement T1).
 *
 * dp_topology_load() parses and validates it. Every mistake is reported, not just the first,
 * each with file, line, column, key and what was expected. A topology with any mistake is
 * refused whole. The model below is plain data: arrays and indexes into them, no pointers to
 * chase; it is read-only once loaded. */
#ifndef DP_TOPOLOGY_TOPOLOGY_H
#define DP_TOPOLOGY_TOPOLOGY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/limits.h"
#include "base/rights.h"
#include "base/units.h"
#include "proto/seal.h"

#define DP_SITES_MAX            256
#define DP_NODES_MAX            256
#define DP_LINKS_MAX            1024
#define DP_STREAMS_MAX          1024
#define DP_TOPOLOGY_VOLUMES_MAX 4096
#define DP_CONNECTIONS_MAX      8
#define DP_OPERATORS_MAX        32
#define DP_PATH_MAX             255
#define DP_LEGS_MAX             8  /* = DP_DOWN_MAX: legs of one stream */
#define DP_HOPS_MAX             16 /* nodes of one leg after the controller */
#define DP_ADDRESS_MAX          127
#define DP_KEY_TEXT             40 /* a Z85 public key */

/* A file beyond this is refused unread: the largest topology is a small part of it. */
#define DP_TOPOLOGY_FILE_MAX (1u << 20)

enum dp_role { DP_ROLE_CONTROLLER, DP_ROLE_RELAY, DP_ROLE_MIRROR };
enum dp_stage { DP_STAGE_LOCAL, DP_STAGE_CACHED, DP_STAGE_COMMITTED };
enum dp_retain { DP_RETAIN_COMMITTED, DP_RETAIN_NEXT_HOP };
enum dp_local { DP_LOCAL_NONE, DP_LOCAL_MIRROR }; /* the controller's own store */
enum dp_when_full { DP_FULL_STOP, DP_FULL_TRACK };

struct dp_site {
	char name[DP_NAME_MAX + 1];
	bool has_position;
	double latitude, longitude; /* degrees */
};

struct dp_topo_node {
	char name[DP_NAME_MAX + 1];
	enum dp_role role;
	unsigned site;                    /* index */
	char listen[DP_ADDRESS_MAX + 1];  /* "tcp://HOST:PORT"; empty: nothing connects to it */
	char metrics[DP_ADDRESS_MAX + 1]; /* the same, where metrics can be read; empty: nowhere */
	char control[DP_ADDRESS_MAX + 1]; /* the same, where operators reach it; empty: nowhere */
	char key[DP_KEY_TEXT + 1];        /* Z85 public key; empty: none given */
	char former_key[DP_KEY_TEXT + 1]; /* good beside it, while the key changes; empty: none */
	uint64_t journal_bytes;           /* per stream; relay and mirror; default 1 GiB */
	enum dp_retain retain;            /* default committed */
	char second_store[DP_PATH_MAX +
		1]; /* mirror: where images are kept a second time; empty: nowhere */
};

/* When a link counts as down, and as up again. Microseconds. */
struct dp_topo_heartbeat {
	uint64_t interval_us;   /* default 1.5 s */
	uint64_t down_after_us; /* default 4 s; at least twice the interval */
	uint64_t probation_us;  /* default 10 s */
};

struct dp_topo_link {
	unsigned a, b;     /* node indexes, as written in `between` */
	bool trusted;      /* no CURVE */
	double distance_m; /* given, or great circle of the two sites; < 0: unknown */
	bool distance_given;
	uint64_t round_trip_us;  /* measured; 0: not given, the distance tells */
	uint64_t bandwidth_bits; /* 0: unlimited */
	uint64_t window_bytes;   /* 0: default */
	uint64_t rate_bits;      /* of a stream's records at most; 0: no limit */
	struct dp_hours send;    /* when it sends, in local time of the sender */
	bool compress;           /* what is sent down it */
	unsigned connections;    /* that the streams are spread over; default 1 */
	struct dp_topo_heartbeat heartbeat;
};

struct dp_topo_leg {
	char name[DP_NAME_MAX + 1];
	unsigned hops[DP_HOPS_MAX]; /* node indexes after the controller; the last is the mirror */
	unsigned hop_count;
};

struct dp_topo_stream {
	char name[DP_NAME_MAX + 1];
	uint64_t id; /* from the deployment's and the stream's name; never 0 */
	unsigned controller;
	struct dp_topo_leg legs[DP_LEGS_MAX];
	unsigned leg_count;
	enum dp_stage ack_stage;     /* default cached */
	unsigned ack_legs;           /* 1..leg_count; `all` (default) is leg_count */
	enum dp_stage flush;         /* cached or committed; default cached */
	unsigned keep_serving;       /* 1..leg_count, default leg_count */
	enum dp_local local;         /* default none */
	uint64_t journal_bytes;      /* the controller's journal; default 1 GiB */
	unsigned high_water;         /* percent, default 80 */
	enum dp_when_full when_full; /* default stop */
	uint64_t resync_rate;        /* bytes a second; 0 (default): no limit */
	uint64_t read_cache_bytes;   /* at the controller; 0 (default): none */
	enum dp_seal_cipher seal;    /* default none */
};

struct dp_topo_volume {
	char name[DP_NAME_MAX + 1];
	uint32_t id;         /* from the volume's name; never 0; unique within the file */
	unsigned stream;     /* index */
	uint64_t size;       /* bytes, a multiple of 4096 */
	bool skip_unchanged; /* needs the stream's read cache */
};

/* Somebody who may ask nodes over the network. */
struct dp_topo_operator {
	char name[DP_NAME_MAX + 1];
	char key[DP_KEY_TEXT + 1]; /* Z85 public key */
	enum dp_rights role;
};

struct dp_topology {
	char name[DP_NAME_MAX + 1];
	struct dp_topo_heartbeat heartbeat; /* of links that name none */
	struct dp_site sites[DP_SITES_MAX];
	unsigned site_count;
	struct dp_topo_node nodes[DP_NODES_MAX];
	unsigned node_count;
	struct dp_topo_link links[DP_LINKS_MAX];
	unsigned link_count;
	struct dp_topo_stream streams[DP_STREAMS_MAX];
	unsigned stream_count;
	struct dp_topo_volume volumes[DP_TOPOLOGY_VOLUMES_MAX];
	unsigned volume_count;
	struct dp_topo_operator operators[DP_OPERATORS_MAX];
	unsigned operator_count;
};

/* One mistake or warning. line and column count from 1. */
struct dp_topo_error {
	char file[256];
	unsigned line, column;
	char key[256]; /* the path of the key, e.g. "streams.orders.ack.legs" */
	char text[256];
};

#define DP_TOPO_ERRORS_MAX 100

struct dp_topo_errors {
	struct dp_topo_error errors[DP_TOPO_ERRORS_MAX];
	unsigned count; /* stops growing at the maximum */
};

/* Loads `path`. On success *out is a new topology that the caller destroys.
 * Errors: DP_ENOENT / DP_EIO the file cannot be read, DP_ECONFIG it has mistakes, DP_ENOMEM. In
 * each case *errors says what, and *out is NULL. */
int dp_topology_load(const char *path, struct dp_topology **out, struct dp_topo_errors *errors);

/* The same for text in memory; `file` is only the name used in messages. */
int dp_topology_parse(const char *text, size_t size, const char *file, struct dp_topology **out,
	struct dp_topo_errors *errors);

void dp_topology_destroy(struct dp_topology **t);

/* Whether the node is the stream's controller or stands in one of its legs. */
bool dp_topology_uses(const struct dp_topo_stream *s, unsigned node);

/* Whether a leg of the stream leads from one node directly to the other. */
bool dp_topology_sends(const struct dp_topo_stream *s, unsigned from, unsigned to);

/* Which of the connections from one node to the other a stream has that uses them: from 0, the
 * streams take turns. */
unsigned dp_topology_connection(const struct dp_topology *t, unsigned stream, unsigned from,
	unsigned to);

/* The stream's legs, that with the nearest mirror first. */
void dp_topology_read_order(const struct dp_topology *t, const struct dp_topo_stream *s,
	uint8_t order[DP_LEGS_MAX]);

/* Who may open what a sealed stream carries: its controller and the mirrors in its legs, as node
 * indexes, each once, in the order of the legs. Returns how many, at most DP_SEAL_HOLDERS_MAX + 1
 * (which is one too many). */
unsigned dp_topology_holders(const struct dp_topology *t, unsigned stream,
	unsigned out[DP_SEAL_HOLDERS_MAX + 1]);

/* "FILE:LINE:COLUMN: KEY: TEXT", a line each. */
void dp_topology_print_errors(const struct dp_topo_errors *errors, FILE *to);

/* Index of a named object, or -1. */
int dp_topology_node(const struct dp_topology *t, const char *name);
int dp_topology_stream(const struct dp_topology *t, const char *name);
int dp_topology_volume(const struct dp_topology *t, const char *name);

/* The link between two nodes in either direction, or NULL. */
const struct dp_topo_link *dp_topology_link(const struct dp_topology *t, unsigned a, unsigned b);

/* Writes the model back as YAML that loads to the same model (used by `dipole up`, which
 * changes addresses and keys). Errors: DP_EIO. */
int dp_topology_write(const struct dp_topology *t, FILE *to);

/* Opposition of a stream's two farthest poles. false if a position is unknown. */
struct dp_opposition {
	unsigned pole_a, pole_b; /* node indexes of the mirrors */
	double separation_m;     /* between the poles */
	double from_controller_a_m, from_controller_b_m;
	double gain_m; /* separation less the larger of the two distances */
	bool opposed;  /* separation greater than each distance */
};
bool dp_topology_opposition(const struct dp_topology *t, unsigned stream,
	struct dp_opposition *out);

/* Great-circle distance in metres between two sites with positions. */
double dp_site_distance(const struct dp_site *a, const struct dp_site *b);

const char *dp_role_name(enum dp_role role);
const char *dp_stage_name(enum dp_stage stage);

#endif
