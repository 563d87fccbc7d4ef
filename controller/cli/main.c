/* SPDX-License-Identifier: MIT */
/* dipole: the table of commands. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static const struct cli_command *const commands[] = {
	&cli_topology_check,
	&cli_budget,
	&cli_keygen,
	&cli_keys,
	&cli_render,
	&cli_up,
	&cli_lab_up,
	&cli_lab_cut,
	&cli_lab_heal,
	&cli_lab_slow,
	&cli_lab_links,
	&cli_status,
	&cli_events,
	&cli_volumes,
	&cli_links,
	&cli_sets,
	&cli_pause,
	&cli_resume,
	&cli_resync,
	&cli_reload,
	&cli_apply,
	&cli_fetch,
	&cli_digest,
	&cli_verify,
	&cli_report,
};

#define COMMAND_COUNT (sizeof commands / sizeof commands[0])

static int print_help(void)
{
	printf("Usage: dipole COMMAND [ARGUMENT]...\n\nCommands:\n");
	for (size_t i = 0; i < COMMAND_COUNT; i++)
		printf("  %-16s %s\n", commands[i]->name, commands[i]->summary);
	printf("\n`dipole COMMAND --help` tells more; see also dipole(1).\n");
	return EX_OK;
}

/* How many of the words are the command's name, or 0. `dipole topology --help` counts too. */
static int match(const struct cli_command *command, int argc, char **argv)
{
	const char *space = strchr(command->name, ' ');
	if (!space)
		return strcmp(command->name, argv[0]) == 0;
	size_t first = (size_t)(space - command->name);
	if (strlen(argv[0]) != first || strncmp(command->name, argv[0], first) != 0 || argc < 2)
		return 0;
	if (strcmp(argv[1], "--help") == 0)
		return 1;
	return strcmp(space + 1, argv[1]) == 0 ? 2 : 0;
}

/* Output that did not get out, to a full disk say, must not pass for success. */
static int finish(int status)
{
	bool bad = fflush(stdout) != 0 || ferror(stdout);
	if (bad && status == EX_OK)
		return cli_fail(EX_IOERR, "cannot write the output");
	return status;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return cli_fail(EX_USAGE, "no command given (see dipole --help)");
	if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0)
		return print_help();
	if (strcmp(argv[1], "--version") == 0) {
		printf("dipole %s\n", DIPOLE_VERSION);
		return EX_OK;
	}
	for (size_t i = 0; i < COMMAND_COUNT; i++) {
		int words = match(commands[i], argc - 1, argv + 1);
		if (words)
			return finish(commands[i]->run(commands[i], argc - 1 - words,
				argv + 1 + words));
	}
	return cli_fail(EX_USAGE, "unknown command '%s' (see dipole --help)", argv[1]);
}
