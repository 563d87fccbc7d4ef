/* SPDX-License-Identifier: MIT */
/* The links of a node: who may connect, what is taken from whom, that nothing odd does harm, and
 * two nodes that talk over them. Ports are chosen by the system. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "base/crc32c.h"
#include "base/err.h"
#include "testnode.h"

#define LIMIT_US 10000000 /* for what must happen */
#define PAUSE_US 150000   /* for what must not */

struct keys {
	char public[DP_KEY_SIZE], secret[DP_KEY_SIZE];
};

static struct keys new_keys(void)
{
	struct keys k;
	cr_assert_eq(zmq_curve_keypair(k.public, k.secret), 0);
	return k;
}

static void allow(struct testnode *t, const char *node, const struct keys *k)
{
	struct dp_node_key *key = &t->cfg.keys[t->cfg.key_count++];
	snprintf(key->node, sizeof key->node, "%s", node);
	memcpy(key->key, k->public, DP_KEY_SIZE);
}

/* A mirror that takes its stream from the node "above". */
static struct testnode *new_mirror(bool curve, struct keys *own)
{
	struct testnode *t = testnode_new("below", DP_CORE_MIRROR);
	*own = new_keys();
	snprintf(t->cfg.listen, sizeof t->cfg.listen, "tcp://127.0.0.1:*");
	snprintf(t->cfg.streams[0].upstream, sizeof t->cfg.streams[0].upstream, "above");
	t->cfg.listen_curve = curve;
	memcpy(t->cfg.public_key, own->public, DP_KEY_SIZE);
	memcpy(t->cfg.secret_key, own->secret, DP_KEY_SIZE);
	testnode_start(t);
	cr_assert_eq(net_open(&t->n), 0);
	return t;
}

static const struct dp_core *core(const struct testnode *t)
{
	return dp_stream_core(t->n.streams[0].stream);
}

/* ---- a sender made by hand ---- */

struct sender {
	void *zmq, *socket;
	uint64_t session;
};

static struct sender new_sender(struct testnode *to, const struct keys *theirs,
	const struct keys *own)
{
	struct sender s = {.zmq = zmq_ctx_new(), .session = 1};
	int none = 0;
	s.socket = zmq_socket(s.zmq, ZMQ_DEALER);
	zmq_setsockopt(s.socket, ZMQ_LINGER, &none, sizeof none);
	if (theirs) {
		zmq_setsockopt(s.socket, ZMQ_CURVE_SERVERKEY, theirs->public, DP_KEY_SIZE - 1);
		zmq_setsockopt(s.socket, ZMQ_CURVE_PUBLICKEY, own->public, DP_KEY_SIZE - 1);
		zmq_setsockopt(s.socket, ZMQ_CURVE_SECRETKEY, own->secret, DP_KEY_SIZE - 1);
	}
	cr_assert_eq(zmq_connect(s.socket, testnode_address(to)), 0);
	return s;
}

static void end_sender(struct sender *s)
{
	zmq_close(s->socket);
	zmq_ctx_term(s->zmq);
}

static void send_message(struct sender *s, struct dp_msg *m)
{
	uint8_t head[DP_MSG_HEAD_MAX];
	m->stream = TEST_STREAM;
	m->session = s->session;
	struct dp_buf *payload = dp_msg_payload(m);
	uint32_t size = dp_msg_encode(m, head);
	cr_assert_geq(zmq_send(s->socket, head, size, payload ? ZMQ_SNDMORE : 0), 0);
	if (payload)
		cr_assert_geq(zmq_send(s->socket, payload->data, payload->size, 0), 0);
}

static void send_hello(struct sender *s)
{
	struct dp_msg m = {.type = DP_MSG_HELLO, .u.hello = {.epoch = 1, .config = 1}};
	send_message(s, &m);
}

