/* SPDX-License-Identifier: MIT */
/* Heartbeats: when a link counts as up, and that recordings and unverified runs change nothing. */
#include <criterion/criterion.h>

#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <zmq.h>
#include <string.h>
#include <sys/socket.h>
#include <stdio.h>
#include <unistd.h>

#include "base/err.h"
#include "net/health.h"
#include "net/beat.h"
#include "net/buffers.h"
#include "net/heartbeats.h"

#define MS 1000ull

static const struct dp_health_config config = {100 * MS, 400 * MS, 1000 * MS};
static struct dp_health a, b;
static uint64_t now;
static bool deaf_a, deaf_b; /* what is sent to them is lost */

static void begin(void)
{
	now = 1000 * MS;
	deaf_a = deaf_b = false;
	dp_health_init(&a, &config, 11, now);
	dp_health_init(&b, &config, 22, now);
}

static void send_beat(struct dp_health *from, struct dp_health *to, bool lost)
{
	struct dp_beat beat;
	if (dp_health_due(from, now, &beat) && !lost)
		dp_health_beat(to, &beat, now);
	if (dp_health_answer(from, now, &beat) && !lost)
		dp_health_beat(to, &beat, now);
}

static void pass(uint64_t time)
{
	for (uint64_t end = now + time; now < end; now += 10 * MS) {
		send_beat(&a, &b, deaf_b);
		send_beat(&b, &a, deaf_a);
		dp_health_tick(&a, now);
		dp_health_tick(&b, now);
	}
}

Test(health, both_are_connected_at_once, .init = begin)
{
	pass(30 * MS);
	cr_assert_eq(a.state, DP_HEALTH_CONNECTED);
	cr_assert_eq(b.state, DP_HEALTH_CONNECTED);
	pass(10000 * MS);
	cr_assert(a.outages == 0 && a.ignored == 0 && b.ignored == 0);
}

Test(health, beats_keep_to_the_schedule, .init = begin)
{
	pass(30 * MS);
	uint64_t before = b.beats;
	pass(10000 * MS);
	cr_assert(b.beats - before >= 98 && b.beats - before <= 102, "%u beats in 10 s",
		(unsigned)(b.beats - before));
}

Test(health, silence_is_an_outage_and_probation_follows, .init = begin)
{
	pass(1000 * MS);
	deaf_a = deaf_b = true;
	pass(300 * MS);
	cr_assert_eq(a.state, DP_HEALTH_CONNECTED);
	pass(200 * MS);
	cr_assert_eq(a.state, DP_HEALTH_DOWN);
	cr_assert_not(dp_health_open(&a));
	deaf_a = deaf_b = false;
	pass(300 * MS);
	cr_assert_eq(a.state, DP_HEALTH_PROBATION);
	cr_assert_not(dp_health_open(&a));
	pass(700 * MS);
	cr_assert_eq(a.state, DP_HEALTH_PROBATION);
	pass(200 * MS);
	cr_assert_eq(a.state, DP_HEALTH_CONNECTED);
	cr_assert_eq(a.outages, 1);
}

Test(health, a_gap_begins_probation_anew, .init = begin)
{
	pass(1000 * MS);
	deaf_a = deaf_b = true;
	pass(600 * MS);
	deaf_a = deaf_b = false;
	pass(800 * MS);
	deaf_a = deaf_b = true;
	pass(300 * MS);
	deaf_a = deaf_b = false;
	pass(800 * MS);
	cr_assert_eq(a.state, DP_HEALTH_PROBATION, "the gap did not count");
	pass(500 * MS);
	cr_assert_eq(a.state, DP_HEALTH_CONNECTED);
}

/* Only one direction is cut: both sides see it. */
Test(health, half_a_link_is_down_at_both_ends, .init = begin)
{
	pass(1000 * MS);
	deaf_b = true;
	pass(1500 * MS);
	cr_assert_eq(b.state, DP_HEALTH_DOWN);
	cr_assert_eq(a.state, DP_HEALTH_DOWN, "it is not heard, and does not know");
}

Test(health, a_peer_that_starts_later_needs_no_probation, .init = begin)
{
	deaf_a = deaf_b = true;
	pass(5000 * MS);
	cr_assert_eq(a.state, DP_HEALTH_DOWN);
	deaf_a = deaf_b = false;
	pass(150 * MS);
	cr_assert_eq(a.state, DP_HEALTH_CONNECTED);
	cr_assert_eq(a.outages, 0);
}

