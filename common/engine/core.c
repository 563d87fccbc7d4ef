/* SPDX-License-Identifier: MIT */
#include "engine/core_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct dp_action *dp_act(struct dp_actions *out, enum dp_action_type type)
{
	static struct dp_action lost; /* where writes go once memory is out; the node stops */
	if (out->count == out->capacity) {
		uint32_t capacity = out->capacity ? out->capacity * 2 : 64;
		struct dp_action *list = realloc(out->list, capacity * sizeof *list);
		if (!list) {
			out->overflow = true;
			return &lost;
		}
		out->list = list;
		out->capacity = capacity;
	}
	struct dp_action *a = &out->list[out->count++];
	memset(a, 0, sizeof *a);
	a->type = type;
	return a;
}

void dp_actions_clear(struct dp_actions *a)
{
	for (uint32_t i = 0; i < a->count; i++) {
		dp_msg_clear(&a->list[i].msg);
		dp_record_unref(&a->list[i].record);
		dp_buf_unref(&a->list[i].data);
		free(a->list[i].meta);
	}
	a->count = 0;
}

void dp_actions_free(struct dp_actions *a)
{
	dp_actions_clear(a);
	free(a->list);
	*a = (struct dp_actions){0};
}

void dp_raise(struct dp_actions *out, enum dp_alarm alarm, uint32_t peer)
{
	struct dp_action *a = dp_act(out, DP_ACT_ALARM);
	a->alarm = alarm;
	a->peer = peer;
}

/* splitmix64: names of sessions need to differ, not to be secret. */
uint64_t dp_core_random(struct dp_core *c)
{
	uint64_t z = c->random += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return z ? z : 1;
}

uint64_t dp_core_cost(uint32_t payload_len)
{
	return (192 + (uint64_t)payload_len + 4095) & ~4095ull;
}

static void send(struct dp_core *c, enum dp_action_type where, uint32_t peer, uint8_t type,
	struct dp_msg *m, struct dp_actions *out)
{
	m->type = type;
	m->stream = c->cfg.stream;
	struct dp_action *a = dp_act(out, where);
	a->peer = peer;
	a->msg = *m;
}

void dp_core_send_up(struct dp_core *c, uint32_t peer, uint8_t type, struct dp_msg *m,
	struct dp_actions *out)
{
	if (!m->session)
		m->session = c->up.session;
	send(c, DP_ACT_SEND_UP, peer, type, m, out);
}

void dp_core_send_down(struct dp_core *c, uint32_t link, uint8_t type, struct dp_msg *m,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[link];
	m->session = d->session;
	d->sent_us = c->now_us;
	send(c, DP_ACT_SEND_DOWN, link, type, m, out);
}

bool dp_core_lazy(const struct dp_core *c)
{
	/* While a leg is away the journal has what it lacks; and a controller that starts from a
	 * journal that still says so does not ask that leg: that it is back has to be there, too.
	 */
	bool all = !c->away && !c->log.last.away && c->durable >= c->insync_seq;
	return dp_core_may_be_lazy(c) && all && !c->log.last.complete && !c->base_token;
}

/* By its configuration. */
bool dp_core_may_be_lazy(const struct dp_core *c)
{
	return c->cfg.role == DP_CORE_CONTROLLER && !c->cfg.image && c->cfg.ack != DP_CORE_LOCAL &&
		c->cfg.ack_legs == c->cfg.down_count;
}

