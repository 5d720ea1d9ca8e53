/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Files of a group that are kept: which ones, in which order, and how each is read and written. The
 * lists without CG_PROP_OPTIONAL are those of CRIU 4.2; the optional ones go into the image only
 * where somebody has set them, so an image of an ordinary group holds nothing that CRIU would not
 * write.
 */
#include "cgroups/cgroups-priv.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

#define EARLY(c, n)                          \
	{                                    \
		c, n, CG_PROP_EARLY, 0, NULL \
	}
#define LATE(c, n)                          \
	{                                   \
		c, n, CG_PROP_LATE, 0, NULL \
	}
#define SPECIAL(c, n, f)                    \
	{                                   \
		c, n, CG_PROP_LATE, f, NULL \
	}
#define OPTIONAL(c, n, def)                               \
	{                                                 \
		c, n, CG_PROP_LATE, CG_PROP_OPTIONAL, def \
	}
#define OPT_LINES(c, n)                                                  \
	{                                                                \
		c, n, CG_PROP_LATE, CG_PROP_OPTIONAL | CG_PROP_LINES, "" \
	}
#define PERMS(n)                              \
	{                                     \
		"", n, CG_PROP_PERMS, 0, NULL \
	}

static const struct cg_prop props_v1[] = {
	LATE("cpu", "cpu.shares"),
	LATE("cpu", "cpu.cfs_period_us"),
	LATE("cpu", "cpu.cfs_quota_us"),
	LATE("cpu", "cpu.rt_period_us"),
	LATE("cpu", "cpu.rt_runtime_us"),
	OPTIONAL("cpu", "cpu.cfs_burst_us", "0"),
	OPTIONAL("cpu", "cpu.idle", "0"),
	/* A limit of memory and swap may not be below the one of memory, so that comes first. */
	LATE("memory", "memory.limit_in_bytes"),
	LATE("memory", "memory.memsw.limit_in_bytes"),
	LATE("memory", "memory.swappiness"),
	LATE("memory", "memory.soft_limit_in_bytes"),
	LATE("memory", "memory.move_charge_at_immigrate"),
	SPECIAL("memory", "memory.oom_control", CG_PROP_OOM),
	/* Older kernels take it only while the group has no children. */
	EARLY("memory", "memory.use_hierarchy"),
	EARLY("memory", "memory.kmem.limit_in_bytes"),
	EARLY("memory", "memory.kmem.tcp.limit_in_bytes"),
	/* No task may enter a cpuset without processors and memory nodes. */
	EARLY("cpuset", "cpuset.cpus"),
	EARLY("cpuset", "cpuset.mems"),
	EARLY("cpuset", "cpuset.memory_migrate"),
	EARLY("cpuset", "cpuset.cpu_exclusive"),
	EARLY("cpuset", "cpuset.mem_exclusive"),
	EARLY("cpuset", "cpuset.mem_hardwall"),
	EARLY("cpuset", "cpuset.memory_spread_page"),
	EARLY("cpuset", "cpuset.memory_spread_slab"),
	EARLY("cpuset", "cpuset.sched_load_balance"),
	EARLY("cpuset", "cpuset.sched_relax_domain_level"),
	LATE("blkio", "blkio.weight"),
	OPTIONAL("blkio", "blkio.bfq.weight", "100"),
	OPT_LINES("blkio", "blkio.throttle.read_bps_device"),
	OPT_LINES("blkio", "blkio.throttle.read_iops_device"),
	OPT_LINES("blkio", "blkio.throttle.write_bps_device"),
	OPT_LINES("blkio", "blkio.throttle.write_iops_device"),
	LATE("net_cls", "net_cls.classid"),
	SPECIAL("net_prio", "net_prio.ifpriomap", CG_PROP_IFPRIO),
	LATE("pids", "pids.max"),
	SPECIAL("devices", "devices.list", CG_PROP_DEVICES),
	EARLY("", "cgroup.clone_children"),
	LATE("", "notify_on_release"),
	PERMS("cgroup.procs"),
	PERMS("tasks"),
	{ "freezer", "freezer.state", CG_PROP_FREEZE, CG_PROP_OPTIONAL, "THAWED" },
};

