/* SPDX-License-Identifier: MIT */
#include "base/units.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct unit {
	const char *name;
	double factor;
};

static const struct unit size_units[] = {{"B", 1}, {"KiB", 0x1p10}, {"MiB", 0x1p20},
	{"GiB", 0x1p30}, {"TiB", 0x1p40}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{NULL, 0}};
static const struct unit time_units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"min", 60e6},
	{"h", 3600e6}, {"d", 86400e6}, {NULL, 0}};
static const struct unit distance_units[] = {{"m", 1}, {"km", 1000}, {"mi", 1609.344}, {NULL, 0}};
static const struct unit bandwidth_units[] = {{"bit", 1}, {"kbit", 1e3}, {"Mbit", 1e6},
	{"Gbit", 1e9}, {"bit/s", 1}, {"kbit/s", 1e3}, {"Mbit/s", 1e6}, {"Gbit/s", 1e9}, {NULL, 0}};
static const struct unit percent_units[] = {{"%", 1}, {NULL, 0}};

/* Parses "NUMBER UNIT" (digits with at most one dot, no sign, no exponent, no hex). */
static int parse(const char *text, const struct unit *units, double *out)
{
	size_t digits = strspn(text, "0123456789.");
	if (digits == 0 || !isdigit((unsigned char)text[0]))
		return DP_EINVAL;
	char *end;
	double number = strtod(text, &end);
	if (end != text + digits)
		return DP_EINVAL;
	while (*end == ' ')
		end++;
	for (const struct unit *u = units; u->name; u++) {
		if (strcmp(u->name, end) == 0) {
			*out = number * u->factor;
			return isfinite(*out) ? 0 : DP_EINVAL;
		}
	}
	return DP_EINVAL;
}

static int parse_integer(const char *text, const struct unit *units, uint64_t *out)
{
	double value;
	if (parse(text, units, &value) || value >= 0x1p63)
		return DP_EINVAL;
	*out = (uint64_t)(value + 0.5);
	return 0;
}

int dp_parse_size(const char *text, uint64_t *out)
{
	return parse_integer(text, size_units, out);
}

int dp_parse_time(const char *text, uint64_t *out)
{
	return parse_integer(text, time_units, out);
}

int dp_parse_distance(const char *text, double *out)
{
	return parse(text, distance_units, out);
}

int dp_parse_bandwidth(const char *text, uint64_t *out)
{
	return parse_integer(text, bandwidth_units, out);
}

int dp_parse_percent(const char *text, unsigned *out)
{
	uint64_t value;
	if (parse_integer(text, percent_units, &value) || value > 100)
		return DP_EINVAL;
	*out = (unsigned)value;
	return 0;
}

char *dp_format_size(uint64_t bytes, char *buf, size_t size)
{
	static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	unsigned i = 0;
	while (i < 4 && bytes && bytes % 1024 == 0) {
		bytes /= 1024;
		i++;
	}
	snprintf(buf, size, "%llu%s", (unsigned long long)bytes, names[i]);
	return buf;
}

char *dp_format_time(uint64_t time_us, char *buf, size_t size)
{
	if (time_us < 1000)
		snprintf(buf, size, "%lluus", (unsigned long long)time_us);
	else if (time_us < 1000000)
		snprintf(buf, size, "%.4gms", (double)time_us / 1e3);
	else
		snprintf(buf, size, "%.*gs", time_us < 10000000000 ? 4 : 12, (double)time_us / 1e6);
	return buf;
}

/* "22:00", exactly so many characters; false: not a time of day. */
static bool parse_minute(const char *text, unsigned *minute)
{
	static const char form[] = "29:59";
	for (unsigned i = 0; i < 5; i++)
		if (form[i] == ':' ? text[i] != ':' : text[i] < '0' || text[i] > form[i])
			return false;
	unsigned hour = (unsigned)(text[0] - '0') * 10 + (unsigned)(text[1] - '0');
	*minute = hour * 60 + (unsigned)(text[3] - '0') * 10 + (unsigned)(text[4] - '0');
	return hour < 24;
}

int dp_parse_hours(const char *text, struct dp_hours *out)
{
	struct dp_hours hours;
	bool form = strlen(text) == 11 && text[5] == '-' && parse_minute(text, &hours.from) &&
		parse_minute(text + 6, &hours.to);
	if (!form || hours.from == hours.to)
		return DP_EINVAL;
	*out = hours;
	return 0;
}

bool dp_hours_open(const struct dp_hours *hours, unsigned minute)
{
	if (hours->from <= hours->to)
		return hours->from == hours->to || (minute >= hours->from && minute < hours->to);
	return minute >= hours->from || minute < hours->to;
}
