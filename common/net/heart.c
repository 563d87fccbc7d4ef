/* SPDX-License-Identifier: MIT */
#include "net/heart.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "net/address.h"

struct origin {
	struct sockaddr_storage at;
	socklen_t size; /* 0: not known */
};

struct peer {
	int fd; /* connected to a node below; -1: none, or not yet */
	unsigned
		key; /* that the last good beat was made with; without any they are tried in turn */
	bool heard, known;     /* since the last beat was sent; ever */
	unsigned stranger_key; /* of the beat that is to be answered */
	uint64_t opened_us;
	struct origin from, stranger; /* where beats came from */
	struct dp_health health;
};

struct dp_heart {
	struct dp_heart_config cfg;
	struct peer peers[DP_HEART_PEERS_MAX];
	int listener, event, wake;
	uint64_t refused, step_us;
	pthread_t thread;
	pthread_mutex_t lock; /* of all health, and refused */
	bool stop;
};

static uint64_t now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void signal_fd(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof one);
	(void)n; /* the counter cannot overflow */
}

/* ---- sockets ---- */

static int open_listener(const char *address)
{
	struct sockaddr_storage at;
	socklen_t size;
	if (dp_address_resolve(address, &at, &size))
		return -1;
	int fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && bind(fd, (struct sockaddr *)&at, size)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* After an outage a name may stand for another address, and another way lead there, from another
 * address of this machine: so the socket is made anew. */
static void connect_peer(struct peer *p, const char *address)
{
	struct sockaddr_storage at;
	socklen_t size;
	p->opened_us = now_us();
	if (dp_address_resolve(address, &at, &size))
		return;
	p->fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd >= 0 && connect(p->fd, (struct sockaddr *)&at, size)) {
		close(p->fd);
		p->fd = -1;
	}
}

static void disconnect_peer(struct peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* ---- beats ---- */

/* The one that was good last; the other one where nothing has come since the last beat. */
static unsigned next_key(struct dp_heart *h, struct peer *p)
{
	pthread_mutex_lock(&h->lock);
	if (!p->heard)
		p->key = !p->key;
	p->heard = false;
	unsigned key = p->key;
	pthread_mutex_unlock(&h->lock);
	return key;
}

/* A beat that cannot be sent is as good as lost, and one of many. */
static void send_beat(struct dp_heart *h, unsigned i, const struct dp_beat *beat, unsigned key,
	const struct origin *to)
{
	const struct dp_heart_peer *cfg = &h->cfg.peers[i];
	struct peer *p = &h->peers[i];
	uint8_t out[DP_BEAT_SIZE];
	ssize_t sent = 0;
	dp_beat_encode(beat, h->cfg.name, cfg->name, cfg->key[key], out);
	if (cfg->address[0] && p->fd < 0)
		connect_peer(p, cfg->address);
	if (p->fd >= 0)
		sent = send(p->fd, out, sizeof out, MSG_DONTWAIT);
	else if (to->size && h->listener >= 0)
		sent = sendto(h->listener, out, sizeof out, MSG_DONTWAIT,
			(const struct sockaddr *)&to->at, to->size);
	(void)sent;
}

static int peer_named(const struct dp_heart *h, uint64_t name)
{
	for (unsigned i = 0; i < h->cfg.peer_count; i++)
		if (h->cfg.peers[i].name == name)
			return (int)i;
	return -1;
}

static void take(struct dp_heart *h, const uint8_t *in, uint32_t size, const struct origin *from)
{
	struct dp_beat beat;
	int i = peer_named(h, dp_beat_from(in, size));
	unsigned key = 0;
	while (i >= 0 && key < 2 &&
		dp_beat_decode(in, size, h->cfg.name, h->cfg.peers[i].key[key], &beat))
		key++;
	if (i < 0 || key == 2) {
		h->refused++;
		return;
	}
	enum dp_beat_use use = dp_health_beat(&h->peers[i].health, &beat, now_us());
	/* A recording must not say which key is in use. */
	if (use == DP_BEAT_TAKEN) {
		h->peers[i].from = *from;
		h->peers[i].key = key;
		h->peers[i].heard = h->peers[i].known = true;
	} else if (use == DP_BEAT_STRANGER) {
		h->peers[i].stranger = *from;
		h->peers[i].stranger_key = key;
	}
}

static void receive(struct dp_heart *h, int fd)
{
	for (unsigned batch = 0; batch < 64; batch++) {
		uint8_t in[DP_BEAT_SIZE + 1]; /* a longer one shows */
		struct origin from = {.size = sizeof from.at};
		ssize_t got = recvfrom(fd, in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from.at,
			&from.size);
		if (got < 0)
			return;
		pthread_mutex_lock(&h->lock);
		take(h, in, (uint32_t)got, &from);
		pthread_mutex_unlock(&h->lock);
	}
}

static void tick(struct dp_heart *h)
{
	bool changed = false;
	for (unsigned i = 0; i < h->cfg.peer_count; i++) {
		struct dp_beat beat, answer;
		struct dp_health *health = &h->peers[i].health;
		pthread_mutex_lock(&h->lock);
		bool moved = dp_health_tick(health, now_us());
		bool due = dp_health_due(health, now_us(), &beat);
		bool asked = dp_health_answer(health, now_us(), &answer);
		bool down = health->state == DP_HEALTH_DOWN;
		pthread_mutex_unlock(&h->lock);
		changed |= moved;
		/* Again and again, but not with every beat: an answer comes to the socket that
		 * asked. */
		if (down &&
			(moved ||
				now_us() - h->peers[i].opened_us >
					h->cfg.peers[i].health.down_after_us))
			disconnect_peer(&h->peers[i]);
		if (due)
			send_beat(h, i, &beat, next_key(h, &h->peers[i]), &h->peers[i].from);
		if (asked)
			send_beat(h, i, &answer, h->peers[i].stranger_key, &h->peers[i].stranger);
	}
	if (changed)
		signal_fd(h->event);
}

/* The sockets to wait for. */
static unsigned watch(const struct dp_heart *h, struct pollfd *fds)
{
	unsigned count = 0;
	fds[count++] = (struct pollfd){.fd = h->wake, .events = POLLIN};
	fds[count++] = (struct pollfd){.fd = h->listener, .events = POLLIN};
	for (unsigned i = 0; i < h->cfg.peer_count; i++)
		fds[count++] = (struct pollfd){.fd = h->peers[i].fd, .events = POLLIN};
	return count;
}

static void *run(void *arg)
{
	struct dp_heart *h = arg;
	for (;;) {
		struct pollfd fds[2 + DP_HEART_PEERS_MAX];
		unsigned count = watch(h, fds);
		struct timespec limit = {.tv_sec = (time_t)(h->step_us / 1000000),
			.tv_nsec = (long)(h->step_us % 1000000 * 1000)};
		ppoll(fds, count, &limit, NULL);
		if (fds[0].revents)
			return NULL;
		for (unsigned i = 1; i < count; i++)
			if (fds[i].revents)
				receive(h, fds[i].fd);
		tick(h);
	}
}

/* ---- life ---- */

static void init_peers(struct dp_heart *h)
{
	h->step_us = 100000;
	for (unsigned i = 0; i < h->cfg.peer_count; i++) {
		const struct dp_health_config *health = &h->cfg.peers[i].health;
		uint64_t incarnation;
		randombytes_buf(&incarnation, sizeof incarnation);
		h->peers[i].fd = -1;
		h->peers[i].key = 1; /* so that the first beat is tried with the first key */
		dp_health_init(&h->peers[i].health, health, incarnation | 1, now_us());
		if (h->step_us > health->interval_us / 5)
			h->step_us = health->interval_us / 5;
	}
}

/* Signals are the main thread's. */
static int start_thread(struct dp_heart *h)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	int err = pthread_create(&h->thread, NULL, run, h) ? DP_ENOMEM : 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return err;
}

