/* SPDX-License-Identifier: MIT */
#include "node/metrics.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum type { GAUGE, COUNTER, SUMMARY };

/* One metric: where in the object it stands, and in what unit there. */
struct metric {
	const char *name;
	enum type type;
	const char *help;
	const char *path;   /* keys with dots between them */
	double scale;       /* 0: `is` counts */
	const char *is;     /* 1 where the text is this one, else 0 */
	const char *labels; /* more of them, or NULL */
};

#define US 1e-6

static const struct metric of_node[] = {
	{"dipole_uptime_seconds", GAUGE, "Since the process was started.", "uptime_us", US, NULL,
		NULL},
	{"dipole_store_single", GAUGE, "1: one of two stores of images has failed.", "stores", 0,
		"Single", NULL},
	{"dipole_bad_messages_total", COUNTER, "Messages from other nodes that were malformed.",
		"bad_messages", 1, NULL, NULL},
	{"dipole_refused_keys_total", COUNTER,
		"Connections with a key that the topology does not name.", "refused_keys", 1, NULL,
		NULL},
	{"dipole_refused_beats_total", COUNTER, "Heartbeats that no peer of this node had made.",
		"refused_beats", 1, NULL, NULL},
	{0},
};

static const struct metric of_stream[] = {
	{"dipole_stream_open", GAUGE, "1: the stream is served here.", "state", 0, "Open", NULL},
	{"dipole_stream_epoch", GAUGE, "Highest epoch that was promised.", "epoch", 1, NULL, NULL},
	{"dipole_stream_record", GAUGE, "Newest record that has come so far.", "last", 1, NULL,
		"stage=\"received\""},
	{"dipole_stream_record", GAUGE, NULL, "durable", 1, NULL, "stage=\"durable\""},
	{"dipole_stream_record", GAUGE, NULL, "agreed", 1, NULL, "stage=\"agreed\""},
	{"dipole_stream_record", GAUGE, NULL, "applied", 1, NULL, "stage=\"applied\""},
	{"dipole_stream_record", GAUGE, NULL, "committed", 1, NULL, "stage=\"committed\""},
	{"dipole_stream_alarms_total", COUNTER, "Alarms that were raised.", "alarm_count", 1, NULL,
		NULL},
	{"dipole_bad_records_total", COUNTER,
		"Records and answers with a wrong checksum or seal, refused.", "bad_records", 1,
		NULL, NULL},
	{"dipole_refused_messages_total", COUNTER,
		"Well-formed messages that did not fit the session they came in.",
		"refused_messages", 1, NULL, NULL},
	{"dipole_acked_requests_total", COUNTER,
		"Writes and flushes that hosts have the answer to.", "acked_requests", 1, NULL,
		NULL},
	{"dipole_waiting_requests", GAUGE, "Writes and flushes that wait for their answer.",
		"waiting_requests", 1, NULL, NULL},
	{"dipole_records_memory_bytes", GAUGE, "Memory of records that are kept for sending.",
		"memory_bytes", 1, NULL, NULL},
	{"dipole_journal_size_bytes", GAUGE, "Size of the journal.", "journal.size_bytes", 1, NULL,
		NULL},
	{"dipole_journal_used_bytes", GAUGE, "What is needed of it.", "journal.used_bytes", 1, NULL,
		NULL},
	{"dipole_journal_commits_total", COUNTER, "Durable writes to the journal.",
		"journal.commits", 1, NULL, NULL},
	{"dipole_journal_records_total", COUNTER, "Records that were written to it.",
		"journal.records", 1, NULL, NULL},
	{"dipole_journal_renewals_total", COUNTER, "New files in the place of one that failed.",
		"journal.renewals", 1, NULL, NULL},
	{"dipole_durable_seconds", SUMMARY, "From a record's arrival until it is durable here.",
		"durable_latency", US, NULL, NULL},
	{"dipole_ack_seconds", SUMMARY, "Until a host has the answer to a write.", "ack_latency",
		US, NULL, NULL},
	{"dipole_flush_seconds", SUMMARY, "Until a host has the answer to a flush.",
		"flush_latency", US, NULL, NULL},
	{"dipole_resyncing", GAUGE, "1: the images of this node are being resynced.",
		"images.state", 0, "Resyncing", NULL},
	{"dipole_resync_size_bytes", GAUGE, "What a resync goes over.", "images.resync.size_bytes",
		1, NULL, NULL},
	{"dipole_resync_copied_bytes", GAUGE, "How far it is.", "images.resync.copied_bytes", 1,
		NULL, NULL},
	{"dipole_read_cache_hits_total", COUNTER, "Reads that the read cache answered.",
		"read_cache.hits", 1, NULL, NULL},
	{"dipole_read_cache_misses_total", COUNTER, "Reads that it could not answer.",
		"read_cache.misses", 1, NULL, NULL},
	{"dipole_unchanged_writes_total", COUNTER, "Writes of what was there, not mirrored.",
		"unchanged_writes", 1, NULL, NULL},
	{0},
};