/* The next message that comes back; false: none within the time. */
static bool receive(struct testnode *t, struct sender *s, struct dp_msg *m, uint64_t limit_us)
{
	uint64_t end = node_clock_us() + limit_us;
	while (node_clock_us() < end) {
		testnode_turn(t);
		zmq_pollitem_t item = {.socket = s->socket, .events = ZMQ_POLLIN};
		if (zmq_poll(&item, 1, 1) <= 0)
			continue;
		uint8_t head[DP_MSG_HEAD_MAX];
		int size = zmq_recv(s->socket, head, sizeof head, 0), more;
		size_t more_size = sizeof more;
		cr_assert(size > 0 && size <= (int)sizeof head);
		zmq_getsockopt(s->socket, ZMQ_RCVMORE, &more, &more_size);
		struct dp_buf *payload = NULL;
		if (more) {
			payload = dp_buf_new(DP_PAYLOAD_MAX);
			int got = zmq_recv(s->socket, payload->data, DP_PAYLOAD_MAX, 0);
			payload->size = (size_t)got;
		}
		cr_assert_eq(dp_msg_decode(head, (size_t)size, payload, m), 0);
		return true;
	}
	return false;
}

static void expect(struct testnode *t, struct sender *s, uint8_t type)
{
	struct dp_msg m;
	cr_assert(receive(t, s, &m, LIMIT_US), "no answer");
	cr_assert_eq(m.type, type, "%s instead of %s", dp_msg_name(m.type), dp_msg_name(type));
	cr_assert(m.stream == TEST_STREAM && m.session == s->session);
	dp_msg_clear(&m);
}

static void expect_silence(struct testnode *t, struct sender *s)
{
	struct dp_msg m;
	cr_assert_not(receive(t, s, &m, PAUSE_US), "%s comes back", dp_msg_name(m.type));
}

static void wait_for(struct testnode *t, const uint64_t *counter, uint64_t value)
{
	uint64_t end = node_clock_us() + LIMIT_US;
	while (*counter < value) {
		cr_assert_lt(node_clock_us(), end, "%u of %u", (unsigned)*counter, (unsigned)value);
		testnode_turn(t);
		zmq_poll(NULL, 0, 1);
	}
}

/* ---- who may connect ---- */

Test(key, of_the_node_above_is_heard)
{
	struct keys own, above = new_keys();
	struct testnode *t = new_mirror(true, &own);
	allow(t, "above", &above);
	struct sender s = new_sender(t, &own, &above);
	send_hello(&s);
	expect(t, &s, DP_MSG_WELCOME);
	cr_assert_eq(core(t)->log.last.promised, 1);
	cr_assert(t->n.refused_keys == 0 && t->n.bad_messages == 0);
	end_sender(&s);
	testnode_free(t);
}

Test(key, that_is_not_listed_is_refused)
{
	struct keys own, above = new_keys(), other = new_keys();
	struct testnode *t = new_mirror(true, &own);
	allow(t, "above", &above);
	struct sender s = new_sender(t, &own, &other);
	send_hello(&s);
	wait_for(t, &t->n.refused_keys, 1);
	expect_silence(t, &s);
	cr_assert_eq(core(t)->log.last.promised, 0);
	cr_assert_eq(t->n.bad_messages, 0, "something of it arrives");
	struct sender right = new_sender(t, &own, &above);
	send_hello(&right);
	expect(t, &right, DP_MSG_WELCOME);
	end_sender(&s);
	end_sender(&right);
	testnode_free(t);
}

/* A key of the deployment speaks for its own node only. */
Test(key, of_another_node_may_not_send)
{
	struct keys own, above = new_keys(), other = new_keys();
	struct testnode *t = new_mirror(true, &own);
	allow(t, "other", &other);
	allow(t, "above", &above);
	struct sender s = new_sender(t, &own, &other);
	send_hello(&s);
	wait_for(t, &t->n.bad_messages, 1);
	expect_silence(t, &s);
	cr_assert(t->n.refused_keys == 0 && core(t)->log.last.promised == 0);
	end_sender(&s);
	testnode_free(t);
}

Test(key, is_asked_of_everybody)
{
	struct keys own;
	struct testnode *t = new_mirror(true, &own);
	struct sender s = new_sender(t, NULL, NULL);
	send_hello(&s);
	expect_silence(t, &s);
	cr_assert(t->n.bad_messages == 0 && core(t)->log.last.promised == 0);
	end_sender(&s);
	testnode_free(t);
}

