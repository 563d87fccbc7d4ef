/* SPDX-License-Identifier: MIT */
/* The core: legs that lack what is in no journal any more, and what an operator orders. Each test
 * is one protocol rule. */
#include "enginerig.h"

/* ---- resync: the side that has the records ---- */

/* Three records are released; then leg 1 comes back with an empty disk. */
static void lose_disk_of_leg_1(unsigned keep_serving, enum dp_images_state other)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.keep_serving = keep_serving;
	for (uint64_t i = 1; i <= 3; i++)
		host(DP_OP_TRIM, i, &core);
	ack_images(0, 3, other);
	ack_images(1, 3, DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.tail.at.seq, 3);
	from_down(1, (struct dp_msg){.type = DP_MSG_REFUSE, .u.refuse.reason = DP_REFUSE_SESSION});
	welcome_from(1);
}

Test(resync, a_leg_behind_the_tail_is_reset, .fini = done)
{
	lose_disk_of_leg_1(1, DP_IMAGES_WHOLE);
	struct dp_action *a = find(DP_ACT_SEND_DOWN, DP_MSG_RESET);
	cr_assert_not_null(a);
	cr_assert_eq(a->peer, 1);
	cr_assert_eq(a->msg.u.reset->common, 0);
	cr_assert_eq(a->msg.u.reset->meta.at.seq, 3);
	cr_assert_null(find(DP_ACT_SEND_DOWN, DP_MSG_START));
}

Test(resync, a_leg_stays_inconsistent_while_no_copy_is_whole, .fini = done)
{
	lose_disk_of_leg_1(1, DP_IMAGES_UNKNOWN);
	cr_assert_null(find(DP_ACT_SEND_DOWN, DP_MSG_RESET));
	cr_assert_eq(core.down[1].state, DP_DOWN_INCONSISTENT);
}

static void check_waits_until_whole(void)
{
	int write;
	host(DP_OP_TRIM, 9, &write);
	uint64_t seq = core.log.last.at.seq;
	durable(seq);
	cr_assert_null(find(DP_ACT_REPLY, 0));
	ack_images(0, seq, DP_IMAGES_WHOLE);
	cr_assert_null(find(DP_ACT_REPLY, 0), "answered by too few");
	cr_assert_eq(core.agreed, seq, "a resync would not end: nothing is agreed");
	ack_images(1, seq, DP_IMAGES_RESYNCING);
	cr_assert_null(find(DP_ACT_REPLY, 0), "a resynced leg counts");
	cr_assert_eq(core.log.last.away, 2, "a leg comes back before it is whole");
	ack_images(1, seq, DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.last.away, 0, "a leg that is whole does not come back");
	cr_assert_null(find(DP_ACT_REPLY, 0), "counts before all know of it");
	durable(seq + 1);
	ack_images(0, seq + 1, DP_IMAGES_WHOLE);
	ack_images(1, seq + 1, DP_IMAGES_WHOLE);
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
}

Test(resync, a_leg_leaves_the_set_though_too_few_remain, .fini = done)
{
	lose_disk_of_leg_1(2, DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.last.away, 2, "a resynced leg stays in the set");
	check_waits_until_whole();
}

Test(resync, the_others_answer_where_they_are_enough, .fini = done)
{
	int write;
	lose_disk_of_leg_1(1, DP_IMAGES_WHOLE);
	host(DP_OP_TRIM, 9, &write);
	cr_assert_not_null(find(DP_ACT_APPEND, 0), "the journal is lazy while a leg is away");
	durable(5);
	ack_images(0, 5, DP_IMAGES_WHOLE);
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
}

/* Where too few would remain, writes wait for it. */
Test(engine, a_lost_leg_counts_where_all_must, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.keep_serving = 2;
	step((struct dp_event){.type = DP_EV_LINK, .peer = 1, .u.up = false});
	cr_assert_eq(core.log.last.away, 0, "a lost leg leaves the set though too few remain");
}

/* From the moment it says so, not only when it has left the set for good. */
Test(resync, a_leg_does_not_count_any_more_at_once, .fini = done)
{
	int write;
	open_controller(2, DP_CORE_CACHED);
	core.cfg.keep_serving = 1;
	host(DP_OP_TRIM, 1, &write);
	ack_images(0, 1, DP_IMAGES_WHOLE);
	ack_images(1, 1, DP_IMAGES_RESYNCING);
	cr_assert_eq(core.insync.away, 0);
	cr_assert_null(find(DP_ACT_REPLY, 0), "a resynced leg counts");
	durable(2);
	cr_assert_null(find(DP_ACT_REPLY, 0), "a resynced leg counts");
	ack_images(0, 2, DP_IMAGES_WHOLE);
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
}

