/* SPDX-License-Identifier: MIT */
/* Scripts: lines of words. First the deployment, then `start`, then what happens, in order. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "scenario.h"

#define WORDS 8

struct words {
	unsigned count;
	char *at[WORDS];
};

static _Noreturn __attribute__((format(printf, 2, 3))) void wrong(const struct scenario *s,
	const char *format, ...)
{
	va_list args;
	printf("%s:%u: ", s->file, s->line);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	exit(64);
}

static const char *word(const struct scenario *s, const struct words *w, unsigned i)
{
	if (i >= w->count)
		wrong(s, "`%s` needs more words", w->at[0]);
	return w->at[i];
}

static bool is(const struct words *w, unsigned i, const char *text)
{
	return i < w->count && strcmp(w->at[i], text) == 0;
}

static uint64_t number(const struct scenario *s, const struct words *w, unsigned i)
{
	char *end;
	uint64_t n = strtoull(word(s, w, i), &end, 10);
	if (*end || end == w->at[i])
		wrong(s, "`%s` is not a number", w->at[i]);
	return n;
}

static uint64_t number_or(const struct scenario *s, const struct words *w, unsigned i,
	uint64_t other)
{
	return i < w->count ? number(s, w, i) : other;
}

static struct node *node(struct scenario *s, const struct words *w, unsigned i)
{
	for (unsigned n = 0; n < s->sim.node_count; n++)
		if (strcmp(s->sim.nodes[n].name, word(s, w, i)) == 0)
			return &s->sim.nodes[n];
	wrong(s, "there is no node `%s`", w->at[i]);
}

/* The node at the lower end of a link, which names the link. */
static struct node *lower(struct scenario *s, const struct words *w, unsigned i)
{
	struct node *n = node(s, w, i);
	if (n->up < 0)
		wrong(s, "`%s` has no link above it", n->name);
	return n;
}

/* ---- the deployment ---- */

static enum dp_core_stage stage(const struct scenario *s, const struct words *w)
{
	if (is(w, 1, "local"))
		return DP_CORE_LOCAL;
	if (is(w, 1, "cached"))
		return DP_CORE_CACHED;
	if (is(w, 1, "committed"))
		return DP_CORE_COMMITTED;
	wrong(s, "a stage is local, cached or committed");
}

static void set_legs(struct scenario *s, const struct words *w)
{
	struct sim_options *o = &s->sim.opt;
	o->legs = w->count - 1;
	if (o->legs < 1 || o->legs > 3)
		wrong(s, "1 to 3 legs, the number of relays of each");
	for (unsigned i = 0; i < o->legs; i++)
		o->hops[i] = (unsigned)number(s, w, i + 1);
	o->ack_legs = o->keep_serving = o->legs;
}

static void set_ack(struct scenario *s, const struct words *w)
{
	s->sim.opt.ack = stage(s, w);
	s->sim.opt.ack_legs = is(w, 2, "all") ? s->sim.opt.legs : (unsigned)number(s, w, 2);
}

static void set_flush(struct scenario *s, const struct words *w)
{
	s->sim.opt.flush = stage(s, w);
}

static void set_keep(struct scenario *s, const struct words *w)
{
	s->sim.opt.keep_serving = (unsigned)number(s, w, 1);
}

static void set_retain(struct scenario *s, const struct words *w)
{
	s->sim.opt.next_hop = is(w, 1, "next-hop");
	if (!s->sim.opt.next_hop && !is(w, 1, "committed"))
		wrong(s, "retain is committed or next-hop");
}

static void set_sealed(struct scenario *s, const struct words *w)
{
	(void)w;
	s->sim.opt.sealed = true;
}

/* Of the controller. */
static void set_read_cache(struct scenario *s, const struct words *w)
{
	s->sim.opt.read_cache = number(s, w, 1) * DP_KIB;
}

/* Long enough to tell the hops apart in milliseconds; a resync takes a few chunks. Most of a run is
 * reading journals: these are as small as the window allows. */
