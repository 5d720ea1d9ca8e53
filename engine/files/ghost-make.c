/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restore, in the root builder: ghosts get their names back for a moment.
 *
 * Directories come first and keep theirs until all ghosts are made: others may have been in them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/restore.h"
#include "engine/files/ghost-tables.h"
#include "engine/files/ghost.h"
#include "engine/files/procfs.h"
#include "engine/files/regular.h"
#include "proto/files.pb-c.h"

/* A directory of others that names were made in: it gets its times back. */
struct touched {
	struct touched *next;
	const char *path;
	struct timespec times[2];
};

/* A directory that was missing on the way to a ghost. */
struct missing {
	struct missing *next;
	const char *path;
};

struct making {
	struct restore *r;
	struct touched *touched;
	struct missing *missing; /* the deepest first */
	struct writable *writable;
};

static int note_times(struct making *m, const char *path, int dir, struct err *err)
{
	struct touched *t;
	struct stat st;

	for (t = m->touched; t; t = t->next)
		if (strcmp(t->path, path) == 0)
			return 0;
	t = arena_alloc(&m->r->arena, sizeof(*t));
	if (!t || !(t->path = arena_strdup(&m->r->arena, path)))
		return err_nomem(err);
	if (fstat(dir, &st) < 0)
		return err_sys(err, -errno, "reading the times of '%s'", path);
	t->times[0] = st.st_atim;
	t->times[1] = st.st_mtim;
	t->next = m->touched;
	m->touched = t;
	return 0;
}

static int open_parent(struct making *m, const char *path, const char **ret_leaf, struct err *err);

/* It was deleted as well, without anybody being in it. */
static int make_missing(struct making *m, const char *path, struct err *err)
{
	struct missing *d = arena_alloc(&m->r->arena, sizeof(*d));
	const char *leaf = NULL;
	cleanup_fd int dir = open_parent(m, path, &leaf, err);

	if (dir < 0)
		return dir;
	if (!d || !(d->path = arena_strdup(&m->r->arena, path)))
		return err_nomem(err);
	if (mkdirat(dir, leaf, 0700) < 0)
		return err_sys(err, -errno, "making directory '%s'", path);
	d->next = m->missing;
	m->missing = d;
	return 0;
}

/* The directory that a path is in, made if it is missing. */
static int open_parent(struct making *m, const char *path, const char **ret_leaf, struct err *err)
{
	cleanup_free char *parent = strdup(path);
	cleanup_fd int dir = -EBADF;
	char *slash;
	int n = 0;

	if (!parent)
		return err_nomem(err);
	slash = strrchr(parent, '/');
	*ret_leaf = path + (slash + 1 - parent);
	slash[slash == parent] = '\0';
	dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT && slash != parent) {
		n = make_missing(m, parent, err);
		if (n < 0)
			return n;
		dir = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	if (dir < 0)
		return err_sys(err, -errno, "opening directory '%s'", parent);
	n = note_times(m, parent, dir, err);
	if (n == 0)
		n = ghost_writable(m->r, &m->writable, parent, dir, err);
	return n < 0 ? n : take_fd(&dir);
}

/* ---- names ---- */

/* Where links to the inode are made from: a name that nobody knows, or a file without a name. */
struct source {
	int dir;
	char leaf[64];
	int fd;
};

