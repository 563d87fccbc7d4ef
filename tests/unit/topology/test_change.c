/* SPDX-License-Identifier: MIT */
/* Two topologies of one deployment: each difference is said, with what it means; what cannot be
 * done is refused. */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "topology/change.h"

#define KEY       "rq:rM>}U?@Lns47E1%kR.o@n%FcmmsL/@{H8]yf7"
#define OTHER_KEY "Yne@$w-vo<fVvi]a<NY6T1ed:M$fCG*[IaLV{hID"

static const char before[] =
	"dipole: 1\n"
	"name: shop\n"
	"sites:\n"
	"  newark:  {at: [40.74, -74.17]}\n"
	"  trenton: {at: [40.22, -74.76]}\n"
	"nodes:\n"
	"  nwk:  {role: controller, site: newark}\n"
	"  r1:   {role: relay, site: newark, listen: tcp://10.1.0.2:7400, journal: 1GiB}\n"
	"  west: {role: mirror, site: trenton, listen: tcp://10.2.0.1:7400}\n"
	"  east: {role: mirror, site: trenton, listen: tcp://10.3.0.1:7400}\n"
	"operators:\n"
	"  anna: {role: observe, key: \"" KEY "\"}\n"
	"links:\n"
	"  - {between: [nwk, west], trusted: false}\n"
	"  - {between: [nwk, east], trusted: false}\n"
	"  - {between: [nwk, r1], trusted: false}\n"
	"  - {between: [r1, east], trusted: false}\n"
	"streams:\n"
	"  orders:\n"
	"    controller: nwk\n"
	"    legs: {w: [west], e: [r1, east]}\n"
	"    ack: {stage: cached, legs: all}\n"
	"    journal: {size: 4GiB, high-water: 75%}\n"
	"volumes:\n"
	"  data: {stream: orders, size: 200GiB}\n"
	"  log:  {stream: orders, size: 20GiB}\n";

static struct dp_topo_changes changes;

static struct dp_topology *parse(const char *text)
{
	struct dp_topology *t;
	struct dp_topo_errors errors;
	cr_assert_geq(sodium_init(), 0);
	int err = dp_topology_parse(text, strlen(text), "t", &t, &errors);
	cr_assert_eq(err, 0, "%s: %s", errors.errors[0].key, errors.errors[0].text);
	return t;
}

/* Compares with the text in which `find` is replaced, everywhere. */
static void change(const char *find, const char *by)
{
	char text[8192] = "";
	const char *at = before, *next;
	cr_assert_not_null(strstr(before, find), "%s", find);
	while ((next = strstr(at, find))) {
		strncat(text, at, (size_t)(next - at));
		strcat(text, by);
		at = next + strlen(find);
	}
	strcat(text, at);
	struct dp_topology *old = parse(before), *after = parse(text);
	dp_topology_compare(old, after, &changes);
	dp_topology_destroy(&old);
	dp_topology_destroy(&after);
}

static void check_one(const char *what, bool refused)
{
	cr_assert_eq(changes.count, 1, "%u changes, the first: %s", changes.count,
		changes.list[0].what);
	cr_assert_str_eq(changes.list[0].what, what);
	cr_assert_eq(dp_change_is_refused(&changes.list[0]), refused);
	cr_assert_eq(changes.refused, refused);
	cr_assert_eq(dp_topology_refused(&changes, true) != NULL, refused);
	cr_assert(!refused || changes.list[0].means[0], "no reason");
}

Test(change, nothing)
{
	change("shop", "shop");
	cr_assert(changes.count == 0 && changes.refused == 0);
}

