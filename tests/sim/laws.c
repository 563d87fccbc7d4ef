/* SPDX-License-Identifier: MIT */
/* The laws of docs/architecture.md, checked from outside: what nodes say is held against what has
 * reached their disks, never against what they believe of themselves or of each other. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "host.h"
#include "journal/internal.h"
#include "world.h"

/* ---- what is on the disks ---- */

static void record_written(struct sim *sim, struct node *n, const uint8_t *at, uint32_t length)
{
	struct dp_header h;
	const uint8_t *payload = at + DP_RECORD_HEADER_SIZE;
	if (dp_header_decode(at, &h) || h.payload_len != length - DP_RECORD_HEADER_SIZE)
		sim_fail("law 8: %s writes a record into its journal that is none", n->name);
	const struct dp_record *made = check_find(sim->check, h.seq, h.chain);
	if (!made)
		sim_fail("law 8: %s has record %" PRIu64
			 " in its journal, which no controller made",
			n->name, h.seq);
	if (h.payload_len && memcmp(payload, made->payload->data, h.payload_len) != 0)
		sim_fail("law 8: %s has record %" PRIu64
			 " in its journal with other bytes than the host wrote",
			n->name, h.seq);
	check_keep(sim->check, n->index, (struct dp_position){h.epoch, h.seq, h.chain});
}

void laws_image_names(const struct dp_images *images, char v1[32], char v2[32])
{
	if (images->generation) {
		snprintf(v1, 32, "v1.%" PRIu64, images->generation);
		snprintf(v2, 32, "v2.%" PRIu64, images->generation);
	} else {
		snprintf(v1, 32, "v1");
		snprintf(v2, 32, "v2");
	}
}

/* Records up to `from` are gone from the journal: with those after it up to `to` the image must be
 * exactly what the history says. */
static void check_image(struct sim *sim, struct node *n, const struct dp_images *images,
	uint64_t from, struct dp_position to)
{
	char name1[32], name2[32];
	uint64_t half = sim->opt.volume_size / 2;
	laws_image_names(images, name1, name2);
	/* While new images are built, the old ones stay what they were. */
	if (images->building)
		from = (to = n->fallback).seq;
	const uint8_t *v1 = sim_disk_safe(n->disk, name1), *v2 = sim_disk_safe(n->disk, name2);
	if (!v1 || !v2)
		sim_fail("law 3: %s has no image %s", n->name, name1);
	uint8_t *image = malloc(2 * half), *expected = malloc(2 * half);
	memcpy(image, v1, half);
	memcpy(image + half, v2, half);
	check_apply(sim->check, from, to, image);
	check_replay(sim->check, to, expected);
	for (uint64_t i = 0; i < 2 * half; i++)
		if (image[i] != expected[i])
			sim_fail("law 3: the image that %s has on its disk differs at byte %" PRIu64
				 " after replay from %" PRIu64 " to %" PRIu64,
				n->name, i, from, to.seq);
	free(image);
	free(expected);
}

/* What a resync calls copied is on the disk: with the records that are in the log, up to the newest
 * that a chunk may have shown, it is exactly what the history says. */
static void check_copied(struct sim *sim, struct node *n, const struct dp_images *images)
{
	const struct dp_core *c = n->stream ? dp_stream_core(n->stream) : NULL;
	if (!images->copied || !c || c->rebuild.reset_token ||
		c->log.last.at.seq < images->valid_seq ||
		c->log.last.images.building != images->building ||
		c->log.last.images.copied < images->copied)
		return; /* it begins anew already, or records are still to come */
	char name1[32], name2[32];
	uint64_t half = sim->opt.volume_size / 2;
	struct dp_images building = {.generation = images->building};
	laws_image_names(&building, name1, name2);
	uint8_t *image = malloc(2 * half), *expected = malloc(2 * half);
	memcpy(image, sim_disk_safe(n->disk, name1), half);
	memcpy(image + half, sim_disk_safe(n->disk, name2), half);
	check_apply(sim->check, c->log.tail.at.seq, c->log.last.at, image);
	check_replay(sim->check, c->log.last.at, expected);
	for (uint64_t i = 0; i < images->copied; i++)
		if (image[i] != expected[i])
			sim_fail("law 3: %s calls %" PRIu64 " bytes copied, and byte %" PRIu64
				 " of what is on its disk differs",
				n->name, images->copied, i);
	free(image);
	free(expected);
}

