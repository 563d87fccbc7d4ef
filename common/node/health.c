/* SPDX-License-Identifier: MIT */
/* Heartbeats decide which links are open. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "node/internal.h"

static int add_peer(struct node *n, struct dp_heartbeats_config *heart,
	struct dp_heartbeat_peer *peers, const struct dp_node_link *l)
{
	struct dp_heartbeat_peer *p = &peers[heart->peer_count++];
	p->name = dp_beat_name(n->cfg->deployment, l->peer);
	p->health = l->health;
	memcpy(p->address, l->address, sizeof p->address);
	int err = dp_beat_key(l->key, n->cfg->secret_key, p->key[0]);
	return err ? err
		   : dp_beat_key(l->former_key[0] ? l->former_key : l->key, n->cfg->secret_key,
			     p->key[1]);
}

/* The place of the peer of link i, or `next` if no link before it has the same. */
static unsigned heart_of(const struct node *n, unsigned i, unsigned next)
{
	for (unsigned k = 0; k < i; k++)
		if (strcmp(n->cfg->links[k].peer, n->cfg->links[i].peer) == 0)
			return n->links[k].heart;
	return next;
}

int health_open(struct node *n)
{
	struct dp_heartbeat_peer *peers = calloc(n->cfg->link_count + n->cfg->above_count + 1,
		sizeof *peers);
	struct dp_heartbeats_config heart = {.name = dp_beat_name(n->cfg->deployment, n->cfg->name),
		.listen = n->cfg->listen,
		.peers = peers};
	if (!peers)
		return DP_ENOMEM;
	int err = 0;
	for (unsigned i = 0; i < n->cfg->link_count && !err; i++) {
		n->links[i].heart = heart_of(n, i, heart.peer_count);
		if (n->links[i].heart == heart.peer_count)
			err = add_peer(n, &heart, peers, &n->cfg->links[i]);
	}
	for (unsigned i = 0; i < n->cfg->above_count && !err; i++)
		err = add_peer(n, &heart, peers, &n->cfg->above[i]);
	if (!err)
		err = dp_heartbeats_start(&heart, &n->heart);
	free(peers);
	if (err)
		dp_log(DP_LOG_ERROR, "heartbeat-failed", "address=%s error=\"%s\"", n->cfg->listen,
			dp_strerror(err));
	return err;
}

static void tell_streams(struct node *n, unsigned link, bool open)
{
	for (unsigned s = 0; s < n->cfg->stream_count; s++) {
		const struct dp_node_stream *cfg = &n->cfg->streams[s];
		for (unsigned i = 0; i < cfg->core.down_count; i++)
			if (cfg->links[i] == link)
				dp_stream_link(n->streams[s].stream, i, open);
	}
}

static unsigned minute_of_the_day(void)
{
	time_t now = time(NULL);
	struct tm local;
	localtime_r(&now, &local);
	return (unsigned)local.tm_hour * 60 + (unsigned)local.tm_min;
}

/* A minute that begins may open or close a link. */
static bool minute_changed(struct node *n)
{
	unsigned minute = minute_of_the_day();
	bool changed = minute != n->minute;
	n->minute = minute;
	return changed;
}

bool health_in_hours(const struct node *n, unsigned i)
{
	return dp_hours_open(&n->cfg->links[i].hours, n->minute);
}

void health_changed(struct node *n)
{
	bool minute = minute_changed(n);
	if (!n->heart || (!dp_heartbeats_changed(n->heart) && !minute))
		return;
	for (unsigned i = 0; i < n->cfg->link_count; i++) {
		struct dp_health h = dp_heartbeats_health(n->heart, n->links[i].heart);
		bool heard = dp_health_open(&h), open = heard && health_in_hours(n, i);
		bool first = heart_of(n, i, UINT32_MAX) == UINT32_MAX;
		if (n->links[i].health != h.state && first)
			dp_log(heard ? DP_LOG_NOTICE : DP_LOG_WARNING, "heartbeat",
				"peer=%s state=%s", n->cfg->links[i].peer,
				dp_health_state_name(h.state));
		n->links[i].health = h.state;
		if (n->links[i].open == open)
			continue;
		if (heard && first && n->cfg->links[i].hours.from != n->cfg->links[i].hours.to)
			dp_log(DP_LOG_NOTICE, "hours", "peer=%s sending=%s", n->cfg->links[i].peer,
				open ? "yes" : "no");
		net_link(n, i, open);
		tell_streams(n, i, open);
	}
}

json_t *health_json(struct node *n, unsigned link)
{
	if (!n->heart) /* it could not be set up again, and the node is about to stop */
		return json_null();
	struct dp_health h = dp_heartbeats_health(n->heart, n->links[link].heart);
	uint64_t now = node_clock_us();
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "state", dp_health_state_name(h.state),
		"age_us", (json_int_t)(now - h.since_us), "last_beat_us",
		(json_int_t)(h.beat_us ? now - h.beat_us : 0), "round_trip_us",
		(json_int_t)h.rtt_us, "beats", (json_int_t)h.beats, "outages",
		(json_int_t)h.outages);
}

/* All links are tried at once, as after a start; one that is not what it was begins a new session.
 */
int health_reopen(struct node *n, const bool *relinked)
{
	dp_heartbeats_stop(&n->heart);
	n->minute = NODE_NO_MINUTE;
	for (unsigned i = 0; i < n->cfg->link_count; i++) {
		n->links[i].health = DP_HEALTH_CONNECTING;
		if (relinked[i])
			tell_streams(n, i, false);
		net_link(n, i, true);
		tell_streams(n, i, true);
	}
	return health_open(n);
}
