/* SPDX-License-Identifier: MIT */
#include "base/textfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

int dp_text_read(const char *path, size_t max, char **text)
{
	*text = NULL;
	FILE *f = fopen(path, "re");
	if (!f)
		return dp_err_from_errno(errno);
	char *all = malloc(max + 2);
	size_t size = all ? fread(all, 1, max + 1, f) : 0;
	int err = !all ? DP_ENOMEM : ferror(f) ? DP_EIO : size > max ? DP_ERANGE : 0;
	fclose(f);
	if (!err && memchr(all, 0, size))
		err = DP_EBADMSG;
	if (err) {
		free(all);
		return err;
	}
	all[size] = '\0';
	*text = all;
	return 0;
}

static int write_all(int fd, const char *text)
{
	size_t size = strlen(text);
	for (size_t done = 0; done < size;) {
		ssize_t n = write(fd, text + done, size - done);
		if (n < 0 && errno != EINTR)
			return -1;
		done += n > 0 ? (size_t)n : 0;
	}
	return fsync(fd);
}

static void directory_of(const char *path, char dir[PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	snprintf(dir, PATH_MAX, "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
}

/* The name has to last, too. */
static int sync_directory(const char *path)
{
	char dir[PATH_MAX];
	directory_of(path, dir);
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int bad = fd < 0 || fsync(fd);
	int saved = errno;
	if (fd >= 0)
		close(fd);
	errno = saved;
	return bad ? -1 : 0;
}

int dp_text_write(const char *path, const char *text, unsigned mode)
{
	char temporary[PATH_MAX];
	/* The nodes of one machine may write the same file at once, and others may write to the
	 * directory: the name is new, and nobody's to foretell. */
	if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
		return ENAMETOOLONG;
	int fd = mkostemp(temporary, O_CLOEXEC);
	if (fd < 0)
		return errno;
	int bad = fchmod(fd, mode) || write_all(fd, text),
	    saved = errno; /* whatever the umask is */
	if (close(fd) && !bad) {
		bad = -1;
		saved = errno;
	}
	if (!bad && rename(temporary, path)) {
		bad = -1;
		saved = errno;
	}
	if (bad) {
		unlink(temporary);
		return saved;
	}
	return sync_directory(path) ? errno : 0;
}

bool dp_text_is(const char *path, const char *text)
{
	char *there;
	bool same = dp_text_read(path, strlen(text), &there) == 0 && strcmp(there, text) == 0;
	free(there);
	return same;
}

int dp_text_can_write(const char *path)
{
	char dir[PATH_MAX];
	struct stat file, directory;
	directory_of(path, dir);
	if (stat(dir, &directory) || access(dir, W_OK | X_OK))
		return errno;
	return stat(path, &file) == 0 && file.st_dev != directory.st_dev ? EBUSY : 0;
}

char *dp_text_digest(const char *text, char hex[DP_TEXT_DIGEST])
{
	uint8_t digest[(DP_TEXT_DIGEST - 1) / 2];
	crypto_generichash(digest, sizeof digest, (const uint8_t *)text, strlen(text), NULL, 0);
	return sodium_bin2hex(hex, DP_TEXT_DIGEST, digest, sizeof digest);
}
