/* SPDX-License-Identifier: MIT */
/* The walk over two topologies: each object beside its counterpart, each rule that holds to whom
 * it concerns. */
#include "topology/change_rules.h"

#include <stdio.h>
#include <string.h>

/* ---- objects ---- */

/* Object `i` of its kind; without one when there are no more. Legs are those of in->stream. */
static struct dp_change_side object_at(enum dp_change_object of, const struct dp_change_side *in,
	unsigned i)
{
	const struct dp_topology *t = in->t;
	struct dp_change_side s = {t, NULL, in->stream};
	switch (of) {
	case DP_OF_FILE:
		s.object = i ? NULL : t;
		break;
	case DP_OF_SITE:
		s.object = i < t->site_count ? &t->sites[i] : NULL;
		break;
	case DP_OF_NODE:
		s.object = i < t->node_count ? &t->nodes[i] : NULL;
		break;
	case DP_OF_STREAM:
		s.object = s.stream = i < t->stream_count ? &t->streams[i] : NULL;
		break;
	case DP_OF_LEG:
		s.object = i < in->stream->leg_count ? &in->stream->legs[i] : NULL;
		break;
	case DP_OF_VOLUME:
		s.object = i < t->volume_count ? &t->volumes[i] : NULL;
		s.stream = s.object ? &t->streams[t->volumes[i].stream] : NULL;
		break;
	case DP_OF_LINK:
		s.object = i < t->link_count ? &t->links[i] : NULL;
		break;
	case DP_OF_OPERATOR:
		s.object = i < t->operator_count ? &t->operators[i] : NULL;
		break;
	}
	return s;
}

static bool is_same_link(const struct dp_change_side *a, const struct dp_change_side *b)
{
	const struct dp_topo_link *l = a->object, *m = b->object;
	const char *from = a->t->nodes[l->a].name, *to = a->t->nodes[l->b].name;
	const char *other_from = b->t->nodes[m->a].name, *other_to = b->t->nodes[m->b].name;
	return (strcmp(from, other_from) == 0 && strcmp(to, other_to) == 0) ||
		(strcmp(from, other_to) == 0 && strcmp(to, other_from) == 0);
}

static const char *mirror_of(const struct dp_change_side *s)
{
	const struct dp_topo_leg *leg = s->object;
	return s->t->nodes[leg->hops[leg->hop_count - 1]].name;
}

/* Every object with a name begins with it. */
bool dp_change_is_same(enum dp_change_object of, const struct dp_change_side *a,
	const struct dp_change_side *b)
{
	if (of == DP_OF_FILE)
		return true;
	if (of == DP_OF_LINK)
		return is_same_link(a, b);
	return strcmp(a->object, b->object) == 0 &&
		(of != DP_OF_LEG || strcmp(mirror_of(a), mirror_of(b)) == 0);
}

/* The object of the other topology that is the same; *index is set to its place if there is one. */
static struct dp_change_side find_same(enum dp_change_object of, const struct dp_change_side *s,
	const struct dp_change_side *other, unsigned *index)
{
	struct dp_change_side o;
	for (*index = 0; (o = object_at(of, other, *index)).object; ++*index)
		if (dp_change_is_same(of, s, &o))
			return o;
	return (struct dp_change_side){other->t, NULL, of == DP_OF_LEG ? other->stream : NULL};
}

/* ---- the walk ---- */

struct walk {
	void (*each)(void *ctx, const struct dp_change_rule *rule, const struct dp_difference *d);
	void *ctx;
};

static bool rule_holds(const struct dp_change_rule *rule, const struct dp_difference *d)
{
	if (rule->size) {
		const char *a = d->before.object, *b = d->after.object;
		if (memcmp(a + rule->offset, b + rule->offset, rule->size) == 0)
			return false;
	}
	return !rule->when || rule->when(d);
}

static void follow_rules(const struct walk *w, enum dp_change_object of, enum dp_change_event event,
	const struct dp_difference *d)
{
	for (const struct dp_change_rule *rule = dp_change_rules; rule->key; rule++)
		if (rule->of == of && rule->event == event && rule_holds(rule, d))
			w->each(w->ctx, rule, d);
}

