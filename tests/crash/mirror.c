/* SPDX-License-Identifier: MIT */
#include "mirror.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "crash.h"
#include "journal/internal.h"
#include "store/internal.h"

#define CONFIG   7
#define JOURNAL  (DP_DATA_START + 2 * DP_MIB + 256 * DP_KIB)
#define CHUNK    (4 * DP_KIB)
#define PATIENCE 3000

static const char *const files[MODEL_VOLUMES] = {"image.a", "image.b"};
const char *const mirror_notes[] = {"", "head: item", "tail: item",
	"agreed:", "epoch:", "may go back to item", "fallback: item", "promised:", "cached: item",
	"whole:"};

void sender_note(struct sender *s, const struct crash_note *note)
{
	uint64_t v = note->value;
	switch (note->kind) {
	case MIRROR_HEAD:
		s->head = (uint32_t)v;
		break;
	case MIRROR_TAIL:
		s->tail = (uint32_t)v;
		break;
	case MIRROR_AGREED:
		s->agreed = v;
		break;
	case MIRROR_EPOCH:
		s->epoch = v;
		break;
	case MIRROR_STANDS:
	case MIRROR_CACHED:
		s->cached = (uint32_t)v;
		break;
	case MIRROR_FALLBACK:
		s->fallback[s->generation % MIRROR_GENERATIONS] = (uint32_t)v;
		break;
	case MIRROR_PROMISED:
		s->promised = v;
		break;
	default:
		s->whole = v;
	}
}

/* For the mirror's life and for whoever reads the log later. */
static void note(struct mirror *m, unsigned kind, bool promise, uint64_t value)
{
	crashdisk_note(m->disk, kind, promise, value);
	sender_note(&m->above, &(struct crash_note){kind, promise, value});
}

const struct dp_core *mirror_core(const struct mirror *m)
{
	return dp_stream_core(m->stream);
}

uint32_t mirror_position(const struct mirror *m, struct dp_position at)
{
	for (uint32_t i = 0; i < m->model->count; i++)
		if (dp_position_equal(m->model->items[i].meta.at, at))
			return i;
	return MODEL_NONE;
}

/* ---- what the mirror says ---- */

static void told_cached(struct mirror *m, uint32_t end, uint64_t cached, bool whole)
{
	uint32_t item = end == MODEL_NONE ? MODEL_NONE : model_find(m->model, end, cached);
	if (item == MODEL_NONE)
		crash_fail("record %llu is said to be cached, which nobody has",
			(unsigned long long)cached);
	note(m, MIRROR_CACHED, true, item);
	if (whole && !m->above.whole)
		note(m, MIRROR_WHOLE, true, 1);
}

static void on_welcome(struct mirror *m, struct dp_welcome *w)
{
	note(m, MIRROR_PROMISED, true, w->last.promised);
	told_cached(m, mirror_position(m, w->last.at), w->cached, w->images == DP_IMAGES_WHOLE);
	m->waiting = false;
	m->welcome = malloc(sizeof *w);
	if (!m->welcome)
		abort();
	*m->welcome = *w;
}

static void on_ack(struct mirror *m, const struct dp_msg *msg)
{
	told_cached(m, m->above.head, msg->u.ack.cached, msg->u.ack.images == DP_IMAGES_WHOLE);
	m->acked = msg->u.ack.cached;
	m->told_whole = msg->u.ack.images == DP_IMAGES_WHOLE;
}

static void on_fetch(struct mirror *m, const struct dp_wanted *want)
{
	if (m->fetch_count == MIRROR_FETCHES) /* answers may get lost */
		memmove(m->fetches, m->fetches + 1, --m->fetch_count * sizeof *m->fetches);
	m->fetches[m->fetch_count++] = *want;
}

static void on_send_up(void *ctx, struct dp_stream *s, uint32_t peer, struct dp_msg *msg)
{
	struct mirror *m = ctx;
	(void)s;
	(void)peer;
	if (!m->dying && msg->session == m->session) {
		if (msg->type == DP_MSG_WELCOME)
			on_welcome(m, msg->u.welcome);
		else if (msg->type == DP_MSG_ACK)
			on_ack(m, msg);
		else if (msg->type == DP_MSG_NAK)
			m->nak = msg->u.nak.seq;
		else if (msg->type == DP_MSG_FETCH)
			on_fetch(m, &msg->u.read);
		else if (!m->disk->failed)
			crash_fail("the mirror refuses a session: %u", msg->u.refuse.reason);
	}
	dp_msg_clear(msg);
}

static void on_send_down(void *ctx, struct dp_stream *s, uint32_t link, struct dp_msg *msg)
{
	(void)ctx;
	(void)s;
	(void)link;
	dp_msg_clear(msg);
}

static void on_reply(void *ctx, struct dp_stream *s, void *tag, int err, uint64_t set,
	struct dp_buf *data)
{
	(void)ctx;
	(void)s;
	(void)tag;
	(void)err;
	(void)set;
	(void)data;
}

static void on_alarm(void *ctx, struct dp_stream *s, enum dp_alarm alarm, uint32_t peer)
{
	(void)ctx;
	(void)s;
	(void)alarm;
	(void)peer;
}

