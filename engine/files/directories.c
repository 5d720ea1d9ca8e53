/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Root and working directories of a restore's tasks. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/files/regular.h"
#include "engine/files/restore-files.h"
#include "proto/task.pb-c.h"

/* Whether the descriptor is the directory at that path. */
static bool same_dir(int a, const char *b)
{
	struct stat x, y;

	return fstat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/*
 * A directory of procfs may be that of a task that was not born yet when the others were opened.
 * The number is above those of all tasks: who shares a table with us may be closing what is below.
 */
static int open_dir(struct restore *r, const struct file_obj *dir)
{
	int fd = dir->late ? open(regular_path(dir), DIRECTORY_FLAGS | O_CLOEXEC)
			   : fcntl(restore_files_mapping_fd(r, dir->id, DIRECTORY_FLAGS),
				   F_DUPFD_CLOEXEC, r->fd_next);

	return fd < 0 ? -errno : fd;
}

int restore_files_enter(struct restore *r, struct restore_task *task, struct err *err)
{
	bool stays = r->born_in && r->born_in == task->cwd;
	cleanup_fd int root = open_dir(r, task->root), cwd = open_dir(r, task->cwd);

	if (stays && !same_dir(root, "/"))
		return err_refuse(err, "a task lives in a chroot and in a directory of a process "
				       "that has ended");
	if (root < 0 || (!same_dir(root, "/") && (fchdir(root) < 0 || chroot(".") < 0)))
		return err_sys(err, root < 0 ? root : -errno, "changing the root to '%s'",
			       regular_path(task->root));
	if (cwd < 0 || (!stays && fchdir(cwd) < 0))
		return err_sys(err, cwd < 0 ? cwd : -errno, "changing the directory to '%s'",
			       regular_path(task->cwd));
	if (task->fs->has_umask)
		umask((mode_t)task->fs->umask);
	return 0;
}
