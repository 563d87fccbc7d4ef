/* SPDX-License-Identifier: MIT */
/* The records that a controller makes: of hosts' requests, and of its in-sync set. */
#include "engine/internal.h"

#include "base/crc32c.h"

uint64_t dp_core_current_set(const struct dp_core *c)
{
	const struct dp_meta *last = &c->log.last;
	return last->at.seq == 0 ? 1 : last->set + (last->set_closed ? 1 : 0);
}

struct dp_record *dp_core_make(struct dp_core *c, const struct dp_host_request *r, uint64_t set,
	bool closes)
{
	struct dp_header h = {
		.op = r->op,
		.flags = (uint8_t)(r->flags | (closes ? DP_RECORD_CLOSES_SET : 0)),
		.stream = c->cfg.stream,
		.volume = r->volume,
		.length = r->length,
		.offset = r->offset,
		.epoch = c->epoch,
		.seq = c->log.last.at.seq + 1,
		.set = set,
		.agreed = c->agreed,
		.client = r->client,
		.request = r->request,
		.time_us = r->time_us,
	};
	h.prior = c->cfg.seal ? c->log.last.at.chain : 0;
	struct dp_buf *payload = c->cfg.seal ? dp_seal_record(c->cfg.seal, &h, r->payload)
					     : dp_buf_ref(r->payload);
	if (c->cfg.seal && !payload)
		return NULL;
	if (payload) {
		h.payload_len = (uint32_t)payload->size;
		h.payload_crc = dp_crc32c(0, payload->data, payload->size);
	}
	h.chain = dp_chain_next(c->log.last.at.chain, &h);
	return dp_record_new(&h, payload);
}

bool dp_core_make_insync(struct dp_core *c, uint64_t away)
{
	struct dp_host_request r = {.op = DP_OP_INSYNC, .offset = away};
	struct dp_record *record = dp_core_make(c, &r, dp_core_current_set(c), true);
	bool taken = record && dp_core_take(c, record) == 0;
	dp_record_unref(&record);
	return taken;
}

bool dp_core_makes_record(const struct dp_core *c, const struct dp_host_request *r)
{
	const struct dp_meta *last = &c->log.last;
	bool replay = r->client && r->request <= dp_clients_last(&last->clients, r->client);
	bool empty = r->op == DP_OP_FLUSH && (last->at.seq == 0 || last->set_closed) && !r->set;
	return !replay && !empty && !r->unchanged;
}
