#include "topology/daemon.h"

#include <errno.h>
#include <getopt.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <zmq.h>

#include "base/err.h"
#include "base/log.h"

struct arguments {
	const char *topology, *node, *state;
	enum dp_role role;
	bool check, verbose;
};

static void usage(const char *program, FILE *to)
{
	fprintf(to,
		"%s --topology FILE --node NAME --state DIR [--check-config] [--verbose]\n"
		"  --topology FILE  the deployment's topology file\n"
		"  --node NAME      which of its nodes to be\n"
		"  --state DIR      where this node keeps journal, images, key and sockets\n"
		"  --check-config   check file and node, then exit\n"
		"  --verbose        more detailed logs\n"
		"  --version, --help\n",
		program);
}

/* Returns -1 to go on, else an exit code. */
static int parse(int argc, char **argv, const char *program, struct arguments *a)
{
	static const struct option options[] = {{"topology", required_argument, NULL, 't'},
		{"node", required_argument, NULL, 'n'}, {"state", required_argument, NULL, 's'},
		{"check-config", no_argument, NULL, 'c'}, {"verbose", no_argument, NULL, 'v'},
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

static int load(const struct arguments *a, FILE *messages, struct dp_topology **t)
{
	struct dp_topo_errors *errors = calloc(1, sizeof *errors);
	if (!errors)
		return EX_SOFTWARE;
	int err = dp_topology_load(a->topology, t, errors);
	dp_topology_print_errors(errors, messages);
	free(errors);
	if (err == DP_ECONFIG)
		return EX_CONFIG;
	return err ? EX_NOINPUT : 0;
}

/* The secret key belongs to nobody else: a file that others can read is refused. */
static int load_secret(const char *state, FILE *messages, struct dp_node_config *cfg)
{
	char path[4096], text[64] = "", public[DP_KEY_SIZE];
	struct stat st;
	snprintf(path, sizeof path, "%s/key", state);
	FILE *f = fopen(path, "re");
	if (!f || fstat(fileno(f), &st)) {
		fprintf(messages, "%s: %s; make one with dipole keygen\n", path, strerror(errno));
		if (f)
			fclose(f);
		return EX_NOINPUT;
	}
	bool open = st.st_mode & 077;
	bool read = fgets(text, sizeof text, f) != NULL;
	fclose(f);
	text[strcspn(text, "\n")] = 0;
	if (open || !read || strlen(text) != 40 || zmq_curve_public(public, text)) {
		fprintf(messages, "%s: %s\n", path,
			open ? "others can read it; expected mode 0600" : "expected a Z85 secret key");
		return EX_CONFIG;
	}
	memcpy(cfg->secret_key, text, sizeof cfg->secret_key);
	sodium_memzero(text, sizeof text);
	if (strcmp(public, cfg->public_key)) {
		fprintf(messages, "%s: does not belong to the public key of node %s in the topology\n",
			path, cfg->name);
		return EX_CONFIG;
	}
	return 0;
}

static int prepare(const struct arguments *a, const struct dp_topology *t, FILE *messages,
	struct dp_node_config *cfg)
{
	char why[256];
	int index = dp_topology_node(t, a->node);
	if (index < 0 || t->nodes[index].role != a->role) {
		fprintf(messages, "%s: there is no %s named \"%s\"\n", a->topology, dp_role_name(a->role),
			a->node);
		return EX_CONFIG;
	}
	if (dp_node_config_fill(t, (unsigned)index, cfg, why, sizeof why)) {
		fprintf(messages, "%s: %s\n", a->topology, why);
		return EX_CONFIG;
	}
	cfg->state = a->state;
	return a->check || !cfg->public_key[0] ? 0 : load_secret(a->state, messages, cfg);
}

/* For a node that runs: as dp_node_reload.load. */
static int load_again(void *ctx, struct dp_node_config *out, char *why, size_t size)
{
	const struct arguments *a = ctx;
	struct dp_topology *t = NULL;
	FILE *messages = fmemopen(why, size, "w");
	int code = messages ? load(a, messages, &t) : EX_SOFTWARE;
	if (!code)
		code = prepare(a, t, messages, out);
	else if (code == EX_NOINPUT)
		fprintf(messages, "%s cannot be read", a->topology);
	dp_topology_destroy(&t);
	if (messages)
		fclose(messages);
	return code;
}

int dp_daemon_main(int argc, char **argv, const char *program, enum dp_role role)
{
	struct arguments a = {.role = role};
	struct dp_topology *t = NULL;
	struct dp_node_config *cfg = NULL;
	int code = parse(argc, argv, program, &a);
	if (code >= 0)
		return code;
	if (sodium_init() < 0)
		return EX_SOFTWARE;
	code = load(&a, stderr, &t);
	cfg = code ? NULL : calloc(1, sizeof *cfg);
	if (!code)
		code = cfg ? prepare(&a, t, stderr, cfg) : EX_SOFTWARE;
	dp_topology_destroy(&t);
	if (!code && !a.check) {
		dp_log_open(a.node, a.verbose ? DP_LOG_DEBUG : DP_LOG_INFO);
		code = dp_node_run(cfg, &(struct dp_node_reload){load_again, &a});
	}
	if (cfg)
		sodium_memzero(cfg, sizeof *cfg);
	free(cfg);
	return code;
}
