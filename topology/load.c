/* SPDX-License-Identifier: MIT */
/* From a file or text to a model: reading, what of YAML is taken, and the order of the steps. */
#include "topology.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "errors.h"
#include "schema.h"

/* The deepest place of a topology is streams -> NAME -> legs -> NAME -> list. */
#define DEPTH_MAX 16

static void file_error(struct dp_topo_errors *errors, const char *file, const char *key,
	const char *text)
{
	struct dp_topo_place place = {file, 1, 1};
	dp_topo_errors_add(errors, &place, key, text);
}

/* ---- syntax, before anything is built ----
 *
 * Of YAML only mappings, lists and words are taken. Anchors and aliases are refused: they make
 * graphs and repetitions of what has to be a tree, and the place of a mistake would be unclear. */

struct scan {
	yaml_parser_t parser;
	const char *text;
	const char *file;
	struct dp_topo_errors *errors;
	unsigned depth, documents;
};

static int refuse(struct scan *s, const yaml_mark_t *mark, const char *text)
{
	struct dp_topo_place place = {s->file, mark->line + 1, mark->column + 1};
	dp_topo_errors_add(s->errors, &place, "(syntax)", text);
	return DP_ECONFIG;
}

/* The reader of bytes knows an offset only, the scanner a line and column. */
static int syntax_error(struct scan *s)
{
	if (s->parser.error == YAML_MEMORY_ERROR)
		return DP_ENOMEM;
	yaml_mark_t mark = s->parser.problem_mark;
	if (s->parser.error == YAML_READER_ERROR) {
		mark = (yaml_mark_t){0};
		for (size_t i = 0; i < s->parser.problem_offset; i++) {
			mark.column = s->text[i] == '\n' ? 0 : mark.column + 1;
			mark.line += s->text[i] == '\n';
		}
	}
	char text[200];
	snprintf(text, sizeof(text), "%s%s%s; expected YAML in UTF-8",
		s->parser.problem ? s->parser.problem : "not YAML", s->parser.context ? " " : "",
		s->parser.context ? s->parser.context : "");
	return refuse(s, &mark, text);
}

static int check_properties(struct scan *s, const yaml_event_t *event, const yaml_char_t *anchor,
	const yaml_char_t *tag)
{
	if (anchor)
		return refuse(s, &event->start_mark, "found an anchor (&); expected plain values");
	if (tag)
		return refuse(s, &event->start_mark, "found a tag (!); expected plain values");
	return 0;
}

static int enter(struct scan *s, const yaml_event_t *event)
{
	if (++s->depth <= DEPTH_MAX)
		return 0;
	return refuse(s, &event->start_mark, "nested too deeply; expected at most 16 levels");
}

static int check_event(struct scan *s, const yaml_event_t *event)
{
	int err = 0;
	switch (event->type) {
	case YAML_DOCUMENT_START_EVENT:
		if (++s->documents > 1)
			err = refuse(s, &event->start_mark,
				"found a second document; expected one");
		break;
	case YAML_ALIAS_EVENT:
		err = refuse(s, &event->start_mark, "found an alias (*); expected plain values");
		break;
	case YAML_SCALAR_EVENT:
		err = check_properties(s, event, event->data.scalar.anchor, event->data.scalar.tag);
		break;
	case YAML_SEQUENCE_START_EVENT:
		err = check_properties(s, event, event->data.sequence_start.anchor,
			event->data.sequence_start.tag);
		err = err ? err : enter(s, event);
		break;
	case YAML_MAPPING_START_EVENT:
		err = check_properties(s, event, event->data.mapping_start.anchor,
			event->data.mapping_start.tag);
		err = err ? err : enter(s, event);
		break;
	case YAML_SEQUENCE_END_EVENT:
	case YAML_MAPPING_END_EVENT:
		s->depth--;
		break;
	default:
		break;
	}
	return err;
}

static int scan_events(struct scan *s)
{
	for (;;) {
		yaml_event_t event;
		if (!yaml_parser_parse(&s->parser, &event))
			return syntax_error(s);
		bool end = event.type == YAML_STREAM_END_EVENT;
		int err = check_event(s, &event);
		yaml_event_delete(&event);
		if (err || end)
			return err;
	}
}

