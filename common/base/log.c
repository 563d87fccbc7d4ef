#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static char log_node[64] = "-";
static enum dp_log_level log_level = DP_LOG_INFO;
static int log_journald;

void dp_log_open(const char *node, enum dp_log_level level)
{
	snprintf(log_node, sizeof log_node, "%s", node);
	log_level = level;
	log_journald = getenv("JOURNAL_STREAM") != NULL;
}

void dp_log(enum dp_log_level level, const char *event, const char *format, ...)
{
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
	static const int priorities[] = {3, 4, 5, 6, 7};
	if (level > log_level)
		return;
	char line[1024], when[32];
	struct timespec now;
	struct tm tm;
	clock_gettime(CLOCK_REALTIME, &now);
	strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", gmtime_r(&now.tv_sec, &tm));
	int used = 0;
	if (log_journald)
		used = snprintf(line, sizeof line, "<%d>", priorities[level]);
	used += snprintf(line + used, sizeof line - (size_t)used, "%s.%03ldZ %s %s %s ", when,
		now.tv_nsec / 1000000, names[level], log_node, event);
	va_list args;
	va_start(args, format);
	vsnprintf(line + used, sizeof line - (size_t)used, format, args);
	va_end(args);
	/* One record is one line, whatever a peer put into a name. */
	for (char *p = line; *p; p++)
		if (*p == '\n' || *p == '\r')
			*p = ' ';
	fprintf(stderr, "%s\n", line);
}
