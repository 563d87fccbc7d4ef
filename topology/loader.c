/* SPDX-License-Identifier: MIT */
#include "loader.h"

#include <stdarg.h>
#include <string.h>

#include "errors.h"
#include "scalars.h"

#define SHOWN_MAX 64

/* Copies for a message: printable ASCII only (it goes to terminals), shortened with "...". */
static void printable(char *to, size_t size, const char *from, size_t length)
{
	size_t count = length < size ? length : size - 1;
	for (size_t i = 0; i < count; i++)
		to[i] = from[i] >= ' ' && from[i] <= '~' ? from[i] : '?';
	to[count] = '\0';
	if (length > count && count >= 3)
		memcpy(to + count - 3, "...", 3);
}

static void render(const struct dp_path *path, char *out, size_t size)
{
	if (!path)
		return;
	render(path->up, out, size);
	size_t used = strlen(out);
	if (!path->key) {
		snprintf(out + used, size - used, "[%u]", path->index);
		return;
	}
	char key[SHOWN_MAX];
	printable(key, sizeof(key), path->key, strlen(path->key));
	snprintf(out + used, size - used, "%s%s", used ? "." : "", key);
}

void dp_loader_error(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *at,
	const char *format, ...)
{
	char key[sizeof(l->errors->errors[0].key)] = "", text[sizeof(l->errors->errors[0].text)];
	char shown[sizeof(text)];
	render(path, key, sizeof(key));
	va_list arguments;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	/* Names of other objects stand in it as they were given, and a bad one may be anything. */
	printable(shown, sizeof(shown), text, strlen(text));
	struct dp_topo_place place = {l->file, at->start_mark.line + 1, at->start_mark.column + 1};
	dp_topo_errors_add(l->errors, &place, key[0] ? key : "(file)", shown);
}

const yaml_node_t *dp_loader_get(struct dp_loader *l, int id)
{
	return yaml_document_get_node(&l->document, id);
}

const char *dp_loader_text(const yaml_node_t *value)
{
	if (value->type != YAML_SCALAR_NODE)
		return NULL;
	const char *text = (const char *)value->data.scalar.value;
	return strlen(text) == value->data.scalar.length ? text : NULL;
}

static const yaml_node_pair_t *find_pair(struct dp_loader *l, const yaml_node_t *map,
	const char *key)
{
	const yaml_node_pair_t *end = map->data.mapping.pairs.top;
	for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < end; p++) {
		const char *text = dp_loader_text(dp_loader_get(l, p->key));
		if (text && strcmp(text, key) == 0)
			return p;
	}
	return NULL;
}

const yaml_node_t *dp_loader_find(struct dp_loader *l, const yaml_node_t *map, const char *key)
{
	if (map->type != YAML_MAPPING_NODE)
		return NULL;
	const yaml_node_pair_t *pair = find_pair(l, map, key);
	return pair ? dp_loader_get(l, pair->value) : NULL;
}

struct dp_shown dp_loader_show(const yaml_node_t *value)
{
	struct dp_shown shown = {"a mapping"};
	if (value->type == YAML_SEQUENCE_NODE)
		strcpy(shown.text, "a list");
	if (value->type != YAML_SCALAR_NODE)
		return shown;
	if (value->data.scalar.length == 0) {
		strcpy(shown.text, "nothing");
		return shown;
	}
	char word[SHOWN_MAX];
	const char *text = (const char *)value->data.scalar.value;
	printable(word, sizeof(word), text, value->data.scalar.length);
	snprintf(shown.text, sizeof(shown.text), "\"%s\"", word);
	return shown;
}

bool dp_loader_is(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	yaml_node_type_t type, const char *expected)
{
	if (value->type == type)
		return true;
	dp_loader_error(l, path, value, "found %s; expected %s", dp_loader_show(value).text,
		expected);
	return false;
}

bool dp_loader_scalar(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	const char *expected, bool (*scalar)(const char *text, void *out), void *out)
{
	const char *text = dp_loader_text(value);
	if (text && scalar(text, out))
		return true;
	dp_loader_error(l, path, value, "found %s; expected %s", dp_loader_show(value).text,
		expected);
	return false;
}

static const struct dp_field *known(const struct dp_field *fields, const char *key)
{
	for (; fields->key; fields++) {
		if (strcmp(fields->key, key) == 0)
			return fields;
	}
	return NULL;
}

static void unknown_key(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *key,
	const struct dp_field *fields)
{
	char names[160] = "";
	size_t used = 0;
	for (const struct dp_field *f = fields; f->key && used < sizeof(names); f++)
		used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s",
			f == fields ? "" : ", ", f->key);
	if (dp_loader_text(key))
		dp_loader_error(l, path, key, "unknown key; expected one of %s", names);
	else
		dp_loader_error(l, path, key, "found %s as a key; expected one of %s",
			dp_loader_show(key).text, names);
}

