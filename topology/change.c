/* SPDX-License-Identifier: MIT */
#include "topology/change.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/units.h"

struct comparison {
	const struct dp_topology *old, *new;
	struct dp_topo_changes *out;
	struct dp_topo_change beyond; /* where the list is full */
};

/* "WHAT" with its meaning; a name is at most DP_NAME_MAX long, so that it fits. */
static struct dp_topo_change *note(struct comparison *c, bool refused, const char *means,
	const char *format, ...) __attribute__((format(printf, 4, 5)));
static struct dp_topo_change *note(struct comparison *c, bool refused, const char *means,
	const char *format, ...)
{
	bool full = c->out->count == DP_TOPO_CHANGES_MAX;
	struct dp_topo_change *last = &c->out->list[DP_TOPO_CHANGES_MAX -
		1]; /* one that is refused is never left out */
	struct dp_topo_change *change = !full ? &c->out->list[c->out->count++]
		: refused                     ? last
					      : &c->beyond;
	c->out->refused += refused;
	va_list args;
	va_start(args, format);
	vsnprintf(change->what, sizeof change->what, format, args);
	va_end(args);
	snprintf(change->means, sizeof change->means, "%s", means);
	change->refused = refused;
	return change;
}

/* ---- nodes ---- */

static bool same_node_limits(const struct dp_topo_node *a, const struct dp_topo_node *b)
{
	return a->retain == b->retain && strcmp(a->metrics, b->metrics) == 0 &&
		strcmp(a->listen, b->listen) == 0 && strcmp(a->control, b->control) == 0;
}

static void compare_node(struct comparison *c, const struct dp_topo_node *a,
	const struct dp_topo_node *b)
{
	if (a->role != b->role)
		note(c, true, "a node cannot take another role: add one of another name",
			"node %s: %s instead of %s", a->name, dp_role_name(b->role),
			dp_role_name(a->role));
	if (a->journal_bytes != b->journal_bytes)
		note(c, true, "the size of a journal cannot be changed", "node %s: journal",
			a->name);
	if (strcmp(a->second_store, b->second_store))
		note(c, true,
			"a second copy of the images cannot come or go while the node has them",
			"node %s: second-store", a->name);
	if (strcmp(a->key, b->key))
		note(c, false,
			strcmp(b->former_key, a->key)
				? "what runs with its old key ends at once"
				: "both are good until former-key is taken out",
			"node %s: key", a->name);
	if (a->former_key[0] && strcmp(a->former_key, b->former_key))
		note(c, false, "what runs with it ends at once", "node %s: former-key: gone",
			a->name);
	if (b->former_key[0] && strcmp(a->former_key, b->former_key))
		note(c, false, "good beside its key", "node %s: former-key", a->name);
	if (!same_node_limits(a, b))
		note(c, false, "", "node %s: addresses or retain", a->name);
	if (strcmp(c->old->sites[a->site].name, c->new->sites[b->site].name))
		note(c, false, "for distances and budgets; nothing moves",
			"node %s: site %s instead of %s", a->name, c->new->sites[b->site].name,
			c->old->sites[a->site].name);
}

static void compare_nodes(struct comparison *c)
{
	for (unsigned i = 0; i < c->old->node_count; i++) {
		const struct dp_topo_node *a = &c->old->nodes[i];
		int n = dp_topology_node(c->new, a->name);
		if (n < 0)
			note(c, false,
				"nothing needs what it holds once this is applied: stop it, and clear its directory",
				"node %s: gone", a->name);
		else
			compare_node(c, a, &c->new->nodes[n]);
	}
	for (unsigned i = 0; i < c->new->node_count; i++)
		if (dp_topology_node(c->old, c->new->nodes[i].name) < 0)
			note(c, false, "start it, with this file", "node %s: new",
				c->new->nodes[i].name);
}

/* ---- legs ---- */

