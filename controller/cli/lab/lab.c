/* SPDX-License-Identifier: MIT */
/* dipole lab: the commands. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ask/ask.h"
#include "base/err.h"
#include "base/units.h"
#include "cli.h"
#include "lab/lab.h"
#include "up/up.h"

#define LAB_ASK_TIMEOUT_US 2000000

/* ---- lab up ---- */

static struct dp_budget_costs costs;
static int emulator = -1; /* a pidfd; -1: none */

static int open_socket(struct lab *lab)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int n = snprintf(address.sun_path, sizeof address.sun_path, "%s/" LAB_SOCKET, lab->dir);
	if (n >= (int)sizeof address.sun_path)
		return cli_fail(EX_USAGE, "%s/" LAB_SOCKET " is too long for a socket", lab->dir);
	unlink(address.sun_path);
	lab->socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (lab->socket_fd < 0 ||
		bind(lab->socket_fd, (struct sockaddr *)&address, sizeof address) ||
		listen(lab->socket_fd, 8))
		return cli_fail(EX_OSERR, "cannot listen at %s: %s", address.sun_path,
			strerror(errno));
	return 0;
}

/* In the emulator's process, which ends with `lab up`. */
static _Noreturn void become_emulator(struct lab *lab, pid_t parent, int ready_fd)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	setpgid(0, 0); /* ^C reaches `lab up`, which stops the nodes first */
	int status = getppid() == parent ? 0 : EX_TEMPFAIL;
	if (!status)
		status = open_socket(lab);
	if (!status)
		status = lab_make_sites(lab);
	if (status)
		_exit(status);
	if (write(ready_fd, "", 1) != 1)
		_exit(EX_OSERR);
	close(ready_fd);
	lab_emulate(lab);
}

static int start_emulator(struct lab *lab)
{
	int fds[2], ended;
	char byte;
	pid_t parent = getpid();
	if (pipe2(fds, O_CLOEXEC))
		return cli_fail(EX_OSERR, "no pipe: %s", strerror(errno));
	pid_t pid = fork();
	if (pid == 0)
		become_emulator(lab, parent, fds[1]);
	close(fds[1]);
	bool ready = pid > 0 && read(fds[0], &byte, 1) == 1;
	close(fds[0]);
	if (ready) {
		emulator = pidfd_open(pid, 0);
		return 0;
	}
	if (pid < 0 || waitpid(pid, &ended, 0) != pid || !WIFEXITED(ended))
		return cli_fail(EX_OSERR, "the emulator does not start");
	return WEXITSTATUS(ended);
}

/* The networks end with it: they are gone when this returns. */
static void stop_emulator(void)
{
	struct pollfd p = {.fd = emulator, .events = POLLIN};
	if (emulator < 0)
		return;
	pidfd_send_signal(emulator, SIGKILL, NULL, 0);
	poll(&p, 1, -1);
	close(emulator);
}

static void choose_addresses(struct dp_topology *t)
{
	for (unsigned i = 0; i < t->node_count; i++) {
		struct dp_topo_node *node = &t->nodes[i];
		if (node->listen[0])
			snprintf(node->listen, sizeof node->listen, "tcp://10.77.%u.%u:%u",
				node->site + 1, i + 1, LAB_PORT);
	}
}

static int make_cables(struct lab *lab)
{
	unsigned i;
	if (!wan_init(&lab->wan, lab->t, &costs, &i))
		return 0;
	const struct dp_topo_link *link = &lab->t->links[i];
	const char *a = lab->t->nodes[link->a].name, *b = lab->t->nodes[link->b].name;
	if (dp_budget_propagation_us(link, &costs) < 0)
		return cli_fail(EX_CONFIG,
			"the link between %s and %s has neither a distance nor a round trip, and "
			"a site of theirs no position (`at`)",
			a, b);
	return cli_fail(EX_CONFIG,
		"the link between %s and %s differs from another between the same sites: the "
		"lab has one cable between two sites",
		a, b);
}

