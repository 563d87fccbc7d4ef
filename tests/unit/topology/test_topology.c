/* SPDX-License-Identifier: MIT */
/* The topology file: what is accepted, that each rule says exactly what is wrong and where, and
 * that bytes which are no topology at all are refused. */
#include <criterion/criterion.h>

#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "topology.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char good[] = "dipole: 1\n"
			   "name: shop\n"
			   "sites:\n"
			   "  newark:  {at: [40.74, -74.17]}\n"
			   "  trenton: {at: [40.22, -74.76]}\n"
			   "  danbury: {at: [41.39, -73.45]}\n"
			   "nodes:\n"
			   "  nwk:     {role: controller, site: newark}\n"
			   "  relay-1: {role: relay, site: newark, listen: tcp://10.1.0.2:7400}\n"
			   "  west:    {role: mirror, site: trenton, listen: tcp://10.2.0.1:7400}\n"
			   "  east:    {role: mirror, site: danbury, listen: tcp://10.3.0.1:7400}\n"
			   "links:\n"
			   "  - {between: [nwk, west], distance: 45mi, bandwidth: 10Gbit}\n"
			   "  - {between: [nwk, relay-1], distance: 1mi, window: 16MiB}\n"
			   "  - {between: [relay-1, east]}\n"
			   "streams:\n"
			   "  orders:\n"
			   "    controller: nwk\n"
			   "    legs:\n"
			   "      pole-w: [west]\n"
			   "      pole-e: [relay-1, east]\n"
			   "    ack: {stage: cached, legs: all}\n"
			   "    flush: committed\n"
			   "    when-leg-down: {keep-serving: 1}\n"
			   "    journal: {size: 4GiB, high-water: 75%, when-full: track}\n"
			   "volumes:\n"
			   "  data: {stream: orders, size: 200GiB}\n"
			   "  log:  {stream: orders, size: 20GiB}\n";

/* A copy of `text` with the first `find` replaced; the caller frees it. */
static char *replaced(const char *text, const char *find, const char *by)
{
	const char *at = strstr(text, find);
	cr_assert_not_null(at, "the test's text has no \"%s\"", find);
	size_t size = strlen(text) + strlen(by) + 1;
	char *out = malloc(size);
	cr_assert_not_null(out);
	snprintf(out, size, "%.*s%s%s", (int)(at - text), text, by, at + strlen(find));
	return out;
}

static int parse(const char *text, struct dp_topology **t, struct dp_topo_errors *errors)
{
	return dp_topology_parse(text, strlen(text), "t.yaml", t, errors);
}

static struct dp_topology *parse_good(const char *text)
{
	struct dp_topo_errors errors;
	struct dp_topology *t;
	int err = parse(text, &t, &errors);
	dp_topology_print_errors(&errors, stderr);
	cr_assert_eq(err, 0);
	cr_assert_eq(errors.count, 0);
	return t;
}

static struct dp_topology *load_example(const char *name)
{
	static const char here[] = "tests/unit/topology/test_topology.c";
	char path[1024];
	cr_assert_gt(strlen(__FILE__), sizeof(here) - 2);
	snprintf(path, sizeof(path), "%.*sdeploy/examples/%s",
		(int)(strlen(__FILE__) - strlen(here)), __FILE__, name);
	struct dp_topo_errors errors;
	struct dp_topology *t;
	int err = dp_topology_load(path, &t, &errors);
	dp_topology_print_errors(&errors, stderr);
	cr_assert_eq(err, 0, "%s: %s", path, dp_strerror(err));
	return t;
}

/* ---- what is accepted ---- */

Test(topology, values_arrive_in_the_model)
{
	struct dp_topology *t = parse_good(good);
	cr_assert_str_eq(t->name, "shop");
	cr_assert_eq(t->node_count, 4);
	cr_assert_eq(t->nodes[1].role, DP_ROLE_RELAY);
	cr_assert_str_eq(t->nodes[1].listen, "tcp://10.1.0.2:7400");
	cr_assert_eq(t->links[0].bandwidth_bits, 10000000000ull);
	cr_assert_eq(t->links[1].window_bytes, 16 * DP_MIB);
	cr_assert_float_eq(t->links[0].distance_m, 72420.48, 1e-6);
	const struct dp_topo_stream *s = &t->streams[0];
	cr_assert_eq(s->leg_count, 2);
	cr_assert_str_eq(s->legs[1].name, "pole-e");
	cr_assert_eq(s->legs[1].hop_count, 2);
	cr_assert_eq(s->legs[1].hops[1], (unsigned)dp_topology_node(t, "east"));
	cr_assert_eq(s->flush, DP_STAGE_COMMITTED);
	cr_assert_eq(s->journal_bytes, 4 * DP_GIB);
	cr_assert_eq(s->high_water, 75);
	cr_assert_eq(s->when_full, DP_FULL_TRACK);
	cr_assert_eq(t->volumes[1].size, 20 * DP_GIB);
	dp_topology_destroy(&t);
	cr_assert_null(t);
}

Test(topology, defaults)
{
	char *text = replaced(good,
		"    ack: {stage: cached, legs: all}\n"
		"    flush: committed\n"
		"    when-leg-down: {keep-serving: 1}\n"
		"    journal: {size: 4GiB, high-water: 75%, when-full: track}\n",
		"");
	struct dp_topology *t = parse_good(text);
	const struct dp_topo_stream *s = &t->streams[0];
	cr_assert_eq(s->ack_stage, DP_STAGE_CACHED);
	cr_assert_eq(s->ack_legs, 2);
	cr_assert_eq(s->flush, DP_STAGE_CACHED);
	cr_assert_eq(s->keep_serving, 2);
	cr_assert_eq(s->local, DP_LOCAL_NONE);
	cr_assert_eq(s->journal_bytes, DP_GIB);
	cr_assert_eq(s->high_water, 80);
	cr_assert_eq(s->when_full, DP_FULL_STOP);
	cr_assert_eq(t->nodes[1].journal_bytes, DP_GIB);
	cr_assert_eq(t->nodes[1].retain, DP_RETAIN_COMMITTED);
	cr_assert_not(t->links[0].trusted);
	cr_assert_eq(t->links[2].bandwidth_bits, 0);
	cr_assert_eq(t->links[2].window_bytes, 0);
	dp_topology_destroy(&t);
	free(text);
}

