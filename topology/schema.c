/* SPDX-License-Identifier: MIT */
/* The tables: adding a key is one line here (and a field of the model).
 *
 * Fields are taken in the order of their table, not of the file. So sites come before nodes,
 * nodes before links, and a stream's legs before what counts them: references resolve at once. */
#include "schema.h"

#include <sodium.h>
#include <string.h>

#include "scalars.h"

#define DEFAULT_JOURNAL    DP_GIB
#define DEFAULT_HIGH_WATER 80
#define EXPECT_JOURNAL     "a size with a unit such as 8GiB, from 16MiB to 1TiB"

/* Ids come from names so that no node has to be told one; `/` is in no name, so that two pairs
 * of names never give the same text. The hash works without sodium_init(). */
static uint64_t id_of(const char *deployment, const char *name, unsigned bytes)
{
	char text[2 * DP_NAME_MAX + 2];
	int size = snprintf(text, sizeof(text), "%s/%s", deployment, name);
	unsigned char hash[16];
	crypto_generichash(hash, sizeof(hash), (const unsigned char *)text,
		(unsigned long long)size, NULL, 0);
	uint64_t id = 0;
	for (unsigned i = bytes; i-- > 0;)
		id = id << 8 | hash[i];
	return id ? id : 1;
}

void dp_schema_copy_name(char to[DP_NAME_MAX + 1], const char *name)
{
	strncpy(to, name, DP_NAME_MAX);
}

/* ---- sites ---- */

static void parse_at(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	static const char expected[] = "[LATITUDE, LONGITUDE] in degrees";
	struct dp_site *site = object;
	if (!dp_loader_is(l, path, value, YAML_SEQUENCE_NODE, expected))
		return;
	if (dp_loader_items(value) != 2) {
		dp_loader_error(l, path, value, "found a list of %u; expected %s",
			dp_loader_items(value), expected);
		return;
	}
	struct dp_path first = {path, NULL, 0}, second = {path, NULL, 1};
	bool latitude = dp_loader_scalar(l, &first, dp_loader_item(l, value, 0),
		"a latitude from -90 to 90 degrees", dp_scalar_latitude, &site->latitude);
	bool longitude = dp_loader_scalar(l, &second, dp_loader_item(l, value, 1),
		"a longitude from -180 to 180 degrees", dp_scalar_longitude, &site->longitude);
	site->has_position = latitude && longitude;
}

static const struct dp_field site_fields[] = {
	{"at", DP_OPTIONAL, "[LATITUDE, LONGITUDE]", 0, NULL, parse_at},
	{0},
};

static void parse_site(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *context)
{
	(void)context;
	struct dp_site *site = &l->t->sites[l->t->site_count++];
	dp_schema_copy_name(site->name, path->key);
	dp_loader_fields(l, path, value, site_fields, site);
}

static void parse_sites(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	dp_loader_named(l, path, value, &l->sites, DP_SITES_MAX, parse_site, object);
}

/* ---- nodes ---- */

static void parse_node_site(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	struct dp_topo_node *node = object;
	node->site = dp_loader_resolve(l, path, value, &l->sites, "site");
}

#define NODE(member) offsetof(struct dp_topo_node, member)
static const struct dp_field node_fields[] = {
	{"role", DP_REQUIRED, "controller, relay or mirror", NODE(role), dp_scalar_role, NULL},
	{"site", DP_REQUIRED, "one of the names under sites", 0, NULL, parse_node_site},
	{"listen", DP_OPTIONAL, "tcp://HOST:PORT with a port from 1 to 65535", NODE(listen),
		dp_scalar_listen, NULL},
	{"metrics", DP_OPTIONAL, "tcp://HOST:PORT with a port from 1 to 65535", NODE(metrics),
		dp_scalar_listen, NULL},
	{"control", DP_OPTIONAL, "tcp://HOST:PORT with a port from 1 to 65535", NODE(control),
		dp_scalar_listen, NULL},
	{"key", DP_OPTIONAL, "a public key of 40 Z85 characters", NODE(key), dp_scalar_key, NULL},
	{"former-key", DP_OPTIONAL, "a public key of 40 Z85 characters", NODE(former_key),
		dp_scalar_key, NULL},
	{"journal", DP_OPTIONAL, EXPECT_JOURNAL, NODE(journal_bytes), dp_scalar_journal, NULL},
	{"retain", DP_OPTIONAL, "committed or next-hop", NODE(retain), dp_scalar_retain, NULL},
	{"second-store", DP_OPTIONAL, "an absolute path of letters, digits and / . _ -",
		NODE(second_store), dp_scalar_directory, NULL},
	{0},
};

