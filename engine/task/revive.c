/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finishing builders from outside: memory, threads, attributes, registers. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include "engine/core/steps.h"
#include "engine/mem/load.h"
#include "engine/task/attr.h"
#include "engine/task/load.h"
#include "engine/task/revive.h"
#include "engine/tracee/guardian.h"
#include "proto/core.pb-c.h"

static int seize_leader(struct restore *r, struct restore_task *task, struct err *err)
{
	struct restore_thread *th = task->threads.v[0];
	int n;

	revive_ids(th, task->pid);
	n = tracee_seize(&th->t, true, err);
	if (n == TRACEE_IS_GONE)
		n = err_new(err, ERR_ENVIRONMENT, -ESRCH, "it was killed while it was built");
	return n == 0 ? revive_end_signal(th, err) : n;
}

int revive_suspend_seccomp(struct restore_thread *th, struct err *err)
{
	if (tracee_suspend_seccomp(&th->t) == 0)
		return 0;
	err_new(err, ERR_ENVIRONMENT, -EPERM, "its seccomp filters cannot be suspended");
	err_hint(err, "this needs CAP_SYS_ADMIN, and an engine without a filter of its own");
	return -EPERM;
}

static int put_attrs(struct restore *r, struct restore_thread *th, const struct scratch *s,
		     struct err *err)
{
	const struct task_attr *const *a;
	struct program p = { 0 };
	int n = 0;

	if (th->core->thread_core->has_seccomp_mode)
		n = revive_suspend_seccomp(th, err);
	if (n < 0)
		return n;
	for (a = task_attrs; *a; a++)
		if ((*a)->put && (th->leader || (*a)->per_thread))
			(*a)->put(r, th, &p);
	if (p.steps.n)
		n = program_run(&th->t, s, &p, NULL, NULL, err);
	program_done(&p);
	for (a = task_attrs; *a && n == 0; a++)
		if ((*a)->finish && (th->leader || (*a)->per_thread)) {
			n = (*a)->finish(r, th, err);
			if (n < 0)
				err_wrap(err, n, "%s", (*a)->name);
		}
	return n < 0 ? err_wrap(err, n, "thread %d", th->ns_tid) : 0;
}

static int set_registers(struct restore_thread *th, struct err *err)
{
	uint64_t ignored;
	int n = tracee_read_context(&th->t, err);

	if (n == 0)
		n = arch_core_load(th->core, th->t.ctx, &ignored, err);
	if (n < 0)
		return n;
	if (th->core->thread_core->has_blk_sigset)
		th->t.ctx->sigmask = th->core->thread_core->blk_sigset;
	else if (th->leader)
		th->t.ctx->sigmask = th->core->tc->blk_sigset;
	n = arch_context_set(th->t.tid, th->t.ctx);
	if (n < 0)
		return err_sys(err, n, "setting the registers of thread %d", th->ns_tid);
	th->t.state = TRACEE_STOPPED;
	return 0;
}

static struct scratch scratch_of(const struct restore *r)
{
	return (struct scratch){ .code = r->scratch_addr,
				 .code_len = IMAGE_PAGE_SIZE,
				 .data = r->scratch_addr + IMAGE_PAGE_SIZE,
				 .data_len = r->scratch_len };
}

static int begin(struct restore *r, struct restore_task *task, struct err *err)
{
	struct restore_thread *leader = task->threads.v[0];
	struct scratch s = scratch_of(r);
	int n = seize_leader(r, task, err);

	if (n == 0)
		n = rseq_forget(leader, &s, err);
	if (n == 0)
		n = program_run(&leader->t, &s, &task->prog_mm, NULL, NULL, err);
	return n < 0 ? err_wrap(err, n, "%s", restore_task_name(r, task)) : 0;
}

static int revive(struct restore *r, struct restore_task *task, struct err *err)
{
	struct restore_thread *leader = task->threads.v[0];
	struct scratch s = scratch_of(r), whole = s;
	size_t i;
	int n = program_run(&leader->t, &s, &task->prog_filled, NULL, NULL, err);

	if (n == 0)
		n = mem_check_result(r, task, err);
	if (n == 0)
		n = threads_make(r, task, &s, err);
	/* the leader last: a change of a thread's credentials resets what belongs to the process */
	for (i = task->threads.n; i-- > 0 && n == 0;)
		n = put_attrs(r, task->threads.v[i], &s, err);
	whole.data_len += SCRATCH_RESERVE;
	if (n == 0)
		n = scratch_unmap_last(&leader->t, &whole, err);
	for (i = 0; i < task->threads.n && n == 0; i++) {
		n = set_registers(task->threads.v[i], err);
		if (n == 0)
			n = rseq_finish(task->threads.v[i], err);
	}
	return n < 0 ? err_wrap(err, n, "%s", restore_task_name(r, task)) : 0;
}

int tree_revive(struct restore *r, struct err *err)
{
	struct restore_task **t;
	int n = 0;

	device_take_offsets(r);
	vec_foreach (t, &r->tasks)
		if (!(*t)->dead && n == 0)
			n = begin(r, *t, err);
	if (n == 0)
		n = mem_fill(r, err);
	vec_foreach (t, &r->tasks)
		if (!(*t)->dead && n == 0)
			n = revive(r, *t, err);
	return n;
}

/* Queued while it is held: a task that was stopped stops before it runs a single instruction. */
static void stop_again(struct restore *r, const struct restore_task *t)
{
	const TaskCoreEntry *tc = t->threads.v[0]->core->tc;

	if (tc->task_state == TASK_STOPPED)
		kill(t->pid, tc->has_stop_signo ? (int)tc->stop_signo : SIGSTOP);
	else if (r->opts->leave_stopped)
		kill(t->pid, SIGSTOP);
}

/*
 * Until here all tasks die with us. That ends for one after the other, children before parents; a
 * death of ours in between is the guardian's to complete. Once it is told that all are free, they
 * live on without us, whether we come to let them go or not.
 */
static int commit(struct restore *r, struct err *err)
{
	size_t i, k;
	int n = r->guardian ? 0 : guardian_start(&r->guardian, err);

	if (n < 0)
		return n;
	for (i = 0; i < r->tasks.n; i++)
		guardian_note_kill(r->guardian, r->tasks.v[i]->pid);
	for (i = r->tasks.n; i-- > 0;) {
		struct restore_task *t = r->tasks.v[i];

		if (i == r->tasks.n / 2)
			fault_kill("letting go, in the middle of the commitment");
		for (k = t->dead ? 0 : t->threads.n; k-- > 0;)
			tracee_outlive(&t->threads.v[k]->t);
	}
	fault_kill("letting go, before it is committed");
	guardian_commit(r->guardian);
	fault_kill("letting go, committed");
	return 0;
}

int tree_resume(struct restore *r, struct err *err)
{
	struct restore_thread **th;
	size_t i;
	int n;

	for (i = 0; i < r->tasks.n; i++)
		if (!r->tasks.v[i]->dead)
			stop_again(r, r->tasks.v[i]);
	n = commit(r, err);
	if (n < 0)
		return n;
	for (i = 0; i < r->tasks.n; i++) {
		if (i == r->tasks.n / 2)
			fault_kill("letting go, in the middle");
		if (r->tasks.v[i]->dead)
			continue;
		vec_foreach (th, &r->tasks.v[i]->threads)
			if (tracee_release(&(*th)->t, err) < 0)
				log_err(r->log, err);
	}
	return 0;
}
