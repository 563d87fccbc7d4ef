/* SPDX-License-Identifier: MIT */
/* libdipole against a controller that the test plays itself. Most tests are one thread: they
 * submit, read the socket as the controller would, answer, and let the client process. */
#include <criterion/criterion.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/dipole.h"
#include "proto/host.h"

#define VOLUME_SIZE (1u << 20)
#define PATIENCE_MS 10000

struct fake {
	char directory[64], path[96];
	int listener, fd;
	struct dp_channel_volume volume;
	uint64_t client_id;
	struct dipole_client *client;
	int connect_error;
};

struct got {
	struct dp_channel_request request;
	uint8_t *payload; /* belongs to the test */
};

static void fake_listen(struct fake *f)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s", f->path);
	unlink(f->path);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_eq(bind(f->listener, (struct sockaddr *)&a, sizeof a), 0);
	cr_assert_eq(listen(f->listener, 8), 0);
}

static void fake_init(struct fake *f)
{
	*f = (struct fake){
		.fd = -1,
		.volume = {.size = VOLUME_SIZE,
			.max_payload = 65536,
			.max_extent = 1 << 19,
			.max_requests = 16},
	};
	snprintf(f->directory, sizeof f->directory, "/tmp/test_client.XXXXXX");
	cr_assert(mkdtemp(f->directory));
	snprintf(f->path, sizeof f->path, "%s/host", f->directory);
	fake_listen(f);
}

static void fake_free(struct fake *f)
{
	dipole_close(f->client);
	if (f->fd >= 0)
		close(f->fd);
	close(f->listener);
	unlink(f->path);
	rmdir(f->directory);
}

