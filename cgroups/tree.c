/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which directories of a hierarchy belong to the tree, and what they look like. A group in which
 * other processes live too is shared: of its children only those that lead to our tasks are taken.
 * A group with nobody else in it and below it is the container's own and is taken whole, with its
 * empty ones.
 */
#include "cgroups/tree.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

/* The tree is walked by recursion; deeper than this is nobody's container. */
#define DEPTH_MAX 64

static int story(const struct cg_tree *t, int r, const char *path, const char *what,
		 struct err *err)
{
	char hier[160];

	return err_sys(err, r, "dumping group '%s' of the %s: %s", path,
		       cg_hier_text(t->hier->name, hier), what);
}

/* 1, 0 or -errno, as all of these. */
static int only_our_pids(struct cg_tree *t, int fd)
{
	struct cgroup_pids pids = { 0 };
	int r = cg_dir_pids(fd, &pids);

	for (size_t i = 0; r == 0 && i < pids.pids.n; i++)
		if (!cgroup_pids_has(t->ours, pids.pids.v[i]))
			r = 1;
	vec_free(&pids.pids);
	return r < 0 ? r : !r;
}

/*
 * Whether only our tasks live in a directory and below it. Gives up, with "no", at the first
 * foreign process and when the budget is spent.
 */
static int is_ours(struct cg_tree *t, int fd, int depth)
{
	cleanup_arena struct arena a = { 0 };
	struct cg_names names = { 0 };
	int r = only_our_pids(t, fd);

	if (r <= 0 || !depth || !t->budget)
		return r < 0 ? r : 0;
	t->budget--;
	r = cg_dir_children(fd, &a, &names);
	if (r == 0)
		r = 1;
	for (size_t i = 0; r == 1 && i < names.list.n; i++) {
		cleanup_fd int child = cg_open(fd, names.list.v[i]);

		if (child != -ENOENT)
			r = child < 0 ? child : is_ours(t, child, depth - 1);
	}
	vec_free(&names.list);
	return r;
}

static CgroupPerms *perms_of(struct arena *a, const struct stat *st)
{
	CgroupPerms *p = arena_alloc(a, sizeof(*p));

	if (!p)
		return NULL;
	cgroup_perms__init(p);
	p->mode = st->st_mode;
	p->uid = st->st_uid;
	p->gid = st->st_gid;
	return p;
}

struct prop_list {
	VEC(CgroupPropEntry *) list;
};

static int add_prop(struct cg_tree *t, int fd, const char *name, const char *value, size_t len,
		    struct prop_list *ret)
{
	CgroupPropEntry *e = arena_alloc(t->arena, sizeof(*e)), **slot;
	struct stat st;