/* What was released is not sent again, whatever is asked for. */
Test(resync, a_nak_below_the_tail_is_ignored, .fini = done)
{
	lose_disk_of_leg_1(1, DP_IMAGES_WHOLE);
	host(DP_OP_TRIM, 9, &core);
	cr_assert_eq(core.down[1].sent, 5);
	for (uint64_t seq = 0; seq <= 3; seq++) {
		from_down(1, (struct dp_msg){.type = DP_MSG_NAK, .u.nak.seq = seq});
		cr_assert_null(find(DP_ACT_SEND_DOWN, DP_MSG_RECORD), "NAK of %u", (unsigned)seq);
		cr_assert_eq(core.down[1].sent, 5);
	}
	from_down(1, (struct dp_msg){.type = DP_MSG_NAK, .u.nak.seq = 4});
	cr_assert_eq(find(DP_ACT_SEND_DOWN, DP_MSG_RECORD)->msg.u.record->h.seq, 4);
}

static void fetch(uint32_t leg, uint64_t id, uint64_t min_seq)
{
	from_down(leg,
		(struct dp_msg){.type = DP_MSG_FETCH,
			.u.read = {.id = id,
				.min_seq = min_seq,
				.volume = 1,
				.length = 512,
				.compare = true}});
}

Test(resync, a_chunk_is_fetched_from_another_leg, .fini = done)
{
	lose_disk_of_leg_1(1, DP_IMAGES_WHOLE);
	fetch(1, 700, 3);
	struct dp_action *a = find(DP_ACT_SEND_DOWN, DP_MSG_READ);
	cr_assert_not_null(a);
	cr_assert_eq(a->peer, 0);
	cr_assert_eq(a->msg.u.read.min_seq, 3, "asked for without what is applied");
	cr_assert(a->msg.u.read.compare);
	struct dp_found same = {
		.id = a->msg.u.read.id, .kind = DP_FOUND_SAME, .seq = 4, .length = 512};
	from_down(0, (struct dp_msg){.type = DP_MSG_DATA, .u.data = same});
	a = find(DP_ACT_SEND_DOWN, DP_MSG_FILL);
	cr_assert_not_null(a);
	cr_assert_eq(a->peer, 1);
	cr_assert_eq(a->msg.u.data.id, 700);
	cr_assert_eq(a->msg.u.data.kind, DP_FOUND_SAME);
	cr_assert_eq(a->msg.u.data.seq, 4);
}

/* An answer that says DATA and carries too little is none. */
Test(resync, a_chunk_of_the_wrong_size_is_not_passed_on, .fini = done)
{
	lose_disk_of_leg_1(1, DP_IMAGES_WHOLE);
	fetch(1, 700, 3);
	struct dp_found f = {
		.id = find(DP_ACT_SEND_DOWN, DP_MSG_READ)->msg.u.read.id, .length = 512};
	from_down(0, (struct dp_msg){.type = DP_MSG_DATA, .u.data = f, .payload = dp_buf_new(511)});
	cr_assert_null(find(DP_ACT_SEND_DOWN, DP_MSG_FILL));
}

/* ---- legs that are given up ---- */

static void tracking_controller(enum dp_images_state other)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.keep_serving = 1;
	core.cfg.track = true;
	core.cfg.low_room = room + 1;
	ack_images(0, 0, other);
	ack_images(1, 0, DP_IMAGES_WHOLE);
}

static void link_1(bool up)
{
	step((struct dp_event){.type = DP_EV_LINK, .peer = 1, .u.up = up});
}

/* Everything is durable, and leg 0 has it. */
static void leg_0_has_all(enum dp_images_state images)
{
	durable(core.log.last.at.seq);
	ack_images(0, core.log.last.at.seq, images);
}

Test(resync, a_lost_leg_is_given_up_when_room_is_short, .fini = done)
{
	tracking_controller(DP_IMAGES_WHOLE);
	host(DP_OP_TRIM, 1, &core);
	leg_0_has_all(DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.tail.at.seq, 0, "a leg that counts is given up");
	link_1(false);
	core.cfg.low_room = room;
	leg_0_has_all(DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.tail.at.seq, 0, "given up, and there is room");
	core.cfg.low_room = room + 1;
	step((struct dp_event){.type = DP_EV_TICK});
	cr_assert_eq(core.log.tail.at.seq, core.log.last.at.seq, "a lost leg is not given up");
	cr_assert_not_null(find(DP_ACT_ALARM, 0));
	link_1(true);
	welcome_from(1);
	cr_assert_not_null(find(DP_ACT_SEND_DOWN, DP_MSG_RESET));
}

