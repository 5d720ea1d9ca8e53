/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Which pages of a task must be stored, and copying them. The kernel tells it by PAGEMAP_SCAN
 * (6.7), or by /proc/PID/pagemap where that is missing.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/mem/areas.h"
#include "engine/mem/pagemap-scan.h"
#include "engine/mem/mem.h"

enum { BATCH = 512 };

/* Bits of /proc/PID/pagemap, Documentation/admin-guide/mm/pagemap.rst. */
#define PM_GUARD (1ull << 58)
#define PM_FILE (1ull << 61)
#define PM_SWAP (1ull << 62)
#define PM_PRESENT (1ull << 63)

typedef int (*range_fn)(void *arg, uint64_t start, uint64_t end, struct err *err);

static int scan_ioctl(int fd, uint64_t start, uint64_t end, range_fn fn, void *arg, struct err *err)
{
	cleanup_free struct page_region *v = calloc(BATCH, sizeof(*v));
	struct pm_scan_arg scan = {
		.size = sizeof(scan),
		.end = end,
		.vec = (uint64_t)(uintptr_t)v,
		.vec_len = BATCH,
		/* stored: present or swapped; not: the shared zero page, pages of the mapped file,
		 * guards
		 */
		.category_inverted = PAGE_IS_PFNZERO | PAGE_IS_FILE | PAGE_IS_GUARD,
		.category_mask = PAGE_IS_PFNZERO | PAGE_IS_FILE | PAGE_IS_GUARD,
		.category_anyof_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
		.return_mask = PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
	};

	if (!v)
		return err_nomem(err);
	while (start < end) {
		int n, i;

		scan.start = start;
		n = ioctl(fd, PAGEMAP_SCAN, &scan);
		if (n < 0 && errno == EINVAL && scan.category_mask & PAGE_IS_GUARD) {
			/* before 6.15: a guard page will look like one in swap, and fail to be read
			 */
			scan.category_inverted &= ~(uint64_t)PAGE_IS_GUARD;
			scan.category_mask &= ~(uint64_t)PAGE_IS_GUARD;
			continue;
		}
		if (n < 0)
			return -errno;
		for (i = 0; i < n; i++) {
			int r = fn(arg, v[i].start, v[i].end, err);

			if (r < 0)
				return r;
		}
		if (scan.walk_end <= start)
			break;
		start = scan.walk_end;
	}
	return 0;
}

static int scan_file(int fd, uint64_t start, uint64_t end, range_fn fn, void *arg, struct err *err)
{
	cleanup_free uint64_t *v = calloc(BATCH, sizeof(*v));
	uint64_t run = 0, at = start;
	int r;

	if (!v)
		return err_nomem(err);
	while (at < end) {
		size_t i, n = (end - at) / IMAGE_PAGE_SIZE < BATCH ? (end - at) / IMAGE_PAGE_SIZE
								   : BATCH;

		if (pread(fd, v, n * 8, (off_t)(at / IMAGE_PAGE_SIZE * 8)) != (ssize_t)(n * 8))
			return err_sys(err, -EIO, "reading the page map");
		for (i = 0; i < n; i++, at += IMAGE_PAGE_SIZE) {
			bool stored = (v[i] & PM_SWAP && !(v[i] & PM_GUARD)) ||
				      (v[i] & PM_PRESENT && !(v[i] & PM_FILE));

			if (stored && !run)
				run = at;
			if (!stored && run) {
				r = fn(arg, run, at, err);
				if (r < 0)
					return r;
				run = 0;
			}
		}
	}
	return run ? fn(arg, run, end, err) : 0;
}

/*
 * Areas that lie one after the other in the list are asked for at once, and what is stored of
 * neighbours is copied at once, if it is read in the same way.
 */
struct copying {
	struct dump_task *task;
	struct page_writer *w;
	int mem;	/* /proc/PID/mem, which also reads areas without PROT_READ; -1: not open */
	size_t at, end; /* areas of the group; the first that may hold the next region */
	struct run {
		uint64_t start, end; /* 0: none */
		bool by_mem, skip_zero;
	} run; /* not copied yet */
};

