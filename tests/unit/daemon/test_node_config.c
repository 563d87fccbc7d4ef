/* SPDX-License-Identifier: MIT */
/* A node's part of a topology: whom it listens to, whom it connects to, what it keeps. */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "daemon/daemon.h"

/* Two streams over one relay; the first has a leg with a trusted link. */
static const char good[] =
	"dipole: 1\n"
	"name: shop\n"
	"sites: {here: {}, there: {}}\n"
	"nodes:\n"
	"  nwk:   {role: controller, site: here, listen: tcp://h:1, key: \"@n\"}\n"
	"  relay: {role: relay, site: here, listen: tcp://h:2, key: \"@r\", journal: 32MiB,"
	" retain: next-hop}\n"
	"  west:  {role: mirror, site: there, listen: tcp://h:3, key: \"@w\", journal: 48MiB}\n"
	"  east:  {role: mirror, site: there, listen: tcp://h:4, key: \"@e\"}\n"
	"  south: {role: mirror, site: there, listen: tcp://h:5}\n"
	"  spare: {role: mirror, site: there, listen: tcp://h:6, key: \"@s\"}\n"
	"links:\n"
	"  - {between: [nwk, relay], distance: 30km}\n"
	"  - {between: [west, relay], distance: 20km}\n"
	"  - {between: [relay, east]}\n"
	"  - {between: [nwk, east], distance: 40km}\n"
	"  - {between: [nwk, south], trusted: true}\n"
	"streams:\n"
	"  orders:\n"
	"    controller: nwk\n"
	"    legs: {w: [relay, west], e: [east], s: [south]}\n"
	"    ack: {stage: committed, legs: 2}\n"
	"    flush: committed\n"
	"    journal: {size: 64MiB}\n"
	"  mail:\n"
	"    controller: nwk\n"
	"    legs: {only: [relay, east]}\n"
	"    ack: {stage: local}\n"
	"    local: mirror\n"
	"    journal: {size: 128MiB}\n"
	"volumes:\n"
	"  data: {stream: orders, size: 1GiB}\n"
	"  post: {stream: mail, size: 2GiB}\n"
	"  log:  {stream: orders, size: 4MiB}\n";

static struct dp_topology *t;
static struct dp_node_config *cfg;
static char why[256];

/* "@x" stands for a key made of that letter. */
static char *with_keys(const char *text)
{
	char *out = calloc(2, strlen(text)), *to = out;
	for (const char *c = text; *c; c++) {
		if (*c == '@') {
			memset(to, *++c, DP_KEY_TEXT);
			to += DP_KEY_TEXT;
		} else {
			*to++ = *c;
		}
	}
	return out;
}

/* A new text with the first `find` replaced; frees the old one. */
static char *replaced(char *text, const char *find, const char *by)
{
	const char *at = strstr(text, find);
	cr_assert_not_null(at, "the test's text has no \"%s\"", find);
	size_t size = strlen(text) + strlen(by) + 1;
	char *out = malloc(size);
	snprintf(out, size, "%.*s%s%s", (int)(at - text), text, by, at + strlen(find));
	free(text);
	return out;
}

static void load_text(char *text)
{
	struct dp_topo_errors errors;
	char *whole = with_keys(text);
	cr_assert_geq(sodium_init(), 0);
	int err = dp_topology_parse(whole, strlen(whole), "t.yaml", &t, &errors);
	dp_topology_print_errors(&errors, stderr);
	cr_assert_eq(err, 0);
	free(whole);
	free(text);
	cfg = malloc(sizeof *cfg);
	memset(cfg, 0xa5, sizeof *cfg); /* it is cleared first */
}

static void load(const char *find, const char *by)
{
	load_text(find ? replaced(strdup(good), find, by) : strdup(good));
}

static int fill(const char *node)
{
	int index = dp_topology_node(t, node);
	cr_assert_geq(index, 0);
	why[0] = 0;
	memset(cfg, 0, sizeof *cfg);
	return dp_node_config_fill(t, (unsigned)index, cfg, why, sizeof why);
}

static void done(void)
{
	free(cfg);
	dp_topology_destroy(&t);
}

static const struct dp_node_stream *stream(const char *name)
{
	for (unsigned i = 0; i < cfg->stream_count; i++)
		if (strcmp(cfg->streams[i].name, name) == 0)
			return &cfg->streams[i];
	cr_assert_fail("there is no stream %s", name);
	return NULL;
}

