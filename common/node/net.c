/* SPDX-License-Identifier: MIT */
/* Links: ZeroMQ sockets, CURVE, and who may connect. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/log.h"
#include "net/address.h"
#include "net/buffers.h"
#include "node/internal.h"

#define RECEIVE_BATCH 256
#define RECONNECT_US  5000000
#define MESSAGE_MAX   (2 * 1024 * 1024)

static int set_int(void *socket, int option, int value)
{
	return zmq_setsockopt(socket, option, &value, sizeof value);
}

static int set_text(void *socket, int option, const char *text)
{
	return zmq_setsockopt(socket, option, text, strlen(text));
}

/* All that the core lets be under way has to fit, or a long link is slower than it need be. */
static int buffer_options(void *s)
{
	int out = dp_socket_buffer(SO_SNDBUF, DP_WINDOW_BYTES);
	int in = dp_socket_buffer(SO_RCVBUF, DP_WINDOW_BYTES);
	return (out > 0 ? set_int(s, ZMQ_SNDBUF, out) : 0) |
		(in > 0 ? set_int(s, ZMQ_RCVBUF, in) : 0);
}

static int common_options(void *s, const char *address)
{
	int64_t most = MESSAGE_MAX;
	if (buffer_options(s))
		return -1;
	if (strchr(address, '[') && set_int(s, ZMQ_IPV6, 1))
		return -1;
	int bad = set_int(s, ZMQ_LINGER, 0) | set_int(s, ZMQ_SNDHWM, 0) |
		set_int(s, ZMQ_RCVHWM, 4096);
	return bad | zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &most, sizeof most);
}

static int open_waker(void *socket, struct waker *w)
{
	size_t size = sizeof w->fd;
	w->dirty = true;
	return zmq_getsockopt(socket, ZMQ_FD, &w->fd, &size) ? DP_EIO : 0;
}

int net_curve_server(const struct node *n, void *s, const char *domain)
{
	return set_int(s, ZMQ_CURVE_SERVER, 1) |
		set_text(s, ZMQ_CURVE_SECRETKEY, n->cfg->secret_key) |
		set_text(s, ZMQ_ZAP_DOMAIN, domain);
}

static int open_router(struct node *n)
{
	char address[160]; /* libzmq listens on numbers only, while peers may know a name */
	dp_address_numeric(n->cfg->listen, address, sizeof address);
	void *s = n->router = zmq_socket(n->zmq, ZMQ_ROUTER);
	if (!s || common_options(s, address) || set_int(s, ZMQ_ROUTER_MANDATORY, 1))
		return DP_ENOMEM;
	int bad = n->cfg->listen_curve ? net_curve_server(n, s, NODE_ZAP_LINKS) : 0;
	if (bad || zmq_bind(s, address)) {
		dp_log(DP_LOG_ERROR, "listen-failed", "address=%s error=\"%s\"", n->cfg->listen,
			zmq_strerror(errno));
		return DP_ECONFIG;
	}
	return open_waker(s, &n->router_waker);
}

static int open_zap(struct node *n)
{
	n->zap = zmq_socket(n->zmq, ZMQ_REP);
	if (!n->zap || set_int(n->zap, ZMQ_LINGER, 0) || zmq_bind(n->zap, "inproc://zeromq.zap.01"))
		return DP_ENOMEM;
	return open_waker(n->zap, &n->zap_waker);
}

static int open_link(struct node *n, unsigned i)
{
	const struct dp_node_link *l = &n->cfg->links[i];
	void *s = n->links[i].socket = zmq_socket(n->zmq, ZMQ_DEALER);
	if (!s || common_options(s, l->address))
		return DP_ENOMEM;
	/* Nothing is queued for a peer that is not there: the core's positions decide what is
	 * sent once it is. */
	int bad = set_int(s, ZMQ_IMMEDIATE, 1) | set_int(s, ZMQ_RECONNECT_IVL, 100) |
		set_int(s, ZMQ_RECONNECT_IVL_MAX, 1000) | set_int(s, ZMQ_CONNECT_TIMEOUT, 1000) |
		set_int(s, ZMQ_HANDSHAKE_IVL, 3000);
	if (l->key[0])
		bad |= set_text(s, ZMQ_CURVE_SERVERKEY,
			       n->links[i].former ? l->former_key : l->key) |
			set_text(s, ZMQ_CURVE_PUBLICKEY, n->cfg->public_key) |
			set_text(s, ZMQ_CURVE_SECRETKEY, n->cfg->secret_key);
	if (bad || zmq_connect(s, l->address)) {
		dp_log(DP_LOG_ERROR, "connect-failed", "peer=%s address=%s error=\"%s\"", l->peer,
			l->address, zmq_strerror(errno));
		return DP_ECONFIG;
	}
	n->links[i].connected_us = n->now_us;
	n->links[i].open = true;
	return open_waker(s, &n->links[i].waker);
}

