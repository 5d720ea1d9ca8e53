/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The hierarchies of this host and a directory descriptor of each. /proc/self/cgroup lists them
 * all, mounted or not; a mount of the host is used where it shows the whole hierarchy and can be
 * written, else the hierarchy is mounted detached.
 */
#include "cgroups/cgroups-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"

static int layout_add(struct cg_layout *l, const char *name, const char *path, struct cg_hier **ret)
{
	struct cg_hier h = { .root_fd = -EBADF, .unified = !name[0] };
	struct cg_hier *slot;

	h.name = arena_strdup(&l->arena, name);
	h.own_path = arena_strdup(&l->arena, path);
	slot = h.name && h.own_path ? vec_add(&l->hiers) : NULL;
	if (!slot)
		return -ENOMEM;
	*slot = h;
	if (ret)
		*ret = slot;
	return 0;
}

int cg_layout_init(struct cg_layout *l, struct err *err)
{
	cleanup_members struct cg_members m = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	struct cg_member *one;
	int r;

	memset(l, 0, sizeof(*l));
	/* thread-self: on v1 a thread may be in a group of its own. */
	r = io_read_file(AT_FDCWD, "/proc/thread-self/cgroup", &text);
	if (r >= 0)
		r = cg_members_parse(text.data, text.len, &m);
	if (r < 0)
		return err_sys(err, r, "reading /proc/thread-self/cgroup");
	vec_foreach (one, &m.list) {
		r = layout_add(l, one->name, one->path, NULL);
		if (r < 0)
			return err_nomem(err);
	}
	buf_done(&text);
	r = io_read_file(AT_FDCWD, "/proc/thread-self/mountinfo", &text);
	if (r >= 0)
		r = cg_mounts_parse(text.data, text.len, &l->mounts);
	if (r < 0)
		return err_sys(err, r, "reading /proc/thread-self/mountinfo");
	return 0;
}

void cg_layout_done(struct cg_layout *l)
{
	struct cg_hier *h;

	vec_foreach (h, &l->hiers) {
		if (h->root_fd >= 0)
			close(h->root_fd);
	}
	vec_free(&l->hiers);
	cg_mounts_done(&l->mounts);
	arena_done(&l->arena);
}

struct cg_hier *cg_layout_find(const struct cg_layout *l, const char *controller, size_t len)
{
	struct cg_hier *h;

	vec_foreach (h, &l->hiers) {
		if (h->unified ? !len : len && cg_list_has(h->name, controller, len))
			return h;
	}
	return NULL;
}

const char *cg_hier_text(const char *name, char buf[static 160])
{
	if (name[0])
		snprintf(buf, 160, "cgroup v1 hierarchy '%s'", name);
	else
		snprintf(buf, 160, "cgroup2");
	return buf;
}

/*
 * Opens a mount of the host, and makes sure that it is this mount that the path leads to: another
 * one may lie on top of it.
 */
static int open_mounted(const struct cg_mount *m)
{
	cleanup_fd int fd = open(m->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
		return -errno;
	if (st.st_dev != makedev(m->major, m->minor) ||
	    (fs.f_type != CGROUP2_SUPER_MAGIC && fs.f_type != CGROUP_SUPER_MAGIC))
		return -ENOENT;
	return take_fd(&fd);
}

static int config(int fs, unsigned int cmd, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, cmd, key, value, 0);
}

/* v1 takes its hierarchy as mount options: controllers as flags; "none" for one that has none. */
static int config_v1(int fs, const char *name)
{
	bool named = false, any = false;
	const char *w;
	size_t len;

	while ((w = cg_list_next(&name, &len))) {
		char word[128];
		int r;

		if (len >= sizeof(word))
			return -EINVAL;
		memcpy(word, w, len);
		word[len] = '\0';
		if (!strncmp(word, "name=", 5)) {
			r = config(fs, FSCONFIG_SET_STRING, "name", word + 5);
			named = true;
		} else {
			r = config(fs, FSCONFIG_SET_FLAG, word, NULL);
			any = true;
		}
		if (r < 0)
			return -errno;
	}
	if (named && !any && config(fs, FSCONFIG_SET_FLAG, "none", NULL) < 0)
		return -errno;
	return 0;
}

