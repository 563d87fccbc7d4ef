/* SPDX-License-Identifier: MIT */
/* For Kubernetes: a StatefulSet of one for each node, in the network of its machine, since nodes of
 * other sites know it by that address. */
#include <stdio.h>

#include "verbs/render.h"

/* What the node may need: a journal for each of its streams, and where it has images, each twice,
 * as a resync builds new ones beside the old. */
static uint64_t disk_bytes(const struct dp_topology *t, unsigned node)
{
	uint64_t bytes = 64 * DP_MIB;
	for (unsigned i = 0; i < t->stream_count; i++) {
		const struct dp_topo_stream *s = &t->streams[i];
		bool controls = s->controller == node;
		bool images = t->nodes[node].role == DP_ROLE_MIRROR ||
			(controls && s->local == DP_LOCAL_MIRROR);
		if (!dp_topology_uses(s, node))
			continue;
		bytes += controls ? s->journal_bytes : t->nodes[node].journal_bytes;
		for (unsigned v = 0; images && v < t->volume_count; v++)
			bytes += t->volumes[v].stream == i ? 2 * t->volumes[v].size : 0;
	}
	return bytes;
}

/* Serves the disks, at port 10809 of the machine. */
static void write_kubernetes_nbd(const struct render *r, const struct dp_topo_node *n, FILE *to)
{
	fprintf(to, "        - name: nbd\n          image: \"%s\"\n          command: [", r->image);
	render_nbd(n, to);
	fprintf(to,
		"]\n"
		"          securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false,\n"
		"            capabilities: {drop: [ALL]}}\n"
		"          volumeMounts:\n            - {name: state, mountPath: " RENDER_STATE
		"}\n"
		"            - {name: nbd-tls, mountPath: " RENDER_ETC "/nbd-tls}\n");
}

/* The whole topology file cannot stand in here: it is made a ConfigMap by the command in the
 * README. */
static void write_kubernetes_node(const struct render *r, unsigned i, FILE *to)
{
	const struct dp_topo_node *n = &r->t->nodes[i];
	fprintf(to,
		"---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: %s-%s\n"
		"  labels: {app: dipole, deployment: %s, node: %s}\nspec:\n  replicas: 1\n  serviceName: %s-%s\n"
		"  selector: {matchLabels: {app: dipole, deployment: %s, node: %s}}\n  template:\n    metadata:\n"
		"      labels: {app: dipole, deployment: %s, node: %s}\n    spec:\n",
		r->t->name, n->name, r->t->name, n->name, r->t->name, n->name, r->t->name, n->name,
		r->t->name, n->name);
	fprintf(to,
		"      hostNetwork: true\n      dnsPolicy: ClusterFirstWithHostNet\n"
		"      nodeSelector: {dipole/node-%s: \"true\"}\n      terminationGracePeriodSeconds: 60\n"
		"      securityContext: {runAsUser: %d, runAsGroup: %d, fsGroup: %d, runAsNonRoot: true,\n"
		"        seccompProfile: {type: RuntimeDefault}}\n",
		n->name, RENDER_UID, RENDER_UID, RENDER_UID);
	/* A secret's file can be read by its group, which a key of ours must not. One that is there
	 * stays: it may have been changed since. */
	fprintf(to,
		"      initContainers:\n        - name: key\n          image: \"%s\"\n"
		"          command: [sh, -c, \"test -e " RENDER_STATE
		"/%s/key || install -D -m 0600 " RENDER_ETC "/key/key " RENDER_STATE "/%s/key\"]\n"
		"          volumeMounts: [{name: state, mountPath: " RENDER_STATE "}, "
		"{name: key, mountPath: " RENDER_ETC "/key}]\n",
		r->image, n->name, n->name);
	fprintf(to, "      containers:\n        - name: node\n          image: \"%s\"\n", r->image);
	fprintf(to,
		"          command: [%s, --topology, " RENDER_ETC
		"/topology.yaml, --node, %s, --state, " RENDER_STATE "/%s]\n",
		render_program(n->role), n->name, n->name);
	fprintf(to,
		"          env: [{name: DIPOLE_STATE, value: " RENDER_STATE "}]\n"
		"          securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false,\n"
		"            capabilities: {drop: [ALL]}}\n"
		"          livenessProbe: {exec: {command: [dipole, status, --node, %s]}, periodSeconds: 10, "
		"failureThreshold: 6}\n"
		"          startupProbe: {exec: {command: [dipole, status, --node, %s]}, periodSeconds: 5, "
		"failureThreshold: 720}\n",
		n->name, n->name);
	fprintf(to,
		"          volumeMounts:\n            - {name: state, mountPath: " RENDER_STATE
		"}\n"
		"            - {name: topology, mountPath: " RENDER_ETC "}\n");
	bool disks = n->role == DP_ROLE_CONTROLLER;
	if (disks)
		write_kubernetes_nbd(r, n, to);
	fprintf(to, "      volumes:\n");
	if (disks)
		fprintf(to,
			"        - {name: nbd-tls, secret: {secretName: %s-%s-nbd-tls, defaultMode: 0440, optional: true}}\n",
			r->t->name, n->name);
	fprintf(to,
		"        - {name: topology, configMap: {name: %s-topology}}\n"
		"        - {name: key, secret: {secretName: %s-%s-key, defaultMode: 0400}}\n"
		"  volumeClaimTemplates:\n    - metadata: {name: state}\n      spec: {accessModes: [ReadWriteOnce], "
		"resources: {requests: {storage: %lluMi}}}\n",
		r->t->name, r->t->name, n->name,
		(unsigned long long)(disk_bytes(r->t, i) / DP_MIB));
}

