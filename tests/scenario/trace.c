/* SPDX-License-Identifier: MIT */
/* The trace: a line for each message that arrives or is lost, each reply, alarm and change of
 * state. No random names in it, and no probes of a link on which nothing has happened. */
#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "scenario.h"

#define TEXT 160

void trace_line(struct scenario *s, const char *format, ...)
{
	va_list args;
	if (s->quiet)
		return;
	fprintf(s->trace, "%6" PRIu64 " ", (s->sim.now - s->origin_us) / 1000);
	va_start(args, format);
	vfprintf(s->trace, format, args);
	va_end(args);
	fputc('\n', s->trace);
}

uint8_t trace_type(const char *name)
{
	for (uint8_t type = 1; type <= DP_MSG_TYPE_LAST; type++)
		if (strcasecmp(dp_msg_name(type), name) == 0)
			return type;
	return 0;
}

/* ---- messages ---- */

static const char *const op_names[] = {"?", "write", "trim", "zero", "flush", "mark", "insync"};
static const char *const image_names[] = {"", ", resyncing", ""};

static void describe_record(const struct dp_header *h, char out[TEXT])
{
	int n = snprintf(out, TEXT, "%" PRIu64 " %s", h->seq, op_names[h->op]);
	if (h->op == DP_OP_INSYNC)
		snprintf(out + n, (size_t)(TEXT - n), " without legs %#" PRIx64, h->offset);
	else if (h->length)
		snprintf(out + n, (size_t)(TEXT - n), " %" PRIu64 "+%u", h->offset / SIM_BLOCK,
			h->length / SIM_BLOCK);
}

static void describe_welcome(const struct dp_welcome *w, char out[TEXT])
{
	snprintf(out, TEXT,
		"cached %" PRIu64 " committed %" PRIu64 ", log %" PRIu64 "..%" PRIu64
		" of epoch %" PRIu64 "%s%s",
		w->cached, w->committed, w->tail.at.seq, w->last.at.seq, w->last.at.epoch,
		w->last.based ? "" : ", new", image_names[w->images]);
}

static void describe_refuse(const struct dp_msg *m, char out[TEXT])
{
	static const char *const reasons[] = {"?", "stale epoch, promised is", "unknown session",
		"other volumes", "failed journal", "diverged"};
	uint32_t reason = m->u.refuse.reason;
	if (reason == DP_REFUSE_STALE)
		snprintf(out, TEXT, "%s %" PRIu64, reasons[reason], m->u.refuse.number);
	else
		snprintf(out, TEXT, "%s", reasons[reason <= DP_REFUSE_DIVERGED ? reason : 0]);
}

static void describe_read(const struct dp_wanted *w, char out[TEXT])
{
	snprintf(out, TEXT, "volume %u %" PRIu64 "+%u, with record %" PRIu64, w->volume,
		w->offset / SIM_BLOCK, w->length / SIM_BLOCK, w->min_seq);
}

static void describe_data(const struct dp_found *f, char out[TEXT])
{
	static const char *const kinds[] = {"data", "same", "zeros"};
	snprintf(out, TEXT, "%s",
		f->status ? "failed" : kinds[f->kind <= DP_FOUND_ZEROS ? f->kind : 0]);
}

static void describe(const struct dp_msg *m, char out[TEXT])
{
	out[0] = 0;
	switch ((enum dp_msg_type)m->type) {
	case DP_MSG_HELLO:
		snprintf(out, TEXT, "epoch %" PRIu64, m->u.hello.epoch);
		break;
	case DP_MSG_WELCOME:
		describe_welcome(m->u.welcome, out);
		break;
	case DP_MSG_REFUSE:
		describe_refuse(m, out);
		break;
	case DP_MSG_START:
		snprintf(out, TEXT, "at %" PRIu64, m->u.start.at.seq);
		break;
	case DP_MSG_RECORD:
		describe_record(&m->u.record->h, out);
		break;
	case DP_MSG_ACK:
		snprintf(out, TEXT, "cached %" PRIu64 " committed %" PRIu64 "%s", m->u.ack.cached,
			m->u.ack.committed, image_names[m->u.ack.images]);
		break;
	case DP_MSG_NAK:
		snprintf(out, TEXT, "from %" PRIu64, m->u.nak.seq);
		break;
	case DP_MSG_MARKS:
		snprintf(out, TEXT, "agreed %" PRIu64 " sent %" PRIu64, m->u.marks.agreed,
			m->u.marks.sent);
		break;
	case DP_MSG_PULL:
		snprintf(out, TEXT, "from %" PRIu64, m->u.pull.seq);
		break;
	case DP_MSG_READ:
	case DP_MSG_FETCH:
		describe_read(&m->u.read, out);
		break;
	case DP_MSG_DATA:
	case DP_MSG_FILL:
		describe_data(&m->u.data, out);
		break;
	case DP_MSG_RESET:
		/* By order: the name of the order is in the place of what is common. */
		if (m->u.reset->common > m->u.reset->meta.at.seq)
			snprintf(out, TEXT, "by order");
		else
			snprintf(out, TEXT, "to %" PRIu64 ", common is %" PRIu64,
				m->u.reset->meta.at.seq, m->u.reset->common);
		break;
	}
}

static void say(struct scenario *s, const struct node *from, const struct node *to,
	const struct dp_msg *m, const char *fate)
{
	char text[TEXT], type[16] = "";
	for (unsigned i = 0; dp_msg_name(m->type)[i] && i < sizeof type - 1; i++)
		type[i] = (char)toupper(dp_msg_name(m->type)[i]);
	describe(m, text);
	trace_line(s, "%s -> %s  %s%s%s%s", from ? from->name : "deposed", to->name, type,
		*text ? " " : "", text, fate);
}