/* Ids are on disks and on the wire: they must never change. */
Test(topology, ids_come_from_names)
{
	unsigned char hash[16];
	uint64_t stream = 0;
	uint32_t volume = 0;
	struct dp_topology *t = parse_good(good);
	crypto_generichash(hash, sizeof(hash), (const unsigned char *)"shop/orders", 11, NULL, 0);
	memcpy(&stream, hash, sizeof(stream));
	cr_assert_eq(t->streams[0].id, stream);
	crypto_generichash(hash, sizeof(hash), (const unsigned char *)"shop/data", 9, NULL, 0);
	memcpy(&volume, hash, sizeof(volume));
	cr_assert_eq(t->volumes[0].id, volume);
	cr_assert_neq(t->volumes[1].id, volume);
	dp_topology_destroy(&t);
}

Test(topology, lookups)
{
	struct dp_topology *t = parse_good(good);
	cr_assert_eq(dp_topology_node(t, "east"), 3);
	cr_assert_eq(dp_topology_node(t, "none"), -1);
	cr_assert_eq(dp_topology_stream(t, "orders"), 0);
	cr_assert_eq(dp_topology_stream(t, "order"), -1);
	cr_assert_eq(dp_topology_volume(t, "log"), 1);
	cr_assert_eq(dp_topology_volume(t, ""), -1);
	cr_assert_eq(dp_topology_link(t, 3, 1), &t->links[2]);
	cr_assert_eq(dp_topology_link(t, 1, 3), &t->links[2]);
	cr_assert_null(dp_topology_link(t, 2, 3));
	cr_assert_str_eq(dp_role_name(DP_ROLE_MIRROR), "mirror");
	cr_assert_str_eq(dp_stage_name(DP_STAGE_LOCAL), "local");
	dp_topology_destroy(&t);
}

Test(topology, distance_from_coordinates_or_unknown)
{
	struct dp_topology *t = parse_good(good);
	cr_assert_not(t->links[2].distance_given);
	cr_assert_float_eq(t->links[2].distance_m, 94300, 1000);
	dp_topology_destroy(&t);
	char *text = replaced(good, "danbury: {at: [41.39, -73.45]}", "danbury: {}");
	struct dp_opposition o;
	t = parse_good(text);
	cr_assert_lt(t->links[2].distance_m, 0);
	cr_assert_not(dp_topology_opposition(t, 0, &o));
	dp_topology_destroy(&t);
	free(text);
}

/* ---- writing ---- */

static void check_round_trip(const struct dp_topology *t)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	cr_assert_not_null(to);
	cr_assert_eq(dp_topology_write(t, to), 0);
	fclose(to);
	struct dp_topology *again = parse_good(text);
	/* Models come from calloc and are filled field by field: no stray bytes to differ. */
	cr_assert(memcmp(t, again, sizeof(*t)) == 0, "differs after:\n%s", text);
	dp_topology_destroy(&again);
	free(text);
}

Test(topology, examples_load_and_survive_writing)
{
	static const char *const names[] = {
		"bipolar.yaml", "cascade.yaml", "bipolar-cascade.yaml", "local-mirror.yaml"};
	for (unsigned i = 0; i < COUNT(names); i++) {
		struct dp_topology *t = load_example(names[i]);
		struct dp_opposition o;
		check_round_trip(t);
		cr_assert(dp_topology_opposition(t, 0, &o), "%s", names[i]);
		cr_assert(o.opposed, "%s", names[i]);
		dp_topology_destroy(&t);
	}
}

Test(topology, every_value_survives_writing)
{
	static const char *const changes[][2] = {
		{"listen: tcp://10.1.0.2:7400",
			"listen: 'tcp://[::1]:1', key: 'rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7', "
			"journal: 1234567890B, retain: next-hop, metrics: 'tcp://localhost:9470', "
			"control: 'tcp://[::1]:2', former-key: 'yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID'"},
		{"volumes:\n",
			"operators:\n  ann: {key: 'D:)Q[IlAW!ahhC2ac:9*A}h:p?([4%wOTJ%JR%cs', role: operate}\n"
			"volumes:\n"},
		{"distance: 45mi",
			"distance: 0.1234567mi, trusted: true, round-trip: 123us, rate: 81kbit, "
			"send: 23:59-00:01, compress: true"},
		{"bandwidth: 10Gbit", "bandwidth: 999999999999999bit"},
		{"[40.22, -74.76]", "[-0.1234567890123456789, 1e-7]"},
		{"danbury: {at: [41.39, -73.45]}", "danbury: {}"},
		{"stage: cached, legs: all", "stage: committed, legs: 1"},
		{"flush: committed", "flush: cached\n    local: mirror\n    seal: aes256-gcm"},
		{"size: 20GiB", "size: 1125899906842624B"},
	};
	char *text = strdup(good);
	for (unsigned i = 0; i < COUNT(changes); i++) {
		char *next = replaced(text, changes[i][0], changes[i][1]);
		free(text);
		text = next;
	}
	struct dp_topology *t = parse_good(text);
	cr_assert_str_eq(t->nodes[1].key, "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7");
	check_round_trip(t);
	dp_topology_destroy(&t);
	free(text);
}

Test(topology, nothing_in_it_survives_writing)
{
	struct dp_topology *t = parse_good("dipole: 1\nname: x\nsites: {}\nnodes: {}\nlinks: []\n"
					   "streams: {}\nvolumes: {}\n");
	check_round_trip(t);
	dp_topology_destroy(&t);
}

Test(topology, a_full_device_is_an_error_of_writing)
{
	FILE *full = fopen("/dev/full", "w");
	if (!full)
		cr_skip_test("no /dev/full");
	struct dp_topology *t = parse_good(good);
	cr_assert_eq(dp_topology_write(t, full), DP_EIO);
	fclose(full);
	dp_topology_destroy(&t);
}

/* ---- one rule, one message ---- */

struct rule {
	const char *find, *by; /* the mistake: `find` of the good text becomes `by` */
	const char *at;        /* text at the place that is reported */
	const char *key, *text;
};

static void expect_place(const char *text, const char *at, const struct dp_topo_error *e)
{
	const char *place = strstr(text, at);
	cr_assert_not_null(place, "no \"%s\"", at);
	unsigned line = 1, column = 1;
	for (const char *c = text; c < place; c++) {
		column = *c == '\n' ? 1 : column + 1;
		line += *c == '\n';
	}
	cr_expect_eq(e->line, line, "%s: line %u, not %u", e->key, e->line, line);
	cr_expect_eq(e->column, column, "%s: column %u, not %u", e->key, e->column, column);
}

