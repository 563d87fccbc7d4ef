/* dipole digest: whether the mirrors of a volume hold the same content. A mark in the stream names
 * the position; each mirror digests the volume when it has applied the mark, so the volume may be
 * written to meanwhile. */
#include "digest.h"
#include "cli.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define POLL_EVERY_US 50000
#define DEFAULT_US    60000000

struct request {
	const char *state, *volume, *node, *file;
	uint64_t timeout_us;
	bool json;
};

struct mirror {
	unsigned node;
	bool done;
	char digest[2 * DP_DIGEST_TEXT];
	uint64_t epoch, seq;
	char error[CLI_ERROR_MAX]; /* why not done */
};

struct mirrors {
	struct mirror list[DP_LEGS_MAX + 1];
	unsigned count;
};

static void add_mirror(struct mirrors *mirrors, unsigned node, int only)
{
	for (unsigned i = 0; i < mirrors->count; i++) {
		if (mirrors->list[i].node == node)
			return;
	}
	if (only < 0 || (unsigned)only == node)
		mirrors->list[mirrors->count++] = (struct mirror){.node = node};
}

/* The ends of the legs, and the controller if it has an image; only one of them if named. */
static void find_mirrors(const struct dp_topo_stream *s, int only, struct mirrors *mirrors)
{
	mirrors->count = 0;
	if (s->local == DP_LOCAL_MIRROR)
		add_mirror(mirrors, s->controller, only);
	for (unsigned i = 0; i < s->leg_count; i++)
		add_mirror(mirrors, s->legs[i].hops[s->legs[i].hop_count - 1], only);
}

static void poll_mirror(const struct cli_place *place, const char *mark, struct mirror *m)
{
	json_t *request = json_pack("{s:s,s:s}", "cmd", "digest", "mark", mark), *answer;
	if (cli_ask(place, m->node, request, CLI_ASK_TIMEOUT_US, &answer, m->error))
		return;
	m->done = json_is_true(json_object_get(answer, "done"));
	snprintf(m->digest, sizeof m->digest, "%s", cli_text(answer, "digest"));
	m->epoch = cli_number(answer, "epoch");
	m->seq = cli_number(answer, "seq");
	snprintf(m->error, sizeof m->error, "it has not reached the mark");
	json_decref(answer);
}

/* Whether all are done in time. */
static bool collect(const struct cli_place *place, const char *mark, struct mirrors *mirrors,
	uint64_t timeout_us)
{
	uint64_t started = cli_now_us();
	for (;;) {
		unsigned done = 0;
		for (unsigned i = 0; i < mirrors->count; i++) {
			if (!mirrors->list[i].done)
				poll_mirror(place, mark, &mirrors->list[i]);
			done += mirrors->list[i].done;
		}
		if (done == mirrors->count)
			return true;
		if (cli_now_us() - started >= timeout_us)
			return false;
		cli_sleep_us(POLL_EVERY_US);
	}
}

/* Of those that are done. */
static bool all_equal(const struct mirrors *mirrors)
{
	const struct mirror *first = NULL;
	for (unsigned i = 0; i < mirrors->count; i++) {
		const struct mirror *m = &mirrors->list[i];
		if (m->done && first && strcmp(m->digest, first->digest) != 0)
			return false;
		if (m->done && !first)
			first = m;
	}
	return true;
}

static void print_table(const struct cli_place *place, const struct mirrors *mirrors)
{
	struct cli_table *t = cli_table_new("llrr");
	cli_table_add(t, "NODE");
	cli_table_add(t, "DIGEST");
	cli_table_add(t, "EPOCH");
	cli_table_add(t, "SEQ");
	for (unsigned i = 0; i < mirrors->count; i++) {
		const struct mirror *m = &mirrors->list[i];
		cli_table_add(t, "%s", place->topology->nodes[m->node].name);
		cli_table_add(t, "%s", m->done ? m->digest : "-");
		cli_table_add(t, "%llu", (unsigned long long)m->epoch);
		cli_table_add(t, "%llu", (unsigned long long)m->seq);
	}
	cli_table_print(&t);
}

static void print_json(const struct request *r, const struct cli_place *place,
	const struct mirrors *mirrors, bool all)
{
	json_t *list = json_array();
	for (unsigned i = 0; i < mirrors->count; i++) {
		const struct mirror *m = &mirrors->list[i];
		json_t *entry = json_pack("{s:s,s:b}", "node", place->topology->nodes[m->node].name,
			"done", (int)m->done);
		if (m->done)
			json_object_update_new(
				entry, json_pack("{s:s,s:I,s:I}", "digest", m->digest, "epoch",
					       (json_int_t)m->epoch, "seq", (json_int_t)m->seq));
		else
			json_object_set_new(entry, "error", json_string(m->error));
		json_array_append_new(list, entry);
	}
	cli_print_json(json_pack("{s:s,s:b,s:b,s:o}", "volume", r->volume, "complete", (int)all,
		"equal", (int)(all && all_equal(mirrors)), "mirrors", list));
}