/* A session begins: nothing was shown of it. */
static void forget(struct shown *l, uint64_t session)
{
	if (l->session != session)
		*l = (struct shown){.session = session, .cached = UINT64_MAX, .agreed = UINT64_MAX};
}

/* MARKS that say what the last ones on the link said, and the ACK to them. */
static bool tells_nothing(struct shown *l, const struct dp_msg *m)
{
	forget(l, m->session);
	if (m->type == DP_MSG_MARKS) {
		l->probe = m->u.marks.agreed == l->agreed && m->u.marks.sent == l->sent;
		l->agreed = m->u.marks.agreed;
		l->sent = m->u.marks.sent;
		return l->probe;
	}
	if (m->type == DP_MSG_ACK) {
		bool same = m->u.ack.cached == l->cached && m->u.ack.committed == l->committed;
		l->cached = m->u.ack.cached;
		l->committed = m->u.ack.committed;
		return same && l->probe;
	}
	if (m->type == DP_MSG_RECORD)
		l->probe = false;
	return false;
}

static void delivered(struct sim *sim, const struct node *from, const struct node *to,
	const struct dp_msg *m, bool bad)
{
	struct scenario *s = (struct scenario *)sim;
	if (bad)
		trace_line(s, "%s -> %s  RECORD with a wrong checksum", from->name, to->name);
	else if (!from ||
		!tells_nothing(&s->shown[from->up == (int)to->index ? from->index : to->index], m))
		say(s, from, to, m, "");
}

static enum sim_fate sent(struct sim *sim, const struct node *from, const struct node *to,
	const struct dp_msg *m)
{
	struct scenario *s = (struct scenario *)sim;
	for (unsigned i = 0; i < SCENARIO_FATES; i++) {
		struct fate *f = &s->fates[i];
		if (!f->count || f->from != from || f->to != to || f->type != m->type)
			continue;
		f->count--;
		if (f->fate == SIM_LOSE)
			say(s, from, to, m, " (is lost)");
		return f->fate;
	}
	if (s->nth.fate == SIM_STARVE || s->messages++ != s->nth.n || s->nth.fate == SIM_PASS)
		return SIM_PASS;
	char told[32];
	snprintf(told, sizeof told, " (%s)", each_way(s->nth.fate)->told);
	say(s, from, to, m, told);
	return s->nth.fate;
}

/* ---- the host, alarms, states ---- */

static void replied(struct sim *sim, unsigned request, const struct dp_buf *data)
{
	struct scenario *s = (struct scenario *)sim;
	if (data)
		trace_line(s, "controller -> host  #%u sees #%" PRIu64, request,
			dp_get64(data->data)); /* whose write it is, in its first block */
	else
		trace_line(s, "controller -> host  #%u done", request);
}

static void alarmed(struct sim *sim, const struct node *n, enum dp_alarm alarm, uint32_t peer)
{
	const char *about = peer < n->down_count ? sim->nodes[n->down[peer]].name
		: peer == DP_PEER_UPSTREAM       ? "upstream"
						 : "self";
	trace_line((struct scenario *)sim, "%s alarm about %s: %s", n->name, about,
		dp_alarm_info(alarm)->text);
}

static struct state state_of(const struct node *n)
{
	struct state now = {.up = n->stream != NULL};
	if (!n->stream)
		return now;
	const struct dp_core *c = dp_stream_core(n->stream);
	now.core = c->state;
	now.last = c->log.last.at.seq;
	now.away = n->role == DP_CORE_CONTROLLER ? c->insync.away : 0;
	now.building = c->log.last.images.building != 0;
	now.generation = c->log.last.images.generation;
	for (unsigned i = 0; i < n->down_count; i++)
		now.down[i] = c->down[i].state;
	return now;
}

static void tell_changes(struct scenario *s, const struct node *n, const struct state *was,
	const struct state *now)
{
	if (was->core != now->core && n->role == DP_CORE_CONTROLLER)
		trace_line(s, "%s is %s, epoch %" PRIu64, n->name, dp_core_state_name(now->core),
			dp_stream_core(n->stream)->epoch);
	else if (was->core != now->core)
		trace_line(s, "%s is %s", n->name, dp_core_state_name(now->core));
	if (now->last < was->last)
		trace_line(s, "%s cuts its log back to %" PRIu64, n->name, now->last);
	for (unsigned i = 0; i < n->down_count; i++)
		if (was->down[i] != now->down[i])
			trace_line(s, "%s: link to %s is %s", n->name,
				s->sim.nodes[n->down[i]].name, dp_down_state_name(now->down[i]));
	if (was->away != now->away)
		trace_line(s, "%s: legs that do not count: %#" PRIx64, n->name, now->away);
	if (!was->building && now->building)
		trace_line(s, "%s builds new images", n->name);
	if (was->generation != now->generation)
		trace_line(s, "%s has new images", n->name);
}

void trace_states(struct scenario *s, bool tell)
{
	for (unsigned i = 0; i < s->sim.node_count; i++) {
		const struct node *n = &s->sim.nodes[i];
		struct state now = state_of(n);
		/* A node that starts has no past to differ from. */
		if (!s->states[i].up && now.up)
			s->states[i] = (struct state){.up = true,
				.core = DP_CORE_PROMISING,
				.generation = now.generation,
				.building = now.building};
		if (tell && now.up)
			tell_changes(s, n, &s->states[i], &now);
		s->states[i] = now;
	}
}

static void changed(struct sim *sim)
{
	trace_states((struct scenario *)sim, true);
}

const struct sim_watch trace_watch = {sent, delivered, alarmed, replied, changed};
