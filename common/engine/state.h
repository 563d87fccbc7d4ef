/* SPDX-License-Identifier: MIT */
/* The state of the replication core, a struct for each concern. Any file may read it. Only the
 * files of common/engine write it. core.h has the events and actions. */
#ifndef DP_ENGINE_STATE_H
#define DP_ENGINE_STATE_H

#include "engine/log.h"
#include "engine/sets.h"
#include "proto/message.h"
#include "proto/seal.h"

enum dp_core_role { DP_CORE_CONTROLLER, DP_CORE_RELAY, DP_CORE_MIRROR };
enum dp_core_stage { DP_CORE_LOCAL, DP_CORE_CACHED, DP_CORE_COMMITTED };

struct dp_core_config {
	uint64_t stream;
	uint64_t config; /* hash of the stream's volumes; both ends of a link must agree */
	enum dp_core_role role;
	bool image; /* keeps images of the volumes */
	enum dp_core_stage ack, flush;
	unsigned ack_legs;     /* 1..down_count: how many of the legs that count */
	unsigned keep_serving; /* 1..down_count: legs that must go on counting */
	bool retain_next_hop;
	uint64_t high_room; /* less room in the journal than this raises an alarm */
	bool track;         /* track: if room is below low_room, unreachable legs are abandoned, and
			       resynced when they return */
	uint64_t low_room;  /* they are resynced when they return */
	unsigned down_count;
	/* Controller: the ids of its legs, which are the same at each start. 0: the link's number
	 * plus 1. */
	uint32_t leg_ids[DP_DOWN_MAX];
	uint8_t read_order[DP_DOWN_MAX]; /* links, the nearest first; if it is not a permutation,
					    the order of the links */
	uint64_t window_bytes;           /* unacknowledged bytes per link; payload kept in memory */
	uint64_t link_window[DP_DOWN_MAX]; /* unacknowledged bytes of one link; 0: window_bytes */
	uint64_t link_rate[DP_DOWN_MAX];   /* bytes of records a second, as sent; 0: no limit */
	struct dp_seal *seal; /* set at holders of a sealed stream; borrowed. NULL: the stream is
				 not sealed, or this is a relay */
};

/* The capabilities of the node, computed in one place (core.c) from its configuration. */
struct dp_core_can {
	bool makes_records; /* hosts write here: the controller */
	bool has_sender;    /* takes records from a node above */
	bool keeps_images;
	bool opens_seal;  /* false at a relay, which only holds sealed payloads */
	bool starts_bare; /* its WELCOME has come; START has not been sent yet */
};

enum dp_core_state {
	DP_CORE_PROMISING,  /* controller: its own epoch is not durable yet */
	DP_CORE_RECOVERING, /* waiting for the legs' positions */
	DP_CORE_ADOPTING,   /* pulling records from a leg */
	DP_CORE_OPEN,
	DP_CORE_FAILED, /* the journal failed: nothing is acknowledged any more */
};

enum dp_down_state {
	DP_DOWN_CONNECTING,
	DP_DOWN_WAITING, /* its WELCOME is here and not yet acted on */
	DP_DOWN_ACTIVE,
	DP_DOWN_INCONSISTENT,
	DP_DOWN_DOWN, /* no heartbeats, or paused by the operator */
};

/* The operator's order for a leg. It lasts until the node is started again. */
enum dp_leg_order {
	DP_LEG_RESUME,
	DP_LEG_PAUSE, /* nothing is sent; records that the leg lacks are kept, as in any outage */
	DP_LEG_DROP, /* nothing is sent; once the leg does not count, records up to dp_order.drop_to
			are not kept for it */
	DP_LEG_RESYNC, /* as RESUME, and its images are rebuilt from another copy, once */
};

struct dp_order {
	enum dp_leg_order order;
	uint64_t drop_to; /* DROP: a seq; UINT64_MAX: whatever is still to come, too */
};

