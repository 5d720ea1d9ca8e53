// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * The mount tree as /proc/PID/mountinfo shows it. The order of its lines is kept: it is the order
 * in which the mounts were made (kernel 6.8 and later) or attached (before), and a restore repeats
 * it.
 */
#include "mounts/mounts-priv.h"

#include <fcntl.h>
#include <libmount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "engine/base/io.h"

/* The kernel appends this to the root of a mount whose directory entry is gone. */
#define DELETED "//deleted"

struct mount_tree *mounts_new(void)
{
	return calloc(1, sizeof(struct mount_tree));
}

static void mount_done(struct mount *m)
{
	free(m->root);
	free(m->path);
	free(m->source);
	free(m->options);
	free(m->fstype);
	free(m->unknown);
	free(m->ext_key);
	free(m->ext_path);
	cleanup_closep(&m->host_fd);
	cleanup_closep(&m->tree_fd);
	cleanup_closep(&m->archive_fd);
	cleanup_closep(&m->fd);
}

void mounts_free(struct mount_tree *tree)
{
	struct mount *m;

	if (!tree)
		return;
	vec_foreach (m, &tree->mounts)
		mount_done(m);
	vec_free(&tree->mounts);
	free(tree);
}

static uint32_t dev_to_kernel(dev_t dev)
{
	return (uint32_t)major(dev) << 20 | minor(dev);
}

static int copy_string(char **to, const char *from)
{
	*to = strdup(from ? from : "");
	return *to ? 0 : -ENOMEM;
}

static int fill(struct mount *m, struct libmnt_fs *fs)
{
	const char *words = mnt_fs_get_fs_options(fs);
	size_t len;
	int r;

	m->host_fd = m->tree_fd = m->archive_fd = m->fd = -EBADF;
	m->id = mnt_fs_get_id(fs);
	m->parent_id = mnt_fs_get_parent_id(fs);
	m->sdev = dev_to_kernel(mnt_fs_get_devno(fs));
	if (copy_string(&m->root, mnt_fs_get_root(fs)) < 0 ||
	    copy_string(&m->path, mnt_fs_get_target(fs)) < 0 ||
	    copy_string(&m->fstype, mnt_fs_get_fstype(fs)) < 0 ||
	    copy_string(&m->source, mnt_fs_get_source(fs)) < 0)
		return -ENOMEM;
	len = strlen(m->root);
	if (len > strlen(DELETED) && !strcmp(m->root + len - strlen(DELETED), DELETED)) {
		m->root[len - strlen(DELETED)] = '\0';
		m->deleted = true;
	}
	words = words ? words : "";
	r = options_parse_sb(words, &m->sb_flags, &m->options);
	if (r < 0)
		return r;
	words = mnt_fs_get_vfs_options(fs);
	r = options_parse_mount(words ? words : "", &m->flags, &m->unknown);
	if (r < 0)
		return r;
	m->kind = mount_kind_by_name(m->fstype, NULL);
	return options_parse_optional(mnt_fs_get_optional_fields(fs), m);
}

