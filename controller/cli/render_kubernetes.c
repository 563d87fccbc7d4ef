/* For Kubernetes: a StatefulSet of one for each node, in the network of its machine, since nodes of other sites
 * know it by that address. */
#include "render.h"

#include <stdio.h>

/* The whole topology file cannot stand in here: it is made a ConfigMap by the command in the README. */
static void write_node(const struct render *r, unsigned i, FILE *to)
{
	const struct dp_topo_node *n = &r->t->nodes[i];
	uint64_t disk = n->role == DP_ROLE_CONTROLLER ? 0 : n->journal_bytes;
	for (unsigned s = 0; s < r->t->stream_count; s++)
		disk += r->t->streams[s].controller == i ? r->t->streams[s].journal_bytes : 0;
	for (unsigned v = 0; n->role != DP_ROLE_RELAY && v < r->t->volume_count; v++)
		disk += 2 * r->t->volumes[v].size; /* during a resync there are two images */
	fprintf(to, "---\napiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: %s-%s\n"
		    "  labels: {app: dipole, deployment: %s, node: %s}\nspec:\n  replicas: 1\n  serviceName: %s-%s\n"
		    "  selector: {matchLabels: {app: dipole, deployment: %s, node: %s}}\n  template:\n    metadata:\n"
		    "      labels: {app: dipole, deployment: %s, node: %s}\n    spec:\n",
		r->t->name, n->name, r->t->name, n->name, r->t->name, n->name, r->t->name, n->name, r->t->name,
		n->name);
	fprintf(to, "      hostNetwork: true\n      dnsPolicy: ClusterFirstWithHostNet\n"
		    "      nodeSelector: {dipole/site: %s, dipole/node: %s}\n      terminationGracePeriodSeconds: 60\n"
		    "      securityContext: {runAsUser: %d, runAsGroup: %d, fsGroup: %d, runAsNonRoot: true,\n"
		    "        seccompProfile: {type: RuntimeDefault}}\n",
		r->t->sites[r->site].name, n->name, RENDER_UID, RENDER_UID, RENDER_UID);
	/* A secret's file can be read by its group, which a key of ours must not. */
	fprintf(to, "      initContainers:\n        - name: key\n          image: \"%s\"\n"
		    "          command: [install, -D, -m, \"0600\", " RENDER_ETC "/key/key, " RENDER_STATE "/%s/key]\n"
		    "          volumeMounts: [{name: state, mountPath: " RENDER_STATE "}, "
		    "{name: key, mountPath: " RENDER_ETC "/key}]\n",
		r->image, n->name);
	fprintf(to, "      containers:\n        - name: node\n          image: \"%s\"\n", r->image);
	fprintf(to, "          command: [%s, --topology, " RENDER_ETC "/topology.yaml, --node, %s, --state, " RENDER_STATE
		    "/%s]\n", render_program(n->role), n->name, n->name);
	fprintf(to, "          env: [{name: DIPOLE_STATE, value: " RENDER_STATE "}]\n"
		    "          securityContext: {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false,\n"
		    "            capabilities: {drop: [ALL]}}\n"
		    "          livenessProbe: {exec: {command: [dipole, status, --node, %s]}, periodSeconds: 10, "
		    "failureThreshold: 6}\n"
		    "          startupProbe: {exec: {command: [dipole, status, --node, %s]}, periodSeconds: 5, "
		    "failureThreshold: 720}\n",
		n->name, n->name);
	fprintf(to, "          volumeMounts:\n            - {name: state, mountPath: " RENDER_STATE "}\n"
		    "            - {name: topology, mountPath: " RENDER_ETC "/topology.yaml, subPath: topology.yaml}\n"
		    "      volumes:\n"
		    "        - {name: topology, configMap: {name: %s-topology}}\n"
		    "        - {name: key, secret: {secretName: %s-%s-key, defaultMode: 0400}}\n"
		    "  volumeClaimTemplates:\n    - metadata: {name: state}\n      spec: {accessModes: [ReadWriteOnce], "
		    "resources: {requests: {storage: %lluMi}}}\n",
		r->t->name, r->t->name, n->name, (unsigned long long)(disk / DP_MIB + 64));
}

static void write(const struct render *r, FILE *to)
{
	fprintf(to, "# Site %s of %s, made by `dipole render`; see README.md.\n", r->t->sites[r->site].name, r->t->name);
	for (unsigned i = 0; i < r->t->node_count; i++)
		if (render_is_here(r, i))
			write_node(r, i, to);
}

static void steps(const struct render *r, FILE *to)
{
	const struct dp_topology *t = r->t;
	fprintf(to, "1. Label the machine of each node, whose address the topology has, and bring the file:\n\n");
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to, "       kubectl label node MACHINE dipole/site=%s dipole/node=%s\n",
				t->sites[r->site].name, t->nodes[i].name);
	fprintf(to, "       kubectl create configmap %s-topology --from-file=topology.yaml\n\n"
		    "2. Bring each node's secret key, or make it here and send the public key that is printed to who keeps the\n"
		    "   topology file:\n\n", t->name);
	for (unsigned i = 0; i < t->node_count; i++)
		if (render_is_here(r, i))
			fprintf(to, "       dipole keygen %s --out secrets\n"
				    "       kubectl create secret generic %s-%s-key --from-file=key=secrets/%s/key\n",
				t->nodes[i].name, t->name, t->nodes[i].name, t->nodes[i].name);
	fprintf(to, "\n3. Start:\n\n       kubectl apply -f manifest.yaml\n");
}

const struct render_target render_kubernetes = {"kubernetes", "manifest.yaml", write, steps};
