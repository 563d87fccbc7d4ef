/* SPDX-License-Identifier: MIT */
/* The real disk on a real directory, with io_uring and with the helper thread that stands in for
 * it: every test runs with both. Where the kernel forbids io_uring both are the helper. */
#include <criterion/criterion.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/limits.h"
#include "io/disk_real.h"

#define JOURNAL (DP_OPEN_CREATE | DP_OPEN_DURABLE)

#define BOTH(name)                                                                                 \
	static void name(void);                                                                    \
	Test(disk_uring, name, .init = with_uring, .fini = remove_scratch)                         \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	Test(disk_helper, name, .init = without_uring, .fini = remove_scratch)                     \
	{                                                                                          \
		name();                                                                            \
	}                                                                                          \
	static void name(void)

static char scratch[] = "/tmp/dipole-test-disk-XXXXXX";

static void with_uring(void)
{
	unsetenv("DIPOLE_NO_URING");
	cr_assert_not_null(mkdtemp(scratch));
}

static void without_uring(void)
{
	setenv("DIPOLE_NO_URING", "1", 1);
	cr_assert_not_null(mkdtemp(scratch));
}

static void remove_scratch(void)
{
	char command[64];
	snprintf(command, sizeof command, "rm -rf %s", scratch);
	cr_assert_eq(system(command), 0);
}

static char *path_of(const char *name)
{
	static char path[256];
	snprintf(path, sizeof path, "%s/%s", scratch, name);
	return path;
}

static struct stat stat_of(const char *name)
{
	struct stat st;
	cr_assert_eq(stat(path_of(name), &st), 0, "%s: %s", name, strerror(errno));
	return st;
}

static struct dp_disk *open_disk(void)
{
	struct dp_disk *d = NULL;
	cr_assert_eq(dp_disk_real_new(scratch, &d), 0);
	return d;
}

static struct dp_file *open_file(struct dp_disk *d, const char *name, unsigned flags, uint64_t size)
{
	struct dp_file *f = NULL;
	bool created;
	int err = d->ops->open(d, name, flags, size, &f, &created);
	cr_assert_eq(err, 0, "%s: %s", name, dp_strerror(err));
	return f;
}

static int try_open(struct dp_disk *d, const char *name, unsigned flags, uint64_t size)
{
	struct dp_file *f = NULL;
	bool created;
	int err = d->ops->open(d, name, flags, size, &f, &created);
	if (err == 0)
		d->ops->close(f);
	return err;
}

static struct dp_file *new_image(struct dp_disk *d, uint64_t size)
{
	return open_file(d, "image", DP_OPEN_CREATE, size);
}

static struct dp_file *new_journal(struct dp_disk *d, uint64_t size)
{
	return open_file(d, "journal", JOURNAL, size);
}

static void *aligned(size_t size, int fill)
{
	void *p = NULL;
	cr_assert_eq(posix_memalign(&p, DP_DISK_ALIGN, size), 0);
	memset(p, fill, size);
	return p;
}

/* As others see the file, past this process's descriptors of it. */
static void check_file(const char *name, const uint8_t *want, size_t size, uint64_t offset)
{
	uint8_t *have = malloc(size);
	int fd = open(path_of(name), O_RDONLY);
	cr_assert_geq(fd, 0);
	cr_assert_eq(pread(fd, have, size, (off_t)offset), (ssize_t)size);
	close(fd);
	for (size_t i = 0; i < size; i++)
		cr_assert_eq(have[i], want[i], "%s: byte %zu is %u instead of %u", name,
			(size_t)offset + i, have[i], want[i]);
	free(have);
}

static unsigned count_fds(void)
{
	unsigned count = 0;
	DIR *d = opendir("/proc/self/fd");
	while (readdir(d))
		count++;
	closedir(d);
	return count;
}

static double seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* ---- operations ---- */

struct op {
	struct dp_io io;
	unsigned done; /* how often */
	int err;
	unsigned place; /* among all that were done */
};

static unsigned done_count;

static void on_done(struct dp_io *io, int err)
{
	struct op *op = io->arg;
	op->done++;
	op->err = err;
	op->place = done_count++;
}

