/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading a page map: where in the page file the pages of an address range are. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/mem/load.h"
#include "engine/mem/mem.h"
#include "proto/memory.pb-c.h"

int restore_reserve_fd(struct restore *r)
{
	return r->fd_next++;
}

int restore_keep_fd(struct restore *r, int fd, struct err *err)
{
	int to = restore_reserve_fd(r);

	if (dup3(fd, to, O_CLOEXEC) < 0) {
		err_sys(err, -errno, "moving a descriptor to number %d", to);
		if (errno == EBADF)
			err_hint(err, "raise the limit of open files (ulimit -n)");
		return err->code;
	}
	close(fd);
	return to;
}

void page_map_done(struct page_map *m)
{
	vec_free(&m->runs);
}

/* Whether a file is in the page cache, by a few samples. */
static bool is_cached(int fd, uint64_t size)
{
	enum { SAMPLES = 64 };
	uint8_t *map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	uint64_t pages = size / IMAGE_PAGE_SIZE;
	unsigned int i, n = 0;

	if (map == MAP_FAILED)
		return true;
	for (i = 0; i < SAMPLES; i++) {
		unsigned char there = 0;

		mincore(map + pages * i / SAMPLES * IMAGE_PAGE_SIZE, IMAGE_PAGE_SIZE, &there);
		n += there & 1;
	}
	munmap(map, size);
	return n == SAMPLES;
}

static int open_file(const struct restore *r, const struct page_map *m, int flags, struct err *err)
{
	char name[32];
	int fd;

	snprintf(name, sizeof(name), "pages-%u.img", m->pages_id);
	fd = openat(r->images_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
	return fd < 0 ? err_sys(err, -errno, "opening page file '%s'", name) : fd;
}

/*
 * What has to come from the disk goes past the page cache: that saves a copy, and the memory
 * of the cache. Small ones are not worth it.
 */
static int open_bulk(struct restore *r, const struct page_map *m, uint64_t size, struct err *err)
{
	struct err ignored = ERR_INIT;
	const uint64_t small = 4 << 20;
	cleanup_fd int direct = -EBADF;
	cleanup_free void *page = NULL;

	if (size < small || size % IMAGE_PAGE_SIZE || is_cached(m->fd, size))
		return m->fd;
	direct = open_file(r, m, O_DIRECT, &ignored);
	if (direct < 0)
		return m->fd;
	/* some file systems accept the flag and refuse to read */
	page = aligned_alloc(IMAGE_PAGE_SIZE, IMAGE_PAGE_SIZE);
	if (!page || pread(direct, page, IMAGE_PAGE_SIZE, 0) != IMAGE_PAGE_SIZE)
		return m->fd;
	return restore_keep_fd(r, take_fd(&direct), err);
}

int page_file_open(const struct restore *r, const struct page_map *m, bool bulk, struct err *err)
{
	int fd = bulk ? m->bulk_fd : m->fd;

	return fd >= 0 ? fd : open_file(r, m, bulk && m->direct ? O_DIRECT : 0, err);
}

void page_file_done(const struct page_map *m, int fd)
{
	if (fd >= 0 && fd != m->bulk_fd && fd != m->fd)
		close(fd);
}

/* The task itself reads the events of an AIO ring; in a user namespace a builder may open nothing.
 */
static bool stays_open(const struct restore *r, const struct restore_task *t)
{
	return t->mm->n_aios || r->root_ns.id[NS_USER] != r->host_ns.id[NS_USER];
}

void page_files_close(struct restore *r)
{
	struct restore_task **t;

	vec_foreach (t, &r->tasks) {
		struct page_map *m = (*t)->pages;

		if ((*t)->dead || !m || m->fd < 0 || stays_open(r, *t))
			continue;
		if (m->bulk_fd != m->fd)
			close(m->bulk_fd);
		close(m->fd);
		m->fd = m->bulk_fd = -EBADF;
	}
}

static int open_pages(struct restore *r, struct page_map *m, uint64_t *ret_size, struct err *err)
{
	struct stat st;
	int fd = open_file(r, m, 0, err);

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "reading 'pages-%u.img'", m->pages_id);
	*ret_size = (uint64_t)st.st_size;
	m->fd = restore_keep_fd(r, fd, err);
	if (m->fd < 0)
		return m->fd;
	m->bulk_fd = open_bulk(r, m, *ret_size, err);
	m->direct = m->bulk_fd != m->fd;
	return m->bulk_fd < 0 ? m->bulk_fd : 0;
}

static int add_run(struct page_map *m, const PagemapEntry *e, uint64_t *offset, uint64_t size,
		   const char *name, struct err *err)
{
	uint64_t n = e->has_nr_pages ? e->nr_pages : e->compat_nr_pages, bytes, end;
	uint32_t flags = e->has_flags			    ? e->flags
			 : e->has_in_parent && e->in_parent ? PE_PARENT
							    : PE_PRESENT;
	const struct page_run *last = m->runs.n ? &m->runs.v[m->runs.n - 1] : NULL;
	struct page_run *run;

	if (flags & PE_PARENT)
		return err_refuse(
			err, "image '%s': pages of a parent checkpoint cannot be read yet", name);
	if (!(flags & PE_PRESENT))
		return err_refuse(
			err, "image '%s': pages that are served later (lazy) cannot be read yet",
			name);
	if (e->vaddr % IMAGE_PAGE_SIZE || !n ||
	    __builtin_mul_overflow(n, IMAGE_PAGE_SIZE, &bytes) ||
	    __builtin_add_overflow(e->vaddr, bytes, &end) || bytes > size || *offset > size - bytes)
		return err_image(err, "image '%s': %lu pages at 0x%lx are not in 'pages-%u.img'",
				 name, (long)n, (long)e->vaddr, m->pages_id);
	if (last && last->addr + last->n_pages * IMAGE_PAGE_SIZE > e->vaddr)
		return err_image(err, "image '%s': pages at 0x%lx are out of order", name,
				 (long)e->vaddr);
	run = vec_add(&m->runs);
	if (!run)
		return err_nomem(err);
	*run = (struct page_run){ e->vaddr, n, *offset };
	*offset += bytes;
	return 0;
}

int page_map_load(struct restore *r, enum image_type type, const char *name, struct page_map *ret,
		  struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	cleanup_msg PagemapHead *head = NULL;
	uint64_t offset = 0, size = 0;
	int n = image_open(r->images_fd, type, &reader, err, "%s", name);

	ret->fd = ret->bulk_fd = -EBADF;
	if (n == IMAGE_ABSENT)
		return 0;
	if (n == 0)
		n = image_one(reader, &pagemap_head__descriptor, &head, err);
	if (n < 0)
		return n;
	ret->pages_id = head->pages_id;
	n = open_pages(r, ret, &size, err);
	if (n < 0)
		return n;
	for (;;) {
		cleanup_msg PagemapEntry *e = NULL;

		n = image_next(reader, &pagemap_entry__descriptor, &e, err);
		if (n <= 0)
			return n;
		n = add_run(ret, e, &offset, size, name, err);
		if (n < 0)
			return n;
	}
}
