/* SPDX-License-Identifier: MIT */
/* The cables of the lab: delay, bandwidth, loss, cut, and bounds. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "lab/wan.h"

#define MS 1000000ull

static struct dp_topology t;
static struct wan w;

static void add_link(unsigned a, unsigned b, double metres, uint64_t bits)
{
	t.links[t.link_count++] = (struct dp_topo_link){.a = a,
		.b = b,
		.distance_m = metres,
		.distance_given = true,
		.bandwidth_bits = bits};
}

/* Sites 0, 1, 2 with nodes 0, 1, 2, and a second node 3 at site 0. 1000 m are 5 us. */
static void make(void)
{
	t = (struct dp_topology){.site_count = 3, .node_count = 4};
	for (unsigned i = 0; i < 3; i++)
		t.nodes[i].site = i;
	t.nodes[3].site = 0;
	add_link(0, 1, 200e3, 0);        /* 1 ms */
	add_link(1, 2, 1000e3, 8000000); /* 5 ms, 1 MB/s */
}

static int init(void)
{
	unsigned link;
	const struct dp_budget_costs costs = {.us_per_metre = 0.005, .route_factor = 1};
	return wan_init(&w, &t, &costs, &link);
}

static void setup(void)
{
	make();
	cr_assert_eq(init(), 0);
}

static void send(unsigned from, unsigned to, uint64_t now_ns, char byte, size_t size)
{
	char bytes[2048];
	memset(bytes, byte, sizeof bytes);
	wan_take(&w, wan_find(&w, from, to), now_ns, bytes, size);
}

/* The first byte of what arrives, or 0. */
static char arrived(uint64_t now_ns, unsigned to)
{
	struct wan_packet *p = wan_arrived(&w, now_ns);
	char byte = p ? (char)p->bytes[0] : 0;
	cr_assert(!p || p->to == to, "it arrives elsewhere");
	free(p);
	return byte;
}

Test(wan, a_packet_arrives_after_the_delay, .init = setup)
{
	send(0, 1, 100 * MS, 'a', 100);
	cr_assert_eq(wan_next_ns(&w), 101 * MS);
	cr_assert_eq(arrived(101 * MS - 1, 1), 0);
	cr_assert_eq(arrived(101 * MS, 1), 'a');
	cr_assert_eq(wan_next_ns(&w), WAN_NEVER);
	cr_assert_eq(w.under_way, 0);
}

Test(wan, both_directions_and_no_others, .init = setup)
{
	cr_assert(wan_find(&w, 1, 0) && wan_find(&w, 2, 1));
	cr_assert_null(wan_find(&w, 0, 2));
	send(1, 0, 0, 'b', 1);
	cr_assert_eq(arrived(1 * MS, 0), 'b');
}

Test(wan, packets_wait_for_the_line, .init = setup)
{
	send(1, 2, 0, 'a', 1000); /* 1 ms each on the line */
	send(1, 2, 0, 'b', 1000);
	cr_assert_eq(arrived(6 * MS - 1, 2), 0);
	cr_assert_eq(arrived(6 * MS, 2), 'a');
	cr_assert_eq(arrived(7 * MS - 1, 2), 0);
	cr_assert_eq(arrived(7 * MS, 2), 'b');
}

Test(wan, the_first_to_arrive_comes_first, .init = setup)
{
	send(1, 2, 0, 'a', 1000);
	send(0, 1, 1 * MS, 'b', 1000);
	cr_assert_eq(arrived(50 * MS, 1), 'b');
	cr_assert_eq(arrived(50 * MS, 2), 'a');
}

Test(wan, a_long_queue_is_dropped_at_its_end, .init = setup)
{
	for (unsigned i = 0; i < 200; i++)
		send(1, 2, 0, 'a', 1000);
	cr_assert_eq(wan_find(&w, 1, 2)->overflowed, 99);
	wan_clear(&w);
	cr_assert_eq(w.under_way, 0);
}

Test(wan, a_cut_loses_what_is_under_way, .init = setup)
{
	struct wan_cable *c = wan_find(&w, 0, 1);
	struct wan_shape cut = c->built;
	cut.cut = true;
	send(0, 1, 0, 'a', 1);
	wan_reshape(&w, c, &cut);
	send(0, 1, 0, 'b', 1);
	cr_assert_eq(wan_next_ns(&w), WAN_NEVER);
	cr_assert_eq(c->lost, 2);
	wan_reshape(&w, c, &c->built);
	send(0, 1, 0, 'c', 1);
	cr_assert_eq(arrived(1 * MS, 1), 'c');
}

Test(wan, the_share_that_is_lost, .init = setup)
{
	struct wan_cable *c = wan_find(&w, 0, 1);
	struct wan_shape lossy = c->built;
	lossy.loss = 0.1;
	wan_reshape(&w, c, &lossy);
	for (unsigned i = 0; i < 10000; i++)
		send(0, 1, 0, 'a', 1);
	cr_assert(c->lost > 800 && c->lost < 1200, "%llu", (unsigned long long)c->lost);
	wan_clear(&w);
}

Test(wan, a_cable_made_shorter_reorders_nothing, .init = setup)
{
	struct wan_cable *c = wan_find(&w, 0, 1);
	struct wan_shape shorter = c->built;
	shorter.delay_ns = 0;
	send(0, 1, 0, 'a', 1);
	wan_reshape(&w, c, &shorter);
	send(0, 1, 0, 'b', 1);
	cr_assert_eq(arrived(1 * MS, 1), 'a');
	cr_assert_eq(arrived(1 * MS, 1), 'b');
}

Test(wan, what_cannot_be_emulated_is_refused, .init = make)
{
	add_link(0, 3, 1609, 0); /* within a site: no cable */
	cr_assert_eq(init(), 0);
	cr_assert_eq(w.count, 4);
	add_link(3, 1, 200e3, 0); /* the same cable as 0 and 1 have */
	cr_assert_eq(init(), 0);
	cr_assert_eq(w.count, 4);
	t.links[t.link_count - 1].distance_m = 300e3;
	cr_assert_eq(init(), DP_EINVAL);
	t.links[t.link_count - 1].distance_m = -1;
	cr_assert_eq(init(), DP_EINVAL);
}
