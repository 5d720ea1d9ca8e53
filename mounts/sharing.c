// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rebuild: peer groups, after the tree is complete. A group is a set of mounts with the same
 * (shared, master) pair. Its first member gets its place below the master and its group; the others
 * copy from it with MOVE_MOUNT_SET_GROUP (5.15), which wants a source whose root is above the
 * target's.
 */
#include "mounts/mounts-priv.h"

#include <string.h>

static int copy_group(const struct mount *from, const struct mount *to)
{
	return move_mount(from->fd, "", to->fd, "",
			  MOVE_MOUNT_SET_GROUP | MOVE_MOUNT_F_EMPTY_PATH |
				  MOVE_MOUNT_T_EMPTY_PATH) < 0
		       ? -errno
		       : 0;
}

static int fail(const struct mount *m, int r, struct err *err)
{
	return err_sys(err, r, "mount '%s': restoring its peer group (shared %d, master %d)",
		       m->path, m->shared, m->master);
}

static bool same_group(const struct mount *a, const struct mount *b)
{
	return a->shared == b->shared && a->master == b->master;
}

/* The member with the shortest root: the only one that every other can copy from. */
static struct mount *leader(const struct mount_tree *tree, const struct mount *m)
{
	struct mount *it, *best = NULL;

	vec_foreach (it, &tree->mounts)
		if (same_group(it, m) && (!best || strlen(it->root) < strlen(best->root)))
			best = it;
	return best;
}

/* A mount that came from the host as a slave of the group that m is a slave of. */
static struct mount *slave_from_host(const struct mount_tree *tree, const struct mount *m)
{
	struct mount *it;

	vec_foreach (it, &tree->mounts)
		if ((it->how == HOW_ROOT || it->how == HOW_EXTERNAL) && it->master == m->master &&
		    it->sdev == m->sdev && path_below(m->root, it->root))
			return it;
	return NULL;
}

/*
 * Slaves of groups of the host. This comes before any mount is shared: a copy of a mount that is
 * shared as well would join that group. If the host's mount has no group any more, copying says
 * EINVAL, and the mount is what its host is now: nobody's slave.
 */
static int share_outer(const struct mount_tree *tree, struct err *err)
{
	struct mount *m;

	vec_foreach (m, &tree->mounts) {
		struct mount *from;
		int r;

		if (!mount_master_is_outside(tree, m) || leader(tree, m) != m ||
		    m->how == HOW_ROOT || m->how == HOW_EXTERNAL)
			continue;
		from = slave_from_host(tree, m);
		r = from ? copy_group(from, m) : 0;
		if (r < 0 && r != -EINVAL)
			return fail(m, r, err);
	}
	return 0;
}

/* A finished mount of the group that m is a slave of. */
static struct mount *master_of(const struct mount_tree *tree, const struct mount *m,
			       const bool *done)
{
	struct mount *it;

	vec_foreach (it, &tree->mounts)
		if (it->shared == m->master && done[it - tree->mounts.v] &&
		    path_below(m->root, it->root))
			return it;
	return NULL;
}

static int share_group(struct mount_tree *tree, struct mount *first, const struct mount *master,
		       bool *done, struct err *err)
{
	struct mount *m;
	int r = 0;

	if (master)
		r = copy_group(master, first);
	if (r == 0 && master)
		r = mount_set_propagation(first->fd, MS_SLAVE);
	if (r == 0 && first->shared)
		r = mount_set_propagation(first->fd, MS_SHARED);
	if (r < 0)
		return fail(first, r, err);
	vec_foreach (m, &tree->mounts) {
		if (!same_group(m, first))
			continue;
		done[m - tree->mounts.v] = true;
		if (m == first)
			continue;
		/* It may have come from the host as a slave already; only a private mount can copy.
		 */
		r = mount_set_propagation(m->fd, MS_PRIVATE);
		if (r == 0)
			r = copy_group(first, m);
		if (r < 0 && !(r == -EINVAL && !first->shared))
			return fail(m, r, err);
	}
	return 0;
}

/* Groups below a group come after it; what is left when nothing moves on has a cycle of masters. */
static int share_inner(struct mount_tree *tree, bool *done, struct err *err)
{
	struct mount *m, *stuck;
	bool moved;

	do {
		moved = false;
		stuck = NULL;
		vec_foreach (m, &tree->mounts) {
			const struct mount *master = NULL;
			int r;

			if (done[m - tree->mounts.v] || (!m->shared && !m->master))
				continue;
			if (leader(tree, m) != m)
				continue;
			if (m->master && !mount_master_is_outside(tree, m)) {
				master = master_of(tree, m, done);
				if (!master) {
					stuck = m;
					continue;
				}
			}
			r = share_group(tree, m, master, done, err);
			if (r < 0)
				return r;
			moved = true;
		}
	} while (moved);
	return stuck ? fail(stuck, -ELOOP, err) : 0;
}

int mounts_share(struct mount_tree *tree, struct err *err)
{
	cleanup_free bool *done = calloc(tree->mounts.n, sizeof(*done));
	struct mount *m;
	int r;

	if (!done)
		return err_nomem(err);
	r = share_outer(tree, err);
	if (r == 0)
		r = share_inner(tree, done, err);
	if (r < 0)
		return r;
	vec_foreach (m, &tree->mounts) {
		if (!(m->flags & MS_UNBINDABLE))
			continue;
		r = mount_set_propagation(m->fd, MS_UNBINDABLE);
		if (r < 0)
			return fail(m, r, err);
	}
	return 0;
}
