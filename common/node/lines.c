/* SPDX-License-Identifier: MIT */
/* The control socket: a line with a JSON object, and a line back (docs/control-protocol.md). */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "node/conns.h"
#include "node/internal.h"

/* Most questions are short; a topology is not. */
static bool grow_buffer(struct conn *c)
{
	uint32_t room = 2 * c->in_room;
	uint8_t *in = room <= DP_CONTROL_LINE_MAX ? realloc(c->in, room) : NULL;
	if (!in)
		return false;
	c->in = in;
	c->in_room = room;
	return true;
}

static void answer_line(struct node *n, struct conn *c, const char *line, size_t size)
{
	json_t *request = json_loadb(line, size, JSON_REJECT_DUPLICATES, NULL);
	json_t *reply = control_answer(n, request, DP_RIGHTS_ADMINISTER);
	char *text = json_dumps(reply, JSON_COMPACT);
	if (text) {
		conn_answer(c, text, (uint32_t)strlen(text), NULL);
		conn_answer(c, "\n", 1, NULL);
	}
	free(text);
	json_decref(reply);
	json_decref(request);
}

static const uint8_t *line_end(const struct conn *c)
{
	return memchr(c->in, '\n', c->in_size);
}

static void take_lines(struct node *n, struct conn *c)
{
	const uint8_t *end;
	while (c->out_count < CONN_REQUESTS && (end = line_end(c)) != NULL) {
		uint32_t size = (uint32_t)(end - c->in) + 1;
		answer_line(n, c, (const char *)c->in, size - 1);
		memmove(c->in, c->in + size, c->in_size - size);
		c->in_size -= size;
	}
	if (c->in_size == c->in_room && !line_end(c) && !grow_buffer(c))
		c->closing = true; /* a line beyond the limit */
}

static bool wants_line(const struct conn *c)
{
	return c->out_count < CONN_REQUESTS && c->in_size < c->in_room;
}

static void receive_lines(struct node *n, struct conn *c)
{
	size_t got;
	if (!conn_receive(c, c->in + c->in_size, c->in_room - c->in_size, &got))
		return;
	c->in_size += (uint32_t)got;
	take_lines(n, c);
}

static bool resume_lines(struct node *n, struct conn *c)
{
	if (c->in_size)
		take_lines(n, c);
	return false; /* nothing of it is for the streams */
}

/* All whole lines are answered. */
static bool lines_done(const struct conn *c)
{
	return !c->out && !line_end(c);
}

static const struct conn_kind lines_kind = {
	sizeof(struct conn), wants_line, receive_lines, resume_lines, lines_done, NULL};

int lines_open(struct node *n)
{
	n->control_fd = conns_listen(n, "control.sock");
	return n->control_fd < 0 ? DP_ECONFIG : 0;
}

void lines_accept(struct node *n)
{
	conns_accept(n, n->control_fd, &lines_kind);
}

void lines_close(struct node *n)
{
	if (n->control_fd >= 0)
		close(n->control_fd);
}
