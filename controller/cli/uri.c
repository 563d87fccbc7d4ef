/* SPDX-License-Identifier: MIT */
#include "uri.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

static void put(char *buf, size_t *size, const char *text)
{
	for (; *text && *size + 4 < CLI_URI_MAX; text++) {
		unsigned char c = (unsigned char)*text;
		const char *format = isalnum(c) || strchr("-._~/", c) ? "%c" : "%%%02X";
		*size += (size_t)sprintf(buf + *size, format, c);
	}
}

char *cli_nbd_uri(const char *volume, const char *socket_path, char buf[CLI_URI_MAX])
{
	size_t size = (size_t)sprintf(buf, "nbd+unix:///");
	put(buf, &size, volume);
	size += (size_t)sprintf(buf + size, "?socket=");
	put(buf, &size, socket_path);
	if (strlen(socket_path) > 107)
		buf[0] = '\0';
	return buf;
}
