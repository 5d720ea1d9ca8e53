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
#include "engine/files/ghost-tables.h"
#include "engine/ns/ns.h"
#include "proto/paths.pb-c.h"

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
	cleanup_free char *target = NULL;
	int r;

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
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode)) {
		e.has_rdev = true;
		e.rdev = (uint32_t)st->st_rdev;
	}
	if (S_ISLNK(st->st_mode)) {
		r = io_readlink(ref->lfd, "", &target);
		if (r < 0)
			return err_sys(err, r, "reading a deleted symbolic link");
		e.symlnk_target = target;
	}
	if (S_ISREG(st->st_mode)) {
		e.has_chunks = e.chunks = true;
		e.has_size = true;
		e.size = (uint64_t)st->st_size;
	}
	if (image_add(img, &e.base) < 0)
		return err_nomem(err);
	return S_ISREG(st->st_mode) ? write_contents(img, ref->lfd, st->st_size, err) : 0;
}

struct dump_ghosts *ghosts_of(struct dump *d)
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

int ghost_add_remap(struct dump *d, uint32_t file_id, uint32_t remap_id, int type, struct err *err)
{
	RemapFilePathEntry e = REMAP_FILE_PATH_ENTRY__INIT;

	e.orig_id = file_id;
	e.remap_id = remap_id;
	e.has_remap_type = true;
	e.remap_type = (RemapType)type;
	if (image_add(image_get(d->images, IMG_REMAP_FPATH, "remap-fpath.img"), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

int ghost_capture(struct dump *d, struct file_ref *ref, struct err *err)
{
	const struct stat *st = &ref->facts.st;
	uint64_t limit = d->opts->ghost_limit_bytes ? d->opts->ghost_limit_bytes : 1 << 20;
	struct dump_ghosts *all = ghosts_of(d);
	struct dump_ghost *g;
	int r;

	if (!all)
		return err_nomem(err);
	if (S_ISSOCK(st->st_mode)) {
		dump_refuse(d, ref->task, "%s: '%s' is the deleted file of a socket", ref->what,
			    ref->facts.link);
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
	return ghost_add_remap(d, ref->id, g->id, REMAP_TYPE__GHOST, err);
}