static void group_counts(struct node *n, const uint8_t *data, uint64_t size)
{
	struct dp_frame f;
	struct dp_meta meta;
	for (uint64_t at = 0; at < size;
		at += (f.length + DP_FRAME_ALIGN - 1) & ~(DP_FRAME_ALIGN - 1u)) {
		const uint8_t *body = data + at + DP_FRAME_SIZE;
		if (dp_frame_decode(data + at, &f) || f.length > size - at)
			return; /* a pad, the rest of a block */
		if (f.kind == DP_FRAME_RECORD)
			record_written(n->sim, n, body, f.length - DP_FRAME_SIZE);
		if (f.kind != DP_FRAME_BARRIER ||
			dp_meta_decode(body, f.length - DP_FRAME_SIZE, &meta))
			continue;
		check_keep(n->sim->check, n->index, meta.at);
		if (n->stream && dp_stream_core(n->stream)->rebuild.reset_token)
			n->jumped = meta.at.seq;
		if (meta.images.building)
			check_copied(n->sim, n, &meta.images);
		if (n->images.building && !meta.images.building) {
			n->whole = meta.at;
			n->fallback = n->next_fallback;
		}
		n->images = meta.images;
		if (n->disk_promised < meta.promised)
			n->disk_promised = meta.promised;
	}
}

/* The group under way that these bytes are, or -1: a recovery writes them. */
static int flight_of(struct dp_journal *j, const uint8_t *data)
{
	struct dp_frame f;
	uint64_t begins = j->head;
	for (uint32_t i = 0; i < j->flight_count; begins = dp_journal_flight(j, i++)->end)
		if (dp_frame_decode(data, &f) == 0 && f.lsn == begins)
			return (int)i;
	return -1;
}

/* Groups land in any order; with the first that had not, all that it held up count. */
void laws_written(void *arg, const uint8_t *data, uint64_t size)
{
	struct node *n = arg;
	struct dp_super super;
	if (size == DP_SUPER_SIZE && dp_super_decode(data, &super) == 0) {
		if (n->cfg.core.image && super.meta.at.seq)
			check_image(n->sim, n, &n->images, super.meta.at.seq, n->applied);
		return;
	}
	struct dp_journal *j = n->stream ? (void *)(uintptr_t)dp_stream_journal(n->stream) : NULL;
	int this = j ? flight_of(j, data) : -1;
	for (int i = 0; i < this; i++)
		if (!dp_journal_flight(j, (uint32_t)i)->landed)
			return;
	group_counts(n, data, size);
	for (uint32_t i = (uint32_t)(this + 1); this >= 0 && i < j->flight_count; i++) {
		const struct dp_flight *next = dp_journal_flight(j, i);
		if (!next->landed)
			return;
		group_counts(n, next->stage, next->bytes);
	}
}

/* Whether what stands at p is safe at this node: on its disk, or gone from there because all below
 * have it. What is wiped later counts: an answer speaks of copies that are not all destroyed. */
static bool holds(const struct sim *sim, const struct node *n, struct dp_position p)
{
	if (check_kept(sim->check, n->index, p) || check_on_path(sim->check, p, n->whole))
		return true;
	for (unsigned i = 0; i < n->down_count; i++)
		if (!holds(sim, &sim->nodes[n->down[i]], p))
			return false;
	return n->down_count > 0;
}

