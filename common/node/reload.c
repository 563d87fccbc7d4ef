/* SPDX-License-Identifier: MIT */
/* A changed topology file, taken over while the node runs. What is a number or a name in a table is
 * put there: addresses and keys of other nodes, heartbeat intervals, when a link sends, what bounds
 * journals, links and resyncs. All else begins with the streams, so that the node ends, and is run
 * anew by the same process: hosts and neighbours ride that out. What must not be done at all is
 * refused as a whole, with the reason, and nothing is changed then. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/internal.h"

#define WHY_MAX 4096

struct comparison {
	const struct dp_node_config *old, *new;
	char *why; /* WHY_MAX; "": nothing speaks against it */
	json_t *changed;
	bool anew;  /* the node has to be run anew */
	bool heart; /* heartbeats are to be set up anew */
	bool links[DP_NODE_LINKS_MAX];
};

static void changed(struct comparison *c, const char *what, const char *name)
{
	json_array_append_new(c->changed, json_sprintf("%s%s%s", what, name[0] ? " " : "", name));
}

static void needs_restart(struct comparison *c, const char *what, const char *name)
{
	changed(c, what, name);
	c->anew = true;
}

/* ---- what differs ---- */

/* A key that is no more ends what runs under it. */
static bool all_keys_stay(const struct dp_node_config *a, const struct dp_node_config *b)
{
	for (unsigned i = 0; i < a->key_count; i++) {
		bool stays = false;
		for (unsigned k = 0; k < b->key_count && !stays; k++)
			stays = memcmp(&a->keys[i], &b->keys[k], sizeof a->keys[i]) == 0;
		if (!stays)
			return false;
	}
	return true;
}

static void compare_node(struct comparison *c)
{
	const struct dp_node_config *a = c->old, *b = c->new;
	if (strcmp(a->listen, b->listen) || a->listen_curve != b->listen_curve)
		needs_restart(c, "the node's own address, or whether links to it are trusted", "");
	if (strcmp(a->control, b->control))
		needs_restart(c, "the address for operators", "");
	if (memcmp(a->operators, b->operators, sizeof a->operators))
		needs_restart(c, "operators", ""); /* who is one no more is out at once */
	if (strcmp(a->metrics, b->metrics))
		needs_restart(c, "the address of the metrics", "");
	if (strcmp(a->public_key, b->public_key))
		needs_restart(c, "the node's own key", "");
	if (!all_keys_stay(a, b))
		needs_restart(c, "keys of nodes", "");
	else if (memcmp(a->keys, b->keys, sizeof a->keys))
		changed(c, "keys of nodes", "");
}

static void compare_peer(struct comparison *c, const struct dp_node_link *a,
	const struct dp_node_link *b, bool *moved)
{
	bool turns = strcmp(a->key, b->former_key) ==
		0; /* it goes on with what is its former key now */
	*moved = strcmp(a->address, b->address) || (strcmp(a->key, b->key) && !turns);
	if (strcmp(a->peer, b->peer) || a->connection != b->connection)
		needs_restart(c, "the neighbour", a->peer);
	if ((a->key[0] == 0) != (b->key[0] == 0))
		needs_restart(c, "whether the link is trusted to", a->peer);
	if (*moved)
		changed(c, "address or key of", a->peer);
	if (memcmp(&a->health, &b->health, sizeof a->health))
		changed(c, "heartbeats with", a->peer);
	if (memcmp(&a->hours, &b->hours, sizeof a->hours))
		changed(c, "hours of sending to", a->peer);
	if (a->compress != b->compress)
		changed(c, "compression of what is sent to", a->peer);
	if (strcmp(a->former_key, b->former_key))
		changed(c, "former key of", a->peer);
	c->heart |= *moved || strcmp(a->former_key, b->former_key) ||
		memcmp(&a->health, &b->health, sizeof a->health);
}

static void compare_peers(struct comparison *c, bool above)
{
	const struct dp_node_link *a = above ? c->old->above : c->old->links;
	const struct dp_node_link *b = above ? c->new->above : c->new->links;
	unsigned count = above ? c->old->above_count : c->old->link_count;
	if (count != (above ? c->new->above_count : c->new->link_count)) {
		needs_restart(c, "the neighbours", "");
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		bool moved;
		compare_peer(c, &a[i], &b[i], &moved);
		if (moved && !above)
			c->links[i] = true;
	}
}

/* What may change is made equal in copies: then all the rest has to be. */
static bool same_but_limits(const struct dp_node_stream *a, const struct dp_node_stream *b)
{
	struct dp_node_stream x = *a, y = *b;
	y.resync_rate = x.resync_rate;
	y.core.high_room = x.core.high_room;
	y.core.track = x.core.track;
	memcpy(y.core.link_rate, x.core.link_rate, sizeof y.core.link_rate);
	for (unsigned i = 0; i < y.volume_count; i++)
		y.volumes[i].skip_unchanged = x.volumes[i].skip_unchanged;
	return memcmp(&x, &y, sizeof x) == 0;
}