static void check_link(unsigned i, const char *peer, const char *address, char key)
{
	char text[DP_KEY_SIZE] = "";
	if (key)
		memset(text, key, DP_KEY_TEXT);
	cr_assert_lt(i, cfg->link_count);
	cr_assert_str_eq(cfg->links[i].peer, peer);
	cr_assert_str_eq(cfg->links[i].address, address);
	cr_assert_str_eq(cfg->links[i].key, text);
}

static void check_down(const struct dp_node_stream *s, unsigned i, const char *leg,
	const char *peer)
{
	cr_assert_lt(i, s->core.down_count);
	cr_assert_str_eq(s->legs[i], leg);
	cr_assert_str_eq(cfg->links[s->links[i]].peer, peer);
}

Test(node_config, of_a_controller)
{
	load(NULL, NULL);
	cr_assert_eq(fill("nwk"), 0, "%s", why);
	cr_assert_str_eq(cfg->name, "nwk");
	cr_assert_eq(cfg->role, DP_CORE_CONTROLLER);
	cr_assert_str_empty(cfg->listen, "nobody sends to a controller");
	cr_assert_not(cfg->listen_curve);
	cr_assert_str_eq(cfg->public_key, "nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn");
	cr_assert_str_empty(cfg->secret_key);
	cr_assert_eq(cfg->stream_count, 2);
	cr_assert_eq(cfg->link_count, 3, "two streams share the link to the relay");
	check_link(0, "relay", "tcp://h:2", 'r');
	check_link(1, "east", "tcp://h:4", 'e');
	check_link(2, "south", "tcp://h:5", 0);
	const struct dp_node_stream *s = stream("orders");
	cr_assert_str_empty(s->upstream);
	cr_assert_eq(s->core.role, DP_CORE_CONTROLLER);
	cr_assert_eq(s->core.stream, t->streams[0].id);
	cr_assert_eq(s->core.down_count, 3);
	check_down(s, 0, "w", "relay");
	check_down(s, 1, "e", "east");
	check_down(s, 2, "s", "south");
	cr_assert(s->near[0] && !s->near[1] && !s->near[2],
		"the relay stands here, the mirrors there");
	cr_assert(s->core.read_order[0] == 1 && s->core.read_order[1] == 0 &&
			s->core.read_order[2] == 2,
		"the nearest is not read first");
	cr_assert(s->core.ack == DP_CORE_COMMITTED && s->core.flush == DP_CORE_COMMITTED);
	cr_assert_eq(s->core.ack_legs, 2);
	cr_assert_eq(s->core.window_bytes, DP_WINDOW_BYTES);
	cr_assert_not(s->core.image || s->core.retain_next_hop);
	cr_assert_eq(s->journal_bytes, 64 * DP_MIB);
	cr_assert_eq(s->volume_count, 2);
	cr_assert_str_eq(s->volumes[0].name, "data");
	cr_assert_str_eq(s->volumes[1].name, "log");
	cr_assert_eq(s->volumes[1].size, 4 * DP_MIB);
	cr_assert_eq(s->volumes[1].id, t->volumes[2].id);
	s = stream("mail");
	cr_assert(s->core.image, "local: mirror");
	cr_assert(s->core.ack == DP_CORE_LOCAL && s->core.flush == DP_CORE_CACHED);
	cr_assert_eq(s->core.down_count, 1);
	check_down(s, 0, "only", "relay");
	cr_assert_eq(s->journal_bytes, 128 * DP_MIB);
	cr_assert_eq(s->volume_count, 1);
	done();
}