/* The first of this node and all below that does not have p; NULL: p is committed here. */
static const struct node *lacks(const struct sim *sim, const struct node *n, struct dp_position p)
{
	const struct node *missing = holds(sim, n, p) ? NULL : n;
	for (unsigned i = 0; i < n->down_count && !missing; i++)
		missing = lacks(sim, &sim->nodes[n->down[i]], p);
	return missing;
}

/* ---- law 1: an answer speaks of copies that exist ---- */

/* Legs that do not count, as the controller says. */
static uint64_t away(const struct sim *sim)
{
	const struct node *controller = &sim->nodes[0];
	return controller->stream ? dp_stream_core(controller->stream)->insync.away : 0;
}

static bool lazy(const struct sim *sim)
{
	return !away(sim) && !sim->opt.local_image && sim->opt.ack != DP_CORE_LOCAL &&
		sim->opt.ack_legs == sim->opt.legs;
}

static bool legs_hold(const struct sim *sim, struct dp_position p)
{
	const struct node *controller = &sim->nodes[0];
	unsigned count = 0;
	for (unsigned i = 0; i < controller->down_count; i++) {
		if (away(sim) >> i & 1)
			continue;
		if (!holds(sim, &sim->nodes[controller->down[i]], p))
			return false;
		count++;
	}
	return count > 0;
}

/* NULL: p satisfies the policy at this stage. Otherwise a node that lacks it. */
static const struct node *unsatisfied(const struct sim *sim, struct dp_position p,
	enum dp_core_stage stage)
{
	const struct node *controller = &sim->nodes[0], *missing = NULL;
	unsigned legs = 0, counting = 0;
	/* A journal that was lazy until a leg left, or the policy changed, lacks what all legs had
	 * committed by then. */
	if (!lazy(sim) && !check_kept(sim->check, controller->index, p) &&
		!((away(sim) || sim->opt.changes) && legs_hold(sim, p)))
		return controller;
	for (unsigned i = 0; i < controller->down_count && stage != DP_CORE_LOCAL; i++) {
		const struct node *first = &sim->nodes[controller->down[i]], *without;
		if (away(sim) >> i & 1)
			continue;
		counting++;
		/* A controller knows of its own mirrors at once what a resync makes of them. */
		without = first->images.building     ? first
			: stage == DP_CORE_COMMITTED ? lacks(sim, first, p)
			: holds(sim, first, p)       ? NULL
						     : first;
		if (without)
			missing = without;
		else
			legs++;
	}
	unsigned needed = sim->opt.ack_legs < counting ? sim->opt.ack_legs : counting;
	return stage == DP_CORE_LOCAL || legs >= needed ? NULL : missing;
}

/* A smaller set counts only when all that count by it know of it. */
static void check_shrunk(struct sim *sim, struct node *n, const struct dp_core *c)
{
	struct dp_position p;
	if (n->role != DP_CORE_CONTROLLER || !c->insync.away ||
		!dp_log_position(&c->log, c->insync.away_seq, &p))
		return;
	const struct node *missing = check_kept(sim->check, n->index, p) ? NULL : n;
	for (unsigned i = 0; i < n->down_count && !missing; i++)
		if (!(c->insync.away >> i & 1) && !holds(sim, &sim->nodes[n->down[i]], p))
			missing = &sim->nodes[n->down[i]];
	if (missing)
		sim_fail("law 5: legs %#" PRIx64 " do not count any more, and %s does not know",
			c->insync.away, missing->name);
}

static const char *const stage_name[] = {"durable here", "cached", "committed"};

/* Of the legs that have ever counted, as the controller says. */
static unsigned must_count(const struct sim *sim)
{
	const struct dp_core *c = dp_stream_core(sim->nodes[0].stream);
	unsigned joined = (unsigned)__builtin_popcount(c->log.last.places.joined);
	unsigned least = sim->opt.keep_serving < joined ? sim->opt.keep_serving : joined;
	return least ? least : 1;
}

