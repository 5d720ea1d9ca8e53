// SPDX-License-Identifier: LGPL-2.1-or-later
/*
 * Rebuild: puts the finished mounts, which lie side by side, into their places. Every mount is
 * private now, so nothing multiplies; and parents need not be in place before their children,
 * because a mount moves with everything on it.
 */
#include "mounts/mounts-priv.h"

#include <string.h>

static int attach_one(const struct mount *m, struct err *err)
{
	const char *rel = path_below(m->path, m->parent->path);
	cleanup_fd int place = path_open_below(m->parent->fd, rel);

	if (place == -ENOENT || place == -ENOTDIR)
		return err_sys(err, place,
			       "mount '%s': there is no such place in mount '%s' to put it on",
			       m->path, m->parent->path);
	if (place < 0)
		return err_sys(err, place, "mount '%s': opening its place", m->path);
	if (move_mount(m->fd, "", place, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return err_sys(err, -errno, "mount '%s': putting it into its place", m->path);
	return 0;
}

struct place {
	struct mount *m;
	unsigned int depth;
	size_t n;
};

static int compare_places(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->depth != y->depth)
		return x->depth > y->depth ? -1 : 1;
	return x->n < y->n ? -1 : 1;
}

int mounts_attach(struct mount_tree *tree, struct err *err)
{
	cleanup_free struct place *places = calloc(tree->mounts.n, sizeof(*places));
	struct mount *m;
	size_t n = 0;
	int r;

	if (!places)
		return err_nomem(err);
	vec_foreach (m, &tree->mounts) {
		if (!m->parent)
			continue;
		places[n] = (struct place){ m, path_depth(m->path), n };
		n++;
	}
	/* Deepest first: a mount may cover the place of a deeper one, and did so when it was made.
	 */
	qsort(places, n, sizeof(*places), compare_places);
	for (size_t i = 0; i < n; i++) {
		r = attach_one(places[i].m, err);
		if (r < 0)
			return r;
	}
	return 0;
}
