/* SPDX-License-Identifier: MIT */
#include "net/buffers.h"

#include <limits.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* The third number: as far as the kernel's own tuning goes. 0: unknown. */
static uint64_t tuned_max(int option)
{
	unsigned long long most = 0;
	FILE *f = fopen(option == SO_SNDBUF ? "/proc/sys/net/ipv4/tcp_wmem"
					    : "/proc/sys/net/ipv4/tcp_rmem",
		"re");
	if (!f)
		return 0;
	if (fscanf(f, "%*u %*u %llu", &most) != 1)
		most = 0;
	fclose(f);
	return most;
}

/* The size that a socket gets if it asks for `size`. */
static uint64_t granted_size(int option, int size)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), has = 0;
	socklen_t length = sizeof has;
	if (fd < 0)
		return 0;
	setsockopt(fd, SOL_SOCKET, option, &size, sizeof size);
	getsockopt(fd, SOL_SOCKET, option, &has, &length);
	close(fd);
	return has > 0 ? (uint64_t)has : 0;
}

int dp_socket_buffer(int option, uint64_t bytes)
{
	int size = bytes < INT_MAX / 2 ? (int)bytes : INT_MAX / 2; /* the kernel doubles it */
	uint64_t tuned = tuned_max(option);
	return tuned && granted_size(option, size) > tuned ? size : -1;
}
