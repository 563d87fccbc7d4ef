/* SPDX-License-Identifier: MIT */
/* A disk table over another one that keeps each image twice: in the state directory, and under the
 * same name in a second directory, which may be on another disk. Journals and small files stay
 * single.
 *
 * Writes and syncs go to both and are done when both are. If one fails, that copy is stale from
 * then on: a marker beside the good copy says so durably before anybody hears of success, and only
 * the good copy is used. The next open copies it anew. Reads come from the first copy, or from the
 * second where that fails. */
#ifndef DP_IO_DISK_TWIN_H
#define DP_IO_DISK_TWIN_H

#include "io/disk.h"

/* Something happened to the copies of `name`: a static text for the operator. */
typedef void dp_twin_alarm(void *ctx, const char *name, const char *text);

/* `inner` stays the caller's, and outlives the twin. `second` is the path of a directory that
 * exists. Errors: DP_ENOMEM. */
int dp_disk_twin_new(struct dp_disk *inner, const char *second, dp_twin_alarm *alarm, void *ctx,
	struct dp_disk **out);
void dp_disk_twin_destroy(struct dp_disk **disk); /* with every file closed */

/* How many files have one good copy only. */
unsigned dp_disk_twin_single(const struct dp_disk *disk);

#endif
