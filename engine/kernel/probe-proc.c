/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Probes of files in /proc, and of namespaces. */
#include "engine/kernel/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif
#ifndef TFD_IOC_SET_TICKS
#define TFD_IOC_SET_TICKS _IOW('T', 0, uint64_t)
#endif

static int has_text(const char *path, const char *text)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(AT_FDCWD, path, &b);

	if (r < 0)
		return r;
	return b.data && strstr(b.data, text) ? 0 : -ENOSYS;
}

static int exists(const char *path)
{
	return access(path, F_OK) < 0 ? -errno : 0;
}

static int fdinfo_has(int fd, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	return has_text(path, text);
}

int probe_mnt_id(void)
{
	cleanup_fd int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : fdinfo_has(fd, "mnt_id:");
}

int probe_fdinfo_lock(void)
{
	cleanup_fd int fd = (int)syscall(SYS_memfd_create, "probe", MFD_CLOEXEC);

	if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return fdinfo_has(fd, "lock:");
}

int probe_timerfd(void)
{
	cleanup_fd int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	uint64_t ticks = 1;

	return fd < 0 || ioctl(fd, TFD_IOC_SET_TICKS, &ticks) < 0 ? -errno
								  : fdinfo_has(fd, "clockid:");
}

int probe_fcntl_owner_uids(void)
{
	cleanup_fd int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);
	uint32_t uids[2];

	return fd < 0 || fcntl(fd, F_GETOWNER_UIDS, uids) < 0 ? -errno : 0;
}

int probe_ns_pid(void)
{
	return has_text("/proc/self/status", "\nNSpid:");
}

int probe_proc_children(void)
{
	return exists("/proc/thread-self/children");
}

int probe_ipc_next_id(void)
{
	return exists("/proc/sys/kernel/msg_next_id");
}

/* The file is there only with CONFIG_AUDIT; without it there is nothing to keep. */
int probe_loginuid(void)
{
	return access("/proc/self/loginuid", W_OK) < 0 ? -errno : 0;
}

/* The link of our own text: named like the area, and only then readable. */
int probe_map_files(void)
{
	cleanup_file FILE *maps = fopen("/proc/self/maps", "re");
	cleanup_free char *link = NULL;
	unsigned long start, end, inode;
	char line[4352], path[96];

	if (!maps)
		return -errno;
	while (fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %*s %*s %*s %lu", &start, &end, &inode) != 3 || !inode)
			continue;
		snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", start, end);
		return io_readlink(AT_FDCWD, path, &link);
	}
	return -ENODATA;
}

int probe_cgroupns(void)
{
	return exists("/proc/self/ns/cgroup");
}

int probe_timens(void)
{
	int r = exists("/proc/self/ns/time_for_children");

	return r == 0 ? exists("/proc/self/timens_offsets") : r;
}

static int make_userns(void)
{
	return unshare(CLONE_NEWUSER) < 0 ? -errno : 0;
}

int probe_userns(void)
{
	return probe_in_child(make_userns);
}
