/* SPDX-License-Identifier: MIT */
#include "crashdisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "crash.h"

/* Ours; memdisk has a type of its own behind the same name. */
struct dp_file {
	struct crashdisk *disk;
	void *inner;
	unsigned file; /* of the log */
};

/* Stands for an operation of the product while it waits. */
struct shadow {
	struct dp_io io, *of;
	struct crashdisk *disk;
	uint32_t op; /* of the log; CRASH_NEVER: a read */
	bool fails;
};

static void *grown(void *list, uint32_t count, uint32_t *capacity, size_t size)
{
	if (count < *capacity)
		return list;
	*capacity = *capacity ? 2 * *capacity : 256;
	list = realloc(list, *capacity * size);
	if (!list)
		abort();
	return list;
}

static uint32_t add_event(struct crashdisk *d, struct crash_event ev)
{
	struct crash_log *log = &d->log;
	log->events = grown(log->events, log->event_count, &log->event_capacity, sizeof ev);
	log->events[log->event_count++] = ev;
	return log->event_count;
}

static uint32_t begin_op(struct crashdisk *d, struct crash_op op, const void *data)
{
	struct crash_log *log = &d->log;
	log->ops = grown(log->ops, log->op_count, &log->op_capacity, sizeof op);
	uint32_t n = log->op_count++;
	if (data) {
		op.data = malloc(op.size ? op.size : 1);
		if (!op.data)
			abort();
		memcpy(op.data, data, op.size);
	}
	op.over = CRASH_NEVER;
	op.begun = add_event(d, (struct crash_event){.type = CRASH_BEGUN, .op = n});
	log->ops[n] = op;
	return n;
}

static void end_op(struct crashdisk *d, uint32_t n, int err)
{
	d->log.ops[n].over = add_event(d, (struct crash_event){.type = CRASH_OVER, .op = n});
	d->log.ops[n].err = err;
}

void crashdisk_note(struct crashdisk *d, unsigned kind, bool promise, uint64_t value)
{
	if (!d->dead)
		add_event(d,
			(struct crash_event){.type = CRASH_NOTED, .note = {kind, promise, value}});
}

/* Whether this call is one that has to fail. */
static bool fails(struct crashdisk *d)
{
	uint32_t n = d->calls++;
	bool yes = n == d->fail_at || (d->fail_on && n > d->fail_at);
	d->failed += yes && !d->dead;
	return yes || d->dead;
}

/* ---- the disk table ---- */

/* The newest file of that name; a removed one is still in the list. */
static unsigned find(const struct crashdisk *d, const char *name)
{
	unsigned i = d->log.files.count;
	while (i && strcmp(d->log.files.file[i - 1].name, name) != 0)
		i--;
	return i ? i - 1 : CRASH_FILES;
}

static unsigned add_file(struct crashdisk *d, const char *name, uint64_t size)
{
	struct crash_files *files = &d->log.files;
	if (files->count == CRASH_FILES)
		crash_fail("the log has no place for another file");
	struct crash_file *f = &files->file[files->count];
	*f = (struct crash_file){.size = size};
	snprintf(f->name, sizeof f->name, "%s", name);
	return files->count++;
}

static int crash_open(struct dp_disk *disk, const char *name, unsigned flags, uint64_t size,
	struct dp_file **out, bool *created)
{
	struct crashdisk *d = (struct crashdisk *)disk;
	struct dp_disk *mem = &d->mem->base;
	struct dp_file *inner;
	*created = false;
	if (fails(d))
		return DP_EIO;
	int err = mem->ops->open(mem, name, 0, size, &inner, created);
	unsigned file = find(d, name);
	if (err == DP_ENOENT && (flags & DP_OPEN_CREATE)) {
		file = add_file(d, name, size);
		uint32_t op = begin_op(d, (struct crash_op){.kind = CRASH_CREATE, .file = file},
			NULL);
		err = mem->ops->open(mem, name, flags, size, &inner, created);
		end_op(d, op, err);
	}
	if (err)
		return err;
	if (flags & DP_OPEN_DURABLE)
		d->log.files.file[file].durable = true;
	struct dp_file *f = calloc(1, sizeof *f);
	if (!f)
		abort();
	*f = (struct dp_file){d, inner, file};
	*out = f;
	return 0;
}

