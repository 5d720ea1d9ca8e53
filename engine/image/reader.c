/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading image files. Every byte is hostile: lengths are checked against the file before use. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cleanup.h"
#include "engine/image/image-priv.h"
#include "engine/image/nesting.h"

struct image_reader {
	char *name;
	const uint8_t *map;
	size_t size, pos;
	ProtobufCAllocator allocator; /* of messages; none: the heap */
};

void image_reader_free(struct image_reader *r)
{
	if (!r)
		return;
	if (r->map)
		munmap((void *)r->map, r->size);
	free(r->name);
	free(r);
}

size_t image_left(const struct image_reader *r)
{
	return r->size - r->pos;
}

const char *image_name(const struct image_reader *r)
{
	return r->name;
}

void image_reader_alloc_from(struct image_reader *r, const ProtobufCAllocator *allocator)
{
	r->allocator = *allocator;
}

static int read_u32(struct image_reader *r, uint32_t *ret)
{
	if (image_left(r) < sizeof(*ret))
		return -EBADMSG;
	memcpy(ret, r->map + r->pos, sizeof(*ret));
	r->pos += sizeof(*ret);
	return 0;
}

static int check_magics(struct image_reader *r, enum image_type type, struct err *err)
{
	const struct image_kind *k = &image_kinds[type];
	uint32_t common, own, want;

	if (k->head == HEAD_NONE)
		return 0;
	if (k->head != HEAD_BARE) {
		want = k->head == HEAD_SERVICE ? IMAGE_SERVICE_MAGIC : IMAGE_COMMON_MAGIC;
		if (read_u32(r, &common) < 0 || common != want)
			return err_image(err, "image '%s': not an image file of a known version",
					 r->name);
	}
	if (read_u32(r, &own) < 0 || own != k->magic)
		return err_image(err, "image '%s': its magic is not 0x%08x", r->name, k->magic);
	return 0;
}

static int map_file(struct image_reader *r, int fd, struct err *err)
{
	struct stat st;
	void *p;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "reading image '%s'", r->name);
	if (!S_ISREG(st.st_mode))
		return err_image(err, "image '%s': not a regular file", r->name);
	r->size = (size_t)st.st_size;
	if (r->size == 0)
		return 0;
	p = mmap(NULL, r->size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (p == MAP_FAILED)
		return err_sys(err, -errno, "mapping image '%s'", r->name);
	r->map = p;
	return 0;
}

int image_open(int dirfd, enum image_type type, struct image_reader **ret, struct err *err,
	       const char *fmt, ...)
{
	cleanup_reader struct image_reader *r = NULL;
	cleanup_fd int fd = -EBADF;
	va_list ap;
	int n;

	r = calloc(1, sizeof(*r));
	if (!r)
		return err_nomem(err);
	va_start(ap, fmt);
	n = vasprintf(&r->name, fmt, ap);
	va_end(ap);
	if (n < 0)
		return err_nomem(err);
	fd = openat(dirfd, r->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == ENOENT)
		return IMAGE_ABSENT;
	if (fd < 0)
		return err_sys(err, -errno, "opening image '%s'", r->name);
	n = map_file(r, fd, err);
	if (n == 0)
		n = check_magics(r, type, err);
	if (n < 0)
		return n;
	*ret = take_ptr(r);
	return 0;
}

int image_next(struct image_reader *r, const ProtobufCMessageDescriptor *desc, void *ret,
	       struct err *err)
{
	size_t start = r->pos;
	ProtobufCMessage *msg;
	uint32_t len;

	if (image_left(r) == 0)
		return 0;
	if (read_u32(r, &len) < 0 || len > image_left(r))
		return err_image(err, "image '%s': record at offset %zu ends after the file",
				 r->name, start);
	if (!nesting_bounded(desc, r->map + r->pos, len))
		return err_image(err, "image '%s': record at offset %zu nests messages too deep",
				 r->name, start);
	msg = protobuf_c_message_unpack(desc, r->allocator.alloc ? &r->allocator : NULL, len,
					r->map + r->pos);
	if (!msg)
		return err_image(err, "image '%s': record at offset %zu is not a valid %s", r->name,
				 start, desc->name);
	r->pos += len;
	*(ProtobufCMessage **)ret = msg;
	return 1;
}

int image_one(struct image_reader *r, const ProtobufCMessageDescriptor *desc, void *ret,
	      struct err *err)
{
	int n = image_next(r, desc, ret, err);

	if (n == 0)
		return err_image(err, "image '%s': no %s record in it", r->name, desc->name);
	return n < 0 ? n : 0;
}

int image_next_raw(struct image_reader *r, size_t len, const void **ret, struct err *err)
{
	if (len > image_left(r))
		return err_image(err,
				 "image '%s': %zu bytes of data at offset %zu end after the file",
				 r->name, len, r->pos);
	*ret = r->map ? r->map + r->pos : (const uint8_t *)"";
	r->pos += len;
	return 0;
}
