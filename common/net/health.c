/* SPDX-License-Identifier: MIT */
#include "net/health.h"

#include <stddef.h>

static void move_to(struct dp_health *h, enum dp_health_state to, uint64_t now_us)
{
	if (to == DP_HEALTH_DOWN && h->state == DP_HEALTH_CONNECTED)
		h->outages++;
	h->ever_up |= to == DP_HEALTH_CONNECTED;
	h->state = to;
	h->since_us = now_us;
}

void dp_health_init(struct dp_health *h, const struct dp_health_config *cfg, uint64_t incarnation,
	uint64_t now_us)
{
	*h = (struct dp_health){.cfg = *cfg, .incarnation = incarnation, .since_us = now_us};
}

static struct dp_run *find_run(struct dp_health *h, uint64_t incarnation)
{
	for (unsigned i = 0; i < DP_HEALTH_RUNS; i++)
		if (h->runs[i].incarnation == incarnation)
			return &h->runs[i];
	return NULL;
}

static bool in_gap(const struct dp_health *h, uint64_t now_us)
{
	return h->beat_us && now_us - h->beat_us >= h->cfg.down_after_us / 2;
}

static void take_life(struct dp_health *h, const struct dp_beat *beat, uint64_t now_us)
{
	if (beat->echo_us && now_us >= beat->echo_us + beat->held_us)
		h->rtt_us = now_us - beat->echo_us - beat->held_us;
	bool gap = in_gap(h, now_us);
	h->beat_us = now_us;
	if (h->state != DP_HEALTH_CONNECTED && !h->ever_up)
		move_to(h, DP_HEALTH_CONNECTED, now_us);
	else if (h->state == DP_HEALTH_DOWN || (h->state == DP_HEALTH_PROBATION && gap))
		move_to(h, DP_HEALTH_PROBATION, now_us);
}

enum dp_beat_use dp_health_beat(struct dp_health *h, const struct dp_beat *beat, uint64_t now_us)
{
	struct dp_run *run = find_run(h, beat->incarnation);
	bool proven = beat->heard == h->incarnation; /* made after it heard this run of ours */
	if (run && beat->counter <= run->counter) {
		h->ignored++;
		return DP_BEAT_IGNORED;
	}
	if (!run && !proven) {
		h->unverified_run = beat->incarnation;
		return DP_BEAT_UNVERIFIED;
	}
	if (!run)
		run = &h->runs[h->run_count++ % DP_HEALTH_RUNS];
	*run = (struct dp_run){beat->incarnation, beat->counter};
	if (beat->incarnation != h->last.incarnation)
		h->sent_us = 0; /* it waits to hear that it was heard */
	h->beats++;
	h->last = *beat;
	h->heard_us = now_us;
	if (proven) /* a peer that does not hear us is like a silent one */
		take_life(h, beat, now_us);
	return DP_BEAT_TAKEN;
}

bool dp_health_tick(struct dp_health *h, uint64_t now_us)
{
	enum dp_health_state before = h->reported_state;
	uint64_t from = h->beat_us > h->since_us ? h->beat_us : h->since_us;
	bool silent = now_us >= from + h->cfg.down_after_us;
	if (h->state != DP_HEALTH_DOWN && silent)
		move_to(h, DP_HEALTH_DOWN, now_us);
	else if (h->state == DP_HEALTH_PROBATION && !in_gap(h, now_us) &&
		now_us >= h->since_us + h->cfg.probation_us)
		move_to(h, DP_HEALTH_CONNECTED, now_us);
	h->reported_state = h->state;
	return h->reported_state != before;
}

bool dp_health_due(struct dp_health *h, uint64_t now_us, struct dp_beat *beat)
{
	if (h->sent_us && now_us < h->sent_us + h->cfg.interval_us)
		return false;
	bool hearing = h->heard_us && now_us < h->heard_us + h->cfg.down_after_us;
	h->sent_us = now_us;
	*beat = (struct dp_beat){
		.incarnation = h->incarnation,
		.counter = ++h->counter,
		.heard = hearing ? h->last.incarnation : 0,
		.time_us = now_us,
		.echo_us = hearing ? h->last.time_us : 0,
		.held_us = hearing ? now_us - h->heard_us : 0,
	};
	return true;
}

bool dp_health_answer(struct dp_health *h, uint64_t now_us, struct dp_beat *beat)
{
	if (!h->unverified_run)
		return false;
	*beat = (struct dp_beat){.incarnation = h->incarnation,
		.counter = ++h->counter,
		.heard = h->unverified_run,
		.time_us = now_us};
	h->unverified_run = 0;
	return true;
}

bool dp_health_open(const struct dp_health *h)
{
	return h->state == DP_HEALTH_CONNECTING || h->state == DP_HEALTH_CONNECTED;
}

const char *dp_health_state_name(enum dp_health_state state)
{
	static const char *const names[] = {"Connecting", "Connected", "Down", "Probation"};
	return names[state];
}
