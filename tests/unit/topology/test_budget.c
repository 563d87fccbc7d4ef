/* SPDX-License-Identifier: MIT */
/* The latency budget: a published worked example to the microsecond, and what follows from the
 * model. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "budget.h"
#include "journal/internal.h"
#include "proto/record.h"
#include "what_if.h"

#define NEAR(a, b) cr_assert_float_eq(a, b, 1e-6, "%f is not %f", (double)(a), (double)(b))

static struct dp_topology *load(const char *text)
{
	struct dp_topo_errors errors = {.count = 0};
	struct dp_topology *t;
	int err = dp_topology_parse(text, strlen(text), "t.yaml", &t, &errors);
	if (err)
		dp_topology_print_errors(&errors, stderr);
	cr_assert_eq(err, 0);
	return t;
}

static struct dp_budget *make(const struct dp_topology *t, const struct dp_budget_costs *costs)
{
	struct dp_budget *b;
	unsigned unknown;
	cr_assert_eq(dp_budget_make(t, 0, costs, &b, &unknown), 0);
	return b;
}

/* 5 us a mile, 5 us of work at a node, nothing else. */
static struct dp_budget_costs plain(void)
{
	struct dp_budget_costs costs = dp_budget_costs_default(4096);
	costs.commit_us = costs.crypt_us = 0;
	return costs;
}

/* ---- a wide-area cascade: controller, three relays, a mirror, 30 miles a hop ---- */

static const char cascade[] =
	"dipole: 1\n"
	"name: cascade\n"
	"sites: {here: {}}\n"
	"nodes:\n"
	"  controller: {role: controller, site: here}\n"
	"  relay-1: {role: relay, site: here, listen: tcp://10.1.0.1:7400, retain: next-hop}\n"
	"  relay-2: {role: relay, site: here, listen: tcp://10.2.0.1:7400, retain: next-hop}\n"
	"  relay-3: {role: relay, site: here, listen: tcp://10.3.0.1:7400, retain: next-hop}\n"
	"  mirror: {role: mirror, site: here, listen: tcp://10.4.0.1:7400}\n"
	"links:\n"
	"  - {between: [controller, relay-1], distance: 30mi}\n"
	"  - {between: [relay-1, relay-2], distance: 30mi}\n"
	"  - {between: [relay-2, relay-3], distance: 30mi}\n"
	"  - {between: [relay-3, mirror], distance: 30mi}\n"
	"streams:\n"
	"  s:\n"
	"    controller: controller\n"
	"    legs: {far: [relay-1, relay-2, relay-3, mirror]}\n"
	"volumes: {v: {stream: s, size: 1GiB}}\n";

static const struct {
	double us;
	const char *at, *what;
} published[] = {
	{0, "host", "starts a write"},
	{5, "controller", "forwards the write to relay-1"},
	{155, "relay-1", "receives the write"},
	{160, "relay-1", "has cached it; acknowledges upstream; forwards to relay-2"},
	{310, "controller", "receives the acknowledgement of relay-1"},
	{310, "relay-2", "receives the write"},
	{315, "controller", "acknowledges to the host; drops its queue entry (retain: next-hop)"},
	{315, "relay-2", "has cached it; acknowledges upstream; forwards to relay-3"},
	{320, "host", "receives the acknowledgement"},
	{465, "relay-1", "receives the acknowledgement of relay-2"},
	{465, "relay-3", "receives the write"},
	{470, "relay-1", "drops its cache entry (retain: next-hop)"},
	{470, "relay-3", "has cached it; acknowledges upstream; forwards to mirror"},
	{620, "relay-2", "receives the acknowledgement of relay-3"},
	{620, "mirror", "receives the write"},
	{625, "relay-2", "drops its cache entry (retain: next-hop)"},
	{625, "mirror", "has cached it; acknowledges upstream"},
	{775, "relay-3", "receives the acknowledgement of mirror"},
	{780, "relay-3", "drops its cache entry (retain: next-hop)"},
};

