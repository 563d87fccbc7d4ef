/* SPDX-License-Identifier: MIT */
#include "io/disk_twin.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"

#define PATH_SIZE 4096
#define PIECE     DP_MIB

struct twin {
	struct dp_disk base;
	struct dp_disk *inner;
	char second[PATH_SIZE - 256];
	dp_twin_alarm *alarm;
	void *ctx;
	unsigned single;
};

/* One file, or both copies of one; a stale copy is NULL. */
struct dp_file {
	struct twin *twin;
	struct dp_file *copy[2];
	struct dp_file *lost[2]; /* something may still be under way there */
	bool twofold;
	char name[128];
};

/* ---- names ---- */

static void path_of(const struct twin *t, unsigned side, const char *name, char out[PATH_SIZE])
{
	if (side == 0)
		snprintf(out, PATH_SIZE, "%s", name);
	else
		snprintf(out, PATH_SIZE, "%s/%s", t->second, name);
}

/* The marker stands beside the good copy and says that the other is stale. */
static void marker_of(const struct twin *t, unsigned good, const char *name, char out[PATH_SIZE])
{
	char marker[160];
	snprintf(marker, sizeof marker, "%s.single", name);
	path_of(t, good, marker, out);
}

static bool is_marked(struct twin *t, unsigned good, const char *name)
{
	char path[PATH_SIZE];
	struct dp_file *f;
	bool created;
	marker_of(t, good, name, path);
	if (t->inner->ops->open(t->inner, path, 0, 0, &f, &created))
		return false;
	t->inner->ops->close(f);
	return true;
}

static int mark(struct twin *t, unsigned good, const char *name)
{
	char path[PATH_SIZE];
	struct dp_file *f;
	bool created;
	marker_of(t, good, name, path);
	int err = t->inner->ops->open(t->inner, path, DP_OPEN_CREATE, 0, &f, &created);
	if (!err)
		t->inner->ops->close(f);
	return err;
}

static int unmark(struct twin *t, unsigned good, const char *name)
{
	char path[PATH_SIZE];
	marker_of(t, good, name, path);
	return t->inner->ops->remove(t->inner, path);
}

/* ---- one copy is lost, and made anew ---- */

/* From now on only the other copy counts. DP_EIO: it does not either. */
static int lose(struct dp_file *f, unsigned side)
{
	struct twin *t = f->twin;
	if (!f->copy[side])
		return 0;
	if (!f->copy[!side] || mark(t, !side, f->name))
		return DP_EIO;
	t->alarm(t->ctx, f->name,
		side ? "the copy in the second directory failed; the one in the state directory goes on alone"
		     : "the copy in the state directory failed; the one in the second directory goes on alone");
	f->lost[side] = f->copy[side];
	f->copy[side] = NULL;
	t->single++;
	return 0;
}

static int copy_all(struct twin *t, struct dp_file *from, struct dp_file *to, uint64_t size)
{
	const struct dp_disk_ops *ops = t->inner->ops;
	uint8_t *piece = malloc(PIECE);
	uint64_t start, end = 0;
	int err = piece ? 0 : DP_ENOMEM;
	for (uint64_t at = 0; !err && at < size; at = end) {
		ops->next_data(from, at, &start, &end);
		if (start >= size)
			break;
		end = end - start > PIECE ? start + PIECE : end;
		end = end > size ? size : end;
		err = ops->read(from, piece, end - start, start);
		if (!err)
			err = ops->write(to, piece, end - start, start);
	}
	free(piece);
	return err;
}

