/* SPDX-License-Identifier: MIT */
/* Requests onto the socket, in the order of ids, as many in one call as there are. */
#include "client/client.h"

#include <errno.h>
#include <sys/socket.h>

struct batch {
	uint8_t headers[CLIENT_BATCH][DP_CHANNEL_REQUEST_SIZE];
	struct iovec parts[2 * CLIENT_BATCH];
	size_t part_count;
};

static uint8_t wire_type(enum dipole_op op)
{
	static const uint8_t types[] = {
		[DIPOLE_READ] = DP_CHANNEL_READ,
		[DIPOLE_WRITE] = DP_CHANNEL_WRITE,
		[DIPOLE_TRIM] = DP_CHANNEL_TRIM,
		[DIPOLE_ZERO] = DP_CHANNEL_ZERO,
		[DIPOLE_FLUSH] = DP_CHANNEL_FLUSH,
	};
	return types[op];
}

static size_t wire_size(const struct slot *s)
{
	return DP_CHANNEL_REQUEST_SIZE + (s->op == DIPOLE_WRITE ? s->length : 0);
}

static void encode(const struct dipole_client *c, const struct slot *s, uint8_t *header)
{
	const struct dipole_request *r = s->request;
	struct dp_channel_request wire = {
		.type = wire_type(r->op),
		.flags = r->flags & DIPOLE_FUA ? DP_CHANNEL_FUA : 0,
		.length = s->length,
		.payload_len = s->op == DIPOLE_WRITE ? s->length : 0,
		.client = c->client_id,
		.id = s->id,
		.offset = r->offset,
		.set = r->set,
	};
	dp_channel_request_encode(&wire, header);
}

static void add_part(struct batch *b, void *data, size_t size, size_t *skip)
{
	size_t skipped = *skip < size ? *skip : size;
	*skip -= skipped;
	if (size > skipped)
		b->parts[b->part_count++] = (struct iovec){
			.iov_base = (uint8_t *)data + skipped,
			.iov_len = size - skipped,
		};
}

static void collect(struct dipole_client *c, struct batch *b)
{
	size_t skip = c->sent_bytes;
	uint32_t count = 0;
	b->part_count = 0;
	for (struct slot *s = c->unsent; s && count < CLIENT_BATCH; s = s->next, count++) {
		if (c->sent + count >= c->max_requests)
			break;
		encode(c, s, b->headers[count]);
		add_part(b, b->headers[count], DP_CHANNEL_REQUEST_SIZE, &skip);
		if (s->op == DIPOLE_WRITE)
			add_part(b, s->request->buffer, s->length, &skip);
	}
}

static void account(struct dipole_client *c, size_t bytes)
{
	c->sent_bytes += bytes;
	while (c->unsent && c->sent_bytes >= wire_size(c->unsent)) {
		struct slot *s = c->unsent;
		c->sent_bytes -= wire_size(s);
		s->sent = true;
		c->counters.replayed += s->sent_before;
		c->sent++;
		c->unsent = s->next;
	}
}

static bool send_batch(struct dipole_client *c)
{
	struct batch b;
	collect(c, &b);
	struct msghdr message = {.msg_iov = b.parts, .msg_iovlen = b.part_count};
	int fd = c->fd;
	pthread_mutex_unlock(&c->mutex);
	ssize_t n = sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	int error = errno;
	pthread_mutex_lock(&c->mutex);
	if (n >= 0) {
		account(c, (size_t)n);
		if (c->blocked)
			client_watch_output(c, false);
		client_quiet_signal(c);
		return true;
	}
	if (error == EINTR)
		return true;
	if (error == EAGAIN || error == EWOULDBLOCK)
		client_watch_output(c, true);
	else
		client_break(c, error);
	return false;
}

void client_send(struct dipole_client *c)
{
	if (c->sending)
		return;
	c->sending = true;
	while (c->state == CLIENT_UP && c->unsent && c->sent < c->max_requests)
		if (!send_batch(c))
			break;
	c->sending = false;
	client_quiet_signal(c);
}