/* Objects that stay stand in another order; volumes count within their stream. */
static void compare_order(const struct walk *w, enum dp_change_object of,
	const struct dp_difference *d)
{
	struct dp_change_side s;
	unsigned last = 0, at;
	for (unsigned i = 0; (s = object_at(of, &d->after, i)).object; i++) {
		if (s.stream != d->after.stream && of == DP_OF_VOLUME)
			continue;
		if (!find_same(of, &s, &d->before, &at).object)
			continue;
		if (at < last) {
			follow_rules(w, of, DP_IS_REORDERED, d);
			return;
		}
		last = at;
	}
}

static void compare_objects(const struct walk *w, enum dp_change_object of,
	const struct dp_difference *in);

static void compare_object(const struct walk *w, enum dp_change_object of,
	const struct dp_difference *d)
{
	follow_rules(w, of, d->after.object ? DP_CHANGES : DP_GOES, d);
	if (of != DP_OF_STREAM || !d->after.object)
		return;
	compare_order(w, DP_OF_LEG, d);
	compare_objects(w, DP_OF_LEG, d);
}

static void compare_objects(const struct walk *w, enum dp_change_object of,
	const struct dp_difference *in)
{
	struct dp_difference d;
	unsigned at;
	for (unsigned i = 0; (d.before = object_at(of, &in->before, i)).object; i++) {
		d.after = find_same(of, &d.before, &in->after, &at);
		compare_object(w, of, &d);
	}
	for (unsigned i = 0; (d.after = object_at(of, &in->after, i)).object; i++) {
		d.before = find_same(of, &d.after, &in->before, &at);
		if (!d.before.object)
			follow_rules(w, of, DP_COMES, &d);
	}
}

static void compare_volume_orders(const struct walk *w, const struct dp_difference *all)
{
	struct dp_difference d;
	unsigned at;
	for (unsigned i = 0; (d.after = object_at(DP_OF_STREAM, &all->after, i)).object; i++) {
		d.before = find_same(DP_OF_STREAM, &d.after, &all->before, &at);
		if (d.before.object)
			compare_order(w, DP_OF_VOLUME, &d);
	}
}

static void walk_over(const struct walk *w, const struct dp_topology *before,
	const struct dp_topology *after)
{
	struct dp_difference all = {{before, before, NULL}, {after, after, NULL}};
	compare_objects(w, DP_OF_FILE, &all);
	compare_objects(w, DP_OF_SITE, &all);
	compare_objects(w, DP_OF_NODE, &all);
	compare_order(w, DP_OF_STREAM, &all);
	compare_objects(w, DP_OF_STREAM, &all);
	compare_volume_orders(w, &all);
	compare_objects(w, DP_OF_VOLUME, &all);
	compare_objects(w, DP_OF_LINK, &all);
	compare_order(w, DP_OF_OPERATOR, &all);
	compare_objects(w, DP_OF_OPERATOR, &all);
}

/* ---- for the operator of the deployment ---- */

struct listing {
	struct dp_topo_changes *out;
	struct dp_topo_change beyond; /* where the list is full */
};

static const struct dp_change_side *side_of(const struct dp_difference *d)
{
	return d->before.object ? &d->before : &d->after;
}

static int put_name(enum dp_change_object of, const struct dp_change_side *s, char *to, size_t size)
{
	static const char *const kinds[] = {[DP_OF_SITE] = "site",
		[DP_OF_NODE] = "node",
		[DP_OF_STREAM] = "stream",
		[DP_OF_VOLUME] = "volume",
		[DP_OF_OPERATOR] = "operator"};
	const struct dp_topo_link *link = s->object;
	if (of == DP_OF_LINK)
		return snprintf(to, size, "link %s, %s: ", s->t->nodes[link->a].name,
			s->t->nodes[link->b].name);
	if (of == DP_OF_LEG)
		return snprintf(to, size, "stream %s: leg %s ", s->stream->name,
			(const char *)s->object);
	return snprintf(to, size, "%s %s: ", kinds[of], (const char *)s->object);
}

/* The object that the rule is about, and what is with it; "" if the rule has no words for it. */
static void put_line(const struct dp_change_rule *rule, const struct dp_difference *d, char *to,
	size_t size)
{
	char words[160] = "";
	int used = 0;
	if (rule->say)
		rule->say(d, words, sizeof words);
	else if (rule->what)
		snprintf(words, sizeof words, "%s", rule->what);
	to[0] = '\0';
	if (words[0] && rule->event == DP_IS_REORDERED && rule->of == DP_OF_LEG)
		used = snprintf(to, size, "stream %s: ", d->before.stream->name);
	else if (words[0] && rule->event != DP_IS_REORDERED && rule->of != DP_OF_FILE)
		used = put_name(rule->of, side_of(d), to, size);
	snprintf(to + used, size - (size_t)used, "%s", words);
}

