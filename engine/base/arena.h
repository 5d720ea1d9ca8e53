/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory that is freed all at once, at the end of an operation. */
#pragma once

#include <stddef.h>

struct arena_block;

struct arena {
	struct arena_block *blocks;
};

/* Zeroed memory, aligned for any type, or NULL when out of memory. */
void *arena_alloc(struct arena *a, size_t size);

/* Copies; NULL when out of memory. */
void *arena_dup(struct arena *a, const void *data, size_t size);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A copy for messages, with ? for control characters: a message is one line. Never NULL. */
const char *arena_printable(struct arena *a, const char *s);

void arena_done(struct arena *a);
