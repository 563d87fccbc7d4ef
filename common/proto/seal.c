/* SPDX-License-Identifier: MIT */
#include "proto/seal.h"

#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/err.h"

/* libsodium's advice for AES-256-GCM is 350 GB a key, with messages of 16 KiB. */
#define KEY_BYTES_MAX    (64 * DP_GIB)
#define KEY_MESSAGES_MAX (1ull << 31)
#define KEYS_KEPT        16u

#define TAG_SIZE     16
#define NONCE_SIZE   12
#define COUNTER_SIZE 8
#define KEY_SIZE     32
#define WRAP_SIZE    (crypto_box_MACBYTES + KEY_SIZE)
#define TAIL_SIZE    8
#define AD_MAX       DP_RECORD_HEADER_SIZE
#define FIXED_SIZE   (TAG_SIZE + COUNTER_SIZE + crypto_box_NONCEBYTES + TAIL_SIZE)

_Static_assert(FIXED_SIZE + WRAP_SIZE * DP_SEAL_HOLDERS_MAX == DP_SEAL_MAX, "the largest seal");
_Static_assert(WRAP_SIZE == DP_SEAL_HOLDER_SIZE && FIXED_SIZE + WRAP_SIZE == DP_SEAL_MIN,
	"the smallest");
_Static_assert(crypto_aead_aes256gcm_NPUBBYTES == NONCE_SIZE &&
		crypto_aead_chacha20poly1305_ietf_NPUBBYTES == NONCE_SIZE,
	"nonces");
_Static_assert(crypto_aead_aes256gcm_ABYTES == TAG_SIZE &&
		crypto_aead_chacha20poly1305_ietf_ABYTES == TAG_SIZE,
	"tags");
_Static_assert(crypto_aead_aes256gcm_KEYBYTES == KEY_SIZE &&
		crypto_aead_chacha20poly1305_ietf_KEYBYTES == KEY_SIZE,
	"keys");

/* A data key, and the public part by which it is known again: the nonce of its wrapping. */
struct data_key {
	crypto_aead_aes256gcm_state aes; /* made ready, where it is used with AES */
	uint8_t key[KEY_SIZE];
	uint8_t name[crypto_box_NONCEBYTES];
	enum dp_seal_cipher cipher; /* DP_SEAL_NONE: nothing here */
};

struct dp_seal {
	struct data_key own, kept[KEYS_KEPT]; /* kept: of others, the oldest is replaced */
	unsigned next_kept;
	uint64_t stream;
	enum dp_seal_cipher cipher;
	uint8_t master[crypto_kdf_KEYBYTES];
	uint64_t key_number, counter, bytes; /* of `own` */
	unsigned count;
	uint8_t shared[DP_SEAL_HOLDERS_MAX][crypto_box_BEFORENMBYTES]; /* with each holder */
	uint8_t former[DP_SEAL_HOLDERS_MAX]
		      [crypto_box_BEFORENMBYTES]; /* the same of this node's key of before */
	bool has_former;
	uint8_t wrapped[DP_SEAL_HOLDERS_MAX][WRAP_SIZE]; /* `own`, for each holder */
};

/* Where the parts of a sealed thing are. */
struct parts {
	const uint8_t *text, *tag, *counter, *wrapped, *name;
	size_t size; /* of text */
	unsigned count;
	enum dp_seal_cipher cipher;
};

const char *dp_seal_cipher_name(enum dp_seal_cipher cipher)
{
	static const char *const names[] = {"none", "aes256-gcm", "chacha20-poly1305"};
	return names[cipher];
}

bool dp_seal_possible(enum dp_seal_cipher cipher)
{
	if (sodium_init() < 0)
		return false;
	return cipher != DP_SEAL_AES256GCM || crypto_aead_aes256gcm_is_available();
}

static void make_ready(struct data_key *k, enum dp_seal_cipher cipher)
{
	k->cipher = cipher;
	if (cipher == DP_SEAL_AES256GCM)
		crypto_aead_aes256gcm_beforenm(&k->aes, k->key);
}

