/* SPDX-License-Identifier: MIT */
/* CURVE keys of nodes: DIR/NODE/key holds the secret key, key.pub the public one, as Z85. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "base/err.h"
#include "topology/secret.h"
#include "verbs/key.h"

/* Writes TEXT and a newline to a new file, durably. 0 or an errno; nothing is left behind. */
static int write_new_key(const char *path, const char *text, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	if (fd < 0)
		return errno;
	ssize_t size = (ssize_t)strlen(text) + 1;
	int failed = 0;
	if (dprintf(fd, "%s\n", text) != size || fsync(fd))
		failed = errno ? errno : EIO;
	if (close(fd) && !failed)
		failed = errno;
	if (failed)
		unlink(path);
	return failed;
}

static int make_node_dir(const char *dir, const char *node, struct verb_error *error)
{
	char path[PATH_MAX];
	int err = verb_make_dirs(verb_node_path(dir, node, "", path), 0700);
	if (err)
		return verb_fail(error, EX_CANTCREAT, "cannot make the directory %s/%s: %s", dir,
			node, dp_strerror(err));
	return 0;
}

int verb_key_make(const char *dir, const char *node, const char *name,
	char public_key[DP_KEY_TEXT + 1], struct verb_error *error)
{
	char path[PATH_MAX], file[32], secret[DP_KEY_TEXT + 1];
	int status = make_node_dir(dir, node, error);
	if (status)
		return status;
	if (zmq_curve_keypair(public_key, secret))
		return verb_fail(error, EX_SOFTWARE, "cannot make a key: %s", zmq_strerror(errno));
	int failed = write_new_key(verb_node_path(dir, node, name, path), secret, 0600);
	explicit_bzero(secret, sizeof secret);
	if (failed == EEXIST)
		return verb_fail(error, EX_CANTCREAT,
			"%s exists and is not overwritten: the node's peers may know its public key",
			path);
	if (failed)
		return verb_fail(error, EX_CANTCREAT, "cannot write %s: %s", path,
			strerror(failed));
	snprintf(file, sizeof file, "%s.pub", name);
	verb_node_path(dir, node, file, path);
	unlink(path); /* of a secret key that is gone */
	failed = write_new_key(path, public_key, 0644);
	if (failed)
		return verb_fail(error, EX_CANTCREAT, "cannot write %s: %s", path,
			strerror(failed));
	return 0;
}

int verb_key_ensure(const char *dir, const char *node, char public_key[DP_KEY_TEXT + 1],
	struct verb_error *error)
{
	char path[PATH_MAX];
	if (access(verb_node_path(dir, node, "key", path), F_OK))
		return verb_key_make(dir, node, "key", public_key, error);
	struct dp_secret s;
	enum dp_secret_fault fault = dp_secret_read(path, &s);
	explicit_bzero(s.secret, sizeof s.secret);
	if (fault)
		return verb_fail(error, EX_DATAERR, "%s: %s; move it away to get a new one", path,
			dp_secret_fault_text(fault));
	memcpy(public_key, s.public_key, sizeof s.public_key);
	int failed = write_new_key(verb_node_path(dir, node, "key.pub", path), public_key, 0644);
	if (failed && failed != EEXIST)
		return verb_fail(error, EX_CANTCREAT, "cannot write %s: %s", path,
			strerror(failed));
	return 0;
}

/* ---- verbs ---- */

bool verb_is_name(const char *text)
{
	size_t size = strlen(text);
	const char *allowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
	return size > 0 && size <= DP_NAME_MAX && strspn(text, allowed) == size && text[0] != '-';
}

static json_t *make_pair(const char *dir, const char *node, const char *name,
	struct verb_error *error)
{
	char public_key[DP_KEY_TEXT + 1];
	if (verb_key_make(dir, node, name, public_key, error))
		return NULL;
	return json_pack("{s:s,s:s}", "node", node, "public_key", public_key);
}

json_t *verb_keygen(const char *dir, const char *node, struct verb_error *error)
{
	if (verb_is_name(node))
		return make_pair(dir, node, "key", error);
	verb_fail(error, EX_USAGE, "'%s' cannot be the name of a node", node);
	return NULL;
}

json_t *verb_key_add(const struct verb_place *place, const char *node, struct verb_error *error)
{
	if (dp_topology_node(place->topology, node) >= 0)
		return make_pair(place->dir, node, "key.next", error);
	verb_fail(error, EX_USAGE, "no node '%s' in %s", node, place->file);
	return NULL;
}
