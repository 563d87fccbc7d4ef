/* SPDX-License-Identifier: MIT */
#include "base/err.h"

#include <errno.h>

const char *dp_strerror(int err)
{
	switch (-err) {
	case DP_OK:
		return "success";
#define X(name, text)                                                                              \
	case DP_ERR_NEG_##name:                                                                    \
		return text;
		DP_ERRORS(X)
#undef X
	default:
		return "unknown error";
	}
}

int dp_err_from_errno(int err)
{
	switch (err) {
	case 0:
		return 0;
	case ENOMEM:
		return DP_ENOMEM;
	case ENOSPC:
		return DP_ENOSPC;
	case ENOENT:
		return DP_ENOENT;
	case EINVAL:
		return DP_EINVAL;
	case EAGAIN:
		return DP_EAGAIN;
	case EBUSY:
		return DP_EBUSY;
	case EPERM:
	case EACCES:
		return DP_EPERM;
	default:
		return DP_EIO;
	}
}
