/* SPDX-License-Identifier: MIT */
/* Local Unix sockets: hosts (proto/host.h) and the control line protocol. */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node/internal.h"

#define IN_SIZE  65536u
#define SEND_IOV 32

struct request {
	struct conn *conn;
	struct dp_channel_request r;
	struct request *next, *prev;
};

struct out {
	struct out *next;
	struct dp_buf *data; /* after the header; NULL: none */
	uint32_t head_size;
	uint8_t head[];
};

struct conn {
	int fd;
	bool host, closing;
	uint8_t *in;
	uint32_t in_size, in_room;
	/* host: a payload that is being received */
	struct dp_channel_request pending;
	struct dp_buf *payload;
	size_t payload_got;
	/* host: after HELLO */
	struct node_stream *stream;
	const struct dp_node_volume *volume;
	uint64_t client;
	struct request *requests;
	unsigned request_count;
	struct out *out, **out_end;
	unsigned out_count;
	size_t out_sent; /* of the first one */
};

int local_conn_fd(const struct conn *c)
{
	return c->fd;
}

/* A host whose requests find no place waits in its socket, and so does whoever takes no answers:
 * what is kept for a connection is bounded. */
static bool may_take(const struct conn *c)
{
	return c->request_count + c->out_count < HOST_REQUESTS &&
		!(c->stream && dp_stream_full(c->stream->stream));
}

short local_wants(const struct conn *c)
{
	bool read = !c->closing && may_take(c) && (c->host || c->in_size < c->in_room);
	return (short)((read ? POLLIN : 0) | (c->out ? POLLOUT : 0));
}

/* ---- output ---- */

static void enqueue(struct conn *c, const void *head, uint32_t size, struct dp_buf *data)
{
	struct out *o = malloc(sizeof *o + size);
	if (!o) {
		c->closing = true;
		return;
	}
	*o = (struct out){.data = dp_buf_ref(data), .head_size = size};
	memcpy(o->head, head, size);
	*c->out_end = o;
	c->out_end = &o->next;
	c->out_count++;
}

static void drop_first(struct conn *c)
{
	struct out *o = c->out;
	c->out = o->next;
	if (!c->out)
		c->out_end = &c->out;
	c->out_sent = 0;
	c->out_count--;
	dp_buf_unref(&o->data);
	free(o);
}

static int fill_iov(struct conn *c, struct iovec *iov)
{
	int count = 0;
	size_t skip = c->out_sent;
	for (struct out *o = c->out; o && count + 2 <= SEND_IOV; o = o->next) {
		size_t head = o->head_size, data = o->data ? o->data->size : 0;
		if (skip < head)
			iov[count++] = (struct iovec){o->head + skip, head - skip};
		size_t into = skip > head ? skip - head : 0;
		if (data > into)
			iov[count++] = (struct iovec){o->data->data + into, data - into};
		skip = 0;
	}
	return count;
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
				drop_first(c); /* nobody will take it */
			return;
		}
		size_t left = (size_t)sent;
		while (c->out && left) {
			size_t whole = c->out->head_size + (c->out->data ? c->out->data->size : 0);
			size_t rest = whole - c->out_sent;
			if (left < rest) {
				c->out_sent += left;
				break;
			}
			left -= rest;
			drop_first(c);
		}
	}
}

/* ---- closing ---- */

static bool parse_host(struct node *n, struct conn *c);
static void parse_control(struct node *n, struct conn *c);

static bool belongs(void *tag, void *arg)
{
	struct request *r = tag;
	return r && r->conn == arg;
}

