/* SPDX-License-Identifier: MIT */
/* Compression of payloads on a link, where it pays (docs/wire-format.md). The payloads of one
 * ZeroMQ message are packed together, and a third frame says so. Payloads that do not shrink, such
 * as sealed ones, soon go as they are; now and then packing is tried again. */
#ifndef DP_NET_PACK_H
#define DP_NET_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zstd.h>

#include "base/buf.h"

#define PACK_FRAME_SIZE 8 /* of the third frame */

struct packer {
	ZSTD_CCtx *context;     /* made at the first use */
	unsigned skip;          /* messages that go as they are before the next try */
	unsigned skipped;       /* how many it was after the try before */
	uint64_t before, after; /* bytes that were given to be packed, and what was sent of them */
};

/* Packs `data` into *out, which the caller frees, and says in `frame` how to unpack it. false: it
 * goes as it is, because it does not pay or there is no memory. */
bool packer_pack(struct packer *p, const void *data, size_t size, void **out, size_t *out_size,
	uint8_t frame[PACK_FRAME_SIZE]);
void packer_clear(struct packer *p);

/* A new buffer with what `packed` was; NULL: malformed, larger than `most`, or no memory. */
struct dp_buf *packer_unpack(const struct dp_buf *packed, const void *frame, size_t frame_size,
	size_t most);

#endif