Test(budget, a_published_example_comes_out_to_the_microsecond)
{
	struct dp_topology *t = load(cascade);
	struct dp_budget_costs costs = plain();
	t->nodes[t->streams[0].controller]
		.retain = DP_RETAIN_NEXT_HOP; /* as it has there, not here */
	struct dp_budget *b = make(t, &costs);
	cr_assert_eq(b->event_count, sizeof published / sizeof published[0]);
	for (unsigned i = 0; i < b->event_count; i++) {
		const struct dp_budget_event *e = &b->events[i];
		const char *at = e->at == DP_BUDGET_HOST ? "host" : t->nodes[e->at].name;
		NEAR(e->us, published[i].us);
		cr_assert_str_eq(at, published[i].at);
		cr_assert_str_eq(e->text, published[i].what);
	}
	NEAR(b->ack_us, 320);
	NEAR(b->legs[0].round_trip_us, 1200);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

/* `committed` comes back over each node: 4 x 150 out, 5 x 5 to the mirror's journal, the same back.
 */
Test(budget, committed_takes_the_whole_way_and_back)
{
	struct dp_topology *t = load(cascade);
	struct dp_budget_costs costs = plain();
	struct dp_budget *b = make(t, &costs);
	NEAR(b->committed_us, 625 + 4 * 155 + 5);
	NEAR(b->controller_released_us, 625 + 4 * 155);
	dp_budget_destroy(&b);
	t->nodes[1].retain = DP_RETAIN_COMMITTED;
	b = make(t, &costs);
	NEAR(b->legs[0].hops[0].released_us, 625 + 3 * 155);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

/* Each relay's journal works while the write is on its way to the next. */
Test(budget, a_durable_write_is_paid_once)
{
	struct dp_topology *t = load(cascade);
	struct dp_budget_costs costs = plain();
	costs.commit_us = 100;
	struct dp_budget *b = make(t, &costs);
	NEAR(b->ack_us, 420);
	NEAR(b->committed_us, 1350);
	NEAR(b->local_us, 110);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

/* ---- two poles ---- */

static const char
	poles[] = "dipole: 1\n"
		  "name: poles\n"
		  "sites: {here: {at: [40, -74]}, west: {at: [40, -75]}, east: {at: [40, -73]}}\n"
		  "nodes:\n"
		  "  ctl: {role: controller, site: here}\n"
		  "  w: {role: mirror, site: west, listen: tcp://10.1.0.1:7400}\n"
		  "  e: {role: mirror, site: east, listen: tcp://10.2.0.1:7400}\n"
		  "links:\n"
		  "  - {between: [ctl, w], distance: 20mi, trusted: true, bandwidth: 8Mbit}\n"
		  "  - {between: [ctl, e], distance: 60mi, window: 1MiB}\n"
		  "streams:\n"
		  "  s:\n"
		  "    controller: ctl\n"
		  "    legs: {w: [w], e: [e]}\n"
		  "    ack: {stage: cached, legs: 1}\n"
		  "    flush: committed\n"
		  "volumes: {v: {stream: s, size: 1GiB}}\n";

Test(budget, the_policy_names_the_legs_that_count)
{
	struct dp_topology *t = load(poles);
	struct dp_budget_costs costs = plain();
	costs.record_bytes = 0;
	struct dp_budget *b = make(t, &costs);
	NEAR(b->legs[0].cached_us, 220);
	NEAR(b->legs[1].cached_us, 620);
	NEAR(b->ack_us, 220);
	NEAR(b->flush_us, 220); /* a direct mirror has committed what it has cached */
	dp_budget_destroy(&b);
	t->streams[0].ack_legs = 2;
	b = make(t, &costs);
	NEAR(b->ack_us, 620);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

Test(budget, with_fewer_legs_than_all_the_controllers_journal_counts)
{
	struct dp_topology *t = load(poles);
	struct dp_budget_costs costs = plain();
	costs.record_bytes = 0;
	costs.commit_us = 400; /* slower than the way to the nearer pole */
	t->links[0].distance_m = 0;
	struct dp_budget *b = make(t, &costs);
	NEAR(b->local_us, 410);
	NEAR(b->ack_us, 420);
	t->streams[0].ack_stage = DP_STAGE_LOCAL;
	dp_budget_destroy(&b);
	b = make(t, &costs);
	NEAR(b->ack_us, 410);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

Test(budget, bandwidth_and_encryption_cost_a_record_on_its_way_out)
{
	struct dp_topology *t = load(poles);
	struct dp_budget_costs costs = plain();
	costs.record_bytes = 1000; /* 1 ms at 8 Mbit a second */
	costs.crypt_us = 30;
	struct dp_budget *b = make(t, &costs);
	NEAR(b->legs[0].cached_us, 220 + 1000); /* trusted: not encrypted */
	NEAR(b->legs[1].cached_us, 620 + 30);
	NEAR(b->legs[0].hops[0].rate_bytes, 1e6);
	cr_assert_eq(b->legs[0].hops[0].window_bytes, 0);
	NEAR(b->legs[1].hops[0].rate_bytes, 1048576 / 605e-6);
	cr_assert_eq(b->legs[1].hops[0].window_bytes, 1048576);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

Test(budget, what_lies_within_reach_fits_exactly)
{
	struct dp_topology *t = load(poles);
	struct dp_budget_costs costs = dp_budget_costs_default(4096);
	for (unsigned stage = DP_STAGE_CACHED; stage <= DP_STAGE_COMMITTED; stage++) {
		t->streams[0].ack_stage = (enum dp_stage)stage;
		t->streams[0].ack_legs = 2;
		t->links[0].distance_m = 0;
		double reach = dp_budget_reach(t, 0, 1, &costs, 2000);
		cr_assert_gt(reach, 100000);
		t->links[1].distance_m = reach;
		t->links[0].bandwidth_bits = 0;
		struct dp_budget *b = make(t, &costs);
		NEAR(b->ack_us, 2000);
		dp_budget_destroy(&b);
	}
	cr_assert_lt(dp_budget_reach(t, 0, 1, &costs, 100), 0);
	t->streams[0].ack_stage = DP_STAGE_LOCAL;
	cr_assert(isinf(dp_budget_reach(t, 0, 1, &costs, 2000)));
	dp_topology_destroy(&t);
}

Test(budget, the_route_factor_is_for_distances_from_coordinates)
{
	struct dp_topology *t = load(poles);
	struct dp_budget_costs costs = plain();
	costs.route_factor = 2;
	t->links[1].distance_given = false;
	struct dp_budget *b = make(t, &costs);
	NEAR(b->legs[0].distance_m, 20 * DP_METRES_A_MILE);
	NEAR(b->legs[1].distance_m, 120 * DP_METRES_A_MILE);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

Test(budget, an_unknown_distance_is_refused)
{
	struct dp_topology *t = load(poles);
	struct dp_budget_costs costs = plain();
	struct dp_budget *b;
	unsigned unknown;
	t->links[1].distance_m = -1;
	cr_assert_eq(dp_budget_make(t, 0, &costs, &b, &unknown), DP_EINVAL);
	cr_assert_eq(unknown, 1);
	cr_assert_null(b);
	dp_topology_destroy(&t);
}

/* 100 MiB/s in 4 KiB writes for a minute. */
Test(budget, a_backlog_counts_what_a_record_takes_of_a_journal)
{
	struct dp_budget_costs costs = dp_budget_costs_default(4096);
	uint64_t frame = DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE + 4096;
	cr_assert_eq(costs.journal_bytes,
		(frame + DP_FRAME_ALIGN - 1) / DP_FRAME_ALIGN * DP_FRAME_ALIGN);
	NEAR(dp_budget_backlog(&costs, 4096, 100 * 1048576.0, 60), 25600.0 * 60 * 4608);
}

/* ---- measured round trips, another way, changes ---- */

Test(budget, a_measured_round_trip_counts_instead_of_the_distance)
{
	struct dp_topology *t = load(cascade);
	struct dp_budget_costs costs = plain();
	t->links[0].round_trip_us = 500;
	struct dp_budget *b = make(t, &costs);
	NEAR(b->legs[0].hops[0].propagation_us, 250);
	NEAR(b->legs[0].hops[0].distance_m, 30 * DP_METRES_A_MILE);
	NEAR(b->ack_us, 320 + 200);
	NEAR(b->legs[0].round_trip_us, 1200 + 200);
	dp_budget_destroy(&b);
	t->links[0].distance_m = -1; /* then it tells the distance as well */
	b = make(t, &costs);
	NEAR(b->legs[0].hops[0].distance_m, 50 * DP_METRES_A_MILE);
	NEAR(b->ack_us, 320 + 200);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

Test(budget, one_mirror_that_answers_as_quickly)
{
	struct dp_topology *t = load(cascade);
	struct dp_budget_costs costs = plain();
	struct dp_budget *b = make(t, &costs);
	NEAR(b->one_sided_m, 30 * DP_METRES_A_MILE); /* where the first relay stands */
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}

/* The answer after these changes. */
static double ack_after(const char *changes, double *flush_us)
{
	struct dp_topology *t = load(cascade);
	struct dp_budget_costs costs = plain();
	char why[128];
	cr_assert_eq(dp_what_if(t, 0, changes, why, sizeof why), 0, "%s: %s", changes, why);
	struct dp_budget *b = make(t, &costs);
	double us = b->ack_us;
	*flush_us = b->flush_us;
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
	return us;
}

Test(budget, changes_are_tried_out)
{
	double flush_us;
	NEAR(ack_after("ack=local", &flush_us), 10);
	NEAR(ack_after("flush=committed", &flush_us), 320);
	NEAR(flush_us, 1200 + 5 * 10);
	NEAR(ack_after("direct=far", &flush_us), 1200 + 20);
	NEAR(ack_after("relay=far:10mi", &flush_us), 100 + 20);
	NEAR(ack_after("relay=far:10mi,relay=far:4mi,ack=committed", &flush_us), 1200 + 7 * 10);
	NEAR(ack_after("relay=far:10mi,direct=far", &flush_us), 1200 + 20);
}

Test(budget, a_change_that_is_none_is_refused)
{
	static const char *const bad[] = {"", "ack", "ack=", "ack=soon", "flush=local", "legs=0",
		"legs=2", "legs=x", "legs=1x", "legs=-1", "relay=far", "relay=far:10",
		"relay=near:1mi", "relay=far:31mi", "relay=far:-1mi", "direct=near", "ack=local,",
		"speed=2"};
	struct dp_topology *t = load(cascade);
	char why[128] = "";
	for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		cr_assert_eq(dp_what_if(t, 0, bad[i], why, sizeof why), DP_EINVAL, "%s", bad[i]);
		cr_assert_gt(strlen(why), 10);
	}
	/* The round trip of one link says nothing of the others. */
	t->links[1].round_trip_us = 500;
	cr_assert_eq(dp_what_if(t, 0, "direct=far", why, sizeof why), DP_EINVAL);
	dp_topology_destroy(&t);
}

/* Another leg goes over the same first link: that stays as it is. */
Test(budget, a_new_relay_of_one_leg_is_not_in_the_other)
{
	struct dp_topology *t = load(cascade);
	struct dp_budget_costs costs = plain();
	struct dp_topo_stream *s = &t->streams[0];
	char why[128];
	s->legs[1] = s->legs[0];
	s->legs[1].hop_count = 2;
	snprintf(s->legs[1].name, sizeof s->legs[1].name, "near");
	s->leg_count = 2;
	cr_assert_eq(dp_what_if(t, 0, "relay=far:10mi", why, sizeof why), 0);
	struct dp_budget *b = make(t, &costs);
	NEAR(b->legs[0].cached_us, 120);
	NEAR(b->legs[1].cached_us, 320);
	dp_budget_destroy(&b);
	dp_topology_destroy(&t);
}
