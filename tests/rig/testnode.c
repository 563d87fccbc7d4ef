/* SPDX-License-Identifier: MIT */
#include "testnode.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "net/internal.h"

static void on_send_up(void *ctx, struct dp_stream *s, uint32_t peer, struct dp_msg *m)
{
	(void)s;
	dp_links_send_up(((struct testnode *)ctx)->n.links, peer, m);
}

static void on_send_down(void *ctx, struct dp_stream *s, uint32_t link, struct dp_msg *m)
{
	struct testnode *t = ctx;
	(void)s;
	dp_links_send_down(t->n.links, t->cfg.streams[0].links[link], m);
}

static void on_reply(void *ctx, struct dp_stream *s, void *tag, int err, uint64_t set,
	struct dp_buf *data)
{
	struct testnode *t = ctx;
	struct testreply *r = tag;
	(void)s;
	if (r < t->replies || r >= t->replies + 8) {
		hosts_reply(tag, err, set, data);
		return;
	}
	dp_buf_unref(&r->data);
	*r = (struct testreply){r->count + 1, err, set, dp_buf_ref(data)};
}

static void on_alarm(void *ctx, struct dp_stream *s, enum dp_alarm alarm, uint32_t peer)
{
	struct testnode *t = ctx;
	(void)s;
	(void)peer;
	t->alarms++;
	t->alarm = alarm;
}

struct testnode *testnode_new(const char *name, enum dp_core_role role)
{
	struct testnode *t = calloc(1, sizeof *t);
	if (!t || sodium_init() < 0)
		abort();
	t->disk = memdisk_new();
	snprintf(t->cfg.name, sizeof t->cfg.name, "%s", name);
	t->cfg.role = role;
	t->cfg.stream_count = 1;
	struct dp_node_stream *s = &t->cfg.streams[0];
	snprintf(s->name, sizeof s->name, "s");
	s->journal_bytes = DP_JOURNAL_SIZE_MIN;
	s->core = (struct dp_core_config){.stream = TEST_STREAM,
		.config = 1,
		.role = role,
		.image = role == DP_CORE_MIRROR,
		.ack = DP_CORE_LOCAL,
		.flush = DP_CORE_LOCAL,
		.keep_serving = 1,
		.window_bytes = DP_WINDOW_BYTES};
	s->volume_count = 1;
	s->volumes[0] = (struct dp_node_volume){.name = "v", .id = TEST_VOLUME, .size = TEST_SIZE};
	t->n.cfg = &t->cfg;
	t->n.disk = &t->disk->base;
	t->n.host_fd = t->n.control_fd = t->n.signal_fd = -1;
	t->n.start_us = t->n.now_us = node_clock_us();
	t->n.streams[0] = (struct node_stream){.cfg = s, .node = &t->n};
	streams_add(&t->n, 0);
	return t;
}

void testnode_start(struct testnode *t)
{
	static const struct dp_stream_ops ops = {
		on_send_up, on_send_down, on_reply, NULL, on_alarm};
	const struct dp_node_stream *s = &t->cfg.streams[0];
	struct dp_store_volume volume = {.id = TEST_VOLUME, .size = TEST_SIZE, .file = "image.v"};
	struct dp_stream_config sc = {.core = s->core,
		.now_us = &t->n.now_us,
		.journal_file = "journal.s",
		.journal_size = s->journal_bytes,
		.random = 4711,
		.volumes = &volume,
		.volume_count = 1};
	if (dp_stream_open(t->n.disk, &sc, &ops, t, &t->n.streams[0].stream))
		abort();
	dp_stream_start(t->n.streams[0].stream);
}

static void run_disk(struct testnode *t)
{
	if (!t->disk_waits)
		memdisk_run(t->disk);
}

void testnode_turn(struct testnode *t)
{
	struct dp_stream *s = t->n.streams[0].stream;
	t->n.now_us = node_clock_us() + t->ahead_us;
	dp_stream_tick(s);
	run_disk(t);
	if (t->n.links) {
		net_tick(&t->n);
		while (net_receive(&t->n)) {
			dp_stream_flush(s);
			run_disk(t);
			dp_links_flush(t->n.links);
		}
	}
	dp_stream_flush(s);
	run_disk(t);
	conns_flush(&t->n);
	if (t->n.links)
		dp_links_flush(t->n.links);
}

void testnode_free(struct testnode *t)
{
	conns_close(&t->n);
	hosts_close(&t->n);
	lines_close(&t->n);
	net_close(&t->n);
	memdisk_crash(t->disk, NULL, NULL);
	dp_stream_close(&t->n.streams[0].stream);
	for (unsigned i = 0; i < 8; i++)
		dp_buf_unref(&t->replies[i].data);
	memdisk_free(t->disk);
	free(t);
}

const char *testnode_address(struct testnode *t)
{
	static char address[128];
	size_t size = sizeof address;
	if (zmq_getsockopt(t->n.links->above.socket, ZMQ_LAST_ENDPOINT, address, &size))
		abort();
	return address;
}

unsigned testnode_held(const struct testnode *t, unsigned link)
{
	return t->n.links->below[link].out.count;
}
