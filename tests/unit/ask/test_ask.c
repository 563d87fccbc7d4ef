/* SPDX-License-Identifier: MIT */
/* Asking many nodes at once. The nodes are stand-ins: processes with a socket that follow a script.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zmq.h>

#include "ask/ask.h"
#include "base/clock.h"
#include "base/err.h"

#define SOON_US 5000000 /* nothing here takes so long */

static char scratch[] = "/tmp/dipole-test-ask-XXXXXX";
static pid_t pids[16];
static unsigned pid_count;
static char paths[16][96];
static json_t *request;

static void make_scratch(void)
{
	cr_assert_not_null(mkdtemp(scratch));
	request = json_pack("{s:s}", "cmd", "status");
}

static void remove_scratch(void)
{
	char command[64];
	for (unsigned i = 0; i < pid_count; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	json_decref(request);
	snprintf(command, sizeof command, "rm -rf %s", scratch);
	cr_assert_eq(system(command), 0);
}

/* ---- nodes at a Unix socket ---- */

/* Whether the whole line came; it is kept as far as there is room. */
static bool receive_line(int fd, char *line, size_t room)
{
	char byte;
	for (size_t size = 0; recv(fd, &byte, 1, 0) == 1;) {
		if (size + 1 < room)
			line[size++] = byte;
		line[size] = '\0';
		if (byte == '\n')
			return true;
	}
	return false;
}

static void send_text(int fd, const char *text)
{
	for (size_t n = strlen(text); n;) {
		ssize_t sent = send(fd, text, n, MSG_NOSIGNAL);
		if (sent <= 0)
			return;
		text += sent;
		n -= (size_t)sent;
	}
}

/* One that hangs keeps the connection; one in pieces sends byte by byte. */
static void say(int fd, const char *script)
{
	char large[300000];
	if (strcmp(script, "HANG") == 0) {
		pause();
	} else if (strcmp(script, "LARGE") == 0) {
		memset(large, 'x', sizeof large);
		large[sizeof large - 1] = '\0';
		send_text(fd, "{\"ok\":true,\"text\":\"");
		send_text(fd, large);
		send_text(fd, "\"}\n");
	} else if (strncmp(script, "PIECES", 6) == 0) {
		char piece[2] = "";
		for (const char *c = script + 6; *c; c++) {
			piece[0] = *c;
			send_text(fd, piece);
			usleep(500);
		}
	} else {
		send_text(fd, script);
	}
}

static _Noreturn void serve(int fd, const char *script)
{
	static char line[256];
	alarm(30); /* a test that fails may leave it behind */
	for (;;) {
		int client = accept(fd, NULL, NULL);
		if (receive_line(client, line, sizeof line) && strstr(line, "\"cmd\":\"status\""))
			say(client, script);
		close(client);
	}
}

static int listen_at(const char *path, int queue)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(fd, queue), 0);
	return fd;
}

static const char *new_path(unsigned i)
{
	snprintf(paths[i], sizeof paths[i], "%s/%u", scratch, i);
	return paths[i];
}

/* An ask of a new node that follows the script; NULL: nobody is there. */
static struct dp_ask node(const char *script)
{
	const char *path = new_path(pid_count);
	int fd = script ? listen_at(path, 8) : -1;
	pid_t pid = fork();
	if (pid == 0 && script)
		serve(fd, script);
	if (pid == 0)
		_exit(0);
	cr_assert(pid > 0);
	pids[pid_count++] = pid;
	if (fd >= 0)
		close(fd);
	return (struct dp_ask){.request = request, .path = path};
}

static void check_refused(const struct dp_ask *a, int err, const char *error)
{
	cr_assert_eq(a->err, err, "%d: %s", a->err, a->error);
	cr_assert_null(a->answer);
	cr_assert(strstr(a->error, error), "%s", a->error);
}

static void check_answered(struct dp_ask *a, const char *name)
{
	cr_assert_eq(a->err, 0, "%s", a->error);
	cr_assert_str_empty(a->error);
	cr_assert_str_eq(json_string_value(json_object_get(a->answer, "node")), name);
	json_decref(a->answer);
}

Test(ask, each_gets_its_answer, .init = make_scratch, .fini = remove_scratch)
{
	struct dp_ask asks[] = {node("{\"ok\":true,\"node\":\"a\"}\n"),
		node("{\"ok\":true,\"node\":\"b\",\"api\":1}\n"),
		node("PIECES{\"ok\":true,\"node\":\"c\"}\n")};
	dp_ask_all(asks, 3, SOON_US);
	check_answered(&asks[0], "a");
	check_answered(&asks[1], "b");
	check_answered(&asks[2], "c");
}

