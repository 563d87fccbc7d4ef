/* SPDX-License-Identifier: MIT */
/* The replication core: what one node does for one stream.
 *
 * The life of a write. A host's request reaches the controller's core, which gives it the next
 * (epoch, seq), links it to the chain and puts it into the log. From there three things happen,
 * at every node alike: the record is sent to each downstream link as its window allows, it is
 * handed to the journal, and the positions that come back move the watermarks. A relay or mirror
 * takes the record from its upstream link, puts it into its own log, and acknowledges `cached`
 * once its journal has it, `committed` once the leg's mirror has it. When the controller's ack
 * policy is met the host gets its reply; when the retention rule is met the record leaves the
 * log and the journal. A mirror applies to its image only up to `agreed`: what satisfies the
 * policy and cannot be cut any more.
 *
 * The core is pure: no I/O, no clock, no threads. dp_core_step() takes one event and appends the
 * actions that follow to a list; the shell (common/stream/stream.c) carries them out in order.
 *
 * A controller's journal is lazy while every leg counts for the ack (`legs: all`): a record that
 * all legs have committed before it was due never touches the controller's disk. A restarted
 * controller therefore first adopts what its legs have and it has not (docs/architecture.md). */
#ifndef DP_ENGINE_CORE_H
#define DP_ENGINE_CORE_H

#include "engine/alarms.h"
#include "engine/log.h"
#include "engine/sets.h"
#include "proto/message.h"
#include "proto/seal.h"

enum dp_core_role { DP_CORE_CONTROLLER, DP_CORE_RELAY, DP_CORE_MIRROR };
enum dp_core_stage { DP_CORE_LOCAL, DP_CORE_CACHED, DP_CORE_COMMITTED };

struct dp_core_config {
	uint64_t stream;
	uint64_t config;   /* hash of the stream's volumes; both ends of a link must agree */
	uint64_t instance; /* of this node's journal */
	enum dp_core_role role;
	bool image; /* keeps images of the volumes */
	enum dp_core_stage ack, flush;
	unsigned ack_legs;     /* 1..down_count; of those that count */
	unsigned keep_serving; /* 1..down_count: legs that must go on counting */
	bool retain_next_hop;
	uint64_t high_room; /* less room in the journal than this raises an alarm */
	bool track;         /* with less than low_room, legs that are lost are given up: */
	uint64_t low_room;  /* they are resynced when they return */
	unsigned down_count;
	uint32_t leg_ids[DP_DOWN_MAX];   /* controller: names of its links that no start changes; 0:
					    their numbers */
	uint8_t read_order[DP_DOWN_MAX]; /* links, the nearest first; all 0: as they are */
	uint64_t window_bytes;           /* unacknowledged bytes per link; payload kept in memory */
	uint64_t link_window[DP_DOWN_MAX]; /* unacknowledged bytes of one link, where less; 0: not
					      so */
	uint64_t link_rate[DP_DOWN_MAX]; /* bytes of records a second over one link, as sent; 0: no
					    limit */
	struct dp_seal *seal; /* controller and mirrors of a sealed stream; borrowed. NULL: it is
				 not, or a relay */
};

/* All times in microseconds of the node's monotonic clock. */
#define DP_CORE_HELLO_US 500000  /* between attempts to open a session */
#define DP_CORE_LEVEL_US 1000000 /* a relay is brought level with what is below it */
#define DP_CORE_IDLE_US  1000000 /* between marks on a quiet link */
#define DP_CORE_PROBE_US 100000  /* without progress: ask what arrived */
#define DP_CORE_MARKS_US 20000   /* a new agreed position is told at most this late */
#define DP_CORE_DEAD_US  4000000 /* silence that ends a session with nothing under way */
/* With records under way: the longest may need so much on a slow link (16 KiB/s). Whether the link
 * is down say the heartbeats, much earlier. */
#define DP_CORE_SLOW_US  64000000
#define DP_CORE_BURST_US 20000 /* of its rate a link may be ahead: two ticks */
#define DP_CORE_LAZY_US                                                                            \
	250000 /* age at which a lazy journal takes a record: beyond any round trip on Earth */
