/* SPDX-License-Identifier: MIT */
#include "node/conns.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "node/internal.h"

#define SEND_IOV 32

_Static_assert(CONN_PATH_MAX == sizeof((struct sockaddr_un *)0)->sun_path, "unix(7)");

struct conn_answer {
	struct conn_answer *next;
	struct dp_buf *data; /* after the head; NULL: none */
	uint32_t head_size;
	uint8_t head[];
};

/* ---- opening ---- */

int conns_listen(const struct node *n, const char *name)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	int length = snprintf(a.sun_path, sizeof a.sun_path, "%s/%s", n->cfg->state, name);
	if (length >= (int)sizeof a.sun_path) {
		dp_log(DP_LOG_ERROR, "path-too-long", "path=%s/%s limit=%zu", n->cfg->state, name,
			sizeof a.sun_path - 1);
		return -1;
	}
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	unlink(a.sun_path);
	mode_t mask = umask(0077);
	bool bad = fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) || listen(fd, 64);
	umask(mask);
	if (bad) {
		dp_log(DP_LOG_ERROR, "listen-failed", "path=%s error=\"%s\"", a.sun_path,
			strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	return fd;
}

void conns_accept(struct node *n, int listener, const struct conn_kind *kind)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct conn *c = n->conn_count < CONNS_MAX ? calloc(1, kind->size) : NULL;
	uint8_t *in = c ? malloc(CONN_BUFFER_BYTES) : NULL;
	if (!in) {
		dp_log(DP_LOG_WARNING, "connection-refused", "limit=%d", CONNS_MAX);
		free(c);
		close(fd);
		return;
	}
	*c = (struct conn){.kind = kind, .fd = fd, .in = in, .in_room = CONN_BUFFER_BYTES};
	c->out_end = &c->out;
	n->conns[n->conn_count++] = c;
}

/* ---- answers ---- */

void conn_answer(struct conn *c, const void *head, uint32_t size, struct dp_buf *data)
{
	struct conn_answer *a = malloc(sizeof *a + size);
	if (!a) {
		c->closing = true;
		return;
	}
	*a = (struct conn_answer){.data = dp_buf_ref(data), .head_size = size};
	memcpy(a->head, head, size);
	*c->out_end = a;
	c->out_end = &a->next;
	c->out_count++;
}

static void drop_first(struct conn *c)
{
	struct conn_answer *a = c->out;
	c->out = a->next;
	if (!c->out)
		c->out_end = &c->out;
	c->out_sent = 0;
	c->out_count--;
	dp_buf_unref(&a->data);
	free(a);
}

static int fill_iov(const struct conn *c, struct iovec *iov)
{
	int count = 0;
	size_t skip = c->out_sent;
	for (struct conn_answer *a = c->out; a && count + 2 <= SEND_IOV; a = a->next) {
		size_t head = a->head_size, data = a->data ? a->data->size : 0;
		if (skip < head)
			iov[count++] = (struct iovec){a->head + skip, head - skip};
		size_t into = skip > head ? skip - head : 0;
		if (data > into)
			iov[count++] = (struct iovec){a->data->data + into, data - into};
		skip = 0;
	}
	return count;
}

static void drop_sent(struct conn *c, size_t sent)
{
	while (c->out && sent) {
		size_t whole = c->out->head_size + (c->out->data ? c->out->data->size : 0);
		size_t rest = whole - c->out_sent;
		if (sent < rest) {
			c->out_sent += sent;
			return;
		}
		sent -= rest;
		drop_first(c);
	}
}

static void send_out(struct conn *c)
{
	while (c->out) {
		struct iovec iov[SEND_IOV];
		struct msghdr m = {.msg_iov = iov};
		m.msg_iovlen = (size_t)fill_iov(c, iov);
		ssize_t sent = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0) {
			if (errno == EAGAIN || errno == EINTR)
				return;
			c->closing = true;
			while (c->out)
				drop_first(c); /* the other end takes none of it */
			return;
		}
		drop_sent(c, (size_t)sent);
	}
}

/* ---- input ---- */

bool conn_receive(struct conn *c, void *to, size_t room, size_t *got)
{
	ssize_t r = recv(c->fd, to, room, MSG_DONTWAIT);
	if (r <= 0) {
		if (r == 0 || (errno != EAGAIN && errno != EINTR))
			c->closing = true;
		return false;
	}
	*got = (size_t)r;
	return true;
}

unsigned conns_watch(const struct node *n, struct pollfd *fds)
{
	for (unsigned i = 0; i < n->conn_count; i++) {
		const struct conn *c = n->conns[i];
		bool reads = !c->closing && c->kind->wants_input(c);
		fds[i] = (struct pollfd){.fd = c->fd,
			.events = (short)((reads ? POLLIN : 0) | (c->out ? POLLOUT : 0))};
	}
	return n->conn_count;
}

void conns_ready(struct node *n, const struct pollfd *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct conn *c = n->conns[i];
		if (fds[i].revents & POLLOUT)
			send_out(c);
		if (fds[i].revents & (POLLIN | POLLHUP | POLLERR))
			c->kind->take_input(n, c);
	}
}

/* ---- closing ---- */

static void close_conn(struct node *n, struct conn *c)
{
	if (c->kind->closed)
		c->kind->closed(n, c);
	while (c->out)
		drop_first(c);
	close(c->fd);
	for (unsigned i = 0; i < n->conn_count; i++) {
		if (n->conns[i] != c)
			continue;
		memmove(&n->conns[i], &n->conns[i + 1],
			(n->conn_count - i - 1) * sizeof n->conns[0]);
		n->conn_count--;
		break;
	}
	free(c->in);
	free(c);
}

bool conns_flush(struct node *n)
{
	bool any = false;
	for (unsigned i = n->conn_count; i-- > 0;) {
		struct conn *c = n->conns[i];
		any |= c->kind->resume(n, c);
		if (c->out)
			send_out(c);
		if (c->closing && c->kind->is_done(c))
			close_conn(n, c);
	}
	return any;
}

void conns_close(struct node *n)
{
	while (n->conn_count)
		close_conn(n, n->conns[0]);
}
