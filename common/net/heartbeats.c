/* SPDX-License-Identifier: MIT */
#include "net/heartbeats.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "net/address.h"

#define RECEIVE_MAX 64

struct origin {
	struct sockaddr_storage at;
	socklen_t size; /* 0: not known */
};

struct beat_peer {
	struct dp_heartbeat_peer cfg;
	int fd;            /* connected to a node below; -1: none, or not yet */
	unsigned key;      /* that the last good beat was made with; without any they are tried in
			      turn */
	bool heard, known; /* since the last beat was sent; ever */
	uint64_t opened_us;
	struct origin from;       /* where beats came from */
	struct origin unverified; /* where a beat came from that has to be answered ... */
	unsigned unverified_key;  /* ... and the key that it was made with */
	struct dp_health health;
};

struct dp_heartbeats {
	uint64_t name;
	struct beat_peer *peers;
	unsigned peer_count;
	struct pollfd *fds; /* room for the thread's own use */
	int listener, event, wake;
	uint64_t refused, step_us;
	pthread_t thread;
	pthread_mutex_t lock; /* of all health, keys, and refused */
	bool started;
};

static uint64_t clock_now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void raise_event(int fd)
{
	uint64_t one = 1;
	ssize_t n = write(fd, &one, sizeof one);
	(void)n; /* the counter cannot overflow */
}

/* ---- sockets ---- */

static int open_beat_listener(const char *address)
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

/* After an outage a name may stand for another address, and another way may lead there, from
 * another address of this machine. So an outage ends the socket, and this opens a new one. */
static void connect_peer(struct beat_peer *p)
{
	struct sockaddr_storage at;
	socklen_t size;
	p->opened_us = clock_now_us();
	if (dp_address_resolve(p->cfg.address, &at, &size))
		return;
	p->fd = socket(at.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd >= 0 && connect(p->fd, (struct sockaddr *)&at, size)) {
		close(p->fd);
		p->fd = -1;
	}
}

static void disconnect_peer(struct beat_peer *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}

/* ---- sending ---- */

/* The key that was good last; the other one if nothing has come since the last beat. */
static unsigned choose_key(struct dp_heartbeats *h, struct beat_peer *p)
{
	pthread_mutex_lock(&h->lock);
	if (!p->heard)
		p->key = !p->key;
	p->heard = false;
	unsigned key = p->key;
	pthread_mutex_unlock(&h->lock);
	return key;
}

/* A beat that cannot be sent is like one that is lost: the next one follows. */
static void send_beat(struct dp_heartbeats *h, struct beat_peer *p, const struct dp_beat *beat,
	unsigned key, const struct origin *to)
{
	uint8_t out[DP_BEAT_SIZE];
	ssize_t sent = 0;
	dp_beat_encode(beat, h->name, p->cfg.name, p->cfg.key[key], out);
	if (p->cfg.address[0] && p->fd < 0)
		connect_peer(p);
	if (p->fd >= 0)
		sent = send(p->fd, out, sizeof out, MSG_DONTWAIT);
	else if (to->size && h->listener >= 0)
		sent = sendto(h->listener, out, sizeof out, MSG_DONTWAIT,
			(const struct sockaddr *)&to->at, to->size);
	(void)sent;
}

static bool tick_peer(struct dp_heartbeats *h, struct beat_peer *p)
{
	struct dp_beat beat, answer;
	pthread_mutex_lock(&h->lock);
	bool moved = dp_health_tick(&p->health, clock_now_us());
	bool due = dp_health_due(&p->health, clock_now_us(), &beat);
	bool answers = dp_health_answer(&p->health, clock_now_us(), &answer);
	bool down = p->health.state == DP_HEALTH_DOWN;
	pthread_mutex_unlock(&h->lock);
	/* Several beats go from each socket: an answer comes to the socket that asked. */
	if (down && (moved || clock_now_us() - p->opened_us > p->cfg.health.down_after_us))
		disconnect_peer(p);
	if (due)
		send_beat(h, p, &beat, choose_key(h, p), &p->from);
	if (answers)
		send_beat(h, p, &answer, p->unverified_key, &p->unverified);
	return moved;
}

static void tick_peers(struct dp_heartbeats *h)
{
	bool changed = false;
	for (unsigned i = 0; i < h->peer_count; i++)
		changed |= tick_peer(h, &h->peers[i]);
	if (changed)
		raise_event(h->event);
}

/* ---- receiving ---- */

static struct beat_peer *peer_named(const struct dp_heartbeats *h, uint64_t name)
{
	for (unsigned i = 0; i < h->peer_count; i++)
		if (h->peers[i].cfg.name == name)
			return &h->peers[i];
	return NULL;
}

static void take_beat(struct dp_heartbeats *h, const uint8_t *in, uint32_t size,
	const struct origin *from)
{
	struct dp_beat beat;
	struct beat_peer *p = peer_named(h, dp_beat_from(in, size));
	unsigned key = 0;
	while (p && key < 2 && dp_beat_decode(in, size, h->name, p->cfg.key[key], &beat))
		key++;
	if (!p || key == 2) {
		h->refused++;
		return;
	}
	enum dp_beat_use use = dp_health_beat(&p->health, &beat, clock_now_us());
	/* A recording must not say which key is in use. */
	if (use == DP_BEAT_TAKEN) {
		p->from = *from;
		p->key = key;
		p->heard = p->known = true;
	} else if (use == DP_BEAT_UNVERIFIED) {
		p->unverified = *from;
		p->unverified_key = key;
	}
}

