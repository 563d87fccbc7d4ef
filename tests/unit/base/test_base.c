/* SPDX-License-Identifier: MIT */
/* What everything else stands on: checksums, units, histograms, buffers, error names, bytes, log
 * lines. */
#include <criterion/criterion.h>

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/bytes.h"
#include "base/crc32c.h"
#include "base/err.h"
#include "base/hist.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/textfile.h"
#include "base/units.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- checksums ---- */

/* The vectors of RFC 3720, B.4, and the check value of the polynomial. */
Test(crc32c, known_vectors)
{
	uint8_t data[32];
	cr_assert_eq(dp_crc32c(0, "123456789", 9), 0xe3069283u);
	cr_assert_eq(dp_crc32c(0, "", 0), 0);
	memset(data, 0, sizeof data);
	cr_assert_eq(dp_crc32c(0, data, sizeof data), 0x8a9136aau);
	memset(data, 0xff, sizeof data);
	cr_assert_eq(dp_crc32c(0, data, sizeof data), 0x62a8ab43u);
	for (unsigned i = 0; i < 32; i++)
		data[i] = (uint8_t)i;
	cr_assert_eq(dp_crc32c(0, data, sizeof data), 0x46dd794eu);
}

static void fill(uint8_t *data, size_t size)
{
	uint32_t state = 1;
	for (size_t i = 0; i < size; i++) {
		state = state * 1664525u + 1013904223u;
		data[i] = (uint8_t)(state >> 24);
	}
}

/* Every length and every alignment that the eight-byte steps may meet. */
/* The polynomial taken bit by bit. */
static uint32_t slow_crc32c(uint32_t crc, const uint8_t *p, size_t size)
{
	for (crc = ~crc; size; size--) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? (crc >> 1) ^ 0x82f63b78u : crc >> 1;
	}
	return ~crc;
}

Test(crc32c, any_size_and_alignment)
{
	uint8_t data[320];
	fill(data, sizeof data);
	for (size_t from = 0; from < 9; from++)
		for (size_t size = 0; size <= 300; size++)
			cr_assert_eq(dp_crc32c(7, data + from, size),
				slow_crc32c(7, data + from, size), "%zu at %zu", size, from);
}

Test(crc32c, goes_on_where_it_stopped)
{
	uint8_t data[100];
	fill(data, sizeof data);
	uint32_t whole = dp_crc32c(0, data, sizeof data);
	for (size_t cut = 0; cut <= sizeof data; cut++) {
		uint32_t first = dp_crc32c(0, data, cut);
		cr_assert_eq(dp_crc32c(first, data + cut, sizeof data - cut), whole);
	}
}

/* ---- units ---- */

typedef int parser(const char *text, uint64_t *out);

static void check_parsed(parser *parse, const char *text, uint64_t wanted)
{
	uint64_t value = 77;
	cr_assert_eq(parse(text, &value), 0, "\"%s\" is refused", text);
	cr_assert_eq(value, wanted, "\"%s\": %llu", text, (unsigned long long)value);
}

Test(units, sizes)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} good[] = {{"0B", 0}, {"1B", 1}, {"513B", 513}, {"1KiB", 1024}, {"1.5KiB", 1536},
		{"16MiB", 16 * DP_MIB}, {"4GiB", 4 * DP_GIB}, {"2TiB", 2048 * DP_GIB},
		{"1kB", 1000}, {"1MB", 1000000}, {"3GB", 3000000000}, {"1TB", 1000000000000},
		{"4 GiB", 4 * DP_GIB}, {"8388607TiB", 8388607ull << 40}};
	for (size_t i = 0; i < COUNT(good); i++)
		check_parsed(dp_parse_size, good[i].text, good[i].bytes);
}

Test(units, times)
{
	static const struct {
		const char *text;
		uint64_t us;
	} good[] = {{"85us", 85}, {"1.25ms", 1250}, {"3.2s", 3200000}, {"2min", 120000000},
		{"1h", 3600000000}, {"1.5d", 129600000000}};
	for (size_t i = 0; i < COUNT(good); i++)
		check_parsed(dp_parse_time, good[i].text, good[i].us);
}

