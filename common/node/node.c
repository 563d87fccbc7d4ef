/* SPDX-License-Identifier: MIT */
#include "node/node.h"

#include <malloc.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <systemd/sd-daemon.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "base/err.h"
#include "base/log.h"
#include "io/disk_real.h"
#include "io/disk_twin.h"
#include "node/internal.h"

#define ALARM_AGAIN_US 60000000

static uint64_t clock_us(clockid_t id)
{
	struct timespec t;
	clock_gettime(id, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

uint64_t node_clock_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

uint64_t node_wall_us(void)
{
	return clock_us(CLOCK_REALTIME);
}

/* ---- what streams ask for ---- */

static void on_send_up(void *ctx, struct dp_stream *s, uint32_t peer, struct dp_msg *m)
{
	struct node_stream *ns = ctx;
	(void)s;
	dp_links_send_up(ns->node->links, peer, m);
}

static void on_send_down(void *ctx, struct dp_stream *s, uint32_t link, struct dp_msg *m)
{
	struct node_stream *ns = ctx;
	(void)s;
	dp_links_send_down(ns->node->links, ns->cfg->links[link], m);
}

static void on_reply(void *ctx, struct dp_stream *s, void *tag, int err, uint64_t set,
	struct dp_buf *data)
{
	(void)ctx;
	(void)s;
	hosts_reply(tag, err, set, data);
}

/* A condition that lasts is reported once a minute, not at every attempt. */
static bool alarm_is_recent(const struct node_stream *ns, enum dp_alarm alarm, uint32_t peer)
{
	for (unsigned i = 0; i < ns->alarm_count && i < NODE_ALARMS_MAX; i++) {
		const struct alarm *a = &ns->alarms[i];
		if (a->alarm == alarm && a->peer == peer &&
			node_wall_us() - a->time_us < ALARM_AGAIN_US)
			return true;
	}
	return false;
}

static void on_alarm(void *ctx, struct dp_stream *s, enum dp_alarm alarm, uint32_t peer)
{
	struct node_stream *ns = ctx;
	const struct dp_node_config *cfg = ns->node->cfg;
	(void)s;
	const char *name = peer == DP_PEER_SELF ? cfg->name
		: peer == DP_PEER_UPSTREAM      ? ns->cfg->upstream
						: cfg->links[ns->cfg->links[peer]].peer;
	if (alarm_is_recent(ns, alarm, peer))
		return;
	struct alarm *a = &ns->alarms[ns->alarm_count++ % NODE_ALARMS_MAX];
	a->time_us = node_wall_us();
	a->alarm = alarm;
	a->peer = peer;
	const char *text = dp_alarm_info(alarm)->text;
	if (peer == DP_PEER_SELF)
		snprintf(a->text, sizeof a->text, "%s", text);
	else
		snprintf(a->text, sizeof a->text, "%s (peer %s)", text, name);
	dp_log(DP_LOG_WARNING, "alarm", "stream=%s peer=%s id=%s text=\"%s\"", ns->cfg->name, name,
		dp_alarm_info(alarm)->id, text);
}

static void on_touched(void *ctx, struct dp_stream *s)
{
	(void)s;
	streams_touched(ctx);
}

static const struct dp_stream_ops stream_ops = {
	on_send_up, on_send_down, on_reply, on_touched, on_alarm};

/* ---- opening ---- */

static void say_why(const struct dp_node_stream *s, int err)
{
	const char *what = err == DP_ECORRUPT
		? "the journal is damaged below its durable mark; nothing was "
		  "changed; keep a copy, then treat the disk as lost"
		: err == DP_EINVAL ? "the journal or an image has another size or belongs to "
				     "another stream than the topology says"
		: err == DP_ENOENT
		? "an image is missing, and the journal no longer has what was in "
		  "it; treat the disk as lost"
		: err == DP_EBUSY     ? "another process uses this state directory"
		: err == DP_ENOCIPHER ? "this processor has no instructions for AES, which seal: "
					"aes256-gcm needs at the controller and all mirrors; "
					"chacha20-poly1305 needs none"
		: err == DP_ESEALED   ? "the journal has sealed records and the topology does not "
					"say that the stream is sealed, or open ones and it does"
		: err == DP_ECONFIG   ? "the key of a node that is to open the stream is none"
		: err == DP_EAGAIN
		? "the volumes are others than before, or in another order, and images are "
		  "being resynced; start with the volumes as they were until that is "
		  "complete, or with an empty directory but for the key, and it is filled anew"
		: err == DP_EVERSION ? "the journal has a format this version does not know"
				     : dp_strerror(err);
	dp_log(DP_LOG_ERROR, "stream-failed", "stream=%s error=\"%s\"", s->name, what);
}

/* ---- clean and unclean ends ---- */

#define CLEAN_FILE "clean" /* is there while the daemon is not, and was stopped in good order */

static bool take_clean_mark(struct node *n)
{
	struct dp_file *f;
	bool created;
	if (n->disk->ops->open(n->disk, CLEAN_FILE, 0, 0, &f, &created))
		return false;
	n->disk->ops->close(f);
	return n->disk->ops->remove(n->disk, CLEAN_FILE) == 0;
}

static void leave_clean_mark(struct node *n)
{
	struct dp_file *f;
	bool created;
	if (n->disk->ops->open(n->disk, CLEAN_FILE, DP_OPEN_CREATE, 0, &f, &created) == 0)
		n->disk->ops->close(f);
}

/* The means to seal and open what the stream carries, where this node is a holder. */
static int open_stream_seal(struct node *n, struct node_stream *ns)
{
	const struct dp_node_stream *cfg = ns->cfg;
	uint8_t secret[DP_SEAL_KEY_SIZE], former[DP_SEAL_KEY_SIZE],
		holders[DP_SEAL_HOLDERS_MAX][DP_SEAL_KEY_SIZE], random[32];
	bool has_former = n->cfg->former_secret[0],
	     good = zmq_z85_decode(secret, n->cfg->secret_key) != NULL;
	if (has_former)
		good = zmq_z85_decode(former, n->cfg->former_secret) && good;
	for (unsigned i = 0; i < cfg->holder_count; i++)
		good = zmq_z85_decode(holders[i], cfg->holders[i]) && good;
	randombytes_buf(random, sizeof random);
	int err = good
		? dp_seal_new(cfg->core.stream, cfg->seal, secret, has_former ? former : NULL,
			  holders, cfg->holder_count, random, &ns->seal)
		: DP_ECONFIG;
	sodium_memzero(secret, sizeof secret);
	sodium_memzero(former, sizeof former);
	sodium_memzero(random, sizeof random);
	return err;
}

static int open_stream(struct node *n, struct node_stream *ns)
{
	const struct dp_node_stream *cfg = ns->cfg;
	char journal[DP_NAME_MAX + 16], files[DP_VOLUMES_MAX][DP_NAME_MAX + 16];
	struct dp_store_volume volumes[DP_VOLUMES_MAX];
	snprintf(journal, sizeof journal, "journal.%s", cfg->name);
	for (unsigned i = 0; i < cfg->volume_count; i++) {
		snprintf(files[i], sizeof files[i], "image.%s", cfg->volumes[i].name);
		volumes[i] = (struct dp_store_volume){cfg->volumes[i].id, cfg->volumes[i].size,
			files[i], cfg->volumes[i].is_new, cfg->volumes[i].grown};
	}
	struct dp_stream_config sc = {.core = cfg->core,
		.now_us = &n->now_us,
		.journal_file = journal,
		.journal_size = cfg->journal_bytes,
		.volumes = volumes,
		.volume_count = cfg->volume_count,
		.volumes_changed = cfg->volumes_changed,
		.resync_rate = cfg->resync_rate,
		.read_cache = cfg->read_cache};
	randombytes_buf(&sc.random, sizeof sc.random);
	sc.random |= 1;
	int err = cfg->holder_count ? open_stream_seal(n, ns) : 0;
	sc.core.seal = ns->seal;
	if (!err)
		err = dp_stream_open(n->twin ? n->twin : n->disk, &sc, &stream_ops, ns,
			&ns->stream);
	if (err) {
		say_why(cfg, err);
		return err;
	}
	err = aside_check(n, ns);
	if (err)
		return err;
	struct dp_journal_stats j = dp_journal_stats(dp_stream_journal(ns->stream));
	const struct dp_core *c = dp_stream_core(ns->stream);
	dp_log(DP_LOG_NOTICE, "recovered",
		"stream=%s clean=%d last=%llu released=%llu torn_bytes=%llu", cfg->name,
		n->was_clean, (unsigned long long)c->log.last.at.seq,
		(unsigned long long)c->log.tail.at.seq, (unsigned long long)j.torn_bytes);
	bool is_new = c->log.last.promised == 0;
	if (!n->was_clean && !is_new)
		on_alarm(ns, ns->stream,
			cfg->core.image ? DP_ALARM_UNCLEAN_IMAGES : DP_ALARM_UNCLEAN_JOURNAL,
			DP_PEER_SELF);
	return 0;
}

static int open_signals(struct node *n)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	n->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return n->signal_fd < 0 ? DP_EIO : 0;
}

static void on_twin(void *ctx, const char *name, const char *text)
{
	struct node *n = ctx;
	dp_log(DP_LOG_WARNING, "store", "file=%s second=%s text=\"%s\"", name, n->cfg->second_store,
		text);
}

static int open_disk(struct node *n)
{
	int err = dp_disk_real_new(n->cfg->state, &n->disk);
	if (!err && n->cfg->second_store[0])
		err = dp_disk_twin_new(n->disk, n->cfg->second_store, on_twin, n, &n->twin);
	if (err)
		dp_log(DP_LOG_ERROR, "state-failed", "state=%s error=\"%s\"", n->cfg->state,
			dp_strerror(err));
	return err;
}

static int open_all(struct node *n)
{
	int err = open_signals(n);
	if (!err)
		err = open_disk(n);
	if (!err)
		n->was_clean = take_clean_mark(n);
	const char *delay = getenv("DIPOLE_COMMIT_DELAY_US"); /* benchmarks: a slower disk */
	if (!err && delay)
		dp_disk_real_delay(n->disk, (unsigned)strtoul(delay, NULL, 10));
	for (unsigned i = 0; i < n->cfg->stream_count && !err; i++) {
		n->streams[i].cfg = &n->cfg->streams[i];
		n->streams[i].node = n;
		streams_add(n, i);
		err = open_stream(n, &n->streams[i]);
	}
	if (!err)
		err = net_open(n);
	if (!err)
		err = dp_links_start_beats(n->links);
	if (!err)
		err = remote_open(n);
	if (!err)
		err = lines_open(n);
	if (!err)
		err = hosts_open(n);
	if (!err)
		err = http_open(n);
	/* When nothing else can fail: who puts the former file back finds everything. */
	if (!err)
		err = aside_all(n);
	if (!err && n->source)
		err = n->source->keep(n->source->ctx);
	return err;
}

/* They are what they are from now on. */
static void forget_changes(struct dp_node_config *cfg)
{
	for (unsigned s = 0; s < cfg->stream_count; s++) {
		cfg->streams[s].all_ways_new = cfg->streams[s].volumes_changed = false;
		for (unsigned v = 0; v < cfg->streams[s].volume_count; v++)
			cfg->streams[s].volumes[v].is_new = cfg->streams[s]
								    .volumes[v]
								    .grown = false;
	}
	cfg->gone_count = 0;
}

/* ---- closing ---- */

/* Hosts see their connection end and connect again later. What is agreed reaches the images, and
 * what is on its way to a disk gets there. */
static void stop_streams(struct node *n)
{
	sd_notifyf(0, n->restart ? "RELOADING=1\nMONOTONIC_USEC=%llu" : "STOPPING=1",
		(unsigned long long)node_clock_us());
	loop_drain(n);
}

static bool any_failed(const struct node *n)
{
	for (unsigned i = 0; i < n->cfg->stream_count; i++)
		if (dp_stream_core(n->streams[i].stream)->state == DP_CORE_FAILED)
			return true;
	return false;
}

static bool any_busy(const struct node *n)
{
	for (unsigned i = 0; i < n->cfg->stream_count; i++)
		if (n->streams[i].stream && dp_stream_busy(n->streams[i].stream))
			return true;
	return false;
}

static int exit_code(int err)
{
	switch (err) {
	case DP_ECORRUPT:
	case DP_EVERSION:
		return EX_DATAERR;
	case DP_ECONFIG:
	case DP_ENOCIPHER:
	case DP_ESEALED:
	case DP_EINVAL:
		return EX_CONFIG;
	case DP_ENOENT:
	case DP_EPERM:
	case DP_EBUSY:
	case DP_ENOSPC:
		return EX_CANTCREAT;
	case DP_EIO:
		return EX_IOERR;
	default:
		return EX_SOFTWARE;
	}
}

static int close_all(struct node *n, int code)
{
	conns_close(n);
	hosts_close(n);
	lines_close(n);
	http_close(n);
	remote_close(n);
	net_close(n);
	if (any_busy(n)) {
		dp_log(DP_LOG_ERROR, "stopped", "disk=busy");
		_exit(EX_IOERR); /* the disk still holds our memory */
	}
	for (unsigned i = 0; i < n->cfg->stream_count; i++) {
		dp_stream_close(&n->streams[i].stream);
		dp_seal_free(&n->streams[i].seal);
	}
	if (n->twin)
		dp_disk_twin_destroy(&n->twin);
	if (n->disk)
		dp_disk_real_destroy(&n->disk);
	if (n->signal_fd >= 0)
		close(n->signal_fd);
	free(n->replacement);
	free(n);
	return code;
}

int dp_node_run(struct dp_node_config *cfg, const struct dp_node_source *source)
{
	struct node *n = sodium_init() < 0 ? NULL : calloc(1, sizeof *n);
	if (!n)
		return EX_SOFTWARE;
	n->cfg = n->live = cfg;
	n->source = source;
	n->host_fd = n->control_fd = n->signal_fd = -1;
	n->start_us = n->now_us = node_clock_us();
	int err = open_all(n);
	if (err) {
		if (n->was_clean)
			leave_clean_mark(n); /* nothing was served that could be cut off */
		return close_all(n, exit_code(err));
	}
	forget_changes(cfg);
	malloc_trim(0); /* recovery leaves large holes behind */
	n->now_us = node_clock_us();
	for (unsigned i = 0; i < cfg->stream_count; i++)
		dp_stream_start(n->streams[i].stream);
	dp_log(DP_LOG_NOTICE, "ready", "version=%s streams=%u", DIPOLE_VERSION, cfg->stream_count);
	sd_notify(0, "READY=1");
	loop_run(n);
	bool died = n->broken;
	if (died)
		dp_log(DP_LOG_ERROR, "out-of-memory",
			"streams are stopped to keep what is durable");
	stop_streams(n);
	bool clean = !died && loop_is_drained(n) && !any_failed(n), restart = n->restart;
	if (clean)
		leave_clean_mark(n);
	if (restart)
		reload_replace(n, clean);
	dp_log(DP_LOG_NOTICE, "stopped", "clean=%d restart=%d", clean, restart);
	return close_all(n, died ? EX_SOFTWARE : restart ? DP_NODE_RESTART : 0);
}