static void check_rule(const struct rule *r)
{
	char *text = replaced(good, r->find, r->by);
	struct dp_topo_errors errors;
	struct dp_topology *t;
	cr_expect_eq(parse(text, &t, &errors), DP_ECONFIG, "accepted: %s", r->by);
	cr_expect_null(t);
	if (errors.count != 1)
		dp_topology_print_errors(&errors, stderr);
	cr_assert_eq(errors.count, 1, "%u messages for: %s", errors.count, r->by);
	const struct dp_topo_error *e = &errors.errors[0];
	cr_expect_str_eq(e->file, "t.yaml");
	cr_expect_str_eq(e->key, r->key, "key %s, not %s", e->key, r->key);
	cr_expect_not_null(strstr(e->text, r->text), "\"%s\" says not %s", e->text, r->text);
	cr_expect_not_null(strstr(e->text, "expected"), "%s", e->text);
	expect_place(text, r->at, e);
	free(text);
}

#define RULES(name, ...)                                                                           \
	Test(topology_rules, name)                                                                 \
	{                                                                                          \
		static const struct rule rules[] = {__VA_ARGS__};                                  \
		for (unsigned i = 0; i < COUNT(rules); i++)                                        \
			check_rule(&rules[i]);                                                     \
	}

#define LONG64 "a123456789012345678901234567890123456789012345678901234567890123"

RULES(version, {"dipole: 1", "dipole: 2", "2", "dipole", "version \"2\"; expected version 1"},
	{"dipole: 1\nname: shop", "dipole: 7\nnmae: shop", "7", "dipole", "\"7\""},
	{"dipole: 1", "dipole: one", "one", "dipole", "found \"one\""})

RULES(unknown_key, {"dipole: 1", "dipole: 1\nnodse: 1", "nodse", "nodse", "name, sites, nodes"},
	{"site: trenton", "site: trenton, rloe: x", "rloe", "nodes.west.rloe", "unknown key"},
	{"distance: 1mi", "distence: 1mi", "distence", "links[1].distence", "unknown key"},
	{"flush: committed", "flash: committed", "flash", "streams.orders.flash", "unknown key"},
	{"keep-serving: 1", "keep: 1", "keep: 1", "streams.orders.when-leg-down.keep", "unknown"},
	{"site: trenton", "site: trenton, <<: {}", "<<", "nodes.west.<<", "unknown key"},
	{"site: trenton", "site: trenton, [a]: b", "[a]", "nodes.west", "found a list as a key"},
	{"site: trenton", "site: trenton, \"a\\e\\0\": b", "\"a\\e", "nodes.west", "\"a??\""})

#define KEY_A "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define KEY_B "yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

RULES(operators,
	{"volumes:\n", "operators:\n  ann: {key: '" KEY_A "', role: king}\nvolumes:\n", "king",
		"operators.ann.role", "observe, operate or administer"},
	{"volumes:\n", "operators:\n  ann: {key: short, role: observe}\nvolumes:\n", "short",
		"operators.ann.key", "40 Z85 characters"},
	{"volumes:\n",
		"operators:\n  ann: {key: '" KEY_A "', role: observe}\n  bob: {key: '" KEY_A
		"', role: observe}\nvolumes:\n",
		"'" KEY_A "', role: observe}\nvolumes", "operators.bob.key",
		"same as that of \"ann\""})

RULES(keys,
	{"site: trenton", "site: trenton, former-key: '" KEY_A "'", "'" KEY_A,
		"nodes.west.former-key", "without key"},
	{"site: trenton", "site: trenton, key: '" KEY_A "', former-key: '" KEY_A "'",
		"'" KEY_A "', listen", "nodes.west.former-key", "same as key"},
	{"role: relay, site: newark", "role: relay, site: newark, control: 'udp://x'", "'udp",
		"nodes.relay-1.control", "tcp://HOST:PORT"})

RULES(duplicate_key, {"name: shop", "name: shop\nname: shoe", "name: shoe", "name", "line 2"},
	{"{role: relay", "{role: relay, role: mirror", "role: mirror", "nodes.relay-1.role",
		"given twice"})

RULES(duplicate_name,
	{"  danbury:", "  newark: {}\n  danbury:", "newark: {}", "sites.newark", "line 4"},
	{"pole-e: [", "pole-w: [", "pole-w: [relay", "streams.orders.legs.pole-w", "given twice"},
	{"log: ", "data:", "data: {stream: orders, size: 20G", "volumes.data", "given twice"})

RULES(kinds, {"name: shop", "name: [a]", "[a]", "name", "found a list"},
	{"name: shop", "name:", "\nsites", "name", "found nothing"},
	{"{at: [40.74, -74.17]}", "far", "far", "sites.newark", "expected a mapping"},
	{"[40.74, -74.17]", "40", "40}", "sites.newark.at", "LATITUDE"},
	{"[40.74, -74.17]", "[40.74]", "[40.74]", "sites.newark.at", "list of 1"},
	{"[40.74, -74.17]", "[40.74, []]", "[]]", "sites.newark.at[1]", "found a list"},
	{"- {between: [nwk, west], distance: 45mi, bandwidth: 10Gbit}", "- x", "x\n", "links[0]",
		"found \"x\""},
	{"[nwk, relay-1]", "nwk", "nwk, distance: 1mi", "links[1].between", "[NODE, NODE]"},
	{"[nwk, relay-1]", "[nwk]", "[nwk], ", "links[1].between", "list of 1"},
	{"[west]", "west", "west\n", "streams.orders.legs.pole-w", "expected a list"},
	{"[west]", "[{}]", "{}", "streams.orders.legs.pole-w[0]", "found a mapping"},
	{"{stage: cached, legs: all}", "cached", "cached\n", "streams.orders.ack", "a mapping"},
	{"{stream: orders, size: 20GiB}", "20GiB", "20GiB", "volumes.log", "a mapping"})

