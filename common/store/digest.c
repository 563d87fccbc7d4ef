/* SPDX-License-Identifier: MIT */
#include "store/digest.h"

#include <string.h>

#include "base/bytes.h"

void dp_digest_init(struct dp_digest *d)
{
	crypto_generichash_init(&d->state, NULL, 0, DP_DIGEST_SIZE);
}

void dp_digest_block(struct dp_digest *d, uint64_t index, const uint8_t *data, size_t size)
{
	if (dp_all_zero(data, size))
		return;
	uint8_t number[8];
	dp_put64(number, index);
	crypto_generichash_update(&d->state, number, sizeof number);
	crypto_generichash_update(&d->state, data, size);
}

void dp_digest_final(struct dp_digest *d, uint8_t out[DP_DIGEST_SIZE])
{
	crypto_generichash_final(&d->state, out, DP_DIGEST_SIZE);
}

char *dp_digest_text(const uint8_t digest[DP_DIGEST_SIZE], char text[DP_DIGEST_TEXT])
{
	return sodium_bin2hex(text, DP_DIGEST_TEXT, digest, DP_DIGEST_SIZE);
}