static int fill_table(struct mount_tree *tree, struct libmnt_table *table, struct libmnt_iter *iter)
{
	struct libmnt_fs *fs;

	while (mnt_table_next_fs(table, iter, &fs) == 0) {
		struct mount *m = vec_add(&tree->mounts);

		if (!m || fill(m, fs) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* A path that is not below its parent's cannot be reached from there. */
static const char *bad_mount(const struct mount *m)
{
	if (!path_is_clean(m->path))
		return "a mount point that is not an absolute path";
	if (m->parent && !path_below(m->path, m->parent->path))
		return "a mount point outside of its parent mount";
	return NULL;
}

/* Following parents from any mount must end at the root after at most n steps. */
static bool has_cycle(const struct mount_tree *tree, const struct mount *m)
{
	for (size_t n = 0; n <= tree->mounts.n; n++, m = m->parent)
		if (!m->parent)
			return false;
	return true;
}

int mounts_link(struct mount_tree *tree, const char **ret_why, const struct mount **ret_at)
{
	struct mount *m, *root = NULL;

	vec_foreach (m, &tree->mounts) {
		*ret_at = m;
		if (mounts_find_rw(tree, m->id) != m) {
			*ret_why = "an id used twice";
			return -EBADMSG;
		}
		m->parent = m->parent_id == m->id ? NULL : mounts_find_rw(tree, m->parent_id);
		if (m->parent)
			continue;
		if (root || strcmp(m->path, "/")) {
			*ret_why = "no parent";
			return -EBADMSG;
		}
		root = m;
		m->how = HOW_ROOT;
	}
	*ret_at = NULL;
	*ret_why = "no root mount";
	if (!root)
		return -EBADMSG;
	vec_foreach (m, &tree->mounts) {
		*ret_at = m;
		*ret_why = has_cycle(tree, m) ? "a cycle of parents" : bad_mount(m);
		if (*ret_why)
			return -EBADMSG;
	}
	return 0;
}

int mounts_parse(FILE *f, struct mount_tree **ret, struct err *err)
{
	struct libmnt_table *table = mnt_new_table();
	struct libmnt_iter *iter = mnt_new_iter(MNT_ITER_FORWARD);
	struct mount_tree *tree = mounts_new();
	const struct mount *at = NULL;
	const char *why;
	int r = -ENOMEM;

	if (!table || !iter || !tree) {
		err_nomem(err);
		goto out;
	}
	r = mnt_table_parse_stream(table, f, "mountinfo");
	if (r < 0) {
		err_sys(err, r, "parsing mountinfo");
		goto out;
	}
	r = fill_table(tree, table, iter);
	if (r < 0) {
		err_nomem(err);
		goto out;
	}
	r = mounts_link(tree, &why, &at);
	if (r < 0) {
		err_new(err, ERR_ENVIRONMENT, r, "mountinfo has %s%s%s%s", why, at ? " ('" : "",
			at ? at->path : "", at ? "')" : "");
		goto out;
	}
	*ret = take_ptr(tree);
out:
	mounts_free(tree);
	mnt_free_iter(iter);
	mnt_unref_table(table);
	return r;
}

static bool same_ns(int procfd, const char *ns)
{
	cleanup_free char *mine = NULL;
	struct stat a, b;

	if (asprintf(&mine, "/proc/self/%s", ns) < 0)
		return true;
	if (fstatat(procfd, ns, &a, 0) < 0 || stat(mine, &b) < 0)
		return true;
	return a.st_ino == b.st_ino && a.st_dev == b.st_dev;
}

int mounts_collect(struct mount_tree **ret, pid_t pid, struct err *err)
{
	cleanup_fd int proc = io_open_proc(pid);
	cleanup_file FILE *f = NULL;
	int r, fd;

	if (proc < 0)
		return err_sys(err, proc, "opening /proc/%d", pid);
	fd = openat(proc, "mountinfo", O_RDONLY | O_CLOEXEC);
	f = fd < 0 ? NULL : fdopen(fd, "r");
	if (!f)
		return err_sys(err, -errno, "opening /proc/%d/mountinfo", pid);
	r = mounts_parse(f, ret, err);
	if (r < 0)
		return err_wrap(err, r, "mounts of task %d", pid);
	(*ret)->pid = pid;
	(*ret)->own_cgroupns = !same_ns(proc, "ns/cgroup");
	return 0;
}

struct mount *mounts_root(const struct mount_tree *tree)
{
	struct mount *m;

	vec_foreach (m, &tree->mounts)
		if (!m->parent)
			return m;
	return NULL;
}

struct mount *mounts_find_rw(const struct mount_tree *tree, int mnt_id)
{
	struct mount *m;

	vec_foreach (m, &tree->mounts)
		if (m->id == mnt_id)
			return m;
	return NULL;
}

/* The mount on top of cur at path. Mounts stacked on one place are each the parent of the next. */
static struct mount *child_at(const struct mount_tree *tree, const struct mount *cur,
			      const char *path, size_t len)
{
	struct mount *m;

	vec_foreach (m, &tree->mounts)
		if (m->parent == cur && m->how != HOW_SKIP && strlen(m->path) == len &&
		    !strncmp(m->path, path, len))
			return m;
	return NULL;
}

struct mount *mounts_lookup(const struct mount_tree *tree, const char *path)
{
	struct mount *cur = mounts_root(tree), *next;

	/* A mount on top of "/" is not seen: a lookup starts at the task's root, below it. */
	for (const char *p = path; cur && *p;) {
		p += strspn(p, "/");
		p += strcspn(p, "/");
		if (p == path || (p == path + 1 && *path == '/'))
			break;
		while ((next = child_at(tree, cur, path, (size_t)(p - path))))
			cur = next;
		if (!p[strspn(p, "/")])
			break;
	}
	return cur;
}

size_t mounts_count(const struct mount_tree *tree)
{
	return tree->mounts.n;
}

const struct mount *mounts_at(const struct mount_tree *tree, size_t i)
{
	return i < tree->mounts.n ? &tree->mounts.v[i] : NULL;
}

const struct mount *mounts_find(const struct mount_tree *tree, int mnt_id)
{
	return mounts_find_rw(tree, mnt_id);
}

bool mounts_path_visible(const struct mount_tree *tree, int mnt_id, const char *path)
{
	const struct mount *m = mounts_lookup(tree, path);

	return m && m->id == mnt_id;
}

int mount_id(const struct mount *m)
{
	return m->id;
}

const char *mount_path(const struct mount *m)
{
	return m->path;
}

const char *mount_root(const struct mount *m)
{
	return m->root;
}

const char *mount_fstype(const struct mount *m)
{
	return m->fstype;
}

const char *mount_source(const struct mount *m)
{
	return m->source;
}

const char *mount_options(const struct mount *m)
{
	return m->options;
}

dev_t mount_dev(const struct mount *m)
{
	return makedev(m->sdev >> 20, m->sdev & 0xfffff);
}

uint32_t mount_sdev(const struct mount *m)
{
	return m->sdev;
}

unsigned int mount_flags(const struct mount *m)
{
	return m->flags;
}

bool mount_is_kept(const struct mount *m)
{
	return m->how != HOW_SKIP && m->how != HOW_REFUSED && m->how != HOW_UNDECIDED;
}