/* The controller's journal belongs to the stream. A key without effect would mislead. */
static void refuse_at_controller(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *map, const char *key, const char *expected)
{
	const yaml_node_t *value = dp_loader_find(l, map, key);
	struct dp_path at = {path, key, 0};
	if (value)
		dp_loader_error(l, &at, value, "found at a controller; expected %s", expected);
}

static void parse_node(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *context)
{
	(void)context;
	struct dp_topo_node *node = &l->t->nodes[l->t->node_count++];
	dp_schema_copy_name(node->name, path->key);
	node->role = DP_ROLE_UNKNOWN;
	node->site = DP_UNRESOLVED;
	node->journal_bytes = DEFAULT_JOURNAL;
	node->retain = DP_RETAIN_COMMITTED;
	dp_loader_fields(l, path, value, node_fields, node);
	if (node->second_store[0] && node->role != DP_ROLE_MIRROR) {
		struct dp_path at = {path, "second-store", 0};
		dp_loader_error(l, &at, dp_loader_find(l, value, "second-store"),
			"found where there is no mirror; expected it at a mirror");
	}
	if (node->role != DP_ROLE_CONTROLLER)
		return;
	refuse_at_controller(l, path, value, "journal",
		"it at a relay or mirror, or under streams.NAME.journal");
	refuse_at_controller(l, path, value, "retain", "it at a relay or mirror");
}

static void parse_nodes(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	dp_loader_named(l, path, value, &l->nodes, DP_NODES_MAX, parse_node, object);
}

/* ---- links ---- */

static void check_between(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	struct dp_topo_link *link)
{
	if (link->a == DP_UNRESOLVED || link->b == DP_UNRESOLVED)
		return;
	const char *a = l->t->nodes[link->a].name, *b = l->t->nodes[link->b].name;
	if (link->a == link->b) {
		dp_loader_error(l, path, value,
			"node \"%s\" with itself; expected two different nodes", a);
		link->b = DP_UNRESOLVED;
		return;
	}
	const struct dp_topo_link *first = dp_topology_link(l->t, link->a, link->b);
	if (first == link)
		return;
	unsigned index = (unsigned)(first - l->t->links);
	dp_loader_error(l, path, value,
		"second link of \"%.40s\" and \"%.40s\" (links[%u] on line %zu is the first); "
		"expected one",
		a, b, index, l->link_at[index]->start_mark.line + 1);
}

static void parse_between(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	struct dp_topo_link *link = object;
	if (!dp_loader_is(l, path, value, YAML_SEQUENCE_NODE, "[NODE, NODE]"))
		return;
	if (dp_loader_items(value) != 2) {
		dp_loader_error(l, path, value, "found a list of %u; expected [NODE, NODE]",
			dp_loader_items(value));
		return;
	}
	struct dp_path first = {path, NULL, 0}, second = {path, NULL, 1};
	link->a = dp_loader_resolve(l, &first, dp_loader_item(l, value, 0), &l->nodes, "node");
	link->b = dp_loader_resolve(l, &second, dp_loader_item(l, value, 1), &l->nodes, "node");
	check_between(l, path, value, link);
}

