/* SPDX-License-Identifier: MIT */
#include "proto/history.h"

#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

void dp_history_add(struct dp_history *history, const struct dp_header *h,
	struct dp_position before)
{
	if (history->count && history->entry[history->count - 1].epoch == h->epoch)
		return;
	if (history->count == DP_HISTORY_MAX) {
		memmove(&history->entry[0], &history->entry[1],
			(DP_HISTORY_MAX - 1) * sizeof history->entry[0]);
		history->count--;
	}
	uint32_t i = history->count++;
	history->entry[i].epoch = h->epoch;
	history->entry[i].start = h->seq;
	history->entry[i].chain = before.chain;
}

void dp_history_cut(struct dp_history *history, uint64_t seq)
{
	while (history->count && history->entry[history->count - 1].start > seq)
		history->count--;
}

/* The last seq that entry i of a history covers. */
static uint64_t entry_end(const struct dp_history *h, uint32_t i, uint64_t last)
{
	return i + 1 < h->count ? h->entry[i + 1].start - 1 : last;
}

uint64_t dp_history_common(const struct dp_history *a, uint64_t a_last, const struct dp_history *b,
	uint64_t b_last)
{
	/* Newest first: an epoch has one writer, so within a shared epoch the shorter side is a
	 * prefix of the longer one. */
	for (uint32_t i = a->count; i-- > 0;) {
		for (uint32_t j = b->count; j-- > 0;) {
			if (a->entry[i].epoch != b->entry[j].epoch)
				continue;
			if (a->entry[i].start != b->entry[j].start ||
				a->entry[i].chain != b->entry[j].chain)
				continue;
			uint64_t a_end = entry_end(a, i, a_last), b_end = entry_end(b, j, b_last);
			return a_end < b_end ? a_end : b_end;
		}
	}
	return 0;
}

void dp_clients_note(struct dp_clients *c, uint64_t client, uint64_t request)
{
	uint32_t i = 0;
	while (i < c->count && c->entry[i].client != client)
		i++;
	if (i < c->count && c->entry[i].request > request)
		request = c->entry[i].request;
	/* Most recently used last. The common case, the same client again, moves nothing. */
	if (i == c->count && c->count < DP_CLIENTS_MAX)
		c->count++;
	else if (i == c->count)
		i = 0;
	if (i + 1 < c->count)
		memmove(&c->entry[i], &c->entry[i + 1], (c->count - 1 - i) * sizeof c->entry[0]);
	c->entry[c->count - 1].client = client;
	c->entry[c->count - 1].request = request;
}

uint64_t dp_clients_last(const struct dp_clients *c, uint64_t client)
{
	for (uint32_t i = c->count; i-- > 0;)
		if (c->entry[i].client == client)
			return c->entry[i].request;
	return 0;
}

void dp_clients_merge(struct dp_clients *into, const struct dp_clients *from)
{
	for (uint32_t i = 0; i < from->count; i++)
		dp_clients_note(into, from->entry[i].client, from->entry[i].request);
}

void dp_meta_own(struct dp_meta *meta, const struct dp_meta *own)
{
	meta->promised = own->promised;
	meta->based = own->based;
	meta->complete = own->complete;
	meta->places = own->places;
	meta->images = own->images;
}

void dp_meta_advance(struct dp_meta *meta, const struct dp_header *h)
{
	dp_history_add(&meta->history, h, meta->at);
	if (h->client)
		dp_clients_note(&meta->clients, h->client, h->request);
	meta->at = (struct dp_position){h->epoch, h->seq, h->chain};
	meta->set = h->set;
	meta->set_closed = h->flags & DP_RECORD_CLOSES_SET;
	if (h->op == DP_OP_INSYNC)
		meta->away = h->offset;
}

static bool has_places(const struct dp_places *p)
{
	for (unsigned i = 0; i < DP_PLACES; i++)
		if (p->id[i])
			return true;
	return false;
}

uint32_t dp_meta_encode(const struct dp_meta *meta, uint8_t *out)
{
	memset(out, 0, DP_META_HEAD);
	dp_put64(out, meta->promised);
	dp_put64(out + 8, meta->at.epoch);
	dp_put64(out + 16, meta->at.seq);
	dp_put64(out + 24, meta->at.chain);
	dp_put64(out + 32, meta->set);
	out[40] = meta->set_closed;
	out[41] = meta->based;
	out[42] = meta->complete;
	out[43] = has_places(&meta->places);
	dp_put32(out + 44, meta->places.joined);
	dp_put32(out + 48, meta->history.count);
	dp_put32(out + 52, meta->clients.count);
	dp_put64(out + 56, meta->away);
	dp_put64(out + 64, meta->images.generation);
	dp_put64(out + 72, meta->images.building);
	dp_put64(out + 80, meta->images.copied);
	dp_put64(out + 88, meta->images.valid_seq);
	uint8_t *p = out + DP_META_HEAD;
	for (uint32_t i = 0; out[43] && i < DP_PLACES; i++, p += 4)
		dp_put32(p, meta->places.id[i]);
	for (uint32_t i = 0; i < meta->history.count; i++, p += 24) {
		dp_put64(p, meta->history.entry[i].epoch);
		dp_put64(p + 8, meta->history.entry[i].start);
		dp_put64(p + 16, meta->history.entry[i].chain);
	}
	for (uint32_t i = 0; i < meta->clients.count; i++, p += 16) {
		dp_put64(p, meta->clients.entry[i].client);
		dp_put64(p + 8, meta->clients.entry[i].request);
	}
	return (uint32_t)(p - out);
}

int dp_meta_decode(const uint8_t *in, uint32_t size, struct dp_meta *meta)
{
	memset(meta, 0, sizeof *meta);
	if (size < DP_META_HEAD)
		return DP_EBADMSG;
	uint32_t epochs = dp_get32(in + 48), clients = dp_get32(in + 52);
	uint32_t head = DP_META_HEAD + (in[43] ? DP_META_PLACES : 0);
	if (epochs > DP_HISTORY_MAX || clients > DP_CLIENTS_MAX ||
		size != head + 24 * epochs + 16 * clients)
		return DP_EBADMSG;
	meta->promised = dp_get64(in);
	meta->at = (struct dp_position){dp_get64(in + 8), dp_get64(in + 16), dp_get64(in + 24)};
	meta->set = dp_get64(in + 32);
	meta->set_closed = in[40];
	meta->based = in[41];
	meta->complete = in[42];
	meta->places.joined = dp_get32(in + 44);
	meta->away = dp_get64(in + 56);
	meta->images.generation = dp_get64(in + 64);
	meta->images.building = dp_get64(in + 72);
	meta->images.copied = dp_get64(in + 80);
	meta->images.valid_seq = dp_get64(in + 88);
	meta->history.count = epochs;
	meta->clients.count = clients;
	const uint8_t *p = in + DP_META_HEAD;
	for (uint32_t i = 0; in[43] && i < DP_PLACES; i++, p += 4)
		meta->places.id[i] = dp_get32(p);
	for (uint32_t i = 0; i < epochs; i++, p += 24) {
		meta->history.entry[i].epoch = dp_get64(p);
		meta->history.entry[i].start = dp_get64(p + 8);
		meta->history.entry[i].chain = dp_get64(p + 16);
	}
	for (uint32_t i = 0; i < clients; i++, p += 16) {
		meta->clients.entry[i].client = dp_get64(p);
		meta->clients.entry[i].request = dp_get64(p + 8);
	}
	return 0;
}