static bool read_all(int fd, void *out, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = recv(fd, (uint8_t *)out + done, size - done, 0);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool write_all(int fd, const void *data, size_t size)
{
	for (size_t done = 0; done < size;) {
		ssize_t n = send(fd, (const uint8_t *)data + done, size - done, MSG_NOSIGNAL);
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return true;
}

static bool take(int fd, struct got *g)
{
	uint8_t header[DP_CHANNEL_REQUEST_SIZE];
	g->payload = NULL;
	if (!read_all(fd, header, sizeof header))
		return false;
	cr_assert_eq(dp_channel_request_decode(header, &g->request), 0);
	g->payload = calloc(1, g->request.payload_len + 1u);
	return read_all(fd, g->payload, g->request.payload_len);
}

static bool reply_with(int fd, const struct dp_channel_reply *reply, const void *payload)
{
	uint8_t header[DP_CHANNEL_REPLY_SIZE];
	dp_channel_reply_encode(reply, header);
	return write_all(fd, header, sizeof header) && write_all(fd, payload, reply->payload_len);
}

static bool reply(int fd, const struct dp_channel_request *r, int error)
{
	struct dp_channel_reply out = {.type = r->type, .error = error, .id = r->id, .set = 7};
	return reply_with(fd, &out, "");
}

static bool reply_data(int fd, const struct dp_channel_request *r, const void *data)
{
	struct dp_channel_reply out = {.type = r->type, .payload_len = r->length, .id = r->id};
	return reply_with(fd, &out, data);
}

static bool hello(struct fake *f, int fd, int error)
{
	struct got g;
	uint8_t payload[DP_CHANNEL_HELLO_SIZE];
	if (!take(fd, &g))
		return false;
	cr_assert_eq(g.request.type, DP_CHANNEL_HELLO);
	cr_assert_str_eq((char *)g.payload, "data");
	free(g.payload);
	if (f->client_id)
		cr_assert_eq(f->client_id, g.request.client, "the client's id changed");
	f->client_id = g.request.client;
	struct dp_channel_reply out = {.type = DP_CHANNEL_HELLO, .error = error};
	out.payload_len = error ? 0 : sizeof payload;
	dp_channel_volume_encode(&f->volume, payload);
	return reply_with(fd, &out, payload);
}

static void *connect_thread(void *arg)
{
	struct fake *f = arg;
	f->connect_error = dipole_connect(f->path, "data", NULL, &f->client);
	return NULL;
}

static void fake_connect(struct fake *f)
{
	pthread_t t;
	cr_assert_eq(pthread_create(&t, NULL, connect_thread, f), 0);
	f->fd = accept(f->listener, NULL, NULL);
	cr_assert(hello(f, f->fd, 0));
	pthread_join(t, NULL);
	cr_assert_eq(f->connect_error, 0);
}

static void start(struct fake *f)
{
	fake_init(f);
	fake_connect(f);
}

static void drop(struct fake *f)
{
	close(f->fd);
	f->fd = -1;
}

static uint64_t connections(struct dipole_client *c)
{
	struct dipole_counters counters;
	dipole_counters(c, &counters);
	return counters.connections;
}

static uint64_t malformed(struct dipole_client *c)
{
	struct dipole_counters counters;
	dipole_counters(c, &counters);
	return counters.malformed_replies;
}

/* Lets the client find out and connect again; the HELLO is answered. */
static void reconnect_as(struct fake *f, int error)
{
	struct pollfd p = {.fd = f->listener, .events = POLLIN};
	while (poll(&p, 1, 0) == 0)
		dipole_process(f->client, PATIENCE_MS);
	f->fd = accept(f->listener, NULL, NULL);
	cr_assert(hello(f, f->fd, error));
}

static void reconnect(struct fake *f)
{
	uint64_t before = connections(f->client);
	reconnect_as(f, 0);
	while (connections(f->client) == before)
		cr_assert_eq(dipole_process(f->client, PATIENCE_MS), 0);
}

struct answers {
	uint64_t ids[64];
	int count;
};

static void note(struct dipole_request *r, void *arg)
{
	struct answers *a = arg;
	a->ids[a->count++] = r->id;
}

static struct dipole_request a_write(uint64_t offset, void *data, uint32_t length)
{
	return (struct dipole_request){
		.op = DIPOLE_WRITE, .offset = offset, .length = length, .buffer = data};
}

static struct dipole_request a_read(uint64_t offset, void *data, uint32_t length)
{
	return (struct dipole_request){
		.op = DIPOLE_READ, .offset = offset, .length = length, .buffer = data};
}

static void process_until(struct fake *f, const struct answers *a, int count)
{
	while (a->count < count)
		cr_assert_eq(dipole_process(f->client, PATIENCE_MS), 0);
}

static void expect(struct fake *f, uint8_t type, uint64_t offset, struct dp_channel_request *out)
{
	struct got g;
	cr_assert(take(f->fd, &g));
	free(g.payload);
	cr_assert_eq(g.request.type, type);
	cr_assert_eq(g.request.offset, offset);
	cr_assert_eq(g.request.client, f->client_id);
	*out = g.request;
}

/* A controller with a disk in memory, in a thread of its own. */
struct server {
	struct fake *fake;
	pthread_t thread;
	uint8_t *disk;
	uint64_t last_id;           /* of mutating requests that were applied */
	int answers_per_connection; /* 0: no limit */
	uint32_t fua_seen, requests_seen;
	bool out_of_order;
};

static void apply(struct server *s, const struct got *g)
{
	const struct dp_channel_request *r = &g->request;
	s->requests_seen++;
	if (r->type == DP_CHANNEL_READ || r->id <= s->last_id)
		return;
	s->last_id = r->id;
	s->fua_seen += r->flags & DP_CHANNEL_FUA;
	if (r->type == DP_CHANNEL_WRITE)
		memcpy(s->disk + r->offset, g->payload, r->length);
	else if (r->type != DP_CHANNEL_FLUSH)
		memset(s->disk + r->offset, 0, r->length);
}

static bool answer(struct server *s, int fd, const struct got *g)
{
	if (g->request.type == DP_CHANNEL_READ)
		return reply_data(fd, &g->request, s->disk + g->request.offset);
	return reply(fd, &g->request, 0);
}

static bool has_input(int fd)
{
	struct pollfd p = {.fd = fd, .events = POLLIN};
	return poll(&p, 1, 0) == 1;
}

/* Answers what has arrived, the latest first. */
static void serve_connection(struct server *s, int fd)
{
	struct got held[16];
	int count = 0, answered = 0;
	while (take(fd, &held[count])) {
		apply(s, &held[count++]);
		if (s->out_of_order && count < 16 && has_input(fd))
			continue;
		while (count > 0) {
			bool ok = answer(s, fd, &held[--count]);
			free(held[count].payload);
			if (!ok || ++answered == s->answers_per_connection)
				goto out;
		}
	}
	free(held[count].payload);
out:
	while (count > 0)
		free(held[--count].payload);
}

static void *serve(void *arg)
{
	struct server *s = arg;
	int fd;
	while ((fd = accept(s->fake->listener, NULL, NULL)) >= 0) {
		if (hello(s->fake, fd, 0))
			serve_connection(s, fd);
		close(fd);
	}
	return NULL;
}

static void server_start(struct server *s, struct fake *f)
{
	fake_init(f);
	s->fake = f;
	s->disk = calloc(1, VOLUME_SIZE);
	cr_assert_eq(pthread_create(&s->thread, NULL, serve, s), 0);
	cr_assert_eq(dipole_connect(f->path, "data", NULL, &f->client), 0);
}

static void server_stop(struct server *s)
{
	dipole_close(s->fake->client);
	s->fake->client = NULL;
	shutdown(s->fake->listener, SHUT_RDWR);
	pthread_join(s->thread, NULL);
	free(s->disk);
	fake_free(s->fake);
}

Test(client, every_operation_round_trips)
{
	struct fake f;
	struct server s = {0};
	uint8_t out[4096], in[4096], zero[4096] = {0};
	server_start(&s, &f);
	memset(out, 0x5a, sizeof out);
	cr_assert_eq(dipole_size(f.client), VOLUME_SIZE);
	cr_assert_eq(dipole_pwrite(f.client, out, sizeof out, 4096, NULL), 0);
	cr_assert_eq(dipole_pread(f.client, in, sizeof in, 4096, NULL), 0);
	cr_assert_arr_eq(in, out, sizeof in);
	cr_assert_eq(dipole_trim(f.client, 1024, 4096, NULL), 0);
	cr_assert_eq(dipole_zero(f.client, 1024, 5120, NULL), 0);
	cr_assert_eq(dipole_flush(f.client, NULL), 0);
	cr_assert_eq(dipole_pread(f.client, in, sizeof in, 4096, NULL), 0);
	cr_assert_arr_eq(in, zero, 2048);
	cr_assert_arr_eq(in + 2048, out, 2048);
	server_stop(&s);
}

Test(client, long_ranges_are_split_with_fua_on_the_last_part)
{
	struct fake f;
	struct server s = {0};
	struct dipole_call call = {.flags = DIPOLE_FUA};
	uint8_t *out = malloc(VOLUME_SIZE), *in = calloc(1, VOLUME_SIZE);
	server_start(&s, &f);
	for (size_t i = 0; i < VOLUME_SIZE; i++)
		out[i] = (uint8_t)(i * 31 + i / 4096);
	cr_assert_eq(dipole_pwrite(f.client, out, VOLUME_SIZE - 5, 5, &call), 0);
	cr_assert_eq(s.requests_seen, 16);
	cr_assert_eq(s.fua_seen, 1);
	cr_assert_eq(dipole_pread(f.client, in, VOLUME_SIZE - 5, 5, NULL), 0);
	cr_assert_eq(memcmp(in, out, VOLUME_SIZE - 5), 0);
	cr_assert_eq(dipole_zero(f.client, VOLUME_SIZE, 0, &call), 0);
	cr_assert_eq(s.requests_seen, 34);
	cr_assert_eq(s.fua_seen, 2);
	server_stop(&s);
	free(out);
	free(in);
}

Test(client, requests_carry_what_was_asked)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen;
	start(&f);
	struct dipole_request r = {
		.op = DIPOLE_ZERO,
		.flags = DIPOLE_FUA,
		.offset = 512,
		.length = 1 << 19,
		.set = 99,
		.callback = note,
		.arg = &a,
	};
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	expect(&f, DP_CHANNEL_ZERO, 512, &seen);
	cr_assert_eq(seen.flags, DP_CHANNEL_FUA);
	cr_assert_eq(seen.length, 1 << 19);
	cr_assert_eq(seen.set, 99);
	reply(f.fd, &seen, ENOSPC);
	process_until(&f, &a, 1);
	cr_assert_eq(r.error, ENOSPC);
	cr_assert_eq(r.result_set, 7);
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	expect(&f, DP_CHANNEL_ZERO, 512, &seen);
	reply(f.fd, &seen, ENOTTY); /* not in the list of errors */
	process_until(&f, &a, 2);
	cr_assert_eq(r.error, EIO);
	fake_free(&f);
}

Test(client, replies_come_in_any_order)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen[8];
	struct dipole_request r[8];
	uint8_t data[8][512];
	start(&f);
	for (uint32_t i = 0; i < 8; i++) {
		r[i] = a_read(512 * i, data[i], 512);
		r[i].callback = note;
		r[i].arg = &a;
		cr_assert_eq(dipole_submit(f.client, &r[i]), 0);
	}
	for (uint32_t i = 0; i < 8; i++)
		expect(&f, DP_CHANNEL_READ, 512 * i, &seen[i]);
	for (int i = 7; i >= 0; i--) {
		uint8_t filled[512];
		memset(filled, i, sizeof filled);
		reply_data(f.fd, &seen[i], filled);
	}
	process_until(&f, &a, 8);
	for (int i = 0; i < 8; i++) {
		cr_assert_eq(a.ids[i], seen[7 - i].id);
		cr_assert_eq(data[i][0], i);
		cr_assert_eq(data[i][511], i);
	}
	fake_free(&f);
}

