/* SPDX-License-Identifier: MIT */
#include "world.h"

#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "host.h"
#include "memory.h"
#include "journal/journal.h"
#include "store/internal.h"

#define TICK_US      10000
#define RESTART_US   100000
#define WIPE_REST_US 3000000

/* ---- memory ---- */

static bool starve(void *arg)
{
	struct sim *sim = arg;
	if (sim->healed || !rng_chance(&sim->memory_rng, sim->opt.no_memory))
		return false;
	sim->starved = true;
	return true;
}

struct dp_buf *world_buf(size_t size)
{
	sim_memory_spare(true);
	struct dp_buf *buf = dp_buf_new(size);
	sim_memory_spare(false);
	return buf;
}

/* ---- messages ---- */

struct packet {
	struct node *from, *to;
	unsigned link; /* the upper node's link index */
	bool down;
	uint64_t connection;
	struct wire *wire;
	uint32_t size;
	struct dp_buf *payload;
	uint8_t head[];
};

static void deliver(struct sim *sim, void *arg, uint64_t number)
{
	struct packet *p = arg;
	struct node *n = p->to;
	struct dp_msg m;
	(void)number;
	bool stale = p->connection != p->wire->connection;
	if (!n->stream || p->wire->cut ||
		(stale && rng_chance(&sim->network_rng, sim->opt.stale_lost))) {
		dp_buf_unref(&p->payload);
		free(p);
		return;
	}
	int err = dp_msg_decode(p->head, p->size, p->payload, &m);
	sim_trace(sim, n->index * 16u + m.type);
	if (sim->watch && (err == 0 || m.type == DP_MSG_RECORD))
		sim->watch->delivered(sim, p->from, n, &m, err != 0);
	if (p->down && (err == 0 || (err == DP_ECHECKSUM && m.type == DP_MSG_RECORD)))
		dp_stream_from_up(n->stream, n->index, &m, err != 0);
	else if (!p->down && err == 0)
		dp_stream_from_down(n->stream, p->link, &m);
	if (err == 0)
		dp_msg_clear(&m);
	free(p);
}

static struct dp_buf *flip(const struct dp_buf *payload, uint64_t at)
{
	struct dp_buf *copy = world_buf(payload->size);
	memcpy(copy->data, payload->data, payload->size);
	copy->data[at] ^= 0x10;
	return copy;
}

static struct dp_buf *maybe_corrupt(struct sim *sim, struct packet *p, struct dp_buf *payload)
{
	if (sim->healed || !rng_chance(&sim->network_rng, sim->opt.corruption))
		return dp_buf_ref(payload);
	if (payload && rng_chance(&sim->network_rng, 0.8))
		return flip(payload, rng_below(&sim->network_rng, payload->size));
	p->head[rng_below(&sim->network_rng, p->size)] ^= 0x04;
	return dp_buf_ref(payload);
}

/* from: NULL if it is no node of ours. */
static void transmit(struct sim *sim, struct wire *w, struct node *from, struct node *to,
	unsigned link, bool down, const struct dp_msg *m, bool corrupt)
{
	uint8_t head[DP_MSG_HEAD_MAX];
	uint32_t size = dp_msg_encode(m, head);
	if (!sim->healed && rng_chance(&sim->network_rng, sim->opt.loss)) {
		w->connection++; /* TCP loses nothing within a connection: a loss breaks it */
		w->last_us = 0;
	}
	struct packet *p = malloc(sizeof *p + size);
	*p = (struct packet){.from = from,
		.to = to,
		.link = link,
		.down = down,
		.connection = w->connection,
		.wire = w,
		.size = size};
	memcpy(p->head, head, size);
	struct dp_buf *payload = dp_msg_payload(m);
	p->payload = corrupt && payload ? flip(payload, 0) : maybe_corrupt(sim, p, payload);
	uint64_t at = sim->now + w->latency_us + rng_below(&sim->network_rng, w->jitter_us + 1);
	if (at <= w->last_us)
		at = w->last_us;
	w->last_us = at;
	sim_at(sim, at - sim->now, deliver, p, 0);
}

/* A connection has two directions; what is under way in them is lost. */
static void break_connection(struct wire *w, struct node *from, struct node *to, unsigned link,
	bool down)
{
	struct wire *back = !from ? w : down ? &to->to_up : &to->to_down[link];
	w->connection++;
	back->connection++;
	w->last_us = back->last_us = 0;
}

static void post(struct sim *sim, struct wire *w, struct node *from, struct node *to, unsigned link,
	bool down, const struct dp_msg *m)
{
	enum sim_fate fate = sim->watch ? sim->watch->sent(sim, from, to, m) : SIM_PASS;
	if (fate == SIM_LOSE)
		return;
	transmit(sim, w, from, to, link, down, m, fate == SIM_CORRUPT);
	if (fate == SIM_BREAK)
		break_connection(w, from, to, link, down);
	if (fate != SIM_DUPLICATE)
		return;
	uint64_t last_us = w->last_us;
	w->last_us = sim->now + SIM_DUPLICATE_LATE_US;
	transmit(sim, w, from, to, link, down, m, false);
	w->last_us = last_us;
}

/* ---- heartbeats: datagrams of their own ---- */

struct beat {
	struct node *to;
	int link; /* the receiver's link down; -1: its link up */
	struct wire *wire;
	struct dp_beat beat;
};

