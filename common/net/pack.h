/* SPDX-License-Identifier: MIT */
/* Compression of what goes down a link (requirement O9), where it pays. The payloads of one ZeroMQ
 * message are compressed together; a third frame says so (docs/wire-format.md). What does not
 * shrink, such as sealed records, is soon left alone, and tried again now and then. */
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
	unsigned skip, skipped; /* messages that are left alone before the next try; and how many it
				   was last */
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
