/* SPDX-License-Identifier: MIT */
#include "memdisk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct dp_file {
	char name[64];
	uint64_t size;
	uint8_t *bytes;
	struct memdisk *disk;
};

static struct dp_file *find(struct memdisk *d, const char *name)
{
	for (unsigned i = 0; i < MEMDISK_FILES; i++)
		if (d->files[i] && strcmp(d->files[i]->name, name) == 0)
			return d->files[i];
	return NULL;
}

static struct dp_file *add(struct memdisk *d, const char *name, uint64_t size)
{
	unsigned i = 0;
	while (i < MEMDISK_FILES && d->files[i])
		i++;
	if (i == MEMDISK_FILES)
		abort();
	struct dp_file *f = calloc(1, sizeof *f);
	if (!f || !(f->bytes = calloc(1, size ? size : 1)))
		abort();
	snprintf(f->name, sizeof f->name, "%s", name);
	f->size = size;
	f->disk = d;
	d->files[i] = f;
	return f;
}

static int write_error(const struct dp_file *f)
{
	return !f->disk->bad || f->disk->bad == f ? f->disk->write_error : 0;
}

static int mem_open(struct dp_disk *disk, const char *name, unsigned flags, uint64_t size,
	struct dp_file **out, bool *created)
{
	struct memdisk *d = (struct memdisk *)disk;
	struct dp_file *f = find(d, name);
	*created = false;
	if (!f && !(flags & DP_OPEN_CREATE))
		return DP_ENOENT;
	if (!f) {
		f = add(d, name, size);
		*created = true;
	}
	if (flags & DP_OPEN_GROW && f->size < size) {
		f->bytes = realloc(f->bytes, size);
		memset(f->bytes + f->size, 0, size - f->size);
		f->size = size;
	}
	d->opened++;
	*out = f;
	return 0;
}

static void mem_close(struct dp_file *f)
{
	f->disk->opened--;
}

static int mem_remove(struct dp_disk *disk, const char *name)
{
	struct memdisk *d = (struct memdisk *)disk;
	for (unsigned i = 0; i < MEMDISK_FILES; i++) {
		if (!d->files[i] || strcmp(d->files[i]->name, name) != 0)
			continue;
		free(d->files[i]->bytes);
		free(d->files[i]);
		d->files[i] = NULL;
	}
	return 0;
}

static int mem_rename(struct dp_disk *disk, const char *from, const char *to)
{
	struct dp_file *f = find((struct memdisk *)disk, from);
	if (!f)
		return DP_ENOENT;
	if (write_error(f))
		return write_error(f);
	struct memdisk *d = (struct memdisk *)disk;
	for (unsigned i = 0; i < MEMDISK_FILES; i++)
		if (d->files[i] && strcmp(d->files[i]->name, to) == 0)
			d->files[i]->name[0] = '\0'; /* it may still be open */
	snprintf(f->name, sizeof f->name, "%s", to);
	return 0;
}

static uint64_t mem_size(struct dp_file *f)
{
	return f->size;
}

static void check_range(const struct dp_file *f, uint64_t offset, uint64_t size)
{
	if (size > f->size || offset > f->size - size) {
		fprintf(stderr, "%s: %llu+%llu is beyond its end\n", f->name,
			(unsigned long long)offset, (unsigned long long)size);
		abort();
	}
}

static int mem_read(struct dp_file *f, void *data, size_t size, uint64_t offset)
{
	check_range(f, offset, size);
	if (f->disk->read_error)
		return f->disk->read_error;
	memcpy(data, f->bytes + offset, size);
	return 0;
}

static int mem_write(struct dp_file *f, const void *data, size_t size, uint64_t offset)
{
	check_range(f, offset, size);
	if (write_error(f))
		return write_error(f);
	memcpy(f->bytes + offset, data, size);
	f->disk->writes++;
	return 0;
}