/* Makes the copy on `side` anew from the other. If that fails it stays marked as stale. */
static void refill(struct dp_file *f, unsigned side)
{
	struct twin *t = f->twin;
	const struct dp_disk_ops *ops = t->inner->ops;
	char path[PATH_SIZE];
	bool created;
	uint64_t size = ops->size(f->copy[!side]);
	path_of(t, side, f->name, path);
	if (f->copy[side])
		ops->close(f->copy[side]);
	f->copy[side] = NULL;
	int err = mark(t, !side, f->name);
	if (!err)
		err = ops->remove(t->inner, path);
	if (!err)
		err = ops->open(t->inner, path, DP_OPEN_CREATE, size, &f->copy[side], &created);
	if (!err)
		err = copy_all(t, f->copy[!side], f->copy[side], size);
	if (!err)
		err = unmark(t, !side, f->name);
	if (err && f->copy[side]) {
		ops->close(f->copy[side]);
		f->copy[side] = NULL;
	}
	t->single += err != 0;
	t->alarm(t->ctx, f->name,
		err ? "one of its two copies cannot be made anew; the other goes on alone"
		    : "one of its two copies was made anew from the other");
}

/* ---- opening ---- */

static int open_copy(struct dp_file *f, unsigned side, unsigned flags, uint64_t size, bool *created)
{
	char path[PATH_SIZE];
	*created = false;
	path_of(f->twin, side, f->name, path);
	return f->twin->inner->ops->open(f->twin->inner, path, flags, size, &f->copy[side],
		created);
}

static int open_both(struct dp_file *f, unsigned flags, uint64_t size, bool *created)
{
	struct twin *t = f->twin;
	bool other;
	int first = open_copy(f, 0, flags, size, created);
	if (first == DP_EBUSY)
		return first;
	/* A new file has nothing to do with what an earlier one of that name left there. */
	if (*created) {
		char path[PATH_SIZE];
		path_of(t, 1, f->name, path);
		t->inner->ops->remove(t->inner, path);
		unmark(t, 0, f->name);
		unmark(t, 1, f->name);
	}
	int second = open_copy(f, 1, *created ? flags : flags & ~(unsigned)DP_OPEN_CREATE, size,
		&other);
	if (first && second)
		return first;
	if (first || is_marked(t, 1, f->name)) {
		if (second)
			return DP_EIO; /* the only good copy is not there */
		refill(f, 0);
	} else if (second || is_marked(t, 0, f->name)) {
		refill(f, 1);
	}
	return 0;
}

static void twin_close(struct dp_file *f);

static int twin_open(struct dp_disk *disk, const char *name, unsigned flags, uint64_t size,
	struct dp_file **out, bool *created)
{
	struct twin *t = (struct twin *)disk;
	struct dp_file *f = calloc(1, sizeof *f);
	if (!f)
		return DP_ENOMEM;
	f->twin = t;
	f->twofold = size > 0 && !(flags & DP_OPEN_DURABLE) && name[0] != '/';
	snprintf(f->name, sizeof f->name, "%s", name);
	int err = f->twofold ? open_both(f, flags, size, created)
			     : open_copy(f, 0, flags, size, created);
	if (err)
		twin_close(f);
	else
		*out = f;
	return err;
}

static void twin_close(struct dp_file *f)
{
	for (unsigned side = 0; side < 2; side++) {
		if (f->copy[side])
			f->twin->inner->ops->close(f->copy[side]);
		if (f->lost[side])
			f->twin->inner->ops->close(f->lost[side]);
	}
	free(f);
}

static int twin_remove(struct dp_disk *disk, const char *name)
{
	struct twin *t = (struct twin *)disk;
	char path[PATH_SIZE];
	path_of(t, 1, name, path);
	int err = t->inner->ops->remove(t->inner, name);
	t->inner->ops->remove(t->inner, path); /* made anew if the name is used again */
	return err;
}

static int twin_rename(struct dp_disk *disk, const char *from, const char *to)
{
	struct twin *t = (struct twin *)disk;
	return t->inner->ops->rename(t->inner, from, to); /* journals only */
}

/* ---- blocking calls ---- */

static struct dp_file *good(const struct dp_file *f)
{
	return f->copy[0] ? f->copy[0] : f->copy[1];
}

static uint64_t twin_size(struct dp_file *f)
{
	return f->twin->inner->ops->size(good(f));
}

