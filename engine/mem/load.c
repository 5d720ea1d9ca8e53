/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading the areas of a task, and placing the scratch area. */
#include "engine/mem/load.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/files/restore-files.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "engine/sockets/packet.h"
#include "proto/memory.pb-c.h"

static int check_area(const VmaEntry *e, const VmaEntry *before, struct err *err)
{
	if (e->start >= e->end || e->start % IMAGE_PAGE_SIZE || e->end % IMAGE_PAGE_SIZE ||
	    (e->end > arch_task_size() && !(e->status & AREA_VSYSCALL)))
		return err_image(err, "it is not a range of pages");
	if (before && before->status & AREA_GUARD && !(e->status & AREA_GUARD))
		return err_image(err, "guard pages must be last in the list");
	if (before && before->end > e->start && !(e->status & AREA_GUARD))
		return err_image(err, "it overlaps the area before");
	if (e->status & AREA_SHADOW_STACK)
		return err_refuse(err, "an area of its kind (status 0x%x) cannot be restored yet",
				  e->status);
	if (!(e->status & (AREA_REGULAR | AREA_VSYSCALL | AREA_AIO_RING | AREA_GUARD)))
		return err_image(err, "status 0x%x is not known", e->status);
	return attributes_check(e, err);
}

static int need_file(struct restore *r, const VmaEntry *e, struct err *err)
{
	bool writes = e->status & AREA_FILE_SHARED && e->prot & PROT_WRITE;
	int flags = e->has_fdflags ? (int)e->fdflags : writes ? O_RDWR : O_RDONLY;
	int n = restore_files_need_mapping(r, (uint32_t)e->shmid, flags, err);

	if (n == 0 && e->has_flock && e->flock != LOCK_SH && e->flock != LOCK_EX)
		return err_image(err, "flock %u is neither of the two kinds", e->flock);
	if (n == 0 && e->has_flock)
		restore_files_lock_mapping(r, (uint32_t)e->shmid, flags, (int)e->flock);
	return n;
}

static int need_area(struct restore *r, struct restore_task *task, VmaEntry *e, struct err *err)
{
	uint64_t end;

	if (e->status & AREA_SOCKET)
		return packet_need_mapping(r, (uint32_t)e->shmid, e->end - e->start, err);
	if (e->status & AREA_PLUGIN)
		return device_need(r, task, e, err);

	if (e->status & (AREA_FILE_PRIVATE | AREA_FILE_SHARED))
		return need_file(r, e, err);
	if (e->status & AREA_SYSVIPC)
		return sysv_check(r, e, err);
	if (e->status & AREA_ANON_SHARED) {
		if (__builtin_add_overflow(e->pgoff, e->end - e->start, &end) || end > 1ull << 47)
			return err_image(err, "offset 0x%lx is out of range", (long)e->pgoff);
		return shmem_need(r, e->shmid, end, err);
	}
	return 0;
}

/* Those who share the memory of another come after it, and have no images of it. */
static void take_memory_of(struct restore_task *task, const struct restore_task *first)
{
	task->mm = first->mm;
	task->exe = first->exe;
	task->pages = first->pages;
}

int mem_load(struct restore *r, struct restore_task *task, struct err *err)
{
	char name[48];
	MmEntry *mm;
	size_t i;
	int n;

	if (task->memory_of != task) {
		take_memory_of(task, task->memory_of);
		return 0;
	}
	n = restore_read_one(r, IMG_MM, &mm_entry__descriptor, &mm, err, "mm-%d.img", task->ns_pid);

	if (n < 0)
		return n;
	task->mm = mm;
	for (i = 0; i < mm->n_vmas; i++) {
		n = check_area(mm->vmas[i], i ? mm->vmas[i - 1] : NULL, err);
		if (n == 0)
			n = need_area(r, task, mm->vmas[i], err);
		if (n < 0)
			return err_wrap(err, n, "image 'mm-%d.img': area 0x%lx-0x%lx", task->ns_pid,
					(long)mm->vmas[i]->start, (long)mm->vmas[i]->end);
	}
	n = aio_load(r, task, err);
	if (n < 0)
		return err_wrap(err, n, "image 'mm-%d.img'", task->ns_pid);
	task->exe = files_find(r, mm->exe_file_id);
	if (!task->exe)
		return err_image(err, "image 'mm-%d.img': executable %u is not in 'files.img'",
				 task->ns_pid, mm->exe_file_id);
	n = restore_files_need_mapping(r, mm->exe_file_id, O_RDONLY, err);
	if (n < 0)
		return n;
	task->pages = arena_alloc(&r->arena, sizeof(*task->pages));
	if (!task->pages)
		return err_nomem(err);
	snprintf(name, sizeof(name), "pagemap-%d.img", task->ns_pid);
	return page_map_load(r, IMG_PAGEMAP, name, task->pages, err);
}

/* ---- the scratch area ---- */

