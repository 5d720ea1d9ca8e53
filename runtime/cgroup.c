/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The cgroups of a container. Runtimes kill "every process of the cgroup" when a container is
 * deleted, so a path that is too short is worse than none: it is never recorded and never touched.
 */
#include "runtime/cgroup.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext.h"
#include "oci/path.h"

#define WAIT_STEPS 100
#define WAIT_STEP_NS 20000000L

static int add_dir(struct arena *a, struct cgroup_dirs *dirs, const char *path)
{
	const char *clean = oci_path_clean(a, "/", path), **it;

	if (!clean)
		return -ENOMEM;
	vec_foreach (it, dirs)
		if (strcmp(*it, clean) == 0)
			return 0;
	it = vec_add(dirs);
	if (!it)
		return -ENOMEM;
	*it = clean;
	return 0;
}

/* Below the root of one of this host's hierarchies, not the root itself. */
static bool is_below_hierarchy(const struct hostview *view, const char *path)
{
	const struct oci_hierarchy *h;

	vec_foreach (h, &view->hierarchies)
		if (oci_path_is_under(path, h->mountpoint) &&
		    oci_cgroup_is_own(path + strlen(h->mountpoint)))
			return true;
	return false;
}

int cgroup_dirs_of(struct arena *a, const struct oci_state *state, const struct hostview *view,
		   struct cgroup_dirs *ret, struct err *err)
{
	const struct oci_hierarchy *h;
	int r = 0;

	if (state->runtime == OCI_CRUN) {
		if (state->no_cgroup || !oci_cgroup_is_own(state->cgroup_path))
			return 0;
		vec_foreach (h, &view->hierarchies) {
			const char *path =
				arena_printf(a, "%s/%s", h->mountpoint, state->cgroup_path);

			if (r == 0)
				r = path ? add_dir(a, ret, path) : -ENOMEM;
		}
	}
	for (size_t i = 0; r == 0 && state->runtime == OCI_RUNC && i < state->cgroup_paths.n; i++)
		if (oci_cgroup_is_own(state->cgroup_paths.v[i].val) &&
		    is_below_hierarchy(view, state->cgroup_paths.v[i].val))
			r = add_dir(a, ret, state->cgroup_paths.v[i].val);
	return r < 0 ? err_nomem(err) : 0;
}

static pid_t first_pid(int dir)
{
	cleanup_buf struct buf text = BUF_INIT;
	int r = io_read_file(dir, "cgroup.procs", &text);

	if (r < 0) /* gone, or a threaded cgroup, whose parent lists the processes */
		return 0;
	return text.len ? (pid_t)atoi(text.data) : 0;
}

/* What is done to every folder of a tree, children first. A result other than 0 ends the walk. */
typedef int (*visit_fn)(int parent, const char *name, int dir);

static int walk(int parent, const char *name, visit_fn visit)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
	cleanup_dir DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (r == 0 && (e = readdir(dir)))
		if (e->d_type == DT_DIR && strcmp(e->d_name, ".") != 0 &&
		    strcmp(e->d_name, "..") != 0)
			r = walk(fd, e->d_name, visit);
	return r == 0 ? visit(parent, name, fd) : r;
}

static int visit_find(int parent, const char *name, int dir)
{
	return first_pid(dir);
}

static int visit_remove(int parent, const char *name, int dir)
{
	/* also while the kernel is still busy with the last process: EBUSY */
	for (int i = 0; i < WAIT_STEPS; i++) {
		if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
			return 0;
		if (errno != EBUSY)
			return -errno;
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_STEP_NS }, NULL);
	}
	return -EBUSY;
}

pid_t cgroup_find_process(const struct cgroup_dirs *dirs)
{
	const char **it;
	pid_t pid = 0;

	vec_foreach (it, dirs)
		if (pid == 0)
			pid = walk(AT_FDCWD, *it, visit_find);
	return pid;
}

int cgroup_remove(const struct cgroup_dirs *dirs, struct err *err)
{
	pid_t pid = cgroup_find_process(dirs);
	const char **it;
	int r;

	for (int i = 0; pid > 0 && i < WAIT_STEPS; i++) {
		nanosleep(&(struct timespec){ .tv_nsec = WAIT_STEP_NS }, NULL);
		pid = cgroup_find_process(dirs);
	}
	if (pid > 0) {
		r = err_new(err, ERR_BUSY, -EBUSY,
			    "process %d is in the cgroup '%s' of the container, which stays", pid,
			    dirs->v[0]);
		err_hint(err, "end that process, then delete the container with its runtime");
		return r;
	}
	vec_foreach (it, dirs) {
		r = walk(AT_FDCWD, *it, visit_remove);
		if (r < 0)
			return err_sys(err, r, "removing the cgroup '%s'", *it);
	}
	return 0;
}

