/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/task/attr.h"

/*
 * In the order of restore. Credentials come late, because most other things need them; filters
 * before them, because installing one needs CAP_SYS_ADMIN or no_new_privs (they are suspended until
 * we let go). A change of credentials resets dumpable and the parent's death signal. Timers start
 * last.
 */
const struct task_attr *const task_attrs[] = {
	&attr_tid_address,
	&attr_robust_list,
	&attr_rseq,
	&attr_name,
	&attr_sigactions,
	&attr_altstack,
	&attr_personality,
	&attr_subreaper,
	&attr_membarrier,
	&attr_thp,
	&attr_oom,
	&attr_loginuid,
	&attr_sched,
	&attr_affinity,
	&attr_ioprio,
	&attr_timer_slack,
	&attr_coredump_filter,
	&attr_oddities,
	&attr_tsc,
	&attr_numa,
	&attr_sem_undo,
	&attr_locks, /* nothing is closed in a task any more */
	&attr_rlimits,
	&attr_seccomp,
	&attr_creds,
	&attr_keyring, /* with the ids of its user */
	&attr_dumpable,
	&attr_pdeathsig,
	&attr_posix_timers,
	&attr_itimers,
	&attr_pending,
	NULL,
};