/* The sender knows the node by its key as well. */
Test(key, of_the_node_itself_must_be_right)
{
	struct keys own, above = new_keys(), other = new_keys();
	struct testnode *t = new_mirror(true, &own);
	allow(t, "above", &above);
	struct sender s = new_sender(t, &other, &above);
	send_hello(&s);
	expect_silence(t, &s);
	cr_assert_eq(core(t)->log.last.promised, 0);
	end_sender(&s);
	testnode_free(t);
}

Test(key, is_not_needed_on_a_trusted_link)
{
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	struct sender s = new_sender(t, NULL, NULL);
	send_hello(&s);
	expect(t, &s, DP_MSG_WELCOME);
	cr_assert_eq(t->n.refused_keys, 0);
	end_sender(&s);
	testnode_free(t);
}

/* ---- what comes from above ---- */

static struct dp_record *make_record(uint64_t seq, uint64_t *chain, uint32_t size)
{
	struct dp_buf *payload = dp_buf_new(size);
	memset(payload->data, (int)seq, size);
	struct dp_header h = {.op = DP_OP_WRITE,
		.stream = TEST_STREAM,
		.volume = TEST_VOLUME,
		.length = size,
		.epoch = 1,
		.seq = seq,
		.set = 1,
		.client = 9,
		.request = seq,
		.payload_len = size,
		.payload_crc = dp_crc32c(0, payload->data, size)};
	h.chain = *chain = dp_chain_next(*chain, &h);
	return dp_record_new(&h, payload);
}

static void open_session(struct testnode *t, struct sender *s)
{
	send_hello(s);
	expect(t, s, DP_MSG_WELCOME);
	struct dp_msg start = {
		.type = DP_MSG_START, .u.start.at = {0, 0, dp_chain_start(TEST_STREAM)}};
	send_message(s, &start);
	expect(t, s, DP_MSG_ACK);
}

Test(up, records_are_taken_and_read_back)
{
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	struct sender s = new_sender(t, NULL, NULL);
	open_session(t, &s);
	uint64_t chain = dp_chain_start(TEST_STREAM);
	static const uint32_t sizes[] = {1, 100, 4096, DP_PAYLOAD_MAX};
	for (uint64_t i = 1; i <= 4; i++) {
		struct dp_msg m = {
			.type = DP_MSG_RECORD, .u.record = make_record(i, &chain, sizes[i - 1])};
		send_message(&s, &m);
		dp_msg_clear(&m);
		struct dp_msg ack = {.u.ack.cached = 0};
		while (ack.u.ack.cached < i) {
			cr_assert(receive(t, &s, &ack, LIMIT_US));
			cr_assert_eq(ack.type, DP_MSG_ACK);
		}
		cr_assert_eq(ack.u.ack.committed, i);
	}
	cr_assert_eq(core(t)->log.last.at.chain, chain);
	struct dp_msg m = {.type = DP_MSG_READ,
		.u.read = {.id = 3, .min_seq = 4, .volume = TEST_VOLUME, .length = DP_PAYLOAD_MAX}};
	send_message(&s, &m);
	struct dp_msg data;
	cr_assert(receive(t, &s, &data, LIMIT_US));
	cr_assert(data.type == DP_MSG_DATA && data.u.data.id == 3 && data.u.data.status == 0);
	cr_assert_eq(data.payload->size, DP_PAYLOAD_MAX);
	for (uint32_t i = 0; i < DP_PAYLOAD_MAX; i++)
		cr_assert_eq(data.payload->data[i], 4);
	dp_msg_clear(&data);
	cr_assert_eq(t->n.bad_messages, 0);
	end_sender(&s);
	testnode_free(t);
}

