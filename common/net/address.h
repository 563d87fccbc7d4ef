/* SPDX-License-Identifier: MIT */
/* Addresses as the topology has them: "tcp://HOST:PORT", where HOST is a number, a name, an IPv6
 * number in brackets, or `*`. */
#ifndef DP_NET_ADDRESS_H
#define DP_NET_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>

/* The socket address, IPv4 first. 0 or DP_EINVAL (no such address, or the name is unknown now). */
int dp_address_resolve(const char *address, struct sockaddr_storage *out, socklen_t *size);

/* The same address in numbers, which is what libzmq can listen at; as it is where that fails. */
void dp_address_numeric(const char *address, char *out, size_t size);

#endif
