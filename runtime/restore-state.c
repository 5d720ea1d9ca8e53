/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The state of a restored container, as its runtime would have written it. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "runtime/restore.h"

static const char *now_text(struct arena *a)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	return arena_printf(a, "%s.%06ldZ", text, now.tv_nsec / 1000);
}

static int fill_descriptors(struct restoring *rs, pid_t pid, struct err *err)
{
	cleanup_fd int proc = io_open_proc(pid);
	struct oci_strings *d = &rs->state.descriptors;
	char name[16];

	if (proc < 0)
		return err_sys(err, proc, "opening /proc/%d of the restored process", pid);
	*d = (struct oci_strings){ .v = arena_alloc(&rs->arena, 3 * sizeof(*d->v)) };
	for (int fd = 0; d->v && fd < 3; fd++) {
		cleanup_free char *link = NULL;

		snprintf(name, sizeof(name), "fd/%d", fd);
		if (io_readlink(proc, name, &link) < 0)
			link = strdup("/dev/null");
		d->v[d->n] = link ? arena_strdup(&rs->arena, link) : NULL;
		if (!d->v[d->n++])
			return err_nomem(err);
	}
	return d->v ? 0 : err_nomem(err);
}

/* runc has a path for every controller. */
static int fill_cgroup_paths(struct restoring *rs, struct err *err)
{
	const struct oci_pairs *old = &rs->old.cgroup_paths;
	struct oci_pairs *paths = &rs->state.cgroup_paths;

	*paths = (struct oci_pairs){ .v = arena_alloc(&rs->arena,
						      (old->n + 1) * sizeof(*paths->v)) };
	if (!paths->v)
		return err_nomem(err);
	for (size_t i = 0; rs->cgroup && i < old->n; i++) {
		const struct oci_hierarchy *h = hostview_hierarchy(&rs->p.view, old->v[i].key);
		struct oci_pair *it = &paths->v[paths->n];

		if (!h)
			continue;
		it->key = old->v[i].key;
		it->val = arena_printf(&rs->arena, "%s%s", h->mountpoint, rs->cgroup);
		if (!it->val)
			return err_nomem(err);
		paths->n++;
	}
	return 0;
}

int restoring_fill_state(struct restoring *rs, pid_t pid, struct err *err)
{
	struct oci_state *st = &rs->state;
	int r;

	*st = rs->old;
	st->arena = (struct arena){ 0 };
	st->runtime = rs->saved.runtime;
	st->id = rs->id;
	st->pid = pid;
	st->bundle = rs->bundle;
	st->rootfs = st->runtime == OCI_RUNC ? rs->rootfs : rs->spec.root_path;
	st->created = now_text(&rs->arena);
	st->owner = st->owner ?: "root";
	st->detached = rs->o->choices.detach;
	st->no_cgroup = !rs->cgroup;
	st->cgroup_path = rs->cgroup;
	r = fill_cgroup_paths(rs, err);
	if (r == 0 && pid > 0)
		r = fill_descriptors(rs, pid, err);
	if (r == 0 && pid > 0) {
		r = process_start_time(pid, &st->start_time);
		if (r < 0)
			r = err_sys(err, r, "looking at the restored process %d", pid);
	}
	return r;
}
