/* SPDX-License-Identifier: MIT */
/* CRC-32C (Castagnoli) by ISA-L, which uses what the CPU has. */
#ifndef DP_BASE_CRC32C_H
#define DP_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to start) over `size` bytes. */
uint32_t dp_crc32c(uint32_t crc, const void *data, size_t size);

#endif
