/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/locks-priv.h"
#include "engine/files/locks.h"
#include "engine/files/regular.h"
#include "engine/files/restore-files.h"
#include "proto/files.pb-c.h"

static bool type_is_good(const FileLockEntry *e)
{
	uint32_t type = e->type & ~(uint32_t)LOCK_BREAKING;

	if (e->type != type && e->flag != LOCK_LEASE)
		return false;
	/* a lease that is being broken goes down to a read lease, or away */
	if (e->type != type)
		return type == F_RDLCK || type == F_UNLCK;
	return type == F_RDLCK || type == F_WRLCK;
}

static struct restore_task *task_of(struct restore *r, pid_t ns_pid)
{
	struct restore_task **t;

	vec_foreach (t, &r->tasks)
		if ((*t)->ns_pid == ns_pid && !(*t)->dead)
			return *t;
	return NULL;
}

static struct file_obj *obj_of(const struct restore_task *task, int fd)
{
	const struct restore_fd *f;

	vec_foreach (f, &task->fds)
		if (f->fd == fd)
			return f->obj;
	return NULL;
}

static int load_one(struct restore *r, FileLockEntry *e, struct err *err)
{
	struct restore_lock *l = arena_alloc(&r->arena, sizeof(*l));

	if (!l)
		return err_nomem(err);
	l->entry = e;
	l->task = task_of(r, e->pid);
	l->obj = l->task ? obj_of(l->task, e->fd) : NULL;
	if (!l->obj)
		return err_image(err, "a lock of task %d through fd %d, which is not there", e->pid,
				 e->fd);
	if (e->flag != LOCK_POSIX && e->flag != LOCK_FLOCK && e->flag != LOCK_OFD &&
	    e->flag != LOCK_LEASE)
		return err_image(err, "a lock of style %u", e->flag);
	if (!type_is_good(e))
		return err_image(err, "a lock of style %u and type %u", e->flag, e->type);
	if (e->start < 0 || e->len < 0 || e->start > INT64_MAX - e->len)
		return err_image(err, "a lock from %ld on over %ld bytes", (long)e->start,
				 (long)e->len);
	if (e->flag == LOCK_LEASE && l->obj->kind != &kind_regular)
		return err_image(err, "a lease on fd %d of task %d, which is no regular file",
				 e->fd, e->pid);
	*r->locks->end = l;
	r->locks->end = &l->next;
	return 0;
}

int locks_load(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n;

	r->locks = arena_alloc(&r->arena, sizeof(*r->locks));
	if (!r->locks)
		return err_nomem(err);
	r->locks->end = &r->locks->first;
	n = image_open(r->images_fd, IMG_FILE_LOCKS, &reader, err, "filelocks.img");
	if (n != 0)
		return n == IMAGE_ABSENT ? 0 : n;
	for (;;) {
		FileLockEntry *e = NULL;

		n = image_next(reader, &file_lock_entry__descriptor, &e, err);
		if (n <= 0)
			return n;
		if (restore_keep(r, e) < 0)
			return err_nomem(err);
		n = load_one(r, e, err);
		if (n < 0)
			return err_wrap(err, n, "image 'filelocks.img'");
	}
}

static struct flock range_of(const FileLockEntry *e)
{
	return (struct flock){
		.l_type = (short)e->type, .l_whence = SEEK_SET, .l_start = e->start, .l_len = e->len
	};
}

static int taken(int code, const char *what, pid_t by, struct err *err)
{
	if (code != -EAGAIN && code != -EACCES)
		return err_sys(err, code, "taking %s again", what);
	if (by > 0)
		err_new(err, ERR_ENVIRONMENT, code, "%s is held by process %d", what, by);
	else
		err_new(err, ERR_ENVIRONMENT, code, "%s is held by another process", what);
	err_hint(err, "lslocks shows who holds it; end that process, or let it go on first");
	return code;
}

/* The lock itself is taken later; here whoever is in the way can still be named. */
static int try_posix(const FileLockEntry *e, struct err *err)
{
	struct flock l = range_of(e);

	if (fcntl(e->fd, F_GETLK, &l) < 0)
		return err_sys(err, -errno, "asking for a POSIX lock");
	return l.l_type == F_UNLCK ? 0 : taken(-EAGAIN, "its POSIX lock", l.l_pid, err);
}

/* ---- leases ---- */

/* The owner of the file may have a lease on it; whoever else needs CAP_LEASE of the whole machine.
 */
static int set_lease(int fd, int type, struct err *err)
{
	struct stat st;
	long was;
	int n;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "reading the owner of a leased file");
	was = syscall(SYS_setfsuid, st.st_uid);
	n = fcntl(fd, F_SETLEASE, type) < 0 ? -errno : 0;
	syscall(SYS_setfsuid, was);
	return n < 0 ? taken(n, "its lease: the file", 0, err) : 0;
}