static int copy_run(struct copying *c, struct err *err)
{
	const struct run *run = &c->run;
	uint64_t n = (run->end - run->start) / IMAGE_PAGE_SIZE;
	int r = 0;

	if (!n)
		return 0;
	if (run->by_mem && c->mem < 0) {
		c->mem = openat(c->task->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
		if (c->mem < 0)
			r = err_sys(err, -errno, "opening its memory");
	}
	if (r == 0)
		r = run->by_mem ? page_writer_copy_fd(c->w, c->mem, run->start, run->start, n,
						      run->skip_zero, err)
				: page_writer_copy(c->w, c->task->tid, run->start, run->start, n,
						   run->skip_zero, err);
	if (r < 0)
		return err_wrap(err, r, "copying 0x%lx-0x%lx", (long)run->start, (long)run->end);
	c->run.start = c->run.end = 0;
	return 0;
}

static int add_part(struct copying *c, const struct proc_vma *vma, uint64_t start, uint64_t end,
		    struct err *err)
{
	struct run part = {
		.start = start,
		.end = end,
		.by_mem = !(vma->prot & PROT_READ),
		/* the vDSO is stored whole: a restore compares it with its own; a zero page over
		 * a file's page hides it
		 */
		.skip_zero = !area_is_file(vma) && strcmp(vma->path, "[vdso]") != 0,
	};
	int r;

	if (c->run.end == start && c->run.by_mem == part.by_mem &&
	    c->run.skip_zero == part.skip_zero) {
		c->run.end = end;
		return 0;
	}
	r = copy_run(c, err);
	c->run = part;
	return r;
}

/* A region can go over several areas. */
static int add_region(void *arg, uint64_t start, uint64_t end, struct err *err)
{
	struct copying *c = arg;
	int r = 0;

	for (; c->at < c->end && start < end && r == 0; c->at++) {
		const struct proc_vma *vma = &c->task->vmas.v[c->at];
		uint64_t stop = end < vma->end ? end : vma->end;

		if (start < vma->start)
			start = vma->start;
		if (start >= stop)
			continue;
		r = add_part(c, vma, start, stop, err);
		start = stop;
		if (stop < vma->end)
			break;
	}
	return r;
}

/* Stored whole: pages of the kernel's own, which the scan would leave out. */
static bool is_whole(const struct proc_vma *vma)
{
	const char *why;
	enum area_kind kind = area_classify(vma, &why);

	return kind == AREA_KIND_AIO || kind == AREA_KIND_VDSO;
}

static int scan_group(struct copying *c, int fd, struct err *err)
{
	const struct proc_vma *v = c->task->vmas.v;
	size_t i;
	int r;

	if (is_whole(&v[c->at]))
		return add_region(c, v[c->at].start, v[c->at].end, err);
	r = scan_ioctl(fd, v[c->at].start, v[c->end - 1].end, add_region, c, err);
	if (r != -ENOTTY && r != -EINVAL)
		return r;
	r = 0;
	for (i = c->at; i < c->end && r == 0; i++)
		r = scan_file(fd, v[i].start, v[i].end, add_region, c, err);
	return r;
}

static int dump_areas(struct copying *c, int fd, struct err *err)
{
	const struct proc_vmas *vmas = &c->task->vmas;
	size_t i, k;
	int r = 0;

	for (i = 0; i < vmas->n && r == 0; i = k) {
		k = i + 1;
		if (!area_has_own_pages(&vmas->v[i]))
			continue;
		if (!is_whole(&vmas->v[i]))
			while (k < vmas->n && area_has_own_pages(&vmas->v[k]) &&
			       !is_whole(&vmas->v[k]))
				k++;
		c->at = i;
		c->end = k;
		r = scan_group(c, fd, err);
	}
	if (r < 0 && err->class == ERR_NONE)
		err_sys(err, r, "scanning the page map");
	return r == 0 ? copy_run(c, err) : r;
}

int mem_dump_pages(struct dump *d, struct dump_task *task, struct err *err)
{
	struct copying c = { .task = task, .mem = -EBADF };
	cleanup_fd int fd = -EBADF;
	char name[48];
	int r;

	fd = openat(task->proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "opening the page map of task %d", task->pid);
	snprintf(name, sizeof(name), "pagemap-%d.img", task->ns_pid);
	r = page_writer_new(d, IMG_PAGEMAP, name, &c.w, err);
	if (r < 0)
		return r;
	r = dump_areas(&c, fd, err);
	if (r == 0)
		r = page_writer_finish(c.w, err);
	page_writer_free(c.w);
	if (c.mem >= 0)
		close(c.mem);
	return r < 0 ? err_wrap(err, r, "%s", dump_task_name(d, task)) : 0;
}