static void deliver_beat(struct sim *sim, void *arg, uint64_t number)
{
	struct beat *b = arg;
	(void)number;
	if (b->to->stream && !b->wire->cut)
		dp_health_beat(b->link < 0 ? &b->to->health_up : &b->to->health_down[b->link],
			&b->beat, sim->now);
	free(b);
}

static void post_beat(struct sim *sim, const struct dp_beat *beat, struct node *to, int link,
	struct wire *w)
{
	if (rng_chance(&sim->health_rng, sim->opt.loss))
		return;
	struct beat *b = malloc(sizeof *b);
	*b = (struct beat){.to = to, .link = link, .wire = w, .beat = *beat};
	sim_at(sim, w->latency_us + rng_below(&sim->health_rng, w->jitter_us + 1), deliver_beat, b,
		0);
}

static void send_beats(struct sim *sim, struct dp_health *h, struct node *to, int link,
	struct wire *w)
{
	struct dp_beat beat;
	if (dp_health_due(h, sim->now, &beat))
		post_beat(sim, &beat, to, link, w);
	if (dp_health_answer(h, sim->now, &beat))
		post_beat(sim, &beat, to, link, w);
}

static void tick_health(struct sim *sim, struct node *n)
{
	for (unsigned i = 0; i < n->down_count; i++) {
		struct dp_health *h = &n->health_down[i];
		send_beats(sim, h, &sim->nodes[n->down[i]], -1, &n->to_down[i]);
		if (!dp_health_tick(h, sim->now))
			continue;
		if (sim->verbose)
			printf("%10.6f %s link %u %s\n", (double)sim->now / 1e6, n->name, i,
				dp_health_state_name(h->state));
		dp_stream_link(n->stream, i, dp_health_open(h));
	}
	if (n->up < 0)
		return;
	send_beats(sim, &n->health_up, &sim->nodes[n->up], (int)n->up_link, &n->to_up);
	dp_health_tick(&n->health_up, sim->now);
}

static void start_health(struct sim *sim, struct node *n)
{
	for (unsigned i = 0; i < n->down_count; i++)
		dp_health_init(&n->health_down[i], &sim->opt.health, rng_next(&sim->health_rng) | 1,
			sim->now);
	dp_health_init(&n->health_up, &sim->opt.health, rng_next(&sim->health_rng) | 1, sim->now);
}

/* ---- what a stream asks of its node ---- */

static struct node *node_of(struct sim *sim, struct dp_stream *s)
{
	for (unsigned i = 0; i < sim->node_count; i++)
		if (sim->nodes[i].stream == s)
			return &sim->nodes[i];
	return NULL; /* while it is being opened */
}

static void on_send_up(void *ctx, struct dp_stream *s, uint32_t peer, struct dp_msg *m)
{
	struct sim *sim = ctx;
	struct node *n = node_of(sim, s);
	(void)peer;
	laws_said_up(sim, n, m);
	post(sim, &n->to_up, n, &sim->nodes[n->up], n->up_link, false, m);
	dp_msg_clear(m);
}

static void on_send_down(void *ctx, struct dp_stream *s, uint32_t link, struct dp_msg *m)
{
	struct sim *sim = ctx;
	struct node *n = node_of(sim, s);
	laws_said_down(n, m);
	post(sim, &n->to_down[link], n, &sim->nodes[n->down[link]], link, true, m);
	if (m->type == DP_MSG_RECORD && !sim->healed &&
		rng_chance(&sim->network_rng, sim->opt.duplication))
		post(sim, &n->to_down[link], n, &sim->nodes[n->down[link]], link, true, m);
	dp_msg_clear(m);
}

static void on_reply(void *ctx, struct dp_stream *s, void *tag, int err, uint64_t set,
	struct dp_buf *data)
{
	struct sim *sim = ctx;
	(void)s;
	(void)set;
	laws_learn(sim);
	host_reply(sim, tag, err, data);
}

static void on_alarm(void *ctx, struct dp_stream *s, enum dp_alarm alarm, uint32_t peer)
{
	struct sim *sim = ctx;
	struct node *n = node_of(sim, s);
	if (sim->verbose)
		printf("%10.6f %s alarm %u: %s\n", (double)sim->now / 1e6, n ? n->name : "?", peer,
			dp_alarm_info(alarm)->text);
	sim_trace(sim, 0xa1a);
	if (sim->watch && n)
		sim->watch->alarmed(sim, n, alarm, peer);
}

static const struct dp_stream_ops stream_ops = {on_send_up, on_send_down, on_reply, NULL, on_alarm};

static void start_node(struct sim *sim, void *arg, uint64_t number);

/* A node that had no memory stops where it cannot go on, and is started again. */
static bool give_up(struct sim *sim, struct node *n)
{
	bool lost = dp_stream_broken(n->stream) ||
		dp_stream_core(n->stream)->state == DP_CORE_FAILED;
	if (!sim->starved || !lost)
		return false;
	laws_learn(sim);
	world_crash(sim, n);
	sim_at(sim, RESTART_US, start_node, n, 0);
	return true;
}

void world_after(struct sim *sim)
{
	for (unsigned i = 0; i < sim->node_count; i++) {
		if (!sim->nodes[i].stream)
			continue;
		dp_stream_flush(sim->nodes[i].stream);
		if (!give_up(sim, &sim->nodes[i]))
			laws_watch(sim, &sim->nodes[i]);
	}
	if (sim->watch)
		sim->watch->changed(sim);
}

static void tick(struct sim *sim, void *arg, uint64_t life)
{
	struct node *n = arg;
	if (!n->stream || n->life != life)
		return;
	tick_health(sim, n);
	dp_stream_tick(n->stream);
	sim_at(sim, TICK_US, tick, n, life);
}

