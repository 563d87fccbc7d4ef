/* Structured logs on stderr, one line each: `TIME LEVEL NODE EVENT key=value ...`.
 * `<N>` priorities are put in front when the journal of systemd reads them (JOURNAL_STREAM). */
#ifndef DP_BASE_LOG_H
#define DP_BASE_LOG_H

enum dp_log_level { DP_LOG_ERROR, DP_LOG_WARNING, DP_LOG_NOTICE, DP_LOG_INFO, DP_LOG_DEBUG };

/* Sets the node's name (copied) and the most detailed level to be printed. */
void dp_log_open(const char *node, enum dp_log_level level);

/* `event` is a fixed word, `format` gives the keys: dp_log(DP_LOG_INFO, "leg-up", "leg=%s", l). */
void dp_log(enum dp_log_level level, const char *event, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
