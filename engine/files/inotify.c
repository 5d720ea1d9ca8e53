/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Inotify. The kernel shows a watched file as a handle; the image has the path as well, and the
 * restore watches by path. Events that wait to be read are not kept, and the log says so.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "mounts/mounts.h"
#include "proto/files.pb-c.h"

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, int32_t)
#endif

#ifndef AT_HANDLE_FID
#define AT_HANDLE_FID 0x200
#endif

/* What inotify_add_watch(2) takes; the kernel shows some bits of its own besides. */
#define WATCH_BITS (IN_ALL_EVENTS | IN_ONLYDIR | IN_EXCL_UNLINK | IN_ONESHOT)

/* The handle of the image has this many 64-bit words, whatever its length. */
#define HANDLE_WORDS 16

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:inotify") == 0;
}

/* ---- dump ---- */

struct handle_buf {
	struct file_handle h;
	uint8_t bytes[MAX_HANDLE_SZ];
};

/* Handles of file systems that cannot be exported (overlayfs) are good for comparing at least. */
static bool has_handle(int fd, const struct proc_fhandle *want)
{
	struct handle_buf b = { .h.handle_bytes = MAX_HANDLE_SZ };
	int mnt;

	return want->n &&
	       name_to_handle_at(fd, "", &b.h, &mnt, AT_EMPTY_PATH | AT_HANDLE_FID) == 0 &&
	       b.h.handle_bytes == want->n && b.h.handle_type == want->type &&
	       memcmp(b.h.f_handle, want->bytes, want->n) == 0;
}

/* Whether the path, looked up from the task's root, is the watched file. */
static bool leads_to(const struct dump_task *task, const char *path, const struct proc_inotify *w)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_IN_ROOT,
	};
	cleanup_fd int root = openat(task->proc_fd, "root", O_PATH | O_CLOEXEC), fd = -EBADF;
	struct stat st;

	if (root < 0)
		return false;
	fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	if (fd < 0 || fstat(fd, &st) < 0)
		return false;
	if (has_handle(fd, &w->handle))
		return true;
	/* the kernel's encoding of a device number has the minor in the low 20 bits */
	return st.st_ino == w->ino &&
	       gnu_dev_makedev(w->sdev >> 20, w->sdev & 0xfffff) == st.st_dev;
}