RULES(units, {"45mi", "45", "45,", "links[0].distance", "found \"45\""},
	{"45mi", "-3km", "-3km", "links[0].distance", "-3km"},
	{"45mi", "900000km", "900000km", "links[0].distance", "at most"},
	{"10Gbit", "10Gbyte", "10Gbyte", "links[0].bandwidth", "such as 10Gbit"},
	{"10Gbit", "0bit", "0bit", "links[0].bandwidth", "from 1bit"},
	{"distance: 45mi", "rate: 10kbit", "10kbit", "links[0].rate", "from 80kbit"},
	{"distance: 45mi", "send: 25:00-06:00", "25:00-06:00", "links[0].send",
		"such as 22:00-06:00"},
	{"distance: 45mi", "round-trip: 0s", "0s", "links[0].round-trip", "such as 2.1ms"},
	{"distance: 45mi", "round-trip: 2min", "2min", "links[0].round-trip", "from 1us"},
	{"16MiB", "16M", "16M}", "links[1].window", "found \"16M\""},
	{"16MiB", "1KiB", "1KiB", "links[1].window", "from 1MiB to 64MiB"},
	{"16MiB", "65MiB", "65MiB", "links[1].window", "from 1MiB to 64MiB"},
	{"75%", "75", "75,", "streams.orders.journal.high-water", "from 1% to 100%"},
	{"75%", "0%", "0%", "streams.orders.journal.high-water", "found \"0%\""},
	{"75%", "101%", "101%", "streams.orders.journal.high-water", "found \"101%\""})

RULES(required, {"dipole: 1\n", "", "name", "dipole", "missing"},
	{"name: shop\n", "", "dipole", "name", "missing"},
	{"role: relay, ", "", "{site: newark, ", "nodes.relay-1.role", "missing"},
	{"role: mirror, site: danbury", "role: mirror", "{role: mirror, listen", "nodes.east.site",
		"missing"},
	{"    controller: nwk\n", "", "legs", "streams.orders.controller", "missing"},
	{", size: 20GiB", "", "{stream: orders}", "volumes.log.size", "missing"},
	{"stream: orders, size: 20GiB", "size: 20GiB", "{size: 20GiB", "volumes.log.stream",
		"missing"},
	{"{between: [relay-1, east]}", "{distance: 1m}", "{distance: 1m}", "links[2].between",
		"missing"})

/* A whole section that is absent or not readable is one mistake, not one for each name of it. */
RULES(sections,
	{"\n  newark:  {at: [40.74, -74.17]}\n  trenton: {at: [40.22, -74.76]}\n"
	 "  danbury: {at: [41.39, -73.45]}\n",
		" 1\n", "1\nnodes", "sites", "found \"1\"; expected a mapping"},
	{"\n  - {between: [nwk, west], distance: 45mi, bandwidth: 10Gbit}\n"
	 "  - {between: [nwk, relay-1], distance: 1mi, window: 16MiB}\n"
	 "  - {between: [relay-1, east]}\n",
		" {}\n", "{}\nstreams", "links", "expected a list"},
	{"links:\n", "lnks:\n  - {}\nlinks:\n", "lnks", "lnks", "unknown key"})

RULES(references, {"site: trenton", "site: ternton", "ternton", "nodes.west.site", "under sites"},
	{"[nwk, west]", "[nwk, wset]", "wset", "links[0].between[1]", "unknown node \"wset\""},
	{"[relay-1, east]\n", "[relay-9, east]\n", "relay-9", "streams.orders.legs.pole-e[0]",
		"unknown node \"relay-9\"; expected one of the names under nodes"},
	{"controller: nwk", "controller: nkw", "nkw", "streams.orders.controller", "unknown node"},
	{"log:  {stream: orders", "log:  {stream: oders", "oders", "volumes.log.stream",
		"unknown stream"})

RULES(names, {"name: shop", "name: Shop", "Shop", "name", "found \"Shop\""},
	{"  west: ", "  west_1: {role: relay, site: newark}\n  west: ", "west_1", "nodes.west_1",
		"bad name \"west_1\""},
	{"pole-w", "-w", "-w", "streams.orders.legs.-w", "bad name"},
	{"data:", "dat\xc3\xa4:", "dat\xc3\xa4", "volumes.dat??", "bad name"},
	{"log:", "\"\":", "\"\":", "volumes.", "bad name nothing"},
	{"  orders:\n", "  Orders: {controller: nwk, legs: {w: [west]}}\n  orders:\n", "Orders",
		"streams.Orders", "bad name"},
	{"name: shop", "name: " LONG64, LONG64, "name", "at most 63"},
	{"  danbury:", "  Danbury: {}\n  danbury:", "Danbury", "sites.Danbury", "bad name"})

RULES(coordinates, {"40.74", "90.01", "90.01", "sites.newark.at[0]", "-90 to 90"},
	{"-74.17", "-180.5", "-180.5", "sites.newark.at[1]", "-180 to 180"},
	{"40.74", "nan", "nan", "sites.newark.at[0]", "found \"nan\""},
	{"40.74", "0x10", "0x10", "sites.newark.at[0]", "found \"0x10\""},
	{"40.74", "40N", "40N", "sites.newark.at[0]", "found \"40N\""})

#define LISTEN(by)                                                                                 \
	{                                                                                          \
		"tcp://10.1.0.2:7400", by, by, "nodes.relay-1.listen", "tcp://HOST:PORT"           \
	}
RULES(listen, LISTEN("udp://10.1.0.2:7400"), LISTEN("10.1.0.2:7400"), LISTEN("tcp://10.1.0.2"),
	LISTEN("tcp://10.1.0.2:0"), LISTEN("tcp://10.1.0.2:65536"), LISTEN("tcp://:7400"),
	LISTEN("tcp://*:7400"), LISTEN("tcp://10.1.0.2:74x"), LISTEN("\"tcp://[::1:7400\""),
	LISTEN("tcp://a" LONG64 LONG64 ":7400"),
	{", listen: tcp://10.2.0.1:7400", "", "{role: mirror, site: trenton", "nodes.west.listen",
		"missing"},
	{"10.2.0.1", "10.1.0.2", "tcp://10.1.0.2:7400}\n  east", "nodes.west.listen",
		"same as that of node \"relay-1\""})

#define KEY "'0123456789012345678901234567890123456789'"
RULES(key, {"role: relay,", "role: relay, key: abc,", "abc", "nodes.relay-1.key", "40 Z85"},
	{"role: relay,", "role: relay, key: '012345678901234567890123456789012345678~',", "'0",
		"nodes.relay-1.key", "40 Z85"},
	{"{role: mirror, site: trenton, listen: tcp://10.2.0.1:7400}\n  east:    {role: mirror",
		"{role: mirror, site: trenton, listen: tcp://10.2.0.1:7400, key: " KEY "}\n"
		"  east:    {key: " KEY ", role: mirror",
		KEY ", role", "nodes.east.key", "same as that of node \"west\""})