Test(client, exactly_the_unanswered_are_replayed_in_order)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen[6], again;
	struct dipole_request r[7];
	struct dipole_counters counters;
	uint8_t data[512] = {1};
	start(&f);
	for (uint32_t i = 0; i < 7; i++) {
		r[i] = a_write(512 * i, data, 512);
		r[i].callback = note;
		r[i].arg = &a;
	}
	for (uint32_t i = 0; i < 6; i++) {
		cr_assert_eq(dipole_submit(f.client, &r[i]), 0);
		expect(&f, DP_CHANNEL_WRITE, 512 * i, &seen[i]);
		cr_assert(i == 0 || seen[i].id > seen[i - 1].id);
	}
	reply(f.fd, &seen[4], 0);
	reply(f.fd, &seen[1], 0);
	process_until(&f, &a, 2);
	drop(&f);
	dipole_process(f.client, 0);
	cr_assert_eq(dipole_submit(f.client, &r[6]), 0); /* while there is no connection */
	reconnect(&f);
	static const uint32_t expected[] = {0, 2, 3, 5, 6};
	for (int i = 0; i < 5; i++) {
		expect(&f, DP_CHANNEL_WRITE, 512 * expected[i], &again);
		cr_assert(expected[i] == 6 || again.id == seen[expected[i]].id);
		reply(f.fd, &again, 0);
	}
	cr_assert_not(has_input(f.fd));
	process_until(&f, &a, 7);
	dipole_counters(f.client, &counters);
	cr_assert_eq(counters.replayed, 4);
	fake_free(&f);
}