#define DP_CORE_READ_US                                                                            \
	2000000 /* a link that answers no read for so long is silent: the next leg is tried */
#define DP_CORE_NEAR_US 10000000 /* and so long reads do not go back to the nearer one */

/* `loading` after a failed read: the next tick tries again. */
#define DP_LOAD_LATER UINT64_MAX

enum dp_core_state {
	DP_CORE_PROMISING,  /* controller: its own epoch is not durable yet */
	DP_CORE_RECOVERING, /* waiting for the legs' positions */
	DP_CORE_ADOPTING,   /* pulling records from a leg */
	DP_CORE_OPEN,
	DP_CORE_FAILED, /* the journal failed: nothing is acknowledged any more */
};

enum dp_down_state {
	DP_DOWN_CONNECTING,
	DP_DOWN_WAITING, /* for the others' answers, in recovery */
	DP_DOWN_ACTIVE,
	DP_DOWN_INCONSISTENT,
	DP_DOWN_DOWN, /* heartbeats or the operator say so */
};

/* What an operator wants of a leg, until the node is started anew. */
enum dp_leg_order {
	DP_LEG_RESUME,
	DP_LEG_PAUSE,  /* nothing is sent; what it lacks is kept, as in any outage */
	DP_LEG_DROP,   /* nor is what ends at dp_order.drop_to kept for it, once it does not count:
			  resynced later */
	DP_LEG_RESYNC, /* as RESUME, and its images are made anew from another copy, once */
};

struct dp_order {
	enum dp_leg_order order;
	uint64_t drop_to; /* DROP: a seq; UINT64_MAX: whatever is still to come, too */
};

/* A downstream link of the stream. sent >= cached >= committed. */
struct dp_down {
	enum dp_down_state state;
	uint64_t session, instance;
	uint64_t sent, cached, committed;
	uint64_t room;    /* bytes the receiver can take beyond cached */
	uint64_t flight;  /* journal bytes of the records in (cached, sent] */
	uint64_t marked;  /* the agreed position told last */
	uint64_t free_us; /* when its rate has made up for what was sent */
	uint64_t heard_us, sent_us, hello_us, progress_us;
	uint64_t read_us;        /* when it answered a read last */
	uint64_t loading;        /* seq being read back from the journal; 0: none */
	bool silent;             /* heartbeats say that the link is down */
	enum dp_leg_order order; /* RESUME, PAUSE or DROP */
	uint64_t drop_to;        /* of DROP, else 0 */
	/* What is below is to make its images anew, and has been told; until it says that it does.
	 */
	bool refill, refill_sent;
	uint64_t refill_id;          /* names the order: it may arrive several times, and late */
	uint64_t refill_us;          /* when it was sent last */
	enum dp_images_state images; /* below; said last, or known since it was told to resync */
	struct dp_welcome *welcome;  /* while WAITING: the receiver's answer, not yet acted on */
	bool forged;   /* an answer that no holder of the stream had sealed was refused */
	uint64_t naks; /* counter for status */
};

struct dp_up {
	bool active, started;
	uint64_t started_us;
	uint32_t peer; /* the shell's name for the sender */
	uint64_t session;
	uint64_t epoch;
	uint64_t nak_us; /* when a NAK was sent last, and for which seq */
	uint64_t nak_seq;
	uint64_t pull;       /* next seq to be sent up to an adopting sender; 0: none */
	uint64_t pull_bytes; /* how much of it, in dp_core_cost(), until it asks again */
	uint64_t room_told;
	bool ack_due;
	uint64_t pull_loading; /* as dp_down.loading */
	bool forged;           /* a record that no holder of the stream had sealed was refused */
};

struct dp_wait {
	void *tag;
	uint64_t seq, set, start_us;
};

/* A bounded queue of host requests in order of seq. */
struct dp_waits {
	struct dp_wait *ring;
	uint32_t head, count;
};

