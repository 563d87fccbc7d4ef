/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "verbs/copies.h"

json_t *verb_digest(const struct verb_place *place, const struct verb_copies *args,
	struct verb_error *error)
{
	struct copies c;
	json_t *list = json_array(), *answer = NULL;
	/* Its one time limit is also the patience with what is cut off: for scripts that start
	 * nodes. */
	if (!copies_compare(&c, place, args, args->timeout_us, error)) {
		bool all = copies_with(&c, COPY_MISSING) == 0,
		     equal = copies_with(&c, COPY_DIFFERS) == 0;
		for (unsigned i = 0; i < c.count; i++)
			json_array_append_new(list, copy_json(&c, &c.list[i]));
		answer = json_pack("{s:s,s:b,s:b,s:O}", "volume", args->volume, "complete",
			(int)all, "equal", (int)(all && equal), "mirrors", list);
		if (!equal)
			verb_fail(error, 1, "the mirrors of %s DIFFER", args->volume);
		else if (!all)
			error->status = EX_UNAVAILABLE;
	}
	json_decref(list);
	copies_clear(&c);
	return answer;
}

/* ---- of a file or block device ---- */

/* A whole block unless the file ends in it. Its size, or -1 with errno. */
static ssize_t read_block(int fd, uint8_t *data, uint64_t offset)
{
	size_t size = 0;
	while (size < DP_DIGEST_BLOCK) {
		ssize_t n = pread(fd, data + size, DP_DIGEST_BLOCK - size, (off_t)(offset + size));
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		if (n == 0)
			break;
		size += (size_t)n;
	}
	return (ssize_t)size;
}

/* The next block with data in it: blocks of zeros do not count, so holes need not be read. */
static uint64_t skip_hole(int fd, uint64_t block)
{
	off_t data = lseek(fd, (off_t)(block * DP_DIGEST_BLOCK), SEEK_DATA);
	return data < 0 ? block : (uint64_t)data / DP_DIGEST_BLOCK;
}

static int digest_fd(int fd, struct dp_digest *digest)
{
	uint8_t data[DP_DIGEST_BLOCK];
	ssize_t n = DP_DIGEST_BLOCK;
	for (uint64_t block = 0; n == DP_DIGEST_BLOCK; block++) {
		block = skip_hole(fd, block);
		n = read_block(fd, data, block * DP_DIGEST_BLOCK);
		if (n > 0)
			dp_digest_block(digest, block, data, (size_t)n);
	}
	return n < 0 ? errno : 0;
}

json_t *verb_digest_file(const char *path, struct verb_error *error)
{
	struct dp_digest digest;
	uint8_t result[DP_DIGEST_SIZE];
	char text[DP_DIGEST_TEXT];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	off_t size = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
	dp_digest_init(&digest);
	int failed = size < 0 ? errno : digest_fd(fd, &digest);
	if (fd >= 0)
		close(fd);
	dp_digest_final(&digest, result);
	if (failed) {
		verb_fail(error, EX_NOINPUT, "cannot read %s: %s", path, strerror(failed));
		return NULL;
	}
	return json_pack("{s:o,s:I,s:s}", "file", verb_string(path), "size_bytes", (json_int_t)size,
		"digest", dp_digest_text(result, text));
}
