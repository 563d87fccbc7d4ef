/* SPDX-License-Identifier: MIT */
/* What all targets share: seeds, buffers that are counted, and the hooks of libFuzzer. */
#include "fuzz.h"

static unsigned buffers; /* not yet released */
static const char *seed_directory;

/* Declared by libFuzzer, which has no header for them. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

uint8_t *fuzz_copy(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size);
	FUZZ_CHECK(copy || !size);
	if (size)
		memcpy(copy, data, size);
	return copy;
}

static void release(struct dp_buf *buf)
{
	free(buf->owner);
	buffers--;
}

struct dp_buf *fuzz_buf(const uint8_t *data, size_t size)
{
	uint8_t *copy = fuzz_copy(data, size);
	struct dp_buf *buf = dp_buf_wrap(copy, size, release, copy);
	FUZZ_CHECK(buf);
	buffers++;
	return buf;
}

bool fuzz_take(const uint8_t *data, size_t size)
{
	bool accepted = fuzz_one(data, size);
	FUZZ_CHECK(buffers == 0);
	return accepted;
}

static void write_seed(const char *name, const uint8_t *data, size_t size)
{
	char path[4096];
	FUZZ_CHECK(snprintf(path, sizeof path, "%s/%s", seed_directory, name) < (int)sizeof path);
	FILE *file = fopen(path, "we");
	FUZZ_CHECK(file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

void fuzz_seed(const char *name, enum fuzz_verdict expected, const uint8_t *data, size_t size)
{
	if (seed_directory) {
		write_seed(name, data, size);
		return;
	}
	uint8_t *copy = fuzz_copy(data, size);
	bool accepted = fuzz_take(copy, size);
	free(copy);
	if (accepted != (expected == FUZZ_ACCEPTED)) {
		fprintf(stderr, "seed %s: %s\n", name, accepted ? "accepted" : "refused");
		abort();
	}
}

void fuzz_take_seeds(const char *write_to)
{
	seed_directory = write_to;
	fuzz_seeds();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_take(data, size);
	return 0;
}

#ifdef DIPOLE_FUZZ
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);

#define PLACE 512u

/* libFuzzer itself knows no such option, and goes by the first argument that is a directory. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (*argc == 3 && strcmp((*argv)[1], "--seeds") == 0) {
		fuzz_take_seeds((*argv)[2]);
		exit(0);
	}
	return 0;
}

/* In a long input, one place of it: frames stand at multiples of 512. Now and then another place is
 * copied there. */
static void mutate_part(uint8_t *data, size_t size, unsigned seed)
{
	size_t places = size / PLACE;
	uint8_t *at = data + seed / 4 % places * PLACE;
	if (seed % 4)
		LLVMFuzzerMutate(at, PLACE, PLACE);
	else
		memmove(at, data + seed / 4 / places % places * PLACE, PLACE);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed)
{
	if (size >= 2 * PLACE && seed % 4)
		mutate_part(data, size, seed / 32);
	else
		size = LLVMFuzzerMutate(data, size, max);
	if (seed / 4 % 8) /* the checks of the checksums are worth something too */
		fuzz_repair(data, size);
	return size;
}
#endif
