/* The core driven by hand: one event in, the actions looked at. Each test is one protocol rule. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <string.h>

#include "base/err.h"
#include "engine/core.h"

#define STREAM 77u

static struct dp_core core;
static struct dp_actions actions;

static void make(enum dp_core_role role, unsigned downs, unsigned ack_legs, enum dp_core_stage ack)
{
	cr_assert_geq(sodium_init(), 0);
	struct dp_core_config cfg = {.stream = STREAM, .config = 1, .instance = 5, .role = role,
		.image = role == DP_CORE_MIRROR, .ack = ack, .flush = DP_CORE_COMMITTED,
		.ack_legs = ack_legs, .down_count = downs, .window_bytes = 1 << 20};
	struct dp_meta empty = {0};
	cr_assert_eq(dp_core_init(&core, &cfg, &empty), 0);
}

/* A relay that is started again with everything up to 5 released. */
static void make_released_relay(bool next_hop)
{
	struct dp_core_config cfg = {.stream = STREAM, .config = 1, .instance = 5,
		.role = DP_CORE_RELAY, .retain_next_hop = next_hop, .down_count = 1,
		.ack_legs = 1, .window_bytes = 1 << 20};
	struct dp_meta tail = {.promised = 1, .at = {1, 5, 99}, .based = true};
	cr_assert_eq(dp_core_init(&core, &cfg, &tail), 0);
}

static void step(struct dp_event ev)
{
	static uint64_t now = 1000000;
	dp_actions_clear(&actions);
	ev.now_us = now += 1000;
	core.room = 64 << 20;
	dp_core_step(&core, &ev, &actions);
}

static struct dp_action *find(enum dp_action_type type, uint8_t msg)
{
	for (uint32_t i = 0; i < actions.count; i++)
		if (actions.list[i].type == type && (!msg || actions.list[i].msg.type == msg))
			return &actions.list[i];
	return NULL;
}

static void from_up(struct dp_msg m)
{
	m.stream = STREAM;
	step((struct dp_event){.type = DP_EV_FROM_UP, .u.msg = &m});
	dp_msg_clear(&m);
}

static void from_down(uint32_t i, struct dp_msg m)
{
	m.stream = STREAM;
	m.session = core.down[i].session;
	step((struct dp_event){.type = DP_EV_FROM_DOWN, .peer = i, .u.msg = &m});
	dp_msg_clear(&m);
}

static uint64_t barrier_token(void)
{
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert_not_null(a);
	return a->seq;
}

static struct dp_record *record_of(uint64_t epoch, uint64_t seq, uint64_t previous)
{
	struct dp_header h = {.op = DP_OP_TRIM, .stream = STREAM, .volume = 1, .length = 512,
		.epoch = epoch, .seq = seq, .set = 1, .client = 9, .request = seq};
	h.chain = dp_chain_next(previous, &h);
	return dp_record_new(&h, NULL);
}

static struct dp_record *record(uint64_t seq, uint64_t previous)
{
	return record_of(1, seq, previous);
}

static void hello(uint64_t epoch, uint64_t session)
{
	from_up((struct dp_msg){.type = DP_MSG_HELLO, .session = session,
		.u.hello = {.epoch = epoch, .config = 1}});
}

static void start_at_zero(uint64_t session)
{
	from_up((struct dp_msg){.type = DP_MSG_START, .session = session,
		.u.start.at = {0, 0, dp_chain_start(STREAM)}});
}

/* A mirror with an open session at position 0. */
static void open_mirror(void)
{
	make(DP_CORE_MIRROR, 0, 0, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.random = 3});
	hello(1, 100);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	start_at_zero(100);
}

static void send_record(uint64_t seq, uint64_t previous)
{
	from_up((struct dp_msg){.type = DP_MSG_RECORD, .session = 100, .u.record = record(seq, previous)});
}

static void welcome_with(uint32_t leg, struct dp_position last)
{
	struct dp_welcome *w = calloc(1, sizeof *w);
	w->room = 64 << 20;
	w->instance = leg + 1;
	w->cached = last.seq;
	w->last.at = last;
	w->tail.at.chain = dp_chain_start(STREAM);
	from_down(leg, (struct dp_msg){.type = DP_MSG_WELCOME, .u.welcome = w});
}

static void welcome_from(uint32_t leg)
{
	welcome_with(leg, (struct dp_position){0, 0, dp_chain_start(STREAM)});
}

/* A relay with an open session at position 0, and one node below. */
static void open_relay(void)
{
	make(DP_CORE_RELAY, 1, 1, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.random = 3});
	hello(1, 100);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	welcome_from(0);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	start_at_zero(100);
}

/* A controller with two legs that are connected and empty. */
static void open_controller(unsigned ack_legs, enum dp_core_stage ack)
{
	make(DP_CORE_CONTROLLER, 2, ack_legs, ack);
	step((struct dp_event){.type = DP_EV_START, .u.random = 3});
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	welcome_from(0);
	cr_assert_eq(core.state, DP_CORE_RECOVERING, "goes on before all legs have answered");
	welcome_from(1);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	cr_assert_eq(core.state, DP_CORE_OPEN);
}

