/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/idmap.h"
#include "tests/lib/test.h"

TEST(empty_map_has_nothing)
{
	struct idmap m = { 0 };

	check(!idmap_find(&m, 0, 0));
}

/* Also pairs that differ in one number only. */
TEST(many_pairs_are_kept_apart)
{
	static int values[3000];
	struct arena arena = { 0 };
	struct idmap m = { 0 };
	uint64_t i;

	for (i = 0; i < 3000; i++)
		check_int(idmap_put(&m, &arena, i % 3, i / 3, &values[i]), 0);
	for (i = 0; i < 3000; i++)
		if (idmap_find(&m, i % 3, i / 3) != &values[i])
			check_int(i, -1);
	check(!idmap_find(&m, 3, 0));
	check(!idmap_find(&m, 0, 1000));
	check_int(m.n, 3000);
	arena_done(&arena);
}

TEST_MAIN()