/*
 * cgroup.subtree_control comes late although children get their files by it: a group that
 * distributes controllers takes no process, and somebody has to enter the root of a cgroup
 * namespace to make it. It is written to a directory before its children are looked at.
 */
static const struct cg_prop props_v2[] = {
	OPTIONAL("cpuset", "cpuset.cpus", ""),
	OPTIONAL("cpuset", "cpuset.mems", ""),
	OPTIONAL("cpuset", "cpuset.cpus.exclusive", ""),
	OPTIONAL("cpuset", "cpuset.cpus.partition", "member"),
	OPTIONAL("cpu", "cpu.weight", "100"),
	OPTIONAL("cpu", "cpu.idle", "0"),
	OPTIONAL("cpu", "cpu.max", "max 100000"),
	OPTIONAL("cpu", "cpu.max.burst", "0"),
	OPTIONAL("cpu", "cpu.uclamp.min", "0.00"),
	OPTIONAL("cpu", "cpu.uclamp.max", "max"),
	OPT_LINES("io", "io.max"),
	OPT_LINES("io", "io.latency"),
	{ "io", "io.weight", CG_PROP_LATE, CG_PROP_OPTIONAL | CG_PROP_LINES, "default 100" },
	{ "io", "io.bfq.weight", CG_PROP_LATE, CG_PROP_OPTIONAL | CG_PROP_LINES, "default 100" },
	OPTIONAL("io", "io.prio.class", "no-change"),
	OPTIONAL("memory", "memory.min", "0"),
	OPTIONAL("memory", "memory.low", "0"),
	OPTIONAL("memory", "memory.high", "max"),
	OPTIONAL("memory", "memory.max", "max"),
	OPTIONAL("memory", "memory.swap.high", "max"),
	OPTIONAL("memory", "memory.swap.max", "max"),
	OPTIONAL("memory", "memory.zswap.max", "max"),
	OPTIONAL("memory", "memory.zswap.writeback", "1"),
	OPTIONAL("memory", "memory.oom.group", "0"),
	OPTIONAL("pids", "pids.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.64KB.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.64KB.rsvd.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.2MB.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.2MB.rsvd.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.32MB.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.32MB.rsvd.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.1GB.max", "max"),
	OPTIONAL("hugetlb", "hugetlb.1GB.rsvd.max", "max"),
	SPECIAL("", "cgroup.subtree_control", CG_PROP_CONTROLLERS),
	LATE("", "cgroup.max.descendants"),
	LATE("", "cgroup.max.depth"),
	{ "", "cgroup.freeze", CG_PROP_FREEZE, 0, NULL },
	/* Before tasks enter: a group with processes cannot become threaded. */
	EARLY("", "cgroup.type"),
	{ "", "cgroup.procs", CG_PROP_PERMS, CG_PROP_OPTIONAL, NULL },
	{ "", "cgroup.threads", CG_PROP_PERMS, CG_PROP_OPTIONAL, NULL },
};

const struct cg_prop *cg_props(bool unified, size_t *ret_n)
{
	*ret_n = unified ? sizeof(props_v2) / sizeof(props_v2[0])
			 : sizeof(props_v1) / sizeof(props_v1[0]);
	return unified ? props_v2 : props_v1;
}

const struct cg_prop *cg_prop_find(bool unified, const char *name)
{
	size_t n;
	const struct cg_prop *p = cg_props(unified, &n);

	for (size_t i = 0; i < n; i++)
		if (!strcmp(p[i].name, name))
			return &p[i];
	return NULL;
}

bool cg_prop_name_is_valid(const char *name)
{
	size_t len = strlen(name);

	if (!len || len > 128 || name[0] == '.')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)name[i]) && !strchr("._-", name[i]))
			return false;
	return true;
}

static void trim(struct buf *b)
{
	while (b->len && isspace((unsigned char)b->data[b->len - 1]))
		b->data[--b->len] = '\0';
}

int cg_prop_read(int dirfd, const struct cg_prop *prop, const char *name, struct buf *ret)
{
	int r = io_read_file(dirfd, name, ret);
	size_t digits;
	char *p;

	if (r < 0)
		return r;
	trim(ret);
	if (!prop || !(prop->flags & CG_PROP_OOM))
		return 0;
	/* "oom_kill_disable 0", then lines that only report. */
	p = ret->len ? strchr(ret->data, ' ') : NULL;
	if (!p)
		return -EINVAL;
	digits = strspn(++p, "0123456789");
	memmove(ret->data, p, digits);
	ret->len = digits;
	ret->data[digits] = '\0';
	return 0;
}

