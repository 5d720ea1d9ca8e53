/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore: remap-fpath.img and the heads of ghost images. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/cleanup.h"
#include "engine/core/restore.h"
#include "engine/files/ghost-tables.h"
#include "engine/files/ghost.h"
#include "engine/files/procfs.h"
#include "engine/files/regular.h"
#include "proto/files.pb-c.h"

static int check_ghost(const GhostFileEntry *e, const char *name, struct err *err)
{
	switch (e->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFIFO:
		break;
	case S_IFCHR:
	case S_IFBLK:
		if (!e->has_rdev)
			return err_image(err, "image '%s': a device without a number", name);
		break;
	case S_IFLNK:
		if (!e->symlnk_target || !e->symlnk_target[0] ||
		    strlen(e->symlnk_target) >= PATH_MAX)
			return err_image(err, "image '%s': a symbolic link that leads nowhere",
					 name);
		break;
	default:
		return err_image(err, "image '%s': mode 0%o is that of no file", name, e->mode);
	}
	if (e->mode & ~(uint32_t)(S_IFMT | 07777))
		return err_image(err, "image '%s': mode 0%o is not valid", name, e->mode);
	if (e->has_size && e->size > INT64_MAX)
		return err_image(err, "image '%s': size %lu is out of range", name, (long)e->size);
	return 0;
}

static int load_ghost(struct restore *r, struct restore_ghost *g, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_GHOST_FILE, &reader, err, "ghost-file-%x.img", g->id);

	if (n == IMAGE_ABSENT)
		return err_image(err, "image 'ghost-file-%x.img' is missing", g->id);
	if (n == 0)
		n = image_one(reader, &ghost_file_entry__descriptor, &g->entry, err);
	if (n < 0)
		return n;
	if (restore_keep(r, g->entry) < 0)
		return err_nomem(err);
	n = check_ghost(g->entry, image_name(reader), err);
	g->reader = n == 0 ? take_ptr(reader) : NULL;
	return n;
}

static int load_linked(struct restore *r, struct restore_ghost *g, struct err *err)
{
	const struct file_obj *obj = files_find(r, g->id);

	if (!obj || obj->kind != &kind_regular || obj->entry->reg->ext)
		return err_image(err, "image 'remap-fpath.img': file %u is not in 'files.img'",
				 g->id);
	g->linked = regular_path(obj);
	g->handle = obj->entry->reg->handle;
	if (g->handle &&
	    (g->handle->bytes > MAX_HANDLE_SZ || g->handle->bytes > g->handle->n_handle * 8))
		return err_image(err, "image 'files.img': file %u has a handle of %u bytes", g->id,
				 g->handle->bytes);
	return 0;
}

static struct restore_ghost *find_ghost(struct restore *r, uint32_t id, int type)
{
	struct restore_ghost *g;

	for (g = r->ghosts->first; g; g = g->next)
		if (g->id == id && g->type == type)
			return g;
	return NULL;
}

static int get_ghost(struct restore *r, uint32_t id, int type, struct restore_ghost **ret,
		     struct err *err)
{
	struct restore_ghost *g = find_ghost(r, id, type), **end = &r->ghosts->first;

	*ret = g;
	if (g)
		return 0;
	g = *ret = arena_alloc(&r->arena, sizeof(*g));
	if (!g)
		return err_nomem(err);
	g->id = id;
	g->type = type;
	while (*end)
		end = &(*end)->next;
	*end = g;
	if (type == REMAP_TYPE__LINKED)
		return load_linked(r, g, err);
	if (type == REMAP_TYPE__GHOST)
		return load_ghost(r, g, err);
	if (type != REMAP_TYPE__PROCFS || !id || id > INT32_MAX)
		return err_image(err, "image 'remap-fpath.img': %u of type %d", id, type);
	return 0;
}

static int add_user(struct restore *r, struct restore_ghost *g, struct file_obj *obj,
		    struct err *err)
{
	struct ghost_user *u = arena_alloc(&r->arena, sizeof(*u));
	const char *path = regular_path(obj);
	struct ghost_name *name;

	for (name = g->names; name && strcmp(name->path, path) != 0; name = name->next)
		;
	if (!name) {
		name = arena_alloc(&r->arena, sizeof(*name));
		if (!name)
			return err_nomem(err);
		*name = (struct ghost_name){ g->names, path, -EBADF, NULL };
		g->names = name;
	}
	if (!u)
		return err_nomem(err);
	*u = (struct ghost_user){ name->users, obj, -EBADF };
	name->users = u;
	if (g->names->next && g->entry && S_ISDIR(g->entry->mode))
		return err_image(err, "image 'remap-fpath.img': directory '%s' has two names",
				 path);
	return 0;
}

static int load_remap(struct restore *r, const RemapFilePathEntry *e, struct err *err)
{
	struct file_obj *obj = files_find(r, e->orig_id);
	struct restore_ghost *g = NULL;
	int n;

	if (!obj || obj->kind != &kind_regular || obj->entry->reg->ext ||
	    !regular_path_is_sane(regular_path(obj)))
		return err_image(err,
				 "image 'remap-fpath.img': file %u is no file of 'files.img' with "
				 "a path",
				 e->orig_id);
	/* without a type the entry is of a CRIU that knew ghosts alone */
	n = get_ghost(r, e->remap_id,
		      e->has_remap_type ? (int)e->remap_type : (int)REMAP_TYPE__GHOST, &g, err);
	return n == 0 ? add_user(r, g, obj, err) : n;
}

static bool has_ghost(const struct restore *r, const struct file_obj *obj)
{
	const struct restore_ghost *g;
	const struct ghost_name *name;
	const struct ghost_user *u;

	for (g = r->ghosts->first; g; g = g->next)
		for (name = g->names; name; name = name->next)
			for (u = name->users; u; u = u->next)
				if (u->obj == obj)
					return true;
	return false;
}

struct file_obj *ghost_of_inode(const struct restore *r, uint32_t sdev, uint64_t ino)
{
	const struct restore_ghost *g;

	for (g = r->ghosts->first; g; g = g->next)
		if (g->entry && g->entry->has_ino && g->entry->has_dev && g->entry->ino == ino &&
		    g->entry->dev == sdev && g->names)
			return g->names->users->obj;
	return NULL;
}

int ghost_adopt(struct restore *r, struct file_obj *obj, struct err *err)
{
	struct restore_ghost *g;
	const char *path, *rest;
	pid_t pid;

	if (obj->kind != &kind_regular || obj->entry->reg->ext || has_ghost(r, obj))
		return 0;
	path = regular_path(obj);
	pid = procfs_pid(path, &rest);
	/* CRIU notes a process that has ended once, for the first of its files */
	g = pid ? find_ghost(r, (uint32_t)pid, REMAP_TYPE__PROCFS) : NULL;
	if (g)
		return add_user(r, g, obj, err);
	obj->late = procfs_is_late(r, path);
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

int ghost_count(const struct restore *r)
{
	const struct restore_ghost *g;
	const struct ghost_name *name;
	const struct ghost_user *u;
	int n = 0;

	for (g = r->ghosts ? r->ghosts->first : NULL; g; g = g->next) {
		n++;
		for (name = g->names; name; name = name->next) {
			n++;
			for (u = name->users; u; u = u->next)
				n++;
		}
	}
	return n;
}
