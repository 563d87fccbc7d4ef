/* SPDX-License-Identifier: MIT */
#include "stream/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "store/cache.h"

#define GATHER_US   250 /* from one group commit to the next */
#define QUEUE_START 16u /* entries of a queue that is used for the first time */

struct waiting {
	struct dp_host_request request;
	uint64_t start_us;
};

/* Requests that the core cannot take yet, in order; a ring that grows up to DP_HOST_REQUESTS_MAX.
 */
struct queue {
	struct waiting *ring;
	uint32_t head, count, capacity; /* a power of two, or 0 */
};

/* A host request inside the core: its tag is this, so that latency can be measured and the
 * reply can be dropped when the host is gone. */
struct ticket {
	void *tag;
	uint64_t start_us;
	bool flush, timed, dropped;
	/* What the read cache may learn from the answer: the range, as of record seq. */
	uint32_t volume;
	uint64_t offset, seq;
	struct dp_buf *payload; /* of a write; NULL: that of the answer */
	uint32_t read_bytes;    /* that the answer will take */
	struct ticket *next, *prev;
};

struct dp_stream {
	struct dp_core core;
	struct dp_journal *journal;
	struct dp_store *store;
	struct dp_stream_ops ops;
	void *ctx;
	struct dp_actions actions;
	const uint64_t *now_us; /* the node's clock */
	uint64_t random;
	uint64_t commit_us; /* when the last group commit began */
	bool stepping, broken, touched;
	struct dp_event *events; /* that arise while actions are carried out, in order */
	uint32_t event_count, event_capacity;
	/* Reads need not wait behind writes that are not answered yet: a full journal stops writes.
	 */
	struct queue writes, reads;
	struct ticket *tickets;
	uint64_t read_bytes;    /* of all reads under way */
	struct dp_cache *cache; /* of reads; NULL: none */
	struct dp_stream_counters counters;
	struct dp_hist hist[2];
	struct dp_stages *stages;
};

static void pump(struct dp_stream *s);

/* ---- events ---- */

static void release_event(struct dp_event *ev)
{
	if (ev->type == DP_EV_LOADED)
		dp_record_unref(&ev->u.loaded.record);
	else if (ev->type == DP_EV_IMAGE)
		dp_buf_unref(&ev->u.image.data);
}

/* Journal and store may call back from within an action: such events wait their turn. */
static void post(struct dp_stream *s, struct dp_event ev)
{
	if (s->event_count == s->event_capacity) {
		uint32_t capacity = s->event_capacity ? s->event_capacity * 2 : 64;
		struct dp_event *events = realloc(s->events, capacity * sizeof *events);
		if (!events) {
			s->broken = true;
			release_event(&ev);
			return;
		}
		s->events = events;
		s->event_capacity = capacity;
	}
	s->events[s->event_count++] = ev;
	pump(s);
}

static void on_durable(void *ctx, uint64_t seq)
{
	post(ctx, (struct dp_event){.type = DP_EV_DURABLE, .u.seq = seq});
}

static void on_barrier(void *ctx, uint64_t token)
{
	post(ctx, (struct dp_event){.type = DP_EV_BARRIER, .u.seq = token});
}

static void on_renewal(void *ctx, bool done)
{
	struct dp_stream *s = ctx;
	s->ops.alarm(s->ctx, s, done ? DP_ALARM_JOURNAL_RENEWED : DP_ALARM_JOURNAL_RENEWING,
		DP_PEER_SELF);
}

static void on_freed(void *ctx)
{
	post(ctx, (struct dp_event){.type = DP_EV_ROOM});
}

static void on_journal_failed(void *ctx)
{
	post(ctx, (struct dp_event){.type = DP_EV_FAILED, .u.alarm = DP_ALARM_JOURNAL_FAILED});
}

static void on_image_failed(void *ctx)
{
	post(ctx, (struct dp_event){.type = DP_EV_FAILED, .u.alarm = DP_ALARM_IMAGE_FAILED});
}

static void on_applied(void *ctx, uint64_t seq)
{
	post(ctx, (struct dp_event){.type = DP_EV_APPLIED, .u.seq = seq});
}