static void crash_close(struct dp_file *f)
{
	f->disk->mem->base.ops->close(f->inner);
	free(f);
}

/* One that fails may have happened all the same. */
static int crash_remove(struct dp_disk *disk, const char *name)
{
	struct crashdisk *d = (struct crashdisk *)disk;
	bool failing = fails(d);
	if (d->dead)
		return DP_EIO;
	if (!memdisk_bytes(d->mem, name, NULL))
		return failing ? DP_EIO : 0;
	struct crash_op what = {.kind = CRASH_REMOVE, .file = find(d, name)};
	uint32_t op = begin_op(d, what, NULL);
	int err = failing ? DP_EIO : d->mem->base.ops->remove(&d->mem->base, name);
	end_op(d, op, err);
	return err;
}

/* A journal gets a new file after a failed write; here it never takes the old one's name, so that
 * it has failed for good, and what stood in the old file counts. */
static int crash_rename(struct dp_disk *disk, const char *from, const char *to)
{
	(void)disk;
	(void)from;
	(void)to;
	return DP_EIO;
}

static uint64_t crash_size(struct dp_file *f)
{
	return f->disk->mem->base.ops->size(f->inner);
}

static int crash_read(struct dp_file *f, void *data, size_t size, uint64_t offset)
{
	return fails(f->disk) ? DP_EIO : f->disk->mem->base.ops->read(f->inner, data, size, offset);
}

static int crash_write(struct dp_file *f, const void *data, size_t size, uint64_t offset)
{
	struct crashdisk *d = f->disk;
	bool failing = fails(d);
	if (d->dead)
		return DP_EIO;
	struct crash_op what = {
		.kind = CRASH_WRITE, .file = f->file, .offset = offset, .size = size};
	uint32_t op = begin_op(d, what, data);
	int err = failing ? DP_EIO : d->mem->base.ops->write(f->inner, data, size, offset);
	if (!d->log.files.file[f->file].durable)
		crash_fail("a blocking write to a file that is not durable: not modelled");
	end_op(d, op, err);
	return err;
}

static void shadow_done(struct dp_io *io, int err)
{
	struct shadow *s = io->arg;
	struct crashdisk *d = s->disk;
	struct dp_io *of = s->of;
	if (s->fails || d->dead)
		err = DP_EIO;
	if (s->op != CRASH_NEVER && !d->dead) {
		const struct crash_op *op = &d->log.ops[s->op];
		if (op->data && memcmp(op->data, of->data, op->size) != 0)
			crash_fail("bytes change while they are being written");
		end_op(d, s->op, err);
	}
	free(s);
	of->done(of, err);
}

static void crash_submit(struct dp_disk *disk, struct dp_io *io)
{
	struct crashdisk *d = (struct crashdisk *)disk;
	struct dp_file *f = io->file;
	struct shadow *s = calloc(1, sizeof *s);
	if (!s)
		abort();
	*s = (struct shadow){.io = *io, .of = io, .disk = d, .op = CRASH_NEVER, .fails = fails(d)};
	s->io.file = f->inner;
	s->io.done = shadow_done;
	s->io.arg = s;
	if (io->op != DP_IO_READ && !d->dead) {
		struct crash_op what = {.file = f->file,
			.offset = io->offset,
			.size = io->size,
			.kind = io->op == DP_IO_SYNC ? CRASH_SYNC : CRASH_WRITE};
		s->op = begin_op(d, what, io->op == DP_IO_WRITE ? io->data : NULL);
	}
	d->mem->base.ops->submit(&d->mem->base, &s->io);
}

static void crash_next_data(struct dp_file *f, uint64_t offset, uint64_t *start, uint64_t *end)
{
	f->disk->mem->base.ops->next_data(f->inner, offset, start, end);
}

static const struct dp_disk_ops crash_ops = {crash_open, crash_close, crash_remove, crash_rename,
	crash_size, crash_read, crash_write, crash_submit, crash_next_data};

/* ---- life ---- */

