/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and stopping a tree of tasks. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "cgroups/freezer.h"
#include "engine/mem/mem.h"
#include "engine/ns/ns.h"
#include "engine/plugin/plugin.h"
#include "engine/task/stop.h"
#include "engine/task/task.h"

int ns_set_read(pid_t pid, struct ns_set *ret, struct err *err)
{
	char path[64];
	struct stat st;
	int i;

	for (i = 0; i < NS_TYPE_COUNT; i++) {
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, ns_types[i].name);
		if (stat(path, &st) == 0)
			ret->ino[i] = st.st_ino;
		else if (errno == ENOENT && i == NS_TIME)
			ret->ino[i] = 0; /* a kernel without time namespaces */
		else
			return err_sys(err, -errno, "reading namespace '%s' of task %d",
				       ns_types[i].name, pid);
	}
	return 0;
}

static int task_is_zombie(struct dump *d, struct dump_task *task, struct err *err)
{
	struct dump_thread *th;

	task->state = TASK_DEAD;
	th = thread_add(d, task, task->pid);
	if (!th)
		return err_nomem(err);
	th->t.state = TRACEE_GONE;
	return thread_read(th, err);
}

static int leader_first(const void *a, const void *b)
{
	const struct dump_thread *x = *(struct dump_thread *const *)a;
	const struct dump_thread *y = *(struct dump_thread *const *)b;

	if (x->leader != y->leader)
		return x->leader ? -1 : 1;
	return x->t.tid - y->t.tid;
}

/* Stops all threads of a task: repeated until a pass finds no new one, so none can appear later. */
static int task_stop(struct dump *d, struct dump_task *task, struct err *err)
{
	struct proc_stat st;
	int fresh, r;

	r = proc_stat_read_at(task->proc_fd, "stat", &st);
	if (r == -ENOENT || r == -ESRCH)
		return TRACEE_IS_GONE;
	if (r < 0)
		return err_sys(err, r, "reading /proc/%d/stat", task->pid);
	if (st.state == 'Z' && st.num_threads <= 1)
		return task_is_zombie(d, task, err);
	/* most have one thread, which children_pass() has begun with */
	if (st.num_threads > 1 && (r = threads_begin(d, task->pid, err)) < 0)
		return err_wrap(err, r, "task %d", task->pid);
	do {
		r = threads_pass(d, task, &fresh, err);
		if (r != 0)
			return r;
	} while (fresh);
	/* it has ended meanwhile; before its parent has waited for it, it is still there */
	if (!task->threads.n)
		return proc_stat_read_at(task->proc_fd, "stat", &st) == 0 && st.state == 'Z'
			       ? task_is_zombie(d, task, err)
			       : TRACEE_IS_GONE;
	qsort(task->threads.v, task->threads.n, sizeof(task->threads.v[0]), leader_first);
	task->state = TASK_ALIVE;
	return task->threads.v[0]->leader ? 0 : tree_stand_in(d, task, err);
}

static struct dump_task *task_add(struct dump *d, struct dump_task *parent, pid_t pid)
{
	struct dump_task *task = arena_alloc(&d->arena, sizeof(*task));
	struct dump_task **slot = task ? vec_add(&d->tasks) : NULL;

	if (!slot)
		return NULL;
	task->parent = parent;
	task->pid = task->tid = pid;
	task->proc_fd = task->pidfd = task->files_pidfd = -EBADF;
	*slot = task;
	return task;
}

static void task_drop(struct dump_task *task)
{
	struct dump_thread **th;

	vec_foreach (th, &task->threads) {
		proc_status_done(&(*th)->status);
		tracee_done(&(*th)->t);
	}
	vec_free(&task->threads);
	proc_vmas_done(&task->vmas);
	vec_free(&task->guards);
	if (task->proc_fd >= 0)
		close(task->proc_fd);
	if (task->files_pidfd >= 0 && task->files_pidfd != task->pidfd)
		close(task->files_pidfd);
	if (task->pidfd >= 0)
		close(task->pidfd);
}

