/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * The programs that turn a builder's address space into the task's: take everything away but the
 * scratch area, put the vDSO in its place, map every area; and when these are filled, set
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

/* Layout of the scratch region: code, data, then room where the vDSO waits (SCRATCH_RESERVE). */
static uint64_t waiting_room(const struct restore *r)
{
	return r->scratch_addr + IMAGE_PAGE_SIZE + r->scratch_len;
}

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

/* ---- vDSO ---- */

struct vdso_part {
	uint64_t start, len;
};

/* Our own vvar and vdso areas, which every builder has at the same addresses. */
static size_t own_parts(const struct restore *r, struct vdso_part *parts, size_t max,
			uint64_t *ret_vdso)
{
	const struct proc_vma *v;
	size_t n = 0;

	*ret_vdso = 0;
	vec_foreach (v, r->own_vmas) {
		bool vdso = strcmp(v->path, "[vdso]") == 0;

		if ((!vdso && strncmp(v->path, "[vvar", 5) != 0) || n == max)
			continue;
		if (vdso)
			*ret_vdso = v->start;
		parts[n++] = (struct vdso_part){ v->start, v->end - v->start };
	}
	return n;
}

static const VmaEntry *area_with(const MmEntry *mm, uint32_t status)
{
	size_t i;

	for (i = 0; i < mm->n_vmas; i++)
		if (mm->vmas[i]->status & status)
			return mm->vmas[i];
	return NULL;
}

/* The stored vDSO must be ours, byte for byte: its functions are called at fixed offsets. */
static int same_vdso(const struct restore_task *task, const VmaEntry *vdso, uint64_t own,
		     uint64_t len, struct err *err)
{
	const struct page_run *run;
	uint64_t seen = 0;

	vec_foreach (run, &task->pages->runs) {
		uint64_t i;

		for (i = 0; i < run->n_pages; i++) {
			uint64_t at = run->addr + i * IMAGE_PAGE_SIZE;
			uint8_t page[IMAGE_PAGE_SIZE];

			if (at < vdso->start || at >= vdso->end)
				continue;
			if (pread(task->pages->fd, page, sizeof(page),
				  (off_t)(run->offset + i * IMAGE_PAGE_SIZE)) != sizeof(page))
				return err_sys(err, -EIO, "reading the stored vDSO");
			if (at - vdso->start >= len ||
			    memcmp(page, (void *)(own + at - vdso->start), sizeof(page)) != 0)
				return err_refuse(
					err, "the vDSO of the image is of another kernel build, "
					     "which cannot be restored yet");
			seen++;
		}
	}
	if (!seen)
		return err_image(err, "image 'pagemap-%d.img': the pages of the vDSO are missing",
				 task->ns_pid);
	return 0;
}

static void move_parts(struct program *p, const struct vdso_part *parts, size_t n, uint64_t base,
		       const uint64_t *from, uint64_t to)
{
	size_t i;

	for (i = 0; i < n; i++)
		prog_syscall(p, "moving the vDSO", PROG_STOP, SYS_mremap,
			     PN(from ? *from + (parts[i].start - base) : parts[i].start),
			     PN(parts[i].len), PN(parts[i].len), PN(MREMAP_MAYMOVE | MREMAP_FIXED),
			     PN(to + (parts[i].start - base)));
}

static int by_address(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* All but the scratch region, up to its end, and what the builder has made for the task already. */
static int unmap_all(const struct restore *r, const struct restore_task *task, uint64_t end,
		     struct program *p)
{
	struct ranges keep = { 0 };
	struct range *slot = vec_add(&keep);
	uint64_t at = 0;
	size_t i;

	if (slot)
		*slot = (struct range){ r->scratch_addr, end };
	for (i = 0; slot && i < task->mm->n_vmas; i++) {
		const VmaEntry *e = task->mm->vmas[i];
		uint64_t start = inherit_at(r, e->start);

		if (!inherit_has(task, i))
			continue;
		slot = vec_add(&keep);
		if (slot)
			*slot = (struct range){ start, start + (e->end - e->start) };
	}
	qsort(keep.v, keep.n, sizeof(*keep.v), by_address);
	for (i = 0; i < keep.n; i++) {
		if (keep.v[i].start > at)
			prog_syscall(p, "unmapping all", PROG_STOP, SYS_munmap, PN(at),
				     PN(keep.v[i].start - at));
		at = keep.v[i].end;
	}
	prog_syscall(p, "unmapping all", PROG_STOP, SYS_munmap, PN(at), PN(arch_task_size() - at));
	vec_free(&keep);
	return slot ? 0 : -ENOMEM;
}

/*
 * Over its own old place it cannot move (the kernel refuses overlaps), so it goes by way of a free
 * room.
 */
static int put_vdso(struct restore *r, struct restore_task *task, struct program *p,
		    struct err *err)
{
	const VmaEntry *vdso = area_with(task->mm, AREA_VDSO),
		       *vvar = area_with(task->mm, AREA_VVAR);
	uint64_t room = waiting_room(r), top = room + SCRATCH_RESERVE - 2 * IMAGE_PAGE_SIZE;
	struct vdso_part parts[6];
	uint64_t own, base, span, to = 0;
	size_t n = own_parts(r, parts, 6, &own);
	int e;

	if (!n || !own)
		return err_refuse(err, "this kernel runs without a vDSO");
	base = parts[0].start;
	span = parts[n - 1].start + parts[n - 1].len - base;
	if (span > SCRATCH_RESERVE / 2)
		return err_refuse(err, "the vDSO of this kernel is too large");
	if (vdso) {
		e = same_vdso(task, vdso, own, vdso->end - vdso->start, err);
		if (e < 0)
			return e;
		to = vdso->start - (own - base);
		if (vvar && (vvar->start != to || vvar->end - vvar->start != own - base))
			return err_refuse(
				err, "the vDSO data of the image is laid out otherwise than on "
				     "this kernel");
	}
	move_parts(p, parts, n, base, NULL, room);
	e = unmap_all(r, task, vdso ? top : room, p);
	if (e < 0)
		return err_nomem(err);
	if (vdso)
		move_parts(p, parts, n, base, &room, to);
	return 0;
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

int mem_build_program(struct restore *r, struct restore_task *task, struct err *err)
{
	struct program *p = &task->prog_mm;
	size_t i;
	int n = put_vdso(r, task, p, err);

	if (n < 0)
		return err_wrap(err, n, "%s", restore_task_name(r, task));
	for (i = 0; i < task->mm->n_vmas; i++) {
		if (task->mm->vmas[i]->status & AREA_SYSVIPC)
			sysv_put(r, task->mm, i, p);
		else if (inherit_has(task, i))
			put_inherited(r, task->mm->vmas[i], p);
		else if (area_is_made(task->mm->vmas[i]))
			put_area(r, task, task->mm->vmas[i], p);
	}
	if (p->broken)
		return err_nomem(err);
	p = &task->prog_filled;
	n = fill_check(r, task, err);
	if (n == 0)
		n = aio_put(r, task, p, err);
	if (n < 0)
		return err_wrap(err, n, "%s", restore_task_name(r, task));
	for (i = 0; i < task->mm->n_vmas; i++)
		protect(task, i, p);
	attributes_put(task, p);
	put_mm_map(r, task, p);
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
