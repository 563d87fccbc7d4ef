/* SPDX-License-Identifier: MIT */
/* The disk ops table: everything the product does to storage goes through it. The real
 * implementation is disk_real.c, the simulator has its own.
 *
 * Start-up uses the blocking calls; the hot path uses submit(), whose completions are delivered
 * from the node's loop, never from within submit(). A completion belongs to the incarnation of
 * the node that submitted it: a restarted node never sees one of its predecessor. */
#ifndef DP_IO_DISK_H
#define DP_IO_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_file;
struct dp_disk;

enum dp_io_op {
	DP_IO_READ,
	DP_IO_WRITE, /* durable at completion if the file was opened DURABLE */
	DP_IO_SYNC,  /* all completed writes of the file are durable */
	DP_IO_ZERO,  /* the range reads as zeros and takes no space where the disk can */
};

/* The caller keeps io and its data alive until done() is called, once, with 0 or a dp_err. */
struct dp_io {
	enum dp_io_op op;
	struct dp_file *file;
	void *data;
	size_t size;
	uint64_t offset;
	void (*done)(struct dp_io *io, int err);
	void *arg;
	void *private; /* the disk's own, while the operation is under way */
};

enum {
	DP_OPEN_CREATE = 1,  /* make it if it does not exist, of the given size, and durably so */
	DP_OPEN_DURABLE = 2, /* each write is durable at completion; data, size, offset aligned to
				DP_DISK_ALIGN; prewritten when created */
	DP_OPEN_SOON = 4,    /* space is only reserved when created, not prewritten: that takes no
				time now, and some at each first write */
	DP_OPEN_GROW = 8,    /* a file that is smaller gets this size, durably, and reads as zeros
				there;    of a device DP_EINVAL */
};

#define DP_DISK_ALIGN 4096u

struct dp_disk_ops {
	/* Opens `name` in the node's state directory (or an absolute path). *created tells
	 * whether it was made now. Errors: DP_ENOENT, DP_ENOSPC, DP_EIO, DP_EBUSY (another
	 * process holds it). */
	int (*open)(struct dp_disk *disk, const char *name, unsigned flags, uint64_t size,
		struct dp_file **out, bool *created);
	void (*close)(struct dp_file *file);
	/* Removes `name`, durably; 0 also if there is none. Not while it is open. */
	int (*remove)(struct dp_disk *disk, const char *name);
	/* Gives a file, which may be open, the name of another, which goes; durably and at once.
	 * Errors: DP_ENOENT, DP_EIO. */
	int (*rename)(struct dp_disk *disk, const char *from, const char *to);
	uint64_t (*size)(struct dp_file *file);
	int (*read)(struct dp_file *file, void *data, size_t size, uint64_t offset);
	int (*write)(struct dp_file *file, const void *data, size_t size,
		uint64_t offset); /* durable */
	void (*submit)(struct dp_disk *disk, struct dp_io *io);
	/* The first range at or after `offset` that may hold other bytes than zeros; *start is
	 * the file's size if there is none. */
	void (*next_data)(struct dp_file *file, uint64_t offset, uint64_t *start, uint64_t *end);
};

struct dp_disk {
	const struct dp_disk_ops *ops;
};

#endif
