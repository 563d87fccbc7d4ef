/* SPDX-License-Identifier: MIT */
/* The streams of a node, so that a turn of the loop costs what has happened and not how many there
 * are: found by their ids, flushed if something touched them, ticked when something is due. */
#include "base/log.h"
#include "node/internal.h"

#define SWEEP_US 1000000 /* a net below the due times: all are computed again */

/* ---- by id: open addressing; 0 is an empty place, else an index + 1 ---- */

static unsigned place_of(const struct node *n, uint64_t id)
{
	unsigned at = (unsigned)(id ^ id >> 32) % NODE_BY_ID;
	while (n->by_id[at] && n->streams[n->by_id[at] - 1].cfg->core.stream != id)
		at = (at + 1) % NODE_BY_ID;
	return at;
}

void streams_add(struct node *n, unsigned index)
{
	n->by_id[place_of(n, n->streams[index].cfg->core.stream)] = (uint16_t)(index + 1);
}

struct node_stream *node_stream_by_id(struct node *n, uint64_t id)
{
	unsigned index = n->by_id[place_of(n, id)];
	return index ? &n->streams[index - 1] : NULL;
}

/* ---- flushing ---- */

void streams_touched(struct node_stream *ns)
{
	if (ns->listed)
		return;
	ns->listed = true;
	ns->next_touched = ns->node->touched;
	ns->node->touched = ns;
}

static void log_links(struct node_stream *ns)
{
	const struct dp_core *c = dp_stream_core(ns->stream);
	const struct dp_node_config *cfg = ns->node->cfg;
	for (unsigned i = 0; i < c->cfg.down_count; i++) {
		if (ns->link_state[i] == c->down[i].state)
			continue;
		ns->link_state[i] = c->down[i].state;
		dp_log(DP_LOG_NOTICE, "link", "stream=%s to=%s state=%s", ns->cfg->name,
			cfg->links[ns->cfg->links[i]].peer, dp_down_state_name(c->down[i].state));
	}
	if (ns->upstream_state == c->up.started)
		return;
	ns->upstream_state = c->up.started;
	dp_log(DP_LOG_NOTICE, "link", "stream=%s from=%s state=%s", ns->cfg->name,
		ns->cfg->upstream, c->up.started ? "Connected" : "Connecting");
}

static void note_due(struct node *n, unsigned index)
{
	uint64_t due_us = dp_stream_due_us(n->streams[index].stream);
	n->stream_due_us[index] = due_us;
	if (due_us < n->due_us)
		n->due_us = due_us;
}

static void flush_list(struct node *n, struct node_stream *list)
{
	while (list) {
		struct node_stream *ns = list;
		list = ns->next_touched;
		ns->listed = false;
		dp_stream_flush(ns->stream);
		n->broken = n->broken || dp_stream_broken(ns->stream);
		note_due(n, (unsigned)(ns - n->streams));
		log_links(ns);
		if (ns->listed || dp_stream_wake_us(ns->stream) == UINT64_MAX)
			continue;
		ns->listed = true; /* its group commit waits for more records */
		ns->next_touched = n->gathering;
		n->gathering = ns;
	}
}

void streams_flush(struct node *n)
{
	struct node_stream *list = n->gathering;
	n->gathering = NULL;
	flush_list(n, list);
	/* A flush may touch its stream again; the rest is for the next turn. */
	for (unsigned i = 0; i < 3 && n->touched; i++) {
		list = n->touched;
		n->touched = NULL;
		flush_list(n, list);
	}
}

uint64_t streams_wake_us(const struct node *n)
{
	uint64_t until = UINT64_MAX;
	for (const struct node_stream *ns = n->gathering; ns; ns = ns->next_touched) {
		uint64_t wake_us = dp_stream_wake_us(ns->stream);
		until = wake_us < until ? wake_us : until;
	}
	return until;
}

/* ---- time ---- */

void streams_tick(struct node *n)
{
	bool sweep = n->now_us - n->swept_us >= SWEEP_US;
	if (n->now_us < n->due_us && !sweep)
		return;
	n->due_us = UINT64_MAX;
	n->swept_us = sweep ? n->now_us : n->swept_us;
	for (unsigned i = 0; i < n->cfg->stream_count; i++) {
		if (n->now_us >= n->stream_due_us[i] || sweep)
			dp_stream_tick(n->streams[i].stream);
		if (n->now_us >= n->stream_due_us[i] || sweep)
			note_due(n, i);
		else if (n->stream_due_us[i] < n->due_us)
			n->due_us = n->stream_due_us[i];
	}
}