Test(resync, no_leg_is_given_up_without_another_copy, .fini = done)
{
	tracking_controller(DP_IMAGES_UNKNOWN);
	host(DP_OP_TRIM, 1, &core);
	link_1(false);
	leg_0_has_all(DP_IMAGES_UNKNOWN);
	cr_assert_eq(core.log.last.away, 2);
	cr_assert_eq(core.log.tail.at.seq, 0, "given up, and no copy is there");
}

/* It is away until it has caught up; but it is getting what it lacks. */
Test(resync, no_leg_is_given_up_that_is_catching_up, .fini = done)
{
	tracking_controller(DP_IMAGES_WHOLE);
	host(DP_OP_TRIM, 1, &core);
	link_1(false);
	link_1(true);
	welcome_room(1, (struct dp_position){0, 0, dp_chain_start(STREAM)}, 0);
	leg_0_has_all(DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.last.away, 2);
	cr_assert_eq(core.down[1].state, DP_DOWN_ACTIVE);
	cr_assert_eq(core.log.tail.at.seq, 0, "a leg that is catching up is given up");
}

/* A controller that finds in its journal that a leg is away does not ask it for what it has. */
Test(resync, nothing_is_lazy_before_the_journal_says_who_counts, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.keep_serving = 1;
	ack_images(0, 0, DP_IMAGES_WHOLE);
	ack_images(1, 0, DP_IMAGES_WHOLE);
	link_1(false);
	cr_assert_eq(core.log.last.away, 2);
	link_1(true);
	welcome_from(1);
	ack_images(1, 0, DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.last.away, 0);
	cr_assert_eq(core.insync.away, 0, "it was away before that was durable");
	uint64_t last = core.log.last.at.seq;
	host(DP_OP_TRIM, 1, &core);
	ack(0, last + 1, last + 1);
	ack_images(1, last + 1, DP_IMAGES_WHOLE);
	cr_assert_eq(core.journal.handed, last + 1,
		"lazy, while the journal says that a leg is away");
	cr_assert_null(find(DP_ACT_REPLY, 0),
		"answered, while the journal says that a leg is away");
	durable(last + 1);
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
}

static unsigned high_alarms(void)
{
	unsigned count = 0;
	for (uint32_t i = 0; i < actions.count; i++)
		count += actions.list[i].type == DP_ACT_ALARM &&
			actions.list[i].alarm == DP_ALARM_HIGH_WATER;
	return count;
}

static unsigned tick_with(uint64_t left)
{
	room = left;
	step((struct dp_event){.type = DP_EV_TICK});
	room = 64 << 20;
	return high_alarms();
}

Test(resync, high_water_is_told_once_per_crossing, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.high_room = 1000;
	cr_assert_eq(tick_with(1000), 0);
	cr_assert_eq(tick_with(999), 1);
	cr_assert_eq(tick_with(10), 0, "told again");
	cr_assert_eq(tick_with(1000), 0);
	cr_assert_eq(tick_with(999), 1);
}

/* ---- the side that lacks them ---- */

static void reset(uint64_t session, uint64_t common, uint64_t seq)
{
	struct dp_reset *r = calloc(1, sizeof *r);
	r->common = common;
	r->meta = (struct dp_meta){.promised = 1, .at = {1, seq, 99}};
	from_up((struct dp_msg){.type = DP_MSG_RESET, .session = session, .u.reset = r});
}

/* Holds two records; its sender's log begins after 10. */
static void reset_mirror(uint64_t common)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	send_record(2, core.log.last.at.chain);
	durable(2);
	hello(1, 101);
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_WELCOME));
	reset(101, common, 10);
}

/* A mirror that is being resynced since 10. */
static void resyncing_mirror(void)
{
	reset_mirror(2);
	applied(2);
	barrier_done(barrier_token());
}

static void next_record(uint64_t session)
{
	struct dp_position last = core.log.last.at;
	from_up((struct dp_msg){.type = DP_MSG_RECORD,
		.session = session,
		.u.record = record(last.seq + 1, last.chain)});
	durable(last.seq + 1);
}

static void copied(uint64_t bytes, uint64_t valid_seq, bool all)
{
	step((struct dp_event){.type = DP_EV_COPIED, .u.copied = {bytes, valid_seq, all}});
}

static void marks(uint64_t session, uint64_t agreed)
{
	from_up((struct dp_msg){.type = DP_MSG_MARKS,
		.session = session,
		.u.marks = {.agreed = agreed, .sent = core.log.last.at.seq}});
}