Test(node_config, streams_take_turns_over_the_connections_of_a_link)
{
	load("distance: 30km}",
		"distance: 30km, connections: 2, window: 2MiB, rate: 8Mbit, send: 22:00-06:00}");
	cr_assert_eq(fill("nwk"), 0, "%s", why);
	cr_assert_eq(cfg->link_count, 4);
	cr_assert_eq(stream("orders")->core.link_window[0], 2 * DP_MIB);
	cr_assert_eq(stream("orders")->core.link_window[1], 0);
	cr_assert_eq(stream("orders")->core.link_rate[0], 1000000);
	cr_assert_eq(stream("orders")->core.link_rate[1], 0);
	cr_assert_eq(cfg->links[stream("orders")->links[0]].hours.from, 22 * 60);
	cr_assert_eq(cfg->links[stream("orders")->links[1]].hours.to, 0);
	const struct dp_node_stream *a = stream("orders"), *b = stream("mail");
	cr_assert_neq(a->links[0], b->links[0]);
	cr_assert_str_eq(cfg->links[a->links[0]].peer, "relay");
	cr_assert_str_eq(cfg->links[b->links[0]].peer, "relay");
	cr_assert_eq(cfg->links[a->links[0]].connection, 0);
	cr_assert_eq(cfg->links[b->links[0]].connection, 1);
	done();
}

Test(node_config, of_a_relay)
{
	load(NULL, NULL);
	cr_assert_eq(fill("relay"), 0, "%s", why);
	cr_assert_eq(cfg->role, DP_CORE_RELAY);
	cr_assert_str_eq(cfg->listen, "tcp://h:2");
	cr_assert(cfg->listen_curve);
	cr_assert_eq(cfg->link_count, 2);
	check_link(0, "west", "tcp://h:3", 'w');
	check_link(1, "east", "tcp://h:4", 'e');
	const struct dp_node_stream *s = stream("orders");
	cr_assert_str_eq(s->upstream, "nwk");
	cr_assert_eq(s->core.down_count, 1);
	check_down(s, 0, "w", "west");
	cr_assert_not(s->core.image);
	cr_assert(s->core.retain_next_hop);
	cr_assert_eq(s->journal_bytes, 32 * DP_MIB, "a relay's journal is its own");
	s = stream("mail");
	cr_assert_eq(s->core.down_count, 1);
	check_down(s, 0, "only", "east");
	cr_assert_not(s->core.image);
	done();
}

Test(node_config, of_a_mirror)
{
	load(NULL, NULL);
	cr_assert_eq(fill("west"), 0, "%s", why);
	cr_assert_eq(cfg->role, DP_CORE_MIRROR);
	cr_assert_str_eq(cfg->listen, "tcp://h:3");
	cr_assert(cfg->listen_curve);
	cr_assert_eq(cfg->link_count, 0);
	cr_assert_eq(cfg->stream_count, 1, "only the streams whose legs it is in");
	const struct dp_node_stream *s = stream("orders");
	cr_assert_str_eq(s->upstream, "relay");
	cr_assert(s->core.image && s->core.role == DP_CORE_MIRROR);
	cr_assert_eq(s->core.down_count, 0);
	cr_assert_eq(s->journal_bytes, 48 * DP_MIB);
	cr_assert_eq(s->volume_count, 2);
	cr_assert_eq(fill("east"), 0, "%s", why);
	cr_assert_eq(cfg->stream_count, 2);
	done();
}

Test(node_config, a_trusted_link_needs_no_keys)
{
	load(NULL, NULL);
	cr_assert_eq(fill("south"), 0, "%s", why);
	cr_assert_str_eq(cfg->listen, "tcp://h:5");
	cr_assert_not(cfg->listen_curve);
	cr_assert_str_empty(cfg->public_key);
	done();
}

/* Who may connect: every node that has a key, by its name. */
Test(node_config, the_keys_of_all_nodes_are_known)
{
	static const char *const names[] = {"nwk", "relay", "west", "east", "spare"};
	load(NULL, NULL);
	cr_assert_eq(fill("east"), 0, "%s", why);
	cr_assert_eq(cfg->key_count, 5);
	for (unsigned i = 0; i < 5; i++) {
		cr_assert_str_eq(cfg->keys[i].node, names[i]);
		cr_assert_eq(strlen(cfg->keys[i].key), DP_KEY_TEXT);
		cr_assert_eq(cfg->keys[i].key[0], names[i][0]);
	}
	done();
}