Test(units, bandwidths)
{
	static const struct {
		const char *text;
		uint64_t bits;
	} good[] = {{"10Gbit", 10000000000}, {"10Gbit/s", 10000000000}, {"100Mbit", 100000000},
		{"64kbit/s", 64000}, {"9bit", 9}};
	for (size_t i = 0; i < COUNT(good); i++)
		check_parsed(dp_parse_bandwidth, good[i].text, good[i].bits);
}

Test(units, distances)
{
	static const struct {
		const char *text;
		double metres;
	} good[] = {{"30mi", 48280.32}, {"1km", 1000}, {"0.5m", 0.5}};
	for (size_t i = 0; i < COUNT(good); i++) {
		double value = -1;
		cr_assert_eq(dp_parse_distance(good[i].text, &value), 0);
		cr_assert(fabs(value - good[i].metres) < 1e-6, "%s: %f", good[i].text, value);
	}
}

Test(units, percents)
{
	unsigned value = 77;
	cr_assert_eq(dp_parse_percent("80%", &value), 0);
	cr_assert_eq(value, 80);
	cr_assert_eq(dp_parse_percent("0%", &value), 0);
	cr_assert_eq(value, 0);
	cr_assert_eq(dp_parse_percent("100%", &value), 0);
	cr_assert_eq(value, 100);
	cr_assert_eq(dp_parse_percent("101%", &value), DP_EINVAL);
	cr_assert_eq(dp_parse_percent("80", &value), DP_EINVAL);
	cr_assert_eq(dp_parse_percent("-1%", &value), DP_EINVAL);
	cr_assert_eq(value, 100);
}

Test(units, hours_of_the_day)
{
	static const char *const none[] = {"", "22:00", "22:00-", "22:00-22:00", "24:00-01:00",
		"12:60-13:00", "1:00-02:00", "22.00-06:00", "22:00 06:00", "22:00-06:00 ",
		"-2:00-06:00"};
	struct dp_hours night = {0, 0}, day;
	cr_assert(dp_hours_open(&night, 0) && dp_hours_open(&night, 1439), "all day");
	cr_assert_eq(dp_parse_hours("22:00-06:30", &night), 0);
	cr_assert_eq(night.from, 22 * 60);
	cr_assert_eq(night.to, 6 * 60 + 30);
	cr_assert(dp_hours_open(&night, 22 * 60) && dp_hours_open(&night, 0) &&
		dp_hours_open(&night, 389));
	cr_assert_not(dp_hours_open(&night, 390) || dp_hours_open(&night, 22 * 60 - 1));
	cr_assert_eq(dp_parse_hours("08:15-19:59", &day), 0);
	cr_assert(dp_hours_open(&day, 8 * 60 + 15) && dp_hours_open(&day, 19 * 60 + 58));
	cr_assert_not(dp_hours_open(&day, 19 * 60 + 59) || dp_hours_open(&day, 0));
	for (size_t i = 0; i < COUNT(none); i++)
		cr_assert_eq(dp_parse_hours(none[i], &day), DP_EINVAL, "\"%s\"", none[i]);
	cr_assert_eq(day.from, 8 * 60 + 15);
}

static const char *const bad[] = {"", " ", "B", "KiB", "5", "-1KiB", "+1KiB", "1kib", "1 K",
	"1KiBs", "1KiB ", " 1KiB", "1..5KiB", "1.2.3KiB", ".5KiB", "0x10B", "1e3B", "infB", "nanB",
	"1,5KiB", "8388608TiB", "99999999999999999999B", "-5ms", "5minutes", "1.5", "10Gbit/",
	"1ZiB", "1mi/s"};

