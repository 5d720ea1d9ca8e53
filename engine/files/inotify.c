/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inotify. Events that wait to be read are not kept, and the log says so. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "engine/files/watch.h"
#include "proto/files.pb-c.h"

#ifndef INOTIFY_IOC_SETNEXTWD
#define INOTIFY_IOC_SETNEXTWD _IOW('I', 0, int32_t)
#endif

/* What inotify_add_watch(2) takes; the kernel shows some bits of its own besides. */
#define WATCH_BITS (IN_ALL_EVENTS | IN_ONLYDIR | IN_EXCL_UNLINK | IN_ONESHOT)

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:inotify") == 0;
}

/* ---- dump ---- */

static int capture_watch(struct dump *d, struct file_ref *ref, const struct proc_inotify *w,
			 InotifyWdEntry **ret, struct err *err)
{
	InotifyWdEntry *e = arena_alloc(&d->arena, sizeof(*e));
	struct watched file = {
		.what = arena_printf(&d->arena, "watch %d", w->wd),
		.ino = w->ino,
		.sdev = w->sdev,
		.handle = &w->handle,
	};

	if (!e || !file.what)
		return err_nomem(err);
	inotify_wd_entry__init(e);
	e->i_ino = w->ino;
	e->mask = w->mask;
	e->s_dev = w->sdev;
	e->wd = (uint32_t)w->wd;
	*ret = e;
	return watched_capture(d, ref, &file, &e->f_handle, err);
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
	int r;

	if (!e)
		return err_nomem(err);
	inotify_file_entry__init(e);
	fe->ify = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
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
		if (watched_check(h, err) < 0)
			return err_wrap(err, err->code, "inotify watch %u", e->wd[i]->wd);
	}
	return files_check_fown(obj, e->fown, err);
}

static int by_wd(const void *a, const void *b)
{
	const InotifyWdEntry *x = *(InotifyWdEntry *const *)a, *y = *(InotifyWdEntry *const *)b;

	return x->wd < y->wd ? -1 : x->wd > y->wd;
}

/* The kernel counts the numbers up; it can be told the next one since 4.16. */
static int add_watch(struct restore *r, int fd, const InotifyWdEntry *w, struct err *err)
{
	uint32_t mask = w->mask & WATCH_BITS;
	struct watched_place place;
	int n = watched_find(r, w->f_handle, w->s_dev, w->i_ino, &place, err);

	if (n < 0)
		return err_wrap(err, n, "watch %u", w->wd);
	if (ioctl(fd, INOTIFY_IOC_SETNEXTWD, w->wd) < 0)
		n = err_sys(err, -errno, "choosing the number of an inotify watch");
	else if ((n = inotify_add_watch(fd, place.path,
					mask | (place.follow ? 0 : IN_DONT_FOLLOW))) < 0)
		n = err_sys(err, -errno, "watching '%s'", place.path);
	else if (n != (int)w->wd)
		n = err_new(err, ERR_ENVIRONMENT, -EEXIST,
			    "the watch of '%s' got number %d instead of %u", place.path, n, w->wd);
	watched_done(&place);
	return n < 0 ? n : 0;
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
		if (add_watch(r, fd, e->wd[i], err) < 0)
			return err->code;
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_inotify = {
	.name = "inotify",
	.type = FD_TYPES__INOTIFY,
	.capture_last = true, /* watched files may be open and deleted */
	.met = watch_refuse_unread,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = files_finish_owner,
};
