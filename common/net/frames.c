/* SPDX-License-Identifier: MIT */
#include "net/frames.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/err.h"
#include "net/pack.h"
#include "net/socket.h"

static void free_frame(struct dp_buf *buf)
{
	zmq_msg_t *frame = buf->owner;
	zmq_msg_close(frame);
	free(frame);
}

/* Receives one more frame of the message into a buffer of its own; NULL: out of memory. */
static struct dp_buf *receive_frame(void *socket)
{
	zmq_msg_t *frame = malloc(sizeof *frame);
	if (!frame)
		return NULL;
	zmq_msg_init(frame);
	struct dp_buf *buf = NULL;
	if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) >= 0)
		buf = dp_buf_wrap(zmq_msg_data(frame), zmq_msg_size(frame), free_frame, frame);
	if (!buf) {
		zmq_msg_close(frame);
		free(frame);
	}
	return buf;
}

static bool frame_follows(void *socket)
{
	int more = 0;
	size_t size = sizeof more;
	return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

/* The third frame: the payload is packed. */
static void unpack_payload(void *socket, struct frames *in)
{
	struct dp_buf *third = receive_frame(socket), *packed = in->payload;
	in->payload = third && packed
		? packer_unpack(packed, third->data, third->size, SOCKET_MESSAGE_MAX)
		: NULL;
	in->whole = in->payload != NULL;
	dp_buf_unref(&third);
	dp_buf_unref(&packed);
}

/* No message of ours has more frames. */
static void drop_frames(void *socket, struct frames *in)
{
	while (frame_follows(socket)) {
		zmq_msg_t extra;
		zmq_msg_init(&extra);
		int got = zmq_msg_recv(&extra, socket, ZMQ_DONTWAIT);
		zmq_msg_close(&extra);
		in->whole = false;
		if (got < 0)
			break;
	}
}

bool frames_receive(void *socket, struct frames *in)
{
	in->payload = NULL;
	in->whole = true;
	zmq_msg_init(&in->head);
	if (zmq_msg_recv(&in->head, socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&in->head);
		return false;
	}
	if (zmq_msg_more(&in->head)) {
		in->payload = receive_frame(socket);
		in->whole = in->payload != NULL;
	}
	if (in->payload && frame_follows(socket))
		unpack_payload(socket, in);
	drop_frames(socket, in);
	return true;
}

void frames_clear(struct frames *in)
{
	dp_buf_unref(&in->payload);
	zmq_msg_close(&in->head);
}

struct dp_msg_walk frames_walk(struct frames *in)
{
	return (struct dp_msg_walk){.head = zmq_msg_data(&in->head),
		.left = zmq_msg_size(&in->head),
		.payload = in->payload};
}

const char *frames_error(struct frames *in, int err, char text[FRAMES_TEXT])
{
	if (err != DP_EVERSION)
		return dp_strerror(err);
	const uint8_t *at = zmq_msg_data(&in->head);
	snprintf(text, FRAMES_TEXT, "it speaks protocol version %u, this node %u", dp_get16(at + 4),
		DP_MSG_VERSION);
	return text;
}
