/* SPDX-License-Identifier: MIT */
/* The state directory of `dipole up`. */
#include "up/up.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/textfile.h"

#define SOCKET_PATH_MAX (sizeof((struct sockaddr_un *)NULL)->sun_path - 1)

int up_check_paths(const struct up *up)
{
	char path[PATH_MAX];
	for (unsigned i = 0; i < up->topology->node_count; i++) {
		const char *node = up->topology->nodes[i].name;
		verb_node_path(up->dir, node, "control.sock", path); /* the longest of them */
		if (!path[0] || strlen(path) > SOCKET_PATH_MAX)
			return cli_fail(EX_USAGE,
				"%s/%s/control.sock is too long for a socket (at most %zu bytes): "
				"use a shorter --state DIR",
				up->dir, node, SOCKET_PATH_MAX);
	}
	return 0;
}

int up_lock(struct up *up)
{
	char path[PATH_MAX];
	int err = verb_make_dirs(up->dir, 0700);
	if (err)
		return cli_fail(EX_CANTCREAT, "cannot make the directory %s: %s", up->dir,
			dp_strerror(err));
	verb_node_path(up->dir, "lock", "", path);
	up->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (up->lock_fd < 0)
		return cli_fail(EX_CANTCREAT, "cannot open %s: %s", path, strerror(errno));
	if (flock(up->lock_fd, LOCK_EX | LOCK_NB) == 0)
		return 0;
	if (errno == EWOULDBLOCK)
		return cli_fail(EX_UNAVAILABLE, "another `dipole up` is running in %s", up->dir);
	return cli_fail(EX_OSERR, "cannot lock %s: %s", path, strerror(errno));
}

/* ---- ports ---- */

/* Below the ports that the kernel gives to connections, of which some UDP socket could get the port
 * of a node that is being restarted. */
#define PORT_FIRST    20000
#define PORT_COUNT    10000
#define PORT_ATTEMPTS 64

/* Heartbeats use the UDP port of the same number. */
static bool is_free_for_udp(const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool free = fd >= 0 && bind(fd, (const struct sockaddr *)address, sizeof *address) == 0;
	if (fd >= 0)
		close(fd);
	return free;
}

/*
 * Keeps the port of 127.0.0.1 for the node, also while that is restarted: a socket that is bound
 * and does not listen. With SO_REUSEADDR on both, the node can listen beside it. Another `dipole
 * up` binds without SO_REUSEADDR, so it is refused. Returns the socket, or -1: the port is taken.
 */
static int hold_port(unsigned port, bool had_before)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int yes = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (had_before) /* connections of the last run may linger */
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
	if (bind(fd, (struct sockaddr *)&address, sizeof address) || !is_free_for_udp(&address) ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* The port that the node had in the last run, or 0. */
static unsigned last_port(const struct dp_topology *last, const char *node)
{
	unsigned port = 0;
	int i = last ? dp_topology_node(last, node) : -1;
	if (i < 0 || sscanf(last->nodes[i].listen, "tcp://127.0.0.1:%5u", &port) != 1)
		return 0;
	return port <= UINT16_MAX ? port : 0;
}

static int choose_port(struct dp_topo_node *node, const struct dp_topology *last, int *fd)
{
	unsigned port = last_port(last, node->name);
	*fd = port ? hold_port(port, true) : -1;
	for (int attempt = 0; *fd < 0 && attempt < PORT_ATTEMPTS; attempt++) {
		port = PORT_FIRST + randombytes_uniform(PORT_COUNT);
		*fd = hold_port(port, false);
	}
	if (*fd < 0)
		return cli_fail(EX_OSERR, "no port for %s: %s", node->name, strerror(errno));
	snprintf(node->listen, sizeof node->listen, "tcp://127.0.0.1:%u", port);
	return 0;
}

static int choose_ports(struct up *up, const struct dp_topology *last)
{
	int status = 0;
	for (unsigned i = 0; i < up->topology->node_count && !status; i++) {
		struct dp_topo_node *node = &up->topology->nodes[i];
		if (!node->listen[0])
			continue;
		status = choose_port(node, last, &up->port_fds[up->ports]);
		up->ports += !status;
	}
	return status;
}

void up_release_ports(struct up *up)
{
	while (up->ports)
		close(up->port_fds[--up->ports]);
}

/* ---- topology.yaml ---- */

/* Replaces the file, durably. 0 or an errno. */
static int write_file(const struct dp_topology *t, const char *path)
{
	char *text = NULL;
	size_t size = 0;
	FILE *to = open_memstream(&text, &size);
	int bad = !to || dp_topology_write(t, to);
	if (to && fclose(to))
		bad = 1;
	int error = bad ? ENOMEM : dp_text_write(path, text, 0644);
	free(text);
	return error;
}

static int make_keys(struct up *up)
{
	int status = 0;
	for (unsigned i = 0; i < up->topology->node_count && !status; i++) {
		struct dp_topo_node *node = &up->topology->nodes[i];
		status = cli_key_ensure(up->dir, node->name, node->key);
	}
	return status;
}

static int prepare(struct up *up, const struct dp_topology *last, const char *path)
{
	if (last && strcmp(last->name, up->topology->name) != 0)
		return cli_fail(EX_CONFIG,
			"%s holds the deployment '%s', not '%s': use another --state DIR", up->dir,
			last->name, up->topology->name);
	int status = make_keys(up);
	if (!status)
		status = up->make_network ? up->make_network(up) : choose_ports(up, last);
	if (status)
		return status;
	int error = write_file(up->topology, path);
	if (error)
		return cli_fail(EX_CANTCREAT, "cannot write %s: %s", path, strerror(error));
	return 0;
}

int up_prepare(struct up *up)
{
	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *last;
	char path[PATH_MAX];
	verb_node_path(up->dir, "topology.yaml", "", path);
	int err = dp_topology_load(path, &last, &errors), status;
	if (err && err != DP_ENOENT) { /* what it says is not lost: ports, and whose deployment it
					  is */
		struct verb_error error = {.status = 0};
		verb_topology_judge(err, &errors, &error);
		status = cli_error(&error);
	} else {
		status = prepare(up, last, path);
	}
	dp_topology_destroy(&last);
	return status;
}
