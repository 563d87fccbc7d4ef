/* SPDX-License-Identifier: MIT */
#include "verbs/uri.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void put_escaped(char *buf, size_t *size, const char *text)
{
	for (; *text && *size + 4 < VERB_URI_MAX; text++) {
		unsigned char c = (unsigned char)*text;
		const char *format = isalnum(c) || strchr("-._~/", c) ? "%c" : "%%%02X";
		*size += (size_t)sprintf(buf + *size, format, c);
	}
}

char *verb_nbd_uri(const char *volume, const char *socket_path, char buf[VERB_URI_MAX])
{
	size_t size = (size_t)sprintf(buf, "nbd+unix:///");
	put_escaped(buf, &size, volume);
	size += (size_t)sprintf(buf + size, "?socket=");
	put_escaped(buf, &size, socket_path);
	if (strlen(socket_path) > 107)
		buf[0] = '\0';
	return buf;
}
