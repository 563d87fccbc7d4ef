/* SPDX-License-Identifier: MIT */
/* The links of this node: their messages go to the streams, and who may connect is in the topology.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "node/internal.h"

/* ---- who may connect ---- */

/* An operator's name cannot pass for a node's. */
static bool find_owner(const struct node *n, enum dp_domain domain, const char *key,
	char owner[DP_OWNER_SIZE])
{
	for (unsigned i = 0; i < n->cfg->key_count; i++)
		if (strcmp(n->cfg->keys[i].key, key) == 0)
			return snprintf(owner, DP_OWNER_SIZE, "%s", n->cfg->keys[i].node) > 0;
	for (unsigned i = 0; domain == DP_DOMAIN_CONTROL && i < n->cfg->operator_count; i++)
		if (strcmp(n->cfg->operators[i].key, key) == 0)
			return snprintf(owner, DP_OWNER_SIZE, "operator %s",
				       n->cfg->operators[i].name) > 0;
	return false;
}

static bool admits_key(void *ctx, enum dp_domain domain, const char *key, char owner[DP_OWNER_SIZE])
{
	struct node *n = ctx;
	bool admitted = key && find_owner(n, domain, key, owner);
	n->refused_keys += !admitted;
	return admitted;
}

/* ---- what links report ---- */

/* With CURVE, a key may only speak for the node it belongs to, and only the node that the topology
 * puts above us may send. */
static bool on_from_above(void *ctx, uint32_t sender, const char *owner, struct dp_msg *m,
	bool bad_record)
{
	struct node *n = ctx;
	struct node_stream *s = node_stream_by_id(n, m->stream);
	bool allowed = s && s->stream && s->cfg->upstream[0] &&
		(!n->cfg->listen_curve || strcmp(owner, s->cfg->upstream) == 0);
	if (allowed)
		dp_stream_from_up(s->stream, sender, m, bad_record);
	return allowed;
}

static bool on_from_below(void *ctx, unsigned link, struct dp_msg *m)
{
	struct node_stream *s = node_stream_by_id(ctx, m->stream);
	if (!s || !s->stream)
		return false;
	for (uint32_t i = 0; i < s->cfg->core.down_count; i++)
		if (s->cfg->links[i] == link)
			dp_stream_from_down(s->stream, i, m);
	return true;
}

/* Counted always, logged for powers of two: a peer must not fill the log. */
static void on_bad_message(void *ctx, const char *from, const char *why)
{
	struct node *n = ctx;
	n->bad_messages++;
	if ((n->bad_messages & (n->bad_messages - 1)) == 0)
		dp_log(DP_LOG_WARNING, "bad-message", "from=%s reason=\"%s\" total=%llu", from, why,
			(unsigned long long)n->bad_messages);
}

static void on_link_opened(void *ctx, unsigned link, bool open)
{
	struct node *n = ctx;
	for (unsigned s = 0; s < n->cfg->stream_count; s++) {
		const struct dp_node_stream *cfg = &n->cfg->streams[s];
		for (unsigned i = 0; i < cfg->core.down_count; i++)
			if (cfg->links[i] == link)
				dp_stream_link(n->streams[s].stream, i, open);
	}
}

static void on_bytes_saved(void *ctx, unsigned link, uint64_t stream, uint64_t bytes)
{
	struct node_stream *s = node_stream_by_id(ctx, stream);
	for (uint32_t i = 0; s && i < s->cfg->core.down_count; i++)
		if (s->cfg->links[i] == link)
			dp_stream_shrunk(s->stream, i, bytes);
}

static bool on_is_sending(void *ctx, unsigned link)
{
	const struct node *n = ctx;
	for (unsigned s = 0; s < n->cfg->stream_count; s++) {
		const struct dp_core *c = dp_stream_core(n->streams[s].stream);
		for (uint32_t i = 0; i < c->cfg.down_count; i++)
			if (n->streams[s].cfg->links[i] == link &&
				c->down[i].state == DP_DOWN_ACTIVE && c->down[i].flight)
				return true;
	}
	return false;
}

static const struct dp_links_ops links_ops = {on_from_above, on_from_below, on_bad_message,
	on_link_opened, on_bytes_saved, on_is_sending};

/* ---- life ---- */

int net_open(struct node *n)
{
	const struct dp_node_config *c = n->cfg;
	struct dp_links_config links = {.deployment = c->deployment,
		.node = c->name,
		.listen = c->listen,
		.listen_curve = c->listen_curve,
		.public_key = c->public_key,
		.secret_key = c->secret_key,
		.below = c->links,
		.below_count = c->link_count,
		.above = c->above,
		.above_count = c->above_count,
		.now_us = &n->now_us};
	int err = dp_admission_open(c->secret_key, admits_key, n, &n->admission);
	links.admission = n->admission;
	return err ? err : dp_links_open(&links, &links_ops, n, &n->links);
}

void net_close(struct node *n)
{
	dp_links_close(&n->links);
	dp_admission_close(&n->admission);
}

bool net_receive(struct node *n)
{
	bool any = dp_admission_receive(n->admission);
	return dp_links_receive(n->links) || any;
}

void net_tick(struct node *n)
{
	if (dp_links_tick(n->links))
		n->stopping = true; /* the reason is logged */
	dp_admission_wake(n->admission);
}