static int by_start(const void *a, const void *b)
{
	const struct range *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

static int add_range(struct ranges *to, uint64_t start, uint64_t end)
{
	struct range *slot = vec_add(to);

	if (!slot)
		return -ENOMEM;
	*slot = (struct range){ start, end };
	return 0;
}

/* Sorted; ranges that touch become one. */
static void settle(struct ranges *all)
{
	size_t i, n = 0;

	qsort(all->v, all->n, sizeof(*all->v), by_start);
	for (i = 0; i < all->n; i++) {
		if (n && all->v[i].start <= all->v[n - 1].end) {
			if (all->v[i].end > all->v[n - 1].end)
				all->v[n - 1].end = all->v[i].end;
		} else {
			all->v[n++] = all->v[i];
		}
	}
	all->n = n;
}

static int own_ranges(struct ranges *to, const struct proc_vmas *own)
{
	const uint64_t growth = 16 << 20;
	const struct proc_vma *v;

	vec_foreach (v, own)
		if (add_range(to, strcmp(v->path, "[stack]") == 0 ? v->start - growth : v->start,
			      v->end) < 0)
			return -ENOMEM;
	return 0;
}

static int task_ranges(struct ranges *to, const struct restore *r)
{
	struct restore_task *const *t;
	size_t i;

	vec_foreach (t, &r->tasks)
		for (i = 0; (*t)->mm && i < (*t)->mm->n_vmas; i++)
			if (add_range(to, (*t)->mm->vmas[i]->start, (*t)->mm->vmas[i]->end) < 0)
				return -ENOMEM;
	return 0;
}

/* A gap of that length, with a guard on both sides so that stacks can grow. */
static uint64_t find_gap(const struct ranges *all, uint64_t len)
{
	const uint64_t guard = 2 << 20;
	uint64_t low = 16 << 20;
	size_t i;

	for (i = 0; i < all->n; i++) {
		if (all->v[i].start > low && all->v[i].start - low > len + 2 * guard)
			return low + guard;
		if (all->v[i].end > low && all->v[i].end <= arch_task_size())
			low = (all->v[i].end + guard) & ~(guard - 1);
	}
	return arch_task_size() - low > len + 2 * guard ? low + guard : 0;
}

static int map_scratch(struct restore *r, uint64_t addr, uint64_t data_len, struct err *err)
{
	size_t len;
	const void *loop = arch_loop(&len);
	const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
	void *code = mmap((void *)addr, IMAGE_PAGE_SIZE, PROT_READ | PROT_WRITE, flags, -1, 0);
	void *data = mmap((void *)(addr + IMAGE_PAGE_SIZE), data_len, PROT_READ | PROT_WRITE, flags,
			  -1, 0);

	if (code == MAP_FAILED || data == MAP_FAILED)
		return err_sys(err, -errno, "mapping the scratch area");
	memcpy(code, loop, len);
	if (mprotect(code, IMAGE_PAGE_SIZE, PROT_READ | PROT_EXEC) < 0)
		return err_sys(err, -errno, "making the scratch area executable");
	return 0;
}

/* Everything that must not be in the way: what we have, what the tasks will have. */
static int place(struct restore *r, const struct proc_vmas *own_vmas, uint64_t len, struct err *err)
{
	struct ranges own = { 0 }, tasks = { 0 }, all = { 0 };
	int n = own_ranges(&own, own_vmas);

	if (n == 0)
		n = task_ranges(&tasks, r);
	if (n == 0)
		n = own_ranges(&all, own_vmas);
	if (n == 0)
		n = task_ranges(&all, r);
	settle(&all);
	settle(&tasks);
	r->scratch_len = len;
	r->scratch_addr = n == 0 ? find_gap(&all, len + SCRATCH_RESERVE) : 0;
	if (n == 0)
		n = add_range(&own, r->scratch_addr,
			      r->scratch_addr + IMAGE_PAGE_SIZE + len + SCRATCH_RESERVE);
	settle(&own);
	if (n < 0)
		err_nomem(err);
	else if (!r->scratch_addr)
		n = err_new(err, ERR_ENVIRONMENT, -ENOMEM, "no room for a scratch area");
	else
		n = map_scratch(r, r->scratch_addr, len, err);
	if (n == 0)
		n = inherit_place(r, &own, &tasks, err);
	vec_free(&own);
	vec_free(&tasks);
	vec_free(&all);
	return n;
}

int mem_place_scratch(struct restore *r, struct err *err)
{
	cleanup_proc_vmas struct proc_vmas own = { 0 };
	cleanup_buf struct buf text = BUF_INIT;
	struct restore_task **t;
	uint64_t data_len = 1 << 20;
	int n = inherit_plan(r, err);

	if (n < 0)
		return n;
	/* sizes first: a program's size does not depend on addresses */
	vec_foreach (t, &r->tasks)
		if (!(*t)->dead && mem_program_bound(*t) > data_len)
			data_len = mem_program_bound(*t);
	data_len = (data_len + 0xfff) & ~0xfffull;
	n = io_read_file(AT_FDCWD, "/proc/self/maps", &text);
	if (n == 0)
		n = proc_vmas_parse(text.data, text.len, &own);
	if (n < 0)
		return err_sys(err, n, "reading our own areas");
	n = place(r, &own, data_len, err);
	r->own_vmas = arena_alloc(&r->arena, sizeof(*r->own_vmas));
	if (!r->own_vmas)
		return err_nomem(err);
	*r->own_vmas = own;
	own = (struct proc_vmas){ 0 };
	return n;
}
