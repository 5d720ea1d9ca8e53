/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/files/pipe-data.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/core/dump.h"
#include "engine/core/restore.h"
#include "proto/pipes.pb-c.h"

/* ---- dump ---- */

/* Reads len bytes out of our own copy of the pipe. */
static int drain(struct image *img, int fd, size_t len, struct err *err)
{
	cleanup_free char *data = malloc(len);
	size_t done = 0;

	if (!data)
		return err_nomem(err);
	while (done < len) {
		ssize_t n = read(fd, data + done, len - done);

		if (n <= 0)
			return err_sys(err, n < 0 ? -errno : -ENODATA,
				       "reading the copy of the pipe");
		done += (size_t)n;
	}
	return image_add_raw(img, data, len) < 0 ? err_nomem(err) : 0;
}

/*
 * tee(2) gives our pipe references to the same pages and leaves the source as it is. It copies slot
 * by slot, so our pipe needs as many slots as the source, however little is in each.
 */
static int copy(int from, int size, int to, size_t len, struct err *err)
{
	ssize_t n;

	if (fcntl(to, F_GETPIPE_SZ) < size && fcntl(to, F_SETPIPE_SZ, size) < 0)
		return err_sys(err, -errno, "making a pipe of %d bytes to copy its data", size);
	n = tee(from, to, INT_MAX, SPLICE_F_NONBLOCK);
	if (n < 0)
		return err_sys(err, -errno, "copying the data of the pipe");
	if ((size_t)n != len)
		return err_new(err, ERR_UNSUPPORTED, -EOPNOTSUPP,
			       "%zu bytes are in the pipe and only %zd can be seen", len, n);
	return 0;
}

int pipe_data_capture(struct dump *d, struct file_ref *ref, const struct pipe_image *where,
		      size_t *ret_len, struct err *err)
{
	struct image *img = image_get(d->images, where->type, "%s", where->name);
	PipeDataEntry e = PIPE_DATA_ENTRY__INIT;
	cleanup_fd int rd = -EBADF, wr = -EBADF;
	int len, size = fcntl(ref->lfd, F_GETPIPE_SZ), p[2], r;

	if (size < 0 || ioctl(ref->lfd, FIONREAD, &len) < 0)
		return err_sys(err, -errno, "asking for the size of the pipe");
	if (len > 0) {
		if (pipe2(p, O_CLOEXEC | O_NONBLOCK) < 0)
			return err_sys(err, -errno, "making a pipe to copy its data");
		rd = p[0];
		wr = p[1];
		r = copy(ref->lfd, size, wr, (size_t)len, err);
		if (r < 0)
			return r;
	}
	e.pipe_id = (uint32_t)ref->facts.st.st_ino;
	e.bytes = (uint32_t)len;
	e.has_size = true;
	e.size = (uint32_t)size;
	if (!img || image_add(img, &e.base) < 0)
		return err_nomem(err);
	*ret_len = (size_t)len;
	return len ? drain(img, rd, (size_t)len, err) : 0;
}

/* ---- restore ---- */

static int load_bytes(struct restore *r, struct image_reader *reader, const PipeDataEntry *e,
		      struct pipe_data *data, struct err *err)
{
	const void *bytes;
	int n;

	if (e->has_size && e->size > INT_MAX)
		return err_image(err, "image '%s': pipe %u cannot have %u bytes of room",
				 image_name(reader), e->pipe_id, e->size);
	if (e->has_size && e->bytes > e->size)
		return err_image(err, "image '%s': %u bytes do not fit into pipe %u of %u bytes",
				 image_name(reader), e->bytes, e->pipe_id, e->size);
	n = image_next_raw(reader, e->bytes, &bytes, err);
	if (n < 0)
		return n;
	data->pipe_id = e->pipe_id;
	data->size = e->has_size ? e->size : 0;
	data->len = e->bytes;
	if (data->len)
		data->bytes = arena_dup(&r->arena, bytes, data->len);
	return data->len && !data->bytes ? err_nomem(err) : 0;
}

int pipe_data_load(struct restore *r, const struct pipe_image *where, struct pipe_data **ret,
		   struct err *err)
{
	cleanup_reader struct image_reader *reader = NULL;
	int n = image_open(r->images_fd, where->type, &reader, err, "%s", where->name);

	if (n != 0)
		return n == IMAGE_ABSENT ? 0 : n;
	for (;;) {
		cleanup_msg PipeDataEntry *e = NULL;
		struct pipe_data *data;

		n = image_next(reader, &pipe_data_entry__descriptor, &e, err);
		if (n <= 0)
			return n;
		if (pipe_data_find(*ret, e->pipe_id))
			return err_image(err, "image '%s' has pipe %u twice", where->name,
					 e->pipe_id);
		data = arena_alloc(&r->arena, sizeof(*data));
		if (!data)
			return err_nomem(err);
		n = load_bytes(r, reader, e, data, err);
		if (n < 0)
			return n;
		data->next = *ret;
		*ret = data;
	}
}

const struct pipe_data *pipe_data_find(const struct pipe_data *list, uint32_t pipe_id)
{
	while (list && list->pipe_id != pipe_id)
		list = list->next;
	return list;
}

static int set_size(int fd, uint32_t size, struct err *err)
{
	int r;

	if (!size || fcntl(fd, F_GETPIPE_SZ) == (int)size ||
	    fcntl(fd, F_SETPIPE_SZ, (int)size) >= 0)
		return 0;
	r = -errno;
	err_sys(err, r, "giving a pipe the size of %u bytes", size);
	if (r == -EPERM)
		err_hint(err, "raise /proc/sys/fs/pipe-max-size or pipe-user-pages-hard");
	return r;
}

int pipe_data_restore(const struct pipe_data *data, int wfd, struct err *err)
{
	int flags = fcntl(wfd, F_GETFL), r;
	size_t done = 0;

	if (!data)
		return 0;
	r = set_size(wfd, data->size, err);
	if (r < 0 || !data->len)
		return r;
	/* a set of images that has more bytes than the pipe holds must fail, not hang */
	if (flags < 0 || fcntl(wfd, F_SETFL, flags | O_NONBLOCK) < 0)
		return err_sys(err, -errno, "preparing a pipe");
	while (done < data->len) {
		ssize_t n = write(wfd, (const char *)data->bytes + done, data->len - done);

		if (n < 0)
			return err_sys(err, -errno, "writing %zu bytes into a pipe", data->len);
		done += (size_t)n;
	}
	if (fcntl(wfd, F_SETFL, flags) < 0)
		return err_sys(err, -errno, "preparing a pipe");
	return 0;
}
