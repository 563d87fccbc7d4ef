/* SPDX-License-Identifier: MIT */
/* `dipole digest --file`: the digest of a file on this machine. */
#ifndef DP_CONTROLLER_CLI_COPIES_DIGEST_H
#define DP_CONTROLLER_CLI_COPIES_DIGEST_H

#include "store/digest.h"

/* The digest of a file or block device, as that of a volume with this content. *size_bytes is what
 * was read. Errors: an errno. */
int cli_digest_file(const char *path, char text[DP_DIGEST_TEXT], uint64_t *size_bytes);

#endif
