/* SPDX-License-Identifier: MIT */
/* Replies from the socket. Only the reader is here. */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"

static const uint8_t reply_types[] = {
	[DIPOLE_READ] = DP_CHANNEL_READ,
	[DIPOLE_WRITE] = DP_CHANNEL_WRITE,
	[DIPOLE_TRIM] = DP_CHANNEL_TRIM,
	[DIPOLE_ZERO] = DP_CHANNEL_ZERO,
	[DIPOLE_FLUSH] = DP_CHANNEL_FLUSH,
};

void client_receive_reset(struct dipole_client *c)
{
	c->rx_start = c->rx_end = 0;
	c->rx_slot = NULL;
	c->rx_left = 0;
}

/* Where the rest of a payload goes; NULL: nowhere. */
static uint8_t *payload_target(const struct dipole_client *c)
{
	const struct slot *s = c->rx_slot;
	return s->request ? (uint8_t *)s->request->buffer + (s->length - c->rx_left) : NULL;
}

/* The reply can overtake the sender's own return from sendmsg: let it finish with the buffer. */
static bool was_sent(struct dipole_client *c, const struct slot *s)
{
	uint64_t id = s->id;
	while (s->id == id && !s->sent && c->sending)
		client_quiet_wait(c);
	return s->id == id && s->sent;
}

static bool reply_fits(const struct dp_channel_reply *reply, const struct slot *s)
{
	uint32_t expected = s->op == DIPOLE_READ && !reply->error ? s->length : 0;
	return reply->type == reply_types[s->op] && reply->payload_len == expected;
}

static void take_reply(struct dipole_client *c, const struct dp_channel_reply *reply,
	struct done *done)
{
	struct slot *s = client_slot_find(c, reply->id);
	if (!s || !was_sent(c, s) || !reply_fits(reply, s)) {
		if (c->state == CLIENT_UP)
			client_malformed(c);
		return;
	}
	c->retry_ms = 0;
	if (reply->payload_len) {
		c->rx_slot = s;
		c->rx_left = reply->payload_len;
		c->rx_set = reply->set;
		return;
	}
	client_answer(c, s, client_clean_error(reply->error), reply->set, done);
}

static void end_payload(struct dipole_client *c, struct done *done)
{
	struct slot *s = c->rx_slot;
	c->rx_slot = NULL;
	client_answer(c, s, 0, c->rx_set, done);
}

static void take_payload(struct dipole_client *c, struct done *done)
{
	size_t size = c->rx_end - c->rx_start;
	if (size > c->rx_left)
		size = c->rx_left;
	uint8_t *target = payload_target(c);
	if (target)
		memcpy(target, c->rx + c->rx_start, size);
	c->rx_start += size;
	c->rx_left -= (uint32_t)size;
	if (c->rx_left == 0)
		end_payload(c, done);
}

/* False: more bytes are needed. */
static bool take_header(struct dipole_client *c, struct done *done)
{
	size_t size = c->rx_end - c->rx_start;
	struct dp_channel_reply reply;
	if (size < DP_CHANNEL_REPLY_SIZE)
		return false;
	const uint8_t *in = c->rx + c->rx_start;
	int err = dp_channel_reply_decode(in, &reply);
	if (err == DP_EVERSION && c->state == CLIENT_HELLO && !c->slots) {
		client_fail(c, EPROTO, done);
		return false;
	}
	if (err) {
		client_malformed(c);
		return false;
	}
	if (c->state == CLIENT_HELLO) {
		if (reply.payload_len > DP_CHANNEL_HELLO_SIZE) {
			client_malformed(c);
			return false;
		}
		if (size < DP_CHANNEL_REPLY_SIZE + reply.payload_len)
			return false;
		c->rx_start += DP_CHANNEL_REPLY_SIZE + reply.payload_len;
		client_hello_answered(c, &reply, in + DP_CHANNEL_REPLY_SIZE, done);
		return true;
	}
	c->rx_start += DP_CHANNEL_REPLY_SIZE;
	take_reply(c, &reply, done);
	return true;
}

static void take_input(struct dipole_client *c, struct done *done)
{
	while (c->state == CLIENT_UP || c->state == CLIENT_HELLO) {
		if (c->rx_left == 0) {
			if (!take_header(c, done))
				break;
		} else if (c->rx_start < c->rx_end) {
			take_payload(c, done);
		} else {
			break;
		}
	}
	if (c->rx_start > 0) {
		memmove(c->rx, c->rx + c->rx_start, c->rx_end - c->rx_start);
		c->rx_end -= c->rx_start;
		c->rx_start = 0;
	}
}

/* The payload's rest straight into the caller's buffer, what follows it into ours. */
static ssize_t receive_direct(struct dipole_client *c)
{
	struct iovec parts[] = {
		{.iov_base = payload_target(c), .iov_len = c->rx_left},
		{.iov_base = c->rx, .iov_len = sizeof c->rx},
	};
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
	int fd = c->fd;
	c->receiving = true;
	pthread_mutex_unlock(&c->mutex);
	ssize_t n = recvmsg(fd, &message, MSG_DONTWAIT);
	int error = errno;
	pthread_mutex_lock(&c->mutex);
	c->receiving = false;
	client_quiet_signal(c);
	errno = error;
	return n;
}

static void took_direct(struct dipole_client *c, size_t size, struct done *done)
{
	size_t payload = size < c->rx_left ? size : c->rx_left;
	c->rx_left -= (uint32_t)payload;
	c->rx_end = size - payload;
	if (c->rx_left == 0)
		end_payload(c, done);
}

static ssize_t receive_buffered(struct dipole_client *c, bool block)
{
	int fd = c->fd;
	pthread_mutex_unlock(&c->mutex);
	ssize_t n = recv(fd, c->rx + c->rx_end, sizeof c->rx - c->rx_end, block ? 0 : MSG_DONTWAIT);
	int error = errno;
	pthread_mutex_lock(&c->mutex);
	errno = error;
	return n;
}

void client_wait_events(struct dipole_client *c, int wait_ms)
{
	struct pollfd p = {.fd = c->epoll, .events = POLLIN};
	pthread_mutex_unlock(&c->mutex);
	poll(&p, 1, wait_ms);
	pthread_mutex_lock(&c->mutex);
}

void client_receive(struct dipole_client *c, int wait_ms, struct done *done)
{
	bool direct = c->rx_left && c->rx_end == 0 && c->rx_slot->request;
	/* recv alone would not notice that a full socket takes more again. */
	bool in_recv = wait_ms && !direct && !c->blocked && c->state == CLIENT_UP;
	ssize_t n = direct ? receive_direct(c) : receive_buffered(c, in_recv);
	if (n > 0) {
		if (direct)
			took_direct(c, (size_t)n, done);
		else
			c->rx_end += (size_t)n;
		take_input(c, done);
	} else if (n == 0) {
		client_break(c, ECONNRESET);
	} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
		if (wait_ms && !in_recv)
			client_wait_events(c, wait_ms);
	} else if (errno != EINTR) {
		client_break(c, errno);
	}
}
