/* SPDX-License-Identifier: MIT */
/* main() of the fuzz targets in builds without libFuzzer: replays the seeds, and all files that are
 * named or lie in a directory that is named. `--seeds DIR` writes the seeds there. */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "fuzz.h"

/* Longer inputs are cut: no corpus has them. */
#define INPUT_MAX (4u << 20)

static unsigned count;

static void replay_file(const char *path)
{
	uint8_t *bytes = malloc(INPUT_MAX);
	FILE *file = fopen(path, "re");
	if (!file || !bytes) {
		perror(path);
		exit(1);
	}
	size_t size = fread(bytes, 1, INPUT_MAX, file);
	fclose(file);
	uint8_t *copy = fuzz_copy(bytes, size);
	free(bytes);
	fprintf(stderr, "%s\n", path); /* before: it may not come back */
	fuzz_take(copy, size);
	free(copy);
	count++;
}

static int visible(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void replay(const char *path)
{
	struct stat st;
	struct dirent **entries;
	if (stat(path, &st) || !S_ISDIR(st.st_mode)) {
		replay_file(path);
		return;
	}
	int found = scandir(path, &entries, visible, alphasort);
	for (int i = 0; i < found; i++) {
		char name[4096];
		snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
		replay_file(name);
		free(entries[i]);
	}
	if (found >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "--seeds") == 0) {
		fuzz_take_seeds(argv[2]);
		return 0;
	}
	fuzz_take_seeds(NULL);
	for (int i = 1; i < argc; i++)
		replay(argv[i]);
	printf("%u files\n", count);
	return 0;
}
