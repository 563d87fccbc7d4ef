/* SPDX-License-Identifier: MIT */
/* The state directory: topology.yaml, and a directory for each node. */
#include "verbs/place.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"

#define INSTALLED "/etc/dipole/topology.yaml"

/* ---- errors ---- */

int verb_fail(struct verb_error *error, int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(error->text, sizeof error->text, format, args);
	va_end(args);
	return error->status = status;
}

void verb_error_clear(struct verb_error *error)
{
	free(error->mistakes);
	*error = (struct verb_error){.status = 0};
}

/* ---- places ---- */

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

int verb_state_dir(const char *option, char dir[PATH_MAX], struct verb_error *error)
{
	char buf[PATH_MAX], here[PATH_MAX] = "";
	const char *path = option ? option : default_dir(buf);
	if (!path || !*path)
		return verb_fail(error, EX_USAGE,
			"no state directory: use --state DIR or set HOME");
	if (path[0] != '/' && !getcwd(here, sizeof here))
		return verb_fail(error, EX_OSERR, "working directory: %s", strerror(errno));
	while (strncmp(path, "./", 2) == 0)
		path += 2;
	int n = snprintf(dir, PATH_MAX, "%s%s%s", here, here[0] ? "/" : "", path);
	if (n >= PATH_MAX)
		return verb_fail(error, EX_USAGE, "the path of the state directory is too long");
	while (n > 1 && dir[n - 1] == '/')
		dir[--n] = '\0';
	return 0;
}

int verb_topology_judge(int err, const struct dp_topo_errors *errors, struct verb_error *error)
{
	size_t size;
	free(error->mistakes);
	error->mistakes = NULL;
	FILE *to = errors->count ? open_memstream(&error->mistakes, &size) : NULL;
	if (to) {
		dp_topology_print_errors(errors, to);
		fclose(to);
	}
	error->status = !err        ? 0
		: err == DP_ECONFIG ? EX_CONFIG
		: err == DP_ENOMEM  ? EX_OSERR
				    : EX_NOINPUT;
	return error->status;
}

int verb_topology_load(const char *path, struct dp_topology **out, struct verb_error *error)
{
	struct dp_topo_errors errors = {.count = 0};
	int err = dp_topology_load(path, out, &errors);
	return verb_topology_judge(err, &errors, error);
}

int verb_place_open(const char *option, struct verb_place *place, struct verb_error *error)
{
	char path[PATH_MAX];
	*place = (struct verb_place){.topology = NULL};
	int status = verb_state_dir(option, place->dir, error);
	if (status)
		return status;
	if (snprintf(path, sizeof path, "%s/topology.yaml", place->dir) >= (int)sizeof path)
		return verb_fail(error, EX_USAGE, "the path of the state directory is too long");
	/* Where services run, the file stands with the machine's other configuration. */
	if (!option && access(path, F_OK) && access(INSTALLED, F_OK) == 0)
		snprintf(path, sizeof path, "%s", INSTALLED);
	snprintf(place->file, sizeof place->file, "%s", path);
	if (access(path, F_OK) && errno == ENOENT)
		return verb_fail(error, EX_NOINPUT,
			"no deployment in %s: there is no topology.yaml (%s)", place->dir,
			"start one with `dipole up FILE`, or name another with --state");
	return verb_topology_load(path, &place->topology, error);
}

void verb_place_close(struct verb_place *place)
{
	dp_topology_destroy(&place->topology);
}

/* ---- paths ---- */

char *verb_node_path(const char *dir, const char *node, const char *file, char path[PATH_MAX])
{
	if (snprintf(path, PATH_MAX, "%s/%s%s%s", dir, node, *file ? "/" : "", file) >= PATH_MAX)
		path[0] = '\0';
	return path;
}

int verb_make_dirs(const char *path, unsigned mode)
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

/* ---- JSON ---- */

json_t *verb_string(const char *text)
{
	json_t *string = json_string(text);
	char *copy = string ? NULL : strdup(text);
	if (!copy)
		return string;
	for (char *c = copy; *c; c++)
		if (*c & 0x80)
			*c = '?';
	string = json_string(copy);
	free(copy);
	return string;
}

const char *verb_text(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));
	return text ? text : "-";
}

uint64_t verb_number(const json_t *object, const char *key)
{
	json_int_t value = json_integer_value(json_object_get(object, key));
	return value > 0 ? (uint64_t)value : 0;
}