static int twin_read(struct dp_file *f, void *data, size_t size, uint64_t offset)
{
	int err = DP_EIO;
	for (unsigned side = 0; side < 2 && err; side++)
		if (f->copy[side])
			err = f->twin->inner->ops->read(f->copy[side], data, size, offset);
	return err;
}

static int twin_write(struct dp_file *f, const void *data, size_t size, uint64_t offset)
{
	int err = 0;
	for (unsigned side = 0; side < 2 && !err; side++) {
		if (!f->copy[side])
			continue;
		err = f->twin->inner->ops->write(f->copy[side], data, size, offset);
		if (err && f->twofold)
			err = lose(f, side);
	}
	return err;
}

static void twin_next_data(struct dp_file *f, uint64_t offset, uint64_t *start, uint64_t *end)
{
	f->twin->inner->ops->next_data(good(f), offset, start, end);
}

/* ---- submitted ones ---- */

struct pair {
	struct dp_io io[2];
	struct dp_io *outer;
	int err[2];
	unsigned waiting;
};

static void end_pair(struct pair *p)
{
	struct dp_io *outer = p->outer;
	struct dp_file *f = outer->file;
	int err = 0;
	for (unsigned side = 0; side < 2 && !err; side++)
		if (p->err[side])
			err = f->twofold ? lose(f, side) : p->err[side];
	free(p);
	outer->done(outer, err);
}

static void submit_side(struct pair *p, unsigned side);

static void side_done(struct dp_io *io, int err)
{
	struct pair *p = io->arg;
	unsigned side = io == &p->io[1];
	struct dp_file *f = p->outer->file;
	if (err && io->op == DP_IO_READ && side == 0 && f->copy[1]) {
		submit_side(p, 1); /* whether a copy is stale is decided by writes */
		return;
	}
	p->err[side] = err;
	if (--p->waiting)
		return;
	if (io->op == DP_IO_READ) {
		struct dp_io *outer = p->outer;
		free(p);
		outer->done(outer, err);
		return;
	}
	end_pair(p);
}

static void submit_side(struct pair *p, unsigned side)
{
	struct twin *t = p->outer->file->twin;
	p->io[side] = *p->outer;
	p->io[side].file = p->outer->file->copy[side];
	p->io[side].done = side_done;
	p->io[side].arg = p;
	t->inner->ops->submit(t->inner, &p->io[side]);
}

static void twin_submit(struct dp_disk *disk, struct dp_io *io)
{
	struct pair *p = calloc(1, sizeof *p);
	struct dp_file *f = io->file;
	(void)disk;
	if (!p)
		abort(); /* no way to report it that needs no memory */
	p->outer = io;
	bool both = io->op != DP_IO_READ && f->copy[0] && f->copy[1];
	p->waiting = both ? 2 : 1;
	if (both || f->copy[0])
		submit_side(p, 0);
	if (both || !f->copy[0])
		submit_side(p, 1);
}

/* ---- life ---- */

static const struct dp_disk_ops twin_ops = {twin_open, twin_close, twin_remove, twin_rename,
	twin_size, twin_read, twin_write, twin_submit, twin_next_data};

int dp_disk_twin_new(struct dp_disk *inner, const char *second, dp_twin_alarm *alarm, void *ctx,
	struct dp_disk **out)
{
	struct twin *t = calloc(1, sizeof *t);
	if (!t)
		return DP_ENOMEM;
	*t = (struct twin){.base.ops = &twin_ops, .inner = inner, .alarm = alarm, .ctx = ctx};
	snprintf(t->second, sizeof t->second, "%s", second);
	*out = &t->base;
	return 0;
}

void dp_disk_twin_destroy(struct dp_disk **disk)
{
	free(*disk);
	*disk = NULL;
}

unsigned dp_disk_twin_single(const struct dp_disk *disk)
{
	return ((const struct twin *)disk)->single;
}
