/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A list of the kinds' own data; a context holds its head (a NULL pointer at first). */
#pragma once

#include <stddef.h>

#include "engine/base/arena.h"

struct file_kind;

struct kind_state {
	struct kind_state *next;
	const struct file_kind *kind;
	void *data;
};

/* Zeroed memory of the arena at the first call for a kind, then the same; NULL when out of memory.
 */
void *kind_state_get(struct arena *a, struct kind_state **head, const struct file_kind *kind,
		     size_t size);