static void compare_streams(struct comparison *c)
{
	if (c->old->stream_count != c->new->stream_count) {
		needs_restart(c, "the streams", "");
		return;
	}
	for (unsigned i = 0; i < c->old->stream_count; i++) {
		const struct dp_node_stream *a = &c->old->streams[i], *b = &c->new->streams[i];
		if (!same_but_limits(a, b))
			needs_restart(c, "legs, volumes or policies of stream", b->name);
		else if (memcmp(a, b, sizeof *a))
			changed(c, "limits of stream", a->name);
	}
}

/* ---- what is to wait, as things are ---- */

static void refuse(struct comparison *c, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void refuse(struct comparison *c, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (!c->why[0])
		vsnprintf(c->why, WHY_MAX, format, args);
	va_end(args);
}

/* A volume of the same name may come later: nothing of this one may be on its way then. */
static void check_gone_volume(struct comparison *c, const struct node *n, struct node_stream *s,
	const struct dp_node_volume *v)
{
	struct dp_store *store = dp_stream_store(s->stream);
	if (local_uses(n, v->name))
		refuse(c, "volume %s is in use by a host", v->name);
	if (!aside_has_records(&dp_stream_core(s->stream)->log, v->id))
		return;
	if (store)
		dp_store_hurry(store);
	refuse(c, "volume %s has writes that are not in all images yet; try again in a moment",
		v->name);
}

static const struct dp_node_stream *stream_in(const struct dp_node_config *cfg, const char *name)
{
	for (unsigned i = 0; i < cfg->stream_count; i++)
		if (strcmp(cfg->streams[i].name, name) == 0)
			return &cfg->streams[i];
	return NULL;
}

static bool is_gone(const struct dp_node_config *new, const char *name)
{
	for (unsigned i = 0; i < new->gone_count; i++)
		if (!new->gone[i].stream && strcmp(new->gone[i].name, name) == 0)
			return true;
	return false;
}

/* Legs may go only where those that stay have everything. */
static void check_gone_legs(struct comparison *c, const struct node_stream *s,
	const struct dp_node_stream *new)
{
	const struct dp_core *core = dp_stream_core(s->stream);
	const char *gone = NULL, *behind = NULL;
	for (unsigned i = 0; i < core->cfg.down_count; i++) {
		bool stays = false;
		for (unsigned k = 0; k < new->core.down_count; k++)
			stays = stays || new->core.leg_ids[k] == core->cfg.leg_ids[i];
		bool counts = !dp_core_is_away(core, i) && core->down[i].state == DP_DOWN_ACTIVE;
		gone = stays ? gone : s->cfg->legs[i];
		behind = stays && !counts ? s->cfg->legs[i] : behind;
	}
	if (gone && behind)
		refuse(c, "leg %s cannot go while leg %s is not up to date", gone, behind);
	if (gone && core->state != DP_CORE_OPEN)
		refuse(c, "leg %s cannot go while stream %s is not open", gone, new->name);
}

static void check_stream(struct comparison *c, struct node *n, struct node_stream *s)
{
	const struct dp_node_stream *new = stream_in(c->new, s->cfg->name);
	for (unsigned i = 0; i < s->cfg->volume_count; i++)
		if (is_gone(c->new, s->cfg->volumes[i].name) && new)
			check_gone_volume(c, n, s, &s->cfg->volumes[i]);
		else if (!new &&local_uses(n, s->cfg->volumes[i].name))
			refuse(c, "volume %s is in use by a host", s->cfg->volumes[i].name);
	for (unsigned i = 0; new &&i < new->volume_count; i++) {
		const char *wrong = aside_wrong_volume(n, s, &new->volumes[i]);
		if (wrong)
			refuse(c, "volume %s: %s", new->volumes[i].name, wrong);
	}
	if (new &&new->volumes_changed && dp_stream_core(s->stream)->log.last.images.building)
		refuse(c, "volumes of stream %s cannot change while images are being resynced",
			new->name);
	if (new && n->cfg->role == DP_CORE_CONTROLLER && !same_but_limits(s->cfg, new))
		check_gone_legs(c, s, new);
}

/* ---- taking it over ---- */

static void take_streams(struct node *n, const struct dp_node_config *new)
{
	for (unsigned i = 0; i < n->cfg->stream_count; i++) {
		const struct dp_core_config *core = &new->streams[i].core;
		struct dp_core_limits limits = {.high_room = core->high_room, .track = core->track};
		memcpy(limits.link_rate, core->link_rate, sizeof limits.link_rate);
		n->live->streams[i] = new->streams[i];
		dp_stream_limits(n->streams[i].stream, &limits, new->streams[i].resync_rate);
	}
}

static bool take(struct node *n, const struct comparison *c)
{
	struct dp_node_config *live = n->live;
	char in_use[DP_NODE_LINKS_MAX][DP_KEY_SIZE];
	for (unsigned i = 0; i < live->link_count; i++)
		memcpy(in_use[i],
			n->links[i].former ? live->links[i].former_key : live->links[i].key,
			DP_KEY_SIZE);
	memcpy(live->keys, c->new->keys, sizeof live->keys);
	live->key_count = c->new->key_count;
	memcpy(live->links, c->new->links, sizeof live->links);
	memcpy(live->above, c->new->above, sizeof live->above);
	live->has_next_key = c->new->has_next_key;
	take_streams(n, c->new);
	n->minute = NODE_NO_MINUTE;
	for (unsigned i = 0; i < live->link_count; i++)
		if (c->links[i] && net_relink(n, i))
			return false;
		else if (live->links[i].former_key[0] &&
			strcmp(live->links[i].former_key, in_use[i]) == 0)
			n->links[i].former = true; /* until its heartbeats say otherwise */
	return (!c->heart || health_reopen(n, c->links) == 0) &&
		n->source->keep(n->source->ctx) == 0;
}

static void log_refusal(const char *why)
{
	size_t size = strcspn(why, "\n");
	dp_log(DP_LOG_ERROR, "reload-refused", "reason=\"%.*s%s\"", (int)size, why,
		why[size] && why[size + 1] ? " ..." : "");
}

static void compare(struct node *n, struct comparison *c)
{
	compare_node(c);
	compare_peers(c, false);
	compare_peers(c, true);
	compare_streams(c);
	for (unsigned i = 0; i < n->cfg->stream_count && c->anew; i++)
		check_stream(c, n, &n->streams[i]);
}

/* Where the streams have to end, the file is replaced after them: what was answered under it is in
 * journals then. */
static void do_it(struct node *n, const char *text, const struct comparison *c)
{
	dp_log(DP_LOG_NOTICE, "reload", "changes=%zu restart=%d", json_array_size(c->changed),
		c->anew);
	if (c->anew) {
		n->replacement = text ? strdup(text) : NULL;
		n->restart = n->stopping = n->replacement || !text;
		if (!n->stopping)
			snprintf(c->why, WHY_MAX, "out of memory");
	} else if (text && n->source->replace(n->source->ctx, text, false, c->why, WHY_MAX)) {
		return;
	} else if (!take(n, c)) {
		n->stopping = true;
		snprintf(c->why, WHY_MAX,
			"links or heartbeats cannot be set up again, or the state is not "
			"to be written (see the log), and the node stops");
	}
}

json_t *reload_answer(struct node *n, const char *text, bool dry)
{
	char why[WHY_MAX] = "";
	struct dp_node_config *new = calloc(1, sizeof *new);
	struct comparison c = {.old = n->cfg, .new = new, .why = why, .changed = json_array()};
	if (!new || !n->source || n->source->load(n->source->ctx, text, new, why, sizeof why)) {
		if (!why[0])
			snprintf(why, sizeof why, "the topology file cannot be read again");
	} else {
		compare(n, &c);
	}
	if (!why[0] && text)
		n->source->replace(n->source->ctx, text, true, why, sizeof why);
	if (!why[0] && !dry)
		do_it(n, text, &c);
	bool has_next_key = new &&new->has_next_key;
	if (new)
		explicit_bzero(new, sizeof *new); /* it has the secret key */
	free(new);
	if (why[0]) {
		log_refusal(why);
		json_decref(c.changed);
		return json_pack("{s:b,s:s}", "ok", 0, "error", why);
	}
	return json_pack("{s:b,s:o,s:b,s:b}", "ok", 1, "changed", c.changed, "restart", c.anew,
		"next_key", has_next_key);
}

void reload_replace(struct node *n, bool clean)
{
	char why[WHY_MAX] = "";
	if (!n->replacement)
		return;
	if (!clean)
		snprintf(why, sizeof why, "the streams did not end in good order; apply it again");
	else
		n->source->replace(n->source->ctx, n->replacement, false, why, sizeof why);
	if (why[0])
		dp_log(DP_LOG_ERROR, "reload-refused", "reason=\"%s\"", why);
}

json_t *reload_rekey(struct node *n)
{
	char why[WHY_MAX] = "";
	if (!n->source || !n->cfg->has_next_key || n->source->turn(n->source->ctx, why, sizeof why))
		return json_pack("{s:b,s:s}", "ok", 0, "error",
			why[0] ? why : "there is no next key");
	dp_log(DP_LOG_NOTICE, "rekey", "restart=1");
	n->restart = n->stopping = true;
	return json_pack("{s:b}", "ok", 1);
}
