/* SPDX-License-Identifier: MIT */
#include "net/admission.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/err.h"
#include "base/log.h"
#include "net/socket.h"

#define KEY_BYTES  32
#define FRAME_SIZE 256

struct dp_admission {
	void *zmq, *socket;
	struct waker waker;
	const char *secret_key;
	dp_admits *admits;
	void *ctx;
};

/* A request of ZAP: version, id, domain, address, identity, mechanism, then credentials. */
enum { ID = 1, DOMAIN = 2, ADDRESS = 3, MECHANISM = 5, KEY = 6, FRAMES = 7 };

struct request {
	char frame[FRAMES][FRAME_SIZE]; /* the first bytes of each */
	int size[FRAMES];
	int count;
};

static const char *const domains[] = {
	[DP_DOMAIN_LINKS] = "dipole", [DP_DOMAIN_CONTROL] = "control"};

int dp_admission_open(const char *secret_key, dp_admits *admits, void *ctx,
	struct dp_admission **out)
{
	struct dp_admission *a = *out = calloc(1, sizeof *a);
	if (!a)
		return DP_ENOMEM;
	*a = (struct dp_admission){.secret_key = secret_key, .admits = admits, .ctx = ctx};
	a->zmq = zmq_ctx_new();
	a->socket = a->zmq ? zmq_socket(a->zmq, ZMQ_REP) : NULL;
	bool bad = !a->socket || socket_set_int(a->socket, ZMQ_LINGER, 0) ||
		zmq_bind(a->socket, "inproc://zeromq.zap.01");
	int err = bad ? DP_ENOMEM : waker_open(&a->waker, a->socket);
	if (err)
		dp_admission_close(out);
	return err;
}

void dp_admission_close(struct dp_admission **pa)
{
	struct dp_admission *a = *pa;
	*pa = NULL;
	if (!a)
		return;
	if (a->socket)
		zmq_close(a->socket);
	if (a->zmq)
		zmq_ctx_term(a->zmq);
	free(a);
}

void *dp_admission_zmq(const struct dp_admission *a)
{
	return a->zmq;
}

int dp_admission_guard(const struct dp_admission *a, void *socket, enum dp_domain domain)
{
	return socket_set_int(socket, ZMQ_CURVE_SERVER, 1) |
		socket_set_text(socket, ZMQ_CURVE_SECRETKEY, a->secret_key) |
		socket_set_text(socket, ZMQ_ZAP_DOMAIN, domains[domain]);
}

static bool receive_request(void *socket, struct request *r)
{
	int more = 1;
	size_t more_size = sizeof more;
	*r = (struct request){0};
	for (; more; r->count++) {
		int at = r->count < FRAMES ? r->count : FRAMES - 1;
		int got = zmq_recv(socket, r->frame[at], FRAME_SIZE, ZMQ_DONTWAIT);
		if (got < 0)
			return false;
		if (r->count < FRAMES)
			r->size[at] = got;
		zmq_getsockopt(socket, ZMQ_RCVMORE, &more, &more_size);
	}
	return true;
}

static bool frame_is(const struct request *r, int frame, const char *text)
{
	size_t size = strlen(text);
	return r->size[frame] == (int)size && memcmp(r->frame[frame], text, size) == 0;
}

static bool is_admitted(const struct dp_admission *a, const struct request *r,
	char owner[DP_OWNER_SIZE])
{
	char key[DP_KEY_SIZE];
	enum dp_domain domain = frame_is(r, DOMAIN, domains[DP_DOMAIN_CONTROL]) ? DP_DOMAIN_CONTROL
										: DP_DOMAIN_LINKS;
	bool has_key = r->count == FRAMES && frame_is(r, MECHANISM, "CURVE") &&
		r->size[KEY] == KEY_BYTES &&
		zmq_z85_encode(key, (const uint8_t *)r->frame[KEY], KEY_BYTES);
	return a->admits(a->ctx, domain, has_key ? key : NULL, owner);
}

static void send_verdict(void *socket, const struct request *r, const char *owner)
{
	size_t id_size = r->size[ID] < FRAME_SIZE ? (size_t)r->size[ID] : 0;
	zmq_send(socket, "1.0", 3, ZMQ_SNDMORE);
	zmq_send(socket, r->frame[ID], id_size, ZMQ_SNDMORE);
	zmq_send(socket, owner ? "200" : "400", 3, ZMQ_SNDMORE);
	zmq_send(socket, owner ? "OK" : "unknown key", owner ? 2 : 11, ZMQ_SNDMORE);
	zmq_send(socket, owner ? owner : "", owner ? strlen(owner) : 0, ZMQ_SNDMORE);
	zmq_send(socket, "", 0, 0);
}

static bool answer_zap(void *arg)
{
	struct dp_admission *a = arg;
	struct request r;
	char owner[DP_OWNER_SIZE];
	if (!receive_request(a->socket, &r))
		return false;
	bool admitted = is_admitted(a, &r, owner);
	int size = r.size[ADDRESS] < FRAME_SIZE ? r.size[ADDRESS] : FRAME_SIZE - 1;
	if (admitted)
		dp_log(DP_LOG_DEBUG, "key-accepted", "from=%.*s node=%s", size, r.frame[ADDRESS],
			owner);
	else
		dp_log(DP_LOG_WARNING, "key-refused",
			"from=%.*s reason=\"key is not in the topology\"", size, r.frame[ADDRESS]);
	send_verdict(a->socket, &r, admitted ? owner : NULL);
	return true;
}

int dp_admission_fd(const struct dp_admission *a)
{
	return a->waker.fd;
}

void dp_admission_wake(struct dp_admission *a)
{
	a->waker.dirty = true;
}

bool dp_admission_receive(struct dp_admission *a)
{
	bool dirty = a->waker.dirty;
	if (dirty)
		waker_drain(&a->waker, answer_zap, a);
	return dirty;
}
