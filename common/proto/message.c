/* SPDX-License-Identifier: MIT */
#include "proto/message.h"

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"

/* Prefix: magic, version, type, 0, stream, session, body length, CRC of prefix and body. */
#define LEN_AT 24
#define CRC_AT 28

static uint32_t encode_welcome(const struct dp_msg *m, uint8_t *p)
{
	dp_put64(p, m->u.welcome->instance);
	dp_put64(p + 8, m->u.welcome->cached);
	dp_put64(p + 16, m->u.welcome->committed);
	dp_put64(p + 24, m->u.welcome->room);
	uint32_t size = dp_meta_encode(&m->u.welcome->tail, p + 40);
	struct dp_meta last = m->u.welcome->last;
	last.clients.count = 0;
	dp_put32(p + 32, size);
	dp_put32(p + 36, m->u.welcome->images);
	return 40 + size + dp_meta_encode(&last, p + 40 + size);
}

static uint32_t encode_wanted(const struct dp_wanted *w, uint8_t *p)
{
	dp_put64(p, w->id);
	dp_put64(p + 8, w->offset);
	dp_put64(p + 16, w->min_seq);
	dp_put32(p + 24, w->volume);
	dp_put32(p + 28, w->length);
	dp_put64(p + 32, w->compare);
	memcpy(p + 40, w->digest, DP_WANTED_DIGEST);
	return 40 + DP_WANTED_DIGEST;
}

static int decode_wanted(const uint8_t *p, struct dp_wanted *w)
{
	w->id = dp_get64(p);
	w->offset = dp_get64(p + 8);
	w->min_seq = dp_get64(p + 16);
	w->volume = dp_get32(p + 24);
	w->length = dp_get32(p + 28);
	w->compare = dp_get64(p + 32);
	memcpy(w->digest, p + 40, DP_WANTED_DIGEST);
	return w->length > DP_PAYLOAD_MAX || dp_get64(p + 32) > 1 ? DP_EBADMSG : 0;
}

static uint32_t encode_found(const struct dp_msg *m, uint8_t *p)
{
	const struct dp_found *f = &m->u.data;
	dp_put64(p, f->id);
	dp_put32(p + 8, (uint32_t)f->status);
	dp_put32(p + 12, m->payload ? dp_crc32c(0, m->payload->data, m->payload->size) : 0);
	dp_put64(p + 16, f->kind);
	dp_put64(p + 24, f->seq);
	dp_put64(p + 32, f->length);
	return 40;
}

static int decode_found(const uint8_t *p, struct dp_found *f)
{
	f->id = dp_get64(p);
	f->status = (int32_t)dp_get32(p + 8);
	f->kind = (uint32_t)dp_get64(p + 16);
	f->seq = dp_get64(p + 24);
	f->length = dp_get64(p + 32);
	return f->status > 0 || dp_get64(p + 16) > DP_FOUND_ZEROS ? DP_EBADMSG : 0;
}

static uint32_t encode_body(const struct dp_msg *m, uint8_t *p)
{
	switch (m->type) {
	case DP_MSG_HELLO:
		dp_put64(p, m->u.hello.epoch);
		dp_put64(p + 8, m->u.hello.config);
		return 16;
	case DP_MSG_WELCOME:
		return encode_welcome(m, p);
	case DP_MSG_REFUSE:
		dp_put32(p, m->u.refuse.reason);
		dp_put64(p + 4, m->u.refuse.number);
		return 12;
	case DP_MSG_START:
		dp_put64(p, m->u.start.at.epoch);
		dp_put64(p + 8, m->u.start.at.seq);
		dp_put64(p + 16, m->u.start.at.chain);
		dp_put64(p + 24, m->u.start.agreed);
		return 32;
	case DP_MSG_RECORD:
		memcpy(p, m->u.record->raw, DP_RECORD_HEADER_SIZE);
		return DP_RECORD_HEADER_SIZE;
	case DP_MSG_ACK:
		dp_put64(p, m->u.ack.cached);
		dp_put64(p + 8, m->u.ack.committed);
		dp_put64(p + 16, m->u.ack.room);
		dp_put32(p + 24, m->u.ack.images);
		dp_put32(p + 28, m->u.ack.order);
		return 32;
	case DP_MSG_NAK:
		dp_put64(p, m->u.nak.seq);
		return 8;
	case DP_MSG_PULL:
		dp_put64(p, m->u.pull.seq);
		dp_put64(p + 8, m->u.pull.bytes);
		return 16;
	case DP_MSG_MARKS:
		dp_put64(p, m->u.marks.agreed);
		dp_put64(p + 8, m->u.marks.sent);
		return 16;
	case DP_MSG_READ:
	case DP_MSG_FETCH:
		return encode_wanted(&m->u.read, p);
	case DP_MSG_RESET:
		dp_put64(p, m->u.reset->common);
		return 8 + dp_meta_encode(&m->u.reset->meta, p + 8);
	default: /* DATA, FILL */
		return encode_found(m, p);
	}
}