RULES(roles_and_words, {"role: relay", "role: rely", "rely", "nodes.relay-1.role", "or mirror"},
	{"role: relay", "role: relay, retain: no", "no,", "nodes.relay-1.retain", "next-hop"},
	{"distance: 1mi", "trusted: yes", "yes", "links[1].trusted", "true or false"},
	{"stage: cached", "stage: done", "done", "streams.orders.ack.stage", "local, cached"},
	{"flush: committed", "flush: local", "local", "streams.orders.flush",
		"cached or committed"},
	{"flush: committed", "local: yes", "yes", "streams.orders.local", "none or mirror"},
	{"track", "go", "go}", "streams.orders.journal.when-full", "stop or track"},
	{"flush: committed", "seal: aes", "aes", "streams.orders.seal", "aes256-gcm or chacha20"},
	{"role: controller", "role: controller, journal: 1GiB", "1GiB", "nodes.nwk.journal",
		"found at a controller"},
	{"role: controller", "role: controller, retain: next-hop", "next-hop", "nodes.nwk.retain",
		"found at a controller"})

RULES(sizes, {"size: 20GiB", "size: 4097B", "4097B", "volumes.log.size", "multiple of 4096"},
	{"size: 20GiB", "size: 0B", "0B", "volumes.log.size", "found \"0B\""},
	{"size: 20GiB", "size: 1025TiB", "1025TiB", "volumes.log.size", "1024TiB"},
	{"role: relay", "role: relay, journal: 15MiB", "15MiB", "nodes.relay-1.journal", "16MiB"},
	{"size: 4GiB", "size: 1025GiB", "1025GiB", "streams.orders.journal.size", "to 1TiB"})

RULES(counts,
	{"legs: all", "legs: 3", "3}\n    flush", "streams.orders.ack.legs",
		"the stream has 2 legs"},
	{"legs: all", "legs: 0", "0}\n    flush", "streams.orders.ack.legs", "found \"0\""},
	{"legs: all", "legs: each", "each", "streams.orders.ack.legs", "all, or a number"},
	{"serving: 1", "serving: 3", "3}\n    journal", "streams.orders.when-leg-down.keep-serving",
		"found 3"},
	{"serving: 1", "serving: all", "all}\n    journal",
		"streams.orders.when-leg-down.keep-serving", "found \"all\""})

RULES(legs,
	{"\n      pole-w: [west]\n      pole-e: [relay-1, east]", " {}", "{}\n    ack",
		"streams.orders.legs", "no leg"},
	{"[west]", "[]", "[]", "streams.orders.legs.pole-w", "list of 0"},
	{"[relay-1, east]\n", "[relay-1]\n", "relay-1]\n    ack", "streams.orders.legs.pole-e[0]",
		"relay \"relay-1\" at the end of a leg; expected a mirror"},
	{"[relay-1, east]\n", "[nwk, east]\n", "nwk, east", "streams.orders.legs.pole-e[0]",
		"controller \"nwk\" within a leg"},
	{"[relay-1, east]\n", "[relay-1, relay-1, east]\n", "relay-1, east]\n    ack",
		"streams.orders.legs.pole-e[1]", "a second time"},
	{"[relay-1, east]\n", "[east]\n", "east]\n    ack", "streams.orders.legs.pole-e[0]",
		"no link from \"nwk\" to \"east\""},
	{"      pole-e:", "      twice: [west]\n      pole-e:", "west]\n      pole-e",
		"streams.orders.legs.twice[0]", "is in leg \"pole-w\" too"},
	{"[west]",
		"[west,west,west,west,west,west,west,west,west,west,west,west,west,west,west,west,"
		"west]",
		"[west,", "streams.orders.legs.pole-w", "list of 17"},
	{"    controller: nwk", "    controller: west", "west\n    legs",
		"streams.orders.controller", "expected a node with the role controller"})

/* Two legs that lack the same link lack one link. */
RULES(a_missing_link_is_said_once,
	{"volumes:",
		"  more: {controller: nwk, legs: {e: [east]}}\n  most: {controller: nwk, legs: {e: "
		"[east]}}\nvolumes:",
		"east]}}\n  most", "streams.more.legs.e[0]", "no link"})

RULES(links, {"[nwk, west]", "[nwk, nwk]", "[nwk, nwk]", "links[0].between", "with itself"},
	{"links:\n", "links:\n  - {between: [west, nwk]}\n", "[nwk, west]", "links[1].between",
		"links[0] on line 13 is the first"})

/* `east` is reached by leg pole-e over relay-1 and by the other stream from nwk. */
RULES(trust,
	{"  - {between: [relay-1, east]}\nstreams:\n",
		"  - {between: [relay-1, east]}\n"
		"  - {between: [nwk, east], trusted: true}\nstreams:\n"
		"  more: {controller: nwk, legs: {e: [east]}}\n"
		"  most: {controller: nwk, legs: {e: [east]}}\n",
		"true}\n", "links[3].trusted", "one listening address"},
	{"  - {between: [relay-1, east]}\nstreams:\n",
		"  - {between: [relay-1, east], trusted: true}\n"
		"  - {between: [nwk, east]}\nstreams:\n"
		"  more: {controller: nwk, legs: {e: [east]}}\n",
		"{between: [nwk, east]}", "links[3].trusted", "links[2] is true"})

/* The link from a relay may differ from the link into it: they end at different addresses. */
Test(topology_rules, trust_may_change_along_a_leg)
{
	char *text = replaced(good, "[relay-1, east]}", "[relay-1, east], trusted: true}");
	struct dp_topology *t = parse_good(text);
	dp_topology_destroy(&t);
	free(text);
}

RULES(syntax, {"name: shop", "name: *x", "*x", "(syntax)", "found an alias"},
	{"name: shop", "name: &x shop", "&x", "(syntax)", "found an anchor"},
	{"sites:\n", "sites: &x\n", "&x", "(syntax)", "found an anchor"},
	{"[nwk, west]", "&x [*x, west]", "&x", "(syntax)", "found an anchor"},
	{"name: shop", "name: !!str shop", "!!str", "(syntax)", "found a tag"},
	{"volumes:", "---\nvolumes:", "---", "(syntax)", "second document"},
	{"[40.74, -74.17]}", "[40.74, -74.17}", "}\n", "(syntax)", "expected YAML"},
	{"name: shop", "name: \"sh\xff\"", "\xff", "(syntax)", "UTF-8"},
	{"name: shop", "name: sh\x01", "\x01", "(syntax)", "control characters"})

