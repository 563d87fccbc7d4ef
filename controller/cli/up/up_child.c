/* SPDX-License-Identifier: MIT */
/* The processes of `dipole up`. */
#include "up/up.h"

#include "ask/ask.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOG_TAIL       4096
#define READY_ASK_US   250000
#define NBDKIT_THREADS "128"

/* ---- what to run ---- */

/* Copies the words up to NULL. */
static bool set_args(struct up_child *child, ...)
{
	va_list args;
	const char *word;
	unsigned count = 0;
	va_start(args, child);
	while ((word = va_arg(args, const char *)) && count < UP_ARGS_MAX) {
		child->argv[count] = strdup(word);
		if (!child->argv[count])
			break;
		count++;
	}
	va_end(args);
	return word == NULL;
}

static struct up_child *new_child(struct up *up, const char *node, const char *suffix,
	enum up_stage stage)
{
	struct up_child *child = &up->children[up->count++];
	*child = (struct up_child){
		.stage = stage, .backoff_us = UP_BACKOFF_MIN_US, .exit_code = -1};
	snprintf(child->name, sizeof child->name, "%s%s", node, suffix);
	return child;
}

static int add_daemon(struct up *up, const struct dp_topo_node *node)
{
	static const enum up_stage stages[] = {
		[DP_ROLE_CONTROLLER] = UP_CONTROLLER,
		[DP_ROLE_RELAY] = UP_RELAY,
		[DP_ROLE_MIRROR] = UP_MIRROR,
	};
	static const char *const programs[] = {
		[DP_ROLE_CONTROLLER] = "dipole-controller",
		[DP_ROLE_RELAY] = "dipole-relay",
		[DP_ROLE_MIRROR] = "dipole-mirrord",
	};
	char topology[PATH_MAX], state[PATH_MAX];
	struct up_child *child = new_child(up, node->name, "", stages[node->role]);
	verb_node_path(up->dir, node->name, "log", child->log);
	verb_node_path(up->dir, node->name, "pid", child->pid_file);
	verb_node_path(up->dir, node->name, "control.sock", child->socket);
	verb_node_path(up->dir, node->name, "", state);
	verb_node_path(up->dir, "topology.yaml", "", topology);
	int status = up_find_program(programs[node->role], child->program);
	if (status)
		return status;
	if (!set_args(child, programs[node->role], "--topology", topology, "--node", node->name,
		    "--state", state, NULL))
		return cli_fail(EX_OSERR, "out of memory");
	return 0;
}

static int add_nbdkit(struct up *up, const struct dp_topo_node *node)
{
	char plugin[PATH_MAX], host[PATH_MAX], parameter[PATH_MAX + 8];
	struct up_child *child = new_child(up, node->name, " (nbdkit)", UP_NBD);
	verb_node_path(up->dir, node->name, "nbdkit.log", child->log);
	verb_node_path(up->dir, node->name, "nbdkit.pid", child->pid_file);
	verb_node_path(up->dir, node->name, "nbd.sock", child->socket);
	verb_node_path(up->dir, node->name, "host.sock", host);
	snprintf(parameter, sizeof parameter, "socket=%s", host);
	up_find_plugin(plugin);
	int status = up_find_program("nbdkit", child->program);
	if (status)
		return cli_fail(status, "without nbdkit, --no-nbd leaves out the NBD server");
	/* nbdkit writes the file of -P when it listens. */
	if (!set_args(child, "nbdkit", "-f", "-t", NBDKIT_THREADS, "-P", child->pid_file, "-U",
		    child->socket, plugin, parameter, NULL))
		return cli_fail(EX_OSERR, "out of memory");
	return 0;
}

static int add_node(struct up *up, const struct dp_topo_node *node)
{
	if (up->count + 2 > UP_CHILDREN_MAX)
		return cli_fail(EX_OSERR,
			"too many nodes have come and gone: start `dipole up` again");
	int status = add_daemon(up, node);
	if (!status && up->nbd && node->role == DP_ROLE_CONTROLLER)
		status = add_nbdkit(up, node);
	return status;
}

int up_add_children(struct up *up)
{
	const struct dp_topology *t = up->topology;
	int status = 0;
	up->children = calloc(UP_CHILDREN_MAX, sizeof *up->children);
	if (!up->children)
		return cli_fail(EX_OSERR, "out of memory");
	for (unsigned i = 0; i < t->node_count && !status; i++)
		status = add_node(up, &t->nodes[i]);
	return status;
}

