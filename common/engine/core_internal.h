/* SPDX-License-Identifier: MIT */
/* Shared by the files of the core; nothing outside common/engine includes it. */
#ifndef DP_ENGINE_CORE_INTERNAL_H
#define DP_ENGINE_CORE_INTERNAL_H

#include "engine/core.h"

/* core.c */
struct dp_action *dp_act(struct dp_actions *out, enum dp_action_type type);
void dp_raise(struct dp_actions *out, enum dp_alarm alarm, uint32_t peer);
uint64_t dp_core_random(struct dp_core *c);
uint64_t dp_core_all(const struct dp_core *c, enum dp_core_stage stage); /* least of all links */
int dp_core_take(struct dp_core *c, struct dp_record *r); /* into log, sets; errors of the log */
/* Whether a record from another node, the next one by its seq, is sealed as the stream is, as far
 * as this node can tell: by a holder, and for this place behind the record that is the last one
 * here. */
bool dp_core_genuine(const struct dp_core *c, const struct dp_record *r);
void dp_core_append_upto(struct dp_core *c, uint64_t seq, struct dp_actions *out);
uint64_t dp_core_barrier(struct dp_core *c, const struct dp_meta *meta, struct dp_actions *out);
void dp_core_cut(struct dp_core *c, uint64_t seq, struct dp_actions *out);
bool dp_core_may_be_lazy(const struct dp_core *c);
/* Says in the journal, behind all there is, whether it has all that was acknowledged. Until that is
 * durable it must. */
void dp_core_complete(struct dp_core *c, bool complete, struct dp_actions *out);
/* The log stands at meta now, with nothing in it; a barrier is to say so. */
void dp_core_jump(struct dp_core *c, const struct dp_meta *meta);
void dp_core_open(struct dp_core *c, struct dp_actions *out);
void dp_core_send_up(struct dp_core *c, uint32_t peer, uint8_t type, struct dp_msg *m,
	struct dp_actions *out);
void dp_core_send_down(struct dp_core *c, uint32_t link, uint8_t type, struct dp_msg *m,
	struct dp_actions *out);

/* core_up.c: towards the sender above */
void dp_up_message(struct dp_core *c, uint32_t peer, struct dp_msg *m, struct dp_actions *out);
void dp_up_bad(struct dp_core *c, uint32_t peer, struct dp_msg *m, struct dp_actions *out);
void dp_up_barrier(struct dp_core *c, uint64_t token, struct dp_actions *out);
void dp_up_hello(struct dp_core *c, struct dp_actions *out); /* goes on with a held HELLO */
bool dp_up_stale(struct dp_core *c, uint64_t promised, struct dp_actions *out);
void dp_up_pulled(struct dp_core *c, struct dp_record *r, struct dp_actions *out);
void dp_up_pump(struct dp_core *c, struct dp_actions *out);
void dp_up_settle(struct dp_core *c, struct dp_actions *out);

/* core_down.c: towards the receivers below */
void dp_down_message(struct dp_core *c, uint32_t i, struct dp_msg *m, struct dp_actions *out);
void dp_down_link(struct dp_core *c, uint32_t i, bool up, struct dp_actions *out);
void dp_down_order(struct dp_core *c, uint32_t i, const struct dp_order *o, struct dp_actions *out);
void dp_down_shrunk(struct dp_core *c, uint32_t i, uint64_t bytes);
void dp_down_connect(struct dp_core *c, uint32_t i, struct dp_actions *out);
void dp_down_cut(struct dp_core *c, uint32_t i, uint64_t seq, struct dp_actions *out);
void dp_down_pump(struct dp_core *c, uint32_t i, struct dp_actions *out);
void dp_down_loaded(struct dp_core *c, uint32_t i, uint64_t seq, struct dp_record *r,
	struct dp_actions *out);
void dp_down_recount(const struct dp_core *c, struct dp_down *d); /* what is in flight */
void dp_down_start(struct dp_core *c, uint32_t i, struct dp_actions *out);
void dp_down_tick(struct dp_core *c, uint32_t i, struct dp_actions *out);