Test(resync, the_jump_waits_until_the_images_have_what_is_here, .fini = done)
{
	reset_mirror(2);
	struct dp_action *a = find(DP_ACT_APPLY, 0);
	cr_assert_not_null(a);
	cr_assert_eq(a->seq, 2);
	cr_assert_null(find(DP_ACT_BARRIER, 0), "jumps before what is here is in the images");
	applied(1);
	cr_assert_null(find(DP_ACT_BARRIER, 0), "jumps before what is here is in the images");
	applied(2);
	a = find(DP_ACT_BARRIER, 0);
	cr_assert_not_null(a);
	cr_assert_eq(a->meta->at.seq, 10);
	cr_assert(a->meta->images.generation == 0 && a->meta->images.building == 1);
	cr_assert(a->meta->images.copied == 0 && a->meta->images.valid_seq == 10);
	cr_assert_null(find(DP_ACT_RESYNC, 0), "new images are begun before it is durable");
	barrier_done(a->seq);
	cr_assert_eq(find(DP_ACT_RESYNC, 0)->seq, 10);
	a = find(DP_ACT_SEND_UP, DP_MSG_ACK);
	cr_assert_not_null(a);
	cr_assert_eq(a->msg.u.ack.images, DP_IMAGES_RESYNCING);
	cr_assert_eq(a->msg.u.ack.cached, 10);
}

/* A message may come twice, before the jump, during it, and after it. */
Test(resync, a_reset_that_comes_twice_is_no_divergence, .fini = done)
{
	reset_mirror(2);
	reset(101, 2, 10);
	applied(2);
	uint64_t token = barrier_token();
	for (unsigned after = 0; after < 2; after++) {
		reset(101, 2, 10);
		cr_assert_null(find(DP_ACT_SEND_UP, DP_MSG_REFUSE),
			"refused as if it had diverged");
		cr_assert_null(find(DP_ACT_BARRIER, 0), "jumps twice");
		if (!after)
			barrier_done(token);
	}
	cr_assert(core.up.started && core.log.last.images.building == 1);
}

Test(resync, what_the_sender_never_had_is_cut_before_the_jump, .fini = done)
{
	reset_mirror(1);
	cr_assert_eq(core.log.last.at.seq, 1);
	barrier_done(barrier_token());
	applied(1);
	cr_assert_eq(find(DP_ACT_BARRIER, 0)->meta->at.seq, 10);
}

Test(resync, what_was_applied_is_not_cut_by_a_reset, .fini = done)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	durable(1);
	marks(100, 1);
	hello(1, 101);
	reset(101, 0, 10);
	struct dp_action *a = find(DP_ACT_SEND_UP, DP_MSG_REFUSE);
	cr_assert_not_null(a);
	cr_assert_eq(a->msg.u.refuse.reason, DP_REFUSE_DIVERGED);
	applied(1);
	cr_assert_null(find(DP_ACT_BARRIER, 0));
}

/* A HELLO ends the session that the RESET belongs to. */
Test(resync, a_new_session_forgets_the_reset, .fini = done)
{
	reset_mirror(2);
	hello(1, 102);
	applied(2);
	cr_assert_null(find(DP_ACT_BARRIER, 0));
	cr_assert_eq(core.log.last.at.seq, 2);
}

Test(resync, new_images_count_when_what_they_may_show_is_applied, .fini = done)
{
	resyncing_mirror();
	next_record(101);
	next_record(101);
	copied(1000, 12, true);
	cr_assert_not_null(find(DP_ACT_BARRIER, 0));
	cr_assert_eq(find(DP_ACT_BARRIER, 0)->meta->images.building, 1);
	cr_assert_eq(core.rebuild.switch_token, 0,
		"new images count before what they may show is applied");
	marks(101, 12);
	applied(11);
	cr_assert_null(find(DP_ACT_BARRIER, 0),
		"new images count before what they may show is applied");
	applied(12);
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert_not_null(a);
	cr_assert(a->meta->images.building == 0 && a->meta->images.generation == 1);
	cr_assert_null(find(DP_ACT_SWITCH, 0), "old images are removed before it is durable");
	uint64_t token = a->seq;
	marks(101, 12);
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_ACK)->msg.u.ack.images, DP_IMAGES_RESYNCING);
	barrier_done(token);
	cr_assert_not_null(find(DP_ACT_SWITCH, 0));
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_ACK)->msg.u.ack.images, DP_IMAGES_WHOLE);
}

Test(resync, a_part_is_not_the_whole, .fini = done)
{
	resyncing_mirror();
	copied(1000, 10, false);
	cr_assert_eq(find(DP_ACT_BARRIER, 0)->meta->images.copied, 1000);
	cr_assert_eq(core.log.last.images.building, 1);
	step((struct dp_event){.type = DP_EV_TICK});
	cr_assert_eq(core.log.last.images.building, 1);
}

