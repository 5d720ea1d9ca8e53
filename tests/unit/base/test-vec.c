/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/base/vec.h"

#include "tests/lib/test.h"

TEST(add_zeroes_and_keeps)
{
	VEC(struct {
		int a;
		char text[20];
	})
	v = { 0 };

	for (int i = 0; i < 1000; i++) {
		__typeof__(v.v) e = vec_add(&v);

		if (!check(e))
			return;
		check_int(e->a, 0);
		check_int(e->text[19], 0);
		e->a = i;
		memset(e->text, 'x', sizeof(e->text));
	}
	check_int(v.n, 1000);
	check(v.cap >= v.n);
	for (int i = 0; i < 1000; i++)
		check_int(v.v[i].a, i);
	vec_free(&v);
	check_int(v.n, 0);
	check_int(v.cap, 0);
	check(!v.v);
}

TEST(foreach_visits_all_in_order)
{
	VEC(int) v = { 0 };
	int *it, expect = 0;

	vec_foreach (it, &v)
		check(false);
	for (int i = 0; i < 10; i++)
		*vec_add(&v) = i;
	vec_foreach (it, &v)
		check_int(*it, expect++);
	check_int(expect, 10);
	vec_free(&v);
}

TEST(growth_refuses_overflow)
{
	size_t cap = SIZE_MAX / 4;
	void *p = NULL;

	check_int(vec_grow_raw(&p, cap, &cap, 16), -ENOMEM);
	check(!p);
	check_int(cap, SIZE_MAX / 4);
}

TEST_MAIN()
