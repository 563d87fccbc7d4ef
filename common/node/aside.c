/* SPDX-License-Identifier: MIT */
/* What a changed topology means for files, at a start. Journals and images of streams and volumes
 * that this node has no more keep their content under another name, so that nothing is lost by a
 * change. And a change that would lose or mix up something is refused, as it would have been while
 * the node ran (reload.c). */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "node/internal.h"

/* "image.NAME", "image.NAME.3"; "journal.NAME", "journal.NAME.renewed". Names have no dots. */
static bool belongs(const struct dp_node_gone *gone, const char *file)
{
	const char *kind = gone->stream ? "journal." : "image.";
	size_t size = strlen(kind), name = strlen(gone->name);
	if (strncmp(file, kind, size) || strncmp(file + size, gone->name, name))
		return false;
	return file[size + name] == '\0' || file[size + name] == '.';
}

static int set_aside(int dir, const char *directory, const char *file)
{
	char to[NAME_MAX + 40];
	snprintf(to, sizeof to, "gone.%llu.%s", (unsigned long long)(node_wall_us() / 1000000),
		file);
	if (renameat(dir, file, dir, to)) {
		int err = dp_err_from_errno(errno);
		dp_log(DP_LOG_ERROR, "set-aside-failed", "file=%s/%s error=\"%s\"", directory, file,
			dp_strerror(err));
		return err;
	}
	dp_log(DP_LOG_NOTICE, "set-aside", "file=%s/%s now=%s", directory, file, to);
	return 0;
}

static int aside_in(const struct dp_node_config *cfg, const char *directory)
{
	DIR *d = opendir(directory);
	struct dirent *entry;
	int err = d ? 0 : dp_err_from_errno(errno);
	while (!err && (entry = readdir(d)))
		for (unsigned i = 0; i < cfg->gone_count && !err; i++)
			if (belongs(&cfg->gone[i], entry->d_name))
				err = set_aside(dirfd(d), directory, entry->d_name);
	if (d && !err && fsync(dirfd(d)))
		err = dp_err_from_errno(errno);
	if (d)
		closedir(d);
	return err;
}

int aside_all(const struct node *n)
{
	if (!n->cfg->gone_count)
		return 0;
	int err = aside_in(n->cfg, n->cfg->state);
	return !err && n->cfg->second_store[0] ? aside_in(n->cfg, n->cfg->second_store) : err;
}

/* ---- whether a stream may begin with what it is to be now ---- */

bool aside_has_records(const struct dp_log *log, uint32_t volume)
{
	for (uint64_t seq = log->tail.at.seq + 1; seq <= log->last.at.seq; seq++) {
		const struct dp_log_entry *e = dp_log_entry(log, seq);
		if (dp_op_has_extent(e->op) && e->volume == volume)
			return true;
	}
	return false;
}

/* An image of that name was set aside, perhaps by a change that others did not get: zeros in its
 * place would be another volume than theirs. */
static bool was_set_aside(const struct dp_node_config *cfg, const char *volume)
{
	DIR *d = opendir(cfg->state);
	struct dirent *entry;
	bool found = false;
	struct dp_node_gone gone = {.stream = false};
	snprintf(gone.name, sizeof gone.name, "%s", volume);
	while (d && !found && (entry = readdir(d))) {
		const char *dot = strncmp(entry->d_name, "gone.", 5)
			? NULL
			: strchr(entry->d_name + 5, '.');
		found = dot && belongs(&gone, dot + 1);
	}
	if (d)
		closedir(d);
	return found;
}

const char *aside_wrong_volume(const struct node *n, const struct node_stream *s,
	const struct dp_node_volume *v)
{
	if (!v->is_new)
		return NULL;
	if (aside_has_records(&dp_stream_core(s->stream)->log, v->id))
		return "the journal has writes to an earlier volume of that name: start without it until they are gone";
	if (s->cfg->core.image && was_set_aside(n->cfg, v->name))
		return "it is new here, and an image of that name was set aside as gone.*: if that is this volume, give "
		       "the image its name back and start; if not, take it away";
	return NULL;
}

/* The legs as the journal knows them, before the start. */
static const char *wrong_legs(const struct node_stream *s)
{
	const struct dp_core *c = dp_stream_core(s->stream);
	const struct dp_meta *m = &c->log.last;
	bool gone = false, behind = false;
	for (unsigned p = 0; p < DP_PLACES; p++) {
		bool stays = false;
		for (unsigned i = 0; i < c->cfg.down_count; i++)
			stays = stays || c->cfg.leg_ids[i] == m->places.id[p];
		gone = gone || (m->places.id[p] && !stays && (m->places.joined >> p & 1));
		behind = behind || (m->places.id[p] && stays && (m->away >> p & 1));
	}
	if (gone && behind)
		return "a leg is gone while another is not up to date: start with the former file until it is";
	if (s->cfg->all_ways_new && m->based && !m->complete && !m->away)
		return "all legs take another way, and the journal does not have everything that was answered: start "
		       "with the former file, and change it as the nodes run";
	return NULL;
}

int aside_check(const struct node *n, const struct node_stream *s)
{
	const char *wrong = s->cfg->core.role == DP_CORE_CONTROLLER ? wrong_legs(s) : NULL,
		   *name = "";
	for (unsigned i = 0; i < s->cfg->volume_count && !wrong; i++) {
		wrong = aside_wrong_volume(n, s, &s->cfg->volumes[i]);
		name = s->cfg->volumes[i].name;
	}
	if (!wrong)
		return 0;
	dp_log(DP_LOG_ERROR, "stream-failed", "stream=%s volume=%s error=\"%s\"", s->cfg->name,
		name, wrong);
	return DP_ECONFIG;
}