static const char *mirror_of(const struct dp_topology *t, const struct dp_topo_leg *leg)
{
	return t->nodes[leg->hops[leg->hop_count - 1]].name;
}

static const struct dp_topo_leg *same_leg(const struct dp_topology *in,
	const struct dp_topo_stream *s, const struct dp_topology *of, const struct dp_topo_leg *leg)
{
	for (unsigned i = 0; i < s->leg_count; i++)
		if (strcmp(s->legs[i].name, leg->name) == 0 &&
			strcmp(mirror_of(in, &s->legs[i]), mirror_of(of, leg)) == 0)
			return &s->legs[i];
	return NULL;
}

static bool same_way(const struct comparison *c, const struct dp_topo_leg *a,
	const struct dp_topo_leg *b)
{
	bool same = a->hop_count == b->hop_count;
	for (unsigned i = 0; same && i < a->hop_count; i++)
		same = strcmp(c->old->nodes[a->hops[i]].name, c->new->nodes[b->hops[i]].name) == 0;
	return same;
}

static void compare_legs(struct comparison *c, const struct dp_topo_stream *a,
	const struct dp_topo_stream *b)
{
	unsigned stay = 0;
	for (unsigned i = 0; i < a->leg_count; i++) {
		const struct dp_topo_leg *leg = &a->legs[i],
					 *now = same_leg(c->new, b, c->old, leg);
		stay += now != NULL;
		if (!now)
			note(c, false,
				"what its mirror has is set aside there, and is not kept up to date",
				"stream %s: leg %s to %s: gone", a->name, leg->name,
				mirror_of(c->old, leg));
		else if (!same_way(c, leg, now))
			note(c, false,
				"nothing is lost: the controller keeps what the mirror has not",
				"stream %s: leg %s takes another way", a->name, leg->name);
	}
	for (unsigned i = 0; i < b->leg_count; i++)
		if (!same_leg(c->old, a, c->new, &b->legs[i]))
			note(c, false,
				"it is filled from another copy, and counts when it has everything",
				"stream %s: leg %s to %s: new", a->name, b->legs[i].name,
				mirror_of(c->new, &b->legs[i]));
	if (!stay)
		note(c, true, "one leg at least has to stay as it is, to fill the others from",
			"stream %s: all legs", a->name);
}

/* ---- streams ---- */

/* Of the legs there are; all of them stays all of them. */
static bool same_number(const struct dp_topo_stream *a, unsigned of_a,
	const struct dp_topo_stream *b, unsigned of_b)
{
	return of_a == of_b || (of_a == a->leg_count && of_b == b->leg_count);
}

static bool same_policy(const struct dp_topo_stream *a, const struct dp_topo_stream *b)
{
	return a->ack_stage == b->ack_stage && a->flush == b->flush &&
		same_number(a, a->ack_legs, b, b->ack_legs) &&
		same_number(a, a->keep_serving, b, b->keep_serving);
}

static bool same_limits(const struct dp_topo_stream *a, const struct dp_topo_stream *b)
{
	return a->high_water == b->high_water && a->when_full == b->when_full &&
		a->resync_rate == b->resync_rate && a->read_cache_bytes == b->read_cache_bytes;
}

static void compare_stream(struct comparison *c, const struct dp_topo_stream *a,
	const struct dp_topo_stream *b)
{
	if (strcmp(c->old->nodes[a->controller].name, c->new->nodes[b->controller].name))
		note(c, true, "a stream goes to another controller by a takeover, not by its file",
			"stream %s: controller", a->name);
	if (a->journal_bytes != b->journal_bytes)
		note(c, true, "the size of a journal cannot be changed", "stream %s: journal size",
			a->name);
	if (a->seal != b->seal)
		note(c, true,
			"journals hold what was sealed as before: stop all nodes in good order first",
			"stream %s: seal", a->name)
			->may_at_start = true;
	if (a->local != b->local)
		note(c, true,
			"a controller's own images cannot come or go while the stream is in use",
			"stream %s: local", a->name);
	if (!same_policy(a, b))
		note(c, false,
			"from then on writes and flushes are answered by it; what was answered before stays safe",
			"stream %s: ack, flush or when-leg-down", a->name);
	if (!same_limits(a, b))
		note(c, false, "", "stream %s: limits", a->name);
	compare_legs(c, a, b);
}

