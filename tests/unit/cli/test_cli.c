/* SPDX-License-Identifier: MIT */
/* What the `dipole` command has besides talking: names, paths, URIs, keys, digests of files. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli.h"
#include "store/digest.h"
#include "verbs/key.h"
#include "verbs/uri.h"

static char scratch[] = "/tmp/dipole-test-cli-XXXXXX";

static void make_scratch(void)
{
	cr_assert_not_null(mkdtemp(scratch));
}

static void remove_scratch(void)
{
	char command[64];
	snprintf(command, sizeof command, "rm -rf %s", scratch);
	cr_assert_eq(system(command), 0);
}

Test(cli, names_are_those_of_the_topology)
{
	char longest[DP_NAME_MAX + 2];
	memset(longest, 'a', sizeof longest);
	longest[DP_NAME_MAX + 1] = '\0';
	cr_assert(verb_is_name("relay-1"));
	cr_assert_not(verb_is_name(""));
	cr_assert_not(verb_is_name("../up"));
	cr_assert_not(verb_is_name("-a"));
	cr_assert_not(verb_is_name(longest));
	cr_assert(verb_is_name(longest + 1));
}

Test(cli, uri_escapes_what_is_special)
{
	char uri[VERB_URI_MAX], path[110];
	cr_assert_str_eq(verb_nbd_uri("disk", "/tmp/a b&c/nbd.sock", uri),
		"nbd+unix:///disk?socket=/tmp/a%20b%26c/nbd.sock");
	memset(path, ' ', sizeof path);
	path[107] = '\0';
	cr_assert_eq(strlen(verb_nbd_uri("d", path, uri)),
		strlen("nbd+unix:///d?socket=") + sizeof "%20" * 107 - 107);
	path[107] = ' ';
	path[108] = '\0';
	cr_assert_str_empty(verb_nbd_uri("d", path, uri), "no socket has so long a path");
}

Test(cli, too_long_a_path_opens_nothing)
{
	char dir[PATH_MAX], path[PATH_MAX];
	memset(dir, 'd', sizeof dir);
	dir[PATH_MAX - 3] = '\0';
	cr_assert_str_eq(verb_node_path("/s", "n", "key", path), "/s/n/key");
	cr_assert_str_eq(verb_node_path("/s", "n", "", path), "/s/n");
	cr_assert_str_empty(verb_node_path(dir, "node", "key", path));
}

Test(cli, key_is_kept, .init = make_scratch, .fini = remove_scratch)
{
	char first[DP_KEY_TEXT + 1], again[DP_KEY_TEXT + 1], path[PATH_MAX];
	struct stat st;
	struct verb_error error = {.status = 0};
	cr_assert_eq(verb_key_ensure(scratch, "n", first, &error), 0);
	cr_assert_eq(stat(verb_node_path(scratch, "n", "key", path), &st), 0);
	cr_assert_eq(st.st_mode & 0777, 0600);
	cr_assert_eq(st.st_size, DP_KEY_TEXT + 1);
	cr_assert_eq(verb_key_ensure(scratch, "n", again, &error), 0);
	cr_assert_str_eq(first, again);
	cr_assert_eq(verb_key_make(scratch, "n", "key", again, &error), EX_CANTCREAT);
	cr_assert(strstr(error.text, "is not overwritten"), "%s", error.text);
	cr_assert_eq(truncate(path, 20), 0);
	cr_assert_eq(verb_key_ensure(scratch, "n", again, &error), EX_DATAERR);
	cr_assert(strstr(error.text, "move it away"), "%s", error.text);
}

static void digest_of(const char *path, char text[DP_DIGEST_TEXT])
{
	struct verb_error error = {.status = 0};
	json_t *answer = verb_digest_file(path, &error);
	cr_assert_eq(error.status, 0);
	snprintf(text, DP_DIGEST_TEXT, "%s", verb_text(answer, "digest"));
	json_decref(answer);
}

Test(cli, holes_digest_as_zeros, .init = make_scratch, .fini = remove_scratch)
{
	static const char zeros[3 * DP_DIGEST_BLOCK];
	char path[PATH_MAX], sparse[DP_DIGEST_TEXT], full[DP_DIGEST_TEXT], other[DP_DIGEST_TEXT];
	int fd = open(verb_node_path(scratch, "image", "", path), O_RDWR | O_CREAT, 0600);
	cr_assert_eq(ftruncate(fd, sizeof zeros + 100), 0);
	cr_assert_eq(pwrite(fd, "x", 1, 2 * DP_DIGEST_BLOCK + 5), 1);
	digest_of(path, sparse);
	cr_assert_eq(pwrite(fd, zeros, 2 * DP_DIGEST_BLOCK, 0), 2 * DP_DIGEST_BLOCK);
	digest_of(path, full);
	cr_assert_str_eq(sparse, full);
	cr_assert_eq(pwrite(fd, "x", 1, sizeof zeros + 99), 1);
	digest_of(path, other);
	cr_assert_str_neq(other, full);
	close(fd);
}