#define HEARTBEAT(member) offsetof(struct dp_topo_heartbeat, member)
#define EXPECT_INTERVAL   "a time with a unit such as 1.5s, from 10ms to 1h"
static const struct dp_field heartbeat_fields[] = {
	{"interval", DP_OPTIONAL, EXPECT_INTERVAL, HEARTBEAT(interval_us), dp_scalar_interval,
		NULL},
	{"down-after", DP_OPTIONAL, EXPECT_INTERVAL, HEARTBEAT(down_after_us), dp_scalar_interval,
		NULL},
	{"probation", DP_OPTIONAL, EXPECT_INTERVAL, HEARTBEAT(probation_us), dp_scalar_interval,
		NULL},
	{0},
};

static void parse_heartbeat(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, struct dp_topo_heartbeat *beat)
{
	dp_loader_fields(l, path, value, heartbeat_fields, beat);
	if (beat->down_after_us < 2 * beat->interval_us)
		dp_loader_error(l, path, value,
			"down-after is less than twice the interval; expected room for a lost beat");
}

static void parse_link_heartbeat(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	parse_heartbeat(l, path, value, &((struct dp_topo_link *)object)->heartbeat);
}

static void parse_file_heartbeat(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	parse_heartbeat(l, path, value, &((struct dp_topology *)object)->heartbeat);
}

#define LINK(member) offsetof(struct dp_topo_link, member)
static const struct dp_field link_fields[] = {
	{"between", DP_REQUIRED, "[NODE, NODE]", 0, NULL, parse_between},
	{"distance", DP_OPTIONAL,
		"a distance with a unit (m, km, mi) such as 30mi, at most 100000km",
		LINK(distance_m), dp_scalar_distance, NULL},
	{"round-trip", DP_OPTIONAL, "a time with a unit such as 2.1ms, from 1us to 60s",
		LINK(round_trip_us), dp_scalar_round_trip, NULL},
	{"bandwidth", DP_OPTIONAL, "a rate with a unit such as 10Gbit, from 1bit to 1000000Gbit",
		LINK(bandwidth_bits), dp_scalar_bandwidth, NULL},
	{"trusted", DP_OPTIONAL, "true or false", LINK(trusted), dp_scalar_bool, NULL},
	{"window", DP_OPTIONAL, "a size with a unit such as 16MiB, from 1MiB to 64MiB",
		LINK(window_bytes), dp_scalar_window, NULL},
	{"rate", DP_OPTIONAL, "a rate with a unit such as 100Mbit, from 80kbit to 1000000Gbit",
		LINK(rate_bits), dp_scalar_rate, NULL},
	{"send", DP_OPTIONAL, "times of day such as 22:00-06:00", LINK(send), dp_scalar_hours,
		NULL},
	{"compress", DP_OPTIONAL, "true or false", LINK(compress), dp_scalar_bool, NULL},
	{"connections", DP_OPTIONAL, "a number from 1 to 8", LINK(connections),
		dp_scalar_connections, NULL},
	{"heartbeat", DP_OPTIONAL, "{interval: TIME, down-after: TIME, probation: TIME}", 0, NULL,
		parse_link_heartbeat},
	{0},
};

/* Without a given distance the sites' coordinates tell it. */
static void measure(const struct dp_topology *t, struct dp_topo_link *link)
{
	if (link->a == DP_UNRESOLVED || link->b == DP_UNRESOLVED)
		return;
	unsigned a = t->nodes[link->a].site, b = t->nodes[link->b].site;
	if (a == DP_UNRESOLVED || b == DP_UNRESOLVED)
		return;
	if (t->sites[a].has_position && t->sites[b].has_position)
		link->distance_m = dp_site_distance(&t->sites[a], &t->sites[b]);
}

static void parse_link(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value)
{
	unsigned index = l->t->link_count++;
	struct dp_topo_link *link = &l->t->links[index];
	l->link_at[index] = value;
	link->a = link->b = DP_UNRESOLVED;
	link->distance_m = -1;
	link->connections = 1;
	link->heartbeat = l->t->heartbeat;
	dp_loader_fields(l, path, value, link_fields, link);
	link->distance_given = link->distance_m >= 0;
	if (!link->distance_given)
		measure(l->t, link);
}