/* Instead of loopback. Called when the state directory is locked. */
static int make_network(struct up *up)
{
	static struct lab lab;
	lab.t = up->topology;
	strcpy(lab.dir, up->dir);
	if (geteuid() != 0)
		return cli_fail(EX_NOPERM, "the lab makes network namespaces: it needs root");
	int status = make_cables(&lab);
	if (!status)
		status = start_emulator(&lab);
	if (status)
		return status;
	choose_addresses(up->topology);
	verb_node_path(up->dir, LAB_NAMESPACES, "", up->namespaces);
	return 0;
}

static int run_up(const struct cli_command *self, int argc, char **argv)
{
	const char *file, *state = NULL, *propagation = NULL;
	struct up up = {.nbd = true, .make_network = make_network};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory (see dipole(1))"},
		{"propagation", CLI_TEXT, &propagation, "VALUE", "5us/mi (default) or 3.1us/km"},
		{"json", CLI_FLAG, &up.json, NULL, "say in one line of JSON what is ready"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, &file, 1, 1);
	costs = dp_budget_costs_default(DP_KIB);
	if (propagation)
		costs.us_per_metre = cli_propagation(self, propagation);
	int status = up_command(&up, file, state);
	stop_emulator();
	return status;
}

/* ---- orders to a lab ---- */

/* request is stolen. Returns 0 and the answer, or an exit status, printed. */
static int order(const char *state, json_t *request, json_t **answer)
{
	char dir[PATH_MAX], path[PATH_MAX], error[DP_ASK_ERROR_MAX];
	int status = cli_state_dir(state, dir);
	if (status) {
		json_decref(request);
		return status;
	}
	int err = dp_ask_socket(verb_node_path(dir, LAB_SOCKET, "", path), request,
		LAB_ASK_TIMEOUT_US, answer, error);
	if (err == DP_EINVAL)
		return cli_fail(EX_USAGE, "%s", error);
	return err ? cli_fail(EX_UNAVAILABLE, "no lab runs in %s: %s", dir, error) : 0;
}

static int give(const char *state, json_t *request)
{
	json_t *answer;
	int status = order(state, request, &answer);
	if (!status)
		json_decref(answer);
	return status;
}

static json_t *about(const char *cmd, const char *a, const char *b, bool one_way)
{
	return json_pack("{s:s,s:s*,s:s*,s:b}", "cmd", cmd, "a", a, "b", b, "one_way", one_way);
}

