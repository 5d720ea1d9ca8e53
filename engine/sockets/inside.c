/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/sockets/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

/* Exit statuses: 0 to INSIDE_MAX are results, and from ERRNO_BASE on errors. */
enum { ERRNO_BASE = 100 };

static pid_t fork_sharing_files(void)
{
	struct clone_args args = { .flags = CLONE_FILES, .exit_signal = SIGCHLD };

	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int status_of(int r)
{
	if (r >= 0)
		return r <= INSIDE_MAX ? r : ERRNO_BASE + EIO;
	return -r <= 255 - ERRNO_BASE ? ERRNO_BASE - r : ERRNO_BASE + EIO;
}

/* The status of a process, or that of one that was killed. */
static int await(pid_t pid)
{
	int status;

	if (pid < 0)
		return ERRNO_BASE + errno;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return ERRNO_BASE + errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : ERRNO_BASE + EINTR;
}

static _Noreturn void child(int pidns, int (*fn)(void *arg), void *arg)
{
	pid_t pid;

	if (pidns < 0)
		_exit(status_of(fn(arg)));
	/* a pid namespace is entered by being born in it */
	if (setns(pidns, CLONE_NEWPID) < 0)
		_exit(ERRNO_BASE + errno);
	pid = fork_sharing_files();
	if (pid == 0)
		_exit(status_of(fn(arg)));
	_exit(await(pid));
}

int inside_run(struct dump *d, int (*fn)(void *arg), void *arg, int *ret, struct err *err)
{
	cleanup_fd int pidns = -EBADF;
	char path[32];
	pid_t pid;
	int status;

	if (d->root_ns.id[NS_PID] != d->host_ns.id[NS_PID]) {
		snprintf(path, sizeof(path), "/proc/%d/ns/pid", dump_root_tid(d));
		pidns = open(path, O_RDONLY | O_CLOEXEC);
		if (pidns < 0)
			return err_sys(err, -errno, "opening the tree's pid namespace");
	}
	pid = fork_sharing_files();
	if (pid < 0)
		return err_sys(err, -errno, "starting a process to look into sockets");
	if (pid == 0)
		child(pidns, fn, arg);
	status = await(pid);
	*ret = status >= ERRNO_BASE ? ERRNO_BASE - status : status;
	return 0;
}