/* ---- limits ---- */

/* The good text with `count` lines made by `format` (of a number) after the line `after`. */
static char *with_many(const char *after, const char *format, unsigned count)
{
	size_t room = count * 128u + 1, used = 0;
	char *lines = calloc(1, room);
	cr_assert_not_null(lines);
	used = (size_t)snprintf(lines, room, "%s", after);
	for (unsigned i = 0; i < count; i++) {
		const char *hash = strchr(format, '#');
		used += (size_t)snprintf(lines + used, room - used, "%.*s%u%s\n",
			(int)(hash - format), format, i, hash + 1);
	}
	char *text = replaced(good, after, lines);
	free(lines);
	return text;
}

static void check_too_many(const char *after, const char *format, unsigned count, const char *key)
{
	struct dp_topo_errors errors;
	struct dp_topology *t;
	char *text = with_many(after, format, count);
	t = parse_good(text);
	dp_topology_destroy(&t);
	free(text);
	text = with_many(after, format, count + 1);
	cr_expect_eq(parse(text, &t, &errors), DP_ECONFIG);
	dp_topology_print_errors(&errors, stderr);
	cr_expect_eq(errors.count, 1, "%u messages", errors.count);
	cr_expect_str_eq(errors.errors[0].key, key);
	cr_expect_not_null(strstr(errors.errors[0].text, "too many"));
	free(text);
}

Test(topology_limits, sites_streams_legs_and_volumes)
{
	check_too_many("sites:\n", "  s#: {}", DP_SITES_MAX - 3, "sites.danbury");
	check_too_many("volumes:\n", "  v#: {stream: orders, size: 4KiB}", DP_VOLUMES_MAX - 2,
		"volumes.log");
	check_too_many("streams:\n", "  s#: {controller: nwk, legs: {w: [west]}}",
		DP_STREAMS_MAX - 1, "streams.orders");
}

Test(topology_limits, one_leg_too_many)
{
	char text[4096];
	size_t used = (size_t)snprintf(text, sizeof(text),
		"dipole: 1\nname: x\nsites: {s: {}}\nlinks:\n");
	for (unsigned i = 0; i <= DP_LEGS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"  - {between: [c, m%u]}\n", i);
	used += (size_t)snprintf(text + used, sizeof(text) - used,
		"nodes:\n  c: {role: controller, site: s}\n");
	for (unsigned i = 0; i <= DP_LEGS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"  m%u: {role: mirror, site: s, listen: tcp://h:%u}\n", i, i + 1);
	used += (size_t)snprintf(text + used, sizeof(text) - used,
		"volumes: {}\nstreams:\n  s:\n    controller: c\n    ack: {legs: 9}\n    legs:\n");
	for (unsigned i = 0; i <= DP_LEGS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "      l%u: [m%u]\n", i,
			i);
	struct dp_topo_errors errors;
	struct dp_topology *t;
	cr_expect_eq(parse(text, &t, &errors), DP_ECONFIG);
	dp_topology_print_errors(&errors, stderr);
	cr_expect_eq(errors.count, 1);
	cr_expect_str_eq(errors.errors[0].key, "streams.s.legs.l8");
}

/* As many mirrors in a row as a leg may have: with the controller one too many to open a seal. */
Test(topology_limits, one_holder_of_a_seal_too_many)
{
	char text[4096];
	size_t used = (size_t)snprintf(text, sizeof(text),
		"dipole: 1\nname: x\nsites: {s: {}}\nvolumes: {}\nlinks:\n  - {between: [c, m0]}\n");
	for (unsigned i = 1; i < DP_HOPS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"  - {between: [m%u, m%u]}\n", i - 1, i);
	used += (size_t)snprintf(text + used, sizeof(text) - used,
		"nodes:\n  c: {role: controller, site: s}\n");
	for (unsigned i = 0; i < DP_HOPS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used,
			"  m%u: {role: mirror, site: s, listen: tcp://h:%u}\n", i, i + 1);
	used += (size_t)snprintf(text + used, sizeof(text) - used,
		"streams:\n  s:\n    controller: c\n    seal: chacha20-poly1305\n    legs:\n      l: [");
	for (unsigned i = 0; i < DP_HOPS_MAX; i++)
		used += (size_t)snprintf(text + used, sizeof(text) - used, "%sm%u", i ? ", " : "",
			i);
	snprintf(text + used, sizeof(text) - used, "]\n");
	struct dp_topo_errors errors;
	struct dp_topology *t;
	cr_expect_eq(parse(text, &t, &errors), DP_ECONFIG);
	dp_topology_print_errors(&errors, stderr);
	cr_expect_eq(errors.count, 1);
	cr_expect_str_eq(errors.errors[0].key, "streams.s.seal");
	char *open = replaced(text, "    seal: chacha20-poly1305\n", "");
	t = parse_good(open);
	unsigned holders[DP_SEAL_HOLDERS_MAX + 1];
	cr_expect_eq(dp_topology_holders(t, 0, holders), DP_SEAL_HOLDERS_MAX + 1);
	dp_topology_destroy(&t);
	free(open);
}

/* More mistakes than are kept, and a mapping far larger than any topology: quick, bounded. */
Test(topology_limits, messages_are_bounded, .timeout = 20)
{
	char *text = with_many("dipole: 1\n", "k#: 1", 50000);
	struct dp_topo_errors errors;
	struct dp_topology *t;
	cr_expect_eq(parse(text, &t, &errors), DP_ECONFIG);
	cr_expect_eq(errors.count, DP_TOPO_ERRORS_MAX);
	free(text);
}

struct hashed {
	uint32_t id, number;
};

static int compare_ids(const void *a, const void *b)
{
	uint32_t x = ((const struct hashed *)a)->id, y = ((const struct hashed *)b)->id;
	return x < y ? -1 : x > y;
}