/* ---- starting and crashing ---- */

static void draw_policies(struct rng *g, struct sim_options *o)
{
	o->ack = rng_chance(g, 0.6)  ? DP_CORE_CACHED
		: rng_chance(g, 0.7) ? DP_CORE_COMMITTED
				     : DP_CORE_LOCAL;
	o->flush = rng_chance(g, 0.5) ? DP_CORE_CACHED : DP_CORE_COMMITTED;
	o->ack_legs = rng_chance(g, 0.6) ? o->legs : (unsigned)rng_between(g, 1, o->legs);
	o->keep_serving = rng_chance(g, 0.4) ? o->legs : (unsigned)rng_between(g, 1, o->legs);
}

static struct dp_seal *new_seal(struct sim *sim, const uint8_t *secret)
{
	uint8_t random[32];
	struct dp_seal *seal = NULL;
	for (unsigned i = 0; i < 4; i++)
		dp_put64(random + 8 * i, rng_next(&sim->seal_rng));
	/* Half of them as on a processor that has no AES. */
	enum dp_seal_cipher cipher = random[0] & 1 && dp_seal_possible(DP_SEAL_AES256GCM)
		? DP_SEAL_AES256GCM
		: DP_SEAL_CHACHA20POLY1305;
	int err = dp_seal_new(SIM_STREAM, cipher, secret, NULL,
		(const uint8_t(*)[DP_SEAL_KEY_SIZE])sim->holders, sim->holder_count, random, &seal);
	if (err && err != DP_ENOMEM)
		sim_fail("nothing can be sealed: %s", dp_strerror(err));
	return seal;
}

static int open_node(struct sim *sim, struct node *n)
{
	bool holder = sim->opt.sealed && n->role != DP_CORE_RELAY;
	n->cfg.core.seal = holder ? new_seal(sim, n->secret) : NULL;
	if (holder && !n->cfg.core.seal)
		return DP_ENOMEM;
	int err = dp_stream_open(sim_disk_table(n->disk), &n->cfg, &stream_ops, sim, &n->stream);
	if (err)
		dp_seal_free(&n->cfg.core.seal);
	return err;
}

static void close_node(struct node *n)
{
	dp_stream_close(&n->stream);
	dp_seal_free(&n->cfg.core.seal);
}

/* What the topology file may say differently the next time. */
static void change_policies(struct sim *sim, struct node *n)
{
	struct dp_core_config *cfg = &n->cfg.core;
	struct sim_options *o = &sim->opt;
	struct rng *g = &sim->change_rng;
	if (!o->changes || !rng_chance(g, 0.7))
		return;
	/* The first few of the legs; one may go only where the others can do without it. */
	unsigned legs = (unsigned)rng_between(g, 1, o->all_legs);
	if (!o->wipes && (legs > o->legs || n->was_whole))
		o->legs = n->down_count = cfg->down_count = legs;
	draw_policies(g, o);
	cfg->ack = o->ack;
	cfg->flush = o->flush;
	cfg->ack_legs = o->ack_legs;
	cfg->keep_serving = o->keep_serving;
	if (sim->verbose)
		printf("%10.6f legs %u ack %d/%u keep %u flush %d\n", (double)sim->now / 1e6,
			o->legs, o->ack, o->ack_legs, o->keep_serving, o->flush);
}

static void start_node(struct sim *sim, void *arg, uint64_t number)
{
	struct node *n = arg;
	(void)number;
	if (n->stream)
		return;
	if (n->role == DP_CORE_CONTROLLER && n->life && !sim->healed)
		change_policies(sim, n);
	n->cfg.random = rng_next(&sim->process_rng) | 1;
	int err = open_node(sim, n);
	if (err == DP_ECORRUPT && n->rotten) {
		/* Said, not hidden: the operator gives the relay an empty disk. */
		if (sim->verbose)
			printf("%10.6f %s finds its journal damaged\n", (double)sim->now / 1e6,
				n->name);
		sim_disk_wipe(n->disk);
		laws_wiped(n);
		n->rotten = false;
		sim->wiped_us = sim->now;
		err = open_node(sim, n);
	}
	if (err == DP_ENOMEM && sim->starved) {
		sim_at(sim, RESTART_US, start_node, n, 0);
		return;
	}
	if (err)
		sim_fail("%s does not start: %s", n->name, dp_strerror(err));
	if (dp_stream_store(n->stream))
		dp_store_resync_step(dp_stream_store(n->stream),
			(struct resync_step){sim->opt.resync_chunk, sim->opt.resync_slots,
				sim->opt.resync_sync});
	laws_recovered(sim, n);
	start_health(sim, n);
	dp_stream_start(n->stream);
	if (n->role == DP_CORE_CONTROLLER)
		host_resubmit(sim);
	sim_at(sim, TICK_US, tick, n, n->life);
}

void world_start(struct sim *sim, struct node *n)
{
	start_node(sim, n, 0);
}

void world_crash(struct sim *sim, struct node *n)
{
	if (!n->stream)
		return;
	if (sim->verbose)
		printf("%10.6f %s crashes\n", (double)sim->now / 1e6, n->name);
	sim_disk_crash(n->disk);
	close_node(n);
	n->life++;
	sim->crashes++;
	n->to_up.connection++;
	for (unsigned i = 0; i < n->down_count; i++)
		n->to_down[i].connection++;
}

