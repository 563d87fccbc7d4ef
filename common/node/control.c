/* SPDX-License-Identifier: MIT */
/* Requests of the control socket (docs/control-protocol.md): one JSON object in, one out. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/textfile.h"
#include "io/disk_twin.h"
#include "node/internal.h"

static json_t *refuse_request(const char *text)
{
	return json_pack("{s:b,s:s}", "ok", 0, "error", text);
}

static struct node_stream *stream_named(struct node *n, const char *name)
{
	for (unsigned i = 0; name && i < n->cfg->stream_count; i++)
		if (strcmp(n->streams[i].cfg->name, name) == 0)
			return &n->streams[i];
	return NULL;
}

static json_t *answer_sets(struct node *n, const json_t *request)
{
	struct node_stream *s = stream_named(n,
		json_string_value(json_object_get(request, "stream")));
	if (!s || n->cfg->role != DP_CORE_CONTROLLER)
		return refuse_request("no such stream at this controller");
	const struct dp_core *c = dp_stream_core(s->stream);
	json_t *list = json_array();
	for (uint32_t i = 0; i < c->sets.count; i++) {
		const struct dp_set *set = dp_sets_at(&c->sets, i);
		const char *state = set->committed ? "committed"
			: set->closed              ? "executing"
						   : "open";
		json_array_append_new(list,
			json_pack("{s:I,s:I,s:s,s:I,s:I,s:I,s:I}", "first_id",
				(json_int_t)set->first_id, "last_id", (json_int_t)set->last_id,
				"state", state, "first_seq", (json_int_t)set->first_seq, "last_seq",
				(json_int_t)set->last_seq, "opened_us", (json_int_t)set->opened_us,
				"committed_us", (json_int_t)set->committed_us));
	}
	return json_pack("{s:b,s:I,s:o}", "ok", 1, "committed", (json_int_t)c->committed, "sets",
		list);
}

static int leg_index(const struct node_stream *s, const char *leg)
{
	for (unsigned i = 0; leg && i < dp_stream_core(s->stream)->cfg.down_count; i++)
		if (strcmp(s->cfg->legs[i], leg) == 0)
			return (int)i;
	return -1;
}

/* The last record of a write set that has ended; without "set" all there is and will be. 0: no such
 * set. */
static uint64_t drop_to(const struct dp_core *c, const json_t *request)
{
	const json_t *wanted = json_object_get(request, "set");
	uint64_t id = (uint64_t)json_integer_value(wanted);
	if (!wanted)
		return UINT64_MAX;
	for (uint32_t i = 0; i < c->sets.count; i++) {
		const struct dp_set *set = dp_sets_at(&c->sets, i);
		if (id >= set->first_id && id <= set->last_id)
			return set->closed ? set->last_seq : 0;
	}
	return 0;
}

/* Stops and resumes sending to a leg, or keeping for it. The answer says whether the others are
 * enough, or writes wait now. */
static json_t *answer_leg(struct node *n, const json_t *request)
{
	static const char *const orders[] = {"resume", "pause", "drop", "resync"};
	struct node_stream *s = stream_named(n,
		json_string_value(json_object_get(request, "stream")));
	const char *order = json_string_value(json_object_get(request, "order"));
	int i = s ? leg_index(s, json_string_value(json_object_get(request, "leg"))) : -1;
	if (i < 0 || n->cfg->role != DP_CORE_CONTROLLER)
		return refuse_request("no such leg of a stream at this controller");
	for (unsigned k = 0; order && k < 4; k++) {
		if (strcmp(order, orders[k]))
			continue;
		if (k == DP_LEG_RESYNC &&
			!dp_core_can_resync(dp_stream_core(s->stream), (uint32_t)i))
			return refuse_request(
				"there is no other whole copy to resync this leg from");
		struct dp_order o = {
			(enum dp_leg_order)k, drop_to(dp_stream_core(s->stream), request)};
		if (k == DP_LEG_DROP && !o.drop_to)
			return refuse_request(
				"\"set\" is not a write set that is listed and has ended");
		dp_stream_leg(s->stream, (uint32_t)i, o);
		dp_log(DP_LOG_NOTICE, "leg", "stream=%s leg=%s order=%s", s->cfg->name,
			s->cfg->legs[i], order);
		const struct dp_core *c = dp_stream_core(s->stream);
		bool waits = k == DP_LEG_RESYNC
			? dp_core_writes_wait(c)
			: k != DP_LEG_RESUME && !(c->log.last.away >> c->insync.slot[i] & 1);
		return json_pack("{s:b,s:b}", "ok", 1, "writes_wait", waits);
	}
	return refuse_request("\"order\" must be pause, drop, resume or resync");
}