static void submit(struct dp_disk *d, struct op *op, enum dp_io_op what, struct dp_file *f,
	void *data, size_t size, uint64_t offset)
{
	*op = (struct op){.io = {.op = what,
				  .file = f,
				  .data = data,
				  .size = size,
				  .offset = offset,
				  .done = on_done,
				  .arg = op}};
	d->ops->submit(d, &op->io);
}

static bool readable(struct dp_disk *d, int timeout_ms)
{
	struct pollfd p = {.fd = dp_disk_real_fd(d), .events = POLLIN};
	return poll(&p, 1, timeout_ms) == 1;
}

/* What a node's loop does, until all of them are done. */
static void wait_all(struct dp_disk *d, struct op *ops, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		while (!ops[i].done) {
			if (!dp_disk_real_flush(d))
				cr_assert(readable(d, 10000), "no completion wakes the loop");
			dp_disk_real_complete(d);
		}
	}
}

static int run(struct dp_disk *d, enum dp_io_op what, struct dp_file *f, void *data, size_t size,
	uint64_t offset)
{
	struct op op;
	submit(d, &op, what, f, data, size, offset);
	wait_all(d, &op, 1);
	cr_assert_eq(op.done, 1);
	return op.err;
}

/* ---- opening ---- */

BOTH(a_journal_is_written_once_in_full)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f;
	bool created = false;
	uint64_t size = 3 * DP_MIB + 12288;
	int err = d->ops->open(d, "journal", JOURNAL, size, &f, &created);
	cr_assert(err == 0 && created);
	cr_assert_eq(d->ops->size(f), size);
	struct stat st = stat_of("journal");
	cr_assert_eq((uint64_t)st.st_size, size);
	cr_assert_geq((uint64_t)st.st_blocks * 512, size, "it has holes");
	cr_assert_eq(st.st_mode & 0777, 0600);
	uint8_t *zeros = calloc(1, size);
	check_file("journal", zeros, size, 0);
	free(zeros);
	d->ops->close(f);
	cr_assert_neq(access(path_of("journal.new"), F_OK), 0);
	dp_disk_real_destroy(&d);
}

BOTH(an_image_is_sparse)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_image(d, 5 * DP_GIB + 4096);
	cr_assert_eq(d->ops->size(f), 5 * DP_GIB + 4096);
	struct stat st = stat_of("image");
	cr_assert_eq((uint64_t)st.st_size, 5 * DP_GIB + 4096);
	cr_assert_lt((uint64_t)st.st_blocks * 512, DP_MIB);
	cr_assert_eq(st.st_mode & 0777, 0600);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
}

BOTH(what_exists_is_opened_as_it_is)
{
	struct dp_disk *d = open_disk();
	uint8_t *data = aligned(4096, 7);
	struct dp_file *f = new_journal(d, DP_MIB);
	cr_assert_eq(d->ops->write(f, data, 4096, 8192), 0);
	d->ops->close(f);
	bool created = true;
	/* Another size is for the caller to notice: the file is not touched. */
	int err = d->ops->open(d, "journal", JOURNAL, 2 * DP_MIB, &f, &created);
	cr_assert(err == 0 && !created);
	cr_assert_eq(d->ops->size(f), DP_MIB);
	d->ops->close(f);
	check_file("journal", data, 4096, 8192);
	free(data);
	dp_disk_real_destroy(&d);
}

BOTH(absent_files_are_not_made_unasked)
{
	struct dp_disk *d = open_disk();
	cr_assert_eq(try_open(d, "image", 0, 4096), DP_ENOENT);
	cr_assert_eq(try_open(d, "journal", DP_OPEN_DURABLE, 4096), DP_ENOENT);
	cr_assert_neq(access(path_of("image"), F_OK), 0);
	dp_disk_real_destroy(&d);
}

/* A crash while a file was made leaves a part under another name: it is made anew. */
BOTH(a_part_that_a_crash_left_is_not_taken)
{
	static const unsigned kinds[] = {DP_OPEN_CREATE, JOURNAL};
	static const char left[] = "what is left of an earlier attempt";
	uint8_t *zeros = calloc(1, DP_MIB);
	struct dp_disk *d = open_disk();
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i ? "journal" : "image", *part = i ? "journal.new" : "image.new";
		int fd = open(path_of(part), O_WRONLY | O_CREAT, 0600);
		for (unsigned n = 0; n < 300; n++)
			cr_assert_eq(write(fd, left, sizeof left), sizeof left);
		close(fd);
		struct dp_file *f = open_file(d, name, kinds[i], DP_MIB);
		check_file(name, zeros, DP_MIB, 0);
		cr_assert_neq(access(path_of(part), F_OK), 0);
		d->ops->close(f);
	}
	dp_disk_real_destroy(&d);
	free(zeros);
}

