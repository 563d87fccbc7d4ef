/* SPDX-License-Identifier: MIT */
/* What the `dipole` command asks a daemon. */
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/textfile.h"
#include "io/disk_twin.h"
#include "node/internal.h"

static json_t *fail(const char *text)
{
	return json_pack("{s:b,s:s}", "ok", 0, "error", text);
}

static json_t *hist(const struct dp_hist *h)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "count", (json_int_t)h->count, "sum_us",
		(json_int_t)h->sum_us, "p50_us", (json_int_t)dp_hist_percentile(h, 50), "p99_us",
		(json_int_t)dp_hist_percentile(h, 99), "max_us", (json_int_t)h->max_us);
}

/* Of a link; the latency histogram of each stage. */
static json_t *stages(const struct node_stream *s, uint32_t link)
{
	json_t *o = json_object();
	for (unsigned i = DP_TIMED_FORWARDED; i < DP_TIMED_COUNT; i++)
		json_object_set_new(o, dp_timed_key((enum dp_timed)i),
			hist(dp_stages_hist(dp_stream_stages(s->stream), (enum dp_timed)i, link)));
	return o;
}

/* The records from after `has` up to `to`: how many, their payload, and how long ago the first of
 * them came. What has left the journal is not counted (the leg is resynced), and no age reaches
 * back before this process. */
static json_t *lag(const struct node *n, const struct dp_core *c, uint64_t has, uint64_t to)
{
	uint64_t age_ms = 0;
	if (has < c->log.tail.at.seq)
		has = c->log.tail.at.seq;
	if (to > c->log.last.at.seq)
		to = c->log.last.at.seq;
	uint64_t bytes = dp_log_bytes(&c->log, has, to);
	if (has < to)
		age_ms = (uint32_t)(n->now_us / 1000) - dp_log_entry(&c->log, has + 1)->stamp_ms;
	if (age_ms * 1000 > n->now_us - n->start_us)
		age_ms = (n->now_us - n->start_us) / 1000;
	return json_pack("{s:I,s:I,s:I}", "records", (json_int_t)(has < to ? to - has : 0), "bytes",
		(json_int_t)bytes, "us", (json_int_t)(age_ms * 1000));
}

/* What this leg would lack of what hosts were answered, were this site gone now: a first node at
 * this site would be gone, too. */
static json_t *at_risk(const struct node *n, const struct node_stream *s, uint32_t i)
{
	const struct dp_core *c = dp_stream_core(s->stream);
	const struct dp_down *d = &c->down[i];
	return lag(n, c, s->cfg->near[i] ? d->committed : d->cached, c->replied);
}

static json_t *links(struct node *n, const struct node_stream *s)
{
	json_t *list = json_array();
	const struct dp_core *c = dp_stream_core(s->stream);
	for (unsigned i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		bool resyncing = d->state == DP_DOWN_ACTIVE && d->images == DP_IMAGES_RESYNCING;
		bool paused = d->order != DP_LEG_RESUME || !health_in_hours(n, s->cfg->links[i]);
		const char *state = paused ? "Paused"
			: d->state == DP_DOWN_DOWN
			? dp_health_state_name(n->links[s->cfg->links[i]].health)
			: resyncing ? "Resyncing"
				    : dp_down_state_name(d->state);
		bool counts = c->cfg.role == DP_CORE_CONTROLLER && !dp_core_is_away(c, i);
		json_t *link = json_pack("{s:s,s:s,s:s,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "leg",
			s->cfg->legs[i], "peer", n->cfg->links[s->cfg->links[i]].peer, "state",
			state, "in_sync", counts, "health", health_json(n, s->cfg->links[i]),
			"sent", (json_int_t)d->sent, "cached", (json_int_t)d->cached, "committed",
			(json_int_t)d->committed, "flight_bytes", (json_int_t)d->flight,
			"room_bytes", (json_int_t)d->room, "naks", (json_int_t)d->naks);
		json_object_set_new(link, "stages", stages(s, i));
		json_object_set_new(link, "behind", lag(n, c, d->committed, c->log.last.at.seq));
		if (c->cfg.role == DP_CORE_CONTROLLER)
			json_object_set_new(link, "at_risk", at_risk(n, s, i));
		json_array_append_new(list, link);
	}
	return list;
}

/* Every connection that this node makes: whether heartbeats leave it open, whether its peer
 * answered on it lately, how old it is. */
