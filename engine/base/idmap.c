/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/base/idmap.h"

#include <errno.h>

enum { FIRST_CAP = 64 }; /* always a power of two */

/* Neighbours in a list of inodes are to lie apart. */
static size_t place_of(uint64_t a, uint64_t b, size_t cap)
{
	uint64_t h = (a ^ b * 0x9e3779b97f4a7c15) * 0xff51afd7ed558ccd;

	return (size_t)(h >> 32) & (cap - 1);
}

/* The slot of the pair, or the free one where it would go; there always is one. */
static struct idmap_slot *slot_of(struct idmap_slot *slots, size_t cap, uint64_t a, uint64_t b)
{
	size_t i = place_of(a, b, cap);

	while (slots[i].value && (slots[i].a != a || slots[i].b != b))
		i = (i + 1) & (cap - 1);
	return &slots[i];
}

void *idmap_find(const struct idmap *m, uint64_t a, uint64_t b)
{
	return m->cap ? slot_of(m->slots, m->cap, a, b)->value : NULL;
}

static int grow(struct idmap *m, struct arena *arena)
{
	size_t cap = m->cap ? m->cap * 2 : FIRST_CAP, i;
	struct idmap_slot *slots = arena_alloc(arena, cap * sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (i = 0; i < m->cap; i++)
		if (m->slots[i].value)
			*slot_of(slots, cap, m->slots[i].a, m->slots[i].b) = m->slots[i];
	m->slots = slots;
	m->cap = cap;
	return 0;
}

int idmap_put(struct idmap *m, struct arena *arena, uint64_t a, uint64_t b, void *value)
{
	/* at least half of the slots are free */
	if (m->n * 2 >= m->cap && grow(m, arena) < 0)
		return -ENOMEM;
	*slot_of(m->slots, m->cap, a, b) = (struct idmap_slot){ a, b, value };
	m->n++;
	return 0;
}
