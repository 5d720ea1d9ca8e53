/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Page maps and page files. Pages are copied in large pieces. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/areas.h"
#include "engine/mem/mem.h"
#include "engine/mem/page-io.h"
#include "proto/memory.pb-c.h"

enum { CHUNK_PAGES = PAGE_IO_BUFFER / IMAGE_PAGE_SIZE };

struct page_writer {
	struct dump *d;
	struct image *pagemap;
	struct page_file *file;
	uint8_t *chunk;		      /* CHUNK_PAGES pages; NULL: none is in use */
	size_t filled;		      /* pages in the chunk, not written yet */
	uint64_t run_addr, run_pages; /* pagemap entry in the making */
};

/* Of private memory: shared memory is not worth asking for. */
static uint64_t expected(const struct dump *d)
{
	struct dump_task *const *t;
	const struct proc_vma *vma;
	uint64_t kib = 0;

	vec_foreach (t, &d->tasks)
		vec_foreach (vma, &(*t)->vmas)
			if (area_has_own_pages(vma))
				kib += vma->anon_kib + vma->swap_kib + vma->hugetlb_kib;
	return kib * 1024;
}

int page_writer_new(struct dump *d, enum image_type type, const char *pagemap_name,
		    struct page_writer **ret, struct err *err)
{
	struct page_writer *w = calloc(1, sizeof(*w));
	PagemapHead head = PAGEMAP_HEAD__INIT;
	char name[32];
	int r = 0;

	if (!w)
		return err_nomem(err);
	w->d = d;
	head.pages_id = ++d->last_pages_id;
	w->pagemap = image_get(d->images, type, "%s", pagemap_name);
	snprintf(name, sizeof(name), "pages-%u.img", head.pages_id);
	if ((!d->page_io && page_io_new(expected(d), &d->page_io) < 0) ||
	    image_add(w->pagemap, &head.base) < 0 ||
	    !(w->file = page_io_add_file(d->page_io, d->images_fd, name)))
		r = err_nomem(err);
	if (r < 0)
		page_writer_free(w);
	else
		*ret = w;
	return r;
}

void page_writer_free(struct page_writer *w)
{
	if (!w)
		return;
	if (w->chunk)
		page_io_put_back(w->d->page_io, w->chunk);
	free(w);
}

/* The time that the dump waits for the disk. */
static void count_time(struct dump *d, const struct timespec *begin)
{
	struct timespec end;

	clock_gettime(CLOCK_MONOTONIC, &end);
	d->times.writing_ns += (uint64_t)((end.tv_sec - begin->tv_sec) * 1000000000 +
					  (end.tv_nsec - begin->tv_nsec));
}

static int write_chunk(struct page_writer *w, struct err *err)
{
	size_t len = w->filled * IMAGE_PAGE_SIZE;
	struct timespec begin;
	int r = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (len) {
		r = page_io_write(w->d->page_io, w->file, w->chunk, len, err);
		w->chunk = NULL;
	}
	if (r < 0)
		return r;
	count_time(w->d, &begin);
	w->d->pages_written += w->filled;
	w->filled = 0;
	return 0;
}

static int end_run(struct page_writer *w)
{
	PagemapEntry e = PAGEMAP_ENTRY__INIT;

	if (!w->run_pages)
		return 0;
	e.vaddr = w->run_addr;
	/* Both counts: readers before 4.2 know only the first one. */
	e.compat_nr_pages = w->run_pages <= UINT32_MAX ? (uint32_t)w->run_pages : 0;
	e.has_nr_pages = true;
	e.nr_pages = w->run_pages;
	e.has_flags = true;
	e.flags = PE_PRESENT;
	w->run_pages = 0;
	return image_add(w->pagemap, &e.base);
}

static bool is_zero(const uint8_t *page)
{
	const uint64_t *w = (const uint64_t *)page;
	size_t i;

	for (i = 0; i < IMAGE_PAGE_SIZE / 8; i += 8)
		if (w[i] | w[i + 1] | w[i + 2] | w[i + 3] | w[i + 4] | w[i + 5] | w[i + 6] |
		    w[i + 7])
			return false;
	return true;
}