Test(client, an_absent_controller_is_tried_again)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen;
	uint8_t data[512] = {0};
	start(&f);
	struct dipole_request r = a_write(0, data, sizeof data);
	r.callback = note;
	r.arg = &a;
	close(f.listener);
	unlink(f.path);
	drop(&f);
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(dipole_process(f.client, PATIENCE_MS), 0);
	fake_listen(&f);
	reconnect(&f);
	expect(&f, DP_CHANNEL_WRITE, 0, &seen);
	reply(f.fd, &seen, 0);
	process_until(&f, &a, 1);
	cr_assert_eq(r.error, 0);
	fake_free(&f);
}

static void volume_changed(int error, uint64_t size)
{
	struct fake f;
	struct answers a = {.count = 0};
	uint8_t data[512] = {0};
	start(&f);
	struct dipole_request r = a_write(0, data, sizeof data);
	r.callback = note;
	r.arg = &a;
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	drop(&f);
	f.volume.size = size;
	reconnect_as(&f, error);
	while (a.count == 0)
		dipole_process(f.client, PATIENCE_MS);
	cr_assert_eq(r.error, EIO);
	cr_assert_eq(dipole_submit(f.client, &r), EIO);
	cr_assert_eq(dipole_process(f.client, 0), EIO);
	cr_assert_eq(dipole_pwrite(f.client, data, 512, 0, NULL), EIO);
	cr_assert_eq(dipole_flush(f.client, NULL), EIO);
	fake_free(&f);
}

Test(client, a_volume_that_is_gone_fails_requests)
{
	volume_changed(ENOENT, VOLUME_SIZE);
}

Test(client, a_volume_that_is_smaller_fails_requests)
{
	volume_changed(0, VOLUME_SIZE / 2);
}

/* What was asked for before goes on; what is new is for those who connect from now on. */
Test(client, a_volume_that_has_grown_is_used_as_it_was)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen;
	uint8_t data[512] = {0};
	start(&f);
	struct dipole_request r = a_write(0, data, sizeof data);
	r.callback = note;
	r.arg = &a;
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	drop(&f);
	f.volume.size = 2 * VOLUME_SIZE;
	reconnect(&f);
	expect(&f, DP_CHANNEL_WRITE, 0, &seen);
	reply(f.fd, &seen, 0);
	process_until(&f, &a, 1);
	cr_assert_eq(r.error, 0);
	cr_assert_eq(dipole_size(f.client), VOLUME_SIZE);
	cr_assert_eq(dipole_pwrite(f.client, data, 512, VOLUME_SIZE, NULL), EINVAL);
	fake_free(&f);
}

