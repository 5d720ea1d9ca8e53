/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks go to their groups: by the descriptors that cgroups_prepare() holds. */
#include "cgroups/cgroups.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cgroups/plan.h"
#include "engine/base/io.h"

static const struct cg_pset *find_set(const struct cgroups_plan *p, uint32_t id)
{
	const struct cg_pset *s;

	vec_foreach (s, &p->sets) {
		if (s->id == id)
			return s;
	}
	return NULL;
}

bool cgroups_set_inherits(const struct cgroups_plan *p, uint32_t id)
{
	/* 0: images older than the field, or a thread that is where its leader is. */
	return p->mode == CKPT_CG_IGNORE || !id || id == p->root_set;
}

bool cgroups_has_set(const struct cgroups_plan *p, uint32_t id)
{
	return cgroups_set_inherits(p, id) || find_set(p, id);
}

bool cgroups_set_has_ns(const struct cgroups_plan *p, uint32_t id)
{
	const struct cg_pset *s = cgroups_set_inherits(p, id) ? NULL : find_set(p, id);

	return s && s->has_ns;
}

static int need_set(const struct cgroups_plan *p, uint32_t id, const struct cg_pset **ret,
		    struct err *err)
{
	*ret = NULL;
	if (cgroups_set_inherits(p, id))
		return 0;
	*ret = find_set(p, id);
	return *ret ? 0 : err_image(err, "cgroup.img has no set %u, which a task belongs to", id);
}

static int hint(const struct cgroups_plan *p, size_t hier, int r, struct err *err)
{
	bool unified = p->layout.hiers.v[hier].unified;

	if (unified && (r == -EBUSY || r == -EOPNOTSUPP))
		err_hint(err,
			 "a cgroup2 group whose cgroup.subtree_control is not empty, or that is "
			 "threaded, takes no processes: empty it, or name another with "
			 "--cgroup-root");
	else if (r == -ENOSPC)
		err_hint(err,
			 "the group's cpuset has no processors or memory nodes: write cpuset.cpus "
			 "and cpuset.mems");
	else if (r == -EAGAIN)
		err_hint(err, "the group's pids.max is reached");
	else if (r == -EPERM || r == -EACCES)
		err_hint(err, "moving a task needs write access to cgroup.procs of its old and its "
			      "new group and of what they have in common");
	return r;
}

static int write_pid(const struct cgroups_plan *p, const struct cg_place *place, const char *path,
		     int fd, const char *file, pid_t pid, struct err *err)
{
	size_t hier = p->lanes.v[place->lane].hier;
	char text[512], number[16];
	int n = snprintf(number, sizeof(number), "%d", pid);
	int r = io_write_file(fd, file, number, (size_t)n);

	if (r >= 0)
		return 0;
	err_sys(err, r, "moving task %d into %s", pid, cg_dir_text(p, hier, path, text));
	return hint(p, hier, r, err);
}

int cgroups_enter(const struct cgroups_plan *p, uint32_t id, pid_t pid, struct err *err)
{
	const struct cg_place *place;
	const struct cg_pset *s;
	int r = need_set(p, id, &s, err);

	if (r < 0 || !s)
		return r;
	vec_foreach (place, &s->places) {
		if (p->lanes.v[place->lane].idle)
			continue;
		r = write_pid(p, place, place->path, place->fd, "cgroup.procs", pid, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroups_enter_thread(const struct cgroups_plan *p, uint32_t id, pid_t tid, struct err *err)
{
	const struct cg_place *place;
	const struct cg_pset *s;
	int r = need_set(p, id, &s, err);

	if (r < 0 || !s)
		return r;
	vec_foreach (place, &s->places) {
		bool unified = p->layout.hiers.v[p->lanes.v[place->lane].hier].unified;

		if (p->lanes.v[place->lane].idle)
			continue;
		r = write_pid(p, place, place->path, place->fd,
			      unified ? "cgroup.threads" : "tasks", tid, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int cgroups_enter_ns_root(const struct cgroups_plan *p, uint32_t id, pid_t pid, struct err *err)
{
	const struct cg_place *place;
	const struct cg_pset *s;
	int r = need_set(p, id, &s, err);

	if (r < 0 || !s)
		return r;
	vec_foreach (place, &s->places) {
		if (p->lanes.v[place->lane].idle || !place->ns_root)
			continue;
		r = write_pid(p, place, place->ns_root, place->ns_fd, "cgroup.procs", pid, err);
		if (r < 0)
			return err_wrap(err, r, "making the root of a cgroup namespace");
	}
	return 0;
}

int cgroups_open_set(const struct cgroups_plan *p, uint32_t id, int *ret_fd, struct err *err)
{
	const struct cg_place *place;
	const struct cg_pset *s;
	int r = need_set(p, id, &s, err);

	if (r < 0)
		return r;
	*ret_fd = -1;
	if (!s)
		return 0;
	vec_foreach (place, &s->places) {
		const struct cg_lane *l = &p->lanes.v[place->lane];

		if (p->layout.hiers.v[l->hier].unified && !l->idle)
			*ret_fd = place->fd;
	}
	return 0;
}
