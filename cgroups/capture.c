/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Dump: who is where (sets), and the groups themselves. Set 1 is where this process is; it is never
 * described in the image, since its tasks inherit their place from the restoring engine.
 */
#include "cgroups/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroups/cgroups-priv.h"
#include "cgroups/tree.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/log.h"
#include "engine/engine.h"
#include "engine/image/image.h"

#define OWN_SET 1

/* Paths by index of the layout's hierarchies; NULL where the task had no line. */
struct cset {
	uint32_t id;
	const char **path;
};

struct capture {
	const struct cgroups_dump_args *args;
	struct cg_layout layout;
	struct arena arena;
	VEC(struct cset) sets;
	VEC(size_t) order;    /* hierarchies by name */
	const char **ns_root; /* by hierarchy: root of the tree's cgroup namespace, or NULL */
	const struct cset *root_set;
	struct cgroup_pids ours;
};

static void capture_done(struct capture *c)
{
	vec_free(&c->sets);
	vec_free(&c->order);
	vec_free(&c->ours.pids);
	arena_done(&c->arena);
	cg_layout_done(&c->layout);
}

static size_t hier_index(const struct capture *c, const char *name)
{
	for (size_t i = 0; i < c->layout.hiers.n; i++)
		if (!strcmp(c->layout.hiers.v[i].name, name))
			return i;
	return SIZE_MAX;
}

static bool same_set(const struct capture *c, const struct cset *s, const char *const *path)
{
	for (size_t i = 0; i < c->layout.hiers.n; i++) {
		if (!s->path[i] != !path[i])
			return false;
		if (path[i] && strcmp(s->path[i], path[i]))
			return false;
	}
	return true;
}

/* Finds or adds the set with those paths; takes over path, which is in the arena. */
static int set_of(struct capture *c, const char **path, uint32_t *ret)
{
	struct cset *s;

	vec_foreach (s, &c->sets) {
		if (same_set(c, s, path)) {
			*ret = s->id;
			return 0;
		}
	}
	s = vec_add(&c->sets);
	if (!s)
		return -ENOMEM;
	s->id = (uint32_t)c->sets.n;
	s->path = path;
	*ret = s->id;
	return 0;
}

static int read_members(const struct cgroup_task *t, struct cg_members *ret, struct err *err)
{
	cleanup_buf struct buf text = BUF_INIT;
	char path[64];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/cgroup", t->pid, t->tid);
	r = io_read_file(AT_FDCWD, path, &text);
	if (r >= 0)
		r = cg_members_parse(text.data, text.len, ret);
	return r < 0 ? err_sys(err, r, "reading %s", path) : 0;
}

/* Refuses what could not be rebuilt: outside of this process's view, or removed. */
static int check_member(const struct cgroup_task *t, const struct cg_member *m, struct err *err)
{
	char hier[160];

	if (m->deleted)
		return err_refuse(err, "task %d: its group '%s' of the %s was removed", t->tid,
				  m->path, cg_hier_text(m->name, hier));
	if (cg_path_is_clean(m->path))
		return 0;
	err_refuse(err,
		   "task %d: its group '%s' of the %s is outside of the engine's cgroup namespace",
		   t->tid, m->path, cg_hier_text(m->name, hier));
	err_hint(err, "run the engine in the cgroup namespace of the host, or move the task below "
		      "its root");
	return err->code;
}

static int collect_task(struct capture *c, struct cgroup_task *t, struct err *err)
{
	cleanup_members struct cg_members m = { 0 };
	const char **path = arena_alloc(&c->arena, c->layout.hiers.n * sizeof(*path));
	struct cg_member *one;
	int r = read_members(t, &m, err);

	if (r < 0)
		return r;
	if (!path)
		return err_nomem(err);
	vec_foreach (one, &m.list) {
		size_t i = hier_index(c, one->name);

		/* A hierarchy that came up a moment ago: everybody is in its root. */
		if (i == SIZE_MAX)
			continue;
		r = check_member(t, one, err);
		if (r < 0)
			return r;
		path[i] = arena_strdup(&c->arena, one->path);
		if (!path[i])
			return err_nomem(err);
	}
	return set_of(c, path, &t->set_id) < 0 ? err_nomem(err) : 0;
}