static void write_kubernetes(const struct render *r, FILE *to)
{
	fprintf(to, "# Site %s of %s, made by `dipole render`; see README.md.\n",
		r->t->sites[r->site].name, r->t->name);
	for (unsigned i = 0; i < r->t->node_count; i++)
		if (render_is_here(r, i))
			write_kubernetes_node(r, i, to);
}

static void write_kubernetes_steps(const struct render *r, FILE *to)
{
	const struct dp_topology *t = r->t;
	fprintf(to,
		"1. Label the machine of each node, whose address the topology has, and bring the file:\n\n");
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to, "       kubectl label node MACHINE dipole/node-%s=true\n",
				t->nodes[i].name);
	fprintf(to,
		"       kubectl create configmap %s-topology --from-file=topology.yaml\n\n"
		"2. Bring each node's secret key, or make it here and send the public key that is printed to who keeps the\n"
		"   topology file:\n\n",
		t->name);
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to,
				"       dipole keygen %s --out secrets\n"
				"       kubectl create secret generic %s-%s-key --from-file=key=secrets/%s/key\n",
				t->nodes[i].name, t->name, t->nodes[i].name, t->nodes[i].name);
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i) && t->nodes[i].role == DP_ROLE_CONTROLLER)
			fprintf(to,
				"\n   For NBD, at port 10809 of that machine:\n\n"
				"       kubectl create secret generic %s-%s-nbd-tls --from-file=ca-cert.pem "
				"--from-file=server-cert.pem --from-file=server-key.pem\n",
				t->name, t->nodes[i].name);
	fprintf(to, "\n3. Start, and look:\n\n       kubectl apply -f manifest.yaml\n");
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to,
				"       kubectl exec %s-%s-0 -c node -- dipole status --node %s\n",
				t->name, t->nodes[i].name, t->nodes[i].name);
	fprintf(to,
		"\nA changed topology: put it there,\n\n"
		"       kubectl create configmap %s-topology --from-file=topology.yaml --dry-run=client -o yaml | kubectl apply -f -\n\n"
		"at each site, and when the nodes see it (a minute), `dipole apply` it from where `control` reaches all of them.\n",
		t->name);
}

const struct render_target render_kubernetes = {
	"kubernetes", "", "manifest.yaml", write_kubernetes, write_kubernetes_steps};
