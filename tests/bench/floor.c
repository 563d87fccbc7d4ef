/* SPDX-License-Identifier: MIT */
/* The floor under any durable two-site write: a bare TCP round trip (4 KiB out, 32 B back) on
 * loopback, between two cores, plus a bare durable write of one journal sector group, p50 of each
 * in microseconds. The round trip has two wake-ups of a sleeping core in it: what they cost here.
 * With `serve ADDRESS` and `ping ADDRESS` the round trip alone, between two places. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUNDS     3000
#define FAR_ROUNDS 200 /* where distance makes each long */
#define FAR_PORT   7399
#define FAR_TRIES  500
#define FILE_SIZE  (64 << 20)
#define BLOCK      8192 /* what a 4 KiB record takes of a journal */

static double now_us(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return x < y ? -1 : x > y;
}

static double median(double *samples, int count)
{
	qsort(samples, (size_t)count, sizeof *samples, compare);
	return samples[count / 2];
}

static void transfer(int fd, char *data, size_t size, ssize_t (*call)(int, void *, size_t))
{
	while (size) {
		ssize_t n = call(fd, data, size);
		if (n <= 0)
			exit(1);
		data += n;
		size -= (size_t)n;
	}
}

static ssize_t put(int fd, void *data, size_t size)
{
	return write(fd, data, size);
}

static void echo(int fd, int rounds)
{
	char data[4096];
	for (int i = 0; i < rounds; i++) {
		transfer(fd, data, 4096, read);
		transfer(fd, data, 32, put);
	}
	exit(0);
}

static void stay_on(int core)
{
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET((size_t)core, &set);
	sched_setaffinity(0, sizeof set, &set); /* with one core only: as it is */
}

static int listen_at(struct sockaddr_in *a)
{
	socklen_t size = sizeof *a;
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(fd, (struct sockaddr *)a, size) || listen(fd, 1) ||
		getsockname(fd, (struct sockaddr *)a, &size))
		exit(1);
	return fd;
}

static void no_delay(int fd)
{
	int one = 1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static double ping(int fd, int rounds)
{
	static double samples[ROUNDS];
	char data[4096] = {0};
	for (int i = 0; i < rounds; i++) {
		double start = now_us();
		transfer(fd, data, 4096, put);
		transfer(fd, data, 32, read);
		samples[i] = now_us() - start;
	}
	return median(samples, rounds);
}

static double tcp_round_trip(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = listen_at(&a), fd = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fd, (struct sockaddr *)&a, sizeof a))
		exit(1);
	int other = accept(listener, NULL, NULL);
	no_delay(fd);
	no_delay(other);
	if (fork() == 0) {
		stay_on(1);
		echo(other, ROUNDS);
	}
	stay_on(0);
	double us = ping(fd, ROUNDS);
	wait(NULL);
	return us;
}

/* The same to another place, for which this program runs there with `serve`. */
static int far(const char *what, const char *address)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(FAR_PORT)};
	int fd;
	if (inet_pton(AF_INET, address, &a.sin_addr) != 1)
		return 64;
	if (strcmp(what, "serve") == 0) {
		fd = accept(listen_at(&a), NULL, NULL);
		no_delay(fd);
		echo(fd, FAR_ROUNDS);
	}
	for (int left = FAR_TRIES; (fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0 &&
		connect(fd, (struct sockaddr *)&a, sizeof a);
		left--) {
		close(fd);
		if (left == 0)
			return 1;
		usleep(10000); /* it is being started there */
	}
	no_delay(fd);
	printf("{\"tcp_round_trip_us\": %.1f}\n", ping(fd, FAR_ROUNDS));
	return 0;
}

static double durable_write(const char *dir)
{
	static double samples[ROUNDS];
	char path[4096];
	void *data;
	snprintf(path, sizeof path, "%s/floor.journal", dir);
	int fd = open(path, O_RDWR | O_CREAT | O_DIRECT | O_DSYNC, 0600);
	if (fd < 0 || posix_memalign(&data, 4096, 1 << 20))
		exit(1);
	memset(data, 1, 1 << 20);
	for (off_t at = 0; at < FILE_SIZE; at += 1 << 20)
		if (pwrite(fd, data, 1 << 20, at) != 1 << 20)
			exit(1);
	for (int i = 0; i < ROUNDS; i++) {
		double start = now_us();
		if (pwrite(fd, data, BLOCK, (off_t)i * BLOCK) != BLOCK)
			exit(1);
		samples[i] = now_us() - start;
	}
	close(fd);
	unlink(path);
	return median(samples, ROUNDS);
}

int main(int argc, char **argv)
{
	if (argc == 3)
		return far(argv[1], argv[2]);
	double tcp = tcp_round_trip(), disk = durable_write(argc > 1 ? argv[1] : ".");
	printf("{\"tcp_round_trip_us\": %.1f, \"durable_write_us\": %.1f, \"floor_us\": %.1f}\n",
		tcp, disk, tcp + disk);
	return 0;
}
