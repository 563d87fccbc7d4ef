/* SPDX-License-Identifier: MIT */
/* Recovery of a journal. The input is the file, cut or filled up with zeros to a small size. */
#include "base/err.h"
#include "fuzz.h"
#include "journal/internal.h"
#include "memdisk.h"
#include "repair.h"

#define NAME       "journal"
#define STREAM     9
#define DATA_SIZE  (32 * DP_KIB)
#define FILE_SIZE  (DP_DATA_START + DATA_SIZE)
#define FRAMES_MAX (FILE_SIZE / DP_FRAME_ALIGN)
#define SUPER_CRC  (DP_SUPER_SIZE - 4)
#define FRAME_CRC  (DP_FRAME_SIZE - 4)

/* ---- a journal and its owner ---- */

struct found {
	bool barrier;
	uint64_t seq;
	uint32_t crc; /* of its encoding: the same found means the same bytes */
};

struct owner {
	struct memdisk *disk;
	struct dp_journal *j;
	struct dp_meta meta; /* the state at the end */
	uint64_t first;      /* records after it can be read back */
	struct found found[FRAMES_MAX + 1];
	unsigned count;
	uint64_t durable;
	bool loaded, failed;
};

static void note(struct owner *o, bool barrier, uint64_t seq, const uint8_t *bytes, uint32_t size)
{
	FUZZ_CHECK(o->count < FRAMES_MAX + 1);
	o->found[o->count++] = (struct found){barrier, seq, dp_crc32c(0, bytes, size)};
}

static void note_meta(struct owner *o, const struct dp_meta *meta)
{
	uint8_t bytes[DP_META_MAX];
	note(o, true, meta->at.seq, bytes, dp_meta_encode(meta, bytes));
	o->meta = *meta;
}

static struct owner *new_owner(struct memdisk *disk)
{
	struct owner *o = calloc(1, sizeof *o);
	FUZZ_CHECK(o);
	o->disk = disk;
	return o;
}

static int on_tail(void *ctx, const struct dp_meta *meta)
{
	struct owner *o = ctx;
	FUZZ_CHECK(o->count == 0);
	note_meta(o, meta);
	o->first = meta->at.seq;
	return 0;
}

static int on_barrier(void *ctx, const struct dp_meta *meta)
{
	struct owner *o = ctx;
	FUZZ_CHECK(o->count > 0);
	if (meta->at.seq < o->first || meta->at.seq > o->meta.at.seq)
		o->first = meta->at.seq;
	note_meta(o, meta);
	return 0;
}

/* Whether these bytes are a frame with this record in it, and all its checksums are right. */
static bool holds(const uint8_t *at, size_t left, const uint8_t header[DP_RECORD_HEADER_SIZE])
{
	struct dp_frame f;
	struct dp_header h;
	uint8_t again[DP_RECORD_HEADER_SIZE];
	const uint8_t *body = at + DP_FRAME_SIZE;
	uint32_t least = DP_FRAME_SIZE + DP_RECORD_HEADER_SIZE;
	if (dp_frame_decode(at, &f) || f.kind != DP_FRAME_RECORD || f.length < least ||
		f.length > left || dp_header_decode(body, &h))
		return false;
	dp_header_encode(&h, again);
	return memcmp(again, header, sizeof again) == 0 && h.payload_len == f.length - least &&
		(!h.payload_len ||
			dp_crc32c(0, body + DP_RECORD_HEADER_SIZE, h.payload_len) == h.payload_crc);
}

static bool on_disk(struct owner *o, const uint8_t header[DP_RECORD_HEADER_SIZE])
{
	const uint8_t *file = memdisk_bytes(o->disk, NAME, NULL);
	for (size_t at = DP_DATA_START; at < FILE_SIZE; at += DP_FRAME_ALIGN)
		if (holds(file + at, FILE_SIZE - at, header))
			return true;
	return false;
}

static int on_record(void *ctx, const struct dp_header *h)
{
	struct owner *o = ctx;
	uint8_t header[DP_RECORD_HEADER_SIZE];
	dp_header_encode(h, header);
	FUZZ_CHECK(on_disk(o, header));
	FUZZ_CHECK(h->seq == o->meta.at.seq + 1);
	FUZZ_CHECK(dp_chain_next(o->meta.at.chain, h) == h->chain);
	note(o, false, h->seq, header, sizeof header);
	dp_meta_advance(&o->meta, h);
	return 0;
}

