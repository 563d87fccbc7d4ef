/* SPDX-License-Identifier: MIT */
/* What a fuzz target provides, and what it gets.
 *
 * A target is one file with the three functions below. With the preset `fuzz` it becomes a
 * libFuzzer program; in every other build replay.c feeds it its seeds and its corpus
 * (docs/testing.md). */
#ifndef DP_TESTS_FUZZ_FUZZ_H
#define DP_TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"

/* ---- of the target ---- */

/* Parses one input and checks what must hold. true: it was accepted. */
bool fuzz_one(const uint8_t *data, size_t size);

/* Makes checksums right again after a mutation, so that mutations get past them. */
void fuzz_repair(uint8_t *data, size_t size);

/* Hands each seed to fuzz_seed(). Seeds come from the encoders, so they follow the format. */
void fuzz_seeds(void);

/* ---- for the target ---- */

enum fuzz_verdict { FUZZ_REFUSED, FUZZ_ACCEPTED };
void fuzz_seed(const char *name, enum fuzz_verdict expected, const uint8_t *data, size_t size);

/* A copy of exactly this size, so that a read beyond its end is found. free() it. */
uint8_t *fuzz_copy(const uint8_t *data, size_t size);

/* A buffer with a copy of the bytes. fuzz_one() must have released all of them when it returns. */
struct dp_buf *fuzz_buf(const uint8_t *data, size_t size);

/* Independent of assert(), and of how the code under test is built. */
#define FUZZ_CHECK(condition)                                                                      \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #condition);    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* ---- of fuzz.c, for replay.c ---- */

/* Replays all seeds and checks their verdicts; with a directory, writes them there instead. */
void fuzz_take_seeds(const char *write_to);
bool fuzz_take(const uint8_t *data, size_t size);

#endif
