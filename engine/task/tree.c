/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finding and stopping a tree of tasks. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "cgroups/freezer.h"
#include "engine/mem/mem.h"
#include "engine/ns/ns.h"
#include "engine/plugin/plugin.h"
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

static int read_stat(int proc_fd, const char *path, struct proc_stat *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(proc_fd, path, &b);

	return r < 0 ? r : proc_stat_parse(b.data, b.len, ret);
}

static int read_status(int proc_fd, const char *path, struct proc_status *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	int r = io_read_file(proc_fd, path, &b);

	return r < 0 ? r : proc_status_parse(b.data, b.len, ret);
}

/*
 * Threads of the kernel that live in a process: of io_uring, vhost and KVM. They never run the
 * program, and a stop would make a call of theirs fail, so they must be known before. Reading stat
 * of thousands of threads would take long; these have names that tell.
 */
enum { FLAG_IO_WORKER = 0x10, FLAG_USER_WORKER = 0x4000 };

static int refuse_worker(const struct proc_stat *st, struct err *err)
{
	if (!(st->flags & (FLAG_IO_WORKER | FLAG_USER_WORKER)))
		return 0;
	return err_refuse(
		err,
		"thread %d ('%s') is one of the kernel (io_uring, vhost, KVM), which cannot "
		"be kept; nothing was touched",
		st->pid, st->comm);
}

/* struct ptrace_sud_config, Linux 6.4 */
struct dispatch_config {
	uint64_t mode, selector, offset, len;
};

/* Its calls may become signals, also those that we would have it make. */
static int refuse_dispatch(pid_t tid, struct err *err)
{
	struct dispatch_config sud = { 0 };

	if (ptrace(0x4211 /* PTRACE_GET_SYSCALL_USER_DISPATCH_CONFIG */, tid, sizeof(sud), &sud) <
		    0 ||
	    !sud.mode)
		return 0;
	return err_refuse(
		err, "thread %d: syscall user dispatch cannot be kept; nothing was touched", tid);
}

static int check_worker(pid_t pid, pid_t tid, struct err *err)
{
	static const char *const names[] = { "iou-", "vhost-", "kvm-" };
	char path[64], comm[16] = "";
	struct proc_stat st;
	cleanup_fd int fd = -EBADF;
	size_t i;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/comm", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, comm, sizeof(comm) - 1) <= 0)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncmp(comm, names[i], strlen(names[i])) == 0 &&
		    read_stat(AT_FDCWD, path, &st) == 0)
			return refuse_worker(&st, err);
	return 0;
}

/* stat and status of a thread, and its ids inside. 0, or positive when it is gone. */
static int thread_read(struct dump_thread *th, struct err *err)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "task/%d/stat", th->t.tid);
	r = read_stat(th->task->proc_fd, path, &th->stat);
	if (r == 0) {
		snprintf(path, sizeof(path), "task/%d/status", th->t.tid);
		proc_status_done(&th->status);
		r = read_status(th->task->proc_fd, path, &th->status);
	}
	if (r == -ENOENT || r == -ESRCH)
		return TRACEE_IS_GONE;
	if (r < 0)
		return err_sys(err, r, "reading /proc/%d/%s", th->task->pid, path);
	r = refuse_worker(&th->stat, err);
	if (r < 0)
		return r;
	th->t.ns_tid = th->status.nspid.levels ? th->status.nspid.inner : th->t.tid;
	th->t.ns_tgid = th->status.nstgid.levels ? th->status.nstgid.inner : th->t.tgid;
	return 0;
}

static struct dump_thread *thread_add(struct dump *d, struct dump_task *task, pid_t tid)
{
	struct dump_thread *th = arena_alloc(&d->arena, sizeof(*th));
	struct dump_thread **slot = th ? vec_add(&task->threads) : NULL;

	if (!slot)
		return NULL;
	th->task = task;
	th->t.tid = tid;
	th->t.tgid = task->pid;
	th->t.stop_within_ms = (d->opts->timeout_s ?: 10) * 1000;
	th->leader = tid == task->pid;
	*slot = th;
	return th;
}

