/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/crew.h"

#include <errno.h>

#include "tests/lib/test.h"

enum { N = 5000 };

struct calls {
	int count[N];
	size_t fails_at;
};

static int count(void *arg, size_t i, struct err *err)
{
	struct calls *c = arg;

	__atomic_add_fetch(&c->count[i], 1, __ATOMIC_RELAXED);
	return i == c->fails_at ? err_new(err, ERR_ENVIRONMENT, -EIO, "number %zu", i) : 0;
}

TEST(every_one_is_done_once)
{
	static struct calls c = { .fails_at = N };
	struct err err = ERR_INIT;
	size_t i;

	check_int(crew_run(N, 1, count, &c, &err), 0);
	for (i = 0; i < N; i++)
		if (c.count[i] != 1)
			check_int(c.count[i], 1);
	check_int(crew_run(0, 1, count, &c, &err), 0);
	check_int(crew_run(1, 100, count, &c, &err), 0);
	check_int(c.count[0], 2);
	check_int(c.count[1], 1);
}

TEST(a_failure_ends_it_and_is_told)
{
	static struct calls c = { .fails_at = 0 };
	struct err err = ERR_INIT;

	check_int(crew_run(N, 1, count, &c, &err), -EIO);
	check_int(err.code, -EIO);
	check_str(err.text, "number 0");
}

TEST_MAIN()