void world_wipe(struct sim *sim, struct node *n)
{
	if (sim->verbose)
		printf("%10.6f %s loses its disk\n", (double)sim->now / 1e6, n->name);
	sim_disk_wipe(n->disk);
	laws_wiped(n);
	sim->wiped = true;
	sim->wiped_us = sim->now;
}

/* Whether every other mirror has, whole and safe, all that is agreed: one more may lose its disk.
 */
static bool others_are_whole(struct sim *sim, const struct node *n)
{
	const struct dp_core *controller = sim->nodes[0].stream
		? dp_stream_core(sim->nodes[0].stream)
		: NULL;
	bool whole = controller && controller->state == DP_CORE_OPEN && !controller->insync.away &&
		!controller->log.last.away;
	for (unsigned i = 0; i < sim->node_count && whole; i++) {
		const struct node *m = &sim->nodes[i];
		const struct dp_core *c = m->stream ? dp_stream_core(m->stream) : NULL;
		if (m->role == DP_CORE_MIRROR && m != n)
			whole = c && !c->log.last.images.building && !c->rebuild.switch_token &&
				!c->rebuild.reset && !c->rebuild.reset_token &&
				c->journal.durable >= controller->agreed;
	}
	return whole;
}

/* The end of a stop in good order, which has begun and does not end otherwise. */
static void crash_later(struct sim *sim, void *arg, uint64_t life)
{
	struct node *n = arg;
	if (!n->stream || n->life != life)
		return;
	const struct dp_core *core = dp_stream_core(n->stream);
	n->was_whole = !core->insync.away && !core->log.last.away;
	world_crash(sim, n);
	sim_at(sim, RESTART_US, start_node, n, 0);
}

static void fault_crash(struct sim *sim, void *arg, uint64_t number)
{
	struct node *n = &sim->nodes[rng_below(&sim->process_rng, sim->node_count)];
	bool soon = sim->opt.resyncs && rng_chance(&sim->process_rng, 0.7);
	(void)arg;
	(void)number;
	if (sim->healed)
		return;
	if (soon)
		n = &sim->nodes[0];
	sim_at(sim, rng_between(&sim->process_rng, 1, 2 * sim->opt.crash_mean_us), fault_crash,
		NULL, 0);
	/* Soon after a disk was lost, the crash of a controller would need a resync. */
	if (sim->wiped && n->role == DP_CORE_CONTROLLER && sim->now < sim->wiped_us + WIPE_REST_US)
		return;
	/* Nor may the journal be lost that has what a leg lacks. */
	const struct dp_core *core = n->stream ? dp_stream_core(n->stream) : NULL;
	bool whole = core && !core->insync.away && !core->log.last.away;
	n->was_whole = whole;
	if (sim->opt.changes && n->stream && rng_chance(&sim->change_rng, 0.5)) {
		dp_stream_drain(n->stream); /* a stop in good order, or cut short */
		sim_at(sim, rng_between(&sim->change_rng, 1, 100000), crash_later, n, n->life);
		return;
	}
	world_crash(sim, n);
	/* One disk of a relay, or the controller's where its journal is lazy and always was, may be
	 * lost altogether under retain: committed. */
	bool lazy = !sim->opt.local_image && sim->opt.ack != DP_CORE_LOCAL &&
		sim->opt.ack_legs == sim->opt.legs;
	bool source = sim->opt.legs > 1 || sim->opt.local_image;
	/* As long as a controller has not recovered, a first node may have what nobody else has. */
	const struct dp_core *controller = sim->nodes[0].stream
		? dp_stream_core(sim->nodes[0].stream)
		: NULL;
	bool may = n->role == DP_CORE_RELAY ? controller && controller->state == DP_CORE_OPEN
		: n->role == DP_CORE_MIRROR ? source && sim->nodes[0].stream != NULL
					    : lazy && whole && !sim->opt.changes;
	bool again = n->role == DP_CORE_MIRROR && sim->now >= sim->wiped_us + WIPE_REST_US &&
		others_are_whole(sim, n);
	bool rot = n->role == DP_CORE_RELAY && rng_chance(&sim->process_rng, 0.5);
	if (sim->opt.wipes && may && !sim->wiped && rot && !n->stream) {
		sim_disk_rot(n->disk);
		n->rotten = sim->wiped = true;
		sim->wiped_us = sim->now;
	} else if (sim->opt.wipes && may && (!sim->wiped || again) &&
		rng_chance(&sim->process_rng, 0.5)) {
		world_wipe(sim, n);
	}
	uint64_t away = rng_between(&sim->process_rng, 1000, soon ? 50000 : 1500000);
	sim_at(sim, away, start_node, n, 0);
}

static struct wire *any_wire(struct sim *sim)
{
	struct node *n = &sim->nodes[rng_below(&sim->network_rng, sim->node_count)];
	if (n->down_count && rng_chance(&sim->network_rng, 0.5))
		return &n->to_down[rng_below(&sim->network_rng, n->down_count)];
	return &n->to_up;
}

void world_cut(struct wire *w)
{
	w->cut = true;
}

void world_mend(struct wire *w)
{
	w->cut = false;
	w->connection++;
}

static void mend(struct sim *sim, void *arg, uint64_t number)
{
	(void)sim;
	(void)number;
	world_mend(arg);
}

void world_depose(struct sim *sim, unsigned leg, uint64_t session, uint64_t epoch)
{
	struct node *n = &sim->nodes[sim->nodes[0].down[leg]];
	struct dp_msg m = {.type = DP_MSG_HELLO,
		.stream = SIM_STREAM,
		.session = session,
		.u.hello = {.epoch = epoch, .config = SIM_CONFIG}};
	post(sim, &sim->deposed_wire, NULL, n, leg, true, &m);
}

