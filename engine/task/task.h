/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tasks of a dump: finding, stopping and identifying them; their attributes. */
#pragma once

#include "engine/core/dump.h"

/*
 * Finds the tree of opts->pid and stops all of it with ptrace: d->tasks, parents first, each with
 * its threads stopped and their status read. Tasks that appear while this runs are found too.
 */
int tree_collect(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * For a task whose threads are all stopped, and whose first one is not among them: it has ended.
 * Makes the first of the list the one that answers for the process.
 */
int tree_stand_in(struct dump *d, struct dump_task *task, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Begins to seize every thread of a frozen cgroup, so that none can run between the thaw and the
 * collecting.
 */
struct cgroup_freezer;
int tree_seize_frozen(struct dump *d, const struct cgroup_freezer *freezer, struct err *err)
	__attribute__((warn_unused_result));

/*
 * Refuses processes that live with the tree but are not of it: in the frozen cgroup, or else in the
 * tree's own pid namespace.
 */
int tree_check_strangers(struct dump *d, const struct cgroup_freezer *freezer, struct err *err)
	__attribute__((warn_unused_result));

/* Queues SIGSTOP for every task, to be called before tree_release(). */
void tree_stop(struct dump *d);

/* Waits until every killed task has ended (not: been reaped). */
void tree_wait_gone(struct dump *d);

/* Sets the cgroup set of a thread in its core. */
void core_set_cgroup(struct dump_thread *th, uint32_t set_id);

/* Gives every thread its registers back and lets it go. Leaves the tree as it was found. */
void tree_release(struct dump *d);

/* Ends the whole tree with SIGKILL, from the root of the pid namespace if it has one. */
void tree_kill(struct dump *d);

/* Frees what the tasks own. */
void tree_done(struct dump *d);

/* Refuses what cannot be kept of the shape of the tree and the namespaces of its tasks. */
int tree_check(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* kcmp(2): sets vm_id, files_id, fs_id and sighand_id of every task. */
int tree_identify(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/* Makes the scratch mapping of every living task and runs one program a thread. */
int tree_question(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * Raises the limits that can leave no room for a scratch mapping, as far as that is allowed, until
 * room_give_back(); also the death of this process gives them back. room_explain() adds to an error
 * which one is in the way.
 */
void room_make(struct dump *d, const struct dump_task *task);
int room_give_back(struct dump *d, struct err *err) __attribute__((warn_unused_result));
void room_explain(const struct dump_task *task, struct err *err);

/*
 * What the end of the task would add to System V semaphores, into its core. After the program of
 * its leader, the scratch mapping still there.
 */
int sem_undo_capture(struct dump *d, struct dump_task *task, struct err *err)
	__attribute__((warn_unused_result));
void sem_undo_done(struct dump *d);

/* The signal that a task sends its parent at its end, for its core: SIGCHLD is the rule. */
struct TaskCoreEntry;
void core_set_exit_signal(const struct dump_task *task, struct TaskCoreEntry *tc);

/* Takes the scratch mappings away. */
int tree_unscratch(struct dump *d, struct err *err);

/* pstree.img, core-*.img, ids-*.img. */
int tree_write(struct dump *d, struct err *err) __attribute__((warn_unused_result));

/*
 * A thread that was stopped inside a critical section of restartable sequences goes to its abort
 * handler, as the kernel does it at every preemption: when programs have run in it, the kernel
 * would not do it any more. Kernels before 6.0 know sections that ask to be kept; these are entered
 * again before the thread is let go.
 */
int rseq_leave_section(struct dump_thread *th, struct err *err) __attribute__((warn_unused_result));
void rseq_enter_section(const struct dump_thread *th);

/* Reads the namespaces of a task; missing kinds have inode 0. */
int ns_set_read(pid_t pid, struct ns_set *ret, struct err *err) __attribute__((warn_unused_result));

/* Writes the image ids of a set of namespaces into a message. */
struct TaskKobjIdsEntry;
void ns_set_fill_ids(const struct ns_set *set, struct TaskKobjIdsEntry *e);

/* The reverse; ids that the message lacks become 0. */
void ns_set_read_ids(struct ns_set *set, const struct TaskKobjIdsEntry *e);
