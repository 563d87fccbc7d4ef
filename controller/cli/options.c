/* SPDX-License-Identifier: MIT */
/* Options of the commands: `--name value`, `--name=value`, words in between, `--` ends them. */
#include "cli.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

int cli_fail(int status, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fflush(stdout);
	fputs("dipole: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	return status;
}

void cli_usage(const struct cli_command *command, const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "dipole %s: ", command->name);
	vfprintf(stderr, format, args);
	fprintf(stderr, " (see dipole %s --help)\n", command->name);
	va_end(args);
	exit(EX_USAGE);
}

static _Noreturn void print_help(const struct cli_command *command,
	const struct cli_option *options)
{
	printf("Usage: dipole %s %s\n\n%s\n\nOptions:\n", command->name, command->arguments,
		command->summary);
	for (const struct cli_option *o = options; o->name; o++) {
		char left[64];
		snprintf(left, sizeof left, "--%s%s%s", o->name, o->argument ? " " : "",
			o->argument ? o->argument : "");
		printf("  %-20s %s\n", left, o->help);
	}
	printf("  %-20s %s\n", "--help", "print this");
	exit(EX_OK);
}

static bool parse_number(const char *text, uint64_t *out)
{
	char *end;
	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	unsigned long long value = strtoull(text, &end, 10);
	if (errno || *end)
		return false;
	*out = value;
	return true;
}

static void set_value(const struct cli_command *command, const struct cli_option *option,
	const char *text)
{
	switch (option->kind) {
	case CLI_FLAG:
		*(bool *)option->value = true;
		break;
	case CLI_TEXT:
		*(const char **)option->value = text;
		break;
	case CLI_TIME:
		if (dp_parse_time(text, option->value))
			cli_usage(command, "--%s takes a time such as 10s or 500ms, not '%s'",
				option->name, text);
		break;
	case CLI_NUMBER:
		if (!parse_number(text, option->value))
			cli_usage(command, "--%s takes a number, not '%s'", option->name, text);
		break;
	case CLI_SIZE:
		break;
	}
}

/* `text` is "NAME" or "NAME=VALUE". */
static const struct cli_option *find_option(const struct cli_option *options, const char *text)
{
	size_t size = strcspn(text, "=");
	for (const struct cli_option *o = options; o->name; o++) {
		if (strlen(o->name) == size && strncmp(o->name, text, size) == 0)
			return o;
	}
	return NULL;
}

/* Takes the option at argv[0]; returns how many arguments it is. */
static int take_option(const struct cli_command *command, int argc, char **argv,
	const struct cli_option *options)
{
	if (strcmp(argv[0], "--help") == 0)
		print_help(command, options);
	const struct cli_option *o = strncmp(argv[0], "--", 2) == 0
		? find_option(options, argv[0] + 2)
		: NULL;
	if (!o)
		cli_usage(command, "unknown option '%s'", argv[0]);
	const char *equals = strchr(argv[0], '=');
	if (o->kind == CLI_FLAG && equals)
		cli_usage(command, "--%s takes no value", o->name);
	if (o->kind == CLI_FLAG || equals) {
		set_value(command, o, equals ? equals + 1 : NULL);
		return 1;
	}
	if (argc < 2)
		cli_usage(command, "--%s wants a value: %s", o->name, o->argument);
	set_value(command, o, argv[1]);
	return 2;
}

void cli_parse(const struct cli_command *command, int argc, char **argv,
	const struct cli_option *options, const char **words, unsigned min, unsigned max)
{
	unsigned count = 0;
	bool ended = false;
	for (unsigned i = 0; i < max; i++)
		words[i] = NULL;
	for (int i = 0; i < argc;) {
		if (!ended && argv[i][0] == '-' && argv[i][1]) {
			ended = strcmp(argv[i], "--") == 0;
			i += ended ? 1 : take_option(command, argc - i, argv + i, options);
			continue;
		}
		if (count == max)
			cli_usage(command, "unexpected argument '%s'", argv[i]);
		words[count++] = argv[i++];
	}
	if (count < min)
		cli_usage(command, "arguments are missing: %s", command->arguments);
}
