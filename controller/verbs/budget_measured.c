/* SPDX-License-Identifier: MIT */
/* What was predicted for each stage of a write beside what the running nodes have measured. */
#include <math.h>
#include <string.h>

#include "verbs/budget.h"
#include "verbs/nodes.h"

#define TOLERANCE    0.10
#define TOLERANCE_US 100.0 /* whichever is more */
#define ROWS_MAX     (2 + 5 * DP_LEGS_MAX * DP_HOPS_MAX)

struct row {
	const char *leg, *node, *peer, *stage;
	double predicted_us;
	const json_t *measured; /* borrowed from the survey; NULL: the node does not answer */
};

struct rows {
	const struct budget_view *v;
	const struct verb_survey *survey;
	json_t *made; /* measurements that no node tells in this form */
	unsigned count;
	struct row list[ROWS_MAX];
};

static bool exceeds(const struct row *r)
{
	double over = (double)verb_number(r->measured, "p50_us") - r->predicted_us;
	return verb_number(r->measured, "count") &&
		over > fmax(TOLERANCE_US, TOLERANCE * r->predicted_us);
}

static json_t *stream_at(const struct rows *rows, unsigned node)
{
	return verb_survey_stream(rows->survey, node, budget_stream(rows->v)->name);
}

static void add_row(struct rows *rows, const char *leg, unsigned node, unsigned peer,
	const char *stage, double predicted_us, const json_t *measured)
{
	rows->list[rows->count++] = (struct row){leg, budget_name(rows->v, node),
		peer == node ? "-" : budget_name(rows->v, peer), stage, predicted_us, measured};
}

static const json_t *measured_link(const struct rows *rows, unsigned from, unsigned to)
{
	json_t *link;
	size_t i;
	json_array_foreach (json_object_get(stream_at(rows, from), "links"), i, link)
		if (strcmp(verb_text(link, "peer"), budget_name(rows->v, to)) == 0)
			return link;
	return NULL;
}

static const json_t *link_stage(const struct rows *rows, unsigned from, unsigned to,
	const char *stage)
{
	return json_object_get(json_object_get(measured_link(rows, from, to), "stages"), stage);
}

/* Of the last heartbeat that was answered: one sample. */
static const json_t *round_trip(const struct rows *rows, unsigned from, unsigned to)
{
	const json_t *health = json_object_get(measured_link(rows, from, to), "health");
	json_int_t us = (json_int_t)verb_number(health, "round_trip_us");
	json_t *made = json_pack("{s:i,s:I,s:I,s:I}", "count", us > 0, "p50_us", us, "p99_us", us,
		"max_us", us);
	json_array_append_new(rows->made, made);
	return made;
}

/* When hop h says "committed" to the node above it. */
static double says_committed(const struct budget_view *v, unsigned leg, unsigned h)
{
	const struct dp_budget_leg *l = &v->b->legs[leg];
	unsigned last = budget_stream(v)->legs[leg].hop_count - 1;
	double us = l->hops[last].cached_us;
	for (unsigned i = last; i > h; i--)
		us = fmax(us + l->hops[i].propagation_us + v->costs.work_us,
			l->hops[i - 1].cached_us);
	return us;
}

static void add_hop(struct rows *rows, unsigned leg, unsigned h)
{
	const struct budget_view *v = rows->v;
	const struct dp_topo_stream *s = budget_stream(v);
	const struct dp_budget_hop *hop = &v->b->legs[leg].hops[h];
	unsigned from = h ? s->legs[leg].hops[h - 1] : s->controller;
	const char *name = s->legs[leg].name;
	double heard_us = hop->cached_us + hop->propagation_us,
	       sent_us = hop->received_us - hop->one_way_us;
	add_row(rows, name, from, hop->node, "round trip", 2 * hop->propagation_us,
		round_trip(rows, from, hop->node));
	/* A node's clock starts when it has the record in hand, and it hands it on at once: its
	 * work, most of which is to wake up, lies before that. */
	add_row(rows, name, from, hop->node, "forwarded", 0,
		link_stage(rows, from, hop->node, "forwarded"));
	add_row(rows, name, from, hop->node, "acknowledged", heard_us - sent_us,
		link_stage(rows, from, hop->node, "acknowledged"));
	add_row(rows, name, from, hop->node, "committed",
		says_committed(v, leg, h) - hop->cached_us,
		link_stage(rows, from, hop->node, "committed"));
	add_row(rows, name, hop->node, hop->node, "durable", hop->cached_us - hop->received_us,
		json_object_get(stream_at(rows, hop->node), "durable_latency"));
}

static void collect_rows(struct rows *rows)
{
	const struct dp_topo_stream *s = budget_stream(rows->v);
	const struct dp_budget *b = rows->v->b;
	json_t *controller = stream_at(rows, s->controller);
	/* The controller measures from where it has the request to where it answers. */
	add_row(rows, "-", s->controller, s->controller, "write answered",
		b->ack_us - rows->v->costs.work_us, json_object_get(controller, "ack_latency"));
	add_row(rows, "-", s->controller, s->controller, "flush answered",
		b->flush_us - rows->v->costs.work_us, json_object_get(controller, "flush_latency"));
	for (unsigned i = 0; i < s->leg_count; i++)
		for (unsigned h = 0; h < s->legs[i].hop_count; h++)
			add_hop(rows, i, h);
}

static json_t *stages_json(const struct budget_view *v, const struct verb_survey *survey)
{
	struct rows rows = {.v = v, .survey = survey, .made = json_array()};
	json_t *list = json_array();
	collect_rows(&rows);
	for (unsigned i = 0; i < rows.count; i++) {
		const struct row *r = &rows.list[i];
		json_array_append_new(list,
			json_pack("{s:s,s:s,s:s,s:s,s:f,s:O?,s:b}", "leg", r->leg, "node", r->node,
				"to", r->peer, "stage", r->stage, "predicted_us", r->predicted_us,
				"measured", r->measured, "exceeded", exceeds(r)));
	}
	json_decref(rows.made);
	return json_pack("{s:s,s:o}", "stream", budget_stream(v)->name, "stages", list);
}

json_t *verb_budget_measured(const struct budget_view *v, const struct verb_place *place,
	struct verb_error *error)
{
	struct verb_survey survey = {.place = place, .only = -1, .stream = budget_stream(v)};
	json_t *answer = NULL;
	verb_survey_ask(&survey);
	if (survey.answered)
		answer = stages_json(v, &survey);
	else
		verb_fail(error, EX_UNAVAILABLE, "no node of %s answers on this machine",
			v->t->name);
	verb_survey_clear(&survey);
	return answer;
}
