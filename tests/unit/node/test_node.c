/* SPDX-License-Identifier: MIT */
/* A daemon's own sockets: what the `dipole` command asks, what a host sends, and the loop itself
 * from its start to its end. */
#include <criterion/criterion.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "client/dipole.h"
#include "node/logjson.h"
#include "proto/host.h"
#include "testnode.h"

#define LIMIT_US 10000000

static char scratch[] = "/tmp/dipole-test-node-XXXXXX";

static void make_scratch(void)
{
	cr_assert_not_null(mkdtemp(scratch));
}

static void remove_scratch(void)
{
	char command[64];
	snprintf(command, sizeof command, "rm -rf %s", scratch);
	cr_assert_eq(system(command), 0);
}

static const struct dp_core *core(const struct testnode *t)
{
	return dp_stream_core(t->n.streams[0].stream);
}

/* A controller that is its own and only copy, so that it needs nobody. */
static struct testnode *new_controller(void)
{
	struct testnode *t = testnode_new("nwk", DP_CORE_CONTROLLER);
	t->cfg.state = scratch;
	t->cfg.streams[0].core.image = true;
	testnode_start(t);
	return t;
}

static struct testnode *open_controller(void)
{
	struct testnode *t = new_controller();
	testnode_turn(t);
	cr_assert_eq(core(t)->state, DP_CORE_OPEN);
	return t;
}

static void submit_block(struct testnode *t, struct testreply *r, uint64_t offset, uint8_t byte)
{
	static uint64_t request;
	struct dp_buf *payload = dp_buf_new(4096);
	memset(payload->data, byte, 4096);
	struct dp_host_request h = {.tag = r,
		.op = DP_OP_WRITE,
		.volume = TEST_VOLUME,
		.client = 3,
		.request = ++request,
		.offset = offset,
		.length = 4096,
		.payload = payload};
	cr_assert(dp_stream_request(t->n.streams[0].stream, &h));
	dp_buf_unref(&payload);
}

static void write_block(struct testnode *t, uint64_t offset, uint8_t byte)
{
	struct testreply *r = &t->replies[0];
	unsigned before = r->count;
	submit_block(t, r, offset, byte);
	for (unsigned i = 0; i < 10 && r->count == before; i++)
		testnode_turn(t);
	cr_assert(r->count == before + 1 && r->err == 0);
}

/* ---- group commit ---- */

/* Submits `count` blocks at a time of the test's choice; true: a commit has started. */
static bool commit_starts(struct testnode *t, unsigned count, uint64_t now_us)
{
	struct dp_stream *s = t->n.streams[0].stream;
	t->n.now_us = now_us;
	for (unsigned i = 0; i < count; i++)
		submit_block(t, &t->replies[1], 4096 * i, 1);
	dp_stream_flush(s);
	return t->disk->count > 0;
}

Test(group_commit, waits_for_as_many_as_the_last_had)
{
	struct testnode *t = open_controller();
	struct dp_stream *s = t->n.streams[0].stream;
	uint64_t now = t->n.now_us + 1000;
	cr_assert(commit_starts(t, 3, now));
	memdisk_run(t->disk);
	cr_assert(!commit_starts(t, 1, now), "a third of the last group does not wait");
	cr_assert_eq(dp_stream_wake_us(s), now + 250);
	cr_assert(!commit_starts(t, 1, now + 100));
	cr_assert(commit_starts(t, 1, now + 101), "it waits though there are three again");
	memdisk_run(t->disk);
	cr_assert(!commit_starts(t, 2, now + 350));
	cr_assert(commit_starts(t, 0, now + 351), "it waits for ever");
	memdisk_run(t->disk);
	cr_assert_eq(t->replies[1].count, 8);
	testnode_free(t);
}

/* While the last group took long, the next one has gathered. */
Test(group_commit, waits_for_nothing_on_a_slow_disk)
{
	struct testnode *t = open_controller();
	uint64_t now = t->n.now_us + 1000;
	cr_assert(commit_starts(t, 3, now));
	t->n.now_us = now + 250;
	memdisk_run(t->disk);
	cr_assert(commit_starts(t, 1, now + 250));
	memdisk_run(t->disk);
	testnode_free(t);
}

Test(group_commit, begins_beside_one_that_takes_long)
{
	struct testnode *t = open_controller();
	uint64_t now = t->n.now_us + 1000;
	cr_assert(commit_starts(t, 1, now));
	commit_starts(t, 1, now + 249);
	cr_assert_eq(t->disk->count, 1, "it does not wait for more to join it");
	cr_assert_eq(dp_stream_wake_us(t->n.streams[0].stream), now + 250);
	commit_starts(t, 0, now + 250);
	cr_assert_eq(t->disk->count, 2, "it waits for the first one");
	memdisk_run(t->disk);
	cr_assert_eq(t->replies[1].count, 2);
	testnode_free(t);
}

Test(group_commit, lets_a_lone_writer_go_on)
{
	struct testnode *t = open_controller();
	uint64_t now = t->n.now_us + 1000;
	for (unsigned i = 0; i < 3; i++) {
		cr_assert(commit_starts(t, 1, now));
		memdisk_run(t->disk);
		cr_assert_eq(dp_stream_wake_us(t->n.streams[0].stream), UINT64_MAX);
	}
	testnode_free(t);
}

/* ---- what the command asks ---- */

static json_t *ask(struct testnode *t, const char *text)
{
	json_t *request = json_loads(text, 0, NULL);
	cr_assert_not_null(request, "%s", text);
	json_t *answer = control_answer(&t->n, request, DP_RIGHTS_ADMINISTER);
	json_decref(request);
	cr_assert(json_is_object(answer));
	return answer;
}

static void check_refused(struct testnode *t, const char *text, const char *why)
{
	json_t *answer = ask(t, text);
	const char *error = json_string_value(json_object_get(answer, "error"));
	cr_assert(json_is_false(json_object_get(answer, "ok")), "%s is accepted", text);
	cr_assert(error && strstr(error, why), "%s: \"%s\" does not say %s", text, error, why);
	json_decref(answer);
}

