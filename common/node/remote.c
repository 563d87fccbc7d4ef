/* SPDX-License-Identifier: MIT */
/* The control socket's protocol over ZeroMQ and CURVE: a message is a JSON object, and so is its
 * answer. Who asks is known by the key it came with; what it may ask stands in the topology. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/err.h"
#include "base/log.h"
#include "net/address.h"
#include "node/internal.h"

#define REQUEST_MAX (4 * 1024 * 1024) /* a topology, as JSON */
#define TURN_MAX    16

int remote_open(struct node *n)
{
	char address[160];
	int none = 0, ipv6 = strchr(n->cfg->control, '[') != NULL, waiting = 64;
	int64_t most = REQUEST_MAX;
	if (!n->cfg->control[0])
		return 0;
	dp_address_numeric(n->cfg->control, address, sizeof address);
	void *s = n->remote = zmq_socket(dp_admission_zmq(n->admission), ZMQ_ROUTER);
	bool bad = !s || zmq_setsockopt(s, ZMQ_LINGER, &none, sizeof none) ||
		zmq_setsockopt(s, ZMQ_IPV6, &ipv6, sizeof ipv6) ||
		zmq_setsockopt(s, ZMQ_SNDHWM, &waiting, sizeof waiting) ||
		zmq_setsockopt(s, ZMQ_RCVHWM, &waiting, sizeof waiting) ||
		zmq_setsockopt(s, ZMQ_MAXMSGSIZE, &most, sizeof most) ||
		dp_admission_guard(n->admission, s, DP_DOMAIN_CONTROL) || zmq_bind(s, address) ||
		waker_open(&n->remote_waker, s);
	if (bad)
		dp_log(DP_LOG_ERROR, "listen-failed", "control=%s error=\"%s\"", n->cfg->control,
			zmq_strerror(errno));
	return bad ? DP_ECONFIG : 0;
}

void remote_close(struct node *n)
{
	if (n->remote)
		zmq_close(n->remote);
	n->remote = NULL;
}

static enum dp_rights rights_of(const struct node *n, const char *who)
{
	for (unsigned i = 0; i < n->cfg->operator_count; i++)
		if (strcmp(n->cfg->operators[i].name, who) == 0)
			return n->cfg->operators[i].rights;
	return DP_RIGHTS_PEER; /* the ZAP handler lets nobody else in */
}

static void answer(struct node *n, zmq_msg_t *id, zmq_msg_t *question)
{
	const char *user = zmq_msg_gets(question, "User-Id"), *who = user ? user : "";
	bool is_operator = strncmp(who, "operator ", 9) == 0;
	enum dp_rights rights = is_operator ? rights_of(n, who + 9) : DP_RIGHTS_PEER;
	json_t *request = json_loadb(zmq_msg_data(question), zmq_msg_size(question),
		JSON_REJECT_DUPLICATES, NULL);
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	dp_log(DP_LOG_INFO, "control", "from=\"%s\" rights=%s cmd=\"%.32s\"", who,
		dp_rights_name(rights), cmd ? cmd : "");
	json_t *reply = control_answer(n, request, rights);
	char *text = json_dumps(reply, JSON_COMPACT);
	if (text && zmq_msg_send(id, n->remote, ZMQ_DONTWAIT | ZMQ_SNDMORE) >= 0)
		zmq_send(n->remote, text, strlen(text), ZMQ_DONTWAIT);
	free(text);
	json_decref(reply);
	json_decref(request);
}

static void drop_rest(void *socket)
{
	int more = 1;
	size_t size = sizeof more;
	while (zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &size) == 0 && more) {
		zmq_msg_t extra;
		zmq_msg_init(&extra);
		int got = zmq_msg_recv(&extra, socket, ZMQ_DONTWAIT);
		zmq_msg_close(&extra);
		if (got < 0)
			return;
	}
}

static bool receive_one(struct node *n)
{
	zmq_msg_t id, question;
	zmq_msg_init(&id);
	zmq_msg_init(&question);
	bool got = zmq_msg_recv(&id, n->remote, ZMQ_DONTWAIT) >= 0;
	if (got && zmq_msg_more(&id) && zmq_msg_recv(&question, n->remote, ZMQ_DONTWAIT) >= 0) {
		if (!zmq_msg_more(&question))
			answer(n, &id, &question);
		else
			drop_rest(n->remote);
	}
	zmq_msg_close(&id);
	zmq_msg_close(&question);
	return got;
}

void remote_receive(struct node *n)
{
	if (!n->remote || !n->remote_waker.dirty)
		return;
	n->remote_waker.dirty = false;
	for (int i = 0; i < TURN_MAX; i++)
		if (!receive_one(n))
			return;
	n->remote_waker.dirty = n->more_waits = true;
}
