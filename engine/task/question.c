/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One program a thread: everything that only the thread itself can tell, in one round trip. */
#include <errno.h>
#include <stdlib.h>

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
	if (th->leader)
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

static int question_thread(struct dump *d, struct dump_thread *th, struct program *p,
			   struct err *err)
{
	int r = program_run(&th->t, &th->task->scratch, p, NULL, NULL, err);

	if (r < 0)
		return err_wrap(err, r, "asking thread %d", th->t.tid);
	/* the thread has its own registers again before the next one uses the scratch area */
	r = arch_context_set(th->t.tid, th->t.ctx);
	if (r < 0)
		return err_sys(err, r, "giving thread %d its registers back", th->t.tid);
	th->t.state = TRACEE_STOPPED;
	return capture(d, th, p, err);
}

static int map_scratch(struct dump *d, struct dump_task *task, uint64_t len, struct err *err)
{
	struct dump_thread *leader = task->threads.v[0];
	uint64_t addr;
	int r = gadgets_find(&leader->t, &task->vmas, &d->gadgets, &task->gadgets, err);

	if (r < 0)
		return r;
	r = mem_find_hole(&task->vmas, len + 4096, &addr);
	if (r < 0)
		return err_sys(err, r, "finding room for %lu bytes", (long)len);
	guardian_note_scratch(d->guardian, task->pid, leader->stat.starttime, addr, len + 4096);
	return scratch_map(&leader->t, &task->gadgets, addr, len, &task->scratch, err);
}

static int question_task(struct dump *d, struct dump_task *task, struct err *err)
{
	struct program *p = calloc(task->threads.n, sizeof(*p));
	uint64_t room = 0;
	size_t i;
	int r = 0;

	if (!p)
		return err_nomem(err);
	for (i = 0; i < task->threads.n; i++) {
		build(d, task->threads.v[i], &p[i]);
		if (program_size(&p[i]) > room)
			room = program_size(&p[i]);
	}
	r = map_scratch(d, task, (room + 4095) & ~4095ull, err);
	for (i = 0; i < task->threads.n && r == 0; i++)
		r = question_thread(d, task->threads.v[i], &p[i], err);
	if (r == 0)
		r = mem_write_areas(d, task, &p[0], err);
	for (i = 0; i < task->threads.n; i++)
		program_done(&p[i]);
	free(p);
	return r < 0 ? err_wrap(err, r, "%s", dump_task_name(d, task)) : 0;
}

int tree_question(struct dump *d, struct err *err)
{
	struct dump_task **task;
	int r = 0;

	vec_foreach (task, &d->tasks) {
		if ((*task)->state == TASK_DEAD)
			continue;
		r = question_task(d, *task, err);
		if (r < 0)
			break;
	}
	return r;
}

int tree_unscratch(struct dump *d, struct err *err)
{
	struct dump_task **task;
	int r = 0;

	vec_foreach (task, &d->tasks) {
		struct dump_task *t = *task;
		struct err one = ERR_INIT;

		if (!t->scratch.code_len)
			continue;
		if (scratch_unmap(&t->threads.v[0]->t, &t->gadgets, &t->scratch, &one) < 0) {
			log_err(d->log, &one);
			*err = one;
			r = one.code;
		}
	}
	return r;
}
