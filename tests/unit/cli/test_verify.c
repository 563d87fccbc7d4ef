/* SPDX-License-Identifier: MIT */
/* `dipole verify`: which copies are compared, what is said of them, and why one is missing. The
 * nodes are stand-ins: processes with a control socket that give the answers of a table. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli.h"
#include "verbs/copies.h"

static const char topology[] = "dipole: 1\n"
			       "name: t\n"
			       "sites: {s: {at: [40, -74]}}\n"
			       "nodes:\n"
			       "  nwk:   {role: controller, site: s}\n"
			       "  relay: {role: relay, site: s, listen: tcp://10.1.0.2:7400}\n"
			       "  west:  {role: mirror, site: s, listen: tcp://10.2.0.1:7400}\n"
			       "  east:  {role: mirror, site: s, listen: tcp://10.3.0.1:7400}\n"
			       "links:\n"
			       "  - {between: [nwk, west], trusted: true}\n"
			       "  - {between: [nwk, relay], trusted: true}\n"
			       "  - {between: [relay, east], trusted: true}\n"
			       "streams:\n"
			       "  main:\n"
			       "    controller: nwk\n"
			       "    legs: {west: [west], east: [relay, east]}\n"
			       "volumes:\n"
			       "  disk: {stream: main, size: 1GiB}\n";

#define A    "00112233445566778899aabbccddeeff"
#define B    "ff112233445566778899aabbccddeeff"
#define NONE "{\"ok\":true,\"done\":false}\n"
#define DONE(Digest)                                                                               \
	"{\"ok\":true,\"done\":true,\"digest\":\"" Digest "\",\"epoch\":2,\"seq\":41}\n"
#define STREAM(Members)   "{\"ok\":true,\"streams\":[{\"name\":\"main\",\"state\":" Members "}]}\n"
#define LINK(Peer, State) "{\"peer\":\"" Peer "\",\"state\":\"" State "\"}"
#define NWK(West, Relay)                                                                           \
	STREAM("\"Open\",\"links\":[" LINK("west", West) "," LINK("relay", Relay) "]")
#define RELAY(East)             STREAM("\"Open\",\"links\":[" LINK("east", East) "]")
#define MIRROR(Applied, Agreed) STREAM("\"Open\",\"applied\":" Applied ",\"agreed\":" Agreed)

struct answers {
	const char *node, *status, *digest;
};

static const struct answers nwk = {"nwk", NWK("Connected", "Connected"), NONE};
static const struct answers relay = {"relay", RELAY("Connected"), NONE};

static char scratch[] = "/tmp/dipole-test-verify-XXXXXX";
static pid_t pids[8];
static unsigned pid_count;

/* ---- stand-ins ---- */

static void make_scratch(void)
{
	char path[PATH_MAX];
	cr_assert_not_null(mkdtemp(scratch));
	snprintf(path, sizeof path, "%s/topology.yaml", scratch);
	FILE *file = fopen(path, "w");
	cr_assert_not_null(file);
	fputs(topology, file);
	fclose(file);
}

