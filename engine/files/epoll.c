/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Epoll sets. An entry belongs to an open file and to the number it had when it was added; the file
 * may have another number since, or none in the task: it, or the set itself, can be in flight in
 * the queue of a socket. Then the entry names the file, and is added in a child with descriptors of
 * its own.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/idmap.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "proto/files.pb-c.h"

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:[eventpoll]") == 0;
}

/* ---- dump ---- */

/*
 * Whether the entry stands for the task's descriptor fd. Several entries can have one number, for
 * files that had it one after the other; the kernel tells them apart by their order, which fdinfo
 * has too.
 */
static int is_target(const struct file_ref *ref, int fd, uint32_t tfd, uint32_t nth)
{
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)ref->fd, .tfd = tfd, .toff = nth };
	pid_t pid = ref->holder;
	long r = syscall(SYS_kcmp, pid, pid, KCMP_EPOLL_TFD, fd, &slot);

	return r < 0 ? -errno : r == 0;
}

/* The number that the file of a stale entry has now, or -ENOENT. */
static int find_target(const struct file_ref *ref, uint32_t tfd, uint32_t nth)
{
	int dir_fd = openat(ref->holder_proc_fd, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_dir DIR *dir = dir_fd >= 0 ? fdopendir(dir_fd) : NULL;
	struct dirent *e;

	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		int fd = atoi(e->d_name);

		if (isdigit((unsigned char)e->d_name[0]) && is_target(ref, fd, tfd, nth) == 1)
			return fd;
	}
	return -ENOENT;
}

/* What has been met of a set; entries may be many. */
struct met {
	struct idmap numbers; /* number of an entry -> how many have it, a uint32_t */
	struct idmap targets; /* descriptors that entries have been found for */
};

struct entry {
	uint32_t tfd, nth;
	int lfd; /* of the set */
};

/* match() of files_search(), by our duplicates of the set and of the file. */
static int is_entry(void *arg, int lfd)
{
	const struct entry *x = arg;
	struct kcmp_epoll_slot slot = { .efd = (uint32_t)x->lfd, .tfd = x->tfd, .toff = x->nth };
	long r = syscall(SYS_kcmp, getpid(), getpid(), KCMP_EPOLL_TFD, lfd, &slot);

	return r < 0 ? -errno : r == 0;
}

/* No descriptor of the owner stands for the entry; the file may be another task's or in flight. */
static int find_file(struct dump *d, const struct file_ref *ref, const struct proc_epoll *p,
		     uint32_t nth, EventpollTfdEntry *t, struct err *err)
{
	struct entry x = { (uint32_t)p->tfd, nth, ref->lfd };
	int r = files_search(d, is_entry, &x, &t->file_id);

	if (r < 0)
		return err_sys(err, r, "searching the file of an entry of an epoll set");
	t->has_file_id = t->file_id != 0;
	return 0;
}

static int refuse_target(struct dump *d, const struct file_ref *ref, int tfd)
{
	dump_refuse(d, ref->task,
		    "%s: an entry of this epoll set, added as fd %d, is for a file that has "
		    "no descriptor of its own any more",
		    ref->what, tfd);
	return KIND_UNSUPPORTED;
}

static int capture_target(struct dump *d, struct file_ref *ref, const struct proc_epoll *p,
			  uint32_t nth, EventpollFileEntry *e, struct met *met, struct err *err)
{
	EventpollTfdEntry *t = arena_alloc(&d->arena, sizeof(*t));
	int r = ref->in_flight ? 0 : is_target(ref, p->tfd, (uint32_t)p->tfd, nth), now = p->tfd;

	if (!t)
		return err_nomem(err);
	eventpoll_tfd_entry__init(t);
	if (r < 0 && r != -EBADF)
		return err_sys(err, r, "comparing fd %d with the epoll set", p->tfd);
	if (r != 1)
		now = ref->in_flight ? -ENOENT : find_target(ref, (uint32_t)p->tfd, nth);
	if (now < 0 || idmap_find(&met->targets, (uint64_t)now, 0)) {
		r = find_file(d, ref, p, nth, t, err);
		if (r < 0)
			return r;
		if (!t->has_file_id)
			return refuse_target(d, ref, p->tfd);
		now = p->tfd;
	} else if (idmap_put(&met->targets, &d->arena, (uint64_t)now, 0, t) < 0) {
		return err_nomem(err);
	}
	t->tfd = (uint32_t)now;
	t->events = p->events;
	t->data = p->data;
	if (p->has_file) {
		t->has_dev = t->has_inode = t->has_pos = true;
		t->dev = p->sdev;
		t->inode = p->ino;
		t->pos = (uint64_t)p->pos;
	}
	e->tfd[e->n_tfd++] = t;
	return 0;
}