static bool has_child(const struct up *up, const char *node)
{
	for (unsigned i = 0; i < up->count; i++)
		if (!up->children[i].gone && strcmp(up->children[i].name, node) == 0)
			return true;
	return false;
}

int up_add_new(struct up *up, void (*start)(struct up *, struct up_child *))
{
	int status = 0;
	for (unsigned i = 0; i < up->topology->node_count && !status; i++) {
		const struct dp_topo_node *node = &up->topology->nodes[i];
		char key[DP_KEY_TEXT + 1];
		unsigned first = up->count;
		if (has_child(up, node->name))
			continue;
		status = cli_key_ensure(up->dir, node->name, key);
		if (!status)
			status = add_node(up, node);
		for (unsigned c = first; c < up->count && !status; c++)
			start(up, &up->children[c]);
	}
	return status;
}

void up_free_children(struct up *up)
{
	for (unsigned i = 0; i < up->count; i++) {
		for (char **word = up->children[i].argv; *word; word++)
			free(*word);
	}
	free(up->children);
	up->children = NULL;
	up->count = 0;
}

/* ---- start ---- */

/* Its network namespace. nbdkit has only Unix sockets and needs none. */
static void enter_site(const struct up *up, const struct up_child *child)
{
	char path[PATH_MAX];
	int node = dp_topology_node(up->topology, child->name);
	if (!up->namespaces[0] || node < 0)
		return;
	const char *site = up->topology->sites[up->topology->nodes[node].site].name;
	int fd = open(verb_node_path(up->namespaces, site, "", path), O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET)) {
		dprintf(2, "dipole up: cannot enter the network of site %s: %s\n", site,
			strerror(errno));
		_exit(EX_OSERR);
	}
	close(fd);
}

/* In the new process. Its own group, so that ^C reaches only `up`, which stops all in order. */
static _Noreturn void become(const struct up *up, const struct up_child *child, pid_t parent)
{
	int in = open("/dev/null", O_RDONLY);
	int out = open(child->log, O_WRONLY | O_CREAT | O_APPEND, 0600);
	if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
		_exit(EX_CANTCREAT);
	if (in > 2)
		close(in);
	if (out > 2)
		close(out);
	setpgid(0, 0);
	signal(SIGPIPE, SIG_DFL);
	unsetenv("JOURNAL_STREAM"); /* the log is a file, whatever our own stderr is */
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(EX_TEMPFAIL);
	sigprocmask(SIG_SETMASK, &up->old_mask, NULL);
	enter_site(up, child);
	execv(child->program, child->argv);
	dprintf(2, "dipole up: cannot run %s: %s\n", child->program, strerror(errno));
	_exit(EX_OSERR);
}

/* By rename, so that a reader never sees half of it. */
static void write_pid(const struct up_child *child)
{
	char temporary[PATH_MAX + 8];
	snprintf(temporary, sizeof temporary, "%s.new", child->pid_file);
	FILE *file = fopen(temporary, "we");
	bool good = file && fprintf(file, "%d\n", (int)child->pid) > 0;
	if (file && fclose(file))
		good = false;
	if (!good || rename(temporary, child->pid_file))
		cli_fail(0, "cannot write %s: %s", child->pid_file, strerror(errno));
}

static void plan_restart(struct up_child *child)
{
	uint64_t now = dp_clock_us();
	if (now - child->started_us >= UP_STEADY_US)
		child->backoff_us = UP_BACKOFF_MIN_US;
	child->restart_us = now + child->backoff_us;
	child->backoff_us *= 2;
	if (child->backoff_us > UP_BACKOFF_MAX_US)
		child->backoff_us = UP_BACKOFF_MAX_US;
}

void up_start(struct up *up, struct up_child *child)
{
	struct stat st;
	child->log_start = stat(child->log, &st) == 0 ? st.st_size : 0;
	child->started_us = dp_clock_us();
	child->restart_us = 0;
	child->ready = false;
	if (child->stage == UP_NBD) {
		unlink(child->socket); /* nbdkit takes no socket that is there */
		unlink(child->pid_file);
	}
	pid_t parent = getpid(), pid = fork();
	if (pid == 0)
		become(up, child, parent);
	if (pid < 0) {
		cli_fail(0, "cannot start %s: %s", child->name, strerror(errno));
		plan_restart(child);
		return;
	}
	child->pid = pid;
	if (child->stage != UP_NBD)
		write_pid(child);
}

