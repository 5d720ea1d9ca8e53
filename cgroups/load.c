/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * From the image to a plan: which hierarchy of this host takes what, the paths after --cgroup-root,
 * the directories that are wanted, parents first, and the place of each set. Touches nothing.
 */
#include "cgroups/cgroups.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cgroups/plan.h"
#include "engine/base/cleanup.h"
#include "engine/base/log.h"
#include "engine/image/image.h"

struct cgroups_plan *cg_plan_new(void)
{
	return calloc(1, sizeof(struct cgroups_plan));
}

void cgroups_plan_free(struct cgroups_plan *p)
{
	struct cg_opened *o;
	struct cg_pset *s;

	if (!p)
		return;
	vec_foreach (o, &p->opened) {
		close(o->fd);
	}
	vec_foreach (o, &p->frozen) {
		close(o->fd);
	}
	vec_foreach (s, &p->sets) {
		vec_free(&s->places);
	}
	vec_free(&p->opened);
	vec_free(&p->created);
	vec_free(&p->frozen);
	vec_free(&p->sets);
	vec_free(&p->dirs);
	vec_free(&p->lanes);
	cg_layout_done(&p->layout);
	arena_done(&p->arena);
	if (p->image)
		cgroup_entry__free_unpacked(p->image, NULL);
	free(p);
}

/* ---- lanes ---- */

static const CgMemberEntry *member_of(const CgSetEntry *s, const char *cname)
{
	for (size_t i = 0; i < s->n_ctls; i++) {
		const char *name = s->ctls[i]->name;

		if (cname[0] ? cg_list_has(name, cname, strlen(cname)) : !name[0])
			return s->ctls[i];
	}
	return NULL;
}

/* Whether any set has a place in this hierarchy that is not its root. */
static bool is_used(const struct cgroups_plan *p, const char *cname)
{
	for (size_t i = 0; i < p->image->n_sets; i++) {
		const CgMemberEntry *m = member_of(p->image->sets[i], cname);

		if (m && m->path[1])
			return true;
	}
	return false;
}

static int refuse_missing(const char *cname, struct err *err)
{
	if (cname[0])
		err_refuse(
			err,
			"the images have tasks in groups of the cgroup v1 controller '%s', which "
			"is not available as v1 on this machine",
			cname);
	else
		err_refuse(err, "the images have tasks in cgroup2 groups, and this machine has no "
				"cgroup2");
	err_hint(err,
		 "restore with --manage-cgroups=ignore to leave the tasks where the engine is, "
		 "or on a machine with the same cgroup version");
	return err->code;
}

/* Two hierarchies of the image that are one here must agree on every path. */
static int check_merge(const struct cgroups_plan *p, const struct cg_lane *a, const char *b,
		       struct err *err)
{
	for (size_t i = 0; i < p->image->n_sets; i++) {
		const CgMemberEntry *x = member_of(p->image->sets[i], a->ctl->cnames[0]);
		const CgMemberEntry *y = member_of(p->image->sets[i], b);

		if (!x || !y || !strcmp(x->path, y->path))
			continue;
		err_refuse(err,
			   "set %u is in '%s' of '%s' and in '%s' of '%s', which are one hierarchy "
			   "on this machine",
			   p->image->sets[i]->id, x->path, x->name, y->path, y->name);
		err_hint(err,
			 "restore with --manage-cgroups=ignore, or mount the controllers apart");
		return err->code;
	}
	return 0;
}

static int add_lane(struct cgroups_plan *p, const CgControllerEntry *ctl, const char *cname,
		    struct err *err)
{
	struct cg_hier *h = cg_layout_find(&p->layout, cname, strlen(cname));
	struct cg_lane *l;
	size_t hier;
	int r;

	if (!h && !is_used(p, cname))
		return 0;
	if (!h && strncmp(cname, "name=", 5))
		return refuse_missing(cname, err);
	/* A named hierarchy lives as long as somebody mounts it or has groups in it. */
	if (!h) {
		r = cg_layout_make(&p->layout, cname, &h, err);
		if (r < 0)
			return r;
	}
	hier = (size_t)(h - p->layout.hiers.v);
	vec_foreach (l, &p->lanes) {
		if (l->hier != hier)
			continue;
		if (l->ctl == ctl)
			return 0;
		r = check_merge(p, l, cname, err);
		if (r < 0)
			return r;
	}
	l = vec_add(&p->lanes);
	if (!l)
		return err_nomem(err);
	l->ctl = ctl;
	l->name = cname;
	l->hier = hier;
	return 0;
}

/* ---- roots ---- */

