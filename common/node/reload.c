/* SPDX-License-Identifier: MIT */
/* A changed topology file, taken over while the node runs. How it differs comes with it, from the
 * table of the topology (topology/change.h): numbers and names are put into place, and all else
 * begins with the streams, so that the node ends them and is run again by the same process: hosts
 * and neighbours ride that out. What must not be done as things are is refused as a whole, with
 * the reason, and nothing is changed then. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "node/internal.h"

#define WHY_MAX 4096

struct reload {
	struct dp_node_config next;
	struct dp_node_changes changes;
	char why[WHY_MAX]; /* "": nothing speaks against it */
};

/* ---- what is to wait, as things are ---- */

static void refuse_reload(struct reload *r, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void refuse_reload(struct reload *r, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	if (!r->why[0])
		vsnprintf(r->why, WHY_MAX, format, args);
	va_end(args);
}

/* A volume of the same name may come later: nothing of this one may be on its way then. */
static void check_gone_volume(struct reload *r, const struct node *n, struct node_stream *s,
	const struct dp_node_volume *v)
{
	struct dp_store *store = dp_stream_store(s->stream);
	if (hosts_use(n, v->name))
		refuse_reload(r, "volume %s is in use by a host", v->name);
	if (!aside_has_records(&dp_stream_core(s->stream)->log, v->id))
		return;
	if (store)
		dp_store_hurry(store);
	refuse_reload(r,
		"volume %s has writes that are not in all images yet; try again in a moment",
		v->name);
}

static const struct dp_node_stream *stream_in(const struct dp_node_config *cfg, const char *name)
{
	for (unsigned i = 0; i < cfg->stream_count; i++)
		if (strcmp(cfg->streams[i].name, name) == 0)
			return &cfg->streams[i];
	return NULL;
}

static bool is_gone(const struct dp_node_config *next, const char *name)
{
	for (unsigned i = 0; i < next->gone_count; i++)
		if (!next->gone[i].stream && strcmp(next->gone[i].name, name) == 0)
			return true;
	return false;
}

/* Legs may go only where those that stay have everything. */
static void check_gone_legs(struct reload *r, const struct node_stream *s,
	const struct dp_node_stream *next)
{
	const struct dp_core *core = dp_stream_core(s->stream);
	const char *gone = NULL, *behind = NULL;
	for (unsigned i = 0; i < core->cfg.down_count; i++) {
		bool stays = false;
		for (unsigned k = 0; k < next->core.down_count; k++)
			stays = stays || next->core.leg_ids[k] == core->cfg.leg_ids[i];
		bool counts = !dp_core_is_away(core, i) && core->down[i].state == DP_DOWN_ACTIVE;
		gone = stays ? gone : s->cfg->legs[i];
		behind = stays && !counts ? s->cfg->legs[i] : behind;
	}
	if (gone && behind)
		refuse_reload(r, "leg %s cannot go while leg %s is not up to date", gone, behind);
	if (gone && core->state != DP_CORE_OPEN)
		refuse_reload(r, "leg %s cannot go while stream %s is not open", gone, next->name);
}

static void check_stream(struct reload *r, struct node *n, struct node_stream *s)
{
	const struct dp_node_stream *next = stream_in(&r->next, s->cfg->name);
	for (unsigned i = 0; i < s->cfg->volume_count; i++)
		if (is_gone(&r->next, s->cfg->volumes[i].name) && next)
			check_gone_volume(r, n, s, &s->cfg->volumes[i]);
		else if (!next && hosts_use(n, s->cfg->volumes[i].name))
			refuse_reload(r, "volume %s is in use by a host", s->cfg->volumes[i].name);
	for (unsigned i = 0; next && i < next->volume_count; i++) {
		const char *wrong = aside_wrong_volume(n, s, &next->volumes[i]);
		if (wrong)
			refuse_reload(r, "volume %s: %s", next->volumes[i].name, wrong);
	}
	if (next && next->volumes_changed && dp_stream_core(s->stream)->log.last.images.building)
		refuse_reload(r,
			"volumes of stream %s cannot change while images are being resynced",
			next->name);
	if (next && n->cfg->role == DP_CORE_CONTROLLER)
		check_gone_legs(r, s, next);
}

/* ---- taking it over ---- */

/* The list says that streams and links have the places that they had. */
static void take_streams(struct node *n, const struct dp_node_config *next)
{
	for (unsigned i = 0; i < n->cfg->stream_count; i++) {
		const struct dp_core_config *core = &next->streams[i].core;
		struct dp_core_limits limits = {.high_room = core->high_room, .track = core->track};
		memcpy(limits.link_rate, core->link_rate, sizeof limits.link_rate);
		n->live->streams[i] = next->streams[i];
		dp_stream_limits(n->streams[i].stream, &limits, next->streams[i].resync_rate);
	}
}

static bool take_over(struct node *n, const struct reload *r)
{
	struct dp_node_config *live = n->live;
	memcpy(live->keys, r->next.keys, sizeof live->keys);
	live->key_count = r->next.key_count;
	memcpy(live->links, r->next.links, sizeof live->links);
	memcpy(live->above, r->next.above, sizeof live->above);
	live->has_next_key = r->next.has_next_key;
	take_streams(n, &r->next);
	return dp_links_update(n->links, r->changes.links, r->changes.heartbeats) == 0 &&
		n->source->keep(n->source->ctx) == 0;
}

static void log_refusal(const char *why)
{
	size_t size = strcspn(why, "\n");
	dp_log(DP_LOG_ERROR, "reload-refused", "reason=\"%.*s%s\"", (int)size, why,
		why[size] && why[size + 1] ? " ..." : "");
}

static void load_next(struct node *n, const char *text, struct reload *r)
{
	if (!n->source ||
		n->source->load(n->source->ctx, text, &r->next, &r->changes, r->why, WHY_MAX)) {
		if (!r->why[0])
			snprintf(r->why, WHY_MAX, "the topology file cannot be read again");
		return;
	}
	for (unsigned i = 0; i < n->cfg->stream_count && r->changes.restart; i++)
		check_stream(r, n, &n->streams[i]);
	if (!r->why[0] && text)
		n->source->replace(n->source->ctx, text, true, r->why, WHY_MAX);
}

/* Where the streams have to end, the file is replaced after them: what was answered under it is in
 * journals then. */
static void carry_out(struct node *n, const char *text, struct reload *r)
{
	bool restart = r->changes.restart;
	dp_log(DP_LOG_NOTICE, "reload", "changes=%u restart=%d", r->changes.count, restart);
	if (restart) {
		n->replacement = text ? strdup(text) : NULL;
		n->restart = n->stopping = n->replacement || !text;
		if (!n->stopping)
			snprintf(r->why, WHY_MAX, "out of memory");
	} else if (text && n->source->replace(n->source->ctx, text, false, r->why, WHY_MAX)) {
		return;
	} else if (!take_over(n, r)) {
		n->stopping = true;
		snprintf(r->why, WHY_MAX,
			"links or heartbeats cannot be set up again, or the state is not "
			"to be written (see the log), and the node stops");
	}
}

static json_t *answer_of(const struct reload *r)
{
	if (r->why[0]) {
		log_refusal(r->why);
		return json_pack("{s:b,s:s}", "ok", 0, "error", r->why);
	}
	json_t *changed = json_array();
	for (unsigned i = 0; i < r->changes.count; i++)
		json_array_append_new(changed, json_string(r->changes.what[i]));
	return json_pack("{s:b,s:o,s:b,s:b}", "ok", 1, "changed", changed, "restart",
		r->changes.restart, "next_key", r->next.has_next_key);
}

json_t *reload_answer(struct node *n, const char *text, bool dry)
{
	struct reload *r = calloc(1, sizeof *r);
	if (!r)
		return json_pack("{s:b,s:s}", "ok", 0, "error", "out of memory");
	load_next(n, text, r);
	if (!r->why[0] && !dry)
		carry_out(n, text, r);
	json_t *answer = answer_of(r);
	explicit_bzero(&r->next, sizeof r->next); /* it has the secret key */
	free(r);
	return answer;
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
