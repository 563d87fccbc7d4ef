/* SPDX-License-Identifier: MIT */
#include "net/links.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "net/internal.h"

#define RECONNECT_US 5000000

int dp_links_open(const struct dp_links_config *cfg, const struct dp_links_ops *ops, void *ctx,
	struct dp_links **out)
{
	struct dp_links *l = *out = calloc(1, sizeof *l + cfg->below_count * sizeof l->below[0]);
	if (!l)
		return DP_ENOMEM;
	l->cfg = *cfg;
	l->ops = ops;
	l->ctx = ctx;
	l->minute = NO_MINUTE;
	l->count = cfg->below_count;
	int err = cfg->listen[0] ? senders_open(l) : 0;
	for (unsigned i = 0; i < l->count && !err; i++) {
		l->below[i].all = l;
		l->below[i].index = i;
		err = down_open(&l->below[i]);
	}
	if (err)
		dp_links_close(out);
	return err;
}

void dp_links_close(struct dp_links **pl)
{
	struct dp_links *l = *pl;
	*pl = NULL;
	if (!l)
		return;
	dp_links_stop_beats(l);
	senders_close(l);
	for (unsigned i = 0; i < l->count; i++)
		down_close(&l->below[i]);
	free(l);
}

/* ---- a changed configuration ---- */

/* Which of the peer's keys is tried. If its former key is the one in use, it stays in use, until
 * heartbeats say otherwise. */
static const char *choose_peer_key(struct link *k, const struct dp_link_config *cfg)
{
	k->former = cfg->former_key[0] && strcmp(cfg->former_key, k->key) == 0;
	return k->former ? cfg->former_key : cfg->key;
}

int dp_links_update(struct dp_links *l, const bool *moved, bool beats)
{
	l->minute = NO_MINUTE; /* hours may have changed */
	for (unsigned i = 0; i < l->count; i++) {
		struct link *k = &l->below[i];
		const char *key = choose_peer_key(k, &l->cfg.below[i]);
		if (!moved[i] && strcmp(k->key, key) == 0)
			continue;
		int err = down_reopen(k);
		if (err)
			return err;
		l->ops->link_opened(l->ctx, i, false); /* a new session */
		l->ops->link_opened(l->ctx, i, true);
	}
	return beats ? liveness_restart(l) : 0;
}

/* ---- the loop ---- */

unsigned dp_links_watch(const struct dp_links *l, struct pollfd *fds)
{
	fds[0] = (struct pollfd){.fd = l->above.socket ? l->above.waker.fd : -1, .events = POLLIN};
	for (unsigned i = 0; i < l->count; i++)
		fds[1 + i] = (struct pollfd){.fd = l->below[i].waker.fd, .events = POLLIN};
	return 1 + l->count;
}

void dp_links_ready(struct dp_links *l, const struct pollfd *fds)
{
	l->above.waker.dirty |= fds[0].revents != 0;
	for (unsigned i = 0; i < l->count; i++)
		l->below[i].waker.dirty |= fds[1 + i].revents != 0;
}

bool dp_links_receive(struct dp_links *l)
{
	bool any = senders_receive(l);
	for (unsigned i = 0; i < l->count; i++)
		any |= down_receive(&l->below[i]);
	return any;
}

/* A peer whose key changes has one of two; its heartbeats tell which. */
static int follow_key(struct dp_links *l, struct link *k)
{
	const struct dp_link_config *cfg = &l->cfg.below[k->index];
	int key = cfg->former_key[0] ? liveness_key(l, k->index) : -1;
	if (key < 0 || k->former == (key == 1))
		return 0;
	k->former = key == 1;
	dp_log(DP_LOG_NOTICE, "peer-key", "peer=%s key=%s", cfg->peer, key ? "former" : "new");
	bool open = k->open;
	int err = down_reopen(k);
	if (!err && !open)
		down_set_open(k, false);
	return err;
}

/* libzmq gives up for good on a connection whose key was refused once. */
static void reconnect_if_silent(struct dp_links *l, struct link *k)
{
	uint64_t since = k->heard_us > k->connected_us ? k->heard_us : k->connected_us;
	if (k->open && *l->cfg.now_us - since >= RECONNECT_US &&
		!l->ops->is_sending(l->ctx, k->index))
		down_reconnect(k);
}

int dp_links_tick(struct dp_links *l)
{
	int err = 0;
	for (unsigned i = 0; i < l->count && !err; i++) {
		err = follow_key(l, &l->below[i]);
		if (!err)
			reconnect_if_silent(l, &l->below[i]);
		l->below[i].waker.dirty = true; /* a net below the descriptors, as for senders */
	}
	l->above.waker.dirty = l->above.socket != NULL;
	return err;
}

void dp_links_send_up(struct dp_links *l, uint32_t sender, struct dp_msg *m)
{
	senders_send(l, sender, m);
}

void dp_links_send_down(struct dp_links *l, unsigned link, struct dp_msg *m)
{
	down_send(&l->below[link], m);
}

void dp_links_flush(struct dp_links *l)
{
	senders_flush(l);
	for (unsigned i = 0; i < l->count; i++)
		down_flush(&l->below[i]);
}