/* A controller that was deposed and does not know it yet, asking with an epoch that is over. */
static void fault_deposed(struct sim *sim, void *arg, uint64_t number)
{
	struct node *controller = &sim->nodes[0];
	struct rng *g = &sim->deposed_rng;
	unsigned leg = (unsigned)rng_below(g, controller->down_count);
	struct node *n = &sim->nodes[controller->down[leg]];
	(void)arg;
	(void)number;
	if (sim->healed)
		return;
	sim_at(sim, rng_between(g, 1, 1000000), fault_deposed, NULL, 0);
	if (n->told_promised < 2)
		return;
	uint64_t session = rng_next(g);
	world_depose(sim, leg, session, rng_between(g, 1, n->told_promised - 1));
}

/* A cut takes one direction; two of them make a full partition. */
static void fault_cut(struct sim *sim, void *arg, uint64_t number)
{
	(void)arg;
	(void)number;
	if (sim->healed)
		return;
	struct wire *w = any_wire(sim);
	world_cut(w);
	sim_at(sim, rng_between(&sim->network_rng, 1000, 6000000), mend, w, 0);
	sim_at(sim, rng_between(&sim->network_rng, 1, 2 * sim->opt.cut_mean_us), fault_cut, NULL,
		0);
}

/* An operator pauses a leg, has it dropped, resumes one, has one resynced. */
static void fault_order(struct sim *sim, void *arg, uint64_t number)
{
	struct rng *g = &sim->operator_rng;
	struct node *controller = &sim->nodes[0];
	(void)arg;
	(void)number;
	if (sim->healed)
		return;
	sim_at(sim, rng_between(g, 1, sim->opt.resyncs ? 2000000 : 3000000), fault_order, NULL, 0);
	uint32_t link = (uint32_t)rng_below(g, controller->down_count);
	/* A leg for which nothing is kept and one that lost its disk could be all there are. */
	uint64_t order = sim->opt.resyncs ? DP_LEG_RESYNC : rng_below(g, sim->opt.wipes ? 2 : 4);
	if (!controller->stream)
		return;
	/* All that it lacks, or a part. */
	const struct dp_log *log = &dp_stream_core(controller->stream)->log;
	uint64_t drop_to = rng_chance(g, 0.5)
		? UINT64_MAX
		: rng_between(g, log->tail.at.seq, log->last.at.seq + 1);
	if (sim->verbose)
		printf("%10.6f operator: order %u for leg %u, to %" PRIu64 "\n",
			(double)sim->now / 1e6, (unsigned)order, link, drop_to);
	dp_stream_leg(controller->stream, link,
		(struct dp_order){(enum dp_leg_order)order, drop_to});
}

void world_start_faults(struct sim *sim)
{
	if (sim->opt.orders)
		sim_at(sim, 500000, fault_order, NULL, 0);
	if (sim->opt.crash_mean_us)
		sim_at(sim, sim->opt.crash_mean_us, fault_crash, NULL, 0);
	if (sim->opt.cut_mean_us)
		sim_at(sim, sim->opt.cut_mean_us, fault_cut, NULL, 0);
	sim_at(sim, 1000000, fault_deposed, NULL, 0);
}

void world_heal(struct sim *sim)
{
	sim->healed = true;
	if (sim->opt.legs < sim->opt.all_legs) {
		world_crash(sim, &sim->nodes[0]);
		sim->opt.legs = sim->nodes[0].down_count = sim->nodes[0].cfg.core.down_count =
			sim->opt.all_legs;
	}
	for (unsigned i = 0; i < sim->node_count; i++) {
		struct node *n = &sim->nodes[i];
		n->to_up.cut = false;
		for (unsigned l = 0; l < n->down_count; l++)
			n->to_down[l].cut = false;
		sim_disk_slow(n->disk, 100);
		sim_disk_bad(n->disk, NULL, 0);
		start_node(sim, n, 0);
	}
	for (unsigned l = 0; l < sim->nodes[0].down_count; l++)
		dp_stream_leg(sim->nodes[0].stream, l, (struct dp_order){.order = DP_LEG_RESUME});
}

/* ---- making a world ---- */

/* Volumes are small: smaller steps make as many rounds and syncs of a resync as large ones have. */
static void draw_resync(struct rng *g, struct sim_options *o)
{
	o->resync_chunk = 4096u << rng_below(g, 5);
	o->resync_slots = rng_chance(g, 0.3) ? SLOTS : (unsigned)rng_between(g, 1, 8);
	o->resync_sync = DP_KIB * rng_between(g, 4, 256);
	o->resync_rate = rng_chance(g, 0.5) ? 0 : DP_KIB * rng_between(g, 32, 1024);
}

/* Two mirrors and more, one of which is enough; a controller whose disk is so slow that mirrors
 * have much that it has not when it crashes, as it often does and not for long; copies that take
 * longer, and hosts that write all the time. */
