/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/still.h"

#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/lib/test.h"

TEST(blocks_are_apart_and_aligned)
{
	struct still s = { 0 };
	uint8_t *blocks[300];
	size_t i, k;

	for (i = 0; i < 300; i++) {
		blocks[i] = still_alloc(&s, i * 37);
		if (!check(blocks[i]))
			return;
		check_int((uintptr_t)blocks[i] % 16, 0);
		memset(blocks[i], (int)i, i * 37);
	}
	/* larger than any chunk */
	check(still_alloc(&s, 40 << 20));
	for (i = 0; i < 300; i++)
		for (k = 0; k < i * 37; k++)
			if (blocks[i][k] != (uint8_t)i)
				check_int(blocks[i][k], (uint8_t)i);
	check(!still_alloc(&s, SIZE_MAX));
	still_done(&s);
	check(!s.chunks);
}

TEST(a_freed_block_is_used_again)
{
	struct still s = { 0 };
	void *a = still_alloc(&s, 100), *b = still_alloc(&s, 100);

	check(a != b);
	still_free(&s, a);
	still_free(&s, NULL);
	check(still_alloc(&s, 200) != a);
	check(still_alloc(&s, 100) == a);
	check(still_alloc(&s, 100) != b);
	still_done(&s);
}

TEST(a_child_sees_what_was_there_and_changes_only_its_own)
{
	struct still s = { 0 };
	char *text = still_alloc(&s, 6);
	int status = 0;
	pid_t pid;

	if (!check(text))
		return;
	strcpy(text, "first");
	check_int(still_settle(&s), 0);
	check(strcmp(text, "first") == 0);
	pid = fork();
	if (pid == 0) {
		int bad = strcmp(text, "first");

		strcpy(text, "child");
		_exit(bad || !still_alloc(&s, 1 << 20));
	}
	check(waitpid(pid, &status, 0) == pid);
	check_int(status, 0);
	check(strcmp(text, "first") == 0);
	still_done(&s);
}

TEST_MAIN()
