/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Putting stored pages into tasks whose areas are mapped: threads of the engine read pieces of page
 * files and write them with process_vm_writev(2). So several processors make the pages of one task,
 * and of all tasks at once, while the disk reads ahead of them.
 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/base/io.h"
#include "engine/mem/load.h"
#include "engine/mem/mem-priv.h"
#include "engine/mem/mem.h"
#include "proto/memory.pb-c.h"

/*
 * A piece from the page cache is small, so that it stays in the processor's; one from the disk is
 * large.
 */
enum { CACHED_PIECE = 256 << 10, DISK_PIECE = 2 << 20, IOVS = 1024, WORKERS_MAX = 8 };

/* Pages that lie one behind the other in the page file. */
struct piece {
	struct restore_task *task;
	uint64_t offset, bytes;
	size_t first, n; /* ranges of the task's memory */
};

struct filling {
	struct restore *r;
	VEC(struct iovec) ranges;
	VEC(struct piece) pieces;
	size_t next;
	int failed; /* a worker has filled err */
	struct err *err;
	pthread_mutex_t lock;
};

/* ---- what there is to do ---- */

static int add_piece(struct filling *f, struct restore_task *task, uint64_t offset)
{
	struct piece *p = vec_add(&f->pieces);

	if (!p)
		return -ENOMEM;
	*p = (struct piece){ .task = task, .offset = offset, .first = f->ranges.n };
	return 0;
}

static int add_range(struct filling *f, struct restore_task *task, uint64_t addr, uint64_t len,
		     uint64_t offset)
{
	uint64_t limit = task->pages->direct ? DISK_PIECE : CACHED_PIECE;

	while (len) {
		struct piece *p = f->pieces.n ? &f->pieces.v[f->pieces.n - 1] : NULL;
		struct iovec *slot;
		uint64_t part;

		if (!p || p->task != task || p->offset + p->bytes != offset || p->n == IOVS ||
		    p->bytes == limit) {
			if (add_piece(f, task, offset) < 0)
				return -ENOMEM;
			p = &f->pieces.v[f->pieces.n - 1];
		}
		part = len < limit - p->bytes ? len : limit - p->bytes;
		slot = p->n ? &f->ranges.v[f->ranges.n - 1] : NULL;
		if (slot && (uint64_t)slot->iov_base + slot->iov_len == addr) {
			slot->iov_len += part; /* neighbours, or more of the same area */
		} else {
			slot = vec_add(&f->ranges);
			if (!slot)
				return -ENOMEM;
			*slot = (struct iovec){ (void *)addr, part };
			p->n++;
		}
		p->bytes += part;
		addr += part;
		offset += part;
		len -= part;
	}
	return 0;
}

/* Walks over the stored pages that are still to be put into areas; each() may be NULL. */
static int walk(struct filling *f, struct restore_task *task, struct err *err)
{
	const MmEntry *mm = task->mm;
	const struct page_run *run;
	size_t i = 0;

	vec_foreach (run, &task->pages->runs) {
		uint64_t at = run->addr, end = run->addr + run->n_pages * IMAGE_PAGE_SIZE, stop;

		for (; at < end; at = stop) {
			const VmaEntry *e;

			while (i < mm->n_vmas && mm->vmas[i]->end <= at)
				i++;
			e = i < mm->n_vmas ? mm->vmas[i] : NULL;
			if (!e || at < e->start ||
			    (e->flags & MAP_SHARED && !(e->status & AREA_AIO_RING)))
				return err_image(err, "pages at 0x%lx lie in no private area",
						 (long)at);
			stop = end < e->end ? end : e->end;
			if (f && area_is_made(e) && !inherit_has(task, i) &&
			    add_range(f, task, at, stop - at, run->offset + (at - run->addr)) < 0)
				return err_nomem(err);
		}
	}
	return 0;
}

int fill_check(struct restore *r, struct restore_task *task, struct err *err)
{
	const struct page_run *run;

	vec_foreach (run, &task->pages->runs)
		r->pages_restored += run->n_pages;
	return walk(NULL, task, err);
}

/* ---- doing it ---- */

struct worker {
	struct filling *f;
	uint8_t *buffer;
	const struct restore_task *task; /* whose page file is open, or NULL */
	int fd;
	int cached;   /* the file through the page cache, if fd is past it; else -1 */
	uint8_t *map; /* of that, to ask what is there */
	size_t map_len;
};

static void close_files(struct worker *w)
{
	if (!w->task)
		return;
	page_file_done(w->task->pages, w->fd);
	page_file_done(w->task->pages, w->cached);
	if (w->map)
		munmap(w->map, w->map_len);
	w->map = NULL;
	w->task = NULL;
}

/* A file that is not all in the page cache may be there in parts. */
static int open_cached(struct worker *w, const struct page_map *m, struct err *err)
{
	const struct page_run *last = &m->runs.v[m->runs.n - 1];

	w->cached = page_file_open(w->f->r, m, false, err);
	if (w->cached < 0)
		return w->cached;
	w->map_len = last->offset + last->n_pages * IMAGE_PAGE_SIZE;
	w->map = mmap(NULL, w->map_len, PROT_READ, MAP_SHARED, w->cached, 0);
	if (w->map == MAP_FAILED)
		w->map = NULL;
	return 0;
}

