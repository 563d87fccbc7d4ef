/* SPDX-License-Identifier: MIT */
/* One node's part of a topology. */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "daemon/daemon.h"

_Static_assert(DP_LEGS_MAX == DP_DOWN_MAX, "each leg of a stream is one link down");

struct builder {
	const struct dp_topology *t;
	unsigned me;
	unsigned stream; /* the one at hand */
	struct dp_node_config *cfg;
	char *why;
	size_t why_size;
};

static int refuse(struct builder *b, const char *text, const char *name)
{
	snprintf(b->why, b->why_size, "%s \"%s\"", text, name);
	return DP_ECONFIG;
}

static bool is_trusted(const struct dp_topology *t, unsigned a, unsigned b)
{
	const struct dp_topo_link *l = dp_topology_link(t, a, b);
	return l && l->trusted;
}

/* Of both ends of a link that is not trusted. */
static int need_keys(struct builder *b, const struct dp_topo_node *peer)
{
	static const char text[] = "the link is not trusted and there is no key for node";
	const struct dp_topo_node *me = &b->t->nodes[b->me];
	if (!peer->key[0])
		return refuse(b, text, peer->name);
	return me->key[0] ? 0 : refuse(b, text, me->name);
}

/* Both ends of a link must have the same volumes of a stream, sealed or not; this is what they
 * compare. */
static uint64_t hash_stream(const struct dp_topology *t, unsigned stream)
{
	crypto_generichash_state state;
	uint8_t out[16], entry[12];
	crypto_generichash_init(&state, NULL, 0, sizeof out);
	for (unsigned i = 0; i < t->volume_count; i++) {
		if (t->volumes[i].stream != stream)
			continue;
		dp_put32(entry, t->volumes[i].id);
		dp_put64(entry + 4, t->volumes[i].size);
		crypto_generichash_update(&state, entry, sizeof entry);
	}
	if (t->streams[stream].seal != DP_SEAL_NONE)
		crypto_generichash_update(&state, (const uint8_t *)"sealed", 6);
	crypto_generichash_final(&state, out, sizeof out);
	return dp_get64(out);
}

static struct dp_health_config health_of(const struct dp_topology *t, unsigned a, unsigned b)
{
	const struct dp_topo_link *l = dp_topology_link(t, a, b);
	const struct dp_topo_heartbeat *beat = l ? &l->heartbeat : &t->heartbeat;
	return (struct dp_health_config){
		beat->interval_us, beat->down_after_us, beat->probation_us};
}

/* Notes the node above, from which heartbeats come. */
static void link_from(struct builder *b, unsigned above)
{
	const struct dp_topo_node *peer = &b->t->nodes[above];
	struct dp_node_config *cfg = b->cfg;
	for (unsigned i = 0; i < cfg->above_count; i++)
		if (strcmp(cfg->above[i].peer, peer->name) == 0)
			return;
	struct dp_link_config *l = &cfg->above[cfg->above_count++];
	snprintf(l->peer, sizeof l->peer, "%s", peer->name);
	if (!is_trusted(b->t, b->me, above)) {
		snprintf(l->key, sizeof l->key, "%s", peer->key);
		snprintf(l->former_key, sizeof l->former_key, "%s", peer->former_key);
	}
	l->health = health_of(b->t, b->me, above);
}

/* The index of this node's connection to `below` for the stream at hand, made if it is new: the
 * streams take turns. */
static int link_to(struct builder *b, unsigned below, unsigned *index)
{
	const struct dp_topo_node *peer = &b->t->nodes[below];
	const struct dp_topo_link *link = dp_topology_link(b->t, b->me, below);
	struct dp_node_config *cfg = b->cfg;
	unsigned connection = dp_topology_connection(b->t, b->stream, b->me, below), first = 0;
	for (*index = 0; *index < cfg->link_count; (*index)++) {
		const struct dp_link_config *l = &cfg->links[*index];
		bool same = strcmp(l->peer, peer->name) == 0;
		if (same && l->connection == connection)
			return 0;
		first = same && !first ? *index + 1 : first;
	}
	if (cfg->link_count == DP_NODE_LINKS_MAX) {
		*index = first ? first - 1 : 0;
		return first ? 0 : refuse(b, "too many links, of them one to node", peer->name);
	}
	struct dp_link_config *l = &cfg->links[cfg->link_count++];
	l->connection = connection;
	snprintf(l->peer, sizeof l->peer, "%s", peer->name);
	snprintf(l->address, sizeof l->address, "%s", peer->listen);
	l->health = health_of(b->t, b->me, below);
	if (link) {
		l->hours = link->send;
		l->compress = link->compress;
	}
	if (is_trusted(b->t, b->me, below))
		return 0;
	int err = need_keys(b, peer);
	if (err)
		return err;
	snprintf(l->key, sizeof l->key, "%s", peer->key);
	snprintf(l->former_key, sizeof l->former_key, "%s", peer->former_key);
	return 0;
}

