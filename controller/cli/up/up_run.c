/* SPDX-License-Identifier: MIT */
/* Start in order, supervise, stop in order. All waiting is in turn(). */
#include "up/up.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#define START_LIMIT_US  30000000
#define START_STREAM_US 1000000 /* more for each stream: its journals are written once */
#define LINKS_LIMIT_US  5000000
#define STOP_LIMIT_US   20000000
#define LOOK_EVERY_US   50000
#define FOLLOW_EVERY_US 500000
#define FOREVER_US      UINT64_MAX

static void restart_due(struct up *up)
{
	uint64_t now = dp_clock_us();
	for (unsigned i = 0; i < up->count && !up->stopping; i++) {
		struct up_child *child = &up->children[i];
		if (!child->pid && child->restart_us && child->restart_us <= now)
			up_start(up, child);
	}
}

/* Milliseconds until the next restart or for `time_us`, whichever is less; -1: no limit. */
static int wait_ms(const struct up *up, uint64_t time_us)
{
	uint64_t now = dp_clock_us(), least = time_us;
	for (unsigned i = 0; i < up->count && !up->stopping; i++) {
		const struct up_child *child = &up->children[i];
		if (child->pid || !child->restart_us)
			continue;
		uint64_t left = child->restart_us > now ? child->restart_us - now : 0;
		least = left < least ? left : least;
	}
	return least == FOREVER_US ? -1 : (int)(least / 1000) + 1;
}