/* The directory of the image that the new root stands for. */
static int find_old_root(struct cgroups_plan *p, struct cg_lane *l, struct err *err)
{
	const CgMemberEntry *first = NULL;
	const char *common = NULL, *prefix = NULL;
	uint32_t lowest = UINT32_MAX;

	/* The dump numbers sets as it meets them, and it meets the root task first. */
	for (size_t i = 0; i < p->image->n_sets; i++) {
		const CgMemberEntry *m = member_of(p->image->sets[i], l->name);

		if (m && p->image->sets[i]->id < lowest) {
			lowest = p->image->sets[i]->id;
			first = m;
		}
	}
	if (first && first->has_cgns_prefix && first->cgns_prefix)
		prefix = arena_printf(&p->arena, "%.*s", (int)first->cgns_prefix, first->path);
	common = prefix ? prefix : !l->ctl->n_dirs && first ? first->path : NULL;
	for (size_t i = 0; i < l->ctl->n_dirs; i++) {
		const char *top = arena_printf(&p->arena, "/%s", l->ctl->dirs[i]->dir_name);

		if (!top)
			return err_nomem(err);
		common = common ? cg_path_common(&p->arena, common, top) : top;
		if (!common)
			return err_nomem(err);
		if (!top[1])
			prefix = prefix ? prefix : top;
	}
	l->old = common ? common : "/";
	/* Groups with nothing in common: the root task's own is what the new root replaces. */
	if (!l->old[1])
		l->old = prefix ? prefix : first ? first->path : "/";
	return 0;
}

