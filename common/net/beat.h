/* SPDX-License-Identifier: MIT */
/* Heartbeats on the wire: one UDP datagram each, authenticated (docs/wire-format.md). */
#ifndef DP_NET_BEAT_H
#define DP_NET_BEAT_H

#include <stdint.h>

#include "net/health.h"

#define DP_BEAT_SIZE     104
#define DP_BEAT_KEY_SIZE 32

/* The key of a link, the same at both ends, from Z85 texts. Where peer_public is empty (a trusted
 * link) the key is zero, and the code no more than a checksum. 0 or DP_EINVAL. */
int dp_beat_key(const char *peer_public, const char *own_secret, uint8_t key[DP_BEAT_KEY_SIZE]);

/* Names a node within a deployment. */
uint64_t dp_beat_name(const char *deployment, const char *node);

void dp_beat_encode(const struct dp_beat *beat, uint64_t from, uint64_t to,
	const uint8_t key[DP_BEAT_KEY_SIZE], uint8_t out[DP_BEAT_SIZE]);

/* The sender that the datagram names, which is not verified yet; 0: this is not a heartbeat. */
uint64_t dp_beat_from(const uint8_t *in, uint32_t size);

/* 0, DP_EBADMSG (not a heartbeat, or not for `to`), DP_EVERSION, DP_EPERM (not made with the key).
 */
int dp_beat_decode(const uint8_t *in, uint32_t size, uint64_t to,
	const uint8_t key[DP_BEAT_KEY_SIZE], struct dp_beat *beat);

#endif
