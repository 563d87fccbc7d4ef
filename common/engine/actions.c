/* SPDX-License-Identifier: MIT */
/* The list of actions, the messages in it, and the states of a core and its links. */
#include "engine/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct dp_action *dp_act(struct dp_actions *out, enum dp_action_type type)
{
	static struct dp_action lost; /* takes the writes when memory is out; the node then stops */
	if (out->count == out->capacity) {
		uint32_t capacity = out->capacity ? out->capacity * 2 : 16;
		struct dp_action *list = realloc(out->list, capacity * sizeof *list);
		if (!list) {
			out->overflow = true;
			return &lost;
		}
		out->list = list;
		out->capacity = capacity;
	}
	struct dp_action *a = &out->list[out->count++];
	memset(a, 0, sizeof *a);
	a->type = type;
	return a;
}

void dp_actions_clear(struct dp_actions *a)
{
	for (uint32_t i = 0; i < a->count; i++) {
		dp_msg_clear(&a->list[i].msg);
		dp_record_unref(&a->list[i].record);
		dp_buf_unref(&a->list[i].data);
		free(a->list[i].meta);
	}
	a->count = 0;
}

void dp_actions_free(struct dp_actions *a)
{
	dp_actions_clear(a);
	free(a->list);
	*a = (struct dp_actions){0};
}

void dp_raise(struct dp_actions *out, enum dp_alarm alarm, uint32_t peer)
{
	struct dp_action *a = dp_act(out, DP_ACT_ALARM);
	a->alarm = alarm;
	a->peer = peer;
}

/* splitmix64: names of sessions need to differ, not to be secret. */
uint64_t dp_core_random(struct dp_core *c)
{
	uint64_t z = c->random += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return z ? z : 1;
}

/* ---- messages ---- */

static void send_message(struct dp_core *c, enum dp_action_type where, uint32_t peer, uint8_t type,
	struct dp_msg *m, struct dp_actions *out)
{
	m->type = type;
	m->stream = c->cfg.stream;
	struct dp_action *a = dp_act(out, where);
	a->peer = peer;
	a->msg = *m;
}

void dp_core_send_up(struct dp_core *c, uint32_t peer, uint8_t type, struct dp_msg *m,
	struct dp_actions *out)
{
	if (!m->session)
		m->session = c->up.session;
	send_message(c, DP_ACT_SEND_UP, peer, type, m, out);
}

void dp_core_send_down(struct dp_core *c, uint32_t link, uint8_t type, struct dp_msg *m,
	struct dp_actions *out)
{
	struct dp_down *d = &c->down[link];
	m->session = d->session;
	d->sent_us = c->now_us;
	send_message(c, DP_ACT_SEND_DOWN, link, type, m, out);
}

void dp_core_refuse(struct dp_core *c, uint32_t peer, uint64_t session, enum dp_refusal reason,
	uint64_t number, struct dp_actions *out)
{
	struct dp_msg m = {.session = session, .u.refuse = {.reason = reason, .number = number}};
	c->refused++;
	dp_core_send_up(c, peer, DP_MSG_REFUSE, &m, out);
}

void dp_up_end(struct dp_core *c)
{
	c->up.active = false;
	free(c->rebuild.reset); /* it was of this session */
	c->rebuild.reset = NULL;
}

/* ---- states ---- */

#define BIT(state) (1u << (state))

/* A controller:      PROMISING -> RECOVERING [-> ADOPTING] -> OPEN
 * a relay, new:                   RECOVERING [-> ADOPTING] -> OPEN
 * all others:                                                  OPEN
 * Adopting that stalls goes back to RECOVERING; a receiver that has promised a newer epoch sends a
 * controller back to PROMISING. FAILED is the end. */
static const uint8_t core_moves[] = {
	[DP_CORE_PROMISING] = BIT(DP_CORE_RECOVERING) | BIT(DP_CORE_OPEN) | BIT(DP_CORE_FAILED),
	[DP_CORE_RECOVERING] = BIT(DP_CORE_PROMISING) | BIT(DP_CORE_ADOPTING) | BIT(DP_CORE_OPEN) |
		BIT(DP_CORE_FAILED),
	[DP_CORE_ADOPTING] = BIT(DP_CORE_PROMISING) | BIT(DP_CORE_RECOVERING) | BIT(DP_CORE_OPEN) |
		BIT(DP_CORE_FAILED),
	[DP_CORE_OPEN] = BIT(DP_CORE_FAILED),
	[DP_CORE_FAILED] = 0,
};

void dp_core_move(struct dp_core *c, enum dp_core_state to)
{
	assert(c->state == to || core_moves[c->state] & BIT(to));
	c->state = to;
}

/* CONNECTING -> WAITING -> ACTIVE. With the next HELLO each of them, and INCONSISTENT, goes back to
 * CONNECTING. A link that is DOWN goes back when it is up again. */
static const uint8_t down_moves[] = {
	[DP_DOWN_CONNECTING] = BIT(DP_DOWN_WAITING) | BIT(DP_DOWN_INCONSISTENT) | BIT(DP_DOWN_DOWN),
	[DP_DOWN_WAITING] = BIT(DP_DOWN_CONNECTING) | BIT(DP_DOWN_ACTIVE) |
		BIT(DP_DOWN_INCONSISTENT) | BIT(DP_DOWN_DOWN),
	[DP_DOWN_ACTIVE] = BIT(DP_DOWN_CONNECTING) | BIT(DP_DOWN_INCONSISTENT) | BIT(DP_DOWN_DOWN),
	[DP_DOWN_INCONSISTENT] = BIT(DP_DOWN_CONNECTING) | BIT(DP_DOWN_DOWN),
	[DP_DOWN_DOWN] = BIT(DP_DOWN_CONNECTING),
};

void dp_down_move(struct dp_down *d, enum dp_down_state to)
{
	assert(d->state == to || down_moves[d->state] & BIT(to));
	d->state = to;
}

const char *dp_core_state_name(enum dp_core_state state)
{
	static const char *const names[] = {
		"Promising", "Recovering", "Adopting", "Open", "Failed"};
	return names[state];
}

const char *dp_down_state_name(enum dp_down_state state)
{
	static const char *const names[] = {
		"Connecting", "Waiting", "Connected", "Inconsistent", "Down"};
	return names[state];
}