/* A link to a receiver below. sent >= cached >= committed. */
struct dp_down {
	enum dp_down_state state;
	uint64_t session, instance;
	uint64_t sent, cached, committed;
	uint64_t room;        /* bytes the receiver can take beyond cached */
	uint64_t flight;      /* journal bytes of the records in (cached, sent] */
	uint64_t agreed_sent; /* the agreed position that the receiver was sent last */
	uint64_t free_us;     /* when the link's rate allows the next record */
	uint64_t heard_us, sent_us, hello_us, progress_us;
	uint64_t read_us; /* when it last answered a read */
	uint64_t loading; /* seq being read back from the journal; 0: none; or DP_LOAD_LATER */
	bool silent;      /* heartbeats say that the link is down */
	enum dp_leg_order order; /* RESUME, PAUSE or DROP */
	uint64_t drop_to;        /* of DROP, else 0 */
	/* An order to rebuild the images below. Set by the operator, or when this node gets such an
	 * order itself. `ordered` is cleared when the receiver says that it rebuilds, `order_sent`
	 * by an ACK with this id or by a new session. */
	bool ordered, order_sent;
	uint64_t order_id;           /* the order may arrive several times, and late */
	uint64_t order_us;           /* when it was sent last */
	enum dp_images_state images; /* state of the images below: as last reported, or RESYNCING
					since a RESET was sent */
	struct dp_welcome *welcome;  /* while WAITING */
	bool bad_seal; /* an answer or adopted record with a bad seal was refused: the alarm is
			* raised once per start. Never cleared
			*/
	uint64_t naks; /* counter for status */
	/* Set by other parts and by events, cleared by dp_session_settle(). */
	bool connect_due; /* the session ends, and a HELLO opens the next */
	bool start_due;   /* START can be sent */
};

/* The link to the sender above. */
struct dp_up {
	bool active;  /* a WELCOME was sent for this session */
	bool started; /* the session's START has come: positions are known */
	uint64_t started_us;
	uint32_t peer; /* the shell's name for the sender */
	uint64_t session, epoch;
	uint64_t nak_us; /* when the last NAK was sent */
	uint64_t nak_seq;
	uint64_t pull;       /* next seq to be sent up to an adopting sender; 0: none */
	uint64_t pull_bytes; /* how many bytes (dp_core_cost()) may be sent before the sender pulls
				again */
	uint64_t pull_loading; /* as dp_down.loading */
	uint64_t room_sent;
	bool ack_due;  /* an ACK has something new to say. Set by the part that changes it; cleared
			  by dp_take_settle() */
	bool bad_seal; /* as dp_down.bad_seal */
	bool diverged_due; /* set by dp_rebuild_on_reset(), cleared by dp_session_settle() */
	uint64_t diverged_seq;
	/* A HELLO that waits for a promise, or for this node to know its position. */
	bool hello_held;
	struct dp_msg hello;
	uint32_t hello_peer;
};

struct dp_wait {
	void *tag;
	uint64_t seq, set, start_us;
};

/* Host requests in order of seq; a ring that grows up to DP_HOST_REQUESTS_MAX. */
struct dp_waits {
	struct dp_wait *ring;
	uint32_t head, count, capacity; /* a power of two, or 0 */
};

struct dp_read {
	bool used;
	void *tag; /* controller: the host's request */
	struct dp_wanted want;
	uint64_t up_id, up_session; /* mirror, relay: id and session of the READ to answer */
	uint64_t deadline_us;
	uint64_t asked_us, session; /* when link `down` was asked, and its session. asked_us 0: no
				       link is asked, or it answered with an error */
	uint32_t down, turn;        /* the link asked, and its place in cfg.read_order */
	bool at_image;              /* handed to the node's own image */
	bool fetch; /* controller: the read is for the rebuild of leg fetch_link, whose id for it is
		       up_id */
	uint32_t fetch_link;
};

/* Reads under way, each at id % capacity; grows up to DP_READS_MAX. */
struct dp_reads {
	struct dp_read *list;
	uint32_t count, capacity;
	uint64_t ids;     /* the newest id given */
	uint32_t turn;    /* index into cfg.read_order of the link that answered last; 0 again at
			     back_us */
	uint64_t back_us; /* when the nearest link is tried again */
};

