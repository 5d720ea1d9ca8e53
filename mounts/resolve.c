// SPDX-License-Identifier: LGPL-2.1-or-later
/* Dump: what of the tree can be kept, and how; every mount that cannot is told to the caller. */
#include "mounts/mounts-priv.h"

#include <fcntl.h>
#include <string.h>

#include "engine/base/io.h"

static bool is_skipped(const struct ckpt_options *opts, const struct mount *m)
{
	for (size_t i = 0; i < opts->skip_mounts.n; i++)
		if (path_equal(m->path, opts->skip_mounts.v[i]))
			return true;
	return false;
}

/* --external dev[MAJOR/MINOR]:NAME: a block device that the restore is given under that name. */
static int resolve_device(struct mount *m, const struct ckpt_options *opts)
{
	cleanup_free char *id = NULL;
	const char *name;
	char *source;

	if (!(m->kind->traits & KIND_UNKNOWN) || strcmp(m->root, "/"))
		return 0;
	if (asprintf(&id, "%u/%u", m->sdev >> 20, m->sdev & 0xfffff) < 0)
		return -ENOMEM;
	name = external_device(opts, id);
	if (!name)
		return 0;
	if (asprintf(&source, "dev[%s]", name) < 0)
		return -ENOMEM;
	free(m->source);
	m->source = source;
	m->ext_key = strdup(KEY_DEVICE);
	if (!m->ext_key)
		return -ENOMEM;
	m->kind = mount_kind_by_name(
		"", &(struct ckpt_options){ .enable_fs = { (const char *[]){ "all" }, 1 } });
	m->how = HOW_NEW;
	return 0;
}

static int resolve_external(struct mount *m, const struct ckpt_options *opts,
			    const struct mount_tree *host, struct external_auto how)
{
	const char *key = external_lookup(opts, m->path);
	int r;

	if (key) {
		m->ext_key = strdup(key);
		m->how = HOW_EXTERNAL;
		return m->ext_key ? 0 : -ENOMEM;
	}
	r = resolve_device(m, opts);
	if (r < 0 || m->how == HOW_NEW || !host || !how.on)
		return r;
	return external_match(m, host, how);
}

/*
 * devpts is told apart from the host's by its device. "newinstance" is what the images have for an
 * instance of its own; the kernel has had no other kind since 4.7 and shows no such option.
 */
static int mark_devpts(struct mount *m, const struct mount_tree *host)
{
	const struct mount *it;
	char *s;

	if (strcmp(m->kind->name, "devpts"))
		return 0;
	if (host)
		vec_foreach (it, &host->mounts)
			if (it->sdev == m->sdev)
				return 0;
	if (asprintf(&s, "%s%snewinstance", m->options, *m->options ? "," : "") < 0)
		return -ENOMEM;
	free(m->options);
	m->options = s;
	return 0;
}

int mounts_resolve_tree(struct mount_tree *tree, const struct mount_tree *host,
			const struct ckpt_options *opts, struct err *err)
{
	struct external_auto how = external_auto(opts);
	struct mount *m;

	vec_foreach (m, &tree->mounts) {
		m->kind = mount_kind_by_name(m->fstype, opts);
		if (mark_devpts(m, host) < 0)
			return err_nomem(err);
		if (!m->parent)
			continue;
		if (is_skipped(opts, m))
			m->how = HOW_SKIP;
		else if (resolve_external(m, opts, host, how) < 0)
			return err_nomem(err);
	}
	mounts_decide(tree);
	return 0;
}

/* ---- cgroup mounts ---- */

/*
 * The cgroup path of the task in the hierarchy of m, from lines "ID:controllers:/path" of
 * /proc/PID/cgroup; version 2 has no controllers there. malloc'ed, or NULL.
 */
static char *cgroup_path(const char *text, const struct mount *m)
{
	bool v2 = !strcmp(m->kind->name, "cgroup2");

	for (const char *line = text; *line; line += strcspn(line, "\n"), line += *line == '\n') {
		const char *list = strchr(line, ':'), *path = list ? strchr(list + 1, ':') : NULL;
		size_t len;

		if (!path)
			break;
		list++;
		len = (size_t)(path - list);
		path++;
		if (v2 ? len > 0 : !len || !memmem(m->options, strlen(m->options), list, len))
			continue;
		return strndup(path, strcspn(path, "\n"));
	}
	return NULL;
}

/*
 * Outside of a cgroup namespace the kernel shows the root of its mounts by the path in the reader's
 * hierarchy. Inside, that place is "/", and a new mount shows it again: so a root that is the
 * task's own cgroup, or above it, is written as "/", as CRIU does. One below it is a bind mount of
 * a part.
 */
static int resolve_cgroup_roots(struct mount_tree *tree, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_fd int proc = io_open_proc(tree->pid);
	struct mount *m;
	int r;

	if (proc < 0)
		return err_sys(err, proc, "opening /proc/%d", tree->pid);
	r = io_read_file(proc, "cgroup", &text);
	if (r < 0)
		return err_sys(err, r, "reading /proc/%d/cgroup", tree->pid);
	vec_foreach (m, &tree->mounts) {
		cleanup_free char *path = NULL;

		if (!(m->kind->traits & KIND_CGROUP) || m->deleted)
			continue;
		path = cgroup_path(text.data, m);
		if (!path || !path_below(path, m->root))
			continue;
		free(m->root);
		m->root = strdup("/");
		if (!m->root)
			return err_nomem(err);
	}
	return 0;
}

/* ---- file systems that must be empty ---- */

static int check_empty(struct mount_tree *tree, const struct mount *m, mounts_refuse_fn refuse,
		       void *arg, struct err *err)
{
	cleanup_fd int root = mounts_open_root(tree, m, err);
	cleanup_dir DIR *dir = NULL;
	struct dirent *de;
	int fd;

	if (root < 0)
		return root;
	fd = openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return err_sys(err, -errno, "reading mount '%s'", m->path);
	while ((de = readdir(dir))) {
		cleanup_buf struct buf text = BUF_INIT;

		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		if (buf_printf(&text,
			       "mount '%s' (%s): it has the file '%s', which cannot be saved",
			       m->path, m->fstype, de->d_name) < 0)
			return err_nomem(err);
		refuse(arg, text.data);
	}
	return 0;
}

static int refuse_all(struct mount_tree *tree, mounts_refuse_fn refuse, void *arg, struct err *err)
{
	struct mount *m;

	vec_foreach (m, &tree->mounts) {
		cleanup_buf struct buf text = BUF_INIT;
		int r = mount_refusal(m, tree, &text);

		if (r < 0)
			return err_nomem(err);
		if (r > 0)
			refuse(arg, text.data);
		if (m->how != HOW_NEW || !(m->kind->traits & KIND_EMPTY))
			continue;
		r = check_empty(tree, m, refuse, arg, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mounts_resolve(struct mount_tree *tree, const struct ckpt_options *opts,
		   mounts_refuse_fn refuse, void *arg, struct err *err)
{
	cleanup_with(cleanup_mount_treep) struct mount_tree *host = NULL;
	int r = mounts_collect(&host, getpid(), err);

	if (r < 0)
		return r;
	if (tree->own_cgroupns) {
		r = resolve_cgroup_roots(tree, err);
		if (r < 0)
			return r;
	}
	r = mounts_resolve_tree(tree, host, opts, err);
	if (r == 0)
		r = mounts_ask_plugins(tree, err);
	if (r < 0)
		return r;
	return refuse_all(tree, refuse, arg, err);
}