/* What the network did to a record is found and the record is asked for again. */
Test(up, a_damaged_record_is_asked_for_again)
{
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	struct sender s = new_sender(t, NULL, NULL);
	open_session(t, &s);
	uint64_t chain = dp_chain_start(TEST_STREAM);
	struct dp_msg m = {.type = DP_MSG_RECORD, .u.record = make_record(1, &chain, 5000)};
	m.u.record->payload->data[4999] ^= 0x10;
	send_message(&s, &m);
	expect(t, &s, DP_MSG_NAK);
	cr_assert_eq(core(t)->log.last.at.seq, 0);
	m.u.record->payload->data[4999] ^= 0x10;
	send_message(&s, &m);
	expect(t, &s, DP_MSG_ACK);
	cr_assert_eq(core(t)->log.last.at.seq, 1);
	cr_assert_eq(t->n.bad_messages, 0);
	dp_msg_clear(&m);
	end_sender(&s);
	testnode_free(t);
}

static void send_frames(struct sender *s, unsigned count, const void *data, size_t size)
{
	for (unsigned i = 0; i < count; i++)
		cr_assert_geq(zmq_send(s->socket, data, size, i + 1 < count ? ZMQ_SNDMORE : 0), 0);
}

Test(up, odd_messages_are_counted_and_do_no_harm)
{
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	struct sender s = new_sender(t, NULL, NULL);
	uint8_t head[DP_MSG_HEAD_MAX], noise[DP_MSG_HEAD_MAX];
	struct dp_msg m = {.type = DP_MSG_HELLO,
		.stream = TEST_STREAM,
		.session = 1,
		.u.hello = {.epoch = 5, .config = 1}};
	uint32_t size = dp_msg_encode(&m, head);
	uint64_t bad = 0;
	memset(noise, 0x5a, sizeof noise);
	send_frames(&s, 1, "", 0);
	wait_for(t, &t->n.bad_messages, ++bad);
	send_frames(&s, 1, noise, sizeof noise);
	wait_for(t, &t->n.bad_messages, ++bad);
	send_frames(&s, 1, head, size - 1);
	wait_for(t, &t->n.bad_messages, ++bad);
	send_frames(&s, 2, head, size); /* a payload where none belongs */
	wait_for(t, &t->n.bad_messages, ++bad);
	send_frames(&s, 3, head, size);
	wait_for(t, &t->n.bad_messages, ++bad);
	send_frames(&s, 300, head, size);
	wait_for(t, &t->n.bad_messages, ++bad);
	m.stream++; /* a stream of nobody here */
	size = dp_msg_encode(&m, head);
	send_frames(&s, 1, head, size);
	wait_for(t, &t->n.bad_messages, ++bad);
	cr_assert_eq(core(t)->log.last.promised, 0);
	send_hello(&s);
	expect(t, &s, DP_MSG_WELCOME);
	cr_assert_eq(t->n.bad_messages, bad);
	end_sender(&s);
	testnode_free(t);
}

Test(up, a_record_with_more_behind_it_is_not_taken)
{
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	struct sender s = new_sender(t, NULL, NULL);
	open_session(t, &s);
	uint64_t chain = dp_chain_start(TEST_STREAM);
	uint8_t head[DP_MSG_HEAD_MAX];
	struct dp_msg m = {.type = DP_MSG_RECORD,
		.stream = TEST_STREAM,
		.session = s.session,
		.u.record = make_record(1, &chain, 512)};
	uint32_t size = dp_msg_encode(&m, head);
	cr_assert_geq(zmq_send(s.socket, head, size, ZMQ_SNDMORE), 0);
	cr_assert_geq(zmq_send(s.socket, m.u.record->payload->data, 512, ZMQ_SNDMORE), 0);
	cr_assert_geq(zmq_send(s.socket, "more", 4, 0), 0);
	wait_for(t, &t->n.bad_messages, 1);
	cr_assert_eq(core(t)->log.last.at.seq, 0);
	dp_msg_clear(&m);
	end_sender(&s);
	testnode_free(t);
}

