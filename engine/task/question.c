/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One program a thread: everything that only the thread itself can tell, in one round trip. */
#include <errno.h>
#include <stdlib.h>

#include "engine/base/cleanup.h"
#include "engine/tracee/guardian.h"
#include "engine/mem/mem.h"
#include "engine/task/attr.h"
#include "engine/task/task.h"
#include "proto/core.pb-c.h"

static void build(struct dump *d, struct dump_thread *th, struct program *p)
{
	const struct task_attr *const *a;

	for (a = task_attrs; *a; a++)
		if ((*a)->ask && (th->leader || (*a)->per_thread))
			(*a)->ask(d, th, p);
	if (th->leader && th->task->memory_of == th->task)
		mem_ask(d, th, p);
}

static CoreEntry *core_new(struct dump *d, const struct dump_thread *th)
{
	CoreEntry *core = arena_alloc(&d->arena, sizeof(*core));
	TaskCoreEntry *tc = th->leader ? arena_alloc(&d->arena, sizeof(*tc)) : NULL;
	ThreadCoreEntry *thc = arena_alloc(&d->arena, sizeof(*thc));

	if (!core || !thc || (th->leader && !tc))
		return NULL;
	core_entry__init(core);
	thread_core_entry__init(thc);
	core->thread_core = thc;
	if (!tc)
		return core;
	task_core_entry__init(tc);
	tc->task_state = TASK_ALIVE;
	tc->flags = th->stat.flags;
	core_set_exit_signal(th->task, tc);
	if (th->t.stop_signal) {
		tc->task_state = TASK_STOPPED;
		tc->has_stop_signo = true;
		tc->stop_signo = (uint32_t)th->t.stop_signal;
	}
	core->tc = tc;
	return core;
}

static int capture(struct dump *d, struct dump_thread *th, const struct program *p, struct err *err)
{
	const struct task_attr *const *a;
	int r = 0;

	th->core = core_new(d, th);
	if (!th->core)
		return err_nomem(err);
	for (a = task_attrs; *a && r == 0; a++) {
		if (!(*a)->capture || (!th->leader && !(*a)->per_thread))
			continue;
		r = (*a)->capture(d, th, p, th->core, err);
		if (r < 0)
			err_wrap(err, r, "thread %d: %s", th->t.tid, (*a)->name);
	}
	return r;
}

/*
 * All tasks are asked at the same time, and up to SLOTS threads of each: a part of its scratch area
 * belongs to each of these.
 */
enum { SLOTS = 32 };

struct questioning {
	struct dump_task *task;
	struct program *programs; /* one a thread */
	uint64_t room;		  /* for one program */
	uint64_t end;		  /* of the scratch area */
	size_t slots;
};

struct round {
	VEC(struct program_job) jobs;
	VEC(struct dump_thread *) threads; /* of each job */
};

/* Those who share their memory have a scratch area each, one above the other. */
static int find_room(struct questioning *all, size_t n, uint64_t len, uint64_t *ret)
{
	const struct dump_task *first = all[n].task->memory_of;
	uint64_t from = 0;
	size_t i;

	for (i = 0; i < n && all[n].task != first; i++)
		if (all[i].task->memory_of == first)
			from = all[i].end;
	return mem_find_hole(&first->vmas, from, len, ret);
}

static int prepare(struct dump *d, struct questioning *all, size_t n, struct scratch_job *job,
		   struct err *err)
{
	struct questioning *q = &all[n];
	struct dump_task *task = q->task;
	struct dump_thread *leader = task->threads.v[0];
	uint64_t len;
	size_t i;
	int r;

	q->slots = task->threads.n < SLOTS ? task->threads.n : SLOTS;
	q->programs = calloc(task->threads.n, sizeof(*q->programs));
	if (!q->programs)
		return err_nomem(err);
	for (i = 0; i < task->threads.n; i++) {
		build(d, task->threads.v[i], &q->programs[i]);
		if (program_size(&q->programs[i]) > q->room)
			q->room = program_size(&q->programs[i]);
	}
	q->room = (q->room + 63) & ~63ull;
	len = (q->room * q->slots + 4095) & ~4095ull;
	r = gadgets_find(&leader->t, &task->memory_of->vmas, &d->gadgets, &task->gadgets, err);
	if (r < 0)
		return r;
	*job = (struct scratch_job){
		.t = &leader->t, .g = &task->gadgets, .data_len = len, .ret = &task->scratch
	};
	r = find_room(all, n, len + 4096, &job->addr);
	if (r < 0)
		return err_sys(err, r, "finding room for %lu bytes", (long)len);
	q->end = job->addr + len + 4096;
	guardian_note_scratch(d->guardian, task->tid, leader->stat.starttime, job->addr,
			      len + 4096);
	return 0;
}

static int add_jobs(struct round *round, struct questioning *q, size_t first, struct err *err)
{
	size_t i;

	for (i = first; i < q->task->threads.n && i < first + q->slots; i++) {
		struct program_job *j = vec_add(&round->jobs);
		struct dump_thread **th = vec_add(&round->threads);

		if (!j || !th)
			return err_nomem(err);
		*th = q->task->threads.v[i];
		j->t = &(*th)->t;
		j->p = &q->programs[i];
		j->s = q->task->scratch;
		j->s.data += (i - first) * q->room;
		j->s.data_len = q->room;
	}
	return 0;
}

