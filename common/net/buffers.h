/* SPDX-License-Identifier: MIT */
/* Socket buffers for long links: what is under way on one has to fit into them. */
#ifndef DP_NET_BUFFERS_H
#define DP_NET_BUFFERS_H

#include <stdint.h>

/* The size to ask for so that `bytes` fit, as SO_SNDBUF or SO_RCVBUF (`option`) of a TCP socket, or
 * -1: the kernel's own tuning reaches as far (tcp(7): tcp_wmem, tcp_rmem) as what it grants on
 * request (socket(7): wmem_max, rmem_max). */
int dp_socket_buffer(int option, uint64_t bytes);

#endif
