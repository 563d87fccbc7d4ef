/* SPDX-License-Identifier: MIT */
/* What a changed topology makes a node do, beside the configurations that it had and gets: the list
 * has all that differs between them, and no more. */
#include <criterion/criterion.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "daemon/daemon.h"

#define NODES 7

/* Configurations are large: those of the deployment as it is are made once. */
static struct dp_topology *base, *before, *after;
static struct dp_node_config *base_cfg[NODES], *cfg, *head;
static struct dp_node_changes *changes;

/* False: the node is not there, or cannot run with it. */
static bool fill(const struct dp_topology *t, const char *name, struct dp_node_config *to)
{
	char why[256];
	int i = dp_topology_node(t, name);
	memset(to, 0, sizeof *to);
	return i >= 0 && dp_node_config_fill(t, (unsigned)i, to, why, sizeof why) == 0;
}

static void set_up(void)
{
	base = before = changes_parse(changes_before);
	cr_assert_eq(base->node_count, NODES);
	cfg = malloc(sizeof *cfg);
	head = malloc(sizeof *head);
	changes = malloc(sizeof *changes);
	for (unsigned i = 0; i < NODES; i++) {
		base_cfg[i] = malloc(sizeof *cfg);
		if (!fill(base, base->nodes[i].name, base_cfg[i])) {
			free(base_cfg[i]);
			base_cfg[i] = NULL;
		}
	}
}

static void tear_down(void)
{
	dp_topology_destroy(&base);
	dp_topology_destroy(&after);
	for (unsigned i = 0; i < NODES; i++)
		free(base_cfg[i]);
	free(cfg);
	free(head);
	free(changes);
}

/* The marks are for the start; here they would only be in the way. */
static void forget_marks(struct dp_node_config *c)
{
	memset(c->gone, 0, c->gone_count * sizeof c->gone[0]);
	c->gone_count = 0;
	for (unsigned i = 0; i < c->stream_count; i++) {
		c->streams[i].volumes_changed = c->streams[i].all_ways_new = false;
		for (unsigned v = 0; v < c->streams[i].volume_count; v++)
			c->streams[i].volumes[v].is_new = c->streams[i].volumes[v].grown = false;
	}
}

/* ---- the list ---- */

static bool keys_stay(const struct dp_node_config *was, const struct dp_node_config *is)
{
	for (unsigned i = 0; i < was->key_count; i++) {
		bool stays = false;
		for (unsigned k = 0; k < is->key_count && !stays; k++)
			stays = memcmp(&was->keys[i], &is->keys[k], sizeof was->keys[i]) == 0;
		if (!stays)
			return false;
	}
	return true;
}

/* What a node puts into place (reload.c) is made equal. */
static void even_out_link(const struct dp_link_config *from, struct dp_link_config *to)
{
	if ((from->key[0] != 0) == (to->key[0] != 0))
		memcpy(to->key, from->key, sizeof to->key);
	memcpy(to->former_key, from->former_key, sizeof to->former_key);
	memcpy(to->address, from->address, sizeof to->address);
	to->health = from->health;
	to->hours = from->hours;
	to->compress = from->compress;
}

static void even_out_stream(const struct dp_node_stream *from, struct dp_node_stream *to)
{
	to->resync_rate = from->resync_rate;
	to->core.high_room = from->core.high_room;
	to->core.track = from->core.track;
	memcpy(to->core.link_rate, from->core.link_rate, sizeof to->core.link_rate);
	for (unsigned i = 0; i < to->volume_count; i++)
		to->volumes[i].skip_unchanged = from->volumes[i].skip_unchanged;
}

static bool streams_differ(const struct dp_node_config *was, const struct dp_node_config *is,
	bool live_too)
{
	bool same = was->stream_count == is->stream_count;
	for (unsigned i = 0; same && i < was->stream_count; i++) {
		struct dp_node_stream s = is->streams[i];
		if (!live_too)
			even_out_stream(&was->streams[i], &s);
		same = memcmp(&was->streams[i], &s, sizeof s) == 0;
	}
	return !same;
}