/* Waits for a signal, at most `time_us`, and does what is due. */
static void turn(struct up *up, uint64_t time_us)
{
	struct pollfd p = {.fd = up->signal_fd, .events = POLLIN};
	struct signalfd_siginfo info;
	if (poll(&p, 1, wait_ms(up, time_us)) > 0) {
		while (read(up->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
			if (info.ssi_signo != SIGCHLD)
				up->stopping = true;
		}
	}
	up_reap(up);
	restart_due(up);
}

/* ---- start ---- */

/* One of the stages first..last that is not ready, or NULL. */
static struct up_child *find_unready(struct up *up, enum up_stage first, enum up_stage last)
{
	struct up_child *found = NULL;
	for (unsigned i = 0; i < up->count; i++) {
		struct up_child *child = &up->children[i];
		if (child->stage < first || child->stage > last || up_is_ready(child))
			continue;
		if (!found || child->given_up)
			found = child;
	}
	return found;
}

static uint64_t start_limit_us(const struct up *up)
{
	return START_LIMIT_US + up->topology->stream_count * (uint64_t)START_STREAM_US;
}

static int fail_start(struct up *up, const struct up_child *child)
{
	int status = child->given_up && child->exit_code > 1 ? child->exit_code : EX_UNAVAILABLE;
	up->stopping = true;
	if (child->given_up)
		cli_fail(0, "%s cannot start", child->name);
	else
		cli_fail(0, "%s does not answer within %llu s", child->name,
			(unsigned long long)(start_limit_us(up) / 1000000));
	up_print_log(child);
	return status;
}

/* Starts the stages and waits until all of them are ready. */
static int begin_stages(struct up *up, enum up_stage first, enum up_stage last)
{
	uint64_t deadline = dp_clock_us() + start_limit_us(up);
	for (enum up_stage stage = first; stage <= last; stage++) {
		for (unsigned i = 0; i < up->count; i++) {
			if (up->children[i].stage == stage)
				up_start(up, &up->children[i]);
		}
	}
	while (!up->stopping) {
		struct up_child *child = find_unready(up, first, last);
		if (!child)
			return 0;
		if (child->given_up || dp_clock_us() >= deadline)
			return fail_start(up, child);
		turn(up, LOOK_EVERY_US);
	}
	return 0;
}

/* For a moment only: a leg that cannot be connected is not a reason to be silent about the others.
 */
static void wait_for_links(struct up *up)
{
	uint64_t deadline = dp_clock_us() + LINKS_LIMIT_US;
	for (unsigned i = 0; i < up->count && !up->stopping && dp_clock_us() < deadline;) {
		if (up_is_connected(&up->children[i]))
			i++;
		else
			turn(up, LOOK_EVERY_US);
	}
}

int up_begin(struct up *up)
{
	up->starting = true;
	int status = begin_stages(up, UP_MIRROR, UP_CONTROLLER);
	if (!status && !up->stopping)
		status = begin_stages(up, UP_NBD, UP_NBD);
	if (!status && !up->stopping)
		wait_for_links(up);
	up->starting = false;
	return status;
}

/* ---- a file that has changed (dipole apply) ---- */

static void end_gone(struct up *up)
{
	for (unsigned i = 0; i < up->count; i++) {
		struct up_child *child = &up->children[i];
		char node[sizeof child->name];
		snprintf(node, sizeof node, "%.*s", (int)strcspn(child->name, " "), child->name);
		if (child->gone || dp_topology_node(up->topology, node) >= 0)
			continue;
		child->gone = child->given_up = true;
		child->restart_us = 0;
		if (child->pid)
			kill(child->pid, SIGTERM);
	}
}

/* Nodes that stay have taken it by themselves. */
static void follow(struct up *up)
{
	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *t;
	struct stat st;
	char path[PATH_MAX];
	verb_node_path(up->dir, "topology.yaml", "", path);
	bool same = stat(path, &st) ||
		(st.st_mtim.tv_sec == up->file_time.tv_sec &&
			st.st_mtim.tv_nsec == up->file_time.tv_nsec);
	if (same)
		return;
	bool first = up->file_time.tv_sec == 0;
	up->file_time = st.st_mtim;
	if (first || dp_topology_load(path, &t, &errors)) {
		dp_topology_print_errors(&errors, stderr);
		return;
	}
	dp_topology_destroy(&up->topology);
	up->topology = t;
	end_gone(up);
	up_add_new(up, up_start);
}

void up_supervise(struct up *up)
{
	while (!up->stopping) {
		follow(up);
		turn(up, FOLLOW_EVERY_US);
	}
}

/* ---- stop ---- */

static unsigned running(const struct up *up, enum up_stage stage)
{
	unsigned count = 0;
	for (unsigned i = 0; i < up->count; i++)
		count += up->children[i].stage == stage && up->children[i].pid;
	return count;
}

/* SIGCONT: a process that is stopped would not notice that it is to end. It comes first, as it
 * would also undo the stop with which a debugger, or LeakSanitizer, looks at a process that ends.
 */
static void signal_stage(const struct up *up, enum up_stage stage, int number)
{
	for (unsigned i = 0; i < up->count; i++) {
		const struct up_child *child = &up->children[i];
		if (child->stage != stage || !child->pid)
			continue;
		if (number == SIGKILL)
			cli_fail(0, "%s (pid %d) does not end within %d s and is killed",
				child->name, (int)child->pid, STOP_LIMIT_US / 1000000);
		kill(child->pid, SIGCONT);
		kill(child->pid, number);
	}
}

static void end_stage(struct up *up, enum up_stage stage)
{
	uint64_t deadline = dp_clock_us() + STOP_LIMIT_US;
	signal_stage(up, stage, SIGTERM);
	while (running(up, stage)) {
		uint64_t now = dp_clock_us();
		if (now >= deadline)
			break;
		turn(up, deadline - now);
	}
	signal_stage(up, stage, SIGKILL);
	while (running(up, stage))
		turn(up, FOREVER_US);
}

void up_end(struct up *up)
{
	up->stopping = true;
	for (unsigned stage = UP_STAGES; stage-- > 0;)
		end_stage(up, (enum up_stage)stage);
	for (unsigned i = 0; i < up->count; i++) {
		if (up->children[i].stage == UP_NBD)
			unlink(up->children[i].socket);
	}
}
