/* SPDX-License-Identifier: MIT */
/* The core of a sealed stream: what no holder of it has sealed is refused, wherever it comes from.
 */
#include "enginerig.h"

#include "base/crc32c.h"

enum { CONTROLLER, MIRROR, FORGER, NODES };

static struct dp_seal *seals[NODES];

static struct dp_seal *new_seal(const uint8_t (*holders)[DP_SEAL_KEY_SIZE], const uint8_t *secret)
{
	uint8_t random[32];
	struct dp_seal *s;
	randombytes_buf(random, sizeof random);
	cr_assert_eq(dp_seal_new(STREAM, DP_SEAL_CHACHA20POLY1305, secret, NULL, holders, 2, random,
			     &s),
		0);
	return s;
}

static void make_seals(void)
{
	uint8_t public[NODES][DP_SEAL_KEY_SIZE], secret[NODES][DP_SEAL_KEY_SIZE];
	cr_assert_geq(sodium_init(), 0);
	for (unsigned i = 0; i < NODES; i++)
		crypto_box_keypair(public[i], secret[i]);
	for (unsigned i = 0; i < NODES; i++) /* whoever it is knows the public keys */
		seals[i] = new_seal((const uint8_t(*)[DP_SEAL_KEY_SIZE]) public, secret[i]);
}

static void end(void)
{
	for (unsigned i = 0; i < NODES; i++)
		dp_seal_free(&seals[i]);
	done();
}

TestSuite(core_seal, .init = make_seals, .fini = end);

static struct dp_record *sealed_behind(unsigned by, uint64_t seq, uint64_t previous, uint64_t prior)
{
	struct dp_buf *data = dp_buf_new(512);
	memset(data->data, (int)seq, 512);
	struct dp_header h = {.op = DP_OP_WRITE,
		.stream = STREAM,
		.volume = 1,
		.length = 512,
		.epoch = 1,
		.seq = seq,
		.set = 1,
		.client = 9,
		.request = seq,
		.prior = prior};
	struct dp_buf *payload = dp_seal_record(seals[by], &h, data);
	dp_buf_unref(&data);
	h.payload_crc = dp_crc32c(0, payload->data, payload->size);
	h.chain = dp_chain_next(previous, &h);
	return dp_record_new(&h, payload);
}

static struct dp_record *sealed_record(unsigned by, uint64_t seq, uint64_t previous)
{
	return sealed_behind(by, seq, previous, previous);
}

static void send(struct dp_record *r)
{
	from_up((struct dp_msg){.type = DP_MSG_RECORD, .session = 100, .u.record = r});
}

static uint64_t last(void)
{
	return core.log.last.at.seq;
}

Test(core_seal, a_mirror_takes_only_what_a_holder_sealed)
{
	open_mirror();
	core.cfg.seal = seals[MIRROR];
	uint64_t start = dp_chain_start(STREAM);
	send(sealed_record(FORGER, 1, start));
	cr_assert_eq(last(), 0, "a record of somebody else is taken");
	cr_assert_eq(find(DP_ACT_SEND_UP, DP_MSG_NAK)->msg.u.nak.seq, 1);
	cr_assert_not_null(find(DP_ACT_ALARM, 0));
	now += DP_CORE_PROBE_US;
	send(record(1, start));
	cr_assert_eq(last(), 0, "an open record is taken");
	cr_assert_not_null(find(DP_ACT_SEND_UP, DP_MSG_NAK));
	cr_assert_null(find(DP_ACT_ALARM, 0), "the same alarm with every record");
	cr_assert_eq(core.bad_records, 2);
	send(sealed_record(CONTROLLER, 1, start));
	cr_assert_eq(last(), 1);
}

/* A relay can give genuine records of two histories chains that fit, and cannot say under seal that
 * they do. */
Test(core_seal, a_record_of_another_history_is_refused)
{
	open_mirror();
	core.cfg.seal = seals[MIRROR];
	uint64_t start = dp_chain_start(STREAM);
	send(sealed_record(CONTROLLER, 1, start));
	uint64_t chain = core.log.last.at.chain;
	send(sealed_behind(CONTROLLER, 2, chain, chain + 1));
	cr_assert_eq(last(), 1, "spliced");
	cr_assert_not_null(find(DP_ACT_ALARM, 0));
	send(sealed_record(CONTROLLER, 2, chain));
	cr_assert_eq(last(), 2);
}

