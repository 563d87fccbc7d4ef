/* SPDX-License-Identifier: MIT */
/* Small files of text, whole: keys, topologies. */
#ifndef DP_BASE_TEXTFILE_H
#define DP_BASE_TEXTFILE_H

#include <stdbool.h>
#include <stddef.h>

/* Reads all of it into new memory, which the caller frees; it ends with a 0. Errors: DP_ENOENT,
 * DP_ERANGE (more than `max` bytes), DP_EBADMSG (a 0 in it), DP_ENOMEM, DP_EIO and what errno says.
 */
int dp_text_read(const char *path, size_t max, char **text);

/* Puts it there, durably; who reads meanwhile finds the old file or the new one, whole. 0, or an
 * errno value; the old file stays then. */
int dp_text_write(const char *path, const char *text, unsigned mode);

/* Names a text: the start of its BLAKE2b, in hexadecimal, short enough to be read out. Returns
 * `hex`. */
#define DP_TEXT_DIGEST 33
char *dp_text_digest(const char *text, char hex[DP_TEXT_DIGEST]);

/* Whether just this stands there. */
bool dp_text_is(const char *path, const char *text);

/* Whether dp_text_write() could do it: 0, or an errno value; EBUSY: the file is a mount of its own,
 * as in a container. */
int dp_text_can_write(const char *path);

#endif
