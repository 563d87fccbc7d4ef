/* SPDX-License-Identifier: MIT */
/* The core: which copy a read goes to. */
#include "enginerig.h"

/* ---- where reads go ---- */

static struct dp_action *read_host(void)
{
	struct dp_host_request r = {.tag = &core, .volume = 1, .length = 512};
	step((struct dp_event){.type = DP_EV_READ, .u.host = &r});
	return find(DP_ACT_SEND_DOWN, DP_MSG_READ);
}

static void answer_read(uint32_t leg, uint64_t id, int status)
{
	struct dp_found f = {.id = id, .status = status, .length = 512};
	from_down(leg,
		(struct dp_msg){.type = DP_MSG_DATA,
			.u.data = f,
			.payload = status ? NULL : dp_buf_new(512)});
}

Test(reads, go_to_the_nearest_and_come_back_to_it, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.read_order[0] = 1;
	core.cfg.read_order[1] = 0;
	cr_assert_eq(read_host()->peer, 1);
	answer_read(1, find(DP_ACT_SEND_DOWN, DP_MSG_READ)->msg.u.read.id, DP_EIO);
	for (unsigned i = 0; i < 100 && !find(DP_ACT_SEND_DOWN, DP_MSG_READ); i++)
		step((struct dp_event){.type = DP_EV_TICK});
	struct dp_action *a = find(DP_ACT_SEND_DOWN, DP_MSG_READ);
	cr_assert(a && a->peer == 0, "one failed copy is enough to leave a read without an answer");
	answer_read(0, a->msg.u.read.id, 0);
	cr_assert_eq(find(DP_ACT_DATA, 0)->err, 0);
	cr_assert_eq(read_host()->peer, 0, "the next read goes to the copy that failed");
	core.reads.back_us = 0;
	step((struct dp_event){.type = DP_EV_TICK});
	cr_assert_eq(read_host()->peer, 1, "reads stay with the far copy for ever");
}

Test(reads, of_an_image_that_cannot_be_read_go_to_a_mirror, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	core.can.keeps_images = true;
	cr_assert_null(read_host());
	struct dp_found f = {.id = find(DP_ACT_READ, 0)->want.id, .status = DP_EIO};
	step((struct dp_event){.type = DP_EV_IMAGE, .u.image.found = f});
	struct dp_action *a = find(DP_ACT_SEND_DOWN, DP_MSG_READ);
	cr_assert_not_null(a);
	answer_read(a->peer, a->msg.u.read.id, 0);
	cr_assert_eq(find(DP_ACT_DATA, 0)->err, 0);
}

/* Lets so much time pass, in which both legs are heard; returns a READ that was sent meanwhile. */
static struct dp_action *wait_us(uint64_t us)
{
	struct dp_action *read = NULL;
	for (uint64_t end = now + us; now < end && !read;) {
		bool quiet = now % 500000 == 0;
		for (uint32_t i = 0; i < 2 && quiet; i++)
			ack(i, core.down[i].cached, core.down[i].committed);
		step((struct dp_event){.type = DP_EV_TICK});
		read = find(DP_ACT_SEND_DOWN, DP_MSG_READ);
	}
	return read;
}

/* Many reads on a slow link wait for each other. As long as answers come, the last one is under
 * way. */
Test(reads, a_slow_copy_is_not_a_silent_one, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	uint64_t id[4];
	for (unsigned i = 0; i < 4; i++) {
		struct dp_action *a = read_host();
		cr_assert_eq(a->peer, 0);
		id[i] = a->msg.u.read.id;
	}
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_null(wait_us(DP_CORE_READ_US - 300000), "read %u is asked for again", i);
		answer_read(0, id[i], 0);
		cr_assert_not_null(find(DP_ACT_DATA, 0));
	}
	struct dp_action *a = wait_us(DP_CORE_READ_US + 300000);
	cr_assert(a && a->peer == 1 && a->msg.u.read.id == id[3], "silence is not noticed");
}

/* An answer may be lost while others come: there is an end to patience. */
Test(reads, a_lost_answer_is_asked_for_elsewhere, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	uint64_t lost = read_host()->msg.u.read.id;
	struct dp_action *again = NULL;
	for (uint64_t begin = now; !again; again = wait_us(DP_CORE_READ_US / 2)) {
		cr_assert_lt(now, begin + 2 * DP_CORE_SLOW_US, "for ever");
		answer_read(0, read_host()->msg.u.read.id, 0);
	}
	cr_assert(again->peer == 1 && again->msg.u.read.id == lost);
}

/* What was asked for in vain, and again elsewhere, may come after all. */
Test(reads, a_late_answer_is_taken, .fini = done)
{
	open_controller(2, DP_CORE_CACHED);
	uint64_t id = read_host()->msg.u.read.id;
	struct dp_action *a = wait_us(DP_CORE_READ_US + 300000);
	cr_assert(a && a->peer == 1);
	answer_read(0, id, 0);
	a = find(DP_ACT_DATA, 0);
	cr_assert(a && a->err == 0, "it is thrown away");
	answer_read(1, id, 0);
	cr_assert_null(find(DP_ACT_DATA, 0), "answered twice");
}
