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
#include <sys/ioctl.h>

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

struct copy_arg {
	struct page_writer *w;
	pid_t pid;
	int mem; /* /proc/PID/mem, which also reads areas without PROT_READ; -1: not needed */
	bool skip_zero;
};

static int copy_range(void *p, uint64_t start, uint64_t end, struct err *err)
{
	struct copy_arg *a = p;

	if (a->mem >= 0)
		return page_writer_copy_fd(a->w, a->mem, start, start,
					   (end - start) / IMAGE_PAGE_SIZE, a->skip_zero, err);
	return page_writer_copy(a->w, a->pid, start, start, (end - start) / IMAGE_PAGE_SIZE,
				a->skip_zero, err);
}

static int dump_area(struct dump_task *task, const struct proc_vma *vma, int fd,
		     struct page_writer *w, struct err *err)
{
	cleanup_fd int mem =
		vma->prot & PROT_READ ? -EBADF : openat(task->proc_fd, "mem", O_RDONLY | O_CLOEXEC);
	struct copy_arg a = { w, task->tid, mem, true };
	const char *why;
	enum area_kind kind = area_classify(vma, &why);
	int r;

	/* pages of the kernel's own, which the scan would leave out */
	if (kind == AREA_KIND_AIO)
		return copy_range(&a, vma->start, vma->end, err);
	/* The vDSO is stored whole: a restore compares it with its own. */
	if (kind == AREA_KIND_VDSO) {
		a.skip_zero = false;
		return copy_range(&a, vma->start, vma->end, err);
	}

	/* A zero page over a file's page hides it, and must be stored. */
	if (area_is_file(vma))
		a.skip_zero = false;
	r = scan_ioctl(fd, vma->start, vma->end, copy_range, &a, err);
	if (r == -ENOTTY || r == -EINVAL)
		r = scan_file(fd, vma->start, vma->end, copy_range, &a, err);
	if (r < 0 && err->class == ERR_NONE)
		err_sys(err, r, "scanning the page map");
	return r;
}

int mem_dump_pages(struct dump *d, struct dump_task *task, struct err *err)
{
	struct page_writer *w = NULL;
	const struct proc_vma *vma;
	cleanup_fd int fd = -EBADF;
	char name[48];
	int r;

	fd = openat(task->proc_fd, "pagemap", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, -errno, "opening the page map of task %d", task->pid);
	snprintf(name, sizeof(name), "pagemap-%d.img", task->ns_pid);
	r = page_writer_new(d, IMG_PAGEMAP, name, &w, err);
	if (r < 0)
		return r;
	vec_foreach (vma, &task->vmas) {
		if (!area_has_own_pages(vma))
			continue;
		r = dump_area(task, vma, fd, w, err);
		if (r < 0) {
			r = err_wrap(err, r, "copying area 0x%lx-0x%lx of %s", (long)vma->start,
				     (long)vma->end, dump_task_name(d, task));
			break;
		}
	}
	if (r == 0)
		r = page_writer_finish(w, err);
	page_writer_free(w);
	return r;
}
