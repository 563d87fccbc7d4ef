/* SPDX-License-Identifier: MIT */
#include "changes.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "@x" stands for a key made of that letter. */
const char changes_before[] =
	"dipole: 1\n"
	"name: shop\n"
	"heartbeat: {interval: 1s, down-after: 4s, probation: 9s}\n"
	"sites:\n"
	"  newark:  {at: [40.74, -74.17]}\n"
	"  trenton: {at: [40.22, -74.76]}\n"
	"  spare:   {at: [1, 1]}\n"
	"nodes:\n"
	"  nwk:   {role: controller, site: newark, listen: tcp://10.1.0.1:7400, key: \"@n\"}\n"
	"  relay: {role: relay, site: newark, listen: tcp://10.2.0.1:7400, key: \"@r\", former-key: \"@q\", journal: 32MiB}\n"
	"  west:  {role: mirror, site: trenton, listen: tcp://10.3.0.1:7400, key: \"@w\", metrics: tcp://10.3.0.1:7401}\n"
	"  east:  {role: mirror, site: newark, listen: tcp://10.4.0.1:7400, key: \"@e\", control: tcp://10.4.0.1:7402}\n"
	"  south: {role: mirror, site: trenton, listen: tcp://10.5.0.1:7400, key: \"@s\"}\n"
	"  free:  {role: relay, site: trenton, listen: tcp://10.6.0.1:7400, key: \"@f\"}\n"
	"  bare:  {role: relay, site: trenton, listen: tcp://10.7.0.1:7400}\n"
	"links:\n"
	"  - {between: [nwk, relay], distance: 30km, connections: 2, heartbeat: {interval: 2s, down-after: 5s, probation: 8s}}\n"
	"  - {between: [relay, west], distance: 15km}\n"
	"  - {between: [nwk, east], distance: 40km}\n"
	"  - {between: [nwk, south]}\n"
	"  - {between: [nwk, free]}\n"
	"  - {between: [free, east]}\n"
	"  - {between: [free, south], trusted: true}\n"
	"streams:\n"
	"  orders:\n"
	"    controller: nwk\n"
	"    legs: {w: [relay, west], e: [east]}\n"
	"    seal: chacha20-poly1305\n"
	"  mail:\n"
	"    controller: nwk\n"
	"    legs: {w: [relay, west], s: [south]}\n"
	"    read-cache: 1MiB\n"
	"volumes:\n"
	"  data: {stream: orders, size: 8MiB}\n"
	"  log:  {stream: orders, size: 1MiB}\n"
	"  post: {stream: mail, size: 4MiB}\n"
	"operators:\n"
	"  anna: {role: observe, key: \"@a\"}\n"
	"  bert: {role: operate, key: \"@b\"}\n";

#define LIMITS    ": limits, hours, distance or heartbeats"
#define ALL       "nwk relay west east south"
#define OF_ORDERS "nwk relay west east"
#define OF_MAIL   "nwk relay west south"

