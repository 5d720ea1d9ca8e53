/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A growing byte buffer; always zero-terminated after the last byte, so it is a string as well. */
#pragma once

#include <stdarg.h>
#include <stddef.h>

struct buf {
	char *data;
	size_t len, cap;
};

#define BUF_INIT  \
	{         \
		0 \
	}

/* All return 0 or -ENOMEM; on failure the buffer is unchanged. */
int buf_reserve(struct buf *b, size_t more);
int buf_append(struct buf *b, const void *data, size_t len);
int buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Frees the bytes; the buffer is empty and usable again. */
void buf_done(struct buf *b);

static inline void cleanup_bufp(struct buf *b)
{
	buf_done(b);
}
#define cleanup_buf __attribute__((__cleanup__(cleanup_bufp)))
