// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rebuild: the mounts of a plan, made in the process that the tree is for.
 *
 * Each mount is first made by itself, in the recorded order (which is the order of mountinfo), and
 * laid side by side with the others into a yard, a tmpfs over the host's /proc. A mount in a yard
 * is attached to the namespace, so that others can be bound from it (a detached one would do only
 * from kernel 6.15 on). Then they are moved into their places, the root of the tree becomes the
 * root of the namespace, and the host's tree goes away with the yard in it.
 */
#include "mounts/mounts-priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "engine/base/io.h"

#define YARD "/proc"

struct yard {
	int fd;
	size_t n;
};

/*
 * The namespace is a copy of the host's, and its mounts are peers of the host's mounts: what is
 * mounted here would appear there. As slaves they only receive.
 */
static int cut_off_host(struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return err_sys(err, -errno, "cutting the mounts off from the host's");
	return 0;
}

static int open_sources(const struct mount_plan *plan, int img_dirfd, struct err *err)
{
	struct mount *m;
	int r = 0;

	vec_foreach (m, &plan->tree->mounts) {
		if (m->how == HOW_NEW && m->kind->traits & KIND_CONTENT)
			r = mount_open_archive(m, img_dirfd, err);
		else if ((m->how == HOW_ROOT || m->how == HOW_EXTERNAL) && m->tree_fd < 0)
			r = mount_open_host(m, plan->root, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * /proc can be reached whatever user namespace we are in, which a directory of the host may not be;
 * no source lies in it that is not open by now; and as a mount on top of proc that is not locked to
 * it, the yard does not count when the kernel asks whether a new proc would reveal more than the
 * old.
 */
static int open_yard(struct yard *yard, struct err *err)
{
	cleanup_fd int fsfd = fsopen("tmpfs", FSOPEN_CLOEXEC), fd = -EBADF;

	if (fsfd < 0 || fsconfig(fsfd, FSCONFIG_SET_STRING, "mode", "0700", 0) < 0 ||
	    fsconfig(fsfd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return err_sys(err, -errno, "making a tmpfs to work in");
	fd = fsmount(fsfd, FSMOUNT_CLOEXEC, 0);
	if (fd < 0 || move_mount(fd, "", AT_FDCWD, YARD, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(err, -errno, "mounting a tmpfs to work in");
	yard->fd = take_fd(&fd);
	return 0;
}

static int lay_down(struct yard *yard, int fd, const struct mount *m, struct err *err)
{
	char name[24];
	struct stat st;
	int r;

	snprintf(name, sizeof(name), "%zu", yard->n++);
	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "mount '%s': looking at it", m->path);
	r = S_ISDIR(st.st_mode) ? mkdirat(yard->fd, name, 0700)
				: mknodat(yard->fd, name, S_IFREG | 0600, 0);
	if (r < 0 || move_mount(fd, "", yard->fd, name, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return err_sys(err, -errno, "mount '%s': laying it down", m->path);
	return 0;
}

/*
 * Opens masters until the wanted number comes up: the kernel gives the lowest free one. Those below
 * are closed at the end, as they belong to nobody, or to another call of this.
 */
static int open_pty(const struct mount *devpts, struct mount_pty *pty, struct err *err)
{
	VEC(int) low = { 0 };
	int r = 0;

	while (r == 0 && pty->fd < 0) {
		cleanup_fd int fd = openat(devpts->fd, "ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
		unsigned int n = 0;
		int *slot;

		if (fd < 0 || ioctl(fd, TIOCGPTN, &n) < 0) {
			r = -errno;
		} else if ((int)n == pty->index) {
			pty->fd = take_fd(&fd);
		} else if ((int)n > pty->index) {
			r = -EBUSY;
		} else {
			slot = vec_add(&low);
			if (slot)
				*slot = take_fd(&fd);
			r = slot ? 0 : -ENOMEM;
		}
	}
	for (size_t i = 0; i < low.n; i++)
		close(low.v[i]);
	vec_free(&low);
	return r < 0 ? err_sys(err, r, "opening terminal %d of mount '%s'", pty->index,
			       devpts->path)
		     : 0;
}

static int open_ptys(const struct mount_plan *plan, const struct mount *m, struct err *err)
{
	int r = 0;

	for (size_t i = 0; i < plan->n_ptys && r == 0; i++)
		if (plan->ptys[i].sdev == m->sdev && plan->ptys[i].fd < 0)
			r = open_pty(m, &plan->ptys[i], err);
	return r;
}

/*
 * What was cloned before the user namespace was entered is attached as it is, and cloned again when
 * its turn comes: only attached mounts can be cloned everywhere, and the turn decides the order of
 * ids.
 */
static int lay_down_sources(const struct mount_plan *plan, struct yard *yard, struct err *err)
{
	struct mount *m;
	int r;

	vec_foreach (m, &plan->tree->mounts) {
		if (m->tree_fd < 0)
			continue;
		m->host_fd = take_fd(&m->tree_fd);
		r = mount_set_propagation(m->host_fd, MS_SLAVE);
		if (r < 0)
			return err_sys(err, r, "mount '%s': cutting it off from the host's",
				       m->path);
		r = lay_down(yard, m->host_fd, m, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* It lies in the yard at once: the plugin mounts it there, with the host's tree around. */
static int make_by_plugin(const struct mount_plan *plan, struct yard *yard, struct mount *m,
			  struct err *err)
{
	char path[64];

	snprintf(path, sizeof(path), YARD "/%zu", yard->n++);
	return mount_make_by_plugin(plan->tree, m, path, err);
}

static int make(const struct mount_plan *plan, struct yard *yard, struct mount *m,
		const struct pack_ids *ids, struct err *err)
{
	int r;

	if (m->fd >= 0)
		return 0;
	if (m->how == HOW_BIND) {
		/* Its source is no bind mount, so this goes one level down at most. */
		r = make(plan, yard, m->from, ids, err);
		if (r == 0)
			r = mount_bind_inside(m, err);
	} else if (m->how == HOW_NEW) {
		r = mount_make_new(m, ids, err);
	} else if (m->how == HOW_PLUGIN) {
		return make_by_plugin(plan, yard, m, err);
	} else {
		r = mount_take_host(plan->tree, m, mount_master_is_outside(plan->tree, m), err);
	}
	if (r == 0)
		r = lay_down(yard, m->fd, m, err);
	if (r == 0 && m->how == HOW_NEW)
		r = open_ptys(plan, m, err);
	return r;
}

/* The old root ends up on top of the new one, and is taken away with everything in it. */
static int change_root(const struct mount *root, struct err *err)
{
	if (fchdir(root->fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(err, -errno, "making the container's root the root");
	if (umount2(".", MNT_DETACH) < 0)
		return err_sys(err, -errno, "taking the host's mounts away");
	if (chdir("/") < 0)
		return err_sys(err, -errno, "changing to the new root");
	return 0;
}

static void close_all(struct mount_tree *tree)
{
	struct mount *m;

	vec_foreach (m, &tree->mounts) {
		cleanup_closep(&m->fd);
		cleanup_closep(&m->host_fd);
		cleanup_closep(&m->tree_fd);
		cleanup_closep(&m->archive_fd);
		m->fd = m->host_fd = m->tree_fd = m->archive_fd = -EBADF;
	}
}

static int rebuild(const struct mount_plan *plan, int img_dirfd, struct yard *yard,
		   const struct pack_ids *ids, struct err *err)
{
	struct mount *m;
	int r = cut_off_host(err);

	if (r == 0)
		r = open_sources(plan, img_dirfd, err);
	if (r == 0)
		r = open_yard(yard, err);
	if (r == 0)
		r = lay_down_sources(plan, yard, err);
	if (r < 0)
		return r;
	vec_foreach (m, &plan->tree->mounts) {
		r = make(plan, yard, m, ids, err);
		if (r < 0)
			return r;
	}
	r = mounts_attach(plan->tree, err);
	if (r == 0)
		r = change_root(mounts_root(plan->tree), err);
	/* After the change of root, which wants the mounts at both roots not to be shared. */
	if (r == 0)
		r = mounts_share(plan->tree, err);
	return r;
}

int mounts_rebuild(const struct mount_plan *plan, int img_dirfd, struct err *err)
{
	cleanup_with(cleanup_idmapp) struct idmap uids = { 0 }, gids = { 0 };
	cleanup_fd int proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct yard yard = { .fd = -EBADF };
	struct pack_ids ids;
	int r = proc < 0 ? -errno : idmap_read(proc, "uid_map", &uids);

	if (r == 0)
		r = idmap_read(proc, "gid_map", &gids);
	if (r < 0)
		return err_sys(err, r, "reading our id maps");
	ids.uids = uids;
	ids.gids = gids;
	r = rebuild(plan, img_dirfd, &yard, &ids, err);
	cleanup_closep(&yard.fd);
	close_all(plan->tree);
	return r;
}