BOTH(an_absolute_path_is_opened_where_it_is)
{
	struct dp_disk *d = open_disk();
	char path[256];
	snprintf(path, sizeof path, "%s", path_of("sub"));
	cr_assert_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s", path_of("sub/disk"));
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	cr_assert_eq(ftruncate(fd, 8192), 0);
	close(fd);
	struct dp_file *f = open_file(d, path, 0, 0);
	cr_assert_eq(d->ops->size(f), 8192);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
}

/* Two daemons on one state directory: the second is refused, file by file, and does no harm. */
BOTH(one_opening_at_a_time)
{
	static const unsigned kinds[] = {DP_OPEN_CREATE, JOURNAL};
	struct dp_disk *a = open_disk(), *b = open_disk();
	uint8_t *data = aligned(4096, 9);
	for (unsigned i = 0; i < 2; i++) {
		const char *name = i ? "journal" : "image";
		struct dp_file *f = open_file(a, name, kinds[i], DP_MIB);
		cr_assert_eq(run(a, DP_IO_WRITE, f, data, 4096, 4096), 0);
		cr_assert_eq(try_open(b, name, kinds[i], DP_MIB), DP_EBUSY);
		cr_assert_eq(try_open(a, name, kinds[i], DP_MIB), DP_EBUSY);
		cr_assert_eq(try_open(b, name, kinds[1 - i], DP_MIB), DP_EBUSY);
		check_file(name, data, 4096, 4096);
		a->ops->close(f);
		cr_assert_eq(try_open(b, name, kinds[i], DP_MIB), 0);
	}
	dp_disk_real_destroy(&a);
	dp_disk_real_destroy(&b);
	free(data);
}

/* The same while the first is still writing the new journal in full, which takes a while. */
BOTH(one_maker_at_a_time)
{
	int fd = open(path_of("journal.new"), O_RDWR | O_CREAT, 0600);
	cr_assert_eq(write(fd, "zeros", 5), 5);
	cr_assert_eq(flock(fd, LOCK_EX | LOCK_NB), 0);
	struct dp_disk *d = open_disk();
	cr_assert_eq(try_open(d, "journal", JOURNAL, DP_MIB), DP_EBUSY);
	check_file("journal.new", (const uint8_t *)"zeros", 5, 0);
	cr_assert_neq(access(path_of("journal"), F_OK), 0);
	close(fd);
	cr_assert_eq(try_open(d, "journal", JOURNAL, DP_MIB), 0);
	dp_disk_real_destroy(&d);
}

/* Opens the new journal together with others, and keeps it until all have tried. Exits with 1 if
 * it had it to itself from the first byte to the last. */
static void be_one_of_many(int ready, int try, int over)
{
	struct dp_disk *d = NULL;
	struct dp_file *f = NULL;
	bool created;
	char byte = 0;
	uint8_t *mine = aligned(4096, 0), *back = aligned(4096, 0);
	memset(mine, (int)(getpid() % 255 + 1), 4096);
	if (dp_disk_real_new(scratch, &d) || write(ready, "", 1) != 1 || read(try, &byte, 1) < 0)
		_exit(2);
	int err = d->ops->open(d, "journal", JOURNAL, DP_MIB, &f, &created);
	if (!err && d->ops->write(f, mine, 4096, DP_MIB - 4096))
		_exit(2);
	if (write(ready, "", 1) != 1 || read(over, &byte, 1) < 0)
		_exit(2);
	if (!err && (d->ops->read(f, back, 4096, DP_MIB - 4096) || memcmp(mine, back, 4096)))
		_exit(2);
	_exit(err == DP_EBUSY ? 0 : err ? 2 : 1);
}

