/* SPDX-License-Identifier: MIT */
/* Simulated time: what happens next, and when. */
#include <stdlib.h>

#include "world.h"

/* A binary heap by time, then by order of creation. */

static bool before(const struct event *a, const struct event *b)
{
	return a->at != b->at ? a->at < b->at : a->order < b->order;
}

void sim_at(struct sim *sim, uint64_t delay_us, sim_fn *fn, void *arg, uint64_t number)
{
	if (sim->event_count == sim->event_capacity) {
		sim->event_capacity = sim->event_capacity ? sim->event_capacity * 2 : 1024;
		sim->events = realloc(sim->events, sim->event_capacity * sizeof *sim->events);
	}
	struct event ev = {sim->now + delay_us, ++sim->order, fn, arg, number};
	size_t i = sim->event_count++;
	for (; i > 0 && before(&ev, &sim->events[(i - 1) / 2]); i = (i - 1) / 2)
		sim->events[i] = sim->events[(i - 1) / 2];
	sim->events[i] = ev;
}

static struct event pop(struct sim *sim)
{
	struct event first = sim->events[0], last = sim->events[--sim->event_count];
	size_t i = 0, n = sim->event_count;
	for (;;) {
		size_t child = 2 * i + 1;
		if (child >= n)
			break;
		if (child + 1 < n && before(&sim->events[child + 1], &sim->events[child]))
			child++;
		if (!before(&sim->events[child], &last))
			break;
		sim->events[i] = sim->events[child];
		i = child;
	}
	sim->events[i] = last;
	return first;
}

uint64_t sim_now(const struct sim *sim)
{
	return sim->now;
}

void sim_trace(struct sim *sim, uint64_t what)
{
	sim->trace = (sim->trace ^ what ^ sim->now) * 0x100000001b3u;
	sim->trace ^= sim->trace >> 29;
}

void sim_run(struct sim *sim, uint64_t end, unsigned every, sim_done *done)
{
	while (sim->event_count && sim->events[0].at <= end) {
		struct event ev = pop(sim);
		sim->now = ev.at;
		sim->steps++;
		ev.fn(sim, ev.arg, ev.number);
		world_after(sim);
		if (done && sim->steps % every == 0 && done(sim))
			return;
	}
	sim->now = end;
}

void sim_seed(struct sim *sim, uint64_t seed)
{
	struct rng root = {seed};
	sim->options_rng.state = rng_next(&root);
	sim->network_rng.state = rng_next(&root);
	sim->disk_rng.state = rng_next(&root);
	sim->process_rng.state = rng_next(&root);
	sim->host_rng.state = rng_next(&root);
	sim->deposed_rng.state = rng_next(&root);
	sim->health_rng.state = rng_next(&root);
	sim->operator_rng.state = rng_next(&root);
	sim->resync_rng.state = rng_next(&root);
	sim->failure_rng.state = rng_next(&root);
	sim->memory_rng.state = rng_next(&root);
	sim->seal_rng.state = rng_next(&root);
	sim->change_rng.state = rng_next(&root);
}