static void on_image(void *ctx, const struct dp_found *found, struct dp_buf *data)
{
	post(ctx,
		(struct dp_event){.type = DP_EV_IMAGE,
			.u.image = {.found = *found, .data = dp_buf_ref(data)}});
}

static void on_want(void *ctx, const struct dp_wanted *want)
{
	post(ctx, (struct dp_event){.type = DP_EV_WANT, .u.want = *want});
}

static void on_copied(void *ctx, uint64_t copied, uint64_t valid_seq, bool all)
{
	post(ctx, (struct dp_event){.type = DP_EV_COPIED, .u.copied = {copied, valid_seq, all}});
}

static void on_loaded(void *ctx, uint64_t seq, struct dp_record *r)
{
	post(ctx,
		(struct dp_event){.type = DP_EV_LOADED,
			.u.loaded = {.seq = seq, .record = r ? dp_record_ref(r) : NULL}});
}

/* ---- actions ---- */

static void learn(struct dp_stream *s, const struct ticket *t, const struct dp_buf *answer)
{
	const struct dp_buf *data = t->payload ? t->payload : answer;
	if (s->cache && data)
		dp_cache_fill(s->cache, t->volume, t->offset, data->data, data->size, t->seq);
}

static void end_ticket(struct dp_stream *s, struct ticket *t, int err, uint64_t set,
	struct dp_buf *data)
{
	if (t->timed && !err)
		dp_hist_add(&s->hist[t->flush], *s->now_us - t->start_us);
	if (t->next)
		t->next->prev = t->prev;
	if (t->prev)
		t->prev->next = t->next;
	else
		s->tickets = t->next;
	s->read_bytes -= t->read_bytes;
	if (!err)
		learn(s, t, data);
	if (!t->dropped)
		s->ops.reply(s->ctx, s, t->tag, err, set, data);
	dp_buf_unref(&t->payload);
	free(t);
}

static void act(struct dp_stream *s, struct dp_action *a)
{
	switch (a->type) {
	case DP_ACT_SEND_UP:
		s->ops.send_up(s->ctx, s, a->peer, &a->msg);
		break;
	case DP_ACT_SEND_DOWN:
		s->ops.send_down(s->ctx, s, a->peer, &a->msg);
		break;
	case DP_ACT_APPEND:
		dp_journal_append(s->journal, a->record);
		if (s->store)
			dp_store_note(s->store);
		break;
	case DP_ACT_BARRIER:
		dp_journal_barrier(s->journal, a->meta, a->seq);
		break;
	case DP_ACT_RELEASE:
		dp_journal_release(s->journal, &s->core.log.tail);
		break;
	case DP_ACT_CUT:
		if (s->store)
			dp_store_cut(s->store, a->seq);
		break;
	case DP_ACT_APPLY:
		if (s->store)
			dp_store_apply(s->store, a->seq);
		break;
	case DP_ACT_LOAD:
		dp_journal_load(s->journal, a->seq, true, on_loaded, s);
		break;
	case DP_ACT_REPLY:
		end_ticket(s, a->tag, a->err, a->set, NULL);
		break;
	case DP_ACT_DATA:
		end_ticket(s, a->tag, a->err, 0, a->data);
		break;
	case DP_ACT_READ:
		dp_store_read(s->store, &a->want);
		break;
	case DP_ACT_RESYNC:
		if (a->seq)
			dp_store_reset(s->store, a->seq);
		dp_store_resync(s->store, a->set);
		break;
	case DP_ACT_RESYNC_STOP:
		if (s->store)
			dp_store_resync_stop(s->store);
		break;
	case DP_ACT_FILL:
		if (dp_store_fill(s->store, &a->found, a->data))
			post(s, (struct dp_event){.type = DP_EV_BAD_FILL});
		break;
	case DP_ACT_SWITCH:
		dp_store_switch(s->store);
		break;
	case DP_ACT_ALARM:
		s->ops.alarm(s->ctx, s, a->alarm, a->peer);
		break;
	}
}

/* A step that memory did not last for has not happened: nothing of it is said or written, and none
 * follows. */
