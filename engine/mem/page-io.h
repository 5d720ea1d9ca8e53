/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buffers on their way to page files: while one is written, the next is filled. The memory that
 * they take does not depend on the size of the tasks. Files are made, written and closed by a
 * thread, once there is more than one buffer of work.
 *
 * Pages go through the page cache, where a restore finds them soon after, and the disk is told to
 * begin with each part at once; so it has more to choose from than with direct writes that somebody
 * waits for. That is for a dump that is small beside the memory that is available; others go past
 * the cache.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct page_io;
struct page_file;

/* Bytes of a buffer; it is aligned for direct I/O. */
enum { PAGE_IO_BUFFER = 4 << 20 };

/* expected: bytes that will be written, as far as is known. */
int page_io_new(uint64_t expected, struct page_io **ret);

/* Waits for what is on its way, whose results are lost, and ends all files. Accepts NULL. */
void page_io_free(struct page_io *io);

/*
 * A buffer that nobody uses, waiting for a write to end if need be. It is the caller's until
 * page_io_write() or page_io_put_back(). NULL: a write has failed, or there is no memory.
 */
uint8_t *page_io_get(struct page_io *io, struct err *err);
void page_io_put_back(struct page_io *io, uint8_t *buffer);

/* A file that will be made in the directory; one of that name is replaced. NULL: no memory. */
struct page_file *page_io_add_file(struct page_io *io, int dirfd, const char *name);

/*
 * Begins to write len bytes of a buffer (a whole number of pages) at the end of the file. An error
 * of a thread comes with a later call.
 */
int page_io_write(struct page_io *io, struct page_file *file, uint8_t *buffer, size_t len,
		  struct err *err) __attribute__((warn_unused_result));

/* Nothing more comes for the file. It may be empty. */
int page_io_end_file(struct page_io *io, struct page_file *file, struct err *err)
	__attribute__((warn_unused_result));

/* Waits until all has been written, and the ended files are closed. */
int page_io_finish(struct page_io *io, struct err *err) __attribute__((warn_unused_result));
