// SPDX-License-Identifier: LGPL-2.1-or-later
/* Mounts that a plugin saves and makes again: binds of something that the tree does not show. */
#include "mounts/mounts-priv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/plugin/plugin.h"

void mounts_use_plugins(struct mount_tree *tree, struct plugins *plugins)
{
	tree->plugins = plugins;
}

int mounts_plan_use_plugins(struct mount_plan *plan, struct plugins *plugins, struct err *err)
{
	struct mount *m;

	plan->tree->plugins = plugins;
	vec_foreach (m, &plan->tree->mounts)
		if (m->how == HOW_PLUGIN && plugins_wanted(plugins, err) < 0)
			return err_wrap(err, err->code, "mount '%s'", m->path);
	return 0;
}

/* As in CRIU, a plugin sees the place with a dot in front. */
static int ask(const struct mount_tree *tree, struct mount *m, struct err *err)
{
	cleanup_free char *place = NULL;
	int r;

	if (asprintf(&place, ".%s", m->path) < 0) {
		place = NULL;
		return err_nomem(err);
	}
	r = plugins_dump_ext_mount(tree->plugins, place, m->id);
	if (r >= 0)
		m->how = HOW_PLUGIN;
	return plugin_optional(err, r, "DUMP_EXT_MOUNT");
}

int mounts_ask_plugins(struct mount_tree *tree, struct err *err)
{
	struct mount *m;
	int r = 0;

	vec_foreach (m, &tree->mounts)
		if (r == 0 && m->parent && m->how == HOW_REFUSED && strcmp(m->root, "/"))
			r = ask(tree, m, err);
	return r;
}

/* What the path leads to now must be a mount of its own, and not what it lies in. */
static int open_made(struct mount *m, const char *path, struct err *err)
{
	cleanup_fd int fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLOEXEC);
	struct statx st;

	if (fd < 0)
		return err_sys(err, -errno, "mount '%s': the plugin has left nothing in '%s'",
			       m->path, path);
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &st) < 0)
		return err_sys(err, -errno, "mount '%s': looking at what the plugin has mounted",
			       m->path);
	if (!(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return err_new(err, ERR_ENVIRONMENT, -ENXIO,
			       "mount '%s': the plugin has mounted nothing", m->path);
	m->fd = take_fd(&fd);
	return 0;
}

int mount_make_by_plugin(const struct mount_tree *tree, struct mount *m, const char *path,
			 struct err *err)
{
	int r = plugins_restore_ext_mount(tree->plugins, m->id, path, "/");

	if (r == -ENOTSUP) {
		err_new(err, ERR_ENVIRONMENT, r, "mount '%s': no plugin knows it", m->path);
		err_hint(err, "name the folder of the plugin that saved it with --libdir");
		return r;
	}
	if (r < 0)
		return err_wrap(err, plugin_failed(err, r, "RESTORE_EXT_MOUNT"), "mount '%s'",
				m->path);
	r = open_made(m, path, err);
	if (r < 0)
		return r;
	/* like all others it is private until the end */
	r = mount_set_propagation(m->fd, MS_PRIVATE);
	return r < 0 ? err_sys(err, r, "mount '%s': making it private", m->path) : 0;
}
