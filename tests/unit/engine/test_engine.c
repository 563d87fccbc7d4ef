/* SPDX-License-Identifier: MIT */
/* The core: each test is one protocol rule. */
#include "enginerig.h"

Test(engine, promise_is_answered_only_when_durable, .fini = done)
{
	make(DP_CORE_MIRROR, 0, 0, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	hello(4, 100);
	cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_WELCOME),
		"a promise is answered before it is durable");
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
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_ACK),
		"a duplicate was dropped without an answer");
}

Test(engine, a_start_that_comes_again_cuts_nothing, .fini = done)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	start_at_zero(100);
	cr_assert_eq(core.log.last.at.seq, 1, "an acknowledged record is cut in its own session");
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_ACK));
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
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_NAK),
		"a damaged record is not asked for again");
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

/* 100 records a second: trims are a header of 128 bytes each. Events are a millisecond apart. */
Test(engine, a_rate_holds_one_link_back_and_not_the_other, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.link_rate[0] = 12800;
	for (uint64_t i = 1; i <= 30; i++)
		host(DP_OP_TRIM, i, &core);
	cr_assert_eq(core.down[1].sent, 30);
	cr_assert(core.down[0].sent >= 3 && core.down[0].sent <= 6, "%llu",
		(unsigned long long)core.down[0].sent);
	for (unsigned ms = 0; ms < 100; ms++)
		step((struct dp_event){.type = DP_EV_TICK});
	cr_assert(core.down[0].sent >= 13 && core.down[0].sent <= 16, "%llu",
		(unsigned long long)core.down[0].sent);
	for (unsigned ms = 0; ms < 1000; ms++)
		step((struct dp_event){.type = DP_EV_TICK});
	cr_assert_eq(core.down[0].sent, 30, "what waited is not sent");
}

/* What compression saves is sent besides. */
Test(engine, a_rate_counts_what_went_out, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.link_rate[0] = 12800;
	for (uint64_t i = 1; i <= 30; i++)
		host(DP_OP_TRIM, i, &core);
	uint64_t sent = core.down[0].sent;
	step((struct dp_event){.type = DP_EV_SHRUNK, .peer = 0, .u.bytes = 2 * 128});
	cr_assert(core.down[0].sent >= sent + 2 && core.down[0].sent <= sent + 3,
		"%llu and then %llu", (unsigned long long)sent,
		(unsigned long long)core.down[0].sent);
	/* More than was ever spent makes no store for later. */
	step((struct dp_event){.type = DP_EV_SHRUNK, .peer = 0, .u.bytes = 1000000000000});
	for (uint64_t i = 31; i <= 60; i++)
		host(DP_OP_TRIM, i, &core);
	cr_assert_lt(core.down[0].sent, 60);
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
	from_up((struct dp_msg){.type = DP_MSG_RECORD,
		.session = 101,
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
	from_up((struct dp_msg){
		.type = DP_MSG_MARKS, .session = 100, .u.marks = {.agreed = 1, .sent = 1}});
	ack(0, 1, 0);
	cr_assert_null(find(DP_ACT_RELEASE, 0), "freed before the mirror has it");
	cr_assert_eq(core.committed, 0, "committed, and nothing below has it");
	ack(0, 1, 1);
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_ACK)->msg.u.ack.committed, 1);
	cr_assert_not_null(find(DP_ACT_RELEASE, 0));
}

