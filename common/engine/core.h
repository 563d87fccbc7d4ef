/* SPDX-License-Identifier: MIT */
/* The replication core: what one node does for one stream.
 *
 * The life of a write. A host's request reaches the controller's core, which gives it the next
 * (epoch, seq), links it to the chain and puts it into the log. From there three things happen,
 * at every node alike: the record is sent to each link below as its window allows, it is handed to
 * the journal, and the positions that come back move the watermarks. A relay or mirror takes the
 * record from its sender, puts it into its own log, and acknowledges `cached` once its journal has
 * it, `committed` once the leg's mirror has it. When the controller's ack policy is met, the host
 * gets its reply. When the retention rule is met, the record leaves the log and the journal. A
 * mirror applies records to its images only up to `agreed`: these records satisfy the policy and
 * cannot be cut any more.
 *
 * The core is pure: no I/O, no clock, no threads. dp_core_step() takes one event and appends the
 * actions that follow to a list; the shell (common/stream/stream.c) carries them out in order.
 *
 * A controller's journal is lazy while every leg counts for the ack (`legs: all`). A record that
 * all legs have committed before its time never touches the controller's disk. So a restarted
 * controller first adopts the records that its legs have and that it lacks (docs/architecture.md).
 *
 * The files. All files use the ground: state.h, actions, append, make, promise, policy. The parts
 * stand on it: session, send, take, insync, recover, read, rebuild, host, retain. A part may read
 * any state. No part calls another part: core.c calls them all. If a part needs something from
 * another part, it sets a field in that part's state (`..._due`), and the other part does it when
 * dp_core_step() settles. */
#ifndef DP_ENGINE_CORE_H
#define DP_ENGINE_CORE_H

#include "engine/alarms.h"
#include "engine/state.h"

/* All times in microseconds of the node's monotonic clock. */
#define DP_CORE_TICK_US  10000  /* shortest time between two ticks */
#define DP_CORE_HELLO_US 500000 /* between attempts to open a session */
/* how long a relay waits for its sender to bring the records that the node below has */
#define DP_CORE_LEVEL_US 1000000
#define DP_CORE_IDLE_US  1000000 /* between positions on a quiet link */
#define DP_CORE_PROBE_US 100000  /* without progress: the receiver is asked what has arrived */
#define DP_CORE_MARKS_US 20000   /* a new agreed position is sent at most this late */
#define DP_CORE_DEAD_US  4000000 /* silence that ends a session with nothing under way */
/* Silence that ends a session with records under way, because the longest record may need this long
 * on a slow link (16 KiB/s). Heartbeats show much earlier that the link is down. */
#define DP_CORE_SLOW_US  64000000
#define DP_CORE_BURST_US 20000 /* a link may be ahead of its rate by this: two ticks */
/* Age at which a lazy journal takes a record: beyond any round trip on Earth. */
#define DP_CORE_LAZY_US 250000
/* If a link answers no read for this long, the next leg is asked. */
#define DP_CORE_READ_US 2000000
/* after that, reads do not go back to the nearer leg for this long */
#define DP_CORE_NEAR_US 10000000

/* `loading` after a failed read: the next tick tries again. */
#define DP_LOAD_LATER UINT64_MAX

enum dp_event_type {
	DP_EV_START,   /* u.start */
	DP_EV_FROM_UP, /* a message from an upstream peer */
	DP_EV_FROM_DOWN,
	DP_EV_LINK,   /* heartbeats say that link `peer` went down or came back: u.up */
	DP_EV_LEG,    /* the operator's order for link `peer`: u.order */
	DP_EV_LIMITS, /* u.limits */
	DP_EV_SHRUNK, /* u.bytes: compression saved so many bytes on link `peer` */
	DP_EV_BAD_UP, /* a record from upstream failed its checksum */
	DP_EV_HOST,
	DP_EV_READ,
	DP_EV_DURABLE,  /* u.seq: records up to it are in the journal */
	DP_EV_BARRIER,  /* u.seq: the token of a barrier that is durable */
	DP_EV_FAILED,   /* u.alarm: the journal or an image has failed for good */
	DP_EV_APPLIED,  /* u.seq: images are synced up to it */
	DP_EV_LOADED,   /* u.loaded */
	DP_EV_IMAGE,    /* u.image: a read of the node's own image is done */
	DP_EV_WANT,     /* u.want: a rebuild of the node's own images asks for this */
	DP_EV_COPIED,   /* u.copied: how far the rebuild is */
	DP_EV_ROOM,     /* the journal has more room than with the last event */
	DP_EV_BAD_FILL, /* an answer for the resync was not sealed as the stream is */
	DP_EV_TICK,
	DP_EV_STOP, /* the node will be stopped cleanly */
};

struct dp_host_request {
	void *tag;         /* given back with the reply */
	uint8_t op, flags; /* of dp_op; 0: a read */
	uint32_t volume, length;
	uint64_t offset, client, request, set, time_us;
	struct dp_buf *payload; /* the core takes its own reference */
	bool unchanged;         /* a write that changes nothing: it makes no record */
};

/* Limits that may change while the stream is open; of dp_core_config. */
struct dp_core_limits {
	uint64_t high_room;
	bool track;
	uint64_t link_rate[DP_DOWN_MAX];
};

