/* SPDX-License-Identifier: MIT */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "world.h"

#define DEPTH_MAX 24
#define CLIENT    0xc11e47u

struct request {
	uint64_t id;
	uint8_t op, flags; /* op 0: read */
	uint32_t volume, length;
	uint64_t offset;
	bool answered, submitted, refused;
	struct dp_buf *payload;
	struct dp_position covers; /* flushes: the newest record answered when it was asked */
	uint64_t
		*floor; /* reads: per block, the newest write that was answered when it was asked */
};

struct host {
	struct request *requests;
	unsigned count, open, depth;
	double reads, zeros, flushes;
	bool finishing, flushed;
	struct dp_position newest;   /* record that was answered */
	uint64_t *answered, *zeroed; /* per block: newest answered write, newest zeroing asked */
	uint64_t blocks;
};

static uint64_t block_of(struct sim *sim, const struct request *r, uint32_t n)
{
	uint64_t half = sim->opt.volume_size / 2;
	return ((r->volume - 1) * half + r->offset) / SIM_BLOCK + n;
}

/* Each block says which request wrote it and where it belongs. */
static void fill(struct sim *sim, struct request *r)
{
	for (uint32_t n = 0; n < r->length / SIM_BLOCK; n++) {
		uint8_t *at = r->payload->data + (size_t)n * SIM_BLOCK;
		memset(at, (int)(r->id & 0xff), SIM_BLOCK);
		dp_put64(at, r->id);
		dp_put64(at + 8, block_of(sim, r, n));
	}
}

static void submit(struct sim *sim, struct request *r)
{
	struct node *controller = &sim->nodes[0];
	if (!controller->stream)
		return;
	struct dp_host_request h = {.tag = r,
		.op = r->op,
		.flags = r->flags,
		.volume = r->volume,
		.length = r->length,
		.offset = r->offset,
		.client = CLIENT,
		.request = r->id,
		.payload = r->payload};
	dp_stream_request(controller->stream, &h);
}

static void draw(struct sim *sim, struct request *r)
{
	struct host *h = sim->host;
	struct rng *g = &sim->host_rng;
	uint64_t half = sim->opt.volume_size / 2;
	r->op = rng_chance(g, h->reads)     ? 0
		: rng_chance(g, h->flushes) ? DP_OP_FLUSH
		: rng_chance(g, h->zeros)   ? (rng_chance(g, 0.5) ? DP_OP_TRIM : DP_OP_ZERO)
					    : DP_OP_WRITE;
	if (r->op == DP_OP_FLUSH)
		return;
	r->volume = 1 + (uint32_t)rng_below(g, 2);
	r->length = SIM_BLOCK * (uint32_t)rng_between(g, 1, rng_chance(g, 0.1) ? 64 : 8);
	r->offset = SIM_BLOCK * rng_below(g, (half - r->length) / SIM_BLOCK + 1);
	if (r->op == DP_OP_WRITE && rng_chance(g, 0.05))
		r->flags = DP_RECORD_FUA;
}

static struct request *add(struct sim *sim)
{
	struct host *h = sim->host;
	if (h->count == SIM_REQUESTS)
		return NULL;
	struct request *r = &h->requests[h->count++];
	r->id = h->count;
	r->covers = h->newest;
	return r;
}

/* What is asked for is known. */
static void begin(struct sim *sim, struct request *r)
{
	struct host *h = sim->host;
	if (r->op == DP_OP_WRITE) {
		r->payload = world_buf(r->length);
		fill(sim, r);
	}
	uint32_t blocks = r->length / SIM_BLOCK;
	if (r->op == 0) {
		r->floor = calloc(blocks, sizeof *r->floor);
		for (uint32_t n = 0; n < blocks; n++)
			r->floor[n] = h->answered[block_of(sim, r, n)];
	}
	for (uint32_t n = 0; (r->op == DP_OP_TRIM || r->op == DP_OP_ZERO) && n < blocks; n++)
		h->zeroed[block_of(sim, r, n)] = r->id;
	h->open++;
	submit(sim, r);
}

static void new_request(struct sim *sim, bool flush)
{
	struct request *r = add(sim);
	if (!r)
		return;
	if (flush)
		r->op = DP_OP_FLUSH;
	else
		draw(sim, r);
	begin(sim, r);
}

unsigned host_ask(struct sim *sim, const struct host_wish *wish)
{
	struct request *r = add(sim);
	if (!r)
		sim_fail("more than %u requests", SIM_REQUESTS);
	r->op = wish->op;
	r->flags = wish->flags;
	if (r->op != DP_OP_FLUSH) {
		r->volume = 1;
		r->offset = (uint64_t)wish->block * SIM_BLOCK;
		r->length = wish->blocks * SIM_BLOCK;
	}
	begin(sim, r);
	return (unsigned)r->id;
}

static void work(struct sim *sim, void *arg, uint64_t number)
{
	struct host *h = sim->host;
	(void)arg;
	(void)number;
	while (!h->finishing && h->open < h->depth && h->count < SIM_REQUESTS - 1)
		new_request(sim, false);
	if (h->finishing && h->open == 0 && !h->flushed) {
		h->flushed = true;
		new_request(sim, true);
	}
	if (!(h->finishing && h->flushed && h->open == 0))
		sim_at(sim, rng_between(&sim->host_rng, 50, 4000), work, NULL, 0);
}

