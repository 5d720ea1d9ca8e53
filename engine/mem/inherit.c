/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Pages that parent and child have shared since a fork. Images hold them twice, but a restore must
 * not: so the builder of the parent maps and fills such an area before it forks, and that of the
 * child changes only the pages that differ. That happens in the engine's own address space, at a
 * distance from the final addresses that keeps clear of it (none where they are free); the program
 * of a task then moves an area to its place instead of making it.
 *
 * Whether two pages were one at the dump, images do not tell. Equal pages at one address of the
 * same kind of area can be one: nobody can tell, and it takes less memory.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/files/restore-files.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "proto/memory.pb-c.h"
#include "proto/task.pb-c.h"

/*
 * An area that goes from a parent to its children, or came from there. It is made as large as it
 * is in any descendant; the task's own part is the area's.
 */
struct inherited {
	uint64_t start, end; /* final addresses */
	bool used;
	const struct inherited *from; /* the parent's; NULL: made by this builder */
};

/* ---- the plan, in the engine ---- */

static bool is_candidate(const struct restore_task *task, const VmaEntry *e)
{
	return !(e->flags & (MAP_SHARED | MAP_HUGETLB)) && e->flags & MAP_PRIVATE &&
	       area_is_made(e) && !(e->status & (AREA_SYSVIPC | AREA_PLUGIN)) &&
	       area_has_pages(task, e);
}

static bool are_alike(const VmaEntry *a, const VmaEntry *b)
{
	const uint32_t file = AREA_FILE_PRIVATE, flags = MAP_GROWSDOWN | MAP_NORESERVE;

	if ((a->status & file) != (b->status & file) || (a->flags & flags) != (b->flags & flags))
		return false;
	return !(a->status & file) || (a->shmid == b->shmid && a->fdflags == b->fdflags &&
				       a->start - a->pgoff == b->start - b->pgoff);
}

/* Whether area number i of the task can be made as large as that, without touching a neighbour. */
static bool has_room(const struct restore_task *task, size_t i, uint64_t start, uint64_t end)
{
	const MmEntry *mm = task->mm;

	if (i > 0 && (mm->vmas[i - 1]->end > start ||
		      (task->inherited[i - 1].used && task->inherited[i - 1].end > start)))
		return false;
	if (i + 1 == mm->n_vmas || mm->vmas[i + 1]->start < mm->vmas[i]->end)
		return true; /* guard pages follow in a list of their own */
	return mm->vmas[i + 1]->start >= end &&
	       (!task->inherited[i + 1].used || task->inherited[i + 1].start >= end);
}

static struct inherited *use(struct restore_task *task, size_t i)
{
	struct inherited *in = &task->inherited[i];

	if (!in->used)
		*in = (struct inherited){ task->mm->vmas[i]->start, task->mm->vmas[i]->end, true,
					  NULL };
	return in;
}

static void plan_area(struct restore_task *child, size_t i, struct restore_task *parent, size_t j)
{
	const VmaEntry *e = child->mm->vmas[i];
	uint64_t start = e->start, end = e->end;
	struct inherited *theirs;

	if (child->inherited[i].used) {
		start = child->inherited[i].start;
		end = child->inherited[i].end;
	}
	if (!has_room(parent, j, start, end))
		return;
	theirs = use(parent, j);
	if (start < theirs->start)
		theirs->start = start;
	if (end > theirs->end)
		theirs->end = end;
	use(child, i)->from = theirs;
}

static void plan_pair(struct restore_task *child, struct restore_task *parent)
{
	const MmEntry *a = child->mm, *b = parent->mm;
	size_t i, j = 0;

	for (i = 0; i < a->n_vmas && !(a->vmas[i]->status & AREA_GUARD); i++) {
		const VmaEntry *e = a->vmas[i];
		size_t k;

		while (j < b->n_vmas && b->vmas[j]->end <= e->start)
			j++;
		if (!is_candidate(child, e))
			continue;
		for (k = j; k < b->n_vmas && b->vmas[k]->start < e->end; k++) {
			if (b->vmas[k]->end <= e->start || !is_candidate(parent, b->vmas[k]) ||
			    !are_alike(e, b->vmas[k]))
				continue;
			plan_area(child, i, parent, k);
			break;
		}
	}
}

/* ---- the distance ---- */

/* The power of two that the highest address is below. */
static uint64_t address_span(void)
{
	return 1ull << (64 - __builtin_clzll(arch_task_size() - 1));
}

uint64_t inherit_at(const struct restore *r, uint64_t addr)
{
	return (addr + r->inherit_distance) % address_span();
}

static bool overlaps(const struct range *sorted, size_t n, uint64_t start, uint64_t end)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (sorted[mid].end > start)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < n && sorted[lo].start < end;
}

