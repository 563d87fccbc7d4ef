/* SPDX-License-Identifier: MIT */
/* A heartbeat as a datagram, and what a link's health makes of it. The key is that of a trusted
 * link, zero, so anybody can make a right code, as on such a link. */
#include <sodium.h>

#include "base/bytes.h"
#include "fuzz.h"
#include "net/beat.h"

#define TO      0x0202020202020202u
#define CODE_AT 72
#define NOW_US  1000000000u

static const uint8_t key[DP_BEAT_KEY_SIZE];

/* What it says must do no harm: three times, as peers repeat themselves. */
static void use(const struct dp_beat *beat)
{
	struct dp_health_config cfg = {
		DP_HEALTH_INTERVAL_US, DP_HEALTH_DOWN_AFTER_US, DP_HEALTH_PROBATION_US};
	struct dp_health health;
	struct dp_beat ours, theirs = *beat;
	dp_health_init(&health, &cfg, 1, NOW_US);
	for (unsigned i = 0; i < 3; i++) {
		uint64_t now = NOW_US + i * cfg.interval_us;
		enum dp_beat_use use = dp_health_beat(&health, &theirs, now);
		FUZZ_CHECK(i == 0 || theirs.counter != beat->counter || use != DP_BEAT_TAKEN);
		dp_health_answer(&health, now, &ours);
		dp_health_due(&health, now, &ours);
		dp_health_tick(&health, now);
		theirs.counter += i; /* once the same, once a newer one */
	}
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	struct dp_beat beat, again;
	uint8_t out[DP_BEAT_SIZE], twice[DP_BEAT_SIZE], *copy = fuzz_copy(data, size);
	uint64_t from = dp_beat_from(copy, (uint32_t)size);
	int err = dp_beat_decode(copy, (uint32_t)size, TO, key, &beat);
	free(copy);
	if (err)
		return false;
	FUZZ_CHECK(from && size == DP_BEAT_SIZE && beat.incarnation && beat.counter);
	dp_beat_encode(&beat, from, TO, key, out);
	FUZZ_CHECK(dp_beat_from(out, sizeof out) == from);
	FUZZ_CHECK(dp_beat_decode(out, sizeof out, TO, key, &again) == 0);
	dp_beat_encode(&again, from, TO, key, twice);
	FUZZ_CHECK(memcmp(out, twice, sizeof out) == 0);
	out[DP_BEAT_SIZE - 1] ^= 1;
	FUZZ_CHECK(dp_beat_decode(out, sizeof out, TO, key, &again) != 0);
	use(&beat);
	return true;
}

void fuzz_repair(uint8_t *data, size_t size)
{
	if (size == DP_BEAT_SIZE)
		crypto_auth(data + CODE_AT, data, CODE_AT, key);
}

static void seed(const char *name, enum fuzz_verdict expected, uint64_t to, struct dp_beat beat)
{
	uint8_t bytes[DP_BEAT_SIZE];
	dp_beat_encode(&beat, 3, to, key, bytes);
	fuzz_seed(name, expected, bytes, sizeof bytes);
}

void fuzz_seeds(void)
{
	uint8_t bytes[DP_BEAT_SIZE];
	struct dp_beat first = {.incarnation = 9, .counter = 1, .time_us = 5};
	struct dp_beat heard = {.incarnation = 9,
		.counter = 2,
		.heard = 1,
		.time_us = 5,
		.echo_us = NOW_US - 500,
		.held_us = 100};
	struct dp_beat odd = {.incarnation = 9,
		.counter = UINT64_MAX,
		.heard = 1,
		.echo_us = UINT64_MAX,
		.held_us = UINT64_MAX};
	seed("first", FUZZ_ACCEPTED, TO, first);
	seed("heard", FUZZ_ACCEPTED, TO, heard);
	seed("odd-times", FUZZ_ACCEPTED, TO, odd);
	seed("without-run", FUZZ_REFUSED, TO, (struct dp_beat){.counter = 1});
	seed("for-another", FUZZ_REFUSED, TO + 1, first);
	dp_beat_encode(&first, 3, TO, key, bytes);
	fuzz_seed("cut", FUZZ_REFUSED, bytes, sizeof bytes - 1);
	bytes[CODE_AT] ^= 1;
	fuzz_seed("wrong-code", FUZZ_REFUSED, bytes, sizeof bytes);
}
