/* SPDX-License-Identifier: MIT */
/* dipole up: a whole deployment on this machine. up.c is the command, up_files.c makes the state
 * directory, up_find.c finds the programs, up_child.c starts and reaps, up_run.c supervises. */
#ifndef DP_CONTROLLER_CLI_UP_UP_H
#define DP_CONTROLLER_CLI_UP_UP_H

#include <signal.h>
#include <sys/types.h>
#include <time.h>

#include "cli.h"

/* In the order of starting; stopping goes the other way. */
enum up_stage { UP_MIRROR, UP_RELAY, UP_CONTROLLER, UP_NBD, UP_STAGES };

#define UP_ARGS_MAX       16
#define UP_CHILDREN_MAX   (2 * DP_NODES_MAX) /* every node, every controller's nbdkit */
#define UP_BACKOFF_MIN_US 200000
#define UP_BACKOFF_MAX_US 5000000
#define UP_STEADY_US      10000000 /* after this the backoff begins anew */

struct up_child {
	char name[DP_NAME_MAX + sizeof " (nbdkit)"];
	enum up_stage stage;
	char program[PATH_MAX];
	char *argv[UP_ARGS_MAX + 1]; /* owned */
	char log[PATH_MAX], pid_file[PATH_MAX];
	char socket[PATH_MAX]; /* control socket; that of NBD for nbdkit */
	pid_t pid;             /* 0: not running */
	off_t log_start;       /* where this run's lines begin */
	uint64_t started_us;
	uint64_t restart_us; /* 0: not due */
	uint64_t backoff_us;
	bool ready;
	bool given_up; /* it is not restarted */
	bool gone;     /* nor is it to run: the topology has it no more */
	int exit_code; /* of the last run; -1: none or a signal */
};

struct up {
	char dir[PATH_MAX];
	struct dp_topology *topology;
	bool nbd, json;
	/* Puts the nodes on another network than loopback, and sets their addresses. Returns 0 or
	 * an exit status, printed. NULL: loopback. */
	int (*make_network)(struct up *up);
	char namespaces[PATH_MAX]; /* a network namespace DIR/SITE for each site; empty: this one */
	bool starting;             /* an end that a restart does not mend is final */
	bool stopping; /* a signal asked for it, or the start failed: nothing is restarted */
	int lock_fd, signal_fd;
	int port_fds[DP_NODES_MAX]; /* each keeps the port of a node */
	unsigned ports;
	sigset_t old_mask;
	struct timespec file_time; /* of topology.yaml, as it was read last */
	struct up_child *children; /* [UP_CHILDREN_MAX] */
	unsigned count;
};

/* The command, for what the caller has set of `up`. Returns an exit status. */
int up_command(struct up *up, const char *file, const char *state);

/* ---- up_files.c; each returns 0 or an exit status, printed ---- */

/* Every Unix socket's path fits into an address. Nothing has been made yet. */
int up_check_paths(const struct up *up);

/* Makes the directory and locks it for the life of the process. */
int up_lock(struct up *up);

/* Refuses the directory of another deployment; makes the nodes' directories and keys, chooses
 * ports and keeps them, changes the model accordingly and writes topology.yaml. */
int up_prepare(struct up *up);

void up_release_ports(struct up *up);

/* ---- up_find.c ---- */

/* The executable `name`: $DIPOLE_BIN_DIR, beside this one (installed or in the build tree), $PATH.
 * Returns 0 or an exit status, printed. */
int up_find_program(const char *name, char path[PATH_MAX]);

/* nbdkit's plugin: a path, or the name by which nbdkit finds an installed one. */
void up_find_plugin(char path[PATH_MAX]);

/* ---- up_child.c ---- */

/* Fills in the children of all nodes. Returns 0 or an exit status, printed. */
int up_add_children(struct up *up);
/* The same for what up->topology has and did not have: `start` is called with each. */
int up_add_new(struct up *up, void (*start)(struct up *, struct up_child *));
void up_free_children(struct up *up);

/* Starts the child; a failure to fork is a restart that is due later. */
void up_start(struct up *up, struct up_child *child);

/* Notes the end of a child; plans its restart unless stopping. */
void up_reap(struct up *up);

bool up_is_ready(struct up_child *child);

/* Whether its streams are open and its links connected, or down for good. */
bool up_is_connected(const struct up_child *child);

/* The last lines this run of the child has logged, on stderr. */
void up_print_log(const struct up_child *child);

/* ---- up_run.c ---- */

/* Starts all in order and waits for them. 0 also if a signal came, else an exit status, printed. */
int up_begin(struct up *up);

/* Until a signal asks to stop. */
void up_supervise(struct up *up);

/* Ends all in order. */
void up_end(struct up *up);

#endif
