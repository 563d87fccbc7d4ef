/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"
#include "scenario.h"

static const struct {
	const char *name;
	scenario_fn *run;
} scenarios[] = {
	{"journal", scenario_journal},
	{"store", scenario_store},
	{"resync", scenario_resync},
};
#define SCENARIOS (sizeof scenarios / sizeof scenarios[0])

static const char *current;
static struct scenario_options options = {.seed = 1, .states = 4, .only = CRASH_NEVER};
static uint32_t outer_moment;

void crash_at(uint32_t moment)
{
	outer_moment = moment;
}

void crash_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	printf("FAILED: %s, seed %" PRIu64 ", a crash at moment %u: ", current, options.seed,
		outer_moment);
	vprintf(format, args);
	va_end(args);
	printf("\nreproduce with: dipole-crash %s --seed %" PRIu64 " --states %u --moment %u"
	       " --verbose\n",
		current, options.seed, options.states, outer_moment);
	fflush(stdout);
	exit(1);
}

static int usage(int code)
{
	printf("dipole-crash SCENARIO [--seed N] [--runs N] [--states N] [--moment N] [--verbose]\n"
	       "  SCENARIO    journal, store or resync\n"
	       "  --seed N    first seed (default 1)\n"
	       "  --runs N    how many seeds from there on (default 1)\n"
	       "  --states N  torn and random states of each write and moment (default 4)\n"
	       "  --moment N  only crashes at this moment of the log\n"
	       "  --verbose   print the log and each state\n");
	return code;
}

static int run(const char *name, uint64_t runs)
{
	for (unsigned i = 0; i < SCENARIOS; i++) {
		if (strcmp(scenarios[i].name, name) != 0)
			continue;
		current = name;
		for (uint64_t n = 0; n < runs; n++, options.seed++)
			scenarios[i].run(&options);
		return 0;
	}
	return usage(64);
}

int main(int argc, char **argv)
{
	static const struct option names[] = {{"seed", required_argument, NULL, 's'},
		{"runs", required_argument, NULL, 'r'}, {"states", required_argument, NULL, 'n'},
		{"moment", required_argument, NULL, 'm'}, {"verbose", no_argument, NULL, 'v'},
		{"help", no_argument, NULL, 'h'}, {0}};
	uint64_t runs = 1;
	for (int o; (o = getopt_long(argc, argv, "", names, NULL)) != -1;) {
		if (o == 's')
			options.seed = strtoull(optarg, NULL, 0);
		else if (o == 'r')
			runs = strtoull(optarg, NULL, 0);
		else if (o == 'n')
			options.states = (unsigned)strtoul(optarg, NULL, 0);
		else if (o == 'm')
			options.only = (uint32_t)strtoul(optarg, NULL, 0);
		else if (o == 'v')
			options.verbose = true;
		else
			return usage(o == 'h' ? 0 : 64);
	}
	if (sodium_init() < 0)
		return 70;
	return optind + 1 == argc ? run(argv[optind], runs) : usage(64);
}