/* How many entries before this one have the same number. */
static int nth_of(struct dump *d, struct met *met, int tfd, uint32_t *ret)
{
	uint32_t *n = idmap_find(&met->numbers, (uint64_t)tfd, 0);

	if (!n) {
		n = arena_alloc(&d->arena, sizeof(*n));
		if (!n || idmap_put(&met->numbers, &d->arena, (uint64_t)tfd, 0, n) < 0)
			return -ENOMEM;
	}
	*ret = (*n)++;
	return 0;
}

static int count_targets(const struct proc_fdinfo *info, size_t *ret)
{
	struct proc_cursor c = info->rest;
	struct proc_epoll p;
	int r;

	*ret = 0;
	while ((r = proc_fdinfo_next_epoll(&c, &p)) == 1)
		(*ret)++;
	return r;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	EventpollFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct proc_cursor c = ref->info.rest;
	struct met met = { 0 };
	struct proc_epoll p;
	uint32_t nth = 0;
	size_t n = 0;
	int r = count_targets(&ref->info, &n);

	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of an epoll set");
	if (!e)
		return err_nomem(err);
	eventpoll_file_entry__init(e);
	fe->epfd = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	e->tfd = arena_alloc(&d->arena, (n + 1) * sizeof(*e->tfd));
	if (!e->tfd)
		return err_nomem(err);
	r = files_capture_fown(d, ref, &e->fown, err);
	while (r == 0 && proc_fdinfo_next_epoll(&c, &p) == 1)
		r = nth_of(d, &met, p.tfd, &nth) < 0
			    ? err_nomem(err)
			    : capture_target(d, ref, &p, nth, e, &met, err);
	return r;
}

/* ---- restore ---- */

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const EventpollFileEntry *e = obj->entry->epfd;
	size_t i;

	if (!e)
		return err_image(err, "an epoll set without a description");
	for (i = 0; i < e->n_tfd; i++)
		if (e->tfd[i]->tfd > 1 << 20)
			return err_image(err, "an epoll set with fd %u", e->tfd[i]->tfd);
	return files_check_fown(obj, e->fown, err);
}

static struct file_obj *file_of_number(const struct restore_task *task, uint32_t number)
{
	const struct restore_fd *fd;

	vec_foreach (fd, &task->fds)
		if ((uint32_t)fd->fd == number)
			return fd->obj;
	return NULL;
}

static int check_targets(struct restore *r, struct file_obj *obj, struct err *err)
{
	const struct restore_task *owner = obj->owner;
	const EventpollFileEntry *e = obj->entry->epfd;
	size_t i;

	for (i = 0; i < e->n_tfd; i++)
		if (!e->tfd[i]->has_file_id && owner && !file_of_number(owner, e->tfd[i]->tfd))
			return err_image(err, "an epoll set has fd %u, which %s does not",
					 e->tfd[i]->tfd, restore_task_name(r, owner));
	return 0;
}

/* Whether the file can be the one with that inode; of many kinds the images do not tell. */
static bool can_be(const FileEntry *e, const EventpollTfdEntry *t)
{
	uint64_t ino = e->usk ? e->usk->ino : e->isk ? e->isk->ino : e->pipe ? e->pipe->pipe_id : 0;

	return !t->has_inode || !ino || ino == t->inode;
}

/*
 * CRIU's images tell the number alone, also for a set in flight, which no task has; then the file
 * is what has that number in the tasks.
 */