static struct dp_topo_change *next_line(struct listing *l, bool refused)
{
	struct dp_topo_changes *out = l->out;
	if (out->count < DP_TOPO_CHANGES_MAX)
		return &out->list[out->count++];
	return refused ? &out->list[DP_TOPO_CHANGES_MAX - 1] : &l->beyond;
}

static void list_rule(void *ctx, const struct dp_change_rule *rule, const struct dp_difference *d)
{
	struct listing *l = ctx;
	struct dp_topo_changes *out = l->out;
	struct dp_topo_change line = {.level = rule->level};
	struct dp_topo_change *last = out->count ? &out->list[out->count - 1] : NULL;
	out->loses |= rule->event == DP_GOES &&
		(rule->of == DP_OF_STREAM || rule->of == DP_OF_VOLUME);
	out->volumes |= rule->work >= DP_WORK_VOLUME_NEW && rule->work <= DP_WORK_VOLUMES;
	put_line(rule, d, line.what, sizeof line.what);
	if (!line.what[0])
		return;
	if (last && strcmp(last->what, line.what) == 0) {
		last->level = last->level < rule->level ? rule->level : last->level;
		return;
	}
	snprintf(line.means, sizeof line.means, "%s", rule->means ? rule->means : "");
	out->refused += dp_change_is_refused(&line);
	*next_line(l, dp_change_is_refused(&line)) = line;
}

void dp_topology_compare(const struct dp_topology *before, const struct dp_topology *after,
	struct dp_topo_changes *out)
{
	struct listing l = {.out = out};
	struct walk w = {list_rule, &l};
	*out = (struct dp_topo_changes){.count = 0};
	walk_over(&w, before, after);
}

const struct dp_topo_change *dp_topology_refused(const struct dp_topo_changes *changes,
	bool running)
{
	enum dp_change_level limit = running ? DP_CHANGE_AT_START : DP_CHANGE_NEVER;
	for (unsigned i = 0; i < changes->count; i++)
		if (changes->list[i].level >= limit)
			return &changes->list[i];
	return NULL;
}

/* ---- for one node ---- */

struct tasks {
	int before, after; /* the node's indexes */
	void (*each)(void *ctx, const struct dp_change_task *task);
	void *ctx;
};

static const char *peer_of(const struct dp_change_rule *rule, const struct dp_difference *d,
	const struct tasks *n)
{
	const struct dp_change_side *s = side_of(d);
	const struct dp_topo_link *link = s->object;
	unsigned me = (unsigned)(s == &d->before ? n->before : n->after);
	if (rule->of == DP_OF_NODE)
		return s->object;
	if (rule->whom != DP_WHOM_SENDER && rule->whom != DP_WHOM_ENDS)
		return NULL;
	return s->t->nodes[link->a == me ? link->b : link->a].name;
}

static void give_task(void *ctx, const struct dp_change_rule *rule, const struct dp_difference *d)
{
	const struct tasks *n = ctx;
	if ((rule->level != DP_CHANGE_LIVE && rule->level != DP_CHANGE_RESTART) ||
		!dp_change_concerns(rule->whom, d, n->before, n->after))
		return;
	const struct dp_change_side *s = side_of(d);
	struct dp_change_task task = {.level = rule->level,
		.work = rule->work,
		.peer = peer_of(rule, d, n),
		.stream = s->stream ? s->stream->name : NULL,
		.volume = rule->of == DP_OF_VOLUME && rule->event != DP_IS_REORDERED ? s->object
										     : NULL};
	size_t size = strlen(rule->here);
	bool names = size && rule->here[size - 1] == ' ';
	snprintf(task.text, sizeof task.text, "%s%s", rule->here,
		!names              ? ""
			: task.peer ? task.peer
				    : task.stream);
	n->each(n->ctx, &task);
}

void dp_topology_tasks(const struct dp_topology *before, const struct dp_topology *after,
	const char *name, void (*each)(void *ctx, const struct dp_change_task *task), void *ctx)
{
	struct tasks n = {dp_topology_node(before, name), dp_topology_node(after, name), each, ctx};
	struct walk w = {give_task, &n};
	walk_over(&w, before, after);
}
