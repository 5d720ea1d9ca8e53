/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pages of memory that has a file behind it; holes of the file stay holes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/idmap.h"
#include "engine/mem/mem.h"

struct segment {
	uint32_t id;
	int fd;
	uint64_t size;
};

struct dump_shmem {
	VEC(struct segment) segments;
	struct idmap ids; /* that are taken */
};

/*
 * By the inode, so that the next dump of the same memory uses the same name. The highest bit keeps
 * it apart from System V segments, whose page maps are named alike. Inodes of ordinary and of huge
 * pages may have the same number.
 */
static int choose_id(struct dump *d, uint64_t ino, uint32_t *ret)
{
	struct dump_shmem *s = d->shmem;
	uint32_t id = (uint32_t)ino | 1u << 31;

	while (idmap_find(&s->ids, id, 0))
		id = (id + 1) | 1u << 31;
	*ret = id;
	return idmap_put(&s->ids, &d->arena, id, 0, s);
}

int shmem_add(struct dump *d, int fd, const struct stat *st, uint32_t *ret_id, struct err *err)
{
	cleanup_fd int own = fd;
	struct segment *seg;
	uint32_t id;

	if (!d->shmem && !(d->shmem = arena_alloc(&d->arena, sizeof(*d->shmem))))
		return err_nomem(err);
	if (choose_id(d, st->st_ino, &id) < 0 || !(seg = vec_add(&d->shmem->segments)))
		return err_nomem(err);
	*seg = (struct segment){ id, take_fd(&own), (uint64_t)st->st_size };
	*ret_id = id;
	return 0;
}

/*
 * The last page may lie across the file's end: only a mapping shows what programs have written
 * behind it.
 */
static int copy_tail(const struct segment *seg, struct page_writer *w, uint64_t at, struct err *err)
{
	void *page = mmap(NULL, IMAGE_PAGE_SIZE, PROT_READ, MAP_SHARED, seg->fd, (off_t)at);
	int r;

	if (page == MAP_FAILED)
		return err_sys(err, -errno, "mapping its last page");
	r = page_writer_copy(w, getpid(), (uint64_t)(uintptr_t)page, at, 1, true, err);
	munmap(page, IMAGE_PAGE_SIZE);
	return r;
}

static int copy_run(const struct segment *seg, struct page_writer *w, uint64_t at, uint64_t end,
		    struct err *err)
{
	uint64_t n = (end - at) / IMAGE_PAGE_SIZE, tail = at + n * IMAGE_PAGE_SIZE;
	int r = n ? page_writer_copy_fd(w, seg->fd, at, at, n, true, err) : 0;

	return r == 0 && tail < end ? copy_tail(seg, w, tail, err) : r;
}

static int copy_segment(const struct segment *seg, struct page_writer *w, struct err *err)
{
	off_t at = 0, end;

	while ((at = lseek(seg->fd, at, SEEK_DATA)) >= 0) {
		int r;

		end = lseek(seg->fd, at, SEEK_HOLE);
		if (end < 0)
			return err_sys(err, -errno, "finding its data");
		r = copy_run(seg, w, (uint64_t)at & ~(uint64_t)(IMAGE_PAGE_SIZE - 1), (uint64_t)end,
			     err);
		if (r < 0)
			return r;
		at = end;
	}
	return errno == ENXIO ? 0 : err_sys(err, -errno, "finding its data");
}

int shmem_dump(struct dump *d, struct err *err)
{
	struct segment *seg;

	if (!d->shmem)
		return 0;
	vec_foreach (seg, &d->shmem->segments) {
		uint64_t written = d->pages_written, scanned = d->pages_scanned;
		struct page_writer *w = NULL;
		char name[64];
		int r;

		snprintf(name, sizeof(name), "pagemap-shmem-%u.img", seg->id);
		r = page_writer_new(d, IMG_SHMEM_PAGEMAP, name, &w, err);
		if (r == 0)
			r = copy_segment(seg, w, err);
		if (r == 0)
			r = page_writer_finish(w, err);
		page_writer_free(w);
		d->shared_pages_written += d->pages_written - written;
		d->shared_pages_scanned += d->pages_scanned - scanned;
		if (r < 0)
			return err_wrap(err, r, "copying shared memory %u", seg->id);
	}
	return 0;
}

void shmem_done(struct dump *d)
{
	struct segment *seg;

	if (!d->shmem)
		return;
	vec_foreach (seg, &d->shmem->segments)
		close(seg->fd);
	vec_free(&d->shmem->segments);
}