static int link_from(struct making *m, const struct source *s, int dir, const char *leaf)
{
	char self[32];

	if (s->fd < 0)
		return linkat(s->dir, s->leaf, dir, leaf, 0) < 0 ? -errno : 0;
	snprintf(self, sizeof(self), "self/fd/%d", s->fd);
	return linkat(m->r->proc_fd, self, dir, leaf, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

static void temporary_name(const struct restore_ghost *g, char which, char ret[64])
{
	snprintf(ret, 64, ".ckpt-ghost-%x-%c", g->id, which);
}

/* Opens what must be opened while the name is there. */
static int open_shown(struct restore_ghost *g, struct ghost_name *name, int dir, const char *leaf,
		      struct err *err)
{
	struct ghost_user *u;
	struct stat st;

	name->fd = openat(dir, leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (name->fd < 0 || fstat(name->fd, &st) < 0)
		return err_sys(err, -errno, "opening it");
	for (u = name->users; u; u = u->next) {
		int flags = (int)u->obj->entry->reg->flags;

		if (!(flags & O_NOFOLLOW) || S_ISFIFO(st.st_mode))
			continue;
		u->fd = openat(dir, leaf, (flags & ~(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);
		if (u->fd < 0)
			return err_sys(err, -errno, "opening it");
	}
	return 0;
}

/*
 * Another file has the name. It is put aside and comes back over the ghost's, so that at every
 * moment something is there under this name.
 */
static int show_in_place(struct making *m, struct restore_ghost *g, struct ghost_name *name,
			 const struct source *s, int dir, const char *leaf, struct err *err)
{
	char aside[64];
	int n, back;

	temporary_name(g, 'b', aside);
	n = link_from(m, s, dir, aside);
	if (n < 0)
		return err_sys(err, n, "linking it");
	if (renameat2(dir, aside, dir, leaf, RENAME_EXCHANGE) < 0) {
		/* a mount point, or a file system that cannot do that: it goes by the other name */
		log_warn(m->r->log, "deleted file '%s' comes back as '%s': its name is taken",
			 name->path, aside);
		n = open_shown(g, name, dir, aside, err);
		unlinkat(dir, aside, 0);
		return n;
	}
	n = open_shown(g, name, dir, leaf, err);
	back = renameat(dir, aside, dir, leaf);
	/* a directory cannot come back over a file */
	if (back < 0 && unlinkat(dir, leaf, 0) == 0)
		back = renameat2(dir, aside, dir, leaf, RENAME_NOREPLACE);
	return n == 0 && back < 0 ? err_sys(err, -errno, "bringing back what has its name now") : n;
}

static int show_name(struct making *m, struct restore_ghost *g, struct ghost_name *name,
		     const struct source *s, struct err *err)
{
	const char *leaf = NULL;
	cleanup_fd int dir = open_parent(m, name->path, &leaf, err);
	int n = dir < 0 ? dir : link_from(m, s, dir, leaf);

	if (dir < 0)
		return dir;
	if (n == -EEXIST)
		return show_in_place(m, g, name, s, dir, leaf, err);
	/* a file system without hard links */
	if ((n == -EPERM || n == -EOPNOTSUPP) && s->fd < 0 && !g->linked && !g->names->next)
		n = renameat2(s->dir, s->leaf, dir, leaf, RENAME_NOREPLACE) < 0 ? -errno : 0;
	if (n < 0)
		return err_sys(err, n, "linking it");
	n = open_shown(g, name, dir, leaf, err);
	if (unlinkat(dir, leaf, 0) < 0 && n == 0)
		n = err_sys(err, -errno, "deleting it again");
	return n;
}

static int show_names(struct making *m, struct restore_ghost *g, const struct source *s,
		      struct err *err)
{
	struct ghost_name *name;
	int n = 0;

	for (name = g->names; name && n == 0; name = name->next)
		n = show_name(m, g, name, s, err);
	return n;
}

/* ---- files ---- */

/* Files of O_TMPFILE never had a name. Nobody else can have opened one with this flag. */
static struct ghost_user *unnamed_user(const struct restore_ghost *g)
{
	const struct ghost_name *name;
	struct ghost_user *u;

	for (name = g->names; name; name = name->next)
		for (u = name->users; u; u = u->next)
			if ((u->obj->entry->reg->flags & O_TMPFILE) == O_TMPFILE)
				return u;
	return NULL;
}

static int make_unnamed(struct making *m, struct restore_ghost *g, struct ghost_user *u, int dir,
			struct err *err)
{
	cleanup_fd int fd = -EBADF;
	int n;

	u->fd = openat(dir, ".", (int)u->obj->entry->reg->flags | O_CLOEXEC, 0600);
	if (u->fd < 0)
		return err_sys(err, -errno, "making a file without a name");
	fd = restore_reopen(m->r, u->fd, O_RDWR);
	if (fd < 0)
		return err_sys(err, fd, "opening a file without a name");
	n = ghost_fill(g, fd, err);
	if (n == 0)
		n = ghost_dress(g->entry, fd, "", err);
	for (struct ghost_name *name = g->names; name && n == 0; name = name->next)
		if ((name->fd = restore_reopen(m->r, u->fd, O_PATH)) < 0)
			n = err_sys(err, name->fd, "opening a file without a name");
	return n;
}

/* A file that has lost its last name gets no other: with several it keeps one until all were shown.
 */
static int make_regular(struct making *m, struct restore_ghost *g, int dir, struct err *err)
{
	struct source s = { .dir = dir, .fd = -EBADF };
	cleanup_fd int fd = openat(dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	bool unnamed = fd >= 0;
	int n;

	temporary_name(g, 'a', s.leaf);
	if (!unnamed)
		fd = openat(dir, s.leaf, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, -errno, "making it");
	n = ghost_fill(g, fd, err);
	if (n == 0)
		n = ghost_dress(g->entry, fd, "", err);
	if (unnamed)
		s.fd = fd;
	if (n == 0 && unnamed && g->names->next) {
		n = link_from(m, &s, dir, s.leaf);
		n = n < 0 ? err_sys(err, n, "linking it") : 0;
		unnamed = false;
		s.fd = -EBADF;
	}
	if (n == 0)
		n = show_names(m, g, &s, err);
	if (!unnamed)
		unlinkat(dir, s.leaf, 0);
	return n;
}

static int make_special(struct making *m, struct restore_ghost *g, int dir, struct err *err)
{
	const GhostFileEntry *e = g->entry;
	struct source s = { .dir = dir, .fd = -EBADF };
	int n;

	temporary_name(g, 'a', s.leaf);
	if (S_ISLNK(e->mode))
		n = symlinkat(e->symlnk_target, dir, s.leaf);
	else
		n = mknodat(dir, s.leaf, (e->mode & S_IFMT) | 0600, e->has_rdev ? e->rdev : 0);
	if (n < 0)
		return err_sys(err, -errno, "making it");
	n = ghost_dress(e, dir, s.leaf, err);
	if (n == 0)
		n = show_names(m, g, &s, err);
	unlinkat(dir, s.leaf, 0);
	return n;
}

/* A dump that has left its tasks running has taken the name away again. */
static int open_by_handle(struct restore_ghost *g, int dir, struct err *err)
{
	const FhEntry *e = g->handle;
	struct {
		struct file_handle head;
		uint64_t data[MAX_HANDLE_SZ / sizeof(uint64_t)];
	} h = { .head.handle_bytes = e->bytes, .head.handle_type = (int)e->type };
	int fd;

	memcpy(h.head.f_handle, e->handle, e->bytes);
	fd = open_by_handle_at(dir, &h.head, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0) {
		err_sys(err, -errno, "finding the file of '%s', a name that the dump has made",
			g->linked);
		err_hint(err, "the file has lost its last name since");
		return err->code;
	}
	return fd;
}

static int make_linked(struct making *m, struct restore_ghost *g, int dir, const char *leaf,
		       struct err *err)
{
	cleanup_fd int fd = openat(dir, leaf, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct source s = { .dir = dir };

	if (fd < 0 && errno == ENOENT && g->handle)
		fd = open_by_handle(g, dir, err);
	else if (fd < 0)
		return err_sys(err, -errno, "opening '%s', which the dump has made", g->linked);
	if (fd < 0)
		return fd;
	s.fd = fd;
	return show_names(m, g, &s, err);
}

static int make_file(struct making *m, struct restore_ghost *g, struct err *err)
{
	const char *leaf = NULL;
	cleanup_fd int dir = -EBADF;
	struct ghost_user *u = unnamed_user(g);

	if (!g->linked && !g->entry)
		return procfs_make_dead(m->r, g, err);
	dir = open_parent(m, g->linked ? g->linked : g->names->path, &leaf, err);
	if (dir < 0)
		return dir;
	if (g->linked)
		return make_linked(m, g, dir, leaf, err);
	if (!S_ISREG(g->entry->mode))
		return make_special(m, g, dir, err);
	return u ? make_unnamed(m, g, u, dir, err) : make_regular(m, g, dir, err);
}

/* ---- directories ---- */

static bool is_dir(const struct restore_ghost *g)
{
	return g->entry && S_ISDIR(g->entry->mode);
}

static int make_dir(struct making *m, struct restore_ghost *g, struct err *err)
{
	const char *leaf = NULL;
	cleanup_fd int dir = open_parent(m, g->names->path, &leaf, err), fd = -EBADF;
	char aside[64];
	int n;

	if (dir < 0)
		return dir;
	temporary_name(g, 'b', aside);
	if (mkdirat(dir, leaf, 0700) < 0) {
		if (errno != EEXIST)
			return err_sys(err, -errno, "making it");
		if (mkdirat(dir, aside, 0700) < 0)
			return err_sys(err, -errno, "making it");
		g->aside = arena_strdup(&m->r->arena, aside);
		if (!g->aside)
			return err_nomem(err);
		if (renameat2(dir, aside, dir, leaf, RENAME_EXCHANGE) < 0) {
			n = -errno;
			unlinkat(dir, aside, AT_REMOVEDIR);
			g->aside = NULL;
			return err_sys(err, n, "putting aside what has its name now");
		}
	}
	fd = openat(dir, leaf, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	n = fd < 0 ? err_sys(err, -errno, "opening it") : ghost_dress(g->entry, fd, "", err);
	return n == 0 ? open_shown(g, g->names, dir, leaf, err) : n;
}

static int remove_dir(struct making *m, struct restore_ghost *g, struct err *err)
{
	const char *leaf = NULL;
	cleanup_fd int dir = open_parent(m, g->names->path, &leaf, err);

	if (dir < 0)
		return dir;
	if (unlinkat(dir, leaf, AT_REMOVEDIR) < 0)
		return err_sys(err, -errno, "deleting it again");
	if (g->aside && renameat2(dir, g->aside, dir, leaf, RENAME_NOREPLACE) < 0)
		return err_sys(err, -errno, "bringing back what has its name now");
	return 0;
}

/* Whether another ghost directory that comes later has the same path: then this one goes at once.
 */
static bool has_namesake(const struct restore_ghost *g)
{
	const struct restore_ghost *o;

	for (o = g->next; o; o = o->next)
		if (is_dir(o) && strcmp(o->names->path, g->names->path) == 0)
			return true;
	return false;
}

/* ---- all of them ---- */

static int by_path(const void *a, const void *b)
{
	const struct restore_ghost *x = *(struct restore_ghost *const *)a;
	const struct restore_ghost *y = *(struct restore_ghost *const *)b;

	return strcmp(x->names->path, y->names->path);
}

static int wrap(const struct restore_ghost *g, int n, struct err *err)
{
	return n < 0 ? err_wrap(err, n, "deleted '%s'", g->names->path) : 0;
}

static void tidy_up(struct making *m)
{
	struct missing *d;
	struct touched *t;

	/* one that somebody has begun to use meanwhile is not ours any more */
	for (d = m->missing; d; d = d->next)
		rmdir(d->path);
	for (t = m->touched; t; t = t->next)
		utimensat(AT_FDCWD, t->path, t->times, 0);
}

int ghost_make_all(struct restore *r, struct err *err)
{
	struct making m = { .r = r };
	VEC(struct restore_ghost *) dirs = { 0 };
	struct restore_ghost *g, **slot;
	struct err later = ERR_INIT;
	size_t made = 0;
	int n = 0;

	for (g = r->ghosts->first; g; g = g->next) {
		if (!is_dir(g))
			continue;
		slot = vec_add(&dirs);
		if (!slot)
			return err_nomem(err);
		*slot = g;
	}
	if (dirs.n)
		qsort(dirs.v, dirs.n, sizeof(*dirs.v), by_path);
	while (made < dirs.n && n == 0) {
		g = dirs.v[made++];
		n = wrap(g, make_dir(&m, g, err), err);
		if (n == 0 && has_namesake(g)) {
			n = wrap(g, remove_dir(&m, g, err), err);
			dirs.v[made - 1] = NULL;
		}
	}
	for (g = r->ghosts->first; g && n == 0; g = g->next)
		if (!is_dir(g))
			n = wrap(g, make_file(&m, g, err), err);
	while (made-- > 0)
		if (dirs.v[made] &&
		    wrap(dirs.v[made], remove_dir(&m, dirs.v[made], &later), &later) < 0 &&
		    n == 0) {
			*err = later;
			n = later.code;
		}
	tidy_up(&m);
	vec_free(&dirs);
	if (ghost_writable_undo(m.writable, &later) < 0 && n == 0) {
		*err = later;
		n = later.code;
	}
	return n;
}