const struct change_case change_cases[] = {
	{"name", {"name: shop", "name: store"}, "name: store instead of shop", DP_CHANGE_NEVER, "",
		""},
	{"heartbeat.interval", {"interval: 1s", "interval: 1500ms"},
		"link relay, west" LIMITS " | link nwk, east" LIMITS " | link nwk, south" LIMITS
		" | link nwk, free" LIMITS " | link free, east" LIMITS " | link free, south" LIMITS,
		DP_CHANGE_LIVE, "", ALL},
	{"heartbeat.down-after", {"down-after: 4s", "down-after: 6s"},
		"link relay, west" LIMITS " | link nwk, east" LIMITS " | link nwk, south" LIMITS
		" | link nwk, free" LIMITS " | link free, east" LIMITS " | link free, south" LIMITS,
		DP_CHANGE_LIVE, "", ALL},
	{"heartbeat.probation", {"probation: 9s", "probation: 10s"},
		"link relay, west" LIMITS " | link nwk, east" LIMITS " | link nwk, south" LIMITS
		" | link nwk, free" LIMITS " | link free, east" LIMITS " | link free, south" LIMITS,
		DP_CHANGE_LIVE, "", ALL},
	{"sites", {"sites:\n", "sites:\n  danbury: {}\n"}, "site danbury: new", DP_CHANGE_TEXT, "",
		""},
	{"sites", {"  spare:   {at: [1, 1]}\n", ""}, "site spare: gone", DP_CHANGE_TEXT, "", ""},
	{"sites",
		{"  newark:  {at: [40.74, -74.17]}\n  trenton: {at: [40.22, -74.76]}\n",
			"  trenton: {at: [40.22, -74.76]}\n  newark:  {at: [40.74, -74.17]}\n"},
		"", DP_CHANGE_TEXT, "", ""},
	{"sites.at", {"[1, 1]", "[1, 2]"}, "site spare: at", DP_CHANGE_TEXT, "", ""},
	{"sites.at", {"[40.22, -74.76]", "[40.23, -74.76]"},
		"site trenton: at | link nwk, south" LIMITS " | link nwk, free" LIMITS
		" | link free, east" LIMITS,
		DP_CHANGE_TEXT, "", ""},
	{"sites.at", {"[40.22, -74.76]", "[40.70, -74.76]"},
		"site trenton: at | link nwk, south" LIMITS " | link nwk, free" LIMITS
		" | link free, east" LIMITS,
		DP_CHANGE_TEXT, "", ""},
	{"nodes", {"nodes:\n", "nodes:\n  more: {role: relay, site: newark}\n"}, "node more: new",
		DP_CHANGE_TEXT, "", ""},
	{"nodes", {"nodes:\n", "nodes:\n  more: {role: relay, site: newark, key: \"@m\"}\n"},
		"node more: new", DP_CHANGE_LIVE, "", ALL},
	{"nodes", {"  bare:  {role: relay, site: trenton, listen: tcp://10.7.0.1:7400}\n", ""},
		"node bare: gone", DP_CHANGE_TEXT, "", ""},
	{"nodes",
		{"  - {between: [nwk, free]}\n  - {between: [free, east]}\n  - {between: [free, south], trusted: true}\n",
			"",
			"  free:  {role: relay, site: trenton, listen: tcp://10.6.0.1:7400, key: \"@f\"}\n",
			""},
		"node free: gone | link nwk, free: gone | link free, east: gone | link free, south: gone",
		DP_CHANGE_RESTART, ALL, ""},
	{"nodes",
		{"  west:  {role: mirror, site: trenton, listen: tcp://10.3.0.1:7400, key: \"@w\", metrics: tcp://10.3.0.1:7401}\n  east:  {role: mirror, site: newark, listen: tcp://10.4.0.1:7400, key: \"@e\", control: tcp://10.4.0.1:7402}\n",
			"  east:  {role: mirror, site: newark, listen: tcp://10.4.0.1:7400, key: \"@e\", control: tcp://10.4.0.1:7402}\n  west:  {role: mirror, site: trenton, listen: tcp://10.3.0.1:7400, key: \"@w\", metrics: tcp://10.3.0.1:7401}\n"},
		"", DP_CHANGE_TEXT, "", ""},
	{"nodes.role",
		{"role: relay, site: trenton, listen: tcp://10.7",
			"role: mirror, site: trenton, listen: tcp://10.7"},
		"node bare: mirror instead of relay", DP_CHANGE_NEVER, "", ""},
	{"nodes.site", {"mirror, site: newark", "mirror, site: trenton"},
		"node east: site trenton instead of newark | link free, east" LIMITS,
		DP_CHANGE_RESTART, "nwk", ""},
	{"nodes.site",
		{"mirror, site: trenton, listen: tcp://10.3",
			"mirror, site: spare, listen: tcp://10.3"},
		"node west: site spare instead of trenton", DP_CHANGE_TEXT, "", ""},
	{"nodes.listen", {"10.2.0.1:7400", "10.2.0.2:7400"}, "node relay: addresses or retain",
		DP_CHANGE_RESTART, "relay", "nwk"},
	{"nodes.listen", {"10.1.0.1:7400", "10.1.0.2:7400"}, "node nwk: addresses or retain",
		DP_CHANGE_TEXT, "", ""},
	{"nodes.metrics", {"10.3.0.1:7401", "10.3.0.1:7409"}, "node west: addresses or retain",
		DP_CHANGE_RESTART, "west", ""},
	{"nodes.control", {"10.4.0.1:7402", "10.4.0.1:7409"}, "node east: addresses or retain",
		DP_CHANGE_RESTART, "east", ""},
	{"nodes.key", {"\"@w\"", "\"@x\""}, "node west: key", DP_CHANGE_RESTART, ALL, ""},
	{"nodes.key", {"\"@s\"", "\"@x\""}, "node south: key", DP_CHANGE_RESTART, ALL, ""},
	{"nodes.key", {"\"@f\"", "\"@x\""}, "node free: key", DP_CHANGE_RESTART, ALL, ""},
	{"nodes.key", {"tcp://10.7.0.1:7400", "tcp://10.7.0.1:7400, key: \"@x\""}, "node bare: key",
		DP_CHANGE_LIVE, "", ALL},
	{"nodes.key", {"\"@w\"", "\"@x\", former-key: \"@w\""},
		"node west: key | node west: former-key", DP_CHANGE_RESTART, "nwk west east",
		"relay south"},
	{"nodes.key", {"\"@s\"", "\"@x\", former-key: \"@s\""},
		"node south: key | node south: former-key", DP_CHANGE_LIVE, "", ALL},
	{"nodes.key", {"\"@r\", former-key: \"@q\"", "\"@q\", former-key: \"@r\""},
		"node relay: key | node relay: former-key", DP_CHANGE_LIVE, "", ALL},
	{"nodes.former-key", {", former-key: \"@q\"", ""}, "node relay: former-key: gone",
		DP_CHANGE_RESTART, ALL, ""},
	{"nodes.former-key", {"\"@s\"", "\"@s\", former-key: \"@x\""}, "node south: former-key",
		DP_CHANGE_LIVE, "", ALL},
	{"nodes.former-key", {"\"@w\"", "\"@w\", former-key: \"@x\""}, "node west: former-key",
		DP_CHANGE_RESTART, "nwk west east", "relay south"},
	{"nodes.journal", {"journal: 32MiB", "journal: 64MiB"}, "node relay: journal",
		DP_CHANGE_NEVER, "", ""},
	{"nodes.retain", {"journal: 32MiB", "journal: 32MiB, retain: next-hop"},
		"node relay: addresses or retain", DP_CHANGE_RESTART, "relay", ""},
	{"nodes.second-store", {"\"@e\"", "\"@e\", second-store: /srv/second"},
		"node east: second-store", DP_CHANGE_NEVER, "", ""},
	{"links", {"links:\n", "links:\n  - {between: [west, east]}\n"}, "link west, east: new",
		DP_CHANGE_TEXT, "", ""},
	{"links", {"links:\n", "links:\n  - {between: [west, east], trusted: true}\n"},
		"link west, east: new", DP_CHANGE_TEXT, "", ""},
	{"links", {"  - {between: [free, south], trusted: true}\n", ""}, "link free, south: gone",
		DP_CHANGE_TEXT, "", ""},
	{"links",
		{"  - {between: [nwk, south]}\n  - {between: [nwk, free]}\n",
			"  - {between: [nwk, free]}\n  - {between: [nwk, south]}\n"},
		"", DP_CHANGE_TEXT, "", ""},
	{"links.between", {"[nwk, east]", "[east, nwk]"}, "", DP_CHANGE_TEXT, "", ""},
	{"links.distance", {"15km", "16km"}, "link relay, west" LIMITS, DP_CHANGE_TEXT, "", ""},
	{"links.distance", {"15km", "5km"}, "link relay, west" LIMITS, DP_CHANGE_RESTART, "nwk",
		""},
	{"links.distance", {"[nwk, free]", "[nwk, free], distance: 1km"}, "link nwk, free" LIMITS,
		DP_CHANGE_TEXT, "", ""},
	{"links.round-trip", {"15km", "15km, round-trip: 1ms"}, "link relay, west" LIMITS,
		DP_CHANGE_TEXT, "", ""},
	{"links.bandwidth", {"15km", "15km, bandwidth: 1Gbit"}, "link relay, west" LIMITS,
		DP_CHANGE_TEXT, "", ""},
	{"links.trusted", {"[nwk, south]", "[nwk, south], trusted: true"},
		"link nwk, south: trusted", DP_CHANGE_RESTART, "nwk south", ""},
	{"links.trusted", {"[free, south], trusted: true", "[free, south]"},
		"link free, south: trusted", DP_CHANGE_TEXT, "", ""},
	{"links.window", {"15km", "15km, window: 2MiB"}, "link relay, west" LIMITS,
		DP_CHANGE_RESTART, "relay", ""},
	{"links.rate", {"15km", "15km, rate: 8Mbit"}, "link relay, west" LIMITS, DP_CHANGE_LIVE, "",
		"relay"},
	{"links.send", {"15km", "15km, send: 22:00-06:00"}, "link relay, west" LIMITS,
		DP_CHANGE_LIVE, "", "relay"},
	{"links.compress", {"15km", "15km, compress: true"}, "link relay, west" LIMITS,
		DP_CHANGE_LIVE, "", "relay"},
	{"links.connections", {"15km", "15km, connections: 2"}, "link relay, west" LIMITS,
		DP_CHANGE_RESTART, "relay", ""},
	{"links.connections", {"40km", "40km, connections: 2"}, "link nwk, east" LIMITS,
		DP_CHANGE_TEXT, "", ""},
	{"links.connections", {"connections: 2", "connections: 3"}, "link nwk, relay" LIMITS,
		DP_CHANGE_TEXT, "", ""},
	{"links.heartbeat.interval", {"interval: 2s", "interval: 1s"}, "link nwk, relay" LIMITS,
		DP_CHANGE_LIVE, "", "nwk relay"},
	{"links.heartbeat.down-after", {"down-after: 5s", "down-after: 6s"},
		"link nwk, relay" LIMITS, DP_CHANGE_LIVE, "", "nwk relay"},
	{"links.heartbeat.probation", {"probation: 8s", "probation: 9s"}, "link nwk, relay" LIMITS,
		DP_CHANGE_LIVE, "", "nwk relay"},
	{"links.heartbeat.probation", {"[nwk, free]", "[nwk, free], heartbeat: {probation: 7s}"},
		"link nwk, free" LIMITS, DP_CHANGE_TEXT, "", ""},
	{"streams", {"streams:\n", "streams:\n  news: {controller: nwk, legs: {e: [east]}}\n"},
		"stream news: new", DP_CHANGE_RESTART, "nwk east", ""},
	{"streams",
		{"  mail:\n    controller: nwk\n    legs: {w: [relay, west], s: [south]}\n    read-cache: 1MiB\n",
			"", "  post: {stream: mail, size: 4MiB}\n", ""},
		"stream mail: gone | volume post: gone", DP_CHANGE_RESTART, OF_MAIL, ""},
	{"streams",
		{"  orders:\n    controller: nwk\n    legs: {w: [relay, west], e: [east]}\n    seal: chacha20-poly1305\n  mail:\n    controller: nwk\n    legs: {w: [relay, west], s: [south]}\n    read-cache: 1MiB\n",
			"  mail:\n    controller: nwk\n    legs: {w: [relay, west], s: [south]}\n    read-cache: 1MiB\n  orders:\n    controller: nwk\n    legs: {w: [relay, west], e: [east]}\n    seal: chacha20-poly1305\n"},
		"streams: another order", DP_CHANGE_RESTART, "nwk relay west", ""},
	{"streams.controller",
		{"nodes:\n", "nodes:\n  other: {role: controller, site: newark}\n",
			"mail:\n    controller: nwk", "mail:\n    controller: other", "links:\n",
			"links:\n  - {between: [other, relay], trusted: false}\n  - {between: [other, south]}\n"},
		"node other: new | stream mail: controller | link other, relay: new | link other, south: new",
		DP_CHANGE_NEVER, "", ""},
	{"streams.legs", {"s: [south]", "s: [south], e: [free, east]"},
		"stream mail: leg e to east: new", DP_CHANGE_RESTART, ALL, ""},
	{"streams.legs", {"e: [east]", "e: [east], s: [south]"},
		"stream orders: leg s to south: new", DP_CHANGE_RESTART, ALL, ""},
	{"streams.legs", {", s: [south]", ""}, "stream mail: leg s to south: gone",
		DP_CHANGE_RESTART, OF_MAIL, ""},
	{"streams.legs", {"e: [east]", "e: [free, east]"}, "stream orders: leg e takes another way",
		DP_CHANGE_RESTART, "nwk east", ""},
	{"streams.legs", {"e: [east]", "x: [east]"},
		"stream orders: leg e to east: gone | stream orders: leg x to east: new",
		DP_CHANGE_RESTART, "nwk", ""},
	{"streams.legs", {"{w: [relay, west], s: [south]}", "{s: [south], w: [relay, west]}"},
		"stream mail: legs in another order", DP_CHANGE_RESTART, "nwk", ""},
	{"streams.legs", {"{w: [relay, west], e: [east]}", "{e: [east], w: [relay, west]}"},
		"stream orders: legs in another order", DP_CHANGE_RESTART, "nwk west east", ""},
	{"streams.legs", {"{w: [relay, west], s: [south]}", "{x: [relay, west], y: [south]}"},
		"stream mail: all legs | stream mail: leg w to west: gone | stream mail: leg s to south: gone | stream mail: leg x to west: new | stream mail: leg y to south: new",
		DP_CHANGE_NEVER, "", ""},
	{"streams.ack.stage", {"read-cache", "ack: {stage: committed}\n    read-cache"},
		"stream mail: ack, flush or when-leg-down", DP_CHANGE_RESTART, OF_MAIL, ""},
	{"streams.ack.legs", {"read-cache", "ack: {legs: 1}\n    read-cache"},
		"stream mail: ack, flush or when-leg-down", DP_CHANGE_RESTART, OF_MAIL, ""},
	{"streams.ack.legs", {", s: [south]}", "}\n    ack: {legs: 1}"},
		"stream mail: leg s to south: gone", DP_CHANGE_RESTART, OF_MAIL, ""},
	{"streams.flush", {"read-cache", "flush: committed\n    read-cache"},
		"stream mail: ack, flush or when-leg-down", DP_CHANGE_RESTART, OF_MAIL, ""},
	{"streams.when-leg-down.keep-serving",
		{"read-cache", "when-leg-down: {keep-serving: 1}\n    read-cache"},
		"stream mail: ack, flush or when-leg-down", DP_CHANGE_RESTART, OF_MAIL, ""},
	{"streams.local", {"read-cache", "local: mirror\n    read-cache"}, "stream mail: local",
		DP_CHANGE_NEVER, "", ""},
	{"streams.journal.size", {"read-cache", "journal: {size: 32MiB}\n    read-cache"},
		"stream mail: journal size", DP_CHANGE_NEVER, "", ""},
	{"streams.journal.high-water", {"read-cache", "journal: {high-water: 70%}\n    read-cache"},
		"stream mail: limits", DP_CHANGE_LIVE, "", OF_MAIL},
	{"streams.journal.when-full", {"read-cache", "journal: {when-full: track}\n    read-cache"},
		"stream mail: limits", DP_CHANGE_LIVE, "", "nwk"},
	{"streams.resync-rate", {"read-cache", "resync-rate: 1MiB\n    read-cache"},
		"stream mail: limits", DP_CHANGE_LIVE, "", OF_MAIL},
	{"streams.seal", {"read-cache", "seal: aes256-gcm\n    read-cache"}, "stream mail: seal",
		DP_CHANGE_AT_START, "", ""},
	{"streams.read-cache", {"read-cache: 1MiB", "read-cache: 2MiB"}, "stream mail: limits",
		DP_CHANGE_RESTART, "nwk", ""},
	{"volumes", {"volumes:\n", "volumes:\n  more: {stream: mail, size: 1MiB}\n"},
		"volume more: new, 1048576 bytes", DP_CHANGE_RESTART, OF_MAIL, ""},
	{"volumes", {"  log:  {stream: orders, size: 1MiB}\n", ""}, "volume log: gone",
		DP_CHANGE_RESTART, OF_ORDERS, ""},
	{"volumes",
		{"  data: {stream: orders, size: 8MiB}\n  log:  {stream: orders, size: 1MiB}\n",
			"  log:  {stream: orders, size: 1MiB}\n  data: {stream: orders, size: 8MiB}\n"},
		"volumes: another order", DP_CHANGE_RESTART, OF_ORDERS, ""},
	{"volumes",
		{"  log:  {stream: orders, size: 1MiB}\n  post: {stream: mail, size: 4MiB}\n",
			"  post: {stream: mail, size: 4MiB}\n  log:  {stream: orders, size: 1MiB}\n"},
		"", DP_CHANGE_TEXT, "", ""},
	{"volumes.stream", {"post: {stream: mail", "post: {stream: orders"},
		"volume post: stream orders instead of mail", DP_CHANGE_NEVER, "", ""},
	{"volumes.size", {"size: 8MiB", "size: 16MiB"},
		"volume data: 16777216 bytes instead of 8388608", DP_CHANGE_RESTART, OF_ORDERS, ""},
	{"volumes.size", {"size: 8MiB", "size: 4MiB"},
		"volume data: 4194304 bytes instead of 8388608", DP_CHANGE_NEVER, "", ""},
	{"volumes.skip-unchanged", {"size: 4MiB", "size: 4MiB, skip-unchanged: true"},
		"volume post: skip-unchanged", DP_CHANGE_LIVE, "", OF_MAIL},
	{"operators", {"operators:\n", "operators:\n  carl: {role: observe, key: \"@c\"}\n"},
		"operator carl: new, observe", DP_CHANGE_RESTART, ALL, ""},
	{"operators", {"  anna: {role: observe, key: \"@a\"}\n", ""}, "operator anna: gone",
		DP_CHANGE_RESTART, ALL, ""},
	{"operators",
		{"  anna: {role: observe, key: \"@a\"}\n  bert: {role: operate, key: \"@b\"}\n",
			"  bert: {role: operate, key: \"@b\"}\n  anna: {role: observe, key: \"@a\"}\n"},
		"operators: another order", DP_CHANGE_RESTART, ALL, ""},
	{"operators.key", {"\"@a\"", "\"@c\""}, "operator anna: key", DP_CHANGE_RESTART, ALL, ""},
	{"operators.role", {"role: observe", "role: administer"},
		"operator anna: administer instead of observe", DP_CHANGE_RESTART, ALL, ""},
};

