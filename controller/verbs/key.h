/* SPDX-License-Identifier: MIT */
/* CURVE keys of nodes: DIR/NODE/key holds the secret key, key.pub the public one, as Z85. */
#ifndef DP_CONTROLLER_VERBS_KEY_H
#define DP_CONTROLLER_VERBS_KEY_H

#include "verbs/verbs.h"

/* Makes a CURVE key pair in DIR/NODE/NAME and NAME.pub; `public_key` gets the Z85 text. An existing
 * key is never overwritten. Returns 0 or error->status. */
int verb_key_make(const char *dir, const char *node, const char *name,
	char public_key[DP_KEY_TEXT + 1], struct verb_error *error);

/* The same for DIR/NODE/key, but takes the key that is there. */
int verb_key_ensure(const char *dir, const char *node, char public_key[DP_KEY_TEXT + 1],
	struct verb_error *error);

/* Lower-case letters, digits and '-', as in a topology file. */
bool verb_is_name(const char *text);

#endif
