/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore: controlling terminals of sessions, their foreground groups, and /dev/tty. */
#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/terminals.h"
#include "engine/files/tty.h"
#include "proto/files.pb-c.h"

/* A child that leaves no signal behind when it ends. */
static pid_t fork_silent(uint64_t flags, pid_t wanted)
{
	struct clone_args args = { .flags = flags };

	if (wanted > 0) {
		args.set_tid = (uint64_t)(uintptr_t)&wanted;
		args.set_tid_size = 1;
	}
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static int wait_silent(pid_t pid)
{
	int status = 0;

	while (waitpid(pid, &status, __WALL) < 0)
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

/* ---- /dev/tty ---- */

static bool is_behind(int fd, const struct terminal *t)
{
	unsigned int a = 0, b = 0;

	return ioctl(fd, TIOCGDEV, &a) == 0 && ioctl(t->slave_fd, TIOCGDEV, &b) == 0 && a == b;
}

/*
 * What the name leads to is decided when it is opened, by the session of the opener. So a child
 * that shares our descriptors makes a session, takes the terminal, opens the name and leaves the
 * terminal again.
 */
static _Noreturn void open_in_session(const struct terminal *t, const char *path, int flags,
				      int place)
{
	int fd, r;

	if (setsid() < 0 || ioctl(t->slave_fd, TIOCSCTTY, 0) < 0)
		_exit(errno);
	fd = open(path, flags);
	r = fd < 0 ? errno : dup3(fd, place, O_CLOEXEC) < 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	ioctl(t->slave_fd, TIOCNOTTY);
	_exit(r);
}

int tty_open_current(struct restore *r, struct terminal *t, const char *path, int flags,
		     struct err *err)
{
	cleanup_fd int place = open(path, flags);
	pid_t pid;
	int n;

	/* the terminal of the restore itself, with --shell-job */
	if (place >= 0 && is_behind(place, t))
		return take_fd(&place);
	if (place < 0)
		place = fcntl(t->slave_fd, F_DUPFD_CLOEXEC, 3);
	if (place < 0)
		return err_sys(err, -errno, "taking a descriptor for '%s'", path);
	pid = fork_silent(CLONE_FILES, 0);
	if (pid == 0)
		open_in_session(t, path, flags, place);
	n = pid < 0 ? -errno : wait_silent(pid);
	if (n < 0)
		return err_sys(err, n, "opening '%s' for terminal %u", path,
			       t->slave ? t->slave->info->id : 0);
	if (!is_behind(place, t))
		return err_new(err, ERR_ENVIRONMENT, -ENXIO, "'%s' leads to another terminal",
			       path);
	return take_fd(&place);
}

/* ---- in builders ---- */

int terminals_lead(struct restore *r, struct restore_task *task, struct err *err)
{
	const struct restore_ttys *all = tty_restore_state(r);
	const struct terminal *t;

	for (t = all ? all->terminals : NULL; t; t = t->next) {
		if (t->leader != task || !t->place || ioctl(t->place, TIOCSCTTY, 0) == 0)
			continue;
		/* the terminal of the caller stays the caller's */
		if (t->how == TTY_CALLERS && errno == EPERM)
			continue;
		return err_sys(err, -errno, "taking terminal %u for session %d",
			       t->slave ? t->slave->info->id : t->master->info->id, task->ns_sid);
	}
	return 0;
}

/*
 * A foreground group without members: it stays the terminal's after all of them have ended. Made by
 * a child that ends as well, with the old number if that is free.
 */
static int set_empty_group(const struct restore_task *task, int fd, pid_t pgrp)
{
	pid_t pid = fork_silent(0, pgrp);
	int n = 0;

	if (pid < 0 && pgrp)
		pid = fork_silent(0, 0);
	if (pid == 0)
		for (;;)
			pause();
	if (pid < 0)
		return -errno;
	if (setpgid(pid, pid) < 0 || ioctl(fd, TIOCSPGRP, &pid) < 0)
		n = -errno;
	kill(pid, SIGKILL);
	wait_silent(pid);
	return n;
}

static bool group_exists(const struct restore *r, const struct restore_task *leader, pid_t pgrp)
{
	struct restore_task *const *t;

	vec_foreach (t, &r->tasks)
		if (pgrp && (*t)->ns_pgid == pgrp && (*t)->ns_sid == leader->ns_sid)
			return true;
	return false;
}

static const TtyInfoEntry *info_of(const struct terminal *t)
{
	return t->slave && t->slave->info->sid ? t->slave->info
	       : t->master		       ? t->master->info
					       : t->slave->info;
}

static int set_foreground(struct restore *r, const struct terminal *t, struct err *err)
{
	pid_t pgrp = (pid_t)info_of(t)->pgrp;
	int n;

	if (group_exists(r, t->leader, pgrp))
		n = ioctl(t->place, TIOCSPGRP, &pgrp) < 0 ? -errno : 0;
	else
		n = set_empty_group(t->leader, t->place, pgrp);
	/* with --shell-job it may be another session's */
	if (n == -ENOTTY && t->how == TTY_CALLERS)
		return 0;
	return n < 0 ? err_sys(err, n, "making %d the foreground group of a terminal", pgrp) : 0;
}

/* A job of the caller's session comes back into the foreground, as CRIU has it. */
static void take_callers(const struct restore_task *task, const struct terminal *t)
{
	pid_t own = getpgrp();

	if (!task->parent && task->ns_sid != task->ns_pid && task->ns_pgid == task->ns_pid)
		ioctl(t->place, TIOCSPGRP, &own);
}

static bool is_without(const struct restore_task *task, const struct terminal *t)
{
	const TtyInfoEntry *e = info_of(t);
	size_t i;

	for (i = 0; i < e->n_without; i++)
		if (e->without[i] == (uint32_t)task->ns_pid)
			return true;
	return false;
}

int terminals_groups(struct restore *r, struct restore_task *task, struct err *err)
{
	const struct restore_ttys *all = tty_restore_state(r);
	const struct terminal *t;

	for (t = all ? all->terminals : NULL; t; t = t->next) {
		if (!t->place)
			continue;
		if (t->how == TTY_CALLERS)
			take_callers(task, t);
		if (t->leader == task && set_foreground(r, t, err) < 0)
			return err->code;
		if (t->leader && t->leader != task && task->ns_sid == t->leader->ns_sid &&
		    is_without(task, t) && ioctl(t->place, TIOCNOTTY) < 0)
			return err_sys(err, -errno, "leaving a controlling terminal");
	}
	return 0;
}

/* ---- in the engine ---- */

int terminals_orphans(struct restore *r, int (*tell)(void *arg, int fd, struct err *err), void *arg,
		      struct err *err)
{
	const struct restore_ttys *all = tty_restore_state(r);
	const struct terminal *t;
	cleanup_fd int root = -EBADF;
	int n = 0;

	for (t = all ? all->terminals : NULL; t && n == 0; t = t->next) {
		cleanup_fd int fd = -EBADF;

		if (!t->master_place)
			continue;
		if (root < 0)
			root = (int)syscall(SYS_pidfd_open, r->tasks.v[0]->pid, 0);
		fd = root < 0 ? root : (int)syscall(SYS_pidfd_getfd, root, t->master_place, 0);
		if (fd < 0)
			return err_sys(err, -errno, "taking the master of a terminal");
		n = tell(arg, fd, err);
	}
	return n;
}
