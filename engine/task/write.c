/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The shape of the tree: what cannot be kept of it, and pstree.img, ids-*.img, core-*.img. */
#include <errno.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/task/history.h"
#include "engine/task/sharing.h"
#include "engine/task/task.h"
#include "proto/core.pb-c.h"
#include "proto/task.pb-c.h"

static struct dump_task *inside_tree(const struct dump *d, pid_t ns_pid)
{
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		if ((*t)->ns_pid == ns_pid)
			return *t;
	return NULL;
}

/*
 * The leader of a session or group is outside of the tree: it lives there, or in a pid namespace
 * around the tree's. Else it is in the tree, or it has died: its number cannot be used again while
 * it has members.
 */
static bool leader_is_outside(const struct dump *d, pid_t ns_id, pid_t id)
{
	return !ns_id || (!inside_tree(d, ns_id) && (kill(id, 0) == 0 || errno != ESRCH));
}

/* With --shell-job the root's session and group are those of whoever restores. */
static void check_leaders(struct dump *d, const struct dump_task *t)
{
	const struct dump_task *root = d->tasks.v[0];
	const struct proc_stat *st = &t->threads.v[0]->stat;
	bool sid_outside = leader_is_outside(d, t->ns_sid, st->session);
	bool pgid_outside = leader_is_outside(d, t->ns_pgid, st->pgrp);

	/* whom a restore would have to be born below, alive or not */
	if (t == root) {
		sid_outside = t->ns_sid != t->ns_pid;
		pgid_outside = !inside_tree(d, t->ns_pgid);
	}
	if (sid_outside && !(d->opts->shell_job && t->ns_sid == root->ns_sid))
		dump_refuse(d, t,
			    "its session leader (pid %d) is not in the tree; hint: --shell-job",
			    t->ns_sid);
	else if (pgid_outside && !(d->opts->shell_job && t->ns_pgid == root->ns_pgid))
		dump_refuse(d, t,
			    "its process group leader (pid %d) is not in the tree; hint: "
			    "--shell-job",
			    t->ns_pgid);
}

static uint32_t group_of(const struct dump_task *t, enum shared_table table)
{
	if (!t || t->state == TASK_DEAD)
		return 0;
	switch (table) {
	case SHARED_FILES:
		return t->files_id;
	case SHARED_DIRS:
		return t->fs_id;
	case SHARED_UNDO:
		return t->undo_id;
	case SHARED_MEMORY:
		return t->vm_id;
	default:
		return t->sighand_id;
	}
}

/* Other threads than the first have none. */
static int exit_signal_of(const struct dump_task *t)
{
	return t->dead_leader ? t->leader_stat.exit_signal : t->threads.v[0]->stat.exit_signal;
}

/* What is shared must be had by forking: one way or the other, as a restore will do it. */
static int check_shared(struct dump *d, const struct share_kin *kin, size_t n,
			enum shared_table table, struct err *err)
{
	cleanup_free struct share_node *nodes = calloc(n + 1, sizeof(*nodes));
	size_t i, at = 0;
	int r;

	if (!nodes)
		return err_nomem(err);
	for (i = 0; i < n; i++) {
		nodes[i].forker = kin[i].forker;
		nodes[i].group = group_of(i < d->tasks.n ? d->tasks.v[i] : NULL, table);
	}
	r = share_plan(nodes, n, &at);
	if (r == SHARE_CROSSES)
		dump_refuse(d, at < d->tasks.n ? d->tasks.v[at] : NULL,
			    "tasks around it share two tables of %s in a way that no order of "
			    "forks gives again",
			    share_name(table));
	for (i = 0; i < d->tasks.n && r == 0; i++)
		if (!share_stays_with(&nodes[i], table, false))
			dump_refuse(d, d->tasks.v[i],
				    "tasks around it share their %s, and no order of forks gives "
				    "that again; hint: a process that executes a program after "
				    "others were cloned leaves them like this",
				    share_name(table));
	return r < 0 ? err_nomem(err) : 0;
}

static int check_all_shared(struct dump *d, const struct history *h, struct err *err)
{
	size_t i, n = h->births.n;
	cleanup_free struct share_kin *kin = calloc(n + 1, sizeof(*kin));
	int table, r = 0;

	if (!kin)
		return err_nomem(err);
	for (i = 0; i < n; i++) {
		const struct dump_task *t = i < d->tasks.n ? d->tasks.v[i] : NULL;

		kin[i] = (struct share_kin){
			.forker = h->births.v[i].forker,
			.parent = t && t->parent ? t->parent->index : SHARE_NOBODY,
			.helper = !t,
			.leads = h->births.v[i].leads,
			.sid = t ? t->ns_sid : 0,
			.exit_signal = t ? exit_signal_of(t) : 0,
			.memory = group_of(t, SHARED_MEMORY),
			.handlers = group_of(t, SHARED_HANDLERS),
		};
	}
	r = share_siblings(kin, n);
	for (table = 0; table < SHARED_TABLES && r == 0; table++)
		r = check_shared(d, kin, n, (enum shared_table)table, err);
	return r;
}

