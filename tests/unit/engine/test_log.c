/* SPDX-License-Identifier: MIT */
/* The log in memory: what may follow, what is forgotten and when memory is given back. */
#include <criterion/criterion.h>

#include <string.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "engine/log.h"

#define PAYLOAD 100u

static struct dp_meta start_meta(void)
{
	struct dp_meta m = {.promised = 1, .based = true};
	m.at.chain = dp_chain_start(1);
	return m;
}

/* The record that follows the log's end: a write, or every fifth time a flush. */
static struct dp_record *next_record(const struct dp_log *log, uint64_t epoch)
{
	uint64_t seq = log->last.at.seq + 1;
	bool flush = seq % 5 == 0;
	struct dp_buf *payload = flush ? NULL : dp_buf_new(PAYLOAD);
	struct dp_header h = {.op = flush ? DP_OP_FLUSH : DP_OP_WRITE,
		.stream = 1,
		.epoch = epoch,
		.seq = seq,
		.set = (seq + 4) / 5,
		.client = 1 + seq % 3,
		.request = seq,
		.offset = seq * 512,
		.length = flush ? 0 : PAYLOAD,
		.flags = flush ? DP_RECORD_CLOSES_SET : 0};
	if (payload) {
		memset(payload->data, (int)seq, PAYLOAD);
		h.payload_len = PAYLOAD;
		h.payload_crc = dp_crc32c(0, payload->data, PAYLOAD);
	}
	h.chain = dp_chain_next(log->last.at.chain, &h);
	return dp_record_new(&h, payload);
}

static void add(struct dp_log *log, uint64_t count, uint64_t epoch)
{
	for (; count; count--) {
		struct dp_record *r = next_record(log, epoch);
		cr_assert_eq(dp_log_append(log, r, 7), 0);
		dp_record_unref(&r);
	}
}

static void begin(struct dp_log *log)
{
	struct dp_meta start = start_meta();
	cr_assert_eq(dp_log_init(log, &start), 0);
}

static uint64_t bytes_in_memory(const struct dp_log *log)
{
	uint64_t bytes = 0;
	for (uint64_t s = log->tail.at.seq + 1; s <= log->last.at.seq; s++)
		if (dp_log_entry(log, s)->record)
			bytes += dp_log_entry(log, s)->payload_len + DP_LOG_RECORD_MEMORY;
	return bytes;
}

static bool same_meta(const struct dp_meta *a, const struct dp_meta *b)
{
	uint8_t x[DP_META_MAX], y[DP_META_MAX];
	uint32_t size = dp_meta_encode(a, x);
	return size == dp_meta_encode(b, y) && memcmp(x, y, size) == 0;
}

Test(log, keeps_what_was_appended)
{
	struct dp_log log;
	begin(&log);
	cr_assert_eq(dp_log_count(&log), 0);
	cr_assert_null(dp_log_entry(&log, 0));
	cr_assert_null(dp_log_entry(&log, 1));
	struct dp_record *r = next_record(&log, 1);
	cr_assert_eq(dp_log_append(&log, r, 42), 0);
	struct dp_log_entry *e = dp_log_entry(&log, 1);
	cr_assert(e->record == r && atomic_load(&r->refs) == 2 && e->stamp_ms == 42);
	struct dp_header h = dp_log_header(e, 1);
	cr_assert(h.seq == 1 && h.chain == r->h.chain && h.client == r->h.client);
	cr_assert(h.request == 1 && h.offset == 512 && h.length == PAYLOAD && h.set == 1);
	cr_assert_eq(log.memory, PAYLOAD + DP_LOG_RECORD_MEMORY);
	dp_log_clear(&log);
	cr_assert_eq(atomic_load(&r->refs), 1);
	dp_record_unref(&r);
}

