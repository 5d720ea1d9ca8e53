/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Memory that is filled before processes are forked and hardly written to afterwards. It is a
 * file's: a fork leaves such pages to be found when they are needed, where it would copy the page
 * tables of anonymous memory for each child, and its end would take them down again.
 */
#pragma once

#include <stddef.h>

struct still_chunk;
struct still_hole;

/* Sizes of freed blocks that are known at a time. */
enum { STILL_HOLES = 16 };

struct still {
	struct still_chunk *chunks;
	struct {
		size_t size;
		struct still_hole *first;
	} holes[STILL_HOLES];
};

/* Memory aligned for any type, not zeroed. NULL when out of memory. */
void *still_alloc(struct still *s, size_t size);

/* Gives a block back (NULL allowed), for the next one of the same size. */
void still_free(struct still *s, void *p);

/*
 * Before the first fork: from here on every process has its own view, and what one writes no other
 * sees. 0, or -errno: then the memory is not to be used any more.
 */
int still_settle(struct still *s);

void still_done(struct still *s);
