/* SPDX-License-Identifier: MIT */
#include "scalars.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/units.h"

#define DIGITS "0123456789"
#define LOWER  "abcdefghijklmnopqrstuvwxyz"
#define UPPER  "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

static bool only(const char *text, const char *allowed)
{
	return text[strspn(text, allowed)] == '\0';
}

bool dp_scalar_version(const char *text, void *out)
{
	(void)out;
	return strcmp(text, DP_TOPOLOGY_VERSION_TEXT) == 0;
}

bool dp_scalar_name(const char *text, void *out)
{
	size_t length = strlen(text);
	if (length == 0 || length > DP_NAME_MAX || text[0] == '-' || !only(text, LOWER DIGITS "-"))
		return false;
	memcpy(out, text, length + 1);
	return true;
}

bool dp_scalar_count(const char *text, void *out)
{
	size_t length = strlen(text);
	if (length == 0 || length > 3 || !only(text, DIGITS))
		return false;
	unsigned value = (unsigned)strtoul(text, NULL, 10);
	if (value == 0)
		return false;
	*(unsigned *)out = value;
	return true;
}

static bool is_port(const char *text)
{
	size_t length = strlen(text);
	if (length == 0 || length > 5 || !only(text, DIGITS))
		return false;
	unsigned long port = strtoul(text, NULL, 10);
	return port >= 1 && port <= 65535;
}

/* Length of the host at the start of `text`: a name, an IPv4 or a bracketed IPv6 address. No
 * wildcard: the same address tells peers where to connect. */
static size_t host_length(const char *text)
{
	if (text[0] != '[')
		return strspn(text, LOWER UPPER DIGITS ".-_");
	size_t inside = strspn(text + 1, DIGITS "abcdefABCDEF:.");
	return inside > 1 && text[1 + inside] == ']' ? inside + 2 : 0;
}

bool dp_scalar_listen(const char *text, void *out)
{
	static const char scheme[] = "tcp://";
	size_t length = strlen(text);
	if (length > DP_ADDRESS_MAX || strncmp(text, scheme, sizeof(scheme) - 1) != 0)
		return false;
	const char *host = text + sizeof(scheme) - 1;
	size_t host_size = host_length(host);
	if (host_size == 0 || host[host_size] != ':' || !is_port(host + host_size + 1))
		return false;
	memcpy(out, text, length + 1);
	return true;
}

