/* SPDX-License-Identifier: MIT */
/* The loop: waits for what the node has descriptors for, and lets each part do its work. */
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

#include "io/disk_real.h"
#include "node/internal.h"

#define TICK_US       10000
#define STOP_LIMIT_US 10000000
#define EXCHANGES_MAX 64u

/* ---- work of a turn ---- */

static void read_clock(struct node *n)
{
	n->now_us = node_clock_us();
}

static void flush_streams(struct node *n)
{
	streams_flush(n);
	dp_links_flush(n->links); /* before the disk, which may be waited for */
}

static void flush_all(struct node *n)
{
	do {
		flush_streams(n);
		while (dp_disk_real_flush(n->disk)) {
			read_clock(n); /* it was waited for */
			dp_disk_real_complete(n->disk);
			flush_streams(n);
		}
	} while (conns_flush(n));
}

/* Sends and takes until nothing waits. A peer that sends without a pause gets a turn's share: the
 * rest stays for the next, which does not wait. */
static void exchange_messages(struct node *n)
{
	bool more = true;
	for (unsigned i = 0; i < EXCHANGES_MAX && more; i++) {
		flush_all(n);
		more = net_receive(n);
	}
	n->more_waits = more;
}

/* ---- sources ---- */

static int signal_fd(const struct node *n)
{
	return n->signal_fd;
}

static void take_signal(struct node *n)
{
	struct signalfd_siginfo info;
	if (read(n->signal_fd, &info, sizeof info) != sizeof info)
		return;
	if (info.ssi_signo == SIGHUP) {
		if (!n->stopping)
			json_decref(reload_answer(n, NULL, false));
		return;
	}
	n->stopping = true;
	n->restart = false; /* also one that has begun */
}

static int beat_fd(const struct node *n)
{
	return dp_links_beat_fd(n->links);
}

static void check_beats(struct node *n)
{
	dp_links_check_beats(n->links);
}

static int admission_fd(const struct node *n)
{
	return dp_admission_fd(n->admission);
}

static void wake_admission(struct node *n)
{
	dp_admission_wake(n->admission);
}

static int remote_fd(const struct node *n)
{
	return n->remote ? n->remote_waker.fd : -1;
}

static void wake_remote(struct node *n)
{
	n->remote_waker.dirty = true;
}

static int disk_fd(const struct node *n)
{
	return dp_disk_real_fd(n->disk);
}

static void complete_disk(struct node *n)
{
	dp_disk_real_complete(n->disk);
}

static int control_fd(const struct node *n)
{
	return n->control_fd;
}

static int host_fd(const struct node *n)
{
	return n->stopping ? -1 : n->host_fd;
}

static int http_fd(const struct node *n)
{
	return n->http ? n->http_fd : -1;
}

/* When a turn looks at a source. */
enum step {
	FIRST,     /* before messages and requests are taken */
	COMPLETED, /* after that, so that they join the group commit that a completion starts */
	LAST,      /* after all that streams have to do */
};

/* The loop waits for these, and for links and local connections. Within a step the order is that of
 * the table. */
static const struct source {
	enum step step;
	int (*fd)(const struct node *n); /* -1: not now */
	void (*ready)(struct node *n);   /* there is something to read from it */
} sources[] = {
	{FIRST, signal_fd, take_signal},
	{FIRST, beat_fd, check_beats},
	{FIRST, admission_fd, wake_admission},
	{FIRST, remote_fd, wake_remote},
	{COMPLETED, disk_fd, complete_disk},
	{LAST, control_fd, lines_accept},
	{LAST, host_fd, hosts_accept},
	{LAST, http_fd, http_run},
};

#define SOURCES (sizeof sources / sizeof sources[0])

static void run_step(struct node *n, enum step step, const struct pollfd *fds)
{
	for (unsigned i = 0; i < SOURCES; i++)
		if (sources[i].step == step && fds[i].revents)
			sources[i].ready(n);
}

/* ---- a turn ---- */

/* Where each part has its descriptors. */
struct watched {
	struct pollfd fds[SOURCES + DP_LINKS_FDS + DP_NODE_LINKS_MAX + CONNS_MAX];
	struct pollfd *links, *conns;
	unsigned count, conn_count;
};

static void watch_all(struct node *n, struct watched *w)
{
	w->count = SOURCES;
	for (unsigned i = 0; i < SOURCES; i++)
		w->fds[i] = (struct pollfd){.fd = sources[i].fd(n), .events = POLLIN};
	w->links = w->fds + w->count;
	w->count += dp_links_watch(n->links, w->links);
	w->conns = w->fds + w->count;
	w->conn_count = conns_watch(n, w->conns);
	w->count += w->conn_count;
}

static void run_turn(struct node *n, uint64_t timeout_us)
{
	struct watched w;
	if (n->more_waits)
		timeout_us = 0;
	watch_all(n, &w);
	struct timespec limit = {.tv_sec = (time_t)(timeout_us / 1000000),
		.tv_nsec = (long)(timeout_us % 1000000 * 1000)};
	if (ppoll(w.fds, w.count, &limit, NULL) < 0)
		return;
	read_clock(n);
	run_step(n, FIRST, w.fds);
	conns_ready(n, w.conns, w.conn_count);
	dp_links_ready(n->links, w.links);
	net_receive(n);
	run_step(n, COMPLETED, w.fds);
	exchange_messages(n);
	remote_receive(n);
	run_step(n, LAST, w.fds);
}

static void run_tick(struct node *n)
{
	read_clock(n);
	streams_tick(n);
	check_beats(n); /* by the clock, too */
	http_run(n);
	net_tick(n);
	wake_remote(n);
	exchange_messages(n);
}

/* Until the next tick, or until a group commit has waited long enough for more records. */
static uint64_t next_wait_us(const struct node *n, uint64_t now_us, uint64_t tick_us)
{
	uint64_t wake_us = streams_wake_us(n), until = wake_us < tick_us ? wake_us : tick_us;
	return until > now_us ? until - now_us : 0;
}

/* ---- until it stops ---- */

/* Tells systemd that the loop goes on. Slow disks and links do not stop it, so they are no reason
 * to start the process again. */
static void feed_watchdog(uint64_t now_us)
{
	static uint64_t interval_us, fed_us;
	if (!fed_us && sd_watchdog_enabled(0, &interval_us) <= 0)
		interval_us = UINT64_MAX;
	if (now_us - fed_us < interval_us / 3)
		return;
	fed_us = now_us;
	sd_notify(0, "WATCHDOG=1");
}

void loop_run(struct node *n)
{
	uint64_t next_us = 0;
	while (!n->stopping && !n->broken) {
		uint64_t before_us = node_clock_us();
		if (before_us >= next_us) {
			run_tick(n);
			feed_watchdog(before_us);
			next_us = before_us + TICK_US;
		}
		run_turn(n, next_wait_us(n, before_us, next_us));
	}
}

bool loop_is_drained(const struct node *n)
{
	for (unsigned i = 0; i < n->cfg->stream_count; i++)
		if (n->streams[i].stream && !dp_stream_drained(n->streams[i].stream))
			return false;
	return true;
}

void loop_drain(struct node *n)
{
	hosts_hang_up(n);
	for (unsigned i = 0; i < n->cfg->stream_count; i++)
		dp_stream_drain(n->streams[i].stream);
	flush_all(n);
	uint64_t limit_us = node_clock_us() + STOP_LIMIT_US;
	while (!loop_is_drained(n) && node_clock_us() < limit_us)
		run_turn(n, TICK_US);
}