static json_t *connections(struct node *n)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < n->cfg->link_count; i++) {
		const struct dp_node_link *cfg = &n->cfg->links[i];
		const struct link *l = &n->links[i];
		bool answers = l->heard_us > l->connected_us;
		const char *state = !l->open ? dp_health_state_name(l->health)
			: answers            ? "Connected"
					     : "Connecting";
		json_array_append_new(list,
			json_pack("{s:s,s:i,s:I,s:I,s:s,s:s,s:I,s:o}", "peer", cfg->peer,
				"connection", (int)cfg->connection, "compress_in_bytes",
				(json_int_t)l->packer.before, "compress_out_bytes",
				(json_int_t)l->packer.after, "address", cfg->address, "state",
				state, "age_us", (json_int_t)(n->now_us - l->connected_us),
				"heard_us_ago",
				answers ? json_integer((json_int_t)(n->now_us - l->heard_us))
					: json_null()));
	}
	return list;
}

static json_t *volumes(const struct node_stream *s)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < s->cfg->volume_count; i++)
		json_array_append_new(list,
			json_pack("{s:s,s:I}", "name", s->cfg->volumes[i].name, "size_bytes",
				(json_int_t)s->cfg->volumes[i].size));
	return list;
}

/* How far a resync of this node's images is, and how long it will take at this pace. */
static json_t *resync(const struct dp_store_stats *st)
{
	uint64_t done = st->copied - st->resync_from;
	uint64_t left = (st->size - st->copied) / 1024 * (st->resync_us / 1000) /
		(done / 1024 + 1) / 1000;
	return json_pack("{s:I,s:I,s:I,s:I,s:o}", "size_bytes", (json_int_t)st->size,
		"copied_bytes", (json_int_t)st->copied, "fetched_bytes", (json_int_t)st->fetched,
		"elapsed_us", (json_int_t)st->resync_us, "seconds_left",
		done ? json_integer((json_int_t)left) : json_null());
}

/* The images of this node: which files they are, and whether they are whole. */
static json_t *images(const struct node_stream *s)
{
	struct dp_store *store = dp_stream_store(s->stream);
	if (!store)
		return json_null();
	struct dp_store_stats st = dp_store_stats(store);
	const struct dp_images *im = &dp_stream_core(s->stream)->log.last.images;
	json_t *o = json_pack("{s:s,s:I}", "state", im->building ? "Resyncing" : "UpToDate",
		"generation", (json_int_t)im->generation);
	json_object_set_new(o, "resync", im->building ? resync(&st) : json_null());
	return o;
}

static json_t *alarms(const struct node_stream *s)
{
	json_t *list = json_array();
	unsigned kept = s->alarm_count < NODE_ALARMS_MAX ? s->alarm_count : NODE_ALARMS_MAX;
	for (unsigned i = s->alarm_count - kept; i < s->alarm_count; i++) {
		const struct alarm *a = &s->alarms[i % NODE_ALARMS_MAX];
		json_array_append_new(list,
			json_pack("{s:I,s:s,s:s,s:s,s:s}", "time_us", (json_int_t)a->time_us, "id",
				dp_alarm_info(a->alarm)->id, "severity",
				dp_alarm_severity_name(dp_alarm_info(a->alarm)->severity), "kind",
				dp_alarm_kind_name(dp_alarm_info(a->alarm)->kind), "text",
				a->text));
	}
	return list;
}

