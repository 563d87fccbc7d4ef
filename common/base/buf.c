/* SPDX-License-Identifier: MIT */
#include "base/buf.h"

#include <stdlib.h>

struct dp_buf *dp_buf_new(size_t size)
{
	struct dp_buf *buf = malloc(sizeof *buf + size);
	if (!buf)
		return NULL;
	*buf = (struct dp_buf){.data = (uint8_t *)(buf + 1), .size = size};
	atomic_init(&buf->refs, 1);
	return buf;
}

struct dp_buf *dp_buf_wrap(void *data, size_t size, void (*release)(struct dp_buf *), void *owner)
{
	struct dp_buf *buf = malloc(sizeof *buf);
	if (!buf)
		return NULL;
	*buf = (struct dp_buf){.data = data, .size = size, .release = release, .owner = owner};
	atomic_init(&buf->refs, 1);
	return buf;
}

static void release_part(struct dp_buf *part)
{
	struct dp_buf *of = part->owner;
	dp_buf_unref(&of);
}

struct dp_buf *dp_buf_part(struct dp_buf *of, size_t offset, size_t size)
{
	if (size == of->size)
		return dp_buf_ref(of);
	struct dp_buf *part = dp_buf_wrap(of->data + offset, size, release_part, of);
	if (part)
		dp_buf_ref(of);
	return part;
}

struct dp_buf *dp_buf_ref(struct dp_buf *buf)
{
	if (buf)
		atomic_fetch_add_explicit(&buf->refs, 1, memory_order_relaxed);
	return buf;
}

void dp_buf_unref(struct dp_buf **pbuf)
{
	struct dp_buf *buf = *pbuf;
	*pbuf = NULL;
	if (!buf || atomic_fetch_sub_explicit(&buf->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (buf->release)
		buf->release(buf);
	free(buf);
}