static int open_for(struct worker *w, const struct restore_task *task, struct err *err)
{
	const struct page_map *m = task->pages;

	if (w->task == task)
		return 0;
	close_files(w);
	w->cached = -EBADF;
	w->fd = page_file_open(w->f->r, m, true, err);
	w->task = task;
	if (w->fd < 0)
		return w->fd;
	return m->direct && m->runs.n ? open_cached(w, m, err) : 0;
}

/* A read that must not wait (RWF_NOWAIT) would tell it as well, and begin to read ahead. */
static bool is_in_cache(const struct worker *w, const struct piece *p)
{
	unsigned char there[DISK_PIECE / IMAGE_PAGE_SIZE];

	return w->map && mincore(w->map + p->offset, p->bytes, there) == 0 &&
	       !memchr(there, 0, p->bytes / IMAGE_PAGE_SIZE);
}

static int read_piece(const struct worker *w, const struct piece *p)
{
	return io_pread_all(is_in_cache(w, p) ? w->cached : w->fd, w->buffer, p->bytes,
			    (off_t)p->offset);
}

static int put_piece(struct worker *w, const struct piece *p, struct err *err)
{
	const struct filling *f = w->f;
	const struct iovec *to = &f->ranges.v[p->first];
	struct iovec from = { w->buffer, p->bytes };
	int n = open_for(w, p->task, err);
	ssize_t done;

	if (n < 0)
		return n;
	n = read_piece(w, p);
	if (n == -ENODATA)
		return err_image(err, "'pages-%u.img' is shorter than before",
				 p->task->pages->pages_id);
	if (n < 0)
		return err_sys(err, n, "reading 'pages-%u.img'", p->task->pages->pages_id);
	done = process_vm_writev(p->task->pid, &from, 1, to, p->n, 0);
	if (done < 0)
		return err_sys(err, -errno, "writing its pages at %p", to->iov_base);
	if ((uint64_t)done != p->bytes)
		return err_new(err, ERR_ENVIRONMENT, -ENOMEM,
			       "only %ld of %lu bytes of its pages at %p could be written",
			       (long)done, (long)p->bytes, to->iov_base);
	return 0;
}

static void *work(void *arg)
{
	struct filling *f = arg;
	cleanup_free uint8_t *buffer = aligned_alloc(IMAGE_PAGE_SIZE, DISK_PIECE);
	struct worker w = { .f = f, .buffer = buffer };
	struct err err = ERR_INIT;
	int n = buffer ? 0 : err_nomem(&err);

	while (n == 0 && !__atomic_load_n(&f->failed, __ATOMIC_RELAXED)) {
		size_t i = __atomic_fetch_add(&f->next, 1, __ATOMIC_RELAXED);
		const struct piece *p = i < f->pieces.n ? &f->pieces.v[i] : NULL;

		if (!p)
			break;
		n = put_piece(&w, p, &err);
	}
	if (w.task)
		page_file_done(w.task->pages, w.fd);
	if (n < 0) {
		pthread_mutex_lock(&f->lock);
		if (!f->failed)
			*f->err = err;
		__atomic_store_n(&f->failed, 1, __ATOMIC_RELAXED);
		pthread_mutex_unlock(&f->lock);
	}
	return NULL;
}

/* As many as there are processors for us, and one more to keep the disk at work. */
static unsigned int worker_count(const struct filling *f)
{
	const size_t worth = 16; /* pieces */
	unsigned int n = WORKERS_MAX;
	cpu_set_t cpus;

	if (sched_getaffinity(0, sizeof(cpus), &cpus) == 0)
		n = (unsigned int)CPU_COUNT(&cpus) + 1;
	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	if (n > f->pieces.n / worth)
		n = (unsigned int)(f->pieces.n / worth);
	return n;
}

/* This thread works too: it alone, if there is little to do. */
static void run_workers(struct filling *f)
{
	pthread_t threads[WORKERS_MAX];
	unsigned int i, n = 0, want = worker_count(f);
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (n + 1 < want && pthread_create(&threads[n], NULL, work, f) == 0)
		n++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	work(f);
	for (i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

int mem_fill(struct restore *r, struct err *err)
{
	struct filling f = { .r = r, .err = err };
	struct restore_task **t;
	int n = 0;

	pthread_mutex_init(&f.lock, NULL);
	vec_foreach (t, &r->tasks)
		if (n == 0 && !(*t)->dead && (*t)->pages && (*t)->memory_of == *t)
			n = walk(&f, *t, err);
	if (n == 0 && f.pieces.n)
		run_workers(&f);
	if (n == 0 && f.failed)
		n = err->code;
	vec_foreach (t, &r->tasks)
		if (n == 0 && (*t)->vdso)
			n = vdso_redirect(r, *t, err);
	pthread_mutex_destroy(&f.lock);
	vec_free(&f.pieces);
	vec_free(&f.ranges);
	return n;
}