/* What a controller knows a leg by, whatever stands on the way to its mirror. Never 0. */
static uint32_t leg_id(const struct builder *b, const struct dp_topo_leg *leg)
{
	const char *mirror = b->t->nodes[leg->hops[leg->hop_count - 1]].name;
	uint8_t out[16];
	crypto_generichash_state state;
	crypto_generichash_init(&state, NULL, 0, sizeof out);
	crypto_generichash_update(&state, (const uint8_t *)leg->name, strlen(leg->name) + 1);
	crypto_generichash_update(&state, (const uint8_t *)mirror, strlen(mirror));
	crypto_generichash_final(&state, out, sizeof out);
	return dp_get32(out) | 1;
}

static int add_down(struct builder *b, struct dp_node_stream *s, const char *leg, uint32_t id,
	unsigned below)
{
	unsigned index;
	int err = link_to(b, below, &index);
	if (err)
		return err;
	for (unsigned i = 0; i < s->core.down_count; i++)
		if (s->links[i] == index)
			return 0;
	const struct dp_topo_link *link = dp_topology_link(b->t, b->me, below);
	s->core.link_window[s->core.down_count] = link ? link->window_bytes : 0;
	s->core.link_rate[s->core.down_count] = link ? link->rate_bits / 8 : 0;
	s->near[s->core.down_count] = b->t->nodes[below].site == b->t->nodes[b->me].site;
	snprintf(s->legs[s->core.down_count], sizeof s->legs[0], "%s", leg);
	s->core.leg_ids[s->core.down_count] = id;
	s->links[s->core.down_count++] = index;
	return 0;
}

static int set_up(struct builder *b, struct dp_node_stream *s, unsigned above)
{
	const struct dp_topo_node *peer = &b->t->nodes[above];
	if (s->upstream[0] && strcmp(s->upstream, peer->name))
		return refuse(b, "two different nodes send this stream to node",
			b->t->nodes[b->me].name);
	snprintf(s->upstream, sizeof s->upstream, "%s", peer->name);
	b->cfg->listen_curve = !is_trusted(b->t, b->me, above);
	link_from(b, above);
	return b->cfg->listen_curve ? need_keys(b, peer) : 0;
}

/* What this node does for a leg: nothing, or a place between two others. */
static int add_leg(struct builder *b, const struct dp_topo_stream *ts,
	const struct dp_topo_leg *leg, struct dp_node_stream *s)
{
	int err = 0;
	if (ts->controller == b->me)
		return add_down(b, s, leg->name, leg_id(b, leg), leg->hops[0]);
	for (unsigned i = 0; i < leg->hop_count && !err; i++) {
		if (leg->hops[i] != b->me)
			continue;
		err = set_up(b, s, i ? leg->hops[i - 1] : ts->controller);
		if (!err && i + 1 < leg->hop_count)
			err = add_down(b, s, leg->name, 0, leg->hops[i + 1]);
	}
	return err;
}

static void add_volumes(struct builder *b, unsigned stream, struct dp_node_stream *s)
{
	for (unsigned i = 0; i < b->t->volume_count; i++) {
		const struct dp_topo_volume *v = &b->t->volumes[i];
		if (v->stream != stream)
			continue;
		struct dp_node_volume *to = &s->volumes[s->volume_count++];
		snprintf(to->name, sizeof to->name, "%s", v->name);
		to->id = v->id;
		to->size = v->size;
		to->skip_unchanged = v->skip_unchanged;
	}
}

/* Who opens what the stream carries, if this node is one of them. */
static int add_holders(struct builder *b, unsigned stream, struct dp_node_stream *s)
{
	unsigned holders[DP_SEAL_HOLDERS_MAX + 1];
	unsigned count = dp_topology_holders(b->t, stream, holders);
	s->seal = b->t->streams[stream].seal;
	if (s->seal == DP_SEAL_NONE || b->t->nodes[b->me].role == DP_ROLE_RELAY)
		return 0;
	for (unsigned i = 0; i < count; i++) {
		const struct dp_topo_node *holder = &b->t->nodes[holders[i]];
		if (!holder->key[0])
			return refuse(b, "the stream is sealed and there is no key for node",
				holder->name);
		snprintf(s->holders[s->holder_count++], sizeof s->holders[0], "%s", holder->key);
		if (holder->former_key[0])
			snprintf(s->holders[s->holder_count++], sizeof s->holders[0], "%s",
				holder->former_key);
	}
	return 0;
}