static int set_roots(struct cgroups_plan *p, const struct ckpt_pairs *roots, struct err *err)
{
	struct cg_lane *l;

	vec_foreach (l, &p->lanes) {
		const char *hier = p->layout.hiers.v[l->hier].name;
		const char *asked = cg_root_for(roots, &p->layout, hier);
		int r;

		if (!asked)
			continue;
		l->new = cg_path_normalize(&p->arena, asked);
		if (!l->new &&errno == ENOMEM)
			return err_nomem(err);
		if (!l->new)
			return err_usage(err, "--cgroup-root: '%s' is not an absolute path", asked);
		r = find_old_root(p, l, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* A path of the image on this host. What is not below the old root goes below the new one whole. */
static const char *map_path(struct cgroups_plan *p, const struct cg_lane *l, const char *path)
{
	if (!l->new)
		return arena_strdup(&p->arena, path);
	if (cg_path_is_below(path, l->old))
		return cg_path_move(&p->arena, path, l->old, l->new);
	return cg_path_join(&p->arena, l->new, path);
}

/* ---- places ---- */

/* A namespace's root: above the old root of the image there is nothing to map, so it stays. */
static const char *map_ns_root(struct cgroups_plan *p, const struct cg_lane *l,
			       const CgMemberEntry *m)
{
	const char *root = "/";

	if (m->has_cgns_prefix && m->cgns_prefix)
		root = arena_printf(&p->arena, "%.*s", (int)m->cgns_prefix, m->path);
	if (!root)
		return NULL;
	return !l->new || cg_path_is_below(root, l->old) ? map_path(p, l, root) : root;
}

static int add_place(struct cgroups_plan *p, struct cg_pset *s, size_t lane, const CgMemberEntry *m)
{
	const struct cg_lane *l = &p->lanes.v[lane];
	struct cg_place *place;

	vec_foreach (place, &s->places) {
		if (p->lanes.v[place->lane].hier == l->hier)
			return 0;
	}
	place = vec_add(&s->places);
	if (!place)
		return -ENOMEM;
	place->lane = lane;
	place->fd = place->ns_fd = -1;
	place->path = map_path(p, l, m->path);
	if (!place->path)
		return -ENOMEM;
	if (!s->has_ns)
		return 0;
	place->ns_root = map_ns_root(p, l, m);
	return place->ns_root ? 0 : -ENOMEM;
}

static int add_sets(struct cgroups_plan *p, struct err *err)
{
	for (size_t i = 0; i < p->image->n_sets; i++) {
		const CgSetEntry *e = p->image->sets[i];
		struct cg_pset *s = vec_add(&p->sets);

		if (!s)
			return err_nomem(err);
		s->id = e->id;
		for (size_t k = 0; k < e->n_ctls; k++)
			if (e->ctls[k]->has_cgns_prefix && e->ctls[k]->cgns_prefix)
				s->has_ns = true;
		for (size_t k = 0; k < p->lanes.n; k++) {
			const CgMemberEntry *m = member_of(e, p->lanes.v[k].name);

			if (m && add_place(p, s, k, m) < 0)
				return err_nomem(err);
		}
	}
	return 0;
}

/* ---- directories ---- */

static bool leads_to_place(const struct cgroups_plan *p, size_t lane, const char *path)
{
	const struct cg_pset *s;
	const struct cg_place *place;

	vec_foreach (s, &p->sets) {
		vec_foreach (place, &s->places) {
			if (place->lane == lane && cg_path_is_below(place->path, path))
				return true;
		}
	}
	return false;
}

/*
 * From a hierarchy's root on, an image of CRIU holds every group of the dumping machine; of those
 * only the ones that lead to tasks are taken.
 */
static int add_dirs(struct cgroups_plan *p, size_t lane, const CgroupDirEntry *e,
		    const char *old_path, bool shared, struct err *err)
{
	struct cg_pdir *d;
	const char *path = map_path(p, &p->lanes.v[lane], old_path);

	if (!path)
		return err_nomem(err);
	if (shared && !leads_to_place(p, lane, path))
		return 0;
	d = vec_add(&p->dirs);
	if (!d)
		return err_nomem(err);
	d->lane = lane;
	d->path = path;
	d->entry = e;
	for (size_t i = 0; i < e->n_children; i++) {
		const char *sub = cg_path_join(&p->arena, old_path, e->children[i]->dir_name);
		int r;

		if (!sub)
			return err_nomem(err);
		r = add_dirs(p, lane, e->children[i], sub, shared, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int add_bare_dir(struct cgroups_plan *p, size_t lane, const char *path)
{
	struct cg_pdir *d;

	vec_foreach (d, &p->dirs) {
		if (p->lanes.v[d->lane].hier == p->lanes.v[lane].hier && !strcmp(d->path, path))
			return 0;
	}
	d = vec_add(&p->dirs);
	if (!d)
		return -ENOMEM;
	d->lane = lane;
	d->path = path;
	return 0;
}

/* Places that no directory of the image covers (a dump with --manage-cgroups=ignore has none). */
static int add_bare_dirs(struct cgroups_plan *p, struct err *err)
{
	const struct cg_pset *s;
	const struct cg_place *place;

	vec_foreach (s, &p->sets) {
		vec_foreach (place, &s->places) {
			if (place->ns_root && add_bare_dir(p, place->lane, place->ns_root) < 0)
				return err_nomem(err);
			if (add_bare_dir(p, place->lane, place->path) < 0)
				return err_nomem(err);
		}
	}
	return 0;
}

/*
 * A lane in which every task is to be where the engine is now needs no access to the hierarchy: its
 * tasks are born there. So a runtime that has moved the engine into the container's group, or an
 * unprivileged engine, is not asked for what it cannot have.
 */
static bool lane_is_idle(const struct cgroups_plan *p, size_t lane)
{
	const char *own = p->layout.hiers.v[p->lanes.v[lane].hier].own_path;
	const struct cg_pset *s;
	const struct cg_place *place;
	const struct cg_pdir *d;

	vec_foreach (s, &p->sets) {
		vec_foreach (place, &s->places) {
			if (place->lane == lane &&
			    (strcmp(place->path, own) ||
			     (place->ns_root && strcmp(place->ns_root, own))))
				return false;
		}
	}
	vec_foreach (d, &p->dirs) {
		bool props = d->entry && d->entry->n_properties && p->mode != CKPT_CG_NONE &&
			     p->mode != CKPT_CG_SOFT;

		if (d->lane == lane && (strcmp(d->path, own) || props))
			return false;
	}
	return true;
}

int cg_plan_work_out(struct cgroups_plan *p, const struct ckpt_pairs *roots, struct err *err)
{
	int r = cg_image_check(p->image, err);

	for (size_t i = 0; r >= 0 && i < p->image->n_controllers; i++) {
		const CgControllerEntry *c = p->image->controllers[i];

		for (size_t k = 0; r >= 0 && k < c->n_cnames; k++)
			r = add_lane(p, c, c->cnames[k], err);
	}
	if (r >= 0)
		r = set_roots(p, roots, err);
	if (r >= 0)
		r = add_sets(p, err);
	for (size_t i = 0; r >= 0 && i < p->lanes.n; i++) {
		const CgControllerEntry *c = p->lanes.v[i].ctl;

		for (size_t k = 0; r >= 0 && k < c->n_dirs; k++) {
			const char *top = arena_printf(&p->arena, "/%s", c->dirs[k]->dir_name);

			r = top ? add_dirs(p, i, c->dirs[k], top, !top[1], err) : err_nomem(err);
		}
	}
	if (r >= 0)
		r = add_bare_dirs(p, err);
	for (size_t i = 0; r >= 0 && i < p->lanes.n; i++)
		p->lanes.v[i].idle = lane_is_idle(p, i);
	return r < 0 ? r : 0;
}

int cgroups_load(int images_dirfd, const struct cgroups_load_args *args, struct cgroups_plan **ret,
		 struct err *err)
{
	cleanup_with(cleanup_cgroups_planp) struct cgroups_plan *p = cg_plan_new();
	cleanup_with(cleanup_image_readerp) struct image_reader *reader = NULL;
	int r;

	if (!p)
		return err_nomem(err);
	p->mode = args->opts->cgroup_mode;
	p->root_set = args->root_set;
	p->log = args->log;
	if (p->mode != CKPT_CG_IGNORE) {
		r = image_open(images_dirfd, IMG_CGROUP, &reader, err, "cgroup.img");
		if (r == 0)
			r = image_one(reader, &cgroup_entry__descriptor, &p->image, err);
		if (r < 0)
			return r;
	}
	if (p->image) {
		r = cg_layout_init(&p->layout, err);
		p->layout.yard = args->opts->cgroup_yard;
		p->layout.work_fd = args->work_fd;
		if (r >= 0)
			r = cg_plan_work_out(p, &args->opts->cgroup_roots, err);
		if (r < 0)
			return err_wrap(err, r, "restoring control groups");
	}
	*ret = take_ptr(p);
	return 0;
}
