/* SPDX-License-Identifier: MIT */
#include "memory.h"

#include <errno.h>
#include <stdlib.h>

static sim_memory_fails *asked;
static void *asked_arg;
static bool sparing;

void sim_memory(sim_memory_fails *fails, void *arg)
{
	asked = fails;
	asked_arg = arg;
}

void sim_memory_spare(bool spare)
{
	sparing = spare;
}

static bool fails(void)
{
	return asked && !sparing && asked(asked_arg);
}

void *sim_malloc(size_t size)
{
	return fails() ? NULL : malloc(size);
}

void *sim_calloc(size_t count, size_t size)
{
	return fails() ? NULL : calloc(count, size);
}

void *sim_realloc(void *old, size_t size)
{
	return fails() ? NULL : realloc(old, size);
}

int sim_posix_memalign(void **out, size_t alignment, size_t size)
{
	return fails() ? ENOMEM : posix_memalign(out, alignment, size);
}