/*
 * What ptrace(2) would ask if that user attached: his own task, whose program he may read (else its
 * files in /proc are root's), without capabilities. Asked before it is stopped, and again when
 * nothing can change any more.
 */
static int check_user(struct dump *d, const struct dump_task *task, struct err *err)
{
	const struct ckpt_options *o = d->opts;
	struct proc_status status;
	struct stat st;
	bool his;
	int r;

	if (!o->for_user)
		return 0;
	r = proc_status_read_at(task->proc_fd, "status", &status);
	if (r == -ENOENT || r == -ESRCH)
		return TRACEE_IS_GONE;
	if (r < 0)
		return err_sys(err, r, "reading the status of task %d", task->pid);
	his = fstatat(task->proc_fd, "status", &st, 0) == 0 && st.st_uid == o->user_uid &&
	      !status.cap_prm;
	for (r = 0; r < 4; r++)
		his &= status.uid[r] == o->user_uid;
	proc_status_done(&status);
	if (his)
		return 0;
	return err_new(err, ERR_ENVIRONMENT, -EPERM,
		       "user %u asks for a dump, and may not trace task %d", o->user_uid,
		       task->pid);
}

static int task_take(struct dump *d, struct dump_task *parent, pid_t pid, struct err *err)
{
	struct dump_task *task;
	int r;

	if (pid == getpid()) {
		err_usage(err, "this process is within the tree to be dumped");
		err_hint(err, "start it from outside of the tree");
		return -EINVAL;
	}
	task = task_add(d, parent, pid);
	if (!task)
		return err_nomem(err);
	task->proc_fd = io_open_proc(pid);
	if (task->proc_fd == -ENOENT)
		r = TRACEE_IS_GONE;
	else if (task->proc_fd < 0)
		return err_sys(err, task->proc_fd, "opening /proc/%d", pid);
	else
		r = check_user(d, task, err);
	/* the root of a cgroup that is frozen was paused before that */
	if (r == 0 && (parent || !d->freezer))
		r = plugin_optional(err, plugins_pause_devices(d->plugins, pid), "PAUSE_DEVICES");
	if (r == 0)
		r = task_stop(d, task, err);
	if (r == 0)
		r = check_user(d, task, err);
	if (r == TRACEE_IS_GONE) {
		task_drop(task);
		d->tasks.n--;
	}
	if (r != 0)
		return r;
	task->pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (!task->dead_leader)
		task->files_pidfd = task->pidfd;
	task->ns_pid = task->threads.v[0]->t.ns_tgid;
	task->ns_pgid = task->threads.v[0]->status.nspgid.inner;
	task->ns_sid = task->threads.v[0]->status.nssid.inner;
	return 0;
}

/* Children of all threads of a task that are not known yet. */
static int children_pass(struct dump *d, struct dump_task *task, bool *ret_new, struct err *err)
{
	struct dump_thread **th;
	char path[64];

	vec_foreach (th, &task->threads) {
		cleanup_buf struct buf b = BUF_INIT;
		struct proc_pids pids = { 0 };
		size_t i;
		int r;

		snprintf(path, sizeof(path), "task/%d/children", (*th)->t.tid);
		r = io_read_file(task->proc_fd, path, &b);
		if (r == 0)
			r = proc_children_parse(b.data, b.len, &pids);
		if (r == -ENOENT || r == -ESRCH)
			continue;
		if (r < 0)
			return err_sys(err, r, "reading /proc/%d/%s", task->pid, path);
		for (i = 0; i < pids.n; i++) {
			struct err ignored = ERR_INIT;

			if (!dump_task_by_pid(d, pids.v[i]))
				thread_begin(d, pids.v[i], pids.v[i], &ignored);
		}
		for (i = 0; i < pids.n && r >= 0; i++) {
			if (dump_task_by_pid(d, pids.v[i]))
				continue;
			r = task_take(d, task, pids.v[i], err);
			*ret_new |= r == 0;
		}
		vec_free(&pids);
		if (r < 0)
			return r;
	}
	return 0;
}

