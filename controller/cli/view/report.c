/* SPDX-License-Identifier: MIT */
/* dipole report: what somebody who is to help would ask for, as one JSON document. Secret keys are
 * not read. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

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

static json_t *machine(const char *dir)
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

static json_t *node(const struct cli_survey *survey, unsigned i)
{
	const struct dp_topo_node *n = &survey->place.topology->nodes[i];
	char path[PATH_MAX];
	json_t *o = json_pack("{s:s,s:s}", "name", n->name, "role", dp_role_name(n->role));
	if (survey->answers[i])
		json_object_set(o, "status", survey->answers[i]);
	else
		json_object_set_new(o, "why_not", json_string(survey->errors[i]));
	json_object_set_new(o, "log",
		file_tail(cli_node_path(survey->place.dir, n->name, "log", path)));
	return o;
}

static json_t *report(struct cli_survey *survey)
{
	char path[PATH_MAX], *topology = NULL;
	size_t size = 0;
	json_t *nodes = json_array();
	cli_survey_ask(survey);
	for (unsigned i = 0; i < survey->place.topology->node_count; i++)
		if (access(cli_node_path(survey->place.dir, survey->place.topology->nodes[i].name,
				   "", path),
			    F_OK) == 0)
			json_array_append_new(nodes, node(survey, i));
	FILE *to = open_memstream(&topology, &size);
	if (to) {
		dp_topology_write(survey->place.topology, to);
		fclose(to);
	}
	json_t *o = json_pack("{s:s,s:o,s:s,s:s%,s:o,s:o}", "version", DIPOLE_VERSION, "machine",
		machine(survey->place.dir), "state", survey->place.dir, "topology",
		topology ? topology : "", size, "nodes", nodes, "system_log", system_log());
	free(topology);
	cli_survey_clear(survey);
	return o;
}

static int run(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL;
	static struct cli_survey survey;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the deployment"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	survey.only = -1;
	int status = cli_place_open(state, &survey.place);
	if (!status)
		cli_print_json(report(&survey));
	cli_place_close(&survey.place);
	return status;
}

const struct cli_command cli_report = {
	.name = "report",
	.arguments = "[--state DIR]",
	.summary = "Print what somebody who is to help would ask for, without secrets.",
	.run = run,
};
