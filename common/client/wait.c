/* SPDX-License-Identifier: MIT */
/* Waiting threads: one of them reads for all, see client.h. */
#include "client/client.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* What a thread waits for. */
struct wait {
	struct turn turn;
	struct turn_list *list;
	uint32_t own_word;              /* unless it waits for a request */
	struct dipole_request *request; /* or NULL */
	bool (*ended)(const struct dipole_client *c, const struct wait *w);
	dipole_interrupted interrupted;
	void *arg;
	uint64_t next_check_ms, deadline_ms; /* deadline 0: none */
	bool leads;
};

static void futex(uint32_t *word, int operation, uint32_t value, int wait_ms)
{
	struct timespec t = {
		.tv_sec = wait_ms / 1000,
		.tv_nsec = (long)(wait_ms % 1000) * 1000000,
	};
	syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, wait_ms < 0 ? NULL : &t,
		NULL, 0);
}

/* The word's memory may be gone once it is set: then the wake-up is for nobody, or a spurious
 * one for another sleeper, which every sleeper on a futex expects. */
void client_wake(uint32_t *word, enum word value)
{
	if (__atomic_exchange_n(word, (uint32_t)value, __ATOMIC_ACQ_REL) == WORD_SLEEPING)
		futex(word, FUTEX_WAKE, 1, -1);
}

static bool change_word(uint32_t *word, enum word from, enum word to)
{
	uint32_t expected = from;
	return __atomic_compare_exchange_n(word, &expected, (uint32_t)to, false, __ATOMIC_ACQ_REL,
		__ATOMIC_ACQUIRE);
}

static void sleep_on(uint32_t *word, int wait_ms)
{
	if (change_word(word, WORD_PENDING, WORD_SLEEPING))
		futex(word, FUTEX_WAIT, WORD_SLEEPING, wait_ms);
	change_word(word, WORD_SLEEPING, WORD_PENDING);
}

static bool is_done(const struct dipole_request *r)
{
	return __atomic_load_n(&r->state, __ATOMIC_ACQUIRE) == WORD_DONE;
}

static void turn_add(struct turn_list *list, struct turn *turn)
{
	turn->list = list;
	turn->next = NULL;
	turn->prev = list->last;
	*(list->last ? &list->last->next : &list->first) = turn;
	list->last = turn;
}

void client_turn_remove(struct turn *turn)
{
	struct turn_list *list = turn->list;
	if (!list)
		return;
	*(turn->prev ? &turn->prev->next : &list->first) = turn->next;
	*(turn->next ? &turn->next->prev : &list->last) = turn->prev;
	turn->list = NULL;
}

/* A nudged thread leaves the list, so that the next nudge reaches another. */
void client_nudge(struct turn_list *list, uint32_t count)
{
	for (; count > 0 && list->first; count--) {
		struct turn *turn = list->first;
		client_turn_remove(turn);
		client_wake(turn->word, WORD_NUDGED);
	}
}

void client_quiet_wait(struct dipole_client *c)
{
	c->quiet_waiters++;
	pthread_cond_wait(&c->quiet, &c->mutex);
	c->quiet_waiters--;
}

void client_quiet_signal(struct dipole_client *c)
{
	if (c->quiet_waiters)
		pthread_cond_broadcast(&c->quiet);
}

/* Whoever ends its wait leaves no role free while others sleep. */
static void hand_over(struct dipole_client *c)
{
	if (!c->reading || (c->blocked && !c->writing))
		client_nudge(c->waiting.first ? &c->waiting : &c->room, 1);
}

/* The reader's one step: connection, replies, what can be sent now. Returns the answers. */
static uint32_t step(struct dipole_client *c, int wait_ms)
{
	struct done done;
	client_done_init(&done);
	client_session_step(c);
	if (c->state == CLIENT_UP || c->state == CLIENT_HELLO)
		client_receive(c, wait_ms, &done);
	else if (wait_ms && c->state == CLIENT_DOWN)
		client_wait_events(c, wait_ms);
	if (c->unsent && c->state == CLIENT_UP)
		client_send(c);
	uint32_t count = done.count;
	if (count) {
		pthread_mutex_unlock(&c->mutex);
		client_done_hand_back(&done);
		pthread_mutex_lock(&c->mutex);
	}
	return count;
}

static void write_out(struct dipole_client *c, int wait_ms)
{
	struct pollfd p = {.fd = c->fd, .events = POLLOUT};
	c->writing = true;
	pthread_mutex_unlock(&c->mutex);
	poll(&p, 1, wait_ms);
	pthread_mutex_lock(&c->mutex);
	c->writing = false;
	client_quiet_signal(c);
	if (c->state == CLIENT_UP)
		client_send(c);
}

static struct slot *slot_of(struct dipole_client *c, const struct dipole_request *r)
{
	struct slot *s = client_slot_find(c, r->id);
	return s && s->request == r ? s : NULL;
}

/* A request that is just being handed back has no slot: its word changes very soon. */
static void enlist(struct dipole_client *c, struct wait *w)
{
	struct slot *s = w->request ? slot_of(c, w->request) : NULL;
	if (w->request && !s)
		return;
	if (s)
		s->turn = &w->turn;
	turn_add(w->list, &w->turn);
}

static void delist(struct dipole_client *c, struct wait *w)
{
	struct slot *s = w->request ? slot_of(c, w->request) : NULL;
	if (s)
		s->turn = NULL;
	client_turn_remove(&w->turn);
}

/* True: the request is answered, and the mutex is not held (nor was it contended for). */
static bool follow(struct dipole_client *c, struct wait *w, int wait_ms)
{
	enlist(c, w);
	pthread_mutex_unlock(&c->mutex);
	sleep_on(w->turn.word, wait_ms);
	if (w->request && is_done(w->request))
		return true;
	pthread_mutex_lock(&c->mutex);
	delist(c, w);
	return false;
}