/* Somebody else asks while the acknowledgement of a record is still to come. */
Test(up, answers_go_to_whom_they_belong)
{
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	struct sender s = new_sender(t, NULL, NULL), other = new_sender(t, NULL, NULL);
	struct dp_msg wrong = {.type = DP_MSG_HELLO, .u.hello = {.epoch = 1, .config = 99}};
	uint64_t chain = dp_chain_start(TEST_STREAM);
	other.session = 2;
	open_session(t, &s);
	for (uint64_t i = 1; i <= 20; i++) {
		struct dp_msg m = {.type = DP_MSG_RECORD, .u.record = make_record(i, &chain, 100)};
		send_message(&s, &m);
		dp_msg_clear(&m);
		send_message(&other, &wrong);
		zmq_poll(NULL, 0, 2); /* both are there when the node looks */
		expect(t, &other, DP_MSG_REFUSE);
		struct dp_msg ack = {.u.ack.cached = 0};
		while (ack.u.ack.cached < i) {
			cr_assert(receive(t, &s, &ack, LIMIT_US), "it went astray");
			cr_assert_eq(ack.type, DP_MSG_ACK);
		}
	}
	end_sender(&s);
	end_sender(&other);
	testnode_free(t);
}

/* Names of connections are chosen by the other side. */
Test(up, a_long_name_of_a_connection_is_refused)
{
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	static const size_t sizes[] = {16, 17, 255};
	for (unsigned i = 0; i < 3; i++) {
		struct sender s = {.zmq = zmq_ctx_new(), .session = i + 1};
		char name[255];
		int none = 0;
		memset(name, 'n', sizeof name);
		s.socket = zmq_socket(s.zmq, ZMQ_DEALER);
		zmq_setsockopt(s.socket, ZMQ_LINGER, &none, sizeof none);
		cr_assert_eq(zmq_setsockopt(s.socket, ZMQ_ROUTING_ID, name, sizes[i]), 0);
		cr_assert_eq(zmq_connect(s.socket, testnode_address(t)), 0);
		uint64_t bad = t->n.bad_messages;
		send_hello(&s);
		if (i == 0)
			expect(t, &s, DP_MSG_WELCOME);
		else
			wait_for(t, &t->n.bad_messages, bad + 1);
		end_sender(&s);
	}
	testnode_free(t);
}

/* More connections one after the other than are remembered: each gets its own answer. */
Test(up, many_connections)
{
	enum { COUNT = DP_SENDERS_MAX + 30 };
	struct keys own;
	struct testnode *t = new_mirror(false, &own);
	struct sender first = new_sender(t, NULL, NULL);
	send_hello(&first);
	expect(t, &first, DP_MSG_WELCOME);
	for (uint64_t i = 0; i < COUNT; i++) {
		struct sender s = new_sender(t, NULL, NULL);
		s.session = 100 + i;
		send_hello(&s);
		expect(t, &s, DP_MSG_WELCOME);
		end_sender(&s);
	}
	first.session = 2; /* forgotten, and taken up again */
	send_hello(&first);
	expect(t, &first, DP_MSG_WELCOME);
	end_sender(&first);
	testnode_free(t);
}

/* ---- two nodes ---- */

static void add_link(struct testnode *from, struct testnode *to, const struct keys *theirs)
{
	struct dp_link_config *l = &from->cfg.links[0];
	snprintf(l->peer, sizeof l->peer, "%s", to->cfg.name);
	snprintf(l->address, sizeof l->address, "%s", testnode_address(to));
	if (theirs)
		memcpy(l->key, theirs->public, DP_KEY_SIZE);
	from->cfg.link_count = 1;
	from->cfg.streams[0].core.down_count = 1;
	from->cfg.streams[0].core.ack_legs = 1;
	snprintf(from->cfg.streams[0].legs[0], sizeof from->cfg.streams[0].legs[0], "leg");
}

static struct testnode *new_controller(struct testnode *below, const struct keys *own,
	const struct keys *theirs)
{
	struct testnode *t = testnode_new("above", DP_CORE_CONTROLLER);
	if (own) {
		memcpy(t->cfg.public_key, own->public, DP_KEY_SIZE);
		memcpy(t->cfg.secret_key, own->secret, DP_KEY_SIZE);
	}
	add_link(t, below, theirs);
	t->cfg.streams[0].core.ack = t->cfg.streams[0].core.flush = DP_CORE_COMMITTED;
	cr_assert_eq(net_open(&t->n), 0);
	testnode_start(t);
	return t;
}

