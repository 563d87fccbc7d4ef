/* SPDX-License-Identifier: MIT */
#include "base/crc32c.h"

#include <isa-l/crc.h>

#define PIECE ((size_t)1 << 30) /* the library counts in int */

uint32_t dp_crc32c(uint32_t crc, const void *data, size_t size)
{
	/* The library takes and gives the register itself: without the inversions of CRC-32C, and
	 * it does not write, though its parameter is not const. */
	unsigned char *p = (unsigned char *)(uintptr_t)data;
	crc = ~crc;
	for (; size > PIECE; size -= PIECE, p += PIECE)
		crc = crc32_iscsi(p, (int)PIECE, crc);
	return ~crc32_iscsi(p, (int)size, crc);
}
