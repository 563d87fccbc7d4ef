/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "verbs/nodes.h"

#define LOG_BYTES (64 * 1024) /* of each node, the newest */
#define LOG_LINES "500"

/* The last bytes of a file, as text; what is no UTF-8 is left out. NULL: there is no such file. */
static json_t *tail_of(FILE *from)
{
	char *text = from ? malloc(LOG_BYTES + 1) : NULL;
	if (!text)
		return json_null();
	size_t size = fread(text, 1, LOG_BYTES, from), good = 0;
	for (size_t i = 0; i < size; i++)
		if (text[i] == '\n' || text[i] == '\t' || (text[i] >= ' ' && text[i] < 0x7f))
			text[good++] = text[i];
	json_t *s = json_stringn(text, good);
	free(text);
	return s;
}

static json_t *file_tail(const char *path)
{
	FILE *from = fopen(path, "re");
	if (from && fseek(from, -LOG_BYTES, SEEK_END) != 0)
		rewind(from);
	json_t *s = tail_of(from);
	if (from)
		fclose(from);
	return s;
}

/* What the units have logged, where systemd keeps it. */
static json_t *system_log(void)
{
	if (access("/run/systemd/system", F_OK))
		return json_null();
	FILE *from = popen("journalctl --no-pager -o short-iso -n " LOG_LINES
			   " -u 'dipole-*' 2>/dev/null",
		"re");
	json_t *s = tail_of(from);
	if (from)
		pclose(from);
	return s;
}

static json_t *machine_json(const char *dir)
{
	struct utsname u;
	struct statvfs fs;
	struct timespec now;
	uname(&u);
	clock_gettime(CLOCK_REALTIME, &now);
	json_t *o = json_pack("{s:s,s:s,s:s,s:I,s:I}", "kernel", u.release, "architecture",
		u.machine, "host", u.nodename, "time_us",
		(json_int_t)now.tv_sec * 1000000 + now.tv_nsec / 1000, "processors",
		(json_int_t)sysconf(_SC_NPROCESSORS_ONLN));
	if (statvfs(dir, &fs) == 0) {
		json_object_set_new(o, "disk_size_bytes",
			json_integer((json_int_t)(fs.f_blocks * fs.f_frsize)));
		json_object_set_new(o, "disk_free_bytes",
			json_integer((json_int_t)(fs.f_bavail * fs.f_frsize)));
	}
	return o;
}

static json_t *node_json(const struct verb_survey *survey, unsigned i)
{
	const struct dp_topo_node *n = &survey->place->topology->nodes[i];
	char path[PATH_MAX];
	json_t *o = json_pack("{s:s,s:s}", "name", n->name, "role", dp_role_name(n->role));
	if (survey->answers[i])
		json_object_set(o, "status", survey->answers[i]);
	else
		json_object_set_new(o, "why_not", verb_string(survey->errors[i]));
	json_object_set_new(o, "log",
		file_tail(verb_node_path(survey->place->dir, n->name, "log", path)));
	return o;
}

static json_t *nodes_here(const struct verb_place *place)
{
	struct verb_survey survey = {.place = place, .only = -1};
	char path[PATH_MAX];
	json_t *nodes = json_array();
	verb_survey_ask(&survey);
	for (unsigned i = 0; i < place->topology->node_count; i++)
		if (access(verb_node_path(place->dir, place->topology->nodes[i].name, "", path),
			    F_OK) == 0)
			json_array_append_new(nodes, node_json(&survey, i));
	verb_survey_clear(&survey);
	return nodes;
}

json_t *verb_report(const struct verb_place *place)
{
	char *topology = NULL;
	size_t size = 0;
	json_t *nodes = nodes_here(place);
	FILE *to = open_memstream(&topology, &size);
	if (to) {
		dp_topology_write(place->topology, to);
		fclose(to);
	}
	json_t *report = json_pack("{s:s,s:o,s:o,s:s%,s:o,s:o}", "version", DIPOLE_VERSION,
		"machine", machine_json(place->dir), "state", verb_string(place->dir), "topology",
		topology ? topology : "", size, "nodes", nodes, "system_log", system_log());
	free(topology);
	return report;
}
