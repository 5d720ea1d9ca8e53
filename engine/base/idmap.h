/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A map from a pair of numbers (a device and an inode, a process and a descriptor) to a pointer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "engine/base/arena.h"

struct idmap_slot {
	uint64_t a, b;
	void *value; /* NULL: the slot is free */
};

/* All zero: an empty map. Its memory is the arena's. */
struct idmap {
	struct idmap_slot *slots;
	size_t n, cap;
};

/* What was put for the pair, or NULL. */
void *idmap_find(const struct idmap *m, uint64_t a, uint64_t b);

/* Puts a value, not NULL, for a pair that has none yet. 0 or -ENOMEM. */
int idmap_put(struct idmap *m, struct arena *arena, uint64_t a, uint64_t b, void *value);