Test(client, a_starting_controller_is_asked_again)
{
	struct fake f;
	start(&f);
	drop(&f);
	reconnect_as(&f, ESHUTDOWN);
	reconnect(&f);
	cr_assert_eq(connections(f.client), 2);
	fake_free(&f);
}

/* Each bad reply costs the connection; the request is then answered well. */
static void after_bad_reply(const struct dp_channel_reply *bad, uint8_t first_byte, bool own_id)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen;
	struct dp_channel_reply out = *bad;
	uint8_t data[512], header[DP_CHANNEL_REPLY_SIZE];
	start(&f);
	struct dipole_request r = a_read(0, data, sizeof data);
	r.callback = note;
	r.arg = &a;
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	expect(&f, DP_CHANNEL_READ, 0, &seen);
	if (own_id)
		out.id = seen.id;
	dp_channel_reply_encode(&out, header);
	header[0] = first_byte;
	cr_assert(write_all(f.fd, header, sizeof header));
	int old = f.fd;
	reconnect(&f);
	cr_assert_eq(malformed(f.client), 1);
	cr_assert_eq(a.count, 0);
	expect(&f, DP_CHANNEL_READ, 0, &seen);
	reply_data(f.fd, &seen, data);
	process_until(&f, &a, 1);
	cr_assert_eq(r.error, 0);
	close(old);
	fake_free(&f);
}

Test(client, bad_magic_costs_the_connection)
{
	after_bad_reply(&(struct dp_channel_reply){.type = DP_CHANNEL_READ}, 'X', true);
}

Test(client, an_unknown_id_costs_the_connection)
{
	after_bad_reply(&(struct dp_channel_reply){.type = DP_CHANNEL_READ, .id = 12345}, 'D',
		false);
}

Test(client, a_wrong_length_costs_the_connection)
{
	after_bad_reply(&(struct dp_channel_reply){.type = DP_CHANNEL_READ, .payload_len = 511},
		'D', true);
}

Test(client, a_wrong_type_costs_the_connection)
{
	after_bad_reply(&(struct dp_channel_reply){.type = DP_CHANNEL_WRITE}, 'D', true);
}

Test(client, a_reply_in_pieces_is_put_together)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen;
	enum { SIZE = 40000 };
	static uint8_t data[SIZE], message[DP_CHANNEL_REPLY_SIZE + SIZE];
	start(&f);
	struct dipole_request r = a_read(0, data, SIZE);
	r.callback = note;
	r.arg = &a;
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	expect(&f, DP_CHANNEL_READ, 0, &seen);
	struct dp_channel_reply out = {.type = DP_CHANNEL_READ, .payload_len = SIZE, .id = seen.id};
	dp_channel_reply_encode(&out, message);
	for (size_t i = 0; i < SIZE; i++)
		message[DP_CHANNEL_REPLY_SIZE + i] = (uint8_t)(i * 7 + i / 256);
	for (size_t at = 0, step = 1; at < sizeof message; at += step, step = step * 3 / 2 + 1) {
		size_t size = sizeof message - at < step ? sizeof message - at : step;
		cr_assert(write_all(f.fd, message + at, size));
		dipole_process(f.client, 0);
	}
	process_until(&f, &a, 1);
	cr_assert_eq(memcmp(data, message + DP_CHANNEL_REPLY_SIZE, SIZE), 0);
	fake_free(&f);
}

/* A write larger than all socket buffers goes out as the controller takes it. */
Test(client, a_full_socket_does_not_block)
{
	struct fake f;
	struct answers a = {.count = 0};
	static uint8_t data[16][65536];
	struct dipole_request r[16];
	fake_init(&f);
	fake_connect(&f);
	for (uint32_t i = 0; i < 16; i++) {
		memset(data[i], (int)i + 1, sizeof data[i]);
		r[i] = a_write(65536 * i, data[i], 65536);
		r[i].callback = note;
		r[i].arg = &a;
		cr_assert_eq(dipole_submit(f.client, &r[i]), 0);
	}
	struct dipole_request more = a_write(0, data, 512);
	cr_assert_eq(dipole_submit(f.client, &more), EAGAIN);
	for (uint32_t i = 0; i < 16; i++) {
		struct got g;
		while (!has_input(f.fd))
			dipole_process(f.client, PATIENCE_MS);
		uint8_t header[DP_CHANNEL_REQUEST_SIZE], *payload = malloc(65536);
		cr_assert(read_all(f.fd, header, sizeof header));
		cr_assert_eq(dp_channel_request_decode(header, &g.request), 0);
		for (size_t at = 0; at < 65536; at += 4096) {
			dipole_process(f.client, 0);
			cr_assert(read_all(f.fd, payload + at, 4096));
		}
		cr_assert_eq(memcmp(payload, data[i], 65536), 0);
		free(payload);
		reply(f.fd, &g.request, 0);
	}
	process_until(&f, &a, 16);
	cr_assert_eq(dipole_submit(f.client, &more), 0);
	fake_free(&f);
}

