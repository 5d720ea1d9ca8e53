/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vDSO of a task that is dumped. A restore on another kernel can only take up threads that are
 * not inside of it, and a task that has been through such a restore has two of them (vdso.c).
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/mem/areas.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"

/* A function takes some hundred instructions; a large request for random numbers takes more. */
enum { STEPS_MAX = 10000 };

static struct proc_vma *area_named(const struct dump_task *task, const char *path)
{
	struct proc_vma *v;

	vec_foreach (v, &task->vmas)
		if (strcmp(v->path, path) == 0)
			return v;
	return NULL;
}

static bool is_in(const struct proc_vma *v, uint64_t addr)
{
	return v && addr >= v->start && addr < v->end;
}

/*
 * Lets a thread run to the end of the vDSO's function, one instruction after the other. One that
 * waits in a system call there, or is stopped, stays as it is.
 */
static int leave(struct dump_thread *th, const struct proc_vma *a, const struct proc_vma *b,
		 struct err *err)
{
	uint64_t ip = arch_context_ip(th->t.ctx);
	int i, r = 0;

	if (th->t.state != TRACEE_STOPPED || th->t.stop_signal || th->t.ctx_changed ||
	    arch_context_in_restart(th->t.ctx))
		return 0;
	for (i = 0; r == 0 && i < STEPS_MAX && (is_in(a, ip) || is_in(b, ip)); i++) {
		r = tracee_step(&th->t, err);
		if (r == 0)
			r = arch_ip_get(th->t.tid, &ip);
		if (r < 0 && err->class == ERR_NONE)
			err_sys(err, r, "reading where thread %d is", th->t.tid);
	}
	if (r >= 0 && r != TRACEE_IS_GONE && i)
		r = tracee_read_context(&th->t, err);
	if (r == TRACEE_IS_GONE)
		return err_new(err, ERR_BUSY, -ESRCH, "thread %d has ended meanwhile", th->t.tid);
	return r < 0 ? r : 0;
}

/* Also the threads of others who share the memory of the task. */
static int leave_all(const struct dump *d, const struct dump_task *task, const struct proc_vma *a,
		     const struct proc_vma *b, struct err *err)
{
	struct dump_task *const *t;
	struct dump_thread *const *th;
	int r = 0;

	vec_foreach (t, &d->tasks) {
		if ((*t)->memory_of != task)
			continue;
		vec_foreach (th, &(*t)->threads) {
			const struct arch_context *ctx = (*th)->t.ctx;
			uint64_t ip = ctx ? arch_context_ip(ctx) : 0;

			if (r == 0 && (is_in(a, ip) || is_in(b, ip)))
				r = leave(*th, a, b, err);
		}
	}
	return r;
}

static void refuse_inside(struct dump *d, const struct dump_task *task,
			  const struct proc_vma *aside)
{
	struct dump_task *const *t;
	struct dump_thread *const *th;

	vec_foreach (t, &d->tasks) {
		if ((*t)->memory_of != task)
			continue;
		vec_foreach (th, &(*t)->threads)
			if ((*th)->t.ctx && is_in(aside, arch_context_ip((*th)->t.ctx)))
				dump_refuse(d, *t,
					    "thread %d is inside the vDSO that a restore has put "
					    "beside its own; hint: try again",
					    (*th)->t.tid);
	}
}

static struct proc_vma *plain_area_at(const struct dump_task *task, uint64_t start)
{
	struct proc_vma *v;

	vec_foreach (v, &task->vmas)
		if (v->start == start && !v->ino && !v->shared && !v->path[0])
			return v;
	return NULL;
}

/* The areas get the names that they had before the restore; those of the kernel's are left out. */
static void rename_areas(struct dump_task *task, struct proc_vma *stored,
			 struct proc_vma *stored_vvar)
{
	struct proc_vma *v;

	vec_foreach (v, &task->vmas)
		if (strcmp(v->path, "[vdso]") == 0 || strncmp(v->path, "[vvar", 5) == 0)
			v->path = AREA_PATH_ASIDE;
	stored->path = "[vdso]";
	if (stored_vvar)
		stored_vvar->path = "[vvar]";
}

static int collect_redirected(struct dump *d, struct dump_task *task, const struct vdso_mark *mark,
			      struct proc_vma *aside, struct err *err)
{
	struct proc_vma *stored = plain_area_at(task, mark->vdso);
	int r;

	if (mark->version != VDSO_MARK_VERSION || !stored || !(stored->prot & PROT_EXEC)) {
		dump_refuse(d, task,
			    "its vDSO is marked as one that a restore has put beside another, and "
			    "that is not there");
		return 0;
	}
	r = leave_all(d, task, aside, stored, err);
	if (r < 0)
		return r;
	refuse_inside(d, task, aside);
	task->vdso_aside = aside->start;
	rename_areas(task, stored, plain_area_at(task, mark->vvar));
	return 0;
}

int vdso_collect(struct dump *d, struct dump_task *task, struct err *err)
{
	/* the first eight bytes of marks of older versions of CRIU, which tell less */
	const uint64_t old[] = { 0x6f73647675697263ull, 0x4f53447675697263ull };
	struct proc_vma *v = area_named(task, "[vdso]");
	struct vdso_mark mark;
	int r;

	if (!v)
		return 0;
	r = tracee_read(task->tid, v->start, &mark, sizeof(mark));
	if (r < 0)
		return err_sys(err, r, "reading the vDSO of %s", dump_task_name(d, task));
	if (mark.signature == VDSO_MARK_SIGNATURE)
		return collect_redirected(d, task, &mark, v, err);
	if (mark.signature == old[0] || mark.signature == old[1])
		dump_refuse(d, task, "its vDSO was put there by a restore of an old CRIU");
	return leave_all(d, task, v, NULL, err);
}