/* The engine's own set comes first, so it has the id OWN_SET. */
static int collect_own(struct capture *c)
{
	const char **path = arena_alloc(&c->arena, c->layout.hiers.n * sizeof(*path));
	uint32_t id;

	if (!path)
		return -ENOMEM;
	for (size_t i = 0; i < c->layout.hiers.n; i++)
		path[i] = c->layout.hiers.v[i].own_path;
	return set_of(c, path, &id);
}

static int add_pid(struct capture *c, pid_t pid)
{
	pid_t *slot = vec_add(&c->ours.pids);

	if (!slot)
		return -ENOMEM;
	*slot = pid;
	return 0;
}

static int compare_pids(const void *x, const void *y)
{
	pid_t a = *(const pid_t *)x, b = *(const pid_t *)y;

	return (a > b) - (a < b);
}

static int collect(struct capture *c, struct err *err)
{
	uint32_t root_id = 0;
	int r = collect_own(c);

	if (r < 0)
		return err_nomem(err);
	for (size_t i = 0; i < c->args->n_tasks; i++) {
		struct cgroup_task *t = &c->args->tasks[i];

		r = collect_task(c, t, err);
		if (r < 0)
			return r;
		/* its first one: the leader, if that lives */
		if (t->pid == c->args->root && !root_id)
			root_id = t->set_id;
		if (add_pid(c, t->pid) < 0 || add_pid(c, t->tid) < 0)
			return err_nomem(err);
	}
	if (c->ours.pids.n)
		qsort(c->ours.pids.v, c->ours.pids.n, sizeof(pid_t), compare_pids);
	if (!root_id)
		return err_new(err, ERR_INTERNAL, -EINVAL, "root task %d is not in the list",
			       c->args->root);
	c->root_set = &c->sets.v[root_id - 1];
	return 0;
}

/*
 * The root of the namespace in a hierarchy: what is left of the path as we see it once the path as
 * the task sees it is cut off its end.
 */
static int find_ns_roots(struct capture *c, struct err *err)
{
	cleanup_members struct cg_members m = { 0 };
	struct cg_member *one;
	int r;

	c->ns_root = arena_alloc(&c->arena, c->layout.hiers.n * sizeof(*c->ns_root));
	if (!c->ns_root)
		return err_nomem(err);
	r = cg_members_inside(c->args->root, &m, err);
	if (r != 0)
		return r < 0 ? r : 0;
	vec_foreach (one, &m.list) {
		size_t i = hier_index(c, one->name), inner = strlen(one->path), outer;
		const char *path = i == SIZE_MAX ? NULL : c->root_set->path[i];
		char hier[160], *root;

		if (!path)
			continue;
		outer = strlen(path);
		if (inner == 1)
			inner = 0;
		if (inner > outer || strcmp(path + outer - inner, inner ? one->path : "")) {
			err_refuse(err,
				   "root task %d: its group '%s' of the %s is outside of its own "
				   "cgroup namespace",
				   c->args->root, path, cg_hier_text(one->name, hier));
			err_hint(err, "move the task back below the namespace's root");
			return err->code;
		}
		root = arena_strdup(&c->arena, path);
		if (!root)
			return err_nomem(err);
		root[outer - inner] = '\0';
		if (root[0] && root[1])
			c->ns_root[i] = root;
	}
	return 0;
}

/* ---- messages ---- */

static int compare_hiers(const void *x, const void *y, void *arg)
{
	const struct capture *c = arg;

	return strcmp(c->layout.hiers.v[*(const size_t *)x].name,
		      c->layout.hiers.v[*(const size_t *)y].name);
}

static int sort_hiers(struct capture *c)
{
	for (size_t i = 0; i < c->layout.hiers.n; i++) {
		size_t *slot = vec_add(&c->order);

		if (!slot)
			return -ENOMEM;
		*slot = i;
	}
	if (c->order.n)
		qsort_r(c->order.v, c->order.n, sizeof(size_t), compare_hiers, c);
	return 0;
}