int dp_core_init(struct dp_core *c, const struct dp_core_config *cfg, const struct dp_meta *tail)
{
	memset(c, 0, sizeof *c);
	c->cfg = *cfg;
	bool unordered = cfg->down_count > 1 && cfg->read_order[0] == cfg->read_order[1];
	for (uint32_t i = 0; unordered && i < cfg->down_count; i++)
		c->cfg.read_order[i] = (uint8_t)i;
	for (uint32_t i = 0; i < cfg->down_count; i++)
		if (!cfg->leg_ids[i])
			c->cfg.leg_ids[i] = i + 1;
	struct dp_meta start = *tail;
	if (start.at.seq == 0)
		start.at.chain = dp_chain_start(cfg->stream);
	c->writes.ring = calloc(DP_HOST_REQUESTS_MAX, sizeof *c->writes.ring);
	c->flushes.ring = calloc(DP_HOST_REQUESTS_MAX, sizeof *c->flushes.ring);
	c->reads = calloc(DP_READS_MAX, sizeof *c->reads);
	int err = dp_log_init(&c->log, &start);
	if (err || !c->writes.ring || !c->flushes.ring || !c->reads) {
		dp_core_clear(c);
		return DP_ENOMEM;
	}
	c->appended = c->in_journal = c->durable = c->agreed = c->applied = c->apply_told =
		start.at.seq;
	return 0;
}

void dp_core_clear(struct dp_core *c)
{
	dp_log_clear(&c->log);
	dp_msg_clear(&c->held_hello);
	for (uint32_t i = 0; i < DP_DOWN_MAX; i++)
		free(c->down[i].welcome);
	free(c->reset);
	free(c->writes.ring);
	free(c->flushes.ring);
	free(c->reads);
	memset(c, 0, sizeof *c);
}

static void restored(struct dp_core *c)
{
	c->appended = c->in_journal = c->durable = c->image_seq = c->log.last.at.seq;
	c->log.evicted = c->log.last.at.seq;
	if (c->agreed > c->durable)
		c->agreed = c->durable;
}

int dp_core_restore(struct dp_core *c, const struct dp_header *h)
{
	int err = dp_log_append_header(&c->log, h);
	if (err)
		return err;
	dp_sets_note(&c->sets, h->set, h->seq, h->flags & DP_RECORD_CLOSES_SET, 0);
	if (h->agreed > c->agreed)
		c->agreed = h->agreed;
	restored(c);
	return 0;
}

int dp_core_restore_barrier(struct dp_core *c, const struct dp_meta *meta)
{
	struct dp_log *log = &c->log;
	if (meta->at.seq > log->last.at.seq || meta->at.seq < log->tail.at.seq) {
		dp_log_reset(log, meta);
		c->applied = c->apply_told = meta->at.seq;
		if (c->agreed < meta->at.seq)
			c->agreed = meta->at.seq;
		c->sets.count = c->sets.executing = 0;
	} else {
		struct dp_position here;
		dp_log_position(log, meta->at.seq, &here);
		if (meta->at.seq && here.chain != meta->at.chain)
			return DP_EDIVERGED;
		dp_log_cut(log, meta->at.seq);
		dp_sets_cut(&c->sets, meta->at.seq);
	}
	dp_meta_own(&log->last, meta);
	dp_meta_own(&log->tail, meta);
	restored(c);
	return 0;
}

bool dp_core_genuine(const struct dp_core *c, const struct dp_record *r)
{
	if (c->cfg.role == DP_CORE_RELAY)
		return true; /* holds what it cannot open */
	if (!c->cfg.seal)
		return !(r->h.flags & DP_RECORD_SEALED);
	return r->h.prior == c->log.last.at.chain && dp_seal_open_record(c->cfg.seal, r, NULL) == 0;
}

int dp_core_take(struct dp_core *c, struct dp_record *r)
{
	int err = dp_log_append(&c->log, r, (uint32_t)(c->now_us / 1000));
	if (err)
		return err;
	dp_sets_note(&c->sets, r->h.set, r->h.seq, r->h.flags & DP_RECORD_CLOSES_SET, c->now_us);
	c->owed += dp_core_cost(r->h.payload_len);
	return 0;
}

