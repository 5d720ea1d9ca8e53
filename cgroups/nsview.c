/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memberships as a task's own cgroup namespace shows them. The kernel writes /proc/PID/cgroup
 * relative to the namespace of the reader, so somebody has to read it from inside: a child of ours,
 * which makes nothing but system calls after the fork.
 */
#include "cgroups/cgroups-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

/* Exit status of the child: 0, or the errno. */
static void child_read(int ns_fd, int cgroup_fd, int out)
{
	char data[4096];
	ssize_t n;

	if (setns(ns_fd, CLONE_NEWCGROUP) < 0)
		_exit(errno);
	while ((n = read(cgroup_fd, data, sizeof(data))) > 0)
		if (write(out, data, (size_t)n) != n)
			_exit(EIO);
	_exit(n < 0 ? errno : 0);
}

static int read_inside(int ns_fd, int cgroup_fd, struct buf *text)
{
	cleanup_fd int in = -EBADF, out = -EBADF;
	int pipefd[2], status, r;
	pid_t child;

	if (pipe2(pipefd, O_CLOEXEC) < 0)
		return -errno;
	in = pipefd[0];
	out = pipefd[1];
	child = fork();
	if (child < 0)
		return -errno;
	if (child == 0)
		child_read(ns_fd, cgroup_fd, out);
	close(take_fd(&out));
	r = io_read_fd(in, text);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (r < 0)
		return r;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -EIO;
}

int cg_members_inside(pid_t pid, struct cg_members *ret, struct err *err)
{
	cleanup_fd int proc = io_open_proc(pid), ns = -EBADF, file = -EBADF;
	cleanup_buf struct buf text = BUF_INIT;
	struct stat ours, theirs;
	int r;

	if (proc < 0)
		return err_sys(err, proc, "opening /proc/%d", pid);
	ns = openat(proc, "ns/cgroup", O_RDONLY | O_CLOEXEC);
	if (ns < 0 || fstat(ns, &theirs) < 0 || stat("/proc/thread-self/ns/cgroup", &ours) < 0)
		return err_sys(err, -errno, "finding the cgroup namespace of task %d", pid);
	if (ours.st_ino == theirs.st_ino && ours.st_dev == theirs.st_dev)
		return CG_SAME_NS;
	file = openat(proc, "cgroup", O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return err_sys(err, -errno, "opening /proc/%d/cgroup", pid);
	r = read_inside(ns, file, &text);
	if (r >= 0)
		r = cg_members_parse(text.data, text.len, ret);
	if (r < 0)
		return err_sys(err, r, "reading the groups of task %d in its cgroup namespace",
			       pid);
	return 0;
}