static void parse_links(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	(void)object;
	if (!dp_loader_is(l, path, value, YAML_SEQUENCE_NODE, "a list of links"))
		return;
	l->links_complete = dp_loader_items(value) <= DP_LINKS_MAX;
	for (unsigned i = 0; i < dp_loader_items(value); i++) {
		struct dp_path at = {path, NULL, i};
		const yaml_node_t *item = dp_loader_item(l, value, i);
		if (i == DP_LINKS_MAX) {
			dp_loader_error(l, &at, item, "one too many; expected at most %d",
				DP_LINKS_MAX);
			return;
		}
		parse_link(l, &at, item);
	}
}

/* ---- streams ---- */

static void parse_controller(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	struct dp_topo_stream *s = object;
	unsigned node = dp_loader_resolve(l, path, value, &l->nodes, "node");
	if (node == DP_UNRESOLVED || l->t->nodes[node].role == DP_ROLE_UNKNOWN)
		return;
	if (l->t->nodes[node].role == DP_ROLE_CONTROLLER)
		s->controller = node;
	else
		dp_loader_error(l, path, value, "%s %s; expected a node with the role controller",
			dp_role_name(l->t->nodes[node].role), dp_loader_show(value).text);
}

static void parse_leg(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *context)
{
	struct dp_topo_stream *s = context;
	struct dp_topo_leg *leg = &s->legs[s->leg_count++];
	dp_schema_copy_name(leg->name, path->key);
	dp_schema_hops(l, path, value, s, leg);
}

static void parse_legs(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	struct dp_topo_stream *s = object;
	dp_loader_named(l, path, value, &l->legs, DP_LEGS_MAX, parse_leg, s);
	if (l->legs.complete && s->leg_count == 0) {
		dp_loader_error(l, path, value, "no leg; expected NAME: [NODE, ...] at least once");
		l->legs.complete = false;
	}
}

/* A number of legs. Beyond the legs there are is a mistake only if we know how many there are. */
static void parse_leg_count(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, unsigned *out, const char *expected)
{
	const struct dp_topo_stream *s = &l->t->streams[l->t->stream_count - 1];
	if (!dp_loader_scalar(l, path, value, expected, dp_scalar_count, out))
		return;
	if (l->legs.complete && *out > s->leg_count)
		dp_loader_error(l, path, value,
			"found %u, but the stream has %u leg%s; expected %s", *out, s->leg_count,
			s->leg_count == 1 ? "" : "s", expected);
}

static void parse_ack_legs(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	struct dp_topo_stream *s = object;
	const char *text = dp_loader_text(value);
	if (!text || strcmp(text, "all") != 0)
		parse_leg_count(l, path, value, &s->ack_legs,
			"all, or a number from 1 to that of the legs");
}

static void parse_keep_serving(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	struct dp_topo_stream *s = object;
	parse_leg_count(l, path, value, &s->keep_serving, "a number from 1 to that of the legs");
}

#define STREAM(member) offsetof(struct dp_topo_stream, member)
static const struct dp_field ack_fields[] = {
	{"stage", DP_OPTIONAL, "local, cached or committed", STREAM(ack_stage), dp_scalar_stage,
		NULL},
	{"legs", DP_OPTIONAL, "all or a number", 0, NULL, parse_ack_legs},
	{0},
};

static const struct dp_field when_leg_down_fields[] = {
	{"keep-serving", DP_OPTIONAL, "a number of legs", 0, NULL, parse_keep_serving},
	{0},
};

static const struct dp_field journal_fields[] = {
	{"size", DP_OPTIONAL, EXPECT_JOURNAL, STREAM(journal_bytes), dp_scalar_journal, NULL},
	{"high-water", DP_OPTIONAL, "a percentage from 1% to 100%", STREAM(high_water),
		dp_scalar_high_water, NULL},
	{"when-full", DP_OPTIONAL, "stop or track", STREAM(when_full), dp_scalar_when_full, NULL},
	{0},
};

static void parse_ack(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	dp_loader_fields(l, path, value, ack_fields, object);
}

