/* SPDX-License-Identifier: MIT */
/* What `digest` and `verify` say alike. */
#ifndef DP_CONTROLLER_CLI_COPIES_MISSING_H
#define DP_CONTROLLER_CLI_COPIES_MISSING_H

#include "cli.h"

/* A line on stderr for each copy that is not done. */
void cli_print_missing(const json_t *copies);

#endif
