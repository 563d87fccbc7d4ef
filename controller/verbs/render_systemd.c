/* SPDX-License-Identifier: MIT */
/* For machines with the Debian package: its units take everything from the topology file. */
#include <stdio.h>

#include "verbs/render.h"

static void write_systemd_steps(const struct render *r, FILE *to)
{
	const struct dp_topology *t = r->t;
	fprintf(to,
		"1. Install the package `dipole`, and put the file in its place:\n\n"
		"       install -m 0644 topology.yaml " RENDER_ETC "/topology.yaml\n\n"
		"2. Bring each node's secret key, or make it here and send the public key that is printed to who\n"
		"   keeps the topology file:\n\n");
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to, "       dipole keygen %s --out " RENDER_STATE "\n",
				t->nodes[i].name);
	fprintf(to, "       chown -R dipole:dipole " RENDER_STATE "\n\n3. Start:\n\n");
	for (unsigned i = 0; i < t->node_count; i++) {
		if (!render_is_here(r, i))
			continue;
		fprintf(to, "       systemctl enable --now %s@%s.service\n",
			render_program(t->nodes[i].role), t->nodes[i].name);
		if (t->nodes[i].role == DP_ROLE_CONTROLLER)
			fprintf(to,
				"       systemctl enable --now dipole-nbd@%s.socket   # NBD, port 10809; wants "
				"certificates in " RENDER_ETC "/nbd-tls\n",
				t->nodes[i].name);
	}
	fprintf(to,
		"       dipole status\n\nA changed topology.yaml: `dipole apply`, or `systemctl reload` of each node.\n");
}

const struct render_target render_systemd = {"systemd", "", NULL, NULL, write_systemd_steps};
