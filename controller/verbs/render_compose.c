/* SPDX-License-Identifier: MIT */
/* For Docker Compose: a service for each node, and one for NBD beside a controller. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "verbs/render.h"

/* "ipv4_address" or "ipv6_address" of a network, of which brackets are taken off; NULL: a name. */
static const char *kind_of_number(char *host)
{
	struct in6_addr address;
	size_t size = strlen(host);
	if (inet_pton(AF_INET, host, &address) == 1)
		return "ipv4_address";
	if (host[0] != '[')
		return NULL;
	host[size - 1] = '\0';
	memmove(host, host + 1, size - 1);
	return "ipv6_address";
}

/* What all containers have in common: no privilege, and nothing to write to but state, and
 * the topology when it is applied. */
static void write_fence(FILE *to)
{
	fprintf(to,
		"    user: \"%d:%d\"\n"
		"    read_only: true\n"
		"    tmpfs: [/tmp]\n"
		"    cap_drop: [ALL]\n"
		"    security_opt: [\"no-new-privileges:true\"]\n"
		"    restart: unless-stopped\n"
		"    logging: {options: {max-size: 10m, max-file: \"3\"}}\n",
		RENDER_UID, RENDER_UID);
}

static void write_compose_node(const struct render *r, unsigned i, FILE *to)
{
	const struct dp_topo_node *n = &r->t->nodes[i];
	char host[DP_ADDRESS_MAX + 1] = "";
	fprintf(to, "  %s:\n    image: \"%s\"\n    container_name: %s-%s\n", n->name, r->image,
		r->t->name, n->name);
	fprintf(to,
		"    command: [%s, --topology, " RENDER_ETC
		"/topology.yaml, --node, %s, --state, " RENDER_STATE "/%s]\n",
		render_program(n->role), n->name, n->name);
	write_fence(to);
	fprintf(to,
		"    stop_grace_period: 60s\n"
		"    environment: {DIPOLE_STATE: " RENDER_STATE "}\n"
		"    healthcheck: {test: [CMD, dipole, status, --node, %s], interval: 10s, timeout: 5s, start_period: 60s}\n"
		"    volumes:\n"
		"      - ./etc:" RENDER_ETC "\n"
		"      - ./state/%s:" RENDER_STATE "/%s\n",
		n->name, n->name, n->name);
	if (n->listen[0] || n->control[0])
		render_address(n->listen[0] ? n->listen : n->control, host);
	const char *kind = kind_of_number(host);
	if (kind)
		fprintf(to, "    networks: {site: {%s: \"%s\"}}\n", kind, host);
	else if (host[0])
		fprintf(to, "    networks: {site: {aliases: [\"%s\"]}}\n", host);
	else
		fprintf(to, "    networks: [site]\n");
}

static void write_compose_nbd(const struct render *r, unsigned i, FILE *to)
{
	const struct dp_topo_node *n = &r->t->nodes[i];
	fprintf(to, "  %s-nbd:\n    image: \"%s\"\n    container_name: %s-%s-nbd\n", n->name,
		r->image, r->t->name, n->name);
	fprintf(to, "    command: [");
	render_nbd(n, to);
	fprintf(to, "]\n");
	write_fence(to);
	fprintf(to,
		"    depends_on: {%s: {condition: service_healthy}}\n"
		"    volumes:\n"
		"      - ./state/%s:" RENDER_STATE "/%s\n"
		"      - ./secrets/nbd-tls:" RENDER_ETC "/nbd-tls:ro\n"
		"    networks: [site]\n",
		n->name, n->name, n->name);
}

static void write_compose(const struct render *r, FILE *to)
{
	const struct dp_topology *t = r->t;
	fprintf(to, "# Site %s of %s, made by `dipole render`; see README.md.\nservices:\n",
		t->sites[r->site].name, t->name);
	for (unsigned i = 0; i < t->node_count; i++) {
		if (!render_is_here(r, i))
			continue;
		write_compose_node(r, i, to);
		if (t->nodes[i].role == DP_ROLE_CONTROLLER)
			write_compose_nbd(r, i, to);
	}
	fprintf(to, "networks:\n  site: {name: %s-%s, external: true}\n", t->name,
		t->sites[r->site].name);
}

static void write_compose_steps(const struct render *r, FILE *to)
{
	const struct dp_topology *t = r->t;
	const char *site = t->sites[r->site].name;
	fprintf(to,
		"1. Make the network `%s-%s` in which the nodes of this site have the addresses of the topology: a\n"
		"   macvlan on the site's own network, or a bridge where all sites are on one machine for a trial:\n\n"
		"       docker network create --driver macvlan --subnet NET/BITS --gateway ROUTER -o parent=DEVICE %s-%s\n\n",
		t->name, site, t->name, site);
	fprintf(to,
		"2. `state/NODE` is where a node keeps its journals and images: put it on the disk that has the room. Bring\n"
		"   each node's secret key to `state/NODE/key`, or make it here and send the public key that is printed to\n"
		"   who keeps the topology file:\n\n");
	bool disks = false;
	for (unsigned i = 0; i < t->node_count; i++) {
		if (!render_is_here(r, i))
			continue;
		fprintf(to, "       dipole keygen %s --out state\n", t->nodes[i].name);
		disks = disks || t->nodes[i].role == DP_ROLE_CONTROLLER;
	}
	if (disks)
		fprintf(to,
			"\n   For NBD: ca-cert.pem, server-cert.pem and server-key.pem in `secrets/nbd-tls`. Hosts find the disks in\n"
			"   the site's network, at port 10809 of the container whose name ends with -nbd.\n");
	fprintf(to,
		"   Then `chown -R %d:%d etc state secrets`.\n\n3. Start, and look:\n\n       docker-compose -p %s-%s up -d\n",
		RENDER_UID, RENDER_UID, t->name, site);
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to, "       docker exec %s-%s dipole status --node %s\n", t->name,
				t->nodes[i].name, t->nodes[i].name);
	fprintf(to,
		"\nNodes put what `dipole apply` brings into `etc`. A container sees its own node only: apply from where `control`\n"
		"reaches all of them.\n");
}

const struct render_target render_compose = {
	"compose", "etc", "compose.yaml", write_compose, write_compose_steps};
