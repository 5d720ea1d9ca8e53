/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which control groups tasks and threads of a restore belong to. */
#include <errno.h>

#include "cgroups/cgroups.h"
#include "engine/task/load.h"
#include "proto/core.pb-c.h"

uint32_t thread_cgroup_set(const struct restore_thread *th)
{
	const CoreEntry *core = th->core;

	if (core->thread_core && core->thread_core->has_cg_set)
		return core->thread_core->cg_set;
	if (core->tc && core->tc->has_cg_set)
		return core->tc->cg_set;
	/* An older image tells it only of the task. */
	return th->leader ? 0 : thread_cgroup_set(th->task->threads.v[0]);
}

int tree_check_cgroups(struct restore *r, struct err *err)
{
	struct restore_task *const *t;
	struct restore_thread *const *th;

	vec_foreach (t, &r->tasks) {
		if ((*t)->dead)
			continue;
		vec_foreach (th, &(*t)->threads) {
			uint32_t set = thread_cgroup_set(*th);

			if (!cgroups_has_set(r->cgroups, set))
				return err_image(err,
						 "image 'core-%d.img': cg_set %u is not in "
						 "'cgroup.img'",
						 (*th)->ns_tid, set);
		}
	}
	return 0;
}

int threads_enter_cgroups(struct restore *r, struct restore_task *task, struct err *err)
{
	uint32_t set = thread_cgroup_set(task->threads.v[0]);
	size_t i;
	int n = 0;

	for (i = 1; i < task->threads.n && n == 0; i++) {
		struct restore_thread *th = task->threads.v[i];

		if (thread_cgroup_set(th) != set)
			n = cgroups_enter_thread(r->cgroups, thread_cgroup_set(th), th->t.tid, err);
	}
	return n;
}
