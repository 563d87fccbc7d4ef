/* SPDX-License-Identifier: MIT */
/* A disk in memory for unit tests. What is submitted waits in a queue until the test lets it
 * happen, so that a test can crash before it, tear it or have it fail. */
#ifndef DP_TESTS_RIG_MEMDISK_H
#define DP_TESTS_RIG_MEMDISK_H

#include "io/disk.h"

#define MEMDISK_FILES  8
#define MEMDISK_SECTOR 512u

struct memdisk {
	struct dp_disk base;
	struct dp_file *files[MEMDISK_FILES];
	struct dp_io **queue;
	uint32_t count, capacity;
	uint32_t opened;           /* handles not closed */
	int write_error;           /* of every write, zero and sync from now on; 0: none */
	const struct dp_file *bad; /* only of this file, even if it is renamed; NULL: of all */
	int read_error;            /* of every read, blocking or not */
	uint64_t writes;           /* carried out, blocking ones included */
	uint64_t reads;            /* submitted ones carried out */
};

struct memdisk *memdisk_new(void);
void memdisk_free(struct memdisk *d);

/* The bytes of a file, which the test may change; NULL: there is none. */
uint8_t *memdisk_bytes(struct memdisk *d, const char *name, uint64_t *size);

/* A file as if an earlier process had left it. */
void memdisk_put(struct memdisk *d, const char *name, const uint8_t *bytes, uint64_t size);

/* Carries out the oldest of the queue; false: it is empty. */
bool memdisk_step(struct memdisk *d);
void memdisk_step_at(struct memdisk *d, uint32_t at); /* any of the queue, 0 being the oldest */
void memdisk_run(struct memdisk *d); /* until nothing waits, also what done() adds */

/* A crash: of the oldest operation, if it is a write, those sectors reach the disk that `keep`
 * picks; the rest of the queue never happens and nobody hears of any of it. NULL: none. */
void memdisk_crash(struct memdisk *d, bool (*keep)(uint64_t sector, void *arg), void *arg);

#endif