static int start_parser(yaml_parser_t *parser, const char *text, size_t size)
{
	if (!yaml_parser_initialize(parser))
		return DP_ENOMEM;
	yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(parser, (const unsigned char *)text, size);
	return 0;
}

static int check_syntax(const char *text, size_t size, const char *file,
	struct dp_topo_errors *errors)
{
	struct scan s = {.text = text, .file = file, .errors = errors};
	int err = start_parser(&s.parser, text, size);
	if (err)
		return err;
	err = scan_events(&s);
	yaml_parser_delete(&s.parser);
	return err;
}

/* ---- from the document to the model ---- */

static int build_document(yaml_document_t *document, const char *text, size_t size)
{
	yaml_parser_t parser;
	int err = start_parser(&parser, text, size);
	if (err)
		return err;
	/* The syntax has been checked: what can go wrong here is memory. */
	if (!yaml_parser_load(&parser, document))
		err = DP_ENOMEM;
	yaml_parser_delete(&parser);
	return err;
}

static int build_model(struct dp_loader *l)
{
	yaml_node_t *root = yaml_document_get_root_node(&l->document);
	if (!root) {
		file_error(l->errors, l->file, "(file)",
			"empty; expected a mapping of keys to values");
		return DP_ECONFIG;
	}
	l->t = calloc(1, sizeof(*l->t));
	if (!l->t)
		return DP_ENOMEM;
	dp_schema_load(l, root);
	return l->errors->count ? DP_ECONFIG : 0;
}

static int load_model(const char *text, size_t size, const char *file, struct dp_topology **out,
	struct dp_topo_errors *errors)
{
	struct dp_loader *l = calloc(1, sizeof(*l));
	if (!l)
		return DP_ENOMEM;
	l->file = file;
	l->errors = errors;
	int err = build_document(&l->document, text, size);
	if (!err) {
		err = build_model(l);
		yaml_document_delete(&l->document);
	}
	if (err)
		dp_topology_destroy(&l->t);
	*out = l->t;
	free(l);
	return err;
}

int dp_topology_parse(const char *text, size_t size, const char *file, struct dp_topology **out,
	struct dp_topo_errors *errors)
{
	*out = NULL;
	errors->count = 0;
	if (size > DP_TOPOLOGY_FILE_MAX) {
		file_error(errors, file, "(file)", "too large; expected at most 1MiB");
		return DP_ECONFIG;
	}
	int err = check_syntax(text, size, file, errors);
	if (!err)
		err = load_model(text, size, file, out, errors);
	if (err == DP_ENOMEM && errors->count == 0)
		file_error(errors, file, "(file)", "out of memory");
	dp_topo_errors_sort(errors);
	return err;
}

/* ---- reading ---- */

static int read_error(struct dp_topo_errors *errors, const char *path, int number)
{
	char text[128];
	snprintf(text, sizeof(text), "cannot be read: %s", strerror(number));
	file_error(errors, path, "(file)", text);
	return number == ENOENT ? DP_ENOENT : DP_EIO;
}

/* Reads at most a byte more than is allowed, which tells that the file is too large. */
static int read_all(FILE *file, const char *path, char *text, struct dp_topology **out,
	struct dp_topo_errors *errors)
{
	size_t size = fread(text, 1, DP_TOPOLOGY_FILE_MAX + 1, file);
	if (ferror(file))
		return read_error(errors, path, errno);
	return dp_topology_parse(text, size, path, out, errors);
}

int dp_topology_load(const char *path, struct dp_topology **out, struct dp_topo_errors *errors)
{
	*out = NULL;
	errors->count = 0;
	FILE *file = fopen(path, "re");
	if (!file)
		return read_error(errors, path, errno);
	int err = DP_ENOMEM;
	char *text = malloc(DP_TOPOLOGY_FILE_MAX + 1);
	if (text)
		err = read_all(file, path, text, out, errors);
	else
		file_error(errors, path, "(file)", "out of memory");
	free(text);
	fclose(file);
	return err;
}