Test(log, only_the_successor_may_follow)
{
	struct dp_log log;
	begin(&log);
	add(&log, 3, 2);
	struct dp_meta before = log.last;
	struct dp_record *good = next_record(&log, 2);
	static const struct {
		const char *what;
		int64_t seq;
		uint64_t epoch;
		bool wrong_chain;
		int err;
	} bad[] = {{"a gap", 1, 2, false, DP_EGAP}, {"the same again", -1, 2, false, DP_EGAP},
		{"another past", 0, 2, true, DP_EDIVERGED},
		{"an older epoch", 0, 1, false, DP_EDIVERGED}};
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct dp_header h = good->h;
		h.seq += (uint64_t)bad[i].seq;
		h.epoch = bad[i].epoch;
		h.chain = dp_chain_next(log.last.at.chain + bad[i].wrong_chain, &h);
		cr_assert_eq(dp_log_append_header(&log, &h), bad[i].err, "%s", bad[i].what);
		struct dp_record *r = dp_record_new(&h, dp_buf_ref(good->payload));
		cr_assert_eq(dp_log_append(&log, r, 0), bad[i].err, "%s", bad[i].what);
		cr_assert_eq(atomic_load(&r->refs), 1);
		dp_record_unref(&r);
		cr_assert(same_meta(&log.last, &before) && dp_log_count(&log) == 3);
	}
	cr_assert_eq(dp_log_append(&log, good, 0), 0);
	dp_record_unref(&good);
	dp_log_clear(&log);
}

Test(log, header_only_entries_have_no_record)
{
	struct dp_log log;
	begin(&log);
	struct dp_record *r = next_record(&log, 1);
	cr_assert_eq(dp_log_append_header(&log, &r->h), 0);
	cr_assert_null(dp_log_entry(&log, 1)->record);
	cr_assert_eq(dp_log_entry(&log, 1)->payload_len, PAYLOAD);
	cr_assert_eq(log.memory, 0);
	dp_record_unref(&r);
	dp_log_clear(&log);
}

Test(log, grows_and_wraps)
{
	struct dp_log log;
	begin(&log);
	uint64_t released = 0;
	for (unsigned round = 0; round < 30; round++) {
		add(&log, 500, 1);
		released += 300;
		dp_log_release(&log, released);
		cr_assert_eq(dp_log_count(&log), log.last.at.seq - released);
		for (uint64_t s = released + 1; s <= log.last.at.seq; s++) {
			struct dp_log_entry *e = dp_log_entry(&log, s);
			cr_assert(e && e->request == s && e->record && e->record->h.seq == s);
		}
	}
	cr_assert_geq(log.capacity, dp_log_count(&log));
	cr_assert_eq(log.capacity & (log.capacity - 1), 0);
	cr_assert_eq(log.memory, bytes_in_memory(&log));
	dp_log_clear(&log);
}

Test(log, positions)
{
	struct dp_log log;
	struct dp_position p;
	begin(&log);
	add(&log, 6, 1);
	add(&log, 4, 3);
	dp_log_release(&log, 3);
	cr_assert_not(dp_log_position(&log, 2, &p));
	cr_assert_not(dp_log_position(&log, 11, &p));
	cr_assert(dp_log_position(&log, 3, &p) && p.seq == 3 && p.epoch == 1);
	cr_assert_eq(p.chain, log.tail.at.chain);
	cr_assert(dp_log_position(&log, 7, &p) && p.seq == 7 && p.epoch == 3);
	cr_assert(dp_log_position(&log, 10, &p) && p.chain == log.last.at.chain);
	dp_log_clear(&log);
}

Test(log, bytes_between_two_positions)
{
	struct dp_log log;
	begin(&log);
	add(&log, 3000, 1);
	dp_log_cut(&log, 2500);
	add(&log, 100, 2);
	dp_log_release(&log, 700);
	for (uint64_t from = 700; from <= 2600; from += 19) {
		uint64_t bytes = 0;
		for (uint64_t to = from; to <= 2600; to++) {
			bytes += to > from ? dp_log_entry(&log, to)->payload_len : 0;
			cr_assert_eq(dp_log_bytes(&log, from, to), bytes, "%llu to %llu",
				(unsigned long long)from, (unsigned long long)to);
		}
	}
	dp_log_clear(&log);
}

