/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"
#include "sim.h"

#define FILES 8

struct dp_file {
	char name[64];
	uint64_t size;
	bool durable, exists;
	bool failing;        /* a write failed */
	uint8_t *now, *safe; /* what reads see, what a crash leaves */
	struct pending *pending, **pending_end;
	struct sim_disk *disk;
};

/* A write that a crash may lose: under way, or done and not yet synced. */
struct pending {
	uint64_t offset, size;
	uint8_t *data; /* NULL: zeros */
	bool done;
	struct pending *next;
};

struct op {
	struct sim_disk *disk;
	struct dp_io *io;
	struct pending *write;
	uint64_t life;
};

struct sim_disk {
	struct dp_disk base;
	struct sim *sim;
	struct rng *rng;
	uint64_t sync_us, life;
	bool steady;
	struct rng *bad_rng; /* of failing writes; NULL: none fail */
	double bad;          /* the probability that one does */
	sim_written *written;
	void *written_arg;
	struct dp_file files[FILES];
};

static void put(uint8_t *to, const struct pending *p)
{
	if (p->data)
		memcpy(to + p->offset, p->data, p->size);
	else
		memset(to + p->offset, 0, p->size);
}

static void drop_pending(struct dp_file *f)
{
	while (f->pending) {
		struct pending *p = f->pending;
		f->pending = p->next;
		free(p->data);
		free(p);
	}
	f->pending_end = &f->pending;
}

static struct dp_file *find(struct sim_disk *d, const char *name)
{
	for (int i = 0; i < FILES; i++)
		if (d->files[i].exists && strcmp(d->files[i].name, name) == 0)
			return &d->files[i];
	return NULL;
}

static int sim_open(struct dp_disk *disk, const char *name, unsigned flags, uint64_t size,
	struct dp_file **out, bool *created)
{
	struct sim_disk *d = (struct sim_disk *)disk;
	struct dp_file *f = find(d, name);
	*created = !f;
	for (int i = 0; !f && i < FILES; i++) {
		if (d->files[i].exists)
			continue;
		f = &d->files[i];
		*f = (struct dp_file){.size = size,
			.exists = true,
			.disk = d,
			.durable = flags & DP_OPEN_DURABLE,
			.now = calloc(1, size),
			.safe = calloc(1, size)};
		snprintf(f->name, sizeof f->name, "%s", name);
		f->pending_end = &f->pending;
	}
	*out = f;
	return 0;
}

static void sim_close(struct dp_file *f)
{
	(void)f;
}

static int sim_remove(struct dp_disk *disk, const char *name)
{
	struct dp_file *f = find((struct sim_disk *)disk, name);
	if (!f)
		return 0;
	drop_pending(f);
	free(f->now);
	free(f->safe);
	*f = (struct dp_file){0};
	return 0;
}

static int sim_rename(struct dp_disk *disk, const char *from, const char *to)
{
	struct dp_file *f = find((struct sim_disk *)disk, from);
	if (!f)
		return DP_ENOENT;
	sim_remove(disk, to);
	snprintf(f->name, sizeof f->name, "%s", to);
	return 0;
}

static uint64_t sim_size(struct dp_file *f)
{
	return f->size;
}

static int sim_read(struct dp_file *f, void *data, size_t size, uint64_t offset)
{
	memcpy(data, f->now + offset, size);
	return 0;
}

/* A file that is being made anew counts only once it has the name. */
static bool watched(const struct dp_file *f)
{
	return f->durable && f->disk->written && strcmp(f->name, "journal") == 0;
}

static int sim_write(struct dp_file *f, const void *data, size_t size, uint64_t offset)
{
	memcpy(f->now + offset, data, size);
	memcpy(f->safe + offset, data, size);
	if (watched(f))
		f->disk->written(f->disk->written_arg, data, size);
	return 0;
}

static void settle_write(struct dp_file *f, struct pending *w)
{
	w->done = true;
	put(f->now, w);
}

