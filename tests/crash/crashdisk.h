/* SPDX-License-Identifier: MIT */
/* A disk in memory that writes down, in order, all that is done to it: what is begun and what is
 * over, with content. What a crash may leave at any moment follows from that (explore.h). Calls can
 * be made to fail.
 *
 * As on memdisk, below it, what is submitted waits until the test lets it happen. */
#ifndef DP_TESTS_CRASH_CRASHDISK_H
#define DP_TESTS_CRASH_CRASHDISK_H

#include "memdisk.h"

#define CRASH_FILES 16
#define CRASH_NEVER UINT32_MAX

/* A file of the log. One that is removed and made anew is another. */
struct crash_file {
	char name[64];
	uint64_t size;
	bool exists;    /* when the log begins */
	bool durable;   /* each write of it is, once it is over */
	uint8_t *bytes; /* when the log begins; NULL: zeros */
};

struct crash_files {
	struct crash_file file[CRASH_FILES];
	unsigned count;
};

enum crash_op_kind { CRASH_WRITE, CRASH_SYNC, CRASH_CREATE, CRASH_REMOVE };

/* Moments count the events of the log: at moment n the first n have happened. */
struct crash_op {
	enum crash_op_kind kind;
	unsigned file;
	uint64_t offset, size;
	uint8_t *data;        /* NULL: zeros */
	uint32_t begun, over; /* moments; over: CRASH_NEVER if it was still under way */
	int err;
};

/* What the test says of a moment: for its checks. */
struct crash_note {
	unsigned kind;
	bool promise; /* more must be there from now on; else no more than before */
	uint64_t value;
};

struct crash_event {
	enum { CRASH_BEGUN, CRASH_OVER, CRASH_NOTED } type;
	uint32_t op;
	struct crash_note note;
};

struct crash_log {
	struct crash_files files;
	struct crash_op *ops;
	struct crash_event *events;
	uint32_t op_count, op_capacity, event_count, event_capacity;
};

struct crashdisk {
	struct dp_disk base;
	struct memdisk *mem;
	struct crash_log log;
	bool dead;
	/* Of the calls (open, remove, read, write, submit) that number fail_at fails, counted from
	 * 0, and with fail_on all after it. */
	uint32_t calls, fail_at;
	bool fail_on;
	uint32_t failed; /* how many did */
};

struct crashdisk *crashdisk_new(void);
void crashdisk_free(struct crashdisk *d);

/* Begins anew with these files, an empty log and nothing that fails. None may be open. Their bytes
 * are borrowed as long as the log is used. */
void crashdisk_load(struct crashdisk *d, const struct crash_files *files);

void crashdisk_note(struct crashdisk *d, unsigned kind, bool promise, uint64_t value);

/* Carries out one of those that wait, `which` of them. */
uint32_t crashdisk_waiting(const struct crashdisk *d);
void crashdisk_step(struct crashdisk *d, uint32_t which);
void crashdisk_run(struct crashdisk *d); /* all, also those that follow */

/* The node dies: what waits never happens. All of it ends in an error, and so does what is asked
 * for from now on, so that its owner can be closed; none of that is written down. */
void crashdisk_die(struct crashdisk *d);

/* The moment when `op` was durable, for good; CRASH_NEVER: it was not. */
uint32_t crash_safe(const struct crash_log *log, const struct crash_op *op);
void crash_print(const struct crash_log *log, const char *const *notes); /* their names by kind */

#endif