Test(resync, a_cut_begins_the_copy_anew, .fini = done)
{
	resyncing_mirror();
	next_record(101);
	next_record(101);
	copied(1000, 12, true);
	hello(2, 102);
	barrier_done(barrier_token());
	struct dp_position at;
	cr_assert(dp_log_position(&core.log, 11, &at));
	from_up((struct dp_msg){.type = DP_MSG_START, .session = 102, .u.start = {at, 11}});
	cr_assert_eq(core.log.last.at.seq, 11);
	cr_assert_not_null(find(DP_ACT_RESYNC, 0));
	cr_assert_eq(core.log.last.images.copied, 0, "the copy goes on after a cut");
	cr_assert_eq(find(DP_ACT_BARRIER, 0)->meta->images.copied, 0);
	applied(11);
	cr_assert_eq(core.log.last.images.building, 1, "the copy goes on after a cut");
}

/* Another mirror has record 12 and shows it. The controller of the next epoch need not have it, and
 * this node, which has not got it either, is then not cut. */
Test(resync, a_new_epoch_begins_the_copy_anew_if_it_is_ahead, .fini = done)
{
	resyncing_mirror();
	next_record(101);
	copied(1000, 12, false);
	hello(1, 102);
	cr_assert_eq(core.log.last.images.copied, 1000, "the same epoch has one history only");
	hello(2, 103);
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert(a && a->meta->promised == 2);
	cr_assert_eq(a->meta->images.copied, 0, "what the next epoch may lack stays in the images");
	cr_assert_not_null(find(DP_ACT_RESYNC_STOP, 0));
	uint64_t token = a->seq;
	copied(2000, 12, true);
	cr_assert_null(find(DP_ACT_BARRIER, 0), "a copy of the epoch before is taken");
	barrier_done(token);
	from_up((struct dp_msg){
		.type = DP_MSG_START, .session = 103, .u.start = {core.log.last.at, 10}});
	cr_assert_not_null(find(DP_ACT_RESYNC, 0));
	cr_assert(core.log.last.images.copied == 0 && core.log.last.images.valid_seq == 11);
}

Test(resync, goes_on_in_a_new_session_from_where_it_was, .fini = done)
{
	resyncing_mirror();
	copied(1000, 10, false);
	barrier_done(barrier_token());
	hello(1, 102);
	from_up((struct dp_msg){
		.type = DP_MSG_START, .session = 102, .u.start = {core.log.last.at, 10}});
	cr_assert_not_null(find(DP_ACT_RESYNC, 0));
	cr_assert_eq(find(DP_ACT_RESYNC, 0)->seq, 0, "the images do not stand anew");
	cr_assert_eq(core.log.last.images.copied, 1000);
}

/* The barriers that follow a promise on its way are durable after it, and are the state then. */
Test(resync, the_switch_does_not_take_a_promise_back, .fini = done)
{
	resyncing_mirror();
	next_record(101);
	copied(1000, 11, true);
	marks(101, 11);
	hello(2, 102);
	uint64_t token = barrier_token();
	applied(11);
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert(a && a->meta->images.generation == 1);
	cr_assert_eq(a->meta->promised, 2, "a promise is taken back");
	barrier_done(token);
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_WELCOME));
}

Test(resync, a_node_that_is_resynced_answers_no_reads, .fini = done)
{
	resyncing_mirror();
	from_up((struct dp_msg){
		.type = DP_MSG_READ, .session = 101, .u.read = {.id = 4, .length = 512}});
	cr_assert_null(find(DP_ACT_READ, 0));
	struct dp_action *a = find(DP_ACT_SEND_UP, DP_MSG_DATA);
	cr_assert_not_null(a);
	cr_assert_eq(a->msg.u.data.status, DP_EAGAIN);
}

Test(resync, a_relay_passes_questions_up_and_answers_down, .fini = done)
{
	open_relay();
	ack_images(0, 0, DP_IMAGES_RESYNCING);
	struct dp_action *a = find(DP_ACT_SEND_UP, DP_MSG_ACK);
	cr_assert_not_null(a, "the state of the images below is not told");
	cr_assert_eq(a->msg.u.ack.images, DP_IMAGES_RESYNCING);
	fetch(0, 5, 0);
	a = find(DP_ACT_SEND_UP, DP_MSG_FETCH);
	cr_assert_not_null(a);
	cr_assert_eq(a->msg.u.read.id, 5);
	from_up((struct dp_msg){.type = DP_MSG_FILL,
		.session = 100,
		.u.data = {.id = 5, .length = 3},
		.payload = dp_buf_new(3)});
	a = find(DP_ACT_SEND_DOWN, DP_MSG_FILL);
	cr_assert_not_null(a);
	cr_assert_eq(a->msg.u.data.id, 5);
	cr_assert_not_null(a->msg.payload);
}

