/* SPDX-License-Identifier: MIT */
/* One list of error codes for the whole product. Functions return 0 or a negative code. */
#ifndef DP_BASE_ERR_H
#define DP_BASE_ERR_H

#define DP_ERRORS(X)                                                                               \
	X(NOMEM, "out of memory")                                                                  \
	X(INVAL, "invalid argument")                                                               \
	X(IO, "input/output error")                                                                \
	X(NOSPC, "no space")                                                                       \
	X(NOENT, "no such object")                                                                 \
	X(BUSY, "busy")                                                                            \
	X(AGAIN, "not possible right now")                                                         \
	X(BADMSG, "malformed data")                                                                \
	X(VERSION, "unknown version")                                                              \
	X(CHECKSUM, "checksum mismatch")                                                           \
	X(CORRUPT, "damaged data below the durable mark")                                          \
	X(STALE, "superseded by a newer epoch")                                                    \
	X(DIVERGED, "histories differ")                                                            \
	X(GAP, "records are missing")                                                              \
	X(FAILED, "journal has failed")                                                            \
	X(RANGE, "out of range")                                                                   \
	X(CONFIG, "wrong configuration")                                                           \
	X(PERM, "not permitted")                                                                   \
	X(SEALED, "sealed records where there are to be none, or open ones where all are sealed")  \
	X(NOCIPHER, "this processor has no instructions for the cipher")                           \
	X(CLOSED, "connection closed")

enum dp_err {
	DP_OK = 0,
#define X(name, text) DP_ERR_NEG_##name,
	DP_ERRORS(X)
#undef X
};

#define X(name, text) DP_E##name = -DP_ERR_NEG_##name,
enum dp_err_code { DP_ERRORS(X) };
#undef X

/* The text of a code; never NULL. */
const char *dp_strerror(int err);

/* A code for an errno value (positive), DP_EIO for what has no better name. */
int dp_err_from_errno(int err);

#endif
