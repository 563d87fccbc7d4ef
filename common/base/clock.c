/* SPDX-License-Identifier: MIT */
#include "base/clock.h"

#include <time.h>

uint64_t dp_clock_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

void dp_clock_sleep_us(uint64_t time_us)
{
	struct timespec t = {(time_t)(time_us / 1000000), (long)(time_us % 1000000) * 1000};
	nanosleep(&t, NULL);
}
