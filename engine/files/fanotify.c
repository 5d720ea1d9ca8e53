/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Fanotify: a group with marks on files, mounts and file systems. Events that wait to be read are
 * not kept, and the log says so. A group that is asked for permission is refused: everybody who
 * opens a marked file waits for its answer, and so would the restore.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/kinds.h"
#include "engine/files/watch.h"
#include "mounts/mounts.h"
#include "proto/files.pb-c.h"

/* The C library's list may be older than the kernel's. */
#define MARK_IGNORE 0x400u
#define MARK_EVICTABLE 0x200u
#define EVENT_PRE_ACCESS 0x100000u

#define PERMISSION_EVENTS (FAN_OPEN_PERM | FAN_ACCESS_PERM | FAN_OPEN_EXEC_PERM | EVENT_PRE_ACCESS)

static bool claims(const struct fd_facts *f)
{
	return strcmp(f->link, "anon_inode:[fanotify]") == 0;
}

/* ---- dump ---- */

/* A mount, or one of those that show a file system, by a path that leads to its root. */
static int find_mount(struct dump *d, const struct file_ref *ref, const struct proc_fanotify *f,
		      FanotifyMarkEntry *e, struct err *err)
{
	struct mount_tree *own __attribute__((__cleanup__(cleanup_mount_treep))) = NULL;
	const struct mount_tree *tree;
	bool whole = f->kind == PROC_FANOTIFY_SB;
	size_t i;
	int r = watched_mounts(d, ref->task, &own, &tree, err);

	for (i = 0; r == 0 && i < mounts_count(tree); i++) {
		const struct mount *m = mounts_at(tree, i);

		if (whole ? mount_sdev(m) != f->sdev : mount_id(m) != (int)f->mnt_id)
			continue;
		if (!mounts_path_visible(tree, mount_id(m), mount_path(m)))
			continue;
		e->s_dev = mount_sdev(m);
		e->me->mnt_id = (uint32_t)mount_id(m);
		e->me->path = arena_strdup(&d->arena, mount_path(m));
		return e->me->path ? 0 : err_nomem(err);
	}
	if (r < 0)
		return r;
	dump_refuse(d, ref->task, "%s: a mark is on a %s that no path leads to", ref->what,
		    whole ? "file system" : "mount");
	return KIND_UNSUPPORTED;
}

static int capture_target(struct dump *d, const struct file_ref *ref, const struct proc_fanotify *f,
			  FanotifyMarkEntry *e, struct err *err)
{
	struct watched file = { "a mark", f->ino, f->sdev, &f->handle };

	if (f->kind == PROC_FANOTIFY_INODE) {
		e->type = MARK_TYPE__INODE;
		e->s_dev = f->sdev;
		e->ie = arena_alloc(&d->arena, sizeof(*e->ie));
		if (!e->ie)
			return err_nomem(err);
		fanotify_inode_mark_entry__init(e->ie);
		e->ie->i_ino = f->ino;
		return watched_capture(d, ref, &file, &e->ie->f_handle, err);
	}
	e->type = f->kind == PROC_FANOTIFY_SB ? MARK_TYPE__FILE_SYSTEM : MARK_TYPE__MOUNT;
	e->me = arena_alloc(&d->arena, sizeof(*e->me));
	if (!e->me)
		return err_nomem(err);
	fanotify_mount_mark_entry__init(e->me);
	return find_mount(d, ref, f, e, err);
}

static int capture_mark(struct dump *d, const struct file_ref *ref, const struct proc_fanotify *f,
			FanotifyMarkEntry **ret, struct err *err)
{
	FanotifyMarkEntry *e = arena_alloc(&d->arena, sizeof(*e));

	if (!e)
		return err_nomem(err);
	if ((f->mask | f->ignored_mask) & PERMISSION_EVENTS || f->kind == PROC_FANOTIFY_OTHER) {
		dump_refuse(d, ref->task, "%s: a fanotify mark %s, which cannot be kept", ref->what,
			    f->kind == PROC_FANOTIFY_OTHER ? "is of a kind that is not known"
							   : "is asked for permission");
		return KIND_UNSUPPORTED;
	}
	fanotify_mark_entry__init(e);
	e->id = ref->id;
	e->mflags = f->mflags;
	e->mask = f->mask;
	e->ignored_mask = f->ignored_mask;
	*ret = e;
	return capture_target(d, ref, f, e, err);
}

static int capture_marks(struct dump *d, struct file_ref *ref, FanotifyFileEntry *e,
			 struct err *err)
{
	struct proc_cursor c = ref->info.rest, count = c;
	struct proc_fanotify f;
	size_t n = 0;
	int r;

	while ((r = proc_fdinfo_next_fanotify(&count, &f)) == 1)
		n++;
	if (r < 0)
		return err_sys(err, r, "understanding fdinfo of a fanotify descriptor");
	e->mark = arena_alloc(&d->arena, (n + 1) * sizeof(*e->mark));
	if (!e->mark)
		return err_nomem(err);
	while (proc_fdinfo_next_fanotify(&c, &f) == 1) {
		if (f.kind == PROC_FANOTIFY_GROUP) {
			e->faflags = f.flags;
			e->evflags = f.event_flags;
			continue;
		}
		r = capture_mark(d, ref, &f, &e->mark[e->n_mark], err);
		if (r != 0)
			return r;
		e->n_mark++;
	}
	return 0;
}

/*
 * A mark on a mount or a file system hears everybody, this dump too: its queue is never empty for
 * long, and says nothing of the tree.
 */
