/* SPDX-License-Identifier: MIT */
#include "client/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *dipole_version(void)
{
	return DIPOLE_VERSION;
}

__attribute__((format(printf, 2, 3))) static void say(const struct dipole_options *o,
	const char *format, ...)
{
	va_list args;
	if (!o->message || o->message_size == 0)
		return;
	va_start(args, format);
	vsnprintf(o->message, o->message_size, format, args);
	va_end(args);
}

static const char *because(const struct dipole_client *c, char *text, size_t size)
{
	if (c->state == CLIENT_HELLO)
		return "it accepted the connection but said nothing";
	return strerror_r(c->last_error, text, size);
}

static void explain(const struct dipole_client *c, const struct dipole_options *o, int error)
{
	char text[128];
	const char *path = c->address.sun_path;
	if (error == ENOENT)
		say(o, "the controller at %s has no volume \"%s\"", path, c->volume);
	else if (error == ETIMEDOUT)
		say(o, "no controller answers at %s: %s", path, because(c, text, sizeof text));
	else if (error == ESHUTDOWN)
		say(o, "interrupted while connecting to the controller at %s", path);
	else if (error == EPROTO)
		say(o, "the controller at %s speaks another version of the protocol", path);
	else
		say(o, "the controller at %s refuses volume \"%s\": %s", path, c->volume,
			strerror_r(error, text, sizeof text));
}

static struct dipole_client *create(void)
{
	struct dipole_client *c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->fd = c->epoll = c->timer = -1;
	pthread_mutex_init(&c->mutex, NULL);
	pthread_cond_init(&c->quiet, NULL);
	return c;
}

static int first_connection(struct dipole_client *c, const struct dipole_options *o)
{
	uint32_t timeout_ms = o->timeout_ms ? o->timeout_ms : DIPOLE_TIMEOUT_MS;
	int error = client_wait_up(c, client_now_ms() + timeout_ms, o->interrupted,
		o->interrupted_arg);
	if (!error && c->state == CLIENT_FAILED)
		error = c->refused;
	if (error)
		explain(c, o, error);
	return error;
}

int dipole_connect(const char *path, const char *volume, const struct dipole_options *options,
	struct dipole_client **client)
{
	static const struct dipole_options defaults;
	const struct dipole_options *o = options ? options : &defaults;
	struct dipole_client *c = create();
	*client = NULL;
	if (!c)
		return EIO;
	int error = client_session_init(c, path, volume);
	if (error)
		say(o, "%s",
			error == EINVAL ? "the socket's path or the volume's name is empty or "
					  "too long"
					: "out of file descriptors");
	else
		error = first_connection(c, o);
	if (error) {
		dipole_close(c);
		return error;
	}
	*client = c;
	return 0;
}

void dipole_close(struct dipole_client *c)
{
	struct done done;
	if (!c)
		return;
	client_done_init(&done);
	c->state = CLIENT_FAILED; /* a callback that submits is refused */
	client_answer_all(c, ESHUTDOWN, &done);
	client_done_hand_back(&done);
	client_session_free(c);
	pthread_cond_destroy(&c->quiet);
	pthread_mutex_destroy(&c->mutex);
	free(c->slots);
	free(c);
}

uint64_t dipole_size(const struct dipole_client *c)
{
	return c->limits.size;
}

void dipole_limits(const struct dipole_client *c, struct dipole_limits *limits)
{
	*limits = (struct dipole_limits){
		.size = c->limits.size,
		.max_payload = c->limits.max_payload,
		.max_extent = c->limits.max_extent,
		.max_requests = c->limits.max_requests,
	};
}

void dipole_counters(struct dipole_client *c, struct dipole_counters *counters)
{
	pthread_mutex_lock(&c->mutex);
	*counters = c->counters;
	pthread_mutex_unlock(&c->mutex);
}

int dipole_fd(const struct dipole_client *c)
{
	return c->epoll;
}

static bool moves_data(const struct dipole_request *r)
{
	return r->op == DIPOLE_READ || r->op == DIPOLE_WRITE;
}

static bool valid_range(const struct dipole_client *c, const struct dipole_request *r)
{
	uint32_t most = moves_data(r) ? c->limits.max_payload : c->limits.max_extent;
	return r->length > 0 && r->length <= most && r->offset <= c->limits.size &&
		r->length <= c->limits.size - r->offset;
}

static bool valid(const struct dipole_client *c, const struct dipole_request *r)
{
	bool mutates_range = r->op == DIPOLE_WRITE || r->op == DIPOLE_TRIM || r->op == DIPOLE_ZERO;
	if (r->op == DIPOLE_FLUSH)
		return r->flags == 0 && r->length == 0 && r->offset == 0;
	if (r->op != DIPOLE_READ && !mutates_range)
		return false;
	if (r->flags & (mutates_range ? ~DIPOLE_FUA : ~0u))
		return false;
	return valid_range(c, r) && (r->buffer || !moves_data(r));
}

int dipole_submit(struct dipole_client *c, struct dipole_request *r)
{
	if (!valid(c, r))
		return EINVAL;
	pthread_mutex_lock(&c->mutex);
	int error = c->state == CLIENT_FAILED ? EIO : client_slot_add(c, r);
	if (!error && c->state == CLIENT_UP && !c->blocked)
		client_send(c);
	pthread_mutex_unlock(&c->mutex);
	return error;
}
