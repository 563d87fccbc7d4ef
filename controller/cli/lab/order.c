/* SPDX-License-Identifier: MIT */
/* What the emulator is told, and what it tells. */
#include <string.h>

#include "cli.h"
#include "lab/lab.h"

#define DELAY_MAX_US 3600e6
#define BITS_MAX     1e15

static json_t *refuse(const char *text, const char *what)
{
	return json_pack("{s:b,s:o}", "ok", 0, "error", json_sprintf("%s'%s'", text, what));
}

/* Of a site, or of the site of a node; -1: neither. */
static int site_of(const struct dp_topology *t, const char *name)
{
	for (unsigned i = 0; i < t->site_count; i++)
		if (strcmp(t->sites[i].name, name) == 0)
			return (int)i;
	int node = dp_topology_node(t, name);
	return node < 0 ? -1 : (int)t->nodes[node].site;
}

static bool is_within(const json_t *request, const char *key, double most)
{
	const json_t *value = json_object_get(request, key);
	return !value ||
		(json_is_number(value) && json_number_value(value) >= 0 &&
			json_number_value(value) <= most);
}

static bool is_valid(const json_t *request)
{
	return is_within(request, "delay_us", DELAY_MAX_US) &&
		is_within(request, "bits", BITS_MAX) && is_within(request, "loss", 1);
}

/* What the order says of a cable that is so now. */
static struct wan_shape reshaped(const struct wan_cable *c, const char *cmd, const json_t *request)
{
	struct wan_shape shape = c->now;
	if (strcmp(cmd, "heal") == 0)
		return c->built;
	if (strcmp(cmd, "cut") == 0)
		shape.cut = true;
	const json_t *delay = json_object_get(request, "delay_us"),
		     *bits = json_object_get(request, "bits"),
		     *loss = json_object_get(request, "loss");
	if (delay)
		shape.delay_ns = (uint64_t)json_integer_value(delay) * 1000;
	if (bits)
		shape.bits = (uint64_t)json_integer_value(bits);
	if (loss)
		shape.loss = json_number_value(loss);
	return shape;
}

/* Single packets can only be lost where they come as single ones. */
static void segment(struct lab *lab, unsigned site)
{
	bool lossy = false;
	for (unsigned i = 0; i < lab->wan.count; i++)
		lossy |= lab->wan.cables[i].from == site && lab->wan.cables[i].now.loss > 0;
	if (lossy != lab->sites[site].segmented)
		lab_segment(&lab->sites[site], lossy);
}

static void reshape(struct lab *lab, struct wan_cable *c, const char *cmd, const json_t *request)
{
	struct wan_shape shape = reshaped(c, cmd, request);
	wan_reshape(&lab->wan, c, &shape);
	segment(lab, c->from);
}

static json_t *reshape_pair(struct lab *lab, const char *cmd, const json_t *request, const char *a,
	const char *b)
{
	int from = site_of(lab->t, a), to = site_of(lab->t, b);
	if (from < 0 || to < 0)
		return refuse("no site or node ", from < 0 ? a : b);
	struct wan_cable *there = wan_find(&lab->wan, (unsigned)from, (unsigned)to);
	struct wan_cable *back = wan_find(&lab->wan, (unsigned)to, (unsigned)from);
	if (!there || !back)
		return refuse("no link joins the site to that of ", b);
	if (!is_valid(request))
		return refuse("a value is out of range in ", cmd);
	reshape(lab, there, cmd, request);
	if (!json_is_true(json_object_get(request, "one_way")))
		reshape(lab, back, cmd, request);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *heal_all(struct lab *lab)
{
	for (unsigned i = 0; i < lab->wan.count; i++)
		reshape(lab, &lab->wan.cables[i], "heal", NULL);
	return json_pack("{s:b}", "ok", 1);
}

static json_t *cable_json(const struct lab *lab, const struct wan_cable *c)
{
	return json_pack("{s:s,s:s,s:b,s:f,s:I,s:f,s:I,s:I,s:I,s:I}", "from",
		lab->t->sites[c->from].name, "to", lab->t->sites[c->to].name, "cut", c->now.cut,
		"delay_us", (double)c->now.delay_ns / 1000, "bandwidth_bits",
		(json_int_t)c->now.bits, "loss", c->now.loss, "packets", (json_int_t)c->packets,
		"bytes", (json_int_t)c->bytes, "lost", (json_int_t)c->lost, "overflowed",
		(json_int_t)c->overflowed);
}

static json_t *tell(const struct lab *lab)
{
	json_t *cables = json_array();
	for (unsigned i = 0; i < lab->wan.count; i++)
		json_array_append_new(cables, cable_json(lab, &lab->wan.cables[i]));
	return json_pack("{s:b,s:o}", "ok", 1, "cables", cables);
}

json_t *lab_order(struct lab *lab, const json_t *request)
{
	const char *cmd = verb_text(request, "cmd"), *a = verb_text(request, "a"),
		   *b = verb_text(request, "b");
	if (strcmp(cmd, "links") == 0)
		return tell(lab);
	if (strcmp(cmd, "heal") == 0 && !json_object_get(request, "a"))
		return heal_all(lab);
	if (strcmp(cmd, "cut") == 0 || strcmp(cmd, "heal") == 0 || strcmp(cmd, "slow") == 0)
		return reshape_pair(lab, cmd, request, a, b);
	return refuse("unknown order ", cmd);
}
