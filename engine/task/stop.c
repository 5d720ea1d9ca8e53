/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/task/stop.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "engine/mem/mem.h"
#include "engine/task/task.h"

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
		    proc_stat_read_at(AT_FDCWD, path, &st) == 0)
			return refuse_worker(&st, err);
	return 0;
}

int thread_read(struct dump_thread *th, struct err *err)
{
	char path[64];
	int r;

	snprintf(path, sizeof(path), "task/%d/stat", th->t.tid);
	r = proc_stat_read_at(th->task->proc_fd, path, &th->stat);
	if (r == 0) {
		snprintf(path, sizeof(path), "task/%d/status", th->t.tid);
		proc_status_done(&th->status);
		r = proc_status_read_at(th->task->proc_fd, path, &th->status);
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

struct dump_thread *thread_add(struct dump *d, struct dump_task *task, pid_t tid)
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

int thread_begin(struct dump *d, pid_t pid, pid_t tid, struct err *err)
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

int threads_begin(struct dump *d, pid_t pid, struct err *err)
{
	cleanup_dir DIR *dir = NULL;
	struct dirent *e;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && (e = readdir(dir))) {
		pid_t tid = atoi(e->d_name);
		int r = tid > 0 ? thread_begin(d, pid, tid, err) : 0;

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

int threads_pass(struct dump *d, struct dump_task *task, int *ret_new, struct err *err)
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
