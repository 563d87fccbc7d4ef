/* SPDX-License-Identifier: MIT */
/* The digest of a volume's content: BLAKE2b over its 64 KiB blocks that are not all zeros, each
 * behind its index, so that holes and written zeros are the same. */
#ifndef DP_STORE_DIGEST_H
#define DP_STORE_DIGEST_H

#include <sodium.h>
#include <stdint.h>

#define DP_DIGEST_BLOCK 65536u
#define DP_DIGEST_SIZE  16u
#define DP_DIGEST_TEXT  (2 * DP_DIGEST_SIZE + 1)

struct dp_digest {
	crypto_generichash_state state;
};

void dp_digest_init(struct dp_digest *d);

/* Blocks in ascending order of index; the last of a volume may be shorter. */
void dp_digest_block(struct dp_digest *d, uint64_t index, const uint8_t *data, size_t size);
void dp_digest_final(struct dp_digest *d, uint8_t out[DP_DIGEST_SIZE]);
char *dp_digest_text(const uint8_t digest[DP_DIGEST_SIZE], char text[DP_DIGEST_TEXT]);

#endif
