/* SPDX-License-Identifier: MIT */
#include "topology/secret.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <zmq.h>

static bool read_line(FILE *f, char text[64])
{
	bool read = fgets(text, 64, f) != NULL;
	text[strcspn(text, "\n")] = '\0';
	return read && strlen(text) == DP_KEY_TEXT;
}

enum dp_secret_fault dp_secret_read(const char *path, struct dp_secret *out)
{
	char text[64] = "";
	struct stat st;
	memset(out, 0, sizeof *out);
	FILE *f = fopen(path, "re");
	if (!f)
		return DP_SECRET_MISSING;
	bool open = fstat(fileno(f), &st) || (st.st_mode & 077);
	bool good = read_line(f, text) && zmq_curve_public(out->public_key, text) == 0;
	fclose(f);
	if (good && !open)
		memcpy(out->secret, text, sizeof out->secret);
	else
		memset(out, 0, sizeof *out);
	sodium_memzero(text, sizeof text);
	return open ? DP_SECRET_OPEN : good ? DP_SECRET_GOOD : DP_SECRET_MALFORMED;
}

const char *dp_secret_fault_text(enum dp_secret_fault fault)
{
	static const char *const texts[] = {[DP_SECRET_GOOD] = "good",
		[DP_SECRET_MISSING] = "missing",
		[DP_SECRET_OPEN] = "others can read it; expected mode 0600",
		[DP_SECRET_MALFORMED] = "expected a Z85 secret key"};
	return texts[fault];
}