static void compare_streams(struct comparison *c)
{
	for (unsigned i = 0; i < c->old->stream_count; i++) {
		const struct dp_topo_stream *a = &c->old->streams[i];
		int s = dp_topology_stream(c->new, a->name);
		if (s < 0)
			note(c, false,
				"its journals and images are set aside, under names that begin with gone",
				"stream %s: gone", a->name);
		else
			compare_stream(c, a, &c->new->streams[s]);
	}
	for (unsigned i = 0; i < c->new->stream_count; i++)
		if (dp_topology_stream(c->old, c->new->streams[i].name) < 0)
			note(c, false, "", "stream %s: new", c->new->streams[i].name);
}

/* ---- volumes ---- */

static void compare_volume(struct comparison *c, const struct dp_topo_volume *a,
	const struct dp_topo_volume *b)
{
	const char *from = c->old->streams[a->stream].name, *to = c->new->streams[b->stream].name;
	if (strcmp(from, to))
		note(c, true, "a volume cannot go from one stream to another",
			"volume %s: stream %s instead of %s", a->name, to, from);
	if (b->size < a->size)
		note(c, true, "a volume cannot become smaller",
			"volume %s: %" PRIu64 " bytes instead of %" PRIu64, a->name, b->size,
			a->size);
	if (b->size > a->size)
		note(c, false,
			"what is new reads as zeros; hosts see the size when they connect again",
			"volume %s: %" PRIu64 " bytes instead of %" PRIu64, a->name, b->size,
			a->size);
	if (a->skip_unchanged != b->skip_unchanged)
		note(c, false, "", "volume %s: skip-unchanged", a->name);
}

/* Those that stay stand in another order, within their streams. */
static bool in_another_order(const struct comparison *c)
{
	int before[DP_STREAMS_MAX];
	for (unsigned s = 0; s < c->new->stream_count; s++)
		before[s] = -1;
	for (unsigned i = 0; i < c->new->volume_count; i++) {
		int v = dp_topology_volume(c->old, c->new->volumes[i].name),
		    *last = &before[c->new->volumes[i].stream];
		if (v >= 0 && v < *last)
			return true;
		*last = v >= 0 ? v : *last;
	}
	return false;
}

static void compare_volumes(struct comparison *c)
{
	if (in_another_order(c))
		note(c, false,
			"not while images are being resynced; until all nodes have it, legs of nodes that have not are down",
			"volumes: another order");
	for (unsigned i = 0; i < c->old->volume_count; i++) {
		const struct dp_topo_volume *a = &c->old->volumes[i];
		int v = dp_topology_volume(c->new, a->name);
		if (v < 0)
			note(c, false, "its images are set aside, under names that begin with gone",
				"volume %s: gone", a->name);
		else
			compare_volume(c, a, &c->new->volumes[v]);
	}
	for (unsigned i = 0; i < c->new->volume_count; i++) {
		const struct dp_topo_volume *b = &c->new->volumes[i];
		if (dp_topology_volume(c->old, b->name) < 0)
			note(c, false, "zeros", "volume %s: new, %" PRIu64 " bytes", b->name,
				b->size);
	}
}

/* ---- links ---- */

static const struct dp_topo_link *same_link(const struct dp_topology *t,
	const struct dp_topology *in, const struct dp_topo_link *l)
{
	int a = dp_topology_node(in, t->nodes[l->a].name),
	    b = dp_topology_node(in, t->nodes[l->b].name);
	return a < 0 || b < 0 ? NULL : dp_topology_link(in, (unsigned)a, (unsigned)b);
}