/* Both ends compare it: equal at all nodes of a stream, different for other volumes or sizes. */
Test(node_config, the_hash_of_the_volumes)
{
	load(NULL, NULL);
	cr_assert_eq(fill("nwk"), 0);
	uint64_t orders = stream("orders")->core.config, mail = stream("mail")->core.config;
	cr_assert_neq(orders, mail);
	static const char *const nodes[] = {"relay", "west", "east", "south"};
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(fill(nodes[i]), 0);
		cr_assert_eq(stream("orders")->core.config, orders, "%s", nodes[i]);
	}
	done();
	static const char *const changes[][2] = {{"size: 4MiB", "size: 8MiB"}, {"  log:", "  lag:"},
		{"log:  {stream: orders", "log:  {stream: mail"}};
	for (unsigned i = 0; i < 3; i++) {
		load(changes[i][0], changes[i][1]);
		cr_assert_eq(fill("west"), 0);
		cr_assert_neq(stream("orders")->core.config, orders, "%s", changes[i][1]);
		done();
	}
}

/* The controller and the mirrors open what is sealed; relays only know that it is. */
Test(node_config, the_holders_of_a_sealed_stream)
{
	char *text = replaced(strdup(good), "s: [south]}\n",
		"s: [south]}\n    seal: chacha20-poly1305\n");
	load_text(strdup(text));
	cr_assert_eq(fill("west"), DP_ECONFIG);
	cr_assert_str_eq(why, "the stream is sealed and there is no key for node \"south\"");
	cr_assert_eq(fill("relay"), 0, "%s", why);
	done();
	load_text(replaced(text, "h:5}", "h:5, key: \"@o\"}"));
	static const char *const nodes[] = {"nwk", "west", "east", "south"};
	for (unsigned i = 0; i < 4; i++) {
		cr_assert_eq(fill(nodes[i]), 0, "%s", why);
		const struct dp_node_stream *s = stream("orders");
		cr_assert_eq(s->seal, DP_SEAL_CHACHA20POLY1305);
		cr_assert_eq(s->holder_count, 4);
		for (unsigned k = 0; k < 4; k++)
			cr_assert_eq(s->holders[k][0], "nweo"[k], "%s, holder %u", nodes[i], k);
	}
	uint64_t sealed = stream("orders")->core.config;
	cr_assert_eq(fill("relay"), 0);
	cr_assert_eq(stream("orders")->seal, DP_SEAL_CHACHA20POLY1305);
	cr_assert_eq(stream("orders")->holder_count, 0);
	cr_assert_eq(stream("orders")->core.config, sealed);
	cr_assert_eq(stream("mail")->seal, DP_SEAL_NONE);
	done();
	load(NULL, NULL);
	cr_assert_eq(fill("relay"), 0);
	cr_assert_neq(stream("orders")->core.config, sealed,
		"one side seals and the other does not");
	done();
}

/* It keeps images and hands on. */
Test(node_config, of_a_mirror_on_the_way)
{
	char *text = replaced(strdup(good), "w: [relay, west], e: [east]",
		"e: [relay, west, east]");
	text = replaced(text, "committed, legs: 2", "committed, legs: all");
	load_text(replaced(text, "links:\n", "links:\n  - {between: [west, east]}\n"));
	cr_assert_eq(fill("west"), 0, "%s", why);
	const struct dp_node_stream *s = stream("orders");
	cr_assert_str_eq(s->upstream, "relay");
	cr_assert(s->core.image);
	cr_assert_eq(s->core.down_count, 1);
	check_down(s, 0, "e", "east");
	check_link(0, "east", "tcp://h:4", 'e');
	done();
}

/* ---- what is refused ---- */

static void check_refused(const char *find, const char *by, const char *node, const char *text)
{
	load(find, by);
	cr_assert_eq(fill(node), DP_ECONFIG, "%s is accepted at %s", by, node);
	cr_assert_not_null(strstr(why, text), "\"%s\" does not say %s", why, text);
	done();
}

Test(node_config, a_node_without_a_stream)
{
	check_refused("name: shop", "name: shop", "spare", "\"spare\"");
}

Test(node_config, a_link_that_is_not_trusted_needs_the_other_key)
{
	check_refused(", key: \"@n\"", "", "relay", "no key for node \"nwk\"");
	check_refused(", key: \"@r\"", "", "nwk", "no key for node \"relay\"");
	check_refused(", key: \"@r\"", "", "west", "no key for node \"relay\"");
	check_refused(", key: \"@e\"", "", "relay", "no key for node \"east\"");
}

Test(node_config, a_link_that_is_not_trusted_needs_the_own_key)
{
	check_refused(", key: \"@n\"", "", "nwk", "no key for node \"nwk\"");
	check_refused(", key: \"@e\"", "", "east", "no key for node \"east\"");
}
