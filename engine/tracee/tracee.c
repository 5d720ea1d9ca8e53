/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Seizing, stopping, waiting and releasing threads with ptrace(2). */
#include "engine/tracee/tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/base/proc.h"
#include "engine/base/proctext.h"
#include "engine/tracee/tracee-priv.h"

#ifndef PTRACE_O_SUSPEND_SECCOMP
#define PTRACE_O_SUSPEND_SECCOMP (1 << 21)
#endif
#ifndef PTRACE_EVENT_STOP
#define PTRACE_EVENT_STOP 128
#endif

static bool is_stop_signal(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

int tracee_wait(struct tracee *t, struct stop *ret, struct err *err)
{
	int status;
	pid_t r;

	do {
		r = waitpid(t->tid, &status, __WALL);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return err_sys(err, -errno, "waiting for thread %d", t->tid);
	if (!WIFSTOPPED(status)) {
		t->state = TRACEE_GONE;
		ret->what = STOP_GONE;
		ret->status = status;
		return 0;
	}
	ret->status = status;
	ret->sig = WSTOPSIG(status);
	switch (status >> 16) {
	case PTRACE_EVENT_STOP:
		ret->what = is_stop_signal(ret->sig) ? STOP_GROUP : STOP_TRAP;
		break;
	case PTRACE_EVENT_CLONE:
	case PTRACE_EVENT_FORK:
	case PTRACE_EVENT_VFORK:
		ret->what = STOP_CLONE;
		break;
	case 0:
		ret->what = ret->sig == (SIGTRAP | 0x80) ? STOP_SYSCALL : STOP_SIGNAL;
		break;
	default:
		ret->what = STOP_OTHER;
	}
	return 0;
}

static bool in_deep_sleep(pid_t tid)
{
	struct proc_stat st;

	return proc_stat_read(tid, &st) == 0 && st.state == 'D';
}

static int does_not_stop(const struct tracee *t, struct err *err)
{
	if (vfork_waits(t->tid)) {
		err_refuse(err,
			   "thread %d waits in vfork until its child executes a program or ends, "
			   "which cannot be kept; nothing was touched",
			   t->tid);
		err_hint(err, "try again when that child has done so");
		return -EOPNOTSUPP;
	}
	err_new(err, in_deep_sleep(t->tid) ? ERR_UNSUPPORTED : ERR_BUSY, -ETIMEDOUT,
		"thread %d does not stop%s", t->tid,
		in_deep_sleep(t->tid) ? ": it is in an uninterruptible call" : "");
	err_hint(err, "try again when its call has ended, or raise --timeout");
	return -ETIMEDOUT;
}

/*
 * An uninterruptible sleep holds our stop back. Most threads stop within microseconds, so the first
 * looks come without a pause.
 */
static int wait_limited(struct tracee *t, struct vfork_children *others, struct err *err)
{
	struct timespec pause = { 0, 100 * 1000 };
	unsigned int waited_us = 0, looks = 0;
	siginfo_t si;

	while (t->stop_within_ms) {
		si.si_pid = 0;
		if (waitid(P_PID, (id_t)t->tid, &si,
			   WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0 ||
		    si.si_pid)
			return 0; /* tracee_wait() tells */
		if (++looks < 50) {
			sched_yield();
			continue;
		}
		if (looks % 10 == 0 && in_deep_sleep(t->tid))
			vfork_let_run(t, others);
		nanosleep(&pause, NULL);
		waited_us += 150;
		if (waited_us / 1000 < t->stop_within_ms)
			continue;
		return does_not_stop(t, err);
	}
	return 0;
}

int tracee_wait_limited(struct tracee *t, struct err *err)
{
	struct vfork_children others = { 0 };
	int r = wait_limited(t, &others, err);

	vfork_stop_again(&others);
	return r;
}

/*
 * Lets the thread go on until it reports the stop that PTRACE_INTERRUPT asks for. A signal that is
 * being delivered in between is put back by letting the kernel deliver it: the handler's frame is
 * then part of the context that we read.
 */
static int wait_for_interrupt(struct tracee *t, struct err *err)
{
	for (;;) {
		struct stop s;
		int r = tracee_wait_limited(t, err);

		if (r == 0)
			r = tracee_wait(t, &s, err);
		if (r < 0)
			return r;
		switch (s.what) {
		case STOP_GONE:
			return TRACEE_IS_GONE;
		case STOP_GROUP:
			t->stop_signal = s.sig;
			return 0;
		case STOP_TRAP:
			return 0;
		default:
			break;
		}
		if (ptrace(PTRACE_CONT, t->tid, NULL,
			   (void *)(long)(s.what == STOP_SIGNAL ? s.sig : 0)) < 0 &&
		    errno != ESRCH)
			return err_sys(err, -errno, "continuing thread %d", t->tid);
	}
}

int tracee_interrupt(struct tracee *t, struct err *err)
{
	if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0)
		return err_sys(err, -errno, "stopping thread %d", t->tid);
	return wait_for_interrupt(t, err);
}

int tracee_read_context(struct tracee *t, struct err *err)
{
	int r;

	if (!t->ctx) {
		t->ctx = arch_context_new();
		if (!t->ctx)
			return err_nomem(err);
	}
	r = arch_context_get(t->tid, t->ctx);
	if (r == -ESRCH) {
		t->state = TRACEE_GONE;
		return TRACEE_IS_GONE;
	}
	if (r < 0)
		return err_sys(err, r, "reading the registers of thread %d", t->tid);
	return 0;
}

int tracee_seize_begin(struct tracee *t, bool for_restore, struct err *err)
{
	long options = PTRACE_O_TRACESYSGOOD;
	int r;

	if (for_restore)
		options |= PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE;
	if (ptrace(PTRACE_SEIZE, t->tid, NULL, (void *)options) < 0) {
		r = -errno;
		/* a thread that is ending cannot be seized any more: the kernel says EPERM */
		if (r == -ESRCH || (r == -EPERM && proc_has_ended(t->tid)))
			return TRACEE_IS_GONE;
		err_sys(err, r, "seizing thread %d", t->tid);
		if (r == -EPERM)
			err_hint(
				err,
				"it is traced by a debugger already, or CAP_SYS_PTRACE is missing");
		return r;
	}
	t->dead_means_die = for_restore;
	/* one that ends right now tells so when it is waited for */
	if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0 && errno != ESRCH)
		return err_sys(err, -errno, "stopping thread %d", t->tid);
	return 0;
}

int tracee_seize_wait(struct tracee *t, struct err *err)
{
	int r = wait_for_interrupt(t, err);

	if (r != 0)
		return r;
	t->state = TRACEE_STOPPED;
	return tracee_read_context(t, err);
}

int tracee_seize(struct tracee *t, bool for_restore, struct err *err)
{
	int r = tracee_seize_begin(t, for_restore, err);

	return r == 0 ? tracee_seize_wait(t, err) : r;
}

int tracee_move_on(struct tracee *t, struct err *err)
{
	/* a stop asked for at once would come before the first instruction */
	const struct timespec moment = { 0, 20 * 1000 };

	if (ptrace(PTRACE_CONT, t->tid, NULL, NULL) < 0 && errno != ESRCH)
		return err_sys(err, -errno, "continuing thread %d", t->tid);
	t->state = TRACEE_RUNNING;
	nanosleep(&moment, NULL);
	if (ptrace(PTRACE_INTERRUPT, t->tid, NULL, NULL) < 0 && errno != ESRCH)
		return err_sys(err, -errno, "stopping thread %d", t->tid);
	return tracee_seize_wait(t, err);
}

int tracee_adopt(struct tracee *t, struct err *err)
{
	t->dead_means_die = true;
	return tracee_seize_wait(t, err);
}

int tracee_suspend_seccomp(struct tracee *t)
{
	long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_SUSPEND_SECCOMP;

	if (t->dead_means_die)
		options |= PTRACE_O_EXITKILL | PTRACE_O_TRACECLONE;
	return ptrace(PTRACE_SETOPTIONS, t->tid, NULL, (void *)options) < 0 ? errno : 0;
}

void tracee_outlive(struct tracee *t)
{
	if (t->state == TRACEE_STOPPED || t->state == TRACEE_PARKED)
		ptrace(PTRACE_SETOPTIONS, t->tid, NULL, (void *)(long)PTRACE_O_TRACESYSGOOD);
	t->dead_means_die = false;
}

int tracee_release(struct tracee *t, struct err *err)
{
	int r = 0;

	if (t->state != TRACEE_STOPPED && t->state != TRACEE_PARKED)
		return 0;
	if (t->state == TRACEE_PARKED || t->ctx_changed)
		r = arch_context_set(t->tid, t->ctx);
	if (t->stop_arrived && syscall(SYS_tgkill, t->tgid, t->tid, SIGSTOP) < 0 && errno != ESRCH)
		r = -errno;
	if (t->end_arrived)
		syscall(SYS_tgkill, t->tgid, t->tid, t->end_signal);
	/* A group-stopped thread stays stopped: the kernel keeps the job control state across
	 * detach. */
	if (ptrace(PTRACE_DETACH, t->tid, NULL, NULL) < 0 && errno != ESRCH)
		r = -errno;
	t->state = TRACEE_RUNNING;
	return r < 0 && r != -ESRCH ? err_sys(err, r, "letting thread %d go on", t->tid) : 0;
}

void tracee_done(struct tracee *t)
{
	free(t->ctx);
	t->ctx = NULL;
}

int tracee_choose_end_signal(struct tracee *t, uint64_t caught, uint64_t pending, struct err *err)
{
	/* Signals whose default is to be ignored. SIGCONT is not one of them: it has side effects.
	 */
	static const int candidates[] = { SIGURG, SIGWINCH, SIGCHLD };
	size_t i;

	for (i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		uint64_t bit = 1ull << (candidates[i] - 1);

		if (!((caught | pending) & bit)) {
			t->end_signal = candidates[i];
			return 0;
		}
	}
	for (i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
		if (!(pending & (1ull << (candidates[i] - 1)))) {
			t->end_signal = candidates[i];
			return 0;
		}
	}
	err_new(err, ERR_BUSY, -EAGAIN, "signals URG, WINCH and CHLD are all pending");
	err_hint(err, "try again once the task has taken one of them");
	return -EAGAIN;
}

int tracee_read(pid_t pid, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)addr, len };
	ssize_t n = process_vm_readv(pid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}

int tracee_write(pid_t pid, uint64_t addr, const void *buf, size_t len)
{
	struct iovec local = { (void *)buf, len }, remote = { (void *)addr, len };
	ssize_t n = process_vm_writev(pid, &local, 1, &remote, 1, 0);

	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EFAULT;
}