/* ---- end ---- */

/* Whether a restart would end in the same way. While starting, more counts as a mistake that is
 * better told at once; nbdkit then ends only if its plugin or its parameters are not right. */
static bool is_final(const struct up *up, const struct up_child *child)
{
	int code = child->exit_code;
	if (child->stage == UP_NBD)
		return up->starting && code > 0;
	if (!up->starting)
		return code == EX_CONFIG;
	return code == EX_CONFIG || code == EX_USAGE || code == EX_DATAERR || code == EX_NOINPUT ||
		code == EX_CANTCREAT;
}

static void print_end(const struct up_child *child, pid_t pid, int wait_status)
{
	const char *next = "; it is restarted";
	if (child->given_up)
		next = child->exit_code == EX_CONFIG
			? ": its configuration is wrong, it is not restarted"
			: ": it is not restarted";
	if (WIFSIGNALED(wait_status))
		cli_fail(0, "%s (pid %d) was ended by signal %d (%s)%s", child->name, (int)pid,
			WTERMSIG(wait_status), strsignal(WTERMSIG(wait_status)), next);
	else
		cli_fail(0, "%s (pid %d) ended with exit status %d%s", child->name, (int)pid,
			child->exit_code, next);
}

static void note_end(struct up *up, struct up_child *child, int wait_status)
{
	pid_t pid = child->pid;
	child->pid = 0;
	child->ready = false;
	child->exit_code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
	unlink(child->pid_file);
	if (up->stopping || child->gone)
		return;
	child->given_up = is_final(up, child);
	if (!child->given_up)
		plan_restart(child);
	print_end(child, pid, wait_status);
}

void up_reap(struct up *up)
{
	int wait_status;
	pid_t pid;
	while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
		for (unsigned i = 0; i < up->count; i++) {
			if (up->children[i].pid == pid)
				note_end(up, &up->children[i], wait_status);
		}
	}
}

/* ---- ready, and the log ---- */

/* The process itself answers, not one of an earlier run that is still ending. */
static bool answers(const struct up_child *child)
{
	char error[DP_ASK_ERROR_MAX];
	json_t *answer;
	json_t *request = json_pack("{s:s}", "cmd", "status");
	if (dp_ask_socket(child->socket, request, READY_ASK_US, &answer, error))
		return false;
	uint64_t pid = verb_number(answer, "pid");
	json_decref(answer);
	return pid == 0 || pid == (uint64_t)child->pid;
}

bool up_is_ready(struct up_child *child)
{
	struct stat st;
	if (!child->ready && child->pid && child->stage == UP_NBD)
		child->ready = stat(child->pid_file, &st) == 0 && st.st_size > 0;
	else if (!child->ready && child->pid)
		child->ready = answers(child);
	return child->ready;
}

static bool is_settled(const json_t *stream)
{
	const json_t *link;
	size_t i;
	json_array_foreach (json_object_get(stream, "links"), i, link) {
		const char *state = verb_text(link, "state");
		if (strcmp(state, "Connecting") == 0 || strcmp(state, "Waiting") == 0)
			return false;
	}
	return strcmp(verb_text(stream, "state"), "Open") == 0;
}

bool up_is_connected(const struct up_child *child)
{
	char error[DP_ASK_ERROR_MAX];
	json_t *answer, *stream;
	size_t i;
	bool connected = true;
	if (child->stage == UP_NBD || !child->pid)
		return true;
	if (dp_ask_socket(child->socket, json_pack("{s:s}", "cmd", "status"), READY_ASK_US, &answer,
		    error))
		return true;
	json_array_foreach (json_object_get(answer, "streams"), i, stream)
		connected = connected && is_settled(stream);
	json_decref(answer);
	return connected;
}

void up_print_log(const struct up_child *child)
{
	char text[LOG_TAIL + 1];
	int fd = open(child->log, O_RDONLY | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return;
	off_t from = child->log_start;
	if (fstat(fd, &st) == 0 && st.st_size - from > LOG_TAIL)
		from = st.st_size - LOG_TAIL;
	ssize_t n = pread(fd, text, LOG_TAIL, from);
	close(fd);
	if (n <= 0)
		return;
	text[n] = '\0';
	fprintf(stderr, "the end of %s:\n", child->log);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		fprintf(stderr, "  %s\n", line);
}