struct dp_read {
	bool used;
	void *tag; /* controller: the host's request */
	struct dp_wanted want;
	uint64_t up_id, up_session; /* mirror, relay: whom to answer */
	uint64_t deadline_us;
	uint64_t asked_us, session; /* of that link; asked 0: nobody is asked, or it has failed */
	uint32_t down, turn;        /* the link asked, and its place in cfg.read_order */
	bool at_image;              /* handed to the node's own image */
	bool fetch; /* controller: for the resync of leg fetch_link, which calls it up_id */
	uint32_t fetch_link;
};

struct dp_core {
	struct dp_core_config cfg;
	enum dp_core_state state;
	uint64_t now_us, epoch;
	struct dp_log log;
	struct dp_sets sets;
	uint64_t appended;   /* handed to the journal, or released before that was due (lazy) */
	uint64_t in_journal; /* handed to the journal */
	uint64_t durable;    /* in the journal for good */
	uint64_t agreed, applied, apply_told, committed;
	uint64_t image_seq; /* the images may hold parts of what comes up to here, from before a
			       restart */
	uint64_t replied; /* the host has the answer to everything up to here: reads must see it */
	/* Controller: legs that do not count (a bit each, at their places), and the record that
	 * says so. What the newest such record says (log.last.away, at insync_seq) holds once it is
	 * durable here and at all legs that count by it. */
	uint64_t away, away_seq, insync_seq;
	uint8_t place[DP_DOWN_MAX]; /* of link i, in log.last.places */
	bool complete;              /* at its start it had all that was ever acknowledged */
	uint64_t room;              /* journal bytes free; set by the shell before each step */
	uint64_t queued;            /* bytes that wait to be written to it; also set by the shell */
	bool high;                  /* the alarm of high_room was raised */
	uint64_t owed;              /* journal bytes that (appended, last] will take */
	uint64_t tokens;            /* names barriers */
	uint64_t promise_token, promise_epoch; /* a promise on its way to the journal; 0: none */
	uint64_t base_token; /* the barrier that says "based", and whether "complete"; 0: none */
	bool base_complete;
	unsigned adopt_from;
	uint64_t adopt_to, adopt_us; /* last progress */
	uint64_t adopt_bytes;        /* asked for and not yet there */
	struct dp_up up;
	struct dp_msg held_hello; /* HELLO that waits for a promise or for this node's base */
	uint32_t held_peer;
	bool hello_held;
	/* Resync (core_resync.c). */
	struct dp_meta *reset; /* to jump to once all that is here is in the images */
	bool refill;           /* the images are to be made anew; nothing is applied until then */
	uint64_t refill_id;    /* of the newest order */
	uint64_t reset_token, refill_token, switch_token; /* barriers that say so; 0: none */
	bool copied;                                      /* all of the new images is there */
	struct dp_down down[DP_DOWN_MAX];
	struct dp_waits writes, flushes;
	struct dp_read *reads;
	uint32_t read_count;
	uint64_t read_ids;
	uint32_t read_turn;    /* place in cfg.read_order of who answered last, for a while */
	uint64_t read_back_us; /* when the nearest is tried again */
	uint64_t random;       /* state of the generator of session names, seeded by START */
	bool asked; /* a controller without a journal of its own knows which epochs are taken */
	bool superseded; /* a receiver has promised a newer epoch to another controller */
	uint64_t refused, bad_records, acked;
};