static json_t *answer_mark(struct node *n, const json_t *request)
{
	const char *name = json_string_value(json_object_get(request, "volume"));
	for (unsigned i = 0; name && n->cfg->role == DP_CORE_CONTROLLER && i < n->cfg->stream_count;
		i++) {
		struct node_stream *s = &n->streams[i];
		for (unsigned v = 0; v < s->cfg->volume_count; v++) {
			if (strcmp(s->cfg->volumes[v].name, name))
				continue;
			uint64_t id;
			char text[32];
			randombytes_buf(&id, sizeof id);
			id >>= 2; /* offsets in records are below 2^63 */
			struct dp_host_request h = {.op = DP_OP_MARK,
				.volume = s->cfg->volumes[v].id,
				.offset = id,
				.time_us = node_wall_us()};
			if (!dp_stream_request(s->stream, &h))
				return refuse_request("too many requests wait already");
			snprintf(text, sizeof text, "%llu", (unsigned long long)id);
			return json_pack("{s:b,s:s,s:I}", "ok", 1, "mark", text, "seq",
				(json_int_t)dp_stream_core(s->stream)->log.last.at.seq);
		}
	}
	return refuse_request("no such volume at this controller");
}

static json_t *answer_digest(struct node *n, const json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "mark"));
	if (!text)
		return refuse_request("\"mark\" is missing");
	uint64_t id = strtoull(text, NULL, 10);
	for (unsigned i = 0; i < n->cfg->stream_count; i++) {
		struct dp_store *store = dp_stream_store(n->streams[i].stream);
		const struct dp_store_mark *m = store ? dp_store_find_mark(store, id) : NULL;
		char hex[DP_DIGEST_TEXT];
		if (m)
			return json_pack("{s:b,s:b,s:s,s:I,s:I}", "ok", 1, "done", 1, "digest",
				dp_digest_text(m->digest, hex), "epoch", (json_int_t)m->epoch,
				"seq", (json_int_t)m->seq);
	}
	return json_pack("{s:b,s:b}", "ok", 1, "done", 0);
}

static json_t *answer_status(struct node *n, const json_t *request)
{
	(void)request;
	return control_status(n);
}

static json_t *answer_reload(struct node *n, const json_t *request)
{
	(void)request;
	return reload_answer(n, NULL, false);
}

static json_t *answer_apply(struct node *n, const json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "topology"));
	if (!text)
		return refuse_request("\"topology\" is missing");
	return reload_answer(n, text, json_is_true(json_object_get(request, "dry_run")));
}

static json_t *answer_rekey(struct node *n, const json_t *request)
{
	(void)request;
	return reload_rekey(n);
}

/* For a node that has lost it. */
static json_t *answer_topology(struct node *n, const json_t *request)
{
	(void)request;
	const char *text = n->source ? n->source->text(n->source->ctx) : NULL;
	return text ? json_pack("{s:b,s:s}", "ok", 1, "topology", text)
		    : refuse_request("the text is not known here");
}

static const struct {
	const char *name;
	enum dp_rights rights;
	json_t *(*run)(struct node *n, const json_t *request);
} commands[] = {
	{"topology", DP_RIGHTS_PEER, answer_topology},
	{"status", DP_RIGHTS_OBSERVE, answer_status},
	{"sets", DP_RIGHTS_OBSERVE, answer_sets},
	{"digest", DP_RIGHTS_OBSERVE, answer_digest},
	{"mark", DP_RIGHTS_OPERATE, answer_mark},
	{"leg", DP_RIGHTS_OPERATE, answer_leg},
	{"reload", DP_RIGHTS_ADMINISTER, answer_reload},
	{"apply", DP_RIGHTS_ADMINISTER, answer_apply},
	{"rekey", DP_RIGHTS_ADMINISTER, answer_rekey},
};

/* A command of another version may mean something else by the same word. */
static const char *version_differs(const json_t *request, char text[128])
{
	const json_t *api = json_object_get(request, "api");
	if (!api || json_integer_value(api) == DP_CONTROL_API)
		return NULL;
	snprintf(text, 128,
		"this node, dipole " DIPOLE_VERSION
		", answers version %d of the control protocol, and was asked in version %lld",
		DP_CONTROL_API, (long long)json_integer_value(api));
	return text;
}

json_t *control_answer(struct node *n, const json_t *request, enum dp_rights rights)
{
	const char *cmd = json_string_value(json_object_get(request, "cmd"));
	char text[128];
	if (!cmd)
		return refuse_request("expected one JSON object with \"cmd\" on one line");
	if (version_differs(request, text))
		return refuse_request(text);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(cmd, commands[i].name))
			continue;
		if (commands[i].rights == DP_RIGHTS_ADMINISTER && n->stopping)
			return refuse_request("the node is about to stop; ask again");
		if (rights >= commands[i].rights)
			return commands[i].run(n, request);
		snprintf(text, sizeof text, "not allowed: it takes the role %s, and you have %s",
			dp_rights_name(commands[i].rights), dp_rights_name(rights));
		return refuse_request(text);
	}
	return refuse_request("unknown command; this node is dipole " DIPOLE_VERSION);
}
