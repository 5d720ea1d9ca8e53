/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Descriptors of processes: of a task of the tree, or of a process that has ended.
 *
 * A pidfd can be opened only when its process exists, and the tasks of a restore exist only after
 * the files were made. So create() makes a placeholder, and every owner opens the pidfd for itself:
 * two tasks that shared the description have one each then.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"

/* PIDFD_THREAD and PIDFD_NONBLOCK, as open flags. */
#define THREAD_FLAG O_EXCL

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:[pidfd]") == 0;
}

/* ---- dump ---- */

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	PidfdEntry *e = arena_alloc(&d->arena, sizeof(*e));
	const struct dump_task *task;
	struct proc_pidfd info;
	int r;

	if (!e)
		return err_nomem(err);
	pidfd_entry__init(e);
	fe->pidfd = e;
	r = proc_fdinfo_pidfd(&ref->info, &info);
	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of a pidfd");
	if (ref->facts.flags & THREAD_FLAG) {
		dump_refuse(d, ref->task, "%s: a pidfd of a thread (PIDFD_THREAD)", ref->what);
		return KIND_UNSUPPORTED;
	}
	task = info.pid > 0 ? dump_task_by_pid(d, info.pid) : NULL;
	if (info.pid != -1 && !task) {
		dump_refuse(d, ref->task, "%s: a pidfd of process %d, which is not in the tree",
			    ref->what, info.pid);
		return KIND_UNSUPPORTED;
	}
	e->id = ref->id;
	e->ino = (uint32_t)ref->facts.st.st_ino;
	e->flags = ref->facts.flags & ~(uint32_t)O_RDWR;
	e->nspid = task ? task->ns_pid : -1;
	return files_capture_fown(d, ref, &e->fown, err);
}

/* ---- restore ---- */

/* pidfds of processes that have ended; the same inode number means the same process. */
struct dead_pidfd {
	struct dead_pidfd *next;
	struct file_obj *obj;
	int fd;
};

struct restore_pidfds {
	struct dead_pidfd *dead;
};

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_pidfds *all = files_restore_state(r, &kind_pidfd, sizeof(*all));
	const PidfdEntry *e = obj->entry->pidfd;
	struct dead_pidfd *p;

	if (!e)
		return err_image(err, "a pidfd without a description");
	if (e->nspid != -1 && e->nspid <= 0)
		return err_image(err, "a pidfd of process %d", e->nspid);
	if (e->flags & ~(uint32_t)(O_NONBLOCK | O_LARGEFILE | O_CLOEXEC))
		return err_image(err, "a pidfd with flags 0%o", e->flags);
	p = arena_alloc(&r->arena, sizeof(*p));
	if (!all || !p)
		return err_nomem(err);
	*p = (struct dead_pidfd){ all->dead, obj, -EBADF };
	obj->state = p;
	if (e->nspid == -1)
		all->dead = p;
	return files_check_fown(obj, e->fown, err);
}

static int link_task(struct restore *r, struct file_obj *obj, struct err *err)
{
	const PidfdEntry *e = obj->entry->pidfd;
	struct restore_task *const *t;

	vec_foreach (t, &r->tasks)
		if (e->nspid == -1 || (*t)->ns_pid == e->nspid)
			return 0;
	return err_image(err, "a pidfd of process %d, which is not in the tree", e->nspid);
}

static int open_pidfd(pid_t pid, const PidfdEntry *e, struct err *err)
{
	cleanup_fd int fd = (int)syscall(SYS_pidfd_open, pid, e->flags & O_NONBLOCK);

	if (fd < 0)
		return err_sys(err, -errno, "opening a pidfd of process %d", pid);
	if (files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

/* Makes a process, opens all its pidfds, and ends it. */
static int make_dead(struct restore_pidfds *all, uint32_t ino, struct err *err)
{
	struct dead_pidfd *p;
	pid_t pid = fork();
	int n = 0;

	if (pid < 0)
		return err_sys(err, -errno, "making a process that a pidfd can have outlived");
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	for (p = all->dead; p && n == 0; p = p->next) {
		if (p->obj->entry->pidfd->ino != ino || !p->obj->needed)
			continue;
		p->fd = open_pidfd(pid, p->obj->entry->pidfd, err);
		n = p->fd < 0 ? p->fd : 0;
	}
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return n;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_pidfds *all = files_restore_state(r, &kind_pidfd, sizeof(*all));
	const PidfdEntry *e = obj->entry->pidfd;
	struct dead_pidfd *p = obj->state;
	int fd, n;

	if (!all)
		return err_nomem(err);
	if (e->nspid != -1) {
		fd = eventfd(0, EFD_CLOEXEC);
		return fd < 0 ? err_sys(err, -errno, "making a placeholder for a pidfd") : fd;
	}
	if (p->fd < 0) {
		n = make_dead(all, e->ino, err);
		if (n < 0)
			return n;
	}
	return p->fd < 0 ? err_image(err, "a pidfd that nobody has") : take_fd(&p->fd);
}

static int finish(struct restore *r, struct file_obj *obj, int fd, struct err *err)
{
	const PidfdEntry *e = obj->entry->pidfd;
	cleanup_fd int real = -EBADF;
	int flags = fcntl(fd, F_GETFD);

	if (e->nspid == -1)
		return files_finish_owner(r, obj, fd, err);
	real = open_pidfd(e->nspid, e, err);
	if (real < 0)
		return real;
	if (dup3(real, fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0) < 0)
		return err_sys(err, -errno, "placing a pidfd");
	return files_finish_owner(r, obj, fd, err);
}

const struct file_kind kind_pidfd = {
	.name = "pidfd",
	.type = FD_TYPES__PIDFD,
	.finish_everywhere = true,
	.claims = claims,
	.capture = capture,
	.load = load,
	.link = link_task,
	.create = create,
	.finish = finish,
};
