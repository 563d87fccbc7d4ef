/* SPDX-License-Identifier: MIT */
/* The real disk table: files in a state directory, io_uring for what is submitted, a helper
 * thread where the kernel or a container forbids io_uring. */
#ifndef DP_IO_DISK_REAL_H
#define DP_IO_DISK_REAL_H

#include "io/disk.h"

/* `dir` must exist. Errors: DP_ENOENT, DP_EPERM, DP_ENOMEM. */
int dp_disk_real_new(const char *dir, struct dp_disk **out);
void dp_disk_real_destroy(struct dp_disk **disk);

/* Readable when completions wait; then call dp_disk_real_complete(), which calls their done(). */
int dp_disk_real_fd(struct dp_disk *disk);
unsigned dp_disk_real_complete(struct dp_disk *disk);

/* Hands what was submitted since the last call to the kernel. A lone small durable write is
 * waited for, a moment at most: with nothing else to do that saves two switches of the thread, and
 * what arrives meanwhile makes the next group commit. True: completions wait. */
bool dp_disk_real_flush(struct dp_disk *disk);

/* Test and benchmark aid: every durable write and sync takes this much longer. 0: off. */
void dp_disk_real_delay(struct dp_disk *disk, unsigned delay_us);

#endif
