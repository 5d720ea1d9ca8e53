/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cgroups/cgroups-priv.h"

#include <errno.h>

#include "tests/lib/test.h"

static int members(const char *text, struct cg_members *m)
{
	return cg_members_parse(text, strlen(text), m);
}

TEST(members_v1_together)
{
	struct cg_members m = { 0 };

	check_int(members("12:pids:/a\n11:cpu,cpuacct:/a/b:c\n1:name=systemd:/user.slice\n", &m),
		  0);
	check_int(m.list.n, 3);
	check_str(m.list.v[1].name, "cpu,cpuacct");
	check_str(m.list.v[1].path, "/a/b:c");
	check_str(m.list.v[2].name, "name=systemd");
	cg_members_done(&m);
}

TEST(members_hybrid_and_v2)
{
	struct cg_members m = { 0 };

	check_int(members("2:cpu:/\n0::/init.scope\n", &m), 0);
	check_int(m.list.v[1].hier_id, 0);
	check_str(m.list.v[1].name, "");
	check_str(m.list.v[1].path, "/init.scope");
	cg_members_done(&m);
	check_int(members("0::/../sibling\n", &m), 0);
	check(!cg_path_is_clean(m.list.v[0].path));
	cg_members_done(&m);
}

TEST(members_deleted)
{
	struct cg_members m = { 0 };

	check_int(members("0::/gone (deleted)\n", &m), 0);
	check(m.list.v[0].deleted);
	check_str(m.list.v[0].path, "/gone");
	cg_members_done(&m);
}

TEST(members_malformed)
{
	static const char *const bad[] = { "0:\n",	     "x:cpu:/\n", "3:cpu:relative\n",
					   "3::/nameless\n", "0:cpu:/\n", "-1:cpu:/\n" };
	struct cg_members m = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_int(members(bad[i], &m), -EINVAL);
}

static const char mountinfo[] =
	"23 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	"33 31 0:30 /docker/x /sys/fs/cgroup/a\\040b ro,nosuid master:1 - cgroup cgroup rw,memory\n"
	"40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup systemd rw,xattr,name=systemd\n"
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2  rw,nsdelegate\n";

TEST(mounts)
{
	struct cg_mounts m = { 0 };

	check_int(cg_mounts_parse(mountinfo, strlen(mountinfo), &m), 0);
	if (!check_int(m.list.n, 4))
		return;
	check(cg_mount_is_hier(&m.list.v[0], "cpu,cpuacct"));
	check(!cg_mount_is_hier(&m.list.v[0], "cpu,cpuset"));
	check(!cg_mount_is_hier(&m.list.v[0], ""));
	check_str(m.list.v[1].root, "/docker/x");
	check_str(m.list.v[1].mountpoint, "/sys/fs/cgroup/a b");
	check(!m.list.v[1].writable);
	check(cg_mount_is_hier(&m.list.v[2], "name=systemd"));
	check(cg_mount_is_hier(&m.list.v[3], ""));
	check(m.list.v[3].unified && m.list.v[3].writable);
	check_int(m.list.v[3].minor, 38);
	cg_mounts_done(&m);
}

TEST(mounts_malformed)
{
	static const char *const bad[] = { "32 31 0:29 /\n", "1 2 0:3 / /x rw shared:1\n",
					   "1 2 x:3 / /x rw - cgroup cgroup rw,cpu\n",
					   "1 2 0:3 / /x rw - cgroup\n" };
	struct cg_mounts m = { 0 };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		check_int(cg_mounts_parse(bad[i], strlen(bad[i]), &m), -EINVAL);
}

TEST(lists)
{
	check(cg_list_has("cpu,cpuacct", "cpuacct", 7));
	check(!cg_list_has("cpuacct", "cpu", 3));
	check(!cg_list_has("", "cpu", 3));
}

TEST_MAIN()