static void receive_beats(struct dp_heartbeats *h, int fd)
{
	for (unsigned count = 0; count < RECEIVE_MAX; count++) {
		uint8_t in[DP_BEAT_SIZE + 1]; /* a longer one shows */
		struct origin from = {.size = sizeof from.at};
		ssize_t got = recvfrom(fd, in, sizeof in, MSG_DONTWAIT, (struct sockaddr *)&from.at,
			&from.size);
		if (got < 0)
			return;
		pthread_mutex_lock(&h->lock);
		take_beat(h, in, (uint32_t)got, &from);
		pthread_mutex_unlock(&h->lock);
	}
}

/* ---- the thread ---- */

static unsigned list_fds(const struct dp_heartbeats *h)
{
	unsigned count = 0;
	h->fds[count++] = (struct pollfd){.fd = h->wake, .events = POLLIN};
	h->fds[count++] = (struct pollfd){.fd = h->listener, .events = POLLIN};
	for (unsigned i = 0; i < h->peer_count; i++)
		h->fds[count++] = (struct pollfd){.fd = h->peers[i].fd, .events = POLLIN};
	return count;
}

static void *run_heartbeats(void *arg)
{
	struct dp_heartbeats *h = arg;
	for (;;) {
		unsigned count = list_fds(h);
		struct timespec limit = {.tv_sec = (time_t)(h->step_us / 1000000),
			.tv_nsec = (long)(h->step_us % 1000000 * 1000)};
		ppoll(h->fds, count, &limit, NULL);
		if (h->fds[0].revents)
			return NULL;
		for (unsigned i = 1; i < count; i++)
			if (h->fds[i].revents)
				receive_beats(h, h->fds[i].fd);
		tick_peers(h);
	}
}

static int init_peers(struct dp_heartbeats *h, const struct dp_heartbeat_peer *peers)
{
	h->peers = calloc(h->peer_count + 1, sizeof *h->peers);
	h->fds = calloc(h->peer_count + 2, sizeof *h->fds);
	if (!h->peers || !h->fds)
		return DP_ENOMEM;
	h->step_us = 100000;
	for (unsigned i = 0; i < h->peer_count; i++) {
		struct beat_peer *p = &h->peers[i];
		uint64_t incarnation;
		randombytes_buf(&incarnation, sizeof incarnation);
		p->cfg = peers[i];
		p->fd = -1;
		p->key = 1; /* so that the first beat is tried with the first key */
		dp_health_init(&p->health, &p->cfg.health, incarnation | 1, clock_now_us());
		if (h->step_us > p->cfg.health.interval_us / 5)
			h->step_us = p->cfg.health.interval_us / 5;
	}
	return 0;
}

static int open_sockets(struct dp_heartbeats *h, const char *listen)
{
	h->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	h->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (listen[0])
		h->listener = open_beat_listener(listen);
	if (listen[0] && h->listener < 0)
		return DP_ECONFIG;
	return h->event < 0 || h->wake < 0 ? DP_ENOMEM : 0;
}

/* Signals are the main thread's. */
static int start_thread(struct dp_heartbeats *h)
{
	sigset_t all, before;
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	h->started = pthread_create(&h->thread, NULL, run_heartbeats, h) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return h->started ? 0 : DP_ENOMEM;
}

int dp_heartbeats_start(const struct dp_heartbeats_config *cfg, struct dp_heartbeats **out)
{
	struct dp_heartbeats *h = *out = calloc(1, sizeof *h);
	if (!h)
		return DP_ENOMEM;
	h->name = cfg->name;
	h->listener = h->event = h->wake = -1;
	h->peer_count = cfg->peer_count;
	pthread_mutex_init(&h->lock, NULL);
	int err = init_peers(h, cfg->peers);
	if (!err)
		err = open_sockets(h, cfg->listen);
	if (!err)
		err = start_thread(h);
	if (err)
		dp_heartbeats_stop(out);
	return err;
}

void dp_heartbeats_stop(struct dp_heartbeats **ph)
{
	struct dp_heartbeats *h = *ph;
	*ph = NULL;
	if (!h)
		return;
	if (h->started) {
		raise_event(h->wake);
		pthread_join(h->thread, NULL);
	}
	for (unsigned i = 0; h->peers && i < h->peer_count; i++)
		disconnect_peer(&h->peers[i]);
	int fds[] = {h->listener, h->event, h->wake};
	for (unsigned i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	if (h->peers)
		sodium_memzero(h->peers, h->peer_count * sizeof *h->peers);
	free(h->peers);
	free(h->fds);
	pthread_mutex_destroy(&h->lock);
	free(h);
}

/* ---- what the loop asks ---- */

int dp_heartbeats_fd(const struct dp_heartbeats *h)
{
	return h->event;
}

bool dp_heartbeats_changed(struct dp_heartbeats *h)
{
	uint64_t count;
	return read(h->event, &count, sizeof count) == sizeof count;
}

struct dp_health dp_heartbeats_health(struct dp_heartbeats *h, unsigned i)
{
	pthread_mutex_lock(&h->lock);
	struct dp_health health = h->peers[i].health;
	pthread_mutex_unlock(&h->lock);
	return health;
}

int dp_heartbeats_key(struct dp_heartbeats *h, unsigned i)
{
	pthread_mutex_lock(&h->lock);
	int key = h->peers[i].known ? (int)h->peers[i].key : -1;
	pthread_mutex_unlock(&h->lock);
	return key;
}

uint64_t dp_heartbeats_refused(struct dp_heartbeats *h)
{
	pthread_mutex_lock(&h->lock);
	uint64_t refused = h->refused;
	pthread_mutex_unlock(&h->lock);
	return refused;
}