static void step(struct dp_stream *s, struct dp_event *ev)
{
	if (s->broken)
		return;
	ev->now_us = *s->now_us;
	if (s->store)
		dp_store_now(s->store, ev->now_us);
	/* What was released while it waited to be written is in the journal now, perhaps, and takes
	 * room. What a barrier said the core has yet to hear, and its tail to say. */
	if (ev->type != DP_EV_BARRIER)
		dp_journal_release(s->journal, &s->core.log.tail);
	ev->room = dp_journal_room(s->journal);
	ev->unwritten = dp_journal_queued(s->journal);
	dp_core_step(&s->core, ev, &s->actions);
	s->broken = s->actions.overflow;
	for (uint32_t i = 0; i < s->actions.count && !s->broken; i++)
		act(s, &s->actions.list[i]);
	dp_actions_clear(&s->actions);
}

static void touch_stream(struct dp_stream *s)
{
	if (!s->touched && s->ops.touched)
		s->ops.touched(s->ctx, s);
	s->touched = true;
}

static void step_all(struct dp_stream *s, struct dp_event *ev)
{
	touch_stream(s);
	s->stepping = true;
	if (ev)
		step(s, ev);
	for (uint32_t i = 0; i < s->event_count; i++) { /* may grow while it runs */
		struct dp_event next = s->events[i];
		step(s, &next);
		release_event(&next);
	}
	s->event_count = 0;
	s->stepping = false;
	if (s->stages && !s->broken)
		dp_stages_watch(s->stages, &s->core, *s->now_us);
}

static void pump(struct dp_stream *s)
{
	if (!s->stepping)
		step_all(s, NULL);
}

/* ---- host requests ---- */

static bool is_read(const struct dp_host_request *r)
{
	return r->op == 0;
}

/* What the cache may learn from the answer, and what it must forget now. */
static void note(struct dp_stream *s, struct ticket *t, struct dp_host_request *r)
{
	if (!s->cache)
		return;
	t->volume = r->volume;
	t->offset = r->offset;
	t->seq = s->core.replied;
	if (is_read(r))
		return;
	bool may_skip = r->unchanged && r->op == DP_OP_WRITE && !r->set && !t->flush;
	r->unchanged = false;
	if (!dp_core_makes_record(&s->core, r))
		return; /* what a replay wrote may have been written over since */
	r->unchanged = may_skip && dp_core_is_current(&s->core) &&
		dp_cache_equal(s->cache, r->volume, r->offset, r->payload->data, r->payload->size);
	if (r->unchanged) {
		s->counters.unchanged++;
		return;
	}
	t->seq = s->core.log.last.at.seq + 1;
	t->payload = dp_buf_ref(r->payload);
	dp_cache_written(s->cache, r->volume, r->offset, r->length, t->seq);
}

static bool read_fits(const struct dp_stream *s, const struct dp_host_request *r)
{
	return s->core.state == DP_CORE_OPEN && s->core.reads.count < DP_READS_MAX &&
		(!s->read_bytes || s->read_bytes + r->length <= s->core.cfg.window_bytes);
}

static struct waiting *waiting_at(const struct queue *q, uint32_t index)
{
	return &q->ring[(q->head + index) & (q->capacity - 1)];
}

/* Makes room for one more. false: no memory. */
static bool grow_queue(struct queue *q)
{
	if (q->count < q->capacity)
		return true;
	uint32_t capacity = q->capacity ? q->capacity * 2 : QUEUE_START;
	struct waiting *ring = calloc(capacity, sizeof *ring);
	if (!ring)
		return false;
	for (uint32_t i = 0; i < q->count; i++)
		ring[i] = *waiting_at(q, i);
	free(q->ring);
	*q = (struct queue){.ring = ring, .count = q->count, .capacity = capacity};
	return true;
}