Test(client, requests_beyond_the_limits_are_refused)
{
	struct fake f;
	uint8_t data[512];
	start(&f);
	struct dipole_request bad[] = {
		{.op = DIPOLE_WRITE, .length = 65537, .buffer = data},
		{.op = DIPOLE_READ, .length = 65537, .buffer = data},
		{.op = DIPOLE_TRIM, .length = (1 << 19) + 1},
		{.op = DIPOLE_READ, .offset = VOLUME_SIZE, .length = 1, .buffer = data},
		{.op = DIPOLE_READ, .offset = UINT64_MAX, .length = 2, .buffer = data},
		{.op = DIPOLE_WRITE, .offset = VOLUME_SIZE - 1, .length = 2, .buffer = data},
		{.op = DIPOLE_WRITE, .length = 512},
		{.op = DIPOLE_READ, .length = 0, .buffer = data},
		{.op = DIPOLE_READ, .flags = DIPOLE_FUA, .length = 1, .buffer = data},
		{.op = DIPOLE_WRITE, .flags = 2, .length = 1, .buffer = data},
		{.op = DIPOLE_FLUSH, .length = 1},
		{.op = (enum dipole_op)9, .length = 1},
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		cr_assert_eq(dipole_submit(f.client, &bad[i]), EINVAL, "case %zu", i);
	cr_assert_eq(dipole_pwrite(f.client, data, 2, VOLUME_SIZE - 1, NULL), EINVAL);
	cr_assert_not(has_input(f.fd));
	fake_free(&f);
}

static int give_up(void *arg)
{
	(*(int *)arg)++;
	return 1;
}

Test(client, an_interrupted_wait_abandons_the_request)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen, next;
	int asked = 0;
	uint8_t data[512], untouched[512], payload[512];
	start(&f);
	memset(data, 1, sizeof data);
	memset(untouched, 1, sizeof untouched);
	memset(payload, 2, sizeof payload);
	struct dipole_request r = a_read(0, data, sizeof data);
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	cr_assert_eq(dipole_wait(f.client, &r, give_up, &asked), ESHUTDOWN);
	cr_assert_eq(asked, 1);
	expect(&f, DP_CHANNEL_READ, 0, &seen);
	reply_data(f.fd, &seen, payload);
	struct dipole_request w = a_write(0, payload, sizeof payload);
	w.callback = note;
	w.arg = &a;
	cr_assert_eq(dipole_submit(f.client, &w), 0);
	expect(&f, DP_CHANNEL_WRITE, 0, &next);
	reply(f.fd, &next, 0);
	process_until(&f, &a, 1);
	cr_assert_arr_eq(data, untouched, sizeof data);
	cr_assert_eq(malformed(f.client), 0);
	cr_assert_eq(dipole_abandon(f.client, &w), EINVAL);
	fake_free(&f);
}

Test(client, a_read_abandoned_half_way_is_not_written_to)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen, next;
	enum { SIZE = 60000 };
	static uint8_t message[DP_CHANNEL_REPLY_SIZE + SIZE];
	uint8_t *data = calloc(1, SIZE);
	start(&f);
	struct dipole_request r = a_read(0, data, SIZE);
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	expect(&f, DP_CHANNEL_READ, 0, &seen);
	struct dp_channel_reply out = {.type = DP_CHANNEL_READ, .payload_len = SIZE, .id = seen.id};
	memset(message, 3, sizeof message);
	dp_channel_reply_encode(&out, message);
	cr_assert(write_all(f.fd, message, 30000));
	for (int i = 0; i < 4; i++)
		dipole_process(f.client, 0);
	cr_assert_eq(data[20000], 3);
	cr_assert_eq(dipole_abandon(f.client, &r), 0);
	free(data); /* the address sanitizer watches */
	cr_assert(write_all(f.fd, message + 30000, sizeof message - 30000));
	struct dipole_request w = {.op = DIPOLE_FLUSH, .callback = note, .arg = &a};
	cr_assert_eq(dipole_submit(f.client, &w), 0);
	expect(&f, DP_CHANNEL_FLUSH, 0, &next);
	reply(f.fd, &next, 0);
	process_until(&f, &a, 1);
	cr_assert_eq(connections(f.client), 1);
	fake_free(&f);
}

