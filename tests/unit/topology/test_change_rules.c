/* SPDX-License-Identifier: MIT */
/* The table of what a change of each key means: what it makes of each change, and that no key of
 * the schema is missing in it, in its cases, or in dipole-topology(5). */
#include <criterion/criterion.h>

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "changes.h"
#include "topology/change_rules.h"
#include "topology/schema.h"

#define TEXT_MAX 4096

static void append(char *to, const char *between, const char *text)
{
	size_t used = strlen(to);
	cr_assert_lt(used + strlen(between) + strlen(text), TEXT_MAX);
	sprintf(to + used, "%s%s", used ? between : "", text);
}

/* ---- each case ---- */

static const char *lines_of(const struct dp_topo_changes *changes)
{
	static char lines[TEXT_MAX];
	lines[0] = '\0';
	for (unsigned i = 0; i < changes->count; i++)
		append(lines, " | ", changes->list[i].what);
	return lines;
}

static void add_level(void *ctx, const struct dp_change_task *task)
{
	enum dp_change_level *level = ctx;
	*level = *level < task->level ? task->level : *level;
}

/* Those that are in use, at just this level. */
static const char *nodes_at(enum dp_change_level wanted, const struct dp_topology *before,
	const struct dp_topology *after)
{
	static char names[TEXT_MAX];
	names[0] = '\0';
	for (unsigned i = 0; i < before->node_count; i++) {
		enum dp_change_level level = DP_CHANGE_TEXT;
		bool used = false;
		for (unsigned s = 0; s < before->stream_count; s++)
			used = used || dp_topology_uses(&before->streams[s], i);
		dp_topology_tasks(before, after, before->nodes[i].name, add_level, &level);
		if (used && level == wanted)
			append(names, " ", before->nodes[i].name);
	}
	return names;
}

static enum dp_change_level level_of(const struct change_case *c,
	const struct dp_topo_changes *changes)
{
	if (dp_topology_refused(changes, false))
		return DP_CHANGE_NEVER;
	if (dp_topology_refused(changes, true))
		return DP_CHANGE_AT_START;
	return c->restart[0] ? DP_CHANGE_RESTART : c->live[0] ? DP_CHANGE_LIVE : DP_CHANGE_TEXT;
}

Test(change_rules, each_change)
{
	struct dp_topo_changes *changes = malloc(sizeof *changes);
	struct dp_topology *before = changes_parse(changes_before);
	for (unsigned i = 0; i < change_case_count; i++) {
		const struct change_case *c = &change_cases[i];
		struct dp_topology *after = changes_apply(c, NULL);
		cr_assert_not_null(after, "case %u, %s", i, c->key);
		dp_topology_compare(before, after, changes);
		cr_assert_str_eq(lines_of(changes), c->lines, "case %u, %s: %s", i, c->key,
			lines_of(changes));
		cr_assert_eq(level_of(c, changes), c->level, "case %u, %s", i, c->key);
		for (unsigned k = 0; k < changes->count; k++)
			cr_assert(!dp_change_is_refused(&changes->list[k]) ||
					changes->list[k].means[0],
				"case %u, %s: no reason", i, c->key);
		if (!changes->refused) {
			const char *restart = nodes_at(DP_CHANGE_RESTART, before, after);
			cr_assert_str_eq(restart, c->restart, "case %u, %s: restart: %s", i, c->key,
				restart);
			const char *live = nodes_at(DP_CHANGE_LIVE, before, after);
			cr_assert_str_eq(live, c->live, "case %u, %s: live: %s", i, c->key, live);
		}
		dp_topology_destroy(&after);
	}
	dp_topology_destroy(&before);
	free(changes);
}

/* ---- the schema ---- */

static char keys[128][64];
static unsigned key_count;

static void add_key(void *ctx, const char *key)
{
	(void)ctx;
	cr_assert_lt(key_count, 128);
	snprintf(keys[key_count++], sizeof keys[0], "%s", key);
}

/* "streams.ack" only leads to others, which are keys of their own. */
static bool is_group(const char *key)
{
	size_t size = strlen(key);
	for (unsigned i = 0; i < key_count; i++)
		if (strncmp(keys[i], key, size) == 0 && keys[i][size] == '.')
			return true;
	return false;
}

static bool has_rule(const char *key)
{
	const struct dp_change_rule *rule = dp_change_rules;
	while (rule->key && strcmp(rule->key, key))
		rule++;
	return rule->key != NULL;
}

static bool is_key(const char *key)
{
	for (unsigned i = 0; i < key_count; i++)
		if (strcmp(keys[i], key) == 0)
			return true;
	return false;
}

static bool has_case(const char *key)
{
	for (unsigned i = 0; i < change_case_count; i++)
		if (strcmp(change_cases[i].key, key) == 0)
			return true;
	return strcmp(key, "dipole") == 0; /* a file of another version is not read */
}

