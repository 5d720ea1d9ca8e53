/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The programs that turn a builder's address space into the task's: take everything away but the
 * scratch area, put the vDSO in its place (vdso.c), map every area; and when these are filled, set
 * protections and advice.
 */
#include <errno.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/close_range.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "engine/base/cleanup.h"
#include "engine/files/restore-files.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "proto/memory.pb-c.h"

uint64_t mem_program_bound(const struct restore_task *task)
{
	const MmEntry *mm = task->mm;
	uint64_t advice = 0;
	size_t i;

	for (i = 0; i < mm->n_vmas; i++)
		advice += attributes_bound(mm->vmas[i]);
	/* an area: map, protect, cut, lock; a run of pages: an iovec, and a call for a thousand of
	 * them
	 */
	return ARCH_FRAME_MAX + (mm->n_vmas * 5 + 256) * sizeof(struct arch_step) + advice +
	       aio_program_bound(mm) + mm->n_mm_saved_auxv * 8 + (64 << 10);
}

/* ---- areas ---- */

bool area_has_pages(const struct restore_task *task, const VmaEntry *e)
{
	size_t lo = 0, hi = task->pages->runs.n;

	/* the first run that ends behind the start of the area */
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct page_run *run = &task->pages->runs.v[mid];

		if (run->addr + run->n_pages * IMAGE_PAGE_SIZE > e->start)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < task->pages->runs.n && task->pages->runs.v[lo].addr < e->end;
}

bool area_is_made(const VmaEntry *e)
{
	return !(e->status & (AREA_VDSO | AREA_VVAR | AREA_VSYSCALL | AREA_AIO_RING | AREA_GUARD));
}

int area_file(const struct restore *r, const VmaEntry *e)
{
	if (e->status & AREA_ANON_SHARED)
		return shmem_fd(r, e->shmid);
	if (e->status & AREA_SOCKET)
		return restore_files_mapping_fd(r, (uint32_t)e->shmid, -1);
	if (e->status & AREA_PLUGIN)
		return device_fd(r, e);
	if (e->status & (AREA_FILE_PRIVATE | AREA_FILE_SHARED))
		return restore_files_mapping_fd(r, (uint32_t)e->shmid,
						e->has_fdflags ? (int)e->fdflags : -1);
	return -1;
}

static bool filled_private(const struct restore_task *task, const VmaEntry *e)
{
	return area_is_made(e) && !(e->flags & MAP_SHARED) && area_has_pages(task, e);
}

static void put_area(struct restore *r, struct restore_task *task, const VmaEntry *e,
		     struct program *p)
{
	const uint32_t keep = MAP_SHARED | MAP_PRIVATE | MAP_GROWSDOWN | MAP_NORESERVE | 0x08;
	const uint32_t huge = MAP_HUGETLB | (uint32_t)MAP_HUGE_MASK << MAP_HUGE_SHIFT;
	uint32_t flags = (e->flags & keep) | MAP_FIXED_NOREPLACE;
	uint32_t prot = e->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);
	int fd = area_file(r, e), step;

	if (filled_private(task, e))
		prot |= PROT_WRITE;
	/* a file of huge pages needs no flag */
	if (fd < 0)
		flags |= MAP_ANONYMOUS | (e->flags & MAP_HUGETLB ? e->flags & huge : 0);
	step = prog_syscall(p, "mapping an area", PROG_STOP, SYS_mmap, PN(e->start),
			    PN(e->end - e->start), PN(prot), PN(flags), PN(fd),
			    PN(fd < 0 ? 0 : e->pgoff));
	if (!p->broken)
		p->steps.v[step].detail = e->start;
	attributes_put_policy(e, p);
	if (e->status & AREA_PLUGIN)
		device_note_step(r, e, step);
}

/* It is mapped and filled. */
static void put_inherited(const struct restore *r, const VmaEntry *e, struct program *p)
{
	uint64_t at = inherit_at(r, e->start), len = e->end - e->start;

	if (at != e->start) {
		int step = prog_syscall(p, "moving an inherited area", PROG_STOP, SYS_mremap,
					PN(at), PN(len), PN(len), PN(MREMAP_MAYMOVE | MREMAP_FIXED),
					PN(e->start));

		if (!p->broken)
			p->steps.v[step].detail = e->start;
	}
	attributes_put_policy(e, p);
}

