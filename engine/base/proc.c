/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL
#endif

int proc_stat_read(pid_t pid, struct proc_stat *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	r = io_read_file(AT_FDCWD, path, &text);
	return r < 0 ? r : proc_stat_parse(text.data, text.len, ret);
}

int proc_open_pidfd(pid_t tid, bool thread)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, thread ? PIDFD_THREAD : 0);

	return fd < 0 ? -errno : fd;
}

bool proc_has_ended(pid_t pid)
{
	struct proc_stat st;

	return proc_stat_read(pid, &st) < 0 || st.state == 'Z' || st.state == 'X';
}

int proc_stat_read_at(int dir, const char *path, struct proc_stat *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(dir, path, &b);

	return r < 0 ? r : proc_stat_parse(b.data, b.len, ret);
}

int proc_status_read_at(int dir, const char *path, struct proc_status *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(dir, path, &b);

	return r < 0 ? r : proc_status_parse(b.data, b.len, ret);
}
