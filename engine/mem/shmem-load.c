/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Shared anonymous segments of a restore. The engine maps one, fills it, and opens the kernel's
 * file behind it through map_files: the tasks then map that file, and see what the first maker of
 * such a segment saw ("/dev/zero (deleted)").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/load.h"
#include "engine/mem/mem.h"

struct shared_segment {
	uint64_t id, size;
	int fd; /* number in builders */
};

struct restore_shmem {
	VEC(struct shared_segment) segments;
};

static struct shared_segment *find(const struct restore *r, uint64_t id)
{
	struct shared_segment *s;

	if (r->shmem)
		vec_foreach (s, &r->shmem->segments)
			if (s->id == id)
				return s;
	return NULL;
}

int shmem_need(struct restore *r, uint64_t shmid, uint64_t size, struct err *err)
{
	struct shared_segment *s;

	if (!r->shmem && !(r->shmem = arena_alloc(&r->arena, sizeof(*r->shmem))))
		return err_nomem(err);
	s = find(r, shmid);
	if (!s) {
		s = vec_add(&r->shmem->segments);
		if (!s)
			return err_nomem(err);
		*s = (struct shared_segment){ shmid, 0, -EBADF };
	}
	if (size > s->size)
		s->size = size;
	return 0;
}

int shmem_fd(const struct restore *r, uint64_t shmid)
{
	const struct shared_segment *s = find(r, shmid);

	return s ? s->fd : -EBADF;
}

static int fill(const struct page_map *m, uint8_t *map, uint64_t size, struct err *err)
{
	const struct page_run *run;

	vec_foreach (run, &m->runs) {
		uint64_t bytes = run->n_pages * IMAGE_PAGE_SIZE;
		int n;

		if (run->addr > size || bytes > size - run->addr)
			return err_image(err, "pages at 0x%lx lie behind its end", (long)run->addr);
		n = io_pread_all(m->bulk_fd, map + run->addr, bytes, (off_t)run->offset);
		if (n < 0)
			return err_sys(err, n, "reading its pages");
	}
	return 0;
}

static int make(struct restore *r, struct shared_segment *s, const struct page_map *m,
		struct err *err)
{
	uint8_t *map =
		mmap(NULL, s->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[64];
	int fd, n;

	if (map == MAP_FAILED)
		return err_sys(err, -errno, "making it (%lu bytes)", (long)s->size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%lx-%lx", (long)map,
		 (long)map + (long)s->size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	n = fd < 0 ? err_sys(err, -errno, "opening the file behind it")
		   : fill(m, map, s->size, err);
	munmap(map, s->size);
	if (n < 0) {
		if (fd >= 0)
			close(fd);
		return n;
	}
	s->fd = restore_keep_fd(r, fd, err);
	return s->fd < 0 ? s->fd : 0;
}

int shmem_load(struct restore *r, struct err *err)
{
	struct shared_segment *s;

	if (!r->shmem)
		return 0;
	vec_foreach (s, &r->shmem->segments) {
		struct page_map m = { 0 };
		char name[64];
		int n;

		snprintf(name, sizeof(name), "pagemap-shmem-%lu.img", (long)s->id);
		s->size = (s->size + IMAGE_PAGE_SIZE - 1) & ~(uint64_t)(IMAGE_PAGE_SIZE - 1);
		n = page_map_load(r, IMG_SHMEM_PAGEMAP, name, &m, err);
		if (n == 0)
			n = make(r, s, &m, err);
		page_map_done(&m);
		if (n < 0)
			return err_wrap(err, n, "shared memory segment %lu", (long)s->id);
	}
	return 0;
}

void shmem_load_done(struct restore *r)
{
	if (r->shmem)
		vec_free(&r->shmem->segments);
}
