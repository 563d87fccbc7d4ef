/* SPDX-License-Identifier: MIT */
/* Showing what verbs return. */
#include "cli.h"

#include <stdio.h>

#include "verbs/key.h"

void cli_print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_COMPACT | JSON_REAL_PRECISION(10));
	putchar('\n');
	fflush(stdout);
	json_decref(value);
}

int cli_error(struct verb_error *error)
{
	int status = error->status;
	if (error->mistakes)
		fputs(error->mistakes, stderr);
	if (error->text[0])
		cli_fail(status, "%s", error->text);
	verb_error_clear(error);
	return status;
}

int cli_answer(json_t *answer, bool json, void (*print)(const json_t *answer),
	struct verb_error *error)
{
	if (answer && json)
		cli_print_json(json_incref(answer));
	else if (answer)
		print(answer);
	json_decref(answer);
	return cli_error(error);
}

int cli_place_open(const char *option, struct verb_place *place)
{
	struct verb_error error = {.status = 0};
	verb_place_open(option, place, &error);
	return cli_error(&error);
}

int cli_state_dir(const char *option, char dir[PATH_MAX])
{
	struct verb_error error = {.status = 0};
	verb_state_dir(option, dir, &error);
	return cli_error(&error);
}

int cli_topology_load(const char *path, struct dp_topology **out)
{
	struct verb_error error = {.status = 0};
	verb_topology_load(path, out, &error);
	return cli_error(&error);
}

int cli_key_ensure(const char *dir, const char *node, char public_key[DP_KEY_TEXT + 1])
{
	struct verb_error error = {.status = 0};
	verb_key_ensure(dir, node, public_key, &error);
	return cli_error(&error);
}
