/* SPDX-License-Identifier: MIT */
/* Links without a node: two ends in this process. The tests of whole nodes over their links are in
 * test_net.c. */
#include <criterion/criterion.h>

#include <arpa/inet.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "net/links.h"

#define LIMIT_US 10000000
#define MS       1000u
#define LINKS    2

/* One end: what it has been told. */
struct end {
	struct dp_links *links;
	struct dp_links_config cfg;
	struct dp_link_config peers[LINKS];
	struct dp_admission *admission;
	char listen[128];
	char public[DP_KEY_SIZE], secret[DP_KEY_SIZE];
	char admitted[2][DP_KEY_SIZE]; /* the keys of "above" */
	uint64_t now_us, bad, refused, saved;
	unsigned taken;       /* messages */
	struct dp_msg newest; /* without what it owns */
	char owner[64];       /* of the newest from above */
	uint32_t sender;      /* the same */
	unsigned opened[2];   /* how often link 0 was closed, opened */
};

static uint64_t clock_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* ---- what an end does with what it is told ---- */

static bool admits(void *ctx, enum dp_domain domain, const char *key, char owner[DP_OWNER_SIZE])
{
	struct end *e = ctx;
	for (unsigned i = 0; i < 2; i++)
		if (key && domain == DP_DOMAIN_LINKS && strcmp(key, e->admitted[i]) == 0)
			return snprintf(owner, DP_OWNER_SIZE, "above") > 0;
	e->refused++;
	return false;
}

static bool from_above(void *ctx, uint32_t sender, const char *owner, struct dp_msg *m,
	bool bad_record)
{
	struct end *e = ctx;
	cr_assert_not(bad_record);
	e->taken++;
	e->newest = *m;
	e->sender = sender;
	snprintf(e->owner, sizeof e->owner, "%s", owner);
	return m->stream == 7;
}

static bool from_below(void *ctx, unsigned link, struct dp_msg *m)
{
	struct end *e = ctx;
	cr_assert_eq(link, 0);
	e->taken++;
	e->newest = *m;
	return m->stream == 7;
}

static void bad_message(void *ctx, const char *from, const char *why)
{
	struct end *e = ctx;
	(void)from;
	(void)why;
	e->bad++;
}

static void link_opened(void *ctx, unsigned link, bool open)
{
	struct end *e = ctx;
	if (link == 0)
		e->opened[open]++;
}

static void bytes_saved(void *ctx, unsigned link, uint64_t stream, uint64_t bytes)
{
	struct end *e = ctx;
	cr_assert(link == 0 && stream == 7);
	e->saved += bytes;
}

static bool is_sending(void *ctx, unsigned link)
{
	(void)ctx;
	(void)link;
	return false;
}

static const struct dp_links_ops ops = {
	from_above, from_below, bad_message, link_opened, bytes_saved, is_sending};

/* ---- an end ---- */

static void make_end(struct end *e, const char *node)
{
	*e = (struct end){.now_us = clock_us()};
	zmq_curve_keypair(e->public, e->secret);
	e->cfg = (struct dp_links_config){.deployment = "test",
		.node = node,
		.listen = "",
		.public_key = e->public,
		.secret_key = e->secret,
		.now_us = &e->now_us};
	cr_assert_eq(dp_admission_open(e->secret, admits, e, &e->admission), 0);
	e->cfg.admission = e->admission;
}

static void open_end(struct end *e)
{
	cr_assert_eq(dp_links_open(&e->cfg, &ops, e, &e->links), 0);
}

static void close_end(struct end *e)
{
	dp_links_close(&e->links);
	dp_admission_close(&e->admission);
}

/* What the loop of a node does. */
static void turn_end(struct end *e)
{
	struct pollfd fds[DP_LINKS_FDS + LINKS];
	e->now_us = clock_us();
	dp_links_flush(e->links);
	unsigned count = dp_links_watch(e->links, fds);
	cr_assert_leq(count, DP_LINKS_FDS + LINKS);
	poll(fds, count, 1);
	dp_links_ready(e->links, fds);
	dp_admission_wake(e->admission);
	dp_admission_receive(e->admission);
	dp_links_check_beats(e->links);
	cr_assert_eq(dp_links_tick(e->links), 0);
	dp_links_receive(e->links);
}