static int find_by_number(struct restore *r, struct file_obj *obj, EventpollTfdEntry *t,
			  struct err *err)
{
	struct restore_task *const *task;
	struct file_obj *found = NULL;

	vec_foreach (task, &r->tasks) {
		struct file_obj *one = file_of_number(*task, t->tfd);

		if (!one || !can_be(one->entry, t) || one == found)
			continue;
		if (found)
			return err_refuse(
				err,
				"epoll set %u, which is in flight, has fd %u, and that is "
				"not the same file in all tasks",
				obj->id, t->tfd);
		found = one;
	}
	if (!found)
		return err_image(err, "an epoll set in flight has fd %u, which no task has",
				 t->tfd);
	t->has_file_id = true;
	t->file_id = found->id;
	return 0;
}

static int reach(struct restore *r, struct file_obj *obj, struct err *err)
{
	const EventpollFileEntry *e = obj->entry->epfd;
	bool in_flight = !obj->owner;
	size_t i;
	int n;

	for (i = 0; i < e->n_tfd; i++) {
		struct file_obj *target;

		if (in_flight && !e->tfd[i]->has_file_id &&
		    (n = find_by_number(r, obj, e->tfd[i], err)) < 0)
			return n;
		if (!e->tfd[i]->has_file_id)
			continue;
		target = files_find(r, e->tfd[i]->file_id);
		if (!target)
			return err_image(err,
					 "an epoll set has file %u, which is not in 'files.img'",
					 e->tfd[i]->file_id);
		files_reach(r, target);
	}
	return 0;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const EventpollFileEntry *e = obj->entry->epfd;
	cleanup_fd int fd = epoll_create1(EPOLL_CLOEXEC);

	if (fd < 0)
		return err_sys(err, -errno, "making an epoll set");
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

static int add(int fd, const EventpollTfdEntry *t)
{
	struct epoll_event ev = { .events = t->events, .data.u64 = t->data };

	return epoll_ctl(fd, EPOLL_CTL_ADD, (int)t->tfd, &ev) < 0 ? -errno : 0;
}

/* In a child: the file gets the number for a moment, whatever has it here. */
static int add_file(struct restore *r, int set, const EventpollTfdEntry *t)
{
	int fd = fcntl(set, F_DUPFD_CLOEXEC, (int)t->tfd + 1);
	int target = fd < 0 ? -errno : files_borrow(r, files_find(r, t->file_id));

	if (target < 0)
		return target;
	if (target != (int)t->tfd && dup3(target, (int)t->tfd, O_CLOEXEC) < 0)
		return -errno;
	return add(fd, t);
}

static int add_by_file(struct restore *r, int set, const EventpollTfdEntry *t, struct err *err)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(-add_file(r, set, t));
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid < 0 || !WIFEXITED(status))
		return err_sys(err, -EAGAIN, "adding file %u to an epoll set", t->file_id);
	return WEXITSTATUS(status)
		       ? err_sys(err, -WEXITSTATUS(status),
				 "adding file %u as fd %u to an epoll set", t->file_id, t->tfd)
		       : 0;
}

static int finish(struct restore *r, struct file_obj *obj, int fd, struct err *err)
{
	const EventpollFileEntry *e = obj->entry->epfd;
	size_t i;
	int n;

	for (i = 0; i < e->n_tfd; i++) {
		if (e->tfd[i]->has_file_id)
			n = add_by_file(r, fd, e->tfd[i], err);
		else if ((n = add(fd, e->tfd[i])) < 0)
			err_sys(err, n, "adding fd %u to an epoll set", e->tfd[i]->tfd);
		if (n < 0)
			return n;
	}
	return files_finish_owner(r, obj, fd, err);
}

const struct file_kind kind_epoll = {
	.name = "epoll set",
	.type = FD_TYPES__EVENTPOLL,
	.claims = claims,
	.capture_last = true,
	.capture = capture,
	.load = load,
	.reach = reach,
	.link = check_targets,
	.create = create,
	.finish = finish,
};
