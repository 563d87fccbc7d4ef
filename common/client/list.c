/* SPDX-License-Identifier: MIT */
/* The controller's volumes: one question on a connection of its own. */
#include "client/client.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"

static int read_all(int fd, uint8_t *out, size_t size, uint64_t deadline_ms)
{
	while (size > 0) {
		uint64_t now = client_now_ms();
		if (now >= deadline_ms)
			return ETIMEDOUT;
		struct pollfd p = {.fd = fd, .events = POLLIN};
		poll(&p, 1, (int)(deadline_ms - now));
		ssize_t n = recv(fd, out, size, MSG_DONTWAIT);
		if (n == 0)
			return EIO;
		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return EIO;
		if (n > 0) {
			out += n;
			size -= (size_t)n;
		}
	}
	return 0;
}

static int ask(int fd)
{
	uint8_t out[DP_CHANNEL_REQUEST_SIZE];
	struct dp_channel_request request = {.type = DP_CHANNEL_LIST};
	dp_channel_request_encode(&request, out);
	return send(fd, out, sizeof out, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof out ? 0 : EIO;
}

/* Pointers first, then the texts they point to: one allocation. */
static int split(const char *text, size_t size, char ***names)
{
	size_t count = 0;
	if (size > 0 && text[size - 1] != 0)
		return EPROTO;
	for (size_t i = 0; i < size; i++)
		count += text[i] == 0;
	size_t pointers = (count + 1) * sizeof(char *);
	char **list = malloc(pointers + size);
	if (!list)
		return EIO;
	char *copy = (char *)list + pointers;
	if (size > 0)
		memcpy(copy, text, size);
	for (size_t i = 0; i < count; i++, copy += strlen(copy) + 1)
		list[i] = copy;
	list[count] = NULL;
	*names = list;
	return 0;
}

static int receive_names(int fd, uint64_t deadline_ms, char ***names)
{
	uint8_t header[DP_CHANNEL_REPLY_SIZE];
	struct dp_channel_reply reply;
	int error = read_all(fd, header, sizeof header, deadline_ms);
	if (error)
		return error;
	if (dp_channel_reply_decode(header, &reply) || reply.type != DP_CHANNEL_LIST ||
		reply.payload_len > DP_CHANNEL_LIST_MAX)
		return EPROTO;
	if (reply.error)
		return client_clean_error(reply.error);
	uint8_t *text = malloc(reply.payload_len + 1u);
	if (!text)
		return EIO;
	error = read_all(fd, text, reply.payload_len, deadline_ms);
	if (!error)
		error = split((const char *)text, reply.payload_len, names);
	free(text);
	return error;
}

static int list_once(const struct sockaddr_un *address, uint64_t deadline_ms, char ***names)
{
	int fd = client_open_socket(address);
	if (fd < 0)
		return EIO;
	int error = ask(fd);
	if (!error)
		error = receive_names(fd, deadline_ms, names);
	close(fd);
	return error;
}

/* Asks again, as a client connects again, until there is an answer. */
int dipole_list_volumes(const char *path, uint32_t timeout_ms, char ***names)
{
	struct sockaddr_un address;
	uint64_t deadline_ms = client_now_ms() + timeout_ms;
	*names = NULL;
	if (client_set_address(&address, path))
		return EINVAL;
	for (;;) {
		int error = list_once(&address, deadline_ms, names);
		if (error != EIO)
			return error;
		if (client_now_ms() + CLIENT_RETRY_FIRST_MS >= deadline_ms)
			return ETIMEDOUT;
		poll(NULL, 0, CLIENT_RETRY_FIRST_MS);
	}
}
