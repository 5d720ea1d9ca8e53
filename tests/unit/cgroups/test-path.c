/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cgroups/cgroups-priv.h"

#include "engine/engine.h"
#include "tests/lib/test.h"

TEST(clean)
{
	check(cg_path_is_clean("/"));
	check(cg_path_is_clean("/a/b.slice/c:d"));
	check(cg_path_is_clean("/..a/b.."));
	check(!cg_path_is_clean(""));
	check(!cg_path_is_clean("a"));
	check(!cg_path_is_clean("/a/"));
	check(!cg_path_is_clean("//a"));
	check(!cg_path_is_clean("/a/../b"));
	check(!cg_path_is_clean("/.."));
	check(!cg_path_is_clean("/a/./b"));
	check(!cg_path_is_clean("/a\nb"));
}

TEST(below)
{
	check(cg_path_is_below("/a/b", "/a"));
	check(cg_path_is_below("/a", "/a"));
	check(cg_path_is_below("/a", "/"));
	check(!cg_path_is_below("/ab", "/a"));
	check(!cg_path_is_below("/", "/a"));
}

TEST(algebra)
{
	struct arena a = { 0 };

	check_str(cg_path_join(&a, "/", "x"), "/x");
	check_str(cg_path_join(&a, "/a", "/b/c"), "/a/b/c");
	check_str(cg_path_join(&a, "/a", ""), "/a");
	check_str(cg_path_common(&a, "/a/b", "/a/bc"), "/a");
	check_str(cg_path_common(&a, "/a/b", "/a/b/c"), "/a/b");
	check_str(cg_path_common(&a, "/a/b", "/a/b"), "/a/b");
	check_str(cg_path_common(&a, "/a", "/b"), "/");
	check_str(cg_path_common(&a, "/", "/b"), "/");
	check_str(cg_path_move(&a, "/a/b", "/a", "/n/m"), "/n/m/b");
	check_str(cg_path_move(&a, "/a", "/a", "/n"), "/n");
	check_str(cg_path_move(&a, "/", "/", "/n"), "/n");
	check_str(cg_path_move(&a, "/x/y", "/", "/n"), "/n/x/y");
	check_str(cg_path_move(&a, "/a/b", "/a", "/"), "/b");
	check_str(cg_path_normalize(&a, "//lxc.payload.x//y/"), "/lxc.payload.x/y");
	check_str(cg_path_normalize(&a, "/"), "/");
	check(!cg_path_normalize(&a, "relative"));
	check(!cg_path_normalize(&a, "/a/../.."));
	arena_done(&a);
}

static void host(struct cg_layout *l, const char *const *names)
{
	for (; *names; names++) {
		struct cg_hier *h = vec_add(&l->hiers);

		h->name = arena_strdup(&l->arena, *names);
		h->own_path = arena_strdup(&l->arena, "/");
		h->unified = !h->name[0];
		h->root_fd = -1;
	}
}

TEST(roots)
{
	const struct ckpt_pair v[] = { { "cpu,cpuacct", "/c" },
				       { "name=systemd", "/s" },
				       { NULL, "/all" },
				       { "hugetlb", "/u" } };
	struct ckpt_pairs roots = { .v = v, .n = 4 };
	struct cg_layout l = { 0 };

	host(&l, (const char *const[]){ "cpu,cpuacct", "memory", "name=systemd", "", NULL });
	check_str(cg_root_for(&roots, &l, "cpu,cpuacct"), "/c");
	check_str(cg_root_for(&roots, &l, "memory"), "/all");
	check_str(cg_root_for(&roots, &l, "name=systemd"), "/s");
	/* A controller that v1 does not have is cgroup2's. */
	check_str(cg_root_for(&roots, &l, ""), "/u");
	roots.n = 3;
	check_str(cg_root_for(&roots, &l, ""), "/all");
	roots.n = 2;
	check(!cg_root_for(&roots, &l, ""));
	check(!cg_root_for(&roots, &l, "memory"));
	cg_layout_done(&l);
}

TEST(roots_of_lxc_on_cgroup2)
{
	const struct ckpt_pair v[] = { { "cpuset,cpu,io,memory,pids", "/lxc.payload.c1" } };
	const struct ckpt_pairs roots = { .v = v, .n = 1 };
	struct cg_layout l = { 0 };

	host(&l, (const char *const[]){ "", NULL });
	check_str(cg_root_for(&roots, &l, ""), "/lxc.payload.c1");
	cg_layout_done(&l);
}

TEST_MAIN()