/* Whether a restore can give everybody its parent and its session. */
static int check_history(struct dump *d, struct err *err)
{
	struct history_task *list = arena_alloc(&d->arena, d->tasks.n * sizeof(*list));
	const struct dump_task *root = d->tasks.v[0];
	struct history h = { 0 };
	size_t i;
	int r;

	if (!list)
		return err_nomem(err);
	for (i = 0; i < d->tasks.n; i++) {
		struct dump_task *t = d->tasks.v[i];

		t->index = i;
		list[i] = (struct history_task){ t->ns_pid, t->ns_sid,
						 i ? t->parent->index : HISTORY_NOBODY };
		if (t->ns_sid == root->ns_sid && root->ns_sid != root->ns_pid)
			list[i].sid = 0;
	}
	r = history_plan(list, d->tasks.n, &h);
	if (r == HISTORY_IMPOSSIBLE) {
		const struct dump_task *t = d->tasks.v[h.failed < d->tasks.n ? h.failed : 0];

		dump_refuse(d, t,
			    "it is an orphan of session %d, and its place in the tree is one that "
			    "a restore cannot make again",
			    t->ns_sid);
	}
	if (r == 0)
		r = check_all_shared(d, &h, err);
	history_done(&h);
	return r < 0 ? err_nomem(err) : 0;
}

/* Whether anybody else has that table: a thread, or a process with its threads. */
static bool is_shared(const struct dump *d, const struct dump_thread *th, bool files)
{
	struct dump_task *const *t;
	struct dump_thread *const *o;
	uint32_t id = files ? th->files_id : th->fs_id;

	vec_foreach (t, &d->tasks) {
		if ((files ? (*t)->files_id : (*t)->fs_id) == id)
			return true;
		vec_foreach (o, &(*t)->threads)
			if (*o != th && (files ? (*o)->files_id : (*o)->fs_id) == id)
				return true;
	}
	return false;
}

static bool is_memory_shared(const struct dump *d, const struct dump_task *task)
{
	struct dump_task *const *t;

	vec_foreach (t, &d->tasks)
		if (*t != task && (*t)->state != TASK_DEAD && (*t)->vm_id == task->vm_id)
			return true;
	return false;
}

/* Tables of threads: a restore makes one anew, for one thread. */
static void check_thread_tables(struct dump *d, const struct dump_task *t)
{
	struct dump_thread *const *th;

	vec_foreach (th, &t->threads) {
		bool files = (*th)->files_id, dirs = (*th)->fs_id;

		if ((files && is_shared(d, *th, true)) || (dirs && is_shared(d, *th, false)))
			dump_refuse(d, t,
				    "thread %d shares a table of %s with others, and not with its "
				    "process",
				    (*th)->t.tid,
				    files && is_shared(d, *th, true) ? "descriptors"
								     : "directories");
		if ((files || dirs) && is_memory_shared(d, t))
			dump_refuse(d, t,
				    "thread %d has a table of %s of its own, and another process "
				    "shares its memory",
				    (*th)->t.tid, files ? "descriptors" : "directories");
	}
}

static void check_threads(struct dump *d, const struct dump_task *t)
{
	struct dump_thread *const *th;

	vec_foreach (th, &t->threads) {
		if ((*th)->t.stop_signal != t->threads.v[0]->t.stop_signal)
			dump_refuse(d, t, "thread %d is stopped and others are not", (*th)->t.tid);
		if ((*th)->status.x86_features & (PROC_X86_SHSTK | PROC_X86_WRSS))
			dump_refuse(d, t, "thread %d has a shadow stack, which cannot be kept yet",
				    (*th)->t.tid);
	}
}

/* As the child of a vfork does, until it executes a program. */
static void check_parent_of_root(struct dump *d)
{
	const struct dump_task *root = d->tasks.v[0];
	pid_t parent = root->threads.v[0]->stat.ppid;

	if (parent > 0 && syscall(SYS_kcmp, root->tid, parent, KCMP_VM, 0, 0) == 0)
		dump_refuse(d, root,
			    "it shares its memory with its parent, task %d, which is not in the "
			    "tree; hint: dump the tree of that one, or try again if it waits in "
			    "vfork",
			    parent);
}

