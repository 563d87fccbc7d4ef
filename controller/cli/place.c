/* SPDX-License-Identifier: MIT */
/* The state directory: topology.yaml, and a directory for each node. */
#include "cli.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define INSTALLED "/etc/dipole/topology.yaml"

static const char *default_dir(char buf[PATH_MAX])
{
	const char *state = getenv("DIPOLE_STATE");
	if (state && *state)
		return state;
	if (geteuid() == 0)
		return "/var/lib/dipole";
	const char *home = getenv("HOME");
	if (!home || !*home)
		return NULL;
	int n = snprintf(buf, PATH_MAX, "%s/.local/state/dipole", home);
	return n < PATH_MAX ? buf : NULL;
}

int cli_state_dir(const char *option, char dir[PATH_MAX])
{
	char buf[PATH_MAX], here[PATH_MAX] = "";
	const char *path = option ? option : default_dir(buf);
	if (!path || !*path)
		return cli_fail(EX_USAGE, "no state directory: use --state DIR or set HOME");
	if (path[0] != '/' && !getcwd(here, sizeof here))
		return cli_fail(EX_OSERR, "working directory: %s", strerror(errno));
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	int n = snprintf(dir, PATH_MAX, "%s%s%s", here, here[0] ? "/" : "", path);
	if (n >= PATH_MAX)
		return cli_fail(EX_USAGE, "the path of the state directory is too long");
	while (n > 1 && dir[n - 1] == '/')
		dir[--n] = '\0';
	return 0;
}

int cli_topology_status(int err)
{
	return !err ? 0 : err == DP_ECONFIG ? EX_CONFIG : err == DP_ENOMEM ? EX_OSERR : EX_NOINPUT;
}

int cli_topology_load(const char *path, struct dp_topology **out)
{
	struct dp_topo_errors errors = {.count = 0};
	int err = dp_topology_load(path, out, &errors);
	dp_topology_print_errors(&errors, stderr);
	return cli_topology_status(err);
}

int cli_place_open(const char *option, struct cli_place *place)
{
	char path[PATH_MAX];
	*place = (struct cli_place){.topology = NULL};
	int status = cli_state_dir(option, place->dir);
	if (status)
		return status;
	if (snprintf(path, sizeof path, "%s/topology.yaml", place->dir) >= (int)sizeof path)
		return cli_fail(EX_USAGE, "the path of the state directory is too long");
	/* Where services run, the file stands with the machine's other configuration. */
	if (!option && access(path, F_OK) && access(INSTALLED, F_OK) == 0)
		snprintf(path, sizeof path, "%s", INSTALLED);
	snprintf(place->file, sizeof place->file, "%s", path);
	if (access(path, F_OK) && errno == ENOENT)
		return cli_fail(EX_NOINPUT, "no deployment in %s: there is no topology.yaml (%s)",
			place->dir,
			"start one with `dipole up FILE`, or name another with --state");
	return cli_topology_load(path, &place->topology);
}

void cli_place_close(struct cli_place *place)
{
	dp_topology_destroy(&place->topology);
}

char *cli_node_path(const char *dir, const char *node, const char *file, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%s%s%s", dir, node, *file ? "/" : "", file) >= PATH_MAX)
		path[0] = '\0'; /* opens nothing */
	return path;
}

bool cli_is_name(const char *text)
{
	size_t size = strlen(text);
	const char *allowed = "abcdefghijklmnopqrstuvwxyz0123456789-";
	return size > 0 && size <= DP_NAME_MAX && strspn(text, allowed) == size && text[0] != '-';
}

int cli_make_dirs(const char *path, unsigned mode)
{
	char part[PATH_MAX];
	struct stat st;
	if (strlen(path) >= sizeof part)
		return DP_ERANGE;
	strcpy(part, path);
	for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(part, 0755) && errno != EEXIST)
			return dp_err_from_errno(errno);
		*slash = '/';
	}
	if (mkdir(part, mode) == 0)
		return 0;
	if (errno != EEXIST)
		return dp_err_from_errno(errno);
	return stat(part, &st) == 0 && S_ISDIR(st.st_mode) ? 0 : DP_EINVAL;
}
