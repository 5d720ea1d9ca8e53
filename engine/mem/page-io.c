/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/mem/page-io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/base/cleanup.h"
#include "engine/base/io.h"

/* One thread is enough for the page cache, and a file is written by one at a time. */
enum { BUFFERS = 6, WRITERS = 2 };

/* Space that is reserved at once: a file that grows with each write is written more slowly. */
enum { AHEAD = 64 << 20 };

/*
 * The cache is slow when it gets its memory from a hypervisor, page by page: then the disk is
 * faster. So it is given parts, and when one of them takes too much processor time, the rest of the
 * buffer and the next ones go past it; then it is tried again.
 */
enum { PART = 256 << 10, SLOW_PART_NS = 100000, PAUSE = 7 };

struct page_file {
	struct page_file *next;
	int dirfd;
	char name[40];
	int fd;			 /* -1: not made yet */
	int direct_fd;		 /* past the page cache; -1: not opened */
	bool opening;		 /* by a writer */
	bool ended;		 /* nothing more comes */
	uint64_t size, reserved; /* what was handed over; the end of reserved space */
	unsigned int pending;	 /* buffers that are not written yet */
};

struct buffer {
	uint8_t *data;
	enum { FREE, TAKEN, WAITING, BEING_WRITTEN } state;
	struct page_file *file;
	size_t len;
	uint64_t offset, serial;
};

struct page_io {
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	struct buffer buffers[BUFFERS];
	struct page_file *files;
	pthread_t writers[WRITERS];
	unsigned int n_writers;
	bool ending, began;
	uint64_t serial;     /* of the last buffer */
	uint64_t cache_left; /* bytes that may still go to the page cache */
	unsigned int pause;  /* how many buffers go past it before it is tried again */
	bool no_direct;	     /* the file system refuses it */
	struct err err;	     /* the first that failed; code 0: none */
};

/*
 * A small part of what the kernel could give without swapping: memory that the cache has to get
 * first costs more than waiting for the disk.
 */
static uint64_t cache_allowed(void)
{
	cleanup_buf struct buf text = BUF_INIT;
	const char *at = NULL;

	if (io_read_file(AT_FDCWD, "/proc/meminfo", &text) == 0)
		at = strstr(text.data, "MemAvailable:");
	return at ? strtoull(at + strlen("MemAvailable:"), NULL, 10) * 1024 / 64 : 0;
}

int page_io_new(uint64_t expected, struct page_io **ret)
{
	struct page_io *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	pthread_mutex_init(&io->lock, NULL);
	pthread_cond_init(&io->changed, NULL);
	io->cache_left = cache_allowed();
	if (io->cache_left < expected)
		io->cache_left = 0;
	*ret = io;
	return 0;
}

static void forget(struct page_io *io, struct page_file *file)
{
	struct page_file **p;

	for (p = &io->files; *p; p = &(*p)->next)
		if (*p == file) {
			*p = file->next;
			break;
		}
	if (file->fd >= 0)
		close(file->fd);
	if (file->direct_fd >= 0)
		close(file->direct_fd);
	free(file);
}

void page_io_free(struct page_io *io)
{
	unsigned int i;

	if (!io)
		return;
	pthread_mutex_lock(&io->lock);
	io->ending = true;
	pthread_cond_broadcast(&io->changed);
	pthread_mutex_unlock(&io->lock);
	for (i = 0; i < io->n_writers; i++)
		pthread_join(io->writers[i], NULL);
	while (io->files)
		forget(io, io->files);
	pthread_cond_destroy(&io->changed);
	pthread_mutex_destroy(&io->lock);
	for (i = 0; i < BUFFERS; i++)
		free(io->buffers[i].data);
	free(io);
}

/* ---- without the lock: one file at a time ---- */

static int make(struct page_file *f, struct err *err)
{
	const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;

	f->fd = openat(f->dirfd, f->name, flags, 0600);
	if (f->fd < 0 && errno == EEXIST && unlinkat(f->dirfd, f->name, 0) == 0)
		f->fd = openat(f->dirfd, f->name, flags, 0600);
	return f->fd < 0 ? err_sys(err, -errno, "creating image '%s'", f->name) : 0;
}

enum { WRITE_REFUSED = 1 };

static int write_all(const struct buffer *b, int fd, size_t from, size_t to, struct err *err)
{
	while (from < to) {
		ssize_t n = pwrite(fd, b->data + from, to - from, (off_t)(b->offset + from));
		int code = n < 0 ? -errno : -EIO;

		if (n > 0)
			from += (size_t)n;
		else if (code == -EINVAL && fd == b->file->direct_fd)
			return WRITE_REFUSED;
		else if (code != -EINTR) {
			err_sys(err, code, "writing '%s'", b->file->name);
			if (code == -ENOSPC)
				err_hint(err, "free space on the file system of the image "
					      "directory");
			return code;
		}
	}
	return 0;
}

