/* SPDX-License-Identifier: MIT */
/* A ZeroMQ socket of this product: its options, and its place in a loop of poll(2). */
#ifndef DP_NET_SOCKET_H
#define DP_NET_SOCKET_H

#include <stdbool.h>

/* A ZeroMQ message is at most so large, also after it is unpacked. */
#define SOCKET_MESSAGE_MAX (2 * 1024 * 1024)

/* The descriptor of a ZeroMQ socket (ZMQ_FD) reports only once that something has changed, and each
 * call on the socket takes this report away. So a socket is dirty, and must be asked before the
 * loop may sleep, after its descriptor was ready and after each send. It is clean when it was asked
 * and had nothing. */
struct waker {
	int fd;
	bool dirty;
};

/* 0 or DP_EIO. */
int waker_open(struct waker *w, void *socket);

/* Takes what waits with take(), which returns false when there is nothing. A bound keeps one socket
 * from starving the others; if it is reached the socket stays dirty. */
void waker_drain(struct waker *w, bool (*take)(void *arg), void *arg);

/* 0, or another number and errno. */
int socket_set_int(void *socket, int option, int value);
int socket_set_text(void *socket, int option, const char *text);

/* The options of both ends of a link. 0, or another number and errno. */
int socket_set_common(void *socket, const char *address);

#endif
