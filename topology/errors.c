/* SPDX-License-Identifier: MIT */
#include "errors.h"

#include <limits.h>
#include <string.h>

static unsigned clamp(size_t n)
{
	return n > UINT_MAX ? UINT_MAX : (unsigned)n;
}

static bool same(const struct dp_topo_error *a, const struct dp_topo_error *b)
{
	return a->line == b->line && a->column == b->column && strcmp(a->key, b->key) == 0 &&
		strcmp(a->text, b->text) == 0;
}

void dp_topo_errors_add(struct dp_topo_errors *errors, const struct dp_topo_place *place,
	const char *key, const char *text)
{
	if (errors->count >= DP_TOPO_ERRORS_MAX)
		return;
	struct dp_topo_error *e = &errors->errors[errors->count];
	*e = (struct dp_topo_error){.line = clamp(place->line), .column = clamp(place->column)};
	strncpy(e->file, place->file, sizeof(e->file) - 1);
	strncpy(e->key, key, sizeof(e->key) - 1);
	strncpy(e->text, text, sizeof(e->text) - 1);
	for (unsigned i = 0; i < errors->count; i++) {
		if (same(&errors->errors[i], e))
			return;
	}
	errors->count++;
}

static bool before(const struct dp_topo_error *a, const struct dp_topo_error *b)
{
	return a->line != b->line ? a->line < b->line : a->column < b->column;
}

void dp_topo_errors_sort(struct dp_topo_errors *errors)
{
	for (unsigned i = 1; i < errors->count; i++) {
		struct dp_topo_error e = errors->errors[i];
		unsigned j = i;
		for (; j > 0 && before(&e, &errors->errors[j - 1]); j--)
			errors->errors[j] = errors->errors[j - 1];
		errors->errors[j] = e;
	}
}

void dp_topology_print_errors(const struct dp_topo_errors *errors, FILE *to)
{
	for (unsigned i = 0; i < errors->count; i++) {
		const struct dp_topo_error *e = &errors->errors[i];
		fprintf(to, "%s:%u:%u: %s: %s\n", e->file, e->line, e->column, e->key, e->text);
	}
}
