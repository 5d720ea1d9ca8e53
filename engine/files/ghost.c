/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/files/ghost.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/files/ghost-tables.h"
#include "engine/ns/ns.h"
#include "proto/paths.pb-c.h"

/* ---- dump ---- */

static int write_chunk(struct image *img, int fd, off_t off, off_t len, struct err *err)
{
	GhostChunkEntry c = GHOST_CHUNK_ENTRY__INIT;
	cleanup_free void *data = malloc((size_t)len);
	int r;

	c.off = (uint64_t)off;
	c.len = (uint64_t)len;
	if (!data)
		return err_nomem(err);
	r = io_pread_all(fd, data, (size_t)len, off);
	if (r < 0)
		return err_sys(err, r, "reading a deleted file");
	if (image_add(img, &c.base) < 0 || image_add_raw(img, data, (size_t)len) < 0)
		return err_nomem(err);
	return 0;
}

static int write_contents(struct image *img, int opath_fd, off_t size, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	char self[40];
	off_t at = 0, end;
	int r;

	/* also a file opened for writing alone, or by path alone, can be read this way */
	snprintf(self, sizeof(self), "/proc/self/fd/%d", opath_fd);
	fd = open(self, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "opening a deleted file");
	while (at < size && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return err_sys(err, -errno, "finding the data of a deleted file");
		r = write_chunk(img, fd, at, end - at, err);
		if (r < 0)
			return r;
		at = end;
	}
	return at < 0 && errno != ENXIO ? err_sys(err, -errno, "finding the data of a deleted file")
					: 0;
}

static int write_ghost(struct dump *d, struct file_ref *ref, uint32_t id, struct err *err)
{
	const struct stat *st = &ref->facts.st;
	GhostFileEntry e = GHOST_FILE_ENTRY__INIT;
	Timeval atim = TIMEVAL__INIT, mtim = TIMEVAL__INIT;
	struct image *img = image_get(d->images, IMG_GHOST_FILE, "ghost-file-%x.img", id);

	if (ns_inside_uid(d, st->st_uid, &e.uid) < 0 || ns_inside_gid(d, st->st_gid, &e.gid) < 0)
		return err_refuse(
			err, "the owner of a deleted file has no id in the tree's user namespace");
	e.mode = st->st_mode;
	e.has_dev = e.has_ino = true;
	e.dev = (uint32_t)(major(st->st_dev) << 20 | minor(st->st_dev));
	e.ino = st->st_ino;
	atim.tv_sec = (uint64_t)st->st_atim.tv_sec;
	atim.tv_usec = (uint64_t)st->st_atim.tv_nsec / 1000;
	mtim.tv_sec = (uint64_t)st->st_mtim.tv_sec;
	mtim.tv_usec = (uint64_t)st->st_mtim.tv_nsec / 1000;
	e.atim = &atim;
	e.mtim = &mtim;
	if (S_ISREG(st->st_mode)) {
		e.has_chunks = e.chunks = true;
		e.has_size = true;
		e.size = (uint64_t)st->st_size;
	}
	if (image_add(img, &e.base) < 0)
		return err_nomem(err);
	return S_ISREG(st->st_mode) ? write_contents(img, ref->lfd, st->st_size, err) : 0;
}

static struct dump_ghosts *ghosts_of(struct dump *d)
{
	if (!d->ghosts)
		d->ghosts = arena_alloc(&d->arena, sizeof(*d->ghosts));
	return d->ghosts;
}

static struct dump_ghost *ghost_find(struct dump_ghosts *g, const struct stat *st)
{
	struct dump_ghost *i;

	for (i = g->first; i; i = i->next)
		if (i->dev == st->st_dev && i->ino == st->st_ino)
			return i;
	return NULL;
}

