/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Control groups of a tree: which task is where, dumped and rebuilt. v1, v2 and hosts with both.
 * The freezer is in freezer.h.
 *
 * Paths are those of /proc/PID/cgroup as this process reads it, so in a cgroup namespace they are
 * relative to its root. Every access goes by descriptors of directories; a hierarchy that is
 * mounted nowhere is mounted detached, and that mount ends with its descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/err.h"

struct ckpt_options;
struct cgroup_freezer;
struct image_set;
struct log;

/* ---- dump ---- */

/* One thread. set_id is filled by cgroups_dump() and goes into cg_set of its thread_core. */
struct cgroup_task {
	pid_t pid, tid; /* as seen from here; tid == pid for the leader */
	uint32_t set_id;
};

struct cgroups_dump_args {
	const struct ckpt_options *opts; /* cgroup_mode, cgroup_roots and cgroup_yard are read */
	int work_fd;			 /* for a cgroup_yard that is relative */
	struct cgroup_task *tasks;	 /* every living thread of the tree, no zombies */
	size_t n_tasks;
	pid_t root;			      /* the tree's root task, one of tasks */
	const struct cgroup_freezer *freezer; /* NULL: none is used */
	const struct log *log;		      /* NULL: none */
};

/*
 * Records the cgroups of all tasks while the tree stands still, gives each task its set id, and
 * adds "cgroup.img" to the images unless every task is where this process is. *ret_root_set is for
 * root_cg_set of the inventory: the id that means "where the engine runs"; a task of that set stays
 * where the restoring engine is. In mode CKPT_CG_IGNORE the sets are recorded without the groups.
 * Groups are recorded where tasks of the tree are, with what lies between them and the root task's
 * group (or the namespace's root, or opts->cgroup_roots); whole subtrees only if no other process
 * is in them. 0 or negative.
 */
int cgroups_dump(struct image_set *images, const struct cgroups_dump_args *args,
		 uint32_t *ret_root_set, struct err *err) __attribute__((warn_unused_result));

/* ---- restore ---- */

struct cgroups_plan;

struct cgroups_load_args {
	const struct ckpt_options *opts; /* cgroup_mode, cgroup_roots and cgroup_yard are read */
	int work_fd;			 /* for a cgroup_yard that is relative */
	uint32_t root_set;		 /* root_cg_set of the inventory, 0 if it has none */
	const struct log *log;		 /* NULL: none; must outlive the plan */
};

/*
 * Reads and checks cgroup.img, finds the hierarchies of this host, and works out where each set
 * goes. Changes nothing on the host, but for a named v1 hierarchy that does not exist here: it is
 * made, and is gone with the plan if it stays empty. No image, or mode CKPT_CG_IGNORE, gives a plan
 * that moves nobody. Free the plan with cgroups_plan_free() (NULL allowed), which leaves the groups
 * alone.
 */
int cgroups_load(int images_dirfd, const struct cgroups_load_args *args, struct cgroups_plan **ret,
		 struct err *err) __attribute__((warn_unused_result));
void cgroups_plan_free(struct cgroups_plan *plan);
static inline void cleanup_cgroups_planp(struct cgroups_plan **p)
{
	cgroups_plan_free(*p);
}

/* Whether a task's cg_set is known: in the image, the inventory's root set, or 0 (none recorded).
 */
bool cgroups_has_set(const struct cgroups_plan *plan, uint32_t set_id);

/* Whether tasks of that set stay where the engine is. */
bool cgroups_set_inherits(const struct cgroups_plan *plan, uint32_t set_id);

/* Whether the set's tasks live in a cgroup namespace whose root is below the dumping engine's. */
bool cgroups_set_has_ns(const struct cgroups_plan *plan, uint32_t set_id);

/*
 * Has every directory told before it is made, as the root of its hierarchy and the path below:
 * whoever is told removes it should this process be killed. A negative result fails the restore.
 */
typedef int (*cgroups_created_fn)(void *arg, int root_fd, const char *path, struct err *err);
void cgroups_note_created(struct cgroups_plan *plan, cgroups_created_fn fn, void *arg);

/*
 * Makes directories as the mode says, with owner and what must be set before tasks enter (v1
 * cpuset, memory.use_hierarchy, cgroup.type). On failure the caller calls cgroups_undo().
 */
int cgroups_prepare(struct cgroups_plan *plan, struct err *err) __attribute__((warn_unused_result));

/*
 * Puts a process (all threads) into the groups of a set, in every hierarchy; writes its pid to
 * cgroup.procs. pid 0 is the caller. cgroups_enter_thread() moves one thread (v1 tasks,
 * cgroup.threads of v2); it is for threads whose set is not their leader's, after the leader is in
 * place.
 */
int cgroups_enter(const struct cgroups_plan *plan, uint32_t set_id, pid_t pid, struct err *err)
	__attribute__((warn_unused_result));
int cgroups_enter_thread(const struct cgroups_plan *plan, uint32_t set_id, pid_t tid,
			 struct err *err) __attribute__((warn_unused_result));

/*
 * Puts a process into the groups that are to be the root of the set's cgroup namespace. Then that
 * process does unshare(CLONE_NEWCGROUP), which takes its groups of that moment as the roots, and
 * only then is it put into the set by cgroups_enter(). Before cgroups_finish(): a v2 group that
 * distributes controllers takes no processes.
 */
int cgroups_enter_ns_root(const struct cgroups_plan *plan, uint32_t set_id, pid_t pid,
			  struct err *err) __attribute__((warn_unused_result));

/*
 * The directory of the set's cgroup2 group, for clone3(CLONE_INTO_CGROUP): *ret_fd is borrowed and
 * lives as long as the plan, or -1 when the set has none. The v1 groups still need cgroups_enter().
 * 0, or negative for an unknown set.
 */
int cgroups_open_set(const struct cgroups_plan *plan, uint32_t set_id, int *ret_fd, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Sets the properties (limits, device lists, controllers of children) as the mode says. After every
 * task is in its group and memory is in place, so that limits do not hold back the restore itself.
 */
int cgroups_finish(struct cgroups_plan *plan, struct err *err) __attribute__((warn_unused_result));

/* Freezes again the groups that were frozen before the dump; the very last step. */
int cgroups_refreeze(struct cgroups_plan *plan, struct err *err)
	__attribute__((warn_unused_result));

/*
 * After a failed restore, when its tasks are dead: thaws what cgroups_refreeze() froze and removes
 * the directories that cgroups_prepare() made. Waits up to a second for dead tasks to leave. What
 * cannot be removed is logged and stays.
 */
void cgroups_undo(struct cgroups_plan *plan);
