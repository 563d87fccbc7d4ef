#include "sim.h"

#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "host.h"
#include "world.h"

static uint64_t current_seed;
static struct sim *current;

void sim_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("FAILED at %.6f s: ", current ? (double)sim_now(current) / 1e6 : 0);
	vprintf(format, args);
	va_end(args);
	printf("\nreproduce with: dipole-sim --seed %" PRIu64 "\n", current_seed);
	fflush(stdout);
	exit(1);
}

/* ---- events: a binary heap by time, then by order of creation ---- */

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

static void run_until(struct sim *sim, uint64_t end, bool (*done)(struct sim *))
{
	while (sim->event_count && sim->events[0].at <= end) {
		struct event ev = pop(sim);
		sim->now = ev.at;
		sim->steps++;
		world_before(sim);
		ev.fn(sim, ev.arg, ev.number);
		world_after(sim);
		if (done && sim->steps % 64 == 0 && done(sim))
			return;
	}
	sim->now = end;
}

/* ---- one run ---- */

static uint64_t run(uint64_t seed, bool verbose)
{
	struct sim *sim = calloc(1, sizeof *sim);
	current = sim;
	current_seed = seed;
	sim->verbose = verbose;
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
	world_make(sim);
	host_start(sim);
	world_start_faults(sim);
	run_until(sim, sim->opt.fault_us, NULL);
	world_heal(sim);
	host_finish(sim);
	run_until(sim, sim->now + 300000000, world_converged);
	world_check_end(sim);
	uint64_t trace = sim->trace;
	printf("seed %" PRIu64 " ok: %" PRIu64 " steps, %u requests, %u crashes, trace %016" PRIx64 "\n",
		seed, sim->steps, host_requests(sim), sim->crashes, trace);
	world_free(sim);
	free(sim->events);
	free(sim);
	current = NULL;
	return trace;
}

static void usage(void)
{
	puts("dipole-sim [--seed N] [--runs N] [--twice] [--verbose]\n"
	     "  --seed N   first seed (default 1)\n"
	     "  --runs N   how many seeds from there on (default 1)\n"
	     "  --twice    run each seed twice and compare the traces\n"
	     "  --verbose  print options, alarms and faults");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"seed", required_argument, NULL, 's'},
		{"runs", required_argument, NULL, 'r'}, {"twice", no_argument, NULL, 't'},
		{"verbose", no_argument, NULL, 'v'}, {"help", no_argument, NULL, 'h'}, {0}};
	uint64_t seed = 1, runs = 1;
	bool twice = false, verbose = false;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 's')
			seed = strtoull(optarg, NULL, 0);
		else if (o == 'r')
			runs = strtoull(optarg, NULL, 0);
		else if (o == 't')
			twice = true;
		else if (o == 'v')
			verbose = true;
		else {
			usage();
			return o == 'h' ? 0 : 64;
		}
	}
	if (sodium_init() < 0)
		return 70;
	for (uint64_t i = 0; i < runs; i++) {
		uint64_t trace = run(seed + i, verbose);
		if (twice && run(seed + i, false) != trace) {
			printf("FAILED: seed %" PRIu64 " gives two traces\n", seed + i);
			return 1;
		}
	}
	printf("%" PRIu64 " passed, 0 failed\n", runs);
	return 0;
}
