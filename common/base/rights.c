/* SPDX-License-Identifier: MIT */
#include "base/rights.h"

const char *dp_rights_name(enum dp_rights rights)
{
	static const char *const names[] = {"none", "peer", "observe", "operate", "administer"};
	return names[rights];
}