/* The path below its hierarchy of one of runc's folders, which may come from another host. */
static const char *below_mount(const struct oci_pair *pair, const struct hostview *view)
{
	static const char top[] = "/sys/fs/cgroup/";
	const struct oci_hierarchy *h = hostview_hierarchy(view, pair->key);
	const char *path = pair->val, *slash;

	if (h && oci_path_is_under(path, h->mountpoint))
		return path + strlen(h->mountpoint);
	if (strncmp(path, top, sizeof(top) - 1) != 0)
		return NULL;
	slash = strchr(path + sizeof(top) - 1, '/');
	return slash;
}

static const char *old_place(const struct oci_state *state, const struct hostview *view)
{
	if (state->runtime == OCI_CRUN)
		return state->no_cgroup ? NULL : state->cgroup_path;
	for (size_t i = 0; i < state->cgroup_paths.n; i++) {
		const char *path = below_mount(&state->cgroup_paths.v[i], view);

		if (path && oci_cgroup_is_own(path))
			return path;
	}
	return NULL;
}

static bool same_text(const char *a, const char *b)
{
	return strcmp(a ?: "", b ?: "") == 0;
}

/* A cgroup that is named after the container takes the new name. */
static const char *rename_place(struct arena *a, const char *place, const char *old_id,
				const char *id)
{
	const char *name = strrchr(place, '/');

	name = name ? name + 1 : place;
	if (!old_id || strcmp(old_id, id) == 0 || strcmp(name, old_id) != 0)
		return arena_strdup(a, place);
	return arena_printf(a, "%.*s%s", (int)(name - place), place, id);
}

int cgroup_choose(struct arena *a, const struct oci_spec *now, const struct oci_spec *then,
		  const struct oci_state *state, const char *old_id, const char *id,
		  const struct hostview *view, const char **ret, struct err *err)
{
	const char *asked = now->linux_.cgroups_path, *place = NULL, *s, *p, *n;
	int r;

	if (state->systemd_cgroup || (asked && oci_cgroups_path_split(a, asked, &s, &p, &n))) {
		r = err_refuse(err, "cgroups that systemd makes are not restored yet");
		err_hint(err, "give linux.cgroupsPath as a plain path, and no --systemd-cgroup");
		return r;
	}
	*ret = NULL;
	if (state->no_cgroup)
		return 0;
	if (asked && asked[0] && (!then || !same_text(asked, then->linux_.cgroups_path)))
		place = asked;
	else
		place = old_place(state, view);
	if (!place || !oci_cgroup_is_own(place)) {
		r = err_usage(err, "it is not known in which cgroup container '%s' belongs", id);
		err_hint(err, "give linux.cgroupsPath in config.json");
		return r;
	}
	*ret = rename_place(a, oci_path_clean(a, "/", place) ?: place, old_id, id);
	return *ret ? 0 : err_nomem(err);
}

int cgroup_check_process(pid_t pid, const struct hostview *view, struct err *err)
{
	cleanup_fd int proc = io_open_proc(pid);
	cleanup_buf struct buf text = BUF_INIT;
	cleanup_proc_cgroups struct proc_cgroups groups = { 0 };
	struct proc_cgroup *g;
	int r = proc < 0 ? proc : io_read_file(proc, "cgroup", &text);

	if (r == 0)
		r = proc_cgroups_parse(text.data ?: "", text.len, &groups);
	if (r < 0)
		return err_sys(err, r, "reading the cgroups of the restored process %d", pid);
	vec_foreach (g, &groups) {
		const struct oci_hierarchy *h;

		vec_foreach (h, &view->hierarchies)
			if (h->path && strcmp(h->controllers, g->controllers) == 0 &&
			    !oci_path_is_under(g->path, h->path))
				return err_new(err, ERR_INTERNAL, -EXDEV,
					       "the restored process %d is in the cgroup '%s' of "
					       "'%s', not below '%s'",
					       pid, g->path, h->mountpoint, h->path);
	}
	return 0;
}