static bool opens(struct testnode *above, struct testnode *below, uint64_t limit_us)
{
	uint64_t end = node_clock_us() + limit_us;
	while (core(above)->state != DP_CORE_OPEN && node_clock_us() < end) {
		testnode_turn(above);
		testnode_turn(below);
		zmq_poll(NULL, 0, 1);
	}
	return core(above)->state == DP_CORE_OPEN;
}

static void request(struct testnode *above, struct testnode *below, struct dp_host_request *h)
{
	struct testreply *r = &above->replies[0];
	unsigned before = r->count;
	uint64_t end = node_clock_us() + LIMIT_US;
	h->tag = r;
	h->volume = TEST_VOLUME;
	cr_assert(dp_stream_request(above->n.streams[0].stream, h));
	while (r->count == before) {
		cr_assert_lt(node_clock_us(), end, "no reply");
		testnode_turn(above);
		testnode_turn(below);
	}
	cr_assert(r->count == before + 1 && r->err == 0);
}

Test(link, carries_writes_down_and_data_up)
{
	for (unsigned curve = 0; curve < 2; curve++) {
		struct keys own, above = new_keys();
		struct testnode *below = new_mirror(curve, &own);
		allow(below, "above", &above);
		struct testnode *t = new_controller(below, curve ? &above : NULL,
			curve ? &own : NULL);
		cr_assert(opens(t, below, LIMIT_US));
		struct dp_buf *payload = dp_buf_new(DP_PAYLOAD_MAX);
		for (size_t i = 0; i < DP_PAYLOAD_MAX; i++)
			payload->data[i] = (uint8_t)(i * 31 + i / 777);
		struct dp_host_request write = {.op = DP_OP_WRITE,
			.length = DP_PAYLOAD_MAX,
			.client = 4,
			.request = 1,
			.payload = payload};
		request(t, below, &write);
		cr_assert_eq(core(below)->log.last.at.seq, 1);
		cr_assert_eq(core(below)->journal.durable, 1);
		struct dp_host_request read = {.offset = 1000, .length = 70000};
		request(t, below, &read);
		struct dp_buf *data = t->replies[0].data;
		cr_assert(data && data->size == 70000);
		cr_assert_arr_eq(data->data, payload->data + 1000, 70000);
		cr_assert(t->n.bad_messages == 0 && below->n.bad_messages == 0);
		dp_buf_unref(&payload);
		testnode_free(t);
		testnode_free(below);
	}
}

/* What is ready at the same moment goes as one ZeroMQ message, in order; large payloads alone. */
Test(link, carries_several_records_at_once)
{
	static const uint32_t sizes[] = {
		100, 4096, 40000, 512, 8192, 20000, 30000, 30000, 30000, 30000};
	enum { COUNT = sizeof sizes / sizeof *sizes };
	struct keys own;
	struct testnode *below = new_mirror(false, &own);
	struct testnode *t = new_controller(below, NULL, NULL);
	cr_assert(opens(t, below, LIMIT_US));
	struct testreply *r = &t->replies[0];
	struct dp_host_request write = {
		.tag = r, .op = DP_OP_WRITE, .client = 4, .volume = TEST_VOLUME};
	dp_links_flush(t->n.links);
	unsigned before = r->count;
	for (unsigned i = 0; i < COUNT; i++) {
		write.payload = dp_buf_new(sizes[i]);
		write.length = sizes[i];
		write.request = i + 1;
		memset(write.payload->data, (int)i + 1, sizes[i]);
		cr_assert(dp_stream_request(t->n.streams[0].stream, &write));
		dp_buf_unref(&write.payload);
		write.offset += sizes[i];
		/* Two small ones, a large one alone, as many as 128 KiB hold, and the last. */
		static const unsigned held[COUNT] = {1, 2, 1, 1, 2, 3, 4, 5, 6, 1};
		cr_assert_eq(testnode_held(t, 0), held[i], "record %u", i);
	}
	uint64_t end = node_clock_us() + LIMIT_US;
	while (r->count < before + COUNT) {
		cr_assert_lt(node_clock_us(), end, "%u of %u", r->count - before, (unsigned)COUNT);
		testnode_turn(t);
		testnode_turn(below);
	}
	cr_assert_eq(core(below)->log.last.at.seq, COUNT);
	struct dp_host_request read = {.length = (uint32_t)write.offset};
	request(t, below, &read);
	const uint8_t *data = r->data->data;
	for (unsigned i = 0; i < COUNT; data += sizes[i++])
		cr_assert(data[0] == i + 1 && data[sizes[i] - 1] == i + 1, "record %u", i);
	cr_assert(t->n.bad_messages == 0 && below->n.bad_messages == 0);
	cr_assert(core(t)->down[0].naks == 0);
	testnode_free(t);
	testnode_free(below);
}

