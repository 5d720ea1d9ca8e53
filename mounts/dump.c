// SPDX-License-Identifier: LGPL-2.1-or-later
/* Dump: the records of mountpoints-N.img and the archives of the container's own tmpfs. */
#include "mounts/mounts-priv.h"

#include <string.h>

#include "engine/base/io.h"
#include "engine/image/image.h"
#include "proto/mounts.pb-c.h"

static int add_record(struct image *img, const struct mount *m)
{
	MntEntry e = MNT_ENTRY__INIT;

	e.fstype = (uint32_t)m->kind->code;
	e.mnt_id = (uint32_t)m->id;
	e.root_dev = m->sdev;
	e.parent_mnt_id = (uint32_t)m->parent_id;
	e.flags = m->flags;
	e.sb_flags = m->sb_flags;
	e.has_sb_flags = true;
	/* CRIU binds debugfs with what the kernel has mounted on top of it (tracefs). */
	if (m->kind->code == FSTYPE__DEBUGFS)
		e.flags |= MS_REC;
	e.root = m->root;
	e.mountpoint = m->path;
	e.source = m->source;
	e.options = m->options;
	e.shared_id = (uint32_t)m->shared;
	e.has_shared_id = true;
	e.master_id = (uint32_t)m->master;
	e.has_master_id = true;
	if (m->kind->traits & KIND_AUTO)
		e.fsname = m->fstype;
	e.has_internal_sharing = e.internal_sharing = m->internal_sharing;
	/* For a mount from outside CRIU would make the deleted source anew, over the one it is
	 * given. */
	e.has_deleted = e.deleted = m->deleted && !m->ext_key;
	e.ext_key = m->ext_key;
	e.has_with_plugin = e.with_plugin = m->how == HOW_PLUGIN;
	return image_add(img, &e.base);
}

static bool has_content(const struct mount *m)
{
	return m->how == HOW_NEW && m->kind->traits & KIND_CONTENT;
}

static int read_ids(pid_t pid, struct pack_ids *ids, struct err *err)
{
	cleanup_fd int proc = io_open_proc(pid);
	int r = proc;

	if (r >= 0)
		r = idmap_read(proc, "uid_map", &ids->uids);
	if (r >= 0)
		r = idmap_read(proc, "gid_map", &ids->gids);
	return r < 0 ? err_sys(err, r, "reading the id maps of task %d", pid) : 0;
}

static int pack_mounts(struct image_set *set, const struct mount *const *list, const int *fds,
		       size_t n, const struct pack_ids *ids, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct image *img =
			image_get(set, IMG_TMPFS, "tmpfs-dev-%u.tar.gz.img", list[i]->sdev);
		int r = img ? mounts_pack(fds[i], img, ids, err) : err_nomem(err);

		if (r < 0)
			return err_wrap(err, r, "content of mount '%s'", list[i]->path);
	}
	return 0;
}

static int dump_contents(struct mount_tree *tree, struct image_set *set, struct err *err)
{
	cleanup_free const struct mount **list = NULL;
	cleanup_free int *fds = NULL;
	cleanup_with(cleanup_idmapp) struct idmap uids = { 0 }, gids = { 0 };
	struct pack_ids ids = { 0 };
	struct mount *m;
	size_t n = 0;
	int r;

	list = calloc(tree->mounts.n + 1, sizeof(*list));
	fds = calloc(tree->mounts.n + 1, sizeof(*fds));
	if (!list || !fds)
		return err_nomem(err);
	vec_foreach (m, &tree->mounts)
		if (has_content(m))
			list[n++] = m;
	if (!n)
		return 0;
	r = mounts_load_archive(err);
	if (r == 0)
		r = read_ids(tree->pid, &ids, err);
	uids = ids.uids;
	gids = ids.gids;
	if (r < 0)
		return r;
	r = mounts_open_clones(tree, list, n, fds, err);
	if (r < 0)
		return r;
	r = pack_mounts(set, list, fds, n, &ids, err);
	for (size_t i = 0; i < n; i++)
		close(fds[i]);
	return r;
}

int mounts_dump(struct mount_tree *tree, struct image_set *set, unsigned int ns_id, struct err *err)
{
	struct image *img = image_get(set, IMG_MNTS, "mountpoints-%u.img", ns_id);

	if (!img)
		return err_nomem(err);
	/* Last mount first: CRIU puts each record it reads in front of those it has. */
	for (size_t i = tree->mounts.n; i-- > 0;) {
		const struct mount *m = &tree->mounts.v[i];

		if (mount_is_kept(m) && add_record(img, m) < 0)
			return err_nomem(err);
	}
	return dump_contents(tree, set, err);
}