enum dp_event_type {
	DP_EV_START,   /* u.random */
	DP_EV_FROM_UP, /* a message from an upstream peer */
	DP_EV_FROM_DOWN,
	DP_EV_LINK,   /* heartbeats say that link `peer` went down or came back: u.up */
	DP_EV_LEG,    /* the operator's order for link `peer`: u.order */
	DP_EV_SHRUNK, /* u.bytes: so much less than they are was needed to send records over link
			 `peer` */
	DP_EV_BAD_UP, /* a record from upstream failed its checksum */
	DP_EV_HOST,
	DP_EV_READ,
	DP_EV_DURABLE, /* u.seq: records up to it are in the journal */
	DP_EV_BARRIER, /* u.seq: the token of a barrier that is durable */
	DP_EV_FAILED,  /* u.alarm: what failed, for good: the journal or an image */
	DP_EV_APPLIED, /* u.seq: images are synced up to it */
	DP_EV_LOADED,  /* u.loaded */
	DP_EV_IMAGE,   /* u.image: a read of the node's own image is done */
	DP_EV_WANT,    /* u.want: a resync of the node's own images needs this */
	DP_EV_COPIED,  /* u.copied: how far it is */
	DP_EV_TICK,
	DP_EV_STOP, /* the node will be stopped in good order */
};

struct dp_host_request {
	void *tag;         /* given back with the reply */
	uint8_t op, flags; /* of dp_op; 0: a read */
	uint32_t volume, length;
	uint64_t offset, client, request, set, time_us;
	struct dp_buf *payload; /* the core takes its own reference */
	bool unchanged; /* a write of what is there already, and answered: no record is made of it
			 */
};

struct dp_event {
	enum dp_event_type type;
	uint64_t now_us;
	uint32_t peer; /* FROM_UP, BAD_UP: the shell's name of it; FROM_DOWN: index */
	union {
		uint64_t random, seq, bytes;
		enum dp_alarm alarm;
		bool up;
		struct dp_order order;
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
	DP_ACT_RELEASE,   /* everything up to the log's tail may leave the journal */
	DP_ACT_CUT,       /* forget images' view beyond seq (after BARRIER; not yet applied) */
	DP_ACT_APPLY,     /* images may take records up to seq */
	DP_ACT_LOAD,      /* read record seq back from the journal */
	DP_ACT_REPLY,     /* host request `tag` is done; err, set */
	DP_ACT_READ,      /* `want` from the node's own image */
	DP_ACT_RESYNC, /* build new images; seq: they stand there (0: where they are); set: random,
			  to name requests */
	DP_ACT_RESYNC_STOP,
	DP_ACT_FILL,   /* found, data: an answer for the resync */
	DP_ACT_SWITCH, /* the new images count */
	DP_ACT_DATA,   /* a host's read is done: tag, err, data */
	DP_ACT_ALARM,  /* alarm: for the operator, about `peer`: a link's index or one of: */
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

/* `tail` is what the journal says stands before its first record. 0 or DP_ENOMEM. */
int dp_core_init(struct dp_core *c, const struct dp_core_config *cfg, const struct dp_meta *tail);
void dp_core_clear(struct dp_core *c);

/* Recovery, before START: records found in the journal, in order. Errors as dp_log_append. */
int dp_core_restore(struct dp_core *c, const struct dp_header *h);

/* Recovery: the journal was jumped or cut here; the state to go on from. 0, or DP_EDIVERGED: a cut
 * to a position that the log does not have. */
int dp_core_restore_barrier(struct dp_core *c, const struct dp_meta *meta);

/* What is to be done goes to `out`, which the caller has cleared, in the order in which it has to
 * happen. The caller sets c->room and c->queued before. */
void dp_core_step(struct dp_core *c, const struct dp_event *event, struct dp_actions *out);

/* Whether a host request of `length` payload bytes may be given to the core now. */
bool dp_core_accepts(const struct dp_core *c, uint32_t length);

/* Whether the request would get a place of its own: a flush after nothing new, a write that changes
 * nothing, and a request that is in the stream already do not. */
bool dp_core_makes_record(const struct dp_core *c, const struct dp_host_request *r);

/* Whether this controller may answer out of what it remembers: nobody is known to have taken its
 * place, and the legs that must count are there. */
bool dp_core_is_current(const struct dp_core *c);

/* Whether leg i does not count. */
static inline bool dp_core_is_away(const struct dp_core *c, uint32_t i)
{
	return c->away >> c->place[i] & 1;
}

/* Whether records go to the journal only if they stay for long: each answered one is durable on all
 * legs. */
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
