/* SPDX-License-Identifier: MIT */
/* The clock that deadlines and waits go by. */
#ifndef DP_BASE_CLOCK_H
#define DP_BASE_CLOCK_H

#include <stdint.h>

/* Microseconds since some moment in the past. The clock never goes back. */
uint64_t dp_clock_us(void);

/* A signal may end the sleep earlier. */
void dp_clock_sleep_us(uint64_t time_us);

#endif