static void defaults(struct scenario *s)
{
	struct sim_options *o = &s->sim.opt;
	*o = (struct sim_options){.legs = 1,
		.ack = DP_CORE_CACHED,
		.flush = DP_CORE_COMMITTED,
		.ack_legs = 1,
		.keep_serving = 1,
		.health = {.interval_us = 100000, .down_after_us = 400000, .probation_us = 200000},
		.volume_size = 32 * DP_KIB,
		.journal_size = 2560 * DP_KIB,
		.window_bytes = DP_MIB,
		.sync_us = 1000,
		.latency_us = 10000,
		.stale_lost = 1,
		.resync_chunk = 16 * DP_KIB,
		.resync_slots = 1,
		.resync_sync = 16 * DP_KIB};
}

/* ---- conditions ---- */

static bool answered(struct sim *sim)
{
	return host_waiting(sim) == 0;
}

static bool is_open(struct sim *sim)
{
	return sim->nodes[0].stream && dp_stream_core(sim->nodes[0].stream)->state == DP_CORE_OPEN;
}

/* Everything is everywhere, and every link is at work. */
static bool converged(struct sim *sim)
{
	if (!answered(sim) || !world_settled(sim) || !is_open(sim))
		return false;
	for (unsigned i = 0; i < sim->node_count; i++)
		for (unsigned l = 0; l < sim->nodes[i].down_count; l++)
			if (dp_stream_core(sim->nodes[i].stream)->down[l].state != DP_DOWN_ACTIVE)
				return false;
	return true;
}

static bool shrunk(struct sim *sim)
{
	return sim->nodes[0].stream && dp_stream_core(sim->nodes[0].stream)->insync.away;
}

static const struct {
	const char *name;
	sim_done *done;
} conditions[] = {
	{"answered", answered}, {"open", is_open}, {"converged", converged}, {"shrunk", shrunk}};

