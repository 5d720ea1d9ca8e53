/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Cleanup attributes for what is ours: memory, descriptors, directories, mappings.
 * What belongs to somebody else (a frozen task, a mount) goes on the undo stack instead.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define cleanup_with(fn) __attribute__((__cleanup__(fn)))

static inline void cleanup_freep(void *p)
{
	free(*(void **)p);
}

static inline void cleanup_closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void cleanup_closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

static inline void cleanup_fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define cleanup_free cleanup_with(cleanup_freep)
#define cleanup_fd cleanup_with(cleanup_closep)
#define cleanup_dir cleanup_with(cleanup_closedirp)
#define cleanup_file cleanup_with(cleanup_fclosep)

/* Hands an owned descriptor over; the variable no longer owns it. */
static inline int take_fd(int *fd)
{
	int r = *fd;

	*fd = -EBADF;
	return r;
}

/* Hands an owned pointer over; the variable no longer owns it. */
#define take_ptr(p)                        \
	({                                 \
		__typeof__(p) *_pp = &(p); \
		__typeof__(p) _v = *_pp;   \
		*_pp = NULL;               \
		_v;                        \
	})
