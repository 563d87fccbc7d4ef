/* SPDX-License-Identifier: MIT */
/* The unanswered requests: a table by id and a list in the order of ids. */
#include "client/client.h"

#include <errno.h>
#include <stdlib.h>

/* Twice the limit, so that few ids are passed over because an old request holds their place. */
int client_slots_init(struct dipole_client *c)
{
	uint64_t count = 1;
	while (count < 2 * (uint64_t)c->limits.max_requests)
		count *= 2;
	c->slots = calloc(count, sizeof *c->slots);
	c->mask = count - 1;
	c->next_id = 1;
	return c->slots ? 0 : EIO;
}

static struct slot *take_free_slot(struct dipole_client *c)
{
	while (c->slots[c->next_id & c->mask].id)
		c->next_id++;
	struct slot *s = &c->slots[c->next_id & c->mask];
	*s = (struct slot){.id = c->next_id++};
	return s;
}

int client_slot_add(struct dipole_client *c, struct dipole_request *r)
{
	if (c->unanswered >= c->max_requests)
		return EAGAIN;
	struct slot *s = take_free_slot(c);
	s->request = r;
	s->op = (uint8_t)r->op;
	s->length = r->length;
	s->prev = c->last;
	*(c->last ? &c->last->next : &c->first) = s;
	c->last = s;
	if (!c->unsent)
		c->unsent = s;
	c->unanswered++;
	r->id = s->id;
	__atomic_store_n(&r->state, WORD_PENDING, __ATOMIC_RELAXED);
	return 0;
}

struct slot *client_slot_find(struct dipole_client *c, uint64_t id)
{
	struct slot *s = c->slots ? &c->slots[id & c->mask] : NULL;
	return s && id && s->id == id ? s : NULL;
}

void client_slot_drop(struct dipole_client *c, struct slot *s)
{
	*(s->prev ? &s->prev->next : &c->first) = s->next;
	*(s->next ? &s->next->prev : &c->last) = s->prev;
	if (c->unsent == s)
		c->unsent = s->next;
	if (s->turn)
		client_turn_remove(s->turn);
	c->sent -= s->sent;
	c->unanswered--;
	s->id = 0;
	client_nudge(&c->room, 1);
}

void client_slots_rewind(struct dipole_client *c)
{
	for (struct slot *s = c->first, *next; s; s = next) {
		next = s->next;
		if (!s->request)
			client_slot_drop(c, s);
		else if (s->sent || (s == c->unsent && c->sent_bytes))
			s->sent_before = true;
		s->sent = false;
	}
	c->sent = 0;
	c->sent_bytes = 0;
	c->unsent = c->first;
}

void client_done_init(struct done *done)
{
	*done = (struct done){.last = &done->first};
}

void client_answer(struct dipole_client *c, struct slot *s, int error, uint64_t set,
	struct done *done)
{
	struct dipole_request *r = s->request;
	client_slot_drop(c, s);
	if (!r)
		return;
	r->error = error;
	r->result_set = set;
	r->next = NULL;
	*done->last = r;
	done->last = &r->next;
	done->count++;
}

void client_answer_all(struct dipole_client *c, int error, struct done *done)
{
	while (c->first)
		client_answer(c, c->first, error, 0, done);
	c->sent_bytes = 0;
}

/* A request is its owner's from the callback or the word's change on: not a look at it after. */
void client_done_hand_back(struct done *done)
{
	for (struct dipole_request *r = done->first, *next; r; r = next) {
		next = r->next;
		if (r->callback) {
			__atomic_store_n(&r->state, WORD_DONE, __ATOMIC_RELEASE);
			r->callback(r, r->arg);
		} else {
			client_wake(&r->state, WORD_DONE);
		}
	}
	client_done_init(done);
}
