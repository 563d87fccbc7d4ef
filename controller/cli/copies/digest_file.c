/* SPDX-License-Identifier: MIT */
#include "copies/digest.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

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
	static uint8_t data[DP_DIGEST_BLOCK];
	for (uint64_t block = 0;; block++) {
		block = skip_hole(fd, block);
		ssize_t n = read_block(fd, data, block * DP_DIGEST_BLOCK);
		if (n < 0)
			return errno;
		if (n == 0)
			return 0;
		dp_digest_block(digest, block, data, (size_t)n);
		if ((size_t)n < DP_DIGEST_BLOCK)
			return 0;
	}
}

int cli_digest_file(const char *path, char text[DP_DIGEST_TEXT], uint64_t *size_bytes)
{
	struct dp_digest digest;
	uint8_t result[DP_DIGEST_SIZE];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno;
	dp_digest_init(&digest);
	off_t size = lseek(fd, 0, SEEK_END);
	int error = size < 0 ? errno : digest_fd(fd, &digest);
	close(fd);
	dp_digest_final(&digest, result);
	dp_digest_text(result, text);
	*size_bytes = size < 0 ? 0 : (uint64_t)size;
	return error;
}
