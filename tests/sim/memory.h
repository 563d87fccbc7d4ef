/* SPDX-License-Identifier: MIT */
/* The allocator that the simulated nodes' code is compiled with (tests/CMakeLists.txt): any call of
 * it can be made to fail. */
#ifndef DP_TESTS_SIM_MEMORY_H
#define DP_TESTS_SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Asked at each allocation whether it fails; NULL: none does. */
typedef bool sim_memory_fails(void *arg);
void sim_memory(sim_memory_fails *fails, void *arg);
void sim_memory_spare(bool spare); /* as long as it is true none fails, and none is asked about */

void *sim_malloc(size_t size);
void *sim_calloc(size_t count, size_t size);
void *sim_realloc(void *old, size_t size);
int sim_posix_memalign(void **out, size_t alignment, size_t size);

#endif