Test(units, what_is_no_quantity_is_refused_and_leaves_the_value_alone)
{
	for (size_t i = 0; i < COUNT(bad); i++) {
		uint64_t value = 77;
		double metres = 77;
		unsigned percent = 77;
		cr_assert_eq(dp_parse_size(bad[i], &value), DP_EINVAL, "size \"%s\"", bad[i]);
		cr_assert_eq(dp_parse_time(bad[i], &value), DP_EINVAL, "time \"%s\"", bad[i]);
		cr_assert_eq(dp_parse_bandwidth(bad[i], &value), DP_EINVAL, "rate \"%s\"", bad[i]);
		cr_assert_eq(dp_parse_distance(bad[i], &metres), DP_EINVAL, "way \"%s\"", bad[i]);
		cr_assert_eq(dp_parse_percent(bad[i], &percent), DP_EINVAL, "part \"%s\"", bad[i]);
		cr_assert(value == 77 && metres == 77 && percent == 77, "\"%s\"", bad[i]);
	}
}

/* One kind's unit is none of another kind. */
Test(units, kinds_do_not_mix)
{
	uint64_t value;
	double metres;
	cr_assert_eq(dp_parse_size("5ms", &value), DP_EINVAL);
	cr_assert_eq(dp_parse_time("5MiB", &value), DP_EINVAL);
	cr_assert_eq(dp_parse_bandwidth("5MB", &value), DP_EINVAL);
	cr_assert_eq(dp_parse_distance("5min", &metres), DP_EINVAL);
}

Test(units, formatted_sizes_are_exact_and_parse_again)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {{0, "0B"}, {513, "513B"}, {1024, "1KiB"}, {1536 * DP_KIB, "1536KiB"},
		{4 * DP_GIB, "4GiB"}, {1ull << 40, "1TiB"}, {(1ull << 40) + 1, "1099511627777B"},
		{1ull << 50, "1024TiB"}};
	char text[32];
	for (size_t i = 0; i < COUNT(sizes); i++) {
		uint64_t again = 77;
		cr_assert_str_eq(dp_format_size(sizes[i].bytes, text, sizeof text), sizes[i].text);
		cr_assert_eq(dp_parse_size(text, &again), 0);
		cr_assert_eq(again, sizes[i].bytes);
	}
}

Test(units, formatted_times)
{
	char text[32];
	cr_assert_str_eq(dp_format_time(0, text, sizeof text), "0us");
	cr_assert_str_eq(dp_format_time(85, text, sizeof text), "85us");
	cr_assert_str_eq(dp_format_time(1250, text, sizeof text), "1.25ms");
	cr_assert_str_eq(dp_format_time(3200000, text, sizeof text), "3.2s");
}

/* People read them, and may put them into a file again: an outage lasts hours. */
Test(units, formatted_times_parse_again)
{
	static const uint64_t times[] = {1, 999, 1000, 999999, 1000000, 59000000, 3600000000ull,
		9999000000ull, 36000000000ull, 86400000000ull, 864000000000ull};
	char text[32];
	for (size_t i = 0; i < COUNT(times); i++) {
		uint64_t again = 0;
		dp_format_time(times[i], text, sizeof text);
		cr_assert_eq(dp_parse_time(text, &again), 0, "%llu us is told as \"%s\"",
			(unsigned long long)times[i], text);
		cr_assert(fabs((double)again - (double)times[i]) <= (double)times[i] / 1000);
	}
}

/* ---- histograms ---- */

Test(hist, empty)
{
	static struct dp_hist h;
	cr_assert_eq(dp_hist_percentile(&h, 50), 0);
	cr_assert_eq(dp_hist_percentile(&h, 100), 0);
}

Test(hist, one_value_is_known_within_its_step)
{
	for (uint64_t value = 0; value < 1ull << 40; value += value / 7 + 1) {
		struct dp_hist h = {0};
		dp_hist_add(&h, value);
		uint64_t told = dp_hist_percentile(&h, 50);
		cr_assert(told <= value && (double)(value - told) <= (double)value * 0.016,
			"%llu is told as %llu", (unsigned long long)value,
			(unsigned long long)told);
		cr_assert_eq(h.max_us, value);
		dp_hist_clear(&h);
	}
}

