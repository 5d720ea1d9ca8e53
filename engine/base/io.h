/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading and writing files whole, and names under /proc. Leaf functions: -errno, no story. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "engine/base/buf.h"

/* Reads to the end of fd (from its position) and appends to b. 0 or -errno. */
int io_read_fd(int fd, struct buf *b);

/* Reads a whole file, relative to dirfd (AT_FDCWD allowed), and appends to b. 0 or -errno. */
int io_read_file(int dirfd, const char *path, struct buf *b);

/* Reads the number in a small file. 0 or -errno; -EINVAL if the text is not a number. */
int io_read_int(int dirfd, const char *path, int64_t *ret);

/* Writes all of data. 0 or -errno. */
int io_write_all(int fd, const void *data, size_t len);

/* Opens an existing file for writing and writes data with one write(2). 0 or -errno. */
int io_write_file(int dirfd, const char *path, const void *data, size_t len);

/* Reads exactly len bytes at offset. 0, -errno, or -ENODATA when the file ends before. */
int io_pread_all(int fd, void *data, size_t len, off_t offset);

/* The text of a symbolic link, malloc'ed and given to the caller. 0 or -errno. */
int io_readlink(int dirfd, const char *path, char **ret);

/* Opens /proc/PID as a directory. A descriptor or -errno. */
int io_open_proc(pid_t pid);