/* ---- life ---- */

struct mirror *mirror_new(struct crashdisk *disk, struct model *model, const struct sender *above)
{
	struct mirror *m = calloc(1, sizeof *m);
	if (!m)
		abort();
	m->disk = disk;
	m->model = model;
	m->above = *above;
	return m;
}

int mirror_open(struct mirror *m)
{
	static const struct dp_stream_ops ops = {
		on_send_up, on_send_down, on_reply, NULL, on_alarm};
	struct dp_store_volume volumes[MODEL_VOLUMES];
	for (unsigned v = 0; v < MODEL_VOLUMES; v++)
		volumes[v] = (struct dp_store_volume){
			.id = MODEL_VOLUME(v), .size = m->model->sizes[v], .file = files[v]};
	struct dp_stream_config cfg = {
		.core = {.stream = MODEL_STREAM,
			.config = CONFIG,
			.role = DP_CORE_MIRROR,
			.image = true,
			.keep_serving = DP_DOWN_MAX,
			.window_bytes = DP_MIB},
		.now_us = &m->now_us,
		.journal_file = "journal",
		.journal_size = JOURNAL,
		.random = 4711,
		.volumes = volumes,
		.volume_count = MODEL_VOLUMES,
	};
	int err = dp_stream_open(&m->disk->base, &cfg, &ops, m, &m->stream);
	if (!err)
		dp_store_resync_step(dp_stream_store(m->stream),
			(struct resync_step){CHUNK, 3, 3 * CHUNK});
	return err;
}

void mirror_start(struct mirror *m)
{
	dp_stream_start(m->stream);
}

void mirror_close(struct mirror *m)
{
	m->dying = true;
	if (crashdisk_waiting(m->disk))
		crashdisk_die(m->disk);
	dp_stream_close(&m->stream);
	free(m->welcome);
	m->welcome = NULL;
}

void mirror_free(struct mirror *m)
{
	free(m);
}

/* ---- what the sender does ---- */

static void deliver(struct mirror *m, uint8_t type, struct dp_msg *msg)
{
	msg->type = type;
	msg->stream = MODEL_STREAM;
	msg->session = m->session;
	dp_stream_from_up(m->stream, 1, msg, false);
	dp_stream_flush(m->stream);
}

void mirror_hello(struct mirror *m, uint64_t epoch)
{
	struct dp_msg msg = {.u.hello = {.epoch = epoch, .config = CONFIG}};
	note(m, MIRROR_EPOCH, false, epoch);
	m->session++;
	m->waiting = true;
	m->started = false;
	m->nak = 0;
	m->fetch_count = 0;
	free(m->welcome);
	m->welcome = NULL;
	deliver(m, DP_MSG_HELLO, &msg);
}

void mirror_make(struct mirror *m, const struct model_write *w)
{
	struct model_write made = *w;
	made.agreed = m->above.agreed;
	struct dp_record *r = model_make(&m->model->items[m->above.head].meta, m->above.epoch,
		&made);
	note(m, MIRROR_HEAD, false, model_record(m->model, m->above.head, r));
	dp_record_unref(&r);
}

void mirror_agree(struct mirror *m, uint64_t seq)
{
	note(m, MIRROR_AGREED, false, seq);
}

void mirror_take_over(struct mirror *m, uint64_t seq)
{
	note(m, MIRROR_HEAD, false, model_find(m->model, m->above.head, seq));
}

void mirror_forget(struct mirror *m, uint64_t seq)
{
	note(m, MIRROR_TAIL, false, model_find(m->model, m->above.head, seq));
}

static uint64_t seq_of(const struct mirror *m, uint32_t item)
{
	return m->model->items[item].meta.at.seq;
}

void mirror_send(struct mirror *m)
{
	if (!m->started || m->sent == seq_of(m, m->above.head))
		return;
	uint32_t item = model_find(m->model, m->above.head, m->sent + 1);
	struct dp_msg msg = {.u.record = m->model->items[item].record};
	m->sent++;
	deliver(m, DP_MSG_RECORD, &msg);
}

void mirror_marks(struct mirror *m)
{
	struct dp_msg msg = {.u.marks = {.agreed = m->above.agreed, .sent = m->sent}};
	if (m->started)
		deliver(m, DP_MSG_MARKS, &msg);
}

/* As another mirror would. */
static struct dp_found find(struct mirror *m, const struct dp_wanted *w, uint64_t seq,
	const uint8_t *content)
{
	uint8_t digest[DP_WANTED_DIGEST];
	uint64_t zeros = 0, size = m->model->sizes[w->volume - MODEL_VOLUME(0)] - w->offset;
	struct dp_found f = {.id = w->id, .kind = DP_FOUND_DATA, .length = w->length, .seq = seq};
	while (zeros < size && content[zeros] == 0)
		zeros++;
	dp_store_chunk_digest(content, w->length, digest);
	if (zeros >= w->length) {
		f.kind = DP_FOUND_ZEROS;
		f.length = zeros;
	} else if (memcmp(digest, w->digest, sizeof digest) == 0) {
		f.kind = DP_FOUND_SAME;
	}
	return f;
}