/* libzmq gives up on a connection whose key was refused: it has to be connected anew. */
Test(link, comes_up_when_its_key_is_listed_later)
{
	struct keys own, above = new_keys();
	struct testnode *below = new_mirror(true, &own);
	struct testnode *t = new_controller(below, &above, &own);
	uint64_t end = node_clock_us() + LIMIT_US;
	while (below->n.refused_keys == 0) {
		cr_assert_lt(node_clock_us(), end);
		testnode_turn(t);
		testnode_turn(below);
	}
	cr_assert_not(opens(t, below, PAUSE_US));
	allow(below, "above", &above);
	t->ahead_us = 6000000;
	cr_assert(opens(t, below, LIMIT_US), "it stays away for ever");
	testnode_free(t);
	testnode_free(below);
}

static void send_welcome(void *router, const uint8_t *id, size_t id_size, uint64_t session)
{
	uint8_t head[DP_MSG_HEAD_MAX];
	struct dp_welcome *w = calloc(1, sizeof *w);
	w->instance = 3;
	w->room = DP_MIB;
	w->last.at.chain = w->tail.at.chain = dp_chain_start(TEST_STREAM);
	struct dp_msg m = {
		.type = DP_MSG_WELCOME, .stream = TEST_STREAM, .session = session, .u.welcome = w};
	size_t size = dp_msg_encode(&m, head);
	zmq_send(router, id, id_size, ZMQ_SNDMORE);
	zmq_send(router, head, size, 0);
	dp_msg_clear(&m);
}

