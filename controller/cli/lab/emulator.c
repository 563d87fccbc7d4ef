/* SPDX-License-Identifier: MIT */
/* The process that hands packets from site to site. */
#include <errno.h>
#include <linux/virtio_net.h>
#include <malloc.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cli.h"
#include "lab/lab.h"

#define READ_BATCH     64
#define BUSY_PACKETS   4u
#define PACKET_MAX     (64 * 1024 + sizeof(struct virtio_net_hdr))
#define ORDER_MAX      4096
#define ORDER_LIMIT_US 100000 /* for each piece */
#define ORDER_PIECES   4
#define LATE_MAX_NS    300000

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- packets ---- */

/* The site that the address of an IPv4 packet lies in, or -1. */
static int destination(const struct lab *lab, const uint8_t *packet, size_t size)
{
	const uint8_t *ip = packet + sizeof(struct virtio_net_hdr);
	if (size < sizeof(struct virtio_net_hdr) + 20 || ip[0] >> 4 != 4 || ip[16] != 10 ||
		ip[17] != 77)
		return -1;
	unsigned site = ip[18] - 1u;
	return site < lab->t->site_count ? (int)site : -1;
}

/* Packets that came in or arrived since the last wait. */
static unsigned handled;

static void receive(struct lab *lab, unsigned from)
{
	static uint8_t packet[PACKET_MAX];
	for (unsigned i = 0; i < READ_BATCH; i++) {
		ssize_t size = read(lab->sites[from].tun_fd, packet, sizeof packet);
		if (size <= 0)
			return;
		handled++;
		int to = destination(lab, packet, (size_t)size);
		struct wan_cable *c = to < 0 ? NULL : wan_find(&lab->wan, from, (unsigned)to);
		if (c)
			wan_take(&lab->wan, c, now_ns(), packet, (size_t)size);
		else
			lab->strangers++;
	}
}

/* A sleep ends late, by 100 us and more on a virtual machine. As late as it lately was it is begun
 * too early; so packets arrive when they should, within the jitter of that. */
static uint64_t late_ns;

static void learn(uint64_t wanted_ns, uint64_t now)
{
	uint64_t late = now > wanted_ns ? now - wanted_ns : 0;
	if (late > LATE_MAX_NS)
		late = LATE_MAX_NS;
	late_ns = (15 * late_ns + late) / 16;
}

static void deliver(struct lab *lab)
{
	struct wan_packet *p;
	while ((p = wan_arrived(&lab->wan, now_ns() + late_ns))) {
		/* What the site's device does not take is lost, as on a real network. */
		ssize_t size = write(lab->sites[p->to].tun_fd, p->bytes, p->size);
		(void)size;
		free(p);
		handled++;
	}
}

/* ---- orders ---- */

/* One order a connection, of one line, which the `dipole lab` command sends at once. A client that
 * dawdles, or does not read, holds packets up for a moment only. */
static void take_order(struct lab *lab)
{
	char line[ORDER_MAX];
	const struct timeval limit = {.tv_usec = ORDER_LIMIT_US};
	int fd = accept4(lab->socket_fd, NULL, NULL, SOCK_CLOEXEC);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
	size_t size = 0;
	for (unsigned i = 0; fd >= 0 && i < ORDER_PIECES && (!size || line[size - 1] != '\n');
		i++) {
		ssize_t got = recv(fd, line + size, sizeof line - size, 0);
		if (got <= 0)
			break;
		size += (size_t)got;
	}
	json_t *request = json_loadb(line, size, 0, NULL);
	json_t *answer = lab_order(lab, request);
	char *text = json_dumps(answer, JSON_COMPACT);
	if (text && fd >= 0) {
		send(fd, text, strlen(text), MSG_NOSIGNAL);
		send(fd, "\n", 1, MSG_NOSIGNAL);
	}
	free(text);
	json_decref(answer);
	json_decref(request);
	if (fd >= 0)
		close(fd);
}

/* ---- the loop ---- */

/* Where many packets are under way, to wake up for each costs more than to carry them, on the
 * processors that the nodes need: they are handled in bunches then, a little late. A lone one never
 * is. */
static bool rest(struct lab *lab)
{
	uint64_t slack_ns = handled >= BUSY_PACKETS ? wan_slack_ns(&lab->wan) : 0;
	handled = 0;
	if (slack_ns)
		nanosleep(&(struct timespec){.tv_nsec = (long)slack_ns}, NULL);
	return slack_ns > 0;
}

/* Until something comes in or arrives. */
static void wait_for(struct lab *lab, struct pollfd *fds, nfds_t count)
{
	bool rested = rest(lab);
	uint64_t next_ns = wan_next_ns(&lab->wan), now = now_ns();
	uint64_t left_ns = next_ns > now + late_ns ? next_ns - now - late_ns : 0;
	if (rested)
		left_ns = 0;
	struct timespec left = {(time_t)(left_ns / 1000000000), (long)(left_ns % 1000000000)};
	int ready = ppoll(fds, count, next_ns == WAN_NEVER && !rested ? NULL : &left, NULL);
	if (ready < 0 && errno != EINTR)
		exit(EX_OSERR);
	if (ready == 0 && left_ns)
		learn(now + left_ns, now_ns());
}

_Noreturn void lab_emulate(struct lab *lab)
{
	struct pollfd fds[DP_SITES_MAX + 1];
	unsigned sites = lab->t->site_count;
	for (unsigned i = 0; i < sites; i++)
		fds[i] = (struct pollfd){.fd = lab->sites[i].tun_fd, .events = POLLIN};
	fds[sites] = (struct pollfd){.fd = lab->socket_fd, .events = POLLIN};
	/* Packets arrive when they are due, also on a busy machine. */
	struct sched_param first = {.sched_priority = 1};
	sched_setscheduler(0, SCHED_RR, &first);
	prctl(PR_SET_TIMERSLACK, 1);
	/* What is under way comes and goes all the time: memory for it is kept. */
	mallopt(M_TRIM_THRESHOLD, WAN_BYTES_MAX);
	mallopt(M_TOP_PAD, 16 * DP_MIB);
	for (;;) {
		wait_for(lab, fds, sites + 1);
		for (unsigned i = 0; i < sites; i++)
			if (fds[i].revents)
				receive(lab, i);
		if (fds[sites].revents)
			take_order(lab);
		deliver(lab);
	}
}
