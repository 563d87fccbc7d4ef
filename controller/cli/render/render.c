/* SPDX-License-Identifier: MIT */
/* dipole render: for each site a folder with what it runs. */
#include "cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"

/* Puts a file in its place as a whole: what is there is never half of it. */
static int put_file(const char *path, const char *text)
{
	char temporary[PATH_MAX + 8];
	int dir = (int)(strrchr(path, '/') + 1 - path);
	snprintf(temporary, sizeof temporary, "%.*s.%s.new", dir, path, path + dir);
	FILE *to = fopen(temporary, "we");
	bool bad = !to || fputs(text, to) < 0;
	bad = (to && fclose(to)) || bad;
	if (!bad && rename(temporary, path) == 0)
		return 0;
	int error = errno;
	unlink(temporary);
	return cli_fail(EX_CANTCREAT, "cannot write %s: %s", path, strerror(error));
}

static int make_site_dirs(const char *dir, const json_t *site)
{
	const char *name = verb_text(site, "site");
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s/secrets", dir, name);
	int err = verb_make_dirs(path, 0700);
	snprintf(path, sizeof path, "%s/%s/%s", dir, name, verb_text(site, "etc"));
	if (!err)
		err = verb_make_dirs(path, 0755);
	return err
		? cli_fail(EX_CANTCREAT, "cannot make the directory %s: %s", path, dp_strerror(err))
		: 0;
}

static int put_site(const char *dir, const json_t *site)
{
	const char *name = verb_text(site, "site");
	char path[PATH_MAX];
	json_t *file;
	size_t i;
	int status = make_site_dirs(dir, site);
	json_array_foreach (json_object_get(site, "files"), i, file) {
		snprintf(path, sizeof path, "%s/%s/%s", dir, name, verb_text(file, "path"));
		if (!status)
			status = put_file(path, verb_text(file, "text"));
	}
	if (!status)
		printf("%s/%s\n", dir, name);
	return status;
}

static int put_sites(const char *dir, const json_t *answer)
{
	json_t *site, *node;
	size_t i;
	int status = 0;
	json_array_foreach (json_object_get(answer, "sites"), i, site)
		status = status ? status : put_site(dir, site);
	json_array_foreach (json_object_get(answer, "without_key"), i, node)
		if (!status)
			fprintf(stderr,
				"dipole: node %s has no key in the file yet: make one with `dipole keygen`, "
				"put the public key into the file, and render again\n",
				json_string_value(node));
	return status;
}

static int run_render(const struct cli_command *self, int argc, char **argv)
{
	struct verb_render r = {.image = "dipole:" DIPOLE_VERSION};
	const char *out = NULL;
	struct verb_error error = {.status = 0};
	const struct cli_option options[] = {
		{"target", CLI_TEXT, &r.target, "TARGET", "compose, systemd or kubernetes"},
		{"out", CLI_TEXT, &out, "DIR", "write DIR/SITE for each site"},
		{"image", CLI_TEXT, &r.image, "NAME", "of the container image"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &r.file, 1, 1);
	if (!r.target || !verb_render_has(r.target))
		cli_usage(self, "--target is one of compose, systemd and kubernetes");
	if (!out)
		cli_usage(self, "--out DIR is missing");
	if (!r.image[0] || strpbrk(r.image, "\"\\ \t\n"))
		cli_usage(self, "'%s' cannot be the name of an image", r.image);
	json_t *answer = verb_render(&r, &error);
	int status = cli_error(&error);
	if (!status)
		status = put_sites(out, answer);
	json_decref(answer);
	return status;
}

const struct cli_command cli_render = {
	.name = "render",
	.arguments = "FILE --target TARGET --out DIR",
	.summary = "Write what each site needs to run its part of a topology.",
	.run = run_render,
};
