// SPDX-License-Identifier: LGPL-2.1-or-later
/* Rebuild: what is taken from outside of the tree: archives, the root, external mounts. */
#include "mounts/mounts-priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define ALL_ATTRS                                                                       \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | \
	 MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME | MOUNT_ATTR_NOSYMFOLLOW)

int mount_open_archive(struct mount *m, int img_dirfd, struct err *err)
{
	char name[64];

	if (m->archive_fd >= 0)
		return 0;
	snprintf(name, sizeof(name), "tmpfs-dev-%u.tar.gz.img", m->sdev);
	m->archive_fd = openat(img_dirfd, name, O_RDONLY | O_CLOEXEC);
	if (m->archive_fd >= 0)
		return 0;
	if (errno == ENOENT) { /* the name before CRIU 1.7 */
		char old[64];

		snprintf(old, sizeof(old), "tmpfs-%d.tar.gz.img", m->id);
		m->archive_fd = openat(img_dirfd, old, O_RDONLY | O_CLOEXEC);
	}
	if (m->archive_fd < 0)
		return err_sys(err, -errno, "content of mount '%s': %s", m->path, name);
	return 0;
}

int mount_open_host(struct mount *m, const char *root, struct err *err)
{
	const char *path = m->how == HOW_ROOT ? root : m->ext_path;

	m->host_fd = open(path, O_PATH | O_CLOEXEC);
	if (m->host_fd < 0)
		return err_sys(err, -errno, "mount '%s': opening '%s'", m->path, path);
	return 0;
}

static int clone_fd(int fd)
{
	int r = open_tree(fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);

	return r < 0 ? -errno : r;
}

int mounts_plan_open(struct mount_plan *plan, int img_dirfd, struct err *err)
{
	struct mount *m;
	int r = 0;

	vec_foreach (m, &plan->tree->mounts) {
		if (m->how == HOW_NEW && m->kind->traits & KIND_CONTENT)
			r = mount_open_archive(m, img_dirfd, err);
		else if (m->how == HOW_ROOT || m->how == HOW_EXTERNAL)
			r = mount_open_host(m, plan->root, err);
		if (r < 0)
			return r;
		if (m->host_fd < 0)
			continue;
		m->tree_fd = clone_fd(m->host_fd);
		if (m->tree_fd < 0)
			return err_sys(err, m->tree_fd, "mount '%s': cloning the host's side",
				       m->path);
		/* The path of a namespace that the rebuild is not in: no use to it. */
		close(take_fd(&m->host_fd));
	}
	return 0;
}

int mount_set_propagation(int fd, uint64_t propagation)
{
	struct mount_attr attr = { .propagation = propagation };

	return mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/*
 * Gives the mount exactly the recorded flags. Those that a mount has from a more privileged user
 * namespace cannot be taken off it (EPERM), and then they stay on top of the recorded ones.
 */
static int set_attrs(int fd, unsigned int flags)
{
	struct mount_attr attr = { .attr_set = options_attrs(flags), .attr_clr = ALL_ATTRS };

	if (mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) == 0)
		return 0;
	if (errno != EPERM)
		return -errno;
	attr.attr_clr = 0;
	attr.attr_set &= ~(uint64_t)MOUNT_ATTR__ATIME;
	return mount_setattr(fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

/*
 * A masked file is often declared external although it is a device node of the container's own /dev
 * ("/null"). If the node there and the one on the host are the same device, the one there is taken,
 * so that the tree is the same after as before. Returns a descriptor on it, or -ENOENT.
 */
static int own_device_node(const struct mount_tree *tree, const struct mount *m, int host_fd)
{
	const struct mount *it;
	struct stat host, own;

	if (fstat(host_fd, &host) < 0 || (!S_ISCHR(host.st_mode) && !S_ISBLK(host.st_mode)))
		return -ENOENT;
	vec_foreach (it, &tree->mounts) {
		cleanup_fd int fd = -EBADF;

		if (it->how != HOW_NEW || it->sdev != m->sdev || it->fd < 0)
			continue;
		fd = path_open_below(it->fd, m->root + 1);
		if (fd >= 0 && fstat(fd, &own) == 0 && own.st_rdev == host.st_rdev &&
		    (own.st_mode & S_IFMT) == (host.st_mode & S_IFMT))
			return take_fd(&fd);
	}
	return -ENOENT;
}

int mount_take_host(const struct mount_tree *tree, struct mount *m, bool follow_host,
		    struct err *err)
{
	cleanup_fd int own = -EBADF;
	int r;

	if (m->how == HOW_EXTERNAL)
		own = own_device_node(tree, m, m->host_fd);
	m->fd = clone_fd(own >= 0 ? own : m->host_fd);
	if (m->fd < 0)
		return err_sys(err, m->fd, "mount '%s': cloning the host's side", m->path);
	/* The clone is a member of its origin's peer group, if that has one. */
	r = mount_set_propagation(m->fd, follow_host ? MS_SLAVE : MS_PRIVATE);
	if (r < 0)
		return err_sys(err, r, "mount '%s': setting its propagation", m->path);
	r = set_attrs(m->fd, m->flags);
	return r < 0 ? err_sys(err, r, "mount '%s': setting its flags", m->path) : 0;
}

int mount_bind_inside(struct mount *m, struct err *err)
{
	cleanup_fd int source = path_open_below(m->from->fd, path_below(m->root, m->from->root));
	int r;

	if (source < 0)
		return err_sys(err, source, "mount '%s': opening its source '%s' in mount '%s'",
			       m->path, m->root, m->from->path);
	m->fd = clone_fd(source);
	r = m->fd < 0 ? m->fd : mount_set_propagation(m->fd, MS_PRIVATE);
	if (r == 0)
		r = set_attrs(m->fd, m->flags);
	return r < 0 ? err_sys(err, r, "mount '%s': binding '%s'", m->path, m->root) : 0;
}