/* Finds two numbers n for which the volumes "vN" get the same id; the first 300000 hold some. */
static bool find_collision(uint32_t pair[2])
{
	enum { TRIED = 300000 };
	struct hashed *all = malloc(TRIED * sizeof(*all));
	cr_assert_not_null(all);
	for (uint32_t i = 0; i < TRIED; i++) {
		unsigned char hash[16];
		char name[32];
		int size = snprintf(name, sizeof(name), "shop/v%u", i);
		crypto_generichash(hash, sizeof(hash), (const unsigned char *)name,
			(unsigned long long)size, NULL, 0);
		all[i].number = i;
		memcpy(&all[i].id, hash, sizeof(all[i].id));
	}
	qsort(all, TRIED, sizeof(*all), compare_ids);
	bool found = false;
	for (uint32_t i = 1; i < TRIED && !found; i++) {
		found = all[i].id == all[i - 1].id;
		pair[0] = all[i - 1].number;
		pair[1] = all[i].number;
	}
	free(all);
	return found;
}

Test(topology_limits, volumes_with_the_same_id)
{
	uint32_t pair[2];
	cr_assert(find_collision(pair));
	char by[128], key[64];
	snprintf(by, sizeof(by), "v%u: {stream: orders, size: 4KiB}\n  v%u:", pair[0], pair[1]);
	snprintf(key, sizeof(key), "volumes.v%u", pair[1]);
	char at[32];
	snprintf(at, sizeof(at), "v%u:  {", pair[1]);
	struct rule rule = {"log:", by, at, key, "same id as volume"};
	check_rule(&rule);
}

/* ---- many mistakes in one file ---- */

static const char
	ten_mistakes[] = "dipole: 1\n"
			 "name: Shop\n"
			 "sites:\n"
			 "  newark:  {at: [140.74, -74.17]}\n"
			 "  trenton: {at: [40.22, -74.76]}\n"
			 "nodes:\n"
			 "  nwk:   {role: controller, site: nwark}\n"
			 "  west:  {role: miror, site: trenton, listen: tcp://10.2.0.1:7400}\n"
			 "  east:  {role: mirror, site: trenton, listen: tcp://10.3.0.1}\n"
			 "links:\n"
			 "  - {between: [nwk, west], distance: 45}\n"
			 "streams:\n"
			 "  orders:\n"
			 "    controller: nwk\n"
			 "    legs: {w: [west], e: [east]}\n"
			 "    ack: {legs: 3}\n"
			 "    flsh: cached\n"
			 "volumes:\n"
			 "  data: {stream: order, size: 4KiB}\n"
			 "  log:  {stream: orders, size: 5B}\n"
			 "  tmp:  {stream: orders}\n";

Test(topology, ten_mistakes_are_all_said_in_order)
{
	static const struct {
		unsigned line, column;
		const char *key;
	} expected[] = {{2, 7, "name"}, {4, 18, "sites.newark.at[0]"}, {7, 35, "nodes.nwk.site"},
		{8, 17, "nodes.west.role"}, {9, 48, "nodes.east.listen"},
		{11, 38, "links[0].distance"}, {15, 27, "streams.orders.legs.e[0]"},
		{16, 17, "streams.orders.ack.legs"}, {17, 5, "streams.orders.flsh"},
		{19, 18, "volumes.data.stream"}};
	struct dp_topo_errors errors;
	struct dp_topology *t;
	char *text = replaced(ten_mistakes, "5B}\n  tmp:  {stream: orders}", "4KiB}");
	cr_assert_eq(parse(text, &t, &errors), DP_ECONFIG);
	dp_topology_print_errors(&errors, stderr);
	cr_assert_eq(errors.count, COUNT(expected));
	for (unsigned i = 0; i < COUNT(expected); i++) {
		cr_expect_eq(errors.errors[i].line, expected[i].line, "%s", expected[i].key);
		cr_expect_eq(errors.errors[i].column, expected[i].column, "%s", expected[i].key);
		cr_expect_str_eq(errors.errors[i].key, expected[i].key);
	}
	free(text);
	cr_assert_eq(parse(ten_mistakes, &t, &errors), DP_ECONFIG);
	cr_assert_eq(errors.count, COUNT(expected) + 2);
}

Test(topology, messages_are_printed_a_line_each)
{
	struct dp_topo_errors errors;
	struct dp_topology *t;
	char *text = NULL;
	size_t size = 0;
	char *wrong = replaced(good, "size: 20GiB", "size: \"2\\n\\e[1m\"");
	cr_assert_eq(parse(wrong, &t, &errors), DP_ECONFIG);
	FILE *to = open_memstream(&text, &size);
	dp_topology_print_errors(&errors, to);
	fclose(to);
	cr_assert_str_eq(text,
		"t.yaml:28:32: volumes.log.size: found \"2??[1m\"; expected a size such "
		"as 200GiB, a multiple of 4096B from 4KiB to 1024TiB\n");
	free(text);
	free(wrong);
}

/* A bad name is said where it stands, and again where another object has the same address. */
Test(topology, bad_names_in_messages_of_others_are_printable)
{
	struct dp_topo_errors errors;
	struct dp_topology *t;
	char *wrong = replaced(good, "  west:    {", "  \"\\e[1m\": {");
	char *shared = replaced(wrong, "tcp://10.3.0.1", "tcp://10.2.0.1");
	cr_assert_eq(parse(shared, &t, &errors), DP_ECONFIG);
	bool said = false;
	for (unsigned i = 0; i < errors.count; i++) {
		for (const char *c = errors.errors[i].text; *c; c++)
			cr_assert(*c >= ' ' && *c <= '~', "%s", errors.errors[i].text);
		said |= strstr(errors.errors[i].text, "same as that of node \"?[1m\"") != NULL;
	}
	cr_assert(said);
	free(shared);
	free(wrong);
}

/* ---- no topology at all ---- */

static void expect_refused(const char *text, size_t size, const char *says)
{
	struct dp_topo_errors errors;
	struct dp_topology *t;
	cr_assert_eq(dp_topology_parse(text, size, "t.yaml", &t, &errors), DP_ECONFIG);
	cr_assert_null(t);
	cr_assert_eq(errors.count, 1);
	cr_assert_geq(errors.errors[0].line, 1);
	cr_assert_geq(errors.errors[0].column, 1);
	cr_assert_not_null(strstr(errors.errors[0].text, says), "%s", errors.errors[0].text);
}

Test(topology_garbage, empty_and_trivial)
{
	expect_refused("", 0, "empty");
	expect_refused("# only this\n", 12, "empty");
	expect_refused("hello", 5, "found \"hello\"; expected a mapping");
	expect_refused("[]", 2, "found a list");
	expect_refused("\xff\xfe\0d", 4, "expected YAML");
	expect_refused("a\0b", 3, "expected YAML");
}

