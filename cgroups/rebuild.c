/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Directories of a plan: made, described later, frozen last, and taken away after a failure. */
#include "cgroups/cgroups.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cgroups/plan.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/log.h"

static bool may_create(const struct cgroups_plan *p)
{
	return p->mode == CKPT_CG_SOFT || p->mode == CKPT_CG_FULL || p->mode == CKPT_CG_STRICT;
}

static int story(const struct cgroups_plan *p, const struct cg_pdir *d, int r, const char *what,
		 struct err *err)
{
	char text[512];

	return err_sys(err, r, "%s: %s", cg_dir_text(p, p->lanes.v[d->lane].hier, d->path, text),
		       what);
}

/* A new v1 cpuset has no processor and no memory node, and takes no task until it has. */
static int inherit_cpuset(int parent, int dir)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		cleanup_buf struct buf own = BUF_INIT, above = BUF_INIT;
		int r = cg_prop_read(dir, NULL, files[i], &own);

		if (r >= 0 && !own.len)
			r = cg_prop_read(parent, NULL, files[i], &above);
		if (r >= 0 && above.len)
			r = io_write_file(dir, files[i], above.data, above.len);
		if (r < 0)
			return r;
	}
	return 0;
}

void cgroups_note_created(struct cgroups_plan *p, cgroups_created_fn fn, void *arg)
{
	p->on_create = fn;
	p->on_create_arg = arg;
}

static int note_created(struct cgroups_plan *p, size_t hier, const char *path, struct err *err)
{
	struct cg_opened *o = vec_add(&p->created);

	if (!o)
		return err_nomem(err);
	o->hier = hier;
	o->fd = p->layout.hiers.v[hier].root_fd;
	o->path = path;
	return p->on_create ? p->on_create(p->on_create_arg, o->fd, path + 1, err) : 0;
}

/* Makes one component. 1 when it is new, 0 when it was there, negative with the story. */
static int make_component(struct cgroups_plan *p, struct cg_pdir *d, int parent, const char *name,
			  const char *path, int *ret_fd, struct err *err)
{
	const struct cg_hier *h = &p->layout.hiers.v[p->lanes.v[d->lane].hier];
	cleanup_fd int fd = -EBADF;
	bool made = false;
	int r;

	/* Noted before it is made, so that no moment is left in which it would be forgotten. */
	if (may_create(p) && faccessat(parent, name, F_OK, 0) < 0) {
		r = note_created(p, p->lanes.v[d->lane].hier, path, err);
		if (r < 0)
			return r;
		made = !mkdirat(parent, name, 0755);
		r = made ? 0 : -errno;
		if (!made)
			p->created.n--;
		if (r < 0 && r != -EEXIST)
			return story(p, d, r, "creating it", err);
	}
	fd = cg_open(parent, name);
	if (fd == -ENOENT) {
		story(p, d, fd, "opening it", err);
		err_hint(err, "create it, or restore with --manage-cgroups=soft to have it made");
		return fd;
	}
	if (fd < 0)
		return story(p, d, fd, "opening it", err);
	if (made && !h->unified && cg_list_has(h->name, "cpuset", 6)) {
		r = inherit_cpuset(parent, fd);
		if (r < 0)
			return story(p, d, r, "copying processors and nodes from above", err);
	}
	*ret_fd = take_fd(&fd);
	return made;
}

/* Opens the directory of d, making what the mode allows; the last component says whether d is new.
 */
static int make_path(struct cgroups_plan *p, struct cg_pdir *d, int *ret_fd, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	size_t end = 0;
	int r = cg_hier_root(&p->layout, &p->layout.hiers.v[p->lanes.v[d->lane].hier], err);

	if (r < 0)
		return r;
	fd = cg_open(r, "/");
	if (fd < 0)
		return story(p, d, fd, "opening the root", err);
	while (d->path[end] && d->path[end + 1]) {
		size_t start = end + 1, len = strcspn(d->path + start, "/");
		const char *name = arena_printf(&p->arena, "%.*s", (int)len, d->path + start);
		const char *path = arena_printf(&p->arena, "%.*s", (int)(start + len), d->path);
		int child = -EBADF;

		if (!name || !path)
			return err_nomem(err);
		r = make_component(p, d, fd, name, path, &child, err);
		if (r < 0)
			return r;
		close(fd);
		fd = child;
		end = start + len;
		if (!d->path[end])
			d->created = r;
	}
	*ret_fd = take_fd(&fd);
	return 0;
}

