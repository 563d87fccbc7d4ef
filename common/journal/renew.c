/* SPDX-License-Identifier: MIT */
/* A journal that cannot be written any more gets a new file.
 *
 * A failed write is final for the file it was meant for: it is never tried again there, and nothing
 * is acknowledged from there on. What earlier writes made durable can still be read. It is copied
 * into a new file, block by block to the same places, and every record of it is checked on the way.
 * Then the new file takes the old one's name, and the groups that had failed or followed one are
 * written to it. A crash before that finds the old file, which has everything that was ever
 * acknowledged from it; one after that the new one. If the old file cannot be read, or the new one
 * not be made, the journal has failed for good. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "journal/internal.h"

#define PIECE       (4 * DP_MIB) /* several times the longest frame */
#define IN_VAIN_MAX 3

struct dp_renewal {
	struct dp_journal *j;
	struct dp_file *file;
	uint8_t *piece;
	uint8_t *super;
	uint64_t lsn, next; /* where this piece and the next one begin */
	uint64_t seq;       /* records up to here are checked */
	struct dp_io io;
	bool begun, copied;
	unsigned supers; /* written */
};

static void give_up(struct dp_journal *j)
{
	dp_journal_renewal_free(j);
	j->disk->ops->remove(j->disk, j->new_name);
	dp_journal_fail(j);
	dp_journal_start_loads(j);
}

void dp_journal_renewal_free(struct dp_journal *j)
{
	struct dp_renewal *r = j->renewal;
	if (!r)
		return;
	if (r->file)
		j->disk->ops->close(r->file);
	free(r->piece);
	free(r->super);
	free(r);
	j->renewal = NULL;
}

/* ---- copying ---- */

static void copy(struct dp_renewal *r);

/* Checks the records that the piece holds in full. The next piece begins with the first it does
 * not. */
static bool check_piece(struct dp_journal *j, struct dp_renewal *r)
{
	uint64_t end = r->lsn + r->io.size;
	r->next = end;
	if (r->seq < j->places_from)
		r->seq = j->places_from; /* released meanwhile */
	for (;; r->seq++) {
		const struct dp_place *p = dp_journal_place(j, r->seq + 1);
		if (!p || p->lsn >= end)
			return true;
		if (p->lsn + p->length > end) {
			r->next = p->lsn / DP_DISK_ALIGN * DP_DISK_ALIGN;
			return true;
		}
		struct dp_record *record = dp_journal_decode(p, r->piece + (p->lsn - r->lsn),
			r->seq + 1);
		bool right = record && dp_record_verify(record) == 0;
		dp_record_unref(&record);
		if (!right)
			return false;
	}
}

static void piece_written(struct dp_io *io, int err)
{
	struct dp_renewal *r = io->arg;
	if (err) {
		give_up(r->j);
		return;
	}
	r->lsn = r->next;
	copy(r);
}

static void piece_read(struct dp_io *io, int err)
{
	struct dp_renewal *r = io->arg;
	struct dp_journal *j = r->j;
	if (err || !check_piece(j, r)) {
		give_up(j);
		return;
	}
	r->io.op = DP_IO_WRITE;
	r->io.file = r->file;
	r->io.done = piece_written;
	j->disk->ops->submit(j->disk, &r->io);
}

static void write_super(struct dp_renewal *r);

/* Both of them: a file with an empty one would look like one that has never begun. */
static void super_written(struct dp_io *io, int err)
{
	struct dp_renewal *r = io->arg;
	if (err) {
		give_up(r->j);
		return;
	}
	if (++r->supers < 2) {
		write_super(r);
		return;
	}
	r->copied = true;
	dp_journal_renew_step(r->j);
}

static void write_super(struct dp_renewal *r)
{
	struct dp_journal *j = r->j;
	j->super.number++;
	j->super.head_lsn = j->head;
	dp_super_encode(&j->super, r->super);
	r->io = (struct dp_io){.op = DP_IO_WRITE,
		.file = r->file,
		.data = r->super,
		.size = DP_SUPER_SIZE,
		.offset = (j->super.number % 2) * DP_SUPER_SIZE,
		.done = super_written,
		.arg = r};
	j->disk->ops->submit(j->disk, &r->io);
}

static void copy(struct dp_renewal *r)
{
	struct dp_journal *j = r->j;
	if (r->lsn == j->head) {
		write_super(r);
		return;
	}
	uint64_t size = j->data_size - r->lsn % j->data_size; /* to the end of the circle */
	size = size < PIECE ? size : PIECE;
	size = size < j->head - r->lsn ? size : j->head - r->lsn;
	r->io = (struct dp_io){.op = DP_IO_READ,
		.file = j->file,
		.data = r->piece,
		.size = size,
		.offset = dp_journal_offset(j, r->lsn),
		.done = piece_read,
		.arg = r};
	j->disk->ops->submit(j->disk, &r->io);
}

/* ---- beginning and end ---- */

static int make_file(struct dp_renewal *r)
{
	struct dp_journal *j = r->j;
	bool created = false;
	return j->disk->ops->open(j->disk, j->new_name,
		DP_OPEN_CREATE | DP_OPEN_DURABLE | DP_OPEN_SOON, j->cfg.size, &r->file, &created);
}

static void begin(struct dp_renewal *r)
{
	struct dp_journal *j = r->j;
	void *piece = NULL, *super = NULL;
	r->begun = true;
	if (posix_memalign(&piece, DP_DISK_ALIGN, PIECE) == 0)
		r->piece = piece;
	if (posix_memalign(&super, DP_DISK_ALIGN, DP_SUPER_SIZE) == 0)
		r->super = super;
	if (!r->piece || !r->super || make_file(r)) {
		give_up(j);
		return;
	}
	r->lsn = j->super.tail_lsn / DP_DISK_ALIGN * DP_DISK_ALIGN;
	r->seq = j->places_from;
	copy(r);
}

static void change_over(struct dp_renewal *r)
{
	struct dp_journal *j = r->j;
	if (j->disk->ops->rename(j->disk, j->new_name, j->name)) {
		give_up(j);
		return;
	}
	struct dp_file *old = j->file;
	j->file = r->file;
	r->file = old; /* closed with the rest */
	dp_journal_renewal_free(j);
	j->renewals++;
	j->events.renewal(j->events.ctx, true);
	for (uint32_t i = 0; i < j->flight_count; i++) {
		struct dp_flight *f = dp_journal_flight(j, i);
		f->io.file = j->file;
		f->landed = false;
		f->err = 0;
		j->disk->ops->submit(j->disk, &f->io);
	}
	dp_journal_release_again(j);
	dp_journal_kick(j);
	dp_journal_start_loads(j);
}

bool dp_journal_changing_over(const struct dp_journal *j)
{
	return j->renewal && j->renewal->copied;
}

void dp_journal_renew_step(struct dp_journal *j)
{
	struct dp_renewal *r = j->renewal;
	if (!r)
		return;
	if (!r->begun && !j->super_writing && !dp_journal_flying(j))
		begin(r);
	else if (r->copied && j->loads == 0)
		change_over(r);
}

void dp_journal_renew(struct dp_journal *j)
{
	if (j->failed || j->renewal)
		return;
	bool in_vain = ++j->renewals_in_vain > IN_VAIN_MAX;
	j->renewal = in_vain ? NULL : calloc(1, sizeof *j->renewal);
	if (!j->renewal) {
		dp_journal_fail(j);
		return;
	}
	j->renewal->j = j;
	j->events.renewal(j->events.ctx, false);
}
