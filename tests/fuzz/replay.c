/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Replays a corpus as an ordinary test: each file of the folder given is one TAP test. An input
 * that crashes ends the program before its line, which the harness sees as a failure.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "tests/fuzz/fuzz.h"

static int is_input(const struct dirent *d)
{
	return d->d_name[0] != '.';
}

/* The input goes to the heap in a block of exactly its size, so that a sanitizer sees each byte too
 * far. */
static int replay(const char *dir, const char *name)
{
	cleanup_buf struct buf b = BUF_INIT;
	cleanup_free char *path = NULL;
	cleanup_free uint8_t *copy = NULL;

	if (asprintf(&path, "%s/%s", dir, name) < 0)
		return -ENOMEM;
	int r = io_read_file(AT_FDCWD, path, &b);

	if (r < 0)
		return r;
	copy = malloc(b.len ? b.len : 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, b.data, b.len);
	LLVMFuzzerTestOneInput(copy, b.len);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent **files;
	int n = argc == 2 ? scandir(argv[1], &files, is_input, alphasort) : -1;
	int failed = 0;

	if (n < 1) {
		printf("Bail out! usage: %s FOLDER, with at least one file in it\n", argv[0]);
		return EXIT_FAILURE;
	}
	printf("1..%d\n", n);
	for (int i = 0; i < n; i++) {
		int r = replay(argv[1], files[i]->d_name);

		if (r < 0)
			printf("# %s\n", strerror(-r));
		printf("%sok %d %s\n", r < 0 ? "not " : "", i + 1, files[i]->d_name);
		fflush(stdout);
		failed += r < 0;
		free(files[i]);
	}
	free(files);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
