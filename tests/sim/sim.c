/* SPDX-License-Identifier: MIT */
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

/* ---- one run ---- */

static uint64_t run(uint64_t seed, bool verbose)
{
	struct sim *sim = calloc(1, sizeof *sim);
	current = sim;
	current_seed = seed;
	sim->verbose = verbose;
	sim_seed(sim, seed);
	world_make(sim);
	host_start(sim);
	world_start_faults(sim);
	sim_run(sim, sim->opt.fault_us, 1, NULL);
	world_heal(sim);
	host_finish(sim);
	sim_run(sim, sim->now + 300000000, 64, world_converged);
	world_check_end(sim);
	uint64_t trace = sim->trace;
	printf("seed %" PRIu64 " ok: %" PRIu64 " steps, %u requests, %u crashes, trace %016" PRIx64
	       "\n",
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