static uint64_t number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	cr_assert(json_is_integer(value), "\"%s\" is no number", key);
	return (uint64_t)json_integer_value(value);
}

static void check_text(const json_t *object, const char *key, const char *want)
{
	const char *have = json_string_value(json_object_get(object, key));
	cr_assert(have && strcmp(have, want) == 0, "%s is %s", key, have ? have : "missing");
}

Test(control, what_is_no_request_is_refused)
{
	struct testnode *t = open_controller();
	json_t *answer = control_answer(&t->n, NULL,
		DP_RIGHTS_ADMINISTER); /* a line that is no JSON */
	cr_assert(json_is_false(json_object_get(answer, "ok")));
	json_decref(answer);
	check_refused(t, "{}", "\"cmd\"");
	check_refused(t, "[1]", "\"cmd\"");
	check_refused(t, "{\"cmd\": 7}", "\"cmd\"");
	check_refused(t, "{\"cmd\": \"\"}", "unknown");
	check_refused(t, "{\"cmd\": \"statuss\"}", "unknown");
	check_refused(t, "{\"cmd\": \"sets\"}", "no such stream");
	check_refused(t, "{\"cmd\": \"sets\", \"stream\": \"x\"}", "no such stream");
	check_refused(t, "{\"cmd\": \"sets\", \"stream\": []}", "no such stream");
	check_refused(t, "{\"cmd\": \"mark\"}", "no such volume");
	check_refused(t, "{\"cmd\": \"mark\", \"volume\": \"vv\"}", "no such volume");
	check_refused(t, "{\"cmd\": \"digest\"}", "\"mark\"");
	check_refused(t, "{\"cmd\": \"digest\", \"mark\": 5}", "\"mark\"");
	testnode_free(t);
}

Test(control, status_of_a_controller)
{
	struct testnode *t = open_controller();
	t->n.bad_messages = 3;
	t->n.refused_keys = 4;
	for (unsigned i = 0; i < 3; i++)
		write_block(t, i * 4096, 7);
	json_t *answer = ask(t, "{\"cmd\": \"status\"}");
	cr_assert(json_is_true(json_object_get(answer, "ok")));
	check_text(answer, "node", "nwk");
	check_text(answer, "role", "controller");
	check_text(answer, "version", DIPOLE_VERSION);
	cr_assert(number(answer, "bad_messages") == 3 && number(answer, "refused_keys") == 4);
	cr_assert_eq(number(answer, "pid"), (uint64_t)getpid());
	cr_assert_lt(number(answer, "uptime_us"), LIMIT_US);
	cr_assert_eq(json_array_size(json_object_get(answer, "streams")), 1);
	const json_t *s = json_array_get(json_object_get(answer, "streams"), 0);
	check_text(s, "name", "s");
	check_text(s, "state", "Open");
	cr_assert_eq(number(s, "epoch"), 1);
	cr_assert(number(s, "last") == 3 && number(s, "durable") == 3 && number(s, "agreed") == 3);
	cr_assert(number(s, "acked_requests") == 3 && number(s, "waiting_requests") == 0);
	cr_assert_eq(number(s, "set"), 1);
	const json_t *j = json_object_get(s, "journal");
	cr_assert(number(j, "size_bytes") > 0 && number(j, "size_bytes") <= DP_JOURNAL_SIZE_MIN);
	cr_assert(number(j, "used_bytes") > 0 && number(j, "records") == 3);
	cr_assert_eq(number(json_object_get(s, "ack_latency"), "count"), 3);
	cr_assert_eq(number(json_object_get(s, "flush_latency"), "count"), 0);
	cr_assert_eq(json_array_size(json_object_get(s, "links")), 0);
	const json_t *v = json_array_get(json_object_get(s, "volumes"), 0);
	check_text(v, "name", "v");
	cr_assert_eq(number(v, "size_bytes"), TEST_SIZE);
	cr_assert_eq(json_array_size(json_object_get(s, "alarms")), 0);
	cr_assert_null(json_object_get(s, "upstream"));
	json_decref(answer);
	testnode_free(t);
}

Test(control, status_of_a_relay_with_a_link)
{
	struct testnode *t = testnode_new("relay", DP_CORE_RELAY);
	struct dp_node_stream *s = &t->cfg.streams[0];
	snprintf(s->upstream, sizeof s->upstream, "nwk");
	snprintf(s->legs[0], sizeof s->legs[0], "east");
	snprintf(t->cfg.links[0].peer, sizeof t->cfg.links[0].peer, "far");
	snprintf(t->cfg.links[0].address, sizeof t->cfg.links[0].address, "tcp://127.0.0.1:1");
	t->cfg.link_count = s->core.down_count = 1;
	cr_assert_eq(net_open(&t->n), 0);
	testnode_start(t);
	testnode_turn(t);
	json_t *answer = ask(t, "{\"cmd\": \"status\"}");
	check_text(answer, "role", "relay");
	const json_t *stream = json_array_get(json_object_get(answer, "streams"), 0);
	check_text(stream, "state", "Recovering");
	check_text(json_object_get(stream, "upstream"), "peer", "nwk");
	check_text(json_object_get(stream, "upstream"), "state", "Connecting");
	cr_assert_null(json_object_get(stream, "ack_latency"));
	const json_t *link = json_array_get(json_object_get(stream, "links"), 0);
	check_text(link, "leg", "east");
	check_text(link, "peer", "far");
	check_text(link, "state", "Connecting");
	cr_assert(number(link, "sent") == 0 && number(link, "cached") == 0);
	json_decref(answer);
	/* What only a controller can say. */
	check_refused(t, "{\"cmd\": \"sets\", \"stream\": \"s\"}", "controller");
	check_refused(t, "{\"cmd\": \"mark\", \"volume\": \"v\"}", "controller");
	answer = ask(t, "{\"cmd\": \"digest\", \"mark\": \"1\"}");
	cr_assert(json_is_false(json_object_get(answer, "done")), "a relay has no images");
	json_decref(answer);
	testnode_free(t);
}

