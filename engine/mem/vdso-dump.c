/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The vDSO of a task that is dumped. A restore on another kernel can only take up threads that are
 * not inside of it, and a task that has been through such a restore has two of them (vdso.c).
 */
#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/areas.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"

/* Most threads are out of it at the second look; one that does nothing but call it takes more. */
enum { LOOKS_MAX = 64 };

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

/* One that was redirected has lost its name. Compilers put text of theirs into such areas, too. */
static bool is_vdso(const struct dump_thread *th, const struct proc_vma *v)
{
	char magic[SELFMAG];

	if (strcmp(v->path, "[vdso]") == 0)
		return true;
	return !v->path[0] && v->prot == (PROT_READ | PROT_EXEC) &&
	       tracee_read(th->t.tid, v->start, magic, sizeof(magic)) == 0 &&
	       memcmp(magic, ELFMAG, SELFMAG) == 0;
}

static int is_inside(const struct dump_thread *th, bool *ret)
{
	uint64_t ip = arch_context_ip(th->t.ctx);
	cleanup_proc_vmas struct proc_vmas vmas = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	const struct proc_vma *v;
	char path[32];
	int r;

	snprintf(path, sizeof(path), "task/%d/maps", th->t.tid);
	r = io_read_file(th->task->proc_fd, path, &text);
	if (r == 0)
		r = proc_vmas_parse(text.data, text.len, &vmas);
	*ret = false;
	vec_foreach (v, &vmas)
		*ret |= is_in(v, ip) && is_vdso(th, v);
	return r;
}

/*
 * A function of it takes less than a microsecond, so the thread goes on and is looked at again. To
 * take single steps would be surer, but a thread that is left by its tracer in a step is killed by
 * the trap.
 */
int vdso_leave(struct dump_thread *th, struct err *err)
{
	bool inside = true;
	int i, r = 0;

	for (i = 0; r == 0 && inside && i < LOOKS_MAX; i++) {
		if (th->t.stop_signal || !arch_context_in_user_mode(th->t.ctx))
			break;
		if (i)
			r = tracee_move_on(&th->t, err);
		if (r != 0)
			break;
		r = is_inside(th, &inside);
		if (r == -ENOENT || r == -ESRCH)
			return TRACEE_IS_GONE;
		if (r < 0)
			err_sys(err, r, "reading the areas of task %d", th->task->pid);
	}
	return r;
}

/* Also the threads of others who share the memory of the task. */
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

static void collect_redirected(struct dump *d, struct dump_task *task, const struct vdso_mark *mark,
			       struct proc_vma *aside)
{
	struct proc_vma *stored = plain_area_at(task, mark->vdso);

	if (mark->version != VDSO_MARK_VERSION || !stored || !(stored->prot & PROT_EXEC)) {
		dump_refuse(d, task,
			    "its vDSO is marked as one that a restore has put beside another, and "
			    "that is not there");
		return;
	}
	refuse_inside(d, task, aside);
	task->vdso_aside = aside->start;
	rename_areas(task, stored, plain_area_at(task, mark->vvar));
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
		collect_redirected(d, task, &mark, v);
	if (mark.signature == old[0] || mark.signature == old[1])
		dump_refuse(d, task, "its vDSO was put there by a restore of an old CRIU");
	return 0;
}