static bool distance_fits(const struct restore *r, const struct ranges *own,
			  const struct ranges *all, const struct ranges *ours)
{
	const struct range *g;

	vec_foreach (g, ours) {
		uint64_t start = inherit_at(r, g->start), end = start + (g->end - g->start);

		if (start < 1 << 20 || end > arch_task_size() ||
		    overlaps(own->v, own->n, start, end) ||
		    (r->inherit_distance && overlaps(all->v, all->n, start, end)))
			return false;
	}
	return true;
}

/* Keeps the places free, so that nothing that the engine maps meanwhile gets there. */
static int reserve(struct restore *r, const struct ranges *ours, struct err *err)
{
	const struct range *g;

	vec_foreach (g, ours) {
		void *at = (void *)inherit_at(r, g->start);

		if (mmap(at, g->end - g->start, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) != at)
			return err_sys(err, -errno, "reserving memory for inherited areas");
	}
	return 0;
}

static int collect(const struct restore *r, struct ranges *ours)
{
	struct restore_task *const *t;
	size_t i;

	vec_foreach (t, &r->tasks) {
		for (i = 0; (*t)->inherited && i < (*t)->mm->n_vmas; i++) {
			const struct inherited *in = &(*t)->inherited[i];
			struct range *slot = in->used ? vec_add(ours) : NULL;

			if (in->used && !slot)
				return -ENOMEM;
			if (slot)
				*slot = (struct range){ in->start, in->end };
		}
	}
	return 0;
}

int inherit_place(struct restore *r, const struct ranges *own, const struct ranges *all,
		  struct err *err)
{
	struct ranges ours = { 0 };
	struct restore_task **t;
	unsigned int i;
	int n = collect(r, &ours);

	if (n < 0)
		err_nomem(err);
	/* whole gigabytes: then the kernel moves tables of pages instead of single ones */
	for (i = 0; n == 0 && i < 1024; i++) {
		r->inherit_distance = (uint64_t)i * (address_span() / 1024);
		if (distance_fits(r, own, all, &ours)) {
			n = reserve(r, &ours, err);
			break;
		}
	}
	if (i == 1024)
		vec_foreach (t, &r->tasks)
			(*t)->inherited = NULL; /* copies, then */
	vec_free(&ours);
	return n;
}

/* Helpers hand on what they were forked with. */
static bool is_forked_by_parent(const struct restore_task *t)
{
	const struct restore_task *f = t->birth.forker;

	while (f && f->birth.helper)
		f = f->birth.forker;
	return f && f == t->parent && !f->dead;
}

int inherit_plan(struct restore *r, struct err *err)
{
	struct restore_task **t;
	size_t i;

	vec_foreach (t, &r->tasks) {
		if ((*t)->dead || r->tasks.n < 2)
			continue;
		(*t)->inherited = (*t)->memory_of->inherited;
		if ((*t)->memory_of != *t)
			continue;
		(*t)->inherited =
			arena_alloc(&r->arena, ((*t)->mm->n_vmas + 1) * sizeof(*(*t)->inherited));
		if (!(*t)->inherited)
			return err_nomem(err);
	}
	/* children before parents: an area grows by what its descendants need */
	for (i = r->tasks.n; i-- > 1;) {
		struct restore_task *task = r->tasks.v[i];

		if (!task->dead && is_forked_by_parent(task) && task->memory_of == task)
			plan_pair(task, task->parent);
	}
	return 0;
}

bool inherit_has(const struct restore_task *task, size_t area)
{
	return task->inherited && task->inherited[area].used;
}

/* ---- making it, in the builders ---- */

struct filler {
	const struct restore *r;
	const struct restore_task *task;
	uint8_t *chunk;
	int pages; /* the task's page file */
};

enum { CHUNK = 64 * IMAGE_PAGE_SIZE };

/* Reads stored bytes of the final address a to where they are now. */
static int read_in(const struct filler *f, uint64_t a, uint64_t len, uint64_t offset,
		   struct err *err)
{
	uint8_t *to = (uint8_t *)inherit_at(f->r, a);
	int n = io_pread_all(f->pages, to, len, (off_t)offset);

	return n < 0 ? err_sys(err, n, "reading its pages at 0x%lx", (long)a) : 0;
}

/* Changes only the pages that differ from the inherited ones. */
static int compare_in(const struct filler *f, uint64_t a, uint64_t len, uint64_t offset,
		      struct err *err)
{
	uint64_t equal = 0;

	while (len) {
		size_t part = len < CHUNK ? len : CHUNK, i;
		uint8_t *to = (uint8_t *)inherit_at(f->r, a);
		int n = io_pread_all(f->pages, f->chunk, part, (off_t)offset);

		if (n < 0)
			return err_sys(err, n, "reading its pages at 0x%lx", (long)a);
		for (i = 0; i < part; i += IMAGE_PAGE_SIZE) {
			if (memcmp(to + i, f->chunk + i, IMAGE_PAGE_SIZE) != 0)
				memcpy(to + i, f->chunk + i, IMAGE_PAGE_SIZE);
			else
				equal++;
		}
		__atomic_add_fetch(&f->r->counts->compared, part / IMAGE_PAGE_SIZE,
				   __ATOMIC_RELAXED);
		a += part;
		offset += part;
		len -= part;
	}
	__atomic_add_fetch(&f->r->counts->equal, equal, __ATOMIC_RELAXED);
	return 0;
}