static void host(uint8_t op, uint64_t request, void *tag)
{
	struct dp_host_request r = {.tag = tag, .op = op, .volume = op == DP_OP_FLUSH ? 0 : 1,
		.length = op == DP_OP_FLUSH ? 0 : 512, .client = 9, .request = request};
	step((struct dp_event){.type = DP_EV_HOST, .u.host = &r});
}

static void ack(uint32_t leg, uint64_t cached, uint64_t committed)
{
	from_down(leg, (struct dp_msg){.type = DP_MSG_ACK, .u.ack = {cached, committed, 64 << 20}});
}

static void done(void)
{
	dp_core_clear(&core);
	dp_actions_free(&actions);
}

Test(engine, promise_is_answered_only_when_durable, .fini = done)
{
	make(DP_CORE_MIRROR, 0, 0, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.random = 3});
	hello(4, 100);
	cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_WELCOME), "a promise is answered before it is durable");
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_WELCOME));
	hello(3, 101);
	struct dp_action *no = find(DP_ACT_SEND_UP, DP_MSG_REFUSE);
	cr_assert_not_null(no, "a controller of an older epoch than the promised one is let in");
	cr_assert_eq(no->msg.u.refuse.reason, DP_REFUSE_STALE);
	cr_assert_eq(no->msg.u.refuse.number, 4);
}

Test(engine, ack_only_after_durable_and_duplicates_are_acknowledged_again, .fini = done)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_ACK), "acknowledged before the journal had it");
	cr_assert_not_null(find(DP_ACT_APPEND, 0));
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	struct dp_action *a = find(DP_ACT_SEND_UP, DP_MSG_ACK);
	cr_assert_not_null(a);
	cr_assert_eq(a->msg.u.ack.cached, 1);
	cr_assert_eq(a->msg.u.ack.committed, 1);
	send_record(1, dp_chain_start(STREAM));
	cr_assert_null(find(DP_ACT_APPEND, 0));
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_ACK), "a duplicate was dropped without an answer");
}

Test(engine, gap_and_bad_checksum_are_refused, .fini = done)
{
	open_mirror();
	send_record(3, 1);
	struct dp_action *n = find(DP_ACT_SEND_UP, DP_MSG_NAK);
	cr_assert_not_null(n);
	cr_assert_eq(n->msg.u.nak.seq, 1);
	cr_assert_null(find(DP_ACT_APPEND, 0));
}

Test(engine, damage_and_silence_are_answered, .fini = done)
{
	open_mirror();
	struct dp_msg bad = {.type = DP_MSG_RECORD, .stream = STREAM, .session = 100};
	step((struct dp_event){.type = DP_EV_BAD_UP, .u.msg = &bad});
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_NAK), "a damaged record is not asked for again");
	send_record(1, dp_chain_start(STREAM));
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	from_up((struct dp_msg){.type = DP_MSG_MARKS, .session = 100, .u.marks = {.sent = 2}});
	struct dp_action *n = find(DP_ACT_SEND_UP, DP_MSG_NAK);
	cr_assert_not_null(n, "a record that did not arrive is not asked for again");
	cr_assert_eq(n->msg.u.nak.seq, 2);
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_ACK), "marks are not answered");
}

Test(engine, nak_makes_the_sender_send_again, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	for (uint64_t i = 1; i <= 3; i++)
		host(DP_OP_TRIM, i, &core);
	ack(0, 1, 1);
	from_down(0, (struct dp_msg){.type = DP_MSG_NAK, .u.nak.seq = 2});
	uint64_t next = 2;
	for (uint32_t i = 0; i < actions.count; i++) {
		struct dp_action *a = &actions.list[i];
		if (a->type == DP_ACT_SEND_DOWN && a->peer == 0 && a->msg.type == DP_MSG_RECORD)
			cr_assert_eq(a->msg.u.record->h.seq, next++);
	}
	cr_assert_eq(next, 4, "records that a NAK asks for are not sent again");
}

/* Below had the record that was cut. The one that comes in its place it does not have yet. */
Test(engine, cut_takes_back_what_was_committed, .fini = done)
{
	open_relay();
	send_record(1, dp_chain_start(STREAM));
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	ack(0, 1, 1);
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_ACK)->msg.u.ack.committed, 1);
	hello(2, 101);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	start_at_zero(101);
	cr_assert_eq(core.log.last.at.seq, 0);
	from_up((struct dp_msg){.type = DP_MSG_RECORD, .session = 101,
		.u.record = record_of(2, 1, dp_chain_start(STREAM))});
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	struct dp_action *a = find(DP_ACT_SEND_UP, DP_MSG_ACK);
	cr_assert_not_null(a);
	cr_assert_eq(a->msg.u.ack.cached, 1);
	cr_assert_eq(a->msg.u.ack.committed, 0, "committed, and nothing below has it");
}

