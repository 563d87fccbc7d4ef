/* SPDX-License-Identifier: MIT */
/* The host's channel (proto/host.h): requests of hosts go to their streams, and answers back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node/conns.h"
#include "node/internal.h"
#include "proto/host.h"

/* A request that its stream has; the stream knows it as its tag. */
struct host_request {
	struct host *host;
	struct dp_channel_request r;
	struct host_request *next, *prev;
};

/* A connection of a host. */
struct host {
	struct conn conn;
	/* The request that is being received, and its payload, of which payload_got bytes have
	 * come; NULL: no payload is being received. */
	struct dp_channel_request pending;
	struct dp_buf *payload;
	size_t payload_got;
	/* Set by HELLO. */
	struct node_stream *stream;
	const struct dp_node_volume *volume;
	uint64_t client;
	struct host_request *requests; /* under way */
	unsigned request_count;
};

static struct host *host_of(struct conn *c)
{
	return (struct host *)c;
}

static bool host_wants_input(const struct conn *c)
{
	const struct host *h = (const struct host *)c;
	return h->request_count + c->out_count < CONN_REQUESTS &&
		!(h->stream && dp_stream_full(h->stream->stream));
}

/* ---- answers ---- */

static void answer_host_request(struct host *h, const struct dp_channel_request *r, int error,
	uint64_t set, const void *info, struct dp_buf *data)
{
	uint8_t head[DP_CHANNEL_REPLY_SIZE + DP_CHANNEL_HELLO_SIZE];
	uint32_t extra = info ? DP_CHANNEL_HELLO_SIZE : 0;
	struct dp_channel_reply reply = {.type = r->type,
		.error = error,
		.id = r->id,
		.set = set,
		.payload_len = extra + (data ? (uint32_t)data->size : 0)};
	dp_channel_reply_encode(&reply, head);
	if (info)
		memcpy(head + DP_CHANNEL_REPLY_SIZE, info, extra);
	conn_answer(&h->conn, head, DP_CHANNEL_REPLY_SIZE + extra, data);
}

/* The errors that a disk may report to its host. */
static int errno_for_host(int err)
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

void hosts_reply(void *tag, int err, uint64_t set, struct dp_buf *data)
{
	struct host_request *r = tag;
	if (!r)
		return; /* a mark of our own */
	struct host *h = r->host;
	answer_host_request(h, &r->r, errno_for_host(err), set, NULL, err ? NULL : data);
	if (r->next)
		r->next->prev = r->prev;
	if (r->prev)
		r->prev->next = r->next;
	else
		h->requests = r->next;
	h->request_count--;
	free(r);
}

/* ---- requests ---- */

static bool choose_volume(struct node *n, struct host *h)
{
	for (unsigned s = 0; s < n->cfg->stream_count; s++) {
		const struct dp_node_stream *cfg = n->streams[s].cfg;
		for (unsigned v = 0; v < cfg->volume_count; v++) {
			const char *name = cfg->volumes[v].name;
			if (strlen(name) != h->payload->size ||
				memcmp(name, h->payload->data, h->payload->size))
				continue;
			h->stream = &n->streams[s];
			h->volume = &cfg->volumes[v];
			return true;
		}
	}
	return false;
}

static void take_hello(struct node *n, struct host *h, const struct dp_channel_request *r)
{
	uint8_t info[DP_CHANNEL_HELLO_SIZE];
	if (!choose_volume(n, h)) {
		answer_host_request(h, r, ENOENT, 0, NULL, NULL);
		return;
	}
	struct dp_channel_volume volume = {.size = h->volume->size,
		.max_payload = DP_PAYLOAD_MAX,
		.max_extent = DP_EXTENT_MAX,
		.max_requests = CONN_REQUESTS};
	dp_channel_volume_encode(&volume, info);
	h->client = r->client;
	dp_log(DP_LOG_INFO, "host-connected", "volume=%s client=%016llx", h->volume->name,
		(unsigned long long)r->client);
	answer_host_request(h, r, 0, 0, info, NULL);
}