static void on_durable(void *ctx, uint64_t seq)
{
	((struct owner *)ctx)->durable = seq;
}

static void on_token(void *ctx, uint64_t token)
{
	(void)ctx;
	(void)token;
}

static void on_renewal(void *ctx, bool done)
{
	(void)ctx;
	(void)done;
}

static void on_failed(void *ctx)
{
	((struct owner *)ctx)->failed = true;
}

static int start(struct owner *o)
{
	struct dp_journal_config cfg = {.stream = STREAM, .size = FILE_SIZE, .instance = 4711};
	struct dp_journal_events events = {on_durable, on_token, on_renewal, on_failed, o, NULL};
	struct dp_journal_scan scan = {on_tail, on_record, on_barrier, o};
	o->count = 0;
	return dp_journal_open(&o->disk->base, NAME, &cfg, &events, &scan, &o->j);
}

static void stop(struct owner *o)
{
	dp_journal_close(&o->j);
	FUZZ_CHECK(o->disk->opened == 0 && o->disk->count == 0);
}

static struct dp_record *next_record(const struct dp_meta *after, uint32_t size)
{
	struct dp_buf *payload = size ? dp_buf_new(size) : NULL;
	struct dp_header h = {.op = size ? DP_OP_WRITE : DP_OP_FLUSH,
		.stream = STREAM,
		.epoch = after->at.epoch ? after->at.epoch : 1,
		.seq = after->at.seq + 1,
		.set = 1,
		.length = size,
		.payload_len = size,
		.client = 5,
		.request = after->at.seq + 1};
	if (payload) {
		memset(payload->data, (int)h.seq, size);
		h.payload_crc = dp_crc32c(0, payload->data, size);
	}
	h.chain = dp_chain_next(after->at.chain, &h);
	struct dp_record *r = dp_record_new(&h, payload);
	FUZZ_CHECK(r);
	return r;
}

static void append(struct owner *o, uint32_t size)
{
	struct dp_record *r = next_record(&o->meta, size);
	dp_meta_advance(&o->meta, &r->h);
	dp_journal_append(o->j, r);
	dp_record_unref(&r);
}

static void commit(struct owner *o)
{
	uint64_t before;
	do {
		before = dp_journal_stats(o->j).commits;
		dp_journal_kick(o->j);
		memdisk_run(o->disk);
	} while (dp_journal_stats(o->j).commits != before);
}

/* ---- what is checked ---- */

static void on_loaded(void *ctx, uint64_t seq, struct dp_record *r)
{
	struct owner *o = ctx;
	FUZZ_CHECK(r && r->h.seq == seq && dp_record_verify(r) == 0);
	o->loaded = true;
}

/* All that was found can be read. */
static void check_loads(struct owner *o)
{
	for (uint64_t seq = o->first; seq != o->meta.at.seq; seq++) {
		o->loaded = false;
		dp_journal_load(o->j, seq + 1, true, on_loaded, o);
		memdisk_run(o->disk);
		FUZZ_CHECK(o->loaded);
	}
}

/* What the first recovery found the second does too, and after it the barrier of the first. */
static void check_same(const struct owner *one, const struct owner *two, int err)
{
	unsigned more = two->count - one->count;
	FUZZ_CHECK(two->count >= one->count && more <= (err ? 0 : 1));
	for (unsigned i = 0; i < one->count; i++) {
		const struct found *a = &one->found[i], *b = &two->found[i];
		FUZZ_CHECK(a->barrier == b->barrier && a->seq == b->seq && a->crc == b->crc);
	}
	FUZZ_CHECK(more == 0 || two->found[one->count].barrier);
	uint8_t a[DP_META_MAX], b[DP_META_MAX];
	uint32_t size = dp_meta_encode(&one->meta, a);
	FUZZ_CHECK(dp_meta_encode(&two->meta, b) == size && memcmp(a, b, size) == 0);
}

#define BLOCKFUL (DP_DISK_ALIGN / DP_FRAME_ALIGN) /* of small records */

/* What is called durable after a recovery is found by the next one, and nothing else: not even
 * where the same is written again as stood there, and old bytes would follow well. */
static void check_goes_on(struct owner *o)
{
	if (o->meta.at.seq > UINT64_MAX - BLOCKFUL)
		return;
	o->durable = 0;
	for (unsigned i = 0; i < BLOCKFUL; i++)
		append(o, 100);
	commit(o);
	struct dp_position last = o->meta.at;
	bool durable = o->durable == last.seq;
	FUZZ_CHECK(!o->failed); /* the disk does not */
	stop(o);
	if (!durable) /* no room left in this file */
		return;
	FUZZ_CHECK(start(o) == 0);
	FUZZ_CHECK(dp_position_equal(o->meta.at, last));
	stop(o);
}

