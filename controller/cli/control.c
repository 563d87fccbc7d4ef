/* SPDX-License-Identifier: MIT */
/* One request to a node's control socket, one answer. */
#include "cli.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"

/* 4096 write sets take about 1 MiB; whoever sends more than this is no node of ours. */
#define ANSWER_MAX (16u << 20)

uint64_t cli_now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void cli_sleep_us(uint64_t time_us)
{
	struct timespec t = {(time_t)(time_us / 1000000), (long)(time_us % 1000000) * 1000};
	nanosleep(&t, NULL);
}

static int fail(char error[CLI_ERROR_MAX], int err, const char *text)
{
	snprintf(error, CLI_ERROR_MAX, "%s", text);
	return err;
}

/* A connected socket, or -1 with errno. */
static int open_socket(const char *path, uint64_t timeout_us)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval limit = {
		(time_t)(timeout_us / 1000000), (suseconds_t)(timeout_us % 1000000)};
	if (strlen(path) >= sizeof address.sun_path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	/* It bounds connect() too, which waits while the listener's queue is full. */
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	int saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static bool send_line(int fd, const char *text)
{
	size_t size = strlen(text);
	for (size_t done = 0; done < size;) {
		ssize_t n = send(fd, text + done, size - done, MSG_NOSIGNAL);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		done += (size_t)n;
	}
	return send(fd, "\n", 1, MSG_NOSIGNAL) == 1;
}

static bool wait_input(int fd, uint64_t deadline_us)
{
	for (;;) {
		uint64_t now = cli_now_us();
		if (now >= deadline_us)
			return false;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		int n = poll(&p, 1, (int)((deadline_us - now) / 1000) + 1);
		if (n > 0)
			return true;
		if (n < 0 && errno != EINTR)
			return false;
	}
}

/* Reads up to the end of the line into new memory; NULL if it does not come. */
static char *receive_line(int fd, uint64_t deadline_us)
{
	size_t size = 0, room = 0;
	char *text = NULL;
	while (wait_input(fd, deadline_us)) {
		if (room - size < 2) {
			room = room ? 2 * room : 65536;
			char *more = room <= ANSWER_MAX ? realloc(text, room) : NULL;
			if (!more)
				break;
			text = more;
		}
		ssize_t n = recv(fd, text + size, room - size - 1, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		size += (size_t)n;
		text[size] = '\0';
		if (text[size - 1] == '\n')
			return text;
	}
	free(text);
	return NULL;
}

static char *exchange(int fd, const char *request, uint64_t timeout_us)
{
	uint64_t deadline_us = cli_now_us() + timeout_us;
	if (!send_line(fd, request))
		return NULL;
	return receive_line(fd, deadline_us);
}

static int refused(const json_t *answer, char error[CLI_ERROR_MAX])
{
	json_int_t api = json_integer_value(json_object_get(answer, "api"));
	const char *text = json_string_value(json_object_get(answer, "error"));
	if (json_is_true(json_object_get(answer, "ok")) && (!api || api == DP_CONTROL_API))
		return 0;
	if (!json_is_true(json_object_get(answer, "ok")))
		return fail(error, DP_EINVAL, text ? text : "refused without a reason");
	snprintf(error, CLI_ERROR_MAX,
		"it answers version %lld of the control protocol, and this command, dipole %s, "
		"understands version %d",
		(long long)api, DIPOLE_VERSION, DP_CONTROL_API);
	return DP_EINVAL;
}

int cli_judge(json_t **answer, char error[CLI_ERROR_MAX])
{
	int err = json_is_object(*answer)
		? refused(*answer, error)
		: fail(error, DP_EBADMSG, "the answer is not a JSON object");
	if (!err)
		return 0;
	json_decref(*answer);
	*answer = NULL;
	return err;
}

int cli_control(const char *path, json_t *request, uint64_t timeout_us, json_t **answer,
	char error[CLI_ERROR_MAX])
{
	char *line = json_dumps(request, JSON_COMPACT);
	json_decref(request);
	*answer = NULL;
	error[0] = '\0';
	if (!line)
		return fail(error, DP_ENOMEM, "out of memory");
	int fd = open_socket(path, timeout_us);
	if (fd < 0) {
		snprintf(error, CLI_ERROR_MAX, "%s: %s", path, strerror(errno));
		free(line);
		return DP_ECLOSED;
	}
	char *text = exchange(fd, line, timeout_us);
	free(line);
	close(fd);
	if (!text)
		return fail(error, DP_ECLOSED, "no answer");
	*answer = json_loads(text, 0, NULL);
	free(text);
	return cli_judge(answer, error);
}

/* Its directory is not here, and it can be reached elsewhere. */
static bool is_remote(const struct cli_place *place, unsigned node)
{
	const struct dp_topo_node *n = &place->topology->nodes[node];
	char path[PATH_MAX];
	return n->control[0] && n->key[0] &&
		access(cli_node_path(place->dir, n->name, "", path), F_OK);
}

int cli_ask(const struct cli_place *place, unsigned node, json_t *request, uint64_t timeout_us,
	json_t **answer, char error[CLI_ERROR_MAX])
{
	char path[PATH_MAX];
	json_object_set_new(request, "api", json_integer(DP_CONTROL_API));
	if (is_remote(place, node)) {
		int err = cli_remote_node(place, node, request, timeout_us, answer, error);
		json_decref(request);
		return err ? err : cli_judge(answer, error);
	}
	cli_node_path(place->dir, place->topology->nodes[node].name, "control.sock", path);
	return cli_control(path, request, timeout_us, answer, error);
}

const char *cli_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "-";
}

uint64_t cli_number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));
	return value > 0 ? (uint64_t)value : 0;
}

void cli_print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
	putchar('\n');
	fflush(stdout);
	json_decref(value);
}