static void check_answer(struct sim *sim, uint64_t request, struct dp_position p,
	enum dp_core_stage stage)
{
	const struct node *missing = unsatisfied(sim, p, stage);
	unsigned counting = sim->nodes[0].down_count;
	for (unsigned i = 0; i < sim->nodes[0].down_count; i++)
		counting -= (away(sim) >> i & 1) != 0;
	if (stage != DP_CORE_LOCAL && counting < must_count(sim))
		sim_fail("law 5: %u legs count, and %u must", counting, must_count(sim));
	if (missing)
		sim_fail("law 1: request %" PRIu64
			 " is answered as %s by %u legs, and record %" PRIu64
			 " is not on the disk of %s",
			request, stage_name[stage], sim->opt.ack_legs, p.seq, missing->name);
}

void laws_answered(struct sim *sim, uint64_t request, struct dp_position p, bool flush)
{
	check_answer(sim, request, p, sim->opt.ack);
	if (flush)
		check_answer(sim, request, p, sim->opt.flush);
}

/* A controller that serves again: what it adopted must hold all that was answered or applied. */
static void check_opened(struct sim *sim, struct dp_position last)
{
	struct dp_position answered = host_answered(sim);
	if (!check_on_path(sim->check, answered, last))
		sim_fail("law 1: the controller goes on from %" PRIu64
			 " without the answered record %" PRIu64,
			last.seq, answered.seq);
	for (unsigned i = 0; i < sim->node_count; i++)
		if (!check_on_path(sim->check, sim->nodes[i].applied, last))
			sim_fail("law 6: the controller goes on from %" PRIu64
				 " without record %" PRIu64 ", which the image of %s has",
				last.seq, sim->nodes[i].applied.seq, sim->nodes[i].name);
}

/* ---- laws 2 and 5: what a node says is on its disk ---- */

static void check_cached(struct sim *sim, struct node *n, const struct dp_core *c, uint64_t cached)
{
	struct dp_position p;
	if (cached > c->log.last.at.seq)
		sim_fail("law 2: %s says cached %" PRIu64 " beyond its log", n->name, cached);
	for (uint64_t seq = n->told_cached < cached ? n->told_cached + 1 : cached; seq <= cached;
		seq++)
		if (dp_log_position(&c->log, seq, &p) && !check_kept(sim->check, n->index, p))
			sim_fail("law 2: %s says cached %" PRIu64 ", and record %" PRIu64
				 " is not on its disk",
				n->name, cached, seq);
	if (cached > n->told_cached)
		n->told_cached = cached;
}

static void check_committed(struct sim *sim, struct node *n, const struct dp_core *c,
	uint64_t committed)
{
	struct dp_position p;
	const struct node *missing = dp_log_position(&c->log, committed, &p) ? lacks(sim, n, p)
									     : NULL;
	if (missing)
		sim_fail("law 2: %s says committed %" PRIu64
			 ", and %s does not have it on its disk",
			n->name, committed, missing->name);
}

static void check_promise(struct node *n, uint64_t epoch, const char *what)
{
	if (epoch > n->disk_promised)
		sim_fail("law 5: %s says %s with epoch %" PRIu64
			 ", and its disk has only the promise of %" PRIu64,
			n->name, what, epoch, n->disk_promised);
	if (epoch > n->told_promised)
		n->told_promised = epoch;
}

void laws_said_up(struct sim *sim, struct node *n, const struct dp_msg *m)
{
	const struct dp_core *c = dp_stream_core(n->stream);
	if (m->type == DP_MSG_ACK) {
		check_cached(sim, n, c, m->u.ack.cached);
		check_committed(sim, n, c, m->u.ack.committed);
	} else if (m->type == DP_MSG_WELCOME) {
		if (c->up.epoch < n->told_promised)
			sim_fail("law 5: %s lets a controller of epoch %" PRIu64
				 " in, and had promised %" PRIu64 " to a newer one",
				n->name, c->up.epoch, n->told_promised);
		check_promise(n, m->u.welcome->last.promised, "WELCOME");
		check_cached(sim, n, c, m->u.welcome->cached);
		check_committed(sim, n, c, m->u.welcome->committed);
	}
}