static int add_stream(struct builder *b, unsigned index)
{
	static const enum dp_core_stage stages[] = {
		DP_CORE_LOCAL, DP_CORE_CACHED, DP_CORE_COMMITTED};
	static const enum dp_core_role roles[] = {
		DP_CORE_CONTROLLER, DP_CORE_RELAY, DP_CORE_MIRROR};
	const struct dp_topo_stream *ts = &b->t->streams[index];
	const struct dp_topo_node *me = &b->t->nodes[b->me];
	struct dp_node_stream *s = &b->cfg->streams[b->cfg->stream_count];
	int err = 0;
	b->stream = index;
	for (unsigned i = 0; i < ts->leg_count && !err; i++)
		err = add_leg(b, ts, &ts->legs[i], s);
	bool mine = ts->controller == b->me || s->upstream[0];
	if (err || !mine)
		return err;
	b->cfg->stream_count++;
	snprintf(s->name, sizeof s->name, "%s", ts->name);
	add_volumes(b, index, s);
	bool controller = me->role == DP_ROLE_CONTROLLER;
	if (controller)
		dp_topology_read_order(b->t, ts, s->core.read_order);
	s->journal_bytes = controller ? ts->journal_bytes : me->journal_bytes;
	s->resync_rate = ts->resync_rate;
	s->read_cache = controller ? ts->read_cache_bytes : 0;
	s->core.high_room = s->journal_bytes / 100 * (100 - ts->high_water);
	s->core.low_room = s->journal_bytes / 8;
	s->core.track = controller && ts->when_full == DP_FULL_TRACK;
	s->core.stream = ts->id;
	s->core.config = hash_stream(b->t, index);
	s->core.role = roles[me->role];
	s->core.image = me->role == DP_ROLE_MIRROR || (controller && ts->local == DP_LOCAL_MIRROR);
	s->core.ack = stages[ts->ack_stage];
	s->core.flush = stages[ts->flush];
	s->core.keep_serving = ts->keep_serving;
	s->core.ack_legs = ts->ack_legs;
	s->core.retain_next_hop = !controller && me->retain == DP_RETAIN_NEXT_HOP;
	s->core.window_bytes = DP_WINDOW_BYTES;
	return add_holders(b, index, s);
}

static void add_key(struct dp_node_config *cfg, const char *node, const char *key)
{
	if (!key[0])
		return;
	struct dp_node_key *k = &cfg->keys[cfg->key_count++];
	snprintf(k->node, sizeof k->node, "%s", node);
	snprintf(k->key, sizeof k->key, "%s", key);
}

int dp_node_config_fill(const struct dp_topology *t, unsigned index, struct dp_node_config *cfg,
	char *why, size_t why_size)
{
	static const enum dp_core_role roles[] = {
		DP_CORE_CONTROLLER, DP_CORE_RELAY, DP_CORE_MIRROR};
	struct builder b = {t, index, 0, cfg, why, why_size};
	const struct dp_topo_node *me = &t->nodes[index];
	snprintf(cfg->name, sizeof cfg->name, "%s", me->name);
	snprintf(cfg->deployment, sizeof cfg->deployment, "%s", t->name);
	snprintf(cfg->public_key, sizeof cfg->public_key, "%s", me->key);
	snprintf(cfg->metrics, sizeof cfg->metrics, "%s", me->metrics);
	snprintf(cfg->control, sizeof cfg->control, "%s", me->control);
	if (cfg->control[0] && !me->key[0])
		return refuse(&b,
			"control is for those who have keys, and there is no key for node",
			me->name);
	for (unsigned i = 0; i < t->operator_count; i++) {
		struct dp_node_operator *o = &cfg->operators[cfg->operator_count++];
		snprintf(o->name, sizeof o->name, "%s", t->operators[i].name);
		snprintf(o->key, sizeof o->key, "%s", t->operators[i].key);
		o->rights = t->operators[i].role;
	}
	cfg->role = roles[me->role];
	snprintf(cfg->second_store, sizeof cfg->second_store, "%s", me->second_store);
	for (unsigned i = 0; i < t->node_count; i++) {
		add_key(cfg, t->nodes[i].name, t->nodes[i].key);
		add_key(cfg, t->nodes[i].name, t->nodes[i].former_key);
	}
	for (unsigned i = 0; i < t->stream_count; i++) {
		int err = add_stream(&b, i);
		if (err)
			return err;
	}
	for (unsigned i = 0; i < cfg->stream_count; i++)
		if (cfg->streams[i].upstream[0])
			snprintf(cfg->listen, sizeof cfg->listen, "%s", me->listen);
	if (cfg->stream_count == 0)
		return refuse(&b, "no stream uses node", me->name);
	return 0;
}
