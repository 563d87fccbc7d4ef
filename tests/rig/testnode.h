/* SPDX-License-Identifier: MIT */
/* A node inside the test: what the daemon's loop does, a turn at a time, on a disk in memory. */
#ifndef DP_TESTS_RIG_TESTNODE_H
#define DP_TESTS_RIG_TESTNODE_H

#include "memdisk.h"
#include "node/internal.h"

#define TEST_STREAM 77u
#define TEST_VOLUME 5u
#define TEST_SIZE   (1024 * 1024u) /* of the volume */

struct testnode {
	struct node n;
	struct dp_node_config cfg; /* one stream "s" with one volume "v"; the test adds to it */
	struct memdisk *disk;
	uint64_t ahead_us; /* its clock is so much ahead */
	bool disk_waits;   /* what is submitted stays so */
	unsigned alarms;
	enum dp_alarm alarm; /* the newest */
	/* Replies to requests of the test's own, whose tags point into here. */
	struct testreply {
		unsigned count;
		int err;
		uint64_t set;
		struct dp_buf *data;
	} replies[8];
};

struct testnode *testnode_new(const char *name, enum dp_core_role role);
void testnode_start(struct testnode *t); /* the stream; sockets are opened by the test */
void testnode_turn(struct testnode *t);
void testnode_free(struct testnode *t); /* closes all sockets too */

/* "tcp://127.0.0.1:PORT" that its router listens at. */
const char *testnode_address(struct testnode *t);

/* How many messages link `link` gathers now. */
unsigned testnode_held(const struct testnode *t, unsigned link);

#endif
