/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks of a restore: loading the tree, forking it, and finishing each task by program. */
#pragma once

#include "engine/core/restore.h"

/* pstree.img, ids and cores of all tasks; checks that the tree can be forked. */
int tree_load(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Runs check() of all attributes. After the seccomp and file images are loaded. */
int tree_check_attrs(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* ---- control groups (place.c) ---- */

/* The set of groups that the images give a thread; 0: none. */
uint32_t thread_cgroup_set(const struct restore_thread *th);

/* Checks that cgroup.img knows the set of every living thread. */
int tree_check_cgroups(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Moves the threads that are not in their leader's groups, where all of them begin. */
int threads_enter_cgroups(struct restore *r, struct restore_task *task, struct err *err)
	__attribute__((warn_unused_result));

/* ---- builders (builder.c) ---- */

/*
 * Forks the tree of builders: plain processes with the right pids, sessions and groups, inside the
 * namespaces, with their files in place, waiting to be finished from outside. On failure none is
 * left.
 */
int builders_fork(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/* Ends every builder and task that was made. */
void builders_kill(struct restore *r);

/* ---- finishing (revive.c) ---- */

/* Seizes every builder and gives it the task's memory, threads, attributes and registers. */
int tree_revive(struct restore *r, struct err *err) __attribute__((warn_unused_result));

/*
 * Lets all of them go. The tree runs. It fails only before that: then all of them can still be
 * ended.
 */
int tree_resume(struct restore *r, struct err *err);
