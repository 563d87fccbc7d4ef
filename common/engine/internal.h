/* SPDX-License-Identifier: MIT */
/* Shared by the files of the core; nothing outside common/engine includes it. The ground may be
 * called by every part; the parts are called by core.c alone (core.h, "The files"). */
#ifndef DP_ENGINE_INTERNAL_H
#define DP_ENGINE_INTERNAL_H

#include "engine/core.h"

/* ================ the ground ================ */

/* ---- actions.c: the list of actions, messages ---- */

struct dp_action *dp_act(struct dp_actions *out, enum dp_action_type type);
void dp_raise(struct dp_actions *out, enum dp_alarm alarm, uint32_t peer);
uint64_t dp_core_random(struct dp_core *c);
void dp_core_send_up(struct dp_core *c, uint32_t peer, uint8_t type, struct dp_msg *m,
	struct dp_actions *out);
void dp_core_send_down(struct dp_core *c, uint32_t link, uint8_t type, struct dp_msg *m,
	struct dp_actions *out);
void dp_core_refuse(struct dp_core *c, uint32_t peer, uint64_t session, enum dp_refusal reason,
	uint64_t number, struct dp_actions *out);
void dp_up_end(struct dp_core *c); /* the session with the sender above is over */
void dp_core_move(struct dp_core *c, enum dp_core_state to); /* asserts that the move is allowed */
void dp_down_move(struct dp_down *d, enum dp_down_state to); /* the same */

/* ---- append.c: the log and what the journal gets of it ---- */

int dp_core_take(struct dp_core *c, struct dp_record *r); /* into log, sets; errors of the log */
/* Whether the seal of the next record, which came from another node, is right. A holder must have
 * sealed it, and for the position behind the last record here. A relay cannot check this and
 * returns true.
 */
bool dp_core_genuine(const struct dp_core *c, const struct dp_record *r);
void dp_core_append_upto(struct dp_core *c, uint64_t seq, struct dp_actions *out);
uint64_t dp_core_barrier(struct dp_core *c, const struct dp_meta *meta, struct dp_actions *out);
void dp_core_set_images(struct dp_core *c,
	struct dp_images images); /* the caller must write a barrier */
void dp_core_copy_again(struct dp_core *c,
	uint64_t valid_seq); /* a rebuild compares all chunks again */
void dp_core_cut(struct dp_core *c, uint64_t seq, struct dp_actions *out);
/* Empties the log and lets it stand at meta. The caller must write a barrier. */
void dp_core_jump(struct dp_core *c, const struct dp_meta *meta);
void dp_down_recount(const struct dp_core *c, struct dp_down *d); /* what is in flight */

/* ---- make.c: records of this controller ---- */

/* The write set a new record belongs to: the open one, or the next. */
uint64_t dp_core_current_set(const struct dp_core *c);
/* NULL: no memory. One reference. */
struct dp_record *dp_core_make(struct dp_core *c, const struct dp_host_request *r, uint64_t set,
	bool closes);
bool dp_core_make_insync(struct dp_core *c, uint64_t away); /* and takes it; false: no memory */

/* ---- promise.c: promises and completeness: durable before another node hears of them ---- */

void dp_core_promise(struct dp_core *c, uint64_t epoch, struct dp_actions *out);
/* Writes a barrier behind all records that says whether the journal is complete. Until the barrier
 * is durable, the core accepts no requests. */
void dp_core_complete(struct dp_core *c, bool complete, struct dp_actions *out);
void dp_promise_on_barrier(struct dp_core *c, uint64_t token);

/* ---- policy.c: which legs count, and for what; reads the state, changes nothing ---- */

uint64_t dp_core_all(const struct dp_core *c, enum dp_core_stage stage); /* least of all links */
uint64_t dp_policy_reached(const struct dp_core *c,
	enum dp_core_stage stage);                 /* also if fewer legs count than must */
bool dp_core_may_be_lazy(const struct dp_core *c); /* by its configuration */
bool dp_core_may_append(const struct dp_core
		*c); /* a lazy journal has written all records that it was given */
/* A leg that is being rebuilt has no copy. So it leaves the in-sync set even if too few legs
 * remain. Then no request is answered until the leg is whole. */
bool dp_down_is_rebuilding(const struct dp_down *d);
bool dp_core_has_leg(const struct dp_core *c, uint64_t mask, uint32_t i); /* bit of leg i is set */
unsigned dp_policy_counting(const struct dp_core *c, uint64_t away);      /* how many legs count */
unsigned dp_policy_needed(const struct dp_core *c);                       /* how many must */
bool dp_policy_leg_is_new(const struct dp_core *c, uint32_t i);           /* it has never counted */
bool dp_policy_has_source(const struct dp_core *c, uint32_t i); /* leg i can fetch a copy */
enum dp_images_state dp_core_images(const struct dp_core *c);   /* here and below */

/* ================ the parts ================ */

/* ---- session.c: both sides of the handshake ---- */

void dp_session_on_hello(struct dp_core *c, uint32_t peer, const struct dp_msg *m,
	struct dp_actions *out);
void dp_session_on_start(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out);
void dp_session_on_unknown(struct dp_core *c, uint32_t peer, const struct dp_msg *m,
	struct dp_actions *out);
void dp_session_on_welcome(struct dp_core *c, uint32_t i, struct dp_msg *m);
void dp_session_on_refuse(struct dp_core *c, uint32_t i, const struct dp_msg *m,
	struct dp_actions *out);