/* ---- resync by order ---- */

static void order(uint32_t leg, enum dp_leg_order o)
{
	step((struct dp_event){.type = DP_EV_LEG, .peer = leg, .u.order = {o, UINT64_MAX}});
}

/* Of what a paused leg lacks, a part is not kept for it; the rest is, until there is another order.
 */
Test(resync, a_part_of_the_queue_is_dropped, .fini = done)
{
	tracking_controller(DP_IMAGES_WHOLE);
	core.cfg.track = false;
	for (uint64_t i = 1; i <= 5; i++)
		host(DP_OP_TRIM, i, &core);
	step((struct dp_event){.type = DP_EV_LEG, .peer = 1, .u.order = {DP_LEG_DROP, 3}});
	host(DP_OP_TRIM, 6, &core);
	leg_0_has_all(DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.last.away, 2);
	cr_assert_eq(core.log.tail.at.seq, 3, "not what was ordered");
	cr_assert_not_null(find(DP_ACT_ALARM, 0));
	host(DP_OP_TRIM, 7, &core);
	leg_0_has_all(DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.tail.at.seq, 3, "more than was ordered");
	order(1, DP_LEG_PAUSE);
	step((struct dp_event){.type = DP_EV_LEG, .peer = 1, .u.order = {DP_LEG_DROP, UINT64_MAX}});
	leg_0_has_all(DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.tail.at.seq, core.log.last.at.seq);
}

Test(resync, an_ordered_leg_leaves_the_set_before_it_begins, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.keep_serving = 1;
	ack_images(0, 0, DP_IMAGES_WHOLE);
	ack_images(1, 0, DP_IMAGES_WHOLE);
	order(1, DP_LEG_RESYNC);
	cr_assert_eq(core.log.last.away, 2);
	step((struct dp_event){.type = DP_EV_TICK});
	cr_assert_null(find(DP_ACT_SEND_DOWN, DP_MSG_RESET), "it begins while it counts");
	durable(1);
	ack_images(0, 1, DP_IMAGES_WHOLE);
	cr_assert_eq(core.insync.away, 2);
	step((struct dp_event){.type = DP_EV_TICK});
	struct dp_action *a = find(DP_ACT_SEND_DOWN, DP_MSG_RESET);
	cr_assert(a && a->peer == 1);
	uint64_t id = a->msg.u.reset->common;
	ack_order(1, 1, DP_IMAGES_WHOLE, id + 2);
	cr_assert_eq(core.insync.away, 2, "it counts before it has begun");
	ack_order(1, 1, DP_IMAGES_RESYNCING, id);
	step((struct dp_event){.type = DP_EV_TICK});
	cr_assert_null(find(DP_ACT_SEND_DOWN, DP_MSG_RESET), "it is told again");
	ack_images(1, 1, DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.last.away, 0, "it is whole and does not count again");
}

Test(resync, an_order_without_another_copy_is_refused, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	ack_images(1, 0, DP_IMAGES_WHOLE);
	order(1, DP_LEG_RESYNC);
	step((struct dp_event){.type = DP_EV_TICK});
	cr_assert_not_null(find(DP_ACT_ALARM, 0));
	cr_assert_null(find(DP_ACT_SEND_DOWN, DP_MSG_RESET));
	cr_assert_not(core.down[1].ordered);
}

Test(resync, by_order_begins_when_what_was_to_be_applied_is, .fini = done)
{
	open_mirror();
	send_record(1, dp_chain_start(STREAM));
	durable(1);
	marks(100, 1);
	cr_assert_eq(find(DP_ACT_APPLY, 0)->seq, 1);
	reset(100, 1, 0);
	cr_assert_null(find(DP_ACT_BARRIER, 0), "begins in the middle of a batch");
	send_record(2, core.log.last.at.chain);
	durable(2);
	marks(100, 2);
	cr_assert_null(find(DP_ACT_APPLY, 0), "applies more to what is to stay as it is");
	applied(1);
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert_not_null(a);
	cr_assert(a->meta->images.building == 1 && a->meta->images.valid_seq == 2);
	cr_assert_null(find(DP_ACT_RESYNC, 0), "new images are begun before it is durable");
	barrier_done(a->seq);
	a = find(DP_ACT_RESYNC, 0);
	cr_assert(a && a->seq == 0, "the log is moved");
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_ACK)->msg.u.ack.images, DP_IMAGES_RESYNCING);
	cr_assert_eq(find(DP_ACT_APPLY, 0)->seq, 2);
	core.log.last.images = core.log.tail.images = (struct dp_images){.generation = 1};
	reset(100, 1, 0);
	cr_assert_not(core.rebuild.ordered, "an order that comes late is carried out again");
	reset(100, 2, 0);
	cr_assert(core.rebuild.ordered, "a second order is taken for the first");
}

