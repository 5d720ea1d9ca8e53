/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The contract of a task attribute: something that a thread has and that core-TID.img holds. One
 * file owns asking, capturing, checking and restoring it; attrs.c is the table, in the order of
 * restore.
 */
#pragma once

#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "engine/task/task-asked.h"

struct TaskTimersEntry;

struct task_attr {
	const char *name;
	bool per_thread; /* else it belongs to the process: only its leader is asked */

	/* Dump, optional: adds to the thread's program what only the thread itself knows. */
	void (*ask)(struct dump *d, struct dump_thread *th, struct program *p);

	/* Dump: fills core (memory of the arena) from answers and from outside. May dump_refuse().
	 */
	int (*capture)(struct dump *d, struct dump_thread *th, const struct program *p,
		       struct CoreEntry *core, struct err *err);

	/* Restore, optional: validates th->core before any process exists. */
	int (*check)(struct restore *r, struct restore_thread *th, struct err *err);

	/* Restore, optional: adds the calls that the thread makes itself. */
	void (*put)(struct restore *r, struct restore_thread *th, struct program *p);

	/* Restore, optional: what is set from outside, after the program, the thread still stopped.
	 */
	int (*finish)(struct restore *r, struct restore_thread *th, struct err *err);
};

/* NULL-terminated. */
extern const struct task_attr *const task_attrs[];

extern const struct task_attr attr_tid_address, attr_robust_list, attr_rseq, attr_name,
	attr_sigactions, attr_altstack, attr_pending, attr_itimers, attr_posix_timers, attr_rlimits,
	attr_oom, attr_loginuid, attr_sched, attr_personality, attr_subreaper, attr_pdeathsig,
	attr_membarrier, attr_creds, attr_seccomp, attr_dumpable, attr_thp, attr_affinity,
	attr_ioprio, attr_timer_slack, attr_coredump_filter, attr_oddities, attr_tsc, attr_numa,
	attr_locks, attr_sem_undo, attr_keyring;

/* seccomp.img: written at the end of a dump, read at the start of a restore. */
int seccomp_write(struct dump *d, struct err *err) __attribute__((warn_unused_result));
void seccomp_done(struct dump *d);
int seccomp_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/*
 * A login uid is set by the task itself, and easily only while it is unset. So the engine's own is
 * taken away while the root builder is forked; loginuid_clear() tells what to set back. The builder
 * sets its own, when it has forked the others.
 */
uint32_t loginuid_clear(struct restore *r);
void loginuid_set_back(struct restore *r, uint32_t uid);
int loginuid_enter(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/*
 * In a builder, before it forks others: joins the session keyring of its task, unless it has
 * inherited it.
 */
int keyring_enter(struct restore *r, const struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Filters of threads: how many a thread has; how many of the oldest two threads share; the calls
 * that install those of a thread up to that number, beyond the n_filters that it has already.
 */
size_t seccomp_depth(const struct restore *r, const struct restore_thread *th);
size_t seccomp_common(const struct restore *r, const struct restore_thread *a,
		      const struct restore_thread *b);
void seccomp_put(struct restore *r, struct restore_thread *th, size_t depth, struct program *p);

/* The end of a restore: a thread that was kept inside a critical section is in it again. */
int rseq_finish(struct restore_thread *th, struct err *err) __attribute__((warn_unused_result));

/*
 * Takes back the registration that libc made for the engine and that a builder has inherited: the
 * kernel writes to that area at every preemption, and kills a task in which it is gone.
 */
int rseq_forget(struct restore_thread *th, struct program *p, struct err *err)
	__attribute__((warn_unused_result));

/*
 * The calls that make POSIX timers with their numbers where a process cannot choose these: in one
 * that has made none, the first number is 0.
 */
void timers_put_counted(const struct TaskTimersEntry *t, struct program *p);