/* ---- an input ---- */

/* 0 or why recovery refuses it, which changes nothing. */
static int recover_first(struct owner *o, const uint8_t *before)
{
	int err = start(o);
	FUZZ_CHECK(!err || memcmp(memdisk_bytes(o->disk, NAME, NULL), before, FILE_SIZE) == 0);
	if (!err)
		check_loads(o);
	stop(o);
	return err;
}

static void recover_again(const struct owner *one, struct owner *two, int err)
{
	FUZZ_CHECK(start(two) == err);
	check_same(one, two, err);
	if (!err) {
		check_loads(two);
		check_goes_on(two);
	}
	stop(two);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	struct memdisk *disk = memdisk_new();
	struct owner *one = new_owner(disk), *two = new_owner(disk);
	uint8_t *before = calloc(1, FILE_SIZE);
	int err;
	FUZZ_CHECK(before);
	if (size)
		memcpy(before, data, size < FILE_SIZE ? size : FILE_SIZE);
	memdisk_put(disk, NAME, before, FILE_SIZE);
	err = recover_first(one, before);
	recover_again(one, two, err);
	free(one);
	free(two);
	free(before);
	memdisk_free(disk);
	return err == 0;
}

/* ---- checksums ---- */

/* Records follow the one before in the file, if their numbers do. */
static void repair_chain(uint8_t *at, struct dp_position *last)
{
	struct dp_header h;
	if (dp_header_decode(at, &h))
		return;
	if (h.seq == last->seq + 1)
		h.chain = dp_chain_next(last->chain, &h);
	dp_header_encode(&h, at);
	*last = (struct dp_position){h.epoch, h.seq, h.chain};
}

/* `lsn` is that of its place in the first lap. A frame that was copied there says so then, in the
 * lap that it was in. */
static void repair_frame(uint8_t *at, size_t left, uint64_t lsn, struct dp_position *last)
{
	struct dp_frame f;
	struct dp_meta meta;
	uint8_t *body = at + DP_FRAME_SIZE;
	dp_put32(at + FRAME_CRC, dp_crc32c(0, at, FRAME_CRC));
	if (dp_frame_decode(at, &f) || f.length > left)
		return;
	f.lsn = f.lsn / DATA_SIZE * DATA_SIZE + lsn;
	uint32_t size = f.length - DP_FRAME_SIZE;
	if (f.kind == DP_FRAME_RECORD && size >= DP_RECORD_HEADER_SIZE) {
		repair_record(body, size - DP_RECORD_HEADER_SIZE);
		repair_chain(body, last);
	}
	if (f.kind == DP_FRAME_BARRIER) {
		f.body_crc = dp_crc32c(0, body, size);
		if (!dp_meta_decode(body, size, &meta))
			*last = meta.at;
	}
	dp_frame_encode(&f, at);
}

void fuzz_repair(uint8_t *data, size_t size)
{
	struct dp_super super;
	struct dp_position last = {0};
	for (size_t at = 0; at < DP_DATA_START && at + DP_SUPER_SIZE <= size; at += DP_SUPER_SIZE) {
		dp_put32(data + at + SUPER_CRC, dp_crc32c(0, data + at, SUPER_CRC));
		if (!dp_super_decode(data + at, &super))
			last = super.meta.at;
	}
	for (size_t at = DP_DATA_START; at + DP_FRAME_SIZE <= size; at += DP_FRAME_ALIGN)
		repair_frame(data + at, size - at, at - DP_DATA_START, &last);
}

/* ---- seeds ---- */

static struct owner *begin(void)
{
	struct owner *o = new_owner(memdisk_new());
	FUZZ_CHECK(start(o) == 0);
	return o;
}

static void seed_file(const char *name, enum fuzz_verdict expected, const uint8_t *file)
{
	size_t size = FILE_SIZE;
	while (size && !file[size - 1])
		size--;
	fuzz_seed(name, expected, file, size);
}

static void end(struct owner *o, const char *name, enum fuzz_verdict expected)
{
	if (o->j)
		stop(o);
	seed_file(name, expected, memdisk_bytes(o->disk, NAME, NULL));
	memdisk_free(o->disk);
	free(o);
}