Test(log, released_all_is_where_it_ended)
{
	struct dp_log log;
	begin(&log);
	add(&log, 12, 1);
	dp_log_release(&log, 99); /* beyond the end: all there is */
	cr_assert_eq(dp_log_count(&log), 0);
	cr_assert_eq(log.memory, 0);
	cr_assert_eq(log.evicted, 12);
	cr_assert(same_meta(&log.tail, &log.last));
	add(&log, 1, 2);
	cr_assert_eq(log.last.at.seq, 13);
	dp_log_clear(&log);
}

/* The state after a cut is that of a log that never went further. */
Test(log, cut_equals_never_appended)
{
	for (uint64_t cut = 4; cut <= 20; cut++) {
		struct dp_log log, shorter;
		begin(&log);
		begin(&shorter);
		for (uint64_t s = 1; s <= 20; s++) {
			struct dp_record *r = next_record(&log, s < 9 ? 1 : 2);
			cr_assert_eq(dp_log_append(&log, r, 0), 0);
			if (s <= cut)
				cr_assert_eq(dp_log_append(&shorter, r, 0), 0);
			dp_record_unref(&r);
			if (s == 6)
				dp_log_release(&log, 4);
		}
		dp_log_cut(&log, cut);
		cr_assert(same_meta(&log.last, &shorter.last), "cut at %u", (unsigned)cut);
		cr_assert_eq(log.tail.at.seq, 4);
		cr_assert_eq(log.memory, bytes_in_memory(&log));
		cr_assert_null(dp_log_entry(&log, cut + 1));
		add(&log, 3, 5);
		cr_assert_eq(log.last.at.seq, cut + 3);
		dp_log_clear(&log);
		dp_log_clear(&shorter);
	}
}

Test(log, cut_keeps_promise_and_base)
{
	struct dp_log log;
	begin(&log);
	add(&log, 5, 1);
	log.last.promised = log.tail.promised = 9;
	dp_log_cut(&log, 2);
	cr_assert(log.last.promised == 9 && log.last.based);
	dp_log_cut(&log, 7); /* beyond the end: nothing */
	cr_assert_eq(log.last.at.seq, 2);
	dp_log_clear(&log);
}

Test(log, reset_stands_elsewhere)
{
	struct dp_log log;
	begin(&log);
	add(&log, 5, 1);
	struct dp_meta at = {.promised = 3, .at = {2, 100, 55}, .set = 9, .set_closed = true};
	dp_log_reset(&log, &at);
	cr_assert(dp_log_count(&log) == 0 && log.memory == 0 && log.evicted == 100);
	cr_assert(same_meta(&log.last, &at) && same_meta(&log.tail, &at));
	add(&log, 2, 4);
	cr_assert_eq(log.last.at.seq, 102);
	cr_assert_null(dp_log_entry(&log, 5));
	dp_log_clear(&log);
}

Test(log, evicts_the_oldest_that_may_go)
{
	struct dp_log log;
	begin(&log);
	add(&log, 20, 1);
	uint64_t all = log.memory;
	dp_log_evict(&log, 0, 0);
	cr_assert_eq(log.memory, all, "nothing may go yet");
	dp_log_evict(&log, 20, all);
	cr_assert_eq(log.memory, all, "nothing has to go");
	dp_log_evict(&log, 8, 0);
	cr_assert_eq(log.evicted, 8);
	cr_assert_eq(log.memory, bytes_in_memory(&log));
	cr_assert_null(dp_log_entry(&log, 8)->record);
	cr_assert_not_null(dp_log_entry(&log, 9)->record);
	dp_log_evict(&log, 20, log.memory - 1);
	cr_assert_eq(log.evicted, 9);
	dp_log_release(&log, 12);
	cr_assert_eq(log.memory, bytes_in_memory(&log));
	dp_log_evict(&log, 20, 0);
	cr_assert(log.memory == 0 && log.evicted == 20);
	dp_log_cut(&log, 15);
	add(&log, 2, 1);
	cr_assert_eq(log.memory, bytes_in_memory(&log));
	dp_log_evict(&log, 17, 0);
	cr_assert(log.memory == 0 && log.evicted == 17);
	dp_log_clear(&log);
}
