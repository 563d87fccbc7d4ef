/* SPDX-License-Identifier: MIT */
#include "net/pack.h"

#include <stdlib.h>

#include "base/bytes.h"

#define METHOD_ZSTD 1u
#define LEVEL       1 /* the fastest: the link's bandwidth matters, not the last percent */
#define SIZE_MIN    512u
#define SKIP_MAX    255u

/* Each try that does not pay doubles the number of messages that go as they are. */
static void note_success(struct packer *p, bool pays)
{
	p->skipped = pays ? 0 : 2 * p->skipped + 1;
	if (p->skipped > SKIP_MAX)
		p->skipped = SKIP_MAX;
	p->skip = p->skipped;
}

bool packer_pack(struct packer *p, const void *data, size_t size, void **out, size_t *out_size,
	uint8_t frame[PACK_FRAME_SIZE])
{
	size_t room = ZSTD_compressBound(size);
	p->before += size;
	p->after += size;
	if (size < SIZE_MIN || p->skip) {
		p->skip -= p->skip > 0;
		return false;
	}
	if (!p->context)
		p->context = ZSTD_createCCtx();
	*out = p->context ? malloc(room) : NULL;
	if (!*out)
		return false;
	*out_size = ZSTD_compressCCtx(p->context, *out, room, data, size, LEVEL);
	bool pays = !ZSTD_isError(*out_size) && *out_size < size - size / 8;
	note_success(p, pays);
	if (!pays) {
		free(*out);
		return false;
	}
	p->after -= size - *out_size;
	dp_put32(frame, METHOD_ZSTD);
	dp_put32(frame + 4, (uint32_t)size);
	return true;
}

void packer_clear(struct packer *p)
{
	ZSTD_freeCCtx(p->context);
	*p = (struct packer){0};
}

struct dp_buf *packer_unpack(const struct dp_buf *packed, const void *frame, size_t frame_size,
	size_t most)
{
	const uint8_t *f = frame;
	if (frame_size != PACK_FRAME_SIZE || dp_get32(f) != METHOD_ZSTD || dp_get32(f + 4) > most)
		return NULL;
	struct dp_buf *b = dp_buf_new(dp_get32(f + 4));
	if (b && ZSTD_decompress(b->data, b->size, packed->data, packed->size) != b->size)
		dp_buf_unref(&b); /* an error is a number beyond all sizes */
	return b;
}