int dp_heart_start(const struct dp_heart_config *cfg, struct dp_heart **out)
{
	struct dp_heart *h = *out = calloc(1, sizeof *h);
	if (!h)
		return DP_ENOMEM;
	h->cfg = *cfg;
	init_peers(h);
	pthread_mutex_init(&h->lock, NULL);
	h->listener = cfg->listen[0] ? open_listener(cfg->listen) : -1;
	h->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	h->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	int err = cfg->listen[0] && h->listener < 0 ? DP_ECONFIG
		: h->event < 0 || h->wake < 0       ? DP_ENOMEM
						    : 0;
	if (!err)
		err = start_thread(h);
	h->stop = err != 0; /* there is no thread to be stopped */
	if (err)
		dp_heart_stop(out);
	return err;
}

void dp_heart_stop(struct dp_heart **ph)
{
	struct dp_heart *h = *ph;
	*ph = NULL;
	if (!h)
		return;
	if (!h->stop) {
		signal_fd(h->wake);
		pthread_join(h->thread, NULL);
	}
	for (unsigned i = 0; i < h->cfg.peer_count; i++)
		disconnect_peer(&h->peers[i]);
	int fds[] = {h->listener, h->event, h->wake};
	for (unsigned i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	sodium_memzero(&h->cfg, sizeof h->cfg);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

int dp_heart_fd(const struct dp_heart *h)
{
	return h->event;
}

bool dp_heart_changed(struct dp_heart *h)
{
	uint64_t count;
	return read(h->event, &count, sizeof count) == sizeof count;
}

struct dp_health dp_heart_get(struct dp_heart *h, unsigned i)
{
	pthread_mutex_lock(&h->lock);
	struct dp_health health = h->peers[i].health;
	pthread_mutex_unlock(&h->lock);
	return health;
}

int dp_heart_key(struct dp_heart *h, unsigned i)
{
	pthread_mutex_lock(&h->lock);
	int key = h->peers[i].known ? (int)h->peers[i].key : -1;
	pthread_mutex_unlock(&h->lock);
	return key;
}

uint64_t dp_heart_refused(struct dp_heart *h)
{
	pthread_mutex_lock(&h->lock);
	uint64_t refused = h->refused;
	pthread_mutex_unlock(&h->lock);
	return refused;
}