static bool feed_one(struct dp_stream *s, struct queue *q)
{
	struct waiting *w = waiting_at(q, 0);
	struct dp_host_request *r = &w->request;
	uint32_t length = r->payload ? (uint32_t)r->payload->size : 0;
	bool room = is_read(r) ? read_fits(s, r)
			       : dp_core_accepts(&s->core, length, dp_journal_room(s->journal));
	struct ticket *t = room ? calloc(1, sizeof *t) : NULL;
	if (!t)
		return false;
	t->tag = r->tag;
	t->start_us = w->start_us;
	t->flush = r->op == DP_OP_FLUSH || (r->flags & DP_RECORD_FUA);
	t->timed = !is_read(r) && r->op != DP_OP_MARK;
	t->read_bytes = is_read(r) ? r->length : 0;
	s->read_bytes += t->read_bytes;
	t->next = s->tickets;
	if (t->next)
		t->next->prev = t;
	s->tickets = t;
	struct dp_host_request fed = *r;
	fed.tag = t;
	fed.unchanged = fed.unchanged && s->cache;
	note(s, t, &fed);
	q->head = (q->head + 1) & (q->capacity - 1);
	q->count--;
	struct dp_event ev = {.type = is_read(&fed) ? DP_EV_READ : DP_EV_HOST, .u.host = &fed};
	step_all(s, &ev);
	dp_buf_unref(&fed.payload);
	return true;
}

static void feed(struct dp_stream *s)
{
	while (s->reads.count && !s->stepping && feed_one(s, &s->reads))
		;
	while (s->writes.count && !s->stepping && feed_one(s, &s->writes))
		;
}

bool dp_stream_full(const struct dp_stream *s)
{
	return s->writes.count == DP_HOST_REQUESTS_MAX || s->reads.count == DP_HOST_REQUESTS_MAX;
}

/* A read that the cache answers. */
static bool cached(struct dp_stream *s, const struct dp_host_request *r)
{
	if (!s->cache || !is_read(r) || !dp_core_is_current(&s->core))
		return false;
	struct dp_buf *data = dp_buf_new(r->length);
	bool hit = data && dp_cache_read(s->cache, r->volume, r->offset, r->length, data->data);
	*(hit ? &s->counters.cache_hits : &s->counters.cache_misses) += 1;
	if (hit)
		s->ops.reply(s->ctx, s, r->tag, 0, 0, data);
	dp_buf_unref(&data);
	return hit;
}

bool dp_stream_request(struct dp_stream *s, const struct dp_host_request *r)
{
	if (dp_stream_full(s))
		return false;
	if (cached(s, r))
		return true;
	struct queue *q = is_read(r) ? &s->reads : &s->writes;
	if (!grow_queue(q)) {
		s->ops.reply(s->ctx, s, r->tag, DP_ENOMEM, 0, NULL);
		return true;
	}
	*waiting_at(q, q->count++) = (struct waiting){.request = *r, .start_us = *s->now_us};
	dp_buf_ref(r->payload);
	touch_stream(s);
	feed(s);
	return true;
}

static void forget_waiting(struct queue *q, bool (*match)(void *tag, void *arg), void *arg)
{
	uint32_t kept = 0;
	for (uint32_t i = 0; i < q->count; i++) {
		struct waiting w = *waiting_at(q, i);
		if (match(w.request.tag, arg))
			dp_buf_unref(&w.request.payload);
		else
			*waiting_at(q, kept++) = w;
	}
	q->count = kept;
}

void dp_stream_forget(struct dp_stream *s, bool (*match)(void *tag, void *arg), void *arg)
{
	for (struct ticket *t = s->tickets; t; t = t->next)
		if (!t->dropped && match(t->tag, arg))
			t->dropped = true;
	forget_waiting(&s->reads, match, arg);
	forget_waiting(&s->writes, match, arg);
}

/* ---- inputs ---- */

void dp_stream_from_up(struct dp_stream *s, uint32_t peer, struct dp_msg *m, bool bad)
{
	struct dp_event ev = {.type = bad ? DP_EV_BAD_UP : DP_EV_FROM_UP, .peer = peer, .u.msg = m};
	step_all(s, &ev);
}

void dp_stream_from_down(struct dp_stream *s, uint32_t link, struct dp_msg *m)
{
	struct dp_event ev = {.type = DP_EV_FROM_DOWN, .peer = link, .u.msg = m};
	step_all(s, &ev);
}

void dp_stream_link(struct dp_stream *s, uint32_t link, bool up)
{
	struct dp_event ev = {.type = DP_EV_LINK, .peer = link, .u.up = up};
	step_all(s, &ev);
}

