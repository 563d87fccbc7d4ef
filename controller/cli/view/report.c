/* SPDX-License-Identifier: MIT */
/* dipole report: what somebody who is to help would ask for, as one JSON document. */
#include "cli.h"

static int run_report(const struct cli_command *self, int argc, char **argv)
{
	const char *state = NULL;
	struct verb_place place;
	const struct cli_option options[] = {
		{"state", CLI_TEXT, &state, "DIR", "the state directory of the deployment"},
		{.name = NULL},
	};
	cli_parse(self, argc, argv, options, NULL, 0, 0);
	int status = cli_place_open(state, &place);
	if (!status)
		cli_print_json(verb_report(&place));
	verb_place_close(&place);
	return status;
}

const struct cli_command cli_report = {
	.name = "report",
	.arguments = "[--state DIR]",
	.summary = "Print what somebody who is to help would ask for, without secrets.",
	.run = run_report,
};