/* All that stands before the streams; its own key, which its files tell, is left out. */
static bool heads_differ(const struct dp_node_config *was, const struct dp_node_config *is,
	bool live_too)
{
	size_t size = offsetof(struct dp_node_config, streams);
	memcpy(head, is, size);
	memcpy(head->keys, was->keys, sizeof was->keys); /* their order means nothing */
	memcpy(head->public_key, was->public_key, sizeof was->public_key);
	if (!live_too) {
		head->key_count = was->key_count;
		for (unsigned i = 0; i < was->link_count; i++)
			even_out_link(&was->links[i], &head->links[i]);
		for (unsigned i = 0; i < was->above_count; i++)
			even_out_link(&was->above[i], &head->above[i]);
	}
	return memcmp(was, head, size) != 0;
}

static bool has_moved(const struct dp_link_config *a, const struct dp_link_config *b)
{
	return strcmp(a->address, b->address) ||
		(strcmp(a->key, b->key) && strcmp(a->key, b->former_key));
}

static bool heartbeats_differ(const struct dp_link_config *a, const struct dp_link_config *b)
{
	return has_moved(a, b) || strcmp(a->former_key, b->former_key) ||
		memcmp(&a->health, &b->health, sizeof a->health);
}

static void check_live(const char *what, const struct dp_node_config *was,
	const struct dp_node_config *is)
{
	bool heartbeats = false;
	for (unsigned i = 0; i < was->link_count; i++) {
		cr_assert_eq(changes->links[i], has_moved(&was->links[i], &is->links[i]),
			"%s: link %u", what, i);
		heartbeats = heartbeats || heartbeats_differ(&was->links[i], &is->links[i]);
	}
	for (unsigned i = 0; i < was->above_count; i++)
		heartbeats = heartbeats || heartbeats_differ(&was->above[i], &is->above[i]);
	cr_assert_eq(changes->heartbeats, heartbeats, "%s: heartbeats", what);
	bool differ = heads_differ(was, is, true) || streams_differ(was, is, true);
	cr_assert(!differ || changes->count, "%s: nothing is said", what);
}

static void check_list(const char *what, const char *node, const struct dp_node_config *was,
	struct dp_node_config *is)
{
	char at[256];
	snprintf(at, sizeof at, "%s, at %s", what, node);
	memset(changes, 0, sizeof *changes);
	dp_node_config_compare(before, after, is, changes);
	forget_marks(is);
	bool restart = !keys_stay(was, is) || heads_differ(was, is, false) ||
		streams_differ(was, is, false);
	cr_assert_eq(changes->restart, restart, "%s: restart %d", at, changes->restart);
	cr_assert(!restart || changes->count, "%s: nothing is said", at);
	if (!restart)
		check_live(at, was, is);
}

/* The changes, and back. */
static void check_cases(const struct change_case *a, const struct change_case *b)
{
	static struct dp_topo_changes there, back;
	char what[128];
	struct dp_topology *other = changes_apply(a, b);
	if (!other)
		return;
	dp_topology_compare(base, other, &there);
	dp_topology_compare(other, base, &back);
	snprintf(what, sizeof what, "%s (%s), %s (%s)", a->key, a->lines, b ? b->key : "",
		b ? b->lines : "");
	for (unsigned i = 0; i < NODES; i++) {
		const char *node = base->nodes[i].name;
		if (!base_cfg[i] || (there.refused && back.refused) || !fill(other, node, cfg))
			continue;
		before = base, after = other;
		if (!there.refused)
			check_list(what, node, base_cfg[i], cfg);
		before = other, after = base;
		if (!back.refused)
			check_list(what, node, cfg, base_cfg[i]);
	}
	before = base, after = NULL;
	dp_topology_destroy(&other);
}

Test(node_change, has_what_differs, .init = set_up, .fini = tear_down)
{
	for (unsigned i = 0; i < change_case_count; i++)
		check_cases(&change_cases[i], NULL);
}

/* One change may hide another, or make it one. */
Test(node_change, has_what_differs_by_two_changes, .init = set_up, .fini = tear_down)
{
	for (unsigned i = 0; i < change_case_count; i++)
		for (unsigned k = i % 13; k < change_case_count; k += 13)
			if (k != i)
				check_cases(&change_cases[i], &change_cases[k]);
}

/* ---- marks ---- */

static void change(const char *find, const char *by, const char *find_too, const char *by_too)
{
	struct change_case c = {.edits = {find, by, find_too, by_too}};
	after = changes_apply(&c, NULL);
	cr_assert_not_null(after);
}

