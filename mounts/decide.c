// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * How each mount will be made again, from what the tree itself tells. Pure: the same code decides
 * on dump (what to refuse) and on restore (what to do with the images of anybody).
 */
#include "mounts/mounts-priv.h"

#include <ctype.h>
#include <string.h>

static bool is_fsroot(const struct mount *m)
{
	return !strcmp(m->root, "/");
}

static bool can_be_new(const struct mount *m)
{
	return is_fsroot(m) && !m->deleted && !(m->kind->traits & (KIND_UNKNOWN | KIND_REFUSE));
}

static bool comes_from_outside(const struct mount *m)
{
	return m->how == HOW_ROOT || m->how == HOW_EXTERNAL || m->how == HOW_PLUGIN;
}

/*
 * The mount that m can be bound from: a mount of the whole file system that the restore makes
 * itself, else a mount from outside (root, external) that has m's root in it.
 */
static struct mount *find_source(struct mount_tree *tree, const struct mount *m)
{
	struct mount *it, *outside = NULL, *whole = NULL;

	vec_foreach (it, &tree->mounts) {
		if (it == m || it->sdev != m->sdev)
			continue;
		if (comes_from_outside(it) && path_below(m->root, it->root) && !outside)
			outside = it;
		if (it->how == HOW_NEW && is_fsroot(it) && !whole)
			whole = it;
	}
	return whole ? whole : outside;
}

/* One mount of each superblock is made; the others of the same superblock are bound from it. */
static void decide_new(struct mount_tree *tree)
{
	struct mount *m;

	vec_foreach (m, &tree->mounts) {
		struct mount *source;

		if (m->how != HOW_UNDECIDED || m->unknown || !can_be_new(m))
			continue;
		source = find_source(tree, m);
		/* Single superblocks may have been mounted twice, and keep two source names then.
		 */
		if (!source || (source->how == HOW_NEW && m->kind->traits & KIND_SINGLE &&
				strcmp(source->source, m->source)))
			m->how = HOW_NEW;
	}
}

void mounts_decide(struct mount_tree *tree)
{
	struct mount *m;

	decide_new(tree);
	vec_foreach (m, &tree->mounts) {
		if (m->how != HOW_UNDECIDED)
			continue;
		m->from = m->unknown || m->deleted ? NULL : find_source(tree, m);
		m->how = m->from ? HOW_BIND : HOW_REFUSED;
	}
}

bool mount_master_is_outside(const struct mount_tree *tree, const struct mount *m)
{
	const struct mount *it;

	if (!m->master)
		return false;
	vec_foreach (it, &tree->mounts)
		if (it->shared == m->master && it->how != HOW_SKIP)
			return false;
	return true;
}

/*
 * A slave of a group of the host can be made again only from the host's side of that group, so from
 * the root or an external mount that is a slave of it as well.
 */
static bool master_is_lost(const struct mount_tree *tree, const struct mount *m)
{
	const struct mount *it;

	if (comes_from_outside(m) || !mount_master_is_outside(tree, m))
		return false;
	vec_foreach (it, &tree->mounts)
		if (comes_from_outside(it) && it->master == m->master && it->sdev == m->sdev &&
		    path_below(m->root, it->root))
			return false;
	return true;
}

static bool has_twin(const struct mount_tree *tree, const struct mount *m)
{
	const struct mount *it;

	vec_foreach (it, &tree->mounts)
		if (it != m && it->how != HOW_SKIP && it->parent == m->parent &&
		    !strcmp(it->path, m->path))
			return true;
	return false;
}

/* A directory of proc that belongs to a process: other processes have it at the time of a rebuild.
 */
static bool is_of_process(const struct mount *m)
{
	return !strcmp(m->kind->name, "proc") && isdigit((unsigned char)m->root[1]);
}

static const char *why_lost(const struct mount *m, const struct mount_tree *tree)
{
	if (m->how == HOW_SKIP)
		return NULL;
	if (m->parent && m->parent->how == HOW_SKIP)
		return "it is mounted inside of a skipped mount";
	if (m->parent && has_twin(tree, m))
		return "another mount has the same parent and mount point";
	if (m->how == HOW_REFUSED || m->unknown)
		return "";
	if (m->how == HOW_BIND && is_of_process(m))
		return "it shows one process's directory of proc";
	if (master_is_lost(tree, m))
		return "it receives mounts from a mount of the host that is not part of the tree";
	return NULL;
}

/* The reason for a mount for which no way was found. */
static int refusal_reason(const struct mount *m, struct buf *b)
{
	if (m->unknown)
		return buf_printf(b, "mount option '%s' cannot be restored", m->unknown);
	if (m->deleted)
		return buf_printf(b, "its source '%s' has been deleted", m->root);
	if (m->kind->traits & KIND_CGROUP)
		return buf_printf(b,
				  "it shows the cgroup '%s', which is not the root of the "
				  "container's cgroup namespace",
				  m->root);
	if (!is_fsroot(m))
		return buf_printf(b, "its source '%s' lies outside of the container's mounts",
				  m->root);
	if (m->kind->why)
		return buf_printf(b, "%s", m->kind->why);
	return buf_printf(b, "this file system type cannot be saved");
}

int mount_refusal(const struct mount *m, const struct mount_tree *tree, struct buf *text)
{
	const char *why = why_lost(m, tree);
	int r;

	if (!why)
		return 0;
	r = buf_printf(text, "mount '%s' (%s): ", m->path, m->fstype);
	if (r < 0)
		return r;
	r = *why ? buf_printf(text, "%s", why) : refusal_reason(m, text);
	if (r < 0)
		return r;
	if (!m->parent)
		return 1;
	r = buf_printf(text, "; declare it with --external mnt[%s]:KEY", m->path);
	if (r == 0 && m->kind->traits & KIND_UNKNOWN && is_fsroot(m) && !m->unknown)
		r = buf_printf(text, ", or --enable-fs %s if mounting it again is enough",
			       m->fstype);
	return r < 0 ? r : 1;
}