static json_t *stream_status(struct node *n, const struct node_stream *s)
{
	const struct dp_core *c = dp_stream_core(s->stream);
	struct dp_journal_stats j = dp_journal_stats(dp_stream_journal(s->stream));
	json_t *o = json_pack("{s:s,s:s,s:I,s:I,s:I,s:I,s:I,s:o,s:I,s:I,s:I,s:I,s:I}", "name",
		s->cfg->name, "state", dp_core_state_name(c->state), "epoch",
		(json_int_t)c->log.last.promised, "released", (json_int_t)c->log.tail.at.seq,
		"last", (json_int_t)c->log.last.at.seq, "durable", (json_int_t)c->journal.durable,
		"agreed", (json_int_t)c->agreed, "applied",
		c->cfg.image ? json_integer((json_int_t)c->image.applied) : json_null(),
		"committed", (json_int_t)c->committed, "acked_requests", (json_int_t)c->acked,
		"waiting_requests", (json_int_t)(c->writes.count + c->flushes.count), "set",
		(json_int_t)c->log.last.set, "memory_bytes", (json_int_t)c->log.memory);
	json_object_set_new(o, "journal",
		json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:b}", "size_bytes", (json_int_t)j.size,
			"used_bytes", (json_int_t)j.used, "commits", (json_int_t)j.commits,
			"records", (json_int_t)j.records, "torn_bytes", (json_int_t)j.torn_bytes,
			"renewals", (json_int_t)j.renewals, "renewing", j.renewing));
	json_object_set_new(o, "durable_latency",
		hist(dp_stages_hist(dp_stream_stages(s->stream), DP_TIMED_DURABLE, 0)));
	json_object_set_new(o, "seal", json_string(dp_seal_cipher_name(s->cfg->seal)));
	json_object_set_new(o, "links", links(n, s));
	json_object_set_new(o, "volumes", volumes(s));
	json_object_set_new(o, "images", images(s));
	json_object_set_new(o, "bad_records", json_integer((json_int_t)c->bad_records));
	json_object_set_new(o, "refused_messages", json_integer((json_int_t)c->refused));
	json_object_set_new(o, "alarms", alarms(s));
	json_object_set_new(o, "alarm_count", json_integer((json_int_t)s->alarm_count));
	if (c->cfg.role == DP_CORE_CONTROLLER) {
		struct dp_stream_counters n_of = dp_stream_counters(s->stream);
		json_object_set_new(o, "read_cache",
			json_pack("{s:I,s:I,s:I}", "size_bytes", (json_int_t)s->cfg->read_cache,
				"hits", (json_int_t)n_of.cache_hits, "misses",
				(json_int_t)n_of.cache_misses));
		json_object_set_new(o, "unchanged_writes",
			json_integer((json_int_t)n_of.unchanged));
		json_object_set_new(o, "ack_latency", hist(dp_stream_hist(s->stream, false)));
		json_object_set_new(o, "flush_latency", hist(dp_stream_hist(s->stream, true)));
	} else {
		json_object_set_new(o, "upstream",
			json_pack("{s:s,s:s}", "peer", s->cfg->upstream, "state",
				c->up.started ? "Connected" : "Connecting"));
	}
	return o;
}

/* How many copies a node keeps of each image: "Single" needs a look at its disks. */
static const char *stores(const struct node *n)
{
	if (!n->twin)
		return "One";
	return dp_disk_twin_single(n->twin) ? "Single" : "Two";
}

/* Which topology it runs with. */
static json_t *topology_digest(const struct node *n)
{
	const char *text = n->source ? n->source->text(n->source->ctx) : NULL;
	char hex[DP_TEXT_DIGEST];
	return text ? json_string(dp_text_digest(text, hex)) : json_null();
}

json_t *control_status(struct node *n)
{
	static const char *const roles[] = {"controller", "relay", "mirror"};
	json_t *list = json_array();
	for (unsigned i = 0; i < n->cfg->stream_count; i++)
		json_array_append_new(list, stream_status(n, &n->streams[i]));
	return json_pack("{s:b,s:s,s:s,s:s,s:i,s:I,s:s,s:I,s:I,s:I,s:o,s:o,s:i,s:o}", "ok", 1,
		"node", n->cfg->name, "role", roles[n->cfg->role], "version", DIPOLE_VERSION, "pid",
		(int)getpid(), "uptime_us", (json_int_t)(n->now_us - n->start_us), "stores",
		stores(n), "bad_messages", (json_int_t)n->bad_messages, "refused_keys",
		(json_int_t)n->refused_keys, "refused_beats",
		(json_int_t)(n->heart ? dp_heart_refused(n->heart) : 0), "connections",
		connections(n), "streams", list, "api", DP_CONTROL_API, "topology_digest",
		topology_digest(n));
}

static struct node_stream *stream_named(struct node *n, const char *name)
{
	for (unsigned i = 0; name && i < n->cfg->stream_count; i++)
		if (strcmp(n->streams[i].cfg->name, name) == 0)
			return &n->streams[i];
	return NULL;
}