static int give_up(struct dipole_client *c, struct wait *w, int *wait_ms)
{
	uint64_t now = client_now_ms();
	*wait_ms = CLIENT_SLICE_MS;
	if (w->deadline_ms && now >= w->deadline_ms)
		return ETIMEDOUT;
	if (w->deadline_ms && w->deadline_ms - now < CLIENT_SLICE_MS)
		*wait_ms = (int)(w->deadline_ms - now);
	if (!w->interrupted || now < w->next_check_ms)
		return 0;
	w->next_check_ms = now + CLIENT_SLICE_MS;
	pthread_mutex_unlock(&c->mutex);
	bool stop = w->interrupted(w->arg);
	pthread_mutex_lock(&c->mutex);
	return stop ? ESHUTDOWN : 0;
}

static void begin(struct dipole_client *c, struct wait *w)
{
	w->list = w->list ? w->list : &c->waiting;
	w->turn.word = w->request ? &w->request->state : &w->own_word;
	w->next_check_ms = w->interrupted ? client_now_ms() + CLIENT_SLICE_MS : 0;
}

/* Waits for w; holds the mutex on entry, not on return. 0, ETIMEDOUT or ESHUTDOWN. */
static int wait_for(struct dipole_client *c, struct wait *w)
{
	int error = 0, wait_ms = CLIENT_SLICE_MS;
	begin(c, w);
	while (!w->ended(c, w)) {
		error = give_up(c, w, &wait_ms);
		if (error)
			break;
		change_word(w->turn.word, WORD_NUDGED, WORD_PENDING);
		if (w->leads || !c->reading) {
			c->reading = w->leads = true;
			step(c, wait_ms);
		} else if (c->blocked && !c->writing) {
			write_out(c, wait_ms);
		} else if (follow(c, w, wait_ms)) {
			return 0;
		}
	}
	if (w->leads)
		c->reading = false;
	hand_over(c);
	pthread_mutex_unlock(&c->mutex);
	return error;
}

static bool request_ended(const struct dipole_client *c, const struct wait *w)
{
	(void)c;
	return is_done(w->request);
}

int dipole_wait(struct dipole_client *c, struct dipole_request *r, dipole_interrupted interrupted,
	void *arg)
{
	struct wait w = {
		.request = r,
		.ended = request_ended,
		.interrupted = interrupted,
		.arg = arg,
	};
	if (is_done(r))
		return r->error;
	pthread_mutex_lock(&c->mutex);
	if (wait_for(c, &w) && dipole_abandon(c, r) == 0)
		return ESHUTDOWN;
	while (!is_done(r)) /* another thread is handing it back */
		sleep_on(&r->state, CLIENT_SLICE_MS);
	return r->error;
}

/* While bytes of it go out or come in, its buffer is in use for the length of one call. */
static struct slot *wait_until_idle(struct dipole_client *c, const struct dipole_request *r)
{
	struct slot *s;
	while ((s = slot_of(c, r))) {
		bool in_use = s->sent ? c->receiving && c->rx_slot == s : c->sending;
		if (!in_use)
			break;
		client_quiet_wait(c);
	}
	return s;
}

int dipole_abandon(struct dipole_client *c, struct dipole_request *r)
{
	pthread_mutex_lock(&c->mutex);
	struct slot *s = wait_until_idle(c, r);
	if (s) {
		c->counters.abandoned++;
		if (s->sent) {
			s->request = NULL;
		} else {
			/* The stream cannot go on behind half a request. */
			if (s == c->unsent && c->sent_bytes)
				client_break(c, ECANCELED);
			client_slot_drop(c, s);
		}
	}
	pthread_mutex_unlock(&c->mutex);
	return s ? 0 : EINVAL;
}

static bool room_ended(const struct dipole_client *c, const struct wait *w)
{
	(void)w;
	return c->unanswered < c->max_requests || c->state == CLIENT_FAILED;
}

int client_wait_room(struct dipole_client *c, dipole_interrupted interrupted, void *arg)
{
	struct wait w = {
		.list = &c->room,
		.ended = room_ended,
		.interrupted = interrupted,
		.arg = arg,
	};
	pthread_mutex_lock(&c->mutex);
	return wait_for(c, &w);
}

static bool up_ended(const struct dipole_client *c, const struct wait *w)
{
	(void)w;
	return c->state == CLIENT_UP || c->state == CLIENT_FAILED;
}

int client_wait_up(struct dipole_client *c, uint64_t deadline_ms, dipole_interrupted interrupted,
	void *arg)
{
	struct wait w = {
		.ended = up_ended,
		.interrupted = interrupted,
		.arg = arg,
		.deadline_ms = deadline_ms,
	};
	pthread_mutex_lock(&c->mutex);
	return wait_for(c, &w);
}

static void process_as_reader(struct dipole_client *c, int timeout_ms)
{
	enum client_state before = c->state;
	c->reading = true;
	if (step(c, 0) == 0 && timeout_ms && c->state == before) {
		client_wait_events(c, timeout_ms);
		step(c, 0);
	}
	c->reading = false;
}

int dipole_process(struct dipole_client *c, int timeout_ms)
{
	struct wait w = {.list = &c->waiting};
	w.turn.word = &w.own_word;
	pthread_mutex_lock(&c->mutex);
	if (!c->reading)
		process_as_reader(c, timeout_ms);
	else if (c->blocked && !c->writing)
		write_out(c, timeout_ms);
	else if (timeout_ms)
		follow(c, &w, timeout_ms);
	hand_over(c);
	int error = c->state == CLIENT_FAILED ? EIO : 0;
	pthread_mutex_unlock(&c->mutex);
	return error;
}