static const struct metric of_link[] = {
	{"dipole_link_connected", GAUGE, "1: records go over the link.", "state", 0, "Connected",
		NULL},
	{"dipole_link_in_sync", GAUGE, "1: the leg counts for answers; of a controller.", "in_sync",
		1, NULL, NULL},
	{"dipole_link_behind_records", GAUGE, "Records that the leg's mirror lacks.",
		"behind.records", 1, NULL, NULL},
	{"dipole_link_behind_bytes", GAUGE, "The bytes of these.", "behind.bytes", 1, NULL, NULL},
	{"dipole_link_behind_seconds", GAUGE, "The age of the oldest of these.", "behind.us", US,
		NULL, NULL},
	{"dipole_link_at_risk_seconds", GAUGE,
		"Age of the oldest answered write that this leg would lack if this site were gone.",
		"at_risk.us", US, NULL, NULL},
	{"dipole_link_flight_bytes", GAUGE, "Sent and not acknowledged.", "flight_bytes", 1, NULL,
		NULL},
	{"dipole_link_naks_total", COUNTER, "Times that the receiver asked again.", "naks", 1, NULL,
		NULL},
	{"dipole_link_stage_seconds", SUMMARY, "From a record's arrival until it was handed on.",
		"stages.forwarded", US, NULL, "stage=\"forwarded\""},
	{"dipole_link_stage_seconds", SUMMARY, NULL, "stages.acknowledged", US, NULL,
		"stage=\"acknowledged\""},
	{"dipole_link_stage_seconds", SUMMARY, NULL, "stages.committed", US, NULL,
		"stage=\"committed\""},
	{0},
};

static const struct metric of_connection[] = {
	{"dipole_connection_connected", GAUGE, "1: the peer answers on it.", "state", 0,
		"Connected", NULL},
	{"dipole_connection_compress_in_bytes_total", COUNTER,
		"Payloads that were to be compressed.", "compress_in_bytes", 1, NULL, NULL},
	{"dipole_connection_compress_out_bytes_total", COUNTER, "What was sent of these.",
		"compress_out_bytes", 1, NULL, NULL},
	{0},
};

static const json_t *find(const json_t *o, const char *path)
{
	char key[64];
	while (o && *path) {
		size_t size = strcspn(path, ".");
		snprintf(key, sizeof key, "%.*s", (int)size, path);
		o = json_object_get(o, key);
		path += size + (path[size] == '.');
	}
	return o;
}

static double number(const json_t *v)
{
	return json_is_boolean(v) ? json_is_true(v) : json_number_value(v);
}

static void sample(FILE *to, const char *name, const char *suffix, const char *labels,
	const char *more, const char *quantile, double value)
{
	const char *const parts[] = {labels, more, quantile};
	const char *before = "{";
	fprintf(to, "%s%s", name, suffix);
	for (unsigned i = 0; i < 3; i++) {
		if (!parts[i] || !parts[i][0])
			continue;
		fprintf(to, "%s%s", before, parts[i]);
		before = ",";
	}
	fprintf(to, "%s %.17g\n", before[0] == ',' ? "}" : "", value);
}

static void write_summary(FILE *to, const struct metric *m, const json_t *v, const char *labels)
{
	sample(to, m->name, "", labels, m->labels, "quantile=\"0.5\"",
		json_number_value(json_object_get(v, "p50_us")) * m->scale);
	sample(to, m->name, "", labels, m->labels, "quantile=\"0.99\"",
		json_number_value(json_object_get(v, "p99_us")) * m->scale);
	sample(to, m->name, "_sum", labels, m->labels, NULL,
		json_number_value(json_object_get(v, "sum_us")) * m->scale);
	sample(to, m->name, "_count", labels, m->labels, NULL,
		json_number_value(json_object_get(v, "count")));
}

