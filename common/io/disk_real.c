/* SPDX-License-Identifier: MIT */
#include "io/disk_real.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <liburing.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <linux/fs.h>

#include "base/err.h"
#include "base/limits.h"

#define RING_ENTRIES 512u
#define LONE_SIZE    16384u /* bytes */
#define LONE_WAIT_NS 300000

struct dp_file {
	int fd;
	int direct_fd; /* of an image: for aligned writes, past the page cache; -1: none */
	bool durable;
	bool block_device;
	struct real *disk;
};

struct job {
	struct dp_io *io;
	int err;
	struct job *next;
};

struct real;

/* What io_uring does not do: threads that work off one operation after the other. */
struct helper {
	struct real *disk;
	pthread_t thread;
	bool started;
	pthread_cond_t wake;
	struct job *todo, **todo_end;
};

/* Journals have one of their own: a commit does not wait for images. */
enum { FOR_JOURNALS, FOR_IMAGES, HELPERS };

struct real {
	struct dp_disk base;
	int dir;
	int event;
	struct io_uring ring;
	bool uring;
	struct __kernel_timespec delay;
	unsigned pending; /* in the ring, not yet submitted */
	bool lone;        /* the last of them is a small durable write, and no other is under way */
	unsigned durable_writes; /* in the ring */
	struct helper helpers[HELPERS];
	pthread_mutex_t lock; /* of what helpers have to do, and have done */
	struct job *ready;
	bool stop;
};

static int last_error(void)
{
	return dp_err_from_errno(errno);
}

static int run_all(int fd, bool write, void *data, size_t size, uint64_t offset)
{
	uint8_t *p = data;
	while (size) {
		ssize_t n = write ? pwrite(fd, p, size, (off_t)offset)
				  : pread(fd, p, size, (off_t)offset);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return last_error();
		if (n == 0) {
			if (write)
				return DP_EIO;
			memset(p, 0, size); /* beyond the end of a sparse image */
			return 0;
		}
		p += n;
		size -= (size_t)n;
		offset += (uint64_t)n;
	}
	return 0;
}

static int write_zeros(int fd, uint64_t offset, uint64_t size)
{
	size_t piece = DP_MIB;
	void *zeros = NULL;
	if (posix_memalign(&zeros, DP_DISK_ALIGN, piece))
		return DP_ENOMEM;
	memset(zeros, 0, piece);
	int err = 0;
	for (; size && !err; offset += piece, size -= piece) {
		if (piece > size)
			piece = (size_t)size;
		err = run_all(fd, true, zeros, piece, offset);
	}
	free(zeros);
	return err;
}

static int zero_range(struct dp_file *file, uint64_t offset, uint64_t size)
{
	int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
	if (fallocate(file->fd, mode, (off_t)offset, (off_t)size) == 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EINVAL)
		return last_error();
	return write_zeros(file->fd, offset, size);
}