/* The newest are kept, and told oldest first. */
Test(control, alarms)
{
	struct testnode *t = open_controller();
	struct node_stream *s = &t->n.streams[0];
	for (unsigned i = 0; i < NODE_ALARMS_MAX + 5; i++) {
		struct alarm *a = &s->alarms[s->alarm_count++ % NODE_ALARMS_MAX];
		a->time_us = 1000 + i;
		a->alarm = DP_ALARM_LEG_IN;
		snprintf(a->text, sizeof a->text, "alarm %u", i);
	}
	json_t *answer = ask(t, "{\"cmd\": \"status\"}");
	const json_t *stream = json_array_get(json_object_get(answer, "streams"), 0);
	const json_t *alarms = json_object_get(stream, "alarms");
	cr_assert_eq(json_array_size(alarms), NODE_ALARMS_MAX);
	for (unsigned i = 0; i < NODE_ALARMS_MAX; i++) {
		char text[32];
		snprintf(text, sizeof text, "alarm %u", i + 5);
		check_text(json_array_get(alarms, i), "text", text);
		check_text(json_array_get(alarms, i), "id", "leg-out-of-sync");
		check_text(json_array_get(alarms, i), "severity", "notice");
		check_text(json_array_get(alarms, i), "kind", "cleared");
		cr_assert_eq(number(json_array_get(alarms, i), "time_us"), 1005 + i);
	}
	json_decref(answer);
	testnode_free(t);
}

Test(control, write_sets)
{
	struct testnode *t = open_controller();
	write_block(t, 0, 1);
	struct dp_host_request flush = {
		.tag = &t->replies[1], .op = DP_OP_FLUSH, .client = 3, .request = 100};
	cr_assert(dp_stream_request(t->n.streams[0].stream, &flush));
	testnode_turn(t);
	cr_assert_eq(t->replies[1].set, 1);
	struct dp_host_request trim = {.tag = &t->replies[2],
		.op = DP_OP_TRIM,
		.volume = TEST_VOLUME,
		.length = 512,
		.client = 3,
		.request = 101};
	cr_assert(dp_stream_request(t->n.streams[0].stream, &trim));
	testnode_turn(t);
	json_t *answer = ask(t, "{\"cmd\": \"sets\", \"stream\": \"s\"}");
	cr_assert(json_is_true(json_object_get(answer, "ok")));
	const json_t *sets = json_object_get(answer, "sets");
	cr_assert_eq(json_array_size(sets), 2);
	const json_t *first = json_array_get(sets, 0), *second = json_array_get(sets, 1);
	check_text(first, "state", "committed");
	cr_assert(number(first, "first_id") == 1 && number(first, "last_id") == 1);
	cr_assert(number(first, "first_seq") == 1 && number(first, "last_seq") == 2);
	check_text(second, "state", "open");
	cr_assert(number(second, "first_id") == 2 && number(second, "first_seq") == 3);
	cr_assert_eq(number(answer, "committed"), 3);
	json_decref(answer);
	testnode_free(t);
}

Test(control, a_mark_gives_a_digest)
{
	struct testnode *t = open_controller();
	write_block(t, 8192, 0x77);
	json_t *mark = ask(t, "{\"cmd\": \"mark\", \"volume\": \"v\"}");
	cr_assert(json_is_true(json_object_get(mark, "ok")));
	uint64_t seq = number(mark, "seq");
	cr_assert_eq(seq, 2);
	char request[128];
	snprintf(request, sizeof request, "{\"cmd\": \"digest\", \"mark\": \"%s\"}",
		json_string_value(json_object_get(mark, "mark")));
	json_t *answer = ask(t, request);
	cr_assert(json_is_true(json_object_get(answer, "ok")));
	cr_assert(json_is_false(json_object_get(answer, "done")), "the mark is not agreed yet");
	json_decref(answer);
	write_block(t, 0, 0x11); /* behind the mark */
	for (unsigned i = 0; i < 5; i++)
		testnode_turn(t);
	answer = ask(t, request);
	cr_assert(json_is_true(json_object_get(answer, "done")));
	cr_assert(number(answer, "seq") == seq && number(answer, "epoch") == 1);
	uint8_t text[8 + 65536] = {0}, hash[16];
	char hex[33];
	memset(text + 8 + 8192, 0x77, 4096); /* block 0 behind its index; all others are zeros */
	crypto_generichash(hash, sizeof hash, text, sizeof text, NULL, 0);
	check_text(answer, "digest", sodium_bin2hex(hex, sizeof hex, hash, sizeof hash));
	json_decref(answer);
	json_decref(mark);
	testnode_free(t);
}

Test(control, marks_do_not_pile_up)
{
	struct testnode *t = testnode_new("nwk", DP_CORE_CONTROLLER); /* without images to digest */
	testnode_start(t); /* and not open yet: they wait */
	for (unsigned i = 0; i < DP_HOST_REQUESTS_MAX; i++) {
		json_t *answer = ask(t, "{\"cmd\": \"mark\", \"volume\": \"v\"}");
		cr_assert(json_is_true(json_object_get(answer, "ok")), "mark %u", i);
		json_decref(answer);
	}
	check_refused(t, "{\"cmd\": \"mark\", \"volume\": \"v\"}", "too many");
	for (unsigned i = 0; i < 5; i++)
		testnode_turn(t);
	cr_assert_eq(core(t)->log.last.at.seq, DP_HOST_REQUESTS_MAX);
	testnode_free(t);
}

/* ---- the sockets ---- */

static char *path_of(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", scratch, name);
	return path;
}