int tree_seize_frozen(struct dump *d, const struct cgroup_freezer *freezer, struct err *err)
{
	struct cgroup_pids list = { 0 };
	pid_t *pid;
	int r = freezer_pids(freezer, &list, err);

	vec_foreach (pid, &list.pids) {
		if (r < 0)
			break;
		r = threads_begin(d, *pid, err);
	}
	vec_free(&list.pids);
	return r;
}

/* Threads that were seized in the cgroup and turned out not to be in the tree. */
static void release_begun(struct dump *d)
{
	pid_t *p;

	vec_foreach (p, &d->begun) {
		struct tracee t = { .tid = *p };
		struct err err = ERR_INIT;

		if (*p && tracee_seize_wait(&t, &err) == 0)
			tracee_release(&t, &err);
		tracee_done(&t);
	}
	vec_free(&d->begun);
}

int tree_collect(struct dump *d, struct err *err)
{
	bool fresh = true;
	size_t i;
	int r;

	r = task_take(d, NULL, d->opts->pid, err);
	if (r < 0)
		return r;
	if (r == TRACEE_IS_GONE || d->tasks.v[0]->state == TASK_DEAD) {
		err_new(err, ERR_USAGE, -ESRCH, "task %d does not exist", d->opts->pid);
		err_hint(err, "give the pid of a running process with --tree");
		return -ESRCH;
	}
	/* Again until a whole pass finds nothing: children move to init when their parent ends. */
	while (fresh) {
		fresh = false;
		for (i = 0; i < d->tasks.n; i++) {
			r = children_pass(d, d->tasks.v[i], &fresh, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

void tree_release(struct dump *d)
{
	struct dump_task **task;
	struct dump_thread **th;

	release_begun(d);
	vec_foreach (task, &d->tasks) {
		vec_foreach (th, &(*task)->threads) {
			struct err err = ERR_INIT;

			rseq_enter_section(*th);
			if (tracee_release(&(*th)->t, &err) < 0)
				log_err(d->log, &err);
		}
	}
}

void tree_kill(struct dump *d)
{
	struct dump_task **task;

	vec_foreach (task, &d->tasks)
		if ((*task)->state != TASK_DEAD)
			kill((*task)->pid, SIGKILL);
}

/* The signal is queued while the task is held: it stops before it runs a single instruction. */
void tree_stop(struct dump *d)
{
	struct dump_task **task;

	vec_foreach (task, &d->tasks)
		if ((*task)->state != TASK_DEAD)
			kill((*task)->pid, SIGSTOP);
}

/* A traced thread that was killed stays until its tracer has waited for it, and holds others up. */
static void reap_traced(struct dump *d)
{
	struct dump_task *const *task;
	struct dump_thread *const *th;

	vec_foreach (task, &d->tasks)
		vec_foreach (th, &(*task)->threads)
			waitpid((*th)->t.tid, NULL, __WALL | WNOHANG);
}

void tree_wait_gone(struct dump *d)
{
	struct dump_task *const *task;

	vec_foreach (task, &d->tasks) {
		struct pollfd p = { .fd = (*task)->pidfd, .events = POLLIN };
		int tries = 0;

		if (p.fd < 0 || (*task)->state == TASK_DEAD)
			continue;
		/* readable when the task has ended; whoever is its parent reaps it */
		while (poll(&p, 1, tries ? 2 : 0) <= 0 && ++tries < 5000)
			reap_traced(d);
	}
}

void tree_done(struct dump *d)
{
	struct dump_task **task;

	vec_foreach (task, &d->tasks)
		task_drop(*task);
	vec_free(&d->tasks);
}