Test(change_rules, each_key_of_the_schema_has_one)
{
	dp_schema_keys(add_key, NULL);
	for (unsigned i = 0; i < key_count; i++) {
		cr_assert(has_rule(keys[i]) || is_group(keys[i]),
			"%s: topology/change_rules.c does not say what its change means", keys[i]);
		cr_assert(!has_rule(keys[i]) || has_case(keys[i]),
			"%s: tests/rig/changes.h has no case of it", keys[i]);
	}
	for (const struct dp_change_rule *rule = dp_change_rules; rule->key; rule++)
		cr_assert(is_key(rule->key), "%s: the schema has no such key", rule->key);
}

Test(change_rules, say_what_they_have_to)
{
	for (const struct dp_change_rule *rule = dp_change_rules; rule->key; rule++) {
		bool works = rule->level == DP_CHANGE_LIVE || rule->level == DP_CHANGE_RESTART;
		cr_assert_eq(works, rule->whom != DP_WHOM_NOBODY, "%s: who does it?", rule->key);
		cr_assert(!works || rule->here, "%s: what does the node say?", rule->key);
	}
}

static char *read_source(const char *name)
{
	char path[1024], *text = calloc(1, 1 << 20);
	snprintf(path, sizeof path, "%s/topology/%s", DIPOLE_SOURCE, name);
	FILE *f = fopen(path, "r");
	cr_assert_not_null(f, "%s", path);
	cr_assert_lt(fread(text, 1, 1 << 20, f), 1 << 20);
	fclose(f);
	return text;
}

/* A table of the schema that dp_schema_keys() does not know would keep its keys from all of this.
 */
Test(change_rules, all_tables_of_the_schema_are_known)
{
	unsigned known = 0, written = 0;
	char *text = read_source("schema.c");
	dp_schema_keys(add_key, NULL);
	for (unsigned i = 0; i < key_count; i++)
		known += strncmp(keys[i], "links.heartbeat.", 16) != 0; /* the file's table again */
	for (const char *at = text; (at = strstr(at, "\", DP_")); at++)
		written++;
	cr_assert_eq(known, written, "schema.c has %u keys, of which %u are known", written, known);
	free(text);
}

/* ---- the manual ---- */

static void put_part(const struct dp_change_rule *rule, char *to, size_t size)
{
	static const char *const levels[] = {"text", "live", "restart", "at a start", "never"};
	const char *whom = dp_change_whom_text(rule->whom);
	snprintf(to, size, "%s%s%s%s%s%s", levels[rule->level], whom[0] ? " (" : "", whom,
		whom[0] ? ")" : "", rule->condition ? ", " : "",
		rule->condition ? rule->condition : "");
}

/* "Change: text; restart (its sender), if ...": what the manual has for one key. */
static void put_sentence(const char *key, enum dp_change_event event, char *to)
{
	static const char *const labels[] = {"Change: ", "Coming: ", "Going: ", "Order: "};
	char part[256];
	to[0] = '\0';
	for (const struct dp_change_rule *rule = dp_change_rules; rule->key; rule++) {
		if (strcmp(rule->key, key) || rule->event != event)
			continue;
		put_part(rule, part, sizeof part);
		if (!strstr(to, part))
			append(to, to[0] ? "; " : "", part);
	}
	if (to[0]) {
		memmove(to + strlen(labels[event]), to, strlen(to) + 1);
		memcpy(to, labels[event], strlen(labels[event]));
		append(to, "", ".");
	}
}

/* What stands in the manual for the key, in one line. */
static char *manual_of(const char *manual, const char *key)
{
	static const char *const sections[][2] = {{"sites.", ".Ss A site\n"},
		{"nodes.", ".Ss A node\n"}, {"links.", ".Ss A link\n"},
		{"streams.", ".Ss A stream\n"}, {"volumes.", ".Ss A volume\n"},
		{"operators.", ".Ss An operator\n"}, {"", ".Ss The file\n"}};
	unsigned i = 0;
	while (strncmp(key, sections[i][0], strlen(sections[i][0])))
		i++;
	char item[80];
	snprintf(item, sizeof item, "\n.It Cm %s\n", key + strlen(sections[i][0]));
	const char *at = strstr(manual, sections[i][1]);
	cr_assert_not_null(at, "the manual has no%s", sections[i][1]);
	const char *section_end = strstr(at + 1, "\n.S");
	at = strstr(at, item);
	cr_assert(at && at < section_end, "dipole-topology(5) does not have %s", key);
	char *text = strdup(at + strlen(item)), *end = strstr(text, "\n.It "),
	     *list_end = strstr(text, "\n.El");
	*(end && end < list_end ? end : list_end) = '\0';
	for (char *c = text; *c; c++)
		*c = *c == '\n' ? ' ' : *c;
	return text;
}

Test(change_rules, the_manual_says_the_same)
{
	char *manual = read_source("dipole-topology.5"), sentence[TEXT_MAX];
	dp_schema_keys(add_key, NULL);
	for (unsigned i = 0; i < key_count; i++) {
		if (!has_rule(keys[i]))
			continue;
		char *text = manual_of(manual, keys[i]);
		for (unsigned event = DP_CHANGES; event <= DP_IS_REORDERED; event++) {
			put_sentence(keys[i], event, sentence);
			cr_assert(strstr(text, sentence),
				"dipole-topology(5), %s: expected \"%s\", found \"%s\"", keys[i],
				sentence, text);
		}
		free(text);
	}
	free(manual);
}