void mirror_fill(struct mirror *m, unsigned which, uint64_t seq)
{
	struct dp_wanted w = m->fetches[which];
	m->fetches[which] = m->fetches[--m->fetch_count];
	if (seq < w.min_seq)
		seq = w.min_seq;
	uint32_t item = model_find(m->model, m->above.head, seq);
	const uint8_t *content = model_content(m->model, item) + w.offset;
	for (unsigned v = 0; v < w.volume - MODEL_VOLUME(0); v++)
		content += m->model->sizes[v];
	struct dp_msg msg = {.u.data = find(m, &w, seq, content)};
	if (msg.u.data.kind == DP_FOUND_DATA) {
		msg.payload = dp_buf_new(w.length);
		memcpy(msg.payload->data, content, w.length);
	}
	deliver(m, DP_MSG_FILL, &msg);
	dp_buf_unref(&msg.payload);
}

static void send_start(struct mirror *m, uint32_t at)
{
	struct dp_msg msg = {
		.u.start = {.at = m->model->items[at].meta.at, .agreed = m->above.agreed}};
	m->sent = seq_of(m, at);
	deliver(m, DP_MSG_START, &msg);
}

static void send_reset(struct mirror *m, uint32_t at)
{
	const struct dp_images *images = &mirror_core(m)->log.last.images;
	struct dp_reset reset = {
		.common = seq_of(m, at), .meta = m->model->items[m->above.tail].meta};
	struct dp_msg msg = {.u.reset = &reset};
	if (!images->building) {
		m->above.generation = images->generation;
		note(m, MIRROR_FALLBACK, false, at);
	}
	note(m, MIRROR_WHOLE, false, 0);
	m->sent = seq_of(m, m->above.tail);
	m->told_whole = false;
	deliver(m, DP_MSG_RESET, &msg);
}

static void answer_welcome(struct mirror *m)
{
	uint32_t has = mirror_position(m, m->welcome->last.at);
	uint32_t at = model_common(m->model, has, m->above.head);
	free(m->welcome);
	m->welcome = NULL;
	m->started = true;
	if (at != has)
		note(m, MIRROR_STANDS, false, at);
	if (seq_of(m, at) < seq_of(m, m->above.tail))
		send_reset(m, at);
	else
		send_start(m, at);
}

void mirror_answer(struct mirror *m)
{
	if (m->welcome)
		answer_welcome(m);
	if (m->nak && m->nak <= m->sent && m->nak > seq_of(m, m->above.tail))
		m->sent = m->nak - 1;
	m->nak = 0;
}

void mirror_tick(struct mirror *m, uint64_t after_us)
{
	m->now_us += after_us;
	dp_stream_tick(m->stream);
}

void mirror_step(struct mirror *m, uint32_t which)
{
	crashdisk_step(m->disk, which);
	dp_stream_flush(m->stream);
}

static bool settled(const struct mirror *m)
{
	uint64_t head = seq_of(m, m->above.head);
	uint64_t agreed = m->above.agreed < head ? m->above.agreed : head;
	return m->acked == head && mirror_core(m)->image.applied >= agreed && m->told_whole;
}

void mirror_settle(struct mirror *m)
{
	for (unsigned i = 0; i < PATIENCE; i++) {
		mirror_answer(m);
		mirror_send(m);
		while (m->fetch_count)
			mirror_fill(m, 0, seq_of(m, m->above.head));
		if (i % 16 == 0) {
			mirror_marks(m);
			mirror_tick(m, DP_CORE_PROBE_US);
		}
		while (crashdisk_waiting(m->disk))
			mirror_step(m, 0);
		if (settled(m) || mirror_core(m)->state == DP_CORE_FAILED)
			return;
	}
	crash_fail("the mirror never gets there");
}

/* ---- images ---- */

static const uint8_t *image(const struct mirror *m, unsigned v, uint64_t generation)
{
	char name[64];
	uint64_t size;
	snprintf(name, sizeof name, generation ? "%s.%llu" : "%s", files[v],
		(unsigned long long)generation);
	return memdisk_bytes(m->disk->mem, name, &size);
}

bool mirror_has_images(const struct mirror *m, uint64_t generation)
{
	return image(m, 0, generation) || image(m, 1, generation);
}

void mirror_check_images(struct mirror *m, uint64_t generation, uint32_t item)
{
	const uint8_t *want = model_content(m->model, item);
	for (unsigned v = 0; v < MODEL_VOLUMES; v++) {
		const uint8_t *have = image(m, v, generation);
		uint64_t at = 0, size = m->model->sizes[v];
		if (!have)
			crash_fail("image %s, generation %llu, is gone", files[v],
				(unsigned long long)generation);
		while (at < size && have[at] == want[at])
			at++;
		if (at < size)
			crash_fail("image %s, generation %llu, differs from record %llu at byte "
				   "%llu",
				files[v], (unsigned long long)generation,
				(unsigned long long)seq_of(m, item), (unsigned long long)at);
		want += size;
	}
}
