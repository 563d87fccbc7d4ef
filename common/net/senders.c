/* SPDX-License-Identifier: MIT */
/* The nodes above: they connect to this one. */
#include <errno.h>
#include <string.h>
#include <zmq.h>

#include "base/err.h"
#include "base/log.h"
#include "net/address.h"
#include "net/frames.h"
#include "net/internal.h"

int senders_open(struct dp_links *l)
{
	struct senders *s = &l->above;
	struct dp_admission *admission = l->cfg.admission;
	char address[160]; /* libzmq listens on numbers only, while peers may know a name */
	dp_address_numeric(l->cfg.listen, address, sizeof address);
	s->socket = zmq_socket(dp_admission_zmq(admission), ZMQ_ROUTER);
	if (!s->socket || socket_set_common(s->socket, address) ||
		socket_set_int(s->socket, ZMQ_ROUTER_MANDATORY, 1))
		return DP_ENOMEM;
	int bad = l->cfg.listen_curve ? dp_admission_guard(admission, s->socket, DP_DOMAIN_LINKS)
				      : 0;
	if (bad || zmq_bind(s->socket, address)) {
		dp_log(DP_LOG_ERROR, "listen-failed", "address=%s error=\"%s\"", l->cfg.listen,
			zmq_strerror(errno));
		return DP_ECONFIG;
	}
	return waker_open(&s->waker, s->socket);
}

void senders_close(struct dp_links *l)
{
	batch_clear(&l->above.out);
	if (l->above.socket)
		zmq_close(l->above.socket);
}

/* ---- sending ---- */

void senders_flush(struct dp_links *l)
{
	struct senders *s = &l->above;
	const struct sender *to = &s->list[s->out_to];
	if (!s->out.count)
		return;
	s->waker.dirty = true;
	if (zmq_send(s->socket, to->id, to->id_size, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
		batch_send(&s->out, s->socket, NULL);
	else
		batch_clear(&s->out);
}

void senders_send(struct dp_links *l, uint32_t sender, struct dp_msg *m)
{
	struct senders *s = &l->above;
	if (s->out.count && (sender != s->out_to || !batch_takes(&s->out, m)))
		senders_flush(l);
	if (s->socket && s->list[sender].id_size) {
		s->out_to = sender;
		batch_add(&s->out, m);
	}
	dp_msg_clear(m);
}

/* ---- receiving ---- */

/* The sender's place in the list; a new one takes that of the sender that was silent longest. */
static uint32_t find_sender(struct dp_links *l, const uint8_t *id, size_t size)
{
	struct sender *list = l->above.list, *s;
	uint32_t oldest = 0;
	for (uint32_t i = 0; i < DP_SENDERS_MAX; i++) {
		s = &list[i];
		if (s->id_size == size && memcmp(s->id, id, size) == 0) {
			s->used_us = *l->cfg.now_us;
			return i;
		}
		if (s->used_us < list[oldest].used_us)
			oldest = i;
	}
	s = &list[oldest];
	memcpy(s->id, id, size);
	s->id_size = (uint8_t)size;
	s->used_us = *l->cfg.now_us;
	return oldest;
}

/* A message of ours; `why`: what is bad about it, or NULL. A record with a wrong checksum has to be
 * asked for again, so it is not dropped here. */
static void take_message(struct dp_links *l, uint32_t sender, const char *owner, struct dp_msg *m,
	int err, const char *why)
{
	bool bad_record = err == DP_ECHECKSUM && m->type == DP_MSG_RECORD;
	bool taken = (!err || bad_record) &&
		l->ops->from_above(l->ctx, sender, owner, m, bad_record);
	if (!taken)
		l->ops->bad_message(l->ctx, owner, err ? why : "not the sender of this stream");
	if (!err)
		dp_msg_clear(m);
}

static void take_frames(struct dp_links *l, zmq_msg_t *id, struct frames *in)
{
	struct dp_msg_walk w = frames_walk(in);
	struct dp_msg m;
	char text[FRAMES_TEXT];
	int err;
	const char *user = zmq_msg_gets(&in->head, "User-Id");
	const char *owner = user && user[0] ? user : "unknown";
	if (!in->whole || zmq_msg_size(id) > sizeof l->above.list[0].id) {
		l->ops->bad_message(l->ctx, owner, "unexpected frames");
		return;
	}
	if (!w.left) {
		l->ops->bad_message(l->ctx, owner, "an empty frame");
		return;
	}
	uint32_t sender = find_sender(l, zmq_msg_data(id), zmq_msg_size(id));
	while ((err = dp_msg_walk_next(&w, &m)) <= 0)
		take_message(l, sender, owner, &m, err, err ? frames_error(in, err, text) : NULL);
}

static bool receive_from_above(void *arg)
{
	struct dp_links *l = arg;
	zmq_msg_t id;
	struct frames in;
	zmq_msg_init(&id);
	if (zmq_msg_recv(&id, l->above.socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&id);
		return false;
	}
	if (zmq_msg_more(&id) && frames_receive(l->above.socket, &in)) {
		take_frames(l, &id, &in);
		frames_clear(&in);
	}
	zmq_msg_close(&id);
	return true;
}

bool senders_receive(struct dp_links *l)
{
	bool dirty = l->above.waker.dirty;
	if (dirty)
		waker_drain(&l->above.waker, receive_from_above, l);
	return dirty;
}