static int met(struct dump *d, struct file_ref *ref)
{
	struct proc_cursor c = ref->info.rest;
	struct proc_fanotify f;
	int waiting = 0;

	while (proc_fdinfo_next_fanotify(&c, &f) == 1) {
		if (f.kind != PROC_FANOTIFY_MOUNT && f.kind != PROC_FANOTIFY_SB)
			continue;
		if (ioctl(ref->lfd, FIONREAD, &waiting) == 0 && waiting)
			log_warn(d->log,
				 "%s: %s: unread events of a whole mount or file system, dropping",
				 dump_task_name(d, ref->task), ref->what);
		return 0;
	}
	return watch_refuse_unread(d, ref);
}

static int capture(struct dump *d, struct file_ref *ref, FileEntry *fe, struct err *err)
{
	FanotifyFileEntry *e = arena_alloc(&d->arena, sizeof(*e));
	int r;

	if (!e)
		return err_nomem(err);
	fanotify_file_entry__init(e);
	fe->ffy = e;
	e->id = ref->id;
	e->flags = ref->facts.flags;
	r = files_capture_fown(d, ref, &e->fown, err);
	return r == 0 ? capture_marks(d, ref, e, err) : r;
}

/* ---- restore ---- */

static int check_mark(struct restore *r, const FanotifyMarkEntry *m, struct err *err)
{
	if ((m->mask | m->ignored_mask) & PERMISSION_EVENTS)
		return err_refuse(err, "a fanotify mark is asked for permission");
	if (m->type == MARK_TYPE__INODE)
		return m->ie ? watched_check(m->ie->f_handle, err)
			     : err_image(err, "a fanotify mark without a file");
	if ((int)m->type != MARK_TYPE__MOUNT && (int)m->type != MARK_TYPE__FILE_SYSTEM)
		return err_image(err, "a fanotify mark of type %d", (int)m->type);
	if (!m->me || (m->me->path && m->me->path[0] != '/'))
		return err_image(err, "a fanotify mark without a mount");
	return 0;
}

static int load(struct restore *r, struct file_obj *obj, struct err *err)
{
	const FanotifyFileEntry *e = obj->entry->ffy;
	size_t i;

	if (!e)
		return err_image(err, "a fanotify descriptor without a description");
	for (i = 0; i < e->n_mark; i++)
		if (check_mark(r, e->mark[i], err) < 0)
			return err->code;
	return files_check_fown(obj, e->fown, err);
}

/* What is ignored is a mark of its own for the call, in the old way or the new one. */
static int set_mark(int fd, unsigned int how, const FanotifyMarkEntry *m, const char *path)
{
	unsigned int ignore = m->mflags & MARK_IGNORE ? 0 : FAN_MARK_IGNORED_MASK;
	unsigned int kept = m->mflags & MARK_EVICTABLE;

	how |= FAN_MARK_ADD;
	if (m->mask && fanotify_mark(fd, how | kept, m->mask, AT_FDCWD, path) < 0)
		return -errno;
	if (m->ignored_mask &&
	    fanotify_mark(fd, how | m->mflags | ignore, m->ignored_mask, AT_FDCWD, path) < 0)
		return -errno;
	return 0;
}

static int mark_file(struct restore *r, int fd, const FanotifyMarkEntry *m, struct err *err)
{
	struct watched_place place;
	int n = watched_find(r, m->ie->f_handle, m->s_dev, m->ie->i_ino, &place, err);

	if (n < 0)
		return n;
	n = set_mark(fd, place.follow ? 0 : FAN_MARK_DONT_FOLLOW, m, place.path);
	if (n < 0)
		err_sys(err, n, "marking '%s'", place.path);
	watched_done(&place);
	return n;
}

static int mark_mount(struct restore *r, int fd, const FanotifyMarkEntry *m, struct err *err)
{
	const char *path = m->me->path;
	const struct mount *mount;
	int n;

	/* CRIU's images of a mount namespace have the number alone */
	if (!path && r->mounts) {
		mount = mounts_find(mounts_plan_tree(r->mounts), (int)m->me->mnt_id);
		path = mount ? mount_path(mount) : NULL;
	}
	if (!path)
		return err_image(err, "a fanotify mark for mount %u, which is not in the images",
				 m->me->mnt_id);
	n = set_mark(fd, (int)m->type == MARK_TYPE__MOUNT ? FAN_MARK_MOUNT : FAN_MARK_FILESYSTEM, m,
		     path);
	return n < 0 ? err_sys(err, n, "marking the mount '%s'", path) : 0;
}

static int create(struct restore *r, struct file_obj *obj, struct err *err)
{
	const FanotifyFileEntry *e = obj->entry->ffy;
	cleanup_fd int fd = -EBADF;
	size_t i;
	int n = 0;

	/* the kernel shows all the flags it was made with: ours is set later */
	fd = fanotify_init(e->faflags, e->evflags);
	if (fd < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0)
		return err_sys(err, -errno, "making a fanotify group with flags %x", e->faflags);
	/* the kernel shows the newest first */
	for (i = e->n_mark; i-- > 0 && n == 0;)
		n = e->mark[i]->type == MARK_TYPE__INODE ? mark_file(r, fd, e->mark[i], err)
							 : mark_mount(r, fd, e->mark[i], err);
	if (n < 0)
		return n;
	if (files_restore_flags(fd, e->flags, err) < 0 || files_restore_fown(fd, e->fown, err) < 0)
		return err->code;
	return take_fd(&fd);
}

const struct file_kind kind_fanotify = {
	.name = "fanotify",
	.type = FD_TYPES__FANOTIFY,
	.capture_last = true, /* watched files may be open and deleted */
	.met = met,
	.claims = claims,
	.capture = capture,
	.load = load,
	.create = create,
	.finish = files_finish_owner,
};
