/* SPDX-License-Identifier: MIT */
/* A reference-counted payload buffer: one copy of the bytes from socket to disk to next socket.
 * Counts are atomic because libzmq drops its reference on its own I/O thread. */
#ifndef DP_BASE_BUF_H
#define DP_BASE_BUF_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct dp_buf {
	atomic_uint refs;
	uint8_t *data;
	size_t size;
	void (*release)(struct dp_buf *buf); /* frees what `data` points into */
	void *owner;                         /* for release */
};

/* A new buffer of `size` bytes (not cleared), with one reference. NULL: out of memory. */
struct dp_buf *dp_buf_new(size_t size);

/* A buffer around memory that somebody else owns; `release` is called at the last unref, before
 * the dp_buf itself is freed. NULL: out of memory, and the caller still owns the memory. */
struct dp_buf *dp_buf_wrap(void *data, size_t size, void (*release)(struct dp_buf *), void *owner);

/* A part of `of`, which it keeps a reference to; the whole is `of` itself. NULL: out of memory. */
struct dp_buf *dp_buf_part(struct dp_buf *of, size_t offset, size_t size);

struct dp_buf *dp_buf_ref(struct dp_buf *buf); /* NULL is passed through */
void dp_buf_unref(struct dp_buf **buf);        /* nulls the pointer; NULL is allowed */

#endif