	if (!e)
		return -ENOMEM;
	cgroup_prop_entry__init(e);
	e->name = arena_strdup(t->arena, name);
	e->value = arena_dup(t->arena, value, len + 1);
	if (!e->name || !e->value)
		return -ENOMEM;
	e->value[len] = '\0';
	if (fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	e->perms = perms_of(t->arena, &st);
	slot = e->perms ? vec_add(&ret->list) : NULL;
	if (!slot)
		return -ENOMEM;
	*slot = e;
	return 0;
}

/* One entry a line: CRIU writes a value with a single write(2), and the kernel takes one line in
 * it. */
static int add_lines(struct cg_tree *t, int fd, const struct cg_prop *p, const char *value,
		     struct prop_list *ret)
{
	while (*value) {
		size_t len = strcspn(value, "\n");
		bool same = p->def && strlen(p->def) == len && !memcmp(p->def, value, len);
		int r = len && !same ? add_prop(t, fd, p->name, value, len, ret) : 0;

		if (r < 0)
			return r;
		value += len + (value[len] == '\n');
	}
	return 0;
}

/* A delegated v2 group's files have another owner; a root-owned one needs no entry. */
static int add_perms(struct cg_tree *t, int fd, const struct cg_prop *p, struct prop_list *ret)
{
	struct stat st;

	if (fstatat(fd, p->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	if ((p->flags & CG_PROP_OPTIONAL) && !st.st_uid && !st.st_gid &&
	    (st.st_mode & 07777) == 0644)
		return 0;
	return add_prop(t, fd, p->name, "", 0, ret);
}

/* Whether the directory is the one that the caller freezes. */
static bool is_freezer_dir(const struct cg_tree *t, int fd)
{
	struct stat a, b;
	bool unified;

	return t->freezer && !fstat(fd, &a) && !fstat(freezer_dirfd(t->freezer, &unified), &b) &&
	       unified == t->hier->unified && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

/*
 * v1: the freezer's directory gets the state from before the dump; a group below shows the state of
 * those above as its own, so no other gets an entry. cgroup2: always thawed, as CRIU 4.2 has it,
 * which sets properties while it restores and would freeze its own half-built tasks.
 */
static int add_freeze(struct cg_tree *t, int fd, const struct cg_prop *p, struct prop_list *ret)
{
	if (!t->hier->unified && !is_freezer_dir(t, fd))
		return 0;
	if (!t->hier->unified)
		return add_prop(t, fd, p->name,
				freezer_was_frozen(t->freezer) ? "FROZEN" : "THAWED", 6, ret);
	return faccessat(fd, p->name, F_OK, 0) ? 0 : add_prop(t, fd, p->name, "0", 1, ret);
}

static int add_value(struct cg_tree *t, int fd, const struct cg_prop *p, struct prop_list *ret)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *value;
	int r;

	r = cg_prop_read(fd, p, p->name, &text);
	/* Not in this kernel, not in this group, or without a meaning in a group of this type. */
	if (r == -ENOENT || r == -EOPNOTSUPP)
		return 0;
	if (r < 0)
		return r;
	value = text.data ? text.data : "";
	if (p->flags & CG_PROP_LINES)
		return add_lines(t, fd, p, value, ret);
	if ((p->flags & CG_PROP_OPTIONAL) && !strcmp(value, p->def))
		return 0;
	/* A group with cpu.idle shows a weight of 0, which cannot be written. */
	if (!strcmp(p->name, "cpu.weight") && !strcmp(value, "0"))
		return 0;
	if (!strcmp(p->name, "cgroup.type") && !strcmp(value, "threaded"))
		t->threaded = true;
	return add_prop(t, fd, p->name, value, text.len, ret);
}

static int capture_props(struct cg_tree *t, int fd, CgroupDirEntry *e, const char *path,
			 struct err *err)
{
	size_t n, name_len;
	const struct cg_prop *p = cg_props(t->hier->unified, &n);
	struct prop_list list = { 0 };
	int r = 0;

	for (size_t i = 0; r >= 0 && i < n; i++, p++) {
		name_len = strlen(p->controller);
		if (!t->hier->unified && name_len &&
		    !cg_list_has(t->hier->name, p->controller, name_len))
			continue;
		if (p->stage == CG_PROP_PERMS)
			r = add_perms(t, fd, p, &list);
		else if (p->stage == CG_PROP_FREEZE)
			r = add_freeze(t, fd, p, &list);
		else
			r = add_value(t, fd, p, &list);
		if (r < 0)
			story(t, r, path, p->name, err);
	}
	if (r >= 0 && list.list.n) {
		e->n_properties = list.list.n;
		e->properties =
			arena_dup(t->arena, list.list.v, list.list.n * sizeof(*list.list.v));
		if (!e->properties)
			r = err_nomem(err);
	}
	vec_free(&list.list);
	return r;
}

static bool leads_to_occupied(const struct cg_tree *t, const char *path)
{
	for (size_t i = 0; i < t->occupied.n; i++)
		if (cg_path_is_below(t->occupied.v[i], path))
			return true;
	return false;
}

static int capture_dir(struct cg_tree *t, int fd, const char *path, bool whole, int depth,
		       CgroupDirEntry **ret, struct err *err);

static int capture_children(struct cg_tree *t, int fd, const char *path, bool whole, int depth,
			    CgroupDirEntry *e, struct err *err)
{
	struct cg_names names = { 0 };
	int r = cg_dir_children(fd, t->arena, &names);

	if (r < 0)
		story(t, r, path, "listing", err);
	else if (names.list.n)
		e->children = arena_alloc(t->arena, names.list.n * sizeof(*e->children));
	if (r >= 0 && names.list.n && !e->children)
		r = err_nomem(err);
	for (size_t i = 0; r >= 0 && i < names.list.n; i++) {
		const char *sub = cg_path_join(t->arena, path, names.list.v[i]);
		cleanup_fd int child = -EBADF;

		if (!sub) {
			r = err_nomem(err);
			break;
		}
		if (!whole && !leads_to_occupied(t, sub))
			continue;
		child = cg_open(fd, names.list.v[i]);
		if (child == -ENOENT)
			continue;
		r = child < 0 ? story(t, child, sub, "opening", err)
			      : capture_dir(t, child, sub, whole, depth - 1,
					    &e->children[e->n_children], err);
		if (r < 0)
			break;
		e->children[e->n_children++]->dir_name = names.list.v[i];
	}
	vec_free(&names.list);
	return r;
}

static int capture_dir(struct cg_tree *t, int fd, const char *path, bool whole, int depth,
		       CgroupDirEntry **ret, struct err *err)
{
	CgroupDirEntry *e = arena_alloc(t->arena, sizeof(*e));
	bool root = cg_dir_is_machine_root(fd);
	struct stat st;
	int r;

	if (!e)
		return err_nomem(err);
	cgroup_dir_entry__init(e);
	if (!depth)
		return story(t, -ELOOP, path, "too deep", err);
	if (!whole && !root) {
		r = is_ours(t, fd, DEPTH_MAX);
		if (r < 0)
			return story(t, r, path, "listing processes", err);
		whole = r;
	}
	/* The real root belongs to the machine: its limits and owner are none of the container's.
	 */
	if (!root) {
		if (fstat(fd, &st) < 0)
			return story(t, -errno, path, "stat", err);
		e->dir_perms = perms_of(t->arena, &st);
		if (!e->dir_perms)
			return err_nomem(err);
		r = capture_props(t, fd, e, path, err);
		if (r < 0)
			return r;
	}
	r = capture_children(t, fd, path, whole, depth, e, err);
	if (r < 0)
		return r;
	*ret = e;
	return 0;
}

int cg_tree_capture(struct cg_tree *t, const char *path, CgroupDirEntry **ret, struct err *err)
{
	cleanup_fd int fd = cg_open(t->root_fd, path);
	CgroupDirEntry *e;
	int r;

	if (fd < 0)
		return story(t, fd, path, "opening", err);
	t->budget = 4096;
	r = capture_dir(t, fd, path, false, DEPTH_MAX, &e, err);
	if (r < 0)
		return r;
	e->dir_name = arena_strdup(t->arena, path + 1);
	if (!e->dir_name)
		return err_nomem(err);
	*ret = e;
	return 0;
}
