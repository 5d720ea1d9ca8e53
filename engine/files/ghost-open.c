/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Restore: ghosts that were made are opened, and what was needed for that goes away again. */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/restore.h"
#include "engine/files/ghost-tables.h"
#include "engine/files/ghost.h"
#include "engine/files/restore-files.h"
#include "proto/files.pb-c.h"

static struct ghost_user *user_of(struct restore *r, const struct file_obj *obj,
				  struct ghost_name **ret_name)
{
	const struct restore_ghost *g;
	struct ghost_name *name;
	struct ghost_user *u;

	for (g = r->ghosts->first; g; g = g->next)
		for (name = g->names; name; name = name->next)
			for (u = name->users; u; u = u->next)
				if (u->obj == obj) {
					*ret_name = name;
					return u;
				}
	return NULL;
}

int ghost_open(struct restore *r, const struct file_obj *obj, int flags, int *ret_fd,
	       struct err *err)
{
	struct ghost_name *name = NULL;
	struct ghost_user *u = user_of(r, obj, &name);
	int fd;

	if (!u)
		return GHOST_NONE;
	if (u->fd >= 0 && flags == (int)obj->entry->reg->flags) {
		*ret_fd = take_fd(&u->fd);
		return 0;
	}
	/* the way to it is a link itself */
	flags &= ~O_NOFOLLOW;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		flags &= ~O_TMPFILE;
	fd = restore_reopen(r, name->fd, flags);
	if (fd < 0)
		return err_sys(err, fd, "opening deleted '%s'", name->path);
	*ret_fd = fd;
	return 0;
}

void ghost_close_all(struct restore *r)
{
	struct restore_ghost *g;
	struct ghost_name *name;
	struct ghost_user *u;

	for (g = r->ghosts->first; g; g = g->next)
		for (name = g->names; name; name = name->next) {
			for (u = name->users; u; u = u->next)
				if (u->fd >= 0)
					close(take_fd(&u->fd));
			if (name->fd >= 0)
				close(take_fd(&name->fd));
		}
}

int ghost_keep_links(struct restore *r, int root, struct err *err)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC,
				.resolve = RESOLVE_IN_ROOT };
	struct restore_ghost *g;

	for (g = r->ghosts->first; g; g = g->next) {
		char *parent = g->linked ? arena_strdup(&r->arena, g->linked) : NULL;

		if (!g->linked)
			continue;
		if (!parent)
			return err_nomem(err);
		*strrchr(parent, '/') = '\0';
		g->linked_dir = (int)syscall(SYS_openat2, root, parent[0] ? parent : "/", &how,
					     sizeof(how));
		if (g->linked_dir < 0)
			return err_sys(err, -errno, "opening directory '%s'", parent);
	}
	return 0;
}

void ghost_remove_links(struct restore *r)
{
	struct restore_ghost *g;

	for (g = r->ghosts->first; g; g = g->next)
		if (g->linked && unlinkat(g->linked_dir, strrchr(g->linked, '/') + 1, 0) < 0 &&
		    errno != ENOENT)
			log_warn(r->log, "removing '%s', which the dump has made: %s", g->linked,
				 strerrordesc_np(errno));
}

int restore_files_made(struct restore *r, struct err *err)
{
	cleanup_fd int root = -EBADF;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/root", r->tasks.v[0]->pid);
	root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, -errno, "opening the root of the new mounts");
	return ghost_keep_links(r, root, err);
}

void restore_files_letting_go(struct restore *r)
{
	ghost_remove_links(r);
}
