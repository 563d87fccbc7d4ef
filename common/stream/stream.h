/* SPDX-License-Identifier: MIT */
/* One stream at one node: the core with its journal and images, and the actions carried out.
 *
 * This is the shell that the daemons and the simulator share; what differs between them is the
 * disk table below it and the few functions of dp_stream_ops above it. */
#ifndef DP_STREAM_STREAM_H
#define DP_STREAM_STREAM_H

#include "base/hist.h"
#include "engine/core.h"
#include "journal/journal.h"
#include "stream/stages.h"
#include "store/store.h"

struct dp_stream;

struct dp_stream_ops {
	/* Sends and takes over the message. Loss is allowed: the core finds out by itself. */
	void (*send_up)(void *ctx, struct dp_stream *s, uint32_t peer, struct dp_msg *m);
	void (*send_down)(void *ctx, struct dp_stream *s, uint32_t link, struct dp_msg *m);
	/* The answer to a host's request; data (borrowed) for reads. */
	void (*reply)(void *ctx, struct dp_stream *s, void *tag, int err, uint64_t set,
		struct dp_buf *data);
	/* Called once when something has happened: dp_stream_flush() is due after this turn. NULL:
	 * it is called after each turn anyway. */
	void (*touched)(void *ctx, struct dp_stream *s);
	void (*alarm)(void *ctx, struct dp_stream *s, enum dp_alarm alarm, uint32_t peer);
};

struct dp_stream_config {
	struct dp_core_config core;
	const uint64_t *now_us; /* the node's clock; borrowed, and outlives the stream */
	const char *journal_file;
	uint64_t journal_size;
	uint64_t random; /* names the journal if it is made now, and seeds session names */
	const struct dp_store_volume *volumes; /* images, if core.image */
	unsigned volume_count;
	bool volumes_changed; /* since it ran last: others, larger ones, or another order */
	uint64_t resync_rate; /* of images of this node, bytes a second; 0: no limit */
	uint64_t read_cache;  /* controller: bytes; 0: none */
};

struct dp_stream_counters {
	uint64_t cache_hits, cache_misses; /* reads */
	uint64_t unchanged; /* writes of what was there, and of which no record was made */
};

/* Opens journal and images and recovers; DP_EV_START follows with dp_stream_start().
 * Errors: those of dp_journal_open and dp_store_open; DP_ESEALED: the journal has sealed
 * records and the stream is not to be sealed, or the other way round; DP_EAGAIN: the volumes have
 * changed and images are being resynced. */
int dp_stream_open(struct dp_disk *disk, const struct dp_stream_config *cfg,
	const struct dp_stream_ops *ops, void *ctx, struct dp_stream **out);
void dp_stream_start(struct dp_stream *s);

/* Not while dp_stream_busy(): completions would find nothing. */
void dp_stream_close(struct dp_stream **s);
bool dp_stream_busy(const struct dp_stream *s);

/* Inputs. The message is borrowed. `bad`: a record whose checksum was wrong. */
void dp_stream_from_up(struct dp_stream *s, uint32_t peer, struct dp_msg *m, bool bad);
/* Heartbeats say that link `link` went down or came back. */
void dp_stream_link(struct dp_stream *s, uint32_t link, bool up);
/* Limits that may change while it runs, and the rate of resyncs. */
void dp_stream_limits(struct dp_stream *s, const struct dp_core_limits *limits,
	uint64_t resync_rate);
/* Records sent over the link took so many bytes less than they have. */
void dp_stream_shrunk(struct dp_stream *s, uint32_t link, uint64_t bytes);
void dp_stream_leg(struct dp_stream *s, uint32_t link, struct dp_order order);
void dp_stream_from_down(struct dp_stream *s, uint32_t link, struct dp_msg *m);
void dp_stream_tick(struct dp_stream *s); /* at most every DP_CORE_TICK_US; idle ones do nothing */
/* When dp_stream_tick() has something to do, if nothing else happens; a time that is over: at the
 * next tick. UINT64_MAX: never. It changes only where dp_stream_flush() is due. */
uint64_t dp_stream_due_us(const struct dp_stream *s);
void dp_stream_flush(struct dp_stream *s); /* after a batch of inputs: starts the group commit */
/* When dp_stream_flush() is due again though nothing happens; UINT64_MAX: no such time. */
uint64_t dp_stream_wake_us(struct dp_stream *s);

/* A host's request, answered through ops.reply, perhaps much later. Requests that cannot go in
 * yet wait here, in order; false (nothing done): DP_HOST_REQUESTS_MAX wait already. */
bool dp_stream_request(struct dp_stream *s, const struct dp_host_request *r);
bool dp_stream_full(const struct dp_stream *s);

/* Forgets replies for a host that is gone: `match(tag)` picks its requests, which still run. */
void dp_stream_forget(struct dp_stream *s, bool (*match)(void *tag, void *arg), void *arg);

/* Before a clean stop: a controller's journal is made complete, what is agreed goes to the images,
 * and what is not needed any more leaves the journal. Goes on while dp_stream_busy(). */
void dp_stream_drain(struct dp_stream *s);

/* Whether all of that has been done, as far as it can be: nothing waits for the journal any more.
 */
bool dp_stream_drained(const struct dp_stream *s);

const struct dp_core *dp_stream_core(const struct dp_stream *s);
const struct dp_journal *dp_stream_journal(const struct dp_stream *s);
struct dp_store *dp_stream_store(struct dp_stream *s); /* NULL: no images here */
bool dp_stream_broken(const struct dp_stream *s);      /* out of memory: the node must stop */
const struct dp_hist *dp_stream_hist(const struct dp_stream *s, bool flush);
const struct dp_stages *dp_stream_stages(const struct dp_stream *s);
struct dp_stream_counters dp_stream_counters(const struct dp_stream *s);

#endif