void laws_said_down(struct node *n, const struct dp_msg *m)
{
	if (m->type == DP_MSG_HELLO)
		check_promise(n, m->u.hello.epoch, "HELLO");
}

/* ---- after each event ---- */

/* The checker learns what the controller makes, and that no position is ever rewritten. */
static void learn(struct sim *sim, struct node *n, const struct dp_core *c)
{
	struct dp_position last = c->log.last.at, here;
	if (dp_position_equal(n->seen, last))
		return;
	uint64_t from = c->log.tail.at.seq;
	if (n->seen.seq > from && n->seen.seq < last.seq &&
		dp_log_position(&c->log, n->seen.seq, &here) && here.chain == n->seen.chain)
		from = n->seen.seq;
	for (uint64_t seq = from + 1; seq <= last.seq; seq++) {
		struct dp_log_entry *e = dp_log_entry(&c->log, seq);
		dp_log_position(&c->log, seq - 1, &here);
		if (e->record)
			check_record(sim->check, e->record, here.chain);
		else if (!check_known(sim->check, (struct dp_position){e->epoch, seq, e->chain}))
			sim_fail("%s holds a record at %" PRIu64 " that nobody made", n->name, seq);
	}
	n->seen = last;
}

void laws_learn(struct sim *sim)
{
	if (sim->nodes[0].stream)
		learn(sim, &sim->nodes[0], dp_stream_core(sim->nodes[0].stream));
}

/* What a controller calls agreed can never be cut: the policy is satisfied, and every controller
 * to come will find the record. */
static void check_agreed(struct sim *sim, struct node *n, const struct dp_core *c)
{
	struct dp_position p;
	if (n->role != DP_CORE_CONTROLLER || c->agreed <= sim->agreed.seq ||
		!dp_log_position(&c->log, c->agreed, &p))
		return;
	const struct node *missing = unsatisfied(sim, p, sim->opt.ack);
	for (unsigned i = 0; i < n->down_count && !missing; i++)
		if (!check_kept(sim->check, n->index, p) && !holds(sim, &sim->nodes[n->down[i]], p))
			missing = &sim->nodes[n->down[i]];
	if (missing)
		sim_fail("law 6: record %" PRIu64
			 " is called agreed, and can still be cut: it is not on the disk of %s",
			p.seq, missing->name);
	sim->agreed = p;
}

/* An image takes only what was agreed. */
static void check_applied(struct sim *sim, struct node *n, const struct dp_core *c)
{
	struct dp_position p;
	/* What the images hold when a resync begins is what there is to fall back on. */
	bool begins = c->rebuild.reset_token || c->rebuild.order_token;
	if (begins && !n->jumping && !n->images.building)
		n->fallback = n->applied;
	else if (begins && !n->jumping && c->rebuild.switch_token)
		n->next_fallback = n->applied;
	n->jumping = begins;
	if (!c->cfg.image || c->image.target <= n->applied.seq ||
		!dp_log_position(&c->log, c->image.target, &p))
		return;
	if (!check_on_path(sim->check, p, sim->agreed))
		sim_fail("law 6: %s applies %" PRIu64 ", which can still be cut: %" PRIu64
			 " is agreed",
			n->name, p.seq, sim->agreed.seq);
	n->applied = p;
}

/* The retention rule, for what leaves log and journal while a node serves. */
static void check_released(struct sim *sim, struct node *n, const struct dp_core *c)
{
	struct dp_position tail = c->log.tail.at;
	bool moved = tail.seq > n->seen_tail && n->was_open && !c->rebuild.reset_token;
	n->seen_tail = tail.seq;
	n->was_open = c->state == DP_CORE_OPEN;
	for (unsigned i = 0; i < n->down_count && moved; i++) {
		const struct node *below = &sim->nodes[n->down[i]];
		if ((c->cfg.track || c->down[i].drop_to >= tail.seq) && (c->insync.away >> i & 1))
			continue;
		/* A controller that was restarted meanwhile knows of no order any more. */
		if (below->jumped >= tail.seq && (c->log.last.away >> i & 1))
			continue;
		const struct node *missing = !sim->opt.next_hop ? lacks(sim, below, tail)
			: holds(sim, below, tail)               ? NULL
								: below;
		if (missing)
			sim_fail("retain: %s frees record %" PRIu64
				 ", which is not on the disk of %s",
				n->name, tail.seq, missing->name);
	}
}

