/* SPDX-License-Identifier: MIT */
#include "net/beat.h"

#include <sodium.h>
#include <string.h>
#include <zmq.h>

#include "base/bytes.h"
#include "base/err.h"

#define BEAT_MAGIC   0x31425044u /* "DPB1" */
#define BEAT_VERSION 1
#define CODE_AT      72
_Static_assert(CODE_AT + crypto_auth_BYTES == DP_BEAT_SIZE, "layout");
_Static_assert(crypto_auth_KEYBYTES == DP_BEAT_KEY_SIZE, "keys of libsodium");

int dp_beat_key(const char *peer_public, const char *own_secret, uint8_t key[DP_BEAT_KEY_SIZE])
{
	uint8_t public[crypto_box_PUBLICKEYBYTES], secret[crypto_box_SECRETKEYBYTES];
	memset(key, 0, DP_BEAT_KEY_SIZE);
	if (!peer_public[0])
		return 0;
	if (!zmq_z85_decode(public, peer_public) || !zmq_z85_decode(secret, own_secret))
		return DP_EINVAL;
	int bad = crypto_box_beforenm(key, public, secret);
	sodium_memzero(secret, sizeof secret);
	return bad ? DP_EINVAL : 0;
}

uint64_t dp_beat_name(const char *deployment, const char *node)
{
	crypto_generichash_state state;
	uint8_t out[crypto_generichash_BYTES_MIN];
	crypto_generichash_init(&state, NULL, 0, sizeof out);
	crypto_generichash_update(&state, (const uint8_t *)deployment, strlen(deployment) + 1);
	crypto_generichash_update(&state, (const uint8_t *)node, strlen(node));
	crypto_generichash_final(&state, out, sizeof out);
	return dp_get64(out);
}

void dp_beat_encode(const struct dp_beat *beat, uint64_t from, uint64_t to,
	const uint8_t key[DP_BEAT_KEY_SIZE], uint8_t out[DP_BEAT_SIZE])
{
	memset(out, 0, DP_BEAT_SIZE);
	dp_put32(out, BEAT_MAGIC);
	dp_put16(out + 4, BEAT_VERSION);
	dp_put64(out + 8, from);
	dp_put64(out + 16, to);
	dp_put64(out + 24, beat->incarnation);
	dp_put64(out + 32, beat->counter);
	dp_put64(out + 40, beat->heard);
	dp_put64(out + 48, beat->time_us);
	dp_put64(out + 56, beat->echo_us);
	dp_put64(out + 64, beat->held_us);
	crypto_auth(out + CODE_AT, out, CODE_AT, key);
}

uint64_t dp_beat_from(const uint8_t *in, uint32_t size)
{
	return size == DP_BEAT_SIZE && dp_get32(in) == BEAT_MAGIC ? dp_get64(in + 8) : 0;
}

int dp_beat_decode(const uint8_t *in, uint32_t size, uint64_t to,
	const uint8_t key[DP_BEAT_KEY_SIZE], struct dp_beat *beat)
{
	if (!dp_beat_from(in, size) || dp_get64(in + 16) != to)
		return DP_EBADMSG;
	if (dp_get16(in + 4) != BEAT_VERSION)
		return DP_EVERSION;
	if (crypto_auth_verify(in + CODE_AT, in, CODE_AT, key))
		return DP_EPERM;
	*beat = (struct dp_beat){
		.incarnation = dp_get64(in + 24),
		.counter = dp_get64(in + 32),
		.heard = dp_get64(in + 40),
		.time_us = dp_get64(in + 48),
		.echo_us = dp_get64(in + 56),
		.held_us = dp_get64(in + 64),
	};
	return beat->incarnation && beat->counter ? 0 : DP_EBADMSG;
}
