/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Making the threads of a task. A thread inherits the seccomp filters of whoever makes it, and the
 * kernel knows that they are the same: SECCOMP_FILTER_FLAG_TSYNC works only among threads with
 * common ancestors. So the maker is the one with most filters in common, at the moment when it has
 * just those.
 */
#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "engine/task/load.h"
#include "engine/task/attr.h"
#include "engine/task/revive.h"
#include "proto/core.pb-c.h"

static uint64_t pending_bits(const SignalQueueEntry *q)
{
	uint64_t bits = 0;
	size_t i;
	int sig;

	for (i = 0; q && i < q->n_signals; i++) {
		memcpy(&sig, q->signals[i]->siginfo.data, sizeof(sig));
		bits |= 1ull << (sig - 1);
	}
	return bits;
}

int revive_end_signal(struct restore_thread *th, struct err *err)
{
	uint64_t pending = pending_bits(th->core->thread_core->signals_p) |
			   pending_bits(th->task->threads.v[0]->core->tc->signals_s);

	return tracee_choose_end_signal(&th->t, 0, pending, err);
}

void revive_ids(struct restore_thread *th, pid_t tid)
{
	th->t.tid = tid;
	th->t.tgid = th->task->pid;
	th->t.ns_tid = th->ns_tid;
	th->t.ns_tgid = th->task->ns_pid;
}

/* Threads in the order in which a program makes them. */
struct adoption {
	VEC(struct restore_thread *) made;
	size_t next;
};

static int adopt_thread(void *arg, pid_t tid, struct err *err)
{
	struct adoption *a = arg;
	struct restore_thread *th;
	int n;

	if (a->next >= a->made.n)
		return err_new(err, ERR_INTERNAL, -EIO, "more threads than asked for");
	th = a->made.v[a->next++];
	revive_ids(th, tid);
	th->n_filters = th->made_at;
	n = tracee_adopt(&th->t, err);
	if (n == TRACEE_IS_GONE)
		return err_new(err, ERR_BUSY, -ESRCH, "thread %d died", tid);
	return n == 0 ? revive_end_signal(th, err) : n;
}

static void put_clone(const struct restore_thread *th, struct program *p)
{
	pid_t tid = th->ns_tid;
	struct clone_args args = {
		.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			 CLONE_SYSVSEM,
		.set_tid_size = 1,
	};
	uint64_t at_tid = prog_bytes(p, &tid, sizeof(tid));
	uint64_t at = prog_bytes(p, &args, sizeof(args));
	int step;

	prog_pointer(p, at + offsetof(struct clone_args, set_tid), at_tid);
	step = prog_syscall(p, "making a thread", PROG_STOP, SYS_clone3, PD(at), PN(sizeof(args)));
	if (!p->broken)
		p->steps.v[step].detail = (uint64_t)tid;
}

static void choose_maker(struct restore *r, struct restore_task *task, size_t i)
{
	struct restore_thread *th = task->threads.v[i];
	size_t depth = seccomp_depth(r, th), k;

	th->maker = task->threads.v[0];
	th->made_at = depth ? seccomp_common(r, th, th->maker) : 0;
	/* one with tables of its own would hand these on */
	for (k = 1; k < i && th->made_at < depth; k++) {
		size_t common = task->threads.v[k]->own ? 0
							: seccomp_common(r, th, task->threads.v[k]);

		if (common > th->made_at) {
			th->maker = task->threads.v[k];
			th->made_at = common;
		}
	}
}

static int by_made_at(const void *a, const void *b)
{
	const struct restore_thread *x = *(struct restore_thread *const *)a;
	const struct restore_thread *y = *(struct restore_thread *const *)b;

	if (x->made_at != y->made_at)
		return x->made_at < y->made_at ? -1 : 1;
	return x->ns_tid < y->ns_tid ? -1 : x->ns_tid > y->ns_tid;
}

/* The program of one maker: filters and threads in turn. */
static int make_those_of(struct restore *r, struct restore_thread *maker, const struct scratch *s,
			 struct err *err)
{
	struct adoption a = { 0 };
	struct program p = { 0 };
	struct restore_thread **th, **slot;
	int n = 0;

	vec_foreach (th, &maker->task->threads) {
		slot = (*th)->maker == maker ? vec_add(&a.made) : NULL;
		if (slot)
			*slot = *th;
		else if ((*th)->maker == maker)
			p.broken = true;
	}
	if (a.made.n) {
		qsort(a.made.v, a.made.n, sizeof(a.made.v[0]), by_made_at);
		vec_foreach (th, &a.made) {
			seccomp_put(r, maker, (*th)->made_at, &p);
			put_clone(*th, &p);
		}
		if (maker->n_filters)
			n = revive_suspend_seccomp(maker, err);
		if (n == 0)
			n = program_run(&maker->t, s, &p, adopt_thread, &a, err);
	}
	program_done(&p);
	vec_free(&a.made);
	return n;
}

int threads_make(struct restore *r, struct restore_task *task, const struct scratch *s,
		 struct err *err)
{
	size_t i;
	int n = 0;

	for (i = 1; i < task->threads.n; i++)
		if (!task->threads.v[i]->own)
			choose_maker(r, task, i);
	/* a maker comes before those that it makes */
	for (i = 0; i + 1 < task->threads.n && n == 0; i++)
		n = make_those_of(r, task->threads.v[i], s, err);
	return n == 0 ? threads_enter_cgroups(r, task, err) : n;
}
