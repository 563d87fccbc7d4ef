/* SPDX-License-Identifier: MIT */
#include "verbs/render.h"

#include <stdlib.h>
#include <string.h>

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

/* ---- a site ---- */

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
		r->target->etc, r->target->etc[0] ? "/" : "");
	r->target->steps(r, to);
	fprintf(to, "\nWhat the alarms in a status mean: docs/operations.md.\n");
}

static unsigned count_here(const struct render *r)
{
	unsigned count = 0;
	for (unsigned i = 0; i < r->t->node_count; i++)
		count += render_is_here(r, i);
	return count;
}

/* Adds a file of the site at hand; its text is what `write` writes. */
static int add_written(json_t *files, const struct render *r, const char *path,
	void (*write)(const struct render *r, FILE *to))
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	if (to)
		write(r, to);
	int err = !to || fclose(to) ? DP_ENOMEM : 0;
	if (!err &&
		json_array_append_new(files, json_pack("{s:s,s:s}", "path", path, "text", text)))
		err = DP_EBADMSG; /* the name of the image is no UTF-8 */
	free(text);
	return err;
}

static int add_site(json_t *sites, const struct render *r, const char *topology)
{
	const char *etc = r->target->etc;
	char path[PATH_MAX];
	json_t *files = json_array();
	snprintf(path, sizeof path, "%s%stopology.yaml", etc, etc[0] ? "/" : "");
	json_array_append_new(files, json_pack("{s:s,s:s}", "path", path, "text", topology));
	int err = r->target->file ? add_written(files, r, r->target->file, r->target->write) : 0;
	if (!err)
		err = add_written(files, r, "README.md", write_readme);
	json_array_append_new(sites,
		json_pack("{s:s,s:s,s:o}", "site", r->t->sites[r->site].name, "etc", etc, "files",
			files));
	return err;
}

static json_t *add_sites(struct render *r, const char *topology, struct verb_error *error)
{
	json_t *sites = json_array(), *without_key = json_array();
	int err;
	for (r->site = 0; r->site < r->t->site_count; r->site++)
		if (count_here(r) && (err = add_site(sites, r, topology)) != 0)
			verb_fail(error, EX_OSERR, "%s", dp_strerror(err));
	for (unsigned i = 0; i < r->t->node_count; i++)
		if (!r->t->nodes[i].key[0])
			json_array_append_new(without_key, json_string(r->t->nodes[i].name));
	return json_pack("{s:o,s:o}", "sites", sites, "without_key", without_key);
}

static const struct render_target *find_target(const char *name)
{
	for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
		if (strcmp(targets[i]->name, name) == 0)
			return targets[i];
	return NULL;
}

bool verb_render_has(const char *target)
{
	return find_target(target) != NULL;
}

json_t *verb_render(const struct verb_render *args, struct verb_error *error)
{
	struct render r = {.target = find_target(args->target), .image = args->image};
	struct dp_topology *t;
	char *text;
	json_t *answer = NULL;
	if (!r.target) {
		verb_fail(error, EX_USAGE, "there is no target '%s'", args->target);
		return NULL;
	}
	if (verb_topology_load(args->file, &t, error))
		return NULL;
	r.t = t;
	int err = dp_text_read(args->file, DP_TOPOLOGY_FILE_MAX, &text);
	if (err)
		verb_fail(error, EX_NOINPUT, "%s: %s", args->file, dp_strerror(err));
	else
		answer = add_sites(&r, text, error);
	if (!err)
		free(text);
	dp_topology_destroy(&t);
	return answer;
}