static int dial(const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", scratch, name);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(connect(fd, (struct sockaddr *)&a, sizeof a), 0, "%s", strerror(errno));
	return fd;
}

static int open_local_sockets(struct testnode *t)
{
	int err = lines_open(&t->n);
	return err ? err : hosts_open(&t->n);
}

static struct testnode *listening_controller(void)
{
	struct testnode *t = open_controller();
	cr_assert_eq(open_local_sockets(t), 0);
	return t;
}

/* What the loop does with its connections. */
static void look(struct testnode *t)
{
	struct node *n = &t->n;
	struct pollfd fds[2 + CONNS_MAX];
	fds[0] = (struct pollfd){.fd = n->control_fd, .events = POLLIN};
	fds[1] = (struct pollfd){.fd = n->host_fd, .events = POLLIN};
	unsigned conns = conns_watch(n, fds + 2);
	poll(fds, 2 + conns, 0);
	conns_ready(n, fds + 2, conns);
	testnode_turn(t);
	if (fds[0].revents)
		lines_accept(n);
	if (fds[1].revents)
		hosts_accept(n);
}

/* Exactly `size` bytes; less: the connection has ended. */
static size_t take(struct testnode *t, int fd, void *to, size_t size)
{
	uint64_t end = node_clock_us() + LIMIT_US;
	size_t got = 0;
	while (got < size) {
		cr_assert_lt(node_clock_us(), end, "%zu bytes instead of %zu", got, size);
		look(t);
		ssize_t r = recv(fd, (char *)to + got, size - got, MSG_DONTWAIT);
		if (r == 0 || (r < 0 && errno != EAGAIN))
			break;
		got += r > 0 ? (size_t)r : 0;
	}
	return got;
}

static bool is_closed(struct testnode *t, int fd)
{
	char byte;
	return take(t, fd, &byte, 1) == 0;
}

static void give(struct testnode *t, int fd, const void *data, size_t size)
{
	for (size_t at = 0; at < size;) {
		const char *from = (const char *)data + at;
		ssize_t sent = send(fd, from, size - at, MSG_NOSIGNAL | MSG_DONTWAIT);
		cr_assert(sent > 0 || errno == EAGAIN, "%s", strerror(errno));
		if (sent < 0)
			look(t);
		else
			at += (size_t)sent;
	}
}

static json_t *take_line(struct testnode *t, int fd)
{
	static char line[DP_CONTROL_LINE_MAX];
	size_t used = 0;
	do {
		cr_assert_eq(take(t, fd, line + used, 1), 1, "it hangs up");
	} while (line[used++] != '\n');
	json_t *answer = json_loadb(line, used, 0, NULL);
	cr_assert(json_is_object(answer), "%.*s", (int)used, line);
	return answer;
}

static void expect_line(struct testnode *t, int fd, bool ok)
{
	json_t *answer = take_line(t, fd);
	cr_assert_eq(json_is_true(json_object_get(answer, "ok")), ok);
	json_decref(answer);
}

#define STATUS "{\"cmd\": \"status\"}\n"

Test(sockets, belong_to_the_node_alone, .init = make_scratch, .fini = remove_scratch)
{
	static const char *const names[] = {"control.sock", "host.sock"};
	struct testnode *t = listening_controller();
	for (unsigned i = 0; i < 2; i++) {
		struct stat st;
		cr_assert_eq(stat(path_of(names[i]), &st), 0);
		cr_assert(S_ISSOCK(st.st_mode));
		cr_assert_eq(st.st_mode & 0777, 0700 & ~0077);
	}
	testnode_free(t);
	t = listening_controller(); /* what an earlier process left is no hindrance */
	close(dial("control.sock"));
	testnode_free(t);
	t = testnode_new("east", DP_CORE_MIRROR);
	t->cfg.state = scratch;
	testnode_start(t);
	unlink(path_of("host.sock"));
	cr_assert_eq(open_local_sockets(t), 0);
	cr_assert_neq(access(path_of("host.sock"), F_OK), 0, "a mirror has no hosts");
	testnode_free(t);
}

Test(sockets, too_long_a_path_is_a_mistake_of_the_configuration)
{
	char longest[CONN_PATH_MAX + 10];
	struct testnode *t = open_controller();
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	t->cfg.state = longest;
	cr_assert_eq(open_local_sockets(t), DP_ECONFIG);
	testnode_free(t);
}

Test(lines, however_they_arrive, .init = make_scratch, .fini = remove_scratch)
{
	static const char four[] = STATUS "garbage\n{\"cmd\":\n" STATUS;
	struct testnode *t = listening_controller();
	int fd = dial("control.sock");
	give(t, fd, four, sizeof four - 1);
	expect_line(t, fd, true);
	expect_line(t, fd, false);
	expect_line(t, fd, false);
	expect_line(t, fd, true);
	for (const char *c = STATUS; *c; c++) {
		give(t, fd, c, 1);
		look(t);
	}
	expect_line(t, fd, true);
	give(t, fd, STATUS, sizeof STATUS - 1);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0); /* the last word is answered too */
	expect_line(t, fd, true);
	cr_assert(is_closed(t, fd));
	cr_assert_eq(t->n.conn_count, 0);
	close(fd);
	testnode_free(t);
}

/* More answers than the socket holds, for somebody who listens only when all is asked. */
Test(lines, are_answered_to_the_last, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	int fd = dial("control.sock");
	for (unsigned i = 0; i < 600; i++)
		give(t, fd, STATUS, sizeof STATUS - 1);
	cr_assert_eq(shutdown(fd, SHUT_WR), 0);
	for (unsigned i = 0; i < 5; i++)
		look(t);
	for (unsigned i = 0; i < 600; i++)
		expect_line(t, fd, true);
	cr_assert(is_closed(t, fd));
	close(fd);
	testnode_free(t);
}

