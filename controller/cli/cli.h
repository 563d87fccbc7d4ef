/* SPDX-License-Identifier: MIT */
/* The `dipole` command: what the files of its commands share. Each command is one file with one
 * `struct cli_command`, listed in main.c. Commands return an exit status of <sysexits.h>. */
#ifndef DP_CONTROLLER_CLI_CLI_H
#define DP_CONTROLLER_CLI_CLI_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sysexits.h>

#include "ask/ask.h"
#include "base/clock.h"
#include "topology.h"
#include "topology/secret.h"

struct cli_command {
	const char *name;      /* one or two words */
	const char *arguments; /* as in the usage line */
	const char *summary;
	int (*run)(const struct cli_command *self, int argc, char **argv);
};

extern const struct cli_command cli_topology_check, cli_keygen, cli_up, cli_status, cli_volumes,
	cli_links, cli_sets, cli_pause, cli_resume, cli_resync, cli_digest, cli_verify, cli_reload,
	cli_budget, cli_render, cli_events, cli_keys, cli_report, cli_apply, cli_fetch;
/* lab/ */
extern const struct cli_command cli_lab_up, cli_lab_cut, cli_lab_heal, cli_lab_slow, cli_lab_links;

/* ---- options (options.c) ---- */

enum cli_kind {
	CLI_FLAG,   /* bool */
	CLI_TEXT,   /* const char * */
	CLI_TIME,   /* uint64_t, microseconds */
	CLI_NUMBER, /* uint64_t */
};

/* A table of these ends with a NULL name. `value` points to what the kind says. */
struct cli_option {
	const char *name; /* without "--" */
	enum cli_kind kind;
	void *value;
	const char *argument; /* its name in the help; NULL for a flag */
	const char *help;
};

/* Sets the options' values and words[0..max). Words not given are NULL. Prints help and ends the
 * process for --help; a usage error ends it with EX_USAGE and one line. */
void cli_parse(const struct cli_command *command, int argc, char **argv,
	const struct cli_option *options, const char **words, unsigned min, unsigned max);

/* "dipole COMMAND: text", and the end of the process with EX_USAGE. */
_Noreturn void cli_usage(const struct cli_command *command, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* "5us/mi" or "3.1us/km", as microseconds a metre; a usage error ends the process (budget.c). */
double cli_propagation(const struct cli_command *command, const char *text);

/* "dipole: text" on stderr; returns `status`. */
int cli_fail(int status, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- the state directory and its nodes (place.c) ---- */

struct cli_place {
	char dir[PATH_MAX];  /* absolute */
	char file[PATH_MAX]; /* the topology's */
	struct dp_topology *topology;
};

/* The state directory: the option if not NULL, else $DIPOLE_STATE, else the default of the user.
 * Absolute, not resolved. Returns 0 or an exit status, with its message printed. */
int cli_state_dir(const char *option, char dir[PATH_MAX]);

/* Loads a topology file; its mistakes and warnings are printed. Returns 0 or an exit status. */
int cli_topology_load(const char *path, struct dp_topology **out);
int cli_topology_status(int err); /* the exit status for what dp_topology_load() returns */

/* Finds the directory and loads its topology.yaml. Returns 0 or an exit status, printed. */
int cli_place_open(const char *option, struct cli_place *place);
void cli_place_close(struct cli_place *place);

/* "DIR/NODE/FILE"; returns `path`. */
char *cli_node_path(const char *dir, const char *node, const char *file, char path[PATH_MAX]);

/* Lower-case letters, digits and '-', as in a topology file. */
bool cli_is_name(const char *text);

/* Creates the directory and those above it. Errors: the codes of err.h. */
int cli_make_dirs(const char *path, unsigned mode);

/* ---- questions to nodes (control.c) ---- */

#define CLI_ASK_TIMEOUT_US 2000000

/* The key of who sits here: $DIPOLE_OPERATOR, DIR/operator.key, or the one in the home directory.
 */
enum dp_secret_fault cli_operator_key(const char *dir, struct dp_secret *out);

/* Asks `count` nodes of the place the same at the same time: asks[i] becomes the result of node
 * nodes[i], as dp_ask_all() sets it. `request` is stolen; it gets the protocol's version. Errors:
 * those of dp_ask_all(), and DP_EPERM there is no operator's key. */
void cli_ask_all(const struct cli_place *place, const unsigned *nodes, unsigned count,
	json_t *request, uint64_t timeout_us, struct dp_ask *asks);

/* The same for one node. */
int cli_ask(const struct cli_place *place, unsigned node, json_t *request, uint64_t timeout_us,
	json_t **answer, char error[DP_ASK_ERROR_MAX]);

/* Gives the controller an order for a leg: pause, drop, resume, resync. Returns 0 and the answer, a
 * new reference, or an exit status, printed (pause.c). */
int cli_order_leg(const struct cli_place *place, const struct dp_topo_stream *s, const char *leg,
	const char *order, json_t **answer);

/* Members of an answer; a missing or mistyped one is "-" or 0. */
const char *cli_text(const json_t *object, const char *key);
uint64_t cli_number(const json_t *object, const char *key);

/* Writes `value` on one line of stdout and releases it. */
void cli_print_json(json_t *value);

/* ---- all nodes' status (survey.c) ---- */

struct cli_survey {
	struct cli_place place;
	const char *site;                    /* if not NULL, only its nodes are asked */
	int only;                            /* index of the one node asked, or -1 */
	const struct dp_topo_stream *stream; /* if not NULL, only its nodes are asked */
	unsigned answered;
	json_t *answers[DP_NODES_MAX]; /* NULL: down or not asked */
	char errors[DP_NODES_MAX][DP_ASK_ERROR_MAX];
};

struct cli_view_options {
	const char *state, *node, *site;
	bool json, watch;
};

/* What `status`, `volumes` and `links` have in common: options, asking, --watch. `print` shows
 * one survey as tables; `to_json` as a new JSON value. */
int cli_view(const struct cli_command *command, int argc, char **argv,
	void (*print)(const struct cli_survey *), json_t *(*to_json)(const struct cli_survey *));

/* Asks for new answers; those of before have to be cleared. */
void cli_survey_ask(struct cli_survey *survey);
void cli_survey_clear(struct cli_survey *survey);

/* Whether the node was to be asked. */
bool cli_survey_has(const struct cli_survey *survey, unsigned node);

/* The named stream in the answer of a node, or NULL. */
json_t *cli_survey_stream(const struct cli_survey *survey, unsigned node, const char *name);

/* ---- aligned columns (table.c) ---- */

struct cli_table;

/* `align` has an 'l' or an 'r' for each column. The caller ends it with cli_table_print(). */
struct cli_table *cli_table_new(const char *align);

/* One cell; a row is full with as many as there are columns. The text is copied. */
void cli_table_add(struct cli_table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void cli_table_time(struct cli_table *table, uint64_t time_us);
void cli_table_size(struct cli_table *table, uint64_t bytes);

/* Prints unless there is only the heading row, and releases the table. */
void cli_table_print(struct cli_table **table);

/* ---- keys (key.c) ---- */

/* Makes a CURVE key pair in DIR/NODE/NAME and NAME.pub; `public_key` gets the Z85 text. An existing
 * key is never overwritten. Returns 0 or an exit status, printed. */
int cli_key_make(const char *dir, const char *node, const char *name,
	char public_key[DP_KEY_TEXT + 1]);

/* The same for DIR/NODE/key, but takes the key that is there. */
int cli_key_ensure(const char *dir, const char *node, char public_key[DP_KEY_TEXT + 1]);

#endif
