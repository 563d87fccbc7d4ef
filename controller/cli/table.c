/* SPDX-License-Identifier: MIT */
/* Columns as wide as their widest cell. */
#include "cli.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"

#define GAP 2 /* spaces between columns */

struct cli_table {
	const char *align;
	size_t columns, count, room;
	char **cells;
};

static void *must(void *memory)
{
	if (!memory) {
		fputs("dipole: out of memory\n", stderr);
		exit(EX_OSERR);
	}
	return memory;
}

struct cli_table *cli_table_new(const char *align, const char *headings)
{
	struct cli_table *t = must(calloc(1, sizeof *t));
	t->align = align;
	t->columns = strlen(align);
	while (*headings) {
		int size = (int)strcspn(headings, " ");
		cli_table_add(t, "%.*s", size, headings);
		headings += size + (headings[size] == ' ');
	}
	return t;
}

void cli_table_add(struct cli_table *table, const char *format, ...)
{
	va_list args;
	char *text = NULL;
	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = NULL;
	va_end(args);
	must(text);
	if (table->count == table->room) {
		table->room = table->room ? 2 * table->room : 64;
		table->cells = must(realloc(table->cells, table->room * sizeof *table->cells));
	}
	table->cells[table->count++] = text;
}

void cli_table_time(struct cli_table *table, uint64_t time_us)
{
	char text[32];
	cli_table_add(table, "%s", dp_format_time(time_us, text, sizeof text));
}

void cli_table_size(struct cli_table *table, uint64_t bytes)
{
	char text[32];
	cli_table_add(table, "%s", dp_format_size(bytes, text, sizeof text));
}

static void add_field(struct cli_table *table, const struct cli_field *field, const json_t *object)
{
	const char *key = field->key, *dot = strchr(key, '.');
	if (dot) {
		object = json_object_getn(object, key, (size_t)(dot - key));
		key = dot + 1;
	}
	uint64_t number = verb_number(object, key);
	if (field->kind == CLI_TEXT)
		cli_table_add(table, "%s", verb_text(object, key));
	else if (!json_is_integer(json_object_get(object, key)))
		cli_table_add(table, "-");
	else if (field->kind == CLI_TIME)
		cli_table_time(table, number);
	else if (field->kind == CLI_SIZE)
		cli_table_size(table, number);
	else
		cli_table_add(table, "%llu", (unsigned long long)number);
}

void cli_table_fields(struct cli_table *table, const struct cli_field *fields, unsigned count,
	const json_t *object)
{
	for (unsigned i = 0; i < count; i++)
		add_field(table, &fields[i], object);
}

static int width(const struct cli_table *t, size_t column)
{
	size_t widest = 0;
	for (size_t i = column; i < t->count; i += t->columns) {
		size_t size = strlen(t->cells[i]);
		widest = size > widest ? size : widest;
	}
	return (int)widest;
}

static void print_cell(const struct cli_table *t, size_t i)
{
	size_t column = i % t->columns;
	bool last = column + 1 == t->columns;
	int w = width(t, column);
	if (t->align[column] == 'r')
		printf("%*s", w, t->cells[i]);
	else
		printf("%-*s", last ? 0 : w, t->cells[i]);
	if (last)
		putchar('\n');
	else
		printf("%*s", GAP, "");
}

void cli_table_print(struct cli_table **table)
{
	struct cli_table *t = *table;
	for (size_t i = 0; t->count > t->columns && i < t->count; i++)
		print_cell(t, i);
	for (size_t i = 0; i < t->count; i++)
		free(t->cells[i]);
	free(t->cells);
	free(t);
	*table = NULL;
}