Test(topology_garbage, nesting)
{
	static char deep[100000];
	memset(deep, '[', sizeof(deep));
	expect_refused(deep, sizeof(deep), "nested too deeply");
	memset(deep, '{', sizeof(deep));
	expect_refused(deep, sizeof(deep), "nested too deeply");
	for (size_t i = 0; i < sizeof(deep); i++)
		deep[i] = i % 2 ? ' ' : '-';
	expect_refused(deep, sizeof(deep), "nested too deeply");
}

Test(topology_garbage, too_large)
{
	size_t size = DP_TOPOLOGY_FILE_MAX + 1;
	char *text = malloc(size);
	cr_assert_not_null(text);
	memset(text, '\n', size);
	memcpy(text, good, strlen(good));
	struct dp_topo_errors errors;
	struct dp_topology *t;
	cr_expect_eq(dp_topology_parse(text, size - 1, "t.yaml", &t, &errors), 0);
	dp_topology_destroy(&t);
	expect_refused(text, size, "too large");
	char path[] = "/tmp/dipole-topology-XXXXXX";
	int fd = mkstemp(path);
	cr_assert_geq(fd, 0);
	cr_assert_eq(write(fd, text, size), (ssize_t)size);
	cr_expect_eq(dp_topology_load(path, &t, &errors), DP_ECONFIG);
	cr_expect_not_null(strstr(errors.errors[0].text, "too large"));
	close(fd);
	unlink(path);
	free(text);
}

Test(topology_garbage, every_prefix)
{
	for (size_t size = 0; size < strlen(good); size++) {
		struct dp_topo_errors errors;
		struct dp_topology *t;
		int err = dp_topology_parse(good, size, "t.yaml", &t, &errors);
		cr_assert(err == 0 || (err == DP_ECONFIG && errors.count > 0));
		dp_topology_destroy(&t);
	}
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* Bytes of the good text changed at random, often to ones that mean something in YAML. */
Test(topology_garbage, damaged_bytes, .timeout = 60)
{
	static const char marks[] = "[]{}:,-&*!#'\"|> \n\t%?1a\xff";
	uint32_t state = 20261;
	for (unsigned round = 0; round < 3000; round++) {
		char text[sizeof(good)];
		memcpy(text, good, sizeof(good));
		for (unsigned i = next_random(&state) % 5 + 1; i > 0; i--) {
			size_t at = next_random(&state) % (sizeof(good) - 1);
			text[at] = marks[next_random(&state) % (sizeof(marks))];
		}
		struct dp_topo_errors errors;
		struct dp_topology *t;
		int err = dp_topology_parse(text, sizeof(good) - 1, "t.yaml", &t, &errors);
		cr_assert(err == DP_ECONFIG ? !t && errors.count > 0 : !err && t && !errors.count);
		dp_topology_destroy(&t);
	}
}

Test(topology_garbage, files_that_cannot_be_read)
{
	struct dp_topo_errors errors;
	struct dp_topology *t;
	cr_expect_eq(dp_topology_load("/nonexistent/t.yaml", &t, &errors), DP_ENOENT);
	cr_expect_null(t);
	cr_expect_eq(errors.count, 1);
	cr_expect_eq(dp_topology_load("/", &t, &errors), DP_EIO);
	cr_expect_null(t);
	cr_expect_eq(errors.count, 1);
}

/* ---- geography ---- */

Test(topology_geography, great_circle)
{
	struct dp_site london = {.has_position = true, .latitude = 51.5074, .longitude = -0.1278};
	struct dp_site paris = {.has_position = true, .latitude = 48.8566, .longitude = 2.3522};
	struct dp_site north = {.has_position = true, .latitude = 90};
	struct dp_site south = {.has_position = true, .latitude = -90, .longitude = 77};
	struct dp_site fiji = {.has_position = true, .longitude = 179.5};
	struct dp_site samoa = {.has_position = true, .longitude = -179.5};
	cr_assert_float_eq(dp_site_distance(&london, &paris), 343556, 500);
	cr_assert_float_eq(dp_site_distance(&north, &south), 20015114, 100);
	cr_assert_float_eq(dp_site_distance(&fiji, &samoa), 111195, 10); /* over the date line */
	cr_assert_eq(dp_site_distance(&paris, &paris), 0);
}

Test(topology_geography, opposition)
{
	struct dp_topology *t = parse_good(good);
	struct dp_opposition o;
	cr_assert(dp_topology_opposition(t, 0, &o));
	cr_assert_eq(o.pole_a, (unsigned)dp_topology_node(t, "west"));
	cr_assert_eq(o.pole_b, (unsigned)dp_topology_node(t, "east"));
	double a = dp_site_distance(&t->sites[0], &t->sites[1]);
	double b = dp_site_distance(&t->sites[0], &t->sites[2]);
	double separation = dp_site_distance(&t->sites[1], &t->sites[2]);
	cr_assert_eq(o.from_controller_a_m, a);
	cr_assert_eq(o.from_controller_b_m, b);
	cr_assert_eq(o.separation_m, separation);
	cr_assert_float_eq(o.gain_m, separation - fmax(a, b), 1e-6);
	cr_assert(o.opposed);
	cr_assert_not(dp_topology_opposition(t, 1, &o), "there is no second stream");
	dp_topology_destroy(&t);
}

/* Of three poles the two farthest; and two that lie on the same side are not opposed. */
Test(topology_geography, farthest_of_three_and_same_side)
{
	char *three = replaced(good, "  west: ",
		"  near:    {role: mirror, site: newark, listen: tcp://10.4.0.1:7400}\n  west: ");
	char *linked = replaced(three, "links:\n", "links:\n  - {between: [nwk, near]}\n");
	char *text = replaced(linked, "      pole-w:", "      near: [near]\n      pole-w:");
	struct dp_topology *t = parse_good(text);
	struct dp_opposition o;
	cr_assert(dp_topology_opposition(t, 0, &o));
	cr_assert_eq(o.pole_a, (unsigned)dp_topology_node(t, "west"));
	cr_assert_eq(o.pole_b, (unsigned)dp_topology_node(t, "east"));
	dp_topology_destroy(&t);
	char *side = replaced(good, "[40.22, -74.76]", "[41.40, -73.45]");
	t = parse_good(side);
	cr_assert(dp_topology_opposition(t, 0, &o));
	cr_assert_not(o.opposed);
	cr_assert_lt(o.gain_m, 0);
	dp_topology_destroy(&t);
	free(side);
	free(text);
	free(linked);
	free(three);
}