static int set_message(struct capture *c, const struct cset *s, CgSetEntry **ret)
{
	CgSetEntry *e = arena_alloc(&c->arena, sizeof(*e));

	if (!e)
		return -ENOMEM;
	cg_set_entry__init(e);
	e->id = s->id;
	e->ctls = arena_alloc(&c->arena, c->order.n * sizeof(*e->ctls));
	if (!e->ctls)
		return -ENOMEM;
	for (size_t k = 0; k < c->order.n; k++) {
		size_t i = c->order.v[k];
		CgMemberEntry *m;

		if (!s->path[i])
			continue;
		m = arena_alloc(&c->arena, sizeof(*m));
		if (!m)
			return -ENOMEM;
		cg_member_entry__init(m);
		m->name = c->layout.hiers.v[i].name;
		m->path = (char *)s->path[i];
		if (c->ns_root[i] && cg_path_is_below(m->path, c->ns_root[i])) {
			m->has_cgns_prefix = true;
			m->cgns_prefix = (uint32_t)strlen(c->ns_root[i]);
		}
		e->ctls[e->n_ctls++] = m;
	}
	*ret = e;
	return 0;
}

/* The directory that stands for the whole container in a hierarchy. */
static int container_root(struct capture *c, size_t i, const char **ret, struct err *err)
{
	const struct cg_hier *h = &c->layout.hiers.v[i];
	const char *path = c->root_set->path[i];
	const char *asked = cg_root_for(&c->args->opts->cgroup_roots, &c->layout, h->name);

	*ret = path;
	if (c->ns_root[i])
		*ret = c->ns_root[i];
	if (!asked || !path)
		return 0;
	asked = cg_path_normalize(&c->arena, asked);
	if (!asked)
		return errno == ENOMEM
			       ? err_nomem(err)
			       : err_usage(err, "--cgroup-root: bad path for '%s'", h->name);
	if (cg_path_is_below(path, asked))
		*ret = asked;
	return 0;
}

/* Tops: the container's root, and every occupied group that is not below another top. */
static int add_top(struct arena *a, struct cg_names *tops, const char *path)
{
	char **slot;

	for (size_t i = 0; i < tops->list.n; i++) {
		if (cg_path_is_below(path, tops->list.v[i]))
			return 0;
		if (cg_path_is_below(tops->list.v[i], path)) {
			tops->list.v[i--] = tops->list.v[--tops->list.n];
			continue;
		}
	}
	slot = vec_add(&tops->list);
	if (!slot)
		return -ENOMEM;
	*slot = arena_strdup(a, path);
	return *slot ? 0 : -ENOMEM;
}

static int find_tops(struct capture *c, size_t i, struct cg_tree *t, struct cg_names *tops,
		     struct err *err)
{
	const char *root;
	struct cset *s;
	int r = container_root(c, i, &root, err);

	if (r < 0)
		return r;
	if (c->root_set->id != OWN_SET && root && add_top(&c->arena, tops, root) < 0)
		return err_nomem(err);
	vec_foreach (s, &c->sets) {
		const char **slot;

		if (s->id == OWN_SET || !s->path[i])
			continue;
		slot = vec_add(&t->occupied);
		if (!slot || add_top(&c->arena, tops, s->path[i]) < 0)
			return err_nomem(err);
		*slot = s->path[i];
	}
	return 0;
}

static int controller_names(struct capture *c, const char *name, CgControllerEntry *e)
{
	const char *w;
	size_t len, n = 1;

	for (const char *p = name; *p; p++)
		n += *p == ',';
	e->cnames = arena_alloc(&c->arena, n * sizeof(*e->cnames));
	while (e->cnames && (w = cg_list_next(&name, &len))) {
		char *word = arena_printf(&c->arena, "%.*s", (int)len, w);

		if (!word)
			return -ENOMEM;
		e->cnames[e->n_cnames++] = word;
	}
	return e->cnames ? 0 : -ENOMEM;
}