const unsigned change_case_count = sizeof change_cases / sizeof change_cases[0];

/* Frees `text`. */
static char *changes_replaced(char *text, const char *find, const char *by)
{
	char *out = calloc(1, 16384), *to = out;
	const char *at = text;
	for (const char *next; (next = strstr(at, find)); at = next + strlen(find))
		to += sprintf(to, "%.*s%s", (int)(next - at), at, by);
	strcpy(to, at);
	free(text);
	return out;
}

struct dp_topology *changes_parse(const char *text)
{
	static struct dp_topo_errors errors;
	struct dp_topology *t = NULL;
	char *whole = calloc(1, 16384), *to = whole;
	for (const char *c = text; *c; c++)
		if (*c != '@')
			*to++ = *c;
		else
			to = (char *)memset(to, *++c, DP_KEY_TEXT) + DP_KEY_TEXT;
	if (sodium_init() < 0 || dp_topology_parse(whole, strlen(whole), "t", &t, &errors))
		t = NULL;
	free(whole);
	return t;
}

struct dp_topology *changes_apply(const struct change_case *first, const struct change_case *second)
{
	const struct change_case *const both[] = {first, second};
	char *text = strdup(changes_before);
	bool found = true;
	for (unsigned i = 0; i < 2; i++)
		for (const char *const *edit = both[i] ? both[i]->edits : NULL; edit && *edit;
			edit += 2) {
			found = found && strstr(text, edit[0]);
			text = changes_replaced(text, edit[0], edit[1]);
		}
	struct dp_topology *t = found ? changes_parse(text) : NULL;
	free(text);
	return t;
}
