/* SPDX-License-Identifier: MIT */
/* A link to a node below: this side connects. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zmq.h>

#include "base/err.h"
#include "base/log.h"
#include "net/frames.h"
#include "net/internal.h"

static const struct dp_link_config *config_of(const struct link *k)
{
	return &k->all->cfg.below[k->index];
}

/* ---- connecting ---- */

static int set_options(struct link *k)
{
	const struct dp_links_config *cfg = &k->all->cfg;
	void *s = k->socket;
	/* Nothing is queued for a peer that is not there: the core's positions decide what is
	 * sent once it is. */
	int bad = socket_set_int(s, ZMQ_IMMEDIATE, 1) | socket_set_int(s, ZMQ_RECONNECT_IVL, 100) |
		socket_set_int(s, ZMQ_RECONNECT_IVL_MAX, 1000) |
		socket_set_int(s, ZMQ_CONNECT_TIMEOUT, 1000) |
		socket_set_int(s, ZMQ_HANDSHAKE_IVL, 3000);
	if (k->key[0])
		bad |= socket_set_text(s, ZMQ_CURVE_SERVERKEY, k->key) |
			socket_set_text(s, ZMQ_CURVE_PUBLICKEY, cfg->public_key) |
			socket_set_text(s, ZMQ_CURVE_SECRETKEY, cfg->secret_key);
	return bad;
}

int down_open(struct link *k)
{
	const struct dp_link_config *cfg = config_of(k);
	memcpy(k->key, k->former ? cfg->former_key : cfg->key, sizeof k->key);
	k->socket = zmq_socket(dp_admission_zmq(k->all->cfg.admission), ZMQ_DEALER);
	if (!k->socket || socket_set_common(k->socket, cfg->address))
		return DP_ENOMEM;
	if (set_options(k) || zmq_connect(k->socket, cfg->address)) {
		dp_log(DP_LOG_ERROR, "connect-failed", "peer=%s address=%s error=\"%s\"", cfg->peer,
			cfg->address, zmq_strerror(errno));
		return DP_ECONFIG;
	}
	k->connected_us = *k->all->cfg.now_us;
	k->open = true;
	return waker_open(&k->waker, k->socket);
}

int down_reopen(struct link *k)
{
	batch_clear(&k->out);
	zmq_close(k->socket);
	return down_open(k);
}

void down_set_open(struct link *k, bool open)
{
	if (k->open == open)
		return;
	k->open = open;
	k->connected_us = *k->all->cfg.now_us;
	if (open)
		zmq_connect(k->socket, config_of(k)->address);
	else
		zmq_disconnect(k->socket, config_of(k)->address);
}

void down_reconnect(struct link *k)
{
	const char *address = config_of(k)->address;
	dp_log(DP_LOG_DEBUG, "connect", "peer=%s address=%s", config_of(k)->peer, address);
	zmq_disconnect(k->socket, address);
	zmq_connect(k->socket, address);
	k->connected_us = *k->all->cfg.now_us;
}

void down_close(struct link *k)
{
	batch_clear(&k->out);
	packer_clear(&k->packer);
	if (k->socket)
		zmq_close(k->socket);
}

/* ---- sending ---- */

static void send_gathered(struct link *k)
{
	uint64_t stream = k->out_stream, saved = k->packer.before - k->packer.after;
	k->waker.dirty = true;
	k->out_stream = 0;
	batch_send(&k->out, k->socket, config_of(k)->compress ? &k->packer : NULL);
	saved = k->packer.before - k->packer.after - saved;
	/* A stream's rate counts what goes out, so what packing saves is given back to it. */
	if (saved)
		k->all->ops->bytes_saved(k->all->ctx, k->index, stream, saved);
}

/* Records that are packed together belong to one stream. */
static bool may_join(const struct link *k, const struct dp_msg *m)
{
	return batch_takes(&k->out, m) &&
		(!config_of(k)->compress || m->type != DP_MSG_RECORD || !k->out.payload_count ||
			k->out_stream == m->stream);
}

void down_send(struct link *k, struct dp_msg *m)
{
	if (!may_join(k, m))
		send_gathered(k);
	if (m->type == DP_MSG_RECORD)
		k->out_stream = m->stream;
	batch_add(&k->out, m);
	dp_msg_clear(m);
}

void down_flush(struct link *k)
{
	while (k->out.count) /* what packing saved may have made room for more */
		send_gathered(k);
}

/* ---- receiving ---- */

static void take_messages(struct link *k, struct frames *in)
{
	const struct dp_links *l = k->all;
	const char *peer = config_of(k)->peer;
	struct dp_msg_walk w = frames_walk(in);
	struct dp_msg m;
	char text[FRAMES_TEXT];
	int err;
	if (!in->whole || !w.left) {
		l->ops->bad_message(l->ctx, peer, "unexpected frames");
		return;
	}
	while ((err = dp_msg_walk_next(&w, &m)) <= 0) {
		if (err) {
			l->ops->bad_message(l->ctx, peer, frames_error(in, err, text));
			continue;
		}
		if (!l->ops->from_below(l->ctx, k->index, &m))
			l->ops->bad_message(l->ctx, peer, "unknown stream");
		dp_msg_clear(&m);
	}
}

static bool receive_from_below(void *arg)
{
	struct link *k = arg;
	struct frames in;
	if (!frames_receive(k->socket, &in))
		return false;
	k->heard_us = *k->all->cfg.now_us;
	take_messages(k, &in);
	frames_clear(&in);
	return true;
}

bool down_receive(struct link *k)
{
	bool dirty = k->waker.dirty;
	if (dirty)
		waker_drain(&k->waker, receive_from_below, k);
	return dirty;
}
