/* SPDX-License-Identifier: MIT */
/* libdipole: the host's side of a dipole controller.
 *
 * A client is one volume, opened over the controller's Unix stream socket. Requests are submitted
 * without waiting and answered in any order; writes, trims, zeroes and flushes are carried out in
 * the order of their submission.
 *
 * The library has no thread of its own. Replies are read by the threads that wait for theirs
 * (dipole_wait and what is built on it) or by an event loop (dipole_fd, dipole_process). All
 * functions but dipole_close may be called by several threads at once.
 *
 * When the controller goes away, unanswered requests are kept and sent again, each carried out
 * once, as soon as it is back: to the caller a restarting controller is a slow one. That lasts
 * until the controller is back, the waiter is interrupted or the client is closed.
 *
 * Functions that return int return 0 or a positive errno value, one of EIO ENOSPC EINVAL EPERM
 * ESHUTDOWN ENOENT EPROTO ETIMEDOUT, and EAGAIN where it says so. errno itself is not meaningful.
 */
#ifndef DIPOLE_H
#define DIPOLE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define DIPOLE_API __attribute__((visibility("default")))

struct dipole_client;

enum dipole_op {
	DIPOLE_READ = 1,
	DIPOLE_WRITE = 2,
	DIPOLE_TRIM = 3,
	DIPOLE_ZERO = 4,
	DIPOLE_FLUSH = 5, /* closes the write set; offset and length are 0 */
};

/* For write, trim, zero: answered as a flush would be, for everything up to this request. */
#define DIPOLE_FUA 1u

/* One request. The caller keeps it and its buffer where they are until it is answered or
 * abandoned; neither is touched afterwards. */
struct dipole_request {
	/* Set by the caller, all else 0. */
	enum dipole_op op;
	uint32_t flags;
	uint64_t offset;
	uint32_t length;
	void *buffer; /* length bytes, of a read or (not changed) a write */
	uint64_t set; /* explicit write set, 0: the controller's current one */
	/* Called once when the request is answered, by whichever thread reads the reply. It may
	 * submit, but not wait, process or close. Without one, use dipole_wait. */
	void (*callback)(struct dipole_request *request, void *arg);
	void *arg;

	/* The answer. */
	int error;           /* 0 or an errno value */
	uint64_t result_set; /* the write set the request belongs to; 0 for reads */

	/* The library's own. */
	uint64_t id;
	uint32_t state;
	struct dipole_request *next;
};

/* Asked about every 200 ms by a waiting thread, in that thread; not 0: give up. */
typedef int (*dipole_interrupted)(void *arg);

struct dipole_options {
	uint32_t timeout_ms; /* for the first connection; 0: DIPOLE_TIMEOUT_MS */
	char *message;       /* receives a sentence if connecting fails; may be NULL */
	size_t message_size;
	dipole_interrupted interrupted; /* also ends the first connection; may be NULL */
	void *interrupted_arg;
};

#define DIPOLE_TIMEOUT_MS 10000u

struct dipole_limits {
	uint64_t size;         /* of the volume, bytes */
	uint32_t max_payload;  /* longest read or write, bytes */
	uint32_t max_extent;   /* longest trim or zero, bytes */
	uint32_t max_requests; /* unanswered at once */
};

struct dipole_counters {
	uint64_t connections;       /* made, the first one included */
	uint64_t replayed;          /* requests sent again after a lost connection */
	uint64_t malformed_replies; /* each cost the connection */
	uint64_t abandoned;
};

/* Opens a volume and waits until the controller has described it. options may be NULL.
 * Errors: ENOENT (the controller has no such volume), ETIMEDOUT (no controller answered in time),
 * ESHUTDOWN (interrupted), EINVAL (path or name too long or empty), EPROTO (another version),
 * EPERM, EIO (out of memory or descriptors). */
DIPOLE_API int dipole_connect(const char *path, const char *volume,
	const struct dipole_options *options, struct dipole_client **client);

/* Unanswered requests end with ESHUTDOWN; whether they are carried out is not known. No other call
 * on this client may be under way. NULL is allowed. */
DIPOLE_API void dipole_close(struct dipole_client *client);

/* As it was when the client connected first: a volume that has grown since is used up to there. */
DIPOLE_API uint64_t dipole_size(const struct dipole_client *client);
DIPOLE_API void dipole_limits(const struct dipole_client *client, struct dipole_limits *limits);
DIPOLE_API void dipole_counters(struct dipole_client *client, struct dipole_counters *counters);

/* Sends or queues a request; never blocks.
 * Errors: EAGAIN (max_requests are unanswered), EINVAL (beyond the volume or a limit), EIO (the
 * volume is gone or has become smaller). On error the request stays the caller's. */
DIPOLE_API int dipole_submit(struct dipole_client *client, struct dipole_request *request);

/* Waits for a request without a callback; interrupted may be NULL. The request's error, or
 * ESHUTDOWN if interrupted: the request is then abandoned. */
DIPOLE_API int dipole_wait(struct dipole_client *client, struct dipole_request *request,
	dipole_interrupted interrupted, void *arg);

/* Takes a request back: it is neither answered nor sent again, its buffer is the caller's. A
 * write may or may not be carried out.
 * Errors: EINVAL (already answered; its callback was called or is about to be). */
DIPOLE_API int dipole_abandon(struct dipole_client *client, struct dipole_request *request);

/* For event loops: readable whenever dipole_process has something to do. It belongs to the
 * client and stays the same over reconnections. */
DIPOLE_API int dipole_fd(const struct dipole_client *client);

/* Reads replies, sends what waits, reconnects. Waits up to timeout_ms for there to be something
 * (0: not at all, negative: for ever), and returns after one such step.
 * Errors: EIO (the volume is gone or has become smaller; all requests have ended with EIO). */
DIPOLE_API int dipole_process(struct dipole_client *client, int timeout_ms);

/* How the calls below wait. NULL: without interruption, in the current write set. */
struct dipole_call {
	uint32_t flags; /* DIPOLE_FUA */
	uint64_t set;
	dipole_interrupted interrupted;
	void *interrupted_arg;
};

/* Synchronous calls. Ranges longer than the limits are split; the parts are under way together and
 * the first error is returned. They wait while max_requests are unanswered. */
DIPOLE_API int dipole_pread(struct dipole_client *client, void *buffer, uint64_t length,
	uint64_t offset, const struct dipole_call *call);
DIPOLE_API int dipole_pwrite(struct dipole_client *client, const void *buffer, uint64_t length,
	uint64_t offset, const struct dipole_call *call);
DIPOLE_API int dipole_trim(struct dipole_client *client, uint64_t length, uint64_t offset,
	const struct dipole_call *call);
DIPOLE_API int dipole_zero(struct dipole_client *client, uint64_t length, uint64_t offset,
	const struct dipole_call *call);
DIPOLE_API int dipole_flush(struct dipole_client *client, const struct dipole_call *call);

/* The controller's volumes: a NULL-terminated array, to be freed with one free().
 * Errors: ETIMEDOUT (no controller answered within timeout_ms), EPROTO, EINVAL, EIO. */
DIPOLE_API int dipole_list_volumes(const char *path, uint32_t timeout_ms, char ***names);

/* "1.2.3"; never NULL. */
DIPOLE_API const char *dipole_version(void);

#ifdef __cplusplus
}
#endif

#endif
