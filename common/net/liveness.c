/* SPDX-License-Identifier: MIT */
/* Which links down are open: heartbeats say whether the peer is alive, and hours of the day whether
 * the link is used now. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "base/log.h"
#include "net/internal.h"

/* ---- heartbeats with each peer once ---- */

static int add_peer(const struct dp_links *l, struct dp_heartbeats_config *beats,
	struct dp_heartbeat_peer *peers, const struct dp_link_config *cfg)
{
	struct dp_heartbeat_peer *p = &peers[beats->peer_count++];
	const char *secret = l->cfg.secret_key;
	p->name = dp_beat_name(l->cfg.deployment, cfg->peer);
	p->health = cfg->health;
	memcpy(p->address, cfg->address, sizeof p->address);
	int err = dp_beat_key(cfg->key, secret, p->key[0]);
	return err
		? err
		: dp_beat_key(cfg->former_key[0] ? cfg->former_key : cfg->key, secret, p->key[1]);
}

/* The first link of several that have one peer. */
static unsigned first_link(const struct dp_links *l, unsigned link)
{
	for (unsigned i = 0; i < link; i++)
		if (strcmp(l->cfg.below[i].peer, l->cfg.below[link].peer) == 0)
			return i;
	return link;
}

static int start_beats(struct dp_links *l, struct dp_heartbeat_peer *peers)
{
	struct dp_heartbeats_config beats = {
		.name = dp_beat_name(l->cfg.deployment, l->cfg.node),
		.listen = l->cfg.listen,
		.peers = peers,
	};
	int err = 0;
	for (unsigned i = 0; i < l->count && !err; i++) {
		unsigned first = first_link(l, i);
		l->below[i].peer = first < i ? l->below[first].peer : beats.peer_count;
		if (first == i)
			err = add_peer(l, &beats, peers, &l->cfg.below[i]);
	}
	for (unsigned i = 0; i < l->cfg.above_count && !err; i++)
		err = add_peer(l, &beats, peers, &l->cfg.above[i]);
	return err ? err : dp_heartbeats_start(&beats, &l->beats);
}

int dp_links_start_beats(struct dp_links *l)
{
	size_t size = (l->count + l->cfg.above_count + 1) * sizeof(struct dp_heartbeat_peer);
	struct dp_heartbeat_peer *peers = calloc(1, size);
	int err = peers ? start_beats(l, peers) : DP_ENOMEM;
	if (peers)
		explicit_bzero(peers, size); /* it has keys */
	free(peers);
	if (err)
		dp_log(DP_LOG_ERROR, "heartbeat-failed", "address=%s error=\"%s\"", l->cfg.listen,
			dp_strerror(err));
	return err;
}

void dp_links_stop_beats(struct dp_links *l)
{
	dp_heartbeats_stop(&l->beats);
}

int liveness_restart(struct dp_links *l)
{
	dp_heartbeats_stop(&l->beats);
	for (unsigned i = 0; i < l->count; i++) {
		l->below[i].health = DP_HEALTH_CONNECTING;
		down_set_open(&l->below[i], true);
		l->ops->link_opened(l->ctx, i, true);
	}
	return dp_links_start_beats(l);
}

int liveness_key(struct dp_links *l, unsigned link)
{
	return l->beats ? dp_heartbeats_key(l->beats, l->below[link].peer) : -1;
}

/* ---- what follows from them ---- */

static unsigned minute_of_day(void)
{
	time_t now = time(NULL);
	struct tm local;
	localtime_r(&now, &local);
	return (unsigned)local.tm_hour * 60 + (unsigned)local.tm_min;
}

/* A minute that begins may open or close a link. */
static bool minute_has_changed(struct dp_links *l)
{
	unsigned minute = minute_of_day();
	bool changed = minute != l->minute;
	l->minute = minute;
	return changed;
}

static bool is_in_hours(const struct dp_links *l, unsigned link)
{
	return dp_hours_open(&l->cfg.below[link].hours, l->minute);
}

static void check_liveness(struct dp_links *l, unsigned i)
{
	const struct dp_link_config *cfg = &l->cfg.below[i];
	struct link *k = &l->below[i];
	struct dp_health h = dp_heartbeats_health(l->beats, k->peer);
	bool alive = dp_health_open(&h), open = alive && is_in_hours(l, i);
	bool logs = first_link(l, i) == i; /* once for each peer */
	if (k->health != h.state && logs)
		dp_log(alive ? DP_LOG_NOTICE : DP_LOG_WARNING, "heartbeat", "peer=%s state=%s",
			cfg->peer, dp_health_state_name(h.state));
	k->health = h.state;
	if (k->open == open)
		return;
	if (alive && logs && cfg->hours.from != cfg->hours.to)
		dp_log(DP_LOG_NOTICE, "hours", "peer=%s sending=%s", cfg->peer,
			open ? "yes" : "no");
	down_set_open(k, open);
	l->ops->link_opened(l->ctx, i, open);
}

int dp_links_beat_fd(const struct dp_links *l)
{
	return l->beats ? dp_heartbeats_fd(l->beats) : -1;
}

void dp_links_check_beats(struct dp_links *l)
{
	bool minute = minute_has_changed(l);
	if (!l->beats || (!dp_heartbeats_changed(l->beats) && !minute))
		return;
	for (unsigned i = 0; i < l->count; i++)
		check_liveness(l, i);
}

/* ---- what there is to see ---- */

struct dp_link_state dp_links_state(const struct dp_links *l, unsigned link)
{
	const struct link *k = &l->below[link];
	return (struct dp_link_state){.open = k->open,
		.in_hours = is_in_hours(l, link),
		.health = k->health,
		.heard_us = k->heard_us,
		.connected_us = k->connected_us,
		.packed_before = k->packer.before,
		.packed_after = k->packer.after};
}

bool dp_links_health(struct dp_links *l, unsigned link, struct dp_health *out)
{
	if (l->beats)
		*out = dp_heartbeats_health(l->beats, l->below[link].peer);
	return l->beats != NULL;
}

uint64_t dp_links_refused_beats(struct dp_links *l)
{
	return l->beats ? dp_heartbeats_refused(l->beats) : 0;
}
