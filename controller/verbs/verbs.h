/* SPDX-License-Identifier: MIT */
/* The verbs of the `dipole` command, for whoever offers them: the command itself prints them as
 * tables, a console or an HTTP API can send them as they are.
 *
 * A verb takes arguments that are parsed, and mostly a place (place.h). It returns JSON, a new
 * reference, or NULL. If error->status is set then the verb has not done all that it was asked; the
 * JSON then says what is known all the same, if it is not NULL. A verb prints nothing, ends no
 * process and keeps no state, so several threads may run verbs, each with its own place.
 *
 * `up` and `lab` are no verbs: they run processes on this machine, and stay in the command (cli/).
 */
#ifndef DP_CONTROLLER_VERBS_VERBS_H
#define DP_CONTROLLER_VERBS_VERBS_H

#include "verbs/place.h"

/* ---- what the nodes say ---- */

struct verb_filter {
	const char *node, *site; /* only these nodes; NULL: all */
};

/* {"deployment": NAME, "nodes": [STATUS...]}: each answer of a node to the request "status" as it
 * came; for a node that does not answer {"node", "role", "state": "Down", "error"}.
 * Errors, as of the two that follow: EX_USAGE no such node or site, EX_UNAVAILABLE none answers. */
json_t *verb_status(const struct verb_place *place, const struct verb_filter *filter,
	struct verb_error *error);

/* {"volumes": [{"name", "size_bytes", "stream", "controller", "state", "uri"}...]}. The state is
 * that of the stream at its controller; the URI is null where this machine has no NBD server. */
json_t *verb_volumes(const struct verb_place *place, const struct verb_filter *filter,
	struct verb_error *error);

/* {"links": [{"node", "stream", and a link as in the node's status}...], "connections": [{"node",
 * and a connection as there}...], "down": [NODE...]}. */
json_t *verb_links(const struct verb_place *place, const struct verb_filter *filter,
	struct verb_error *error);

/* The controller's answer to the request "sets": {"ok", "committed", "sets": [{"first_id",
 * "last_id", "state", "first_seq", "last_seq", "opened_us", "committed_us"}...]}.
 * Errors: EX_USAGE no such stream, EX_UNAVAILABLE the controller gives no answer. */
json_t *verb_sets(const struct verb_place *place, const char *stream, struct verb_error *error);

/* Whether the write set is committed at all mirrors, by what verb_sets() has returned. */
bool verb_set_is_committed(const json_t *sets, uint64_t set);

/* All that there is at this moment, an object for each thing under a name that lasts: "kind" is
 * node, stream, images, link or alarm, the other members are those of that kind. `before` is what
 * the last call has returned, or NULL: then EX_UNAVAILABLE is the error if no node answers. */
json_t *verb_events(const struct verb_place *place, json_t *before, struct verb_error *error);

/* What has changed between two calls: [{"event": "exists" (`before` is NULL), "create", "change" or
 * "destroy", "thing": {...}}...]. An alarm is never destroyed. */
json_t *verb_event_changes(json_t *before, json_t *now);

/* {"version", "machine", "state", "topology", "nodes": [{"name", "role", "status" or "why_not",
 * "log"}...], "system_log"}: what somebody who is to help would ask for. No secret key is read. */
json_t *verb_report(const struct verb_place *place);

/* ---- orders to nodes ---- */

#define VERB_DROP_ALL UINT64_MAX

struct verb_leg {
	const char *stream, *leg;
	const char *order; /* pause, drop, resume, resync */
	uint64_t drop_to;  /* of "drop": up to this write set; VERB_DROP_ALL: all that it lacks */
};

/* {"stream", "leg", "order", "writes_wait"}. Errors: EX_USAGE no such stream or leg, EX_UNAVAILABLE
 * the controller does not do it. */
json_t *verb_leg(const struct verb_place *place, const struct verb_leg *leg,
	struct verb_error *error);

/* Has `node`, or if NULL all nodes that have a directory here, take over the topology file.
 * {"nodes": [{"node", "changed": [TEXT...] or "error"}...]}. Errors: EX_USAGE no such node;
 * EX_CONFIG, EX_UNAVAILABLE without a text: the last error among the nodes. */
json_t *verb_reload(const struct verb_place *place, const char *node, struct verb_error *error);