uint64_t dp_core_barrier(struct dp_core *c, const struct dp_meta *meta, struct dp_actions *out)
{
	struct dp_action *a = dp_act(out, DP_ACT_BARRIER);
	a->seq = ++c->tokens;
	a->meta = malloc(sizeof *meta);
	if (!a->meta) {
		out->overflow = true;
		return a->seq;
	}
	*a->meta = *meta;
	/* A promise that is on its way stands before this one in the journal: it is not taken back.
	 */
	if (c->promise_token && a->meta->promised < c->promise_epoch)
		a->meta->promised = c->promise_epoch;
	c->in_journal = meta->at.seq;
	return a->seq;
}

/* Hands the records up to seq to the journal. Where a lazy journal skipped released records, a
 * barrier says so first: the log on disk then restarts at the tail. */
void dp_core_append_upto(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	if (c->appended >= seq)
		return;
	if (c->in_journal < c->appended) {
		assert(c->log.tail.at.seq == c->appended);
		dp_core_barrier(c, &c->log.tail, out);
	}
	while (c->appended < seq) {
		struct dp_log_entry *e = dp_log_entry(&c->log, c->appended + 1);
		assert(e && e->record);
		struct dp_action *a = dp_act(out, DP_ACT_APPEND);
		a->record = dp_record_ref(e->record);
		a->seq = ++c->appended;
		c->owed -= dp_core_cost(e->payload_len);
	}
	c->in_journal = c->appended;
}

void dp_core_jump(struct dp_core *c, const struct dp_meta *meta)
{
	uint64_t seq = meta->at.seq;
	dp_log_reset(&c->log, meta);
	c->sets.count = c->sets.executing = 0;
	c->appended = c->in_journal = c->durable = seq;
	c->owed = 0;
	if (c->agreed < seq)
		c->agreed = seq;
	if (c->cfg.image)
		c->applied = c->apply_told = seq;
}

/* Cuts a divergent tail: only what was never agreed and so never applied (law 6). */
void dp_core_cut(struct dp_core *c, uint64_t seq, struct dp_actions *out)
{
	assert(seq >= c->apply_told && seq >= c->log.tail.at.seq);
	/* The barrier takes back records that the journal has; so it gets all of them. */
	dp_core_append_upto(c, c->log.last.at.seq, out);
	dp_log_cut(&c->log, seq);
	dp_sets_cut(&c->sets, seq);
	dp_resync_cut(c, seq, out);
	dp_core_barrier(c, &c->log.last, out);
	c->appended = seq;
	if (c->durable > seq)
		c->durable = seq;
	if (c->agreed > seq)
		c->agreed = seq;
	if (c->image_seq > seq)
		c->image_seq = seq;
	if (c->committed > seq)
		c->committed = seq; /* below had it, but what comes in its place is another record
				     */
	dp_act(out, DP_ACT_CUT)->seq = seq;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		dp_down_cut(c, i, seq, out);
}

uint64_t dp_core_all(const struct dp_core *c, enum dp_core_stage stage)
{
	uint64_t least = c->log.last.at.seq;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t position = stage == DP_CORE_COMMITTED ? d->committed : d->cached;
		if (position < least)
			least = position;
	}
	return least;
}

/* What a leg has; nothing, as long as its images are being resynced. */
static uint64_t position(const struct dp_down *d, enum dp_core_stage stage)
{
	if (dp_is_hollow(d))
		return 0;
	return stage == DP_CORE_COMMITTED ? d->committed : d->cached;
}

/* The position that enough of the in-sync set has. */
static uint64_t reached_by_set(const struct dp_core *c, enum dp_core_stage stage)
{
	if (stage == DP_CORE_LOCAL || c->cfg.down_count == 0)
		return c->durable;
	uint64_t positions[DP_DOWN_MAX];
	uint32_t n = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		if (dp_core_is_away(c, i))
			continue;
		uint64_t p = position(&c->down[i], stage);
		uint32_t j = n++;
		for (; j > 0 && positions[j - 1] < p; j--)
			positions[j] = positions[j - 1];
		positions[j] = p;
	}
	if (n == 0)
		return c->durable;
	uint64_t reached = positions[(c->cfg.ack_legs < n ? c->cfg.ack_legs : n) - 1];
	/* Fewer than all legs: the controller's own journal is the copy the others get theirs
	 * from, so it counts too. */
	return dp_core_lazy(c) || reached < c->durable ? reached : c->durable;
}