#define TURN_UNTIL(a, b, condition)                                                                \
	for (uint64_t until_us = clock_us() + LIMIT_US; !(condition);) {                           \
		cr_assert_lt(clock_us(), until_us, "never: " #condition);                          \
		turn_end(a);                                                                       \
		turn_end(b);                                                                       \
	}

static void find_address(char address[128])
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&at, size), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	snprintf(address, 128, "tcp://127.0.0.1:%u", ntohs(at.sin_port));
	close(fd);
}

/* "above" has one link to "below", which asks for its key. */
static void make_pair(struct end *above, struct end *below)
{
	static const struct dp_health_config health = {20 * MS, 1000 * MS, 50 * MS};
	make_end(above, "above");
	make_end(below, "below");
	find_address(below->listen);
	below->cfg.listen = below->listen;
	below->cfg.listen_curve = true;
	below->cfg.above = below->peers;
	below->cfg.above_count = 1;
	below->peers[0] = (struct dp_link_config){.peer = "above", .health = health};
	memcpy(below->peers[0].key, above->public, DP_KEY_SIZE);
	memcpy(below->admitted[0], above->public, DP_KEY_SIZE);
	above->cfg.below = above->peers;
	above->cfg.below_count = 1;
	above->peers[0] = (struct dp_link_config){.peer = "below", .health = health};
	memcpy(above->peers[0].address, below->listen, sizeof below->listen);
	memcpy(above->peers[0].key, below->public, DP_KEY_SIZE);
}

static struct dp_msg make_ack(uint64_t stream, uint64_t cached)
{
	return (struct dp_msg){.type = DP_MSG_ACK, .stream = stream, .u.ack.cached = cached};
}

/* Messages are lost until the connection is there. */
static void send_down_until_taken(struct end *above, struct end *below)
{
	unsigned before = below->taken;
	for (uint64_t end_us = clock_us() + LIMIT_US; below->taken == before;) {
		struct dp_msg m = make_ack(7, 1);
		cr_assert_lt(clock_us(), end_us, "nothing arrives");
		dp_links_send_down(above->links, 0, &m);
		turn_end(above);
		turn_end(below);
	}
}

/* ---- tests ---- */

Test(links, carry_messages_both_ways)
{
	static struct end above, below;
	make_pair(&above, &below);
	open_end(&below);
	open_end(&above);
	send_down_until_taken(&above, &below);
	cr_assert_str_eq(below.owner, "above");
	unsigned before = below.taken;
	struct dp_msg m;
	for (unsigned i = 0; i < 100; i++) {
		m = make_ack(7, 10 + i);
		dp_links_send_down(above.links, 0, &m);
		m = make_ack(7, 1000 + i);
		dp_links_send_up(below.links, below.sender, &m);
	}
	TURN_UNTIL(&above, &below, below.newest.u.ack.cached == 109 && above.taken == 100);
	cr_assert_geq(below.taken, before + 100);
	cr_assert_eq(above.newest.u.ack.cached, 1099);
	cr_assert(above.bad == 0 && below.bad == 0 && below.refused == 0);
	m = make_ack(8, 1); /* a stream that nobody takes */
	dp_links_send_down(above.links, 0, &m);
	m = make_ack(8, 1);
	dp_links_send_up(below.links, below.sender, &m);
	TURN_UNTIL(&above, &below, above.bad == 1 && below.bad == 1);
	struct dp_link_state state = dp_links_state(above.links, 0);
	cr_assert(state.open && state.in_hours && state.heard_us);
	close_end(&above);
	close_end(&below);
}

Test(links, of_an_unlisted_key_carry_nothing)
{
	static struct end above, below;
	make_pair(&above, &below);
	memset(below.admitted, 0, sizeof below.admitted);
	open_end(&below);
	open_end(&above);
	for (uint64_t end_us = clock_us() + LIMIT_US; !below.refused;) {
		struct dp_msg m = make_ack(7, 1);
		cr_assert_lt(clock_us(), end_us);
		dp_links_send_down(above.links, 0, &m);
		turn_end(&above);
		turn_end(&below);
	}
	cr_assert_eq(below.taken, 0);
	close_end(&above);
	close_end(&below);
}

/* ---- heartbeats ---- */