static void check_key(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *map,
	const yaml_node_pair_t *pair, const struct dp_field *fields)
{
	const yaml_node_t *key = dp_loader_get(l, pair->key);
	const char *text = dp_loader_text(key);
	struct dp_path at = {path, text, 0};
	if (!text || !known(fields, text)) {
		unknown_key(l, text ? &at : path, key, fields);
		return;
	}
	const yaml_node_pair_t *first = find_pair(l, map, text);
	if (first != pair)
		dp_loader_error(l, &at, key, "given twice (before on line %zu); expected once",
			dp_loader_get(l, first->key)->start_mark.line + 1);
}

/* Each key is either one of the few known ones or a mistake, and the list of mistakes is
 * bounded; so is this loop, whatever the size of the mapping. */
static void check_keys(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *map,
	const struct dp_field *fields)
{
	const yaml_node_pair_t *end = map->data.mapping.pairs.top;
	const yaml_node_pair_t *p = map->data.mapping.pairs.start;
	for (; p < end && l->errors->count < DP_TOPO_ERRORS_MAX; p++)
		check_key(l, path, map, p, fields);
}

void dp_loader_fields(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *map,
	const struct dp_field *fields, void *object)
{
	if (!dp_loader_is(l, path, map, YAML_MAPPING_NODE, "a mapping of keys to values"))
		return;
	check_keys(l, path, map, fields);
	for (const struct dp_field *f = fields; f->key; f++) {
		struct dp_path at = {path, f->key, 0};
		const yaml_node_t *value = dp_loader_find(l, map, f->key);
		void *out = (char *)object + f->offset;
		if (value && f->scalar)
			dp_loader_scalar(l, &at, value, f->expected, f->scalar, out);
		else if (value)
			f->parse(l, &at, value, object);
		else if (f->need == DP_REQUIRED)
			dp_loader_error(l, &at, map, "missing; expected %s", f->expected);
	}
}

static int find_name(const struct dp_names *names, const char *text)
{
	for (unsigned i = 0; i < names->count; i++) {
		if (strcmp(names->text[i], text) == 0)
			return (int)i;
	}
	return -1;
}

static void check_name(struct dp_loader *l, const struct dp_path *at, const yaml_node_t *key,
	const struct dp_names *names)
{
	char name[DP_NAME_MAX + 1];
	int first = find_name(names, at->key);
	if (first >= 0)
		dp_loader_error(l, at, key, "name given twice (before on line %zu); expected once",
			names->key_at[first]->start_mark.line + 1);
	else if (!dp_scalar_name(at->key, name))
		dp_loader_error(l, at, key,
			"bad name %s; expected a-z, 0-9 and -, first a letter or digit, at most %d "
			"long",
			dp_loader_show(key).text, DP_NAME_MAX);
}

static bool enter_name(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_pair_t *pair, struct dp_names *names, unsigned max)
{
	const yaml_node_t *key = dp_loader_get(l, pair->key);
	const char *text = dp_loader_text(key);
	struct dp_path at = {path, text, 0};
	if (!text) {
		dp_loader_error(l, path, key, "found %s as a name; expected a word",
			dp_loader_show(key).text);
		names->complete = false;
		return false;
	}
	if (names->count >= max) {
		dp_loader_error(l, &at, key, "one too many; expected at most %u", max);
		names->complete = false;
		return false;
	}
	check_name(l, &at, key, names);
	names->text[names->count] = text;
	names->key_at[names->count] = key;
	names->value_at[names->count] = dp_loader_get(l, pair->value);
	names->count++;
	return true;
}

void dp_loader_named(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *map,
	struct dp_names *names, unsigned max, dp_named_fn *each, void *context)
{
	names->count = 0;
	names->complete = dp_loader_is(l, path, map, YAML_MAPPING_NODE, "a mapping from names");
	if (!names->complete)
		return;
	const yaml_node_pair_t *end = map->data.mapping.pairs.top;
	const yaml_node_pair_t *p = map->data.mapping.pairs.start;
	for (; p < end && l->errors->count < DP_TOPO_ERRORS_MAX; p++) {
		if (!enter_name(l, path, p, names, max)) {
			if (names->count >= max)
				return;
			continue;
		}
		struct dp_path at = {path, names->text[names->count - 1], 0};
		each(l, &at, dp_loader_get(l, p->value), context);
	}
}

unsigned dp_loader_resolve(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, const struct dp_names *names, const char *what)
{
	const char *text = dp_loader_text(value);
	int index = text ? find_name(names, text) : -1;
	if (index >= 0)
		return (unsigned)index;
	if (!text)
		dp_loader_error(l, path, value, "found %s; expected one of the names under %ss",
			dp_loader_show(value).text, what);
	else if (names->complete)
		dp_loader_error(l, path, value,
			"unknown %s %s; expected one of the names under %ss", what,
			dp_loader_show(value).text, what);
	return DP_UNRESOLVED;
}

unsigned dp_loader_items(const yaml_node_t *list)
{
	return (unsigned)(list->data.sequence.items.top - list->data.sequence.items.start);
}

const yaml_node_t *dp_loader_item(struct dp_loader *l, const yaml_node_t *list, unsigned index)
{
	return dp_loader_get(l, list->data.sequence.items.start[index]);
}