uint64_t dp_core_reached(const struct dp_core *c, enum dp_core_stage stage)
{
	/* Legs that are resynced leave the set even where too few are left: then nobody is told
	 * anything, while what there is goes on being agreed, or no resync would end. */
	unsigned counting = dp_insync_count(c, c->away);
	bool too_few = counting < dp_insync_needed(c) && counting < c->cfg.down_count;
	return too_few && stage != DP_CORE_LOCAL ? 0 : reached_by_set(c, stage);
}

bool dp_core_writes_wait(const struct dp_core *c)
{
	return dp_insync_count(c, c->log.last.away) < dp_insync_needed(c);
}

bool dp_core_can_resync(const struct dp_core *c, uint32_t link)
{
	return dp_resync_possible(c, link);
}

bool dp_core_is_current(const struct dp_core *c)
{
	unsigned there = 0;
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		there += c->down[i].state == DP_DOWN_ACTIVE && !dp_core_is_away(c, i);
	return c->state == DP_CORE_OPEN && !c->superseded &&
		(there >= dp_insync_needed(c) || there == c->cfg.down_count);
}

static void settle_agreed(struct dp_core *c, struct dp_actions *out)
{
	if (c->cfg.role == DP_CORE_CONTROLLER && c->state == DP_CORE_OPEN) {
		uint64_t reached = reached_by_set(c, c->cfg.ack);
		uint64_t safe = dp_core_all(c, DP_CORE_CACHED);
		if (safe < c->durable)
			safe = c->durable;
		uint64_t agreed = reached < safe ? reached : safe;
		if (agreed > c->agreed)
			c->agreed = agreed;
	}
	uint64_t apply = c->agreed < c->durable ? c->agreed : c->durable;
	bool stands_still = c->refill_token || (c->refill && c->apply_told >= c->image_seq);
	if (c->cfg.image && apply > c->apply_told && !stands_still) {
		c->apply_told = apply;
		dp_act(out, DP_ACT_APPLY)->seq = apply;
	}
}

static void settle_committed(struct dp_core *c)
{
	uint64_t committed = dp_core_all(c, DP_CORE_COMMITTED);
	bool own = c->cfg.role != DP_CORE_CONTROLLER || c->cfg.down_count == 0;
	if (own && committed > c->durable)
		committed = c->durable;
	if (committed <= c->committed)
		return;
	c->committed = committed;
	c->up.ack_due = true;
	dp_sets_commit(&c->sets, committed, c->now_us);
}

/* Up to which seq the journal is to keep nothing for a link, though it lacks that: its leg is lost,
 * room is short or an operator says so, and there is a copy to resync it from. */
static uint64_t given_up(const struct dp_core *c, uint32_t i)
{
	bool full = c->cfg.track && c->room < c->cfg.low_room;
	uint64_t wanted = full ? UINT64_MAX : c->down[i].drop_to;
	bool may = wanted && dp_core_is_away(c, i) && c->down[i].state != DP_DOWN_ACTIVE &&
		dp_resync_possible(c, i);
	return may ? wanted : 0;
}

/* The retention rule. */
static uint64_t needless(const struct dp_core *c)
{
	uint64_t least = c->log.last.at.seq;
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t has = c->cfg.retain_next_hop ? d->cached : d->committed;
		uint64_t without = has < least ? given_up(c, i) : 0;
		has = without > has ? without : has;
		least = has < least ? has : least;
	}
	return least;
}