bool dp_scalar_directory(const char *text, void *out)
{
	size_t length = strlen(text);
	if (text[0] != '/' || length < 2 || length > DP_PATH_MAX ||
		!only(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" DIGITS "/._-"))
		return false;
	memcpy(out, text, length + 1);
	return true;
}

bool dp_scalar_key(const char *text, void *out)
{
	if (strlen(text) != DP_KEY_TEXT ||
		!only(text, LOWER UPPER DIGITS ".-:+=^!/*?&<>()[]{}@%$#"))
		return false;
	memcpy(out, text, DP_KEY_TEXT + 1);
	return true;
}

bool dp_scalar_bool(const char *text, void *out)
{
	bool yes = strcmp(text, "true") == 0;
	if (!yes && strcmp(text, "false") != 0)
		return false;
	*(bool *)out = yes;
	return true;
}

/* Kept to the millimetre, so that writing it as a decimal number loses nothing. */
bool dp_scalar_distance(const char *text, void *out)
{
	double value;
	if (dp_parse_distance(text, &value) || value > DP_DISTANCE_MAX_M)
		return false;
	*(double *)out = round(value * 1000) / 1000;
	return true;
}

bool dp_scalar_round_trip(const char *text, void *out)
{
	uint64_t value;
	if (dp_parse_time(text, &value) || value == 0 || value > 60000000)
		return false;
	*(uint64_t *)out = value;
	return true;
}

bool dp_scalar_bandwidth(const char *text, void *out)
{
	uint64_t value;
	if (dp_parse_bandwidth(text, &value) || value == 0 || value > DP_BANDWIDTH_MAX)
		return false;
	*(uint64_t *)out = value;
	return true;
}

/* The record that follows the longest one waits for two minutes at most. */
bool dp_scalar_rate(const char *text, void *out)
{
	uint64_t value;
	if (!dp_scalar_bandwidth(text, &value) || value < 80000)
		return false;
	*(uint64_t *)out = value;
	return true;
}

bool dp_scalar_hours(const char *text, void *out)
{
	return dp_parse_hours(text, out) == 0;
}

static bool size_within(const char *text, uint64_t least, uint64_t most, void *out)
{
	uint64_t value;
	if (dp_parse_size(text, &value) || value < least || value > most)
		return false;
	*(uint64_t *)out = value;
	return true;
}

bool dp_scalar_window(const char *text, void *out)
{
	return size_within(text, DP_PAYLOAD_MAX, DP_WINDOW_BYTES, out);
}

bool dp_scalar_journal(const char *text, void *out)
{
	return size_within(text, DP_JOURNAL_SIZE_MIN, DP_JOURNAL_SIZE_MAX, out);
}

bool dp_scalar_resync_rate(const char *text, void *out)
{
	return size_within(text, 64 * DP_KIB, 1024 * DP_GIB, out);
}

bool dp_scalar_read_cache(const char *text, void *out)
{
	return size_within(text, 4096, 1024 * DP_GIB, out);
}

bool dp_scalar_volume_size(const char *text, void *out)
{
	uint64_t value;
	if (!size_within(text, 4096, DP_VOLUME_SIZE_MAX, &value) || value % 4096 != 0)
		return false;
	*(uint64_t *)out = value;
	return true;
}

bool dp_scalar_high_water(const char *text, void *out)
{
	unsigned value;
	if (dp_parse_percent(text, &value) || value == 0)
		return false;
	*(unsigned *)out = value;
	return true;
}

static bool degrees(const char *text, double limit, void *out)
{
	/* strtod would also take blanks, hex, "inf" and "nan". */
	if (text[0] == '\0' || !only(text, DIGITS "+-.eE"))
		return false;
	char *end;
	double value = strtod(text, &end);
	if (*end != '\0' || !(fabs(value) <= limit))
		return false;
	*(double *)out = value;
	return true;
}

bool dp_scalar_connections(const char *text, void *out)
{
	unsigned value;
	if (!dp_scalar_count(text, &value) || value > DP_CONNECTIONS_MAX)
		return false;
	*(unsigned *)out = value;
	return true;
}

bool dp_scalar_latitude(const char *text, void *out)
{
	return degrees(text, 90, out);
}

bool dp_scalar_longitude(const char *text, void *out)
{
	return degrees(text, 180, out);
}

struct choice {
	const char *name;
	unsigned value;
};

static const struct choice *choose(const struct choice *choices, const char *text)
{
	for (; choices->name; choices++) {
		if (strcmp(choices->name, text) == 0)
			return choices;
	}
	return NULL;
}

bool dp_scalar_rights(const char *text, void *out)
{
	static const struct choice choices[] = {{"observe", DP_RIGHTS_OBSERVE},
		{"operate", DP_RIGHTS_OPERATE}, {"administer", DP_RIGHTS_ADMINISTER}, {NULL, 0}};
	const struct choice *c = choose(choices, text);
	if (c)
		*(enum dp_rights *)out = (enum dp_rights)c->value;
	return c;
}

bool dp_scalar_role(const char *text, void *out)
{
	static const struct choice choices[] = {{"controller", DP_ROLE_CONTROLLER},
		{"relay", DP_ROLE_RELAY}, {"mirror", DP_ROLE_MIRROR}, {NULL, 0}};
	const struct choice *c = choose(choices, text);
	if (c)
		*(enum dp_role *)out = (enum dp_role)c->value;
	return c;
}

bool dp_scalar_stage(const char *text, void *out)
{
	static const struct choice choices[] = {{"local", DP_STAGE_LOCAL},
		{"cached", DP_STAGE_CACHED}, {"committed", DP_STAGE_COMMITTED}, {NULL, 0}};
	const struct choice *c = choose(choices, text);
	if (c)
		*(enum dp_stage *)out = (enum dp_stage)c->value;
	return c;
}

bool dp_scalar_flush(const char *text, void *out)
{
	return strcmp(text, "local") != 0 && dp_scalar_stage(text, out);
}

bool dp_scalar_retain(const char *text, void *out)
{
	static const struct choice choices[] = {
		{"committed", DP_RETAIN_COMMITTED}, {"next-hop", DP_RETAIN_NEXT_HOP}, {NULL, 0}};
	const struct choice *c = choose(choices, text);
	if (c)
		*(enum dp_retain *)out = (enum dp_retain)c->value;
	return c;
}

bool dp_scalar_seal(const char *text, void *out)
{
	for (enum dp_seal_cipher c = DP_SEAL_NONE; c <= DP_SEAL_CIPHER_LAST; c++) {
		if (strcmp(text, dp_seal_cipher_name(c)) != 0)
			continue;
		*(enum dp_seal_cipher *)out = c;
		return true;
	}
	return false;
}

bool dp_scalar_local(const char *text, void *out)
{
	static const struct choice choices[] = {
		{"none", DP_LOCAL_NONE}, {"mirror", DP_LOCAL_MIRROR}, {NULL, 0}};
	const struct choice *c = choose(choices, text);
	if (c)
		*(enum dp_local *)out = (enum dp_local)c->value;
	return c;
}

bool dp_scalar_when_full(const char *text, void *out)
{
	static const struct choice choices[] = {
		{"stop", DP_FULL_STOP}, {"track", DP_FULL_TRACK}, {NULL, 0}};
	const struct choice *c = choose(choices, text);
	if (c)
		*(enum dp_when_full *)out = (enum dp_when_full)c->value;
	return c;
}

bool dp_scalar_interval(const char *text, void *out)
{
	uint64_t time_us;
	if (dp_parse_time(text, &time_us) || time_us < 10000 || time_us > 3600000000)
		return false;
	*(uint64_t *)out = time_us;
	return true;
}
