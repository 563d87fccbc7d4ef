/* SPDX-License-Identifier: MIT */
/* Structured logs on stderr, one line each: `TIME LEVEL NODE EVENT key=value ...`, or another form
 * of the same.
 * `<N>` priorities are put in front when the journal of systemd reads them (JOURNAL_STREAM). */
#ifndef DP_BASE_LOG_H
#define DP_BASE_LOG_H

enum dp_log_level { DP_LOG_ERROR, DP_LOG_WARNING, DP_LOG_NOTICE, DP_LOG_INFO, DP_LOG_DEBUG };

/* `keys`: "key=value key=\"some value\" ..."; a value in quotes may have quotes in it. */
struct dp_log_line {
	const char *time, *level, *node, *event, *keys;
};

/* Prints a line to stderr. */
typedef void dp_log_form(const struct dp_log_line *line);

/* Sets the node's name (copied), the most detailed level to be printed, and the form; NULL: text.
 */
void dp_log_open(const char *node, enum dp_log_level level, dp_log_form *form);

/* `event` is a fixed word, `format` gives the keys: dp_log(DP_LOG_INFO, "leg-up", "leg=%s", l). */
void dp_log(enum dp_log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
