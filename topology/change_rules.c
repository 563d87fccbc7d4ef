/* SPDX-License-Identifier: MIT */
/* What a change of each key means: to add a key to the schema is to add its rules here, and its
 * sentence to dipole-topology(5). */
#include "topology/change_rules.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* ---- conditions ---- */

/* A difference that other keys tell: a file of another version is not read, links have the
 * heartbeats that they take from the file, another pair of nodes is another link. */
static bool counts_elsewhere(const struct dp_difference *d)
{
	(void)d;
	return false;
}

static bool has_moved(const struct dp_difference *d)
{
	const struct dp_site *a = d->before.object, *b = d->after.object;
	return a->has_position != b->has_position || a->latitude != b->latitude ||
		a->longitude != b->longitude;
}

static const char *site_name(const struct dp_change_side *s)
{
	const struct dp_topo_node *node = s->object;
	return s->t->sites[node->site].name;
}

static bool has_another_site(const struct dp_difference *d)
{
	return strcmp(site_name(&d->before), site_name(&d->after)) != 0;
}

static bool has_key(const struct dp_topo_node *node, const char *key)
{
	return strcmp(node->key, key) == 0 || strcmp(node->former_key, key) == 0;
}

static bool key_ends(const struct dp_difference *d)
{
	const struct dp_topo_node *a = d->before.object, *b = d->after.object;
	return a->key[0] && !has_key(b, a->key);
}

/* It goes on as the former one. */
static bool key_turns(const struct dp_difference *d)
{
	const struct dp_topo_node *a = d->before.object, *b = d->after.object;
	return a->key[0] && has_key(b, a->key);
}

static bool key_comes(const struct dp_difference *d)
{
	return !((const struct dp_topo_node *)d->before.object)->key[0];
}

static bool former_ends(const struct dp_difference *d)
{
	const struct dp_topo_node *a = d->before.object, *b = d->after.object;
	return a->former_key[0] && !has_key(b, a->former_key);
}

static bool former_comes(const struct dp_difference *d)
{
	return ((const struct dp_topo_node *)d->after.object)->former_key[0] != 0;
}

static bool had_a_key(const struct dp_difference *d)
{
	return ((const struct dp_topo_node *)d->before.object)->key[0] != 0;
}

static bool has_a_key(const struct dp_difference *d)
{
	return ((const struct dp_topo_node *)d->after.object)->key[0] != 0;
}

static bool is_listened_at(const struct dp_difference *d)
{
	return ((const struct dp_topo_node *)d->after.object)->role != DP_ROLE_CONTROLLER;
}

static bool link_is_trusted(const struct dp_difference *d)
{
	return ((const struct dp_topo_link *)d->after.object)->trusted;
}

static bool link_is_not_trusted(const struct dp_difference *d)
{
	return !link_is_trusted(d);
}

static bool size_grows(const struct dp_difference *d)
{
	const struct dp_topo_volume *a = d->before.object, *b = d->after.object;
	return b->size > a->size;
}

static bool size_shrinks(const struct dp_difference *d)
{
	return !size_grows(d);
}

static const char *stream_name(const struct dp_change_side *s)
{
	return s->stream->name;
}

static bool has_another_stream(const struct dp_difference *d)
{
	return strcmp(stream_name(&d->before), stream_name(&d->after)) != 0;
}

static const char *controller_name(const struct dp_change_side *s)
{
	return s->t->nodes[s->stream->controller].name;
}

static bool has_another_controller(const struct dp_difference *d)
{
	return strcmp(controller_name(&d->before), controller_name(&d->after)) != 0;
}

/* ---- legs ---- */

static const char *hop_name(const struct dp_change_side *leg, unsigned hop)
{
	const struct dp_topo_leg *l = leg->object;
	return leg->t->nodes[l->hops[hop]].name;
}

static const char *mirror_name(const struct dp_change_side *leg)
{
	return hop_name(leg, ((const struct dp_topo_leg *)leg->object)->hop_count - 1);
}

static bool has_another_way(const struct dp_difference *d)
{
	const struct dp_topo_leg *a = d->before.object, *b = d->after.object;
	bool same = a->hop_count == b->hop_count;
	for (unsigned i = 0; same && i < a->hop_count; i++)
		same = strcmp(hop_name(&d->before, i), hop_name(&d->after, i)) == 0;
	return !same;
}