static int start_together(unsigned count)
{
	int ready[2], try[2], over[2], owners = 0;
	char byte;
	cr_assert(pipe(ready) == 0 && pipe(try) == 0 && pipe(over) == 0);
	for (unsigned i = 0; i < count; i++) {
		if (fork())
			continue;
		close(try[1]);
		close(over[1]);
		be_one_of_many(ready[1], try[0], over[0]);
	}
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(read(ready[0], &byte, 1), 1);
	close(try[1]); /* off they go */
	for (unsigned i = 0; i < count; i++)
		cr_assert_eq(read(ready[0], &byte, 1), 1);
	close(over[1]);
	for (unsigned i = 0; i < count; i++) {
		int status;
		cr_assert_gt(wait(&status), 0);
		cr_assert(WIFEXITED(status) && WEXITSTATUS(status) < 2, "its file is not its own");
		owners += WEXITSTATUS(status);
	}
	close(ready[0]);
	close(ready[1]);
	close(try[0]);
	close(over[0]);
	return owners;
}

BOTH(of_many_that_start_at_once_one_has_it)
{
	int rounds = 20, owned = 0;
	for (int i = 0; i < rounds; i++) {
		int owners = start_together(4);
		cr_assert_leq(owners, 1, "%d have the journal", owners);
		owned += owners;
		cr_assert_eq(unlink(path_of("journal")), 0);
	}
	cr_assert_gt(owned, rounds / 2); /* in a rare order each keeps the other out */
}

BOTH(a_directory_that_is_missing_or_none)
{
	char path[256];
	struct dp_disk *d = NULL;
	unsigned fds = count_fds();
	snprintf(path, sizeof path, "%s", path_of("none"));
	cr_assert_eq(dp_disk_real_new(path, &d), DP_ENOENT);
	cr_assert_null(d);
	close(open(path, O_WRONLY | O_CREAT, 0600));
	cr_assert_neq(dp_disk_real_new(path, &d), 0);
	cr_assert_null(d);
	cr_assert_eq(count_fds(), fds);
}

BOTH(closing_gives_everything_back)
{
	unsigned fds = count_fds();
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_journal(d, DP_MIB), *g = new_image(d, DP_MIB);
	cr_assert_eq(try_open(d, "journal", 0, 0), DP_EBUSY);
	cr_assert_eq(try_open(d, "none", 0, 0), DP_ENOENT);
	d->ops->close(f);
	d->ops->close(g);
	dp_disk_real_destroy(&d);
	cr_assert_null(d);
	dp_disk_real_destroy(&d);
	cr_assert_eq(count_fds(), fds);
}

/* ---- permissions and space ---- */

/* The superuser may write anywhere: nobody is asked. */
static void give_up_root(void)
{
	struct passwd *nobody = getpwnam("nobody");
	if (geteuid() == 0 && nobody)
		cr_assert_eq(seteuid(nobody->pw_uid), 0);
	if (geteuid() == 0)
		cr_skip_test("permissions mean nothing here");
}

static void take_root_back(void)
{
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
}

BOTH(a_directory_that_may_not_be_written)
{
	cr_assert_eq(mkdir(path_of("image"), 0700), 0); /* and a name that is no file */
	cr_assert_eq(chmod(scratch, 0555), 0);
	give_up_root();
	struct dp_disk *d = open_disk();
	cr_assert_eq(try_open(d, "journal", JOURNAL, DP_MIB), DP_EPERM);
	cr_assert_neq(try_open(d, "image", DP_OPEN_CREATE, DP_MIB), 0);
	dp_disk_real_destroy(&d);
	take_root_back();
	cr_assert_eq(chmod(scratch, 0700), 0);
}

BOTH(a_file_that_may_not_be_written)
{
	struct dp_disk *d = open_disk();
	d->ops->close(new_image(d, DP_MIB));
	d->ops->close(new_journal(d, DP_MIB));
	cr_assert_eq(chmod(path_of("image"), 0444), 0);
	cr_assert_eq(chmod(path_of("journal"), 0444), 0);
	give_up_root();
	cr_assert_eq(try_open(d, "image", DP_OPEN_CREATE, DP_MIB), DP_EPERM);
	cr_assert_eq(try_open(d, "journal", JOURNAL, DP_MIB), DP_EPERM);
	take_root_back();
	dp_disk_real_destroy(&d);
}

