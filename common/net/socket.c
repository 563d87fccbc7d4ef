/* SPDX-License-Identifier: MIT */
#include "net/socket.h"

#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

#include "base/err.h"
#include "base/limits.h"
#include "net/buffers.h"

#define DRAIN_MAX 256

int waker_open(struct waker *w, void *socket)
{
	size_t size = sizeof w->fd;
	w->dirty = true;
	return zmq_getsockopt(socket, ZMQ_FD, &w->fd, &size) ? DP_EIO : 0;
}

void waker_drain(struct waker *w, bool (*take)(void *arg), void *arg)
{
	int left = DRAIN_MAX;
	w->dirty = false; /* take() may answer at once, which makes it dirty again */
	while (left > 0 && take(arg))
		left--;
	if (left == 0)
		w->dirty = true;
}

int socket_set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value);
}

int socket_set_text(void *socket, int option, const char *text)
{
	return zmq_setsockopt(socket, option, text, strlen(text));
}

/* All that the core lets be under way has to fit, or a long link is slower than it need be. */
static int set_buffers(void *socket)
{
	int out = dp_socket_buffer(SO_SNDBUF, DP_WINDOW_BYTES);
	int in = dp_socket_buffer(SO_RCVBUF, DP_WINDOW_BYTES);
	return (out > 0 ? socket_set_int(socket, ZMQ_SNDBUF, out) : 0) |
		(in > 0 ? socket_set_int(socket, ZMQ_RCVBUF, in) : 0);
}

int socket_set_common(void *socket, const char *address)
{
	int64_t most = SOCKET_MESSAGE_MAX;
	if (set_buffers(socket))
		return -1;
	if (strchr(address, '[') && socket_set_int(socket, ZMQ_IPV6, 1))
		return -1;
	int bad = socket_set_int(socket, ZMQ_LINGER, 0) | socket_set_int(socket, ZMQ_SNDHWM, 0) |
		socket_set_int(socket, ZMQ_RCVHWM, 4096);
	return bad | zmq_setsockopt(socket, ZMQ_MAXMSGSIZE, &most, sizeof most);
}