Test(core_seal, a_mirror_that_cannot_open_it_takes_nothing_sealed)
{
	open_mirror();
	send(sealed_record(CONTROLLER, 1, dp_chain_start(STREAM)));
	cr_assert_eq(last(), 0, "ciphertext is taken for data");
	cr_assert_not_null(find(DP_ACT_ALARM, 0));
}

Test(core_seal, a_relay_hands_on_what_it_cannot_open)
{
	open_relay();
	struct dp_record *r = sealed_record(CONTROLLER, 1, dp_chain_start(STREAM));
	send(dp_record_ref(r));
	cr_assert_eq(find(DP_ACT_SEND_DOWN, DP_MSG_RECORD)->msg.u.record->payload, r->payload,
		"a copy");
	dp_record_unref(&r);
}

Test(core_seal, a_controller_adopts_only_what_a_holder_sealed)
{
	make(DP_CORE_CONTROLLER, 1, 1, DP_CORE_CACHED);
	core.cfg.seal = seals[CONTROLLER];
	step((struct dp_event){.type = DP_EV_START, .u.start = {.random = 3, .instance = 5}});
	step((struct dp_event){.type = DP_EV_BARRIER, .u.seq = barrier_token()});
	core.log.last.promised = core.epoch = 9;
	core.recover.epochs_known = true; /* which epochs are taken */
	struct dp_record *right = sealed_record(CONTROLLER, 1, dp_chain_start(STREAM));
	struct dp_record *forged = sealed_record(FORGER, 1, dp_chain_start(STREAM));
	welcome_with(0, (struct dp_position){1, 1, right->h.chain});
	cr_assert_eq(core.state, DP_CORE_ADOPTING);
	from_down(0, (struct dp_msg){.type = DP_MSG_RECORD, .u.record = forged});
	cr_assert_eq(last(), 0);
	cr_assert_not_null(find(DP_ACT_ALARM, 0));
	from_down(0, (struct dp_msg){.type = DP_MSG_RECORD, .u.record = right});
	cr_assert_eq(last(), 1);
	cr_assert_eq(core.state, DP_CORE_OPEN);
}

Test(core_seal, every_record_of_a_controller_is_sealed)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.seal = seals[CONTROLLER];
	const uint8_t ops[] = {DP_OP_TRIM, DP_OP_ZERO, DP_OP_FLUSH};
	for (unsigned i = 0; i < 3; i++) {
		host(ops[i], i + 1, &core);
		const struct dp_record *r = find(DP_ACT_SEND_DOWN, DP_MSG_RECORD)->msg.u.record;
		cr_assert(r->h.flags & DP_RECORD_SEALED);
		cr_assert_eq(dp_seal_open_record(seals[MIRROR], r, NULL), 0, "op %u", ops[i]);
	}
}

/* ---- reads ---- */

static struct dp_wanted ask(uint64_t min_seq)
{
	struct dp_host_request r = {.tag = &core, .volume = 1, .length = 512};
	core.replied = min_seq;
	step((struct dp_event){.type = DP_EV_READ, .u.host = &r});
	return find(DP_ACT_SEND_DOWN, DP_MSG_READ)->msg.u.read;
}

static void answer(uint32_t leg, struct dp_found f, struct dp_buf *payload)
{
	from_down(leg, (struct dp_msg){.type = DP_MSG_DATA, .u.data = f, .payload = payload});
}

static struct dp_buf *close_answer(unsigned by, const struct dp_wanted *w, const struct dp_found *f)
{
	struct dp_buf *data = dp_buf_new(w->length);
	memset(data->data, 0x5a, w->length);
	struct dp_buf *sealed = dp_seal_found(seals[by], w, f, data);
	dp_buf_unref(&data);
	return sealed;
}

Test(core_seal, a_host_reads_what_a_mirror_sealed)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.seal = seals[CONTROLLER];
	struct dp_wanted w = ask(5);
	struct dp_found f = {.id = w.id, .seq = 5, .length = 512};
	answer(0, f, close_answer(MIRROR, &w, &f));
	const struct dp_action *a = find(DP_ACT_DATA, 0);
	cr_assert(a && a->err == 0 && a->data->size == 512 && a->data->data[511] == 0x5a);
}

