/* SPDX-License-Identifier: MIT */
#include "render/render.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/textfile.h"

static const struct render_target *const targets[] = {
	&render_compose, &render_systemd, &render_kubernetes};

bool render_is_here(const struct render *r, unsigned node)
{
	bool used = false;
	for (unsigned i = 0; i < r->t->stream_count; i++)
		used = used || dp_topology_uses(&r->t->streams[i], node);
	return used && r->t->nodes[node].site == r->site;
}

const char *render_program(enum dp_role role)
{
	static const char *const programs[] = {
		"dipole-controller", "dipole-relay", "dipole-mirrord"};
	return programs[role];
}

void render_nbd(const struct dp_topo_node *controller, FILE *to)
{
	fprintf(to,
		"nbdkit, --foreground, --threads, \"128\", --tls=require, --tls-certificates=" RENDER_ETC
		"/nbd-tls, --tls-verify-peer, dipole, socket=" RENDER_STATE "/%s/host.sock",
		controller->name);
}

const char *render_address(const char *listen, char host[DP_ADDRESS_MAX + 1])
{
	const char *from = listen + strlen("tcp://"), *colon = strrchr(from, ':');
	snprintf(host, DP_ADDRESS_MAX + 1, "%.*s", (int)(colon - from), from);
	return colon + 1;
}

/* ---- files ---- */

/* Puts a file in its place as a whole: what is there is never half of it. */
static int put(const char *dir, const char *site, const char *name, const char *text, size_t size)
{
	char path[PATH_MAX], file[PATH_MAX], temporary[NAME_MAX];
	snprintf(temporary, sizeof temporary, ".%s.new", name);
	verb_node_path(dir, site, temporary, path);
	verb_node_path(dir, site, name, file);
	FILE *to = fopen(path, "we");
	bool bad = !to || fwrite(text, 1, size, to) != size;
	bad = (to && fclose(to)) || bad;
	if (!bad && rename(path, file) == 0)
		return 0;
	int error = errno;
	unlink(path);
	return cli_fail(EX_CANTCREAT, "cannot write %s: %s", file, strerror(error));
}

static int put_written(const char *dir, const struct render *r, const char *name,
	void (*write)(const struct render *r, FILE *to))
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	if (to)
		write(r, to);
	int status = !to || fclose(to) ? cli_fail(EX_OSERR, "out of memory")
				       : put(dir, r->t->sites[r->site].name, name, text, size);
	free(text);
	return status;
}

/* ---- a site ---- */

static const struct render_target *target; /* for write_readme() */

static void write_readme(const struct render *r, FILE *to)
{
	const struct dp_topology *t = r->t;
	fprintf(to, "# %s at site %s\n\nWhat runs here:\n\n", t->name, t->sites[r->site].name);
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to, "- %s, a %s%s%s\n", t->nodes[i].name,
				dp_role_name(t->nodes[i].role),
				t->nodes[i].listen[0] ? ", listening at " : "", t->nodes[i].listen);
	fprintf(to,
		"\nTCP and UDP of the same port have to come through from the nodes that send to it.\n"
		"`%s%stopology.yaml` is the same at all sites and has no secret in it.\n\n",
		target->etc, target->etc[0] ? "/" : "");
	target->steps(r, to);
	fprintf(to, "\nWhat the alarms in a status mean: docs/operations.md.\n");
}

static unsigned count_here(const struct render *r)
{
	unsigned count = 0;
	for (unsigned i = 0; i < r->t->node_count; i++)
		count += render_is_here(r, i);
	return count;
}

static int render_site(const char *dir, const struct render *r, const char *topology)
{
	const char *site = r->t->sites[r->site].name;
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/%s/secrets", dir, site);
	int err = verb_make_dirs(path, 0700);
	snprintf(path, sizeof path, "%s/%s/%s", dir, site, target->etc);
	if (!err)
		err = verb_make_dirs(path, 0755);
	if (err)
		return cli_fail(EX_CANTCREAT, "cannot make the directory %s: %s", path,
			dp_strerror(err));
	snprintf(path, sizeof path, "%s/%s", site, target->etc);
	int status = put(dir, path, "topology.yaml", topology, strlen(topology));
	if (!status && target->file)
		status = put_written(dir, r, target->file, target->write);
	return status ? status : put_written(dir, r, "README.md", write_readme);
}

/* Whether the daemons could start with it: for keys that are missing. */
static void warn_of_keys(const struct dp_topology *t)
{
	for (unsigned i = 0; i < t->node_count; i++)
		if (!t->nodes[i].key[0])
			fprintf(stderr,
				"dipole: node %s has no key in the file yet: make one with `dipole keygen`, "
				"put the public key into the file, and render again\n",
				t->nodes[i].name);
}

/* ---- the command ---- */

static int render(const struct dp_topology *t, const char *file, const char *dir, const char *image)
{
	char *topology;
	struct render r = {.t = t, .image = image};
	int err = dp_text_read(file, DP_TOPOLOGY_FILE_MAX, &topology);
	int status = err ? cli_fail(EX_NOINPUT, "%s: %s", file, dp_strerror(err)) : 0;
	for (; r.site < t->site_count && !status; r.site++) {
		if (!count_here(&r))
			continue;
		status = render_site(dir, &r, topology);
		if (!status)
			printf("%s/%s\n", dir, t->sites[r.site].name);
	}
	free(topology);
	if (!status)
		warn_of_keys(t);
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *file, *name = NULL, *out = NULL, *image = "dipole:" DIPOLE_VERSION;
	struct dp_topology *t;
	const struct cli_option options[] = {
		{"target", CLI_TEXT, &name, "TARGET", "compose, systemd or kubernetes"},
		{"out", CLI_TEXT, &out, "DIR", "write DIR/SITE for each site"},
		{"image", CLI_TEXT, &image, "NAME", "of the container image"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &file, 1, 1);
	target = NULL;
	for (size_t i = 0; name && i < sizeof targets / sizeof targets[0]; i++)
		if (strcmp(targets[i]->name, name) == 0)
			target = targets[i];
	if (!target)
		cli_usage(self, "--target is one of compose, systemd and kubernetes");
	if (!out)
		cli_usage(self, "--out DIR is missing");
	if (!image[0] || strpbrk(image, "\"\\ \t\n"))
		cli_usage(self, "'%s' cannot be the name of an image", image);
	int status = cli_topology_load(file, &t);
	if (status)
		return status;
	status = render(t, file, out, image);
	dp_topology_destroy(&t);
	return status;
}

const struct cli_command cli_render = {
	.name = "render",
	.arguments = "FILE --target TARGET --out DIR",
	.summary = "Write what each site needs to run its part of a topology.",
	.run = run,
};