Test(hist, percentiles_of_a_flat_distribution)
{
	static struct dp_hist h;
	for (uint64_t i = 1; i <= 10000; i++)
		dp_hist_add(&h, i);
	uint64_t before = 0;
	for (unsigned p = 0; p <= 100; p++) {
		uint64_t at = dp_hist_percentile(&h, p);
		cr_assert(at >= before, "not monotonic at %u", p);
		cr_assert(fabs((double)at - 100.0 * p) <= 100.0 * p * 0.016 + 2, "%u: %llu", p,
			(unsigned long long)at);
		before = at;
	}
	cr_assert_eq(h.count, 10000);
	cr_assert_eq(h.sum_us, 50005000);
	cr_assert_eq(dp_hist_percentile(&h, 100), 10000);
	dp_hist_clear(&h);
}

Test(hist, a_rare_outlier_shows_only_at_the_end)
{
	static struct dp_hist h;
	for (unsigned i = 0; i < 999; i++)
		dp_hist_add(&h, 10);
	dp_hist_add(&h, 5000000);
	cr_assert_eq(dp_hist_percentile(&h, 50), 10);
	cr_assert_eq(dp_hist_percentile(&h, 99), 10);
	cr_assert_gt(dp_hist_percentile(&h, 99.95), 4600000);
	dp_hist_clear(&h);
}

Test(hist, what_is_off_the_scale_is_kept)
{
	static struct dp_hist h;
	dp_hist_add(&h, UINT64_MAX);
	cr_assert_eq(h.max_us, UINT64_MAX);
	cr_assert_eq(dp_hist_percentile(&h, 100), UINT64_MAX);
	cr_assert_gt(dp_hist_percentile(&h, 50), 1ull << 40);
	dp_hist_clear(&h);
}

/* ---- buffers ---- */

static unsigned released;
static void *released_owner;

static void note_release(struct dp_buf *buf)
{
	released++;
	released_owner = buf->owner;
}

Test(buf, last_reference_frees)
{
	int owner;
	uint8_t bytes[4] = {1, 2, 3, 4};
	struct dp_buf *a = dp_buf_wrap(bytes, sizeof bytes, note_release, &owner);
	struct dp_buf *b = dp_buf_ref(a), *c = dp_buf_ref(b);
	cr_assert(a == b && b == c);
	cr_assert(a->data == bytes && a->size == sizeof bytes);
	dp_buf_unref(&a);
	cr_assert_null(a);
	dp_buf_unref(&c);
	cr_assert_eq(released, 0);
	dp_buf_unref(&b);
	cr_assert_eq(released, 1);
	cr_assert_eq(released_owner, &owner);
}

Test(buf, owns_its_bytes)
{
	struct dp_buf *buf = dp_buf_new(1000);
	cr_assert_eq(buf->size, 1000);
	memset(buf->data, 0x5a, buf->size);
	dp_buf_unref(&buf);
	cr_assert_null(buf);
	buf = dp_buf_new(0);
	cr_assert_not_null(buf);
	dp_buf_unref(&buf);
}

Test(buf, null_is_passed_through)
{
	struct dp_buf *none = NULL;
	cr_assert_null(dp_buf_ref(NULL));
	dp_buf_unref(&none);
	cr_assert_null(none);
}

/* ---- errors and bytes ---- */

Test(err, every_code_has_its_own_negative_number_and_text)
{
#define X(name, text) DP_E##name,
	static const int codes[] = {DP_ERRORS(X)};
#undef X
	for (size_t i = 0; i < COUNT(codes); i++) {
		cr_assert_lt(codes[i], 0);
		cr_assert_str_neq(dp_strerror(codes[i]), "unknown error");
		for (size_t j = 0; j < i; j++) {
			cr_assert_neq(codes[i], codes[j]);
			cr_assert_str_neq(dp_strerror(codes[i]), dp_strerror(codes[j]));
		}
	}
	cr_assert_str_eq(dp_strerror(0), "success");
	cr_assert_str_eq(dp_strerror(1), "unknown error");
	cr_assert_str_eq(dp_strerror(-1000), "unknown error");
}

