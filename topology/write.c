/* SPDX-License-Identifier: MIT */
/* The model as YAML. Everything is written, defaults too, so that the result does not change
 * its meaning if a default does. */
#include "topology.h"

#include "base/err.h"
#include "base/units.h"
#include "scalars.h"

static void write_size(FILE *to, const char *key, uint64_t bytes)
{
	char text[32];
	fprintf(to, "%s: %s", key, dp_format_size(bytes, text, sizeof(text)));
}

static void write_sites(const struct dp_topology *t, FILE *to)
{
	fprintf(to, "sites:%s\n", t->site_count ? "" : " {}");
	for (unsigned i = 0; i < t->site_count; i++) {
		const struct dp_site *s = &t->sites[i];
		if (s->has_position) /* 17 digits give back the same double */
			fprintf(to, "  %s: {at: [%.17g, %.17g]}\n", s->name, s->latitude,
				s->longitude);
		else
			fprintf(to, "  %s: {}\n", s->name);
	}
}

static void write_node(const struct dp_topology *t, const struct dp_topo_node *n, FILE *to)
{
	fprintf(to, "  %s:\n    role: %s\n    site: %s\n", n->name, dp_role_name(n->role),
		t->sites[n->site].name);
	if (n->listen[0])
		fprintf(to, "    listen: \"%s\"\n", n->listen);
	if (n->metrics[0])
		fprintf(to, "    metrics: \"%s\"\n", n->metrics);
	if (n->control[0])
		fprintf(to, "    control: \"%s\"\n", n->control);
	if (n->key[0])
		fprintf(to, "    key: \"%s\"\n", n->key);
	if (n->former_key[0])
		fprintf(to, "    former-key: \"%s\"\n", n->former_key);
	if (n->role == DP_ROLE_CONTROLLER)
		return;
	write_size(to, "    journal", n->journal_bytes);
	fprintf(to, "\n    retain: %s\n",
		n->retain == DP_RETAIN_NEXT_HOP ? "next-hop" : "committed");
	if (n->second_store[0])
		fprintf(to, "    second-store: %s\n", n->second_store);
}

static void write_nodes(const struct dp_topology *t, FILE *to)
{
	fprintf(to, "nodes:%s\n", t->node_count ? "" : " {}");
	for (unsigned i = 0; i < t->node_count; i++)
		write_node(t, &t->nodes[i], to);
}

static void write_links(const struct dp_topology *t, FILE *to)
{
	fprintf(to, "links:%s\n", t->link_count ? "" : " []");
	for (unsigned i = 0; i < t->link_count; i++) {
		const struct dp_topo_link *l = &t->links[i];
		fprintf(to, "  - between: [%s, %s]\n    trusted: %s\n", t->nodes[l->a].name,
			t->nodes[l->b].name, l->trusted ? "true" : "false");
		fprintf(to,
			"    heartbeat: {interval: %lluus, down-after: %lluus, probation: %lluus}\n",
			(unsigned long long)l->heartbeat.interval_us,
			(unsigned long long)l->heartbeat.down_after_us,
			(unsigned long long)l->heartbeat.probation_us);
		if (l->distance_given)
			fprintf(to, "    distance: %.3fm\n", l->distance_m);
		if (l->round_trip_us)
			fprintf(to, "    round-trip: %lluus\n",
				(unsigned long long)l->round_trip_us);
		if (l->bandwidth_bits)
			fprintf(to, "    bandwidth: %llubit\n",
				(unsigned long long)l->bandwidth_bits);
		if (l->window_bytes) {
			write_size(to, "    window", l->window_bytes);
			fputc('\n', to);
		}
		if (l->rate_bits)
			fprintf(to, "    rate: %llubit\n", (unsigned long long)l->rate_bits);
		if (l->send.from != l->send.to)
			fprintf(to, "    send: %02u:%02u-%02u:%02u\n", l->send.from / 60,
				l->send.from % 60, l->send.to / 60, l->send.to % 60);
		if (l->compress)
			fprintf(to, "    compress: true\n");
		if (l->connections > 1)
			fprintf(to, "    connections: %u\n", l->connections);
	}
}

static void write_leg(const struct dp_topology *t, const struct dp_topo_leg *leg, FILE *to)
{
	fprintf(to, "      %s: [", leg->name);
	for (unsigned i = 0; i < leg->hop_count; i++)
		fprintf(to, "%s%s", i ? ", " : "", t->nodes[leg->hops[i]].name);
	fprintf(to, "]\n");
}

static void write_stream(const struct dp_topology *t, const struct dp_topo_stream *s, FILE *to)
{
	fprintf(to, "  %s:\n    controller: %s\n    legs:\n", s->name,
		t->nodes[s->controller].name);
	for (unsigned i = 0; i < s->leg_count; i++)
		write_leg(t, &s->legs[i], to);
	fprintf(to, "    ack: {stage: %s, legs: %u}\n", dp_stage_name(s->ack_stage), s->ack_legs);
	fprintf(to, "    flush: %s\n", dp_stage_name(s->flush));
	fprintf(to, "    when-leg-down: {keep-serving: %u}\n", s->keep_serving);
	fprintf(to, "    local: %s\n", s->local == DP_LOCAL_MIRROR ? "mirror" : "none");
	write_size(to, "    journal: {size", s->journal_bytes);
	fprintf(to, ", high-water: %u%%, when-full: %s}\n", s->high_water,
		s->when_full == DP_FULL_TRACK ? "track" : "stop");
	if (s->resync_rate) {
		write_size(to, "    resync-rate", s->resync_rate);
		fprintf(to, "\n");
	}
	if (s->seal != DP_SEAL_NONE)
		fprintf(to, "    seal: %s\n", dp_seal_cipher_name(s->seal));
	if (s->read_cache_bytes) {
		write_size(to, "    read-cache", s->read_cache_bytes);
		fprintf(to, "\n");
	}
}

static void write_streams(const struct dp_topology *t, FILE *to)
{
	fprintf(to, "streams:%s\n", t->stream_count ? "" : " {}");
	for (unsigned i = 0; i < t->stream_count; i++)
		write_stream(t, &t->streams[i], to);
}

static void write_volumes(const struct dp_topology *t, FILE *to)
{
	fprintf(to, "volumes:%s\n", t->volume_count ? "" : " {}");
	for (unsigned i = 0; i < t->volume_count; i++) {
		const struct dp_topo_volume *v = &t->volumes[i];
		fprintf(to, "  %s: {stream: %s, ", v->name, t->streams[v->stream].name);
		write_size(to, "size", v->size);
		fprintf(to, "%s}\n", v->skip_unchanged ? ", skip-unchanged: true" : "");
	}
}

static void write_operators(const struct dp_topology *t, FILE *to)
{
	if (t->operator_count)
		fprintf(to, "operators:\n");
	for (unsigned i = 0; i < t->operator_count; i++)
		fprintf(to, "  %s: {key: \"%s\", role: %s}\n", t->operators[i].name,
			t->operators[i].key, dp_rights_name(t->operators[i].role));
}

int dp_topology_write(const struct dp_topology *t, FILE *to)
{
	fprintf(to, "dipole: %s\nname: %s\n", DP_TOPOLOGY_VERSION_TEXT, t->name);
	write_sites(t, to);
	write_nodes(t, to);
	write_links(t, to);
	write_streams(t, to);
	write_volumes(t, to);
	write_operators(t, to);
	return fflush(to) || ferror(to) ? DP_EIO : 0;
}