/* Whether a leg stays; with `same_first`, also with the same first node. */
static bool some_leg_stays(const struct dp_difference *d, bool same_first)
{
	const struct dp_topo_stream *a = d->before.stream, *b = d->after.stream;
	for (unsigned i = 0; i < a->leg_count; i++)
		for (unsigned k = 0; k < b->leg_count; k++) {
			struct dp_change_side was = {d->before.t, &a->legs[i], a},
					      is = {d->after.t, &b->legs[k], b};
			if (dp_change_is_same(DP_OF_LEG, &was, &is) &&
				(!same_first || strcmp(hop_name(&was, 0), hop_name(&is, 0)) == 0))
				return true;
		}
	return false;
}

static bool no_leg_stays(const struct dp_difference *d)
{
	return !some_leg_stays(d, false);
}

/* What a first node has acknowledged may be nowhere else yet. */
static bool all_ways_are_new(const struct dp_difference *d)
{
	return !some_leg_stays(d, true);
}

/* ---- words ---- */

static void put_instead(char *to, size_t size, const char *what, const char *after,
	const char *before)
{
	snprintf(to, size, "%s%s instead of %s", what, after, before);
}

static void say_name(const struct dp_difference *d, char *to, size_t size)
{
	put_instead(to, size, "name: ", d->after.t->name, d->before.t->name);
}

static void say_role(const struct dp_difference *d, char *to, size_t size)
{
	const struct dp_topo_node *a = d->before.object, *b = d->after.object;
	put_instead(to, size, "", dp_role_name(b->role), dp_role_name(a->role));
}

static void say_site(const struct dp_difference *d, char *to, size_t size)
{
	put_instead(to, size, "site ", site_name(&d->after), site_name(&d->before));
}

static void say_volume_stream(const struct dp_difference *d, char *to, size_t size)
{
	put_instead(to, size, "stream ", stream_name(&d->after), stream_name(&d->before));
}

static void say_size(const struct dp_difference *d, char *to, size_t size)
{
	const struct dp_topo_volume *a = d->before.object, *b = d->after.object;
	snprintf(to, size, "%" PRIu64 " bytes instead of %" PRIu64, b->size, a->size);
}

static void say_new_size(const struct dp_difference *d, char *to, size_t size)
{
	const struct dp_topo_volume *b = d->after.object;
	snprintf(to, size, "new, %" PRIu64 " bytes", b->size);
}

static void say_leg_new(const struct dp_difference *d, char *to, size_t size)
{
	snprintf(to, size, "to %s: new", mirror_name(&d->after));
}

static void say_leg_gone(const struct dp_difference *d, char *to, size_t size)
{
	snprintf(to, size, "to %s: gone", mirror_name(&d->before));
}

static void say_rights(const struct dp_difference *d, char *to, size_t size)
{
	const struct dp_topo_operator *a = d->before.object, *b = d->after.object;
	put_instead(to, size, "", dp_rights_name(b->role), dp_rights_name(a->role));
}

static void say_new_rights(const struct dp_difference *d, char *to, size_t size)
{
	const struct dp_topo_operator *b = d->after.object;
	snprintf(to, size, "new, %s", dp_rights_name(b->role));
}

#define POLICY "ack, flush or when-leg-down"

static void say_policy(bool all, char *to, size_t size)
{
	snprintf(to, size, "%s", all ? "" : POLICY);
}

/* All legs stay all legs, whatever their number: nobody has changed the policy. */
static void say_ack_legs(const struct dp_difference *d, char *to, size_t size)
{
	const struct dp_topo_stream *a = d->before.object, *b = d->after.object;
	say_policy(a->ack_legs == a->leg_count && b->ack_legs == b->leg_count, to, size);
}

static void say_keep_serving(const struct dp_difference *d, char *to, size_t size)
{
	const struct dp_topo_stream *a = d->before.object, *b = d->after.object;
	say_policy(a->keep_serving == a->leg_count && b->keep_serving == b->leg_count, to, size);
}

/* ---- the table ---- */

#define MEMBER(type, member)                                                                       \
	.offset = offsetof(struct type, member), .size = sizeof((struct type *)NULL)->member
#define NODE(member)     MEMBER(dp_topo_node, member)
#define LINK(member)     MEMBER(dp_topo_link, member)
#define STREAM(member)   MEMBER(dp_topo_stream, member)
#define VOLUME(member)   MEMBER(dp_topo_volume, member)
#define OPERATOR(member) MEMBER(dp_topo_operator, member)

