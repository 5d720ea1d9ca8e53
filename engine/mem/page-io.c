/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/mem/page-io.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/cleanup.h"

enum { BUFFERS = 6, WRITERS = 2 };

struct buffer {
	uint8_t *data;
	enum { FREE, TAKEN, WAITING, BEING_WRITTEN } state;
	int fd;
	size_t len;
	uint64_t offset;
};

struct page_io {
	pthread_mutex_t lock; /* of all that follows */
	pthread_cond_t changed;
	struct buffer buffers[BUFFERS];
	pthread_t writers[WRITERS];
	unsigned int n_writers;
	bool ending;
	int code; /* of the first write that failed */
};

int page_io_new(struct page_io **ret)
{
	struct page_io *io = calloc(1, sizeof(*io));

	if (!io)
		return -ENOMEM;
	pthread_mutex_init(&io->lock, NULL);
	pthread_cond_init(&io->changed, NULL);
	*ret = io;
	return 0;
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
	pthread_cond_destroy(&io->changed);
	pthread_mutex_destroy(&io->lock);
	for (i = 0; i < BUFFERS; i++)
		free(io->buffers[i].data);
	free(io);
}

static int leave_direct(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags < 0 || !(flags & O_DIRECT) || fcntl(fd, F_SETFL, flags & ~O_DIRECT) < 0
		       ? -EINVAL
		       : 0;
}

static int write_out(const struct buffer *b)
{
	size_t done = 0;

	while (done < b->len) {
		ssize_t n = pwrite(b->fd, b->data + done, b->len - done, (off_t)(b->offset + done));

		if (n < 0 && (errno == EINTR || (errno == EINVAL && leave_direct(b->fd) == 0)))
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		done += (size_t)n;
	}
	return 0;
}

static struct buffer *find(struct page_io *io, int state)
{
	unsigned int i;

	for (i = 0; i < BUFFERS; i++)
		if ((int)io->buffers[i].state == state)
			return &io->buffers[i];
	return NULL;
}

static void *writer(void *arg)
{
	struct page_io *io = arg;

	pthread_mutex_lock(&io->lock);
	for (;;) {
		struct buffer *b = find(io, WAITING);
		int r;

		if (!b && io->ending)
			break;
		if (!b) {
			pthread_cond_wait(&io->changed, &io->lock);
			continue;
		}
		b->state = BEING_WRITTEN;
		pthread_mutex_unlock(&io->lock);
		r = write_out(b);
		pthread_mutex_lock(&io->lock);
		b->state = FREE;
		if (r < 0 && !io->code)
			io->code = r;
		pthread_cond_broadcast(&io->changed);
	}
	pthread_mutex_unlock(&io->lock);
	return NULL;
}

/* Signals are for the thread that runs the operation. */
static void start_writers(struct page_io *io)
{
	sigset_t all, old;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	while (io->n_writers < WRITERS &&
	       pthread_create(&io->writers[io->n_writers], NULL, writer, io) == 0)
		io->n_writers++;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static int failed(int code, struct err *err)
{
	err_sys(err, code, "writing a page file");
	if (code == -ENOSPC)
		err_hint(err, "free space on the file system of the image directory");
	return code;
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
	code = io->code;
	pthread_mutex_unlock(&io->lock);
	if (code == 0 && !b->data)
		b->data = aligned_alloc(align, PAGE_IO_BUFFER);
	if (code < 0)
		failed(code, err);
	else if (!b->data)
		err_nomem(err);
	if (code == 0 && b->data)
		return b->data;
	b->state = FREE;
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

void page_io_put_back(struct page_io *io, uint8_t *data)
{
	struct buffer *b = buffer_of(io, data);

	pthread_mutex_lock(&io->lock);
	if (b)
		b->state = FREE;
	pthread_mutex_unlock(&io->lock);
}

int page_io_write(struct page_io *io, uint8_t *data, size_t len, int fd, uint64_t offset,
		  struct err *err)
{
	struct buffer *b = buffer_of(io, data);
	int r = 0;

	b->fd = fd;
	b->len = len;
	b->offset = offset;
	/* what fits into one buffer is not worth a thread */
	if (!io->n_writers && len == PAGE_IO_BUFFER)
		start_writers(io);
	if (!io->n_writers)
		r = write_out(b);
	pthread_mutex_lock(&io->lock);
	b->state = io->n_writers ? WAITING : FREE;
	pthread_cond_broadcast(&io->changed);
	pthread_mutex_unlock(&io->lock);
	return r < 0 ? failed(r, err) : 0;
}

int page_io_finish(struct page_io *io, struct err *err)
{
	int code;

	pthread_mutex_lock(&io->lock);
	while (find(io, WAITING) || find(io, BEING_WRITTEN))
		pthread_cond_wait(&io->changed, &io->lock);
	code = io->code;
	pthread_mutex_unlock(&io->lock);
	return code < 0 ? failed(code, err) : 0;
}
