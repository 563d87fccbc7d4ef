/* SPDX-License-Identifier: MIT */
/* A core driven by hand: one event in, the actions looked at. */
#ifndef DP_TESTS_RIG_ENGINERIG_H
#define DP_TESTS_RIG_ENGINERIG_H

#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "engine/core.h"

#define STREAM 77u

static struct dp_core core;
static struct dp_actions actions; /* of the last event */
static uint64_t room = 64 << 20;  /* in the journal */
static uint64_t unwritten;        /* bytes that wait for it */

static inline void make(enum dp_core_role role, unsigned downs, unsigned ack_legs,
	enum dp_core_stage ack)
{
	cr_assert_geq(sodium_init(), 0);
	struct dp_core_config cfg = {.stream = STREAM,
		.config = 1,
		.role = role,
		.image = role == DP_CORE_MIRROR,
		.ack = ack,
		.flush = DP_CORE_COMMITTED,
		.ack_legs = ack_legs,
		.down_count = downs,
		.window_bytes = 1 << 20};
	struct dp_meta empty = {0};
	cr_assert_eq(dp_core_init(&core, &cfg, &empty), 0);
}

/* A relay that is started again with everything up to 5 released. */
static inline void make_released_relay(bool next_hop)
{
	struct dp_core_config cfg = {.stream = STREAM,
		.config = 1,
		.role = DP_CORE_RELAY,
		.retain_next_hop = next_hop,
		.down_count = 1,
		.ack_legs = 1,
		.window_bytes = 1 << 20};
	struct dp_meta tail = {.promised = 1, .at = {1, 5, 99}, .based = true};
	cr_assert_eq(dp_core_init(&core, &cfg, &tail), 0);
}

static uint64_t now = 1000000; /* each event is a millisecond later */

static inline void step(struct dp_event ev)
{
	dp_actions_clear(&actions);
	ev.now_us = now += 1000;
	ev.room = room;
	ev.unwritten = unwritten;
	dp_core_step(&core, &ev, &actions);
}

static inline struct dp_action *find(enum dp_action_type type, uint8_t msg)
{
	for (uint32_t i = 0; i < actions.count; i++)
		if (actions.list[i].type == type && (!msg || actions.list[i].msg.type == msg))
			return &actions.list[i];
	return NULL;
}

static inline void from_up(struct dp_msg m)
{
	m.stream = STREAM;
	step((struct dp_event){.type = DP_EV_FROM_UP, .u.msg = &m});
	dp_msg_clear(&m);
}

static inline void from_down(uint32_t i, struct dp_msg m)
{
	m.stream = STREAM;
	m.session = core.down[i].session;
	step((struct dp_event){.type = DP_EV_FROM_DOWN, .peer = i, .u.msg = &m});
	dp_msg_clear(&m);
}

static inline uint64_t barrier_token(void)
{
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert_not_null(a);
	return a->seq;
}

static inline struct dp_record *record_of(uint64_t epoch, uint64_t seq, uint64_t previous)
{
	struct dp_header h = {.op = DP_OP_TRIM,
		.stream = STREAM,
		.volume = 1,
		.length = 512,
		.epoch = epoch,
		.seq = seq,
		.set = 1,
		.client = 9,
		.request = seq};
	h.chain = dp_chain_next(previous, &h);
	return dp_record_new(&h, NULL);
}

static inline struct dp_record *record(uint64_t seq, uint64_t previous)
{
	return record_of(1, seq, previous);
}

static inline void hello(uint64_t epoch, uint64_t session)
{
	from_up((struct dp_msg){.type = DP_MSG_HELLO,
		.session = session,
		.u.hello = {.epoch = epoch, .config = 1}});
}

static inline void start_at_zero(uint64_t session)
{
	from_up((struct dp_msg){.type = DP_MSG_START,
		.session = session,
		.u.start.at = {0, 0, dp_chain_start(STREAM)}});
}

/* A mirror with an open session at position 0. */
static inline void open_mirror(void)
{
	make(DP_CORE_MIRROR, 0, 0, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	hello(1, 100);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	start_at_zero(100);
}

static inline void send_record(uint64_t seq, uint64_t previous)
{
	from_up((struct dp_msg){
		.type = DP_MSG_RECORD, .session = 100, .u.record = record(seq, previous)});
}

static inline void welcome_room(uint32_t leg, struct dp_position last, uint64_t leg_room)
{
	struct dp_welcome *w = calloc(1, sizeof *w);
	w->room = leg_room;
	w->instance = leg + 1;
	w->cached = last.seq;
	w->last.at = last;
	w->tail.at.chain = dp_chain_start(STREAM);
	from_down(leg, (struct dp_msg){.type = DP_MSG_WELCOME, .u.welcome = w});
}

static inline void welcome_with(uint32_t leg, struct dp_position last)
{
	welcome_room(leg, last, 64 << 20);
}

static inline void welcome_from(uint32_t leg)
{
	welcome_with(leg, (struct dp_position){0, 0, dp_chain_start(STREAM)});
}

/* A relay with an open session at position 0, and one node below. */
static inline void open_relay(void)
{
	make(DP_CORE_RELAY, 1, 1, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	hello(1, 100);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	welcome_from(0);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	start_at_zero(100);
}

/* A controller with two legs that are connected and empty. */
static inline void open_controller(unsigned ack_legs, enum dp_core_stage ack)
{
	make(DP_CORE_CONTROLLER, 2, ack_legs, ack);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	for (unsigned asked = 0; asked < 2;
		asked++) { /* the second time for an epoch that is its own for sure */
		welcome_from(0);
		cr_assert_eq(core.state, DP_CORE_RECOVERING,
			"goes on before all legs have answered");
		welcome_from(1);
		step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	}
	cr_assert_eq(core.state, DP_CORE_OPEN);
}

static inline void host(uint8_t op, uint64_t request, void *tag)
{
	struct dp_host_request r = {.tag = tag,
		.op = op,
		.volume = op == DP_OP_FLUSH ? 0 : 1,
		.length = op == DP_OP_FLUSH ? 0 : 512,
		.client = 9,
		.request = request};
	step((struct dp_event){.type = DP_EV_HOST, .u.host = &r});
}

static inline void ack(uint32_t leg, uint64_t cached, uint64_t committed)
{
	from_down(leg,
		(struct dp_msg){.type = DP_MSG_ACK,
			.u.ack = {.cached = cached, .committed = committed, .room = 64 << 20}});
}

static inline void ack_images(uint32_t leg, uint64_t position, enum dp_images_state images)
{
	from_down(leg,
		(struct dp_msg){
			.type = DP_MSG_ACK, .u.ack = {position, position, 64 << 20, images, 0}});
}

static inline void ack_order(uint32_t leg, uint64_t position, enum dp_images_state images,
	uint64_t order)
{
	from_down(leg,
		(struct dp_msg){.type = DP_MSG_ACK,
			.u.ack = {position, position, 64 << 20, images, (uint32_t)order}});
}

static inline void durable(uint64_t seq)
{
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = seq});
}

static inline void applied(uint64_t seq)
{
	step((struct dp_event){.type = DP_EV_APPLIED, .u.seq = seq});
}

static inline void barrier_done(uint64_t token)
{
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = token});
}

static inline void done(void)
{
	dp_core_clear(&core);
	dp_actions_free(&actions);
}

#endif