static uint64_t own_cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Through the cache, as long as it is quick; *ret_done: how far that is. */
static int write_cached(const struct buffer *b, bool may_stop, size_t *ret_done, struct err *err)
{
	size_t at = 0;
	int r = 0;

	while (at < b->len && r == 0) {
		size_t end = b->len - at > PART ? at + PART : b->len;
		uint64_t began = own_cpu_ns();

		r = write_all(b, b->file->fd, at, end, err);
		at = end;
		if (may_stop && own_cpu_ns() - began > SLOW_PART_NS)
			break;
	}
	/* small files are written together, by the commit */
	if (r == 0 && b->len == PAGE_IO_BUFFER)
		sync_file_range(b->file->fd, (off_t)b->offset, (off_t)at, SYNC_FILE_RANGE_WRITE);
	*ret_done = at;
	return r;
}

static int close_file(struct page_file *f, struct err *err)
{
	int r = f->fd < 0 ? make(f, err) : 0;

	if (r == 0 && f->reserved > f->size && ftruncate(f->fd, (off_t)f->size) < 0)
		r = err_sys(err, -errno, "cutting '%s' to its size", f->name);
	return r;
}

/* ---- with the lock, which is given back meanwhile ---- */

static void note(struct page_io *io, const struct err *err)
{
	if (!io->err.code)
		io->err = *err;
}

/* In the order in which they came, but not of a file that is being made. */
static struct buffer *next_waiting(struct page_io *io)
{
	struct buffer *best = NULL;
	unsigned int i;

	for (i = 0; i < BUFFERS; i++) {
		struct buffer *b = &io->buffers[i];

		if (b->state == WAITING && !b->file->opening && (!best || b->serial < best->serial))
			best = b;
	}
	return best;
}

static void end_if_done(struct page_io *io, struct page_file *f)
{
	struct err err = ERR_INIT;

	if (!f->ended || f->pending)
		return;
	if (!io->err.code && close_file(f, &err) < 0)
		note(io, &err);
	forget(io, f);
}

static void reserve(struct page_io *io, const struct buffer *b)
{
	struct page_file *f = b->file;

	if (b->len < PAGE_IO_BUFFER || b->offset + b->len <= f->reserved)
		return;
	if (fallocate(f->fd, 0, (off_t)b->offset, AHEAD) == 0)
		f->reserved = b->offset + AHEAD;
}

/* Whether a buffer of that size may go to the cache. */
static bool take_cache(struct page_io *io, size_t len)
{
	if (io->pause) {
		io->pause--;
		return false;
	}
	if (io->cache_left < len)
		return false;
	io->cache_left -= len;
	return true;
}

static bool can_go_past(struct page_io *io, struct page_file *f)
{
	if (f->direct_fd < 0 && !io->no_direct)
		f->direct_fd = openat(f->dirfd, f->name, O_WRONLY | O_CLOEXEC | O_DIRECT);
	io->no_direct |= f->direct_fd < 0;
	return !io->no_direct;
}

/* Gives the lock back meanwhile. */
static int write_buffer(struct page_io *io, const struct buffer *b, struct err *err)
{
	bool cached = take_cache(io, b->len), full = b->len == PAGE_IO_BUFFER;
	bool direct = (full || !cached) && can_go_past(io, b->file), refused;
	size_t done = 0;
	int r = 0;

	pthread_mutex_unlock(&io->lock);
	if (cached)
		r = write_cached(b, direct, &done, err);
	if (r == 0 && done < b->len && direct)
		r = write_all(b, b->file->direct_fd, done, b->len, err);
	/* some file systems accept O_DIRECT at open and refuse it at write */
	refused = r == WRITE_REFUSED;
	if (refused || (!direct && r == 0))
		r = write_all(b, b->file->fd, done, b->len, err);
	pthread_mutex_lock(&io->lock);
	io->no_direct |= refused;
	if (cached && done < b->len)
		io->pause = PAUSE;
	return r;
}