BOTH(a_directory_that_may_not_be_entered)
{
	struct dp_disk *d = NULL;
	cr_assert_eq(chmod(scratch, 0), 0);
	give_up_root();
	cr_assert_eq(dp_disk_real_new(scratch, &d), DP_EPERM);
	cr_assert_null(d);
	take_root_back();
	cr_assert_eq(chmod(scratch, 0700), 0);
}

/* What cannot be made in full leaves nothing that looks like it. */
BOTH(a_file_that_cannot_be_made)
{
	signal(SIGXFSZ, SIG_IGN);
	struct dp_disk *d = open_disk();
	struct rlimit unlimited, small;
	cr_assert_eq(getrlimit(RLIMIT_FSIZE, &unlimited), 0);
	small = (struct rlimit){.rlim_cur = DP_MIB, .rlim_max = unlimited.rlim_max};
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &small), 0);
	cr_assert_neq(try_open(d, "journal", JOURNAL, 2 * DP_MIB), 0);
	cr_assert_neq(try_open(d, "image", DP_OPEN_CREATE, 2 * DP_MIB), 0);
	cr_assert_eq(setrlimit(RLIMIT_FSIZE, &unlimited), 0);
	DIR *dir = opendir(scratch);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		cr_assert_eq(e->d_name[0], '.', "%s is left behind", e->d_name);
	closedir(dir);
	cr_assert_eq(try_open(d, "journal", JOURNAL, 2 * DP_MIB), 0);
	dp_disk_real_destroy(&d);
}

/* /dev/full has no space left, ever; a process's memory cannot be read at address 0. */
BOTH(errors_of_the_kernel_arrive)
{
	struct dp_disk *d = open_disk();
	uint8_t *data = aligned(4096, 1);
	struct dp_file *f = open_file(d, "/dev/full", 0, 0);
	cr_assert_eq(run(d, DP_IO_WRITE, f, data, 4096, 0), DP_ENOSPC);
	cr_assert_eq(run(d, DP_IO_WRITE, f, data, 100, 7), DP_ENOSPC);
	cr_assert_eq(d->ops->write(f, data, 4096, 0), DP_ENOSPC);
	cr_assert_neq(run(d, DP_IO_SYNC, f, NULL, 0, 0), 0); /* it has nothing to sync */
	d->ops->close(f);
	f = open_file(d, "/proc/self/mem", 0, 0);
	cr_assert_eq(run(d, DP_IO_READ, f, data, 4096, 0), DP_EIO);
	cr_assert_eq(d->ops->read(f, data, 4096, 0), DP_EIO);
	d->ops->close(f);
	free(data);
	dp_disk_real_destroy(&d);
}

/* ---- writing and reading ---- */

BOTH(durable_writes_come_back)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_journal(d, 8 * DP_MIB);
	uint8_t *data = aligned(4 * DP_MIB, 0), *back = aligned(4 * DP_MIB, 0);
	for (size_t i = 0; i < 4 * DP_MIB; i++)
		data[i] = (uint8_t)(i * 7 + i / 4096);
	static const size_t sizes[] = {4096, 16384, 20480, 65536, 4 * DP_MIB};
	for (unsigned i = 0; i < 5; i++) {
		uint64_t offset = 4096 * (i + 1);
		cr_assert_eq(run(d, DP_IO_WRITE, f, data, sizes[i], offset), 0);
		check_file("journal", data, sizes[i], offset);
		cr_assert_eq(run(d, DP_IO_READ, f, back, sizes[i], offset), 0);
		cr_assert_arr_eq(back, data, sizes[i]);
		data[0]++;
		cr_assert_eq(d->ops->write(f, data, sizes[i], offset), 0);
		check_file("journal", data, sizes[i], offset);
		memset(back, 0, sizes[i]);
		cr_assert_eq(d->ops->read(f, back, sizes[i], offset), 0);
		cr_assert_arr_eq(back, data, sizes[i]);
	}
	cr_assert_eq(d->ops->size(f), 8 * DP_MIB);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
	free(data);
	free(back);
}

/* That a write is durable at its completion cannot be seen without pulling the plug; that it is
 * asked for can. */
