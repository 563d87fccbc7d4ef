/* Journals and images of streams and volumes that this node has no more: they keep their content under
 * another name, so that nothing is lost by a change, and a new volume of the same name begins empty. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node/internal.h"

/* "image.NAME", "image.NAME.3"; "journal.NAME", "journal.NAME.renewed". Names have no dots. */
static bool belongs(const struct dp_node_gone *gone, const char *file)
{
	const char *kind = gone->stream ? "journal." : "image.";
	size_t size = strlen(kind), name = strlen(gone->name);
	if (strncmp(file, kind, size) || strncmp(file + size, gone->name, name))
		return false;
	return file[size + name] == '\0' || file[size + name] == '.';
}

static int set_aside(int dir, const char *directory, const char *file)
{
	char to[NAME_MAX + 40];
	snprintf(to, sizeof to, "gone.%llu.%s", (unsigned long long)(node_wall_us() / 1000000), file);
	if (renameat(dir, file, dir, to)) {
		int err = dp_err_from_errno(errno);
		dp_log(DP_LOG_ERROR, "set-aside-failed", "file=%s/%s error=\"%s\"", directory, file,
			dp_strerror(err));
		return err;
	}
	dp_log(DP_LOG_NOTICE, "set-aside", "file=%s/%s now=%s", directory, file, to);
	return 0;
}

static int aside_in(const struct dp_node_config *cfg, const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;
	int err = d ? 0 : dp_err_from_errno(errno);
	while (!err && (entry = readdir(d)))
		for (unsigned i = 0; i < cfg->gone_count && !err; i++)
			if (belongs(&cfg->gone[i], entry->d_name))
				err = set_aside(dirfd(d), directory, entry->d_name);
	if (d && !err && fsync(dirfd(d)))
		err = dp_err_from_errno(errno);
	if (d)
		closedir(d);
	return err;
}

int aside_all(const struct node *n)
{
	if (!n->cfg->gone_count)
		return 0;
	int err = aside_in(n->cfg, n->cfg->state);
	return !err && n->cfg->second_store[0] ? aside_in(n->cfg, n->cfg->second_store) : err;
}