Test(heartbeats, close_a_link_and_open_it_again)
{
	static struct end above, below;
	make_pair(&above, &below);
	open_end(&below);
	open_end(&above);
	cr_assert_eq(dp_links_beat_fd(above.links), -1);
	cr_assert_eq(dp_links_start_beats(below.links), 0);
	cr_assert_eq(dp_links_start_beats(above.links), 0);
	struct dp_health h;
	TURN_UNTIL(&above, &below,
		dp_links_health(above.links, 0, &h) && h.state == DP_HEALTH_CONNECTED);
	cr_assert(above.opened[0] == 0 && above.opened[1] == 0, "it was open before");
	dp_links_stop_beats(below.links);
	TURN_UNTIL(&above, &below, above.opened[0] == 1);
	cr_assert_not(dp_links_state(above.links, 0).open);
	cr_assert_eq(dp_links_state(above.links, 0).health, DP_HEALTH_DOWN);
	cr_assert_eq(dp_links_start_beats(below.links), 0);
	TURN_UNTIL(&above, &below, above.opened[1] == 1);
	send_down_until_taken(&above, &below);
	cr_assert_eq(dp_links_refused_beats(above.links), 0);
	close_end(&above);
	close_end(&below);
}

/* ---- changes ---- */

/* The peer gets another key: the link goes on with the former one until the peer uses the new one.
 */
Test(update, follows_a_key_that_changes)
{
	static struct end above, below;
	static const bool stays[LINKS];
	char public[DP_KEY_SIZE], secret[DP_KEY_SIZE];
	zmq_curve_keypair(public, secret);
	make_pair(&above, &below);
	open_end(&below);
	open_end(&above);
	cr_assert_eq(dp_links_start_beats(below.links), 0);
	cr_assert_eq(dp_links_start_beats(above.links), 0);
	send_down_until_taken(&above, &below);
	memcpy(above.peers[0].former_key, below.public, DP_KEY_SIZE);
	memcpy(above.peers[0].key, public, DP_KEY_SIZE);
	cr_assert_eq(dp_links_update(above.links, stays, true), 0);
	send_down_until_taken(&above, &below);
	cr_assert_eq(above.opened[0], 0, "its session ends for nothing");
	close_end(&below);
	/* It runs again, with the new key. */
	make_end(&below, "below");
	memcpy(below.listen, above.peers[0].address, sizeof below.listen);
	memcpy(below.public, public, DP_KEY_SIZE);
	memcpy(below.secret, secret, DP_KEY_SIZE);
	memcpy(below.admitted[0], above.public, DP_KEY_SIZE);
	below.cfg.listen = below.listen;
	below.cfg.listen_curve = true;
	below.cfg.above = below.peers;
	below.cfg.above_count = 1;
	below.peers[0] = (struct dp_link_config){.peer = "above", .health = above.peers[0].health};
	memcpy(below.peers[0].key, above.public, DP_KEY_SIZE);
	open_end(&below);
	cr_assert_eq(dp_links_start_beats(below.links), 0);
	send_down_until_taken(&above, &below);
	/* The former key is removed: nothing changes. */
	memset(above.peers[0].former_key, 0, DP_KEY_SIZE);
	unsigned closed = above.opened[0];
	cr_assert_eq(dp_links_update(above.links, stays, true), 0);
	send_down_until_taken(&above, &below);
	cr_assert_eq(above.opened[0], closed);
	close_end(&above);
	close_end(&below);
}

/* A former key that is removed while it is in use: the link takes the new one, and waits for the
 * peer to use it, too. */
Test(update, leaves_a_key_that_is_removed)
{
	static struct end above, below;
	static const bool stays[LINKS];
	char public[DP_KEY_SIZE], secret[DP_KEY_SIZE];
	zmq_curve_keypair(public, secret);
	make_pair(&above, &below);
	open_end(&below);
	open_end(&above);
	send_down_until_taken(&above, &below);
	memcpy(above.peers[0].key, public, DP_KEY_SIZE);
	memcpy(above.peers[0].former_key, below.public, DP_KEY_SIZE);
	cr_assert_eq(dp_links_update(above.links, stays, false), 0);
	cr_assert_eq(above.opened[0], 0);
	memset(above.peers[0].former_key, 0, DP_KEY_SIZE);
	cr_assert_eq(dp_links_update(above.links, stays, false), 0);
	cr_assert(above.opened[0] == 1 && above.opened[1] == 1, "a new session");
	close_end(&above);
	close_end(&below);
}

Test(update, connects_to_another_address)
{
	static struct end above, below;
	static const bool moved[LINKS] = {true};
	make_pair(&above, &below);
	find_address(above.peers[0].address);
	open_end(&below);
	open_end(&above);
	memcpy(above.peers[0].address, below.listen, sizeof below.listen);
	cr_assert_eq(dp_links_update(above.links, moved, false), 0);
	cr_assert(above.opened[0] == 1 && above.opened[1] == 1);
	send_down_until_taken(&above, &below);
	close_end(&above);
	close_end(&below);
}
