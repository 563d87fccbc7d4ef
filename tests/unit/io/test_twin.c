/* SPDX-License-Identifier: MIT */
/* Two copies of each image: what fails on one side is not lost, and is made good at the next start.
 */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "io/disk_twin.h"
#include "memdisk.h"

#define SIZE   16384u
#define FIRST  "image"
#define SECOND "b/image"
#define MARKER ".single"

static struct memdisk *mem;
static struct dp_disk *twin;
static struct dp_file *file;
static unsigned alarms;
static int result;

static void on_alarm(void *ctx, const char *name, const char *text)
{
	(void)ctx;
	cr_assert(strcmp(name, FIRST) == 0 && text[0]);
	alarms++;
}

static int open_image(unsigned flags)
{
	bool created;
	cr_assert_eq(dp_disk_twin_new(&mem->base, "b", on_alarm, NULL, &twin), 0);
	return twin->ops->open(twin, FIRST, flags, SIZE, &file, &created);
}

static void begin(void)
{
	mem = memdisk_new();
	cr_assert_eq(open_image(DP_OPEN_CREATE), 0);
	cr_assert_eq(dp_disk_twin_single(twin), 0);
}

static void close_image(void)
{
	twin->ops->close(file);
	dp_disk_twin_destroy(&twin);
	cr_assert_eq(mem->opened, 0, "a copy is left open");
}

static void end(void)
{
	close_image();
	memdisk_free(mem);
}

static void reopen(void)
{
	close_image();
	mem->write_error = mem->read_error = 0;
	mem->bad = NULL;
	cr_assert_eq(open_image(0), 0);
}

static void on_done(struct dp_io *io, int err)
{
	(void)io;
	result = err;
}

static int submit(enum dp_io_op op, uint8_t *data, uint64_t offset)
{
	struct dp_io io = {.op = op,
		.file = file,
		.data = data,
		.size = 4096,
		.offset = offset,
		.done = on_done};
	result = 1;
	twin->ops->submit(twin, &io);
	memdisk_run(mem);
	return result;
}

static int put(uint8_t value, uint64_t offset)
{
	uint8_t data[4096];
	memset(data, value, sizeof data);
	int err = submit(DP_IO_WRITE, data, offset);
	return err ? err : submit(DP_IO_SYNC, NULL, 0);
}

static uint8_t get(uint64_t offset)
{
	uint8_t data[4096] = {0};
	cr_assert_eq(submit(DP_IO_READ, data, offset), 0);
	return data[100];
}

static uint8_t at(const char *name, uint64_t offset)
{
	uint8_t *bytes = memdisk_bytes(mem, name, NULL);
	cr_assert_not_null(bytes, "%s is not there", name);
	return bytes[offset];
}

/* The inner file of one side, to make it bad. */
static void break_side(const char *name)
{
	bool created;
	struct dp_file *f;
	cr_assert_eq(mem->base.ops->open(&mem->base, name, 0, SIZE, &f, &created), 0);
	mem->base.ops->close(f);
	mem->bad = f;
	mem->write_error = DP_EIO;
}

Test(twin, writes_to_both)
{
	begin();
	cr_assert_eq(put(7, 4096), 0);
	cr_assert(at(FIRST, 4096) == 7 && at(SECOND, 4096) == 7);
	cr_assert_eq(submit(DP_IO_ZERO, NULL, 4096), 0);
	cr_assert(at(FIRST, 4096) == 0 && at(SECOND, 4096) == 0);
	cr_assert_eq(alarms, 0);
	end();
}

static void check_failure_of(const char *bad, const char *good)
{
	begin();
	cr_assert_eq(put(7, 0), 0);
	break_side(bad);
	cr_assert_eq(put(8, 0), 0, "one failed copy is an error");
	cr_assert(alarms == 1 && dp_disk_twin_single(twin) == 1);
	cr_assert(at(good, 0) == 8 && at(bad, 0) == 7);
	cr_assert_eq(get(0), 8, "the stale copy is read");
	mem->write_error = 0; /* it seems to work again: nobody believes it */
	cr_assert_eq(put(9, 4096), 0);
	cr_assert_eq(at(bad, 4096), 0);
	reopen();
	cr_assert_eq(dp_disk_twin_single(twin), 0);
	cr_assert(at(bad, 0) == 8 && at(bad, 4096) == 9, "it is not made anew");
	cr_assert(get(0) == 8 && get(4096) == 9);
	reopen();
	cr_assert_eq(alarms, 2, "it is made anew again and again");
	end();
}

Test(twin, goes_on_without_the_second)
{
	check_failure_of(SECOND, FIRST);
}

Test(twin, goes_on_without_the_first)
{
	check_failure_of(FIRST, SECOND);
}

Test(twin, both_failed_is_an_error)
{
	begin();
	mem->write_error = DP_EIO;
	cr_assert_neq(put(8, 0), 0);
	end();
}

/* Without a durable marker a restart would take the stale copy for good. */
Test(twin, success_needs_the_marker)
{
	begin();
	break_side(SECOND);
	cr_assert_eq(put(8, 0), 0);
	cr_assert_not_null(memdisk_bytes(mem, FIRST MARKER, NULL));
	end();
}

Test(twin, a_copy_that_is_gone_is_made_anew)
{
	for (int side = 0; side < 2; side++) {
		begin();
		cr_assert_eq(put(7, 4096), 0);
		close_image();
		mem->base.ops->remove(&mem->base, side ? SECOND : FIRST);
		cr_assert_eq(open_image(0), 0);
		cr_assert(at(FIRST, 4096) == 7 && at(SECOND, 4096) == 7);
		cr_assert_eq(get(4096), 7);
		end();
	}
}

Test(twin, a_new_image_takes_nothing_from_an_old_copy)
{
	begin();
	cr_assert_eq(put(7, 4096), 0);
	close_image();
	mem->base.ops->remove(&mem->base, FIRST);
	cr_assert_eq(open_image(DP_OPEN_CREATE), 0);
	cr_assert(get(4096) == 0 && at(SECOND, 4096) == 0);
	end();
}

Test(twin, nothing_there_is_not_made)
{
	mem = memdisk_new();
	cr_assert_eq(open_image(0), DP_ENOENT);
	dp_disk_twin_destroy(&twin);
	cr_assert_eq(mem->opened, 0);
	memdisk_free(mem);
}

/* A crash while a copy was made anew: its marker is still there. */
Test(twin, an_unfinished_copy_does_not_count)
{
	begin();
	cr_assert_eq(put(7, 4096), 0);
	memdisk_put(mem, FIRST MARKER, (const uint8_t *)"", 0);
	memdisk_bytes(mem, SECOND, NULL)[4096] = 99;
	reopen();
	cr_assert_eq(at(SECOND, 4096), 7);
	cr_assert_null(memdisk_bytes(mem, FIRST MARKER, NULL));
	end();
}

Test(twin, remove_removes_both)
{
	begin();
	twin->ops->close(file);
	cr_assert_eq(twin->ops->remove(twin, FIRST), 0);
	cr_assert(!memdisk_bytes(mem, FIRST, NULL) && !memdisk_bytes(mem, SECOND, NULL));
	dp_disk_twin_destroy(&twin);
	memdisk_free(mem);
}
