/* SPDX-License-Identifier: MIT */
#include "daemon/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/textfile.h"
#include "node/logjson.h"
#include "topology/change.h"
#include "topology/secret.h"

struct arguments {
	const char *topology, *node, *state;
	enum dp_role role;
	bool check, verbose, json;
};

static void usage(const char *program, FILE *to)
{
	fprintf(to,
		"%s --topology FILE --node NAME --state DIR [--check-config] [--log-format FORMAT] [--verbose]\n"
		"  --topology FILE  the deployment's topology file\n"
		"  --node NAME      which of its nodes to be\n"
		"  --state DIR      where this node keeps journal, images, key and sockets\n"
		"  --check-config   check file and node, then exit\n"
		"  --log-format FORMAT  of the logs: text (default) or json, a line each\n"
		"  --verbose        more detailed logs\n"
		"  --version, --help\n",
		program);
}

/* Returns -1 to go on, else an exit code. */
static int parse(int argc, char **argv, const char *program, struct arguments *a)
{
	static const struct option options[] = {{"topology", required_argument, NULL, 't'},
		{"node", required_argument, NULL, 'n'}, {"state", required_argument, NULL, 's'},
		{"check-config", no_argument, NULL, 'c'},
		{"log-format", required_argument, NULL, 'l'}, {"verbose", no_argument, NULL, 'v'},
		{"version", no_argument, NULL, 'V'}, {"help", no_argument, NULL, 'h'}, {0}};
	for (int o; (o = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		switch (o) {
		case 't':
			a->topology = optarg;
			break;
		case 'n':
			a->node = optarg;
			break;
		case 's':
			a->state = optarg;
			break;
		case 'c':
			a->check = true;
			break;
		case 'l':
			a->json = strcmp(optarg, "json") == 0;
			if (!a->json && strcmp(optarg, "text")) {
				fprintf(stderr,
					"%s: --log-format: found \"%s\"; expected text or json\n",
					program, optarg);
				return EX_USAGE;
			}
			break;
		case 'v':
			a->verbose = true;
			break;
		case 'V':
			printf("%s %s\n", program, DIPOLE_VERSION);
			return 0;
		case 'h':
			usage(program, stdout);
			return 0;
		default:
			usage(program, stderr);
			return EX_USAGE;
		}
	}
	if (!a->topology || !a->node || (!a->state && !a->check) || optind != argc) {
		fprintf(stderr, "%s: --topology, --node and --state are required\n", program);
		usage(program, stderr);
		return EX_USAGE;
	}
	return -1;
}

/* What the node is run with: dp_node_source's context. */
struct source {
	const struct arguments *a;
	const struct dp_node_config *running;
	char *loaded; /* last */
	char *kept;   /* the node runs with it; NULL: it has not run yet */
};

static int parse_text(const char *text, const char *name, FILE *messages, struct dp_topology **t)
{
	struct dp_topo_errors *errors = calloc(1, sizeof *errors);
	if (!errors)
		return EX_SOFTWARE;
	int err = dp_topology_parse(text, strlen(text), name, t, errors);
	dp_topology_print_errors(errors, messages);
	free(errors);
	return err == DP_ECONFIG ? EX_CONFIG : err ? EX_SOFTWARE : 0;
}

static int read_text(const char *path, FILE *messages, char **text)
{
	int err = dp_text_read(path, DP_TOPOLOGY_FILE_MAX, text);
	if (err)
		fprintf(messages, "%s: %s\n", path,
			err == DP_ERANGE            ? "too large; expected at most 1MiB"
				: err == DP_EBADMSG ? "not a text; expected YAML in UTF-8"
						    : dp_strerror(err));
	return err == DP_ERANGE || err == DP_EBADMSG ? EX_CONFIG : err ? EX_NOINPUT : 0;
}

/* ---- keys: STATE/key is in use, key.next comes, key.former was ---- */

#define PATH_SIZE 4096

static enum dp_secret_fault read_secret(const char *state, const char *name, struct dp_secret *out)
{
	char path[PATH_SIZE];
	snprintf(path, sizeof path, "%s/%s", state, name);
	return dp_secret_read(path, out);
}

static int move_file(const char *state, const char *from, const char *to)
{
	char a[PATH_SIZE], b[PATH_SIZE];
	snprintf(a, sizeof a, "%s/%s", state, from);
	snprintf(b, sizeof b, "%s/%s", state, to);
	return rename(a, b);
}

/* The next key takes the place of the one in use. A crash in between leaves key.next, and no key.
 */
static int promote(const char *state, FILE *messages)
{
	char key[PATH_SIZE], next[PATH_SIZE];
	snprintf(key, sizeof key, "%s/key", state);
	snprintf(next, sizeof next, "%s/key.next", state);
	bool bad = access(next, F_OK) ||
		(access(key, F_OK) == 0 && move_file(state, "key", "key.former")) ||
		move_file(state, "key.next", "key");
	if (bad)
		fprintf(messages, "%s: %s\n", key, strerror(errno));
	move_file(state, "key.next.pub", "key.pub"); /* only to be looked at */
	return bad ? EX_CANTCREAT : 0;
}

/* The former key counts only as long as the topology says so. */
static void use_secret(const char *state, const struct dp_topo_node *me, const struct dp_secret *s,
	struct dp_node_config *cfg)
{
	static const char *const names[] = {
		"key.former", "key"}; /* the next key may not have been taken yet */
	memcpy(cfg->secret_key, s->secret, sizeof cfg->secret_key);
	memcpy(cfg->public_key, s->public_key, sizeof cfg->public_key);
	for (unsigned i = 0; i < 2; i++) {
		struct dp_secret former;
		read_secret(state, names[i], &former);
		if (me->former_key[0] && strcmp(former.public_key, me->former_key) == 0)
			memcpy(cfg->former_secret, former.secret, sizeof cfg->former_secret);
		sodium_memzero(&former, sizeof former);
	}
}

/* A node goes on with its former key, as long as that is good: when its neighbours know the next
 * one it is told to take it. */
static int choose_secret(const char *state, const struct dp_topo_node *me, FILE *messages,
	struct dp_node_config *cfg, struct dp_secret *own)
{
	struct dp_secret next;
	enum dp_secret_fault fault = read_secret(state, "key", own);
	bool has_next = read_secret(state, "key.next", &next) == DP_SECRET_GOOD &&
		strcmp(next.public_key, me->key) == 0;
	bool former_is_good = fault == DP_SECRET_GOOD && me->former_key[0] &&
		strcmp(own->public_key, me->former_key) == 0;
	cfg->has_next_key = has_next;
	cfg->takes_next_key = has_next && !former_is_good;
	if (cfg->takes_next_key) {
		*own = next;
		fault = DP_SECRET_GOOD;
	}
	sodium_memzero(&next, sizeof next);
	if (fault == DP_SECRET_GOOD && (former_is_good || strcmp(own->public_key, me->key) == 0)) {
		use_secret(state, me, own, cfg);
		return 0;
	}
	fprintf(messages, "%s/key: %s%s\n", state,
		fault ? dp_secret_fault_text(fault)
		      : "does not belong to the public key in the topology of node ",
		fault == DP_SECRET_MISSING ? "; make one with dipole keygen"
			: fault            ? ""
					   : me->name);
	return fault == DP_SECRET_MISSING ? EX_NOINPUT : EX_CONFIG;
}

static int load_secret(const char *state, const struct dp_topo_node *me, FILE *messages,
	struct dp_node_config *cfg)
{
	struct dp_secret own;
	int code = choose_secret(state, me, messages, cfg, &own);
	sodium_memzero(&own, sizeof own);
	return code;
}

static int prepare(const struct arguments *a, const struct dp_topology *t, FILE *messages,
	struct dp_node_config *cfg)
{
	char why[256];
	int index = dp_topology_node(t, a->node);
	if (index < 0 || t->nodes[index].role != a->role) {
		fprintf(messages, "%s: there is no %s named \"%s\"\n", a->topology,
			dp_role_name(a->role), a->node);
		return EX_CONFIG;
	}
	if (dp_node_config_fill(t, (unsigned)index, cfg, why, sizeof why)) {
		fprintf(messages, "%s: %s\n", a->topology, why);
		return EX_CONFIG;
	}
	cfg->state = a->state;
	return a->check || !cfg->public_key[0]
		? 0
		: load_secret(a->state, &t->nodes[index], messages, cfg);
}

/* ---- what the node ran with before ---- */

static char *applied_path(const struct arguments *a, char path[PATH_SIZE])
{
	snprintf(path, PATH_SIZE, "%s/applied.yaml", a->state);
	return path;
}

static int check_changes(const struct dp_topology *before, const struct dp_topology *after,
	bool running, FILE *messages)
{
	struct dp_topo_changes *changes = calloc(1, sizeof *changes);
	if (!changes)
		return EX_SOFTWARE;
	dp_topology_compare(before, after, changes);
	const struct dp_topo_change *refused = dp_topology_refused(changes, running);
	if (refused)
		fprintf(messages, "%s: %s\n", refused->what, refused->means);
	int code = refused ? EX_CONFIG : 0;
	free(changes);
	return code;
}

/* Which key is in use the files in the state directory say, not the topology. */
static void compare_own_key(const struct dp_node_config *running, const struct dp_node_config *next,
	struct dp_node_changes *changes)
{
	if (strcmp(running->public_key, next->public_key) == 0)
		return;
	changes->restart = true;
	if (changes->count < DP_NODE_CHANGES_MAX)
		snprintf(changes->what[changes->count++], sizeof changes->what[0],
			"the node's own key");
}

/* NULL: the node has never run. */
static int read_applied(const struct arguments *a, FILE *messages, struct dp_topology **t)
{
	char path[PATH_SIZE], *text;
	int err = dp_text_read(applied_path(a, path), DP_TOPOLOGY_FILE_MAX, &text);
	if (err == DP_ENOENT)
		return 0;
	if (err) {
		fprintf(messages, "%s: %s\n", path, dp_strerror(err));
		return EX_NOINPUT;
	}
	int code = parse_text(text, path, messages, t);
	free(text);
	return code;
}

/* A node that has run goes on from what it ran with: what cannot change is refused. */
static int go_on(const struct source *s, const struct dp_topology *after, FILE *messages,
	struct dp_node_config *cfg, struct dp_node_changes *changes)
{
	struct dp_topology *before = NULL;
	int code = changes ? parse_text(s->kept, "what runs", messages, &before)
			   : read_applied(s->a, messages, &before);
	if (!code && before)
		code = check_changes(before, after, changes != NULL, messages);
	if (!code && before)
		dp_node_config_compare(before, after, cfg, changes);
	if (!code && changes)
		compare_own_key(s->running, cfg, changes);
	dp_topology_destroy(&before);
	return code;
}

/* ---- dp_node_source ---- */

/* `changes` is NULL at a start. */
static int load_text(const struct source *s, const char *text, FILE *messages,
	struct dp_node_config *out, struct dp_node_changes *changes)
{
	const struct arguments *a = s->a;
	struct dp_topology *t = NULL;
	int code = parse_text(text, a->topology, messages, &t);
	if (!code)
		code = prepare(a, t, messages, out);
	if (!code && a->state)
		code = go_on(s, t, messages, out, changes);
	if (!code && a->state && !changes && out->takes_next_key)
		code = promote(a->state,
			messages); /* last: a file that is refused leaves the key as it was */
	dp_topology_destroy(&t);
	return code;
}

static int load_from(struct source *s, const char *text, FILE *messages, struct dp_node_config *out,
	struct dp_node_changes *changes)
{
	char *own = NULL;
	int code = text ? 0 : read_text(s->a->topology, messages, &own);
	if (text)
		own = strdup(text);
	if (!code)
		code = own ? load_text(s, own, messages, out, changes) : EX_SOFTWARE;
	if (code) {
		free(own);
		return code;
	}
	free(s->loaded);
	s->loaded = own;
	return 0;
}

static int source_load(void *ctx, const char *text, struct dp_node_config *out,
	struct dp_node_changes *changes, char *why, size_t size)
{
	FILE *messages = fmemopen(why, size, "w");
	int code = messages ? load_from(ctx, text, messages, out, changes) : EX_SOFTWARE;
	if (messages)
		fclose(messages);
	return code;
}

static int source_replace(void *ctx, const char *text, bool dry, char *why, size_t size)
{
	const char *file = ((const struct source *)ctx)->a->topology;
	int error = dp_text_is(file, text) ? 0
		: dry                      ? dp_text_can_write(file)
					   : dp_text_write(file, text, 0644);
	if (error)
		snprintf(why, size,
			"%s cannot be replaced: %s; put the new file there, and apply it again",
			file, strerror(error));
	return error;
}

static int source_keep(void *ctx)
{
	struct source *s = ctx;
	char path[PATH_SIZE];
	int error = dp_text_is(applied_path(s->a, path), s->loaded)
		? 0
		: dp_text_write(path, s->loaded, 0600);
	if (error)
		dp_log(DP_LOG_ERROR, "state-failed", "file=%s error=\"%s\"", path, strerror(error));
	free(s->kept);
	s->kept = strdup(s->loaded);
	return s->kept ? dp_err_from_errno(error) : DP_ENOMEM;
}

static const char *source_text(void *ctx)
{
	return ((const struct source *)ctx)->kept;
}

static int source_turn(void *ctx, char *why, size_t size)
{
	const struct source *s = ctx;
	FILE *messages = fmemopen(why, size, "w");
	int code = messages ? promote(s->a->state, messages) : EX_SOFTWARE;
	if (messages)
		fclose(messages);
	return code;
}

int dp_daemon_main(int argc, char **argv, const char *program, enum dp_role role)
{
	struct arguments a = {.role = role};
	struct source s = {.a = &a};
	struct dp_node_config *cfg = NULL;
	int code = parse(argc, argv, program, &a);
	if (code >= 0)
		return code;
	if (sodium_init() < 0 || !(cfg = calloc(1, sizeof *cfg)))
		return EX_SOFTWARE;
	s.running = cfg;
	dp_log_open(a.node, a.verbose ? DP_LOG_DEBUG : DP_LOG_INFO, a.json ? logjson : NULL);
	do {
		code = load_from(&s, NULL, stderr, cfg, NULL);
		if (!code && !a.check)
			code = dp_node_run(cfg,
				&(struct dp_node_source){source_load, source_replace, source_keep,
					source_text, source_turn, &s});
		sodium_memzero(cfg, sizeof *cfg);
	} while (code == DP_NODE_RESTART);
	free(cfg);
	free(s.loaded);
	free(s.kept);
	return code;
}
