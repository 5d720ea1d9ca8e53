/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading the tree of tasks, and checking that it can be forked as it was. */
#include "engine/task/load.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "engine/core/errand.h"
#include "engine/task/attr.h"
#include "engine/task/plan.h"
#include "engine/task/sharing.h"
#include "proto/core.pb-c.h"
#include "proto/task.pb-c.h"

enum { TASKS_MAX = 1 << 20, PID_LIMIT = 1 << 22, SIGNAL_MAX = 64 };

static struct restore_task *task_by_pid(struct restore *r, pid_t pid)
{
	struct restore_task **t;

	vec_foreach (t, &r->tasks)
		if ((*t)->ns_pid == pid)
			return *t;
	return NULL;
}

static bool pid_in_use(struct restore *r, pid_t tid)
{
	struct restore_task **t;
	struct restore_thread **th;

	vec_foreach (t, &r->tasks)
		vec_foreach (th, &(*t)->threads)
			if ((*th)->ns_tid == tid)
				return true;
	return false;
}

static int load_core(struct restore *r, struct restore_task *task, pid_t tid, struct err *err)
{
	struct restore_thread *th = arena_alloc(&r->arena, sizeof(*th));
	struct restore_thread **slot = th ? vec_add(&task->threads) : NULL;
	CoreEntry *core;
	int n;

	if (!slot)
		return err_nomem(err);
	*slot = th;
	th->task = task;
	th->ns_tid = tid;
	th->leader = task->threads.n == 1;
	n = restore_read_one(r, IMG_CORE, &core_entry__descriptor, &core, err, "core-%d.img", tid);
	if (n < 0)
		return n;
	th->core = core;
	if (th->leader && !core->tc)
		return err_image(err, "image 'core-%d.img': it has no task part", tid);
	if (th->leader && core->tc->exit_signal > SIGNAL_MAX)
		return err_image(err, "image 'core-%d.img': exit signal %u does not exist", tid,
				 core->tc->exit_signal);
	if (th->leader)
		task->exit_signal = core->tc->has_exit_signal ? (int)core->tc->exit_signal
							      : SIGCHLD;
	task->dead |= th->leader && core->tc->task_state == 2;
	if (!task->dead && (!core->thread_core || !core->thread_info))
		return err_image(err, "image 'core-%d.img': it has no thread part", tid);
	return 0;
}

static int load_task_images(struct restore *r, struct restore_task *task, const PstreeEntry *e,
			    struct err *err)
{
	TaskKobjIdsEntry *ids;
	size_t i;
	int n;

	/* of a zombie the list means nothing: CRIU writes no threads, or a number that is none */
	n = load_core(r, task, task->ns_pid, err);
	if (n < 0)
		return n;
	if (task->dead) {
		task->exit_code = (int)task->threads.v[0]->core->tc->exit_code;
		return 0;
	}
	task->dead_leader = task->threads.v[0]->core->tc->dead_leader;
	if (task->dead_leader && e->n_threads < 2)
		return err_image(err,
				 "image 'core-%u.img': the first thread has ended, and no other "
				 "is there",
				 e->pid);
	if (!e->n_threads || e->threads[0] != e->pid)
		return err_image(err,
				 "image 'pstree.img': the first thread of task %u is not itself",
				 e->pid);
	for (i = 1; i < e->n_threads; i++) {
		if (!e->threads[i] || e->threads[i] > PID_LIMIT ||
		    pid_in_use(r, (pid_t)e->threads[i]))
			return err_image(
				err,
				"image 'pstree.img': thread %u of task %u is not valid, or "
				"there twice",
				e->threads[i], e->pid);
		n = load_core(r, task, (pid_t)e->threads[i], err);
		if (n < 0)
			return n;
	}
	n = restore_read_one(r, IMG_IDS, &task_kobj_ids_entry__descriptor, &ids, err, "ids-%d.img",
			     task->ns_pid);
	if (n == 0)
		task->ids = ids;
	return n;
}

static int load_task(struct restore *r, const PstreeEntry *e, struct err *err)
{
	struct restore_task *task = arena_alloc(&r->arena, sizeof(*task)), **slot;

	if (!task)
		return err_nomem(err);
	if (!e->pid || e->pid > PID_LIMIT || r->tasks.n >= TASKS_MAX ||
	    pid_in_use(r, (pid_t)e->pid))
		return err_image(err, "image 'pstree.img': pid %u is not valid", e->pid);
	task->ns_pid = (pid_t)e->pid;
	task->ns_pgid = (pid_t)e->pgid;
	task->ns_sid = (pid_t)e->sid;
	task->index = r->tasks.n;
	task->parent = e->ppid ? task_by_pid(r, (pid_t)e->ppid) : NULL;
	if (!task->parent != !r->tasks.n)
		return err_image(err, "image 'pstree.img': parent %u of task %u is not before it",
				 e->ppid, e->pid);
	if (task->parent && task->parent->dead)
		return err_image(err, "image 'pstree.img': parent %u of task %u is dead", e->ppid,
				 e->pid);
	slot = vec_add(&r->tasks);
	if (!slot)
		return err_nomem(err);
	*slot = task;
	return load_task_images(r, task, e, err);
}

int tree_load(struct restore *r, struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, IMG_PSTREE, &reader, err, "pstree.img");

	if (n == IMAGE_ABSENT)
		return err_image(err, "image 'pstree.img' is missing");
	while (n >= 0) {
		cleanup_msg PstreeEntry *e = NULL;

		n = image_next(reader, &pstree_entry__descriptor, &e, err);
		if (n <= 0)
			break;
		n = load_task(r, e, err);
	}
	if (n == 0 && !r->tasks.n)
		n = err_image(err, "image 'pstree.img' is empty");
	if (n == 0 && r->tasks.v[0]->dead)
		n = err_image(err, "image 'pstree.img': the root task is dead");
	if (n == 0)
		n = tree_plan(r, err);
	if (n == 0)
		n = share_load(r, err);
	if (n == 0 && errands_init(r, plan_births(r)) < 0)
		return err_nomem(err);
	return n;
}

int tree_check_attrs(struct restore *r, struct err *err)
{
	const struct task_attr *const *a;
	struct restore_task **t;
	struct restore_thread **th;
	int n;

	vec_foreach (t, &r->tasks) {
		vec_foreach (th, &(*t)->threads) {
			for (a = task_attrs; *a && !(*t)->dead; a++) {
				if (!(*a)->check || (!(*th)->leader && !(*a)->per_thread))
					continue;
				n = (*a)->check(r, *th, err);
				if (n < 0)
					return err_wrap(err, n, "image 'core-%d.img': %s",
							(*th)->ns_tid, (*a)->name);
			}
		}
	}
	return 0;
}