uint32_t dp_msg_encode(const struct dp_msg *m, uint8_t *out)
{
	memset(out, 0, DP_MSG_PREFIX);
	dp_put32(out, DP_MSG_MAGIC);
	dp_put16(out + 4, DP_MSG_VERSION);
	out[6] = m->type;
	dp_put64(out + 8, m->stream);
	dp_put64(out + 16, m->session);
	uint32_t size = encode_body(m, out + DP_MSG_PREFIX);
	dp_put32(out + LEN_AT, size);
	/* A record's header has its own CRC: it is not summed twice. */
	uint32_t summed = m->type == DP_MSG_RECORD ? 0 : size;
	uint32_t crc = dp_crc32c(0, out, CRC_AT);
	dp_put32(out + CRC_AT, dp_crc32c(crc, out + DP_MSG_PREFIX, summed));
	return DP_MSG_PREFIX + size;
}

struct dp_buf *dp_msg_payload(const struct dp_msg *m)
{
	return m->type == DP_MSG_RECORD ? m->u.record->payload : m->payload;
}

static int decode_welcome(const uint8_t *p, uint32_t size, struct dp_msg *m)
{
	if (size < 40)
		return DP_EBADMSG;
	m->u.welcome = malloc(sizeof *m->u.welcome);
	if (!m->u.welcome)
		return DP_ENOMEM;
	m->u.welcome->instance = dp_get64(p);
	m->u.welcome->cached = dp_get64(p + 8);
	m->u.welcome->committed = dp_get64(p + 16);
	m->u.welcome->room = dp_get64(p + 24);
	m->u.welcome->images = dp_get32(p + 36);
	uint32_t first = dp_get32(p + 32);
	int err = DP_EBADMSG;
	if (first <= size - 40 && m->u.welcome->images <= DP_IMAGES_WHOLE)
		err = dp_meta_decode(p + 40, first, &m->u.welcome->tail);
	if (!err)
		err = dp_meta_decode(p + 40 + first, size - 40 - first, &m->u.welcome->last);
	if (err)
		free(m->u.welcome);
	return err;
}

static int decode_reset(const uint8_t *p, uint32_t size, struct dp_msg *m)
{
	if (size < 8)
		return DP_EBADMSG;
	m->u.reset = malloc(sizeof *m->u.reset);
	if (!m->u.reset)
		return DP_ENOMEM;
	m->u.reset->common = dp_get64(p);
	int err = dp_meta_decode(p + 8, size - 8, &m->u.reset->meta);
	if (err)
		free(m->u.reset);
	return err;
}

/* Sizes of the bodies that have one size; 0: checked elsewhere. */
static const uint8_t body_size[] = {[DP_MSG_HELLO] = 16,
	[DP_MSG_REFUSE] = 12,
	[DP_MSG_START] = 32,
	[DP_MSG_RECORD] = DP_RECORD_HEADER_SIZE,
	[DP_MSG_ACK] = 32,
	[DP_MSG_NAK] = 8,
	[DP_MSG_MARKS] = 16,
	[DP_MSG_PULL] = 16,
	[DP_MSG_READ] = 72,
	[DP_MSG_DATA] = 40,
	[DP_MSG_FETCH] = 72,
	[DP_MSG_FILL] = 40};

static int decode_body(const uint8_t *p, uint32_t size, struct dp_msg *m)
{
	switch (m->type) {
	case DP_MSG_HELLO:
		m->u.hello.epoch = dp_get64(p);
		m->u.hello.config = dp_get64(p + 8);
		return 0;
	case DP_MSG_WELCOME:
		return decode_welcome(p, size, m);
	case DP_MSG_REFUSE:
		m->u.refuse.reason = dp_get32(p);
		m->u.refuse.number = dp_get64(p + 4);
		return 0;
	case DP_MSG_START:
		m->u.start.at = (struct dp_position){
			dp_get64(p), dp_get64(p + 8), dp_get64(p + 16)};
		m->u.start.agreed = dp_get64(p + 24);
		return 0;
	case DP_MSG_ACK:
		m->u.ack.cached = dp_get64(p);
		m->u.ack.committed = dp_get64(p + 8);
		m->u.ack.room = dp_get64(p + 16);
		m->u.ack.images = dp_get32(p + 24);
		m->u.ack.order = dp_get32(p + 28);
		if (m->u.ack.images > DP_IMAGES_WHOLE)
			return DP_EBADMSG;
		return m->u.ack.committed > m->u.ack.cached ? DP_EBADMSG : 0;
	case DP_MSG_NAK:
		m->u.nak.seq = dp_get64(p);
		return m->u.nak.seq == 0 ? DP_EBADMSG : 0;
	case DP_MSG_PULL:
		m->u.pull.seq = dp_get64(p);
		m->u.pull.bytes = dp_get64(p + 8);
		return m->u.pull.seq == 0 ? DP_EBADMSG : 0;
	case DP_MSG_MARKS:
		m->u.marks.agreed = dp_get64(p);
		m->u.marks.sent = dp_get64(p + 8);
		return 0;
	case DP_MSG_READ:
	case DP_MSG_FETCH:
		return decode_wanted(p, &m->u.read);
	case DP_MSG_RESET:
		return decode_reset(p, size, m);
	default: /* DATA, FILL */
		return decode_found(p, &m->u.data);
	}
}

