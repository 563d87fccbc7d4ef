/* SPDX-License-Identifier: MIT */
/* A stream at a controller of its own (ack: local) on a disk in memory: what the read cache may and
 * may not do, seen from the hosts. */
#include <criterion/criterion.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "memdisk.h"
#include "stream/stream.h"

#define SIZE 4096u

static struct memdisk *mem;
static struct dp_stream *stream;
static uint64_t now = 1000000;
static int answers, error;
static uint8_t seen;

static uint64_t session;   /* of the leg */
static unsigned last_type; /* of the newest message down it */

static void on_send(void *ctx, struct dp_stream *s, uint32_t peer, struct dp_msg *m)
{
	(void)ctx;
	(void)s;
	(void)peer;
	session = m->session;
	last_type = m->type;
	dp_msg_clear(m);
}

static void on_reply(void *ctx, struct dp_stream *s, void *tag, int err, uint64_t set,
	struct dp_buf *data)
{
	(void)ctx;
	(void)s;
	(void)tag;
	(void)set;
	answers++;
	error = err;
	if (data)
		seen = data->data[100];
}

static void on_alarm(void *ctx, struct dp_stream *s, enum dp_alarm alarm, uint32_t peer)
{
	(void)ctx;
	(void)s;
	(void)alarm;
	(void)peer;
}

static void settle(void)
{
	for (unsigned i = 0; i < 20; i++) {
		now += 10000;
		dp_stream_tick(stream);
		dp_stream_flush(stream);
		memdisk_run(mem);
	}
}

static int open_stream(uint64_t read_cache, bool volumes_changed)
{
	static const struct dp_store_volume volume = {.id = 1, .size = 1 << 20, .file = "image"};
	struct dp_stream_config cfg = {.core = {.stream = 7,
					       .config = 1,
					       .role = DP_CORE_CONTROLLER,
					       .image = true,
					       .ack = DP_CORE_LOCAL,
					       .flush = DP_CORE_LOCAL,
					       .window_bytes = 1 << 24},
		.now_us = &now,
		.journal_file = "journal",
		.journal_size = DP_JOURNAL_SIZE_MIN,
		.random = 12345,
		.volumes = &volume,
		.volume_count = 1,
		.volumes_changed = volumes_changed,
		.read_cache = read_cache};
	static const struct dp_stream_ops ops = {on_send, on_send, on_reply, NULL, on_alarm};
	cr_assert_geq(sodium_init(), 0);
	if (!mem)
		mem = memdisk_new();
	return dp_stream_open(&mem->base, &cfg, &ops, NULL, &stream);
}

static void start(uint64_t read_cache)
{
	cr_assert_eq(open_stream(read_cache, false), 0);
	dp_stream_start(stream);
	settle();
}

static void restart(uint64_t read_cache)
{
	dp_stream_close(&stream);
	start(read_cache);
}

static void end(void)
{
	dp_stream_close(&stream);
	memdisk_free(mem);
	mem = NULL;
}

static void ask(struct dp_host_request r)
{
	int before = answers;
	r.tag = &answers;
	r.volume = 1;
	cr_assert(dp_stream_request(stream, &r));
	settle();
	cr_assert(answers == before + 1 && error == 0);
}

static void put(uint64_t client, uint64_t request, uint8_t value, bool unchanged)
{
	struct dp_buf *data = dp_buf_new(SIZE);
	memset(data->data, value, SIZE);
	ask((struct dp_host_request){.op = DP_OP_WRITE,
		.length = SIZE,
		.client = client,
		.request = request,
		.payload = data,
		.unchanged = unchanged});
	dp_buf_unref(&data);
}

static uint8_t get(void)
{
	ask((struct dp_host_request){.length = SIZE});
	return seen;
}

Test(stream, a_read_of_what_was_written_hits_the_cache)
{
	start(1 << 20);
	put(1, 1, 'A', false);
	cr_assert_eq(get(), 'A');
	cr_assert_eq(dp_stream_counters(stream).cache_hits, 1);
	put(1, 2, 'B', false);
	cr_assert_eq(get(), 'B');
	end();
}

