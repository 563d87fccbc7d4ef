/* SPDX-License-Identifier: MIT */
/* The state of the replication core, a struct for each concern. Everybody may read it; only the
 * files of common/engine write it. core.h has what goes in and comes out. */
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
	unsigned ack_legs;     /* 1..down_count; of those that count */
	unsigned keep_serving; /* 1..down_count: legs that must go on counting */
	bool retain_next_hop;
	uint64_t high_room; /* less room in the journal than this raises an alarm */
	bool track;         /* with less than low_room, legs that are lost are given up: */
	uint64_t low_room;  /* they are resynced when they return */
	unsigned down_count;
	/* Controller: names of its links that no start changes; 0: their numbers. */
	uint32_t leg_ids[DP_DOWN_MAX];
	uint8_t read_order[DP_DOWN_MAX]; /* links, the nearest first; no permutation: as they are */
	uint64_t window_bytes;           /* unacknowledged bytes per link; payload kept in memory */
	uint64_t link_window[DP_DOWN_MAX]; /* unacknowledged bytes of one link; 0: window_bytes */
	uint64_t link_rate[DP_DOWN_MAX];   /* bytes of records a second, as sent; 0: no limit */
	struct dp_seal
		*seal; /* holders of a sealed stream; borrowed. NULL: not sealed, or a relay */
};

/* What the node does for the stream, computed in one place (core.c) from its configuration. */
struct dp_core_can {
	bool makes_records; /* hosts write here: the controller */
	bool has_sender;    /* takes records from a node above */
	bool keeps_images;
	bool opens_seal;  /* a relay only holds what is sealed */
	bool starts_bare; /* with a new journal it learns its position from the nodes below */
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
	DP_DOWN_DOWN, /* heartbeats or the operator say so */
};

/* What an operator wants of a leg, until the node is started again. */
enum dp_leg_order {
	DP_LEG_RESUME,
	DP_LEG_PAUSE,  /* nothing is sent; what the leg lacks is kept, as in any outage */
	DP_LEG_DROP,   /* nor is what ends at dp_order.drop_to kept, once the leg does not count */
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
	uint64_t free_us;     /* when its rate has made up for what was sent */
	uint64_t heard_us, sent_us, hello_us, progress_us;
	uint64_t read_us; /* when it answered a read last */
	uint64_t loading; /* seq being read back from the journal; 0: none; or DP_LOAD_LATER */
	bool silent;      /* heartbeats say that the link is down */
	enum dp_leg_order order; /* RESUME, PAUSE or DROP */
	uint64_t drop_to;        /* of DROP, else 0 */
	/* An order to rebuild the images below. Set by the operator, or when this node gets such an
	 * order itself. `ordered` is cleared when the receiver says that it rebuilds, `order_sent`
	 * by an ACK with this id or by a new session. */
	bool ordered, order_sent;
	uint64_t order_id; /* the order may arrive several times, and late */
	uint64_t order_us; /* when it was sent last */
	enum dp_images_state
		images;             /* below; reported last, or known since it was told to resync */
	struct dp_welcome *welcome; /* while WAITING */
	bool bad_seal; /* something that no holder had sealed was refused, and the alarm is raised
			*/
	uint64_t naks; /* counter for status */
	/* Set by other parts and by events, cleared by dp_session_settle(). */
	bool connect_due; /* the session ends, and a HELLO opens the next */
	bool start_due;   /* the WELCOME can be acted on */
};

/* The link to the sender above. */
struct dp_up {
	bool active;  /* a WELCOME was sent for this session */
	bool started; /* and its START has come: positions are known */
	uint64_t started_us;
	uint32_t peer; /* the shell's name for the sender */
	uint64_t session, epoch;
	uint64_t nak_us; /* when a NAK was sent last, and for which seq */
	uint64_t nak_seq;
	uint64_t pull;         /* next seq to be sent up to an adopting sender; 0: none */
	uint64_t pull_bytes;   /* how much of it, in dp_core_cost(), until it asks again */
	uint64_t pull_loading; /* as dp_down.loading */
	uint64_t room_sent;
	bool ack_due;  /* set by whoever changes what an ACK says; cleared by dp_take_settle() */
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
	uint64_t up_id, up_session; /* mirror, relay: whom to answer */
	uint64_t deadline_us;
	uint64_t asked_us,
		session;     /* of that link; asked_us 0: no link is asked, or it has failed */
	uint32_t down, turn; /* the link asked, and its place in cfg.read_order */
	bool at_image;       /* handed to the node's own image */
	bool fetch; /* controller: for the resync of leg fetch_link, which calls it up_id */
	uint32_t fetch_link;
};

/* Reads under way, each at id % capacity; grows up to DP_READS_MAX. */
struct dp_reads {
	struct dp_read *list;
	uint32_t count, capacity;
	uint64_t ids;     /* the newest id given */
	uint32_t turn;    /* place in cfg.read_order of the link that answered last, for a while */
	uint64_t back_us; /* when the nearest link is tried again */
};

/* The node's journal, as far as the core knows it. durable <= handed <= appended <= last. */
struct dp_core_journal {
	uint64_t appended;  /* handed to it, or released before that was due (lazy) */
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
	uint64_t replay;  /* they may hold parts of what comes up to here, from before a restart */
};

/* Barriers on their way to the journal that change what the node says of itself. */
struct dp_core_promise {
	uint64_t token, epoch; /* a promise; token 0: none */
	uint64_t base_token;   /* says "based", and whether "complete"; 0: none */
	bool base_complete;
};

/* Controller: legs that do not count (a bit each, at their slots). The newest record of it
 * (log.last.away, at record_seq) is in effect once it is durable here and at all legs that count by
 * it; then it becomes `away`. */
struct dp_core_insync {
	uint64_t away, away_seq; /* in effect, and the record that says so */
	uint64_t record_seq;
	uint8_t slot[DP_DOWN_MAX]; /* of link i, in log.last.places */
	bool restart_due;          /* set when the stream opens, cleared by dp_insync_settle() */
};

struct dp_core_recover {
	bool complete;     /* at its start it had all that was ever acknowledged */
	bool epochs_known; /* a controller without a journal knows which epochs are taken */
	unsigned adopt_from;
	uint64_t adopt_to, adopt_us; /* last progress */
	uint64_t adopt_bytes;        /* asked for and not yet here */
	/* Set by other parts, cleared by dp_recover_settle(). */
	bool try_due;         /* an answer has come: perhaps it is enough */
	uint64_t claim_epoch; /* a receiver has promised the one before it; 0: nothing to claim */
};

/* The images are rebuilt: by order, or because records are missing. */
struct dp_core_rebuild {
	struct dp_meta *reset; /* to jump to once all that is here is in the images */
	bool ordered;          /* wait for the images to stand still, then rebuild them */
	uint64_t order_id;     /* of the newest order */
	uint64_t reset_token, order_token, switch_token; /* barriers that say so; 0: none */
	bool copied;                                     /* all of the new images is there */
	bool bad_seal;                                   /* as dp_down.bad_seal */
	bool resume_due; /* set by whoever makes the copy go on, cleared by dp_rebuild_settle() */
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
	uint64_t replied;   /* the host has the answer to all up to here: reads must see it */
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