Test(lines, a_line_without_end_is_not_gathered, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	int fd = dial("control.sock"), other = dial("control.sock");
	char noise[1000];
	memset(noise, 'x', sizeof noise);
	bool closed = false;
	for (unsigned i = 0; i < DP_CONTROL_LINE_MAX / 500 && !closed; i++) {
		closed = send(fd, noise, sizeof noise, MSG_NOSIGNAL) < 0;
		look(t);
	}
	look(t);
	cr_assert(closed || is_closed(t, fd), "more than a topology is taken");
	give(t, other, STATUS, sizeof STATUS - 1);
	expect_line(t, other, true);
	close(fd);
	close(other);
	testnode_free(t);
}

Test(sockets, are_limited, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	int fds[CONNS_MAX], more;
	for (unsigned i = 0; i < CONNS_MAX; i++) {
		fds[i] = dial(i % 2 ? "host.sock" : "control.sock");
		look(t);
	}
	more = dial("control.sock");
	cr_assert(is_closed(t, more), "one more than there may be");
	cr_assert_eq(t->n.conn_count, CONNS_MAX);
	close(more);
	give(t, fds[0], STATUS, sizeof STATUS - 1);
	expect_line(t, fds[0], true);
	close(fds[1]);
	look(t);
	more = dial("control.sock");
	give(t, more, STATUS, sizeof STATUS - 1);
	expect_line(t, more, true);
	close(more);
	for (unsigned i = 0; i < CONNS_MAX; i++)
		if (i != 1)
			close(fds[i]);
	testnode_free(t);
}

Test(lines, who_goes_away_before_the_answer, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	for (unsigned i = 0; i < 2; i++) {
		int fd = dial("control.sock");
		for (unsigned n = 0; n < (i ? 600 : 1); n++)
			give(t, fd, STATUS, sizeof STATUS - 1);
		look(t);
		close(fd);
		for (unsigned n = 0; n < 20; n++)
			look(t);
		cr_assert_eq(t->n.conn_count, 0, "its connection is kept for ever");
	}
	testnode_free(t);
}

/* Sends `what` again and again and takes no answer, until the node hears no more. Returns how often
 * it was sent in full; `most` times at the most. */
static unsigned talk(struct testnode *t, int fd, const void *what, size_t size, unsigned most)
{
	size_t sent = 0;
	for (unsigned idle = 0; idle < 10 && sent < most * size;) {
		const char *from = (const char *)what + sent % size;
		ssize_t n = send(fd, from, size - sent % size, MSG_NOSIGNAL | MSG_DONTWAIT);
		idle = n < 0 ? idle + 1 : 0;
		sent += n < 0 ? 0 : (size_t)n;
		look(t);
	}
	return (unsigned)(sent / size);
}

Test(lines, who_does_not_listen_is_not_heard, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	int fd = dial("control.sock"), other = dial("control.sock");
	unsigned said = talk(t, fd, STATUS, sizeof STATUS - 1, 20000);
	cr_assert_lt(said, 20000, "answers are gathered without end");
	give(t, other, STATUS, sizeof STATUS - 1);
	expect_line(t, other, true);
	for (unsigned i = 0; i < said; i++) /* nothing is lost by it */
		expect_line(t, fd, true);
	close(fd);
	close(other);
	testnode_free(t);
}

/* ---- hosts ---- */

#define CLIENT 0x1234567890u

static void send_as(struct testnode *t, uint64_t client, int fd, struct dp_channel_request r,
	const void *payload)
{
	r.client = client;
	uint8_t head[DP_CHANNEL_REQUEST_SIZE];
	dp_channel_request_encode(&r, head);
	give(t, fd, head, sizeof head);
	if (r.payload_len)
		give(t, fd, payload, r.payload_len);
}

static void send_request(struct testnode *t, int fd, struct dp_channel_request r,
	const void *payload)
{
	send_as(t, CLIENT, fd, r, payload);
}

static struct dp_channel_reply expect_reply(struct testnode *t, int fd, uint8_t type, uint64_t id,
	int error, void *data)
{
	uint8_t head[DP_CHANNEL_REPLY_SIZE];
	struct dp_channel_reply reply;
	cr_assert_eq(take(t, fd, head, sizeof head), sizeof head, "it hangs up");
	cr_assert_eq(dp_channel_reply_decode(head, &reply), 0);
	cr_assert(reply.type == type && reply.id == id);
	cr_assert_eq(reply.error, error, "error %d instead of %d", reply.error, error);
	cr_assert(!reply.payload_len || data);
	if (reply.payload_len)
		cr_assert_eq(take(t, fd, data, reply.payload_len), reply.payload_len);
	return reply;
}

static int host_of(struct testnode *t)
{
	uint8_t info[DP_CHANNEL_HELLO_SIZE];
	struct dp_channel_volume v;
	int fd = dial("host.sock");
	struct dp_channel_request hello = {.type = DP_CHANNEL_HELLO, .id = 1, .payload_len = 1};
	send_request(t, fd, hello, "v");
	struct dp_channel_reply r = expect_reply(t, fd, DP_CHANNEL_HELLO, 1, 0, info);
	cr_assert_eq(dp_channel_volume_decode(info, r.payload_len, &v), 0);
	cr_assert(v.size == TEST_SIZE && v.max_payload == DP_PAYLOAD_MAX);
	cr_assert(v.max_extent == DP_EXTENT_MAX && v.max_requests == CONN_REQUESTS);
	return fd;
}

