/* SPDX-License-Identifier: MIT */
#include "model.h"

#include <stdlib.h>
#include <string.h>

#include "base/crc32c.h"
#include "crash.h"

static struct model_item *add(struct model *m, uint32_t parent)
{
	if (m->count == m->capacity) {
		m->capacity = m->capacity ? 2 * m->capacity : 256;
		m->items = realloc(m->items, m->capacity * sizeof *m->items);
		if (!m->items)
			abort();
	}
	struct model_item *it = &m->items[m->count++];
	*it = (struct model_item){.parent = parent};
	return it;
}

struct model *model_new(const uint64_t sizes[MODEL_VOLUMES])
{
	struct model *m = calloc(1, sizeof *m);
	if (!m)
		abort();
	memcpy(m->sizes, sizes, sizeof m->sizes);
	struct model_item *first = add(m, 0);
	first->meta.at.chain = dp_chain_start(MODEL_STREAM);
	return m;
}

void model_forget(struct model *m, uint32_t count)
{
	for (; m->count > count; m->count--) {
		struct model_item *it = &m->items[m->count - 1];
		dp_record_unref(&it->record);
		free(it->content);
	}
}

void model_free(struct model *m)
{
	model_forget(m, 0);
	free(m->items);
	free(m);
}

uint32_t model_record(struct model *m, uint32_t parent, struct dp_record *r)
{
	struct model_item *it = add(m, parent);
	it->meta = m->items[parent].meta;
	dp_meta_advance(&it->meta, &r->h);
	it->record = dp_record_ref(r);
	it->newest = m->count - 1;
	return m->count - 1;
}

uint32_t model_barrier(struct model *m, uint32_t parent, const struct dp_meta *meta)
{
	struct model_item *it = add(m, parent);
	uint64_t at = meta->at.seq, last = m->items[parent].meta.at.seq;
	it->meta = *meta;
	it->newest = at == last ? m->items[parent].newest : model_find(m, parent, at);
	if (it->newest == MODEL_NONE)
		it->newest = m->count - 1; /* a jump */
	return m->count - 1;
}

uint32_t model_find(const struct model *m, uint32_t item, uint64_t seq)
{
	uint32_t i = m->items[item].newest;
	while (m->items[i].record && m->items[i].record->h.seq > seq)
		i = m->items[m->items[i].parent].newest;
	return m->items[i].meta.at.seq == seq ? i : MODEL_NONE;
}

/* Parents have lower numbers. */
uint32_t model_common(const struct model *m, uint32_t a, uint32_t b)
{
	while (a != b) {
		if (a > b)
			a = m->items[a].parent;
		else
			b = m->items[b].parent;
	}
	return a;
}

bool model_same(const struct dp_meta *a, const struct dp_meta *b)
{
	uint8_t x[DP_META_MAX], y[DP_META_MAX];
	uint32_t size = dp_meta_encode(a, x);
	return a->at.seq == b->at.seq && dp_meta_encode(b, y) == size && memcmp(x, y, size) == 0;
}

uint32_t model_state(const struct model *m, uint32_t lower, uint32_t upper,
	const struct dp_meta *meta)
{
	for (uint32_t i = upper; i > lower; i = m->items[i].parent)
		if (model_same(&m->items[i].meta, meta))
			return i;
	return model_same(&m->items[lower].meta, meta) ? lower : MODEL_NONE;
}

static void apply(const struct model *m, const struct dp_record *r, uint8_t *content)
{
	const struct dp_header *h = &r->h;
	for (unsigned v = 0; v < h->volume - MODEL_VOLUME(0); v++)
		content += m->sizes[v];
	if (h->op == DP_OP_WRITE)
		memcpy(content + h->offset, r->payload->data, h->length);
	else
		memset(content + h->offset, 0, h->length);
}

/* From the record before. Goes back to one that has been asked for. */
const uint8_t *model_content(struct model *m, uint32_t item)
{
	struct model_item *it = &m->items[m->items[item].newest];
	if (it->content)
		return it->content;
	uint64_t size = m->sizes[0] + m->sizes[1];
	it->content = calloc(1, size);
	if (!it->content)
		abort();
	if (!it->record)
		return it->content;
	memcpy(it->content, model_content(m, it->parent), size);
	if (dp_op_has_extent(it->record->h.op))
		apply(m, it->record, it->content);
	return it->content;
}

static void fill(struct dp_buf *payload, const struct dp_header *h, uint64_t salt)
{
	/* No two records have the same byte at the same place soon after each other. */
	for (uint64_t i = 0; i < payload->size; i++)
		payload->data[i] = (uint8_t)(1 +
			(h->seq * 37 + salt * 11 + (h->offset + i) / 64) % 255);
}

struct dp_record *model_make(const struct dp_meta *after, uint64_t epoch,
	const struct model_write *w)
{
	bool extent = dp_op_has_extent(w->op);
	struct dp_header h = {.op = w->op,
		.stream = MODEL_STREAM,
		.epoch = epoch,
		.seq = after->at.seq + 1,
		.set = 1,
		.agreed = w->agreed,
		.client = 5,
		.request = after->at.seq + 1,
		.time_us = w->salt};
	struct dp_buf *payload = w->op == DP_OP_WRITE ? dp_buf_new(w->length) : NULL;
	if (extent) {
		h.volume = MODEL_VOLUME(w->volume);
		h.offset = w->offset;
		h.length = w->length;
	}
	if (payload) {
		fill(payload, &h, w->salt);
		h.payload_len = w->length;
		h.payload_crc = dp_crc32c(0, payload->data, w->length);
	}
	h.chain = dp_chain_next(after->at.chain, &h);
	struct dp_record *r = dp_record_new(&h, payload);
	if (!r)
		crash_fail("out of memory");
	return r;
}