Test(client, abandoned_requests_are_not_replayed)
{
	struct fake f;
	struct answers a = {.count = 0};
	struct dp_channel_request seen;
	uint8_t data[3][512] = {{0}};
	struct dipole_request r[3];
	start(&f);
	for (uint32_t i = 0; i < 3; i++) {
		r[i] = a_write(512 * i, data[i], 512);
		r[i].callback = note;
		r[i].arg = &a;
		cr_assert_eq(dipole_submit(f.client, &r[i]), 0);
	}
	cr_assert_eq(dipole_abandon(f.client, &r[1]), 0);
	drop(&f);
	reconnect(&f);
	expect(&f, DP_CHANNEL_WRITE, 0, &seen);
	reply(f.fd, &seen, 0);
	expect(&f, DP_CHANNEL_WRITE, 1024, &seen);
	reply(f.fd, &seen, 0);
	process_until(&f, &a, 2);
	cr_assert_eq(a.count, 2);
	fake_free(&f);
}

/* Behind half a request nothing can follow: the connection is given up, the rest replayed. */
Test(client, a_half_sent_write_can_be_abandoned)
{
	struct fake f;
	struct answers a = {.count = 0};
	static uint8_t data[65536];
	struct dipole_request r[64];
	struct dp_channel_request seen;
	fake_init(&f);
	f.volume.max_requests = 64;
	fake_connect(&f);
	for (uint32_t i = 0; i < 64; i++) {
		r[i] = a_write(0, data, sizeof data);
		r[i].callback = note;
		r[i].arg = &a;
		cr_assert_eq(dipole_submit(f.client, &r[i]), 0);
	}
	uint64_t kept = r[63].id;
	for (uint32_t i = 0; i < 63; i++)
		cr_assert_eq(dipole_abandon(f.client, &r[i]), 0);
	int old = f.fd;
	reconnect(&f);
	while (!has_input(f.fd))
		dipole_process(f.client, PATIENCE_MS);
	expect(&f, DP_CHANNEL_WRITE, 0, &seen);
	cr_assert_eq(seen.id, kept);
	reply(f.fd, &seen, 0);
	process_until(&f, &a, 1);
	close(old);
	fake_free(&f);
}

Test(client, closing_ends_requests)
{
	struct fake f;
	struct answers a = {.count = 0};
	uint8_t data[512] = {0};
	start(&f);
	struct dipole_request r = a_write(0, data, sizeof data);
	r.callback = note;
	r.arg = &a;
	cr_assert_eq(dipole_submit(f.client, &r), 0);
	dipole_close(f.client);
	f.client = NULL;
	cr_assert_eq(a.count, 1);
	cr_assert_eq(r.error, ESHUTDOWN);
	fake_free(&f);
}

Test(client, connecting_to_nothing_times_out_clearly)
{
	char message[200];
	struct dipole_client *c;
	struct dipole_options o = {
		.timeout_ms = 120, .message = message, .message_size = sizeof message};
	cr_assert_eq(dipole_connect("/nonexistent/host", "data", &o, &c), ETIMEDOUT);
	cr_assert_null(c);
	cr_assert(strstr(message, "/nonexistent/host"));
	cr_assert(strstr(message, "No such file"));
	cr_assert_eq(dipole_connect("", "data", &o, &c), EINVAL);
	cr_assert_eq(dipole_connect("/nonexistent/host", "", &o, &c), EINVAL);
}

Test(client, a_silent_controller_times_out)
{
	struct fake f;
	char message[200];
	struct dipole_options o = {
		.timeout_ms = 50, .message = message, .message_size = sizeof message};
	fake_init(&f);
	cr_assert_eq(dipole_connect(f.path, "data", &o, &f.client), ETIMEDOUT);
	cr_assert(strstr(message, "said nothing"), "%s", message);
	fake_free(&f);
}

static void *refuse_once(void *arg)
{
	struct fake *f = arg;
	f->fd = accept(f->listener, NULL, NULL);
	hello(f, f->fd, ENOENT);
	return NULL;
}

Test(client, an_unknown_volume_is_said_so)
{
	struct fake f;
	pthread_t t;
	char message[200];
	struct dipole_options o = {.message = message, .message_size = sizeof message};
	fake_init(&f);
	pthread_create(&t, NULL, refuse_once, &f);
	cr_assert_eq(dipole_connect(f.path, "data", &o, &f.client), ENOENT);
	pthread_join(t, NULL);
	cr_assert(strstr(message, "no volume \"data\""), "%s", message);
	fake_free(&f);
}