/* The place of a thread that was begun to be seized and not taken over yet, or NULL. */
static pid_t *find_begun(struct dump *d, pid_t tid)
{
	pid_t *p;

	vec_foreach (p, &d->begun)
		if (*p == tid)
			return p;
	return NULL;
}

/* True once for a thread that was begun to be seized. */
static bool take_begun(struct dump *d, pid_t tid)
{
	pid_t *p = find_begun(d, tid);

	if (!p)
		return false;
	*p = 0;
	if (--d->begun_left == 0)
		d->begun.n = 0;
	return true;
}

/*
 * Begins to seize a thread, so that it stops while we look after others. One that has ended, or
 * that cannot be seized, is met again when it is its turn.
 */
static int begin_thread(struct dump *d, pid_t pid, pid_t tid, struct err *err)
{
	struct tracee t = { .tid = tid, .tgid = pid };
	pid_t *slot;
	int r;

	if (find_begun(d, tid))
		return 0;
	r = tid == pid ? 0 : check_worker(pid, tid, err);
	if (r < 0)
		return r;
	r = tracee_seize_begin(&t, false, err);
	slot = r == 0 ? vec_add(&d->begun) : NULL;
	if (slot) {
		*slot = tid;
		d->begun_left++;
	}
	return r < 0 ? r : 0;
}

static void find_restarted(struct tracee *t)
{
	uint8_t text[64];
	size_t len = arch_restart_text(t->ctx);

	if (len && len <= sizeof(text) &&
	    tracee_read(t->tid, arch_context_ip(t->ctx) - len, text, len) == 0)
		arch_context_find_restarted(t->ctx, text, len);
}

/* Seizes one thread. Positive if it ended meanwhile (then it is not in the list). */
static int thread_stop(struct dump *d, struct dump_task *task, pid_t tid, struct err *err)
{
	struct dump_thread *th = thread_add(d, task, tid);
	int r;

	if (!th)
		return err_nomem(err);
	r = 0;
	if (!take_begun(d, tid)) {
		r = th->leader ? 0 : check_worker(task->pid, tid, err);
		if (r == 0)
			r = tracee_seize_begin(&th->t, false, err);
	}
	if (r == 0)
		r = tracee_seize_wait(&th->t, err);
	if (r == 0)
		r = vdso_leave(th, err);
	if (r == 0)
		r = thread_read(th, err);
	if (r != 0) {
		task->threads.n--;
		tracee_done(&th->t);
		return r;
	}
	r = refuse_dispatch(th->t.tid, err);
	if (r < 0)
		return r;
	if (th->status.seccomp_mode)
		th->seccomp_suspended = tracee_suspend_seccomp(&th->t) == 0;
	/* Our stop made the call fail; with a signal on its way it would have failed anyway. */
	if (!((th->status.sig_pnd | th->status.shd_pnd) & ~th->t.ctx->sigmask))
		th->t.ctx_changed = arch_context_undo_interrupt(th->t.ctx);
	find_restarted(&th->t);
	r = rseq_leave_section(th, err);
	if (r < 0)
		return r;
	return tracee_choose_end_signal(&th->t, th->status.sig_cgt,
					th->status.sig_pnd | th->status.shd_pnd, err);
}