BOTH(durable_is_what_the_kernel_is_asked_for)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_journal(d, DP_MIB), *g = new_image(d, DP_MIB);
	unsigned journals = 0, images = 0;
	for (int fd = 0; fd < 1000; fd++) {
		char link[64], target[256] = "";
		snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
		if (readlink(link, target, sizeof target - 1) < 0)
			continue;
		int flags = fcntl(fd, F_GETFL);
		if (strcmp(target, path_of("journal")) == 0) {
			cr_assert_eq(flags & O_DSYNC, O_DSYNC);
			journals++;
		} else if (strcmp(target, path_of("image")) == 0) {
			cr_assert_eq(flags & O_DSYNC, 0);
			images++;
		}
	}
	cr_assert_eq(journals, 1);
	cr_assert_geq(images, 1);
	d->ops->close(f);
	d->ops->close(g);
	dp_disk_real_destroy(&d);
}

/* Writes and zeroes of any place and length, aligned ones among them, a batch at a time and none
 * over another, as the store does; each batch is read back before and after a sync. */
BOTH(images_take_any_place_and_length)
{
	enum { SIZE = 1 << 20, SLOT = 1 << 16, SLOTS = SIZE / SLOT };
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_image(d, SIZE);
	uint8_t *model = calloc(1, SIZE), *data = malloc(SIZE), *back = malloc(SIZE);
	struct op ops[SLOTS];
	srand(5);
	for (unsigned batch = 0; batch < 30; batch++) {
		for (unsigned i = 0; i < SLOTS; i++) {
			uint64_t align = rand() % 3 == 0 ? 4096 : rand() % 2 ? 512 : 1;
			uint64_t from = (uint64_t)rand() % (SLOT / 2) / align * align;
			uint64_t size = (1 + (uint64_t)rand() % (SLOT / 2)) / align * align;
			uint8_t *at = data + i * SLOT + from;
			bool zero = rand() % 4 == 0;
			size = size ? size : align;
			memset(at, zero ? 0 : 1 + rand() % 255, size);
			memcpy(model + i * SLOT + from, at, size);
			submit(d, &ops[i], zero ? DP_IO_ZERO : DP_IO_WRITE, f, zero ? NULL : at,
				size, i * SLOT + from);
		}
		wait_all(d, ops, SLOTS);
		for (unsigned i = 0; i < SLOTS; i++)
			cr_assert(ops[i].done == 1 && ops[i].err == 0);
		cr_assert_eq(run(d, DP_IO_READ, f, back, SIZE, 0), 0);
		cr_assert_arr_eq(back, model, SIZE);
		uint64_t odd = 1 + (uint64_t)rand() % 9999;
		cr_assert_eq(run(d, DP_IO_READ, f, back, SIZE - 2 * odd, odd), 0);
		cr_assert_arr_eq(back, model + odd, SIZE - 2 * odd);
		if (batch % 5 == 0)
			cr_assert_eq(run(d, DP_IO_SYNC, f, NULL, 0, 0), 0);
	}
	check_file("image", model, SIZE, 0);
	cr_assert_eq(d->ops->size(f), SIZE);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
	free(model);
	free(data);
	free(back);
}

BOTH(blocking_writes_of_images)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_image(d, DP_MIB);
	uint8_t data[1000], back[1000];
	memset(data, 3, sizeof data);
	cr_assert_eq(d->ops->write(f, data, sizeof data, 12345), 0);
	check_file("image", data, sizeof data, 12345);
	cr_assert_eq(d->ops->read(f, back, sizeof back, 12345), 0);
	cr_assert_arr_eq(back, data, sizeof data);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
}

BOTH(zeroing_gives_the_space_back)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_image(d, 4 * DP_MIB);
	uint8_t *data = aligned(4 * DP_MIB, 5);
	cr_assert_eq(run(d, DP_IO_WRITE, f, data, 4 * DP_MIB, 0), 0);
	cr_assert_eq(run(d, DP_IO_SYNC, f, NULL, 0, 0), 0);
	cr_assert_geq((uint64_t)stat_of("image").st_blocks * 512, 4 * DP_MIB);
	cr_assert_eq(run(d, DP_IO_ZERO, f, NULL, 3 * DP_MIB, 100), 0);
	memset(data + 100, 0, 3 * DP_MIB);
	check_file("image", data, 4 * DP_MIB, 0);
	cr_assert_lt((uint64_t)stat_of("image").st_blocks * 512, 2 * DP_MIB);
	cr_assert_eq(d->ops->size(f), 4 * DP_MIB);
	cr_assert_eq(run(d, DP_IO_ZERO, f, NULL, DP_MIB, 3 * DP_MIB), 0); /* up to the end */
	cr_assert_eq(d->ops->size(f), 4 * DP_MIB);
	d->ops->close(f);
	free(data);
	dp_disk_real_destroy(&d);
}