static void *list_once(void *arg)
{
	static const char names[] = "data\0log\0orders";
	struct fake *f = arg;
	struct got g;
	f->fd = accept(f->listener, NULL, NULL);
	take(f->fd, &g);
	free(g.payload);
	struct dp_channel_reply out = {.type = DP_CHANNEL_LIST, .payload_len = sizeof names};
	reply_with(f->fd, &out, names);
	return NULL;
}

Test(client, volumes_are_listed)
{
	struct fake f;
	pthread_t t;
	char **names;
	fake_init(&f);
	pthread_create(&t, NULL, list_once, &f);
	cr_assert_eq(dipole_list_volumes(f.path, PATIENCE_MS, &names), 0);
	pthread_join(t, NULL);
	cr_assert_str_eq(names[0], "data");
	cr_assert_str_eq(names[1], "log");
	cr_assert_str_eq(names[2], "orders");
	cr_assert_null(names[3]);
	free(names);
	cr_assert_eq(dipole_list_volumes("/nonexistent/host", 60, &names), ETIMEDOUT);
	fake_free(&f);
}

/* Threads with a region each: what they read is what they wrote last. */
struct worker {
	pthread_t thread;
	struct dipole_client *client;
	unsigned number, rounds, failures;
	uint32_t size;
};

static void *work(void *arg)
{
	struct worker *w = arg;
	uint64_t offset = w->number * (uint64_t)w->size;
	uint8_t *out = malloc(w->size), *in = malloc(w->size);
	for (unsigned i = 0; i < w->rounds; i++) {
		memset(out, (int)(w->number * 16 + i), w->size);
		w->failures += dipole_pwrite(w->client, out, w->size, offset, NULL) != 0;
		w->failures += dipole_pread(w->client, in, w->size, offset, NULL) != 0;
		w->failures += memcmp(in, out, w->size) != 0;
		if (i % 16 == 0)
			w->failures += dipole_flush(w->client, NULL) != 0;
	}
	free(out);
	free(in);
	return NULL;
}

static void many_threads(struct server *s, unsigned rounds, uint32_t size)
{
	enum { COUNT = 32 };
	struct fake f;
	struct worker w[COUNT];
	server_start(s, &f);
	for (unsigned i = 0; i < COUNT; i++) {
		w[i] = (struct worker){
			.client = f.client, .number = i, .rounds = rounds, .size = size};
		pthread_create(&w[i].thread, NULL, work, &w[i]);
	}
	for (unsigned i = 0; i < COUNT; i++) {
		pthread_join(w[i].thread, NULL);
		cr_assert_eq(w[i].failures, 0, "thread %u", i);
	}
	cr_assert_eq(malformed(f.client), 0);
	server_stop(s);
}

/* More threads than max_requests: they also wait for room. */
Test(client, many_threads_wait_at_once, .timeout = 60)
{
	struct server s = {.out_of_order = true};
	many_threads(&s, 200, 2048);
}

Test(client, many_threads_with_long_payloads, .timeout = 60)
{
	struct server s = {.out_of_order = true};
	many_threads(&s, 40, 32768);
}

Test(client, many_threads_ride_through_lost_connections, .timeout = 60)
{
	struct server s = {.out_of_order = true, .answers_per_connection = 97};
	many_threads(&s, 100, 8192);
}

static void *poll_and_process(void *arg)
{
	struct worker *w = arg;
	struct answers a = {.count = 0};
	struct dipole_request r = {.op = DIPOLE_FLUSH, .callback = note, .arg = &a};
	struct pollfd p = {.fd = dipole_fd(w->client), .events = POLLIN};
	for (unsigned i = 0; i < w->rounds; i++) {
		a.count = 0;
		w->failures += dipole_submit(w->client, &r) != 0;
		while (__atomic_load_n(&r.state, __ATOMIC_ACQUIRE) == 0 || a.count == 0) {
			poll(&p, 1, PATIENCE_MS);
			w->failures += dipole_process(w->client, 0) != 0;
		}
	}
	return NULL;
}

Test(client, an_event_loop_needs_only_the_descriptor)
{
	struct fake f;
	struct server s = {.answers_per_connection = 50};
	server_start(&s, &f);
	struct worker w = {.client = f.client, .rounds = 200};
	poll_and_process(&w);
	cr_assert_eq(w.failures, 0);
	cr_assert_geq(connections(f.client), 4);
	server_stop(&s);
}

Test(client, the_version_is_told)
{
	cr_assert(strlen(dipole_version()) > 0);
}