static void parse_when_leg_down(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	dp_loader_fields(l, path, value, when_leg_down_fields, object);
}

static void parse_journal(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	dp_loader_fields(l, path, value, journal_fields, object);
}

static const struct dp_field stream_fields[] = {
	{"controller", DP_REQUIRED, "the name of a controller", 0, NULL, parse_controller},
	{"legs", DP_REQUIRED, "NAME: [NODE, ...] at least once", 0, NULL, parse_legs},
	{"ack", DP_OPTIONAL, "a mapping", 0, NULL, parse_ack},
	{"flush", DP_OPTIONAL, "cached or committed", STREAM(flush), dp_scalar_flush, NULL},
	{"when-leg-down", DP_OPTIONAL, "a mapping", 0, NULL, parse_when_leg_down},
	{"local", DP_OPTIONAL, "none or mirror", STREAM(local), dp_scalar_local, NULL},
	{"journal", DP_OPTIONAL, "a mapping", 0, NULL, parse_journal},
	{"resync-rate", DP_OPTIONAL, "bytes a second such as 50MiB, at least 64KiB",
		STREAM(resync_rate), dp_scalar_resync_rate, NULL},
	{"seal", DP_OPTIONAL, "none, aes256-gcm or chacha20-poly1305", STREAM(seal), dp_scalar_seal,
		NULL},
	{"read-cache", DP_OPTIONAL, "a size from 4KiB to 1024GiB such as 256MiB",
		STREAM(read_cache_bytes), dp_scalar_read_cache, NULL},
	{0},
};

static void parse_stream(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *context)
{
	(void)context;
	struct dp_topo_stream *s = &l->t->streams[l->t->stream_count++];
	dp_schema_copy_name(s->name, path->key);
	s->id = id_of(l->t->name, s->name, 8);
	s->controller = DP_UNRESOLVED;
	s->ack_stage = s->flush = DP_STAGE_CACHED;
	s->journal_bytes = DEFAULT_JOURNAL;
	s->high_water = DEFAULT_HIGH_WATER;
	l->legs.complete = false;
	dp_loader_fields(l, path, value, stream_fields, s);
	if (s->ack_legs == 0)
		s->ack_legs = s->leg_count;
	if (s->keep_serving == 0)
		s->keep_serving = s->leg_count;
}

static void parse_streams(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	dp_loader_named(l, path, value, &l->streams, DP_STREAMS_MAX, parse_stream, object);
}

/* ---- volumes ---- */

static void parse_volume_stream(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	struct dp_topo_volume *volume = object;
	volume->stream = dp_loader_resolve(l, path, value, &l->streams, "stream");
}

static const struct dp_field volume_fields[] = {
	{"stream", DP_REQUIRED, "one of the names under streams", 0, NULL, parse_volume_stream},
	{"size", DP_REQUIRED, "a size such as 200GiB, a multiple of 4096B from 4KiB to 1024TiB",
		offsetof(struct dp_topo_volume, size), dp_scalar_volume_size, NULL},
	{"skip-unchanged", DP_OPTIONAL, "true or false",
		offsetof(struct dp_topo_volume, skip_unchanged), dp_scalar_bool, NULL},
	{0},
};

static void parse_volume(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *context)
{
	(void)context;
	struct dp_topo_volume *volume = &l->t->volumes[l->t->volume_count++];
	dp_schema_copy_name(volume->name, path->key);
	volume->id = (uint32_t)id_of(l->t->name, volume->name, 4);
	volume->stream = DP_UNRESOLVED;
	dp_loader_fields(l, path, value, volume_fields, volume);
}

static void parse_volumes(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *object)
{
	dp_loader_named(l, path, value, &l->volumes, DP_TOPOLOGY_VOLUMES_MAX, parse_volume, object);
}

/* ---- operators ---- */

