/* SPDX-License-Identifier: MIT */
/* dipole up: runs every node of a topology on this machine. */
#include "up/up.h"
#include "verbs/uri.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/err.h"

/* ---- what is running ---- */

static const char *controller_of(const struct dp_topology *t, const struct dp_topo_volume *v)
{
	return t->nodes[t->streams[v->stream].controller].name;
}

static void print_text(const struct up *up)
{
	const struct dp_topology *t = up->topology;
	char path[PATH_MAX], uri[VERB_URI_MAX];
	for (unsigned i = 0; i < t->volume_count; i++) {
		const struct dp_topo_volume *v = &t->volumes[i];
		const char *controller = controller_of(t, v);
		if (up->nbd)
			puts(verb_nbd_uri(v->name,
				verb_node_path(up->dir, controller, "nbd.sock", path), uri));
		else
			printf("volume %s: host socket %s\n", v->name,
				verb_node_path(up->dir, controller, "host.sock", path));
	}
	puts("ready");
	fflush(stdout);
}

static json_t *nodes_json(const struct up *up)
{
	json_t *nodes = json_array();
	for (unsigned i = 0; i < up->count; i++) {
		const struct up_child *child = &up->children[i];
		if (child->stage == UP_NBD)
			continue;
		int n = dp_topology_node(up->topology, child->name);
		json_array_append_new(nodes,
			json_pack("{s:s,s:s,s:s,s:i}", "node", child->name, "role",
				dp_role_name(up->topology->nodes[n].role), "listen",
				up->topology->nodes[n].listen, "pid", (int)child->pid));
	}
	return nodes;
}

static json_t *volume_json(const struct up *up, const struct dp_topo_volume *v)
{
	const char *controller = controller_of(up->topology, v);
	char path[PATH_MAX], uri[VERB_URI_MAX];
	json_t *volume = json_pack("{s:s,s:I,s:s}", "name", v->name, "size_bytes",
		(json_int_t)v->size, "host_socket",
		verb_node_path(up->dir, controller, "host.sock", path));
	verb_nbd_uri(v->name, verb_node_path(up->dir, controller, "nbd.sock", path), uri);
	json_object_set_new(volume, "uri", up->nbd ? json_string(uri) : json_null());
	return volume;
}

static void print_json(const struct up *up)
{
	json_t *volumes = json_array();
	for (unsigned i = 0; i < up->topology->volume_count; i++)
		json_array_append_new(volumes, volume_json(up, &up->topology->volumes[i]));
	cli_print_json(json_pack("{s:b,s:s,s:s,s:o,s:o}", "ready", 1, "deployment",
		up->topology->name, "state", up->dir, "nodes", nodes_json(up), "volumes", volumes));
}

/* ---- the command ---- */

static int catch_signals(struct up *up)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGCHLD);
	signal(SIGPIPE, SIG_IGN); /* whoever reads our output may go */
	sigprocmask(SIG_BLOCK, &set, &up->old_mask);
	up->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (up->signal_fd < 0)
		return cli_fail(EX_OSERR, "cannot wait for signals: %s", strerror(errno));
	return 0;
}

static int run_all(struct up *up)
{
	int status = up_begin(up);
	if (!status && !up->stopping) {
		if (up->json)
			print_json(up);
		else
			print_text(up);
		clearerr(stdout); /* the nodes run, whether or not somebody reads it */
		up_supervise(up);
	}
	up_end(up);
	return status;
}

static int run_up(struct up *up)
{
	int status = up_check_paths(up);
	if (!status)
		status = up_lock(up);
	if (!status)
		status = up_prepare(up);
	if (!status)
		status = up_add_children(up);
	if (!status)
		status = catch_signals(up);
	if (!status)
		status = run_all(up);
	up_free_children(up);
	return status;
}

int up_command(struct up *up, const char *file, const char *state)
{
	up->lock_fd = up->signal_fd = -1;
	int status = cli_state_dir(state, up->dir);
	if (!status)
		status = cli_topology_load(file, &up->topology);
	if (!status)
		status = run_up(up);
	dp_topology_destroy(&up->topology);
	up_release_ports(up);
	if (up->signal_fd >= 0)
		close(up->signal_fd);
	if (up->lock_fd >= 0)
		close(up->lock_fd);
	return status;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *file, *state = NULL;
	bool no_nbd = false;
	struct up up = {.make_network = NULL};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory (see dipole(1))"},
		{"no-nbd", CLI_FLAG, &no_nbd, NULL, "start no NBD server"},
		{"json", CLI_FLAG, &up.json, NULL, "say in one line of JSON what is ready"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &file, 1, 1);
	up.nbd = !no_nbd;
	return up_command(&up, file, state);
}

const struct cli_command cli_up = {
	.name = "up",
	.arguments = "FILE [--state DIR] [--no-nbd] [--json]",
	.summary = "Run every node of a topology on this machine.",
	.run = run,
};
