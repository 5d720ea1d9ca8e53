/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Signal actions, alternate stacks, blocked and pending signals. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "engine/task/attr.h"
#include "proto/core.pb-c.h"

enum { SIG_LAST = 64, SIGSET_BYTES = 8 };

/* struct sigaction as the system call has it on x86-64 and aarch64 with a restorer. */
struct kernel_sigaction {
	uint64_t handler, flags, restorer, mask;
};

static bool can_have_action(int sig)
{
	return sig != SIGKILL && sig != SIGSTOP;
}

static void ask_actions(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_SIGACTIONS];
	int sig;

	a->data = prog_bytes(p, NULL, sizeof(struct kernel_sigaction) * (SIG_LAST + 1));
	for (sig = 1; sig <= SIG_LAST; sig++)
		if (can_have_action(sig))
			a->step = prog_syscall(
				p, "asking for a signal action", PROG_STOP, SYS_rt_sigaction,
				PN(sig), PN(0),
				PD(a->data + (unsigned)sig * sizeof(struct kernel_sigaction)),
				PN(SIGSET_BYTES));
}

static int capture_actions(struct dump *d, struct dump_thread *th, const struct program *p,
			   CoreEntry *core, struct err *err)
{
	const struct kernel_sigaction *sa = prog_out(p, th->asked[ASKED_SIGACTIONS].data);
	SaEntry *e = arena_alloc(&d->arena, sizeof(*e) * SIG_LAST);
	SaEntry **list = arena_alloc(&d->arena, sizeof(*list) * SIG_LAST);
	int sig;

	if (!e || !list)
		return err_nomem(err);
	core->tc->sigactions = list;
	for (sig = 1; sig <= SIG_LAST; sig++) {
		if (!can_have_action(sig))
			continue;
		sa_entry__init(e);
		e->sigaction = sa[sig].handler;
		e->flags = sa[sig].flags;
		e->restorer = sa[sig].restorer;
		e->mask = sa[sig].mask;
		e->has_compat_sigaction = true;
		list[core->tc->n_sigactions++] = e++;
	}
	core->tc->blk_sigset = th->t.ctx->sigmask;
	return 0;
}

static int check_actions(struct restore *r, struct restore_thread *th, struct err *err)
{
	const TaskCoreEntry *tc = th->core->tc;
	size_t i;

	if (tc->n_sigactions != SIG_LAST - 2)
		return err_image(err, "%zu signal actions instead of %d", tc->n_sigactions,
				 SIG_LAST - 2);
	for (i = 0; i < tc->n_sigactions; i++)
		if (tc->sigactions[i]->compat_sigaction)
			return err_refuse(err,
					  "signal actions of 32-bit code cannot be restored yet");
	return 0;
}

static void put_action(struct program *p, int sig, const struct kernel_sigaction *sa)
{
	int step = prog_syscall(p, "setting a signal action", PROG_STOP, SYS_rt_sigaction, PN(sig),
				PD(prog_bytes(p, sa, sizeof(*sa))), PN(0), PN(SIGSET_BYTES));

	if (!p->broken)
		p->steps.v[step].detail = (uint64_t)sig;
}

static void put_actions(struct restore *r, struct restore_thread *th, struct program *p)
{
	const TaskCoreEntry *tc = th->core->tc;
	const struct kernel_sigaction none = { 0 };
	int sig, i = 0;

	/* Setting an action that ignores a signal also drops what is pending of it: SIGCHLDs that
	 * zombies among the builders have caused. */
	put_action(p, SIGCHLD, &none);
	for (sig = 1; sig <= SIG_LAST; sig++) {
		const SaEntry *e;
		struct kernel_sigaction sa;

		if (!can_have_action(sig))
			continue;
		e = tc->sigactions[i++];
		sa = (struct kernel_sigaction){ e->sigaction, e->flags, e->restorer, e->mask };
		if (sa.handler || sa.flags || sa.mask || sa.restorer)
			put_action(p, sig, &sa);
	}
}

const struct task_attr attr_sigactions = { .name = "signal actions",
					   .ask = ask_actions,
					   .capture = capture_actions,
					   .check = check_actions,
					   .put = put_actions };

/* ---- alternate stack ---- */

static void ask_altstack(struct dump *d, struct dump_thread *th, struct program *p)
{
	struct asked *a = &th->asked[ASKED_ALTSTACK];

	a->data = prog_bytes(p, NULL, sizeof(stack_t));
	a->step = prog_syscall(p, "asking for the alternate stack", PROG_STOP, SYS_sigaltstack,
			       PN(0), PD(a->data));
}

/*
 * The answer of the call depends on the stack pointer, which the program keeps: a thread that is on
 * its alternate stack says so (SS_ONSTACK), and the flag is not one that can be set.
 */
static int capture_altstack(struct dump *d, struct dump_thread *th, const struct program *p,
			    CoreEntry *core, struct err *err)
{
	ThreadSasEntry *e = arena_alloc(&d->arena, sizeof(*e));
	stack_t ss;

	if (!e)
		return err_nomem(err);
	thread_sas_entry__init(e);
	memcpy(&ss, prog_out(p, th->asked[ASKED_ALTSTACK].data), sizeof(ss));
	e->ss_sp = (uint64_t)(uintptr_t)ss.ss_sp;
	e->ss_size = ss.ss_size;
	e->ss_flags = (uint32_t)ss.ss_flags;
	core->thread_core->sas = e;
	return 0;
}