/* Says which legs lack records that leave the journal now. */
static void tell_given_up(const struct dp_core *c, uint64_t tail, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++) {
		const struct dp_down *d = &c->down[i];
		uint64_t has = c->cfg.retain_next_hop ? d->cached : d->committed;
		if (has >= c->log.tail.at.seq && has < tail)
			dp_raise(out,
				d->order == DP_LEG_DROP ? DP_ALARM_LEG_DROPPED_ORDERED
							: DP_ALARM_LEG_DROPPED_FULL,
				i);
	}
}

static void settle_release(struct dp_core *c, struct dp_actions *out)
{
	uint64_t seq = needless(c);
	if (seq > c->agreed)
		seq = c->agreed;
	if (c->cfg.image && seq > c->applied)
		seq = c->applied;
	if (!dp_core_lazy(c) && seq > c->durable)
		seq = c->durable;
	if (seq > c->log.tail.at.seq) {
		for (uint64_t s = c->appended + 1; s <= seq; s++)
			c->owed -= dp_core_cost(dp_log_entry(&c->log, s)->payload_len);
		tell_given_up(c, seq, out);
		dp_log_release(&c->log, seq);
		if (c->appended < seq)
			c->appended = seq;
		dp_act(out, DP_ACT_RELEASE)->seq = seq;
	}
	dp_log_evict(&c->log, c->durable, c->cfg.window_bytes / 2);
}

/* A lazy journal gets the next records when it has written the last ones: on a disk that is slower
 * than the legs it skips what they have in the meantime, and neither memory nor its room fills up
 * with that. */
static bool may_queue(const struct dp_core *c)
{
	return c->queued == 0;
}

static void settle(struct dp_core *c, struct dp_actions *out)
{
	if (c->state == DP_CORE_FAILED)
		return;
	dp_insync_settle(c, out);
	if (!dp_core_lazy(c) || (c->log.memory > c->cfg.window_bytes / 2 && may_queue(c)))
		dp_core_append_upto(c, c->log.last.at.seq, out);
	settle_agreed(c, out);
	settle_committed(c);
	dp_resync_settle(c, out);
	dp_host_settle(c, out);
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		dp_down_pump(c, i, out);
	settle_release(c, out);
	dp_recover_settle(c, out);
	dp_read_settle(c, out);
	dp_up_settle(c, out);
}

static void watch_room(struct dp_core *c, struct dp_actions *out)
{
	bool high = c->room < c->cfg.high_room;
	if (high && !c->high)
		dp_raise(out, DP_ALARM_HIGH_WATER, DP_PEER_SELF);
	c->high = high;
}

static void tick(struct dp_core *c, struct dp_actions *out)
{
	watch_room(c, out);
	uint64_t due_ms = (c->now_us - DP_CORE_LAZY_US) / 1000, seq = c->appended;
	while (dp_core_lazy(c) && may_queue(c) && seq < c->log.last.at.seq &&
		(int32_t)((uint32_t)due_ms - dp_log_entry(&c->log, seq + 1)->stamp_ms) >= 0)
		seq++;
	dp_core_append_upto(c, seq, out);
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		dp_down_tick(c, i, out);
	if (c->up.pull_loading == DP_LOAD_LATER)
		c->up.pull_loading = 0;
	dp_up_pump(c, out);
	dp_recover_tick(c, out);
	dp_read_tick(c, out);
}

static void failed(struct dp_core *c, enum dp_alarm alarm, struct dp_actions *out)
{
	if (c->state == DP_CORE_FAILED)
		return;
	c->state = DP_CORE_FAILED;
	dp_raise(out, alarm, DP_PEER_SELF);
	if (c->up.active) {
		struct dp_msg m = {.u.refuse.reason = DP_REFUSE_FAILED};
		dp_core_send_up(c, c->up.peer, DP_MSG_REFUSE, &m, out);
	}
	c->up.active = false;
}

