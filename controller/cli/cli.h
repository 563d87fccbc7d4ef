/* SPDX-License-Identifier: MIT */
/* The `dipole` command: what the files of its commands share. Each command is one file with one
 * `struct cli_command`, listed in main.c. Commands return an exit status of <sysexits.h>.
 *
 * A command here has options, help and the printing; what it does is a verb (verbs/verbs.h), of
 * which it prints the JSON. Only `up` and `lab`, which run processes here, do all themselves. */
#ifndef DP_CONTROLLER_CLI_CLI_H
#define DP_CONTROLLER_CLI_CLI_H

#include <jansson.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sysexits.h>

#include "base/clock.h"
#include "verbs/verbs.h"

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
	CLI_SIZE,   /* bytes, in a table only */
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

/* ---- what verbs return ---- */

/* Prints what is wrong with a topology file, and the text of the error. Clears it, and returns its
 * status. */
int cli_error(struct verb_error *error);

/* Prints the answer, if there is one, as tables or as JSON, and then the error. Releases both, and
 * returns the error's status. */
int cli_answer(json_t *answer, bool json, void (*print)(const json_t *answer),
	struct verb_error *error);

/* Writes `value` on one line of stdout and releases it. */
void cli_print_json(json_t *value);

/* As verb_place_open() and the others, with the error printed. */
int cli_place_open(const char *option, struct verb_place *place);
int cli_state_dir(const char *option, char dir[PATH_MAX]);
int cli_topology_load(const char *path, struct dp_topology **out);
int cli_key_ensure(const char *dir, const char *node, char public_key[DP_KEY_TEXT + 1]);

/* The public key of a pair that was made (keygen.c). */
void cli_print_key(const json_t *answer);

/* ---- views of all nodes (view.c) ---- */

/* What `status`, `volumes` and `links` have in common: options, asking, --watch. */
int cli_view(const struct cli_command *command, int argc, char **argv,
	json_t *(*verb)(const struct verb_place *, const struct verb_filter *, struct verb_error *),
	void (*print)(const json_t *answer, const struct dp_topology *topology));

/* ---- aligned columns (table.c) ---- */

struct cli_table;

/* `align` has an 'l' or an 'r' for each column, `headings` a word. The caller ends the table with
 * cli_table_print(). */
struct cli_table *cli_table_new(const char *align, const char *headings);

/* One cell; a row is full with as many as there are columns. The text is copied. */
void cli_table_add(struct cli_table *table, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void cli_table_time(struct cli_table *table, uint64_t time_us);
void cli_table_size(struct cli_table *table, uint64_t bytes);

/* A member of an object, or with a dot in the key a member of a member. */
struct cli_field {
	const char *key;
	enum cli_kind kind;
};

/* A cell for each of these members; "-" for one that is null or missing. */
void cli_table_fields(struct cli_table *table, const struct cli_field *fields, unsigned count,
	const json_t *object);

/* Prints unless there is only the heading row, and releases the table. */
void cli_table_print(struct cli_table **table);

#endif