Test(ask, who_hangs_holds_up_nobody, .init = make_scratch, .fini = remove_scratch)
{
	struct dp_ask asks[] = {node("HANG"), node("HANG"), node("{\"ok\":true,\"node\":\"c\"}\n"),
		node("HANG"), node(NULL), node("{\"ok\":true")};
	uint64_t start = dp_clock_us();
	dp_ask_all(asks, 6, 400000);
	uint64_t took = dp_clock_us() - start;
	cr_assert(took >= 400000 && took < 1200000, "%llu", (unsigned long long)took);
	check_refused(&asks[0], DP_ECLOSED, "no answer");
	check_refused(&asks[1], DP_ECLOSED, "no answer");
	check_answered(&asks[2], "c");
	check_refused(&asks[3], DP_ECLOSED, "no answer");
	check_refused(&asks[4], DP_ECLOSED, "/4: No such file or directory");
	check_refused(&asks[5], DP_ECLOSED, "no answer");
}

Test(ask, all_have_answered_before_the_deadline, .init = make_scratch, .fini = remove_scratch)
{
	struct dp_ask asks[] = {node("{\"ok\":true,\"node\":\"a\"}\n"), node(NULL), node("x\n")};
	uint64_t start = dp_clock_us();
	dp_ask_all(asks, 3, 20000000);
	cr_assert_lt(dp_clock_us() - start, SOON_US);
	check_answered(&asks[0], "a");
}

Test(ask, garbage_and_refusals, .init = make_scratch, .fini = remove_scratch)
{
	struct dp_ask asks[] = {node("this is no JSON\n"), node("[1]\n"), node("{\"ok\":false}\n"),
		node("{\"ok\":false,\"error\":\"busy\"}\n"), node("{\"ok\":true,\"api\":99}\n"),
		node("")};
	dp_ask_all(asks, 6, SOON_US);
	check_refused(&asks[0], DP_EBADMSG, "not a JSON object");
	check_refused(&asks[1], DP_EBADMSG, "not a JSON object");
	check_refused(&asks[2], DP_EINVAL, "refused without a reason");
	check_refused(&asks[3], DP_EINVAL, "busy");
	check_refused(&asks[4], DP_EINVAL, "version 99 of the control protocol");
	check_refused(&asks[5], DP_ECLOSED, "no answer");
}

/* Larger than what a socket takes at once, both ways. */
Test(ask, large_requests_and_answers, .init = make_scratch, .fini = remove_scratch)
{
	static char text[1 << 20];
	struct dp_ask ask = node("LARGE");
	memset(text, 'y', sizeof text - 1);
	json_object_set_new(request, "topology", json_string(text));
	dp_ask_all(&ask, 1, SOON_US);
	cr_assert_eq(ask.err, 0, "%s", ask.error);
	cr_assert_eq(json_string_length(json_object_get(ask.answer, "text")), 299999);
	json_decref(ask.answer);
}

Test(ask, who_does_not_accept_is_given_up, .init = make_scratch, .fini = remove_scratch)
{
	struct dp_ask asks[4];
	int fd = listen_at(new_path(0), 0);
	for (unsigned i = 0; i < 4; i++)
		asks[i] = (struct dp_ask){.request = request, .path = paths[0]};
	dp_ask_all(asks, 4, 100000);
	check_refused(&asks[0], DP_ECLOSED, "no answer");
	check_refused(&asks[3], DP_ECLOSED, "/0: Resource temporarily unavailable");
	close(fd);
}

Test(ask, what_cannot_be_a_socket, .init = make_scratch, .fini = remove_scratch)
{
	char path[200];
	memset(path, 'p', sizeof path);
	path[sizeof path - 1] = '\0';
	struct dp_ask ask = {.request = request, .path = path};
	dp_ask_all(&ask, 1, SOON_US);
	check_refused(&ask, DP_ECLOSED, "File name too long");
}

Test(ask, without_a_request_nothing_is_touched)
{
	struct dp_ask ask = {.err = DP_EPERM, .error = "no key"};
	dp_ask_all(&ask, 1, SOON_US);
	cr_assert_eq(ask.err, DP_EPERM);
	cr_assert_str_eq(ask.error, "no key");
	dp_ask_all(&ask, 0, SOON_US);
}

