/* SPDX-License-Identifier: MIT */
/* Sizes, times, distances and rates as people write them: `4GiB`, `1.5s`, `30mi`, `10Gbit`. */
#ifndef DP_BASE_UNITS_H
#define DP_BASE_UNITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each parser takes the whole string; a missing or unknown unit, a negative or an overflowing
 * value is DP_EINVAL and leaves *out alone.
 *   size:      B KiB MiB GiB TiB, and kB MB GB TB (powers of ten)    -> bytes
 *   time:      us ms s min h d                                       -> microseconds
 *   distance:  m km mi                                               -> metres
 *   bandwidth: bit kbit Mbit Gbit (per second, `bit/s` also taken)   -> bits per second
 *   percent:   80%                                                   -> 0..100            */
int dp_parse_size(const char *text, uint64_t *out);
int dp_parse_time(const char *text, uint64_t *out);
int dp_parse_distance(const char *text, double *out);
int dp_parse_bandwidth(const char *text, uint64_t *out);
int dp_parse_percent(const char *text, unsigned *out);

/* Times of day, "22:00-06:00": minutes since midnight; it may go over midnight. from == to: all
 * day, which is not parsed. */
struct dp_hours {
	unsigned from, to;
};
int dp_parse_hours(const char *text, struct dp_hours *out);
bool dp_hours_open(const struct dp_hours *hours, unsigned minute);

/* Shortest exact form in binary units ("4GiB", "1536KiB", "513B"); returns buf. */
char *dp_format_size(uint64_t bytes, char *buf, size_t size);

/* "85us", "1.25ms", "3.2s"; returns buf. */
char *dp_format_time(uint64_t time_us, char *buf, size_t size);

#endif
