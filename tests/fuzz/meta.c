/* SPDX-License-Identifier: MIT */
/* The state of a stream, as WELCOME, barriers and superblocks carry it. */
#include "fuzz.h"
#include "proto/history.h"

/* Once decoded it counts as sound: whatever it says, working with it stays within bounds. */
static void use(const struct dp_meta *meta)
{
	struct dp_meta work = *meta;
	struct dp_header h = {.op = DP_OP_INSYNC,
		.epoch = meta->promised + 1,
		.seq = meta->at.seq + 1,
		.client = 5,
		.request = 1};
	dp_meta_advance(&work, &h);
	FUZZ_CHECK(work.history.count <= DP_HISTORY_MAX && work.clients.count <= DP_CLIENTS_MAX);
	FUZZ_CHECK(dp_clients_last(&work.clients, 5) >= 1);
	dp_history_common(&work.history, work.at.seq, &meta->history, meta->at.seq);
	dp_clients_merge(&work.clients, &meta->clients);
	dp_history_cut(&work.history, meta->at.seq / 2);
	FUZZ_CHECK(work.history.count <= DP_HISTORY_MAX && work.clients.count <= DP_CLIENTS_MAX);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	uint8_t once[DP_META_MAX], twice[DP_META_MAX];
	struct dp_meta meta, again;
	uint8_t *copy = fuzz_copy(data, size);
	int err = dp_meta_decode(copy, (uint32_t)size, &meta);
	free(copy);
	if (err)
		return false;
	FUZZ_CHECK(meta.history.count <= DP_HISTORY_MAX && meta.clients.count <= DP_CLIENTS_MAX);
	uint32_t length = dp_meta_encode(&meta, once);
	FUZZ_CHECK(length <= DP_META_MAX && dp_meta_decode(once, length, &again) == 0);
	FUZZ_CHECK(dp_meta_encode(&again, twice) == length && memcmp(once, twice, length) == 0);
	use(&meta);
	return true;
}

void fuzz_repair(uint8_t *data, size_t size)
{
	(void)data; /* what carries a state has the checksum */
	(void)size;
}

static struct dp_meta make(uint32_t epochs, uint32_t clients)
{
	struct dp_meta m = {.promised = epochs + 1,
		.at = {epochs, 100 * epochs, 43},
		.set = 44,
		.set_closed = true,
		.based = true,
		.away = 2};
	m.history.count = epochs;
	m.clients.count = clients;
	for (uint32_t i = 0; i < epochs; i++) {
		m.history.entry[i].epoch = i + 1;
		m.history.entry[i].start = 100 * i + 1;
		m.history.entry[i].chain = 0x1000 + i;
	}
	for (uint32_t i = 0; i < clients; i++) {
		m.clients.entry[i].client = 0x2000 + i;
		m.clients.entry[i].request = 0x3000 + i;
	}
	return m;
}

static void seed(const char *name, uint32_t epochs, uint32_t clients)
{
	uint8_t bytes[DP_META_MAX];
	char cut[64];
	struct dp_meta m = make(epochs, clients);
	uint32_t size = dp_meta_encode(&m, bytes);
	fuzz_seed(name, FUZZ_ACCEPTED, bytes, size);
	snprintf(cut, sizeof cut, "%s-cut", name);
	fuzz_seed(cut, FUZZ_REFUSED, bytes, size - 1);
}

void fuzz_seeds(void)
{
	seed("empty", 0, 0);
	seed("some", 2, 3);
	seed("full", DP_HISTORY_MAX, DP_CLIENTS_MAX);
}
