/* SPDX-License-Identifier: MIT */
/* CURVE keys of nodes: DIR/NODE/key holds the secret key, key.pub the public one, as Z85. */
#include "cli.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/err.h"
#include "topology/secret.h"

/* Writes TEXT and a newline to a new file, durably. 0 or an errno; nothing is left behind. */
static int write_new(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return errno;
	ssize_t size = (ssize_t)strlen(text) + 1;
	int error = 0;
	if (dprintf(fd, "%s\n", text) != size || fsync(fd))
		error = errno ? errno : EIO;
	if (close(fd) && !error)
		error = errno;
	if (error)
		unlink(path);
	return error;
}

static int make_dir(const char *dir, const char *node)
{
	char path[PATH_MAX];
	int err = cli_make_dirs(cli_node_path(dir, node, "", path), 0700);
	if (err)
		return cli_fail(EX_CANTCREAT, "cannot make the directory %s/%s: %s", dir, node,
			dp_strerror(err));
	return 0;
}

int cli_key_make(const char *dir, const char *node, const char *name,
	char public_key[DP_KEY_TEXT + 1])
{
	char path[PATH_MAX], file[32], secret[DP_KEY_TEXT + 1];
	int status = make_dir(dir, node);
	if (status)
		return status;
	if (zmq_curve_keypair(public_key, secret))
		return cli_fail(EX_SOFTWARE, "cannot make a key: %s", zmq_strerror(errno));
	int error = write_new(cli_node_path(dir, node, name, path), secret, 0600);
	explicit_bzero(secret, sizeof secret);
	if (error == EEXIST)
		return cli_fail(EX_CANTCREAT,
			"%s exists and is not overwritten: the node's peers may know its public key",
			path);
	if (error)
		return cli_fail(EX_CANTCREAT, "cannot write %s: %s", path, strerror(error));
	snprintf(file, sizeof file, "%s.pub", name);
	cli_node_path(dir, node, file, path);
	unlink(path); /* of a secret key that is gone */
	error = write_new(path, public_key, 0644);
	if (error)
		return cli_fail(EX_CANTCREAT, "cannot write %s: %s", path, strerror(error));
	return 0;
}

int cli_key_ensure(const char *dir, const char *node, char public_key[DP_KEY_TEXT + 1])
{
	char path[PATH_MAX];
	if (access(cli_node_path(dir, node, "key", path), F_OK))
		return cli_key_make(dir, node, "key", public_key);
	struct dp_secret s;
	enum dp_secret_fault fault = dp_secret_read(path, &s);
	explicit_bzero(s.secret, sizeof s.secret);
	if (fault)
		return cli_fail(EX_DATAERR, "%s: %s; move it away to get a new one", path,
			dp_secret_fault_text(fault));
	memcpy(public_key, s.public_key, sizeof s.public_key);
	int error = write_new(cli_node_path(dir, node, "key.pub", path), public_key, 0644);
	if (error && error != EEXIST)
		return cli_fail(EX_CANTCREAT, "cannot write %s: %s", path, strerror(error));
	return 0;
}
