/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "engine/ns/ns-priv.h"

#include "tests/lib/test.h"

static struct ns_set host_set(void)
{
	struct ns_set s = { 0 };

	for (int i = 0; i < NS_TYPE_COUNT; i++)
		s.ino[i] = 4026531835u + (unsigned)i;
	return s;
}

TEST(shared_namespaces_have_shared_ids)
{
	struct ns_set host = host_set(), root = host_set();

	ns_assign_ids(&host, &root);
	for (int i = 0; i < NS_TYPE_COUNT; i++) {
		check(host.id[i] > 0);
		check_int(host.id[i], root.id[i]);
		check(!ns_is_own(&host, &root, i));
	}
	check_int(host.id[NS_PID], 1);
	check_int(host.id[NS_CGROUP], NS_TYPE_COUNT);
}

TEST(own_namespaces_follow_those_of_the_engine)
{
	struct ns_set host = host_set(), root = host_set();

	root.ino[NS_NET] = 1;
	root.ino[NS_UTS] = 2;
	ns_assign_ids(&host, &root);
	check(ns_is_own(&host, &root, NS_NET));
	check(ns_is_own(&host, &root, NS_UTS));
	check(!ns_is_own(&host, &root, NS_PID));
	check_int(root.id[NS_NET], NS_TYPE_COUNT + 1);
	check_int(root.id[NS_UTS], NS_TYPE_COUNT + 2);
}

TEST(ids_are_distinct)
{
	struct ns_set host = host_set(), root = { 0 };
	bool seen[2 * NS_TYPE_COUNT + 1] = { false };

	for (int i = 0; i < NS_TYPE_COUNT; i++)
		root.ino[i] = 100u + (unsigned)i;
	ns_assign_ids(&host, &root);
	for (int i = 0; i < NS_TYPE_COUNT; i++) {
		check(!seen[host.id[i]]);
		seen[host.id[i]] = true;
		check(!seen[root.id[i]]);
		seen[root.id[i]] = true;
	}
}

/* A kernel without time namespaces: no id, and nobody has one of its own. */
TEST(missing_kind_has_no_id)
{
	struct ns_set host = host_set(), root = host_set();

	host.ino[NS_TIME] = root.ino[NS_TIME] = 0;
	ns_assign_ids(&host, &root);
	check_int(host.id[NS_TIME], 0);
	check_int(root.id[NS_TIME], 0);
	check(!ns_is_own(&host, &root, NS_TIME));
}

TEST(external_key_needs_type_and_inode)
{
	static const char *const list[] = { "mnt[]:ms", "net[4026532]:k1", "net[40265327]:k2",
					    "pid[7]:", "pid[8]:extRootPidNS" };
	struct ckpt_options o = { .externals = { list, 5 } };

	check_str(ns_external_key(&o, NS_NET, 4026532), "k1");
	check_str(ns_external_key(&o, NS_NET, 40265327), "k2");
	check(!ns_external_key(&o, NS_NET, 402653));
	check(!ns_external_key(&o, NS_PID, 4026532));
	check(!ns_external_key(&o, NS_PID, 7));
	check_str(ns_external_key(&o, NS_PID, 8), "extRootPidNS");
}

TEST_MAIN()
