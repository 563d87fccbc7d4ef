/* SPDX-License-Identifier: MIT */
/* Where the daemons and the plugin are: installed, or in the build tree. */
#include "up/up.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* From the directory of this executable: bin, sbin; then the folders of the build tree. */
static const char *const beside[] = {".", "../sbin", "..", "../../relay", "../../mirrord"};

static bool is_file(const char *path, int access_mode)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, access_mode) == 0;
}

/* Looks into each directory of a list such as that of $PATH. */
static bool in_list(const char *list, const char *name, char path[PATH_MAX])
{
	while (list && *list) {
		int size = (int)strcspn(list, ":");
		int n = snprintf(path, PATH_MAX, "%.*s/%s", size, list, name);
		if (size && n < PATH_MAX && is_file(path, X_OK))
			return true;
		list += size + (list[size] == ':');
	}
	return false;
}

/* The directory of this executable; false if /proc is not there. */
static bool own_dir(char dir[PATH_MAX])
{
	ssize_t n = readlink("/proc/self/exe", dir, PATH_MAX - 1);
	if (n <= 0)
		return false;
	dir[n] = '\0';
	char *slash = strrchr(dir, '/');
	if (slash)
		*slash = '\0';
	return slash != NULL;
}

static bool is_beside(const char *name, char path[PATH_MAX])
{
	char dir[PATH_MAX];
	if (!own_dir(dir))
		return false;
	for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
		int n = snprintf(path, PATH_MAX, "%s/%s/%s", dir, beside[i], name);
		if (n < PATH_MAX && is_file(path, X_OK))
			return true;
	}
	return false;
}

int up_find_program(const char *name, char path[PATH_MAX])
{
	if (in_list(getenv("DIPOLE_BIN_DIR"), name, path) || is_beside(name, path) ||
		in_list(getenv("PATH"), name, path))
		return 0;
	return cli_fail(EX_UNAVAILABLE,
		"the program %s is not found; is it installed? (DIPOLE_BIN_DIR can say where)",
		name);
}

void up_find_plugin(char path[PATH_MAX])
{
	char dir[PATH_MAX];
	const char *plugin = getenv("DIPOLE_PLUGIN");
	if (plugin && *plugin && strlen(plugin) < PATH_MAX) {
		strcpy(path, plugin);
		return;
	}
	if (own_dir(dir)) {
		int n = snprintf(path, PATH_MAX, "%s/../nbd/nbdkit-dipole-plugin.so", dir);
		if (n < PATH_MAX && is_file(path, R_OK))
			return;
	}
	strcpy(path, "dipole");
}
