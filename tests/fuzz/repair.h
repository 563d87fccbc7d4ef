/* SPDX-License-Identifier: MIT */
/* Checksums of records, for targets whose inputs hold them. */
#ifndef DP_TESTS_FUZZ_REPAIR_H
#define DP_TESTS_FUZZ_REPAIR_H

#include "base/bytes.h"
#include "base/crc32c.h"
#include "proto/record.h"

#define REPAIR_OF_HEADER 124 /* where its own CRC is */

/* A header at `at`, and `payload` bytes behind it. Lengths stay as they are: they may be wrong. */
static inline void repair_record(uint8_t *at, size_t payload)
{
	struct dp_header h;
	dp_put32(at + REPAIR_OF_HEADER, dp_crc32c(0, at, REPAIR_OF_HEADER));
	if (dp_header_decode(at, &h) || !payload)
		return;
	h.payload_crc = dp_crc32c(0, at + DP_RECORD_HEADER_SIZE, payload);
	dp_header_encode(&h, at);
}

#endif