static void group(struct owner *o, unsigned count, uint32_t size)
{
	for (unsigned i = 0; i < count; i++)
		append(o, size);
	commit(o);
	FUZZ_CHECK(o->durable == o->meta.at.seq);
}

static void barrier(struct owner *o)
{
	o->meta.promised++;
	dp_journal_barrier(o->j, &o->meta, 1);
	commit(o);
}

static bool every_other(uint64_t sector, void *arg)
{
	(void)arg;
	return sector % 2 == 0;
}

static bool all_but_the_first(uint64_t sector, void *arg)
{
	(void)arg;
	return sector > 0;
}

struct tear {
	unsigned whole;                 /* records before, in a group of their own */
	unsigned promises, records;     /* in the group that is torn */
	uint32_t size;                  /* of these records */
	bool (*keep)(uint64_t, void *); /* which sectors reached the disk */
};

static struct owner *torn(struct tear t)
{
	struct owner *o = begin();
	group(o, t.whole, 100);
	for (unsigned i = 0; i < t.promises; i++)
		dp_journal_barrier(o->j, &o->meta, 1);
	for (unsigned i = 0; i < t.records; i++)
		append(o, t.size);
	dp_journal_kick(o->j);
	memdisk_crash(o->disk, t.keep, NULL);
	dp_journal_close(&o->j);
	return o;
}

static void seed_laps(void)
{
	struct owner *o = begin();
	for (unsigned i = 0; i < 40; i++) {
		group(o, 2, 900);
		struct dp_meta released = o->meta;
		append(o, 0);
		dp_journal_release(o->j, &released);
		commit(o);
	}
	end(o, "laps", FUZZ_ACCEPTED);
}

static void seed_barriers(void)
{
	struct owner *o = begin();
	group(o, 2, 100);
	struct dp_meta early = o->meta;
	group(o, 2, 100);
	barrier(o);
	group(o, 1, 100);
	end(o, "promise", FUZZ_ACCEPTED);
	o = begin();
	group(o, 4, 100);
	o->meta = early;
	barrier(o);
	group(o, 2, 300);
	end(o, "cut", FUZZ_ACCEPTED);
	o = begin();
	group(o, 3, 100);
	o->meta.at.seq += 100;
	barrier(o);
	group(o, 2, 100);
	end(o, "jump", FUZZ_ACCEPTED);
}

/* In the second and third a blockful of what check_goes_on() appends comes to stand before frames
 * that follow it well: where no barrier is written, and where one is. */
static void seed_torn(void)
{
	struct tear holes = {3, 0, 6, 600, every_other};
	struct tear at_once = {0, 0, 2 * BLOCKFUL, 100, all_but_the_first};
	struct tear later = {3, BLOCKFUL, 2 * BLOCKFUL, 100, all_but_the_first};
	end(torn(holes), "torn", FUZZ_ACCEPTED);
	end(torn(at_once), "torn-at-once", FUZZ_ACCEPTED);
	end(torn(later), "torn-later", FUZZ_ACCEPTED);
	struct owner *o = torn(holes);
	FUZZ_CHECK(start(o) == 0);
	group(o, 3, 1000);
	end(o, "torn-and-recovered", FUZZ_ACCEPTED);
}

static void seed_damaged(void)
{
	struct owner *o = begin();
	group(o, 1, 100);
	group(o, 1, 100);
	memdisk_bytes(o->disk, NAME, NULL)[DP_DATA_START + 200] ^= 1;
	end(o, "damaged", FUZZ_REFUSED);
	o = begin();
	group(o, 1, 100);
	memset(memdisk_bytes(o->disk, NAME, NULL), 0xa5, DP_DATA_START);
	end(o, "without-superblock", FUZZ_REFUSED);
	o = begin();
	memdisk_bytes(o->disk, NAME, NULL)[4]++;
	end(o, "another-version", FUZZ_REFUSED);
}

void fuzz_seeds(void)
{
	static const uint8_t zeros[FILE_SIZE];
	seed_file("never-begun", FUZZ_ACCEPTED, zeros);
	end(begin(), "new", FUZZ_ACCEPTED);
	struct owner *o = begin();
	group(o, 3, 100);
	group(o, 1, 3000);
	group(o, 2, 0);
	end(o, "records", FUZZ_ACCEPTED);
	seed_laps();
	seed_barriers();
	seed_torn();
	seed_damaged();
}
