/* SPDX-License-Identifier: MIT */
/* The topology file. What loads is written back and must load to the same; what does not is
 * explained in text that is fit for a terminal. */
#include <sodium.h>

#include "fuzz.h"
#include "topology/topology.h"

static struct dp_topo_errors errors;

static bool printable(const char *text, size_t size)
{
	size_t length = strnlen(text, size);
	for (size_t i = 0; i < length; i++)
		if (text[i] < ' ' || text[i] > '~')
			return false;
	return length > 0 && length < size;
}

static void check_errors(void)
{
	FUZZ_CHECK(errors.count > 0 && errors.count <= DP_TOPO_ERRORS_MAX);
	for (unsigned i = 0; i < errors.count; i++) {
		const struct dp_topo_error *e = &errors.errors[i];
		FUZZ_CHECK(e->line > 0 && e->column > 0);
		FUZZ_CHECK(printable(e->key, sizeof e->key) && printable(e->text, sizeof e->text));
		FUZZ_CHECK(i == 0 || e->line >= errors.errors[i - 1].line);
	}
}

static char *written(const struct dp_topology *t, size_t *size)
{
	char *text = NULL;
	FILE *to = open_memstream(&text, size);
	FUZZ_CHECK(to && dp_topology_write(t, to) == 0);
	fclose(to);
	return text;
}

static void check_round_trip(const struct dp_topology *t)
{
	size_t once_size, twice_size;
	struct dp_topology *again;
	char *once = written(t, &once_size);
	FUZZ_CHECK(dp_topology_parse(once, once_size, "again", &again, &errors) == 0);
	char *twice = written(again, &twice_size);
	FUZZ_CHECK(once_size == twice_size && memcmp(once, twice, once_size) == 0);
	FUZZ_CHECK(again->stream_count == t->stream_count);
	for (unsigned i = 0; i < t->stream_count; i++)
		FUZZ_CHECK(again->streams[i].id == t->streams[i].id && t->streams[i].id);
	free(once);
	free(twice);
	dp_topology_destroy(&again);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	struct dp_topology *t;
	uint8_t *copy = fuzz_copy(data, size);
	int err = dp_topology_parse((const char *)copy, size, "file", &t, &errors);
	free(copy);
	if (err) {
		FUZZ_CHECK(!t);
		check_errors();
		return false;
	}
	FUZZ_CHECK(t && errors.count == 0);
	check_round_trip(t);
	struct dp_opposition opposition;
	for (unsigned i = 0; i < t->stream_count; i++)
		dp_topology_opposition(t, i, &opposition);
	dp_topology_destroy(&t);
	return true;
}

void fuzz_repair(uint8_t *data, size_t size)
{
	(void)data; /* no checksums in it */
	(void)size;
}

static void seed(const char *name, enum fuzz_verdict expected, const char *text)
{
	fuzz_seed(name, expected, (const uint8_t *)text, strlen(text));
}

/* A campaign begins with deploy/examples as well. */
void fuzz_seeds(void)
{
	seed("full", FUZZ_ACCEPTED,
		"dipole: 1\nname: t\n"
		"heartbeat: {interval: 1s, down-after: 3s, probation: 1s}\n"
		"sites: {a: {at: [40.5, -74]}, b: {at: [-1e1, 179.9]}, c: {}}\n"
		"nodes:\n"
		"  n: {role: controller, site: a}\n"
		"  r: {role: relay, site: a, listen: \"tcp://[::1]:1\", retain: next-hop}\n"
		"  m: {role: mirror, site: b, listen: tcp://h:65535, journal: 1TiB}\n"
		"  o: {role: mirror, site: c, listen: tcp://o:7}\n"
		"links:\n"
		"  - {between: [n, r], trusted: true, bandwidth: 1Gbit/s, window: 1MiB}\n"
		"  - {between: [r, m], distance: 0.1mi}\n"
		"  - {between: [n, o]}\n"
		"streams:\n"
		"  s: {controller: n, legs: {x: [r, m], y: [o]}, ack: {stage: local},\n"
		"      flush: committed, when-leg-down: {keep-serving: 1}, local: mirror,\n"
		"      journal: {size: 16MiB, high-water: 1%, when-full: track}}\n"
		"volumes: {v: {stream: s, size: 4096B}}\n");
	seed("anchor", FUZZ_REFUSED, "dipole: &a 1\nname: *a\n");
	seed("tag", FUZZ_REFUSED, "dipole: !!int 1\n");
	seed("deep", FUZZ_REFUSED, "[[[[[[[[[[[[[[[[[[[[");
	seed("two-documents", FUZZ_REFUSED, "a: 1\n---\nb: 2\n");
	seed("not-utf-8", FUZZ_REFUSED, "name: \xff\xfe\x80\n");
	seed("control-characters", FUZZ_REFUSED, "\"\\e[2J\": \"\\a\\0\"\n");
	seed("unfinished", FUZZ_REFUSED, "name: \"");
	seed("empty", FUZZ_REFUSED, "");
}