static bool was_made_by_us(const struct cgroups_plan *p, const struct cg_pdir *d)
{
	const struct cg_opened *o;

	vec_foreach (o, &p->created) {
		if (o->hier == p->lanes.v[d->lane].hier && !strcmp(o->path, d->path))
			return true;
	}
	return false;
}

static int prepare_dir(struct cgroups_plan *p, struct cg_pdir *d, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	char text[512];
	int r = make_path(p, d, &fd, err);

	if (r < 0)
		return r;
	/* Two lanes of one hierarchy: the second finds what the first has made. */
	d->created = d->created || was_made_by_us(p, d);
	if (p->mode == CKPT_CG_STRICT && d->entry && !d->created && d->path[1]) {
		err_new(err, ERR_ENVIRONMENT, -EEXIST, "%s exists already",
			cg_dir_text(p, p->lanes.v[d->lane].hier, d->path, text));
		err_hint(err, "remove it, or use --manage-cgroups=full to set it up as dumped");
		return err->code;
	}
	if (!cg_plan_wants_props(p, d) || cg_dir_is_machine_root(fd))
		return 0;
	r = cg_apply_perms(p, d, fd, err);
	if (r == 0)
		r = cg_apply_props(p, d, fd, CG_PROP_EARLY, err);
	return r < 0 ? r : cg_apply_devices(p, d, fd, err);
}

/* Every directory is opened once, however many sets are in it. */
static int open_dir(struct cgroups_plan *p, size_t lane, const char *path, int *ret,
		    struct err *err)
{
	size_t hier = p->lanes.v[lane].hier;
	struct cg_opened *o;
	char text[512];
	int fd;

	vec_foreach (o, &p->opened) {
		if (o->hier == hier && !strcmp(o->path, path)) {
			*ret = o->fd;
			return 0;
		}
	}
	fd = cg_open(p->layout.hiers.v[hier].root_fd, path);
	if (fd < 0)
		return err_sys(err, fd, "opening %s", cg_dir_text(p, hier, path, text));
	o = vec_add(&p->opened);
	if (!o) {
		close(fd);
		return err_nomem(err);
	}
	*o = (struct cg_opened){ .hier = hier, .path = path, .fd = fd };
	*ret = fd;
	return 0;
}

