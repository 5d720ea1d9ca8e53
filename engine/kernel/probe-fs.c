/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Probes of mounts and paths. */
#include "engine/kernel/probes.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

#ifndef MOVE_MOUNT_SET_GROUP
#define MOVE_MOUNT_SET_GROUP 0x100
#endif

int probe_openat2(void)
{
	struct open_how how = { .flags = O_PATH | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	cleanup_fd int fd = (int)syscall(SYS_openat2, AT_FDCWD, "/", &how, sizeof(how));

	return fd < 0 ? -errno : 0;
}

/* An empty path is not found, but flags are looked at first. */
static int judge_empty_path(long r)
{
	if (r >= 0) {
		close((int)r);
		return 0;
	}
	return errno == ENOENT ? 0 : -errno;
}

int probe_open_tree(void)
{
	return judge_empty_path(syscall(SYS_open_tree, AT_FDCWD, "", 0));
}

int probe_move_mount_set_group(void)
{
	long r = syscall(SYS_move_mount, AT_FDCWD, "", AT_FDCWD, "", MOVE_MOUNT_SET_GROUP);

	return r < 0 && errno == ENOENT ? 0 : r < 0 ? -errno : -EIO;
}

int probe_fsopen(void)
{
	cleanup_fd int fd = (int)syscall(SYS_fsopen, "tmpfs", 1 /* close-on-exec */);

	return fd < 0 ? -errno : 0;
}
