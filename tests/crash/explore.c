/* SPDX-License-Identifier: MIT */
#include "explore.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crash.h"

#define PENDING_MAX 1024
#define TEARS_MAX   3
#define TRIES       16

enum fate { LOST, WHOLE, FIRST_SECTORS, LAST_SECTORS, BUT_ONE, ONLY_ONE, SOME_SECTORS };
#define TORN_FATES 5

struct pending {
	uint32_t op;
	enum fate fate;
	uint64_t number; /* what the fate needs */
};

struct explorer {
	const struct crash_log *log;
	const struct explore_check *check;
	const struct explore_plan *plan;
	struct explore_count *count;
	struct crashdisk *disk;
	struct crash_files safe, state; /* what is durable now; what is tried */
	uint32_t *safe_at;              /* of each operation */
	struct pending pending[PENDING_MAX];
	unsigned pending_count;
	uint32_t moment;
	struct rng rng;
};

static const struct crash_op *op_of(const struct explorer *e, const struct pending *p)
{
	return &e->log->ops[p->op];
}

/* ---- what is durable ---- */

static void copy_files(struct crash_files *to, const struct crash_files *from)
{
	*to = *from;
	for (unsigned i = 0; i < to->count; i++) {
		struct crash_file *f = &to->file[i];
		const uint8_t *bytes = f->bytes;
		f->bytes = calloc(1, f->size ? f->size : 1);
		if (!f->bytes)
			abort();
		if (bytes)
			memcpy(f->bytes, bytes, f->size);
	}
}

static void free_files(struct crash_files *files)
{
	for (unsigned i = 0; i < files->count; i++)
		free(files->file[i].bytes);
}

/* Bytes [from, to) of the operation. */
static void put(struct crash_files *files, const struct crash_op *op, uint64_t from, uint64_t to)
{
	uint8_t *at = files->file[op->file].bytes + op->offset + from;
	if (op->data)
		memcpy(at, op->data + from, to - from);
	else
		memset(at, 0, to - from);
}

static void put_all(struct crash_files *files, const struct crash_op *op)
{
	if (op->kind == CRASH_WRITE)
		put(files, op, 0, op->size);
	else if (op->kind != CRASH_SYNC)
		files->file[op->file].exists = op->kind == CRASH_CREATE;
}

/* What came last to the page cache stands there last. */
static bool comes_before(const struct explorer *e, uint32_t a, uint32_t b)
{
	const struct crash_op *x = &e->log->ops[a], *y = &e->log->ops[b];
	return x->over != y->over ? x->over < y->over : a < b;
}

static void add_pending(struct explorer *e, uint32_t op)
{
	if (e->pending_count == PENDING_MAX)
		crash_fail("too much is under way at moment %u", e->moment);
	unsigned i = e->pending_count++;
	for (; i && comes_before(e, op, e->pending[i - 1].op); i--)
		e->pending[i] = e->pending[i - 1];
	e->pending[i] = (struct pending){.op = op};
}

/* Takes what is durable from now on out of what is pending. Between tries `state` is `safe`. */
static void settle(struct explorer *e)
{
	unsigned kept = 0;
	for (unsigned i = 0; i < e->pending_count; i++) {
		if (e->safe_at[e->pending[i].op] > e->moment) {
			e->pending[kept++] = e->pending[i];
			continue;
		}
		put_all(&e->safe, op_of(e, &e->pending[i]));
		put_all(&e->state, op_of(e, &e->pending[i]));
	}
	e->pending_count = kept;
}

/* ---- one state ---- */

static bool keeps(const struct pending *p, uint64_t sector, uint64_t sectors)
{
	struct rng some = {p->number + sector * 0x51ed270b};
	switch (p->fate) {
	case LOST:
		return false;
	case WHOLE:
		return true;
	case FIRST_SECTORS:
		return sector < p->number % sectors;
	case LAST_SECTORS:
		return sector > p->number % sectors;
	case BUT_ONE:
		return sector != p->number % sectors;
	case ONLY_ONE:
		return sector == p->number % sectors;
	case SOME_SECTORS:
		return rng_next(&some) >> 63;
	}
	return false;
}

static void put_some(struct crash_files *files, const struct crash_op *op, const struct pending *p)
{
	uint64_t first = op->offset / MEMDISK_SECTOR;
	uint64_t sectors = (op->offset + op->size - 1) / MEMDISK_SECTOR + 1 - first;
	for (uint64_t i = 0; i < sectors; i++) {
		uint64_t from = (first + i) * MEMDISK_SECTOR, to = from + MEMDISK_SECTOR;
		from = from < op->offset ? op->offset : from;
		to = to > op->offset + op->size ? op->offset + op->size : to;
		if (keeps(p, i, sectors))
			put(files, op, from - op->offset, to - op->offset);
	}
}

