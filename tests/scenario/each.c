/* SPDX-License-Identifier: MIT */
/* Every message or allocation of a script fails in turn: whichever it is, no law is broken and all
 * gets everywhere. */
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

static const struct way ways[] = {
	{"lose", "is lost", SIM_LOSE},
	{"break", "breaks its connection", SIM_BREAK},
	{"twice", "comes twice", SIM_DUPLICATE},
	{"starve", "finds no memory", SIM_STARVE},
};

#define WAYS (sizeof ways / sizeof ways[0])

const struct way *each_way(enum sim_fate fate)
{
	for (unsigned i = 0; i < WAYS; i++)
		if (ways[i].fate == fate)
			return &ways[i];
	return NULL;
}

bool each_parse(const char *text, struct nth *nth)
{
	size_t length = strcspn(text, ":");
	char *end = NULL;
	for (unsigned i = 0; i < WAYS && text[length]; i++) {
		if (strncmp(text, ways[i].name, length) != 0 || ways[i].name[length])
			continue;
		nth->fate = ways[i].fate;
		nth->n = (unsigned)strtoul(text + length + 1, &end, 10);
	}
	return end && !*end && text[length + 1];
}

/* How many runs it takes until none is left to fail. */
static unsigned runs(const char *file, enum sim_fate fate)
{
	unsigned n = 0;
	for (bool failed = true; failed; n++) {
		char *trace;
		failed = scenario_run(file, (struct nth){fate, n}, &trace);
		free(trace);
	}
	return n;
}

void each_message(const char *file)
{
	printf("%s:", file);
	for (unsigned i = 0; i < WAYS; i++)
		if (ways[i].fate != SIM_STARVE)
			printf(" %s %u", ways[i].name, runs(file, ways[i].fate));
	puts(" runs");
	fflush(stdout);
}

void each_allocation(const char *file)
{
	printf("%s: %u runs\n", file, runs(file, SIM_STARVE));
	fflush(stdout);
}