static int run_round(struct round *round, struct err *err)
{
	int r = programs_run(round->jobs.v, round->jobs.n, err);
	size_t i;

	for (i = 0; i < round->jobs.n && r == 0; i++) {
		struct tracee *t = round->jobs.v[i].t;

		/* it has its own registers again before the next one uses its part */
		r = arch_context_set(t->tid, t->ctx);
		if (r < 0)
			return err_sys(err, r, "giving thread %d its registers back", t->tid);
		t->state = TRACEE_STOPPED;
	}
	return r;
}

/* The n-th thread of each task that has so many, and those that go with it. */
static int ask_round(struct dump *d, struct questioning *all, size_t n_all, size_t n, size_t *asked,
		     struct err *err)
{
	struct round round = { 0 };
	size_t i;
	int r = 0;

	for (i = 0; i < n_all && r == 0; i++)
		r = add_jobs(&round, &all[i], n * all[i].slots, err);
	if (r == 0)
		r = run_round(&round, err);
	for (i = 0; i < round.jobs.n && r == 0; i++) {
		r = capture(d, round.threads.v[i], round.jobs.v[i].p, err);
		if (r < 0)
			err_wrap(err, r, "%s", dump_task_name(d, round.threads.v[i]->task));
	}
	*asked = round.jobs.n;
	vec_free(&round.jobs);
	vec_free(&round.threads);
	return r;
}

static int ask_all(struct dump *d, struct questioning *all, size_t n, struct err *err)
{
	size_t i, asked = 1;
	int r = 0;

	for (i = 0; r == 0 && asked; i++)
		r = ask_round(d, all, n, i, &asked, err);
	for (i = 0; i < n && r == 0; i++) {
		if (all[i].task->memory_of == all[i].task)
			r = mem_write_areas(d, all[i].task, &all[i].programs[0], err);
		if (r == 0)
			r = sem_undo_capture(d, all[i].task, err);
		if (r < 0)
			err_wrap(err, r, "%s", dump_task_name(d, all[i].task));
	}
	return r;
}

static void questioning_done(struct questioning *q)
{
	size_t i;

	for (i = 0; q->programs && i < q->task->threads.n; i++)
		program_done(&q->programs[i]);
	free(q->programs);
}

/*
 * A borrowed call needs room in memory. Where that is shared, several calls at a time could want
 * the same room: so they are made rank by rank.
 */
static int map_ranks(struct questioning *all, const struct scratch_job *jobs, size_t n,
		     struct err *err)
{
	cleanup_free struct scratch_job *now = calloc(n + 1, sizeof(*now));
	size_t i, left = n, k;
	unsigned int rank;
	int r = now ? 0 : err_nomem(err);

	for (rank = 0; left && r == 0; rank++, left -= k) {
		for (i = k = 0; i < n; i++)
			if (all[i].task->memory_rank == rank)
				now[k++] = jobs[i];
		r = scratch_map(now, k, err);
	}
	return r;
}

static int map_all(struct dump *d, struct questioning *all, const struct scratch_job *jobs,
		   size_t n, struct err *err)
{
	struct err back_err = ERR_INIT;
	size_t i;
	int r, back;

	for (i = 0; i < n; i++)
		room_make(d, all[i].task);
	r = map_ranks(all, jobs, n, err);
	for (i = 0; r == -ENOMEM && i < n; i++)
		if (!all[i].task->scratch.data_len)
			room_explain(all[i].task, err);
	back = room_give_back(d, &back_err);
	if (r < 0 || back == 0)
		return r;
	*err = back_err;
	return back;
}

int tree_question(struct dump *d, struct err *err)
{
	struct questioning *all = calloc(d->tasks.n, sizeof(*all));
	struct scratch_job *jobs = calloc(d->tasks.n, sizeof(*jobs));
	struct dump_task **task;
	size_t n = 0, i;
	int r = all && jobs ? 0 : err_nomem(err);

	vec_foreach (task, &d->tasks) {
		if (r < 0 || (*task)->state == TASK_DEAD)
			continue;
		all[n].task = *task;
		r = prepare(d, all, n, &jobs[n], err);
		n++;
		if (r < 0)
			err_wrap(err, r, "%s", dump_task_name(d, *task));
	}
	if (r == 0)
		r = map_all(d, all, jobs, n, err);
	if (r == 0)
		r = ask_all(d, all, n, err);
	for (i = 0; i < n; i++)
		questioning_done(&all[i]);
	free(all);
	free(jobs);
	return r;
}

/* The number of those of a rank, whether they have one or not. */
static size_t jobs_of_rank(struct dump *d, unsigned int rank, struct scratch_job *jobs,
			   size_t *ret_n)
{
	struct dump_task **task;
	size_t n = 0;

	*ret_n = 0;
	vec_foreach (task, &d->tasks) {
		struct dump_task *t = *task;

		n += t->memory_rank == rank;
		if (t->memory_rank == rank && t->scratch.code_len)
			jobs[(*ret_n)++] = (struct scratch_job){ .t = &t->threads.v[0]->t,
								 .g = &t->gadgets,
								 .ret = &t->scratch };
	}
	return n;
}

int tree_unscratch(struct dump *d, struct err *err)
{
	cleanup_free struct scratch_job *jobs = calloc(d->tasks.n + 1, sizeof(*jobs));
	unsigned int rank;
	size_t n;
	int r = 0;

	if (!jobs)
		return err_nomem(err);
	for (rank = 0; jobs_of_rank(d, rank, jobs, &n); rank++) {
		struct err one = ERR_INIT;
		int k = scratch_unmap(jobs, n, &one);

		if (k < 0)
			log_err(d->log, &one);
		if (k < 0 && r == 0) {
			*err = one;
			r = k;
		}
	}
	return r;
}
