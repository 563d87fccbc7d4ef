/* SPDX-License-Identifier: MIT */
/* A line of the control socket: parsed as in common/node/lines.c, answered by a controller in this
 * process. It lives on from input to input, as a daemon does. */
#include "fuzz.h"
#include "testnode.h"

static struct testnode *controller(void)
{
	static struct testnode *t;
	if (!t) {
		t = testnode_new("nwk", DP_CORE_CONTROLLER);
		t->cfg.streams[0].core.image = true;
		testnode_start(t);
		testnode_turn(t);
	}
	return t;
}

static void check_answer(const json_t *answer)
{
	FUZZ_CHECK(json_is_object(answer));
	json_t *ok = json_object_get(answer, "ok");
	FUZZ_CHECK(json_is_boolean(ok));
	FUZZ_CHECK(json_is_true(ok) || json_is_string(json_object_get(answer, "error")));
	char *text = json_dumps(answer, JSON_COMPACT);
	FUZZ_CHECK(text && !strchr(text, '\n')); /* one line */
	json_t *again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	FUZZ_CHECK(json_equal(answer, again));
	json_decref(again);
	free(text);
}

bool fuzz_one(const uint8_t *data, size_t size)
{
	struct testnode *t = controller();
	uint8_t *copy = fuzz_copy(data, size);
	json_t *request = json_loadb(size ? (char *)copy : "", size, JSON_REJECT_DUPLICATES, NULL);
	free(copy);
	json_t *answer = control_answer(&t->n, request, DP_RIGHTS_ADMINISTER);
	check_answer(answer);
	bool ok = json_is_true(json_object_get(answer, "ok"));
	json_decref(answer);
	json_decref(request);
	testnode_turn(t); /* a mark is a record: let it go its way */
	return ok;
}

void fuzz_repair(uint8_t *data, size_t size)
{
	(void)data; /* no checksums in it */
	(void)size;
}

static void seed(const char *name, enum fuzz_verdict expected, const char *text)
{
	fuzz_seed(name, expected, (const uint8_t *)text, strlen(text));
}

void fuzz_seeds(void)
{
	seed("status", FUZZ_ACCEPTED, "{\"cmd\":\"status\"}");
	seed("sets", FUZZ_ACCEPTED, "{\"cmd\":\"sets\",\"stream\":\"s\"}");
	seed("mark", FUZZ_ACCEPTED, "{\"cmd\":\"mark\",\"volume\":\"v\"}");
	seed("digest", FUZZ_ACCEPTED, "{\"cmd\":\"digest\",\"mark\":\"18446744073709551616\"}");
	seed("other-stream", FUZZ_REFUSED, "{\"cmd\":\"sets\",\"stream\":7}");
	seed("other-volume", FUZZ_REFUSED, "{\"cmd\":\"mark\",\"volume\":\"\\ud83d\\ude00\"}");
	seed("without-mark", FUZZ_REFUSED, "{\"cmd\":\"digest\"}");
	seed("list", FUZZ_REFUSED, "[{\"cmd\":\"status\"}]");
	seed("twice", FUZZ_REFUSED, "{\"cmd\":\"status\",\"cmd\":\"status\"}");
	seed("unfinished", FUZZ_REFUSED, "{\"cmd\":\"sta");
	seed("empty", FUZZ_REFUSED, "");
}