/* After a try. */
static void reset_state(struct explorer *e)
{
	for (unsigned i = 0; i < e->state.count; i++)
		e->state.file[i].exists = e->safe.file[i].exists;
	for (unsigned i = 0; i < e->pending_count; i++) {
		const struct crash_op *op = op_of(e, &e->pending[i]);
		if (op->kind == CRASH_WRITE)
			memcpy(e->state.file[op->file].bytes + op->offset,
				e->safe.file[op->file].bytes + op->offset, op->size);
	}
}

static void tell(const struct explorer *e, bool damaged)
{
	static const char fates[] = "-+<>^.%";
	printf("moment %u: ", e->moment);
	for (unsigned i = 0; i < e->pending_count; i++)
		printf("%u%c ", op_of(e, &e->pending[i])->begun, fates[e->pending[i].fate]);
	printf("%s\n", damaged ? "damaged" : "");
	fflush(stdout);
}

static void check_state(struct explorer *e, bool damaged)
{
	struct explore_state what = {e->moment, damaged, &e->rng};
	if (e->plan->verbose)
		tell(e, damaged);
	e->count->states++;
	crashdisk_load(e->disk, &e->state);
	e->check->state(e->check->ctx, e->disk, &what);
}

static void try_state(struct explorer *e)
{
	for (unsigned i = 0; i < e->pending_count; i++) {
		const struct pending *p = &e->pending[i];
		const struct crash_op *op = op_of(e, p);
		if (p->fate == WHOLE)
			put_all(&e->state, op);
		else if (p->fate != LOST && op->kind == CRASH_WRITE)
			put_some(&e->state, op, p);
	}
	check_state(e, false);
	reset_state(e);
}

/* ---- the states of a moment ---- */

static void all_are(struct explorer *e, enum fate fate)
{
	for (unsigned i = 0; i < e->pending_count; i++)
		e->pending[i].fate = fate;
}

static bool is_long(const struct crash_op *op)
{
	return op->kind == CRASH_WRITE && op->size > MEMDISK_SECTOR;
}

static void tear(struct explorer *e, struct pending *p)
{
	p->fate = (enum fate)(FIRST_SECTORS + rng_below(&e->rng, TORN_FATES));
	p->number = rng_next(&e->rng);
}

static struct pending *any(struct explorer *e)
{
	return &e->pending[rng_below(&e->rng, e->pending_count)];
}

static void try_alone(struct explorer *e, struct pending *p)
{
	all_are(e, LOST);
	p->fate = WHOLE;
	try_state(e);
}

/* With all others there, or none. */
static void try_torn(struct explorer *e, struct pending *p)
{
	if (!is_long(op_of(e, p)))
		return;
	all_are(e, rng_below(&e->rng, 2) ? WHOLE : LOST);
	tear(e, p);
	try_state(e);
}

static void try_random(struct explorer *e)
{
	for (unsigned i = 0; i < e->pending_count; i++) {
		struct pending *p = &e->pending[i];
		p->fate = rng_below(&e->rng, 2) ? WHOLE : LOST;
		if (is_long(op_of(e, p)) && rng_below(&e->rng, 4) == 0)
			tear(e, p);
	}
	try_state(e);
}

static void try_pending(struct explorer *e)
{
	unsigned n = e->pending_count, singles = n < e->plan->singles ? n : e->plan->singles;
	all_are(e, WHOLE);
	try_state(e);
	for (unsigned i = 0; n > 1 && i < singles; i++)
		try_alone(e, n > singles ? any(e) : &e->pending[i]);
	for (unsigned i = 0; i < e->plan->torn * (n < TEARS_MAX ? n : TEARS_MAX); i++)
		try_torn(e, n > TEARS_MAX ? any(e) : &e->pending[i % n]);
	for (unsigned i = 0; n > 1 && i < e->plan->random; i++)
		try_random(e);
}

/* ---- damage ---- */

static bool is_safe(const struct explorer *e, uint32_t op)
{
	return e->log->ops[op].kind == CRASH_WRITE && e->safe_at[op] <= e->moment;
}

static bool overlap(const struct crash_op *a, const struct crash_op *b)
{
	return a->file == b->file && a->offset < b->offset + b->size &&
		b->offset < a->offset + a->size;
}

/* When the write is over, and with it all that began before it: groups count in their own order. */
static uint64_t counts_at(const struct explorer *e, uint32_t n)
{
	uint64_t at = 0;
	for (uint32_t i = 0; i <= n; i++) {
		const struct crash_op *op = &e->log->ops[i];
		if (op->kind == CRASH_WRITE && op->file == e->log->ops[n].file && op->over > at)
			at = op->over;
	}
	return at;
}