static void durable(struct dp_core *c, uint64_t seq)
{
	/* A completion from before a cut speaks of records that are no more. */
	if (seq > c->in_journal)
		seq = c->in_journal;
	if (seq <= c->durable)
		return;
	c->durable = seq;
	c->up.ack_due = true;
}

static void loaded(struct dp_core *c, uint64_t seq, struct dp_record *r, struct dp_actions *out)
{
	for (uint32_t i = 0; i < c->cfg.down_count; i++)
		dp_down_loaded(c, i, seq, r, out);
	if (c->up.pull_loading == seq) {
		c->up.pull_loading = r ? 0 : DP_LOAD_LATER;
		if (r && c->up.active && c->up.pull == seq) {
			dp_up_pulled(c, r, out);
			dp_up_pump(c, out);
		}
	}
}

/* What is acknowledged from now on, too, is in the journal first. It can be started again with
 * other legs and policies then, and asks nobody what was acknowledged. */
static void stop(struct dp_core *c, struct dp_actions *out)
{
	if (c->cfg.role != DP_CORE_CONTROLLER || c->state != DP_CORE_OPEN || c->log.last.complete)
		return;
	dp_core_complete(c, true, out);
}

void dp_core_step(struct dp_core *c, const struct dp_event *ev, struct dp_actions *out)
{
	c->now_us = ev->now_us;
	switch (ev->type) {
	case DP_EV_START:
		c->random = ev->u.random;
		dp_recover_start(c, out);
		break;
	case DP_EV_FROM_UP:
		dp_up_message(c, ev->peer, ev->u.msg, out);
		break;
	case DP_EV_BAD_UP:
		dp_up_bad(c, ev->peer, ev->u.msg, out);
		break;
	case DP_EV_FROM_DOWN:
		dp_down_message(c, ev->peer, ev->u.msg, out);
		break;
	case DP_EV_LINK:
		dp_down_link(c, ev->peer, ev->u.up, out);
		break;
	case DP_EV_LEG:
		dp_down_order(c, ev->peer, &ev->u.order, out);
		break;
	case DP_EV_SHRUNK:
		dp_down_shrunk(c, ev->peer, ev->u.bytes);
		break;
	case DP_EV_HOST:
		dp_host_request(c, ev->u.host, out);
		break;
	case DP_EV_READ:
		dp_read_host(c, ev->u.host, out);
		break;
	case DP_EV_DURABLE:
		durable(c, ev->u.seq);
		break;
	case DP_EV_BARRIER:
		dp_up_barrier(c, ev->u.seq, out);
		break;
	case DP_EV_FAILED:
		failed(c, ev->u.alarm, out);
		break;
	case DP_EV_APPLIED:
		if (ev->u.seq > c->applied)
			c->applied = ev->u.seq;
		break;
	case DP_EV_LOADED:
		loaded(c, ev->u.loaded.seq, ev->u.loaded.record, out);
		break;
	case DP_EV_IMAGE:
		dp_read_image(c, &ev->u.image.found, ev->u.image.data, out);
		break;
	case DP_EV_WANT:
		dp_resync_want(c, &ev->u.want, out);
		break;
	case DP_EV_COPIED:
		dp_resync_copied(c, ev->u.copied.bytes, ev->u.copied.valid_seq, ev->u.copied.all,
			out);
		break;
	case DP_EV_TICK:
		tick(c, out);
		break;
	case DP_EV_STOP:
		stop(c, out);
		break;
	}
	settle(c, out);
}

const char *dp_core_state_name(enum dp_core_state state)
{
	static const char *const names[] = {
		"Promising", "Recovering", "Adopting", "Open", "Failed"};
	return names[state];
}

const char *dp_down_state_name(enum dp_down_state state)
{
	static const char *const names[] = {
		"Connecting", "Waiting", "Connected", "Inconsistent", "Down"};
	return names[state];
}