static void remove_scratch(void)
{
	char command[64];
	for (unsigned i = 0; i < pid_count; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
	snprintf(command, sizeof command, "rm -rf %s", scratch);
	cr_assert_eq(system(command), 0);
}

static int listen_as(const char *node)
{
	char path[PATH_MAX];
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	mkdir(verb_node_path(scratch, node, "", path), 0700);
	verb_node_path(scratch, node, "control.sock", path);
	snprintf(address.sun_path, sizeof address.sun_path, "%.100s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(fd, 8), 0);
	return fd;
}

static const char *answer_to(const struct answers *a, const char *request)
{
	if (strstr(request, "\"mark\"") && strstr(request, "\"volume\""))
		return "{\"ok\":true,\"mark\":\"7\",\"seq\":40}\n";
	if (strstr(request, "\"digest\""))
		return strstr(request, "\"7\"") ? a->digest : "{\"ok\":false}\n";
	return a->status;
}

/* The whole line: closing a socket with something unread in it resets the connection. */
static bool receive_line(int fd, char *line, size_t room)
{
	for (size_t size = 0; size + 1 < room;) {
		ssize_t n = recv(fd, line + size, room - size - 1, 0);
		if (n <= 0)
			return false;
		size += (size_t)n;
		line[size] = '\0';
		if (line[size - 1] == '\n')
			return true;
	}
	return false;
}

/* Until it is killed, or for as long as no test takes: a failed one may leave it behind. */
static _Noreturn void serve(int fd, const struct answers *a)
{
	alarm(30);
	for (;;) {
		char request[512];
		int client = accept(fd, NULL, NULL);
		if (receive_line(client, request, sizeof request)) {
			const char *text = answer_to(a, request);
			send(client, text, strlen(text), MSG_NOSIGNAL);
		}
		close(client);
	}
}

static void start(const struct answers *a)
{
	int fd = listen_as(a->node);
	pid_t pid = fork();
	if (pid == 0)
		serve(fd, a);
	cr_assert(pid > 0);
	pids[pid_count++] = pid;
	close(fd);
}

static void start_all(const struct answers *west, const struct answers *east)
{
	start(&nwk);
	start(&relay);
	start(west);
	start(east);
}

/* The exit status of `dipole verify disk`; *output is what it printed as JSON. */
static int verify(json_t **output)
{
	char path[PATH_MAX];
	char *arguments[] = {"disk", "--json", "--timeout", "100ms", "--state", scratch};
	snprintf(path, sizeof path, "%s/output", scratch);
	fflush(stdout);
	int saved = dup(STDOUT_FILENO);
	cr_assert_not_null(freopen(path, "w", stdout));
	int status = cli_verify.run(&cli_verify, 6, arguments);
	fflush(stdout);
	dup2(saved, STDOUT_FILENO);
	close(saved);
	*output = json_load_file(path, 0, NULL);
	return status;
}

/* Of the copy with this index. */
static const char *said(const json_t *output, unsigned copy, const char *key)
{
	return verb_text(json_array_get(json_object_get(output, "copies"), copy), key);
}

static void check_missing(const char *reason, const char *why)
{
	json_t *output;
	cr_assert_eq(verify(&output), EX_TEMPFAIL);
	cr_assert_str_eq(verb_text(output, "result"), "missing");
	cr_assert_str_eq(said(output, 0, "result"), "equal");
	cr_assert_str_eq(said(output, 1, "node"), "east");
	cr_assert_str_eq(said(output, 1, "result"), "missing");
	cr_assert_str_eq(said(output, 1, "reason"), reason);
	cr_assert(strstr(said(output, 1, "error"), why), "%s", said(output, 1, "error"));
	json_decref(output);
}

/* ---- the command ---- */

Test(verify, equal, .init = make_scratch, .fini = remove_scratch)
{
	json_t *output;
	start_all(&(struct answers){"west", MIRROR("41", "41"), DONE(A)},
		&(struct answers){"east", MIRROR("40", "41"), DONE(A)});
	cr_assert_eq(verify(&output), EX_OK);
	cr_assert_str_eq(verb_text(output, "result"), "equal");
	cr_assert_eq(verb_number(output, "equal"), 2);
	cr_assert_str_eq(said(output, 1, "node"), "east");
	cr_assert_str_eq(said(output, 1, "digest"), A);
	json_decref(output);
}

Test(verify, two_that_differ, .init = make_scratch, .fini = remove_scratch)
{
	json_t *output;
	start_all(&(struct answers){"west", MIRROR("41", "41"), DONE(A)},
		&(struct answers){"east", MIRROR("41", "41"), DONE(B)});
	cr_assert_eq(verify(&output), EX_DATAERR);
	cr_assert_str_eq(verb_text(output, "result"), "differs");
	cr_assert_eq(verb_number(output, "differs"), 2);
	json_decref(output);
}

Test(verify, node_that_does_not_answer, .init = make_scratch, .fini = remove_scratch)
{
	start(&nwk);
	start(&relay);
	start(&(struct answers){"west", MIRROR("41", "41"), DONE(A)});
	check_missing("not-reachable", "not reachable: ");
}

Test(verify, node_that_is_behind, .init = make_scratch, .fini = remove_scratch)
{
	start_all(&(struct answers){"west", MIRROR("41", "41"), DONE(A)},
		&(struct answers){"east", MIRROR("7", "41"), NONE});
	check_missing("behind", "applied 7 of 41");
}

Test(verify, node_that_passed_the_mark, .init = make_scratch, .fini = remove_scratch)
{
	start_all(&(struct answers){"west", MIRROR("41", "41"), DONE(A)},
		&(struct answers){"east", MIRROR("41", "41"), NONE});
	check_missing("no-digest", "restarted");
}

Test(verify, failed_node, .init = make_scratch, .fini = remove_scratch)
{
	start_all(&(struct answers){"west", MIRROR("41", "41"), DONE(A)},
		&(struct answers){"east", STREAM("\"Failed\""), NONE});
	check_missing("failed", "cannot be written");
}

/* Whichever link of the leg it is. */
Test(verify, inconsistent_leg, .init = make_scratch, .fini = remove_scratch)
{
	start(&(struct answers){"nwk", NWK("Connected", "Inconsistent"), NONE});
	start(&relay);
	start(&(struct answers){"west", MIRROR("41", "41"), DONE(A)});
	start(&(struct answers){"east", MIRROR("99", "99"), NONE});
	check_missing("inconsistent", "relay does not fit what nwk has");
}

Test(verify, link_that_is_down, .init = make_scratch, .fini = remove_scratch)
{
	start(&nwk);
	start(&(struct answers){"relay", RELAY("Down"), NONE});
	start(&(struct answers){"west", MIRROR("41", "41"), DONE(A)});
	start(&(struct answers){"east", MIRROR("7", "7"), NONE});
	check_missing("behind", "link from relay to east is Down");
}

Test(verify, no_mark_no_comparison, .init = make_scratch, .fini = remove_scratch)
{
	json_t *output;
	cr_assert_eq(verify(&output), EX_UNAVAILABLE);
	cr_assert_null(output);
}

/* ---- its parts ---- */

static void add(struct copies *copies, const struct dp_topo_leg *leg, const char *digest)
{
	struct copy *copy = &copies->list[copies->count++];
	*copy = (struct copy){.leg = leg, .done = digest != NULL};
	if (digest)
		strcpy(copy->digest, digest);
}

static void check(struct copies *copies, const char *results, bool referenced)
{
	copies_judge(copies);
	for (unsigned i = 0; i < copies->count; i++)
		cr_assert_eq("med"[copies->list[i].result], results[i], "copy %u", i);
	cr_assert_eq(copies_with(copies, COPY_EQUAL) > 0, referenced);
	*copies = (struct copies){.count = 0};
}

Test(verify, most_are_right_unless_the_controller_has_an_image)
{
	static struct copies c;
	const struct dp_topo_leg leg = {.hop_count = 1};
	add(&c, &leg, A), add(&c, &leg, B);
	check(&c, "dd", false);
	add(&c, &leg, A), add(&c, &leg, B), add(&c, &leg, A);
	check(&c, "ede", true);
	add(&c, &leg, A), add(&c, &leg, NULL), add(&c, &leg, B);
	check(&c, "dmd", false);
	add(&c, &leg, NULL), add(&c, &leg, A);
	check(&c, "me", true);
	add(&c, NULL, A), add(&c, &leg, B), add(&c, &leg, B);
	check(&c, "edd", true);
	add(&c, NULL, NULL), add(&c, &leg, B), add(&c, &leg, B);
	check(&c, "mee", true);
	add(&c, &leg, A), add(&c, &leg, A), add(&c, &leg, B), add(&c, &leg, B);
	check(&c, "dddd", false);
	add(&c, &leg, NULL);
	check(&c, "m", false);
}

Test(verify, copies_are_where_images_are)
{
	static struct copies c;
	struct dp_topo_stream s = {.controller = 0, .leg_count = 2};
	s.legs[0] = (struct dp_topo_leg){.hops = {3}, .hop_count = 1};
	s.legs[1] = (struct dp_topo_leg){.hops = {1, 2}, .hop_count = 2};
	copies_find(&s, -1, &c);
	cr_assert_eq(c.count, 2);
	cr_assert_eq(c.list[0].node, 3);
	cr_assert_eq(c.list[1].node, 2);
	cr_assert_eq(c.list[1].leg, &s.legs[1]);
	copies_find(&s, 1, &c);
	cr_assert_eq(c.count, 0, "a relay has no image");
	s.local = DP_LOCAL_MIRROR;
	copies_find(&s, -1, &c);
	cr_assert_eq(c.count, 3);
	cr_assert_eq(c.list[0].node, 0);
	cr_assert_null(c.list[0].leg);
}