static bool is_noticed(const struct explorer *e, uint32_t n)
{
	const struct crash_op *op = &e->log->ops[n];
	uint64_t counts = counts_at(e, n);
	bool noticed = false;
	for (uint32_t i = n + 1; i < e->log->op_count && e->log->ops[i].begun <= e->moment; i++) {
		const struct crash_op *later = &e->log->ops[i];
		if (later->kind == CRASH_WRITE && overlap(op, later))
			return false; /* it is no more what stands there */
		noticed = noticed ||
			(is_safe(e, i) && later->begun > counts &&
				e->check->noticed(e->check->ctx, op, later));
	}
	return noticed;
}

static void try_damage(struct explorer *e)
{
	for (unsigned i = 0; i < TRIES && e->log->op_count; i++) {
		uint32_t n = (uint32_t)rng_below(&e->rng, e->log->op_count);
		if (!is_safe(e, n) || !is_noticed(e, n))
			continue;
		const struct crash_op *op = &e->log->ops[n];
		uint8_t *at = e->state.file[op->file].bytes + op->offset +
			rng_below(&e->rng, op->size);
		*at ^= 0x10;
		all_are(e, LOST);
		check_state(e, true);
		*at ^= 0x10;
		e->count->damaged++;
		return;
	}
}

/* ---- all moments ---- */

static void try_moment(struct explorer *e, uint64_t seed)
{
	/* Of its own, so that one moment can be tried alone. */
	e->rng = (struct rng){seed + e->moment * 0x9e3779b97f4a7c15u};
	bool chosen = e->plan->only == CRASH_NEVER || e->plan->only == e->moment;
	if (!chosen || rng_below(&e->rng, 100) >= e->plan->percent)
		return;
	e->count->moments++;
	all_are(e, LOST);
	try_state(e);
	if (e->pending_count)
		try_pending(e);
	if (e->check->noticed)
		try_damage(e);
}

/* Whether a crash after this event leaves, or is held against, anything else than one before. */
static bool happen(struct explorer *e, const struct crash_event *ev)
{
	if (ev->type == CRASH_NOTED) {
		e->check->note(e->check->ctx, &ev->note);
		return ev->note.promise;
	}
	const struct crash_op *op = &e->log->ops[ev->op];
	unsigned before = e->pending_count;
	if (ev->type == CRASH_BEGUN && op->kind != CRASH_SYNC)
		add_pending(e, ev->op);
	else
		settle(e);
	return e->pending_count != before;
}

static bool is_promise(const struct explorer *e, uint32_t event)
{
	const struct crash_event *ev = &e->log->events[event];
	return event < e->log->event_count && ev->type == CRASH_NOTED && ev->note.promise;
}

static void walk(struct explorer *e, uint64_t seed)
{
	bool changed = true;
	for (uint32_t i = 0;; i++) {
		e->moment = i;
		/* With a promise the next moment asks for more of the same states. */
		if ((changed && !is_promise(e, i)) || i == e->plan->only) {
			try_moment(e, seed);
			changed = false;
		}
		if (i == e->log->event_count)
			return;
		e->moment = i + 1;
		changed |= happen(e, &e->log->events[i]);
	}
}

void explore(const struct crash_log *log, const struct explore_check *check,
	const struct explore_plan *plan, uint64_t seed, struct explore_count *count)
{
	struct explorer *e = calloc(1, sizeof *e);
	uint32_t *safe_at = calloc(log->op_count + 1, sizeof *safe_at);
	if (!e || !safe_at)
		abort();
	e->log = log;
	e->check = check;
	e->plan = plan;
	e->count = count;
	e->safe_at = safe_at;
	for (uint32_t i = 0; i < log->op_count; i++)
		safe_at[i] = crash_safe(log, &log->ops[i]);
	copy_files(&e->safe, &log->files);
	copy_files(&e->state, &log->files);
	e->disk = crashdisk_new();
	walk(e, seed);
	crashdisk_free(e->disk);
	free_files(&e->safe);
	free_files(&e->state);
	free(safe_at);
	free(e);
}

void explore_report(const char *scenario, uint64_t seed, const struct explore_count *first,
	const struct explore_count *again)
{
	printf("%s seed %" PRIu64 " ok: %" PRIu64 " moments, %" PRIu64 " states (%" PRIu64
	       " damaged), %" PRIu64 " states of crashes after a recovery\n",
		scenario, seed, first->moments, first->states, first->damaged, again->states);
}
