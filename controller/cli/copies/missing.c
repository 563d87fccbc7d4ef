/* SPDX-License-Identifier: MIT */
#include "copies/missing.h"

void cli_print_missing(const json_t *copies)
{
	json_t *copy;
	size_t i;
	json_array_foreach (copies, i, copy)
		if (!json_is_true(json_object_get(copy, "done")))
			cli_fail(0, "%s gave no digest: %s", verb_text(copy, "node"),
				verb_text(copy, "error"));
}