struct dp_event {
	enum dp_event_type type;
	uint64_t now_us;
	uint64_t room, unwritten; /* of the journal: bytes free, bytes that wait to be written */
	uint32_t peer; /* FROM_UP, BAD_UP: the shell's name of it; FROM_DOWN and others: link */
	union {
		struct {
			uint64_t random;   /* seeds the names of sessions */
			uint64_t instance; /* of this node's journal */
		} start;
		uint64_t seq, bytes;
		enum dp_alarm alarm;
		bool up;
		struct dp_order order;
		const struct dp_core_limits *limits;
		struct dp_msg *msg; /* borrowed; the core takes what it keeps */
		const struct dp_host_request *host;
		struct {
			uint64_t seq;
			struct dp_record *record; /* borrowed; NULL: it could not be read */
		} loaded;
		struct {
			struct dp_found found;
			struct dp_buf *data; /* borrowed */
		} image;
		struct dp_wanted want;
		struct {
			uint64_t bytes, valid_seq;
			bool all;
		} copied;
	} u;
};

enum dp_action_type {
	DP_ACT_SEND_UP,   /* msg to `peer` */
	DP_ACT_SEND_DOWN, /* msg to link `peer` */
	DP_ACT_APPEND,    /* record to the journal */
	DP_ACT_BARRIER,   /* meta; seq: a token, which comes back with DP_EV_BARRIER */
	DP_ACT_RELEASE,   /* the store forgets the records after seq; they follow a BARRIER and are
			     not applied */
	DP_ACT_CUT,       /* forget images' view beyond seq (after BARRIER; not yet applied) */
	DP_ACT_APPLY,     /* images may take records up to seq */
	DP_ACT_LOAD,      /* read record seq back from the journal */
	DP_ACT_REPLY,     /* host request `tag` is done; err, set */
	DP_ACT_READ,      /* `want` from the node's own image */
	/* Build new images. seq: the log stands there (0: where it is). set: random, for ids of
	   requests. */
	DP_ACT_RESYNC,
	DP_ACT_RESYNC_STOP,
	DP_ACT_FILL,   /* found, data: an answer for the resync */
	DP_ACT_SWITCH, /* the new images count */
	DP_ACT_DATA,   /* a host's read is done: tag, err, data */
	DP_ACT_ALARM,  /* alarm, about `peer`: a link's index or one of: */
};
#define DP_PEER_UPSTREAM (UINT32_MAX - 1)
#define DP_PEER_SELF     UINT32_MAX

struct dp_action {
	enum dp_action_type type;
	uint32_t peer;
	int err;
	uint64_t seq, set;
	void *tag;
	struct dp_msg msg;        /* SEND: owned by the action */
	struct dp_record *record; /* APPEND: one reference */
	struct dp_meta *meta;     /* BARRIER: heap, owned */
	struct dp_buf *data;
	enum dp_alarm alarm;   /* ALARM */
	struct dp_wanted want; /* READ */
	struct dp_found found; /* FILL */
};

struct dp_actions {
	struct dp_action *list;
	uint32_t count, capacity;
	bool overflow; /* an allocation failed: the shell must stop the node */
};

/* `tail` is the state before the first record of the journal. 0, DP_ENOMEM, or DP_EINVAL: the
 * configuration contradicts itself. */
int dp_core_init(struct dp_core *c, const struct dp_core_config *cfg, const struct dp_meta *tail);
void dp_core_clear(struct dp_core *c);

/* Recovery, before START: records found in the journal, in order. Errors as dp_log_append. */
int dp_core_restore(struct dp_core *c, const struct dp_header *h);

/* Recovery: the journal was cut here, or jumped to here. `meta` is the state from which it goes on.
 * 0, or DP_EDIVERGED: the log does not have the position of the cut. */
int dp_core_restore_barrier(struct dp_core *c, const struct dp_meta *meta);

/* Appends actions to `out` in the order in which they must be carried out. The caller has cleared
 * `out`. */
void dp_core_step(struct dp_core *c, const struct dp_event *event, struct dp_actions *out);

/* The time at which a TICK has work, if no other event comes before. UINT64_MAX: never. A time in
 * the past: at the next tick. */
uint64_t dp_core_due_us(const struct dp_core *c);

/* Whether a host request of `length` payload bytes may be given to the core now, with `room` bytes
 * free in the journal. */
bool dp_core_accepts(const struct dp_core *c, uint32_t length, uint64_t room);

/* Whether the request makes a record. Three kinds of requests do not: a flush with nothing new
 * before it, a write that changes nothing, and a request that is already in the stream. */
bool dp_core_makes_record(const struct dp_core *c, const struct dp_host_request *r);

/* Whether this controller may answer from its cache: it knows of no other controller in its place,
 * and the legs that must count are connected. */
bool dp_core_is_current(const struct dp_core *c);

/* Whether leg i does not count. */
static inline bool dp_core_is_away(const struct dp_core *c, uint32_t i)
{
	return c->insync.away >> c->insync.slot[i] & 1;
}

/* Whether the journal takes only records that are not released soon. This is safe because each
 * answered record is durable on all legs. */
bool dp_core_lazy(const struct dp_core *c);

/* Whether too few legs count for writes to be answered. */
bool dp_core_writes_wait(const struct dp_core *c);

/* Whether leg `link` could be resynced from another copy now. */
bool dp_core_can_resync(const struct dp_core *c, uint32_t link);

/* The position that satisfies `stage` under the policy. */
uint64_t dp_core_reached(const struct dp_core *c, enum dp_core_stage stage);

/* Journal bytes that a record with this payload takes at most. */
uint64_t dp_core_cost(uint32_t payload_len);

void dp_actions_clear(struct dp_actions *a); /* releases what the actions own; keeps the memory */
void dp_actions_free(struct dp_actions *a);

const char *dp_core_state_name(enum dp_core_state state);
const char *dp_down_state_name(enum dp_down_state state);

#endif