/*
 * Somebody has opened the file against the lease, and the lease waits to be given up. An open that
 * does not wait brings it there again. The owner of the file's signals was told already, so there
 * is none for that moment.
 */
static int break_lease(struct restore *r, int fd, int to, struct err *err)
{
	int flags = (to == F_UNLCK ? O_WRONLY : O_RDONLY) | O_NONBLOCK | O_CLOEXEC;
	cleanup_fd int other = -EBADF;
	char path[32];

	snprintf(path, sizeof(path), "self/fd/%d", fd);
	if (fcntl(fd, F_SETOWN, 0) < 0)
		return err_sys(err, -errno, "clearing the owner of a lease's signals");
	other = openat(r->proc_fd, path, flags);
	if (other >= 0)
		return err_new(err, ERR_INTERNAL, -EIO, "an open has not broken the lease");
	return errno == EWOULDBLOCK ? 0 : err_sys(err, -errno, "breaking a lease");
}

static int restore_lease(struct restore *r, const struct restore_lock *l, int fd, struct err *err)
{
	uint32_t type = l->entry->type;
	const FownEntry *fown = l->obj->entry->reg->fown;
	int flags = fcntl(fd, F_GETFL), n;

	if (flags < 0)
		return err_sys(err, -errno, "reading the flags of a leased file");
	if (type & LOCK_BREAKING) {
		n = set_lease(fd, (flags & O_ACCMODE) == O_RDONLY ? F_RDLCK : F_WRLCK, err);
		if (n == 0)
			n = break_lease(r, fd, (int)(type & ~(uint32_t)LOCK_BREAKING), err);
		return n == 0 ? files_finish_owner(r, l->obj, fd, err) : n;
	}
	n = set_lease(fd, (int)type, err);
	/* the kernel has made the caller the owner where there was none */
	if (n == 0 && (!fown || !fown->pid) && fcntl(fd, F_SETOWN, 0) < 0)
		return err_sys(err, -errno, "clearing the owner of a lease's signals");
	return n;
}

/* A description's signals have one owner, which its first owner sets: so that one breaks the lease.
 */
static bool breaker(const struct restore *r, const struct restore_lock *l,
		    const struct restore_task *task, int *ret_fd)
{
	struct restore_task *const *t;
	const struct restore_fd *f;

	vec_foreach (t, &r->tasks)
		vec_foreach (f, &(*t)->fds)
			if (f->obj == l->obj) {
				*ret_fd = f->fd;
				return *t == task;
			}
	return false;
}

static int restore_one(struct restore *r, const struct restore_lock *l, struct err *err)
{
	const FileLockEntry *e = l->entry;
	struct flock range = range_of(e);

	switch (e->flag) {
	case LOCK_POSIX:
		return try_posix(e, err);
	case LOCK_FLOCK:
		if (flock(e->fd, (e->type == F_RDLCK ? LOCK_SH : LOCK_EX) | LOCK_NB) < 0)
			return taken(-errno, "its lock (flock)", 0, err);
		return 0;
	case LOCK_OFD:
		if (fcntl(e->fd, F_OFD_SETLK, &range) < 0)
			return taken(-errno, "its OFD lock", 0, err);
		return 0;
	default:
		return restore_lease(r, l, e->fd, err);
	}
}

int locks_restore(struct restore *r, struct restore_task *task, struct err *err)
{
	const struct restore_lock *l;
	int n = 0;

	for (l = r->locks->first; l && n == 0; l = l->next) {
		int fd = l->entry->fd;

		if (l->entry->flag == LOCK_LEASE && l->entry->type & LOCK_BREAKING) {
			if (breaker(r, l, task, &fd))
				n = restore_lease(r, l, fd, err);
		} else if (l->task == task) {
			n = restore_one(r, l, err);
		}
		if (n < 0)
			err_wrap(err, n, "fd %d", fd);
	}
	return n;
}

void restore_files_put_locks(struct restore *r, struct restore_task *task, struct program *p)
{
	const struct restore_lock *l;

	for (l = r->locks->first; l; l = l->next) {
		struct flock range = range_of(l->entry);

		if (l->task == task && l->entry->flag == LOCK_POSIX)
			prog_syscall(p, "taking a POSIX file lock", PROG_STOP, SYS_fcntl,
				     PN(l->entry->fd), PN(F_SETLK),
				     PD(prog_bytes(p, &range, sizeof(range))));
	}
}

int restore_files_load_locks(struct restore *r, struct err *err)
{
	return locks_load(r, err);
}