/* Takes n pages that were read behind the filled part; closes the gaps that zero pages leave. */
static int accept(struct page_writer *w, uint64_t image_addr, size_t n, bool skip_zero)
{
	uint8_t *from = w->chunk + w->filled * IMAGE_PAGE_SIZE;
	size_t i;

	for (i = 0; i < n; i++, from += IMAGE_PAGE_SIZE, image_addr += IMAGE_PAGE_SIZE) {
		uint8_t *to = w->chunk + w->filled * IMAGE_PAGE_SIZE;

		if (skip_zero && is_zero(from))
			continue;
		if (to != from)
			memcpy(to, from, IMAGE_PAGE_SIZE);
		w->filled++;
		if (w->run_pages && w->run_addr + w->run_pages * IMAGE_PAGE_SIZE == image_addr) {
			w->run_pages++;
			continue;
		}
		if (end_run(w) < 0)
			return -ENOMEM;
		w->run_addr = image_addr;
		w->run_pages = 1;
	}
	w->d->pages_scanned += n;
	return 0;
}

static int read_from(pid_t pid, int fd, uint64_t at, uint8_t *to, size_t len)
{
	return pid ? tracee_read(pid, at, to, len) : io_pread_all(fd, to, len, (off_t)at);
}

static int need_chunk(struct page_writer *w, struct err *err)
{
	struct timespec begin;

	if (w->chunk)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	w->chunk = page_io_get(w->d->page_io, err);
	count_time(w->d, &begin);
	return w->chunk ? 0 : err->code;
}

static int copy(struct page_writer *w, pid_t pid, int fd, uint64_t at, uint64_t image_addr,
		uint64_t n_pages, bool skip_zero, struct err *err)
{
	while (n_pages) {
		size_t room = CHUNK_PAGES - w->filled, n = n_pages < room ? n_pages : room;
		int r = need_chunk(w, err);

		if (r < 0)
			return r;
		r = read_from(pid, fd, at, w->chunk + w->filled * IMAGE_PAGE_SIZE,
			      n * IMAGE_PAGE_SIZE);
		if (r < 0)
			return err_sys(err, r, "reading %zu pages at 0x%lx", n, (unsigned long)at);
		if (accept(w, image_addr, n, skip_zero) < 0)
			return err_nomem(err);
		at += n * IMAGE_PAGE_SIZE;
		image_addr += n * IMAGE_PAGE_SIZE;
		n_pages -= n;
		if (w->filled == CHUNK_PAGES && write_chunk(w, err) < 0)
			return err->code;
	}
	return 0;
}

int page_writer_copy(struct page_writer *w, pid_t pid, uint64_t addr, uint64_t image_addr,
		     uint64_t n_pages, bool skip_zero, struct err *err)
{
	return copy(w, pid, -1, addr, image_addr, n_pages, skip_zero, err);
}

int page_writer_copy_fd(struct page_writer *w, int fd, uint64_t offset, uint64_t image_addr,
			uint64_t n_pages, bool skip_zero, struct err *err)
{
	return copy(w, 0, fd, offset, image_addr, n_pages, skip_zero, err);
}

int page_writer_finish(struct page_writer *w, struct err *err)
{
	int r;

	if (end_run(w) < 0)
		return err_nomem(err);
	r = write_chunk(w, err);
	return r == 0 ? page_io_end_file(w->d->page_io, w->file, err) : r;
}

int pages_finish(struct dump *d, struct err *err)
{
	struct timespec begin;
	int r;

	if (!d->page_io)
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &begin);
	r = page_io_finish(d->page_io, err);
	count_time(d, &begin);
	return r;
}

void pages_discard(struct dump *d)
{
	char name[32];
	uint32_t id;

	for (id = 1; id <= d->last_pages_id; id++) {
		snprintf(name, sizeof(name), "pages-%u.img", id);
		unlinkat(d->images_fd, name, 0);
	}
}

void pages_done(struct dump *d)
{
	page_io_free(d->page_io);
	d->page_io = NULL;
}