Test(host, writes_and_reads, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	int fd = host_of(t);
	uint8_t *data = malloc(DP_PAYLOAD_MAX), *back = malloc(DP_PAYLOAD_MAX);
	for (size_t i = 0; i < DP_PAYLOAD_MAX; i++)
		data[i] = (uint8_t)(i * 5 + i / 300);
	struct dp_channel_request r = {.type = DP_CHANNEL_WRITE,
		.id = 2,
		.offset = 1000,
		.length = 3000,
		.payload_len = 3000};
	send_request(t, fd, r, data);
	expect_reply(t, fd, DP_CHANNEL_WRITE, 2, 0, NULL);
	r = (struct dp_channel_request){
		.type = DP_CHANNEL_READ, .id = 3, .offset = 1000, .length = 3000};
	send_request(t, fd, r, NULL);
	cr_assert_eq(expect_reply(t, fd, DP_CHANNEL_READ, 3, 0, back).payload_len, 3000);
	cr_assert_arr_eq(back, data, 3000);
	r = (struct dp_channel_request){
		.type = DP_CHANNEL_TRIM, .id = 4, .offset = 1500, .length = 100};
	send_request(t, fd, r, NULL);
	expect_reply(t, fd, DP_CHANNEL_TRIM, 4, 0, NULL);
	r = (struct dp_channel_request){.type = DP_CHANNEL_FLUSH, .id = 5};
	send_request(t, fd, r, NULL);
	cr_assert_eq(expect_reply(t, fd, DP_CHANNEL_FLUSH, 5, 0, NULL).set, 1);
	r = (struct dp_channel_request){
		.type = DP_CHANNEL_READ, .id = 6, .offset = 1000, .length = 3000};
	send_request(t, fd, r, NULL);
	expect_reply(t, fd, DP_CHANNEL_READ, 6, 0, back);
	memset(data + 500, 0, 100);
	cr_assert_arr_eq(back, data, 3000);
	r = (struct dp_channel_request){.type = DP_CHANNEL_WRITE,
		.id = 7,
		.flags = DP_CHANNEL_FUA,
		.length = DP_PAYLOAD_MAX,
		.payload_len = DP_PAYLOAD_MAX};
	send_request(t, fd, r, data);
	cr_assert_eq(expect_reply(t, fd, DP_CHANNEL_WRITE, 7, 0, NULL).set, 2);
	cr_assert(core(t)->log.last.set_closed, "FUA closes the set");
	r = (struct dp_channel_request){.type = DP_CHANNEL_READ, .id = 8, .length = DP_PAYLOAD_MAX};
	send_request(t, fd, r, NULL);
	cr_assert_eq(expect_reply(t, fd, DP_CHANNEL_READ, 8, 0, back).payload_len, DP_PAYLOAD_MAX);
	cr_assert_arr_eq(back, data, DP_PAYLOAD_MAX);
	free(data);
	free(back);
	close(fd);
	testnode_free(t);
}

/* What no host of ours sends is answered with an error, and what is no protocol ends the
 * connection; other hosts notice nothing. */
Test(host, odd_requests, .init = make_scratch, .fini = remove_scratch)
{
	static const struct {
		struct dp_channel_request r;
		int error;
	} odd[] = {
		{{.type = DP_CHANNEL_READ, .id = 9, .offset = TEST_SIZE, .length = 1}, EINVAL},
		{{.type = DP_CHANNEL_READ, .id = 9, .offset = UINT64_MAX - 9, .length = 512},
			EINVAL},
		{{.type = DP_CHANNEL_TRIM, .id = 9, .offset = UINT64_MAX - 9, .length = 512},
			EINVAL},
		{{.type = DP_CHANNEL_READ, .id = 9}, EINVAL},
		{{.type = DP_CHANNEL_TRIM, .id = 9, .offset = 1, .length = TEST_SIZE}, EINVAL},
		{{.type = DP_CHANNEL_ZERO, .id = 0, .length = 1}, EPROTO},
		{{.type = DP_CHANNEL_WRITE, .id = 9, .length = 5, .payload_len = 4}, EINVAL},
		{{.type = DP_CHANNEL_WRITE,
			 .id = 9,
			 .length = 4,
			 .payload_len = 4,
			 .offset = TEST_SIZE - 3},
			EINVAL},
	};
	struct dp_channel_request flush = {.type = DP_CHANNEL_FLUSH, .id = 2};
	struct dp_channel_request hello = {.type = DP_CHANNEL_HELLO, .id = 1, .payload_len = 1};
	struct testnode *t = listening_controller();
	int good = host_of(t), fd = host_of(t);
	for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
		send_request(t, fd, odd[i].r, "data");
		expect_reply(t, fd, odd[i].r.type, odd[i].r.id, odd[i].error, NULL);
	}
	send_as(t, CLIENT + 1, fd, flush, NULL);
	expect_reply(t, fd, DP_CHANNEL_FLUSH, 2, EPROTO, NULL);
	cr_assert_eq(core(t)->log.last.at.seq, 0);
	send_request(t, fd, hello, "v");
	cr_assert(is_closed(t, fd), "a second HELLO");
	close(fd);
	fd = dial("host.sock");
	send_request(t, fd, flush, NULL);
	expect_reply(t, fd, DP_CHANNEL_FLUSH, 2, EPROTO, NULL); /* before HELLO */
	hello.payload_len = 2;
	send_request(t, fd, hello, "vv");
	expect_reply(t, fd, DP_CHANNEL_HELLO, 1, ENOENT, NULL);
	char names[16];
	send_request(t, fd, (struct dp_channel_request){.type = DP_CHANNEL_LIST, .id = 7}, NULL);
	cr_assert_eq(expect_reply(t, fd, DP_CHANNEL_LIST, 7, 0, names).payload_len, 2);
	cr_assert_str_eq(names, "v");
	uint8_t noise[DP_CHANNEL_REQUEST_SIZE] = {1, 2, 3};
	give(t, fd, noise, sizeof noise);
	cr_assert(is_closed(t, fd));
	close(fd);
	fd = dial("host.sock");
	hello.payload_len = 1;
	send_as(t, 0, fd, hello, "v"); /* a client without a name: its replays would not be known */
	uint8_t info[DP_CHANNEL_HELLO_SIZE];
	expect_reply(t, fd, DP_CHANNEL_HELLO, 1, 0, info);
	send_as(t, 0, fd, flush, NULL);
	expect_reply(t, fd, DP_CHANNEL_FLUSH, 2, EPROTO, NULL);
	close(fd);
	send_request(t, good, flush, NULL);
	expect_reply(t, good, DP_CHANNEL_FLUSH, 2, 0, NULL);
	close(good);
	testnode_free(t);
}