static json_t *sets(struct node *n, const json_t *request)
{
	struct node_stream *s = stream_named(n,
		json_string_value(json_object_get(request, "stream")));
	if (!s || n->cfg->role != DP_CORE_CONTROLLER)
		return fail("no such stream at this controller");
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
static json_t *leg(struct node *n, const json_t *request)
{
	static const char *const orders[] = {"resume", "pause", "drop", "resync"};
	struct node_stream *s = stream_named(n,
		json_string_value(json_object_get(request, "stream")));
	const char *order = json_string_value(json_object_get(request, "order"));
	int i = s ? leg_index(s, json_string_value(json_object_get(request, "leg"))) : -1;
	if (i < 0 || n->cfg->role != DP_CORE_CONTROLLER)
		return fail("no such leg of a stream at this controller");
	for (unsigned k = 0; order && k < 4; k++) {
		if (strcmp(order, orders[k]))
			continue;
		if (k == DP_LEG_RESYNC &&
			!dp_core_can_resync(dp_stream_core(s->stream), (uint32_t)i))
			return fail("there is no other whole copy to resync this leg from");
		struct dp_order o = {
			(enum dp_leg_order)k, drop_to(dp_stream_core(s->stream), request)};
		if (k == DP_LEG_DROP && !o.drop_to)
			return fail("\"set\" is not a write set that is listed and has ended");
		dp_stream_leg(s->stream, (uint32_t)i, o);
		dp_log(DP_LOG_NOTICE, "leg", "stream=%s leg=%s order=%s", s->cfg->name,
			s->cfg->legs[i], order);
		const struct dp_core *c = dp_stream_core(s->stream);
		bool waits = k == DP_LEG_RESYNC
			? dp_core_writes_wait(c)
			: k != DP_LEG_RESUME && !(c->log.last.away >> c->insync.slot[i] & 1);
		return json_pack("{s:b,s:b}", "ok", 1, "writes_wait", waits);
	}
	return fail("\"order\" must be pause, drop, resume or resync");
}

static json_t *mark(struct node *n, const json_t *request)
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
				return fail("too many requests wait already");
			snprintf(text, sizeof text, "%llu", (unsigned long long)id);
			return json_pack("{s:b,s:s,s:I}", "ok", 1, "mark", text, "seq",
				(json_int_t)dp_stream_core(s->stream)->log.last.at.seq);
		}
	}
	return fail("no such volume at this controller");
}

static json_t *digest(struct node *n, const json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "mark"));
	if (!text)
		return fail("\"mark\" is missing");
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

static json_t *status(struct node *n, const json_t *request)
{
	(void)request;
	return control_status(n);
}

static json_t *reload(struct node *n, const json_t *request)
{
	(void)request;
	return reload_answer(n, NULL, false);
}

static json_t *apply(struct node *n, const json_t *request)
{
	const char *text = json_string_value(json_object_get(request, "topology"));
	if (!text)
		return fail("\"topology\" is missing");
	return reload_answer(n, text, json_is_true(json_object_get(request, "dry_run")));
}

static json_t *rekey(struct node *n, const json_t *request)
{
	(void)request;
	return reload_rekey(n);
}

/* For a node that has lost it. */
static json_t *topology(struct node *n, const json_t *request)
{
	(void)request;
	const char *text = n->source ? n->source->text(n->source->ctx) : NULL;
	return text ? json_pack("{s:b,s:s}", "ok", 1, "topology", text)
		    : fail("the text is not known here");
}

static const struct {
	const char *name;
	enum dp_rights rights;
	json_t *(*run)(struct node *n, const json_t *request);
} commands[] = {
	{"topology", DP_RIGHTS_PEER, topology},
	{"status", DP_RIGHTS_OBSERVE, status},
	{"sets", DP_RIGHTS_OBSERVE, sets},
	{"digest", DP_RIGHTS_OBSERVE, digest},
	{"mark", DP_RIGHTS_OPERATE, mark},
	{"leg", DP_RIGHTS_OPERATE, leg},
	{"reload", DP_RIGHTS_ADMINISTER, reload},
	{"apply", DP_RIGHTS_ADMINISTER, apply},
	{"rekey", DP_RIGHTS_ADMINISTER, rekey},
};

/* A command of another version may mean something else by the same word. */
static const char *other_version(const json_t *request, char text[128])
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
		return fail("expected one JSON object with \"cmd\" on one line");
	if (other_version(request, text))
		return fail(text);
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(cmd, commands[i].name))
			continue;
		if (commands[i].rights == DP_RIGHTS_ADMINISTER && n->stopping)
			return fail("the node is about to stop; ask again");
		if (rights >= commands[i].rights)
			return commands[i].run(n, request);
		snprintf(text, sizeof text, "not allowed: it takes the role %s, and you have %s",
			dp_rights_name(commands[i].rights), dp_rights_name(rights));
		return fail(text);
	}
	return fail("unknown command; this node is dipole " DIPOLE_VERSION);
}