int tree_check(struct dump *d, struct err *err)
{
	struct dump_task **t;
	size_t before = d->refusals.n;
	int r = 0;

	vec_foreach (t, &d->tasks)
		check_leaders(d, *t);
	if (d->refusals.n == before)
		r = check_history(d, err);
	check_parent_of_root(d);
	vec_foreach (t, &d->tasks) {
		if ((*t)->state == TASK_DEAD)
			continue;
		check_threads(d, *t);
		check_thread_tables(d, *t);
	}
	return r;
}

static int write_pstree(struct dump *d, const struct dump_task *t, struct err *err)
{
	PstreeEntry e = PSTREE_ENTRY__INIT;
	uint32_t *tids = arena_alloc(&d->arena, (t->threads.n + 1) * sizeof(*tids));
	size_t i, n = 0;

	if (!tids)
		return err_nomem(err);
	if (t->dead_leader)
		tids[n++] = (uint32_t)t->ns_pid;
	for (i = 0; i < t->threads.n; i++)
		tids[n++] = (uint32_t)t->threads.v[i]->t.ns_tid;
	e.pid = (uint32_t)t->ns_pid;
	e.ppid = t->parent ? (uint32_t)t->parent->ns_pid : 0;
	e.pgid = (uint32_t)t->ns_pgid;
	e.sid = (uint32_t)t->ns_sid;
	e.n_threads = n;
	e.threads = tids;
	return image_add(image_get(d->images, IMG_PSTREE, "pstree.img"), &e.base) < 0
		       ? err_nomem(err)
		       : 0;
}

static int write_ids(struct dump *d, const struct dump_task *t, struct err *err)
{
	TaskKobjIdsEntry e = TASK_KOBJ_IDS_ENTRY__INIT;

	e.vm_id = t->vm_id;
	e.files_id = t->files_id;
	e.fs_id = t->fs_id;
	e.sighand_id = t->sighand_id;
	e.has_undo_id = t->undo_id != 0;
	e.undo_id = t->undo_id;
	ns_set_fill_ids(&d->root_ns, &e);
	if (image_add(image_get(d->images, IMG_IDS, "ids-%d.img", t->ns_pid), &e.base) < 0)
		return err_nomem(err);
	return 0;
}

void ns_set_fill_ids(const struct ns_set *set, TaskKobjIdsEntry *e)
{
	e->has_pid_ns_id = e->has_net_ns_id = e->has_ipc_ns_id = e->has_uts_ns_id = true;
	e->has_mnt_ns_id = e->has_user_ns_id = true;
	e->has_cgroup_ns_id = set->ino[NS_CGROUP] != 0;
	e->has_time_ns_id = set->ino[NS_TIME] != 0;
	e->pid_ns_id = set->id[NS_PID];
	e->net_ns_id = set->id[NS_NET];
	e->ipc_ns_id = set->id[NS_IPC];
	e->uts_ns_id = set->id[NS_UTS];
	e->mnt_ns_id = set->id[NS_MNT];
	e->user_ns_id = set->id[NS_USER];
	e->cgroup_ns_id = set->id[NS_CGROUP];
	e->time_ns_id = set->id[NS_TIME];
}

void ns_set_read_ids(struct ns_set *set, const TaskKobjIdsEntry *e)
{
	set->id[NS_PID] = e->has_pid_ns_id ? e->pid_ns_id : 0;
	set->id[NS_NET] = e->has_net_ns_id ? e->net_ns_id : 0;
	set->id[NS_IPC] = e->has_ipc_ns_id ? e->ipc_ns_id : 0;
	set->id[NS_UTS] = e->has_uts_ns_id ? e->uts_ns_id : 0;
	set->id[NS_MNT] = e->has_mnt_ns_id ? e->mnt_ns_id : 0;
	set->id[NS_USER] = e->has_user_ns_id ? e->user_ns_id : 0;
	set->id[NS_CGROUP] = e->has_cgroup_ns_id ? e->cgroup_ns_id : 0;
	set->id[NS_TIME] = e->has_time_ns_id ? e->time_ns_id : 0;
}

void core_set_cgroup(struct dump_thread *th, uint32_t set_id)
{
	th->core->thread_core->has_cg_set = true;
	th->core->thread_core->cg_set = set_id;
}

/* The parent of the root is not in the tree. */
void core_set_exit_signal(const struct dump_task *task, TaskCoreEntry *tc)
{
	tc->has_exit_signal = task->parent && exit_signal_of(task) != SIGCHLD;
	tc->exit_signal = (uint32_t)exit_signal_of(task);
}

