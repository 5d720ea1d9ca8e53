/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "cgroups/cgroups-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/io.h"
#include "tests/lib/test.h"

TEST(tables)
{
	for (int unified = 0; unified < 2; unified++) {
		size_t n;
		const struct cg_prop *p = cg_props(unified, &n);

		for (size_t i = 0; i < n; i++) {
			check(cg_prop_name_is_valid(p[i].name));
			check(cg_prop_find(unified, p[i].name) == &p[i]);
		}
	}
	check(!cg_prop_find(true, "cpu.shares"));
}

TEST(names)
{
	check(cg_prop_name_is_valid("tasks"));
	check(cg_prop_name_is_valid("hugetlb.2MB.limit_in_bytes"));
	check(!cg_prop_name_is_valid("../tasks"));
	check(!cg_prop_name_is_valid("a/b"));
	check(!cg_prop_name_is_valid(".."));
	check(!cg_prop_name_is_valid(""));
	check(!cg_prop_name_is_valid("x y"));
}

/* Ordinary files stand in for those of a group: what is written there stays there to be seen. */
static int fixture(char *dir, const char *name, const char *text)
{
	int dirfd, fd;

	strcpy(dir, "/tmp/cgroups-props-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	dirfd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || io_write_all(fd, text, strlen(text)) < 0)
		return -1;
	close(fd);
	return dirfd;
}

static void drop(const char *dir, int dirfd, const char *name)
{
	unlinkat(dirfd, name, 0);
	close(dirfd);
	rmdir(dir);
}

TEST(oom_control_is_one_number)
{
	const char *name = "memory.oom_control";
	struct buf b = BUF_INIT;
	char dir[64];
	int fd = fixture(dir, name, "oom_kill_disable 1\nunder_oom 0\noom_kill 5\n");

	check_int(cg_prop_read(fd, cg_prop_find(false, name), name, &b), 0);
	check_str(b.data, "1");
	buf_done(&b);
	drop(dir, fd, name);
}

TEST(controllers_get_a_plus)
{
	const char *name = "cgroup.subtree_control";
	struct buf b = BUF_INIT;
	char dir[64];
	int fd = fixture(dir, name, "\n");

	check_int(cg_prop_write(fd, true, name, "cpu memory"), 0);
	check_int(io_read_file(fd, name, &b), 0);
	check_str(b.data, "+cpu +memory ");
	buf_done(&b);
	drop(dir, fd, name);
}

TEST(unchanged_and_empty_values_are_not_written)
{
	const char *name = "pids.max";
	char dir[64];
	int fd = fixture(dir, name, "44\n");

	check_int(cg_prop_write(fd, false, name, "44"), 0);
	check_int(cg_prop_write(fd, false, name, ""), 0);
	check_int(cg_prop_write(fd, false, "pids.none", "44"), -ENOENT);
	check_int(cg_prop_write(fd, true, "cgroup.type", "domain"), 0);
	drop(dir, fd, name);
}

TEST(devices_all)
{
	check(cg_devices_is_all("a *:* rwm"));
	check(!cg_devices_is_all("c 1:3 rwm"));
}

TEST_MAIN()
