#include "base/crc32c.h"

#include <pthread.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u

static uint32_t table[256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ POLYNOMIAL : crc >> 1;
		table[i] = crc;
	}
}

uint32_t dp_crc32c_table(uint32_t crc, const void *data, size_t size)
{
	pthread_once(&table_once, make_table);
	const uint8_t *p = data;
	crc = ~crc;
	while (size--)
		crc = table[(crc ^ *p++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

#if defined(__x86_64__)
#include <nmmintrin.h>

__attribute__((target("sse4.2"))) static uint32_t hardware(uint32_t crc, const uint8_t *p, size_t size)
{
	uint64_t c = ~crc;
	for (; size >= 8; size -= 8, p += 8) {
		uint64_t word;
		memcpy(&word, p, 8);
		c = _mm_crc32_u64(c, word);
	}
	uint32_t rest = (uint32_t)c;
	while (size--)
		rest = _mm_crc32_u8(rest, *p++);
	return ~rest;
}

uint32_t dp_crc32c(uint32_t crc, const void *data, size_t size)
{
	if (__builtin_cpu_supports("sse4.2"))
		return hardware(crc, data, size);
	return dp_crc32c_table(crc, data, size);
}
#else
uint32_t dp_crc32c(uint32_t crc, const void *data, size_t size)
{
	return dp_crc32c_table(crc, data, size);
}
#endif