static void write_value(FILE *to, const struct metric *m, const json_t *o, const char *labels)
{
	const json_t *v = find(o, m->path);
	if (!v || json_is_null(v))
		return; /* there is no such thing at this node */
	if (m->type == SUMMARY)
		write_summary(to, m, v, labels);
	else if (m->scale == 0)
		sample(to, m->name, "", labels, m->labels, NULL,
			strcmp(json_string_value(v), m->is) == 0);
	else
		sample(to, m->name, "", labels, m->labels, NULL, number(v) * m->scale);
}

static void write_head(FILE *to, const struct metric *m)
{
	static const char *const types[] = {"gauge", "counter", "summary"};
	if (m->help)
		fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
			types[m->type]);
}

/* The objects of one kind, with the labels of each. */
struct objects {
	const json_t **list;
	char (*labels)[512];
	size_t count, capacity;
};

static void add(struct objects *to, const json_t *o, const char *labels)
{
	if (to->count == to->capacity) {
		size_t capacity = to->capacity ? 2 * to->capacity : 16;
		const json_t **list = realloc(to->list, capacity * sizeof(json_t *));
		to->list = list ? list : to->list;
		char(*texts)[512] = list ? realloc(to->labels, capacity * sizeof *to->labels)
					 : NULL;
		if (!texts)
			return;
		to->labels = texts;
		to->capacity = capacity;
	}
	to->list[to->count] = o;
	snprintf(to->labels[to->count++], sizeof *to->labels, "%s", labels);
}

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));
	return s ? s : "";
}

/* Names are of a-z, 0-9 and - only: nothing has to be escaped. */
static void collect(const json_t *status, struct objects *streams, struct objects *links,
	struct objects *connections)
{
	char labels[512];
	size_t i, j;
	const json_t *s, *l;
	json_array_foreach (json_object_get(status, "streams"), i, s) {
		snprintf(labels, sizeof labels, "stream=\"%s\"", text(s, "name"));
		add(streams, s, labels);
		json_array_foreach (json_object_get(s, "links"), j, l) {
			snprintf(labels, sizeof labels, "stream=\"%s\",leg=\"%s\",peer=\"%s\"",
				text(s, "name"), text(l, "leg"), text(l, "peer"));
			add(links, l, labels);
		}
	}
	json_array_foreach (json_object_get(status, "connections"), i, l) {
		snprintf(labels, sizeof labels, "peer=\"%s\",connection=\"%d\"", text(l, "peer"),
			(int)json_integer_value(json_object_get(l, "connection")));
		add(connections, l, labels);
	}
}

/* All samples of a metric stand together, below its head. Its further lines have no help. */
static void write_all(FILE *to, const struct metric *m, const struct objects *of)
{
	for (; m->name; m++) {
		write_head(to, m);
		for (size_t i = 0; i < of->count; i++)
			write_value(to, m, of->list[i], of->labels[i]);
	}
}

static void clear(struct objects *o)
{
	free(o->list);
	free(o->labels);
}

char *metrics_text(const json_t *status)
{
	char *out = NULL;
	size_t size;
	FILE *to = open_memstream(&out, &size);
	if (!to)
		return NULL;
	struct objects node = {0}, streams = {0}, links = {0}, connections = {0};
	add(&node, status, "");
	collect(status, &streams, &links, &connections);
	fprintf(to,
		"# HELP dipole_node_info Which node this is.\n# TYPE dipole_node_info gauge\n"
		"dipole_node_info{node=\"%s\",role=\"%s\",version=\"%s\"} 1\n",
		text(status, "node"), text(status, "role"), text(status, "version"));
	write_all(to, of_node, &node);
	write_all(to, of_stream, &streams);
	write_all(to, of_link, &links);
	write_all(to, of_connection, &connections);
	clear(&node);
	clear(&streams);
	clear(&links);
	clear(&connections);
	if (fclose(to)) {
		free(out);
		return NULL;
	}
	return out;
}