int ghost_capture(struct dump *d, struct file_ref *ref, struct err *err)
{
	const struct stat *st = &ref->facts.st;
	uint64_t limit = d->opts->ghost_limit_bytes ? d->opts->ghost_limit_bytes : 1 << 20;
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;
	struct dump_ghosts *all = ghosts_of(d);
	struct dump_ghost *g;
	int r;

	if (!all)
		return err_nomem(err);
	if (!S_ISREG(st->st_mode) && !S_ISDIR(st->st_mode)) {
		dump_refuse(d, ref->task, "%s: '%s' is deleted and neither a file nor a directory",
			    ref->what, ref->facts.link);
		return KIND_UNSUPPORTED;
	}
	if (S_ISREG(st->st_mode) && (uint64_t)st->st_blocks * 512 > limit) {
		dump_refuse(d, ref->task,
			    "%s: '%s' is deleted and has %lu KiB; hint: raise --ghost-limit",
			    ref->what, ref->facts.link, (unsigned long)st->st_blocks / 2);
		return KIND_UNSUPPORTED;
	}
	g = ghost_find(all, st);
	if (!g) {
		g = arena_alloc(&d->arena, sizeof(*g));
		if (!g)
			return err_nomem(err);
		*g = (struct dump_ghost){ all->first, st->st_dev, st->st_ino, ++all->last_id };
		all->first = g;
		r = write_ghost(d, ref, g->id, err);
		if (r < 0)
			return r;
	}
	e.orig_id = ref->id;
	e.remap_id = g->id;
	e.has_remap_type = true;
	e.remap_type = REMAP_TYPE__GHOST;
	if (image_add(image_get(d->images, IMG_REMAP_FPATH, "remap-fpath.img"), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

/* ---- restore ---- */

static int load_ghost(struct restore *r, struct restore_ghost *g, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_GHOST_FILE, &reader, err, "ghost-file-%x.img", g->id);

	if (n == IMAGE_ABSENT)
		return err_image(err, "image 'ghost-file-%x.img' is missing", g->id);
	if (n == 0)
		n = image_one(reader, &ghost_file_entry__descriptor, &g->entry, err);
	if (n == 0 && restore_keep(r, g->entry) < 0)
		return err_nomem(err);
	if (n == 0 && !S_ISREG(g->entry->mode) && !S_ISDIR(g->entry->mode))
		return err_refuse(err,
				  "image '%s': a deleted file of mode 0%o cannot be restored yet",
				  image_name(reader), g->entry->mode);
	if (n == 0 && (g->entry->mode & ~(uint32_t)(S_IFMT | 07777)))
		return err_image(err, "image '%s': mode 0%o is not valid", image_name(reader),
				 g->entry->mode);
	g->reader = n == 0 ? take_ptr(reader) : NULL;
	return n;
}

static struct restore_ghost *ghost_by_id(struct restore_ghosts *all, uint32_t id)
{
	struct restore_ghost *g;

	for (g = all->first; g; g = g->next)
		if (g->id == id)
			return g;
	return NULL;
}

static int load_remap(struct restore *r, const RemapFilePathEntry *e, struct err *err)
{
	struct restore_ghosts *all = r->ghosts;
	struct ghost_user *u = arena_alloc(&r->arena, sizeof(*u));
	struct restore_ghost *g = ghost_by_id(all, e->remap_id);

	if (e->has_remap_type && e->remap_type != REMAP_TYPE__GHOST)
		return err_refuse(
			err,
			"image 'remap-fpath.img': file %u: hard links and procfs names of "
			"deleted files cannot be restored yet",
			e->orig_id);
	if (!u)
		return err_nomem(err);
	if (!g) {
		g = arena_alloc(&r->arena, sizeof(*g));
		if (!g)
			return err_nomem(err);
		g->id = e->remap_id;
		g->next = all->first;
		all->first = g;
		if (load_ghost(r, g, err) < 0)
			return err->code;
	}
	*u = (struct ghost_user){ all->users, e->orig_id, g };
	all->users = u;
	return 0;
}

int ghost_load(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n;

	r->ghosts = arena_alloc(&r->arena, sizeof(*r->ghosts));
	if (!r->ghosts)
		return err_nomem(err);
	n = image_open(r->images_fd, IMG_REMAP_FPATH, &reader, err, "remap-fpath.img");
	if (n != 0)
		return n == IMAGE_ABSENT ? 0 : n;
	for (;;) {
		cleanup_msg RemapFilePathEntry *e = NULL;

		n = image_next(reader, &remap_file_path_entry__descriptor, &e, err);
		if (n <= 0)
			return n;
		n = load_remap(r, e, err);
		if (n < 0)
			return n;
	}
}

static int fill(struct restore_ghost *g, int fd, struct err *err)
{
	const void *data;
	int r;

	if (g->entry->has_size && ftruncate(fd, (off_t)g->entry->size) < 0)
		return err_sys(err, -errno, "setting the size");
	if (!(g->entry->has_chunks && g->entry->chunks)) {
		size_t len = image_left(g->reader);

		r = image_next_raw(g->reader, len, &data, err);
		if (r == 0 && (r = io_write_all(fd, data, len)) < 0)
			err_sys(err, r, "writing contents");
		return r;
	}
	while (image_left(g->reader)) {
		cleanup_msg GhostChunkEntry *c = NULL;

		r = image_next(g->reader, &ghost_chunk_entry__descriptor, &c, err);
		if (r > 0)
			r = image_next_raw(g->reader, c->len, &data, err);
		if (r < 0)
			return r;
		if (pwrite(fd, data, c->len, (off_t)c->off) != (ssize_t)c->len)
			return err_sys(err, errno ? -errno : -EIO, "writing contents");
	}
	return 0;
}

static int make(struct restore_ghost *g, struct err *err)
{
	const GhostFileEntry *e = g->entry;
	cleanup_fd int fd = -EBADF;
	int r = 0;

	if (S_ISDIR(e->mode)) {
		if (mkdir(g->path, 0700) < 0)
			return err_sys(err, -errno, "making directory '%s'", g->path);
		fd = open(g->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	} else {
		fd = open(g->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	}
	if (fd < 0)
		return err_sys(err, -errno, "making deleted file '%s'", g->path);
	g->made = true;
	if (S_ISREG(e->mode))
		r = fill(g, fd, err);
	if (r < 0)
		return err_wrap(err, r, "deleted file '%s'", g->path);
	if (fchown(fd, e->uid, e->gid) < 0 || fchmod(fd, e->mode & 07777) < 0)
		return err_sys(err, -errno, "setting the owner of deleted file '%s'", g->path);
	if (e->atim && e->mtim) {
		struct timespec ts[2] = {
			{ (time_t)e->atim->tv_sec, (long)e->atim->tv_usec * 1000 },
			{ (time_t)e->mtim->tv_sec, (long)e->mtim->tv_usec * 1000 },
		};

		if (futimens(fd, ts) < 0)
			return err_sys(err, -errno, "setting the times of '%s'", g->path);
	}
	return 0;
}

/* The name it had, or one beside it if another file has taken that name. */
static int choose_path(struct restore *r, struct restore_ghost *g, const char *path,
		       struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0 && errno == ENOENT)
		g->path = arena_strdup(&r->arena, path);
	else
		g->path = arena_printf(&r->arena, "%s.ckpt-ghost-%x", path, g->id);
	return g->path ? 0 : err_nomem(err);
}

int ghost_make(struct restore *r, uint32_t file_id, const char *path, const char **ret_path,
	       struct err *err)
{
	struct ghost_user *u;
	int n;

	for (u = r->ghosts->users; u && u->file_id != file_id; u = u->next)
		;
	if (!u)
		return GHOST_NONE;
	if (!u->ghost->made) {
		n = choose_path(r, u->ghost, path, err);
		if (n == 0)
			n = make(u->ghost, err);
		if (n < 0)
			return n;
	}
	*ret_path = u->ghost->path;
	return 0;
}

void ghost_unlink_all(struct restore *r)
{
	struct restore_ghost *g;

	for (g = r->ghosts ? r->ghosts->first : NULL; g; g = g->next) {
		if (g->made && unlink(g->path) < 0 && errno == EISDIR)
			rmdir(g->path);
		g->made = false;
	}
}
