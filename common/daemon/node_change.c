/* SPDX-License-Identifier: MIT */
/* What a changed topology makes one node do: marks in its new configuration, and for a node that
 * runs also the list of what is to be put into place. All of it comes from the table of the
 * topology (topology/change.h). */
#include <stdio.h>
#include <string.h>

#include "daemon/daemon.h"
#include "topology/change.h"

struct change {
	const struct dp_topology *before;
	int me; /* in before */
	struct dp_node_config *cfg;
	struct dp_node_changes *changes; /* NULL: the node does not run */
};

/* ---- marks: what has come, grown and gone ---- */

static void add_gone(struct dp_node_config *cfg, const char *name, bool stream)
{
	if (cfg->gone_count == DP_NODE_GONE_MAX)
		return;
	struct dp_node_gone *gone = &cfg->gone[cfg->gone_count++];
	snprintf(gone->name, sizeof gone->name, "%s", name);
	gone->stream = stream;
}

static struct dp_node_stream *find_stream(struct dp_node_config *cfg, const char *name)
{
	for (unsigned i = 0; i < cfg->stream_count; i++)
		if (strcmp(cfg->streams[i].name, name) == 0)
			return &cfg->streams[i];
	return NULL;
}

static struct dp_node_volume *find_volume(struct dp_node_stream *s, const char *name)
{
	for (unsigned i = 0; i < s->volume_count; i++)
		if (strcmp(s->volumes[i].name, name) == 0)
			return &s->volumes[i];
	return NULL;
}

static bool had_stream(const struct change *c, const char *name)
{
	int s = dp_topology_stream(c->before, name);
	return s >= 0 && dp_topology_uses(&c->before->streams[s], (unsigned)c->me);
}

/* In a stream that the node had, and still has. */
static void mark_work(const struct change *c, const struct dp_change_task *task)
{
	struct dp_node_stream *s = task->stream ? find_stream(c->cfg, task->stream) : NULL;
	if (!s || !had_stream(c, task->stream))
		return;
	struct dp_node_volume *v = task->volume ? find_volume(s, task->volume) : NULL;
	if (v) {
		v->is_new |= task->work == DP_WORK_VOLUME_NEW;
		v->grown |= task->work == DP_WORK_VOLUME_GROWS;
	}
	if (task->work == DP_WORK_VOLUME_GONE)
		add_gone(c->cfg, task->volume, false);
	s->volumes_changed |= task->work >= DP_WORK_VOLUME_NEW && task->work <= DP_WORK_VOLUMES;
	s->all_ways_new |= task->work == DP_WORK_ALL_WAYS;
}

/* A stream that the node has no more, though others may: all of it goes here. */
static void mark_gone_streams(const struct change *c)
{
	for (unsigned i = 0; i < c->before->stream_count; i++) {
		const char *name = c->before->streams[i].name;
		if (!had_stream(c, name) || find_stream(c->cfg, name))
			continue;
		add_gone(c->cfg, name, true);
		for (unsigned v = 0; v < c->before->volume_count; v++)
			if (c->before->volumes[v].stream == i)
				add_gone(c->cfg, c->before->volumes[v].name, false);
	}
}

/* ---- the list for a node that runs ---- */

static void add_text(struct dp_node_changes *to, const char *text)
{
	for (unsigned i = 0; i < to->count; i++)
		if (strcmp(to->what[i], text) == 0)
			return;
	if (text[0] && to->count < DP_NODE_CHANGES_MAX)
		snprintf(to->what[to->count++], sizeof to->what[0], "%s", text);
}

static void list_task(const struct change *c, const struct dp_change_task *task)
{
	struct dp_node_changes *to = c->changes;
	add_text(to, task->text);
	to->restart |= task->level == DP_CHANGE_RESTART;
	to->heartbeats |= task->work == DP_WORK_HEARTBEATS || task->work == DP_WORK_CONNECT;
	for (unsigned i = 0; i < c->cfg->link_count && task->work == DP_WORK_CONNECT; i++)
		to->links[i] |= strcmp(c->cfg->links[i].peer, task->peer) == 0;
}

static void take_task(void *ctx, const struct dp_change_task *task)
{
	const struct change *c = ctx;
	mark_work(c, task);
	if (c->changes)
		list_task(c, task);
}

void dp_node_config_compare(const struct dp_topology *before, const struct dp_topology *after,
	struct dp_node_config *cfg, struct dp_node_changes *changes)
{
	struct change c = {before, dp_topology_node(before, cfg->name), cfg, changes};
	if (c.me < 0)
		return;
	dp_topology_tasks(before, after, cfg->name, take_task, &c);
	mark_gone_streams(&c);
}