#define OPERATOR(member) offsetof(struct dp_topo_operator, member)
static const struct dp_field operator_fields[] = {
	{"key", DP_REQUIRED, "a public key of 40 Z85 characters", OPERATOR(key), dp_scalar_key,
		NULL},
	{"role", DP_REQUIRED, "observe, operate or administer", OPERATOR(role), dp_scalar_rights,
		NULL},
	{0},
};

static void parse_operator(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *context)
{
	(void)context;
	struct dp_topo_operator *o = &l->t->operators[l->t->operator_count++];
	dp_schema_copy_name(o->name, path->key);
	dp_loader_fields(l, path, value, operator_fields, o);
}

static void parse_operators(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, void *object)
{
	dp_loader_named(l, path, value, &l->operators, DP_OPERATORS_MAX, parse_operator, object);
}

/* ---- the file ---- */

static const struct dp_field file_fields[] = {
	{"dipole", DP_REQUIRED, "1, the version of the format", 0, dp_scalar_version, NULL},
	{"name", DP_REQUIRED, "a name of a-z, 0-9 and -, at most 63 characters",
		offsetof(struct dp_topology, name), dp_scalar_name, NULL},
	{"sites", DP_REQUIRED, "NAME: {at: [LATITUDE, LONGITUDE]}", 0, NULL, parse_sites},
	{"nodes", DP_REQUIRED, "NAME: {role: ROLE, site: SITE}", 0, NULL, parse_nodes},
	{"heartbeat", DP_OPTIONAL, "{interval: TIME, down-after: TIME, probation: TIME}", 0, NULL,
		parse_file_heartbeat},
	{"links", DP_REQUIRED, "a list of {between: [NODE, NODE]}", 0, NULL, parse_links},
	{"streams", DP_REQUIRED, "NAME: {controller: NODE, legs: ...}", 0, NULL, parse_streams},
	{"volumes", DP_REQUIRED, "NAME: {stream: STREAM, size: SIZE}", 0, NULL, parse_volumes},
	{"operators", DP_OPTIONAL, "NAME: {key: KEY, role: ROLE}", 0, NULL, parse_operators},
	{0},
};

/* Each table under the key that leads to it. */
static const struct {
	const char *key;
	const struct dp_field *fields;
} sections[] = {
	{"", file_fields},
	{"heartbeat", heartbeat_fields},
	{"sites", site_fields},
	{"nodes", node_fields},
	{"links", link_fields},
	{"links.heartbeat", heartbeat_fields},
	{"streams", stream_fields},
	{"streams.ack", ack_fields},
	{"streams.when-leg-down", when_leg_down_fields},
	{"streams.journal", journal_fields},
	{"volumes", volume_fields},
	{"operators", operator_fields},
};

void dp_schema_keys(void (*each)(void *ctx, const char *key), void *ctx)
{
	for (size_t i = 0; i < sizeof sections / sizeof sections[0]; i++)
		for (const struct dp_field *f = sections[i].fields; f->key; f++) {
			char key[64];
			snprintf(key, sizeof key, "%s%s%s", sections[i].key,
				sections[i].key[0] ? "." : "", f->key);
			each(ctx, key);
		}
}

/* A file of another version may hold keys that are none of our business: one message, not a
 * hundred. */
static bool other_version(struct dp_loader *l, const yaml_node_t *root)
{
	const yaml_node_t *value = dp_loader_find(l, root, "dipole");
	const char *text = value ? dp_loader_text(value) : NULL;
	if (!text || text[0] == '\0' || text[strspn(text, "0123456789")] != '\0' ||
		dp_scalar_version(text, NULL))
		return false;
	struct dp_path at = {NULL, "dipole", 0};
	dp_loader_error(l, &at, value, "file is of version %s; expected version %s",
		dp_loader_show(value).text, DP_TOPOLOGY_VERSION_TEXT);
	return true;
}

void dp_schema_load(struct dp_loader *l, const yaml_node_t *root)
{
	if (other_version(l, root))
		return;
	l->t->heartbeat = (struct dp_topo_heartbeat){1500000, 4000000, 10000000};
	dp_loader_fields(l, NULL, root, file_fields, l->t);
	dp_schema_check(l);
}