/* Of the directory that `name` stands in. */
static int sync_dir(struct real *d, const char *name)
{
	char path[PATH_MAX];
	const char *slash = strrchr(name, '/');
	if (!slash)
		return fsync(d->dir) ? last_error() : 0;
	snprintf(path, sizeof path, "%.*s", (int)(slash - name + 1), name);
	int fd = openat(d->dir, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int err = fd < 0 || fsync(fd) ? last_error() : 0;
	if (fd >= 0)
		close(fd);
	return err;
}

/* A journal is written once in full, so that later commits change no metadata. */
static int fill_new(int fd, unsigned flags, uint64_t size)
{
	int err = 0;
	if (ftruncate(fd, (off_t)size))
		return last_error();
	bool reserved = (flags & DP_OPEN_SOON) && fallocate(fd, 0, 0, (off_t)size) == 0;
	if ((flags & DP_OPEN_DURABLE) && !reserved)
		err = write_zeros(fd, 0, size);
	if (!err && fsync(fd))
		err = last_error();
	return err;
}

/* Whether the new file at `temporary` is ours to fill and to give its name. Of several processes
 * that start at once one makes it: no other writes to it or puts its own in its place. */
static int claim(struct real *d, int fd, const char *temporary, const char *name)
{
	struct stat ours, there;
	if (flock(fd, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? DP_EBUSY : last_error();
	if (fstat(fd, &ours))
		return last_error();
	if (fstatat(d->dir, temporary, &there, 0) || there.st_ino != ours.st_ino ||
		fstatat(d->dir, name, &there, 0) == 0)
		return DP_EBUSY; /* made since we looked for it */
	return ftruncate(fd, 0) ? last_error() : 0;
}

/* Creates under a temporary name: a crash half way leaves no file that looks complete. */
static int create_file(struct real *d, const char *name, unsigned flags, uint64_t size)
{
	char temporary[PATH_MAX];
	snprintf(temporary, sizeof temporary, "%s.new", name);
	int fd = openat(d->dir, temporary, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return last_error();
	int err = claim(d, fd, temporary, name);
	if (err) {
		close(fd);
		return err;
	}
	err = fill_new(fd, flags, size);
	if (!err)
		err = sync_dir(d, name);
	if (!err && renameat(d->dir, temporary, d->dir, name))
		err = last_error();
	if (err)
		unlinkat(d->dir, temporary, 0);
	close(fd); /* only now may another take it */
	return err ? err : sync_dir(d, name);
}

static int open_existing(struct real *d, const char *name, unsigned flags)
{
	int mode = O_RDWR | O_CLOEXEC;
	if (!(flags & DP_OPEN_DURABLE))
		return openat(d->dir, name, mode);
	int fd = openat(d->dir, name, mode | O_DIRECT | O_DSYNC);
	if (fd >= 0 || errno != EINVAL)
		return fd;
	fd = openat(d->dir, name, mode | O_DSYNC); /* a file system without direct I/O */
	if (fd >= 0) /* what a failed write left in the page cache is not on the disk */
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	return fd;
}

static int real_open(struct dp_disk *disk, const char *name, unsigned flags, uint64_t size,
	struct dp_file **out, bool *created)
{
	struct real *d = (struct real *)disk;
	*created = false;
	int fd = open_existing(d, name, flags);
	if (fd < 0 && errno == ENOENT && (flags & DP_OPEN_CREATE)) {
		int err = create_file(d, name, flags, size);
		if (err)
			return err;
		*created = true;
		fd = open_existing(d, name, flags);
	}
	if (fd < 0)
		return last_error();
	struct stat st;
	struct dp_file *file = calloc(1, sizeof *file);
	if (!file || fstat(fd, &st) || flock(fd, LOCK_EX | LOCK_NB)) {
		int err = !file ? DP_ENOMEM : errno == EWOULDBLOCK ? DP_EBUSY : last_error();
		free(file);
		close(fd);
		return err;
	}
	if (flags & DP_OPEN_GROW && S_ISBLK(st.st_mode)) { /* who knows what stands there */
		free(file);
		close(fd);
		return DP_EINVAL;
	}
	bool grow = flags & DP_OPEN_GROW && S_ISREG(st.st_mode) && (uint64_t)st.st_size < size;
	if (grow && (ftruncate(fd, (off_t)size) || fsync(fd))) {
		int err = last_error();
		free(file);
		close(fd);
		return err;
	}
	int direct = flags & DP_OPEN_DURABLE ? -1
					     : openat(d->dir, name, O_RDWR | O_CLOEXEC | O_DIRECT);
	*file = (struct dp_file){.fd = fd,
		.direct_fd = direct,
		.durable = flags & DP_OPEN_DURABLE,
		.disk = d,
		.block_device = S_ISBLK(st.st_mode)};
	*out = file;
	return 0;
}

static void real_close(struct dp_file *file)
{
	close(file->fd);
	if (file->direct_fd >= 0)
		close(file->direct_fd);
	free(file);
}

static int real_remove(struct dp_disk *disk, const char *name)
{
	struct real *d = (struct real *)disk;
	if (unlinkat(d->dir, name, 0))
		return errno == ENOENT ? 0 : last_error();
	return sync_dir(d, name);
}

static int real_rename(struct dp_disk *disk, const char *from, const char *to)
{
	struct real *d = (struct real *)disk;
	if (renameat(d->dir, from, d->dir, to))
		return last_error();
	return sync_dir(d, to);
}

static uint64_t real_size(struct dp_file *file)
{
	struct stat st;
	uint64_t size = 0;
	if (file->block_device)
		return ioctl(file->fd, BLKGETSIZE64, &size) ? 0 : size;
	return fstat(file->fd, &st) ? 0 : (uint64_t)st.st_size;
}

static int real_read(struct dp_file *file, void *data, size_t size, uint64_t offset)
{
	return run_all(file->fd, false, data, size, offset);
}

static int real_write(struct dp_file *file, const void *data, size_t size, uint64_t offset)
{
	int err = run_all(file->fd, true, (void *)(uintptr_t)data, size, offset);
	if (!err && !file->durable && fdatasync(file->fd))
		err = last_error();
	return err;
}

static void real_next_data(struct dp_file *file, uint64_t offset, uint64_t *start, uint64_t *end)
{
	uint64_t size = real_size(file);
	off_t data = lseek(file->fd, (off_t)offset, SEEK_DATA);
	off_t hole = data < 0 ? -1 : lseek(file->fd, data, SEEK_HOLE);
	bool unknown = data < 0 && errno != ENXIO;
	*start = unknown ? offset : data < 0 ? size : (uint64_t)data;
	*end = unknown || hole < 0 ? size : (uint64_t)hole;
}

/* ---- the helpers ---- */

/* Injected: a slower disk, for benchmarks. */
static bool is_delayed(const struct real *d, const struct dp_io *io)
{
	bool makes_durable = io->op == DP_IO_SYNC || (io->op == DP_IO_WRITE && io->file->durable);
	return makes_durable && (d->delay.tv_sec || d->delay.tv_nsec);
}

static int run_blocking(struct real *d, struct dp_io *io)
{
	int err = 0;
	switch (io->op) {
	case DP_IO_READ:
		return run_all(io->file->fd, false, io->data, io->size, io->offset);
	case DP_IO_WRITE:
		err = run_all(io->file->fd, true, io->data, io->size, io->offset);
		break;
	case DP_IO_SYNC:
		err = fdatasync(io->file->fd) ? last_error() : 0;
		break;
	case DP_IO_ZERO:
		err = zero_range(io->file, io->offset, io->size);
		break;
	}
	if (is_delayed(d, io))
		nanosleep(&(struct timespec){d->delay.tv_sec, d->delay.tv_nsec}, NULL);
	return err;
}

static void signal_event(struct real *d)
{
	uint64_t one = 1;
	ssize_t n = write(d->event, &one, sizeof one);
	(void)n; /* the counter cannot overflow: it is read before it is next waited for */
}

static void *help(void *arg)
{
	struct helper *h = arg;
	struct real *d = h->disk;
	pthread_mutex_lock(&d->lock);
	while (!d->stop) {
		struct job *job = h->todo;
		if (!job) {
			pthread_cond_wait(&h->wake, &d->lock);
			continue;
		}
		h->todo = job->next;
		if (!h->todo)
			h->todo_end = &h->todo;
		pthread_mutex_unlock(&d->lock);
		job->err = run_blocking(d, job->io);
		pthread_mutex_lock(&d->lock);
		job->next = d->ready;
		d->ready = job;
		signal_event(d);
	}
	pthread_mutex_unlock(&d->lock);
	return NULL;
}

static void submit_job(struct real *d, struct dp_io *io)
{
	struct job *job = malloc(sizeof *job);
	if (!job)
		abort(); /* no way to report it that needs no memory */
	*job = (struct job){.io = io};
	struct helper *h = &d->helpers[io->file->durable ? FOR_JOURNALS : FOR_IMAGES];
	pthread_mutex_lock(&d->lock);
	*h->todo_end = job;
	h->todo_end = &job->next;
	pthread_cond_signal(&h->wake);
	pthread_mutex_unlock(&d->lock);
}

static int start_helpers(struct real *d)
{
	for (unsigned i = 0; i < HELPERS; i++) {
		struct helper *h = &d->helpers[i];
		h->disk = d;
		h->todo_end = &h->todo;
		pthread_cond_init(&h->wake, NULL);
		h->started = pthread_create(&h->thread, NULL, help, h) == 0;
		if (!h->started)
			return DP_ENOMEM;
	}
	return 0;
}

static void stop_helpers(struct real *d)
{
	pthread_mutex_lock(&d->lock);
	d->stop = true;
	pthread_mutex_unlock(&d->lock);
	for (unsigned i = 0; i < HELPERS; i++) {
		if (!d->helpers[i].started)
			continue;
		pthread_cond_signal(&d->helpers[i].wake);
		pthread_join(d->helpers[i].thread, NULL);
	}
}

static unsigned complete_jobs(struct real *d)
{
	pthread_mutex_lock(&d->lock);
	struct job *job = d->ready, *ordered = NULL;
	d->ready = NULL;
	pthread_mutex_unlock(&d->lock);
	while (job) { /* oldest first */
		struct job *next = job->next;
		job->next = ordered;
		ordered = job;
		job = next;
	}
	unsigned count = 0;
	for (; ordered; count++) {
		struct job *done = ordered;
		ordered = done->next;
		done->io->done(done->io, done->err);
		free(done);
	}
	return count;
}

/* ---- io_uring ---- */

/* Image writes go past the page cache where they are aligned: a later sync then has next to
 * nothing to do, and does not hold up the journal's commits on the same disk. */
static int write_fd(struct dp_io *io, const void **data)
{
	bool aligned = (io->offset | io->size) % DP_DISK_ALIGN == 0;
	*data = io->data;
	if (io->file->durable || io->file->direct_fd < 0 || !aligned ||
		posix_memalign(&io->private, DP_DISK_ALIGN, io->size))
		return io->file->fd;
	memcpy(io->private, io->data, io->size);
	*data = io->private;
	return io->file->direct_fd;
}

static void prepare(struct io_uring_sqe *sqe, struct dp_io *io)
{
	int fd = io->file->fd;
	const void *data;
	switch (io->op) {
	case DP_IO_READ:
		io_uring_prep_read(sqe, fd, io->data, (unsigned)io->size, io->offset);
		break;
	case DP_IO_WRITE:
		fd = write_fd(io, &data);
		io_uring_prep_write(sqe, fd, data, (unsigned)io->size, io->offset);
		break;
	default:
		io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
	}
	io_uring_sqe_set_data(sqe, io);
}

/* For an operation and the delay before it. */
static bool make_room(struct real *d)
{
	if (io_uring_sq_space_left(&d->ring) < 2)
		dp_disk_real_flush(&d->base);
	return io_uring_sq_space_left(&d->ring) >= 2;
}

/* The next operation begins only when this time is over, as on a disk that is that much slower. */
static void prepare_delay(struct real *d)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&d->ring);
	io_uring_prep_timeout(sqe, &d->delay, 0, IORING_TIMEOUT_ETIME_SUCCESS);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
	io_uring_sqe_set_data(sqe, NULL); /* if it fails, so does what it is linked to */
	d->pending++;
}

static void real_submit(struct dp_disk *disk, struct dp_io *io)
{
	struct real *d = (struct real *)disk;
	struct io_uring_sqe *sqe = NULL;
	/* Zeroing may have to fall back to writing, which the helpers know how to do. */
	if (d->uring && io->op != DP_IO_ZERO && make_room(d)) {
		if (is_delayed(d, io))
			prepare_delay(d);
		sqe = io_uring_get_sqe(&d->ring);
	}
	if (!sqe) {
		submit_job(d, io);
		return;
	}
	io->private = NULL;
	prepare(sqe, io);
	d->pending++;
	bool durable = io->op == DP_IO_WRITE && io->file->durable;
	d->durable_writes += durable;
	d->lone = durable && io->size <= LONE_SIZE && d->durable_writes == 1;
}

bool dp_disk_real_flush(struct dp_disk *disk)
{
	struct real *d = (struct real *)disk;
	bool lone = d->lone && d->pending == 1;
	d->lone = false;
	int taken = d->pending ? io_uring_submit(&d->ring) : -1;
	if (taken < 0)
		return false;
	d->pending -= (unsigned)taken; /* the kernel may have taken a part only */
	struct __kernel_timespec limit = {.tv_nsec = LONE_WAIT_NS};
	struct io_uring_cqe *cqe;
	return lone && io_uring_wait_cqe_timeout(&d->ring, &cqe, &limit) == 0;
}

/* What the ring says of one operation; short transfers are finished by hand. */
static int finish(struct dp_io *io, int result)
{
	/* EINVAL: a device with larger sectors than our alignment; the page cache takes it. */
	bool retry = result == -EINTR || result == -EAGAIN || (result == -EINVAL && io->private);
	if (result < 0 && !retry)
		return dp_err_from_errno(-result);
	size_t did = result > 0 ? (size_t)result : 0;
	if (io->op == DP_IO_SYNC)
		return result < 0 ? DP_EIO : 0;
	if (did == io->size)
		return 0;
	return run_all(io->file->fd, io->op == DP_IO_WRITE, (uint8_t *)io->data + did,
		io->size - did, io->offset + did);
}

unsigned dp_disk_real_complete(struct dp_disk *disk)
{
	struct real *d = (struct real *)disk;
	uint64_t signals;
	ssize_t n = read(d->event, &signals, sizeof signals);
	(void)n;
	unsigned count = complete_jobs(d);
	struct io_uring_cqe *cqe;
	while (d->uring && io_uring_peek_cqe(&d->ring, &cqe) == 0) {
		struct dp_io *io = io_uring_cqe_get_data(cqe);
		int err = io ? finish(io, cqe->res) : 0;
		io_uring_cqe_seen(&d->ring, cqe);
		if (!io)
			continue; /* of a delay */
		free(io->private);
		d->durable_writes -= io->op == DP_IO_WRITE && io->file->durable;
		io->done(io, err);
		count++;
	}
	return count;
}

int dp_disk_real_fd(struct dp_disk *disk)
{
	return ((struct real *)disk)->event;
}

void dp_disk_real_delay(struct dp_disk *disk, unsigned delay_us)
{
	struct real *d = (struct real *)disk;
	d->delay = (struct __kernel_timespec){delay_us / 1000000, delay_us % 1000000 * 1000};
}

static const struct dp_disk_ops real_ops = {real_open, real_close, real_remove, real_rename,
	real_size, real_read, real_write, real_submit, real_next_data};

int dp_disk_real_new(const char *dir, struct dp_disk **out)
{
	struct real *d = calloc(1, sizeof *d);
	if (!d)
		return DP_ENOMEM;
	d->base.ops = &real_ops;
	d->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	pthread_mutex_init(&d->lock, NULL);
	int err = d->dir < 0 || d->event < 0 ? last_error() : start_helpers(d);
	struct dp_disk *disk = &d->base;
	if (err) {
		dp_disk_real_destroy(&disk);
		return err;
	}
	const char *off = getenv("DIPOLE_NO_URING");
	d->uring = !off && io_uring_queue_init(RING_ENTRIES, &d->ring, 0) == 0;
	if (d->uring && io_uring_register_eventfd(&d->ring, d->event)) {
		io_uring_queue_exit(&d->ring);
		d->uring = false;
	}
	*out = disk;
	return 0;
}

void dp_disk_real_destroy(struct dp_disk **disk)
{
	struct real *d = (struct real *)*disk;
	*disk = NULL;
	if (!d)
		return;
	stop_helpers(d);
	if (d->uring)
		io_uring_queue_exit(&d->ring);
	if (d->dir >= 0)
		close(d->dir);
	if (d->event >= 0)
		close(d->event);
	free(d);
}