static int check_prefix(const uint8_t *head, size_t size, struct dp_msg *m)
{
	if (size < DP_MSG_PREFIX || size > DP_MSG_HEAD_MAX || dp_get32(head) != DP_MSG_MAGIC)
		return DP_EBADMSG;
	if (dp_get16(head + 4) != DP_MSG_VERSION)
		return DP_EVERSION;
	m->type = head[6];
	m->stream = dp_get64(head + 8);
	m->session = dp_get64(head + 16);
	uint32_t body = dp_get32(head + LEN_AT);
	if (m->type < DP_MSG_HELLO || m->type > DP_MSG_TYPE_LAST || body != size - DP_MSG_PREFIX)
		return DP_EBADMSG;
	if (body_size[m->type] && body != body_size[m->type])
		return DP_EBADMSG;
	uint32_t crc = dp_crc32c(0, head, CRC_AT);
	crc = dp_crc32c(crc, head + DP_MSG_PREFIX, m->type == DP_MSG_RECORD ? 0 : body);
	return crc == dp_get32(head + CRC_AT) ? 0 : DP_EBADMSG;
}

int dp_msg_decode(const uint8_t *head, size_t size, struct dp_buf *payload, struct dp_msg *m)
{
	memset(m, 0, sizeof *m);
	int err = check_prefix(head, size, m);
	bool carries = m->type == DP_MSG_RECORD || m->type == DP_MSG_DATA || m->type == DP_MSG_FILL;
	if (!err && payload && !carries)
		err = DP_EBADMSG;
	if (err) {
		m->type = 0;
		dp_buf_unref(&payload);
		return err;
	}
	const uint8_t *body = head + DP_MSG_PREFIX;
	if (m->type == DP_MSG_RECORD) {
		err = dp_record_decode(body, payload, &m->u.record);
		if (!err && m->u.record->h.stream != m->stream) {
			dp_record_unref(&m->u.record);
			err = DP_EBADMSG;
		}
		return err;
	}
	err = decode_body(body, (uint32_t)(size - DP_MSG_PREFIX), m);
	if (!err && payload && dp_crc32c(0, payload->data, payload->size) != dp_get32(body + 12))
		err = DP_ECHECKSUM;
	if (err)
		dp_buf_unref(&payload);
	m->payload = payload;
	return err;
}

/* How many bytes of the second frame belong to the message at hand, all of `rest` to the last one.
 */
static size_t payload_size(const struct dp_msg_walk *w, uint32_t body, size_t rest)
{
	if (body == w->left - DP_MSG_PREFIX)
		return rest;
	bool record = w->head[6] == DP_MSG_RECORD && body == DP_RECORD_HEADER_SIZE;
	return record ? dp_record_payload_len(w->head + DP_MSG_PREFIX) : 0;
}

int dp_msg_walk_next(struct dp_msg_walk *w, struct dp_msg *m)
{
	if (!w->left)
		return 1;
	const uint8_t *head = w->head;
	size_t rest = w->payload ? w->payload->size - w->payload_at : 0;
	uint32_t body = w->left < DP_MSG_PREFIX ? 0 : dp_get32(head + LEN_AT);
	bool whole = w->left >= DP_MSG_PREFIX && body <= w->left - DP_MSG_PREFIX;
	size_t size = whole ? payload_size(w, body, rest) : 0;
	memset(m, 0, sizeof *m);
	if (!whole || size > rest) {
		w->left = 0;
		return DP_EBADMSG;
	}
	struct dp_buf *part = size ? dp_buf_part(w->payload, w->payload_at, size) : NULL;
	w->head += DP_MSG_PREFIX + body;
	w->left -= DP_MSG_PREFIX + body;
	w->payload_at += size;
	int err = size && !part ? DP_ENOMEM : dp_msg_decode(head, DP_MSG_PREFIX + body, part, m);
	if (err && err != DP_ECHECKSUM)
		w->left = 0;
	return err;
}

void dp_msg_clear(struct dp_msg *m)
{
	if (m->type == DP_MSG_RECORD)
		dp_record_unref(&m->u.record);
	else if (m->type == DP_MSG_WELCOME)
		free(m->u.welcome);
	else if (m->type == DP_MSG_RESET)
		free(m->u.reset);
	m->type = 0;
	dp_buf_unref(&m->payload);
}

const char *dp_msg_name(uint8_t type)
{
	static const char *const names[] = {"?", "hello", "welcome", "refuse", "start", "record",
		"ack", "nak", "marks", "pull", "read", "data", "reset", "fetch", "fill"};
	return names[type <= DP_MSG_TYPE_LAST ? type : 0];
}