/* What is cached here is committed only when the far mirror says so. */
Test(engine, relay_waits_for_the_mirror, .fini = done)
{
	open_relay();
	send_record(1, dp_chain_start(STREAM));
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_ACK)->msg.u.ack.committed, 0,
		"committed, and nothing below has it");
	from_up((struct dp_msg){.type = DP_MSG_MARKS, .session = 100, .u.marks = {.agreed = 1, .sent = 1}});
	ack(0, 1, 0);
	cr_assert_null(find(DP_ACT_RELEASE, 0), "freed before the mirror has it");
	cr_assert_eq(core.committed, 0, "committed, and nothing below has it");
	ack(0, 1, 1);
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_ACK)->msg.u.ack.committed, 1);
	cr_assert_not_null(find(DP_ACT_RELEASE, 0));
}

/* Only the next node may have had it, or the log may have jumped over it: those below say. */
Test(engine, released_is_not_committed_after_a_restart, .fini = done)
{
	for (unsigned next_hop = 0; next_hop < 2; next_hop++) {
		make_released_relay(next_hop);
		step((struct dp_event){.type = DP_EV_START, .u.random = 3});
		hello(1, 100);
		struct dp_welcome *w = find(DP_ACT_SEND_UP, DP_MSG_WELCOME)->msg.u.welcome;
		cr_assert_eq(w->cached, 5);
		cr_assert_eq(w->committed, 0, "committed, and nothing below has said so");
		if (!next_hop)
			done();
	}
}

Test(engine, images_take_only_what_is_agreed, .fini = done)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	cr_assert_null(find(DP_ACT_APPLY, 0), "an image takes what can still be cut");
	from_up((struct dp_msg){.type = DP_MSG_MARKS, .session = 100, .u.marks = {.agreed = 1, .sent = 1}});
	cr_assert_not_null(find(DP_ACT_APPLY, 0));
}

Test(engine, ack_policy_counts_legs_and_stages, .fini = done)
{
	int write, flush;
	open_controller(2, DP_CORE_CACHED);
	host(DP_OP_TRIM, 1, &write);
	ack(0, 1, 1);
	cr_assert_null(find(DP_ACT_REPLY, 0), "one of two legs is not all");
	ack(1, 1, 0);
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
	cr_assert_null(find(DP_ACT_RELEASE, 0), "freed, and one leg has not committed it");
	host(DP_OP_FLUSH, 2, &flush);
	ack(0, 2, 2);
	ack(1, 2, 1);
	cr_assert_null(find(DP_ACT_REPLY, 0), "flush: committed waits for the far mirror");
	ack(1, 2, 2);
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
	cr_assert_eq(core.log.tail.at.seq, 2);
}

/* A relay on a leg may have had to begin anew: the longest history has all that was answered. */
Test(engine, controller_adopts_the_longest_history, .fini = done)
{
	for (uint32_t longest = 0; longest < 2; longest++) {
		make(DP_CORE_CONTROLLER, 2, 2, DP_CORE_CACHED);
		step((struct dp_event){.type = DP_EV_START, .u.random = 3});
		step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
		core.log.last.promised = core.epoch = 9; /* a journal that knows its epochs */
		for (uint32_t i = 0; i < 2; i++) {
			cr_assert_eq(core.state, DP_CORE_RECOVERING,
				"goes on before all legs have answered");
			welcome_with(i, (struct dp_position){1, i == longest ? 5 : 3, i + 70});
		}
		struct dp_action *pull = find(DP_ACT_SEND_DOWN, DP_MSG_PULL);
		cr_assert_not_null(pull);
		cr_assert_eq(pull->peer, longest, "a shorter history is adopted");
		if (longest == 0)
			done();
	}
}

Test(engine, fewer_legs_count_the_own_journal, .fini = done)
{
	int write;
	open_controller(1, DP_CORE_CACHED);
	host(DP_OP_TRIM, 1, &write);
	cr_assert_not_null(find(DP_ACT_APPEND, 0), "this journal is not lazy");
	ack(0, 1, 1);
	cr_assert_null(find(DP_ACT_REPLY, 0), "answered before the own journal has it");
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
}

Test(engine, replay_makes_no_second_record, .fini = done)
{
	int write, again;
	open_controller(2, DP_CORE_CACHED);
	host(DP_OP_TRIM, 1, &write);
	host(DP_OP_TRIM, 1, &again);
	cr_assert_eq(core.log.last.at.seq, 1, "a replay was carried out again");
	ack(0, 1, 1);
	ack(1, 1, 1);
	cr_assert_eq(actions.list[0].type, DP_ACT_REPLY);
	cr_assert_eq(actions.list[1].type, DP_ACT_REPLY);
}

Test(engine, failed_journal_acknowledges_nothing, .fini = done)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	step((struct dp_event){.type = DP_EV_FAILED, .u.text = "no disk"});
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_REFUSE));
	cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_ACK));
	send_record(1, dp_chain_start(STREAM));
	cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_ACK));
}