/* The number of the first run that ends behind addr. */
static size_t run_at(const struct page_map *m, uint64_t addr)
{
	size_t lo = 0, hi = m->runs.n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (m->runs.v[mid].addr + m->runs.v[mid].n_pages * IMAGE_PAGE_SIZE > addr)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* One stored run of pages over inherited memory: where the parent has none, there is no page yet.
 */
static int put_run(const struct filler *f, uint64_t a, uint64_t end, uint64_t offset,
		   struct err *err)
{
	const struct page_map *theirs = f->task->parent->pages;
	size_t k = run_at(theirs, a);
	int n = 0;

	while (a < end && n == 0) {
		const struct page_run *run = k < theirs->runs.n ? &theirs->runs.v[k] : NULL;
		uint64_t stop = end;
		bool there = run && run->addr <= a;

		if (run && !there && run->addr < end)
			stop = run->addr;
		if (there && run->addr + run->n_pages * IMAGE_PAGE_SIZE < end)
			stop = run->addr + run->n_pages * IMAGE_PAGE_SIZE;
		n = there ? compare_in(f, a, stop - a, offset, err)
			  : read_in(f, a, stop - a, offset, err);
		k += there;
		offset += stop - a;
		a = stop;
	}
	return n;
}

static int drop(const struct filler *f, uint64_t start, uint64_t end, struct err *err)
{
	if (start < end && madvise((void *)inherit_at(f->r, start), end - start, MADV_DONTNEED) < 0)
		return err_sys(err, -errno, "dropping pages at 0x%lx", (long)start);
	return 0;
}

static int fill(const struct filler *f, const VmaEntry *e, bool inherited, struct err *err)
{
	const struct page_map *m = f->task->pages;
	uint64_t at = e->start;
	size_t k;
	int n = 0;

	for (k = run_at(m, e->start); n == 0 && k < m->runs.n && m->runs.v[k].addr < e->end; k++) {
		const struct page_run *run = &m->runs.v[k];
		uint64_t a = run->addr > e->start ? run->addr : e->start, end, offset;

		end = run->addr + run->n_pages * IMAGE_PAGE_SIZE;
		end = end < e->end ? end : e->end;
		offset = run->offset + (a - run->addr);
		if (!inherited) {
			n = read_in(f, a, end - a, offset, err);
			continue;
		}
		n = drop(f, at, a, err);
		if (n == 0)
			n = put_run(f, a, end, offset, err);
		at = end;
	}
	return n == 0 && inherited ? drop(f, at, e->end, err) : n;
}

static int map(const struct restore *r, const VmaEntry *e, const struct inherited *in,
	       struct err *err)
{
	void *at = (void *)inherit_at(r, in->start);
	int fd = area_file(r, e);
	int flags = MAP_PRIVATE | MAP_FIXED | (int)(e->flags & (MAP_GROWSDOWN | MAP_NORESERVE)) |
		    (fd < 0 ? MAP_ANONYMOUS : 0);

	/* where a descendant has more of a file in front, its offset is not below zero either */
	if (mmap(at, in->end - in->start, PROT_READ | PROT_WRITE, flags, fd,
		 fd < 0 ? 0 : (off_t)(e->pgoff - (e->start - in->start))) != at)
		return err_sys(err, -errno, "mapping it");
	return 0;
}

static int make_all(struct restore *r, const struct filler *f, struct err *err)
{
	const struct restore_task *task = f->task;
	size_t i;

	for (i = 0; i < task->mm->n_vmas; i++) {
		const struct inherited *in = &task->inherited[i];
		const VmaEntry *e = task->mm->vmas[i];
		int n = 0;

		if (!in->used)
			continue;
		if (!in->from)
			n = map(r, e, in, err);
		if (n == 0)
			n = fill(f, e, in->from != NULL, err);
		if (n < 0)
			return err_wrap(err, n, "area 0x%lx-0x%lx", (long)e->start, (long)e->end);
	}
	return 0;
}

int inherit_make(struct restore *r, struct restore_task *task, struct err *err)
{
	cleanup_free uint8_t *chunk = NULL;
	struct filler f = { .r = r, .task = task };
	int n;

	if (!task->inherited || task->dead)
		return 0;
	f.chunk = chunk = aligned_alloc(IMAGE_PAGE_SIZE, CHUNK);
	if (!chunk)
		return err_nomem(err);
	f.pages = page_file_open(r, task->pages, true, err);
	if (f.pages < 0)
		return f.pages;
	n = make_all(r, &f, err);
	page_file_done(task->pages, f.pages);
	return n;
}
