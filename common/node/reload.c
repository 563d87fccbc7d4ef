/* A changed topology file, taken over while the node runs: addresses and keys of other nodes,
 * heartbeat intervals, when a link sends, and what bounds journals, links and resyncs. Everything else is
 * refused as a whole, with the name of what would need a restart, and nothing is changed then. */
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
	bool heart; /* heartbeats are to be set up anew */
	bool links[DP_NODE_LINKS_MAX];
};

static void refuse(struct comparison *c, const char *what, const char *name)
{
	if (!c->why[0])
		snprintf(c->why, WHY_MAX, "%s%s%.*s cannot be changed while the node runs", what,
			name[0] ? " " : "", DP_NAME_MAX, name);
}

static void changed(struct comparison *c, const char *what, const char *name)
{
	json_array_append_new(c->changed, json_sprintf("%s %s", what, name));
}

/* ---- what differs ---- */

static void compare_node(struct comparison *c)
{
	const struct dp_node_config *a = c->old, *b = c->new;
	if (strcmp(a->deployment, b->deployment))
		refuse(c, "the deployment's name", "");
	if (strcmp(a->listen, b->listen) || a->listen_curve != b->listen_curve)
		refuse(c, "the node's own address, or whether links to it are trusted", "");
	if (strcmp(a->metrics, b->metrics))
		refuse(c, "the address of the metrics", "");
	if (strcmp(a->second_store, b->second_store))
		refuse(c, "the second store", "");
	if (strcmp(a->public_key, b->public_key))
		refuse(c, "the node's own key", "");
	if (memcmp(a->keys, b->keys, sizeof a->keys))
		changed(c, "keys", "of nodes");
}

static void compare_peers(struct comparison *c, bool above)
{
	const struct dp_node_link *a = above ? c->old->above : c->old->links;
	const struct dp_node_link *b = above ? c->new->above : c->new->links;
	unsigned count = above ? c->old->above_count : c->old->link_count;
	if (count != (above ? c->new->above_count : c->new->link_count)) {
		refuse(c, "the number of neighbours", "");
		return;
	}
	for (unsigned i = 0; i < count; i++) {
		bool moved = strcmp(a[i].address, b[i].address) || strcmp(a[i].key, b[i].key);
		if (strcmp(a[i].peer, b[i].peer) || a[i].connection != b[i].connection)
			refuse(c, "the neighbour", a[i].peer);
		if ((a[i].key[0] == 0) != (b[i].key[0] == 0))
			refuse(c, "whether the link is trusted to", a[i].peer);
		if (moved)
			changed(c, "address or key of", a[i].peer);
		if (moved && !above)
			c->links[i] = true;
		if (memcmp(&a[i].health, &b[i].health, sizeof a[i].health))
			changed(c, "heartbeats with", a[i].peer);
		if (memcmp(&a[i].hours, &b[i].hours, sizeof a[i].hours))
			changed(c, "hours of sending to", a[i].peer);
		if (a[i].compress != b[i].compress)
			changed(c, "compression of what is sent to", a[i].peer);
		c->heart |= moved || memcmp(&a[i].health, &b[i].health, sizeof a[i].health);
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
		refuse(c, "the number of streams", "");
		return;
	}
	for (unsigned i = 0; i < c->old->stream_count; i++) {
		const struct dp_node_stream *a = &c->old->streams[i], *b = &c->new->streams[i];
		if (!same_but_limits(a, b))
			refuse(c, "legs, volumes, ack, sizes and the like of stream", a->name);
		else if (memcmp(a, b, sizeof *a))
			changed(c, "limits of stream", a->name);
	}
}

/* ---- taking it over ---- */

static void take_streams(struct node *n, const struct dp_node_config *new)
{
	for (unsigned i = 0; i < n->cfg->stream_count; i++) {
		n->live->streams[i] = new->streams[i];
		dp_stream_limits(n->streams[i].stream, &new->streams[i].core, new->streams[i].resync_rate);
	}
}

static bool take(struct node *n, const struct comparison *c)
{
	struct dp_node_config *live = n->live;
	memcpy(live->keys, c->new->keys, sizeof live->keys);
	live->key_count = c->new->key_count;
	memcpy(live->links, c->new->links, sizeof live->links);
	memcpy(live->above, c->new->above, sizeof live->above);
	take_streams(n, c->new);
	n->minute = NODE_NO_MINUTE;
	for (unsigned i = 0; i < live->link_count; i++)
		if (c->links[i] && net_relink(n, i))
			return false;
	return !c->heart || health_reopen(n, c->links) == 0;
}

static void log_refusal(const char *why)
{
	size_t size = strcspn(why, "\n");
	dp_log(DP_LOG_ERROR, "reload-refused", "reason=\"%.*s%s\"", (int)size, why,
		why[size] && why[size + 1] ? " ..." : "");
}

json_t *reload_answer(struct node *n)
{
	char why[WHY_MAX] = "";
	struct dp_node_config *new = calloc(1, sizeof *new);
	struct comparison c = {.old = n->cfg, .new = new, .why = why, .changed = json_array()};
	if (!new || !n->reload || n->reload->load(n->reload->ctx, new, why, sizeof why)) {
		if (!why[0])
			snprintf(why, sizeof why, "the topology file cannot be read again");
	} else {
		compare_node(&c);
		compare_peers(&c, false);
		compare_peers(&c, true);
		compare_streams(&c);
	}
	if (!why[0] && !take(n, &c)) {
		n->stopping = true;
		snprintf(why, sizeof why, "links or heartbeats cannot be set up again (see the log), and the node stops");
	}
	if (new)
		explicit_bzero(new, sizeof *new); /* it has the secret key */
	free(new);
	if (why[0]) {
		log_refusal(why);
		json_decref(c.changed);
		return json_pack("{s:b,s:s}", "ok", 0, "error", why);
	}
	dp_log(DP_LOG_NOTICE, "reload", "changes=%zu", json_array_size(c.changed));
	return json_pack("{s:b,s:o}", "ok", 1, "changed", c.changed);
}