/* A quick restart is no outage; the new run is known by its own beats. */
Test(health, a_restarted_peer, .init = begin)
{
	pass(1000 * MS);
	dp_health_init(&b, &config, 33, now);
	pass(300 * MS);
	cr_assert_eq(a.last.incarnation, 33);
	cr_assert(a.state == DP_HEALTH_CONNECTED && b.state == DP_HEALTH_CONNECTED);
	cr_assert_eq(a.outages, 0);
}

Test(health, recordings_keep_no_dead_link_alive, .init = begin)
{
	struct dp_beat old, newer;
	pass(1000 * MS);
	old = a.last;
	pass(200 * MS);
	newer = a.last;
	/* A new run of the peer; what was recorded of the old one had heard this run of ours. */
	dp_health_init(&b, &config, 33, now);
	pass(300 * MS);
	struct dp_beat recent = a.last;
	deaf_a = deaf_b = true;
	for (int i = 0; i < 60; i++) {
		dp_health_beat(&a, &old, now);
		dp_health_beat(&a, &recent, now);
		dp_health_beat(&a, &newer, now);
		pass(10 * MS);
	}
	cr_assert_eq(a.state, DP_HEALTH_DOWN);
	cr_assert_eq(a.ignored, 180);
}

/* Somebody else who has the key (it must have been stolen) cannot make a living peer look dead. */
Test(health, two_runs_at_once, .init = begin)
{
	struct dp_health other;
	struct dp_beat beat;
	pass(1000 * MS);
	dp_health_init(&other, &config, 44, now);
	for (int i = 0; i < 300; i++) {
		if (dp_health_due(&other, now, &beat))
			dp_health_beat(&a, &beat, now);
		if (dp_health_due(&a, now, &beat)) {
			dp_health_beat(&b, &beat, now);
			dp_health_beat(&other, &beat, now);
		}
		pass(10 * MS);
	}
	cr_assert_eq(a.state, DP_HEALTH_CONNECTED);
	cr_assert_eq(b.state, DP_HEALTH_CONNECTED);
	cr_assert_eq(b.outages, 0);
}

/* Recorded before we began: it cannot know this run of ours, and does not push the peer out. */
Test(health, a_recording_from_before_our_start, .init = begin)
{
	pass(1000 * MS);
	struct dp_beat ancient = {.incarnation = 7, .counter = 1000000, .heard = 5};
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(dp_health_beat(&a, &ancient, now), DP_BEAT_UNVERIFIED);
		pass(10 * MS);
	}
	cr_assert(a.state == DP_HEALTH_CONNECTED && a.last.incarnation == 22);
}

Test(health, the_round_trip_is_measured, .init = begin)
{
	struct dp_beat from_a, from_b;
	dp_health_due(&a, 1000 * MS, &from_a);
	dp_health_beat(&b, &from_a, 1007 * MS);
	dp_health_answer(&b, 1010 * MS, &from_b);
	dp_health_beat(&a, &from_b, 1017 * MS); /* a knows b now */
	dp_health_due(&a, 1100 * MS, &from_a);
	dp_health_beat(&b, &from_a, 1107 * MS);
	dp_health_due(&b, 1150 * MS, &from_b);
	dp_health_beat(&a, &from_b, 1157 * MS);
	cr_assert_eq(a.rtt_us, 14 * MS);
}

/* ---- on the wire ---- */

static struct dp_beat some = {1, 2, 3, 4, 5, 6};

Test(beat, comes_back)
{
	uint8_t key[DP_BEAT_KEY_SIZE] = {9}, wire[DP_BEAT_SIZE];
	struct dp_beat out;
	dp_beat_encode(&some, 100, 200, key, wire);
	cr_assert_eq(dp_beat_from(wire, sizeof wire), 100);
	cr_assert_eq(dp_beat_decode(wire, sizeof wire, 200, key, &out), 0);
	cr_assert_arr_eq(&out, &some, sizeof some);
}

Test(beat, any_change_is_noticed)
{
	uint8_t key[DP_BEAT_KEY_SIZE] = {9}, wire[DP_BEAT_SIZE];
	struct dp_beat out;
	for (unsigned i = 0; i < DP_BEAT_SIZE; i++) {
		dp_beat_encode(&some, 100, 200, key, wire);
		wire[i] ^= 0x10;
		cr_assert_neq(dp_beat_decode(wire, sizeof wire, 200, key, &out), 0, "byte %u", i);
	}
	dp_beat_encode(&some, 100, 200, key, wire);
	cr_assert_eq(dp_beat_decode(wire, sizeof wire - 1, 200, key, &out), DP_EBADMSG);
	cr_assert_eq(dp_beat_decode(wire, sizeof wire, 201, key, &out), DP_EBADMSG);
	key[31] = 1;
	cr_assert_eq(dp_beat_decode(wire, sizeof wire, 200, key, &out), DP_EPERM);
}

