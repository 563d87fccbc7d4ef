/* SPDX-License-Identifier: MIT */
/* Synchronous calls: a range in parts, a few of them under way. */
#include "client/client.h"

#include <errno.h>

#define PARTS 32

struct range {
	enum dipole_op op;
	uint8_t *buffer; /* or NULL */
	uint64_t left, offset;
	uint32_t most; /* bytes in one request */
	const struct dipole_call *call;
	int error; /* the first one */
	struct dipole_request parts[PARTS];
	uint32_t submitted, waited; /* modulo PARTS: the ring's ends */
};

/* The parts are ordered, so FUA on the last one covers them all. */
static void next_part(const struct range *g, struct dipole_request *part)
{
	uint32_t length = g->left < g->most ? (uint32_t)g->left : g->most;
	*part = (struct dipole_request){
		.op = g->op,
		.flags = length == g->left ? g->call->flags : 0,
		.offset = g->offset,
		.length = length,
		.buffer = g->buffer,
		.set = g->call->set,
	};
}

static void stop(struct range *g, int error)
{
	if (!g->error)
		g->error = error;
	g->left = 0;
}

static void submitted(struct range *g, uint32_t length)
{
	g->submitted++;
	g->left -= length;
	g->offset += length;
	if (g->buffer)
		g->buffer += length;
}

/* True: submitted, or nothing more is to be. False: wait for an earlier part first. */
static bool submit_part(struct dipole_client *c, struct range *g)
{
	if (g->submitted - g->waited == PARTS)
		return false;
	struct dipole_request *part = &g->parts[g->submitted % PARTS];
	next_part(g, part);
	int error = dipole_submit(c, part);
	if (error == EAGAIN) {
		if (g->submitted != g->waited)
			return false;
		error = client_wait_room(c, g->call->interrupted, g->call->interrupted_arg);
	} else if (!error) {
		submitted(g, part->length);
	}
	if (error)
		stop(g, error);
	return true;
}

static int always(void *arg)
{
	(void)arg;
	return 1;
}

static void abandon_parts(struct dipole_client *c, struct range *g)
{
	for (; g->waited != g->submitted; g->waited++) {
		struct dipole_request *part = &g->parts[g->waited % PARTS];
		if (dipole_abandon(c, part))
			dipole_wait(c, part, always, NULL);
	}
}

static void wait_part(struct dipole_client *c, struct range *g)
{
	struct dipole_request *part = &g->parts[g->waited++ % PARTS];
	int error = dipole_wait(c, part, g->call->interrupted, g->call->interrupted_arg);
	if (!error)
		return;
	stop(g, error);
	if (error == ESHUTDOWN)
		abandon_parts(c, g);
}

static int run(struct dipole_client *c, struct range *g, const struct dipole_call *call)
{
	static const struct dipole_call defaults;
	g->call = call ? call : &defaults;
	if (g->offset > c->limits.size || g->left > c->limits.size - g->offset)
		return EINVAL;
	while (g->left || g->waited != g->submitted)
		if (!g->left || !submit_part(c, g))
			wait_part(c, g);
	return g->error;
}

int dipole_pread(struct dipole_client *c, void *buffer, uint64_t length, uint64_t offset,
	const struct dipole_call *call)
{
	struct range g = {
		.op = DIPOLE_READ,
		.buffer = buffer,
		.left = length,
		.offset = offset,
		.most = c->limits.max_payload,
	};
	struct dipole_call plain = call ? *call : (struct dipole_call){0};
	plain.flags = 0;
	return run(c, &g, &plain);
}

int dipole_pwrite(struct dipole_client *c, const void *buffer, uint64_t length, uint64_t offset,
	const struct dipole_call *call)
{
	struct range g = {
		.op = DIPOLE_WRITE,
		.buffer = (uint8_t *)buffer, /* only read from */
		.left = length,
		.offset = offset,
		.most = c->limits.max_payload,
	};
	return run(c, &g, call);
}

static int extent(struct dipole_client *c, enum dipole_op op, uint64_t length, uint64_t offset,
	const struct dipole_call *call)
{
	struct range g = {
		.op = op,
		.left = length,
		.offset = offset,
		.most = c->limits.max_extent,
	};
	return run(c, &g, call);
}

int dipole_trim(struct dipole_client *c, uint64_t length, uint64_t offset,
	const struct dipole_call *call)
{
	return extent(c, DIPOLE_TRIM, length, offset, call);
}

int dipole_zero(struct dipole_client *c, uint64_t length, uint64_t offset,
	const struct dipole_call *call)
{
	return extent(c, DIPOLE_ZERO, length, offset, call);
}

int dipole_flush(struct dipole_client *c, const struct dipole_call *call)
{
	struct dipole_request r = {.op = DIPOLE_FLUSH, .set = call ? call->set : 0};
	dipole_interrupted interrupted = call ? call->interrupted : NULL;
	void *arg = call ? call->interrupted_arg : NULL;
	int error;
	while ((error = dipole_submit(c, &r)) == EAGAIN) {
		error = client_wait_room(c, interrupted, arg);
		if (error)
			return error;
	}
	return error ? error : dipole_wait(c, &r, interrupted, arg);
}