struct crashdisk *crashdisk_new(void)
{
	struct crashdisk *d = calloc(1, sizeof *d);
	if (!d)
		abort();
	d->base.ops = &crash_ops;
	d->mem = memdisk_new();
	d->fail_at = CRASH_NEVER;
	return d;
}

static void forget(struct crash_log *log)
{
	for (uint32_t i = 0; i < log->op_count; i++)
		free(log->ops[i].data);
	log->op_count = log->event_count = 0;
}

void crashdisk_free(struct crashdisk *d)
{
	if (d->mem->opened || d->mem->count)
		crash_fail("a file is left open, or an operation under way");
	forget(&d->log);
	free(d->log.ops);
	free(d->log.events);
	memdisk_free(d->mem);
	free(d);
}

static bool has(const struct crash_files *files, const char *name)
{
	for (unsigned i = 0; i < files->count; i++)
		if (files->file[i].exists && strcmp(files->file[i].name, name) == 0)
			return true;
	return false;
}

void crashdisk_load(struct crashdisk *d, const struct crash_files *files)
{
	if (d->mem->opened || d->mem->count)
		crash_fail("a file is left open, or an operation under way");
	for (unsigned i = 0; i < d->log.files.count; i++)
		if (!has(files, d->log.files.file[i].name))
			d->mem->base.ops->remove(&d->mem->base, d->log.files.file[i].name);
	forget(&d->log);
	d->log.files.count = 0;
	for (unsigned i = 0; i < files->count; i++) {
		const struct crash_file *f = &files->file[i];
		if (!f->exists)
			continue;
		memdisk_put(d->mem, f->name, f->bytes, f->size);
		d->log.files.file[d->log.files.count++] = *f;
	}
	d->mem->write_error = d->mem->read_error = 0;
	d->dead = d->fail_on = false;
	d->calls = d->failed = 0;
	d->fail_at = CRASH_NEVER;
}

uint32_t crashdisk_waiting(const struct crashdisk *d)
{
	return d->mem->count;
}

void crashdisk_step(struct crashdisk *d, uint32_t which)
{
	memdisk_step_at(d->mem, which);
}

void crashdisk_run(struct crashdisk *d)
{
	memdisk_run(d->mem);
}

void crashdisk_die(struct crashdisk *d)
{
	d->dead = true;
	d->mem->write_error = d->mem->read_error = DP_EIO;
	memdisk_run(d->mem);
}

/* ---- the log ---- */

/* A sync covers what was over when it began. After one that failed nothing before it is believed
 * any more: the next may find nothing left to write. */
uint32_t crash_safe(const struct crash_log *log, const struct crash_op *op)
{
	if (op->err || op->over == CRASH_NEVER || op->kind == CRASH_SYNC)
		return CRASH_NEVER;
	if (op->kind != CRASH_WRITE || log->files.file[op->file].durable)
		return op->over;
	for (uint32_t i = 0; i < log->op_count; i++) {
		const struct crash_op *s = &log->ops[i];
		if (s->kind != CRASH_SYNC || s->file != op->file || s->begun < op->over)
			continue;
		return s->err ? CRASH_NEVER : s->over;
	}
	return CRASH_NEVER;
}

static void print_op(const struct crash_log *log, const struct crash_op *op)
{
	static const char *const kinds[] = {"write", "sync", "create", "remove"};
	printf("%s %s", op->kind == CRASH_WRITE && !op->data ? "zero" : kinds[op->kind],
		log->files.file[op->file].name);
	if (op->kind == CRASH_WRITE)
		printf(" %llu+%llu", (unsigned long long)op->offset, (unsigned long long)op->size);
}

void crash_print(const struct crash_log *log, const char *const *notes)
{
	for (uint32_t i = 0; i < log->event_count; i++) {
		const struct crash_event *ev = &log->events[i];
		printf("%6u  ", i + 1);
		if (ev->type == CRASH_NOTED) {
			printf("%s %llu\n", notes[ev->note.kind],
				(unsigned long long)ev->note.value);
			continue;
		}
		const struct crash_op *op = &log->ops[ev->op];
		print_op(log, op);
		if (ev->type == CRASH_BEGUN)
			printf("\n");
		else
			printf(": %s\n", op->err ? dp_strerror(op->err) : "done");
	}
}
