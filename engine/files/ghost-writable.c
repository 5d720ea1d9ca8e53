/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Restore: mounts that were made read-only after a file in them was deleted. They are in place when
 * ghosts are made, and can be written for that time.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/restore.h"
#include "engine/files/ghost-tables.h"

static int set_read_only(const char *path, bool on)
{
	struct mount_attr attr = { .attr_set = on ? MOUNT_ATTR_RDONLY : 0,
				   .attr_clr = on ? 0 : MOUNT_ATTR_RDONLY };

	return syscall(SYS_mount_setattr, AT_FDCWD, path, 0, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/* Cuts the path down to the mount that it is on. */
static int find_mount(char *path)
{
	struct statx sx;

	for (;;) {
		char *slash = strrchr(path, '/');

		if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_TYPE, &sx) <
		    0)
			return -errno;
		if (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT || slash == NULL || !slash[1])
			return 0;
		slash[slash == path] = '\0';
	}
}

int ghost_writable(struct restore *r, struct writable **list, const char *path, int dir,
		   struct err *err)
{
	struct writable *w;
	int n;

	/* mounts of the host are not ours */
	if (!(r->new_ns & CLONE_NEWNS) || faccessat(dir, ".", W_OK, AT_EACCESS) == 0 ||
	    errno != EROFS)
		return 0;
	w = arena_alloc(&r->arena, sizeof(*w));
	if (!w || !(w->path = arena_strdup(&r->arena, path)))
		return err_nomem(err);
	n = find_mount(w->path);
	if (n == 0)
		n = set_read_only(w->path, false);
	if (n < 0)
		return err_sys(err, n, "writing to the read-only mount that has '%s'", path);
	w->next = *list;
	*list = w;
	return 0;
}

int ghost_writable_undo(struct writable *list, struct err *err)
{
	int n = 0;

	for (; list && n == 0; list = list->next) {
		n = set_read_only(list->path, true);
		if (n < 0)
			err_sys(err, n, "making the mount '%s' read-only again", list->path);
	}
	return n;
}
