/* SPDX-License-Identifier: MIT */
/* The connection's life: connect, HELLO, loss, and again. */
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

uint64_t client_now_ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

/* What a controller says is not trusted to be an error of the list. */
int client_clean_error(int error)
{
	switch (error) {
	case 0:
	case EIO:
	case ENOSPC:
	case EINVAL:
	case EPERM:
	case ESHUTDOWN:
	case ENOENT:
	case EPROTO:
		return error;
	default:
		return EIO;
	}
}

int client_set_address(struct sockaddr_un *address, const char *path)
{
	size_t size = strlen(path);
	if (size == 0 || size >= sizeof address->sun_path)
		return EINVAL;
	*address = (struct sockaddr_un){.sun_family = AF_UNIX};
	memcpy(address->sun_path, path, size);
	return 0;
}

static int watch(struct dipole_client *c, int fd)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};
	return epoll_ctl(c->epoll, EPOLL_CTL_ADD, fd, &e) ? EIO : 0;
}

int client_session_init(struct dipole_client *c, const char *path, const char *volume)
{
	size_t size = strlen(volume);
	if (client_set_address(&c->address, path) || size == 0 || size > DP_NAME_MAX)
		return EINVAL;
	memcpy(c->volume, volume, size);
	while (c->client_id == 0)
		if (getrandom(&c->client_id, sizeof c->client_id, 0) != sizeof c->client_id)
			return EIO;
	c->epoll = epoll_create1(EPOLL_CLOEXEC);
	c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (c->epoll < 0 || c->timer < 0)
		return EIO;
	return watch(c, c->timer);
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void client_session_free(struct dipole_client *c)
{
	close_one(&c->fd);
	close_one(&c->timer);
	close_one(&c->epoll);
}

/* 0 disarms it. */
static void set_timer(struct dipole_client *c, uint64_t at_ms)
{
	struct itimerspec t = {
		.it_value.tv_sec = (time_t)(at_ms / 1000),
		.it_value.tv_nsec = (long)(at_ms % 1000) * 1000000,
	};
	timerfd_settime(c->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* The first attempt follows at once, later ones at growing distances; an answered request, not
 * the mere connection, makes the next loss a first one again. */
static void schedule_retry(struct dipole_client *c)
{
	c->state = CLIENT_DOWN;
	c->retry_at_ms = client_now_ms() + c->retry_ms;
	c->retry_ms = c->retry_ms ? 2 * c->retry_ms : CLIENT_RETRY_FIRST_MS;
	if (c->retry_ms > CLIENT_RETRY_LAST_MS)
		c->retry_ms = CLIENT_RETRY_LAST_MS;
	set_timer(c, c->retry_at_ms);
}

void client_break(struct dipole_client *c, int error)
{
	if (c->state != CLIENT_UP && c->state != CLIENT_HELLO)
		return;
	c->state = CLIENT_BROKEN;
	c->last_error = error;
	shutdown(c->fd, SHUT_RDWR);
}

void client_malformed(struct dipole_client *c)
{
	c->counters.malformed_replies++;
	client_break(c, EPROTO);
}

static void close_socket(struct dipole_client *c)
{
	while (c->sending || c->writing)
		client_quiet_wait(c);
	if (c->fd >= 0)
		epoll_ctl(c->epoll, EPOLL_CTL_DEL, c->fd, NULL);
	close_one(&c->fd);
	c->blocked = false;
	client_receive_reset(c);
}

/* The volume of this client is no more: nothing that is or will be asked can be answered. */
void client_fail(struct dipole_client *c, int error, struct done *done)
{
	client_break(c, error);
	close_socket(c);
	c->state = CLIENT_FAILED;
	c->refused = error;
	set_timer(c, 0);
	client_answer_all(c, EIO, done);
	client_nudge(&c->room, UINT32_MAX);
	client_nudge(&c->waiting, UINT32_MAX);
}

/* A socket that connect does not wait on (a full backlog), but recv does, a slice long. */
int client_open_socket(const struct sockaddr_un *address)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	int size = CLIENT_SEND_BUFFER;
	struct timeval slice = {.tv_usec = CLIENT_SLICE_MS * 1000};
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof slice);
	if (connect(fd, (const struct sockaddr *)address, sizeof *address) ||
		fcntl(fd, F_SETFL, 0)) {
		int error = errno;
		close_one(&fd);
		errno = error;
	}
	return fd;
}

/* Both fit into a fresh socket's buffer: a short write means it is broken. */
static int send_hello(struct dipole_client *c)
{
	uint8_t message[DP_CHANNEL_REQUEST_SIZE + DP_NAME_MAX];
	uint32_t size = (uint32_t)strlen(c->volume);
	struct dp_channel_request hello = {
		.type = DP_CHANNEL_HELLO,
		.payload_len = size,
		.client = c->client_id,
	};
	dp_channel_request_encode(&hello, message);
	memcpy(message + DP_CHANNEL_REQUEST_SIZE, c->volume, size);
	size += DP_CHANNEL_REQUEST_SIZE;
	return send(c->fd, message, size, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)size ? 0 : EIO;
}

static void try_connect(struct dipole_client *c)
{
	set_timer(c, 0);
	c->fd = client_open_socket(&c->address);
	if (c->fd < 0) {
		c->last_error = errno;
		schedule_retry(c);
		return;
	}
	c->state = CLIENT_HELLO;
	if (watch(c, c->fd) || send_hello(c))
		client_break(c, EIO);
}

void client_session_step(struct dipole_client *c)
{
	if (c->state == CLIENT_BROKEN) {
		close_socket(c);
		client_slots_rewind(c);
		schedule_retry(c);
	}
	if (c->state == CLIENT_DOWN && client_now_ms() >= c->retry_at_ms)
		try_connect(c);
}

static int first_hello(struct dipole_client *c, const struct dp_channel_volume *v)
{
	c->limits = *v;
	if (c->limits.max_requests > DP_HOST_REQUESTS_MAX)
		c->limits.max_requests = DP_HOST_REQUESTS_MAX;
	if (c->limits.max_payload > DP_PAYLOAD_MAX)
		c->limits.max_payload = DP_PAYLOAD_MAX;
	return client_slots_init(c);
}

static void volume_described(struct dipole_client *c, const struct dp_channel_volume *v,
	struct done *done)
{
	if (!c->slots && first_hello(c, v)) {
		client_fail(c, EIO, done);
		return;
	}
	/* One that has grown is used as far as it was known: who wants to see more connects anew.
	 */
	if (v->size < c->limits.size) {
		client_fail(c, EIO, done);
		return;
	}
	c->max_requests = v->max_requests < c->limits.max_requests ? v->max_requests
								   : c->limits.max_requests;
	c->counters.connections++;
	c->state = CLIENT_UP;
}

/* A refusal is final if it is about the volume; a controller that is starting or stopping is
 * asked again. */
void client_hello_answered(struct dipole_client *c, const struct dp_channel_reply *reply,
	const uint8_t *payload, struct done *done)
{
	struct dp_channel_volume v;
	int error = client_clean_error(reply->error);
	if (reply->type != DP_CHANNEL_HELLO)
		client_malformed(c);
	else if (error == ENOENT || error == EPERM || error == EINVAL || error == EPROTO)
		client_fail(c, error, done);
	else if (error)
		client_break(c, error);
	else if (dp_channel_volume_decode(payload, reply->payload_len, &v))
		client_malformed(c);
	else
		volume_described(c, &v, done);
}

void client_watch_output(struct dipole_client *c, bool blocked)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = c->fd};
	if (c->blocked == blocked)
		return;
	c->blocked = blocked;
	if (blocked)
		e.events |= EPOLLOUT;
	epoll_ctl(c->epoll, EPOLL_CTL_MOD, c->fd, &e);
}
