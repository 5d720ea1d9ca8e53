/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Finishing builders from outside: memory, threads, attributes, registers. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "engine/base/proc.h"
#include "engine/core/steps.h"
#include "engine/mem/load.h"
#include "engine/task/attr.h"
#include "engine/task/load.h"
#include "engine/task/revive.h"
#include "engine/task/thread-tables.h"
#include "engine/tracee/guardian.h"
#include "proto/core.pb-c.h"

int revive_suspend_seccomp(struct restore_thread *th, struct err *err)
{
	if (tracee_suspend_seccomp(&th->t) == 0)
		return 0;
	err_new(err, ERR_ENVIRONMENT, -EPERM, "its seccomp filters cannot be suspended");
	err_hint(err, "this needs CAP_SYS_ADMIN, and an engine without a filter of its own");
	return -EPERM;
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

/*
 * Every step is begun in all tasks before the first is waited for: they run at the same time, on as
 * many processors as there are.
 */
struct crowd {
	struct restore_task **v; /* those that are alive */
	size_t n;
	/* those who share their memory have one scratch area: they go one after the other */
	unsigned int ranks;
	VEC(struct program_job) jobs;
	VEC(struct restore_thread *) threads; /* of each job */
};

static int add_job(struct crowd *c, struct restore_thread *th, const struct scratch *s,
		   struct program *p, struct err *err)
{
	struct program_job *j = vec_add(&c->jobs);
	struct restore_thread **slot = vec_add(&c->threads);

	if (!j || !slot)
		return err_nomem(err);
	*slot = th;
	*j = (struct program_job){ .t = &th->t, .s = *s, .p = p };
	return 0;
}

static int run_jobs(struct restore *r, struct crowd *c, struct err *err)
{
	int n = programs_run(c->jobs.v, c->jobs.n, err);
	size_t i;

	for (i = 0; n < 0 && i < c->jobs.n; i++) {
		if (c->jobs.v[i].result == 0)
			continue;
		err_wrap(err, n, "%s: thread %d", restore_task_name(r, c->threads.v[i]->task),
			 c->threads.v[i]->ns_tid);
		break;
	}
	return n;
}

static int seize_all(struct restore *r, struct crowd *c, struct err *err)
{
	size_t i;
	int n = 0;

	for (i = 0; i < c->n && n == 0; i++) {
		struct restore_thread *th = c->v[i]->threads.v[0];

		revive_ids(th, c->v[i]->pid);
		n = tracee_seize_begin(&th->t, true, err);
	}
	for (i = 0; i < c->n && n == 0; i++) {
		struct restore_thread *th = c->v[i]->threads.v[0];

		n = tracee_seize_wait(&th->t, err);
		if (n == 0)
			n = revive_end_signal(th, err);
		if (n == 0)
			n = thread_tables_seize(r, c->v[i], err);
		if (n < 0)
			err_wrap(err, n, "%s", restore_task_name(r, c->v[i]));
	}
	if (n == TRACEE_IS_GONE)
		n = err_new(err, ERR_ENVIRONMENT, -ESRCH,
			    "a builder was killed while it was built");
	return n;
}

static bool has_own_memory(const struct restore_task *task)
{
	return task->memory_of == task;
}

/* Of those who share a descriptor table the last one closes what is ours, when all are through. */
static bool closes_for_others(const struct restore_task *task)
{
	return task->files.last && !task->files.first;
}

static bool closes_for_itself(const struct restore_task *task)
{
	return !closes_for_others(task);
}

/* One program of the leader of each task. */
static int run_leaders(struct restore *r, struct crowd *c,
		       struct program *(*program_of)(struct restore_task *task),
		       bool (*is)(const struct restore_task *task), struct err *err)
{
	struct scratch s = scratch_of(r);
	unsigned int rank;
	size_t i;
	int n = 0;

	for (rank = 0; rank < c->ranks && n == 0; rank++) {
		c->jobs.n = c->threads.n = 0;
		for (i = 0; i < c->n && n == 0; i++)
			if (c->v[i]->memory_rank == rank && is(c->v[i]))
				n = add_job(c, c->v[i]->threads.v[0], &s, program_of(c->v[i]), err);
		if (n == 0)
			n = run_jobs(r, c, err);
	}
	return n;
}

static struct program *mm_of(struct restore_task *task)
{
	return &task->prog_mm;
}

static struct program *filled_of(struct restore_task *task)
{
	return &task->prog_filled;
}

static int forget_rseq(struct restore *r, struct crowd *c, struct err *err)
{
	struct program *list = calloc(c->n, sizeof(*list));
	struct scratch s = scratch_of(r);
	size_t i;
	int n = list ? 0 : err_nomem(err);

	c->jobs.n = c->threads.n = 0;
	for (i = 0; i < c->n && n == 0; i++) {
		/* what is cloned into the memory of another has none */
		if (has_own_memory(c->v[i]))
			n = rseq_forget(c->v[i]->threads.v[0], &list[i], err);
		if (n == 0 && list[i].steps.n)
			n = add_job(c, c->v[i]->threads.v[0], &s, &list[i], err);
	}
	if (n == 0)
		n = run_jobs(r, c, err);
	for (i = 0; list && i < c->n; i++)
		program_done(&list[i]);
	free(list);
	return n;
}

static int make_all_threads(struct restore *r, struct crowd *c, struct err *err)
{
	struct scratch s = scratch_of(r);
	size_t i;
	int n = 0;

	for (i = 0; i < c->n && n == 0; i++) {
		n = mem_check_result(r, c->v[i], err);
		if (n == 0)
			n = threads_make(r, c->v[i], &s, err);
		if (n < 0)
			err_wrap(err, n, "%s", restore_task_name(r, c->v[i]));
	}
	return n;
}

/* ---- attributes ---- */

static int put_attrs(struct restore *r, struct restore_thread *th, struct program *p,
		     struct err *err)
{
	const struct task_attr *const *a;
	int n = 0;

	if (th->core->thread_core->has_seccomp_mode)
		n = revive_suspend_seccomp(th, err);
	thread_tables_put(r, th, p);
	for (a = task_attrs; *a && n == 0; a++)
		if ((*a)->put && (th->leader || (*a)->per_thread))
			(*a)->put(r, th, p);
	return n;
}

static int finish_attrs(struct restore *r, struct restore_thread *th, struct err *err)
{
	const struct task_attr *const *a;
	int n = 0;

	for (a = task_attrs; *a && n == 0; a++) {
		if (!(*a)->finish || (!th->leader && !(*a)->per_thread))
			continue;
		n = (*a)->finish(r, th, err);
		if (n < 0)
			err_wrap(err, n, "%s: thread %d: %s", restore_task_name(r, th->task),
				 th->ns_tid, (*a)->name);
	}
	return n;
}

/*
 * Threads that set their attributes at the same time: each needs a part of the scratch area for its
 * program, and a program that is bigger than that gets a round of its own.
 */
enum { PARTS = 16 };

/* The threads of each task from *next on that fit; the leader comes alone, and last. */
static int add_attr_jobs(struct restore *r, struct crowd *c, struct restore_task *task,
			 size_t *next, struct program *programs, struct err *err)
{
	struct scratch s = scratch_of(r);
	size_t left = s.data_len, part = s.data_len / PARTS & ~63ull;
	int n = 0;

	while (*next > 0 && n == 0) {
		struct restore_thread *th = task->threads.v[*next - 1];
		struct program *p = &programs[*next - 1];
		size_t need;

		if (th->leader && left < s.data_len)
			break;
		if (!p->steps.n && !p->broken)
			n = put_attrs(r, th, p, err);
		need = program_size(p) > part ? s.data_len : part;
		if (n < 0 || need > left)
			break;
		left -= need;
		n = add_job(c, th, &s, p, err);
		if (n == 0) {
			struct program_job *j = &c->jobs.v[c->jobs.n - 1];

			j->s.data += left;
			j->s.data_len = need;
			--*next;
		}
		if (th->leader)
			break;
	}
	return n;
}

struct attrs_left {
	size_t next; /* threads whose attributes are not set yet */
	struct program *programs;
};

static int attrs_round(struct restore *r, struct crowd *c, unsigned int rank,
		       struct attrs_left *all, struct err *err)
{
	size_t i;
	int n = 0;

	c->jobs.n = c->threads.n = 0;
	for (i = 0; i < c->n && n == 0; i++)
		if (c->v[i]->memory_rank == rank)
			n = add_attr_jobs(r, c, c->v[i], &all[i].next, all[i].programs, err);
	if (n == 0)
		n = run_jobs(r, c, err);
	for (i = 0; i < c->jobs.n && n == 0; i++) {
		n = finish_attrs(r, c->threads.v[i], err);
		program_done(c->jobs.v[i].p);
	}
	return n;
}

/* The leader last: a change of a thread's credentials resets what belongs to the process. */
static int set_attrs(struct restore *r, struct crowd *c, struct err *err)
{
	struct attrs_left *all = calloc(c->n, sizeof(*all));
	unsigned int rank;
	size_t i, k;
	int n = all ? 0 : err_nomem(err);

	for (i = 0; i < c->n && n == 0; i++) {
		all[i].next = c->v[i]->threads.n;
		all[i].programs = calloc(all[i].next, sizeof(struct program));
		if (!all[i].programs)
			n = err_nomem(err);
	}
	for (rank = 0; rank < c->ranks; rank++) {
		do {
			if (n == 0)
				n = attrs_round(r, c, rank, all, err);
		} while (n == 0 && c->jobs.n);
	}
	for (i = 0; all && i < c->n; i++) {
		for (k = 0; all[i].programs && k < c->v[i]->threads.n; k++)
			program_done(&all[i].programs[k]);
		free(all[i].programs);
	}
	free(all);
	return n;
}

/* ---- the end ---- */

static int unmap_scratch(struct restore *r, struct crowd *c, struct err *err)
{
	struct tracee **list = calloc(c->n, sizeof(struct tracee *));
	struct scratch whole = scratch_of(r);
	size_t i, own = 0;
	int n;

	if (!list)
		return err_nomem(err);
	whole.data_len += SCRATCH_RESERVE;
	for (i = 0; i < c->n; i++)
		if (has_own_memory(c->v[i]))
			list[own++] = &c->v[i]->threads.v[0]->t;
	n = scratch_unmap_last(list, own, &whole, err);
	free(list);
	return n;
}

static int set_all_registers(struct restore *r, struct crowd *c, struct err *err)
{
	struct restore_thread **th;
	size_t i;
	int n = 0;

	for (i = 0; i < c->n; i++) {
		vec_foreach (th, &c->v[i]->threads) {
			n = set_registers(*th, err);
			if (n == 0)
				n = rseq_finish(*th, err);
			if (n < 0)
				return err_wrap(err, n, "%s", restore_task_name(r, c->v[i]));
		}
	}
	return 0;
}

static int revive(struct restore *r, struct crowd *c, struct err *err)
{
	int n = seize_all(r, c, err);

	if (n == 0)
		n = forget_rseq(r, c, err);
	if (n == 0)
		n = run_leaders(r, c, mm_of, has_own_memory, err);
	if (n == 0)
		n = mem_fill(r, err);
	if (n == 0)
		n = run_leaders(r, c, filled_of, closes_for_itself, err);
	if (n == 0)
		n = run_leaders(r, c, filled_of, closes_for_others, err);
	if (n == 0)
		n = make_all_threads(r, c, err);
	if (n == 0)
		n = set_attrs(r, c, err);
	if (n == 0)
		n = unmap_scratch(r, c, err);
	return n == 0 ? set_all_registers(r, c, err) : n;
}

int tree_revive(struct restore *r, struct err *err)
{
	struct crowd c = { .v = calloc(r->tasks.n, sizeof(struct restore_task *)) };
	struct restore_task **t;
	int n;

	if (!c.v)
		return err_nomem(err);
	device_take_offsets(r);
	vec_foreach (t, &r->tasks) {
		if ((*t)->dead)
			continue;
		c.v[c.n++] = *t;
		if (c.ranks <= (*t)->memory_rank)
			c.ranks = (*t)->memory_rank + 1;
	}
	n = revive(r, &c, err);
	vec_free(&c.jobs);
	vec_free(&c.threads);
	free(c.v);
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

static bool was_stopped(const struct restore_task *t)
{
	return !t->dead && t->threads.v[0]->core->tc->task_state == TASK_STOPPED;
}

static void release_all_threads(struct restore *r, struct restore_task *t)
{
	struct restore_thread **th;

	vec_foreach (th, &t->threads) {
		struct err err = ERR_INIT;

		if (tracee_release(&(*th)->t, &err) < 0)
			log_err(r->log, &err);
	}
}

static void wait_for_state(const struct restore_task *t, char state)
{
	const struct timespec moment = { 0, 200 * 1000 };
	int i;

	for (i = 0; i < 5000; i++) {
		struct proc_stat st;

		if (proc_stat_read(t->pid, &st) < 0 || st.state == state)
			return;
		nanosleep(&moment, NULL);
	}
}

/*
 * First threads that had ended end again. That is a step of its own in front of the commitment:
 * should it fail, the tree still dies with us.
 */
static int end_dead_leaders(struct restore *r, struct err *err)
{
	struct restore_task *const *t;

	vec_foreach (t, &r->tasks) {
		struct tracee *leader = &(*t)->threads.v[0]->t;

		if (!(*t)->dead_leader)
			continue;
		if (tracee_release(leader, err) < 0)
			return err->code;
		leader->state = TRACEE_GONE;
		wait_for_state(*t, 'Z');
		if (!proc_has_ended((*t)->pid))
			return err_new(err, ERR_ENVIRONMENT, -ETIMEDOUT,
				       "%s: its first thread does not end",
				       restore_task_name(r, *t));
	}
	return 0;
}

int tree_resume(struct restore *r, struct err *err)
{
	size_t i;
	int n = end_dead_leaders(r, err);

	if (n < 0)
		return n;

	for (i = 0; i < r->tasks.n; i++)
		if (!r->tasks.v[i]->dead)
			stop_again(r, r->tasks.v[i]);
	n = commit(r, err);
	if (n < 0)
		return n;
	for (i = 0; i < r->tasks.n; i++)
		if (was_stopped(r->tasks.v[i]))
			release_all_threads(r, r->tasks.v[i]);
	for (i = 0; i < r->tasks.n; i++)
		/* it takes the signal when it is scheduled; its parent must not see it running */
		if (was_stopped(r->tasks.v[i]))
			wait_for_state(r->tasks.v[i], 'T');
	for (i = 0; i < r->tasks.n; i++) {
		if (i == r->tasks.n / 2)
			fault_kill("letting go, in the middle");
		if (!r->tasks.v[i]->dead && !was_stopped(r->tasks.v[i]))
			release_all_threads(r, r->tasks.v[i]);
	}
	return 0;
}
