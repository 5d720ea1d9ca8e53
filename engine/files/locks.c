/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/files/locks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/locks-priv.h"
#include "proto/files.pb-c.h"

static struct dump_locks *locks_of(struct dump *d)
{
	if (!d->locks) {
		d->locks = arena_alloc(&d->arena, sizeof(*d->locks));
		if (d->locks)
			d->locks->end = &d->locks->first;
	}
	return d->locks;
}

static bool same_lock(const struct proc_lock *a, const struct proc_lock *b)
{
	return a->kind == b->kind && a->type == b->type && a->start == b->start && a->end == b->end;
}

/* The same lock, met before through another descriptor of its owner. */
static struct dump_lock *find(const struct dump_locks *all, const struct dump_task *task,
			      uint32_t file_id, const struct proc_lock *is)
{
	struct dump_lock *l;

	for (l = all->first; l; l = l->next)
		if (l->file_id == file_id && same_lock(&l->is, is) &&
		    (is->kind != PROC_LOCK_POSIX || l->task->files_id == task->files_id))
			return l;
	return NULL;
}

static int note(struct dump *d, const struct file_ref *ref, uint32_t file_id,
		const struct proc_lock *is, struct err *err)
{
	struct dump_locks *all = locks_of(d);
	struct dump_lock *l;

	if (!all)
		return err_nomem(err);
	l = find(all, ref->task, file_id, is);
	if (!l) {
		l = arena_alloc(&d->arena, sizeof(*l));
		if (!l)
			return err_nomem(err);
		*l = (struct dump_lock){ NULL, ref->task, ref->fd, ref->lfd, file_id, *is };
		*all->end = l;
		all->end = &l->next;
	} else if (l->task->pid != is->pid && ref->task->pid == is->pid) {
		/* the kernel tells who took it: so it does afterwards */
		l->task = ref->task;
		l->fd = ref->fd;
		l->lfd = ref->lfd;
	}
	return 0;
}

int locks_note(struct dump *d, const struct file_ref *ref, uint32_t file_id, struct err *err)
{
	struct proc_cursor c = ref->info.rest;
	struct proc_lock is;
	int n, r = 0;

	while (r == 0 && (n = proc_fdinfo_next_lock(&c, &is)) > 0)
		r = note(d, ref, file_id, &is, err);
	return r == 0 && n < 0 ? err_sys(err, n, "understanding the locks of %s", ref->what) : r;
}

/* The description is also open in a process that lives on, and keeps the lock. */
static bool held_outside(const struct dump_lock *l)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/fd", l->is.pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		if (e->d_name[0] != '.' && syscall(SYS_kcmp, l->is.pid, l->task->pid, KCMP_FILE,
						   atoi(e->d_name), l->fd) == 0)
			return true;
	return false;
}

static enum lock_style style_of(const struct proc_lock *is)
{
	switch (is->kind) {
	case PROC_LOCK_POSIX:
		return LOCK_POSIX;
	case PROC_LOCK_OFD:
		return LOCK_OFD;
	case PROC_LOCK_FLOCK:
		return LOCK_FLOCK;
	case PROC_LOCK_LEASE:
		return LOCK_LEASE;
	default:
		return 0;
	}
}

static int write_lock(struct dump *d, const struct dump_lock *l, struct err *err)
{
	FileLockEntry e = FILE_LOCK_ENTRY__INIT;

	e.flag = style_of(&l->is);
	e.type = (uint32_t)l->is.type | (l->is.breaking ? LOCK_BREAKING : 0);
	e.pid = l->task->ns_pid;
	e.fd = l->fd;
	e.start = l->is.start;
	e.len = l->is.end == INT64_MAX ? 0 : l->is.end - l->is.start + 1;
	if (!e.flag || l->is.mandatory) {
		dump_refuse(d, l->task, "fd %d: a lock of a kind that cannot be kept", l->fd);
		return 0;
	}
	if (l->is.kind != PROC_LOCK_POSIX && l->is.pid > 0 && !dump_task_by_pid(d, l->is.pid) &&
	    held_outside(l)) {
		dump_refuse(d, l->task,
			    "fd %d: its file lock is shared with process %d, which is not in the "
			    "tree",
			    l->fd, l->is.pid);
		return 0;
	}
	if (image_add(image_get(d->images, IMG_FILE_LOCKS, "filelocks.img"), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

bool locks_is_noted(const struct dump *d, const struct proc_lock *is)
{
	const struct dump_lock *l;

	for (l = d->locks ? d->locks->first : NULL; l; l = l->next)
		if (same_lock(&l->is, is) && l->is.ino == is->ino &&
		    l->is.dev_major == is->dev_major && l->is.dev_minor == is->dev_minor)
			return true;
	return false;
}

int locks_write(struct dump *d, struct err *err)
{
	const struct dump_lock *l, *last = NULL;
	int r = 0;

	for (l = d->locks ? d->locks->first : NULL; l && r == 0; last = l, l = l->next) {
		if (d->opts->file_locks)
			r = write_lock(d, l, err);
		else if (!last || last->task != l->task || last->fd != l->fd)
			dump_refuse(d, l->task, "fd %d: it holds a file lock; hint: --file-locks",
				    l->fd);
	}
	return r;
}