static int begin_threads(struct dump *d, pid_t pid, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		pid_t tid = atoi(e->d_name);
		int r = tid > 0 ? begin_thread(d, pid, tid, err) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

static bool has_thread(const struct dump_task *task, pid_t tid)
{
	struct dump_thread **th;

	vec_foreach (th, &task->threads)
		if ((*th)->t.tid == tid)
			return true;
	return false;
}

/* One pass over /proc/PID/task: stops the threads that are new. Gives their number. */
static int threads_pass(struct dump *d, struct dump_task *task, int *ret_new, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	int fd = openat(task->proc_fd, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	*ret_new = 0;
	if (fd < 0 || !(dir = fdopendir(fd)))
		return errno == ENOENT || errno == ESRCH
			       ? TRACEE_IS_GONE
			       : err_sys(err, -errno, "listing the threads of task %d", task->pid);
	while ((e = readdir(dir))) {
		pid_t tid = atoi(e->d_name);
		int r;

		if (tid <= 0 || has_thread(task, tid))
			continue;
		r = thread_stop(d, task, tid, err);
		if (r < 0)
			return err_wrap(err, r, "task %d", task->pid);
		if (r == 0)
			++*ret_new;
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

	r = read_stat(task->proc_fd, "stat", &st);
	if (r == -ENOENT || r == -ESRCH)
		return TRACEE_IS_GONE;
	if (r < 0)
		return err_sys(err, r, "reading /proc/%d/stat", task->pid);
	if (st.state == 'Z' && st.num_threads <= 1)
		return task_is_zombie(d, task, err);
	/* most have one thread, which children_pass() has begun with */
	if (st.num_threads > 1 && (r = begin_threads(d, task->pid, err)) < 0)
		return err_wrap(err, r, "task %d", task->pid);
	do {
		r = threads_pass(d, task, &fresh, err);
		if (r != 0)
			return r;
	} while (fresh);
	/* it has ended meanwhile; before its parent has waited for it, it is still there */
	if (!task->threads.n)
		return read_stat(task->proc_fd, "stat", &st) == 0 && st.state == 'Z'
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
	r = read_status(task->proc_fd, "status", &status);
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
				begin_thread(d, pids.v[i], pids.v[i], &ignored);
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
		r = begin_threads(d, *pid, err);
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

static void refuse_stranger(struct dump *d, pid_t pid, const char *where)
{
	cleanup_fd int fd = io_open_proc(pid);
	struct proc_stat st = { 0 };
	struct proc_status status = { 0 };

	if (fd < 0 || read_stat(fd, "stat", &st) < 0 || read_status(fd, "status", &status) < 0)
		return; /* it has ended meanwhile */
	if (st.state != 'Z')
		dump_refuse(d, NULL,
			    "task %d (%s, pid %d inside) is in the same %s but is not a descendant "
			    "of the root task (exec puts such processes there), and would be lost; "
			    "hint: "
			    "let it end before the dump",
			    pid, st.comm, status.nspid.inner, where);
	proc_status_done(&status);
}

static int strangers_of_cgroup(struct dump *d, const struct cgroup_freezer *f, struct err *err)
{
	struct cgroup_pids list = { 0 };
	pid_t *pid;
	int r = freezer_pids(f, &list, err);

	vec_foreach (pid, &list.pids)
		if (r == 0 && !dump_task_by_pid(d, *pid))
			refuse_stranger(d, *pid, "cgroup");
	vec_free(&list.pids);
	return r;
}

/* Tasks of the pid namespace that the cgroup does not show. */
static int strangers_of_pidns(struct dump *d, struct err *err)
{
	cleanup_dir DIR *dir = opendir("/proc");
	struct dirent *e;
	char path[64];

	if (!dir)
		return err_sys(err, -errno, "listing /proc");
	while ((e = readdir(dir))) {
		pid_t pid = atoi(e->d_name);
		struct stat st;

		snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
		if (pid > 0 && !dump_task_by_pid(d, pid) && stat(path, &st) == 0 &&
		    st.st_ino == d->root_ns.ino[NS_PID])
			refuse_stranger(d, pid, "pid namespace");
	}
	return 0;
}

int tree_check_strangers(struct dump *d, const struct cgroup_freezer *freezer, struct err *err)
{
	if (freezer)
		return strangers_of_cgroup(d, freezer, err);
	/* a pid namespace that is handed over at restore is shared with others */
	if (d->root_ns.id[NS_PID] != d->host_ns.id[NS_PID] &&
	    !ns_external_key(d->opts, NS_PID, d->root_ns.ino[NS_PID]))
		return strangers_of_pidns(d, err);
	return 0;
}

void tree_done(struct dump *d)
{
	struct dump_task **task;

	vec_foreach (task, &d->tasks)
		task_drop(*task);
	vec_free(&d->tasks);
}