void host_make(struct sim *sim)
{
	struct host *h = calloc(1, sizeof *h);
	sim->host = h;
	h->requests = calloc(SIM_REQUESTS, sizeof *h->requests);
	h->blocks = sim->opt.volume_size / SIM_BLOCK;
	h->answered = calloc(h->blocks, sizeof *h->answered);
	h->zeroed = calloc(h->blocks, sizeof *h->zeroed);
}

void host_start(struct sim *sim)
{
	host_make(sim);
	struct host *h = sim->host;
	h->depth = (unsigned)rng_between(&sim->host_rng, 1,
		sim->opt.resyncs ? DEPTH_MAX / 4 : DEPTH_MAX);
	h->reads = (double)rng_below(&sim->host_rng, 40) / 100;
	h->zeros = (double)rng_below(&sim->host_rng, 30) / 100;
	h->flushes = (double)rng_below(&sim->host_rng, 20) / 100;
	sim_at(sim, 1000, work, NULL, 0);
}

void host_finish(struct sim *sim)
{
	sim->host->finishing = true;
	sim_at(sim, 1000, work, NULL, 0);
}

/* A host that dies asks for nothing again: what it had not been answered may be there or not. */
static void forget_unanswered(struct host *h)
{
	for (unsigned i = 0; i < h->count; i++) {
		struct request *r = &h->requests[i];
		h->open -= !r->answered;
		r->refused |= !r->answered;
		r->answered = true;
	}
}

void host_resubmit(struct sim *sim)
{
	if (!sim->healed && rng_chance(&sim->operator_rng, sim->opt.host_dies))
		forget_unanswered(sim->host);
	for (unsigned i = 0; i < sim->host->count; i++)
		if (!sim->host->requests[i].answered)
			submit(sim, &sim->host->requests[i]);
}

/* Read your writes, and nothing older (law 4). */
static void check_read(struct sim *sim, struct request *r, const struct dp_buf *data)
{
	if (!data || data->size != r->length)
		sim_fail("read %llu answered with the wrong size", (unsigned long long)r->id);
	for (uint32_t n = 0; n < r->length / SIM_BLOCK; n++) {
		const uint8_t *at = data->data + (size_t)n * SIM_BLOCK;
		uint64_t id = dp_get64(at), block = block_of(sim, r, n), floor = r->floor[n];
		if (id == 0 && (floor == 0 || sim->host->zeroed[block] >= floor))
			continue;
		if (id == 0 || id < floor || dp_get64(at + 8) != block)
			sim_fail(
				"law 4: read %llu sees request %llu in block %llu, at least %llu was answered",
				(unsigned long long)r->id, (unsigned long long)id,
				(unsigned long long)block, (unsigned long long)floor);
	}
}

/* The copies that the answer speaks of exist, of the request and, for a flush, of all before it. */
static void check_answer(struct sim *sim, struct request *r)
{
	struct dp_position at = r->covers;
	const struct dp_core *c = dp_stream_core(sim->nodes[0].stream);
	if (r->op != DP_OP_FLUSH && !check_request(sim->check, r->id, c->log.last.at, &at))
		sim_fail("law 1: request %llu is answered, and its record is not in the history",
			(unsigned long long)r->id);
	laws_answered(sim, r->id, at, r->op == DP_OP_FLUSH || (r->flags & DP_RECORD_FUA));
	if (at.seq > sim->host->newest.seq)
		sim->host->newest = at;
}

struct dp_position host_answered(const struct sim *sim)
{
	return sim->host->newest;
}

void host_reply(struct sim *sim, void *tag, int err, struct dp_buf *data)
{
	struct request *r = tag;
	struct host *h = sim->host;
	if (r->answered)
		sim_fail("request %llu answered twice", (unsigned long long)r->id);
	if (err == DP_EAGAIN) {
		submit(sim, r);
		return;
	}
	r->refused = err == DP_ENOMEM && sim->starved;
	if (err && !r->refused)
		sim_fail("request %llu answered with %s", (unsigned long long)r->id,
			dp_strerror(err));
	r->answered = true;
	h->open--;
	sim_trace(sim, r->id);
	if (sim->watch)
		sim->watch->replied(sim, (unsigned)r->id, data);
	if (r->refused)
		return;
	if (r->op == 0) {
		check_read(sim, r, data);
		return;
	}
	check_answer(sim, r);
	for (uint32_t n = 0; n < r->length / SIM_BLOCK; n++) {
		uint64_t *newest = &h->answered[block_of(sim, r, n)];
		if (*newest < r->id)
			*newest = r->id;
	}
}

bool host_idle(const struct sim *sim)
{
	return sim->host->flushed && sim->host->open == 0;
}

unsigned host_waiting(const struct sim *sim)
{
	return sim->host->open;
}

unsigned host_requests(const struct sim *sim)
{
	return sim->host->count;
}

void host_check(struct sim *sim, struct dp_position end)
{
	for (unsigned i = 0; i < sim->host->count; i++) {
		struct request *r = &sim->host->requests[i];
		if (r->op == 0 || r->op == DP_OP_FLUSH || !r->answered || r->refused)
			continue;
		unsigned times = check_count(sim->check, end, CLIENT, r->id);
		if (times != 1)
			sim_fail("law 1: answered request %llu stands %u times in the history",
				(unsigned long long)r->id, times);
	}
}

void host_free(struct sim *sim)
{
	struct host *h = sim->host;
	for (unsigned i = 0; i < h->count; i++) {
		dp_buf_unref(&h->requests[i].payload);
		free(h->requests[i].floor);
	}
	free(h->requests);
	free(h->answered);
	free(h->zeroed);
	free(h);
}