/* A zombie has no threads to ask: its image holds its name and how it ended. */
static int write_zombie(struct dump *d, const struct dump_task *t, struct err *err)
{
	CoreEntry core = CORE_ENTRY__INIT;
	TaskCoreEntry tc = TASK_CORE_ENTRY__INIT;
	char comm[sizeof(t->threads.v[0]->stat.comm)];

	memcpy(comm, t->threads.v[0]->stat.comm, sizeof(comm));
	core.mtype = CORE_ENTRY__MARCH__X86_64;
	core.tc = &tc;
	tc.task_state = TASK_DEAD;
	tc.exit_code = (uint32_t)t->threads.v[0]->stat.exit_code;
	tc.comm = comm;
	core_set_exit_signal(t, &tc);
	if (image_add(image_get(d->images, IMG_CORE, "core-%d.img", t->ns_pid), &core.base) < 0)
		return err_nomem(err);
	return 0;
}

/*
 * A first thread that has ended is restored as one that ends at once: it makes that call and no
 * other, with all signals blocked, and leaves nothing in memory. What belongs to the process goes
 * to its image from that of its stand-in, which the rest of it is a copy of.
 */
static int write_dead_leader(struct dump *d, const struct dump_task *t, struct err *err)
{
	CoreEntry *core = t->threads.v[0]->core, leader = CORE_ENTRY__INIT;
	cleanup_free struct arch_context *ctx = arch_context_new();
	SignalQueueEntry nothing = SIGNAL_QUEUE_ENTRY__INIT;
	struct arch_step end = { .nr = SYS_exit,
				 .args = { ((uint32_t)t->leader_stat.exit_code >> 8) & 0xff } };
	ThreadCoreEntry thread = THREAD_CORE_ENTRY__INIT;
	char comm[sizeof(t->leader_stat.comm)];
	int r;

	if (!ctx)
		return err_nomem(err);
	memcpy(comm, t->leader_stat.comm, sizeof(comm));
	thread.creds = core->thread_core->creds;
	thread.has_cg_set = core->thread_core->has_cg_set;
	thread.cg_set = core->thread_core->cg_set;
	thread.comm = comm;
	thread.futex_rla_len = core->thread_core->futex_rla_len;
	thread.has_blk_sigset = true;
	thread.blk_sigset = UINT64_MAX;
	thread.signals_p = &nothing;
	leader.thread_core = &thread;
	leader.tc = core->tc;
	leader.tc->comm = comm;
	leader.tc->blk_sigset = UINT64_MAX;
	leader.tc->has_dead_leader = leader.tc->dead_leader = true;
	*ctx = *t->threads.v[0]->t.ctx;
	arch_call_regs(t->threads.v[0]->t.ctx, t->gadgets.syscall_ret,
		       arch_context_sp(t->threads.v[0]->t.ctx), &end, ctx);
	r = arch_core_fill(ctx, 0, &leader);
	if (r == 0)
		r = image_add(image_get(d->images, IMG_CORE, "core-%d.img", t->ns_pid),
			      &leader.base);
	arch_core_release(&leader);
	core->tc = NULL;
	return r < 0 ? err_nomem(err) : 0;
}

static int write_cores(struct dump *d, const struct dump_task *t, struct err *err)
{
	struct dump_thread *const *th;

	if (t->dead_leader && write_dead_leader(d, t, err) < 0)
		return err->code;
	vec_foreach (th, &t->threads) {
		ThreadCoreEntry *thread = (*th)->core->thread_core;
		int r;

		thread->has_files_id = (*th)->files_id != 0;
		thread->files_id = (*th)->files_id;
		thread->has_own_fs = thread->own_fs = (*th)->fs_id != 0;
		r = image_add(image_get(d->images, IMG_CORE, "core-%d.img", (*th)->t.ns_tid),
			      &(*th)->core->base);

		arch_core_release((*th)->core);
		if (r < 0)
			return err_nomem(err);
	}
	return 0;
}

int tree_write(struct dump *d, struct err *err)
{
	struct dump_task **t;
	int r = 0;

	vec_foreach (t, &d->tasks) {
		r = write_pstree(d, *t, err);
		if (r == 0 && (*t)->state == TASK_DEAD)
			r = write_zombie(d, *t, err);
		else if (r == 0) {
			r = write_ids(d, *t, err);
			if (r == 0)
				r = write_cores(d, *t, err);
		}
		if (r < 0)
			break;
	}
	return r;
}
