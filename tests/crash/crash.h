/* SPDX-License-Identifier: MIT */
/* The crash-state explorer (docs/testing.md): a scenario lives on a disk that writes everything
 * down (crashdisk.h), every state that a crash may have left is built (explore.h), the product
 * recovers from it, and what it finds is held against what had been promised. */
#ifndef DP_TESTS_CRASH_CRASH_H
#define DP_TESTS_CRASH_CRASH_H

#include <stdbool.h>
#include <stdint.h>

/* Prints what is wrong, where, and how to reproduce it, and ends the process. */
void crash_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* The moment of the crash that is looked at, for the message. */
void crash_at(uint32_t moment);

#endif