/* Only the next node may have had it, or the log may have jumped over it: those below say. */
/* A relay that learns from below where it stands says so while a promise is on its way. */
Test(engine, a_relays_base_does_not_take_a_promise_back, .fini = done)
{
	make(DP_CORE_RELAY, 1, 1, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	hello(1, 100);
	barrier_done(barrier_token());
	hello(2, 101);
	cr_assert_eq(find(DP_ACT_BARRIER, 0)->meta->promised, 2);
	welcome_from(0);
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert(a && a->meta->based);
	cr_assert_eq(a->meta->promised, 2, "a promise is taken back");
}

Test(engine, released_is_not_committed_after_a_restart, .fini = done)
{
	for (unsigned next_hop = 0; next_hop < 2; next_hop++) {
		make_released_relay(next_hop);
		step((struct dp_event){
			.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
		hello(1, 100);
		struct dp_welcome *w = find(DP_ACT_SEND_UP, DP_MSG_WELCOME)->msg.u.welcome;
		cr_assert_eq(w->cached, 5);
		cr_assert_eq(w->committed, 0, "committed, and nothing below has said so");
		if (!next_hop)
			done();
	}
}

/* Controller and relay lost their journals: nobody but the node below knows which epochs are taken.
 */
Test(engine, a_new_relay_passes_a_newer_epoch_up, .fini = done)
{
	make(DP_CORE_RELAY, 1, 1, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	hello(1, 100);
	barrier_done(barrier_token());
	cr_assert_eq(find(DP_ACT_SEND_DOWN, DP_MSG_HELLO)->msg.u.hello.epoch, 1);
	from_down(0,
		(struct dp_msg){.type = DP_MSG_REFUSE,
			.u.refuse = {.reason = DP_REFUSE_STALE, .number = 3}});
	struct dp_action *no = find(DP_ACT_SEND_UP, DP_MSG_REFUSE);
	cr_assert_not_null(no, "the controller waits for ever");
	cr_assert_eq(no->msg.session, 100);
	cr_assert_eq(no->msg.u.refuse.reason, DP_REFUSE_STALE);
	cr_assert_eq(no->msg.u.refuse.number, 3);
	hello(4, 101);
	barrier_done(barrier_token());
	cr_assert_eq(find(DP_ACT_SEND_DOWN, DP_MSG_HELLO)->msg.u.hello.epoch, 4);
	welcome_from(0);
	barrier_done(barrier_token());
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_WELCOME));
}

Test(engine, images_take_only_what_is_agreed, .fini = done)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	step((struct dp_event){.type = DP_EV_DURABLE, .u.seq = 1});
	cr_assert_null(find(DP_ACT_APPLY, 0), "an image takes what can still be cut");
	from_up((struct dp_msg){
		.type = DP_MSG_MARKS, .session = 100, .u.marks = {.agreed = 1, .sent = 1}});
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

/* Its first claim may be one that the legs had promised it before it lost its journal, when it made
 * records. */
Test(engine, a_controller_without_a_journal_makes_no_record_in_its_first_epoch, .fini = done)
{
	make(DP_CORE_CONTROLLER, 1, 1, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	cr_assert_eq(find(DP_ACT_SEND_DOWN, DP_MSG_HELLO)->msg.u.hello.epoch, 1);
	welcome_from(0);
	cr_assert_neq(core.state, DP_CORE_OPEN, "the epoch may have been in use");
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	cr_assert_eq(find(DP_ACT_SEND_DOWN, DP_MSG_HELLO)->msg.u.hello.epoch, 2);
	welcome_from(0);
	cr_assert_eq(core.state, DP_CORE_OPEN);
	cr_assert_eq(core.epoch, 2);
}

/* That one is refused says which are taken. */
Test(engine, a_controller_without_a_journal_begins_behind_what_was_promised, .fini = done)
{
	make(DP_CORE_CONTROLLER, 1, 1, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	from_down(0,
		(struct dp_msg){.type = DP_MSG_REFUSE,
			.u.refuse = {.reason = DP_REFUSE_STALE, .number = 7}});
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	welcome_from(0);
	cr_assert_neq(core.state, DP_CORE_OPEN, "another leg may have promised 8 before");
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	welcome_from(0);
	cr_assert_eq(core.state, DP_CORE_OPEN);
	cr_assert_eq(core.epoch, 9);
}

/* A relay on a leg may have had to begin anew: the longest history has all that was answered. */
Test(engine, controller_adopts_the_longest_history, .fini = done)
{
	for (uint32_t longest = 0; longest < 2; longest++) {
		make(DP_CORE_CONTROLLER, 2, 2, DP_CORE_CACHED);
		step((struct dp_event){
			.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
		step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
		core.log.last.promised = core.epoch = 9;
		core.recover.epochs_known = true; /* which epochs are taken */
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

/* Another controller claims a higher epoch meanwhile: the barrier of the next claim stands at what
 * was taken over so far, so the journal has to have that before. */
Test(engine, a_claim_in_the_middle_of_adopting_has_what_was_adopted_so_far, .fini = done)
{
	make(DP_CORE_CONTROLLER, 1, 1, DP_CORE_CACHED);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	core.log.last.promised = core.epoch = 9;
	core.recover.epochs_known = true; /* which epochs are taken */
	welcome_with(0, (struct dp_position){1, 2, 70});
	from_down(0,
		(struct dp_msg){
			.type = DP_MSG_RECORD, .u.record = record(1, dp_chain_start(STREAM))});
	cr_assert(core.log.last.at.seq == 1 && core.state == DP_CORE_ADOPTING);
	cr_assert_null(find(DP_ACT_APPEND, 0), "the journal is not lazy");
	from_down(0,
		(struct dp_msg){.type = DP_MSG_REFUSE, .u.refuse = {.reason = DP_REFUSE_SESSION}});
	from_down(0,
		(struct dp_msg){.type = DP_MSG_REFUSE,
			.u.refuse = {.reason = DP_REFUSE_STALE, .number = 20}});
	struct dp_action *append = find(DP_ACT_APPEND, 0), *barrier = find(DP_ACT_BARRIER, 0);
	cr_assert(append && barrier && append < barrier);
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
	step((struct dp_event){.type = DP_EV_FAILED, .u.alarm = DP_ALARM_JOURNAL_FAILED});
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_REFUSE));
	cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_ACK));
	send_record(1, dp_chain_start(STREAM));
	cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_ACK));
}