static int capture_tops(struct capture *c, size_t i, struct cg_tree *t, struct cg_names *tops,
			CgControllerEntry *e, struct err *err)
{
	int r = find_tops(c, i, t, tops, err);

	if (r < 0)
		return r;
	t->root_fd = cg_hier_root(&c->layout, &c->layout.hiers.v[i], err);
	if (t->root_fd < 0)
		return t->root_fd;
	e->dirs = arena_alloc(&c->arena, (tops->list.n + 1) * sizeof(*e->dirs));
	if (!e->dirs)
		return err_nomem(err);
	for (size_t k = 0; k < tops->list.n; k++) {
		r = cg_tree_capture(t, tops->list.v[k], &e->dirs[k], err);
		if (r < 0)
			return r;
		e->n_dirs++;
	}
	return 0;
}

static int controller_message(struct capture *c, size_t i, CgControllerEntry **ret, struct err *err)
{
	struct cg_hier *h = &c->layout.hiers.v[i];
	CgControllerEntry *e = arena_alloc(&c->arena, sizeof(*e));
	struct cg_tree t = {
		.arena = &c->arena,
		.hier = h,
		.ours = &c->ours,
		.freezer = c->args->freezer,
		.threaded = !h->unified,
	};
	struct cg_names tops = { 0 };
	int r = 0;

	if (!e)
		return err_nomem(err);
	cg_controller_entry__init(e);
	if (controller_names(c, h->name, e) < 0)
		return err_nomem(err);
	if (c->args->opts->cgroup_mode != CKPT_CG_IGNORE)
		r = capture_tops(c, i, &t, &tops, e, err);
	vec_free(&t.occupied);
	vec_free(&tops.list);
	if (r < 0)
		return r;
	e->has_is_threaded = true;
	e->is_threaded = t.threaded;
	*ret = e;
	return 0;
}

static int write_image(struct capture *c, struct image_set *images, struct err *err)
{
	CgroupEntry entry = CGROUP_ENTRY__INIT;
	size_t n = c->layout.hiers.n;
	struct image *img;

	entry.sets = arena_alloc(&c->arena, c->sets.n * sizeof(*entry.sets));
	entry.controllers = arena_alloc(&c->arena, n * sizeof(*entry.controllers));
	if (!entry.sets || !entry.controllers)
		return err_nomem(err);
	for (size_t k = 0; k < c->sets.n; k++) {
		if (c->sets.v[k].id == OWN_SET)
			continue;
		if (set_message(c, &c->sets.v[k], &entry.sets[entry.n_sets]) < 0)
			return err_nomem(err);
		entry.n_sets++;
	}
	for (size_t k = 0; k < n; k++) {
		int r = controller_message(c, c->order.v[k], &entry.controllers[k], err);

		if (r < 0)
			return r;
		entry.n_controllers++;
	}
	img = image_get(images, IMG_CGROUP, "cgroup.img");
	if (!img || image_add(img, &entry.base) < 0)
		return err_nomem(err);
	return 0;
}

int cgroups_dump(struct image_set *images, const struct cgroups_dump_args *args,
		 uint32_t *ret_root_set, struct err *err)
{
	cleanup_with(capture_done) struct capture c = { .args = args };
	int r = cg_layout_init(&c.layout, err);

	if (r < 0)
		return r;
	c.layout.yard = args->opts->cgroup_yard;
	c.layout.work_fd = args->work_fd;
	*ret_root_set = OWN_SET;
	r = collect(&c, err);
	if (r < 0)
		return err_wrap(err, r, "dumping control groups");
	if (c.sets.n == 1) {
		if (args->log)
			log_info(args->log, "cgroups: every task is where the engine is");
		return 0;
	}
	r = find_ns_roots(&c, err);
	if (r >= 0 && sort_hiers(&c) < 0)
		r = err_nomem(err);
	if (r >= 0)
		r = write_image(&c, images, err);
	return r < 0 ? err_wrap(err, r, "dumping control groups") : 0;
}
