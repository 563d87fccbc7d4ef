/* SPDX-License-Identifier: MIT */
/* The walk over the YAML document: tables of fields, named maps, references, messages.
 * What the fields are stands in schema.c. Private to topology/. */
#ifndef DP_TOPOLOGY_LOADER_H
#define DP_TOPOLOGY_LOADER_H

#include <yaml.h>

#include "topology.h"

/* An index that could not be resolved, and a role that was not understood: said once where it
 * was found, and then left out of every further check. */
#define DP_UNRESOLVED   ((unsigned)-1)
#define DP_ROLE_UNKNOWN ((enum dp_role)99)

/* Where in the file we are; lives on the stack of the walk. */
struct dp_path {
	const struct dp_path *up;
	const char *key; /* NULL: `index` counts */
	unsigned index;
};

/* Names of a section as they were written, even if they are not valid names: a reference to a
 * misspelt definition is no second mistake. */
struct dp_names {
	const char *text[DP_TOPOLOGY_VOLUMES_MAX];
	const yaml_node_t *key_at[DP_TOPOLOGY_VOLUMES_MAX];
	const yaml_node_t *value_at[DP_TOPOLOGY_VOLUMES_MAX];
	unsigned count;
	bool complete; /* false: the section could not be read, so what is missing is not known */
};

struct dp_loader {
	yaml_document_t document;
	const char *file;
	struct dp_topology *t;
	struct dp_topo_errors *errors;
	struct dp_names sites, nodes, streams, volumes, operators;
	struct dp_names legs; /* of the stream at hand */
	const yaml_node_t *link_at[DP_LINKS_MAX];
	bool links_complete;
	/* Node pairs without a link that were reported (a < b): several legs may need one link. */
	bool missing_link[DP_NODES_MAX][DP_NODES_MAX];
};

enum dp_need { DP_OPTIONAL, DP_REQUIRED };

/* One key of a mapping. Either `scalar` takes the word and stores it at `offset` of the object,
 * or `parse` takes the whole value and the object. */
struct dp_field {
	const char *key;
	enum dp_need need;
	const char *expected;
	size_t offset;
	bool (*scalar)(const char *text, void *out);
	void (*parse)(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
		void *object);
};

__attribute__((format(printf, 4, 5))) void dp_loader_error(struct dp_loader *l,
	const struct dp_path *path, const yaml_node_t *at, const char *format, ...);

/* The node of the document, never NULL. */
const yaml_node_t *dp_loader_get(struct dp_loader *l, int id);

/* Value of a key in a mapping (the first if given twice), or NULL. */
const yaml_node_t *dp_loader_find(struct dp_loader *l, const yaml_node_t *map, const char *key);

/* The text of a scalar, or NULL if it is none or holds a NUL. */
const char *dp_loader_text(const yaml_node_t *value);

/* What was found, for a message: a quoted word (shortened, unprintable bytes replaced) or the
 * kind of the value. */
struct dp_shown {
	char text[80];
};
struct dp_shown dp_loader_show(const yaml_node_t *value);

/* Reports another kind of value than expected. */
bool dp_loader_is(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	yaml_node_type_t type, const char *expected);

bool dp_loader_scalar(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	const char *expected, bool (*scalar)(const char *text, void *out), void *out);

/* Walks a mapping with a fixed set of keys, in the order of the table: a field can rely on
 * those above it. */
void dp_loader_fields(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *map,
	const struct dp_field *fields, void *object);

/* Walks a mapping from names to objects, at most `max` of them. */
typedef void dp_named_fn(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *value,
	void *context);
void dp_loader_named(struct dp_loader *l, const struct dp_path *path, const yaml_node_t *map,
	struct dp_names *names, unsigned max, dp_named_fn *each, void *context);

/* Index of the named object, or DP_UNRESOLVED, which has been reported where it is a mistake. */
unsigned dp_loader_resolve(struct dp_loader *l, const struct dp_path *path,
	const yaml_node_t *value, const struct dp_names *names, const char *what);

/* Number of items of a sequence, and one of them. */
unsigned dp_loader_items(const yaml_node_t *list);
const yaml_node_t *dp_loader_item(struct dp_loader *l, const yaml_node_t *list, unsigned index);

#endif