Test(ask, one_node, .init = make_scratch, .fini = remove_scratch)
{
	char error[DP_ASK_ERROR_MAX];
	struct dp_ask there = node("{\"ok\":true,\"node\":\"a\"}\n"), gone = node(NULL);
	cr_assert_eq(dp_ask_socket(there.path, json_incref(request), SOON_US, &there.answer, error),
		0);
	check_answered(&there, "a");
	cr_assert_eq(dp_ask_socket(gone.path, json_incref(request), SOON_US, &gone.answer, error),
		DP_ECLOSED);
	cr_assert_null(gone.answer);
	cr_assert(strstr(error, "No such file"), "%s", error);
}

/* ---- nodes over the network ---- */

struct pair {
	char public[41], secret[41];
};

static struct pair new_pair(void)
{
	struct pair p;
	cr_assert_eq(zmq_curve_keypair(p.public, p.secret), 0);
	return p;
}

static _Noreturn void serve_remote(const struct pair *keys, const char *script, int address_fd)
{
	int yes = 1;
	char address[64], id[256], line[256];
	size_t size = sizeof address;
	void *zmq = zmq_ctx_new(), *s = zmq_socket(zmq, ZMQ_ROUTER);
	alarm(30);
	zmq_setsockopt(s, ZMQ_CURVE_SERVER, &yes, sizeof yes);
	zmq_setsockopt(s, ZMQ_CURVE_SECRETKEY, keys->secret, 40);
	if (zmq_bind(s, "tcp://127.0.0.1:*") ||
		zmq_getsockopt(s, ZMQ_LAST_ENDPOINT, address, &size) ||
		write(address_fd, address, sizeof address) != sizeof address)
		_exit(1);
	for (;;) {
		int n = zmq_recv(s, id, sizeof id, 0);
		if (n < 0 || zmq_recv(s, line, sizeof line, 0) < 0)
			_exit(1);
		if (strcmp(script, "HANG")) {
			zmq_send(s, id, (size_t)n, ZMQ_SNDMORE);
			zmq_send(s, script, strlen(script), 0);
		}
	}
}

/* An ask of a new node with these keys, which the asker knows. */
static struct dp_ask remote_node(const struct pair *keys, const struct pair *own,
	const char *script)
{
	static char addresses[4][64];
	static unsigned count;
	char *address = addresses[count++];
	int fds[2];
	cr_assert_eq(pipe(fds), 0);
	pid_t pid = fork();
	if (pid == 0)
		serve_remote(keys, script, fds[1]);
	pids[pid_count++] = pid;
	cr_assert_eq(read(fds[0], address, 64), 64);
	close(fds[0]);
	close(fds[1]);
	return (struct dp_ask){.request = request,
		.address = address,
		.key = keys->public,
		.public_key = own->public,
		.secret_key = own->secret};
}

Test(ask, over_the_network, .init = make_scratch, .fini = remove_scratch)
{
	struct pair own = new_pair(), key = new_pair(), other = new_pair();
	struct dp_ask asks[] = {node("{\"ok\":true,\"node\":\"a\"}\n"),
		remote_node(&key, &own, "{\"ok\":true,\"node\":\"b\"}"),
		remote_node(&key, &own, "{\"ok\":true,\"node\":\"c\"}"),
		remote_node(&key, &own, "garbage"), remote_node(&key, &own, "HANG")};
	asks[2].former_key = asks[2].key; /* it has not turned to the one it is to have */
	asks[2].key = other.public;
	dp_ask_all(asks, 5, 1500000);
	check_answered(&asks[0], "a");
	check_answered(&asks[1], "b");
	check_answered(&asks[2], "c");
	check_refused(&asks[3], DP_EBADMSG, "not a JSON object");
	check_refused(&asks[4], DP_ECLOSED, "nobody there, or the key is not admitted: tcp://");
}

Test(ask, over_the_network_with_what_is_wrong, .init = make_scratch, .fini = remove_scratch)
{
	struct pair own = new_pair(), key = new_pair(), other = new_pair();
	struct dp_ask asks[3];
	asks[0] = remote_node(&key, &own, "{\"ok\":true}");
	asks[1] = asks[2] = asks[0];
	asks[0].key = other.public;
	asks[1].key = "short";
	asks[2].address = "nonsense";
	dp_ask_all(asks, 3, 300000);
	check_refused(&asks[0], DP_ECLOSED, "nobody there");
	check_refused(&asks[1], DP_EINVAL, "cannot connect to tcp://");
	check_refused(&asks[2], DP_EINVAL, "cannot connect to nonsense");
}