static void do_one(struct page_io *io, struct buffer *b)
{
	struct page_file *f = b->file;
	struct err err = ERR_INIT;
	bool made = f->fd >= 0;
	int r = 0;

	b->state = BEING_WRITTEN;
	f->opening = !made;
	if (!io->err.code) {
		if (!made) {
			pthread_mutex_unlock(&io->lock);
			r = make(f, &err);
			pthread_mutex_lock(&io->lock);
		}
		f->opening = false;
		if (r == 0) {
			reserve(io, b);
			r = write_buffer(io, b, &err);
		}
	}
	if (r < 0)
		note(io, &err);
	b->state = FREE;
	f->pending--;
	end_if_done(io, f);
	pthread_cond_broadcast(&io->changed);
}

static void *writer(void *arg)
{
	struct page_io *io = arg;

	pthread_mutex_lock(&io->lock);
	for (;;) {
		struct buffer *b = next_waiting(io);

		if (b)
			do_one(io, b);
		else if (io->ending)
			break;
		else
			pthread_cond_wait(&io->changed, &io->lock);
	}
	pthread_mutex_unlock(&io->lock);
	return NULL;
}

/* Signals are for the thread that runs the operation. */
static void start_writer(struct page_io *io)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (pthread_create(&io->writers[io->n_writers], NULL, writer, io) == 0)
		io->n_writers++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static int result(struct page_io *io, struct err *err)
{
	if (io->err.code)
		*err = io->err;
	return io->err.code;
}

static struct buffer *find(struct page_io *io, int state)
{
	unsigned int i;

	for (i = 0; i < BUFFERS; i++)
		if ((int)io->buffers[i].state == state)
			return &io->buffers[i];
	return NULL;
}

static struct buffer *buffer_of(struct page_io *io, const uint8_t *data)
{
	unsigned int i;

	for (i = 0; i < BUFFERS; i++)
		if (io->buffers[i].data == data)
			return &io->buffers[i];
	return NULL;
}

uint8_t *page_io_get(struct page_io *io, struct err *err)
{
	const size_t align = 1 << 16;
	struct buffer *b;
	int code;

	pthread_mutex_lock(&io->lock);
	while (!(b = find(io, FREE)))
		pthread_cond_wait(&io->changed, &io->lock);
	b->state = TAKEN;
	code = result(io, err);
	pthread_mutex_unlock(&io->lock);
	if (code == 0 && !b->data)
		b->data = aligned_alloc(align, PAGE_IO_BUFFER);
	if (code == 0 && b->data)
		return b->data;
	if (code == 0)
		err_nomem(err);
	b->state = FREE;
	return NULL;
}

void page_io_put_back(struct page_io *io, uint8_t *data)
{
	struct buffer *b = buffer_of(io, data);

	pthread_mutex_lock(&io->lock);
	if (b)
		b->state = FREE;
	pthread_mutex_unlock(&io->lock);
}

struct page_file *page_io_add_file(struct page_io *io, int dirfd, const char *name)
{
	struct page_file *f = calloc(1, sizeof(*f));

	if (!f)
		return NULL;
	f->dirfd = dirfd;
	f->fd = f->direct_fd = -EBADF;
	snprintf(f->name, sizeof(f->name), "%s", name);
	pthread_mutex_lock(&io->lock);
	f->next = io->files;
	io->files = f;
	pthread_mutex_unlock(&io->lock);
	return f;
}

int page_io_write(struct page_io *io, struct page_file *file, uint8_t *data, size_t len,
		  struct err *err)
{
	struct buffer *b = buffer_of(io, data);
	int r;

	pthread_mutex_lock(&io->lock);
	b->file = file;
	b->len = len;
	b->offset = file->size;
	b->serial = ++io->serial;
	b->state = WAITING;
	file->size += len;
	file->pending++;
	/* a first buffer that is not full may be all there is, and not worth a thread */
	if (!io->n_writers && (io->began || len == PAGE_IO_BUFFER))
		start_writer(io);
	else if (io->n_writers == 1 && file->direct_fd >= 0)
		start_writer(io);
	io->began = true;
	if (!io->n_writers)
		do_one(io, b);
	pthread_cond_broadcast(&io->changed);
	r = result(io, err);
	pthread_mutex_unlock(&io->lock);
	return r;
}

int page_io_end_file(struct page_io *io, struct page_file *file, struct err *err)
{
	int r;

	pthread_mutex_lock(&io->lock);
	file->ended = true;
	end_if_done(io, file);
	r = result(io, err);
	pthread_mutex_unlock(&io->lock);
	return r;
}

int page_io_finish(struct page_io *io, struct err *err)
{
	int r;

	pthread_mutex_lock(&io->lock);
	while (find(io, WAITING) || find(io, BEING_WRITTEN))
		pthread_cond_wait(&io->changed, &io->lock);
	r = result(io, err);
	pthread_mutex_unlock(&io->lock);
	return r;
}