static void draw_resyncs(struct rng *g, struct sim_options *o)
{
	o->legs = (unsigned)rng_between(g, 2, 3);
	for (unsigned i = 0; i < o->legs; i++)
		o->hops[i] = rng_chance(g, 0.8) ? 0 : 1;
	o->ack_legs = o->keep_serving = 1;
	o->ack = DP_CORE_CACHED;
	o->wipes = o->track = o->next_hop = false;
	o->orders = true;
	o->sync_us = rng_between(g, 100, 2000);
	o->controller_sync_us = rng_between(g, 5000, 50000);
	o->latency_us = rng_between(g, 50, 2000);
	o->crash_mean_us = rng_between(g, 100000, 400000);
	o->cut_mean_us = 0;
	o->bad_writes = o->no_memory = 0;
	o->resync_rate = DP_KIB * rng_between(g, 64, 2048);
	o->resync_sync = DP_KIB * rng_between(g, 4, 32);
	o->fault_us = 8000000;
}

static void draw_options(struct sim *sim)
{
	struct rng *g = &sim->options_rng;
	struct sim_options *o = &sim->opt;
	o->legs = (unsigned)rng_between(g, 1, 3);
	for (unsigned i = 0; i < o->legs; i++)
		o->hops[i] = (unsigned)rng_below(g, 3);
	o->ack = rng_chance(g, 0.6)  ? DP_CORE_CACHED
		: rng_chance(g, 0.7) ? DP_CORE_COMMITTED
				     : DP_CORE_LOCAL;
	o->flush = rng_chance(g, 0.5) ? DP_CORE_CACHED : DP_CORE_COMMITTED;
	o->ack_legs = rng_chance(g, 0.6) ? o->legs : (unsigned)rng_between(g, 1, o->legs);
	o->next_hop = rng_chance(g, 0.2);
	o->local_image = rng_chance(g, 0.3);
	o->volume_size = 2 * SIM_BLOCK * rng_between(g, 128, 512);
	o->journal_size = SIM_JOURNAL;
	o->window_bytes = DP_KIB * rng_between(g, 128, 1024);
	o->fault_us = 1000000 * rng_between(g, 2, 8);
	o->sync_us = rng_chance(g, 0.5) ? 100 : rng_between(g, 100, 20000);
	o->latency_us = rng_chance(g, 0.5) ? 50 : rng_between(g, 50, 40000);
	o->jitter_us = o->latency_us / 4 + 20;
	o->stale_lost = 0.7;
	o->loss = rng_chance(g, 0.5) ? 0 : (double)rng_below(g, 30) / 1000;
	o->corruption = rng_chance(g, 0.7) ? 0 : (double)rng_below(g, 20) / 1000;
	o->duplication = rng_chance(g, 0.6) ? 0 : 0.05;
	o->crash_mean_us = rng_chance(g, 0.15) ? 0 : rng_between(g, 50000, 1500000);
	o->cut_mean_us = rng_chance(g, 0.4) ? 0 : rng_between(g, 200000, 3000000);
	o->keep_serving = rng_chance(&sim->health_rng, 0.4)
		? o->legs
		: (unsigned)rng_between(&sim->health_rng, 1, o->legs);
	o->health.interval_us = rng_between(&sim->health_rng, 20000, 200000);
	o->health.down_after_us = o->health.interval_us * rng_between(&sim->health_rng, 3, 8) +
		4 * o->latency_us;
	o->health.probation_us = rng_below(&sim->health_rng, 2000000);
	o->wipes = !o->next_hop && rng_chance(g, 0.3);
	/* A leg that was given up and one that lost its disk could be all there are. */
	o->track = !o->wipes && rng_chance(&sim->health_rng, 0.5);
	o->track_kib = rng_below(&sim->health_rng, 512);
	o->orders = rng_chance(&sim->operator_rng, 0.3);
	draw_resync(&sim->resync_rng, o);
	o->bad_writes = rng_chance(&sim->failure_rng, 0.6)
		? 0
		: (double)rng_between(&sim->failure_rng, 1, 30) / 3000;
	o->read_cache = rng_chance(&sim->failure_rng, 0.5)
		? 0
		: 4096 * rng_between(&sim->failure_rng, 1, 64);
	o->no_memory = rng_chance(&sim->memory_rng, 0.7)
		? 0
		: 1.0 / (double)rng_between(&sim->memory_rng, 200, 20000);
	o->host_dies = rng_chance(&sim->resync_rng, 0.5) ? 0 : 0.5;
	o->resyncs = rng_chance(&sim->resync_rng, 0.2);
	if (o->resyncs)
		draw_resyncs(&sim->resync_rng, o);
	o->sealed = rng_chance(&sim->seal_rng, 0.2);
	o->changes = !o->resyncs && rng_chance(&sim->change_rng, 0.3);
	if (sim->verbose)
		printf("legs %u (hops %u %u %u) ack %d/%u keep %u flush %d next_hop %d local %d window %" PRIu64
		       " fault %" PRIu64 " sync %" PRIu64 " latency %" PRIu64
		       " loss %.3f corrupt %.3f dup %.2f bad writes %.4f no memory %.5f crash %" PRIu64
		       " cut %" PRIu64 " wipes %d resyncs %d host dies %.1f sealed %d changes %d\n",
			o->legs, o->hops[0], o->hops[1], o->hops[2], o->ack, o->ack_legs,
			o->keep_serving, o->flush, o->next_hop, o->local_image, o->window_bytes,
			o->fault_us, o->sync_us, o->latency_us, o->loss, o->corruption,
			o->duplication, o->bad_writes, o->no_memory, o->crash_mean_us,
			o->cut_mean_us, o->wipes, o->resyncs, o->host_dies, o->sealed, o->changes);
}

static struct dp_store_volume volumes[2] = {{.id = 1, .file = "v1"}, {.id = 2, .file = "v2"}};