Test(beat, both_ends_of_a_link_have_one_key)
{
	uint8_t public[2][32], secret[2][32], key[2][32];
	char text[2][2][41];
	for (int i = 0; i < 2; i++) {
		crypto_box_keypair(public[i], secret[i]);
		zmq_z85_encode(text[i][0], public[i], 32);
		zmq_z85_encode(text[i][1], secret[i], 32);
	}
	cr_assert_eq(dp_beat_key(text[1][0], text[0][1], key[0]), 0);
	cr_assert_eq(dp_beat_key(text[0][0], text[1][1], key[1]), 0);
	cr_assert_arr_eq(key[0], key[1], 32);
	cr_assert_eq(dp_beat_key("no key", text[1][1], key[1]), DP_EINVAL);
	cr_assert_eq(dp_beat_key("", "", key[1]), 0);
}

Test(beat, names_differ)
{
	cr_assert_neq(dp_beat_name("shop", "east"), dp_beat_name("shop", "west"));
	cr_assert_neq(dp_beat_name("shop", "east"), dp_beat_name("shope", "ast"));
	cr_assert_eq(dp_beat_name("shop", "east"), dp_beat_name("shop", "east"));
}

/* ---- the thread ---- */

/* A peer that says nothing. Its way may have changed, and a socket keeps the one it was connected
 * by: while it is down beats come from a new socket now and then, and several from each, to which
 * an answer finds back. */
Test(heartbeats, a_peer_that_is_down_is_connected_to_anew, .timeout = 30)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
			   from;
	socklen_t size = sizeof at, from_size;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&at, size), 0);
	cr_assert_eq(getsockname(fd, (struct sockaddr *)&at, &size), 0);
	struct dp_heartbeat_peer peer = {.name = 2, .health = {20 * MS, 100 * MS, 100 * MS}};
	struct dp_heartbeats_config cfg = {
		.name = 1, .listen = "", .peers = &peer, .peer_count = 1};
	struct dp_heartbeats *ours;
	snprintf(peer.address, sizeof peer.address, "tcp://127.0.0.1:%u", ntohs(at.sin_port));
	cr_assert_eq(dp_heartbeats_start(&cfg, &ours), 0);
	unsigned sockets = 0, beats = 0;
	in_port_t last = 0;
	while (sockets < 5) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};
		char beat[256];
		cr_assert_eq(poll(&wait, 1, 5000), 1, "no more beats after %u sockets", sockets);
		from_size = sizeof from;
		cr_assert_gt(recvfrom(fd, beat, sizeof beat, 0, (struct sockaddr *)&from,
				     &from_size),
			0);
		beats++;
		sockets += from.sin_port != last;
		last = from.sin_port;
		cr_assert_lt(beats, 200, "%u sockets in %u beats: it stays with one", sockets,
			beats);
	}
	cr_assert_geq(beats, 2 * (sockets - 1), "a new socket for each beat");
	dp_heartbeats_stop(&ours);
	close(fd);
}

/* ---- socket buffers ---- */

static long long largest(const char *path)
{
	long long most = 0;
	FILE *f = fopen(path, "r");
	cr_assert(f && fscanf(f, "%*d %*d %lld", &most) == 1);
	fclose(f);
	return most;
}

/* What a socket has in the end is never less than it would have had unasked. */
Test(buffers, are_asked_for_only_where_that_gives_more)
{
	for (int i = 0; i < 2; i++) {
		int option = i ? SO_SNDBUF : SO_RCVBUF, has;
		long long tuned = largest(i ? "/proc/sys/net/ipv4/tcp_wmem"
					    : "/proc/sys/net/ipv4/tcp_rmem");
		socklen_t length = sizeof has;
		cr_assert_eq(dp_socket_buffer(option, 4096), -1,
			"less than the kernel gives by itself");
		int size = 1 << 26, answer = dp_socket_buffer(option, 1 << 26),
		    fd = socket(AF_INET, SOCK_STREAM, 0);
		setsockopt(fd, SOL_SOCKET, option, &size, sizeof size);
		getsockopt(fd, SOL_SOCKET, option, &has, &length);
		close(fd);
		cr_assert_eq(answer, has > tuned ? size : -1, "%d with %d granted and %lld unasked",
			answer, has, tuned);
	}
}