int net_open(struct node *n)
{
	n->zmq = zmq_ctx_new();
	int err = n->zmq ? open_zap(n) : DP_ENOMEM;
	if (!err && n->cfg->listen[0])
		err = open_router(n);
	for (unsigned i = 0; i < n->cfg->link_count && !err; i++)
		err = open_link(n, i);
	return err;
}

void net_close(struct node *n)
{
	batch_clear(&n->up);
	for (unsigned i = 0; i < n->cfg->link_count; i++) {
		batch_clear(&n->links[i].out);
		packer_clear(&n->links[i].packer);
		if (n->links[i].socket)
			zmq_close(n->links[i].socket);
	}
	remote_close(n);
	if (n->router)
		zmq_close(n->router);
	if (n->zap)
		zmq_close(n->zap);
	if (n->zmq)
		zmq_ctx_term(n->zmq);
}

/* ---- who may connect (ZAP, RFC 27) ---- */

#define WHO_MAX (DP_NAME_MAX + 16)

/* Who has the key, and may come in at this door; an operator's name cannot pass for a node's. */
static bool who_has(const struct node *n, const uint8_t *key, bool control, char who[WHO_MAX])
{
	char text[DP_KEY_SIZE];
	if (!zmq_z85_encode(text, key, 32))
		return false;
	for (unsigned i = 0; i < n->cfg->key_count; i++)
		if (strcmp(n->cfg->keys[i].key, text) == 0)
			return snprintf(who, WHO_MAX, "%s", n->cfg->keys[i].node) > 0;
	for (unsigned i = 0; control && i < n->cfg->operator_count; i++)
		if (strcmp(n->cfg->operators[i].key, text) == 0)
			return snprintf(who, WHO_MAX, "operator %s", n->cfg->operators[i].name) > 0;
	return false;
}

#define ZAP_FRAMES 7