Test(err, from_errno)
{
	static const struct {
		int from, to;
	} known[] = {{0, 0}, {ENOMEM, DP_ENOMEM}, {ENOSPC, DP_ENOSPC}, {ENOENT, DP_ENOENT},
		{EINVAL, DP_EINVAL}, {EAGAIN, DP_EAGAIN}, {EBUSY, DP_EBUSY}, {EPERM, DP_EPERM},
		{EACCES, DP_EPERM}, {EIO, DP_EIO}, {EXDEV, DP_EIO}};
	for (size_t i = 0; i < COUNT(known); i++)
		cr_assert_eq(dp_err_from_errno(known[i].from), known[i].to);
}

Test(bytes, little_endian_at_any_alignment)
{
	static const uint8_t wanted[] = {0x08, 0x07, 0x06, 0x05, 0x04, 0x03, 0x02, 0x01};
	uint8_t memory[24];
	for (size_t at = 0; at < 8; at++) {
		memset(memory, 0xee, sizeof memory);
		dp_put64(memory + at, 0x0102030405060708u);
		cr_assert_arr_eq(memory + at, wanted, 8);
		cr_assert_eq(memory[at + 8], 0xee);
		cr_assert_eq(dp_get64(memory + at), 0x0102030405060708u);
		dp_put32(memory + at, 0x05060708u);
		cr_assert_arr_eq(memory + at, wanted, 8);
		cr_assert_eq(dp_get32(memory + at), 0x05060708u);
		dp_put16(memory + at, 0x0708u);
		cr_assert_arr_eq(memory + at, wanted, 8);
		cr_assert_eq(dp_get16(memory + at), 0x0708u);
	}
}

/* ---- log lines ---- */

static FILE *lines;
static char line[4096];

/* From now on stderr is a file that next_line() reads. */
static void catch_lines(void)
{
	lines = tmpfile();
	cr_assert_not_null(lines);
	fflush(stderr);
	cr_assert_geq(dup2(fileno(lines), STDERR_FILENO), 0);
}

/* The whole of the next line without its end; NULL: there is none. */
static const char *next_line(void)
{
	static long at;
	fflush(stderr);
	fseek(lines, at, SEEK_SET);
	const char *got = fgets(line, sizeof line, lines);
	at = ftell(lines);
	if (got && !strchr(line, '\n'))
		cr_assert_fail("a line without an end");
	line[strcspn(line, "\n")] = 0;
	return got ? line : NULL;
}

/* The line behind its time, which must look like one. */
static const char *after_time(const char *text)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd.dddZ ";
	for (size_t i = 0; i < sizeof form - 1; i++)
		cr_assert(form[i] == 'd' ? text[i] >= '0' && text[i] <= '9' : text[i] == form[i],
			"no time in front of: %s", text);
	return text + sizeof form - 1;
}

Test(lines, have_time_level_node_event_and_keys)
{
	unsetenv("JOURNAL_STREAM");
	catch_lines();
	dp_log(DP_LOG_INFO, "early", "a=%d", 1);
	cr_assert_str_eq(after_time(next_line()), "info - early a=1");
	dp_log_open("nwk", DP_LOG_DEBUG, NULL);
	dp_log(DP_LOG_ERROR, "disk-failed", "file=%s error=\"%s\"", "journal.main", "no space");
	cr_assert_str_eq(after_time(next_line()),
		"error nwk disk-failed file=journal.main error=\"no space\"");
	static const char *const names[] = {"error", "warning", "notice", "info", "debug"};
	for (unsigned i = 0; i < COUNT(names); i++) {
		dp_log((enum dp_log_level)i, "x", "n=%u", i);
		cr_assert_eq(strncmp(after_time(next_line()), names[i], strlen(names[i])), 0);
	}
	cr_assert_null(next_line());
}