/* A key of this process that was never used, wrapped for everybody. */
static void next_key(struct dp_seal *s)
{
	struct data_key *k = &s->own;
	uint8_t name[32];
	s->key_number++;
	s->counter = s->bytes = 0;
	crypto_kdf_derive_from_key(k->key, KEY_SIZE, s->key_number, "dpsealke", s->master);
	crypto_kdf_derive_from_key(name, sizeof name, s->key_number, "dpsealno", s->master);
	memcpy(k->name, name, sizeof k->name);
	for (unsigned i = 0; i < s->count; i++)
		crypto_box_easy_afternm(s->wrapped[i], k->key, KEY_SIZE, k->name, s->shared[i]);
	make_ready(k, s->cipher);
}

int dp_seal_new(uint64_t stream, enum dp_seal_cipher cipher, const uint8_t *secret,
	const uint8_t *former, const uint8_t (*holders)[DP_SEAL_KEY_SIZE], unsigned count,
	const uint8_t *random, struct dp_seal **out)
{
	void *memory;
	*out = NULL;
	if (count == 0 || count > DP_SEAL_HOLDERS_MAX)
		return DP_ECONFIG;
	if (!dp_seal_possible(cipher))
		return DP_ENOCIPHER;
	/* The state of AES wants its place aligned. */
	if (posix_memalign(&memory, _Alignof(struct dp_seal), sizeof(struct dp_seal)))
		return DP_ENOMEM;
	struct dp_seal *s = memory;
	memset(s, 0, sizeof *s);
	s->stream = stream;
	s->cipher = cipher;
	s->count = count;
	memcpy(s->master, random, sizeof s->master);
	s->has_former = former != NULL;
	for (unsigned i = 0; i < count; i++) {
		if (crypto_box_beforenm(s->shared[i], holders[i], secret) ||
			(former && crypto_box_beforenm(s->former[i], holders[i], former))) {
			dp_seal_free(&s);
			return DP_ECONFIG;
		}
	}
	next_key(s);
	*out = s;
	return 0;
}

void dp_seal_free(struct dp_seal **seal)
{
	if (*seal)
		sodium_memzero(*seal, sizeof **seal);
	free(*seal);
	*seal = NULL;
}

uint32_t dp_seal_size(const struct dp_seal *s)
{
	return (uint32_t)(FIXED_SIZE + WRAP_SIZE * s->count);
}

/* ---- closing ---- */

static void encrypt(const struct data_key *k, const uint8_t *counter, const uint8_t *ad,
	size_t ad_size, const uint8_t *data, size_t size, uint8_t *text, uint8_t *tag)
{
	uint8_t nonce[NONCE_SIZE] = {0};
	memcpy(nonce, counter, COUNTER_SIZE);
	if (k->cipher == DP_SEAL_AES256GCM)
		crypto_aead_aes256gcm_encrypt_detached_afternm(text, tag, NULL, data, size, ad,
			ad_size, NULL, nonce, &k->aes);
	else
		crypto_aead_chacha20poly1305_ietf_encrypt_detached(text, tag, NULL, data, size, ad,
			ad_size, NULL, nonce, k->key);
}

/* All that is authenticated: what the caller names, and what stands behind the counter, so that
 * nobody takes a holder's wrapped key out of it. Returns its size. */
static size_t whole_ad(const uint8_t *ad, size_t ad_size, const uint8_t *wrapped, unsigned count,
	uint8_t *out)
{
	size_t size = WRAP_SIZE * (size_t)count + crypto_box_NONCEBYTES + TAIL_SIZE;
	memcpy(out, ad, ad_size);
	memcpy(out + ad_size, wrapped, size);
	return ad_size + size;
}