Test(change, what_can_be_done)
{
	static const struct {
		const char *find, *by, *what;
	} cases[] = {
		{"w: [west]", "w: [west]", NULL},
		{"e: [r1, east]", "e: [east]", "stream orders: leg e takes another way"},
		{"size: 200GiB", "size: 400GiB",
			"volume data: 429496729600 bytes instead of 214748364800"},
		{"stage: cached", "stage: committed", "stream orders: ack, flush or when-leg-down"},
		{"legs: all}", "legs: 1}", "stream orders: ack, flush or when-leg-down"},
		{"75%", "76%", "stream orders: limits"},
		{"10.2.0.1", "10.2.0.2", "node west: addresses or retain"},
		{"west], trusted: false", "west], trusted: true", "link nwk, west: trusted"},
		{"west], trusted: false", "west], window: 1MiB",
			"link nwk, west: limits, hours, distance or heartbeats"},
		{"volumes:\n", "volumes:\n  third: {stream: orders, size: 1MiB}\n",
			"volume third: new, 1048576 bytes"},
		{"  log:  {stream: orders, size: 20GiB}\n", "", "volume log: gone"},
		{"nodes:\n",
			"nodes:\n  r2: {role: relay, site: newark, listen: tcp://10.9.0.2:7400}\n",
			"node r2: new"},
		{"role: observe", "role: administer",
			"operator anna: administer instead of observe"},
		{KEY, OTHER_KEY, "operator anna: key"},
		{"  anna: ", "  bert: {role: operate, key: \"" OTHER_KEY "\"}\n  anna: ",
			"operator bert: new, operate"},
		{"listen: tcp://10.2.0.1:7400",
			"listen: tcp://10.2.0.1:7400, control: tcp://10.2.0.1:7401",
			"node west: addresses or retain"},
		{"links:\n", "links:\n  - {between: [west, r1], trusted: false}\n",
			"link west, r1: new"},
		{"  data: {stream: orders, size: 200GiB}\n  log:  {stream: orders, size: 20GiB}\n",
			"  log:  {stream: orders, size: 20GiB}\n  data: {stream: orders, size: 200GiB}\n",
			"volumes: another order"},
	};
	for (size_t i = 1; i < sizeof cases / sizeof cases[0]; i++) {
		change(cases[i].find, cases[i].by);
		check_one(cases[i].what, false);
	}
}

Test(change, another_site_changes_distances)
{
	change("controller, site: newark}", "controller, site: trenton}");
	cr_assert(changes.count == 4 && changes.refused == 0);
	cr_assert_str_eq(changes.list[0].what, "node nwk: site trenton instead of newark");
	cr_assert_str_eq(changes.list[1].what,
		"link nwk, west: limits, hours, distance or heartbeats");
}

Test(change, what_cannot)
{
	static const struct {
		const char *find, *by, *what;
	} cases[] = {
		{"name: shop", "name: store", "name: store instead of shop"},
		{"size: 200GiB", "size: 100GiB",
			"volume data: 107374182400 bytes instead of 214748364800"},
		{"size: 4GiB", "size: 8GiB", "stream orders: journal size"},
		{"journal: 1GiB", "journal: 2GiB", "node r1: journal"},
		{"    journal:", "    local: mirror\n    journal:", "stream orders: local"},
		{"10.3.0.1:7400}", "10.3.0.1:7400, second-store: /srv/second}",
			"node east: second-store"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		change(cases[i].find, cases[i].by);
		check_one(cases[i].what, true);
	}
}

Test(change, a_leg_that_ends_elsewhere_is_another)
{
	change("legs: {w: [west], e: [r1, east]}", "legs: {w: [west]}");
	check_one("stream orders: leg e to east: gone", false);
	change("w: [west], e: [r1, east]", "x: [west], y: [r1, east]");
	cr_assert_eq(changes.refused, 1, "all legs may go at once");
	cr_assert_str_eq(dp_topology_refused(&changes, true)->what, "stream orders: all legs");
}

Test(change, a_seal_waits_for_a_start_of_all)
{
	change("    journal:", "    seal: chacha20-poly1305\n    journal:");
	check_one("stream orders: seal", true);
	cr_assert_null(dp_topology_refused(&changes, false));
}

Test(change, a_stream_or_a_role_is_another_by_its_name)
{
	change("orders", "sales");
	cr_assert_eq(changes.count, 4); /* one goes, one comes, and both volumes would move */
	cr_assert_eq(changes.refused, 2);
	change("r1:   {role: relay", "r1:   {role: mirror");
	check_one("node r1: mirror instead of relay", true);
}
