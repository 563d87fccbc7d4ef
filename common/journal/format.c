/* SPDX-License-Identifier: MIT */
/* Frames and superblocks to bytes and back. */
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "journal/internal.h"

static bool is_known(uint16_t format)
{
	return format >= DP_JOURNAL_OLDEST && format <= DP_JOURNAL_FORMAT;
}

void dp_frame_encode(const struct dp_frame *f, uint8_t *out)
{
	memset(out, 0, DP_FRAME_SIZE);
	dp_put32(out, DP_FRAME_MAGIC);
	dp_put16(out + 4, DP_JOURNAL_FORMAT);
	out[6] = f->kind;
	out[7] = f->flags;
	dp_put64(out + 8, f->instance);
	dp_put64(out + 16, f->lsn);
	dp_put64(out + 24, f->durable_lsn);
	dp_put32(out + 32, f->generation);
	dp_put32(out + 36, f->length);
	dp_put32(out + 40, f->body_crc);
	dp_put32(out + 60, dp_crc32c(0, out, 60));
}

int dp_frame_decode(const uint8_t *in, struct dp_frame *f)
{
	if (dp_get32(in) != DP_FRAME_MAGIC || !is_known(dp_get16(in + 4)) ||
		dp_get32(in + 60) != dp_crc32c(0, in, 60))
		return DP_EBADMSG;
	*f = (struct dp_frame){
		.kind = in[6],
		.flags = in[7],
		.instance = dp_get64(in + 8),
		.lsn = dp_get64(in + 16),
		.durable_lsn = dp_get64(in + 24),
		.generation = dp_get32(in + 32),
		.length = dp_get32(in + 36),
		.body_crc = dp_get32(in + 40),
	};
	bool pad = f->kind == DP_FRAME_PAD;
	if (f->kind < DP_FRAME_RECORD || f->kind > DP_FRAME_PAD || f->length < DP_FRAME_SIZE)
		return DP_EBADMSG;
	if (!pad &&
		f->length > DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE + DP_PAYLOAD_MAX + DP_SEAL_MAX)
		return DP_EBADMSG;
	return 0;
}

void dp_super_encode(const struct dp_super *s, uint8_t *out)
{
	memset(out, 0, DP_SUPER_SIZE);
	dp_put32(out, DP_SUPER_MAGIC);
	dp_put16(out + 4, DP_JOURNAL_FORMAT);
	dp_put64(out + 8, s->stream);
	dp_put64(out + 16, s->instance);
	dp_put64(out + 24, s->size);
	dp_put64(out + 32, s->number);
	dp_put64(out + 40, s->tail_lsn);
	dp_put64(out + 48, s->head_lsn);
	dp_put32(out + 56, s->generation);
	dp_put32(out + 60, dp_meta_encode(&s->meta, out + 64));
	dp_put32(out + DP_SUPER_SIZE - 4, dp_crc32c(0, out, DP_SUPER_SIZE - 4));
}

int dp_super_decode(const uint8_t *in, struct dp_super *s)
{
	if (dp_get32(in) != DP_SUPER_MAGIC)
		return DP_EBADMSG;
	if (!is_known(dp_get16(in + 4)))
		return DP_EVERSION;
	if (dp_get32(in + DP_SUPER_SIZE - 4) != dp_crc32c(0, in, DP_SUPER_SIZE - 4))
		return DP_EBADMSG;
	*s = (struct dp_super){
		.stream = dp_get64(in + 8),
		.instance = dp_get64(in + 16),
		.size = dp_get64(in + 24),
		.number = dp_get64(in + 32),
		.tail_lsn = dp_get64(in + 40),
		.head_lsn = dp_get64(in + 48),
		.generation = dp_get32(in + 56),
	};
	uint32_t meta = dp_get32(in + 60);
	/* Places that sums over them cannot overflow, and that frames and groups can begin at. */
	if (s->head_lsn > UINT64_MAX / 2 || s->head_lsn % DP_DISK_ALIGN ||
		s->tail_lsn % DP_FRAME_ALIGN || s->generation > UINT32_MAX / 2)
		return DP_EBADMSG;
	if (meta > DP_META_MAX || s->tail_lsn > s->head_lsn)
		return DP_EBADMSG;
	return dp_meta_decode(in + 64, meta, &s->meta);
}