void dp_session_on_link(struct dp_core *c, uint32_t i, bool up);
void dp_session_on_order(struct dp_core *c, uint32_t i, const struct dp_order *o);
void dp_session_tick(struct dp_core *c, uint32_t i, struct dp_actions *out);
void dp_session_settle_connect(struct dp_core *c, struct dp_actions *out);
void dp_session_settle(struct dp_core *c, struct dp_actions *out);
uint64_t dp_session_due_us(const struct dp_core *c, uint32_t i);

/* ---- send.c: records to the receivers below, and their positions ---- */

void dp_send_on_ack(struct dp_core *c, uint32_t i, const struct dp_msg *m);
void dp_send_on_nak(struct dp_core *c, uint32_t i, uint64_t seq);
void dp_send_on_shrunk(struct dp_core *c, uint32_t i, uint64_t bytes);
void dp_send_on_loaded(struct dp_core *c, uint32_t i, uint64_t seq, struct dp_record *r,
	struct dp_actions *out);
void dp_send_tick(struct dp_core *c, uint32_t i, struct dp_actions *out);
void dp_send_settle(struct dp_core *c, struct dp_actions *out);
uint64_t dp_send_due_us(const struct dp_core *c, uint32_t i);

/* ---- take.c: records from the sender above, and this node's positions ---- */

void dp_take_on_record(struct dp_core *c, struct dp_record *r, struct dp_actions *out);
void dp_take_on_positions(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out);
void dp_take_on_bad(struct dp_core *c, uint32_t peer, const struct dp_msg *m,
	struct dp_actions *out);
void dp_take_on_pull(struct dp_core *c, const struct dp_msg *m);
void dp_take_on_loaded(struct dp_core *c, uint64_t seq, struct dp_record *r,
	struct dp_actions *out);
void dp_take_tick(struct dp_core *c);
void dp_take_settle_pull(struct dp_core *c, struct dp_actions *out);
void dp_take_settle(struct dp_core *c, struct dp_actions *out);

/* ---- insync.c: the legs that count ---- */

void dp_insync_start(struct dp_core *c);
void dp_insync_settle(struct dp_core *c, struct dp_actions *out);
uint64_t dp_insync_due_us(const struct dp_core *c);

/* ---- recover.c: what a controller, and a relay without a journal, does at its start ---- */

void dp_recover_start(struct dp_core *c, struct dp_actions *out);
void dp_recover_on_record(struct dp_core *c, uint32_t from, struct dp_record *r,
	struct dp_actions *out);
void dp_recover_tick(struct dp_core *c);
void dp_recover_settle(struct dp_core *c, struct dp_actions *out);
void dp_recover_settle_pull(struct dp_core *c, struct dp_actions *out);
uint64_t dp_recover_due_us(const struct dp_core *c);

/* ---- host.c: requests of hosts ---- */

void dp_host_on_request(struct dp_core *c, const struct dp_host_request *r, struct dp_actions *out);
void dp_host_settle(struct dp_core *c, struct dp_actions *out);

/* ---- read.c ---- */

void dp_read_on_host(struct dp_core *c, const struct dp_host_request *r, struct dp_actions *out);
void dp_read_on_up(struct dp_core *c, const struct dp_msg *m, struct dp_actions *out);
void dp_read_on_data(struct dp_core *c, uint32_t link, struct dp_msg *m, struct dp_actions *out);
void dp_read_on_fetch(struct dp_core *c, uint32_t i, const struct dp_wanted *w,
	struct dp_actions *out);
void dp_read_on_image(struct dp_core *c, const struct dp_found *f, struct dp_buf *data,
	struct dp_actions *out);
void dp_read_settle(struct dp_core *c, struct dp_actions *out);
void dp_read_tick(struct dp_core *c, struct dp_actions *out);
uint64_t dp_read_due_us(const struct dp_core *c);

/* ---- rebuild.c: images that are made from another copy ---- */

void dp_rebuild_on_reset(struct dp_core *c, const struct dp_reset *r, struct dp_actions *out);
void dp_rebuild_on_leg_order(struct dp_core *c, uint32_t i, const struct dp_order *o);
void dp_rebuild_on_order(struct dp_core *c, uint64_t id);
void dp_rebuild_on_barrier(struct dp_core *c, uint64_t token, struct dp_actions *out);
void dp_rebuild_on_want(struct dp_core *c, const struct dp_wanted *w, struct dp_actions *out);
void dp_rebuild_on_copied(struct dp_core *c, uint64_t bytes, uint64_t valid_seq, bool all,
	struct dp_actions *out);
void dp_rebuild_on_fetch(struct dp_core *c, struct dp_msg *m, struct dp_actions *out);
void dp_rebuild_on_fill(struct dp_core *c, struct dp_msg *m, struct dp_actions *out);
void dp_rebuild_on_bad_fill(struct dp_core *c, struct dp_actions *out);
void dp_rebuild_tick(struct dp_core *c, uint32_t i, struct dp_actions *out); /* orders for leg i */
void dp_rebuild_settle_resume(struct dp_core *c, struct dp_actions *out);
void dp_rebuild_settle(struct dp_core *c, struct dp_actions *out);
uint64_t dp_rebuild_due_us(const struct dp_core *c, uint32_t i);

/* ---- retain.c: agreed, committed, applied; which records may leave log and journal ---- */

void dp_retain_settle_positions(struct dp_core *c, struct dp_actions *out);
void dp_retain_settle(struct dp_core *c, struct dp_actions *out);
void dp_retain_tick(struct dp_core *c, struct dp_actions *out);
uint64_t dp_retain_due_us(const struct dp_core *c);

#endif