#define FOR_DISTANCES "for distances and budgets; nothing moves"
#define NO_JOURNAL    "the size of a journal cannot be changed"
#define NODE_LIMITS   "addresses or retain"
#define LINK_LIMITS   "limits, hours, distance or heartbeats"
#define IS_SAFE                                                                                    \
	"from then on writes and flushes are answered by it; what was answered before stays safe"
/* What one node says of it. */
#define HERE_KEYS      "keys of nodes"
#define HERE_LISTEN    "the node's own address, or whether links to it are trusted"
#define HERE_PEER      "address or key of "
#define HERE_FORMER    "former key of "
#define HERE_TRUSTED   "whether the link is trusted to "
#define HERE_BEATS     "heartbeats with "
#define HERE_STREAMS   "the streams"
#define HERE_STREAM    "legs, volumes or policies of stream "
#define HERE_LIMITS    "limits of stream "
#define HERE_OPERATORS "operators"

const struct dp_change_rule dp_change_rules[] = {
	/* ---- the file ---- */
	{"dipole", DP_OF_FILE, DP_CHANGE_NEVER, .when = counts_elsewhere, .here = ""},
	{"name", DP_OF_FILE, DP_CHANGE_NEVER, MEMBER(dp_topology, name), .say = say_name,
		.means = "this is the file of another deployment"},
	{"heartbeat.interval", DP_OF_FILE, DP_CHANGE_LIVE, DP_WHOM_ENDS, .when = counts_elsewhere,
		.condition = "where the link has none of its own", .here = ""},
	{"heartbeat.down-after", DP_OF_FILE, DP_CHANGE_LIVE, DP_WHOM_ENDS, .when = counts_elsewhere,
		.condition = "where the link has none of its own", .here = ""},
	{"heartbeat.probation", DP_OF_FILE, DP_CHANGE_LIVE, DP_WHOM_ENDS, .when = counts_elsewhere,
		.condition = "where the link has none of its own", .here = ""},

	/* ---- sites: at a link, `distance` is what their coordinates make of it ---- */
	{"sites", DP_OF_SITE, DP_CHANGE_TEXT, .event = DP_COMES, .what = "new",
		.means = FOR_DISTANCES},
	{"sites", DP_OF_SITE, DP_CHANGE_TEXT, .event = DP_GOES, .what = "gone",
		.means = FOR_DISTANCES},
	{"sites.at", DP_OF_SITE, DP_CHANGE_TEXT, .when = has_moved, .what = "at",
		.means = FOR_DISTANCES},

	/* ---- nodes ---- */
	{"nodes", DP_OF_NODE, DP_CHANGE_TEXT, .event = DP_GOES, .what = "gone",
		.means = "nothing needs what it holds once this is applied: stop it, and clear its "
			 "directory"},
	{"nodes", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ALL, .event = DP_GOES, .when = had_a_key,
		.condition = "if it had a key", .here = HERE_KEYS},
	{"nodes", DP_OF_NODE, DP_CHANGE_TEXT, .event = DP_COMES, .what = "new",
		.means = "start it, with this file"},
	{"nodes", DP_OF_NODE, DP_CHANGE_LIVE, DP_WHOM_ALL, .event = DP_COMES, .when = has_a_key,
		.condition = "if it has a key", .here = HERE_KEYS},
	{"nodes.role", DP_OF_NODE, DP_CHANGE_NEVER, NODE(role), .say = say_role,
		.means = "a node cannot take another role: add one of another name"},
	{"nodes.journal", DP_OF_NODE, DP_CHANGE_NEVER, NODE(journal_bytes), .what = "journal",
		.means = NO_JOURNAL},
	{"nodes.second-store", DP_OF_NODE, DP_CHANGE_NEVER, NODE(second_store),
		.what = "second-store",
		.means = "a second copy of the images cannot come or go while the node has them"},
	{"nodes.key", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ALL, NODE(key), .when = key_ends,
		.condition = "if there was one, and former-key does not keep it", .what = "key",
		.means = "what runs with its old key ends at once", .here = HERE_PEER},
	{"nodes.key", DP_OF_NODE, DP_CHANGE_LIVE, DP_WHOM_ALL, NODE(key), .when = key_turns,
		.condition = "if former-key keeps it", .what = "key",
		.means = "both are good until former-key is taken out", .here = HERE_PEER},
	{"nodes.key", DP_OF_NODE, DP_CHANGE_LIVE, DP_WHOM_ALL, NODE(key), .when = key_comes,
		.condition = "if there was none", .what = "key", .here = HERE_PEER},
	/* Which of its keys a node uses its own files say (daemon.c). */
	{"nodes.key", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ITSELF, .when = counts_elsewhere,
		.condition = "when it turns to it", .here = ""},
	{"nodes.former-key", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ALL, NODE(former_key),
		.when = former_ends, .condition = "if it goes", .what = "former-key: gone",
		.means = "what runs with it ends at once", .here = HERE_FORMER},
	{"nodes.former-key", DP_OF_NODE, DP_CHANGE_LIVE, DP_WHOM_ALL, NODE(former_key),
		.when = former_comes, .condition = "if it comes", .what = "former-key",
		.means = "good beside its key", .here = HERE_FORMER},
	{"nodes.former-key", DP_OF_NODE, DP_CHANGE_LIVE, DP_WHOM_NEIGHBOURS, DP_WORK_HEARTBEATS,
		NODE(former_key), .here = HERE_FORMER},
	{"nodes.former-key", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_OPENERS, NODE(former_key),
		.here = HERE_FORMER},
	{"nodes.listen", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ITSELF, NODE(listen),
		.when = is_listened_at, .condition = "if it is no controller", .what = NODE_LIMITS,
		.here = HERE_LISTEN},
	{"nodes.listen", DP_OF_NODE, DP_CHANGE_LIVE, DP_WHOM_SENDERS, DP_WORK_CONNECT, NODE(listen),
		.what = NODE_LIMITS, .here = HERE_PEER},
	{"nodes.metrics", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ITSELF, NODE(metrics),
		.what = NODE_LIMITS, .here = "the address of the metrics"},
	{"nodes.control", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ITSELF, NODE(control),
		.what = NODE_LIMITS, .here = "the address for operators"},
	{"nodes.retain", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_ITSELF, NODE(retain),
		.what = NODE_LIMITS, .here = "how long records are retained"},
	{"nodes.site", DP_OF_NODE, DP_CHANGE_TEXT, .when = has_another_site, .say = say_site,
		.means = FOR_DISTANCES},
	{"nodes.site", DP_OF_NODE, DP_CHANGE_RESTART, DP_WHOM_NEAR, .when = has_another_site,
		.condition = "if it then stands at their site, or no longer",
		.here = "the next nodes at the own site"},

	/* ---- streams ---- */
	{"streams", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_ORDER, .event = DP_IS_REORDERED,
		.what = "streams: another order", .here = HERE_STREAMS},
	{"streams", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_STREAM, .event = DP_GOES,
		.what = "gone",
		.means = "its journals and images are set aside, under names that begin with gone",
		.here = HERE_STREAMS},
	{"streams", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_STREAM, .event = DP_COMES,
		.what = "new", .here = HERE_STREAMS},
	{"streams.controller", DP_OF_STREAM, DP_CHANGE_NEVER, .when = has_another_controller,
		.what = "controller",
		.means = "a stream goes to another controller by a takeover, not by its file"},
	{"streams.journal.size", DP_OF_STREAM, DP_CHANGE_NEVER, STREAM(journal_bytes),
		.what = "journal size", .means = NO_JOURNAL},
	{"streams.seal", DP_OF_STREAM, DP_CHANGE_AT_START, STREAM(seal), .what = "seal",
		.means = "journals hold what was sealed as before: stop all nodes in good order "
			 "first"},
	{"streams.local", DP_OF_STREAM, DP_CHANGE_NEVER, STREAM(local), .what = "local",
		.means = "a controller's own images cannot come or go while the stream is in use"},
	{"streams.ack.stage", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_STREAM, STREAM(ack_stage),
		.what = POLICY, .means = IS_SAFE, .here = HERE_STREAM},
	{"streams.ack.legs", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_STREAM, STREAM(ack_legs),
		.say = say_ack_legs, .means = IS_SAFE, .here = HERE_STREAM},
	{"streams.flush", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_STREAM, STREAM(flush),
		.what = POLICY, .means = IS_SAFE, .here = HERE_STREAM},
	{"streams.when-leg-down.keep-serving", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_STREAM,
		STREAM(keep_serving), .say = say_keep_serving, .means = IS_SAFE,
		.here = HERE_STREAM},
	{"streams.journal.high-water", DP_OF_STREAM, DP_CHANGE_LIVE, DP_WHOM_STREAM,
		STREAM(high_water), .what = "limits", .here = HERE_LIMITS},
	{"streams.journal.when-full", DP_OF_STREAM, DP_CHANGE_LIVE, DP_WHOM_CONTROLLER,
		STREAM(when_full), .what = "limits", .here = HERE_LIMITS},
	{"streams.resync-rate", DP_OF_STREAM, DP_CHANGE_LIVE, DP_WHOM_STREAM, STREAM(resync_rate),
		.what = "limits", .here = HERE_LIMITS},
	{"streams.read-cache", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_CONTROLLER,
		STREAM(read_cache_bytes), .what = "limits", .here = "read cache of stream "},

	/* ---- legs ---- */
	{"streams.legs", DP_OF_LEG, DP_CHANGE_RESTART, DP_WHOM_PLACES, .event = DP_IS_REORDERED,
		.what = "legs in another order", .here = HERE_STREAM},
	{"streams.legs", DP_OF_LEG, DP_CHANGE_RESTART, DP_WHOM_PLACES, .event = DP_GOES,
		.say = say_leg_gone,
		.means = "what its mirror has is set aside there, and is not kept up to date",
		.here = HERE_STREAM},
	{"streams.legs", DP_OF_LEG, DP_CHANGE_RESTART, DP_WHOM_PLACES, .when = has_another_way,
		.what = "takes another way",
		.means = "nothing is lost: the controller keeps what the mirror has not",
		.here = HERE_STREAM},
	{"streams.legs", DP_OF_LEG, DP_CHANGE_RESTART, DP_WHOM_PLACES, .event = DP_COMES,
		.say = say_leg_new,
		.means = "it is filled from another copy, and counts when it has everything",
		.here = HERE_STREAM},
	{"streams.legs", DP_OF_STREAM, DP_CHANGE_NEVER, .when = no_leg_stays,
		.condition = "if none stays", .what = "all legs",
		.means = "one leg at least has to stay as it is, to fill the others from"},
	{"streams.legs", DP_OF_STREAM, DP_CHANGE_RESTART, DP_WHOM_CONTROLLER, DP_WORK_ALL_WAYS,
		.when = all_ways_are_new, .condition = "if each begins at another node",
		.here = ""},

	/* ---- volumes ---- */
	{"volumes", DP_OF_VOLUME, DP_CHANGE_RESTART, DP_WHOM_STREAM, DP_WORK_VOLUMES,
		.event = DP_IS_REORDERED, .what = "volumes: another order",
		.means = "not while images are being resynced; until all nodes have it, legs of "
			 "nodes that have not are down",
		.here = HERE_STREAM},
	{"volumes", DP_OF_VOLUME, DP_CHANGE_RESTART, DP_WHOM_STREAM, DP_WORK_VOLUME_GONE,
		.event = DP_GOES, .what = "gone",
		.means = "its images are set aside, under names that begin with gone",
		.here = HERE_STREAM},
	{"volumes", DP_OF_VOLUME, DP_CHANGE_RESTART, DP_WHOM_STREAM, DP_WORK_VOLUME_NEW,
		.event = DP_COMES, .say = say_new_size, .means = "zeros", .here = HERE_STREAM},
	{"volumes.stream", DP_OF_VOLUME, DP_CHANGE_NEVER, .when = has_another_stream,
		.say = say_volume_stream, .means = "a volume cannot go from one stream to another"},
	{"volumes.size", DP_OF_VOLUME, DP_CHANGE_NEVER, VOLUME(size), .when = size_shrinks,
		.condition = "if it is smaller", .say = say_size,
		.means = "a volume cannot become smaller"},
	{"volumes.size", DP_OF_VOLUME, DP_CHANGE_RESTART, DP_WHOM_STREAM, DP_WORK_VOLUME_GROWS,
		VOLUME(size), .when = size_grows, .condition = "if it is larger", .say = say_size,
		.means = "what is new reads as zeros; hosts see the size when they connect again",
		.here = HERE_STREAM},
	{"volumes.skip-unchanged", DP_OF_VOLUME, DP_CHANGE_LIVE, DP_WHOM_STREAM,
		VOLUME(skip_unchanged), .what = "skip-unchanged", .here = HERE_LIMITS},

	/* ---- links: the legs say which are in use ---- */
	{"links", DP_OF_LINK, DP_CHANGE_TEXT, .event = DP_GOES, .what = "gone"},
	{"links", DP_OF_LINK, DP_CHANGE_TEXT, .event = DP_COMES, .when = link_is_trusted,
		.what = "new", .means = "what goes over it is neither encrypted nor signed"},
	{"links", DP_OF_LINK, DP_CHANGE_TEXT, .event = DP_COMES, .when = link_is_not_trusted,
		.what = "new"},
	{"links.between", DP_OF_LINK, DP_CHANGE_TEXT, .when = counts_elsewhere, .here = ""},
	{"links.trusted", DP_OF_LINK, DP_CHANGE_RESTART, DP_WHOM_ENDS, LINK(trusted),
		.when = link_is_trusted, .what = "trusted",
		.means = "what goes over it is neither encrypted nor signed any more",
		.here = HERE_TRUSTED},
	{"links.trusted", DP_OF_LINK, DP_CHANGE_RESTART, DP_WHOM_ENDS, LINK(trusted),
		.when = link_is_not_trusted, .what = "trusted", .here = HERE_TRUSTED},
	{"links.distance", DP_OF_LINK, DP_CHANGE_TEXT, LINK(distance_m), .what = LINK_LIMITS},
	{"links.distance", DP_OF_LINK, DP_CHANGE_RESTART, DP_WHOM_READERS, LINK(distance_m),
		.condition = "if they then read from another leg first",
		.here = "the order of legs to read from"},
	{"links.round-trip", DP_OF_LINK, DP_CHANGE_TEXT, LINK(round_trip_us), .what = LINK_LIMITS},
	{"links.bandwidth", DP_OF_LINK, DP_CHANGE_TEXT, LINK(bandwidth_bits), .what = LINK_LIMITS},
	{"links.window", DP_OF_LINK, DP_CHANGE_RESTART, DP_WHOM_SENDER, LINK(window_bytes),
		.what = LINK_LIMITS, .here = "window of what is sent to "},
	{"links.rate", DP_OF_LINK, DP_CHANGE_LIVE, DP_WHOM_SENDER, LINK(rate_bits),
		.what = LINK_LIMITS, .here = "rate of what is sent to "},
	{"links.send", DP_OF_LINK, DP_CHANGE_LIVE, DP_WHOM_SENDER, LINK(send), .what = LINK_LIMITS,
		.here = "hours of sending to "},
	{"links.compress", DP_OF_LINK, DP_CHANGE_LIVE, DP_WHOM_SENDER, LINK(compress),
		.what = LINK_LIMITS, .here = "compression of what is sent to "},
	{"links.connections", DP_OF_LINK, DP_CHANGE_TEXT, LINK(connections), .what = LINK_LIMITS},
	{"links.connections", DP_OF_LINK, DP_CHANGE_RESTART, DP_WHOM_SPREAD, LINK(connections),
		.condition = "if streams get another connection", .here = "connections of streams"},
	{"links.heartbeat.interval", DP_OF_LINK, DP_CHANGE_LIVE, DP_WHOM_ENDS, DP_WORK_HEARTBEATS,
		LINK(heartbeat.interval_us), .what = LINK_LIMITS, .here = HERE_BEATS},
	{"links.heartbeat.down-after", DP_OF_LINK, DP_CHANGE_LIVE, DP_WHOM_ENDS, DP_WORK_HEARTBEATS,
		LINK(heartbeat.down_after_us), .what = LINK_LIMITS, .here = HERE_BEATS},
	{"links.heartbeat.probation", DP_OF_LINK, DP_CHANGE_LIVE, DP_WHOM_ENDS, DP_WORK_HEARTBEATS,
		LINK(heartbeat.probation_us), .what = LINK_LIMITS, .here = HERE_BEATS},

	/* ---- operators: who is one no more is out at once ---- */
	{"operators", DP_OF_OPERATOR, DP_CHANGE_RESTART, DP_WHOM_ALL, .event = DP_IS_REORDERED,
		.what = "operators: another order", .here = HERE_OPERATORS},
	{"operators", DP_OF_OPERATOR, DP_CHANGE_RESTART, DP_WHOM_ALL, .event = DP_GOES,
		.what = "gone", .means = "no node answers it any more", .here = HERE_OPERATORS},
	{"operators", DP_OF_OPERATOR, DP_CHANGE_RESTART, DP_WHOM_ALL, .event = DP_COMES,
		.say = say_new_rights, .here = HERE_OPERATORS},
	{"operators.key", DP_OF_OPERATOR, DP_CHANGE_RESTART, DP_WHOM_ALL, OPERATOR(key),
		.what = "key", .means = "no node answers the former one any more",
		.here = HERE_OPERATORS},
	{"operators.role", DP_OF_OPERATOR, DP_CHANGE_RESTART, DP_WHOM_ALL, OPERATOR(role),
		.say = say_rights, .here = HERE_OPERATORS},
	{.key = NULL},
};
