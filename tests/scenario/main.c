/* SPDX-License-Identifier: MIT */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <sodium.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "scenario.h"

#define NAME_MAX_BYTES 512
#define BEFORE         3 /* lines shown before a difference */
#define AFTER          5 /* and from there on */

static struct scenario *current;
static char *text; /* the trace so far */
static size_t text_size;

void sim_fail(const char *format, ...)
{
	const struct nth *nth = &current->nth;
	va_list args;
	fflush(current->trace);
	printf("%s\n%s, line %u of the script, ", text, current->file, current->line);
	if (nth->fate != SIM_PASS)
		printf("where %s %u %s, ", nth->fate == SIM_STARVE ? "allocation" : "message",
			nth->n, each_way(nth->fate)->told);
	printf("FAILED: ");
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	if (nth->fate != SIM_PASS)
		printf("reproduce with: dipole-scenario --fail %s:%u %s\n",
			each_way(nth->fate)->name, nth->n, current->file);
	fflush(stdout);
	exit(1);
}

static void aborted(int number)
{
	(void)number;
	sim_fail("an assertion does not hold");
}

static bool starved(void *arg)
{
	struct scenario *s = arg;
	if (s->sim.healed || s->messages++ != s->nth.n)
		return false;
	s->sim.starved = true;
	return true;
}

/* All that is down or cut comes back, the host flushes, and everything must get everywhere. */
static void converge(struct sim *sim)
{
	world_heal(sim);
	host_finish(sim);
	sim_run(sim, sim->now + SCENARIO_LIMIT_US, 1, world_converged);
	world_check_end(sim);
}

bool scenario_run(const char *file, struct nth nth, char **trace)
{
	FILE *script = fopen(file, "r");
	if (!script) {
		perror(file);
		exit(66);
	}
	current = calloc(1, sizeof *current);
	current->file = file;
	current->nth = nth;
	current->trace = open_memstream(&text, &text_size);
	if (nth.fate == SIM_STARVE)
		sim_memory(starved, current);
	script_run(current, script);
	fclose(script);
	if (nth.fate != SIM_PASS)
		converge(&current->sim);
	fclose(current->trace);
	*trace = text;
	bool came_to_it = current->messages > nth.n;
	world_free(&current->sim);
	free(current->sim.events);
	free(current);
	current = NULL;
	return came_to_it;
}

static char *read_all(const char *file)
{
	char *all = NULL, part[4096];
	size_t size = 0, n;
	FILE *in = fopen(file, "r");
	if (!in)
		return NULL;
	FILE *out = open_memstream(&all, &size);
	while ((n = fread(part, 1, sizeof part, in)) > 0)
		fwrite(part, 1, n, out);
	fclose(in);
	fclose(out);
	return all;
}

static void print_lines(char mark, const char *from, unsigned count)
{
	for (; count && *from; count--) {
		int length = (int)strcspn(from, "\n");
		printf("%c%.*s\n", mark, length, from);
		from += length + (from[length] == '\n');
	}
}

/* Shows the first difference, with what stands before it. */
static bool same(const char *golden_file, const char *golden, const char *got)
{
	const char *line = got, *recent[BEFORE] = {got, got, got};
	unsigned number = 1;
	size_t at = 0;
	for (; golden[at] && golden[at] == got[at]; at++) {
		if (got[at] != '\n')
			continue;
		recent[number++ % BEFORE] = line;
		line = &got[at + 1];
	}
	if (golden[at] == got[at])
		return true;
	const char *start = number > BEFORE ? recent[number % BEFORE] : got;
	unsigned shown = number > BEFORE ? BEFORE : number - 1;
	printf("--- %s\n+++ this run\n@@ line %u @@\n", golden_file, number);
	print_lines(' ', start, shown);
	print_lines('-', golden + (line - got), AFTER);
	print_lines('+', line, AFTER);
	return false;
}

static bool write_golden(const char *file, const char *trace)
{
	FILE *out = fopen(file, "w");
	if (!out || fputs(trace, out) == EOF || fclose(out)) {
		perror(file);
		return false;
	}
	return true;
}

static bool compare(const char *golden_file, const char *trace)
{
	char *golden = read_all(golden_file);
	if (!golden)
		perror(golden_file);
	bool ok = golden && same(golden_file, golden, trace);
	free(golden);
	return ok;
}

enum what { COMPARE, UPDATE, PRINT, EACH, EACH_ALLOCATION };

/* NAME.scenario and NAME.trace stand side by side. */
static bool scenario(const char *file, const char *golden, enum what what, struct nth nth)
{
	char beside[NAME_MAX_BYTES], *trace;
	int stem = (int)(strlen(file) - strlen(strrchr(file, '.') ? strrchr(file, '.') : ""));
	snprintf(beside, sizeof beside, "%.*s.trace", stem, file);
	scenario_run(file, nth, &trace);
	bool ok = true;
	if (what == PRINT)
		fputs(trace, stdout);
	else if (what == UPDATE)
		ok = write_golden(beside, trace);
	else
		ok = compare(golden ? golden : beside, trace);
	free(trace);
	return ok;
}

static void usage(void)
{
	puts("dipole-scenario [--update | --print | --trace FILE] NAME.scenario ...\n"
	     "dipole-scenario --each-message | --each-allocation | --fail WAY:N NAME.scenario ...\n"
	     "  runs each script and compares its trace with NAME.trace beside it\n"
	     "  --update      write NAME.trace anew\n"
	     "  --print       print the trace and compare nothing\n"
	     "  --trace FILE  compare with this one instead\n"
	     "  --each-message\n"
	     "                run it again and again, each time with another message failing\n"
	     "  --each-allocation\n"
	     "                the same with the memory that nodes ask for\n"
	     "  --fail WAY:N  let message N fail: lose, break (its connection) or twice; or allocation N:\n"
	     "                starve; print the trace");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"update", no_argument, NULL, 'u'},
		{"print", no_argument, NULL, 'p'}, {"trace", required_argument, NULL, 't'},
		{"each-message", no_argument, NULL, 'e'},
		{"each-allocation", no_argument, NULL, 'a'}, {"fail", required_argument, NULL, 'f'},
		{"help", no_argument, NULL, 'h'}, {0}};
	enum what what = COMPARE;
	struct nth nth = {SIM_PASS, 0};
	const char *golden = NULL;
	bool ok = true;
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (o == 'u')
			what = UPDATE;
		else if (o == 'p')
			what = PRINT;
		else if (o == 't')
			golden = optarg;
		else if (o == 'e')
			what = EACH;
		else if (o == 'a')
			what = EACH_ALLOCATION;
		else if (o == 'f' && each_parse(optarg, &nth))
			what = PRINT;
		else {
			usage();
			return o == 'h' ? 0 : 64;
		}
	}
	if (optind == argc) {
		usage();
		return 64;
	}
	if (sodium_init() < 0)
		return 70;
	signal(SIGABRT, aborted);
	for (int i = optind; i < argc; i++)
		if (what == EACH)
			each_message(argv[i]);
		else if (what == EACH_ALLOCATION)
			each_allocation(argv[i]);
		else if (!scenario(argv[i], golden, what, nth))
			ok = false;
	return ok ? 0 : 1;
}