BOTH(beyond_the_end_of_a_file_are_zeros)
{
	struct dp_disk *d = open_disk();
	int fd = open(path_of("image"), O_RDWR | O_CREAT, 0600);
	cr_assert_eq(write(fd, "abcdef", 6), 6);
	close(fd);
	struct dp_file *f = open_file(d, "image", 0, 0);
	uint8_t back[4096];
	static const uint8_t want[4096] = "def";
	memset(back, 1, sizeof back);
	cr_assert_eq(run(d, DP_IO_READ, f, back, sizeof back, 3), 0);
	cr_assert_arr_eq(back, want, sizeof back);
	memset(back, 1, sizeof back);
	cr_assert_eq(d->ops->read(f, back, sizeof back, 3), 0);
	cr_assert_arr_eq(back, want, sizeof back);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
}

/* Where data may be: everything else is zeros. How exactly is the file system's matter. */
BOTH(data_is_found_between_holes)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_image(d, 64 * DP_MIB);
	uint64_t start, end;
	d->ops->next_data(f, 0, &start, &end);
	cr_assert_eq(start, 64 * DP_MIB, "an empty image has data at %u", (unsigned)start);
	uint8_t data[100];
	memset(data, 1, sizeof data);
	cr_assert_eq(d->ops->write(f, data, sizeof data, 20 * DP_MIB + 50), 0);
	cr_assert_eq(d->ops->write(f, data, sizeof data, 40 * DP_MIB), 0);
	d->ops->next_data(f, 0, &start, &end);
	cr_assert(start <= 20 * DP_MIB + 50 && end >= 20 * DP_MIB + 150);
	cr_assert(start > 0 && end <= 40 * DP_MIB, "holes are taken for data");
	d->ops->next_data(f, 20 * DP_MIB + 100, &start, &end); /* from within */
	cr_assert(start == 20 * DP_MIB + 100 && end >= 20 * DP_MIB + 150);
	d->ops->next_data(f, end, &start, &end);
	cr_assert(start <= 40 * DP_MIB && end > 40 * DP_MIB);
	d->ops->next_data(f, end, &start, &end);
	cr_assert_eq(start, 64 * DP_MIB);
	d->ops->next_data(f, 64 * DP_MIB, &start, &end);
	cr_assert_eq(start, 64 * DP_MIB);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
}

/* ---- completions ---- */

BOTH(completions_come_from_the_loop_only)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_journal(d, DP_MIB);
	uint8_t *data = aligned(65536, 1);
	cr_assert_not(readable(d, 0));
	cr_assert_eq(dp_disk_real_complete(d), 0);
	cr_assert_not(dp_disk_real_flush(d));
	struct op op;
	submit(d, &op, DP_IO_WRITE, f, data, 65536, 0);
	cr_assert_eq(op.done, 0);
	dp_disk_real_flush(d);
	cr_assert(readable(d, 10000));
	cr_assert_eq(op.done, 0, "done before the loop asked");
	cr_assert_eq(dp_disk_real_complete(d), 1);
	cr_assert(op.done == 1 && op.err == 0);
	cr_assert_not(readable(d, 20), "it goes on waking the loop");
	cr_assert_eq(dp_disk_real_complete(d), 0);
	cr_assert_eq(op.done, 1);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
	free(data);
}

/* A lone small durable write may be waited for, and is then told to be ready. */
BOTH(a_lone_write_is_told_right)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_journal(d, DP_MIB);
	uint8_t *data = aligned(4096, 1);
	for (unsigned i = 0; i < 50; i++) {
		struct op op;
		submit(d, &op, DP_IO_WRITE, f, data, 4096, i * 4096);
		if (dp_disk_real_flush(d)) {
			cr_assert_eq(op.done, 0);
			cr_assert_eq(dp_disk_real_complete(d), 1);
			cr_assert_eq(op.done, 1);
		}
		wait_all(d, &op, 1);
		cr_assert(op.done == 1 && op.err == 0);
	}
	d->ops->close(f);
	dp_disk_real_destroy(&d);
	free(data);
}