static int run_cut(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL, *words[2];
	bool one_way = false;
	const struct cli_option options[] = {
		{"one-way", CLI_FLAG, &one_way, NULL, "only what A sends to B is lost"},
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the lab"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, words, 2, 2);
	return give(state, about("cut", words[0], words[1], one_way));
}

static int run_heal(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL, *words[2];
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the lab"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, words, 0, 2);
	if (words[0] && !words[1])
		cli_usage(self, "either A and B, or nothing, which heals all");
	return give(state, about("heal", words[0], words[1], false));
}

/* "1%" or "0.01". */
static double want_loss(const struct cli_command *self, const char *text)
{
	char *end;
	double value = strtod(text, &end);
	if (end != text && strcmp(end, "%") == 0) {
		value /= 100;
		end++;
	}
	if (end == text || *end || !(value >= 0 && value <= 1))
		cli_usage(self, "--loss takes a share such as 1%% or 0.01, not '%s'", text);
	return value;
}

static int run_slow(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL, *bandwidth = NULL, *loss = NULL, *words[2];
	uint64_t delay_us = UINT64_MAX, bits = 0;
	bool one_way = false;
	const struct cli_option options[] = {
		{"delay", CLI_TIME, &delay_us, "TIME", "one way"},
		{"bandwidth", CLI_TEXT, &bandwidth, "RATE", "such as 100Mbit"},
		{"loss", CLI_TEXT, &loss, "SHARE", "of the packets, such as 1%"},
		{"one-way", CLI_FLAG, &one_way, NULL, "only what A sends to B"},
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the lab"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, words, 2, 2);
	if (delay_us == UINT64_MAX && !bandwidth && !loss)
		cli_usage(self, "say what: --delay, --bandwidth, --loss");
	if (bandwidth && (dp_parse_bandwidth(bandwidth, &bits) || !bits))
		cli_usage(self, "--bandwidth takes a rate such as 100Mbit, not '%s'", bandwidth);
	json_t *request = about("slow", words[0], words[1], one_way);
	if (delay_us != UINT64_MAX)
		json_object_set_new(request, "delay_us", json_integer((json_int_t)delay_us));
	if (bandwidth)
		json_object_set_new(request, "bits", json_integer((json_int_t)bits));
	if (loss)
		json_object_set_new(request, "loss", json_real(want_loss(self, loss)));
	return give(state, request);
}

static void print_cables(const json_t *cables)
{
	static const struct cli_field fields[] = {{"packets", CLI_NUMBER}, {"bytes", CLI_SIZE},
		{"lost", CLI_NUMBER}, {"overflowed", CLI_NUMBER}};
	struct cli_table *table = cli_table_new("lllrrrrrrr",
		"FROM TO STATE DELAY-US BANDWIDTH LOSS PACKETS BYTES LOST OVERFLOWED");
	const json_t *c;
	size_t i;
	json_array_foreach (cables, i, c) {
		uint64_t bits = verb_number(c, "bandwidth_bits");
		cli_table_add(table, "%s", verb_text(c, "from"));
		cli_table_add(table, "%s", verb_text(c, "to"));
		cli_table_add(table, json_is_true(json_object_get(c, "cut")) ? "Cut" : "Joined");
		cli_table_add(table, "%.0f", json_number_value(json_object_get(c, "delay_us")));
		cli_table_add(table, bits ? "%.0fMbit" : "-", (double)bits / 1e6);
		cli_table_add(table, "%g%%", 100 * json_number_value(json_object_get(c, "loss")));
		cli_table_fields(table, fields, 4, c);
	}
	cli_table_print(&table);
}

static int run_lab_links(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL;
	bool json = false;
	json_t *answer;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the lab"},
		{"json", CLI_FLAG, &json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	int status = order(state, json_pack("{s:s}", "cmd", "links"), &answer);
	if (status)
		return status;
	if (json)
		cli_print_json(json_incref(json_object_get(answer, "cables")));
	else
		print_cables(json_object_get(answer, "cables"));
	json_decref(answer);
	return EX_OK;
}

const struct cli_command cli_lab_up = {
	.name = "lab up",
	.arguments = "FILE [--state DIR] [--propagation VALUE] [--json]",
	.summary = "Run a topology on this machine, with its distances (root).",
	.run = run_up,
};

const struct cli_command cli_lab_cut = {
	.name = "lab cut",
	.arguments = "A B [--one-way] [--state DIR]",
	.summary = "Cut the cable between two sites of a lab.",
	.run = run_cut,
};

const struct cli_command cli_lab_heal = {
	.name = "lab heal",
	.arguments = "[A B] [--state DIR]",
	.summary = "Make cables of a lab as the topology has them.",
	.run = run_heal,
};

const struct cli_command cli_lab_slow = {
	.name = "lab slow",
	.arguments =
		"A B [--delay TIME] [--bandwidth RATE] [--loss SHARE] [--one-way] [--state DIR]",
	.summary = "Make a cable of a lab longer, narrower or lossy.",
	.run = run_slow,
};

const struct cli_command cli_lab_links = {
	.name = "lab links",
	.arguments = "[--state DIR] [--json]",
	.summary = "Show the cables of a lab and what went over them.",
	.run = run_lab_links,
};