/* Everything written so far is safe: the pending writes that are done leave the list. */
static void settle_sync(struct dp_file *f, bool all_done)
{
	struct pending **at = &f->pending;
	while (*at) {
		struct pending *p = *at;
		if (!p->done && !all_done) {
			at = &p->next;
			continue;
		}
		put(f->safe, p);
		*at = p->next;
		free(p->data);
		free(p);
	}
	f->pending_end = at;
}

static void tear(struct sim_disk *d, struct dp_file *f, const struct pending *p);

static void forget(struct dp_file *f, struct pending *w)
{
	struct pending **at = &f->pending;
	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	if (!*at)
		f->pending_end = at;
	free(w->data);
	free(w);
}

/* What a failed write leaves on the disk nobody knows. Nor is any later success to be believed: the
 * kernel tells of an error once, and then takes for written what is not. */
static bool goes_bad(struct sim_disk *d, struct dp_file *f, struct pending *w, int *err)
{
	bool journal = strcmp(f->name, "journal") == 0;
	if (!d->bad_rng || !journal || !(f->failing || rng_chance(d->bad_rng, d->bad)))
		return false;
	*err = f->failing && rng_chance(d->bad_rng, 0.5) ? 0 : DP_EIO;
	f->failing = true;
	if (*err)
		tear(d, f, w);
	else
		put(f->now, w);
	forget(f, w);
	return true;
}

static void complete(struct sim *sim, void *arg, uint64_t number)
{
	struct op *op = arg;
	struct dp_io *io = op->io;
	(void)sim;
	(void)number;
	if (op->life != op->disk->life) { /* of a crashed incarnation: nobody hears of it */
		free(op);
		return;
	}
	struct dp_file *f = io->file;
	int err = 0;
	if (op->write && goes_bad(op->disk, f, op->write, &err)) {
		free(op);
		io->done(io, err);
		return;
	}
	if (op->write)
		settle_write(f, op->write);
	if (op->write && watched(f) && op->write->data)
		f->disk->written(f->disk->written_arg, op->write->data, op->write->size);
	if (io->op == DP_IO_SYNC || (io->op == DP_IO_WRITE && f->durable))
		settle_sync(f, false);
	if (io->op == DP_IO_READ)
		memcpy(io->data, f->now + io->offset, io->size);
	free(op);
	io->done(io, 0);
}

static void sim_submit(struct dp_disk *disk, struct dp_io *io)
{
	struct sim_disk *d = (struct sim_disk *)disk;
	struct dp_file *f = io->file;
	struct op *op = calloc(1, sizeof *op);
	*op = (struct op){.disk = d, .io = io, .life = d->life};
	if (io->op == DP_IO_WRITE || io->op == DP_IO_ZERO) {
		struct pending *p = calloc(1, sizeof *p);
		*p = (struct pending){.offset = io->offset, .size = io->size};
		if (io->op == DP_IO_WRITE) {
			p->data = malloc(io->size);
			memcpy(p->data, io->data, io->size);
		}
		if (io->offset + io->size > f->size)
			sim_fail("write beyond the end of %s", f->name);
		*f->pending_end = p;
		f->pending_end = &p->next;
		op->write = p;
	}
	bool slow = io->op == DP_IO_SYNC || f->durable;
	uint64_t most = slow ? d->sync_us : 50;
	sim_at(d->sim, 5 + (d->steady ? most : rng_below(d->rng, most + 1)), complete, op, 0);
}

static void sim_next_data(struct dp_file *f, uint64_t offset, uint64_t *start, uint64_t *end)
{
	*start = offset < f->size ? offset : f->size;
	*end = f->size;
}

static const struct dp_disk_ops sim_ops = {sim_open, sim_close, sim_remove, sim_rename, sim_size,
	sim_read, sim_write, sim_submit, sim_next_data};