Test(stream, an_unchanged_write_makes_no_record)
{
	start(1 << 20);
	put(1, 1, 'A', true);
	uint64_t last = dp_stream_core(stream)->log.last.at.seq;
	put(1, 2, 'A', true);
	cr_assert_eq(dp_stream_core(stream)->log.last.at.seq, last);
	put(1, 3, 'A', false);
	cr_assert_eq(dp_stream_core(stream)->log.last.at.seq, last + 1, "it was not asked for");
	put(1, 4, 'B', true);
	cr_assert_eq(dp_stream_core(stream)->log.last.at.seq, last + 2);
	end();
}

/* A replay is answered out of the stream: its bytes may have been written over since. */
Test(stream, a_replay_teaches_the_cache_nothing)
{
	start(1 << 20);
	put(1, 1, 'A', false);
	put(2, 1, 'B', false);
	put(1, 1, 'A', false);
	cr_assert_eq(get(), 'B', "an older write's bytes are read");
	put(2, 2, 'A', true);
	cr_assert_eq(get(), 'A');
	restart(0);
	cr_assert_eq(get(), 'A', "an answered write is gone");
	end();
}

Test(stream, an_order_to_resync_empties_the_cache)
{
	start(1 << 20);
	put(1, 1, 'A', false);
	dp_stream_leg(stream, 0, (struct dp_order){.order = DP_LEG_RESYNC});
	uint64_t hits = dp_stream_counters(stream).cache_hits;
	cr_assert_eq(get(), 'A');
	cr_assert_eq(dp_stream_counters(stream).cache_hits, hits);
	end();
}

static void on_seq(void *ctx, uint64_t seq)
{
	(void)ctx;
	(void)seq;
}

static int scan_meta(void *ctx, const struct dp_meta *meta)
{
	*(struct dp_meta *)ctx = *meta;
	return 0;
}

/* As a crash in the middle of a resync leaves it. */
static void begin_resync(void)
{
	struct dp_meta meta;
	struct dp_journal_config cfg = {.stream = 7, .size = DP_JOURNAL_SIZE_MIN, .instance = 1};
	struct dp_journal_events events = {.durable = on_seq, .barrier = on_seq};
	struct dp_journal_scan scan = {scan_meta, NULL, scan_meta, &meta};
	struct dp_journal *journal;
	cr_assert_eq(dp_journal_open(&mem->base, "journal", &cfg, &events, &scan, &journal), 0);
	meta.images.building = meta.images.generation + 1;
	dp_journal_barrier(journal, &meta, 1);
	dp_journal_kick(journal);
	memdisk_run(mem);
	dp_journal_close(&journal);
}

/* How far a resync is, is counted over the volumes in their order. */
Test(stream, volumes_do_not_change_while_images_are_resynced)
{
	start(0);
	dp_stream_close(&stream);
	cr_assert_eq(open_stream(0, true), 0);
	dp_stream_close(&stream);
	begin_resync();
	cr_assert_eq(open_stream(0, true), DP_EAGAIN);
	cr_assert_null(stream);
	cr_assert_eq(open_stream(0, false), 0);
	end();
}

/* ---- a controller whose journal is lazy, on a disk that hangs ---- */

#define BIG (512u << 10)

static void from_leg(struct dp_msg m)
{
	m.stream = 7;
	m.session = session;
	now += 10000;
	dp_stream_from_down(stream, 0, &m);
	dp_stream_flush(stream);
	dp_msg_clear(&m);
}

static void leg_has_all(void)
{
	uint64_t seq = dp_stream_core(stream)->log.last.at.seq;
	from_leg((struct dp_msg){
		.type = DP_MSG_ACK, .u.ack = {.cached = seq, .committed = seq, .room = 1 << 30}});
}

