/* SPDX-License-Identifier: MIT */
/* NBD URIs of volumes. */
#ifndef DP_CONTROLLER_VERBS_URI_H
#define DP_CONTROLLER_VERBS_URI_H

/* A Unix socket's path has at most 107 bytes, each written as up to three. */
#define VERB_URI_MAX 512

/* "nbd+unix:///VOLUME?socket=PATH", with what is special in a URI written as %XX. Returns buf, an
 * empty string if the path is too long for a socket. */
char *verb_nbd_uri(const char *volume, const char *socket_path, char buf[VERB_URI_MAX]);

#endif
