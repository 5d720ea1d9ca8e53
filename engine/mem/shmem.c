/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared anonymous segments: known by the inode of the kernel's internal file, opened once through
 * map_files of any task that maps them, and copied whole (holes stay holes).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/mem/mem.h"

struct segment {
	uint64_t ino;
	int fd;
	uint64_t size;
};

struct dump_shmem {
	VEC(struct segment) segments;
};

static struct segment *find(struct dump_shmem *s, uint64_t ino)
{
	struct segment *seg;

	vec_foreach (seg, &s->segments)
		if (seg->ino == ino)
			return seg;
	return NULL;
}

int shmem_add(struct dump *d, struct dump_task *task, const struct proc_vma *vma,
	      uint64_t *ret_shmid, struct err *err)
{
	cleanup_fd int fd = -EBADF;
	struct segment *seg;
	struct stat st;
	char path[64];

	*ret_shmid = vma->ino;
	if (!d->shmem && !(d->shmem = arena_alloc(&d->arena, sizeof(*d->shmem))))
		return err_nomem(err);
	if (find(d->shmem, vma->ino))
		return 0;
	snprintf(path, sizeof(path), "map_files/%lx-%lx", (long)vma->start, (long)vma->end);
	fd = openat(task->proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "opening a shared segment");
	seg = vec_add(&d->shmem->segments);
	if (!seg)
		return err_nomem(err);
	*seg = (struct segment){ vma->ino, take_fd(&fd), (uint64_t)st.st_size };
	return 0;
}

static int dump_segment(struct dump *d, const struct segment *seg, struct page_writer *w,
			struct err *err)
{
	off_t at = 0, end;

	while ((at = lseek(seg->fd, at, SEEK_DATA)) >= 0) {
		int r;

		end = lseek(seg->fd, at, SEEK_HOLE);
		if (end < 0)
			return err_sys(err, -errno, "finding the data of a shared segment");
		at &= ~(off_t)(IMAGE_PAGE_SIZE - 1);
		/* the file of a segment may be shorter than its last page */
		r = page_writer_copy_fd(w, seg->fd, (uint64_t)at, (uint64_t)at,
					((uint64_t)(end - at)) / IMAGE_PAGE_SIZE, true, err);
		if (r < 0)
			return r;
		at = end;
	}
	return errno == ENXIO ? 0 : err_sys(err, -errno, "finding the data of a shared segment");
}

int shmem_dump(struct dump *d, struct err *err)
{
	struct segment *seg;

	if (!d->shmem)
		return 0;
	vec_foreach (seg, &d->shmem->segments) {
		uint64_t before = d->pages_written;
		struct page_writer *w = NULL;
		char name[64];
		int r;

		snprintf(name, sizeof(name), "pagemap-shmem-%lu.img", (unsigned long)seg->ino);
		r = page_writer_new(d, IMG_SHMEM_PAGEMAP, name, &w, err);
		if (r == 0)
			r = dump_segment(d, seg, w, err);
		if (r == 0)
			r = page_writer_finish(w, err);
		page_writer_free(w);
		d->shared_pages_written += d->pages_written - before;
		if (r < 0)
			return err_wrap(err, r, "shared memory segment %lu",
					(unsigned long)seg->ino);
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
