/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * What F_SETFL, F_SETSIG and F_SETOWN have set, kept in every kind of file.
 *
 * The kernel remembers with the owner of a file's signals also the real and effective user that set
 * it, and sends a signal only where that user may. So the owner is set with those ids.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kind.h"
#include "engine/ns/ns.h"
#include "proto/files.pb-c.h"
#include "proto/signals.pb-c.h"

#ifndef F_GETOWNER_UIDS
#define F_GETOWNER_UIDS 17
#endif

/* What F_SETFL can change. */
#define SETTABLE_FLAGS (O_APPEND | O_ASYNC | O_DIRECT | O_NOATIME | O_NONBLOCK)

/* ---- dump ---- */

static pid_t thread_inside(const struct dump *d, pid_t tid)
{
	struct dump_task **t;
	struct dump_thread **th;

	vec_foreach (t, &d->tasks)
		vec_foreach (th, &(*t)->threads)
			if ((*th)->t.tid == tid)
				return (*th)->t.ns_tid;
	return 0;
}

static pid_t task_inside(const struct dump *d, pid_t pid)
{
	const struct dump_task *t = dump_task_by_pid(d, pid);

	return t ? t->ns_pid : 0;
}

static pid_t group_inside(const struct dump *d, pid_t pgid)
{
	struct dump_task **t;

	vec_foreach (t, &d->tasks)
		if ((*t)->threads.n && (*t)->threads.v[0]->stat.pgrp == pgid)
			return (*t)->ns_pgid;
	return 0;
}

/* The number of the owner in the tree's pid namespace, 0 if it is no part of the tree. */
static pid_t owner_inside(const struct dump *d, const struct f_owner_ex *owner)
{
	switch (owner->type) {
	case F_OWNER_TID:
		return thread_inside(d, owner->pid);
	case F_OWNER_PID:
		return task_inside(d, owner->pid);
	case F_OWNER_PGRP:
		return group_inside(d, owner->pid);
	}
	return 0;
}

/* The image's pid_type has the numbers of F_OWNER_TID, F_OWNER_PID and F_OWNER_PGRP. */
int files_capture_fown(struct dump *d, const struct file_ref *ref, FownEntry **ret, struct err *err)
{
	FownEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct f_owner_ex owner = { 0 };
	uid_t uids[2] = { 0 };
	int sig;

	if (!e)
		return err_nomem(err);
	fown_entry__init(e);
	*ret = e;
	if (ref->fd < 0 || ref->facts.flags & O_PATH)
		return 0;
	sig = fcntl(ref->lfd, F_GETSIG);
	if (sig < 0 || fcntl(ref->lfd, F_GETOWN_EX, &owner) < 0)
		return err_sys(err, -errno, "reading the owner of its signals");
	e->signum = (uint32_t)sig;
	/* the kernel says 0 also for an owner that has ended */
	if (!owner.pid)
		return 0;
	e->pid_type = (uint32_t)owner.type;
	e->pid = (uint32_t)owner_inside(d, &owner);
	if (!e->pid) {
		dump_refuse(d, ref->task,
			    "%s: the owner of its signals (F_SETOWN), %s %d, is outside", ref->what,
			    owner.type == F_OWNER_PGRP ? "group" : "task", owner.pid);
		return KIND_UNSUPPORTED;
	}
	if (fcntl(ref->lfd, F_GETOWNER_UIDS, uids) < 0)
		return err_sys(err, -errno, "reading the users of its signals");
	if (ns_inside_uid(d, uids[0], &e->uid) < 0 || ns_inside_uid(d, uids[1], &e->euid) < 0) {
		dump_refuse(d, ref->task,
			    "%s: the user that set the owner of its signals (%u) has no id in the "
			    "tree's user namespace",
			    ref->what, uids[0]);
		return KIND_UNSUPPORTED;
	}
	return 0;
}

/* ---- restore ---- */

int files_check_fown(const struct file_obj *obj, const FownEntry *fown, struct err *err)
{
	if (!fown)
		return 0;
	if (fown->signum > (uint32_t)SIGRTMAX)
		return err_image(err, "file %u: %u is no signal", obj->id, fown->signum);
	if (fown->pid && (fown->pid_type > F_OWNER_PGRP || (int32_t)fown->pid < 0))
		return err_image(err, "file %u: owner of signals %d of type %u is not valid",
				 obj->id, (int)fown->pid, fown->pid_type);
	return 0;
}

int files_restore_flags(int fd, uint32_t flags, struct err *err)
{
	int now = fcntl(fd, F_GETFL), want;

	if (now < 0)
		return err_sys(err, -errno, "reading the flags of a file");
	want = (now & ~SETTABLE_FLAGS) | ((int)flags & SETTABLE_FLAGS);
	if (want != now && fcntl(fd, F_SETFL, want) < 0)
		return err_sys(err, -errno, "setting the flags of a file to 0%o", want);
	return 0;
}

int files_restore_fown(int fd, const FownEntry *fown, struct err *err)
{
	if (fown && fown->signum && fcntl(fd, F_SETSIG, (int)fown->signum) < 0)
		return err_sys(err, -errno, "setting the signal of a file");
	return 0;
}

static const FownEntry *fown_of(const FileEntry *e)
{
	return e->reg	  ? e->reg->fown
	       : e->pipe  ? e->pipe->fown
	       : e->usk	  ? e->usk->fown
	       : e->efd	  ? e->efd->fown
	       : e->epfd  ? e->epfd->fown
	       : e->sgfd  ? e->sgfd->fown
	       : e->tfd	  ? e->tfd->fown
	       : e->ify	  ? e->ify->fown
	       : e->ffy	  ? e->ffy->fown
	       : e->memfd ? e->memfd->fown
	       : e->pidfd ? e->pidfd->fown
	       : e->isk	  ? e->isk->fown
	       : e->tty	  ? e->tty->fown
			  : NULL;
}

/* The system call itself: it is for this thread alone, and the saved id stays to come back by. */
static int set_ids(uid_t real, uid_t effective)
{
	return syscall(SYS_setresuid, real, effective, -1) < 0 ? -errno : 0;
}

int files_finish_owner(struct restore *r, struct file_obj *obj, int fd, struct err *err)
{
	const FownEntry *fown = fown_of(obj->entry);
	struct f_owner_ex owner;
	uid_t ruid, euid, suid;
	int n, back;

	if (!fown || !fown->pid)
		return 0;
	owner.type = (int)fown->pid_type;
	owner.pid = (pid_t)fown->pid;
	getresuid(&ruid, &euid, &suid);
	n = set_ids(fown->uid, fown->euid);
	if (n < 0)
		return err_sys(err, n, "becoming user %u to set the owner of a file's signals",
			       fown->uid);
	n = fcntl(fd, F_SETOWN_EX, &owner) < 0 ? -errno : 0;
	back = set_ids(ruid, euid);
	if (n < 0)
		return err_sys(err, n, "setting the owner of a file's signals to %d", owner.pid);
	return back < 0 ? err_sys(err, back, "becoming user %u again", ruid) : 0;
}