static struct node *add_node(struct sim *sim, enum dp_core_role role, const char *name)
{
	struct node *n = &sim->nodes[sim->node_count];
	*n = (struct node){.sim = sim, .index = sim->node_count++, .role = role, .up = -1};
	snprintf(n->name, sizeof n->name, "%s", name);
	if (sim->opt.sealed && role != DP_CORE_RELAY) {
		uint8_t seed[crypto_box_SEEDBYTES] = {(uint8_t)n->index};
		crypto_box_seed_keypair(sim->holders[sim->holder_count++], n->secret, seed);
	}
	bool slow = role == DP_CORE_CONTROLLER && sim->opt.resyncs;
	n->disk = sim_disk_new(sim, &sim->disk_rng,
		slow ? sim->opt.controller_sync_us : sim->opt.sync_us);
	sim_disk_watch(n->disk, laws_written, n);
	if (sim->watch)
		sim_disk_steady(n->disk);
	if (sim->opt.bad_writes > 0)
		sim_disk_bad(n->disk, &sim->failure_rng, sim->opt.bad_writes);
	n->cfg = (struct dp_stream_config){
		.core = {.stream = SIM_STREAM,
			.config = SIM_CONFIG,
			.role = role,
			.image = role == DP_CORE_MIRROR ||
				(role == DP_CORE_CONTROLLER && sim->opt.local_image),
			.ack = sim->opt.ack,
			.flush = sim->opt.flush,
			.ack_legs = sim->opt.ack_legs,
			.keep_serving = sim->opt.keep_serving,
			.retain_next_hop = sim->opt.next_hop,
			.window_bytes = sim->opt.window_bytes,
			.track = sim->opt.track && role == DP_CORE_CONTROLLER,
			.low_room = sim->opt.journal_size - 2 * DP_MIB -
				sim->opt.track_kib * DP_KIB},
		.now_us = &sim->now,
		.journal_file = "journal",
		.journal_size = sim->opt.journal_size,
		.volumes = volumes,
		.volume_count = 2,
		.resync_rate = sim->opt.resync_rate,
		.read_cache = role == DP_CORE_CONTROLLER ? sim->opt.read_cache : 0,
	};
	for (uint32_t i = 0; i < DP_DOWN_MAX; i++)
		n->cfg.core.leg_ids[i] = 100 + i;
	return n;
}

/* Which link is nearest, and what it may have under way. */
static void draw_link(struct sim *sim, struct dp_core_config *cfg, unsigned link)
{
	uint64_t at = rng_below(&sim->failure_rng, cfg->down_count);
	cfg->read_order[link] = cfg->read_order[at];
	cfg->read_order[at] = (uint8_t)link;
	if (rng_chance(&sim->failure_rng, 0.3))
		cfg->link_window[link] = DP_KIB * rng_between(&sim->failure_rng, 64, 512);
	if (rng_chance(&sim->failure_rng, 0.2))
		cfg->link_rate[link] = DP_KIB * rng_between(&sim->failure_rng, 256, 4096);
}

static void join(struct sim *sim, struct node *above, struct node *below)
{
	unsigned link = above->down_count++;
	struct wire w = {.latency_us = sim->opt.latency_us, .jitter_us = sim->opt.jitter_us};
	above->down[link] = below->index;
	above->to_down[link] = w;
	above->cfg.core.down_count = above->down_count;
	if (sim->watch)
		above->cfg.core.read_order[link] = (uint8_t)link;
	else
		draw_link(sim, &above->cfg.core, link);
	below->up = (int)above->index;
	below->up_link = link;
	below->to_up = w;
}

void world_build(struct sim *sim)
{
	sim->opt.all_legs = sim->opt.legs;
	volumes[0].size = volumes[1].size = sim->opt.volume_size / 2;
	if (sim->opt.no_memory > 0)
		sim_memory(starve, sim);
	struct node *controller = add_node(sim, DP_CORE_CONTROLLER, "controller");
	for (unsigned leg = 0; leg < sim->opt.legs; leg++) {
		struct node *above = controller;
		char name[32];
		for (unsigned hop = 0; hop < sim->opt.hops[leg]; hop++) {
			snprintf(name, sizeof name, "relay-%u.%u", leg, hop);
			struct node *relay = add_node(sim, DP_CORE_RELAY, name);
			join(sim, above, relay);
			above = relay;
		}
		snprintf(name, sizeof name, "mirror-%u", leg);
		join(sim, above, add_node(sim, DP_CORE_MIRROR, name));
	}
	while (sim->opt.sealed && !sim->opener) /* the checker always has memory */
		sim->opener = new_seal(sim, controller->secret);
	sim->check = check_new(SIM_STREAM, sim->opt.volume_size, sim->opener);
	for (unsigned i = sim->node_count; i-- > 0;)
		sim_at(sim, i, start_node, &sim->nodes[i], 0);
}

void world_make(struct sim *sim)
{
	draw_options(sim);
	world_build(sim);
}

/* ---- the end ---- */

bool world_settled(struct sim *sim)
{
	for (unsigned i = 0; i < sim->node_count; i++)
		if (!sim->nodes[i].stream)
			return false;
	const struct dp_core *c = dp_stream_core(sim->nodes[0].stream);
	if (c->committed != c->log.last.at.seq || c->insync.away || c->log.last.away)
		return false;
	for (unsigned i = 0; i < sim->node_count; i++) {
		const struct dp_core *n = dp_stream_core(sim->nodes[i].stream);
		if (n->log.last.at.seq != c->log.last.at.seq ||
			(n->cfg.image && n->image.applied != c->log.last.at.seq) ||
			n->log.last.images.building || n->rebuild.switch_token)
			return false;
	}
	return true;
}