/* Calls write for each line of value, stops at the first failure. */
static int each_line(const char *value, int (*write_line)(int, const char *, size_t), int fd)
{
	while (*value) {
		size_t len = strcspn(value, "\n");
		int r = len ? write_line(fd, value, len) : 0;

		if (r < 0)
			return r;
		value += len + (value[len] == '\n');
	}
	return 0;
}

static int write_plain(int fd, const char *line, size_t len)
{
	ssize_t n = write(fd, line, len);

	return n < 0 ? -errno : 0;
}

/* Interfaces that are not here keep no priority; the rest of the list is still good. */
static int write_ifprio(int fd, const char *line, size_t len)
{
	size_t name_len = strcspn(line, " ");
	char name[IF_NAMESIZE];

	if (name_len >= len || name_len >= sizeof(name))
		return -EINVAL;
	memcpy(name, line, name_len);
	name[name_len] = '\0';
	return if_nametoindex(name) ? write_plain(fd, line, len) : 0;
}

static int write_lines(int dirfd, const char *file, const char *value,
		       int (*write_line)(int, const char *, size_t))
{
	cleanup_fd int fd = openat(dirfd, file, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : each_line(value, write_line, fd);
}

bool cg_devices_is_all(const char *value)
{
	return !strncmp(value, "a ", 2) || !strcmp(value, "a");
}

/*
 * A list is not written but changed. While a group has no children, denying all begins a new one;
 * the kernel refuses that to a group with children, whose list then is emptied line by line.
 */
static int write_devices(int dirfd, const char *now, const char *value)
{
	bool all = cg_devices_is_all(value);
	int r = io_write_file(dirfd, all ? "devices.allow" : "devices.deny", "a", 1);

	if (r == -EINVAL && !all && now && !cg_devices_is_all(now))
		r = write_lines(dirfd, "devices.deny", now, write_plain);
	return r < 0 || all ? r : write_lines(dirfd, "devices.allow", value, write_plain);
}

int cg_devices_begin_list(int dirfd)
{
	cleanup_buf struct buf now = BUF_INIT;
	int r = cg_prop_read(dirfd, NULL, "devices.list", &now);

	if (r < 0 || !now.data || !cg_devices_is_all(now.data))
		return r;
	r = io_write_file(dirfd, "devices.deny", "a", 1);
	return r < 0 ? r : write_lines(dirfd, "devices.allow", "c *:* rwm\nb *:* rwm", write_plain);
}

/* "cpu memory" is written as "+cpu +memory"; what is enabled beyond that stays. */
static int write_controllers(int dirfd, const char *value)
{
	cleanup_buf struct buf text = BUF_INIT;

	while (*value) {
		size_t len = strcspn(value, " \n");

		if (len && buf_printf(&text, "+%.*s ", (int)len, value) < 0)
			return -ENOMEM;
		value += len + !!value[len];
	}
	return text.len ? io_write_file(dirfd, "cgroup.subtree_control", text.data, text.len) : 0;
}

int cg_prop_write(int dirfd, bool unified, const char *name, const char *value)
{
	const struct cg_prop *prop = cg_prop_find(unified, name);
	cleanup_buf struct buf now = BUF_INIT;
	unsigned int flags = prop ? prop->flags : 0;
	int r;

	if (!*value)
		return 0;
	/* The kernel makes the other types itself and takes none of them. */
	if (!strcmp(name, "cgroup.type") && strcmp(value, "threaded"))
		return 0;
	r = cg_prop_read(dirfd, prop, name, &now);
	if (r < 0 && r != -EACCES && r != -EINVAL)
		return r;
	if (r == 0 && now.data && !strcmp(now.data, value))
		return 0;
	if (flags & CG_PROP_DEVICES)
		return write_devices(dirfd, now.data, value);
	if (flags & CG_PROP_CONTROLLERS)
		return write_controllers(dirfd, value);
	if (flags & CG_PROP_IFPRIO)
		return write_lines(dirfd, name, value, write_ifprio);
	return write_lines(dirfd, name, value, write_plain);
}