static char *path_in_mount(const struct mount_tree *tree, const struct mount *m,
			   const struct proc_inotify *w)
{
	struct err ignored = ERR_INIT;
	cleanup_fd int root = mounts_open_root(tree, m, &ignored), dir = -EBADF, fd = -EBADF;
	struct handle_buf b = { .h.handle_bytes = w->handle.n, .h.handle_type = w->handle.type };
	char self[40], *link = NULL;

	if (root < 0 || !w->handle.n)
		return NULL;
	memcpy(b.bytes, w->handle.bytes, w->handle.n);
	/* the kernel does not take an O_PATH descriptor here */
	dir = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? dir : open_by_handle_at(dir, &b.h, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", fd);
	return io_readlink(AT_FDCWD, self, &link) == 0 ? link : NULL;
}

static int find_by_handle(struct dump *d, const struct dump_task *task,
			  const struct proc_inotify *w, char **ret, int *ret_mnt_id,
			  struct err *err)
{
	struct mount_tree *own __attribute__((__cleanup__(cleanup_mount_treep))) = NULL;
	const struct mount_tree *tree = d->mounts;
	size_t i;
	int r = 0;

	if (!tree) {
		r = mounts_collect(&own, task->pid, err);
		tree = own;
	}
	for (i = 0; r == 0 && !*ret && i < mounts_count(tree); i++) {
		const struct mount *m = mounts_at(tree, i);
		cleanup_free char *path = mount_sdev(m) == w->sdev ? path_in_mount(tree, m, w)
								   : NULL;

		if (!path || !leads_to(task, path, w))
			continue;
		*ret = arena_strdup(&d->arena, path);
		*ret_mnt_id = mount_id(m);
		if (!*ret)
			return err_nomem(err);
	}
	return r;
}

/* Tries the path and every directory above it. */
static char *try_path(struct dump *d, const struct dump_task *task, const char *path,
		      const struct proc_inotify *w)
{
	char *p = path[0] == '/' ? arena_strdup(&d->arena, path) : NULL, *slash;

	while (p && *p) {
		if (leads_to(task, p, w))
			return p;
		slash = strrchr(p, '/');
		slash[slash == p && p[1]] = '\0';
	}
	return NULL;
}

/* Without handles that can be opened: what is watched is often open too, or a usual place. */
static char *find_by_guess(struct dump *d, const struct dump_task *task,
			   const struct proc_inotify *w)
{
	static const char *const usual[] = { "/etc/resolv.conf",
					     "/etc/hosts",
					     "/etc/localtime",
					     "/var/log",
					     "/var/run",
					     "/var/spool/cron",
					     "/run",
					     "/tmp",
					     "/dev",
					     "/home",
					     "/root",
					     "/usr/share" };
	struct dump_task *const *t;
	char *found = NULL;
	size_t i;
	int fd;

	for (i = 0; !found && i < sizeof(usual) / sizeof(usual[0]); i++)
		found = try_path(d, task, usual[i], w);
	vec_foreach (t, &d->tasks) {
		for (fd = -1; !found && fd < 256; fd++) {
			cleanup_free char *link = NULL;
			char name[16] = "cwd";

			if (fd >= 0)
				snprintf(name, sizeof(name), "fd/%d", fd);
			if ((*t)->state != TASK_DEAD &&
			    io_readlink((*t)->proc_fd, name, &link) == 0)
				found = try_path(d, task, link, w);
		}
	}
	return found;
}

static int capture_watch(struct dump *d, struct file_ref *ref, const struct proc_inotify *w,
			 InotifyWdEntry **ret, struct err *err)
{
	InotifyWdEntry *e = arena_alloc(&d->arena, sizeof(*e));
	FhEntry *h = arena_alloc(&d->arena, sizeof(*h));
	uint64_t *words = arena_alloc(&d->arena, HANDLE_WORDS * sizeof(*words));
	int mnt_id = -1, r;

	if (!e || !h || !words)
		return err_nomem(err);
	inotify_wd_entry__init(e);
	fh_entry__init(h);
	memcpy(words, w->handle.bytes, w->handle.n);
	h->bytes = w->handle.n;
	h->type = (uint32_t)w->handle.type;
	h->n_handle = HANDLE_WORDS;
	h->handle = words;
	e->i_ino = w->ino;
	e->mask = w->mask;
	e->s_dev = w->sdev;
	e->wd = (uint32_t)w->wd;
	e->f_handle = h;
	*ret = e;
	r = find_by_handle(d, ref->task, w, &h->path, &mnt_id, err);
	if (r < 0)
		return r;
	if (!h->path)
		h->path = find_by_guess(d, ref->task, w);
	if (!h->path) {
		dump_refuse(d, ref->task,
			    "%s: watch %d is for a file (inode %lu of device %u:%u) that no "
			    "path leads to",
			    ref->what, w->wd, (unsigned long)w->ino, w->sdev >> 20,
			    w->sdev & 0xfffff);
		return KIND_UNSUPPORTED;
	}
	if (mnt_id >= 0 && d->mounts) {
		h->has_mnt_id = true;
		h->mnt_id = (uint32_t)mnt_id;
	}
	return 0;
}

static int capture_watches(struct dump *d, struct file_ref *ref, InotifyFileEntry *e,
			   struct err *err)
{
	struct proc_cursor c = ref->info.rest, count = c;
	struct proc_inotify w;
	size_t n = 0;
	int r;

	while ((r = proc_fdinfo_next_inotify(&count, &w)) == 1)
		n++;
	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of an inotify descriptor");
	e->wd = arena_alloc(&d->arena, (n + 1) * sizeof(*e->wd));
	if (!e->wd)
		return err_nomem(err);
	while (proc_fdinfo_next_inotify(&c, &w) == 1) {
		r = capture_watch(d, ref, &w, &e->wd[e->n_wd], err);
		if (r != 0)
			return r;
		e->n_wd++;
	}
	return 0;
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	InotifyFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	int r, waiting = 0;

	if (!e)
		return err_nomem(err);
	inotify_file_entry__init(e);
	fe->ify = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	if (ioctl(ref->lfd, FIONREAD, &waiting) == 0 && waiting)
		log_warn(d->log, "%s: %s: unread inotify events are not kept, ignoring",
			 dump_task_name(d, ref->task), ref->what);
	r = files_capture_fown(d, ref, &e->fown, err);
	return r == 0 ? capture_watches(d, ref, e, err) : r;
}

/* ---- restore ---- */

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const InotifyFileEntry *e = obj->entry->ify;
	size_t i;

	if (!e)
		return err_image(err, "an inotify descriptor without a description");
	for (i = 0; i < e->n_wd; i++) {
		const FhEntry *h = e->wd[i]->f_handle;

		if (!e->wd[i]->wd || e->wd[i]->wd > INT32_MAX)
			return err_image(err, "inotify watch %u is out of range", e->wd[i]->wd);
		if (!h->path)
			return err_refuse(
				err, "inotify watch %u has no path, which cannot be restored yet",
				e->wd[i]->wd);
		if (h->path[0] != '/')
			return err_image(err,
					 "inotify watch %u is for '%s', which is no absolute path",
					 e->wd[i]->wd, h->path);
	}
	return files_check_fown(obj, e->fown, err);
}