static struct dp_buf *seal(struct dp_seal *s, const uint8_t *ad, size_t ad_size,
	const struct dp_buf *data)
{
	size_t size = data ? data->size : 0;
	uint8_t all[AD_MAX + DP_SEAL_MAX];
	struct dp_buf *b = dp_buf_new(size + dp_seal_size(s));
	if (!b)
		return NULL;
	if (s->bytes > KEY_BYTES_MAX || s->counter > KEY_MESSAGES_MAX)
		next_key(s);
	s->bytes += size + ad_size + DP_SEAL_MAX;
	uint8_t *tag = b->data + size, *counter = tag + TAG_SIZE, *wrapped = counter + COUNTER_SIZE;
	uint8_t *name = wrapped + WRAP_SIZE * s->count, *tail = name + sizeof s->own.name;
	dp_put64(counter, ++s->counter);
	memcpy(wrapped, s->wrapped, WRAP_SIZE * s->count);
	memcpy(name, s->own.name, sizeof s->own.name);
	memset(tail, 0, TAIL_SIZE);
	tail[0] = (uint8_t)s->count;
	tail[1] = (uint8_t)s->cipher;
	size_t all_size = whole_ad(ad, ad_size, wrapped, s->count, all);
	encrypt(&s->own, counter, all, all_size, data ? data->data : NULL, size, b->data, tag);
	return b;
}

/* ---- opening ---- */

static bool take_apart(const uint8_t *sealed, size_t size, struct parts *p)
{
	if (size < DP_SEAL_MIN)
		return false;
	const uint8_t *tail = sealed + size - TAIL_SIZE;
	p->count = tail[0];
	p->cipher = tail[1];
	size_t seal_size = FIXED_SIZE + WRAP_SIZE * (size_t)p->count;
	bool known = p->cipher == DP_SEAL_AES256GCM || p->cipher == DP_SEAL_CHACHA20POLY1305;
	if (!known || p->count == 0 || p->count > DP_SEAL_HOLDERS_MAX || size < seal_size)
		return false;
	p->text = sealed;
	p->size = size - seal_size;
	p->tag = sealed + p->size;
	p->counter = p->tag + TAG_SIZE;
	p->wrapped = p->counter + COUNTER_SIZE;
	p->name = p->wrapped + WRAP_SIZE * (size_t)p->count;
	return true;
}

/* One of the wrappings is for this node, and one of the holders made it. Which ones need not be
 * said: the box that opens is right, and it is looked for only when a key is new. */
static bool unwrap(const struct dp_seal *s, const struct parts *p, uint8_t *key)
{
	for (unsigned i = 0; i < p->count; i++)
		for (unsigned from = 0; from < s->count; from++)
			if (crypto_box_open_easy_afternm(key, p->wrapped + WRAP_SIZE * i, WRAP_SIZE,
				    p->name, s->shared[from]) == 0 ||
				(s->has_former &&
					crypto_box_open_easy_afternm(key,
						p->wrapped + WRAP_SIZE * i, WRAP_SIZE, p->name,
						s->former[from]) == 0))
				return true;
	return false;
}

static const struct data_key *find_key(struct dp_seal *s, const struct parts *p)
{
	if (s->own.cipher == p->cipher && memcmp(s->own.name, p->name, sizeof s->own.name) == 0)
		return &s->own;
	for (unsigned i = 0; i < KEYS_KEPT; i++)
		if (s->kept[i].cipher == p->cipher &&
			memcmp(s->kept[i].name, p->name, sizeof s->kept[i].name) == 0)
			return &s->kept[i];
	uint8_t key[KEY_SIZE];
	if (!dp_seal_possible(p->cipher) || !unwrap(s, p, key))
		return NULL;
	struct data_key *k = &s->kept[s->next_kept++ % KEYS_KEPT];
	memcpy(k->key, key, sizeof key);
	sodium_memzero(key, sizeof key);
	memcpy(k->name, p->name, sizeof k->name);
	make_ready(k, p->cipher);
	return k;
}

/* `out` NULL: only whether it is genuine. */
static int decrypt(const struct data_key *k, const struct parts *p, const uint8_t *ad,
	size_t ad_size, uint8_t *out)
{
	uint8_t nonce[NONCE_SIZE] = {0};
	memcpy(nonce, p->counter, COUNTER_SIZE);
	if (k->cipher == DP_SEAL_AES256GCM)
		return crypto_aead_aes256gcm_decrypt_detached_afternm(out, NULL, p->text, p->size,
			p->tag, ad, ad_size, nonce, &k->aes);
	return crypto_aead_chacha20poly1305_ietf_decrypt_detached(out, NULL, p->text, p->size,
		p->tag, ad, ad_size, nonce, k->key);
}