static void answer_list(struct node *n, struct host *h, const struct dp_channel_request *r)
{
	struct dp_buf *names = dp_buf_new(DP_CHANNEL_LIST_MAX);
	if (!names) {
		answer_host_request(h, r, EIO, 0, NULL, NULL);
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
	answer_host_request(h, r, 0, 0, NULL, names);
	dp_buf_unref(&names);
}

static int check_request(const struct host *h, const struct dp_channel_request *r)
{
	static const uint32_t most[] = {[DP_CHANNEL_READ] = DP_PAYLOAD_MAX,
		[DP_CHANNEL_WRITE] = DP_PAYLOAD_MAX,
		[DP_CHANNEL_TRIM] = DP_EXTENT_MAX,
		[DP_CHANNEL_ZERO] = DP_EXTENT_MAX};
	/* 0 names nothing: such a request could not be told from its replay. */
	if (!h->volume || r->client != h->client || !r->client || !r->id)
		return EPROTO;
	if (r->type == DP_CHANNEL_FLUSH)
		return 0;
	if (r->length == 0 || r->length > most[r->type] || r->offset > h->volume->size ||
		r->length > h->volume->size - r->offset)
		return EINVAL;
	return r->type == DP_CHANNEL_WRITE && r->length != r->payload_len ? EINVAL : 0;
}

static void submit_request(struct host *h, const struct dp_channel_request *r)
{
	static const uint8_t ops[] = {[DP_CHANNEL_WRITE] = DP_OP_WRITE,
		[DP_CHANNEL_TRIM] = DP_OP_TRIM,
		[DP_CHANNEL_ZERO] = DP_OP_ZERO,
		[DP_CHANNEL_FLUSH] = DP_OP_FLUSH};
	int error = check_request(h, r);
	struct host_request *tag = error ? NULL : calloc(1, sizeof *tag);
	if (!tag) {
		answer_host_request(h, r, error ? error : EIO, 0, NULL, NULL);
		return;
	}
	*tag = (struct host_request){.host = h, .r = *r, .next = h->requests};
	if (tag->next)
		tag->next->prev = tag;
	h->requests = tag;
	h->request_count++;
	bool whole = r->type == DP_CHANNEL_FLUSH;
	struct dp_host_request request = {
		.tag = tag,
		.op = ops[r->type],
		.flags = r->flags & DP_CHANNEL_FUA ? DP_RECORD_FUA : 0,
		.volume = whole ? 0 : h->volume->id,
		.length = whole ? 0 : r->length,
		.offset = whole ? 0 : r->offset,
		.client = r->client,
		.request = r->id,
		.set = r->set,
		.time_us = node_wall_us(),
		.payload = h->payload,
		.unchanged = h->volume->skip_unchanged,
	};
	if (!dp_stream_request(h->stream->stream, &request))
		hosts_reply(tag, DP_EBUSY, 0, NULL);
}

static void take_request(struct node *n, struct host *h)
{
	const struct dp_channel_request *r = &h->pending;
	if (r->type == DP_CHANNEL_HELLO && r->payload_len && !h->volume)
		take_hello(n, h, r);
	else if (r->type == DP_CHANNEL_LIST)
		answer_list(n, h, r);
	else if (r->type == DP_CHANNEL_HELLO)
		h->conn.closing = true;
	else
		submit_request(h, r);
	dp_buf_unref(&h->payload);
}

/* ---- input ---- */

/* Takes the payload of the pending request as far as `size` bytes at `from` have it, and returns
 * how much that was. The rest is received straight into its own buffer. */
static uint32_t begin_payload(struct host *h, const uint8_t *from, uint32_t size)
{
	uint32_t have = size < h->pending.payload_len ? size : h->pending.payload_len;
	h->payload = dp_buf_new(h->pending.payload_len);
	if (!h->payload) {
		h->conn.closing = true;
		return 0;
	}
	memcpy(h->payload->data, from, have);
	h->payload_got = have;
	return have;
}

/* Takes what is in the buffer; false: it has no whole request. */
static bool take_requests(struct node *n, struct host *h)
{
	struct conn *c = &h->conn;
	bool any = false;
	uint32_t at = 0;
	while (!c->closing && host_wants_input(c) && c->in_size - at >= DP_CHANNEL_REQUEST_SIZE) {
		if (dp_channel_request_decode(c->in + at, &h->pending)) {
			dp_log(DP_LOG_WARNING, "bad-request", "from=host closing=1");
			c->closing = true;
			break;
		}
		at += DP_CHANNEL_REQUEST_SIZE;
		if (h->pending.payload_len) {
			at += begin_payload(h, c->in + at, c->in_size - at);
			if (c->closing || h->payload_got < h->pending.payload_len)
				break;
		}
		take_request(n, h);
		any = true;
	}
	memmove(c->in, c->in + at, c->in_size - at);
	c->in_size -= at;
	return any;
}

static void receive_requests(struct node *n, struct conn *c)
{
	struct host *h = host_of(c);
	size_t got;
	if (h->payload) {
		if (!conn_receive(c, h->payload->data + h->payload_got,
			    h->payload->size - h->payload_got, &got))
			return;
		h->payload_got += got;
		if (h->payload_got < h->payload->size)
			return;
		take_request(n, h);
	} else if (c->in_size < c->in_room) {
		if (!conn_receive(c, c->in + c->in_size, c->in_room - c->in_size, &got))
			return;
		c->in_size += (uint32_t)got;
	}
	take_requests(n, h);
}

static bool resume_requests(struct node *n, struct conn *c)
{
	struct host *h = host_of(c);
	return !h->payload && c->in_size >= DP_CHANNEL_REQUEST_SIZE && take_requests(n, h);
}

/* ---- closing ---- */

/* A host connects again and repeats what was not answered. */
static bool host_is_done(const struct conn *c)
{
	(void)c;
	return true;
}

static bool is_of_host(void *tag, void *arg)
{
	struct host_request *r = tag;
	return r && r->host == arg;
}

static void forget_host(struct node *n, struct conn *c)
{
	struct host *h = host_of(c);
	(void)n;
	if (h->volume)
		dp_log(DP_LOG_INFO, "host-gone", "volume=%s client=%016llx unanswered=%u",
			h->volume->name, (unsigned long long)h->client, h->request_count);
	if (h->stream)
		dp_stream_forget(h->stream->stream, is_of_host, h);
	while (h->requests) {
		struct host_request *r = h->requests;
		h->requests = r->next;
		free(r);
	}
	dp_buf_unref(&h->payload);
}

/* ---- all hosts ---- */

static const struct conn_kind hosts_kind = {sizeof(struct host), host_wants_input, receive_requests,
	resume_requests, host_is_done, forget_host};

int hosts_open(struct node *n)
{
	if (n->cfg->role != DP_CORE_CONTROLLER)
		return 0;
	n->host_fd = conns_listen(n, "host.sock");
	return n->host_fd < 0 ? DP_ECONFIG : 0;
}

void hosts_accept(struct node *n)
{
	conns_accept(n, n->host_fd, &hosts_kind);
}

void hosts_hang_up(struct node *n)
{
	for (unsigned i = 0; i < n->conn_count; i++)
		if (n->conns[i]->kind == &hosts_kind)
			n->conns[i]->closing = true;
	conns_flush(n);
}

bool hosts_use(const struct node *n, const char *volume)
{
	for (unsigned i = 0; i < n->conn_count; i++) {
		const struct host *h = (const struct host *)n->conns[i];
		if (h->conn.kind == &hosts_kind && h->volume &&
			strcmp(h->volume->name, volume) == 0)
			return true;
	}
	return false;
}

void hosts_close(struct node *n)
{
	if (n->host_fd >= 0)
		close(n->host_fd);
}