static void wait_for(struct scenario *s, const char *name)
{
	sim_done *done = NULL;
	for (unsigned i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
		if (strcmp(conditions[i].name, name) == 0)
			done = conditions[i].done;
	if (!done)
		wrong(s, "there is no condition `%s`", name);
	if (!done(&s->sim))
		sim_run(&s->sim, s->sim.now + SCENARIO_LIMIT_US, 1, done);
	if (!done(&s->sim))
		sim_fail("line %u: `until %s` is not reached", s->line, name);
	if (done != converged)
		return;
	host_check(&s->sim, dp_stream_core(s->sim.nodes[0].stream)->log.last.at);
	world_check_images(&s->sim);
}

/* ---- what happens ---- */

/* `start quietly` leaves out how nodes meet: time 0 is when all is ready. */
static void start(struct scenario *s, const struct words *w)
{
	world_build(&s->sim);
	host_make(&s->sim);
	s->started = true;
	if (!is(w, 1, "quietly"))
		return;
	s->quiet = s->nth.fate == SIM_PASS;
	wait_for(s, "converged");
	sim_run(&s->sim, (s->sim.now / 1000000 + 1) * 1000000, 1, NULL);
	if (s->quiet)
		s->origin_us = s->sim.now;
	s->quiet = false;
}

/* OP [fua] [BLOCK [COUNT]] */
static void ask(struct scenario *s, const struct words *w, uint8_t op)
{
	unsigned at = is(w, 1, "fua") ? 2 : 1;
	struct host_wish wish = {.op = op, .flags = at == 2 ? DP_RECORD_FUA : 0};
	if (op != DP_OP_FLUSH) {
		wish.block = (uint32_t)number_or(s, w, at, 0);
		wish.blocks = (uint32_t)number_or(s, w, at + 1, 1);
	}
	if (!wish.blocks && op != DP_OP_FLUSH)
		wrong(s, "no blocks");
	if ((uint64_t)(wish.block + wish.blocks) * SIM_BLOCK > s->sim.opt.volume_size / 2)
		wrong(s, "beyond the end of the volume");
	trace_line(s, "host -> controller  #%u %s", host_requests(&s->sim) + 1, w->at[0]);
	host_ask(&s->sim, &wish);
	world_after(&s->sim);
}

static void do_write(struct scenario *s, const struct words *w)
{
	ask(s, w, DP_OP_WRITE);
}

static void do_trim(struct scenario *s, const struct words *w)
{
	ask(s, w, DP_OP_TRIM);
}

static void do_zero(struct scenario *s, const struct words *w)
{
	ask(s, w, DP_OP_ZERO);
}

static void do_flush(struct scenario *s, const struct words *w)
{
	ask(s, w, DP_OP_FLUSH);
}

static void do_read(struct scenario *s, const struct words *w)
{
	ask(s, w, 0);
}

/* cut|mend NODE [up|down]: the link above NODE, both directions if none is named. */
static void cut_or_mend(struct scenario *s, const struct words *w, void (*change)(struct wire *))
{
	struct node *n = lower(s, w, 1);
	if (!is(w, 2, "up"))
		change(&s->sim.nodes[n->up].to_down[n->up_link]);
	if (!is(w, 2, "down"))
		change(&n->to_up);
}

static void do_cut(struct scenario *s, const struct words *w)
{
	cut_or_mend(s, w, world_cut);
}

static void do_mend(struct scenario *s, const struct words *w)
{
	cut_or_mend(s, w, world_mend);
}

static void do_latency(struct scenario *s, const struct words *w)
{
	struct node *n = lower(s, w, 1);
	n->to_up.latency_us = s->sim.nodes[n->up].to_down[n->up_link].latency_us = 1000 *
		number(s, w, 2);
}

static void do_crash(struct scenario *s, const struct words *w)
{
	world_crash(&s->sim, node(s, w, 1));
	trace_states(s, true);
}

static void do_restart(struct scenario *s, const struct words *w)
{
	world_start(&s->sim, node(s, w, 1));
	world_after(&s->sim);
}

static void do_wipe(struct scenario *s, const struct words *w)
{
	struct node *n = node(s, w, 1);
	if (n->stream)
		wrong(s, "`%s` is up: its disk is lost while it is down", n->name);
	world_wipe(&s->sim, n);
}

static void do_disk(struct scenario *s, const struct words *w)
{
	sim_disk_slow(node(s, w, 1)->disk, 1000 * number(s, w, 2));
}

/* lose|duplicate|corrupt TYPE NODE up|down [COUNT]: the next such messages on the link above NODE.
 */
static void decide(struct scenario *s, const struct words *w, enum sim_fate what)
{
	const struct node *n = lower(s, w, 2), *above = &s->sim.nodes[n->up];
	bool up = is(w, 3, "up");
	struct fate f = {.from = up ? n : above,
		.to = up ? above : n,
		.type = trace_type(w->at[1]),
		.fate = what,
		.count = (unsigned)number_or(s, w, 4, 1)};
	if (!f.type)
		wrong(s, "there is no message `%s`", w->at[1]);
	if (!up && !is(w, 3, "down"))
		wrong(s, "up or down?");
	for (unsigned i = 0; i < SCENARIO_FATES; i++) {
		if (s->fates[i].count)
			continue;
		s->fates[i] = f;
		return;
	}
	wrong(s, "too many fates at once");
}

static void do_lose(struct scenario *s, const struct words *w)
{
	decide(s, w, SIM_LOSE);
}

static void do_duplicate(struct scenario *s, const struct words *w)
{
	decide(s, w, SIM_DUPLICATE);
}

static void do_corrupt(struct scenario *s, const struct words *w)
{
	decide(s, w, SIM_CORRUPT);
}

/* order LEG pause|drop|resume|resync */
static void do_order(struct scenario *s, const struct words *w)
{
	static const char *const names[] = {"resume", "pause", "drop", "resync"};
	unsigned leg = (unsigned)number(s, w, 1);
	if (leg >= s->sim.nodes[0].down_count || !s->sim.nodes[0].stream)
		wrong(s, "there is no leg %u", leg);
	for (unsigned i = 0; i < 4; i++) {
		if (!is(w, 2, names[i]))
			continue;
		dp_stream_leg(s->sim.nodes[0].stream, leg,
			(struct dp_order){(enum dp_leg_order)i, UINT64_MAX});
		world_after(&s->sim);
		return;
	}
	wrong(s, "there is no such order");
}

/* deposed LEG EPOCH: a controller that is none any more asks the leg for a session. */
static void do_deposed(struct scenario *s, const struct words *w)
{
	world_depose(&s->sim, (unsigned)number(s, w, 1), 1, number(s, w, 2));
}

static void do_run(struct scenario *s, const struct words *w)
{
	sim_run(&s->sim, s->sim.now + 1000 * number(s, w, 1), 1, NULL);
}

static void do_until(struct scenario *s, const struct words *w)
{
	wait_for(s, word(s, w, 1));
}

/* ---- lines ---- */

static const struct {
	const char *name;
	void (*run)(struct scenario *s, const struct words *w);
	enum { BEFORE_START, AFTER_START } when;
	bool told; /* the line stands in the trace */
} commands[] = {
	{"legs", set_legs, BEFORE_START, false},
	{"ack", set_ack, BEFORE_START, false},
	{"flush-at", set_flush, BEFORE_START, false},
	{"keep", set_keep, BEFORE_START, false},
	{"retain", set_retain, BEFORE_START, false},
	{"read-cache", set_read_cache, BEFORE_START, false},
	{"sealed", set_sealed, BEFORE_START, false},
	{"start", start, BEFORE_START, false},
	{"write", do_write, AFTER_START, false},
	{"trim", do_trim, AFTER_START, false},
	{"zero", do_zero, AFTER_START, false},
	{"flush", do_flush, AFTER_START, false},
	{"read", do_read, AFTER_START, false},
	{"cut", do_cut, AFTER_START, true},
	{"mend", do_mend, AFTER_START, true},
	{"latency", do_latency, AFTER_START, true},
	{"crash", do_crash, AFTER_START, true},
	{"restart", do_restart, AFTER_START, true},
	{"wipe", do_wipe, AFTER_START, true},
	{"disk", do_disk, AFTER_START, true},
	{"lose", do_lose, AFTER_START, false},
	{"duplicate", do_duplicate, AFTER_START, false},
	{"corrupt", do_corrupt, AFTER_START, false},
	{"order", do_order, AFTER_START, true},
	{"deposed", do_deposed, AFTER_START, false},
	{"run", do_run, AFTER_START, false},
	{"until", do_until, AFTER_START, false},
};

static void tell(struct scenario *s, const struct words *w)
{
	char text[128] = "";
	for (unsigned i = 0; i < w->count; i++) {
		size_t n = strlen(text);
		snprintf(text + n, sizeof text - n, " %s", w->at[i]);
	}
	trace_line(s, "*%s", text);
}

static void carry_out(struct scenario *s, const struct words *w)
{
	for (unsigned i = 0; i < sizeof commands / sizeof commands[0]; i++) {
		if (strcmp(commands[i].name, w->at[0]) != 0)
			continue;
		if ((commands[i].when == AFTER_START) != s->started)
			wrong(s, "`%s` stands %s start", w->at[0], s->started ? "before" : "after");
		if (commands[i].told)
			tell(s, w);
		commands[i].run(s, w);
		return;
	}
	wrong(s, "what is `%s`?", w->at[0]);
}

static struct words split(struct scenario *s, char *line)
{
	struct words w = {0};
	char *rest = NULL;
	line[strcspn(line, "#")] = 0;
	for (char *at = strtok_r(line, " \t\n", &rest); at; at = strtok_r(NULL, " \t\n", &rest)) {
		if (w.count == WORDS)
			wrong(s, "too many words");
		w.at[w.count++] = at;
	}
	return w;
}

void script_run(struct scenario *s, FILE *script)
{
	char line[256];
	defaults(s);
	sim_seed(&s->sim, 1);
	s->sim.watch = &trace_watch;
	while (fgets(line, sizeof line, script)) {
		s->line++;
		struct words w = split(s, line);
		if (w.count)
			carry_out(s, &w);
	}
	if (!s->started)
		wrong(s, "nothing is started");
}
