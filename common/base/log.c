/* SPDX-License-Identifier: MIT */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char log_node[64] = "-";
static enum dp_log_level log_level = DP_LOG_INFO;
static int log_journald;
static dp_log_form *log_form;

void dp_log_open(const char *node, enum dp_log_level level, dp_log_form *form)
{
	snprintf(log_node, sizeof log_node, "%s", node);
	log_level = level;
	log_form = form;
	log_journald = getenv("JOURNAL_STREAM") != NULL;
}

static void print_text(const struct dp_log_line *l)
{
	fprintf(stderr, "%s %s %s %s %s\n", l->time, l->level, l->node, l->event, l->keys);
}

void dp_log(enum dp_log_level level, const char *event, const char *format, ...)
{
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
	static const int priorities[] = {3, 4, 5, 6, 7};
	if (level > log_level)
		return;
	char keys[900], when[32], time[48];
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	snprintf(time, sizeof time, "%s.%03ldZ", when, now.tv_nsec / 1000000);
	va_list args;
	va_start(args, format);
	vsnprintf(keys, sizeof keys, format, args);
	va_end(args);
	/* One record is one line, whatever a peer put into a name. */
	for (char *p = keys; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	flockfile(stderr);
	if (log_journald)
		fprintf(stderr, "<%d>", priorities[level]);
	(log_form ? log_form
		  : print_text)(&(struct dp_log_line){time, names[level], log_node, event, keys});
	funlockfile(stderr);
}
