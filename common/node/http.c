/* SPDX-License-Identifier: MIT */
/* The HTTP endpoint: GET /metrics, /livez and /readyz. libmicrohttpd without a thread of its own:
 * its epoll descriptor is one more that the loop waits for. */
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/log.h"
#include "net/address.h"
#include "node/internal.h"
#include "node/metrics.h"

#define CONNECTIONS_MAX    16u
#define CONNECTION_MEMORY  ((size_t)32 * 1024)
#define CONNECTION_SECONDS 10u

static enum MHD_Result reply(struct MHD_Connection *c, unsigned code, const char *type, char *text)
{
	struct MHD_Response *r = text
		? MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE)
		: NULL;
	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	enum MHD_Result done = MHD_queue_response(c, code, r);
	MHD_destroy_response(r);
	return done;
}

static enum MHD_Result reply_text(struct MHD_Connection *c, unsigned code, const char *text)
{
	return reply(c, code, "text/plain; charset=utf-8", strdup(text));
}

/* Serves all of its streams, as far as it depends on this node. */
static const char *why_not_ready(const struct node *n)
{
	if (n->stopping)
		return "stopping\n";
	for (unsigned i = 0; i < n->cfg->stream_count; i++) {
		enum dp_core_state state = dp_stream_core(n->streams[i].stream)->state;
		if (state == DP_CORE_FAILED)
			return "a journal has failed\n";
		if (state != DP_CORE_OPEN)
			return "a stream is not open yet\n";
	}
	return NULL;
}

static enum MHD_Result metrics(struct node *n, struct MHD_Connection *c)
{
	json_t *status = control_status(n);
	char *text = status ? metrics_text(status) : NULL;
	json_decref(status);
	return reply(c, MHD_HTTP_OK, "text/plain; version=0.0.4; charset=utf-8", text);
}

static enum MHD_Result answer(void *ctx, struct MHD_Connection *c, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **state)
{
	struct node *n = ctx;
	const char *why;
	(void)version;
	(void)data;
	(void)state;
	if (*size)
		*size = 0; /* nobody reads what a request carries */
	if (strcmp(method, MHD_HTTP_METHOD_GET) && strcmp(method, MHD_HTTP_METHOD_HEAD))
		return reply_text(c, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET\n");
	if (strcmp(url, "/metrics") == 0)
		return metrics(n, c);
	if (strcmp(url, "/livez") == 0)
		return reply_text(c, MHD_HTTP_OK, "ok\n");
	if (strcmp(url, "/readyz") == 0) {
		why = why_not_ready(n);
		return reply_text(c, why ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_OK,
			why ? why : "ok\n");
	}
	return reply_text(c, MHD_HTTP_NOT_FOUND, "there are /metrics, /livez and /readyz\n");
}

int http_open(struct node *n)
{
	struct sockaddr_storage at;
	socklen_t size;
	n->http_fd = -1;
	if (!n->cfg->metrics[0])
		return 0;
	int err = dp_address_resolve(n->cfg->metrics, &at, &size);
	unsigned flags = MHD_USE_EPOLL | (err || at.ss_family == AF_INET ? 0 : MHD_USE_IPv6);
	if (!err)
		n->http = MHD_start_daemon(flags, 0, NULL, NULL, answer, n, MHD_OPTION_SOCK_ADDR,
			&at, MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS_MAX,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY,
			MHD_OPTION_CONNECTION_TIMEOUT, CONNECTION_SECONDS, MHD_OPTION_END);
	if (!n->http) {
		dp_log(DP_LOG_ERROR, "listen-failed", "metrics=%s", n->cfg->metrics);
		return DP_ECONFIG;
	}
	n->http_fd = MHD_get_daemon_info(n->http, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
	return 0;
}

void http_run(struct node *n)
{
	if (n->http)
		MHD_run(n->http);
}

void http_close(struct node *n)
{
	if (n->http)
		MHD_stop_daemon(n->http);
	n->http = NULL;
}
