/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The small files of a task: limits, children, timers, cgroup, locks, net. Every parser sees
 * every input. */
#include <assert.h>

#include "engine/base/proctext-net.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data;
	struct proc_cursor c = proc_cursor(text, size);
	struct proc_cgroups cgroups;
	struct proc_timers timers;
	struct proc_limits limits;
	struct proc_pids pids;
	struct proc_lock lock;
	struct proc_groups groups;
	struct proc_inets inets;

	proc_limits_parse(text, size, &limits);
	if (proc_children_parse(text, size, &pids) == 0)
		vec_free(&pids);
	if (proc_timers_parse(text, size, &timers) == 0)
		vec_free(&timers);
	if (proc_cgroups_parse(text, size, &cgroups) == 0) {
		struct proc_cgroup *cg;

		vec_foreach (cg, &cgroups)
			assert(cg->controllers && cg->path[0] == '/');
		proc_cgroups_done(&cgroups);
	}
	while (proc_locks_next(&c, &lock) > 0)
		;
	if (proc_igmp_parse(text, size, &groups) == 0)
		vec_free(&groups);
	if (proc_igmp6_parse(text, size, &groups) == 0)
		vec_free(&groups);
	if (proc_inets_parse(text, size, &inets) == 0)
		vec_free(&inets);
	return 0;
}
