/* SPDX-License-Identifier: MIT */
#include "net/batch.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

static atomic_size_t copies; /* bytes; freed on libzmq's threads */

static bool has_rest(const struct dp_msg *m)
{
	return m->payload != NULL; /* DATA, FILL: it is the end of a ZeroMQ message */
}

bool batch_takes(const struct batch *b, const struct dp_msg *m)
{
	const struct dp_buf *payload = dp_msg_payload(m);
	size_t size = payload ? payload->size : 0;
	if (!b->count)
		return true;
	if (payload && b->payload_count && atomic_load(&copies) > BATCH_COPIES_MAX)
		return false;
	return b->count < BATCH_MESSAGES && b->head_size + DP_MSG_HEAD_MAX <= BATCH_HEADS &&
		!has_rest(m) && size < BATCH_COPIED && b->payload_size + size <= 4 * BATCH_COPIED &&
		!b->closed;
}

void batch_add(struct batch *b, const struct dp_msg *m)
{
	struct dp_buf *payload = dp_msg_payload(m);
	b->head_size += dp_msg_encode(m, b->heads + b->head_size);
	b->count++;
	b->closed = has_rest(m) || (payload && payload->size >= BATCH_COPIED);
	if (!payload)
		return;
	b->payloads[b->payload_count++] = dp_buf_ref(payload);
	b->payload_size += payload->size;
}

static void free_payload(void *data, void *hint)
{
	struct dp_buf *buf = hint;
	(void)data;
	dp_buf_unref(&buf);
}

static void free_copy(void *data, void *hint)
{
	atomic_fetch_sub(&copies, (size_t)hint);
	free(data);
}

/* The second frame: a lone payload as it is, several as a copy. */
static int make_frame(struct batch *b, zmq_msg_t *frame)
{
	struct dp_buf *first = b->payloads[0];
	if (b->payload_count == 1) {
		if (zmq_msg_init_data(frame, first->data, first->size, free_payload,
			    dp_buf_ref(first)) == 0)
			return 0;
		dp_buf_unref(&first);
		return -1;
	}
	uint8_t *to = malloc(b->payload_size);
	if (!to ||
		zmq_msg_init_data(frame, to, b->payload_size, free_copy, (void *)b->payload_size)) {
		free(to);
		return -1;
	}
	atomic_fetch_add(&copies, b->payload_size);
	for (unsigned i = 0; i < b->payload_count; i++) {
		memcpy(to, b->payloads[i]->data, b->payloads[i]->size);
		to += b->payloads[i]->size;
	}
	return 0;
}

void batch_clear(struct batch *b)
{
	for (unsigned i = 0; i < b->payload_count; i++)
		dp_buf_unref(&b->payloads[i]);
	b->count = b->payload_count = b->head_size = 0;
	b->payload_size = 0;
	b->closed = false;
}

static void free_packed(void *data, void *hint)
{
	(void)hint;
	free(data);
}

/* Puts a packed frame in the place of the second one, and makes the third; false: it stays as it
 * is. */
static bool pack_frame(struct packer *packer, zmq_msg_t *frame, uint8_t third[PACK_FRAME_SIZE])
{
	void *data;
	size_t size;
	zmq_msg_t packed;
	if (!packer ||
		!packer_pack(packer, zmq_msg_data(frame), zmq_msg_size(frame), &data, &size, third))
		return false;
	if (zmq_msg_init_data(&packed, data, size, free_packed, NULL)) {
		free(data);
		return false;
	}
	zmq_msg_close(frame);
	*frame = packed;
	return true;
}

static void send_payloads(struct batch *b, void *socket, struct packer *packer)
{
	zmq_msg_t frame;
	uint8_t third[PACK_FRAME_SIZE];
	if (make_frame(b, &frame)) {
		zmq_send(socket, "", 0, ZMQ_DONTWAIT);
		return;
	}
	bool packed = pack_frame(packer, &frame, third);
	if (zmq_msg_send(&frame, socket, ZMQ_DONTWAIT | (packed ? ZMQ_SNDMORE : 0)) < 0)
		zmq_msg_close(&frame);
	else if (packed)
		zmq_send(socket, third, sizeof third, ZMQ_DONTWAIT);
}

void batch_send(struct batch *b, void *socket, struct packer *packer)
{
	bool payload = b->payload_count > 0;
	int flags = ZMQ_DONTWAIT | (payload ? ZMQ_SNDMORE : 0);
	if (zmq_send(socket, b->heads, b->head_size, flags) >= 0 && payload)
		send_payloads(b, socket, packer);
	batch_clear(b);
}