void laws_watch(struct sim *sim, struct node *n)
{
	const struct dp_core *c = dp_stream_core(n->stream);
	bool opens = n->role == DP_CORE_CONTROLLER && c->state == DP_CORE_OPEN && !n->was_open;
	if (n->role == DP_CORE_CONTROLLER)
		learn(sim, n, c);
	if (opens)
		check_opened(sim, c->log.last.at);
	if (dp_stream_broken(n->stream) || c->state == DP_CORE_FAILED)
		sim_fail("%s is broken", n->name);
	/* One record and one group beyond the window at most. */
	if (c->log.memory > c->cfg.window_bytes + 2 * DP_MIB)
		sim_fail("law 7: %s holds %" PRIu64 " bytes in memory", n->name, c->log.memory);
	if (c->journal.durable > c->log.last.at.seq || c->agreed > c->log.last.at.seq ||
		c->log.tail.at.seq > c->agreed)
		sim_fail("positions of %s are out of order (tail %" PRIu64 " agreed %" PRIu64
			 " durable %" PRIu64 " last %" PRIu64 ")",
			n->name, c->log.tail.at.seq, c->agreed, c->journal.durable,
			c->log.last.at.seq);
	for (unsigned i = 0; i < c->cfg.down_count; i++)
		if (c->down[i].cached > c->down[i].sent || c->down[i].committed > c->down[i].cached)
			sim_fail("positions of link %u of %s are out of order", i, n->name);
	check_shrunk(sim, n, c);
	check_agreed(sim, n, c);
	check_applied(sim, n, c);
	check_released(sim, n, c);
	if (c->log.last.at.seq < n->told_cached)
		n->told_cached = c->log.last.at.seq; /* a cut: what it had said was not agreed */
}

/* ---- after a restart ---- */

void laws_recovered(struct sim *sim, struct node *n)
{
	const struct dp_core *c = dp_stream_core(n->stream);
	struct dp_position last = c->log.last.at, p;
	if (!check_known(sim->check, last))
		sim_fail("law 3: %s recovered to a position that never was (%" PRIu64 ")", n->name,
			last.seq);
	if (last.seq < n->told_cached)
		sim_fail("law 2: %s had said cached %" PRIu64 " and recovered %" PRIu64, n->name,
			n->told_cached, last.seq);
	if (c->log.last.promised < n->told_promised)
		sim_fail("law 5: %s had promised epoch %" PRIu64
			 " and recovered the promise of %" PRIu64,
			n->name, n->told_promised, c->log.last.promised);
	/* What a crash left of a group commit is on the disk now, and stays. */
	n->disk_promised = c->log.last.promised;
	for (uint64_t seq = c->log.tail.at.seq; seq <= last.seq; seq++)
		if (dp_log_position(&c->log, seq, &p))
			check_keep(sim->check, n->index, p);
	n->was_open = false;
	n->seen_tail = c->log.tail.at.seq;
	/* A jump that was not on the disk yet has not been. */
	if (last.seq < n->applied.seq)
		n->applied = last;
	if (c->cfg.image)
		check_image(sim, n, &c->log.last.images, c->log.tail.at.seq, last);
	n->images = c->log.last.images;
}

void laws_wiped(struct node *n)
{
	n->told_cached = n->told_promised = n->disk_promised = 0;
	n->applied = n->fallback = (struct dp_position){0};
	n->images = (struct dp_images){0};
	n->jumping = false;
	n->jumped = 0;
}
