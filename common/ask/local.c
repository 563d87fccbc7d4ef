/* SPDX-License-Identifier: MIT */
/* A talk at a node's Unix socket: a line there, a line back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ask/internal.h"
#include "base/err.h"

/* 4096 write sets take about 1 MiB; whoever sends more than this is no node of ours. */
#define ANSWER_MAX (16u << 20)

static void connect_local(struct talk *t)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	strcpy(address.sun_path, t->ask->path);
	t->connected = connect(t->fd, (struct sockaddr *)&address, sizeof address) == 0;
	if (!t->connected && errno != EAGAIN)
		talk_fail(t, DP_ECLOSED, "%s: %s", t->ask->path, strerror(errno));
}

static void open_local(struct talk *t, void *zmq)
{
	(void)zmq;
	if (strlen(t->ask->path) >= sizeof((struct sockaddr_un *)NULL)->sun_path)
		errno = ENAMETOOLONG;
	else
		t->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (t->fd < 0)
		talk_fail(t, DP_ECLOSED, "%s: %s", t->ask->path, strerror(errno));
	else
		connect_local(t);
}

static unsigned wait_local(const struct talk *t, zmq_pollitem_t *items)
{
	if (!t->connected) /* poll() does not tell when there is room in the listener's queue */
		return 0;
	*items = (zmq_pollitem_t){.fd = t->fd, .events = ZMQ_POLLIN};
	if (t->sent < t->size)
		items->events = ZMQ_POLLOUT;
	return 1;
}

static void give_up_local(struct talk *t)
{
	if (t->connected)
		talk_fail(t, DP_ECLOSED, "no answer");
	else
		talk_fail(t, DP_ECLOSED, "%s: %s", t->ask->path, strerror(EAGAIN));
}

/* Whether a call has moved `n` bytes. If not, the talk waits, or the other side is gone. */
static bool moved_some(struct talk *t, ssize_t n)
{
	if (n <= 0 && !(n < 0 && (errno == EAGAIN || errno == EINTR)))
		talk_fail(t, DP_ECLOSED, "no answer");
	return n > 0;
}

static void send_line(struct talk *t)
{
	while (t->sent < t->size) {
		ssize_t n = send(t->fd, t->line + t->sent, t->size - t->sent, MSG_NOSIGNAL);
		if (!moved_some(t, n))
			return;
		t->sent += (size_t)n;
	}
}

/* There is room for a byte and the 0 behind it. */
static bool grow_answer(struct talk *t)
{
	if (t->room - t->got >= 2)
		return true;
	size_t room = t->room ? 2 * t->room : 65536;
	char *more = room <= ANSWER_MAX ? realloc(t->text, room) : NULL;
	if (!more)
		return false;
	t->text = more;
	t->room = room;
	return true;
}

static void receive_answer(struct talk *t)
{
	while (!t->settled) {
		if (!grow_answer(t)) {
			talk_fail(t, DP_ECLOSED, "no answer");
			return;
		}
		ssize_t n = recv(t->fd, t->text + t->got, t->room - t->got - 1, 0);
		if (!moved_some(t, n))
			return;
		t->got += (size_t)n;
		t->text[t->got] = '\0';
		if (t->text[t->got - 1] == '\n')
			talk_settle(t, json_loads(t->text, 0, NULL));
	}
}

static void turn_local(struct talk *t)
{
	if (!t->connected)
		connect_local(t);
	if (t->connected)
		send_line(t);
	if (t->connected && t->sent == t->size)
		receive_answer(t);
}

static void close_local(struct talk *t)
{
	if (t->fd >= 0)
		close(t->fd);
	free(t->text);
}

const struct talk_way talk_local = {open_local, wait_local, turn_local, give_up_local, close_local};