static void leg_welcomes(void)
{
	struct dp_welcome *w = calloc(1, sizeof *w);
	w->room = 1 << 30;
	w->instance = 99;
	w->last.at.chain = w->tail.at.chain = dp_chain_start(7);
	from_leg((struct dp_msg){.type = DP_MSG_WELCOME, .u.welcome = w});
}

static void open_lazy(void)
{
	struct dp_stream_config cfg = {.core = {.stream = 7,
					       .config = 1,
					       .role = DP_CORE_CONTROLLER,
					       .ack = DP_CORE_CACHED,
					       .flush = DP_CORE_CACHED,
					       .ack_legs = 1,
					       .down_count = 1,
					       .leg_ids = {5},
					       .window_bytes = 8 << 20},
		.now_us = &now,
		.journal_file = "journal",
		.journal_size = DP_JOURNAL_SIZE_MIN,
		.random = 12345};
	static const struct dp_stream_ops ops = {on_send, on_send, on_reply, NULL, on_alarm};
	cr_assert_eq(dp_stream_open(&mem->base, &cfg, &ops, NULL, &stream), 0);
}

static void start_lazy(void)
{
	cr_assert_geq(sodium_init(), 0);
	mem = memdisk_new();
	open_lazy();
	dp_stream_start(stream);
	for (unsigned i = 0; i < 10 && dp_stream_core(stream)->state != DP_CORE_OPEN; i++) {
		settle();
		if (last_type == DP_MSG_HELLO)
			leg_welcomes();
	}
	cr_assert_eq(dp_stream_core(stream)->state, DP_CORE_OPEN);
	settle();
}

/* Asked, and not waited for. */
static void submit_big(uint64_t request)
{
	struct dp_buf *data = dp_buf_new(BIG);
	memset(data->data, 1, BIG);
	struct dp_host_request r = {.op = DP_OP_WRITE,
		.length = BIG,
		.client = 1,
		.request = request,
		.payload = data,
		.volume = 1,
		.tag = &answers};
	cr_assert(dp_stream_request(stream, &r));
	dp_stream_flush(stream);
	dp_buf_unref(&data);
}

Test(stream, room_comes_back_for_what_was_released_before_it_was_written)
{
	start_lazy();
	uint64_t room = dp_journal_room(dp_stream_journal(stream));
	for (uint64_t i = 1; i <= 9;
		i++) /* more than half a window: the journal gets all, a group takes a part of it */
		submit_big(i);
	cr_assert_lt(dp_journal_room(dp_stream_journal(stream)), room - 8 * BIG);
	leg_has_all();
	cr_assert_eq(answers, 9);
	settle();
	cr_assert_gt(dp_journal_room(dp_stream_journal(stream)), room - BIG);
	end();
}

/* Its last barrier lands beside what was released before: neither undoes the other. */
Test(stream, a_clean_stop_leaves_a_complete_journal)
{
	start_lazy();
	for (uint64_t i = 1; i <= 8; i++) /* two groups; the last barrier stands in the second */
		submit_big(i);
	leg_has_all();
	dp_stream_drain(stream);
	for (unsigned i = 0; i < 20; i++) { /* no tick any more */
		memdisk_run(mem);
		now += 1000;
		dp_stream_flush(stream);
	}
	cr_assert(dp_stream_drained(stream));
	dp_stream_close(&stream);
	open_lazy();
	cr_assert(dp_stream_core(stream)->log.last.complete);
	end();
}

Test(stream, a_slow_disk_holds_neither_hosts_nor_memory)
{
	start_lazy();
	uint64_t count = 0;
	while (count < 240) { /* seven times the journal */
		for (unsigned i = 0; i < 12; i++)
			submit_big(++count);
		cr_assert_leq(dp_journal_queued(dp_stream_journal(stream)), 8 << 20);
		leg_has_all();
		now += 300000;
		dp_stream_tick(stream);
		cr_assert_eq((uint64_t)answers, count, "a write waits for the journal");
	}
	settle();
	submit_big(++count);
	leg_has_all();
	cr_assert_eq((uint64_t)answers, count);
	end();
}