static int report(const struct request *r, const struct cli_place *place,
	const struct mirrors *mirrors, bool all)
{
	bool equal = all_equal(mirrors);
	if (r->json)
		print_json(r, place, mirrors, all);
	else
		print_table(place, mirrors);
	for (unsigned i = 0; i < mirrors->count; i++) {
		const struct mirror *m = &mirrors->list[i];
		if (!m->done)
			cli_fail(0, "%s gave no digest in time: %s",
				place->topology->nodes[m->node].name, m->error);
	}
	if (!equal)
		return cli_fail(1, "the mirrors of %s DIFFER", r->volume);
	if (!all)
		return EX_UNAVAILABLE;
	if (!r->json && mirrors->count > 1)
		printf("equal\n");
	return EX_OK;
}

static int set_mark(const struct cli_place *place, const struct dp_topo_stream *s,
	const char *volume, char mark[64])
{
	json_t *request = json_pack("{s:s,s:s}", "cmd", "mark", "volume", volume), *answer;
	char error[CLI_ERROR_MAX];
	if (cli_ask(place, s->controller, request, CLI_ASK_TIMEOUT_US, &answer, error))
		return cli_fail(EX_UNAVAILABLE, "controller %s sets no mark: %s",
			place->topology->nodes[s->controller].name, error);
	snprintf(mark, 64, "%s", cli_text(answer, "mark"));
	json_decref(answer);
	return 0;
}

static int compare(const struct request *r, const struct cli_place *place)
{
	const struct dp_topology *t = place->topology;
	struct mirrors mirrors;
	char mark[64];
	int volume = dp_topology_volume(t, r->volume);
	if (volume < 0)
		return cli_fail(
			EX_USAGE, "no volume '%s' in %s/topology.yaml", r->volume, place->dir);
	const struct dp_topo_stream *s = &t->streams[t->volumes[volume].stream];
	int only = r->node ? dp_topology_node(t, r->node) : -1;
	find_mirrors(s, only, &mirrors);
	if ((r->node && only < 0) || mirrors.count == 0)
		return cli_fail(EX_USAGE, "node '%s' is no mirror of %s", r->node ? r->node : "-",
			r->volume);
	int status = set_mark(place, s, r->volume, mark);
	if (status)
		return status;
	bool all = collect(place, mark, &mirrors, r->timeout_us);
	return report(r, place, &mirrors, all);
}

static int digest_of_file(const struct request *r)
{
	char text[DP_DIGEST_TEXT];
	uint64_t size;
	int error = cli_digest_file(r->file, text, &size);
	if (error)
		return cli_fail(EX_NOINPUT, "cannot read %s: %s", r->file, strerror(error));
	if (r->json)
		cli_print_json(json_pack("{s:s,s:I,s:s}", "file", r->file, "size_bytes",
			(json_int_t)size, "digest", text));
	else
		puts(text);
	return EX_OK;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	struct request r = {.timeout_us = DEFAULT_US};
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &r.state, "DIR", "the state directory of the deployment"},
		{"node", CLI_TEXT, &r.node, "NAME", "only this mirror"},
		{"timeout", CLI_TIME, &r.timeout_us, "TIME", "limit of waiting; default: 60s"},
		{"file", CLI_TEXT, &r.file, "PATH", "the digest of a file or block device"},
		{"json", CLI_FLAG, &r.json, NULL, "print JSON, one line"},
		{.name = NULL},
	};
	struct cli_place place;
	cli_parse(self, argc, argv, options, &r.volume, 0, 1);
	if (!r.volume == !r.file)
		cli_usage(self, "give either a VOLUME or --file PATH");
	if (r.file)
		return digest_of_file(&r);
	int status = cli_place_open(r.state, &place);
	if (!status)
		status = compare(&r, &place);
	cli_place_close(&place);
	return status;
}

const struct cli_command cli_digest = {
	.name = "digest",
	.arguments = "VOLUME [--state DIR] [--node NAME] [--timeout TIME] [--json] | --file PATH",
	.summary = "Compare the content of a volume's mirrors, or digest a file.",
	.run = run,
};