static int open_places(struct cgroups_plan *p, struct err *err)
{
	struct cg_pset *s;
	struct cg_place *place;

	vec_foreach (s, &p->sets) {
		vec_foreach (place, &s->places) {
			int r;

			if (p->lanes.v[place->lane].idle)
				continue;
			r = open_dir(p, place->lane, place->path, &place->fd, err);
			if (r >= 0 && place->ns_root)
				r = open_dir(p, place->lane, place->ns_root, &place->ns_fd, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int cgroups_prepare(struct cgroups_plan *p, struct err *err)
{
	struct cg_pdir *d;

	vec_foreach (d, &p->dirs) {
		int r;

		if (p->lanes.v[d->lane].idle)
			continue;
		r = prepare_dir(p, d, err);
		if (r < 0)
			return err_wrap(err, r, "restoring control groups");
	}
	return open_places(p, err);
}

int cgroups_finish(struct cgroups_plan *p, struct err *err)
{
	struct cg_pdir *d;

	vec_foreach (d, &p->dirs) {
		size_t hier = p->lanes.v[d->lane].hier;
		cleanup_fd int fd = -EBADF;
		int r;

		if (p->lanes.v[d->lane].idle || !cg_plan_wants_props(p, d))
			continue;
		fd = cg_open(p->layout.hiers.v[hier].root_fd, d->path);
		if (fd < 0)
			return story(p, d, fd, "opening it", err);
		if (cg_dir_is_machine_root(fd))
			continue;
		r = cg_apply_props(p, d, fd, CG_PROP_LATE, err);
		if (r < 0)
			return err_wrap(err, r, "restoring control groups");
	}
	return 0;
}

static bool was_frozen(const CgroupDirEntry *e)
{
	for (size_t i = 0; e && i < e->n_properties; i++) {
		const CgroupPropEntry *p = e->properties[i];

		if ((!strcmp(p->name, "freezer.state") && !strcmp(p->value, "FROZEN")) ||
		    (!strcmp(p->name, "cgroup.freeze") && !strcmp(p->value, "1")))
			return true;
	}
	return false;
}

/*
 * The group must be one of the restored tasks' own: CRIU 4.2 writes the state of a cgroup2 freeze
 * to the v1 freezer's root, which here may be the root of the machine or of the caller's namespace.
 */
static bool may_freeze(const struct cgroups_plan *p, const struct cg_pdir *d)
{
	const char *own = p->layout.hiers.v[p->lanes.v[d->lane].hier].own_path;

	return !p->lanes.v[d->lane].idle && cg_plan_wants_props(p, d) && was_frozen(d->entry) &&
	       !cg_path_is_below(own, d->path);
}

int cgroups_refreeze(struct cgroups_plan *p, struct err *err)
{
	struct cg_pdir *d;

	vec_foreach (d, &p->dirs) {
		const struct cg_hier *h = &p->layout.hiers.v[p->lanes.v[d->lane].hier];
		struct cg_opened *o;
		int fd, r;

		if (!may_freeze(p, d))
			continue;
		fd = cg_open(h->root_fd, d->path);
		o = fd < 0 ? NULL : vec_add(&p->frozen);
		if (!o) {
			if (fd >= 0)
				close(fd);
			return story(p, d, fd < 0 ? fd : -ENOMEM, "freezing it", err);
		}
		*o = (struct cg_opened){ .hier = p->lanes.v[d->lane].hier, .path = d->path };
		o->fd = fd;
		r = h->unified ? io_write_file(fd, "cgroup.freeze", "1", 1)
			       : io_write_file(fd, "freezer.state", "FROZEN", 6);
		if (r < 0)
			return story(p, d, r, "freezing it", err);
	}
	return 0;
}

/*
 * A killed task is in its group until it has been reaped or, v2, has exited. v2 tells by waking a
 * poll on cgroup.events; v1 tells nobody.
 */
static void wait_empty(int root_fd, const char *path, bool unified)
{
	struct timespec nap = { .tv_nsec = 10000000L };
	cleanup_fd int dir = unified ? cg_open(root_fd, path) : -EBADF;
	cleanup_fd int events = -EBADF;
	char text[256];

	if (dir >= 0)
		events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	if (events >= 0 && read(events, text, sizeof(text)) > 0) {
		struct pollfd pfd = { .fd = events, .events = POLLPRI };

		(void)poll(&pfd, 1, 10);
		return;
	}
	nanosleep(&nap, NULL);
}

static int remove_created(const struct cgroups_plan *p, const struct cg_opened *o, int *left)
{
	bool unified = p->layout.hiers.v[o->hier].unified;

	while (unlinkat(o->fd, o->path + 1, AT_REMOVEDIR) < 0) {
		if (errno == ENOENT)
			return 0;
		if (errno != EBUSY || !*left)
			return -errno;
		--*left;
		wait_empty(o->fd, o->path, unified);
	}
	return 0;
}

void cgroups_undo(struct cgroups_plan *p)
{
	struct cg_opened *o;
	int left = 100; /* of waits, 10 ms each, for all directories together */
	char text[512];

	vec_foreach (o, &p->frozen) {
		if (p->layout.hiers.v[o->hier].unified)
			(void)io_write_file(o->fd, "cgroup.freeze", "0", 1);
		else
			(void)io_write_file(o->fd, "freezer.state", "THAWED", 6);
	}
	for (size_t i = p->created.n; i-- > 0;) {
		int r = remove_created(p, &p->created.v[i], &left);

		if (r < 0 && p->log)
			log_warn(p->log, "cgroups: removing %s: %s, ignoring",
				 cg_dir_text(p, p->created.v[i].hier, p->created.v[i].path, text),
				 strerror(-r));
	}
	p->created.n = 0;
}