static void mem_submit(struct dp_disk *disk, struct dp_io *io)
{
	struct memdisk *d = (struct memdisk *)disk;
	if (io->op != DP_IO_SYNC)
		check_range(io->file, io->offset, io->size);
	if (d->count == d->capacity) {
		d->capacity = d->capacity ? 2 * d->capacity : 64;
		d->queue = realloc(d->queue, d->capacity * sizeof(struct dp_io *));
		if (!d->queue)
			abort();
	}
	d->queue[d->count++] = io;
}

/* Honest about holes in steps of a page, so that what skips them is tested too. */
static void mem_next_data(struct dp_file *f, uint64_t offset, uint64_t *start, uint64_t *end)
{
	while (offset < f->size && f->bytes[offset] == 0)
		offset++;
	*start = offset < f->size ? offset / DP_DISK_ALIGN * DP_DISK_ALIGN : f->size;
	*end = *start + DP_DISK_ALIGN < f->size ? *start + DP_DISK_ALIGN : f->size;
}

static const struct dp_disk_ops mem_ops = {mem_open, mem_close, mem_remove, mem_rename, mem_size,
	mem_read, mem_write, mem_submit, mem_next_data};

struct memdisk *memdisk_new(void)
{
	struct memdisk *d = calloc(1, sizeof *d);
	if (!d)
		abort();
	d->base.ops = &mem_ops;
	return d;
}

void memdisk_free(struct memdisk *d)
{
	for (unsigned i = 0; i < MEMDISK_FILES; i++) {
		if (d->files[i])
			free(d->files[i]->bytes);
		free(d->files[i]);
	}
	free(d->queue);
	free(d);
}

uint8_t *memdisk_bytes(struct memdisk *d, const char *name, uint64_t *size)
{
	struct dp_file *f = find(d, name);
	if (size)
		*size = f ? f->size : 0;
	return f ? f->bytes : NULL;
}

void memdisk_put(struct memdisk *d, const char *name, const uint8_t *bytes, uint64_t size)
{
	struct dp_file *f = find(d, name);
	if (!f)
		f = add(d, name, size);
	if (f->size != size)
		abort();
	memcpy(f->bytes, bytes, size);
}

static int carry_out(struct memdisk *d, struct dp_io *io)
{
	switch (io->op) {
	case DP_IO_READ:
		d->reads++;
		return mem_read(io->file, io->data, io->size, io->offset);
	case DP_IO_WRITE:
		return mem_write(io->file, io->data, io->size, io->offset);
	case DP_IO_ZERO:
		if (!write_error(io->file))
			memset(io->file->bytes + io->offset, 0, io->size);
		return write_error(io->file);
	case DP_IO_SYNC:
		break;
	}
	return write_error(io->file);
}

void memdisk_step_at(struct memdisk *d, uint32_t at)
{
	struct dp_io *io = d->queue[at];
	d->count--;
	memmove(d->queue + at, d->queue + at + 1, (d->count - at) * sizeof(struct dp_io *));
	int err = carry_out(d, io);
	io->done(io, err);
}

bool memdisk_step(struct memdisk *d)
{
	if (d->count == 0)
		return false;
	memdisk_step_at(d, 0);
	return true;
}

void memdisk_run(struct memdisk *d)
{
	while (memdisk_step(d))
		;
}

void memdisk_crash(struct memdisk *d, bool (*keep)(uint64_t sector, void *arg), void *arg)
{
	struct dp_io *io = d->count ? d->queue[0] : NULL;
	d->count = 0;
	if (!io || !keep || io->op != DP_IO_WRITE)
		return;
	for (uint64_t at = 0; at < io->size; at += MEMDISK_SECTOR) {
		uint64_t left = io->size - at;
		if (keep(at / MEMDISK_SECTOR, arg))
			memcpy(io->file->bytes + io->offset + at, (const uint8_t *)io->data + at,
				left < MEMDISK_SECTOR ? left : MEMDISK_SECTOR);
	}
}