static void protect(const struct restore_task *task, size_t area, struct program *p)
{
	const VmaEntry *e = task->mm->vmas[area];
	uint32_t prot = e->prot & (PROT_READ | PROT_WRITE | PROT_EXEC);

	if (inherit_has(task, area) ? prot != (PROT_READ | PROT_WRITE)
				    : filled_private(task, e) && !(prot & PROT_WRITE))
		prog_syscall(p, "protecting an area", PROG_STOP, SYS_mprotect, PN(e->start),
			     PN(e->end - e->start), PN(prot));
}

static void put_mm_map(struct restore *r, struct restore_task *task, struct program *p)
{
	const MmEntry *mm = task->mm;
	struct prctl_mm_map map = {
		.start_code = mm->mm_start_code,
		.end_code = mm->mm_end_code,
		.start_data = mm->mm_start_data,
		.end_data = mm->mm_end_data,
		.start_brk = mm->mm_start_brk,
		.brk = mm->mm_brk,
		.start_stack = mm->mm_start_stack,
		.arg_start = mm->mm_arg_start,
		.arg_end = mm->mm_arg_end,
		.env_start = mm->mm_env_start,
		.env_end = mm->mm_env_end,
		.auxv_size = (uint32_t)(mm->n_mm_saved_auxv * 8),
		.exe_fd = (uint32_t)restore_files_mapping_fd(r, mm->exe_file_id, 0),
	};
	uint64_t auxv = prog_bytes(p, mm->mm_saved_auxv, mm->n_mm_saved_auxv * 8);
	uint64_t at = prog_bytes(p, &map, sizeof(map));

	prog_pointer(p, at + offsetof(struct prctl_mm_map, auxv), auxv);
	prog_syscall(p, "setting the memory map's marks (PR_SET_MM_MAP)", PROG_STOP, SYS_prctl,
		     PN(PR_SET_MM), PN(PR_SET_MM_MAP), PD(at), PN(sizeof(map)), PN(0));
}

static int put_memory(struct restore *r, struct restore_task *task, struct err *err)
{
	struct program *p = &task->prog_mm;
	size_t i;
	int n = vdso_put(r, task, p, err);

	if (n < 0)
		return n;
	for (i = 0; i < task->mm->n_vmas; i++) {
		if (task->mm->vmas[i]->status & AREA_SYSVIPC)
			sysv_put(r, task->mm, i, p);
		else if (inherit_has(task, i))
			put_inherited(r, task->mm->vmas[i], p);
		else if (area_is_made(task->mm->vmas[i]))
			put_area(r, task, task->mm->vmas[i], p);
	}
	vdso_put_aside(r, task, p);
	if (p->broken)
		return err_nomem(err);
	p = &task->prog_filled;
	n = fill_check(r, task, err);
	if (n == 0)
		n = aio_put(r, task, p, err);
	if (n < 0)
		return n;
	for (i = 0; i < task->mm->n_vmas; i++)
		protect(task, i, p);
	vdso_protect(task, p);
	attributes_put(task, p);
	put_mm_map(r, task, p);
	return 0;
}

int mem_build_program(struct restore *r, struct restore_task *task, struct err *err)
{
	struct program *p = &task->prog_filled;
	int n = task->memory_of == task ? put_memory(r, task, err) : 0;

	if (n < 0)
		return err_wrap(err, n, "%s", restore_task_name(r, task));
	/* those who share the table need them until they are finished as well */
	if (task->files.last)
		prog_syscall(p, "closing the engine's descriptors", PROG_STOP, SYS_close_range,
			     PN(r->fd_base), PN(~0u), PN(0));
	return p->broken ? err_nomem(err) : 0;
}

int mem_check_result(struct restore *r, struct restore_task *task, struct err *err)
{
	const struct prog_step *s;

	attributes_warn(r, task);
	/* reads, and requests of AIO rings */
	vec_foreach (s, &task->prog_filled.steps)
		if ((s->nr == SYS_pread64 || s->nr == SYS_io_submit) &&
		    s->result != (int64_t)s->detail)
			return err_image(err, "%s: %s: only %ld of %lu could be had",
					 restore_task_name(r, task), s->what, (long)s->result,
					 (long)s->detail);
	return 0;
}