void dp_stream_shrunk(struct dp_stream *s, uint32_t link, uint64_t bytes)
{
	post(s,
		(struct dp_event){.type = DP_EV_SHRUNK,
			.peer = link,
			.u.bytes = bytes}); /* perhaps while it sends */
}

void dp_stream_leg(struct dp_stream *s, uint32_t link, struct dp_order order)
{
	/* What is to be put right may have been read and kept. */
	if (s->cache && order.order == DP_LEG_RESYNC)
		dp_cache_clear(s->cache);
	struct dp_event ev = {.type = DP_EV_LEG, .peer = link, .u.order = order};
	step_all(s, &ev);
}

void dp_stream_limits(struct dp_stream *s, const struct dp_core_limits *limits,
	uint64_t resync_rate)
{
	struct dp_event ev = {.type = DP_EV_LIMITS, .u.limits = limits};
	step_all(s, &ev);
	if (s->store)
		dp_store_resync_rate(s->store, resync_rate);
}

uint64_t dp_stream_due_us(const struct dp_stream *s)
{
	bool waits = s->writes.count || s->reads.count;
	return waits || (s->store && dp_store_has_work(s->store)) ? 0 : dp_core_due_us(&s->core);
}

void dp_stream_tick(struct dp_stream *s)
{
	if (*s->now_us < dp_stream_due_us(s))
		return;
	struct dp_event ev = {.type = DP_EV_TICK};
	step_all(s, &ev);
	if (s->store && s->core.rebuild.ordered)
		dp_store_hurry(s->store); /* it waits for that */
	if (s->store)
		dp_store_tick(s->store, *s->now_us);
	dp_stream_flush(s);
}

/* A commit costs much the same for one record as for many: under load the next one waits a moment
 * for as many as the last one had. On a slow disk that moment is over before the last one is: then
 * the next begins beside it. A lone writer never waits. */
static bool gathering(const struct dp_stream *s)
{
	struct dp_journal_stats j = dp_journal_stats(s->journal);
	return j.waiting && (j.writing || j.waiting < j.last_group) &&
		*s->now_us < s->commit_us + GATHER_US;
}

static void commit(struct dp_stream *s)
{
	uint32_t before = dp_journal_stats(s->journal).waiting;
	if (gathering(s))
		return;
	dp_journal_kick(s->journal);
	dp_journal_overlap(s->journal);
	if (dp_journal_stats(s->journal).waiting < before)
		s->commit_us = *s->now_us;
}

void dp_stream_flush(struct dp_stream *s)
{
	s->touched = false;
	feed(s);
	commit(s);
	if (s->store)
		dp_store_work(s->store); /* after the journal, which comes first */
}

uint64_t dp_stream_wake_us(struct dp_stream *s)
{
	return gathering(s) ? s->commit_us + GATHER_US : UINT64_MAX;
}

void dp_stream_start(struct dp_stream *s)
{
	struct dp_event ev = {.type = DP_EV_START,
		.u.start = {.random = s->random, .instance = dp_journal_instance(s->journal)}};
	step_all(s, &ev);
	dp_stream_flush(s);
}

/* ---- life ---- */

struct opening {
	struct dp_stream *s;
	const struct dp_core_config *cfg;
};

static int scan_tail(void *ctx, const struct dp_meta *meta)
{
	struct opening *o = ctx;
	return dp_core_init(&o->s->core, o->cfg, meta);
}

static int scan_record(void *ctx, const struct dp_header *h)
{
	const struct opening *o = ctx;
	bool sealed = h->flags & DP_RECORD_SEALED, opens = o->cfg->role != DP_CORE_RELAY;
	return opens && sealed != !!o->cfg->seal ? DP_ESEALED : dp_core_restore(&o->s->core, h);
}

static int scan_barrier(void *ctx, const struct dp_meta *meta)
{
	return dp_core_restore_barrier(&((struct opening *)ctx)->s->core, meta);
}

