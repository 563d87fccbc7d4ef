/* SPDX-License-Identifier: MIT */
/* The status document of a node: docs/control-protocol.md has every field. */
#include <string.h>
#include <unistd.h>

#include "base/textfile.h"
#include "io/disk_twin.h"
#include "node/internal.h"

static json_t *hist_json(const struct dp_hist *h)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "count", (json_int_t)h->count, "sum_us",
		(json_int_t)h->sum_us, "p50_us", (json_int_t)dp_hist_percentile(h, 50), "p99_us",
		(json_int_t)dp_hist_percentile(h, 99), "max_us", (json_int_t)h->max_us);
}

/* Of a link; the latency histogram of each stage. */
static json_t *link_stages(const struct node_stream *s, uint32_t link)
{
	json_t *o = json_object();
	for (unsigned i = DP_TIMED_FORWARDED; i < DP_TIMED_COUNT; i++)
		json_object_set_new(o, dp_timed_key((enum dp_timed)i),
			hist_json(dp_stages_hist(dp_stream_stages(s->stream), (enum dp_timed)i,
				link)));
	return o;
}

/* The records from after `has` up to `to`: how many, their payload, and how long ago the first of
 * them came. What has left the journal is not counted (the leg is resynced), and no age reaches
 * back before this process. */
static json_t *lag_json(const struct node *n, const struct dp_core *c, uint64_t has, uint64_t to)
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
static json_t *link_at_risk(const struct node *n, const struct node_stream *s, uint32_t i)
{
	const struct dp_core *c = dp_stream_core(s->stream);
	const struct dp_down *d = &c->down[i];
	return lag_json(n, c, s->cfg->near[i] ? d->committed : d->cached, c->replied);
}

/* Of the peer of a link, as heartbeats see it. */
static json_t *peer_health(struct node *n, unsigned link)
{
	struct dp_health h;
	if (!dp_links_health(n->links, link, &h))
		return json_null(); /* they could not be set up again, and the node stops */
	uint64_t now = node_clock_us();
	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "state", dp_health_state_name(h.state),
		"age_us", (json_int_t)(now - h.since_us), "last_beat_us",
		(json_int_t)(h.beat_us ? now - h.beat_us : 0), "round_trip_us",
		(json_int_t)h.rtt_us, "beats", (json_int_t)h.beats, "outages",
		(json_int_t)h.outages);
}

static json_t *stream_links(struct node *n, const struct node_stream *s)
{
	json_t *list = json_array();
	const struct dp_core *c = dp_stream_core(s->stream);
	for (unsigned i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		bool resyncing = d->state == DP_DOWN_ACTIVE && d->images == DP_IMAGES_RESYNCING;
		struct dp_link_state at = dp_links_state(n->links, s->cfg->links[i]);
		bool paused = d->order != DP_LEG_RESUME || !at.in_hours;
		const char *state = paused         ? "Paused"
			: d->state == DP_DOWN_DOWN ? dp_health_state_name(at.health)
			: resyncing                ? "Resyncing"
						   : dp_down_state_name(d->state);
		bool counts = c->cfg.role == DP_CORE_CONTROLLER && !dp_core_is_away(c, i);
		json_t *link = json_pack("{s:s,s:s,s:s,s:b,s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "leg",
			s->cfg->legs[i], "peer", n->cfg->links[s->cfg->links[i]].peer, "state",
			state, "in_sync", counts, "health", peer_health(n, s->cfg->links[i]),
			"sent", (json_int_t)d->sent, "cached", (json_int_t)d->cached, "committed",
			(json_int_t)d->committed, "flight_bytes", (json_int_t)d->flight,
			"room_bytes", (json_int_t)d->room, "naks", (json_int_t)d->naks);
		json_object_set_new(link, "stages", link_stages(s, i));
		json_object_set_new(link, "behind",
			lag_json(n, c, d->committed, c->log.last.at.seq));
		if (c->cfg.role == DP_CORE_CONTROLLER)
			json_object_set_new(link, "at_risk", link_at_risk(n, s, i));
		json_array_append_new(list, link);
	}
	return list;
}

/* Every connection that this node makes: whether heartbeats leave it open, whether its peer
 * answered on it lately, how old it is. */