Test(lines, more_detail_than_asked_for_is_left_out)
{
	catch_lines();
	dp_log_open("n", DP_LOG_NOTICE, NULL);
	dp_log(DP_LOG_INFO, "no", "a=1");
	dp_log(DP_LOG_DEBUG, "no", "a=1");
	dp_log(DP_LOG_NOTICE, "yes", "a=1");
	cr_assert_not_null(strstr(next_line(), " yes "));
	cr_assert_null(next_line());
}

/* Names and texts may come from a peer. */
Test(lines, a_record_is_one_line)
{
	unsetenv("JOURNAL_STREAM");
	catch_lines();
	dp_log_open("n", DP_LOG_INFO, NULL);
	dp_log(DP_LOG_INFO, "odd", "text=\"%s\"", "a\n2026 error n fake\r\nb %s %n");
	cr_assert_str_eq(after_time(next_line()),
		"info n odd text=\"a 2026 error n fake  b %s %n\"");
	cr_assert_null(next_line());
}

Test(lines, long_ones_are_cut_off)
{
	char text[3000], name[100];
	catch_lines();
	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = 0;
	memset(name, 'n', sizeof name - 1);
	name[sizeof name - 1] = 0;
	dp_log_open(name, DP_LOG_INFO, NULL);
	dp_log(DP_LOG_INFO, "long", "text=%s", text);
	const char *got = after_time(next_line());
	cr_assert_eq(strncmp(got, "info nnnn", 9), 0);
	cr_assert_not_null(strstr(got, "n long text=xxx"));
	cr_assert_lt(strlen(line), 1024);
	cr_assert_gt(strlen(line), 900);
	cr_assert_null(next_line());
}

/* systemd's journal takes the level from in front. */
Test(lines, priorities_for_systemd)
{
	static const char *const prefixes[] = {"<3>", "<4>", "<5>", "<6>", "<7>"};
	catch_lines();
	setenv("JOURNAL_STREAM", "8:1234", 1);
	dp_log_open("n", DP_LOG_DEBUG, NULL);
	for (unsigned i = 0; i < COUNT(prefixes); i++) {
		dp_log((enum dp_log_level)i, "x", "n=%u", i);
		cr_assert_eq(strncmp(next_line(), prefixes[i], 3), 0);
		after_time(line + 3);
	}
}

/* ---- files of text ---- */

Test(textfile, is_replaced_as_a_whole)
{
	char dir[] = "/tmp/test_base.XXXXXX", path[64], *text;
	struct stat st;
	cr_assert_not_null(mkdtemp(dir));
	snprintf(path, sizeof path, "%s/file", dir);
	cr_assert_eq(dp_text_read(path, 100, &text), DP_ENOENT);
	cr_assert_eq(dp_text_can_write(path), 0);
	umask(0077);
	cr_assert_eq(dp_text_write(path, "one\n", 0644), 0);
	cr_assert_eq(dp_text_write(path, "two\n", 0644), 0);
	cr_assert_eq(dp_text_read(path, 4, &text), 0);
	cr_assert_str_eq(text, "two\n");
	free(text);
	cr_assert(stat(path, &st) == 0 && (st.st_mode & 0777) == 0644);
	cr_assert_eq(dp_text_read(path, 3, &text), DP_ERANGE);
	FILE *f = fopen(path, "w");
	cr_assert(f && fwrite("a\0b", 1, 3, f) == 3 && fclose(f) == 0);
	cr_assert_eq(dp_text_read(path, 100, &text), DP_EBADMSG);
	unlink(path);
	cr_assert_eq(rmdir(dir), 0, "something is left behind");
	cr_assert_eq(dp_text_write(path, "x", 0644), ENOENT);
	cr_assert_eq(dp_text_can_write(path), ENOENT);
}