/* core_insync.c: the legs that count */
/* What such a leg has is no copy: it leaves the set even where too few remain, and then nothing is
 * acknowledged until it is whole. */
bool dp_is_hollow(const struct dp_down *d);
unsigned dp_insync_count(const struct dp_core *c, uint64_t away);
unsigned dp_insync_needed(const struct dp_core *c);         /* how many must count */
void dp_insync_places(struct dp_core *c);                   /* at the start */
bool dp_insync_is_new(const struct dp_core *c, uint32_t i); /* leg i has never counted */
void dp_insync_open(struct dp_core *c);
void dp_insync_settle(struct dp_core *c, struct dp_actions *out);

/* core_recover.c: taking part again after a start */
void dp_recover_start(struct dp_core *c, struct dp_actions *out);
void dp_recover_claim(struct dp_core *c, uint64_t epoch, struct dp_actions *out);
void dp_recover_try(struct dp_core *c, struct dp_actions *out);
void dp_recover_record(struct dp_core *c, uint32_t from, struct dp_record *r,
	struct dp_actions *out);
void dp_recover_settle(struct dp_core *c, struct dp_actions *out);
void dp_recover_tick(struct dp_core *c, struct dp_actions *out);

/* core_host.c */
void dp_host_request(struct dp_core *c, const struct dp_host_request *r, struct dp_actions *out);
bool dp_core_write_insync(struct dp_core *c, uint64_t away); /* a record; false: no memory */
void dp_host_settle(struct dp_core *c, struct dp_actions *out);

/* core_resync.c */
bool dp_resync_possible(const struct dp_core *c, uint32_t i); /* has leg i where to fetch from? */
void dp_resync_start(struct dp_core *c, uint32_t i, struct dp_actions *out); /* of leg i */
void dp_resync_refill(struct dp_core *c, uint32_t i,
	struct dp_actions *out);                        /* though it lacks none */
void dp_resync_ordered(struct dp_core *c, uint64_t id); /* here */
/* false: what this node has applied is not in the sender's history */
bool dp_resync_reset(struct dp_core *c, const struct dp_reset *r, struct dp_actions *out);
void dp_resync_barrier(struct dp_core *c, uint64_t token, struct dp_actions *out);
void dp_resync_go_on(struct dp_core *c, struct dp_actions *out);
void dp_resync_cut(struct dp_core *c, uint64_t seq,
	struct dp_actions *out); /* before its barrier */
void dp_resync_doubt(struct dp_core *c,
	struct dp_actions *out); /* a new epoch, before its promise */
void dp_resync_want(struct dp_core *c, const struct dp_wanted *w, struct dp_actions *out);
void dp_resync_copied(struct dp_core *c, uint64_t bytes, uint64_t valid_seq, bool all,
	struct dp_actions *out);
void dp_resync_fetch(struct dp_core *c, uint32_t i, struct dp_msg *m, struct dp_actions *out);
void dp_resync_fill(struct dp_core *c, struct dp_msg *m, struct dp_actions *out);
void dp_resync_settle(struct dp_core *c, struct dp_actions *out);
enum dp_images_state dp_core_images(const struct dp_core *c); /* here and below */

/* core_read.c */
void dp_read_host(struct dp_core *c, const struct dp_host_request *r, struct dp_actions *out);
void dp_read_up(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out);
void dp_read_data(struct dp_core *c, uint32_t link, struct dp_msg *m, struct dp_actions *out);
void dp_read_fetch(struct dp_core *c, uint32_t i, const struct dp_wanted *w,
	struct dp_actions *out);
void dp_read_image(struct dp_core *c, const struct dp_found *f, struct dp_buf *data,
	struct dp_actions *out);
void dp_read_settle(struct dp_core *c, struct dp_actions *out);
void dp_read_tick(struct dp_core *c, struct dp_actions *out);

#endif