static json_t *node_connections(struct node *n)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < n->cfg->link_count; i++) {
		const struct dp_link_config *cfg = &n->cfg->links[i];
		struct dp_link_state l = dp_links_state(n->links, i);
		bool answers = l.heard_us > l.connected_us;
		const char *state = !l.open ? dp_health_state_name(l.health)
			: answers           ? "Connected"
					    : "Connecting";
		json_array_append_new(list,
			json_pack("{s:s,s:i,s:I,s:I,s:s,s:s,s:I,s:o}", "peer", cfg->peer,
				"connection", (int)cfg->connection, "compress_in_bytes",
				(json_int_t)l.packed_before, "compress_out_bytes",
				(json_int_t)l.packed_after, "address", cfg->address, "state", state,
				"age_us", (json_int_t)(n->now_us - l.connected_us), "heard_us_ago",
				answers ? json_integer((json_int_t)(n->now_us - l.heard_us))
					: json_null()));
	}
	return list;
}

static json_t *stream_volumes(const struct node_stream *s)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < s->cfg->volume_count; i++)
		json_array_append_new(list,
			json_pack("{s:s,s:I}", "name", s->cfg->volumes[i].name, "size_bytes",
				(json_int_t)s->cfg->volumes[i].size));
	return list;
}

/* How far a resync of this node's images is, and how long it will take at this pace. */
static json_t *resync_json(const struct dp_store_stats *st)
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
static json_t *stream_images(const struct node_stream *s)
{
	struct dp_store *store = dp_stream_store(s->stream);
	if (!store)
		return json_null();
	struct dp_store_stats st = dp_store_stats(store);
	const struct dp_images *im = &dp_stream_core(s->stream)->log.last.images;
	json_t *o = json_pack("{s:s,s:I}", "state", im->building ? "Resyncing" : "UpToDate",
		"generation", (json_int_t)im->generation);
	json_object_set_new(o, "resync", im->building ? resync_json(&st) : json_null());
	return o;
}

static json_t *stream_alarms(const struct node_stream *s)
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
		hist_json(dp_stages_hist(dp_stream_stages(s->stream), DP_TIMED_DURABLE, 0)));
	json_object_set_new(o, "seal", json_string(dp_seal_cipher_name(s->cfg->seal)));
	json_object_set_new(o, "links", stream_links(n, s));
	json_object_set_new(o, "volumes", stream_volumes(s));
	json_object_set_new(o, "images", stream_images(s));
	json_object_set_new(o, "bad_records", json_integer((json_int_t)c->bad_records));
	json_object_set_new(o, "refused_messages", json_integer((json_int_t)c->refused));
	json_object_set_new(o, "alarms", stream_alarms(s));
	json_object_set_new(o, "alarm_count", json_integer((json_int_t)s->alarm_count));
	if (c->cfg.role == DP_CORE_CONTROLLER) {
		struct dp_stream_counters n_of = dp_stream_counters(s->stream);
		json_object_set_new(o, "read_cache",
			json_pack("{s:I,s:I,s:I}", "size_bytes", (json_int_t)s->cfg->read_cache,
				"hits", (json_int_t)n_of.cache_hits, "misses",
				(json_int_t)n_of.cache_misses));
		json_object_set_new(o, "unchanged_writes",
			json_integer((json_int_t)n_of.unchanged));
		json_object_set_new(o, "ack_latency", hist_json(dp_stream_hist(s->stream, false)));
		json_object_set_new(o, "flush_latency", hist_json(dp_stream_hist(s->stream, true)));
	} else {
		json_object_set_new(o, "upstream",
			json_pack("{s:s,s:s}", "peer", s->cfg->upstream, "state",
				c->up.started ? "Connected" : "Connecting"));
	}
	return o;
}

/* How many copies a node keeps of each image: "Single" needs a look at its disks. */
static const char *stores_state(const struct node *n)
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
		stores_state(n), "bad_messages", (json_int_t)n->bad_messages, "refused_keys",
		(json_int_t)n->refused_keys, "refused_beats",
		(json_int_t)(n->links ? dp_links_refused_beats(n->links) : 0), "connections",
		node_connections(n), "streams", list, "api", DP_CONTROL_API, "topology_digest",
		topology_digest(n));
}
