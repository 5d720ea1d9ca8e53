/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loading a page map: where in the page file the pages of an address range are. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

static int open_pages(struct restore *r, uint32_t id, uint64_t *ret_size, struct err *err)
{
	char name[32];
	struct stat st;
	int fd;

	snprintf(name, sizeof(name), "pages-%u.img", id);
	fd = openat(r->images_fd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "opening page file '%s'", name);
	*ret_size = (uint64_t)st.st_size;
	return restore_keep_fd(r, fd, err);
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

	ret->fd = -EBADF;
	if (n == IMAGE_ABSENT)
		return 0;
	if (n == 0)
		n = image_one(reader, &pagemap_head__descriptor, &head, err);
	if (n < 0)
		return n;
	ret->pages_id = head->pages_id;
	ret->fd = open_pages(r, head->pages_id, &size, err);
	if (ret->fd < 0)
		return ret->fd;
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