/* "mail volumes, post new, log gone": in the order of the file, then what is gone. */
static const char *marks_at(const char *node)
{
	static char text[1024];
	size_t used = 0;
	cr_assert(fill(after, node, cfg), "%s", node);
	dp_node_config_compare(before, after, cfg, NULL);
	text[0] = '\0';
	for (unsigned i = 0; i < cfg->stream_count; i++) {
		const struct dp_node_stream *s = &cfg->streams[i];
		used += (size_t)sprintf(text + used, "%s%s%s%s", s->volumes_changed ? s->name : "",
			s->volumes_changed ? " volumes, " : "", s->all_ways_new ? s->name : "",
			s->all_ways_new ? " ways, " : "");
		for (unsigned v = 0; v < s->volume_count; v++)
			if (s->volumes[v].is_new || s->volumes[v].grown)
				used += (size_t)sprintf(text + used, "%s%s%s, ", s->volumes[v].name,
					s->volumes[v].is_new ? " new" : "",
					s->volumes[v].grown ? " grown" : "");
	}
	for (unsigned i = 0; i < cfg->gone_count; i++)
		used += (size_t)sprintf(text + used, "%s%s gone, ",
			cfg->gone[i].stream ? "stream " : "", cfg->gone[i].name);
	text[used ? used - 2 : 0] = '\0';
	return text;
}

static void check_marks(const char *node, const char *expected)
{
	cr_assert_str_eq(marks_at(node), expected, "%s: %s", node, marks_at(node));
}

Test(node_change, volumes_come_and_grow, .init = set_up, .fini = tear_down)
{
	change("volumes:\n", "volumes:\n  more: {stream: mail, size: 1MiB}\n", "size: 8MiB",
		"size: 16MiB");
	check_marks("nwk", "orders volumes, data grown, mail volumes, more new");
	check_marks("east", "orders volumes, data grown");
	check_marks("south", "mail volumes, more new");
}

Test(node_change, volumes_go_and_change_places, .init = set_up, .fini = tear_down)
{
	change("  post: {stream: mail, size: 4MiB}\n", "", "  log:  {stream: orders, size: 1MiB}\n",
		"");
	check_marks("west", "orders volumes, mail volumes, log gone, post gone");
	dp_topology_destroy(&after);
	change("data: {stream: orders, size: 8MiB}\n  log:  {stream: orders, size: 1MiB}",
		"log: {stream: orders, size: 1MiB}\n  data: {stream: orders, size: 8MiB}", NULL,
		NULL);
	check_marks("west", "orders volumes");
	check_marks("south", "");
}

Test(node_change, a_stream_goes_here_or_everywhere, .init = set_up, .fini = tear_down)
{
	change("mail:\n    controller: nwk\n    legs: {w: [relay, west], ",
		"mail:\n    controller: nwk\n    legs: {", NULL, NULL);
	check_marks("west", "stream mail gone, post gone");
	check_marks("nwk", "");
	dp_topology_destroy(&after);
	change("streams:\n  orders:\n    controller: nwk\n    legs: {w: [relay, west], e: [east]}\n"
	       "    seal: chacha20-poly1305\n",
		"streams:\n",
		"  data: {stream: orders, size: 8MiB}\n  log:  {stream: orders, size: 1MiB}\n", "");
	check_marks("west", "stream orders gone, data gone, log gone");
}

/* Its images are made with its journal; nobody has an earlier one. */
Test(node_change, volumes_of_a_stream_that_comes_are_not_new, .init = set_up, .fini = tear_down)
{
	change("s: [south]", "s: [south], e: [free, east]", "volumes:\n",
		"volumes:\n  more: {stream: mail, size: 1MiB}\n");
	check_marks("east", "");
	check_marks("south", "mail volumes, more new");
}

Test(node_change, all_ways_are_new, .init = set_up, .fini = tear_down)
{
	static const char
		links[] = "links:\n  - {between: [free, west]}\n  - {between: [relay, east]}\n";
	change("orders:\n    controller: nwk\n    legs: {w: [relay, west], e: [east]}",
		"orders:\n    controller: nwk\n    legs: {w: [free, west], e: [relay, east]}",
		"links:\n", links);
	check_marks("nwk", "orders ways");
	check_marks("west", "");
	dp_topology_destroy(&after);
	change("orders:\n    controller: nwk\n    legs: {w: [relay, west], e: [east]}",
		"orders:\n    controller: nwk\n    legs: {w: [free, west], e: [east]}", "links:\n",
		links);
	check_marks("nwk", "");
}
