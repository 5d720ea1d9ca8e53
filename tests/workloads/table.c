/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every group of workloads; the groups live in the file of their subject. */
#include <string.h>

#include "tests/workloads/groups.h"
#include "tests/workloads/workload.h"

/* One a line, so that branches that add some merge. */
/* clang-format off */
const struct workload *const workload_groups[] = {
	basic_workloads,
	full_workloads,
	thread_workloads,
	cpu_workloads,
	memory_workloads,
	mapping_workloads,
	shared_workloads,
	aio_workloads,
	pipe_workloads,
	file_workloads,
	directory_workloads,
	signal_workloads,
	timer_workloads,
	blocking_workloads,
	process_workloads,
	event_workloads,
	tty_workloads,
	tty_more_workloads,
	watch_workloads,
	ipc_workloads,
	identity_workloads,
	unix_workloads,
	inet_workloads,
	inet_more_workloads,
	net_workloads,
	many_workloads,
	unix_scm_workloads,
	table_workloads,
	peercred_workloads,
	outside_workloads,
	unread_workloads,
	keyring_workloads,
	mqueue_workloads,
	odd_task_workloads, tcp_reset_workloads,
	vm_workloads,
	vdso_workloads,
	leader_workloads,
	many_object_workloads,
	restricted_workloads,
	NULL,
};
/* clang-format on */

const struct workload *workload_find(const char *name)
{
	for (size_t i = 0; workload_groups[i]; i++)
		for (const struct workload *w = workload_groups[i]; w->name; w++)
			if (!strcmp(w->name, name))
				return w;
	return NULL;
}
