/* SPDX-License-Identifier: MIT */
/* The inside of libdipole.
 *
 * One mutex guards the client; no blocking call is made under it. Three roles, each held by at
 * most one thread, let threads use the socket outside the mutex:
 *
 *   reading  receives replies, answers requests, and owns the connection's life (connect, HELLO,
 *            close). A waiting thread keeps it until its own request is answered, then nudges
 *            another waiter. At depth 1 the caller thus reads its own reply.
 *   sending  writes requests, in the order of ids, always without blocking. A submitter that
 *            finds the role taken leaves its request to the holder, who sends it in a batch.
 *   writing  waits until a full socket takes more, while the reader blocks in recv.
 *
 * The reader closes the socket only after the other two have let go of it. */
#ifndef DP_CLIENT_CLIENT_H
#define DP_CLIENT_CLIENT_H

#include "client/dipole.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/un.h>

#include "base/limits.h"
#include "proto/host.h"

#define CLIENT_RETRY_FIRST_MS 50
#define CLIENT_RETRY_LAST_MS  500
#define CLIENT_SLICE_MS       200       /* longest wait without asking whether to give up */
#define CLIENT_RX_SIZE        16384     /* holds hundreds of replies, or one to a small read */
#define CLIENT_BATCH          16        /* requests in one sendmsg */
#define CLIENT_SEND_BUFFER    (1 << 20) /* asked for; the kernel gives what it allows */

/* Moves: DOWN -> HELLO -> UP, each of them -> BROKEN -> DOWN, any -> FAILED (final). */
enum client_state {
	CLIENT_DOWN,   /* no socket; the next attempt is at retry_at */
	CLIENT_HELLO,  /* connected, the volume is not yet described */
	CLIENT_UP,     /* requests flow */
	CLIENT_BROKEN, /* shut down; the reader will close it */
	CLIENT_FAILED, /* the volume is gone or another one */
};

/* Values of a request's state and of any word a thread sleeps on. */
enum word {
	WORD_PENDING = 0,
	WORD_SLEEPING, /* a thread waits on it in the kernel */
	WORD_NUDGED,   /* look again: a role or room may be free */
	WORD_DONE,     /* the answer is in the request, which is the waiter's again */
};

/* A thread that waits, on its own stack; linked in one of the client's lists. */
struct turn {
	uint32_t *word;
	struct turn *prev, *next;
	struct turn_list *list; /* NULL: in none */
};

struct turn_list {
	struct turn *first, *last;
};

/* An unanswered request; in the table at id & mask, and in the list in the order of ids. */
struct slot {
	uint64_t id;                    /* 0: free */
	struct dipole_request *request; /* NULL: abandoned, the reply is awaited and dropped */
	struct turn *turn;              /* who sleeps for it */
	struct slot *prev, *next;
	uint32_t length;
	uint8_t op;
	bool sent, sent_before;
};

/* Requests that were answered under the mutex and are handed back after it is released. */
struct done {
	struct dipole_request *first, **last;
	uint32_t count;
};

struct dipole_client {
	pthread_mutex_t mutex;
	pthread_cond_t quiet; /* sending, writing or receiving made a step */
	uint32_t quiet_waiters;
	bool reading, sending, writing;
	struct turn_list waiting, room;

	struct sockaddr_un address;
	char volume[DP_NAME_MAX + 1];
	uint64_t client_id;
	enum client_state state;
	int fd, epoll, timer;
	uint64_t retry_at_ms; /* monotonic */
	uint32_t retry_ms;
	int last_error; /* why there is no connection: errno, for messages */
	int refused;    /* the error of FAILED */

	struct dp_channel_volume limits; /* of the first connection */
	uint32_t max_requests;           /* of this connection, if lower */
	struct dipole_counters counters;

	struct slot *slots;
	uint64_t mask, next_id;
	struct slot *first, *last, *unsent;
	uint32_t unanswered, sent;
	size_t sent_bytes; /* of *unsent */
	bool blocked;      /* the socket took no more */

	/* The reader's. */
	uint8_t rx[CLIENT_RX_SIZE];
	size_t rx_start, rx_end;
	struct slot *rx_slot; /* whose payload comes next */
	uint32_t rx_left;
	uint64_t rx_set;
	bool receiving; /* outside the mutex, into the buffer of rx_slot */
};

uint64_t client_now_ms(void);

/* All below: the mutex is held, and may be released and taken again meanwhile. */

/* slots.c */
int client_slots_init(struct dipole_client *c);
int client_slot_add(struct dipole_client *c, struct dipole_request *r);
struct slot *client_slot_find(struct dipole_client *c, uint64_t id);
void client_slot_drop(struct dipole_client *c, struct slot *s);
void client_slots_rewind(struct dipole_client *c); /* everything is to be sent again */
void client_done_init(struct done *done);
void client_answer(struct dipole_client *c, struct slot *s, int error, uint64_t set,
	struct done *done);
void client_answer_all(struct dipole_client *c, int error, struct done *done);
void client_done_hand_back(struct done *done); /* without the mutex */

/* session.c: the reader's, but for client_break */
int client_session_init(struct dipole_client *c, const char *path, const char *volume);
void client_session_free(struct dipole_client *c);
void client_break(struct dipole_client *c, int error);
void client_malformed(struct dipole_client *c);
void client_fail(struct dipole_client *c, int error, struct done *done);
void client_session_step(struct dipole_client *c);
void client_hello_answered(struct dipole_client *c, const struct dp_channel_reply *reply,
	const uint8_t *payload, struct done *done);
void client_watch_output(struct dipole_client *c, bool blocked);
int client_open_socket(const struct sockaddr_un *address);
int client_set_address(struct sockaddr_un *address, const char *path);
int client_clean_error(int error);

/* send.c */
void client_send(struct dipole_client *c);

/* receive.c: the reader's. wait_ms: for input, or (at most a slice) as recv waits; 0: not. */
void client_receive(struct dipole_client *c, int wait_ms, struct done *done);
void client_receive_reset(struct dipole_client *c);
void client_wait_events(struct dipole_client *c, int wait_ms);

/* wait.c */
void client_turn_remove(struct turn *turn);
void client_wake(uint32_t *word, enum word value);
void client_nudge(struct turn_list *list, uint32_t count);
void client_quiet_wait(struct dipole_client *c);
void client_quiet_signal(struct dipole_client *c);
int client_wait_room(struct dipole_client *c, dipole_interrupted interrupted, void *arg);
int client_wait_up(struct dipole_client *c, uint64_t deadline_ms, dipole_interrupted interrupted,
	void *arg);

#endif