static int by_wd(const void *a, const void *b)
{
	const InotifyWdEntry *x = *(InotifyWdEntry *const *)a, *y = *(InotifyWdEntry *const *)b;

	return x->wd < y->wd ? -1 : x->wd > y->wd;
}

/* The kernel counts the numbers up; it can be told the next one since 4.16. */
static int add_watch(int fd, const InotifyWdEntry *w, struct err *err)
{
	const char *path = w->f_handle->path;
	int n;

	if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, w->wd) < 0)
		return err_sys(err, -errno, "choosing the number of an inotify watch");
	n = inotify_add_watch(fd, path, (w->mask & WATCH_BITS) | IN_DONT_FOLLOW);
	if (n < 0)
		return err_sys(err, -errno, "watching '%s'", path);
	if (n != (int)w->wd)
		return err_new(err, ERR_ENVIRONMENT, -EEXIST,
			       "the watch of '%s' got number %d instead of %u", path, n, w->wd);
	return 0;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const InotifyFileEntry *e = obj->entry->ify;
	cleanup_fd int fd = inotify_init1(IN_CLOEXEC);
	size_t i;

	if (fd < 0)
		return err_sys(err, -errno, "making an inotify descriptor");
	/* upwards, so that the next new watch gets a number that was not used */
	if (e->n_wd)
		qsort(e->wd, e->n_wd, sizeof(*e->wd), by_wd);
	for (i = 0; i < e->n_wd; i++)
		if (add_watch(fd, e->wd[i], err) < 0)
			return err->code;
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

/* What the restore itself did to watched files is nothing the task should hear of. */
static int finish(struct restore *r, struct file_obj *obj, int fd, struct err *err)
{
	char events[4096];
	int waiting = 0;

	while (ioctl(fd, FIONREAD, &waiting) == 0 && waiting > 0)
		if (read(fd, events, sizeof(events)) <= 0)
			break;
	return files_finish_owner(r, obj, fd, err);
}

const struct file_kind kind_inotify = {
	.name = "inotify",
	.type = FD_TYPES__INOTIFY,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = finish,
};
