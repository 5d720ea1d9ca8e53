/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* In builders: the descriptors of a task get their numbers, and what is bound to these is done. */
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/locks.h"
#include "engine/files/restore-files.h"

static int close_gap(int from, int to, struct err *err)
{
	if (from <= to && syscall(SYS_close_range, from, to, 0) < 0)
		return err_sys(err, -errno, "closing descriptors");
	return 0;
}

/* What replaces descriptors comes first: entries of an epoll set are for the real ones. */
static int finish_kinds(struct restore *r, struct restore_task *task, bool everywhere,
			struct err *err)
{
	struct restore_fd *fd;
	int n = 0;

	vec_foreach (fd, &task->fds) {
		const struct file_kind *kind = fd->obj->kind;

		if (n < 0 || !kind->finish || kind->finish_everywhere != everywhere ||
		    fd->obj->inherited)
			continue;
		/* what must be done by an owner is done by the first */
		if (!everywhere && (fd->obj->owner != task || fd->obj->owner_fd != fd->fd))
			continue;
		n = kind->finish(r, fd->obj, fd->fd, err);
		if (n < 0)
			err_wrap(err, n, "fd %d (%s)", fd->fd, kind->name);
	}
	return n;
}

/* What the root builder made after this one was born is fetched from there. */
static int fetch_late(int root_pidfd, const struct restore_fd *fd)
{
	int got = (int)syscall(SYS_pidfd_getfd, root_pidfd, fd->obj->place, 0), n = 0;

	if (got < 0)
		return -errno;
	if (got == fd->fd)
		return fcntl(got, F_SETFD, (int)fd->flags & FD_CLOEXEC) < 0 ? -errno : 0;
	if (dup3(got, fd->fd, fd->flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		n = -errno;
	close(got);
	return n;
}

static int place_fd(const struct restore_fd *fd, int root_pidfd)
{
	if (files_is_late(fd->obj) && root_pidfd >= 0)
		return fetch_late(root_pidfd, fd);
	if (fd->obj->place == fd->fd)
		return fcntl(fd->fd, F_SETFD, (int)fd->flags & FD_CLOEXEC) < 0 ? -errno : 0;
	return dup3(files_is_late(fd->obj) ? fd->obj->place : fd->obj->fd, fd->fd,
		    fd->flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0
		       ? -errno
		       : 0;
}

/* A number above those of the task, since these are being given out. */
static int open_root(struct restore *r, const struct restore_task *task, struct err *err)
{
	int fd, high;

	if (!task->parent)
		return -EBADF;
	fd = (int)syscall(SYS_pidfd_open, r->tasks.v[0]->ns_pid, 0);
	high = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, r->fd_next);
	if (high < 0)
		return err_sys(err, -errno, "opening a pidfd of the root task");
	close(fd);
	return high;
}

int restore_files_place(struct restore *r, struct restore_task *task, struct err *err)
{
	cleanup_fd int root_pidfd = open_root(r, task, err);
	struct restore_fd *fd;
	int next = 0, n = 0;

	if (root_pidfd < 0 && task->parent)
		return root_pidfd;
	vec_foreach (fd, &task->fds) {
		n = close_gap(next, fd->fd - 1, err);
		if (n < 0)
			return n;
		n = place_fd(fd, root_pidfd);
		if (n < 0)
			return err_sys(err, n, "placing fd %d (file %u)", fd->fd, fd->obj->id);
		next = fd->fd + 1;
	}
	n = close_gap(next, r->fd_base - 1, err);
	if (n == 0)
		n = finish_kinds(r, task, true, err);
	if (n == 0)
		n = finish_kinds(r, task, false, err);
	return n == 0 ? locks_restore(r, task, err) : n;
}
