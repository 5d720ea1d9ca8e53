/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The parent of a vfork(2) sleeps until its child has another memory, and cannot be stopped before.
 * Where all threads were seized while a cgroup was frozen, the child is stopped already: it goes on
 * until the parent has come out.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proctext.h"
#include "engine/tracee/tracee-priv.h"

/* A child of a vfork can be the parent of another one. */
enum { NESTING_MAX = 8 };

/* The call that a sleeping thread is in: its number and first argument. */
static int call_of(pid_t tid, long *ret_nr, uint64_t *ret_arg)
{
	cleanup_buf struct buf b = BUF_INIT;
	char path[48];
	int r;

	snprintf(path, sizeof(path), "/proc/%d/syscall", tid);
	r = io_read_file(AT_FDCWD, path, &b);
	if (r < 0)
		return r;
	return b.len && sscanf(b.data, "%ld 0x%lx", ret_nr, ret_arg) == 2 ? 0 : -EINVAL;
}

bool vfork_waits(pid_t tid)
{
	uint64_t flags = 0;
	long nr;

	if (call_of(tid, &nr, &flags) < 0)
		return false;
#ifdef SYS_vfork
	if (nr == SYS_vfork)
		return true;
#endif
	if (nr == SYS_clone3 && tracee_read(tid, flags, &flags, sizeof(flags)) < 0)
		return false;
	return (nr == SYS_clone || nr == SYS_clone3) && flags & CLONE_VFORK;
}

/* True if it is held by us, at a stop that is not one of job control. */
static bool is_held(pid_t pid, int *ret_signal)
{
	siginfo_t si = { 0 };
	int event;

	if (waitid(P_PID, (id_t)pid, &si, WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0 ||
	    si.si_pid != pid || si.si_code != CLD_TRAPPED)
		return false;
	event = si.si_status >> 8;
	*ret_signal = event ? 0 : si.si_status & 0x7f;
	return event == 0 || (si.si_status & 0x7f) == SIGTRAP;
}

static void let_run(pid_t pid, struct vfork_children *ret)
{
	int sig, status;
	pid_t *slot;

	if (!is_held(pid, &sig))
		return;
	slot = vec_add(&ret->pids);
	if (!slot)
		return;
	*slot = waitpid(pid, &status, __WALL | WNOHANG) == pid ? pid : 0;
	if (*slot)
		ptrace(PTRACE_CONT, pid, NULL, (void *)(long)sig);
}

static void let_children_run(pid_t tgid, pid_t tid, int depth, struct vfork_children *ret)
{
	cleanup_buf struct buf b = BUF_INIT;
	struct proc_pids pids = { 0 };
	char path[64];
	pid_t *pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", tgid, tid);
	if (depth > NESTING_MAX || !vfork_waits(tid) || io_read_file(AT_FDCWD, path, &b) < 0 ||
	    proc_children_parse(b.data, b.len, &pids) < 0)
		return;
	vec_foreach (pid, &pids) {
		if (syscall(SYS_kcmp, tid, *pid, KCMP_VM, 0, 0) != 0)
			continue;
		let_run(*pid, ret);
		let_children_run(*pid, *pid, depth + 1, ret);
	}
	vec_free(&pids);
}

void vfork_let_run(const struct tracee *t, struct vfork_children *ret)
{
	let_children_run(t->tgid, t->tid, 0, ret);
}

void vfork_stop_again(struct vfork_children *c)
{
	pid_t *pid;

	/* one that has ended needs none */
	vec_foreach (pid, &c->pids)
		if (*pid)
			ptrace(PTRACE_INTERRUPT, *pid, NULL, NULL);
	vec_free(&c->pids);
}
