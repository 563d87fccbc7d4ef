/* SPDX-License-Identifier: MIT */
/* Sealing (requirement S3): what a stream's records and answers carry is encrypted and
 * authenticated once, by who makes it, and opened only by the holders of the stream, which are its
 * controller and its mirrors. What stands between them holds and hands on ciphertext. Form:
 * docs/wire-format.md; what it protects from, and from what not: docs/security.md.
 *
 * Each process seals under a key of its own, made of randomness at its start, so that no nonce,
 * which is a counter, is ever used twice. The key goes with each sealed thing, wrapped for each
 * holder: who opens it need not have seen anything before, and a relay, a journal or a restart
 * needs no store of keys.
 *
 * All constructions are libsodium's: crypto_box (the nodes' own key pairs), AES-256-GCM or
 * ChaCha20-Poly1305 (IETF), crypto_kdf. */
#ifndef DP_PROTO_SEAL_H
#define DP_PROTO_SEAL_H

#include "proto/message.h"

#define DP_SEAL_KEY_SIZE 32 /* of a node: X25519, as CURVE uses it */

enum dp_seal_cipher {
	DP_SEAL_NONE = 0,
	DP_SEAL_AES256GCM = 1,
	DP_SEAL_CHACHA20POLY1305 = 2,
	DP_SEAL_CIPHER_LAST = DP_SEAL_CHACHA20POLY1305,
};

struct dp_seal;

const char *dp_seal_cipher_name(enum dp_seal_cipher cipher); /* as in the topology file */

/* Whether this processor can do it. */
bool dp_seal_possible(enum dp_seal_cipher cipher);

/* For stream `stream`. `secret` is this node's own key, `holders` the public keys of all holders,
 * this node's among them; 1..DP_SEAL_HOLDERS_MAX. `former` is the key that this node had before,
 * and opens what was sealed for it; or NULL. `random` has 32 bytes that never come again.
 * DP_ENOMEM, DP_ECONFIG: a holder's key is none, or their number is out of range; DP_ENOCIPHER: the
 * cipher is not possible here. */
int dp_seal_new(uint64_t stream, enum dp_seal_cipher cipher, const uint8_t *secret,
	const uint8_t *former, const uint8_t (*holders)[DP_SEAL_KEY_SIZE], unsigned count,
	const uint8_t *random, struct dp_seal **out);
void dp_seal_free(struct dp_seal **seal);

/* Bytes that a seal adds to what it closes. */
uint32_t dp_seal_size(const struct dp_seal *seal);

/* What the record `h` is to carry, sealed, in the place of `payload` (NULL: nothing); flag and
 * length are noted in h, which is complete but for chain and payload_crc. NULL: out of memory. */
struct dp_buf *dp_seal_record(struct dp_seal *seal, struct dp_header *h,
	const struct dp_buf *payload);

/* Opens what a record carries: *plain is a new buffer, NULL if there is nothing in it. Without
 * `plain` it is only looked at. DP_EPERM: no holder of the stream sealed this for this node, or it
 * was changed since; DP_ENOMEM. */
int dp_seal_open_record(struct dp_seal *seal, const struct dp_record *r, struct dp_buf **plain);

/* The same for the answer `f` to `w`: an answer that has no data is sealed, too. The ids do not
 * count, which are given anew at each hop. */
struct dp_buf *dp_seal_found(struct dp_seal *seal, const struct dp_wanted *w,
	const struct dp_found *f, const struct dp_buf *data);
int dp_seal_open_found(struct dp_seal *seal, const struct dp_wanted *w, const struct dp_found *f,
	const struct dp_buf *sealed, struct dp_buf **plain);

#endif