static bool same_link_values(const struct dp_topo_link *a, const struct dp_topo_link *b)
{
	return a->distance_m == b->distance_m && a->round_trip_us == b->round_trip_us &&
		a->bandwidth_bits == b->bandwidth_bits && a->window_bytes == b->window_bytes &&
		a->rate_bits == b->rate_bits && memcmp(&a->send, &b->send, sizeof a->send) == 0 &&
		a->compress == b->compress && a->connections == b->connections &&
		memcmp(&a->heartbeat, &b->heartbeat, sizeof a->heartbeat) == 0;
}

static void compare_links(struct comparison *c)
{
	for (unsigned i = 0; i < c->old->link_count; i++) {
		const struct dp_topo_link *a = &c->old->links[i], *b = same_link(c->old, c->new, a);
		const char *from = c->old->nodes[a->a].name, *to = c->old->nodes[a->b].name;
		if (!b)
			note(c, false, "", "link %s, %s: gone", from, to);
		if (b && a->trusted != b->trusted)
			note(c, false,
				b->trusted
					? "what goes over it is neither encrypted nor signed any more"
					: "",
				"link %s, %s: trusted", from, to);
		if (b && !same_link_values(a, b))
			note(c, false, "", "link %s, %s: limits, hours, distance or heartbeats",
				from, to);
	}
	for (unsigned i = 0; i < c->new->link_count; i++) {
		const struct dp_topo_link *b = &c->new->links[i];
		if (!same_link(c->new, c->old, b))
			note(c, false,
				b->trusted ? "what goes over it is neither encrypted nor signed"
					   : "",
				"link %s, %s: new", c->new->nodes[b->a].name,
				c->new->nodes[b->b].name);
	}
}

/* ---- operators ---- */

static const struct dp_topo_operator *operator_in(const struct dp_topology *t, const char *name)
{
	for (unsigned i = 0; i < t->operator_count; i++)
		if (strcmp(t->operators[i].name, name) == 0)
			return &t->operators[i];
	return NULL;
}

static void compare_operators(struct comparison *c)
{
	for (unsigned i = 0; i < c->old->operator_count; i++) {
		const struct dp_topo_operator *a = &c->old->operators[i],
					      *b = operator_in(c->new, a->name);
		if (!b)
			note(c, false, "no node answers it any more", "operator %s: gone", a->name);
		if (b && strcmp(a->key, b->key))
			note(c, false, "no node answers the former one any more",
				"operator %s: key", a->name);
		if (b && a->role != b->role)
			note(c, false, "", "operator %s: %s instead of %s", a->name,
				dp_rights_name(b->role), dp_rights_name(a->role));
	}
	for (unsigned i = 0; i < c->new->operator_count; i++) {
		const struct dp_topo_operator *b = &c->new->operators[i];
		if (!operator_in(c->old, b->name))
			note(c, false, "", "operator %s: new, %s", b->name,
				dp_rights_name(b->role));
	}
}

void dp_topology_compare(const struct dp_topology *old, const struct dp_topology *new,
	struct dp_topo_changes *out)
{
	struct comparison c = {.old = old, .new = new, .out = out};
	*out = (struct dp_topo_changes){.count = 0};
	if (strcmp(old->name, new->name))
		note(&c, true, "this is the file of another deployment", "name: %s instead of %s",
			new->name, old->name);
	compare_nodes(&c);
	compare_streams(&c);
	compare_volumes(&c);
	compare_links(&c);
	compare_operators(&c);
}

const struct dp_topo_change *dp_topology_refused(const struct dp_topo_changes *changes,
	bool running)
{
	for (unsigned i = 0; i < changes->count; i++)
		if (changes->list[i].refused && (running || !changes->list[i].may_at_start))
			return &changes->list[i];
	return NULL;
}