static int open_seal(struct dp_seal *s, const uint8_t *ad, size_t ad_size,
	const struct dp_buf *sealed, size_t size, struct dp_buf **plain)
{
	struct parts p;
	if (plain)
		*plain = NULL;
	if (!sealed || !take_apart(sealed->data, sealed->size, &p) || p.size != size)
		return DP_EPERM;
	const struct data_key *k = find_key(s, &p);
	if (!k)
		return DP_EPERM;
	struct dp_buf *out = plain && size ? dp_buf_new(size) : NULL;
	if (plain && size && !out)
		return DP_ENOMEM;
	uint8_t all[AD_MAX + DP_SEAL_MAX];
	size_t all_size = whole_ad(ad, ad_size, p.wrapped, p.count, all);
	if (decrypt(k, &p, all, all_size, out ? out->data : NULL)) {
		dp_buf_unref(&out);
		return DP_EPERM;
	}
	if (plain)
		*plain = out;
	return 0;
}

/* ---- records and answers ---- */

/* What is authenticated with a record: its header, but for what comes to be only once it is sealed.
 */
static void header_ad(const struct dp_header *h, uint8_t out[DP_RECORD_HEADER_SIZE])
{
	struct dp_header copy = *h;
	copy.chain = 0;
	copy.payload_crc = 0;
	dp_header_encode(&copy, out);
}

struct dp_buf *dp_seal_record(struct dp_seal *s, struct dp_header *h, const struct dp_buf *payload)
{
	uint8_t ad[DP_RECORD_HEADER_SIZE];
	h->flags |= DP_RECORD_SEALED;
	h->payload_len = (uint32_t)(payload ? payload->size : 0) + dp_seal_size(s);
	header_ad(h, ad);
	return seal(s, ad, sizeof ad, payload);
}

int dp_seal_open_record(struct dp_seal *s, const struct dp_record *r, struct dp_buf **plain)
{
	uint8_t ad[DP_RECORD_HEADER_SIZE];
	header_ad(&r->h, ad);
	return open_seal(s, ad, sizeof ad, r->payload, r->h.op == DP_OP_WRITE ? r->h.length : 0,
		plain);
}

#define FOUND_AD_SIZE 104
_Static_assert(FOUND_AD_SIZE <= AD_MAX, "room for what is authenticated");

/* The whole question is in it, as who answered saw it: for an answer to another one it is none. */
static void found_ad(uint64_t stream, const struct dp_wanted *w, const struct dp_found *f,
	uint8_t *out)
{
	memset(out, 0, FOUND_AD_SIZE);
	dp_put32(out, DP_MSG_MAGIC); /* no record's header */
	dp_put64(out + 8, stream);
	dp_put64(out + 16, w->offset);
	dp_put32(out + 24, w->volume);
	dp_put32(out + 28, w->length);
	dp_put64(out + 32, f->seq);
	dp_put64(out + 40, f->length);
	dp_put32(out + 48, f->kind);
	dp_put32(out + 52, w->compare);
	dp_put64(out + 56, w->min_seq);
	if (w->compare)
		memcpy(out + 64, w->digest, sizeof w->digest);
}

struct dp_buf *dp_seal_found(struct dp_seal *s, const struct dp_wanted *w, const struct dp_found *f,
	const struct dp_buf *data)
{
	uint8_t ad[FOUND_AD_SIZE];
	found_ad(s->stream, w, f, ad);
	return seal(s, ad, sizeof ad, data);
}

int dp_seal_open_found(struct dp_seal *s, const struct dp_wanted *w, const struct dp_found *f,
	const struct dp_buf *sealed, struct dp_buf **plain)
{
	uint8_t ad[FOUND_AD_SIZE];
	found_ad(s->stream, w, f, ad);
	return open_seal(s, ad, sizeof ad, sealed, f->kind == DP_FOUND_DATA ? w->length : 0, plain);
}