struct sim_disk *sim_disk_new(struct sim *sim, struct rng *rng, uint64_t sync_us)
{
	struct sim_disk *d = calloc(1, sizeof *d);
	d->base.ops = &sim_ops;
	d->sim = sim;
	d->rng = rng;
	d->sync_us = sync_us;
	return d;
}

struct dp_disk *sim_disk_table(struct sim_disk *d)
{
	return &d->base;
}

/* A lost write is lost by the sector: each of its sectors may or may not have reached the disk. */
static void tear(struct sim_disk *d, struct dp_file *f, const struct pending *p)
{
	unsigned fate = d->steady ? 0 : (unsigned)rng_below(d->rng, 3);
	if (fate == 0)
		return;
	for (uint64_t at = 0; at < p->size; at += SIM_BLOCK) {
		uint64_t n = p->size - at < SIM_BLOCK ? p->size - at : SIM_BLOCK;
		struct pending part = {
			p->offset + at, n, p->data ? p->data + at : NULL, true, NULL};
		if (fate == 1 || rng_chance(d->rng, 0.5))
			put(f->safe, &part);
	}
}

void sim_disk_crash(struct sim_disk *d)
{
	d->life++;
	for (int i = 0; i < FILES; i++) {
		struct dp_file *f = &d->files[i];
		if (!f->exists)
			continue;
		for (struct pending *p = f->pending; p; p = p->next)
			tear(d, f, p);
		drop_pending(f);
		memcpy(f->now, f->safe, f->size);
		f->failing = false;
	}
}

void sim_disk_wipe(struct sim_disk *d)
{
	d->life++;
	for (int i = 0; i < FILES; i++) {
		struct dp_file *f = &d->files[i];
		if (!f->exists)
			continue;
		drop_pending(f);
		free(f->now);
		free(f->safe);
		f->exists = false;
	}
}

static bool is_frame(const uint8_t *at)
{
	return memcmp(at, "JPF1", 4) == 0;
}

/* A random frame of the journal, a byte of it or of what follows. Only where a later frame proves
 * that it had been durable: nobody can tell damage to the last group from a torn one. */
void sim_disk_rot(struct sim_disk *d)
{
	struct dp_file *f = find(d, "journal");
	uint64_t frames = 0, chosen = 0, durable = 0;
	for (uint64_t at = 0; f && at + SIM_BLOCK <= f->size; at += SIM_BLOCK)
		if (is_frame(f->safe + at) && dp_get64(f->safe + at + 24) > durable)
			durable = dp_get64(f->safe + at + 24);
	for (uint64_t at = 0; f && at + SIM_BLOCK <= f->size; at += SIM_BLOCK)
		if (is_frame(f->safe + at) && dp_get64(f->safe + at + 16) < durable &&
			rng_below(d->rng, ++frames) == 0)
			chosen = at;
	if (!frames)
		return;
	uint64_t at = chosen + rng_below(d->rng, 190); /* frame and record header */
	f->safe[at] ^= 0x20;
	f->now[at] ^= 0x20;
}

void sim_disk_steady(struct sim_disk *d)
{
	d->steady = true;
}

void sim_disk_slow(struct sim_disk *d, uint64_t sync_us)
{
	d->sync_us = sync_us;
}

void sim_disk_bad(struct sim_disk *d, struct rng *rng, double probability)
{
	d->bad_rng = rng;
	d->bad = probability;
}

void sim_disk_watch(struct sim_disk *d, sim_written *written, void *arg)
{
	d->written = written;
	d->written_arg = arg;
}

const uint8_t *sim_disk_bytes(struct sim_disk *d, const char *name, uint64_t *size)
{
	struct dp_file *f = find(d, name);
	*size = f ? f->size : 0;
	return f ? f->now : NULL;
}

const uint8_t *sim_disk_safe(struct sim_disk *d, const char *name)
{
	struct dp_file *f = find(d, name);
	return f ? f->safe : NULL;
}

void sim_disk_free(struct sim_disk *d)
{
	sim_disk_wipe(d);
	free(d);
}