/* The images may hold half of what had been agreed before a crash: they are what there is to fall
 * back on only once all that is in them again. */
Test(engine, ordered_images_to_fall_back_on_are_whole_after_a_restart, .fini = done)
{
	make(DP_CORE_MIRROR, 0, 0, DP_CORE_CACHED);
	uint64_t chain = dp_chain_start(STREAM);
	for (uint64_t seq = 1; seq <= 2; seq++) {
		struct dp_record *r = record(seq, chain);
		cr_assert_eq(dp_core_restore(&core, &r->h), 0);
		chain = r->h.chain;
		dp_record_unref(&r);
	}
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	hello(1, 100);
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	from_up((struct dp_msg){
		.type = DP_MSG_START, .session = 100, .u.start.at = core.log.last.at});
	reset(100, 1, 0);
	cr_assert_null(find(DP_ACT_BARRIER, 0), "falls back on half a batch");
	marks(100, 1);
	applied(1);
	cr_assert_null(find(DP_ACT_BARRIER, 0), "falls back on half a batch");
	marks(100, 2);
	cr_assert_eq(find(DP_ACT_APPLY, 0)->seq, 2,
		"an order keeps what it waits for from being applied");
	applied(2);
	cr_assert_not_null(find(DP_ACT_BARRIER, 0));
}

/* ---- other legs and policies after a start ---- */

/* What stands in the journal for the next start. */
static struct dp_meta stopped(void)
{
	step((struct dp_event){.type = DP_EV_STOP});
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert_not_null(a, "a lazy journal is not made complete");
	while (a + 1 < actions.list + actions.count && !a->meta->complete)
		do
			a++;
		while (a->type != DP_ACT_BARRIER);
	return *a->meta;
}

/* Started again, with the legs of these names. */
static void start_with(const struct dp_meta *meta, unsigned legs, const uint32_t *ids,
	unsigned ack_legs)
{
	struct dp_core_config cfg = core.cfg;
	done();
	actions = (struct dp_actions){0};
	cfg.down_count = legs;
	cfg.ack_legs = ack_legs;
	cfg.keep_serving = legs;
	memset(cfg.leg_ids, 0, sizeof cfg.leg_ids);
	memcpy(cfg.leg_ids, ids, legs * sizeof *ids);
	cr_assert_eq(dp_core_init(&core, &cfg, meta), 0);
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 4, .instance = 5}});
	barrier_done(barrier_token());
}

/* Three records that all have, and a clean stop. */
static struct dp_meta stopped_after_three(void)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.keep_serving = 2;
	for (uint64_t i = 1; i <= 3; i++)
		host(DP_OP_TRIM, i, &core);
	ack_images(0, 3, DP_IMAGES_WHOLE);
	ack_images(1, 3, DP_IMAGES_WHOLE);
	struct dp_meta meta = stopped();
	cr_assert(meta.complete && meta.at.seq == 3);
	return meta;
}

Test(change, after_a_clean_stop_no_leg_is_asked, .fini = done)
{
	struct dp_meta meta = stopped_after_three();
	start_with(&meta, 2, (uint32_t[]){1, 2}, 2);
	cr_assert_eq(core.state, DP_CORE_OPEN);
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert(a && !a->meta->complete, "a journal that may be lazy is called complete");
	cr_assert(!dp_core_lazy(&core), "lazy before that is durable");
	barrier_done(a->seq);
	cr_assert(dp_core_lazy(&core));
}

/* It was lazy: that fewer legs answer for a write now says nothing of those before. */
Test(change, after_a_crash_all_legs_are_asked_whatever_the_policy_is_now, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	struct dp_meta meta = core.log.last;
	start_with(&meta, 2, (uint32_t[]){1, 2}, 1);
	cr_assert_eq(core.state, DP_CORE_RECOVERING);
	welcome_from(0);
	cr_assert_eq(core.state, DP_CORE_RECOVERING);
	welcome_from(1);
	cr_assert_eq(core.state, DP_CORE_OPEN);
}

Test(change, what_is_answered_after_the_order_to_stop_is_in_the_journal, .fini = done)
{
	int write;
	stopped_after_three();
	host(DP_OP_TRIM, 4, &write);
	cr_assert_not_null(find(DP_ACT_APPEND, 0));
	ack_images(0, 4, DP_IMAGES_WHOLE);
	ack_images(1, 4, DP_IMAGES_WHOLE);
	cr_assert_null(find(DP_ACT_REPLY, 0), "answered before it is in the journal");
	durable(4);
	cr_assert_not_null(find(DP_ACT_REPLY, 0));
}