static int open_parts(struct dp_stream *s, struct dp_disk *disk, const struct dp_stream_config *cfg)
{
	struct opening o = {.s = s, .cfg = &cfg->core};
	struct dp_journal_config jc = {
		.stream = cfg->core.stream, .size = cfg->journal_size, .instance = cfg->random};
	struct dp_journal_events je = {
		on_durable, on_barrier, on_renewal, on_journal_failed, s, on_freed};
	struct dp_journal_scan scan = {scan_tail, scan_record, scan_barrier, &o};
	int err = dp_journal_open(disk, cfg->journal_file, &jc, &je, &scan, &s->journal);
	if (err)
		return err;
	s->stages = dp_stages_new(&s->core);
	if (!s->stages)
		return DP_ENOMEM;
	if (!cfg->core.image)
		return 0;
	struct dp_store_events se = {on_applied, on_image, on_want, on_copied, on_image_failed, s};
	/* How far a resync is, is counted over the volumes in their order. */
	if (cfg->volumes_changed && s->core.log.last.images.building)
		return DP_EAGAIN;
	err = dp_store_open(disk, cfg->volumes, cfg->volume_count, &s->core.log, s->journal,
		cfg->core.seal, &se, &s->store);
	if (err)
		return err;
	dp_store_resync_rate(s->store, cfg->resync_rate);
	dp_store_reset(s->store, s->core.log.tail.at.seq);
	return 0;
}

int dp_stream_open(struct dp_disk *disk, const struct dp_stream_config *cfg,
	const struct dp_stream_ops *ops, void *ctx, struct dp_stream **out)
{
	*out = NULL;
	struct dp_stream *s = calloc(1, sizeof *s);
	if (!s)
		return DP_ENOMEM;
	s->ops = *ops;
	s->ctx = ctx;
	s->now_us = cfg->now_us;
	s->random = cfg->random;
	s->cache = cfg->read_cache ? dp_cache_new(cfg->read_cache) : NULL;
	bool memory = s->cache || !cfg->read_cache;
	int err = memory ? open_parts(s, disk, cfg) : DP_ENOMEM;
	if (err)
		dp_stream_close(&s);
	*out = s;
	return err;
}

void dp_stream_close(struct dp_stream **ps)
{
	struct dp_stream *s = *ps;
	*ps = NULL;
	if (!s)
		return;
	while (s->tickets) {
		struct ticket *t = s->tickets;
		s->tickets = t->next;
		dp_buf_unref(&t->payload);
		free(t);
	}
	dp_cache_free(&s->cache);
	dp_stages_free(&s->stages);
	for (uint32_t i = 0; i < s->writes.count; i++)
		dp_buf_unref(&waiting_at(&s->writes, i)->request.payload);
	dp_hist_clear(&s->hist[0]);
	dp_hist_clear(&s->hist[1]);
	dp_store_close(&s->store);
	dp_journal_close(&s->journal);
	dp_core_clear(&s->core);
	dp_actions_free(&s->actions);
	free(s->events);
	free(s->writes.ring);
	free(s->reads.ring);
	free(s);
}

void dp_stream_drain(struct dp_stream *s)
{
	struct dp_event ev = {.type = DP_EV_STOP};
	step_all(s, &ev);
	dp_journal_kick(s->journal);
	dp_journal_tidy(s->journal);
	if (s->store)
		dp_store_drain(s->store);
}

bool dp_stream_busy(const struct dp_stream *s)
{
	return dp_journal_busy(s->journal) || (s->store && dp_store_busy(s->store));
}

bool dp_stream_drained(const struct dp_stream *s)
{
	bool waits = dp_journal_stats(s->journal).waiting && s->core.state != DP_CORE_FAILED &&
		!s->broken;
	return !waits && !dp_stream_busy(s);
}

const struct dp_core *dp_stream_core(const struct dp_stream *s)
{
	return &s->core;
}

const struct dp_journal *dp_stream_journal(const struct dp_stream *s)
{
	return s->journal;
}

struct dp_store *dp_stream_store(struct dp_stream *s)
{
	return s->store;
}

bool dp_stream_broken(const struct dp_stream *s)
{
	return s->broken;
}

const struct dp_hist *dp_stream_hist(const struct dp_stream *s, bool flush)
{
	return &s->hist[flush];
}

struct dp_stream_counters dp_stream_counters(const struct dp_stream *s)
{
	return s->counters;
}

const struct dp_stages *dp_stream_stages(const struct dp_stream *s)
{
	return s->stages;
}