/* The node's journal, as far as the core knows it. durable <= handed <= appended <= last. */
struct dp_core_journal {
	uint64_t appended;  /* handed to it */
	uint64_t handed;    /* handed to it */
	uint64_t durable;   /* in it for good */
	uint64_t room;      /* bytes free; comes with each event */
	uint64_t unwritten; /* bytes that wait to be written; comes with each event */
	uint64_t reserved;  /* bytes that (appended, last] will take */
	uint64_t tokens;    /* names barriers */
	bool high;          /* the alarm of cfg.high_room is raised */
};

/* The node's own images. applied <= target. */
struct dp_core_image {
	uint64_t applied; /* images are synced up to here */
	uint64_t target;  /* images may take records up to here */
	uint64_t replay;  /* images may hold parts of the records up to here, which were applied
			     before a restart */
};

/* Barriers on their way to the journal: a promise, and whether the journal is complete. */
struct dp_core_promise {
	uint64_t token, epoch; /* a promise; token 0: none */
	uint64_t base_token;   /* says "based", and whether "complete"; 0: none */
	bool base_complete;
};

/* Controller: the legs that are out of sync (a bit each, at their slots). log.last.away is what the
 * newest such record says; it stands at record_seq. When that record is durable here and at all
 * legs that count by it, it takes effect and is copied to `away`. */
struct dp_core_insync {
	uint64_t away, away_seq; /* in effect, and the record that says so */
	uint64_t record_seq;
	uint8_t slot[DP_DOWN_MAX]; /* of link i, in log.last.places */
	bool restart_due;          /* set when the stream opens, cleared by dp_insync_settle() */
};

struct dp_core_recover {
	bool complete;     /* at the start the journal had every write that was ever answered */
	bool epochs_known; /* a controller without a journal has learnt which epochs were used */
	unsigned adopt_from;
	uint64_t adopt_to, adopt_us; /* last progress */
	uint64_t adopt_bytes;        /* asked for and not yet here */
	/* Set by other parts, cleared by dp_recover_settle(). */
	bool try_due;         /* a WELCOME has come; count the answers again */
	uint64_t claim_epoch; /* claim this epoch, because a receiver has promised the one below it;
				 0: none */
};

/* The images are rebuilt: by order, or because records are missing. */
struct dp_core_rebuild {
	struct dp_meta
		*reset; /* the log jumps to this state when all of its records are in the images */
	bool ordered; /* a rebuild is ordered; it begins when the images have applied their target.
			 Set by dp_rebuild_on_order(), cleared by begin_ordered() */
	uint64_t order_id; /* of the newest order */
	uint64_t reset_token, order_token,
		switch_token; /* barriers of the jump, the ordered rebuild and the switch that are
				 not durable yet; 0: none */
	bool copied;          /* all chunks of the new images are copied */
	bool bad_seal;        /* as dp_down.bad_seal */
	bool resume_due; /* the copy must go on. Set by dp_session_on_start(), dp_core_cut() and the
			    barrier of an order; cleared by dp_rebuild_settle_resume() */
};

struct dp_core {
	struct dp_core_config cfg;
	struct dp_core_can can;
	enum dp_core_state state;
	uint64_t now_us;
	uint64_t random;   /* state of the generator of session names, seeded by START */
	uint64_t instance; /* of this node's journal */
	uint64_t epoch;    /* controller: of the records it makes */
	struct dp_log log;
	struct dp_sets sets;
	uint64_t agreed;    /* the position up to which nothing can be cut any more */
	uint64_t committed; /* at all mirrors below, or here */
	uint64_t replied;   /* hosts have the answers to all records up to here, so reads must see
			       them */
	struct dp_core_journal journal;
	struct dp_core_image image;
	struct dp_core_promise promise;
	struct dp_core_insync insync;
	struct dp_core_recover recover;
	struct dp_core_rebuild rebuild;
	struct dp_up up;
	struct dp_down down[DP_DOWN_MAX];
	struct dp_waits writes, flushes;
	struct dp_reads reads;
	bool superseded; /* a receiver has promised a newer epoch to another controller */
	uint64_t refused, bad_records, acked; /* counters for status */
};

#endif
