/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The root file system of a container before it is restored. */
#include "runtime/rootfs.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

#define OWN_DIR "/run/crun-criu"
#define MOUNT_DIR OWN_DIR "/root"

/*
 * Only the mount that MOUNT_DIR is on stops telling others about ours; all others keep their peers,
 * because a bind mount of the container may be one of them.
 */
static int hide_mount(const char *path)
{
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700,size=64k") <
	    0)
		return -errno;
	return mount(NULL, path, NULL, MS_PRIVATE, NULL) < 0 ? -errno : 0;
}

/* The mount that a path is on, found upwards. */
static int make_slave(const char *path)
{
	char dir[256];

	snprintf(dir, sizeof(dir), "%s", path);
	while (mount(NULL, dir, NULL, MS_SLAVE, NULL) < 0) {
		char *slash = strrchr(dir, '/');

		if (errno != EINVAL || strcmp(dir, "/") == 0)
			return -errno;
		slash[slash == dir ? 1 : 0] = '\0';
	}
	return 0;
}

int rootfs_mount(struct rootfs *fs, const char *rootfs, struct err *err)
{
	int r = 0;

	if ((mkdir(OWN_DIR, 0700) < 0 && errno != EEXIST) ||
	    (mkdir(MOUNT_DIR, 0700) < 0 && errno != EEXIST))
		return err_sys(err, -errno, "making the folder '" MOUNT_DIR "'");
	if (unshare(CLONE_NEWNS) < 0)
		return err_sys(err, -errno, "making a mount namespace");
	r = make_slave(MOUNT_DIR);
	if (r == 0)
		r = hide_mount(OWN_DIR);
	if (r == 0 && mkdir(MOUNT_DIR, 0755) < 0)
		r = -errno;
	if (r == 0 && mount(rootfs, MOUNT_DIR, NULL, MS_BIND | MS_REC, NULL) < 0)
		r = -errno;
	if (r == 0 && mount(NULL, MOUNT_DIR, NULL, MS_PRIVATE, NULL) < 0)
		r = -errno;
	if (r < 0)
		return err_sys(err, r, "mounting the root file system '%s'", rootfs);
	fs->mount = strdup(MOUNT_DIR);
	return fs->mount ? 0 : err_nomem(err);
}

static int open_below(int root, const char *path, unsigned int flags)
{
	struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	int fd = (int)syscall(SYS_openat2, root, path[0] ? path : "/", &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int note(struct rootfs *fs, const char *root, const char *path)
{
	struct rootfs_made *m = vec_add(&fs->made);

	if (!m)
		return -ENOMEM;
	m->root = strdup(root);
	m->path = strdup(path);
	return m->root && m->path ? 0 : -ENOMEM;
}

/* Makes the last component of path, whose parent is there. */
static int make_one(struct rootfs *fs, int root_fd, const char *root, const char *path, bool dir)
{
	const char *slash = strrchr(path, '/');
	cleanup_free char *parent = strndup(path, (size_t)(slash - path));
	cleanup_fd int at = -EBADF, file = -EBADF;

	if (!parent)
		return -ENOMEM;
	at = open_below(root_fd, parent, O_PATH | O_DIRECTORY);
	if (at < 0)
		return at;
	if (dir) {
		if (mkdirat(at, slash + 1, 0755) < 0)
			return -errno;
	} else {
		file = openat(at, slash + 1, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			      0644);
		if (file < 0)
			return -errno;
	}
	return note(fs, root, path);
}

static int make_path(struct rootfs *fs, const struct oci_mountpoint *mp)
{
	cleanup_fd int root = open(mp->root, O_PATH | O_CLOEXEC);
	cleanup_free char *path = strdup(mp->path);
	struct stat like;
	bool file = mp->like && stat(mp->like, &like) == 0 && !S_ISDIR(like.st_mode);
	size_t len = path ? strlen(path) : 0, at = 0;

	if (root < 0 || !path)
		return root < 0 ? -errno : -ENOMEM;
	while (at < len) {
		char kept;
		int fd, r;

		at++;
		at += strcspn(path + at, "/");
		kept = path[at];
		path[at] = '\0';
		fd = open_below(root, path, O_PATH);
		r = fd == -ENOENT ? make_one(fs, root, mp->root, path, !file || kept) : fd;
		if (fd >= 0)
			close(fd);
		if (r < 0)
			return r;
		path[at] = kept;
	}
	return 0;
}

int rootfs_make_mountpoints(struct rootfs *fs, const struct oci_plan *plan, struct err *err)
{
	for (size_t i = 0; i < plan->mountpoints.n; i++) {
		const struct oci_mountpoint *mp = &plan->mountpoints.v[i];
		int r = make_path(fs, mp);

		if (r < 0)
			return err_sys(err, r, "making the mountpoint '%s' in '%s'", mp->path,
				       mp->root);
	}
	return 0;
}

void rootfs_undo(struct rootfs *fs)
{
	while (fs->made.n) {
		struct rootfs_made *m = &fs->made.v[--fs->made.n];
		cleanup_fd int root = m->root ? open(m->root, O_PATH | O_CLOEXEC) : -EBADF,
			       at = -EBADF;
		char *slash = m->path ? strrchr(m->path, '/') : NULL;
		struct stat st;

		if (root >= 0 && slash) {
			*slash = '\0';
			at = open_below(root, m->path, O_PATH | O_DIRECTORY);
			if (at >= 0 && fstatat(at, slash + 1, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			    (S_ISDIR(st.st_mode) || st.st_size == 0))
				unlinkat(at, slash + 1, S_ISDIR(st.st_mode) ? AT_REMOVEDIR : 0);
		}
		free(m->root);
		free(m->path);
	}
}

void rootfs_done(struct rootfs *fs)
{
	struct rootfs_made *m;

	vec_foreach (m, &fs->made) {
		free(m->root);
		free(m->path);
	}
	vec_free(&fs->made);
	free(fs->mount);
	fs->mount = NULL;
}