static void put_altstack(struct restore *r, struct restore_thread *th, struct program *p)
{
	const ThreadSasEntry *e = th->core->thread_core->sas;
	stack_t ss = { 0 };

	if (!e || e->ss_flags & SS_DISABLE)
		return;
	ss.ss_sp = (void *)(uintptr_t)e->ss_sp;
	ss.ss_size = e->ss_size;
	ss.ss_flags = (int)(e->ss_flags & ~(uint32_t)SS_ONSTACK);
	prog_syscall(p, "setting the alternate stack", PROG_STOP, SYS_sigaltstack,
		     PD(prog_bytes(p, &ss, sizeof(ss))), PN(0));
}

const struct task_attr attr_altstack = { .name = "alternate stack",
					 .per_thread = true,
					 .ask = ask_altstack,
					 .capture = capture_altstack,
					 .put = put_altstack };

/* ---- pending signals ---- */

enum { SIGINFO_BYTES = 128, PEEK_BATCH = 32 };

static int peek_queue(struct dump *d, pid_t tid, bool shared, SignalQueueEntry **ret,
		      struct err *err)
{
	struct __ptrace_peeksiginfo_args args = {
		.flags = shared ? PTRACE_PEEKSIGINFO_SHARED : 0,
		.nr = PEEK_BATCH,
	};
	uint8_t infos[PEEK_BATCH][SIGINFO_BYTES];
	SignalQueueEntry *q = arena_alloc(&d->arena, sizeof(*q));
	VEC(SiginfoEntry *) list = { 0 };
	long n = 0, i;

	if (!q)
		return err_nomem(err);
	signal_queue_entry__init(q);
	while ((n = ptrace(PTRACE_PEEKSIGINFO, tid, &args, infos)) > 0) {
		for (i = 0; i < n; i++) {
			SiginfoEntry *e = arena_alloc(&d->arena, sizeof(*e)),
				     **slot = vec_add(&list);

			if (!e || !slot)
				break;
			siginfo_entry__init(e);
			e->siginfo.data = arena_dup(&d->arena, infos[i], SIGINFO_BYTES);
			e->siginfo.len = SIGINFO_BYTES;
			*slot = e;
		}
		args.off += (uint64_t)n;
	}
	q->n_signals = list.n;
	q->signals = arena_dup(&d->arena, list.v ? (void *)list.v : "", list.n * sizeof(*list.v));
	vec_free(&list);
	*ret = q;
	return n < 0 ? err_sys(err, -errno, "reading the pending signals of thread %d", tid) : 0;
}

static int capture_pending(struct dump *d, struct dump_thread *th, const struct program *p,
			   CoreEntry *core, struct err *err)
{
	int r = peek_queue(d, th->t.tid, false, &core->thread_core->signals_p, err);

	core->thread_core->has_blk_sigset = true;
	core->thread_core->blk_sigset = th->t.ctx->sigmask;
	if (r == 0 && core->tc)
		r = peek_queue(d, th->t.tid, true, &core->tc->signals_s, err);
	return r;
}

static int check_queue(const SignalQueueEntry *q, struct err *err)
{
	size_t i;

	for (i = 0; q && i < q->n_signals; i++) {
		int sig;

		if (q->signals[i]->siginfo.len != SIGINFO_BYTES)
			return err_image(err, "a pending signal has %zu bytes instead of %d",
					 q->signals[i]->siginfo.len, SIGINFO_BYTES);
		memcpy(&sig, q->signals[i]->siginfo.data, sizeof(sig));
		if (sig < 1 || sig > SIG_LAST)
			return err_image(err, "pending signal %d does not exist", sig);
	}
	return 0;
}

static int check_pending(struct restore *r, struct restore_thread *th, struct err *err)
{
	int n = check_queue(th->core->thread_core->signals_p, err);

	return n == 0 && th->core->tc ? check_queue(th->core->tc->signals_s, err) : n;
}

/* Only the thread itself may queue a signal that looks as if the kernel had sent it. */
static void put_queue(struct restore_thread *th, const SignalQueueEntry *q, bool shared,
		      struct program *p)
{
	size_t i;

	for (i = 0; q && i < q->n_signals; i++) {
		uint64_t info = prog_bytes(p, q->signals[i]->siginfo.data, SIGINFO_BYTES);
		int sig;

		memcpy(&sig, q->signals[i]->siginfo.data, sizeof(sig));
		if (shared)
			prog_syscall(p, "queueing a pending signal", PROG_STOP, SYS_rt_sigqueueinfo,
				     PN(th->task->ns_pid), PN(sig), PD(info));
		else
			prog_syscall(p, "queueing a pending signal", PROG_STOP,
				     SYS_rt_tgsigqueueinfo, PN(th->task->ns_pid), PN(th->ns_tid),
				     PN(sig), PD(info));
	}
}

static void put_pending(struct restore *r, struct restore_thread *th, struct program *p)
{
	put_queue(th, th->core->thread_core->signals_p, false, p);
	if (th->core->tc)
		put_queue(th, th->core->tc->signals_s, true, p);
}

const struct task_attr attr_pending = { .name = "pending signals",
					.per_thread = true,
					.capture = capture_pending,
					.check = check_pending,
					.put = put_pending };
