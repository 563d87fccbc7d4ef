/* SPDX-License-Identifier: MIT */
#include "ask/ask.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ask/internal.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/limits.h"

#define AGAIN_MS 10 /* until a listener whose queue is full is tried again */

/* ---- results ---- */

void talk_fail(struct talk *t, int err, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	vsnprintf(t->ask->error, sizeof t->ask->error, format, args);
	va_end(args);
	t->ask->err = err;
	t->settled = true;
}

void talk_settle(struct talk *t, json_t *answer)
{
	json_int_t api = json_integer_value(json_object_get(answer, "api"));
	const char *text = json_string_value(json_object_get(answer, "error"));
	t->settled = true;
	if (!json_is_object(answer))
		talk_fail(t, DP_EBADMSG, "the answer is not a JSON object");
	else if (!json_is_true(json_object_get(answer, "ok")))
		talk_fail(t, DP_EINVAL, "%s", text ? text : "refused without a reason");
	else if (api && api != DP_CONTROL_API)
		talk_fail(t, DP_EINVAL,
			"it answers version %lld of the control protocol, and this command, dipole %s, "
			"understands version %d",
			(long long)api, DIPOLE_VERSION, DP_CONTROL_API);
	else
		t->ask->answer = json_incref(answer);
	json_decref(answer);
}

/* ---- all talks ---- */

/* The request on one line. */
static bool make_line(struct talk *t)
{
	t->size = json_dumpb(t->ask->request, NULL, 0, JSON_COMPACT) + 1;
	t->line = malloc(t->size);
	if (!t->line)
		return false;
	json_dumpb(t->ask->request, t->line, t->size, JSON_COMPACT);
	t->line[t->size - 1] = '\n';
	return true;
}

static void begin_talk(struct talk *t, struct dp_ask *ask, void *zmq)
{
	*t = (struct talk){.ask = ask, .fd = -1, .settled = !ask->request};
	t->way = ask->path ? &talk_local : &talk_remote;
	if (t->settled)
		return;
	ask->err = 0;
	ask->answer = NULL;
	ask->error[0] = '\0';
	if (make_line(t))
		t->way->open(t, zmq);
	else
		talk_fail(t, DP_ENOMEM, "%s", dp_strerror(DP_ENOMEM));
}

/* Waits until one of them can go on, or for the time left. */
static void wait_for_talks(const struct talk *talks, unsigned count, zmq_pollitem_t *items,
	uint64_t left_us)
{
	long ms = (long)(left_us / 1000) + 1;
	int used = 0;
	for (unsigned i = 0; i < count; i++) {
		const struct talk *t = &talks[i];
		unsigned n = t->settled ? 0 : t->way->wait(t, items + used);
		if (!n && !t->settled && ms > AGAIN_MS)
			ms = AGAIN_MS;
		used += (int)n;
	}
	zmq_poll(items, used, ms);
}

/* Whether all are settled. */
static bool give_turns(struct talk *talks, unsigned count)
{
	bool all = true;
	for (unsigned i = 0; i < count; i++) {
		if (!talks[i].settled)
			talks[i].way->turn(&talks[i]);
		all = all && talks[i].settled;
	}
	return all;
}

static void end_talk(struct talk *t)
{
	if (!t->settled)
		t->way->give_up(t);
	t->way->close(t);
	free(t->line);
}

static void hold_talks(struct dp_ask *asks, unsigned count, struct talk *talks,
	zmq_pollitem_t *items, uint64_t timeout_us)
{
	uint64_t now = dp_clock_us(), end = now + timeout_us;
	void *zmq = NULL;
	for (unsigned i = 0; i < count && !zmq; i++)
		if (asks[i].request && !asks[i].path)
			zmq = zmq_ctx_new();
	for (unsigned i = 0; i < count; i++)
		begin_talk(&talks[i], &asks[i], zmq);
	while (!give_turns(talks, count) && (now = dp_clock_us()) < end)
		wait_for_talks(talks, count, items, end - now);
	for (unsigned i = 0; i < count; i++)
		end_talk(&talks[i]);
	if (zmq)
		zmq_ctx_term(zmq);
}

static void no_memory(struct dp_ask *ask)
{
	if (!ask->request)
		return;
	ask->err = DP_ENOMEM;
	ask->answer = NULL;
	snprintf(ask->error, sizeof ask->error, "%s", dp_strerror(DP_ENOMEM));
}

void dp_ask_all(struct dp_ask *asks, unsigned count, uint64_t timeout_us)
{
	struct talk *talks = calloc(count, sizeof *talks);
	zmq_pollitem_t *items = calloc(count, TALK_KEYS * sizeof *items);
	if (talks && items)
		hold_talks(asks, count, talks, items, timeout_us);
	for (unsigned i = 0; i < count && (!talks || !items); i++)
		no_memory(&asks[i]);
	free(items);
	free(talks);
}

int dp_ask_socket(const char *path, json_t *request, uint64_t timeout_us, json_t **answer,
	char error[DP_ASK_ERROR_MAX])
{
	struct dp_ask ask = {.request = request, .path = path};
	dp_ask_all(&ask, 1, timeout_us);
	json_decref(request);
	*answer = ask.answer;
	strcpy(error, ask.error);
	return ask.err;
}