/* More at once than the ring has entries, and than the loop looks for in between. */
BOTH(many_at_once_are_each_done_once)
{
	enum { COUNT = 3000 };
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_image(d, COUNT * 512);
	static struct op ops[COUNT];
	uint8_t *data = malloc(COUNT * 512);
	for (unsigned i = 0; i < COUNT; i++) {
		memset(data + i * 512, (int)(i % 255 + 1), 512);
		submit(d, &ops[i], DP_IO_WRITE, f, data + i * 512, 512, i * 512);
	}
	wait_all(d, ops, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		cr_assert(ops[i].done == 1 && ops[i].err == 0);
	cr_assert_eq(done_count, COUNT);
	check_file("image", data, COUNT * 512, 0);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
	free(data);
}

struct chain {
	struct op op;
	struct dp_disk *disk;
	unsigned left;
};

static void next_of_chain(struct dp_io *io, int err)
{
	struct chain *c = io->arg;
	cr_assert_eq(err, 0);
	if (--c->left == 0) {
		c->op.done = 1;
		return;
	}
	io->offset += 4096;
	c->disk->ops->submit(c->disk, io);
}

BOTH(done_may_submit)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_journal(d, DP_MIB);
	uint8_t *data = aligned(4096, 8);
	struct chain c = {.disk = d, .left = 100};
	c.op.io = (struct dp_io){.op = DP_IO_WRITE,
		.file = f,
		.data = data,
		.size = 4096,
		.done = next_of_chain,
		.arg = &c};
	d->ops->submit(d, &c.op.io);
	wait_all(d, &c.op, 1);
	check_file("journal", data, 4096, 99 * 4096);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
	free(data);
}

/* The helper is one thread: what is submitted first is done first. */
Test(disk_helper, keeps_the_order, .init = without_uring, .fini = remove_scratch)
{
	enum { COUNT = 200 };
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_image(d, DP_MIB);
	struct op ops[COUNT];
	uint8_t data[COUNT];
	for (unsigned i = 0; i < COUNT; i++) {
		data[i] = (uint8_t)i;
		submit(d, &ops[i], i % 50 == 49 ? DP_IO_SYNC : DP_IO_WRITE, f, &data[i], 1, 7);
		if (i % 60 == 0 && readable(d, 5))
			dp_disk_real_complete(d);
	}
	wait_all(d, ops, COUNT);
	for (unsigned i = 0; i < COUNT; i++)
		cr_assert_eq(ops[i].place, i);
	check_file("image", &data[COUNT - 2], 1, 7);
	d->ops->close(f);
	dp_disk_real_destroy(&d);
}

/* ---- the delay for tests and benchmarks ---- */

#define DELAY_US 60000

static double time_of(struct dp_disk *d, enum dp_io_op what, struct dp_file *f, void *data)
{
	double start = seconds();
	cr_assert_eq(run(d, what, f, data, 4096, 4096), 0);
	return seconds() - start;
}

BOTH(a_delay_slows_down_what_is_durable)
{
	struct dp_disk *d = open_disk();
	struct dp_file *f = new_journal(d, DP_MIB), *g = new_image(d, DP_MIB);
	uint8_t *data = aligned(4096, 6), *back = aligned(4096, 0);
	dp_disk_real_delay(d, DELAY_US);
	cr_assert_geq(time_of(d, DP_IO_WRITE, f, data), DELAY_US / 1e6);
	check_file("journal", data, 4096, 4096);
	cr_assert_geq(time_of(d, DP_IO_SYNC, g, NULL), DELAY_US / 1e6);
	/* The quickest of some: others use the machine too. */
	double write = 1, read = 1;
	for (unsigned i = 0; i < 5; i++) {
		double w = time_of(d, DP_IO_WRITE, g, data), r = time_of(d, DP_IO_READ, f, back);
		write = w < write ? w : write;
		read = r < read ? r : read;
	}
	cr_assert_arr_eq(back, data, 4096);
	cr_assert_lt(write, DELAY_US / 1e6, "writes of images wait too");
	cr_assert_lt(read, DELAY_US / 1e6, "reads wait too");
	d->ops->close(f);
	d->ops->close(g);
	dp_disk_real_destroy(&d);
	free(data);
	free(back);
}
