/* SPDX-License-Identifier: MIT */
#include "net/address.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

#define SCHEME "tcp://"

/* "tcp://[::1]:7400" into "::1" and "7400". */
static int split_address(const char *address, char *host, size_t size, const char **port)
{
	const char *from = address + strlen(SCHEME), *colon = strrchr(address, ':');
	if (strncmp(address, SCHEME, strlen(SCHEME)) || !colon || colon < from)
		return DP_EINVAL;
	int length = (int)(colon - from);
	if (from[0] == '[') {
		from++;
		length -= 2;
	}
	*port = strcmp(colon + 1, "*") == 0 ? "0" : colon + 1;
	return length > 0 && snprintf(host, size, "%.*s", length, from) < (int)size ? 0 : DP_EINVAL;
}

static struct addrinfo *look_up(const char *address)
{
	char host[NI_MAXHOST];
	const char *port;
	struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_PASSIVE}, *found;
	if (split_address(address, host, sizeof host, &port))
		return NULL;
	bool any = strcmp(host, "*") == 0;
	hints.ai_family = strchr(host, ':') ? AF_INET6 : AF_INET;
	if (getaddrinfo(any ? NULL : host, port, &hints, &found) == 0)
		return found;
	hints.ai_family = AF_INET6;
	return getaddrinfo(any ? NULL : host, port, &hints, &found) == 0 ? found : NULL;
}

int dp_address_resolve(const char *address, struct sockaddr_storage *out, socklen_t *size)
{
	struct addrinfo *found = look_up(address);
	if (!found)
		return DP_EINVAL;
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*size = found->ai_addrlen;
	freeaddrinfo(found);
	return 0;
}

void dp_address_numeric(const char *address, char *out, size_t size)
{
	struct sockaddr_storage at;
	socklen_t at_size;
	char host[NI_MAXHOST], port[NI_MAXSERV];
	snprintf(out, size, "%s", address);
	if (dp_address_resolve(address, &at, &at_size) ||
		getnameinfo((struct sockaddr *)&at, at_size, host, sizeof host, port, sizeof port,
			NI_NUMERICHOST | NI_NUMERICSERV))
		return;
	snprintf(out, size, at.ss_family == AF_INET6 ? SCHEME "[%s]:%s" : SCHEME "%s:%s", host,
		port);
}