static void close_conn(struct node *n, struct conn *c)
{
	if (c->volume)
		dp_log(DP_LOG_INFO, "host-gone", "volume=%s client=%016llx unanswered=%u",
			c->volume->name, (unsigned long long)c->client, c->request_count);
	if (c->stream)
		dp_stream_forget(c->stream->stream, belongs, c);
	while (c->requests) {
		struct request *r = c->requests;
		c->requests = r->next;
		free(r);
	}
	while (c->out)
		drop_first(c);
	dp_buf_unref(&c->payload);
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

bool local_flush(struct node *n)
{
	bool any = false;
	for (unsigned i = n->conn_count; i-- > 0;) {
		struct conn *c = n->conns[i];
		/* What had to wait for a place among the open requests. */
		if (c->host && !c->payload && c->in_size >= DP_CHANNEL_REQUEST_SIZE)
			any |= parse_host(n, c);
		else if (!c->host && c->in_size)
			parse_control(n, c);
		if (c->out)
			send_out(c);
		if (c->closing && (c->host || (!c->out && !memchr(c->in, '\n', c->in_size))))
			close_conn(n, c);
	}
	return any;
}

void local_hang_up(struct node *n)
{
	for (unsigned i = 0; i < n->conn_count; i++)
		if (n->conns[i]->host)
			n->conns[i]->closing = true;
	local_flush(n);
}

bool local_uses(const struct node *n, const char *volume)
{
	for (unsigned i = 0; i < n->conn_count; i++)
		if (n->conns[i]->volume && strcmp(n->conns[i]->volume->name, volume) == 0)
			return true;
	return false;
}

/* ---- host requests ---- */

static void answer(struct conn *c, const struct dp_channel_request *r, int error, uint64_t set,
	const void *data, struct dp_buf *buf)
{
	uint8_t head[DP_CHANNEL_REPLY_SIZE + DP_CHANNEL_HELLO_SIZE];
	uint32_t extra = data ? DP_CHANNEL_HELLO_SIZE : 0;
	struct dp_channel_reply reply = {.type = r->type,
		.error = error,
		.id = r->id,
		.set = set,
		.payload_len = extra + (buf ? (uint32_t)buf->size : 0)};
	dp_channel_reply_encode(&reply, head);
	if (data)
		memcpy(head + DP_CHANNEL_REPLY_SIZE, data, extra);
	enqueue(c, head, DP_CHANNEL_REPLY_SIZE + extra, buf);
}

/* What a disk may say to its host. */
static int to_errno(int err)
{
	switch (err) {
	case 0:
		return 0;
	case DP_ENOSPC:
		return ENOSPC;
	case DP_EINVAL:
	case DP_ERANGE:
		return EINVAL;
	default:
		return EIO;
	}
}

void local_reply(struct node *n, void *tag, int err, uint64_t set, struct dp_buf *data)
{
	struct request *r = tag;
	(void)n;
	if (!r)
		return; /* a mark of our own */
	struct conn *c = r->conn;
	answer(c, &r->r, to_errno(err), set, NULL, err ? NULL : data);
	if (r->next)
		r->next->prev = r->prev;
	if (r->prev)
		r->prev->next = r->next;
	else
		c->requests = r->next;
	c->request_count--;
	free(r);
}

static void hello(struct node *n, struct conn *c, const struct dp_channel_request *r)
{
	for (unsigned s = 0; s < n->cfg->stream_count; s++) {
		const struct dp_node_stream *cfg = n->streams[s].cfg;
		for (unsigned v = 0; v < cfg->volume_count; v++) {
			const struct dp_node_volume *volume = &cfg->volumes[v];
			if (strlen(volume->name) != c->payload->size ||
				memcmp(volume->name, c->payload->data, c->payload->size))
				continue;
			uint8_t info[DP_CHANNEL_HELLO_SIZE];
			struct dp_channel_volume lv = {.size = volume->size,
				.max_payload = DP_PAYLOAD_MAX,
				.max_extent = DP_EXTENT_MAX,
				.max_requests = HOST_REQUESTS};
			dp_channel_volume_encode(&lv, info);
			c->stream = &n->streams[s];
			c->volume = volume;
			c->client = r->client;
			dp_log(DP_LOG_INFO, "host-connected", "volume=%s client=%016llx",
				volume->name, (unsigned long long)r->client);
			answer(c, r, 0, 0, info, NULL);
			return;
		}
	}
	answer(c, r, ENOENT, 0, NULL, NULL);
}

static void list(struct node *n, struct conn *c, const struct dp_channel_request *r)
{
	struct dp_buf *names = dp_buf_new(DP_CHANNEL_LIST_MAX);
	if (!names) {
		answer(c, r, EIO, 0, NULL, NULL);
		return;
	}
	size_t used = 0;
	for (unsigned s = 0; s < n->cfg->stream_count; s++) {
		const struct dp_node_stream *cfg = n->streams[s].cfg;
		for (unsigned v = 0; v < cfg->volume_count; v++) {
			size_t size = strlen(cfg->volumes[v].name) + 1;
			if (used + size > DP_CHANNEL_LIST_MAX)
				break;
			memcpy(names->data + used, cfg->volumes[v].name, size);
			used += size;
		}
	}
	names->size = used;
	answer(c, r, 0, 0, NULL, names);
	dp_buf_unref(&names);
}

static int check_request(const struct conn *c, const struct dp_channel_request *r)
{
	static const uint32_t most[] = {[DP_CHANNEL_READ] = DP_PAYLOAD_MAX,
		[DP_CHANNEL_WRITE] = DP_PAYLOAD_MAX,
		[DP_CHANNEL_TRIM] = DP_EXTENT_MAX,
		[DP_CHANNEL_ZERO] = DP_EXTENT_MAX};
	/* 0 names nothing: such a request could not be told from its replay. */
	if (!c->volume || r->client != c->client || !r->client || !r->id)
		return EPROTO;
	if (r->type == DP_CHANNEL_FLUSH)
		return 0;
	if (r->length == 0 || r->length > most[r->type] || r->offset > c->volume->size ||
		r->length > c->volume->size - r->offset)
		return EINVAL;
	return r->type == DP_CHANNEL_WRITE && r->length != r->payload_len ? EINVAL : 0;
}

static void submit(struct node *n, struct conn *c, const struct dp_channel_request *r)
{
	static const uint8_t ops[] = {[DP_CHANNEL_WRITE] = DP_OP_WRITE,
		[DP_CHANNEL_TRIM] = DP_OP_TRIM,
		[DP_CHANNEL_ZERO] = DP_OP_ZERO,
		[DP_CHANNEL_FLUSH] = DP_OP_FLUSH};
	int error = check_request(c, r);
	struct request *tag = error ? NULL : calloc(1, sizeof *tag);
	if (!tag) {
		answer(c, r, error ? error : EIO, 0, NULL, NULL);
		return;
	}
	*tag = (struct request){.conn = c, .r = *r, .next = c->requests};
	if (tag->next)
		tag->next->prev = tag;
	c->requests = tag;
	c->request_count++;
	struct dp_host_request h = {
		.tag = tag,
		.op = ops[r->type],
		.flags = r->flags & DP_CHANNEL_FUA ? DP_RECORD_FUA : 0,
		.volume = r->type == DP_CHANNEL_FLUSH ? 0 : c->volume->id,
		.length = r->type == DP_CHANNEL_FLUSH ? 0 : r->length,
		.offset = r->type == DP_CHANNEL_FLUSH ? 0 : r->offset,
		.client = r->client,
		.request = r->id,
		.set = r->set,
		.time_us = node_wall_us(),
		.payload = c->payload,
		.unchanged = c->volume->skip_unchanged,
	};
	if (!dp_stream_request(c->stream->stream, &h))
		local_reply(n, tag, DP_EBUSY, 0, NULL);
}

static void take(struct node *n, struct conn *c, const struct dp_channel_request *r)
{
	if (r->type == DP_CHANNEL_HELLO && r->payload_len && !c->volume)
		hello(n, c, r);
	else if (r->type == DP_CHANNEL_LIST)
		list(n, c, r);
	else if (r->type == DP_CHANNEL_HELLO)
		c->closing = true;
	else
		submit(n, c, r);
	dp_buf_unref(&c->payload);
}

/* Parses what is in the buffer; false: no whole request. A payload that is not whole yet is
 * received straight into its own buffer. */
static bool parse_host(struct node *n, struct conn *c)
{
	bool any = false;
	uint32_t at = 0;
	while (!c->closing && may_take(c) && c->in_size - at >= DP_CHANNEL_REQUEST_SIZE) {
		struct dp_channel_request *r = &c->pending;
		if (dp_channel_request_decode(c->in + at, r)) {
			dp_log(DP_LOG_WARNING, "bad-request", "from=host closing=1");
			c->closing = true;
			break;
		}
		at += DP_CHANNEL_REQUEST_SIZE;
		if (r->payload_len) {
			c->payload = dp_buf_new(r->payload_len);
			if (!c->payload) {
				c->closing = true;
				break;
			}
			size_t have = c->in_size - at < r->payload_len ? c->in_size - at
								       : r->payload_len;
			memcpy(c->payload->data, c->in + at, have);
			at += (uint32_t)have;
			c->payload_got = have;
			if (have < r->payload_len)
				break;
		}
		take(n, c, r);
		any = true;
	}
	memmove(c->in, c->in + at, c->in_size - at);
	c->in_size -= at;
	return any;
}

static bool receive(struct conn *c, void *to, size_t room, size_t *got)
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

static void ready_host(struct node *n, struct conn *c)
{
	size_t got;
	if (c->payload) {
		if (!receive(c, c->payload->data + c->payload_got,
			    c->payload->size - c->payload_got, &got))
			return;
		c->payload_got += got;
		if (c->payload_got < c->payload->size)
			return;
		take(n, c, &c->pending);
	} else if (IN_SIZE - c->in_size > 0) {
		if (!receive(c, c->in + c->in_size, IN_SIZE - c->in_size, &got))
			return;
		c->in_size += (uint32_t)got;
	}
	parse_host(n, c);
}

/* ---- control ---- */

/* Most questions are short; a topology is not. */
static bool grow(struct conn *c)
{
	uint32_t room = 2 * c->in_room;
	uint8_t *in = room <= DP_CONTROL_LINE_MAX ? realloc(c->in, room) : NULL;
	if (!in)
		return false;
	c->in = in;
	c->in_room = room;
	return true;
}

static void parse_control(struct node *n, struct conn *c)
{
	uint8_t *end;
	while (may_take(c) && (end = memchr(c->in, '\n', c->in_size)) != NULL) {
		uint32_t size = (uint32_t)(end - c->in) + 1;
		json_t *request = json_loadb((char *)c->in, size - 1, JSON_REJECT_DUPLICATES, NULL);
		json_t *reply = control_answer(n, request, DP_RIGHTS_ADMINISTER);
		char *text = json_dumps(reply, JSON_COMPACT);
		if (text) {
			enqueue(c, text, (uint32_t)strlen(text), NULL);
			enqueue(c, "\n", 1, NULL);
		}
		free(text);
		json_decref(reply);
		json_decref(request);
		memmove(c->in, c->in + size, c->in_size - size);
		c->in_size -= size;
	}
	if (c->in_size == c->in_room && !memchr(c->in, '\n', c->in_size) && !grow(c))
		c->closing = true; /* a line beyond the limit */
}

static void ready_control(struct node *n, struct conn *c)
{
	size_t got;
	if (!receive(c, c->in + c->in_size, c->in_room - c->in_size, &got))
		return;
	c->in_size += (uint32_t)got;
	parse_control(n, c);
}

/* ---- sockets ---- */

void local_ready(struct node *n, struct conn *c, short events)
{
	if (events & POLLOUT)
		send_out(c);
	if (events & (POLLIN | POLLHUP | POLLERR)) {
		if (c->host)
			ready_host(n, c);
		else
			ready_control(n, c);
	}
}

static int listen_at(const struct node *n, const char *name)
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

int local_open(struct node *n)
{
	n->control_fd = listen_at(n, "control.sock");
	n->host_fd = n->cfg->role == DP_CORE_CONTROLLER ? listen_at(n, "host.sock") : -1;
	bool bad = n->control_fd < 0 || (n->cfg->role == DP_CORE_CONTROLLER && n->host_fd < 0);
	return bad ? DP_ECONFIG : 0;
}

void local_accept(struct node *n, int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return;
	struct conn *c = n->conn_count < NODE_CONNS_MAX ? calloc(1, sizeof *c) : NULL;
	uint8_t *in = c ? malloc(IN_SIZE) : NULL;
	if (!in) {
		dp_log(DP_LOG_WARNING, "connection-refused", "limit=%d", NODE_CONNS_MAX);
		free(c);
		close(fd);
		return;
	}
	*c = (struct conn){.fd = fd, .host = listener == n->host_fd, .in = in, .in_room = IN_SIZE};
	c->out_end = &c->out;
	n->conns[n->conn_count++] = c;
}

void local_close(struct node *n)
{
	while (n->conn_count)
		close_conn(n, n->conns[0]);
	if (n->host_fd >= 0)
		close(n->host_fd);
	if (n->control_fd >= 0)
		close(n->control_fd);
}