/* Each time the other leg is asked, and a host never sees such bytes. */
static void refused(struct dp_found f, const struct dp_wanted *w, struct dp_buf *payload,
	const char *what)
{
	f.id = w->id;
	answer(0, f, payload);
	cr_assert_null(find(DP_ACT_DATA, 0), "%s", what);
	const struct dp_action *again = NULL;
	for (unsigned i = 0; i < 100 && !again; i++) {
		step((struct dp_event){.type = DP_EV_TICK});
		again = find(DP_ACT_SEND_DOWN, DP_MSG_READ);
	}
	cr_assert(again && again->peer == 1, "%s", what);
	struct dp_found right = {.id = w->id, .seq = 9, .length = 512};
	answer(1, right, close_answer(MIRROR, w, &right));
	cr_assert_eq(find(DP_ACT_DATA, 0)->err, 0, "%s", what);
	core.reads.turn = 0;
}

Test(core_seal, a_host_never_reads_what_a_relay_makes_up)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.seal = seals[CONTROLLER];
	struct dp_wanted w = ask(5), other;
	struct dp_found f = {.seq = 5, .length = 512};
	refused(f, &w, close_answer(FORGER, &w, &f), "of somebody else");
	w = ask(5);
	refused(f, &w, dp_buf_new(512), "open");
	w = ask(5);
	refused(f, &w, NULL, "empty");
	w = other = ask(5);
	other.offset = 4096;
	refused(f, &w, close_answer(MIRROR, &other, &f), "of another place");
	/* The mirror was told that it need not have the newest, and says truly what it has seen in
	 * the end. */
	w = other = ask(5);
	other.min_seq = 4;
	refused(f, &w, close_answer(MIRROR, &other, &f), "of before a write that was answered");
	w = ask(5);
	struct dp_found old = {.seq = 4, .length = 512};
	refused(f, &w, close_answer(MIRROR, &w, &old),
		"one that has seen less than it is made to say");
}

Test(core_seal, a_mirror_seals_its_answers)
{
	open_mirror();
	core.cfg.seal = seals[MIRROR];
	struct dp_wanted w = {.id = 7, .volume = 1, .length = 512, .compare = true};
	from_up((struct dp_msg){.type = DP_MSG_READ, .session = 100, .u.read = w});
	for (uint32_t kind = DP_FOUND_DATA; kind <= DP_FOUND_ZEROS; kind++) {
		if (kind)
			from_up((struct dp_msg){.type = DP_MSG_READ, .session = 100, .u.read = w});
		struct dp_found f = {
			.id = find(DP_ACT_READ, 0)->want.id, .kind = kind, .length = 512};
		struct dp_buf *data = kind == DP_FOUND_DATA ? dp_buf_new(512) : NULL;
		step((struct dp_event){.type = DP_EV_IMAGE, .u.image = {f, data}});
		const struct dp_msg *m = &find(DP_ACT_SEND_UP, DP_MSG_DATA)->msg;
		struct dp_buf *plain;
		cr_assert_eq(dp_seal_open_found(seals[CONTROLLER], &w, &m->u.data, m->payload,
				     &plain),
			0);
		cr_assert_eq(plain ? plain->size : 0, data ? 512 : 0);
		dp_buf_unref(&plain);
		dp_buf_unref(&data);
	}
}

/* What a controller's own image answers to a mirror that is resynced. */
Test(core_seal, a_controller_seals_what_it_fills_a_mirror_with)
{
	open_controller(2, DP_CORE_CACHED);
	core.cfg.seal = seals[CONTROLLER];
	core.can.keeps_images = true;
	struct dp_wanted w = {.id = 7, .volume = 1, .length = 512, .compare = true};
	from_down(0, (struct dp_msg){.type = DP_MSG_FETCH, .u.read = w});
	struct dp_found f = {
		.id = find(DP_ACT_READ, 0)->want.id, .kind = DP_FOUND_ZEROS, .length = 512};
	step((struct dp_event){.type = DP_EV_IMAGE, .u.image = {f, NULL}});
	const struct dp_msg *m = &find(DP_ACT_SEND_DOWN, DP_MSG_FILL)->msg;
	struct dp_buf *plain;
	cr_assert_eq(m->u.data.id, 7);
	cr_assert_eq(dp_seal_open_found(seals[MIRROR], &w, &m->u.data, m->payload, &plain), 0);
}
