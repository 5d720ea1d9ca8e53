/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Buffers on their way to page files: while the disk writes one, the next is filled. The memory
 * that they take does not depend on the size of the tasks.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

struct page_io;

/* Bytes of a buffer; it is aligned for direct I/O. */
enum { PAGE_IO_BUFFER = 4 << 20 };

int page_io_new(struct page_io **ret);

/* Waits for what is on its way, whose results are lost. Accepts NULL. */
void page_io_free(struct page_io *io);

/*
 * A buffer that nobody uses, waiting for a write to end if need be. It is the caller's until
 * page_io_write() or page_io_put_back(). NULL: a write has failed, or there is no memory.
 */
uint8_t *page_io_get(struct page_io *io, struct err *err);
void page_io_put_back(struct page_io *io, uint8_t *buffer);

/*
 * Begins to write len bytes of a buffer (a whole number of pages) at an offset of the file. Some
 * file systems accept O_DIRECT at open and refuse it at write: then fd becomes an ordinary one.
 */
int page_io_write(struct page_io *io, uint8_t *buffer, size_t len, int fd, uint64_t offset,
		  struct err *err) __attribute__((warn_unused_result));

/* Waits until all has been written: after that, files may be closed. */
int page_io_finish(struct page_io *io, struct err *err) __attribute__((warn_unused_result));
