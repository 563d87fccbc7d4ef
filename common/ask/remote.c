/* SPDX-License-Identifier: MIT */
/* A talk over the network: ZeroMQ with CURVE. A message there, a message back. */
#include <string.h>

#include "ask/internal.h"
#include "base/err.h"

static int set_key(void *socket, int option, const char *key)
{
	return zmq_setsockopt(socket, option, key, strlen(key));
}

static void *connect_remote(void *zmq, const struct dp_ask *a, const char *key)
{
	int none = 0, ipv6 = strchr(a->address, '[') != NULL;
	void *s = zmq ? zmq_socket(zmq, ZMQ_DEALER) : NULL;
	bool bad = !s || zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none) ||
		zmq_setsockopt(s, ZMQ_IPV6, &ipv6, sizeof ipv6) ||
		set_key(s, ZMQ_CURVE_SERVERKEY, key) ||
		set_key(s, ZMQ_CURVE_PUBLICKEY, a->public_key) ||
		set_key(s, ZMQ_CURVE_SECRETKEY, a->secret_key) || zmq_connect(s, a->address);
	if (bad && s)
		zmq_close(s);
	return bad ? NULL : s;
}

/* A node has one key at a time, and answers under that. So both are tried at once. */
static void open_remote(struct talk *t, void *zmq)
{
	const char *keys[TALK_KEYS] = {t->ask->key, t->ask->former_key};
	for (unsigned i = 0; i < TALK_KEYS && !t->settled; i++) {
		if (!keys[i] || !keys[i][0])
			continue;
		t->sockets[i] = connect_remote(zmq, t->ask, keys[i]);
		if (!t->sockets[i] ||
			zmq_send(t->sockets[i], t->line, t->size - 1, ZMQ_DONTWAIT) < 0)
			talk_fail(t, DP_EINVAL, "cannot connect to %s", t->ask->address);
	}
}

static unsigned wait_remote(const struct talk *t, zmq_pollitem_t *items)
{
	unsigned count = 0;
	for (unsigned i = 0; i < TALK_KEYS; i++)
		if (t->sockets[i])
			items[count++] = (zmq_pollitem_t){
				.socket = t->sockets[i], .events = ZMQ_POLLIN};
	return count;
}

static void turn_remote(struct talk *t)
{
	for (unsigned i = 0; i < TALK_KEYS && !t->settled; i++) {
		zmq_msg_t m;
		zmq_msg_init(&m);
		if (t->sockets[i] && zmq_msg_recv(&m, t->sockets[i], ZMQ_DONTWAIT) >= 0)
			talk_settle(t, json_loadb(zmq_msg_data(&m), zmq_msg_size(&m), 0, NULL));
		zmq_msg_close(&m);
	}
}

/* CURVE does not say which of these it is. */
static void give_up_remote(struct talk *t)
{
	talk_fail(t, DP_ECLOSED, "nobody there, or the key is not admitted: %s", t->ask->address);
}

static void close_remote(struct talk *t)
{
	for (unsigned i = 0; i < TALK_KEYS; i++)
		if (t->sockets[i])
			zmq_close(t->sockets[i]);
}

const struct talk_way talk_remote = {
	open_remote, wait_remote, turn_remote, give_up_remote, close_remote};
