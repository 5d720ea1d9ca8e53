/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore: events of watched files that are our own doing. */
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/proc.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "engine/files/watch.h"

/* An event of fanotify may come with a descriptor. */
static void close_events(char *buf, size_t len)
{
	struct fanotify_event_metadata *m = (void *)buf;

	for (; FAN_EVENT_OK(m, len); m = FAN_EVENT_NEXT(m, len))
		if (m->fd >= 0)
			close(m->fd);
}

static void forget(const struct restore_task *task, bool thread, const struct restore_fd *f)
{
	cleanup_fd int pidfd = proc_open_pidfd(task->pid, thread), fd = -EBADF;
	char buf[8192] __attribute__((aligned(8)));
	int waiting = 0;

	if (pidfd >= 0)
		fd = (int)syscall(SYS_pidfd_getfd, pidfd, f->fd, 0);
	while (fd >= 0 && ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n <= 0)
			break;
		if (f->obj->kind == &kind_fanotify)
			close_events(buf, (size_t)n);
	}
}

void watches_forget_events(struct restore *r)
{
	const struct restore_task *t;
	const struct restore_fd *f;
	size_t i;

	for (i = 0; (t = restore_holder(r, i)); i++)
		vec_foreach (f, &t->fds)
			if (!t->dead && !f->obj->inherited &&
			    (f->obj->kind == &kind_inotify || f->obj->kind == &kind_fanotify))
				forget(t, i >= r->tasks.n, f);
}