static struct dp_position third(const struct dp_meta *meta)
{
	return meta->at;
}

/* All must count, and the new one does not yet: the others are enough until it is filled, and from
 * then on it must count as they do. */
Test(change, a_new_leg_is_filled_before_it_counts, .fini = done)
{
	int write;
	struct dp_meta meta = stopped_after_three();
	start_with(&meta, 3, (uint32_t[]){1, 2, 3}, 3);
	barrier_done(barrier_token());
	cr_assert_eq(core.log.last.away, 4, "a new leg counts at once");
	welcome_with(0, third(&meta));
	welcome_with(1, third(&meta));
	ack_images(0, 4, DP_IMAGES_WHOLE);
	ack_images(1, 4, DP_IMAGES_WHOLE);
	durable(4);
	host(DP_OP_TRIM, 5, &write);
	durable(5);
	ack_images(0, 5, DP_IMAGES_WHOLE);
	ack_images(1, 5, DP_IMAGES_WHOLE);
	cr_assert_not_null(find(DP_ACT_REPLY, 0), "writes wait for a leg that is new");
	welcome_from(2);
	cr_assert_not_null(find(DP_ACT_SEND_DOWN, DP_MSG_RESET));
	cr_assert_eq(core.log.last.places.joined, 3);
	ack_images(2, 5, DP_IMAGES_WHOLE);
	cr_assert_eq(core.log.last.away, 0);
	cr_assert_eq(core.log.last.places.joined, 7);
	struct dp_action *a = find(DP_ACT_BARRIER, 0);
	cr_assert(a && a->meta->places.joined == 7, "that it has counted is not said");
	durable(6);
	for (uint32_t i = 0; i < 3; i++)
		ack_images(i, 6, DP_IMAGES_WHOLE);
	step((struct dp_event){.type = DP_EV_LINK, .peer = 2, .u.up = false});
	cr_assert_eq(core.log.last.away, 0, "a leg that must count leaves");
}

/* The first leg goes, the second stays what it was: away. */
Test(change, legs_keep_their_places, .fini = done)
{
	open_controller(1, DP_CORE_CACHED);
	core.cfg.keep_serving = 1;
	step((struct dp_event){.type = DP_EV_LINK, .peer = 1, .u.up = false});
	cr_assert_eq(core.log.last.away, 2);
	durable(1);
	struct dp_meta meta = core.log.last;
	start_with(&meta, 2, (uint32_t[]){2, 5}, 1);
	cr_assert_eq(core.state, DP_CORE_OPEN, "a journal that had all asks a leg");
	cr_assert_eq(core.insync.slot[0], 1);
	cr_assert_eq(core.insync.slot[1], 0, "the place that is free");
	cr_assert_eq(core.log.last.away, 3, "one is away still, the other is new");
}

/* A leg that went and comes back has missed what came between. */
Test(change, a_leg_that_comes_back_is_new, .fini = done)
{
	struct dp_meta meta = stopped_after_three();
	start_with(&meta, 1, (uint32_t[]){1}, 1);
	meta = core.log.last;
	start_with(&meta, 2, (uint32_t[]){1, 2}, 2);
	welcome_with(0, third(&meta)); /* it is the only one that is asked */
	cr_assert_eq(core.log.last.away, 2);
}

/* What stands in the journal in front of the records that are missing must not vouch for them, nor
 * may a superblock that is written meanwhile. */
Test(change, complete_is_said_behind_the_records, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	for (uint64_t i = 1; i <= 3; i++)
		host(DP_OP_TRIM, i, &core);
	ack_images(0, 3, DP_IMAGES_WHOLE);
	ack_images(1, 3, DP_IMAGES_WHOLE);
	cr_assert(core.log.tail.at.seq == 3 && core.journal.handed == 0, "nothing was skipped");
	host(DP_OP_TRIM, 4, &core);
	step((struct dp_event){.type = DP_EV_STOP});
	uint64_t token = 0;
	bool appended = false;
	for (uint32_t i = 0; i < actions.count; i++) {
		const struct dp_action *a = &actions.list[i];
		appended = appended || a->type == DP_ACT_APPEND;
		if (a->type == DP_ACT_BARRIER && a->meta->complete) {
			cr_assert(appended, "said before the record");
			token = a->seq;
		}
	}
	cr_assert_neq(token, 0);
	cr_assert(!core.log.tail.complete && !core.log.last.complete, "said before it is durable");
	barrier_done(token);
	cr_assert(core.log.tail.complete && core.log.last.complete);
}