/*
 * Mounts the hierarchy without attaching it anywhere. In a cgroup namespace the mount's root is the
 * namespace's root, so paths of /proc/PID/cgroup fit it.
 */
static int mount_detached(const char *name)
{
	cleanup_fd int fs = -EBADF;
	long fd;
	int r;

	fs = (int)syscall(SYS_fsopen, name[0] ? "cgroup" : "cgroup2", FSOPEN_CLOEXEC);
	if (fs < 0)
		return -errno;
	r = name[0] ? config_v1(fs, name) : 0;
	if (r < 0)
		return r;
	if (config(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return -errno;
	fd = syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
		     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	return fd < 0 ? -errno : (int)fd;
}

/* fsmount gives an O_PATH descriptor, which cannot be read as a directory. */
static int reopen(int fd)
{
	int r = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return r < 0 ? -errno : r;
}

/*
 * The hierarchy in a yard of the caller's: CRIU's names for its folders are the controllers as
 * /proc/PID/cgroup has them, a named hierarchy's own name, and "unified" for cgroup2.
 */
static int open_in_yard(const struct cg_layout *l, const struct cg_hier *h, struct err *err)
{
	const char *name = h->unified ? "unified" : h->name;
	cleanup_fd int yard = -EBADF, fd = -EBADF;
	struct statfs fs;

	if (!strncmp(name, "name=", 5))
		name += 5;
	yard = openat(l->work_fd, l->yard, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = yard < 0 ? -1 : openat(yard, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstatfs(fd, &fs) < 0)
		return err_sys(err, -errno, "opening '%s' in the cgroup yard '%s'", name, l->yard);
	if (fs.f_type != (h->unified ? CGROUP2_SUPER_MAGIC : CGROUP_SUPER_MAGIC)) {
		err_new(err, ERR_ENVIRONMENT, -ENODEV,
			"'%s' in the cgroup yard '%s' is not a cgroup mount", name, l->yard);
		err_hint(err, "mount every hierarchy of /proc/self/cgroup there under its name");
		return err->code;
	}
	return take_fd(&fd);
}

int cg_hier_root(struct cg_layout *l, struct cg_hier *h, struct err *err)
{
	cleanup_fd int mnt = -EBADF;
	struct cg_mount *m;
	char text[160];

	if (h->root_fd >= 0)
		return h->root_fd;
	if (l->yard)
		return h->root_fd = open_in_yard(l, h, err);
	vec_foreach (m, &l->mounts.list) {
		if (strcmp(m->root, "/") || !m->writable || !cg_mount_is_hier(m, h->name))
			continue;
		h->root_fd = open_mounted(m);
		if (h->root_fd >= 0)
			return h->root_fd;
	}
	mnt = mount_detached(h->name);
	if (mnt >= 0)
		h->root_fd = reopen(mnt);
	if (h->root_fd >= 0)
		return h->root_fd;
	err_sys(err, mnt < 0 ? mnt : h->root_fd,
		"mounting the %s, which is mounted nowhere for writing",
		cg_hier_text(h->name, text));
	err_hint(err, "run with CAP_SYS_ADMIN, or use --manage-cgroups=ignore");
	return err->code;
}

int cg_layout_make(struct cg_layout *l, const char *name, struct cg_hier **ret, struct err *err)
{
	struct cg_hier *h;
	int r;

	if (layout_add(l, name, "/", &h) < 0)
		return err_nomem(err);
	h->made = true;
	r = cg_hier_root(l, h, err);
	if (r < 0)
		return r;
	*ret = h;
	return 0;
}