static bool zap(struct node *n)
{
	char frame[ZAP_FRAMES][256];
	int size[ZAP_FRAMES] = {0}, count = 0, more = 1;
	size_t more_size = sizeof more;
	for (; more; count++) {
		char *to = frame[count < ZAP_FRAMES ? count : ZAP_FRAMES - 1];
		int got = zmq_recv(n->zap, to, 256, ZMQ_DONTWAIT);
		if (got < 0)
			return false;
		if (count < ZAP_FRAMES)
			size[count] = got;
		zmq_getsockopt(n->zap, ZMQ_RCVMORE, &more, &more_size);
	}
	bool curve = count == 7 && size[5] == 5 && memcmp(frame[5], "CURVE", 5) == 0 &&
		size[6] == 32;
	bool control = size[2] == sizeof NODE_ZAP_CONTROL - 1 &&
		memcmp(frame[2], NODE_ZAP_CONTROL, (size_t)size[2]) == 0;
	char name[WHO_MAX];
	const char *who = curve && who_has(n, (const uint8_t *)frame[6], control, name) ? name
											: NULL;
	int address_size = size[3] < 256 ? size[3] : 255;
	if (!who) {
		n->refused_keys++;
		dp_log(DP_LOG_WARNING, "key-refused",
			"from=%.*s reason=\"key is not in the topology\"", address_size, frame[3]);
	} else {
		dp_log(DP_LOG_DEBUG, "key-accepted", "from=%.*s node=%s", address_size, frame[3],
			who);
	}
	zmq_send(n->zap, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(n->zap, frame[1], (size_t)(size[1] < 256 ? size[1] : 0), ZMQ_SNDMORE);
	zmq_send(n->zap, who ? "200" : "400", 3, ZMQ_SNDMORE);
	zmq_send(n->zap, who ? "OK" : "unknown key", who ? 2 : 11, ZMQ_SNDMORE);
	zmq_send(n->zap, who ? who : "", who ? strlen(who) : 0, ZMQ_SNDMORE);
	zmq_send(n->zap, "", 0, 0);
	return true;
}

/* ---- sending ---- */

static void send_up(struct node *n)
{
	struct peer *p = &n->peers[n->up_peer];
	n->router_waker.dirty = true;
	if (zmq_send(n->router, p->id, p->id_size, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
		batch_send(&n->up, n->router, NULL);
	else
		batch_clear(&n->up);
}

/* A stream's rate counts what goes out, so what compression saves is given back to it. */
static void give_back(struct node *n, unsigned link, uint64_t stream, uint64_t bytes)
{
	struct node_stream *s = node_stream_by_id(n, stream);
	for (uint32_t i = 0; s && bytes && i < s->cfg->core.down_count; i++)
		if (s->cfg->links[i] == link)
			dp_stream_shrunk(s->stream, i, bytes);
}

static void send_down(struct node *n, unsigned link)
{
	struct link *l = &n->links[link];
	uint64_t stream = l->out_stream, saved = l->packer.before - l->packer.after;
	l->waker.dirty = true;
	l->out_stream = 0;
	batch_send(&l->out, l->socket, n->cfg->links[link].compress ? &l->packer : NULL);
	give_back(n, link, stream, l->packer.before - l->packer.after - saved);
}

/* What is compressed together is of one stream. */
static bool goes_with(const struct node *n, unsigned link, const struct dp_msg *m)
{
	const struct link *l = &n->links[link];
	return batch_takes(&l->out, m) &&
		(!n->cfg->links[link].compress || m->type != DP_MSG_RECORD ||
			!l->out.payload_count || l->out_stream == m->stream);
}

void net_send_up(struct node *n, uint32_t peer, struct dp_msg *m)
{
	if (n->up.count && (peer != n->up_peer || !batch_takes(&n->up, m)))
		send_up(n);
	if (n->router && n->peers[peer].id_size) {
		n->up_peer = peer;
		batch_add(&n->up, m);
	}
	dp_msg_clear(m);
}

void net_send_down(struct node *n, unsigned link, struct dp_msg *m)
{
	struct link *l = &n->links[link];
	if (!goes_with(n, link, m))
		send_down(n, link);
	if (m->type == DP_MSG_RECORD)
		l->out_stream = m->stream;
	batch_add(&l->out, m);
	dp_msg_clear(m);
}

void net_flush(struct node *n)
{
	if (n->up.count)
		send_up(n);
	for (unsigned i = 0; i < n->cfg->link_count; i++)
		while (n->links[i].out.count) /* it may have made room for more */
			send_down(n, i);
}

/* ---- receiving ---- */

static void release_frame(struct dp_buf *buf)
{
	zmq_msg_t *frame = buf->owner;
	zmq_msg_close(frame);
	free(frame);
}

/* Receives one more frame of the message into a buffer of its own; NULL: out of memory. */
static struct dp_buf *receive_payload(void *socket)
{
	zmq_msg_t *frame = malloc(sizeof *frame);
	if (!frame)
		return NULL;
	zmq_msg_init(frame);
	struct dp_buf *buf = NULL;
	if (zmq_msg_recv(frame, socket, ZMQ_DONTWAIT) >= 0)
		buf = dp_buf_wrap(zmq_msg_data(frame), zmq_msg_size(frame), release_frame, frame);
	if (!buf) {
		zmq_msg_close(frame);
		free(frame);
	}
	return buf;
}

struct incoming {
	zmq_msg_t head;
	struct dp_buf *payload;
	bool whole;
};

static bool has_more(void *socket)
{
	int more = 0;
	size_t size = sizeof more;
	return zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more;
}

/* The third frame: the payload was compressed. */
static void unpack(void *socket, struct incoming *in)
{
	struct dp_buf *third = receive_payload(socket), *packed = in->payload;
	in->payload = third && packed ? packer_unpack(packed, third->data, third->size, MESSAGE_MAX)
				      : NULL;
	in->whole = in->payload != NULL;
	dp_buf_unref(&third);
	dp_buf_unref(&packed);
}

/* Takes head and payload; drops further frames, which no message of ours has. */
static bool receive(void *socket, struct incoming *in)
{
	in->payload = NULL;
	in->whole = true;
	zmq_msg_init(&in->head);
	if (zmq_msg_recv(&in->head, socket, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&in->head);
		return false;
	}
	if (zmq_msg_more(&in->head)) {
		in->payload = receive_payload(socket);
		in->whole = in->payload != NULL;
	}
	if (in->payload && has_more(socket))
		unpack(socket, in);
	while (has_more(socket)) {
		zmq_msg_t extra;
		zmq_msg_init(&extra);
		int got = zmq_msg_recv(&extra, socket, ZMQ_DONTWAIT);
		zmq_msg_close(&extra);
		in->whole = false;
		if (got < 0)
			break;
	}
	return true;
}

static void end(struct incoming *in)
{
	dp_buf_unref(&in->payload);
	zmq_msg_close(&in->head);
}

static void bad_message(struct node *n, const char *from, const char *why)
{
	/* Counted always, said for powers of two: a peer must not fill the log. */
	n->bad_messages++;
	if ((n->bad_messages & (n->bad_messages - 1)) == 0)
		dp_log(DP_LOG_WARNING, "bad-message", "from=%s reason=\"%s\" total=%llu", from, why,
			(unsigned long long)n->bad_messages);
}

static const char *why_bad(int err, zmq_msg_t *head, char *text, size_t size)
{
	if (err != DP_EVERSION)
		return dp_strerror(err);
	const uint8_t *at = zmq_msg_data(head);
	snprintf(text, size, "it speaks protocol version %u, this node %u", dp_get16(at + 4),
		DP_MSG_VERSION);
	return text;
}

static uint32_t peer_slot(struct node *n, const uint8_t *id, size_t size)
{
	uint32_t oldest = 0;
	for (uint32_t i = 0; i < NODE_PEERS_MAX; i++) {
		struct peer *p = &n->peers[i];
		if (p->id_size == size && memcmp(p->id, id, size) == 0) {
			p->used_us = n->now_us;
			return i;
		}
		if (p->used_us < n->peers[oldest].used_us)
			oldest = i;
	}
	struct peer *p = &n->peers[oldest];
	memcpy(p->id, id, size);
	p->id_size = (uint8_t)size;
	p->used_us = n->now_us;
	return oldest;
}

static struct dp_msg_walk walk(const struct incoming *in)
{
	return (struct dp_msg_walk){.head = zmq_msg_data((zmq_msg_t *)&in->head),
		.left = zmq_msg_size((zmq_msg_t *)&in->head),
		.payload = in->payload};
}

/* One of ours from above; err as dp_msg_walk_next() said. */
static void take_from_up(struct node *n, uint32_t peer, const char *from, struct dp_msg *m, int err,
	const char *why)
{
	bool bad_record = err == DP_ECHECKSUM && m->type == DP_MSG_RECORD;
	struct node_stream *s = err && !bad_record ? NULL : node_stream_by_id(n, m->stream);
	/* With CURVE, a key may only speak for the node it belongs to, and only the node that
	 * the topology puts above us may send. */
	bool allowed = s && s->stream && s->cfg->upstream[0] &&
		(!n->cfg->listen_curve || strcmp(from, s->cfg->upstream) == 0);
	if (!allowed)
		bad_message(n, from, err ? why : "not the sender of this stream");
	else
		dp_stream_from_up(s->stream, peer, m, bad_record);
	if (err == 0)
		dp_msg_clear(m);
}

static void from_up(struct node *n, const uint8_t *id, size_t id_size, struct incoming *in)
{
	struct dp_msg m;
	char text[64];
	int err;
	const char *who = zmq_msg_gets(&in->head, "User-Id");
	const char *from = who && who[0] ? who : "unknown";
	if (!in->whole || id_size > sizeof n->peers[0].id) {
		bad_message(n, from, "unexpected frames");
		return;
	}
	struct dp_msg_walk w = walk(in);
	if (!w.left)
		bad_message(n, from, "an empty frame");
	while ((err = dp_msg_walk_next(&w, &m)) <= 0)
		take_from_up(n, peer_slot(n, id, id_size), from, &m, err,
			why_bad(err, &in->head, text, sizeof text));
}

static bool receive_up(struct node *n)
{
	zmq_msg_t id;
	struct incoming in;
	zmq_msg_init(&id);
	if (zmq_msg_recv(&id, n->router, ZMQ_DONTWAIT) < 0) {
		zmq_msg_close(&id);
		return false;
	}
	if (zmq_msg_more(&id) && receive(n->router, &in)) {
		from_up(n, zmq_msg_data(&id), zmq_msg_size(&id), &in);
		end(&in);
	}
	zmq_msg_close(&id);
	return true;
}

static void take_from_down(struct node *n, unsigned link, struct dp_msg *m)
{
	struct node_stream *s = node_stream_by_id(n, m->stream);
	if (!s || !s->stream)
		bad_message(n, n->cfg->links[link].peer, "unknown stream");
	for (uint32_t i = 0; s && s->stream && i < s->cfg->core.down_count; i++)
		if (s->cfg->links[i] == link)
			dp_stream_from_down(s->stream, i, m);
	dp_msg_clear(m);
}

static void from_down(struct node *n, unsigned link, struct incoming *in)
{
	struct dp_msg m;
	char text[64];
	int err;
	const char *from = n->cfg->links[link].peer;
	struct dp_msg_walk w = walk(in);
	if (!in->whole || !w.left) {
		bad_message(n, from, "unexpected frames");
		return;
	}
	while ((err = dp_msg_walk_next(&w, &m)) <= 0)
		if (err)
			bad_message(n, from, why_bad(err, &in->head, text, sizeof text));
		else
			take_from_down(n, link, &m);
}

static bool receive_down(struct node *n, unsigned link)
{
	struct incoming in;
	if (!receive(n->links[link].socket, &in))
		return false;
	n->links[link].heard_us = n->now_us;
	from_down(n, link, &in);
	end(&in);
	return true;
}

/* Takes what waits, up to a bound so that no socket starves the others. A socket stays dirty until
 * it says that there is nothing more. */
static void drain(struct node *n, struct waker *w, bool (*take)(struct node *, unsigned),
	unsigned i)
{
	int left = RECEIVE_BATCH;
	w->dirty = false;
	while (left > 0 && take(n, i))
		left--;
	if (left == 0)
		w->dirty = true;
}

static bool take_zap(struct node *n, unsigned i)
{
	(void)i;
	return zap(n);
}

static bool take_up(struct node *n, unsigned i)
{
	(void)i;
	return receive_up(n);
}

bool net_receive(struct node *n)
{
	bool any = n->zap_waker.dirty || n->router_waker.dirty;
	if (n->zap_waker.dirty)
		drain(n, &n->zap_waker, take_zap, 0);
	if (n->router && n->router_waker.dirty)
		drain(n, &n->router_waker, take_up, 0);
	n->router_waker.dirty = n->router && n->router_waker.dirty;
	for (unsigned l = 0; l < n->cfg->link_count; l++) {
		if (!n->links[l].waker.dirty)
			continue;
		any = true;
		drain(n, &n->links[l].waker, receive_down, l);
	}
	return any;
}

void net_wake_all(struct node *n)
{
	n->zap_waker.dirty = n->remote_waker.dirty = true;
	n->router_waker.dirty = n->router != NULL;
	for (unsigned i = 0; i < n->cfg->link_count; i++)
		n->links[i].waker.dirty = true;
}

/* Whether something long may be on its way down a slow link, so that nothing comes up. */
static bool is_sending(const struct node *n, unsigned link)
{
	for (unsigned s = 0; s < n->cfg->stream_count; s++) {
		const struct dp_core *c = dp_stream_core(n->streams[s].stream);
		for (uint32_t i = 0; i < c->cfg.down_count; i++)
			if (n->streams[s].cfg->links[i] == link &&
				c->down[i].state == DP_DOWN_ACTIVE && c->down[i].flight)
				return true;
	}
	return false;
}

/* A peer whose key changes has one of two; its heartbeats tell which. */
static void follow_key(struct node *n, unsigned i)
{
	struct link *l = &n->links[i];
	int key = n->cfg->links[i].former_key[0] ? dp_heartbeats_key(n->heart, l->heart) : -1;
	if (key < 0 || l->former == (key == 1))
		return;
	l->former = key == 1;
	dp_log(DP_LOG_NOTICE, "peer-key", "peer=%s key=%s", n->cfg->links[i].peer,
		key ? "former" : "new");
	bool open = l->open;
	if (net_relink(n, i)) /* said in the log */
		n->stopping = true;
	else if (!open)
		net_link(n, i, false);
}

/* libzmq gives up for good on a connection whose key was once refused: connect anew. */
void net_tick(struct node *n)
{
	for (unsigned i = 0; i < n->cfg->link_count; i++) {
		struct link *l = &n->links[i];
		follow_key(n, i);
		uint64_t since = l->heard_us > l->connected_us ? l->heard_us : l->connected_us;
		if (!l->open || n->now_us - since < RECONNECT_US || is_sending(n, i))
			continue;
		dp_log(DP_LOG_DEBUG, "connect", "peer=%s address=%s", n->cfg->links[i].peer,
			n->cfg->links[i].address);
		zmq_disconnect(l->socket, n->cfg->links[i].address);
		zmq_connect(l->socket, n->cfg->links[i].address);
		l->connected_us = n->now_us;
	}
}

void net_link(struct node *n, unsigned i, bool open)
{
	struct link *l = &n->links[i];
	if (l->open == open)
		return;
	l->open = open;
	l->connected_us = n->now_us;
	if (open)
		zmq_connect(l->socket, n->cfg->links[i].address);
	else
		zmq_disconnect(l->socket, n->cfg->links[i].address);
}

int net_relink(struct node *n, unsigned i)
{
	struct link *l = &n->links[i];
	batch_clear(&l->out);
	zmq_close(l->socket);
	l->socket = NULL;
	return open_link(n, i);
}
