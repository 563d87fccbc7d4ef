/* CRC-32C (Castagnoli), with the SSE4.2 instruction where the CPU has it. */
#ifndef DP_BASE_CRC32C_H
#define DP_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Continues `crc` (0 to start) over `size` bytes. */
uint32_t dp_crc32c(uint32_t crc, const void *data, size_t size);

/* The table version, for machines without the instruction and for the test that compares. */
uint32_t dp_crc32c_table(uint32_t crc, const void *data, size_t size);

#endif