/* The node below is made by hand here: a router that says what it likes. */
Test(link, odd_answers_are_counted_and_do_no_harm)
{
	struct testnode *t = testnode_new("above", DP_CORE_CONTROLLER);
	void *zmq = zmq_ctx_new(), *router = zmq_socket(zmq, ZMQ_ROUTER);
	int none = 0, wait_ms = 5000;
	uint8_t id[256], head[DP_MSG_HEAD_MAX];
	size_t address_size = sizeof t->cfg.links[0].address;
	zmq_setsockopt(router, ZMQ_LINGER, &none, sizeof none);
	zmq_setsockopt(router, ZMQ_RCVTIMEO, &wait_ms, sizeof wait_ms);
	cr_assert_eq(zmq_bind(router, "tcp://127.0.0.1:*"), 0);
	zmq_getsockopt(router, ZMQ_LAST_ENDPOINT, t->cfg.links[0].address, &address_size);
	t->cfg.link_count = t->cfg.streams[0].core.down_count = t->cfg.streams[0].core.ack_legs = 1;
	t->cfg.streams[0].core.ack = DP_CORE_CACHED;
	cr_assert_eq(net_open(&t->n), 0);
	testnode_start(t);
	uint64_t end = node_clock_us() + LIMIT_US;
	int id_size;
	while ((id_size = zmq_recv(router, id, sizeof id, ZMQ_DONTWAIT)) < 0) {
		cr_assert_lt(node_clock_us(), end, "no HELLO");
		testnode_turn(t);
	}
	struct dp_msg hello;
	int size = zmq_recv(router, head, sizeof head, 0);
	cr_assert_gt(size, 0);
	cr_assert_eq(dp_msg_decode(head, (size_t)size, NULL, &hello), 0);
	cr_assert(hello.type == DP_MSG_HELLO && hello.stream == TEST_STREAM);
	struct dp_msg odd[] = {{.type = DP_MSG_ACK, .stream = 1}, /* not a stream of ours */
		{.type = DP_MSG_ACK, .stream = TEST_STREAM, .session = 5},
		{.type = DP_MSG_DATA,
			.stream = TEST_STREAM,
			.session = hello.session,
			.payload = dp_buf_new(3)}};
	memcpy(odd[2].payload->data, "abc", 3);
	static const uint64_t is_bad[] = {1, 1, 1, 0, 1, 1, 0, 0, 1};
	uint64_t bad = 0;
	for (unsigned i = 0; i < 9; i++) {
		unsigned frames = i % 3 + 1;
		size = (int)dp_msg_encode(&odd[i / 3], head);
		zmq_send(router, id, (size_t)id_size, ZMQ_SNDMORE);
		zmq_send(router, head, (size_t)size, --frames ? ZMQ_SNDMORE : 0);
		while (frames--)
			zmq_send(router, "abc", 3, frames ? ZMQ_SNDMORE : 0);
		/* DATA may have a payload, ACK has none, and nothing has more than that. */
		bad += is_bad[i];
		wait_for(t, &t->n.bad_messages, bad);
		cr_assert_eq(t->n.bad_messages, bad);
	}
	zmq_send(router, id, (size_t)id_size, ZMQ_SNDMORE);
	zmq_send(router, "garbage", 7, 0);
	wait_for(t, &t->n.bad_messages, ++bad);
	cr_assert_eq(t->n.bad_messages, bad, "a good message was counted");
	cr_assert_eq(core(t)->state, DP_CORE_RECOVERING);
	send_welcome(router, id, (size_t)id_size, hello.session);
	while (core(t)->state != DP_CORE_OPEN) {
		cr_assert_lt(node_clock_us(), end, "a good answer is not heard any more");
		testnode_turn(t);
		if ((id_size = zmq_recv(router, id, sizeof id, ZMQ_DONTWAIT)) < 0)
			continue;
		size = zmq_recv(router, head, sizeof head, 0);
		if (dp_msg_decode(head, (size_t)size, NULL, &hello) == 0 &&
			hello.type == DP_MSG_HELLO)
			send_welcome(router, id, (size_t)id_size,
				hello.session); /* of its own epoch */
	}
	dp_msg_clear(&odd[2]);
	zmq_close(router);
	zmq_ctx_term(zmq);
	testnode_free(t);
}

/* ---- opening ---- */

static int try_net(struct testnode *t)
{
	testnode_start(t);
	int err = net_open(&t->n);
	testnode_free(t);
	return err;
}

Test(open, what_cannot_be_opened_is_a_mistake_of_the_configuration)
{
	struct keys own;
	struct testnode *first = new_mirror(false, &own);
	struct testnode *t = testnode_new("n", DP_CORE_MIRROR);
	snprintf(t->cfg.listen, sizeof t->cfg.listen, "%s", testnode_address(first));
	cr_assert_eq(try_net(t), DP_ECONFIG, "an address in use");
	t = testnode_new("n", DP_CORE_MIRROR);
	snprintf(t->cfg.listen, sizeof t->cfg.listen, "tcp://no.such.host.invalid:70000");
	cr_assert_eq(try_net(t), DP_ECONFIG);
	t = testnode_new("n", DP_CORE_MIRROR);
	snprintf(t->cfg.listen, sizeof t->cfg.listen, "tcp://127.0.0.1:*");
	t->cfg.listen_curve = true; /* without a key of its own */
	cr_assert_eq(try_net(t), DP_ECONFIG);
	t = testnode_new("n", DP_CORE_CONTROLLER);
	add_link(t, first, NULL);
	snprintf(t->cfg.links[0].address, sizeof t->cfg.links[0].address, "nonsense");
	cr_assert_eq(try_net(t), DP_ECONFIG);
	t = testnode_new("n", DP_CORE_CONTROLLER);
	add_link(t, first, NULL);
	snprintf(t->cfg.links[0].key, DP_KEY_SIZE, "too short");
	cr_assert_eq(try_net(t), DP_ECONFIG);
	testnode_free(first);
}