/* A host that sends more than it may have open waits at the door; everything is answered. */
Test(host, more_requests_than_may_be_open, .init = make_scratch, .fini = remove_scratch)
{
	enum { COUNT = 4 * CONN_REQUESTS };
	static uint8_t all[COUNT][DP_CHANNEL_REQUEST_SIZE];
	struct testnode *t = listening_controller();
	int fd = host_of(t);
	for (unsigned i = 0; i < COUNT; i++) {
		struct dp_channel_request r = {.type = DP_CHANNEL_ZERO,
			.client = CLIENT,
			.id = 2 + i,
			.offset = i * 512,
			.length = 512};
		dp_channel_request_encode(&r, all[i]);
	}
	give(t, fd, all, sizeof all);
	for (uint64_t id = 2; id < 2 + COUNT; id++)
		expect_reply(t, fd, DP_CHANNEL_ZERO, id, 0, NULL);
	cr_assert_eq(core(t)->log.last.at.seq, COUNT);
	close(fd);
	testnode_free(t);
}

Test(host, that_does_not_listen_is_not_heard, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	int fd = host_of(t), other = host_of(t);
	static uint8_t head[DP_CHANNEL_REQUEST_SIZE], data[8192];
	struct dp_channel_request r = {
		.type = DP_CHANNEL_READ, .client = CLIENT, .id = 5, .length = sizeof data};
	dp_channel_request_encode(&r, head);
	unsigned said = talk(t, fd, head, sizeof head, 10000);
	cr_assert_lt(said, 10000, "answers are gathered without end");
	send_request(t, other, r, NULL);
	expect_reply(t, other, DP_CHANNEL_READ, 5, 0, data);
	for (unsigned i = 0; i < said; i++)
		expect_reply(t, fd, DP_CHANNEL_READ, 5, 0, data);
	close(fd);
	close(other);
	testnode_free(t);
}

/* A host that goes away in the middle of a request. */
Test(host, that_goes_away, .init = make_scratch, .fini = remove_scratch)
{
	struct testnode *t = listening_controller();
	static uint8_t data[50000];
	for (size_t cut = 0; cut <= 50000; cut += 6250) {
		int fd = host_of(t);
		uint8_t head[DP_CHANNEL_REQUEST_SIZE];
		struct dp_channel_request r = {.type = DP_CHANNEL_WRITE,
			.client = CLIENT,
			.id = 2 + cut,
			.length = 50000,
			.payload_len = 50000};
		dp_channel_request_encode(&r, head);
		give(t, fd, head, sizeof head);
		give(t, fd, data, cut);
		close(fd);
		for (unsigned i = 0; i < 5; i++)
			look(t);
		cr_assert_eq(t->n.conn_count, 0);
	}
	/* The last one had sent all of its request: that is carried out. */
	cr_assert_eq(core(t)->log.last.at.seq, 1);
	testnode_free(t);
}

/* One that goes away before its answer: nobody is told. Its requests that were not in the stream
 * yet are forgotten: it will send them again. */
Test(host, that_goes_away_while_it_waits, .init = make_scratch, .fini = remove_scratch)
{
	for (unsigned open = 0; open < 2; open++) {
		struct testnode *t = open ? open_controller() : new_controller();
		cr_assert_eq(open_local_sockets(t), 0);
		t->disk_waits = true; /* nothing becomes durable: what is asked stays unanswered */
		int fd = host_of(t), other = host_of(t);
		struct dp_channel_request trim = {.type = DP_CHANNEL_TRIM, .length = 512};
		for (trim.id = 2; trim.id < 12; trim.id++)
			send_request(t, fd, trim, NULL);
		for (unsigned i = 0; i < 5; i++)
			look(t);
		close(fd);
		for (unsigned i = 0; i < 5; i++)
			look(t);
		cr_assert_eq(t->n.conn_count, 1);
		t->disk_waits = false;
		for (unsigned i = 0; i < 5; i++)
			look(t);
		cr_assert_eq(core(t)->log.last.at.seq, open ? 10 : 0);
		struct dp_channel_request flush = {.type = DP_CHANNEL_FLUSH, .id = 99};
		send_request(t, other, flush, NULL);
		expect_reply(t, other, DP_CHANNEL_FLUSH, 99, 0, NULL);
		close(other);
		testnode_free(t);
	}
}

/* ---- the whole daemon ---- */

static struct dp_node_config *config(void)
{
	struct testnode *t = testnode_new("nwk", DP_CORE_CONTROLLER);
	struct dp_node_config *cfg = malloc(sizeof *cfg);
	*cfg = t->cfg;
	cfg->state = scratch;
	cfg->streams[0].core.image = true;
	memdisk_free(t->disk);
	free(t);
	return cfg;
}

static pid_t start_daemon(void)
{
	pid_t pid = fork();
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* a failing test leaves nothing behind */
	dp_log_open("nwk", DP_LOG_ERROR, NULL);
	_exit(dp_node_run(config(), NULL));
}

static int exit_code(pid_t pid)
{
	int status;
	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "it dies of signal %d", WTERMSIG(status));
	return WEXITSTATUS(status);
}

static struct dipole_client *connect_host(void)
{
	struct dipole_client *c = NULL;
	char host[256];
	snprintf(host, sizeof host, "%s", path_of("host.sock"));
	cr_assert_eq(dipole_connect(host, "v", NULL, &c), 0);
	return c;
}

static void stop_daemon(pid_t pid, int signal)
{
	cr_assert_eq(kill(pid, signal), 0);
	cr_assert_eq(exit_code(pid), 0);
}

