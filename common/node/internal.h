/* SPDX-License-Identifier: MIT */
/* Shared by the files of the node: its state, and what each file gives the others. Private to
 * common/node. */
#ifndef DP_NODE_INTERNAL_H
#define DP_NODE_INTERNAL_H

#include <jansson.h>
#include <poll.h>
#include <stdbool.h>

#include "io/disk.h"
#include "net/links.h"
#include "net/socket.h"
#include "node/conns.h"
#include "node/node.h"
#include "stream/stream.h"

#define NODE_ALARMS_MAX 32
#define NODE_BY_ID      (2 * DP_NODE_STREAMS_MAX)

struct node;

struct alarm {
	uint64_t time_us;
	enum dp_alarm alarm;
	uint32_t peer;
	char text[256];
};

struct node_stream {
	const struct dp_node_stream *cfg;
	struct dp_stream *stream;
	struct dp_seal *seal; /* NULL: not sealed, or a relay */
	struct node *node;
	struct alarm alarms[NODE_ALARMS_MAX];
	unsigned alarm_count;
	/* as logged last: */
	enum dp_down_state link_state[DP_DOWN_MAX];
	bool upstream_state;
	/* A flush is due (streams.c). */
	bool listed;
	struct node_stream *next_touched;
};

struct MHD_Daemon;

struct node {
	const struct dp_node_config *cfg;
	struct dp_node_config *live; /* the same, for reload.c alone */
	const struct dp_node_source *source;
	struct dp_disk *disk;
	struct dp_disk *twin; /* over disk, if images are kept twice; or NULL */
	struct dp_admission *admission;
	struct dp_links *links;
	void *remote; /* NULL: operators cannot reach this node */
	struct waker remote_waker;
	struct node_stream streams[DP_NODE_STREAMS_MAX];
	/* Of the streams (streams.c): where each stands, by its id; those that a flush is due for,
	 * and those whose group commit waits; when each has something to do. */
	uint16_t by_id[NODE_BY_ID];
	struct node_stream *touched, *gathering;
	uint64_t stream_due_us[DP_NODE_STREAMS_MAX], due_us, swept_us;
	bool broken; /* a stream ran out of memory */
	int host_fd, control_fd, signal_fd, http_fd;
	struct MHD_Daemon *http; /* NULL: no metrics are to be read */
	struct conn *conns[CONNS_MAX];
	unsigned conn_count;
	uint64_t now_us, start_us;
	uint64_t bad_messages, refused_keys;
	char *replacement; /* the topology to be put in place when the streams have ended; NULL:
			      none */
	bool more_waits;   /* in sockets: the next turn does not wait */
	bool stopping, restart,
		was_clean; /* was_clean: the process before was stopped in good order */
};

uint64_t node_clock_us(void);
uint64_t node_wall_us(void);
struct node_stream *node_stream_by_id(struct node *n, uint64_t id);

/* streams.c */
void streams_add(struct node *n, unsigned index); /* when its cfg is known */
void streams_touched(struct node_stream *ns);
void streams_flush(struct node *n);
void streams_tick(struct node *n);
uint64_t streams_wake_us(const struct node *n); /* a flush is due then; UINT64_MAX: none */

/* loop.c */
void loop_run(struct node *n);              /* until the node is to stop, or is broken */
void loop_drain(struct node *n);            /* streams end; not longer than 10 s */
bool loop_is_drained(const struct node *n); /* they have ended, as far as they can */

/* net.c: the links, which streams send over with dp_links_send_up() and _down() */
int net_open(struct node *n); /* 0 or a dp_err, logged; heartbeats do not begin yet */
void net_close(struct node *n);
bool net_receive(struct node *n); /* what has arrived; false: nothing says that something has */
void net_tick(struct node *n);

/* hosts.c */
int hosts_open(struct node *n); /* 0 or a dp_err, logged */
void hosts_close(struct node *n);
void hosts_accept(struct node *n);
void hosts_reply(void *tag, int err, uint64_t set, struct dp_buf *data);
void hosts_hang_up(struct node *n);
bool hosts_use(const struct node *n, const char *volume); /* a host is connected to it */

/* lines.c: the control socket */
int lines_open(struct node *n); /* 0 or a dp_err, logged */
void lines_close(struct node *n);
void lines_accept(struct node *n);

/* control.c: one JSON object in, one out (new reference); `rights` are of who asks */
json_t *control_answer(struct node *n, const json_t *request, enum dp_rights rights);
json_t *control_status(struct node *n);

/* remote.c: the control socket over the network, for operators and, a little, for nodes */
int remote_open(struct node *n);   /* 0 or a dp_err, logged; after net_open() */
void remote_close(struct node *n); /* before net_close() */
void remote_receive(struct node *n);

/* http.c: metrics */
int http_open(struct node *n); /* 0 or a dp_err, logged */
void http_run(struct node *n); /* what its descriptor says, or time */
void http_close(struct node *n);

/* reload.c: as an answer of the control socket. `text`: the file to take instead of the one that is
 * there; NULL: that one. dry: says what would be done, and does nothing. */
json_t *reload_answer(struct node *n, const char *text, bool dry);
json_t *reload_rekey(struct node *n); /* runs anew, with the key that comes next */

/* Puts the new topology in place, if all has ended in good order; else the node goes on as before.
 */
void reload_replace(struct node *n, bool clean);

/* aside.c: what the node has no more is set aside; and whether a stream, as it was found, may begin
 * with what it is to be now. 0 or a dp_err, logged. */
int aside_all(const struct node *n);
int aside_check(const struct node *n, const struct node_stream *s);
/* Why volume v, if it is new, cannot be made here; NULL: it can. */
const char *aside_wrong_volume(const struct node *n, const struct node_stream *s,
	const struct dp_node_volume *v);
bool aside_has_records(const struct dp_log *log, uint32_t volume);

#endif