bool world_converged(struct sim *sim)
{
	return host_idle(sim) && world_settled(sim);
}

static void explain(struct sim *sim)
{
	for (unsigned i = 0; i < sim->node_count; i++) {
		const struct dp_core *c = dp_stream_core(sim->nodes[i].stream);
		printf("  %s %s: tail %" PRIu64 " applied %" PRIu64 " agreed %" PRIu64
		       " durable %" PRIu64 " last %" PRIu64 " committed %" PRIu64 " room %" PRIu64
		       " up %d memory %" PRIu64 "\n",
			sim->nodes[i].name, dp_core_state_name(c->state), c->log.tail.at.seq,
			c->image.applied, c->agreed, c->journal.durable, c->log.last.at.seq,
			c->committed, c->journal.room, c->up.started, c->log.memory);
		for (unsigned l = 0; l < c->cfg.down_count; l++)
			printf("    link %u %s%s%s: sent %" PRIu64 " cached %" PRIu64
			       " committed %" PRIu64 " flight %" PRIu64 " room %" PRIu64
			       " loading %" PRIu64 "\n",
				l, dp_down_state_name(c->down[l].state),
				c->insync.away >> l & 1 ? " away" : "",
				c->down[l].images == DP_IMAGES_WHOLE ? "" : " not whole",
				c->down[l].sent, c->down[l].cached, c->down[l].committed,
				c->down[l].flight, c->down[l].room, c->down[l].loading);
	}
}

/* The first thing from the host outwards that has come to a stop. */
static void fail_progress(struct sim *sim)
{
	uint64_t last = dp_stream_core(sim->nodes[0].stream)->log.last.at.seq;
	explain(sim);
	for (unsigned i = 0; i < sim->node_count; i++) {
		struct node *n = &sim->nodes[i];
		const struct dp_core *c = dp_stream_core(n->stream);
		if (c->state != DP_CORE_OPEN)
			sim_fail("progress: %s stays in state %s", n->name,
				dp_core_state_name(c->state));
		for (unsigned l = 0; l < n->down_count; l++) {
			const struct dp_down *d = &c->down[l];
			const char *below = sim->nodes[n->down[l]].name;
			if (d->state != DP_DOWN_ACTIVE)
				sim_fail("progress: the link %s -> %s stays in state %s", n->name,
					below, dp_down_state_name(d->state));
			if (d->cached < last)
				sim_fail("progress: %s was sent %" PRIu64 " of %" PRIu64
					 " records by %s and has acknowledged %" PRIu64,
					below, d->sent, last, n->name, d->cached);
		}
		if (c->log.last.images.building)
			sim_fail("progress: the resync of %s does not end (%" PRIu64
				 " bytes are copied)",
				n->name, c->log.last.images.copied);
		if (c->cfg.image && c->image.applied < last)
			sim_fail("progress: %s has applied %" PRIu64 " of %" PRIu64
				 " records, %" PRIu64 " are agreed",
				n->name, c->image.applied, last, c->agreed);
	}
	if (dp_stream_core(sim->nodes[0].stream)->insync.away)
		sim_fail("progress: a leg that has caught up does not count again");
	sim_fail("progress: %s",
		host_idle(sim) ? "all is sent, and not committed"
			       : "a request of the host is not answered");
}

void world_check_images(struct sim *sim)
{
	struct dp_position end = dp_stream_core(sim->nodes[0].stream)->log.last.at;
	uint64_t half = sim->opt.volume_size / 2, size;
	uint8_t *expected = malloc(2 * half);
	check_replay(sim->check, end, expected);
	for (unsigned i = 0; i < sim->node_count; i++) {
		struct node *n = &sim->nodes[i];
		if (!dp_stream_core(n->stream)->cfg.image)
			continue;
		char v1[32], v2[32];
		laws_image_names(&dp_stream_core(n->stream)->log.last.images, v1, v2);
		if (memcmp(sim_disk_bytes(n->disk, v1, &size), expected, half) ||
			memcmp(sim_disk_bytes(n->disk, v2, &size), expected + half, half))
			sim_fail("image of %s is not the history's result", n->name);
	}
	free(expected);
}

void world_check_end(struct sim *sim)
{
	if (!world_converged(sim))
		fail_progress(sim);
	host_check(sim, dp_stream_core(sim->nodes[0].stream)->log.last.at);
	world_check_images(sim);
	const struct dp_sets *sets = &dp_stream_core(sim->nodes[0].stream)->sets;
	if (sets->executing != sets->count)
		sim_fail("write sets are still executing after everything is committed");
}

void world_free(struct sim *sim)
{
	sim_memory(NULL, NULL);
	for (unsigned i = 0; i < sim->node_count; i++) {
		sim_disk_crash(sim->nodes[i].disk);
		close_node(&sim->nodes[i]);
	}
	while (sim->event_count) {
		struct event *ev = &sim->events[--sim->event_count];
		if (ev->fn == deliver) {
			struct packet *p = ev->arg;
			dp_buf_unref(&p->payload);
			free(p);
		} else if (ev->fn == deliver_beat) {
			free(ev->arg);
		}
	}
	for (unsigned i = 0; i < sim->node_count; i++)
		sim_disk_free(sim->nodes[i].disk);
	host_free(sim);
	check_free(sim->check);
	dp_seal_free(&sim->opener);
}