struct verb_fetch {
	const char *from;     /* "tcp://HOST:PORT" of a node's control */
	const char *peer_key; /* of that node, Z85 */
	const char *key;      /* file of the secret key of who asks */
	const char *digest;   /* of the topology, as dp_text_digest() */
	const char *out;      /* file to write */
};

/* Gets a topology from a node and writes it, if it has the digest. {"file", "digest"}.
 * Errors: EX_NOINPUT no key, EX_NOPERM refused, EX_UNAVAILABLE, EX_PROTOCOL, EX_DATAERR another
 * digest, EX_CONFIG mistakes in it, EX_CANTCREAT. */
json_t *verb_fetch(const struct verb_fetch *fetch, struct verb_error *error);

/* ---- copies of a volume ---- */

struct verb_copies {
	const char *volume;
	const char *node;    /* only this copy; NULL: all */
	uint64_t timeout_us; /* of waiting */
};

/* {"volume", "complete", "equal", "mirrors": [COPY...]}, COPY as {"node", "done": true, "digest",
 * "epoch", "seq"} or {"node", "done": false, "reason", "error"}. Waits for copies that are behind.
 * Errors: EX_USAGE no such volume or copy, EX_UNAVAILABLE the controller sets no mark, or (without
 * a text) a copy is missing; 1 copies differ. */
json_t *verb_digest(const struct verb_place *place, const struct verb_copies *copies,
	struct verb_error *error);

/* {"file", "size_bytes", "digest"}: that of a volume with this content. Errors: EX_NOINPUT. */
json_t *verb_digest_file(const char *path, struct verb_error *error);

/* {"volume", "result", "equal": COUNT, "differs": COUNT, "missing": COUNT, "copies": [COPY...]},
 * COPY as above with a "result" of its own: missing, equal or differs. Errors: as verb_digest();
 * without a text EX_DATAERR copies differ, EX_TEMPFAIL a copy is missing. */
json_t *verb_verify(const struct verb_place *place, const struct verb_copies *copies,
	struct verb_error *error);

/* Has each leg resynced whose copy differs from one that is known to be right, by what
 * verb_verify() has returned. {"legs": [LEG...]}: those that have the order. Errors: those of
 * verb_leg(). */
json_t *verb_repair(const struct verb_place *place, const json_t *verified,
	struct verb_error *error);

/* ---- keys ---- */

/* {"keys": [{"node", "public_key", "secret_key": TEXT, "ok"}...]}: of each node the public key in
 * the topology file, and whether the secret key on this machine fits to it. */
json_t *verb_keys(const struct verb_place *place);

/* Makes the pair that the node turns to when the topology names it. {"node", "public_key"}.
 * Errors, as of the next: EX_USAGE no such node, EX_CANTCREAT there is one already, and others. */
json_t *verb_key_add(const struct verb_place *place, const char *node, struct verb_error *error);

/* Makes a node's key pair, DIR/NODE/key and key.pub. {"node", "public_key"}. */
json_t *verb_keygen(const char *dir, const char *node, struct verb_error *error);

/* ---- topology files; budgets are in budget.h, changes in apply.h ---- */

/* {"ok": true, "name", "streams": [{"name", "controller", "legs": [{"name", "hops": [{"node",
 * "distance_m"}...], "distance_m"}...], "opposition"}...]}, with distances null if unknown; or
 * {"ok": false, "errors": [{"file", "line", "column", "key", "text"}...]}. *topology is a new
 * topology that the caller destroys, or NULL. Errors: EX_CONFIG, EX_NOINPUT, each with mistakes. */
json_t *verb_topology_check(const char *file, struct dp_topology **topology,
	struct verb_error *error);

struct verb_render {
	const char *file;   /* the topology */
	const char *target; /* compose, systemd or kubernetes */
	const char *image;  /* of the containers */
};

/* What each site needs to run its part, as files that are not written yet: {"sites": [{"site",
 * "etc", "files": [{"path", "text"}...]}...], "without_key": [NODE...]}. Paths are relative to the
 * site's directory. It has the directory "etc" of the topology, which is "" if that is the site's
 * own, and one called "secrets" that only its owner may read. Errors: EX_USAGE no such target,
 * those of a topology file, EX_OSERR. */
json_t *verb_render(const struct verb_render *render, struct verb_error *error);
bool verb_render_has(const char *target);

#endif