/* The quickest of some writes, microseconds. */
static uint64_t time_of_writes(struct dipole_client *c, unsigned count)
{
	uint64_t best = UINT64_MAX;
	uint8_t data[4096] = {1};
	for (unsigned i = 0; i < count; i++) {
		uint64_t start = node_clock_us();
		cr_assert_eq(dipole_pwrite(c, data, sizeof data, i * 4096, NULL), 0);
		uint64_t took = node_clock_us() - start;
		best = took < best ? took : best;
	}
	return best;
}

Test(daemon, keeps_what_it_is_given, .init = make_scratch, .fini = remove_scratch)
{
	uint8_t data[4096], back[4096];
	for (unsigned run = 0; run < 3; run++) {
		pid_t pid = start_daemon();
		struct dipole_client *c = connect_host();
		memset(back, 0xee, sizeof back);
		cr_assert_eq(dipole_pread(c, back, sizeof back, 8192, NULL), 0);
		memset(data, (int)run, sizeof data);
		cr_assert_arr_eq(back, data, sizeof data, "run %u", run);
		memset(data, (int)run + 1, sizeof data);
		cr_assert_eq(dipole_pwrite(c, data, sizeof data, 8192, NULL), 0);
		dipole_close(c);
		if (run == 1) {
			kill(pid, SIGKILL);
			cr_assert_eq(waitpid(pid, NULL, 0), pid);
		} else {
			stop_daemon(pid, run ? SIGINT : SIGTERM);
		}
	}
	/* After a stop in good order the image has it all. */
	int fd = open(path_of("image.v"), O_RDONLY);
	cr_assert_eq(pread(fd, back, sizeof back, 8192), sizeof back);
	cr_assert_arr_eq(back, data, sizeof back);
	close(fd);
}

Test(daemon, a_second_one_is_refused, .init = make_scratch, .fini = remove_scratch)
{
	pid_t first = start_daemon();
	struct dipole_client *c = connect_host();
	cr_assert_eq(exit_code(start_daemon()), EX_CANTCREAT);
	cr_assert_leq(time_of_writes(c, 3), LIMIT_US, "the first one goes on");
	dipole_close(c);
	stop_daemon(first, SIGTERM);
}

Test(daemon, says_by_its_exit_code_what_is_wrong, .init = make_scratch, .fini = remove_scratch)
{
	pid_t pid = start_daemon();
	dipole_close(connect_host());
	stop_daemon(pid, SIGTERM);
	cr_assert_eq(access(path_of("clean"), F_OK), 0,
		"nothing says that it was stopped in good order");
	cr_assert_eq(truncate(path_of("image.v"), 4096), 0);
	cr_assert_eq(exit_code(start_daemon()), EX_CONFIG, "an image of another size");
	cr_assert_eq(access(path_of("clean"), F_OK), 0,
		"a start that fails passes for an unclean end");
	cr_assert_eq(truncate(path_of("image.v"), TEST_SIZE), 0);
	char noise[8192];
	memset(noise, 0x5a, sizeof noise);
	int fd = open(path_of("journal.s"), O_WRONLY);
	cr_assert_eq(pwrite(fd, noise, sizeof noise, 0), sizeof noise);
	close(fd);
	cr_assert_eq(exit_code(start_daemon()), EX_DATAERR, "a damaged journal");
}

Test(daemon, without_its_directory, .init = make_scratch)
{
	cr_assert_eq(rmdir(scratch), 0);
	cr_assert_eq(exit_code(start_daemon()), EX_CANTCREAT);
}

#define DELAY_US 50000

Test(daemon, can_be_slowed_down_for_benchmarks, .init = make_scratch, .fini = remove_scratch)
{
	pid_t pid = start_daemon();
	struct dipole_client *c = connect_host();
	cr_assert_lt(time_of_writes(c, 10), DELAY_US);
	dipole_close(c);
	stop_daemon(pid, SIGTERM);
	setenv("DIPOLE_COMMIT_DELAY_US", "50000", 1);
	pid = start_daemon();
	c = connect_host();
	cr_assert_geq(time_of_writes(c, 3), DELAY_US);
	dipole_close(c);
	stop_daemon(pid, SIGTERM);
}

/* ---- logs as JSON ---- */

static void check_log(const char *keys, const char *expected)
{
	struct dp_log_line l = {"2026-01-02T03:04:05.678Z", "notice", "nwk", "link", keys};
	json_t *o = logjson_object(&l);
	cr_assert_str_eq(json_string_value(json_object_get(o, "time")), l.time);
	cr_assert_str_eq(json_string_value(json_object_get(o, "level")), "notice");
	cr_assert_str_eq(json_string_value(json_object_get(o, "node")), "nwk");
	cr_assert_str_eq(json_string_value(json_object_get(o, "event")), "link");
	for (unsigned i = 0; i < 4; i++)
		json_object_del(o, (const char *const[]){"time", "level", "node", "event"}[i]);
	char *text = json_dumps(o, JSON_COMPACT);
	cr_assert_str_eq(text, expected);
	free(text);
	json_decref(o);
}

Test(logs, as_json)
{
	check_log("", "{}");
	check_log("stream=main to=west state=Connected",
		"{\"stream\":\"main\",\"to\":\"west\",\"state\":\"Connected\"}");
	check_log("peer=x text=\"a leg has caught up\"",
		"{\"peer\":\"x\",\"text\":\"a leg has caught up\"}");
	check_log("error=\"no key for node \"r9\" here\" peer=y",
		"{\"error\":\"no key for node \\\"r9\\\" here\",\"peer\":\"y\"}");
	check_log("reason=\"node \"r9\"\"", "{\"reason\":\"node \\\"r9\\\"\"}");
	check_log("reason=\"cut off", "{\"reason\":\"cut off\"}");
	check_log("a= b=2", "{\"a\":\"\",\"b\":\"2\"}");
}
